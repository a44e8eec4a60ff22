"""The self-test of a lamp's parts: they run as in service for some seconds, and each says what is wrong with it.

Half light, then dark, then full light, which it is left at: nobody is left in the dark. Where the mains are on, the
meter proves the dimmer and the relay; on a bench without mains they can only be looked at.
"""

from kerbnode.lamp.parts import Parts
from kerbwire.channels import GARBLED, LATE, OUT_OF_RANGE, PART_REASONS, PART_SLOTS, SILENT, STUCK, WRONG_PART

POLL_MS = 100
HALF_MS, DARK_MS, FULL_MS = 4000, 4000, 5000  # a meter is silent after 3.5 s; a DALI gear is within two
MAINS_MV = 50000
DEAD_MW = 500
FOLLOWS_PERCENT = 85  # of full power: at half light every driver takes less

PASS, FAIL, SKIP = "pass", "fail", "skip"
_ADVICE = {
    SILENT: "no power, a broken wire, TX and RX swapped, or no pull-up: see boards/WIRING.md",
    GARBLED: "noise on the line, a bus that is short, or two drivers on one bus: see boards/WIRING.md",
    WRONG_PART: "another part is fitted than board.json names",
    STUCK: "the part is damaged, or does not take what it is told: replace it",
    LATE: "its supply breaks down: measure it at the part",
    OUT_OF_RANGE: "the divider or the shunt has other values than board.json says",
}
_NO_MAINS = {
    "meter": "no mains at the meter, or its isolated line is not wired",
    "relay": "no zero crossing: no mains at the detector, or its line is not wired",
}


def parts(board_hal, fitted):
    """The rows of what is wired to a lamp: "sensors" of board.json."""
    try:
        all_parts = Parts(board_hal, fitted)
    except Exception as error:  # a bus that cannot be opened may raise anything
        value = "%s: %s" % (type(error).__name__, error)
        return [_row("parts", (FAIL, value, "no error", "board.json names pins or drivers that this board has not"))]
    measured = {}
    now_ms = 0
    for level, span_ms in ((50, HALF_MS), (0, DARK_MS), (100, FULL_MS)):
        all_parts.show(level, now_ms)
        for _ in range(span_ms // POLL_MS):
            all_parts.poll(now_ms)
            board_hal.feed()
            board_hal.sleep_ms(POLL_MS)
            now_ms += POLL_MS
        measured[level] = all_parts.power_mw
    troubles = {}
    for code, raw in all_parts.troubles:
        troubles[PART_SLOTS[code >> 4]] = (code & 15, raw)
    rows = []
    for slot in sorted(fitted):
        if slot in troubles:
            reason, raw = troubles[slot]
            cause = _NO_MAINS.get(slot) if reason == SILENT else None
            value = "%s, raw %d" % (PART_REASONS[reason], raw)
            rows.append(_row(slot, (FAIL, value, "it answers as it should", cause or _ADVICE[reason])))
        else:
            rows.append(_row(slot, _TESTS[slot](all_parts, measured)))
    return rows


def _row(name, found):
    verdict, value, limit, cause = found
    return {"check": name, "verdict": verdict, "value": value, "limit": limit, "cause": cause}


def _presence(all_parts, measured):
    seen = all_parts.active()
    if seen is None:
        return SKIP, "nothing yet", "someone or nobody", "it warms up: test again in a minute"
    return PASS, "someone" if seen else "nobody", "someone or nobody", ""


def _light(all_parts, measured):
    return PASS, "%d lux" % all_parts.lux(), "it tells the light", ""


def _meter(all_parts, measured):
    supply_mv, full_mw = all_parts.supply_mv, measured[100]
    value = "%d V, %d.%d W" % (supply_mv // 1000, full_mw // 1000, full_mw // 100 % 10) if full_mw >= 0 else "no power"
    limit = "mains, and watts at full light"
    if supply_mv < MAINS_MV:
        return SKIP, "no mains", limit, "with the mains on, close the enclosure and test over the link"
    if full_mw < DEAD_MW:
        return FAIL, value, limit, "the driver has no mains or is dead, or the shunt is not in its line"
    return PASS, value, limit, ""


def _dimmer(all_parts, measured):
    half_mw, full_mw = measured[50], measured[100]
    limit = "at half light less than %d %% of full power" % FOLLOWS_PERCENT
    if min(half_mw, full_mw) < DEAD_MW:
        return SKIP, "no power to compare", limit, "look at it: half light, dark, full light"
    value = "%d %% of full power at half light" % (100 * half_mw // full_mw)
    if 100 * half_mw > FOLLOWS_PERCENT * full_mw:
        return FAIL, value, limit, "the dimming line is open, or the driver takes no dimming: see boards/WIRING.md"
    return PASS, value, limit, ""


def _relay(all_parts, measured):
    dark_mw, full_mw = measured[0], measured[100]
    limit = "less than %d.%d W while it is open" % (DEAD_MW // 1000, DEAD_MW // 100 % 10)
    if full_mw < DEAD_MW or dark_mw < 0:
        return SKIP, "no power to compare", limit, "listen to it: it clicks twice"
    value = "%d.%d W" % (dark_mw // 1000, dark_mw // 100 % 10)
    if all_parts.puts_out and dark_mw >= DEAD_MW:
        return FAIL, value, limit, "its contacts are welded, or L does not go through its rest contact"
    return PASS, value, limit, ""


_TESTS = {"presence": _presence, "light": _light, "meter": _meter, "dimmer": _dimmer, "relay": _relay}
