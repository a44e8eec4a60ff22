"""DALI frames, a gear behind a line that answers as the standard says and as faults make it, and a D4i driver's banks."""

from kerbnode.drivers import d4i, dali, dali_frames
from kerbnode.drivers.dali_frames import GARBLED as BAD
from kerbnode.drivers.dali_frames import SILENT as NONE
from kerbwire.channels import FAULT, GARBLED, NOT_FITTED, OUT_OF_RANGE, SILENT, STUCK


def spans_of(byte, half_us=417, jitter=None):
    """A backward frame as microseconds, active and idle in turn."""
    halves = []
    for bit in range(9):
        one = (1 << 8 | byte) >> 8 - bit & 1
        halves += [one, 1 - one]
    spans, level, run = [], 1, 0
    for half in halves:
        if half == level:
            run += half_us
        else:
            spans.append(run)
            level, run = half, half_us
    if level:
        spans.append(run)
        run = 0
    spans.append(run + 12000)
    for at in range(len(spans) - 1):
        spans[at] += jitter(at) if jitter else 0
    return spans


def with_last(spans, last_us=12000):
    spans.append(last_us)
    return spans


def heard(spans):
    return dali_frames.answer(spans, len(spans))


def test_every_byte_comes_back_at_every_speed_the_standard_allows():
    for half_us in (375, 417, 458):
        for byte in range(256):
            assert heard(spans_of(byte, half_us)) == byte
            assert heard(spans_of(byte, half_us, lambda at: (-70, 70)[at & 1])) == byte


def test_nothing_and_noise_are_no_bytes():
    assert dali_frames.answer([], 0) == NONE
    assert heard([417]) == BAD
    assert heard([100, 12000]) == BAD
    assert heard([60000]) == BAD  # the bus is short
    for byte in (0, 0x55, 0xFF, 0x90):
        spans = spans_of(byte)
        for cut in range(1, len(spans) - 1):
            assert heard(with_last(spans[:cut])) in (BAD, byte) and heard(spans[:cut]) != byte
        for at in range(len(spans) - 1):
            longer = list(spans)
            longer[at] += 700
            assert heard(longer) == BAD
        assert heard(with_last(spans[:-1], 417) + spans) == BAD


def test_two_gears_that_answer_at_once_are_no_byte_of_either():
    both = spans_of(0xFF)
    both[1:3] = [both[1] + both[2] - 100, 100]
    assert heard(both) == BAD


def test_a_forward_frame_is_a_start_bit_and_sixteen_bits():
    out = bytearray(40)
    dali_frames.halves(0xFE80, out)
    assert bytes(out[:18]) == bytes((1, 0) * 8) + b"\x00\x01"
    assert bytes(out[18:20]) == b"\x01\x00" and bytes(out[20:34]) == b"\x00\x01" * 7


class Gear:
    """A control gear on a line of its own, as IEC 62386-102 says: what dali.Driver may ask."""

    def __init__(self, banks=None):
        self.banks = banks or {}
        self.arc = 254
        self.status = 4
        self.dtr0 = self.dtr1 = 0
        self.frames = []
        self.answer = None
        self.fault = None
        self.least = 1

    def dali(self, facts):
        return self

    def send(self, frame):
        self.frames.append(frame)
        self.answer = self.reply(frame)

    def take(self, spans):
        if self.answer is None or self.fault == "silent":
            return 0
        found = spans_of(self.answer)
        if self.fault == "garbled":
            found[0] += 300
        for at in range(len(found)):
            spans[at] = found[at]
        return len(found)

    def reply(self, frame):
        high, low = frame >> 8, frame & 255
        if high == 0xFE and self.fault != "stuck":
            self.arc = 0 if low == 0 else max(low, self.least)
            self.status = self.status & ~8 | (8 if 0 < low < self.least else 0)
        elif high == 0xA3:
            self.dtr0 = low
        elif high == 0xC3:
            self.dtr1 = low
        elif frame == 0xFF90:
            return self.status
        elif frame == 0xFFA0:
            return self.arc
        elif frame == 0xFFC5:
            bank = self.banks.get(self.dtr1, b"")
            at, self.dtr0 = self.dtr0, self.dtr0 + 1
            return bank[at] if at < len(bank) else None
        return None


class Rig:
    """A driver that is polled ten times a second."""

    def __init__(self, gear):
        self.gear = gear
        self.now_ms = 0
        self.dimmer = dali.Driver(gear, {}, {})

    def run(self, seconds, *parts):
        for _ in range(10 * seconds):
            self.dimmer.poll(self.now_ms)
            for part in parts:
                part.poll(self.now_ms)
            self.now_ms += 100


def test_a_level_goes_out_at_the_next_poll_and_again_every_ten_seconds():
    rig = Rig(Gear())
    rig.run(1)
    assert rig.gear.frames[0] == 0xFEFE  # full light, until somebody says otherwise
    rig.dimmer.set(50)
    rig.dimmer.poll(rig.now_ms)
    assert rig.gear.frames[-1] == 0xFE00 | 229 and rig.gear.arc == 229
    del rig.gear.frames[:]
    rig.run(30)
    assert 2 <= rig.gear.frames.count(0xFE00 | 229) <= 3
    assert rig.dimmer.status == 4 and rig.dimmer.arc == 229 and rig.dimmer.reason == 0
    rig.dimmer.set(0)
    rig.run(1)
    assert rig.gear.arc == 0


def test_a_ramp_is_a_frame_each_tenth_of_a_second():
    rig = Rig(Gear())
    rig.run(12)
    del rig.gear.frames[:]
    for percent in range(20, 100, 10):
        rig.dimmer.set(percent)
        rig.run(0)
        rig.dimmer.poll(rig.now_ms)
        rig.now_ms += 100
    assert [frame & 255 for frame in rig.gear.frames if frame >> 8 == 0xFE] == [
        dali.ARC[at] for at in range(20, 100, 10)
    ]


