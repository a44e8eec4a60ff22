"""One sample, judged: what its record says, and what happened."""

from kerbnode.bin.events import SENSOR_FAULT
from kerbnode.bin.sensors import Sensors
from kerbwire.channels import BATTERY, FAULTY_PART, FILL, QUALITY, RAW, TEMPERATURE, TROUBLE

DAY_S = 86400


def take(hal, board, journal, judge, settings, local_ms, now_s, is_boot, is_record):
    """Sample and judge. Returns (values of a record by channel, [(code, severity, state, evidence)] as kerbwire.events
    says them, bytes that were no reading).

    local_ms(): the node's clock. now_s: the sample's time. What takes a while, cells and self-test, is tried once a
    day, by a wake that records, by each boot, and while the judge has doubts.
    """
    new_day = now_s // DAY_S != (now_s - settings["interval_s"]) // DAY_S
    sensors = Sensors(hal, board["sensors"])
    daily = is_boot or (new_day and is_record)
    values = sensors.sample(settings, daily or judge.doubts)
    if not daily:
        values.pop(BATTERY, None)
    get = values.get
    happened = judge.sample(
        local_ms() // 1000, get(FILL), sensors.distance_mm, get(TEMPERATURE), sensors.tilt_deg, get(QUALITY, 0),
        _mv(get(BATTERY)), sensors.still_mm,
    )  # fmt: skip
    if judge.stuck:
        values[QUALITY] |= FAULTY_PART
    if judge.days_left is not None:
        journal.note("battery low:", judge.days_left, "days left")
    events = []
    for code, state, evidence in happened:
        if code == SENSOR_FAULT and sensors.troubles:
            evidence[TROUBLE], evidence[RAW] = sensors.troubles[0]
        shown = {channel: evidence[channel] for channel in evidence if evidence[channel] is not None}
        events.append(judge.on_wire(code, state) + (shown,))
    return values, events, sensors.noise


def _mv(volts_10mv):
    return None if volts_10mv is None or volts_10mv < 0 else volts_10mv * 10