def test_percent_and_arc_power_are_each_others_inverse():
    assert len(dali.ARC) == 101 and dali.ARC[0] == 0 and dali.ARC[100] == 254
    for percent in range(101):
        assert dali.ARC[dali.percent_of(dali.ARC[percent])] == dali.ARC[percent]


def test_a_gear_that_says_nothing_nonsense_or_another_level_is_named():
    for fault, reason in (("silent", SILENT), ("garbled", GARBLED)):
        rig = Rig(Gear())
        rig.gear.fault = fault
        rig.run(60)
        assert rig.dimmer.reason == reason and rig.dimmer.raw >= dali.MISSED
        assert rig.dimmer.status is None and rig.dimmer.arc is None
        rig.gear.fault = None
        rig.run(30)
        assert rig.dimmer.reason == 0 and rig.dimmer.status == 4
    rig = Rig(Gear())
    rig.gear.fault = "stuck"
    rig.dimmer.set(30)
    rig.run(60)
    assert rig.dimmer.reason == STUCK and rig.dimmer.raw == 254
    rig.gear.fault = None
    rig.run(60)
    assert rig.dimmer.reason == 0


def test_the_least_level_of_a_gear_is_no_fault():
    rig = Rig(Gear())
    rig.gear.least = 170
    rig.dimmer.set(2)
    rig.run(60)
    assert rig.gear.arc == 170 and rig.dimmer.reason == 0


def test_a_lamp_that_failed_is_in_the_status():
    rig = Rig(Gear())
    rig.gear.status = 2
    rig.run(20)
    assert rig.dimmer.status & dali.LAMP_FAILURE and rig.dimmer.reason == 0


BANK202 = bytes.fromhex("0f00ff01fd00000012d687fe00000bb8")  # 1,234.567 Wh, 30.00 W
BANK205 = bytearray(29)
BANK205[0] = 28
BANK205[11:15] = b"\x09\x06\x32\x61"  # 231.0 V, 50 Hz, 0.97
BANK205[0x1B] = 60 + 45
BANK206 = bytearray(33)
BANK206[0x20] = 60 + 52


def metered(banks=None, seconds=40):
    rig = Rig(Gear(banks or {202: BANK202, 205: BANK205, 206: BANK206}))
    meter = d4i.Driver(rig.gear, {}, {"dimmer": rig.dimmer})
    rig.run(seconds, meter)
    return rig, meter


def test_energy_power_volts_and_degrees_come_out_of_the_banks():
    _, meter = metered()
    assert meter.power_mw == 30000 and meter.energy_wh == 1234 and meter.supply_mv == 231000
    assert meter.celsius == 52 and meter.gear == 0 and meter.reason == 0
    assert meter.moment_ms > 0


def test_what_the_gear_says_is_wrong_becomes_bits():
    bank205, bank206 = bytearray(BANK205), bytearray(BANK206)
    bank205[0x17] = bank206[0x1A] = bank206[0x16] = 1
    _, meter = metered({202: BANK202, 205: bank205, 206: bank206})
    assert meter.gear == d4i.DERATED | d4i.OPEN | d4i.LAMP_FAILURE


def test_masks_and_wild_values_are_no_numbers():
    for power, found, reason in (
        (b"\xfe\xff\xff\xff\xff", NOT_FITTED, GARBLED),
        (b"\xfe\xff\xff\xff\xfe", FAULT, GARBLED),
        (b"\x07\x00\x00\x00\x01", FAULT, GARBLED),
        (b"\x06\x00\x00\x00\x01", FAULT, OUT_OF_RANGE),
    ):
        _, meter = metered({202: BANK202[:11] + power, 205: BANK205, 206: BANK206})
        assert (meter.power_mw, meter.reason) == (found, reason), power


def test_a_driver_without_banks_is_silent_as_a_meter():
    _, meter = metered({1: b"\x00"})
    assert meter.power_mw == FAULT and meter.reason == SILENT


def test_energy_that_falls_is_believed_only_twice():
    bank = bytearray(BANK202)
    rig, meter = metered({202: bank, 205: BANK205, 206: BANK206})
    bank[10] = 0  # the last byte rolled over between two reads: too low
    rig.run(310, meter)
    assert meter.energy_wh == 1234
    bank[7:11] = bytes(4)  # another driver was fitted
    rig.run(620, meter)
    assert meter.energy_wh == 0


def test_a_spoilt_byte_is_read_again_at_its_place():
    rig = Rig(Gear({202: BANK202}))
    rig.run(1)
    done = []
    assert rig.dimmer.read(202, 4, 7, lambda data, size: done.append(bytes(data[:size])))
    assert not rig.dimmer.read(202, 4, 7, None)
    spoil = 2
    while not done:
        rig.gear.fault = None
        if rig.gear.frames[-1] == 0xFFC5 and rig.gear.dtr0 == 9 and spoil:
            spoil -= 1
            rig.gear.fault = "garbled"
        rig.dimmer.poll(rig.now_ms)
        rig.now_ms += 100
        assert rig.now_ms < 60000
    assert done == [BANK202[4:11]]


def test_a_level_is_on_the_bus_when_it_is_shown_and_not_with_the_next_look():
    from kerbnode.lamp.parts import Parts

    gear = Gear()
    gear.chip_celsius = None
    parts = Parts(gear, {"dimmer": {"driver": "dali"}, "meter": {"driver": "d4i"}})
    now_ms = 0
    for percent in (100, 80, 60, 40, 20):
        parts.show(percent, now_ms)
        assert gear.arc == dali.ARC[percent]
        now_ms += 100
