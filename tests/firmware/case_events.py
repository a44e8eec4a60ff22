"""The judge: each condition's latch walked, and the days of a bin as samples."""

from kerbnode import config
from kerbnode.bin import events
from kerbnode.bin.events import (
    BATTERY_LOW,
    CLEARED,
    EMPTIED,
    FIRE,
    FULL,
    HELD,
    LID_OPEN,
    MOVED,
    NEARLY_FULL,
    RAISED,
    SENSOR_FAULT,
    TILTED,
    Judge,
)  # fmt: skip
from kerbwire.channels import (
    AT_DISTANCE,
    BATTERY,
    COVERED,
    FAULT,
    FAULTY_PART,
    FILL,
    NO_ECHO,
    NOT_FITTED,
    NOT_UPRIGHT,
    OPEN_LID,
    RAW,
    STUCK,
    TEMPERATURE,
    TROUBLE,
)  # fmt: skip
from kerbwire.events import CODES

SETTINGS = {row[0]: row[1] for row in config.SETTINGS}


class Bin:
    """A judge, and a clock that goes on by step_s a sample. codes: what each sample said, as (code, state)."""

    def __init__(self, step_s=3600):
        self.judge = Judge(SETTINGS)
        self.now_s = 1767225600
        self.step_s = step_s

    def __call__(self, fill=50, half_c=20, tilt=NOT_FITTED, quality=0, battery_mv=None):
        self.now_s += self.step_s
        again = Judge(SETTINGS)
        again.unpack(self.judge.pack())  # as over a sleep
        found = self.judge.sample(self.now_s, fill, 600, half_c, tilt, quality, battery_mv)
        assert again.sample(self.now_s, fill, 600, half_c, tilt, quality, battery_mv) == found
        self.found = found
        return [(code, state) for code, state, _ in found]

    def fills(self, *levels):
        return [event for level in levels for event in self(level)]


def test_each_latch_counts_up_and_down_and_is_reset_by_the_other():
    for code, counts in events._COUNTS.items():
        raise_at, clear_at = counts
        judge = Judge(SETTINGS)
        for _ in range(2):
            for verdict in (0, -1):  # whatever breaks a row begins it anew
                for _ in range(raise_at - 1):
                    judge._latch(code, 1, {})
                judge._latch(code, verdict, {})
                assert judge._out == [] and not judge._count(code)
            for _ in range(raise_at):
                judge._latch(code, 1, {})
            assert judge._out == [(code, RAISED, {})]
            for verdict in (0, 1):
                for _ in range(clear_at - 1):
                    judge._latch(code, -1, {})
                judge._latch(code, verdict, {})
                assert judge._out == [(code, RAISED, {})]
            for _ in range(clear_at):
                judge._latch(code, -1, {})
            assert judge._out.pop() == (code, CLEARED, {})
            assert judge._out.pop() == (code, RAISED, {})


def test_a_bin_fills_is_emptied_and_says_each_once():
    node = Bin()
    assert node.fills(60, 74, 75, 78) == [(NEARLY_FULL, RAISED)]
    assert node.fills(84, 90, 92, 93, 95) == [(FULL, RAISED)]
    assert node.found == [] and not node.judge.hurry
    assert node(4) == [] and node.judge.hurry  # one low sample is no emptying
    assert node(4) == [(EMPTIED, RAISED), (FULL, CLEARED)]
    assert node.found[0][2] == {FILL: 4}
    assert node.fills(5, 9, 15) == []


def test_one_outlier_either_way_is_nothing():
    node = Bin()
    for outlier in (0, 99, 5, 100):
        assert node.fills(50, 51, outlier, 52, 53) == []
    assert node.judge.level == 53


def test_a_fall_that_ends_above_half_is_no_emptying():
    assert Bin().fills(95, 95, 70, 70) == [(FULL, RAISED), (FULL, CLEARED)]


def test_full_that_becomes_nearly_full_is_told_as_held():
    node = Bin()
    assert node.fills(80, 81, 91, 92) == [(NEARLY_FULL, RAISED), (FULL, RAISED)]
    assert node.fills(79) == [(FULL, CLEARED)]
    assert node.judge.on_wire(FULL, CLEARED) == (events.FULL, events.NOTICE, HELD)
    assert node.fills(64) == [(NEARLY_FULL, CLEARED)]
    assert node.judge.on_wire(NEARLY_FULL, CLEARED) == (events.FULL, events.NOTICE, CLEARED)
    assert node.judge.on_wire(FULL, CLEARED) == (events.FULL, events.WARNING, CLEARED)


def test_codes_are_those_of_the_wire_and_each_has_one():
    for code in range(len(events.WIRE)):
        ident, severity = events.WIRE[code]
        assert ident in CODES and 0 <= severity <= 3 and (ident == code or code in (NEARLY_FULL, MOVED))


def test_a_level_that_is_not_the_wastes_is_not_judged():
    node = Bin()
    node(50)
    for _ in range(5):
        assert node(100, quality=OPEN_LID) in ([], [(LID_OPEN, RAISED)])
    assert node(51) == [(LID_OPEN, CLEARED)] and node.judge.level == 51


def test_a_tilt_over_confirms_an_emptying_at_once_and_a_small_one_too():
    node = Bin()
    node(60, tilt=3)
    assert node(None, tilt=110) == [] and node.judge.hurry
    assert node(3, tilt=3) == [(EMPTIED, RAISED)]
    node(18, tilt=3)
    node(NO_ECHO, tilt=95)
    assert node(8, tilt=3) == [(EMPTIED, RAISED)]
    assert node(30, tilt=3) == [] and node.judge.hurry  # nothing was tipped since


def test_a_bin_that_lies_is_tilted_and_one_that_stands_elsewhere_has_moved():
    node = Bin()
    node(tilt=4)
    assert node(tilt=80) == [] and node(tilt=82) == [(TILTED, RAISED)]
    assert node(tilt=4) == [] and node(tilt=5) == [(TILTED, CLEARED)]
    assert node(tilt=14) == [] and node(tilt=15) == [(MOVED, RAISED)]
    assert [node(tilt=14), node(tilt=16)] == [[], []]
    assert node(tilt=FAULT, quality=FAULTY_PART) == []


def test_a_fire_is_told_by_its_heat_and_by_its_rise():
    for step_s, step_half_c in ((120, 14), (300, 30)):
        node = Bin(step_s)
        for step in range(6):
            half_c = 40 + step * step_half_c
            codes = node(half_c=half_c)
            if codes:
                break
        assert codes == [(FIRE, RAISED)] and half_c < 150 and node.found[0][2] == {TEMPERATURE: half_c, FILL: 50}
    slow = Bin(3600)
    assert [slow(half_c=half_c) for half_c in (40, 90, 130, 151, 152)] == [[], [], [], [], [(FIRE, RAISED)]]


def test_the_temperature_alone_tells_it_from_its_five_bytes():
    first = Judge(SETTINGS)
    first.sample(1000, 40, 700, 40, None, 0, None)
    kept = first.pack()
    for at, half_c in ((1120, 100), (1240, 140)):
        other = Judge(SETTINGS)
        other.unpack(kept[: events.FAST])
        found = other.sample(at, None, None, half_c, None, 0, None)
        assert other.pack()[events.FAST :] == Judge(SETTINGS).pack()[events.FAST :]
        kept = other.pack()
    assert [event[:2] for event in found] == [(FIRE, RAISED)]


def test_it_looks_again_soon_while_it_warms_up_and_no_more_when_it_does_not():
    node = Bin(120)
    for half_c, wanted in ((40, 120), (47, 120), (48, 30), (50, 120), (58, 30)):
        node(half_c=half_c)
        assert node.judge.heat_s == wanted, half_c
    assert Judge(SETTINGS).heat_s == SETTINGS["heat_s"]


def test_a_smoulder_is_told_by_looks_of_thirty_seconds_and_an_older_look_counts_for_less():
    node = Bin(120)
    node(half_c=40)
    node(half_c=40)
    node.step_s = 30
    assert [node(half_c=half_c) for half_c in (48, 53, 58, 63)] == [[]] * 4
    node.step_s = 3
    assert node(half_c=64) == [] and node(half_c=64) == [(FIRE, RAISED)]
    late = Bin(480)
    assert late(half_c=40) == late(half_c=87) == late(half_c=87) == []  # 23.5 degC in eight minutes
    late = Bin(480)
    assert late(half_c=40) == late(half_c=90) == []
    late.step_s = 3
    assert late(half_c=90) == [(FIRE, RAISED)]


def test_a_fire_that_goes_on_smouldering_stands_and_a_hot_day_ends_it():
    node = Bin(120)
    said = [node(half_c=half_c) for half_c in (40, 70, 70)]
    assert said[2] == [(FIRE, RAISED)]
    assert [event for _ in range(60) for event in node(half_c=70)] == []  # two hours, 15 degC above what was before
    said = [event for _ in range(600) for event in node(half_c=70)]
    assert said == [(FIRE, CLEARED)]
    node(half_c=71)
    assert node.judge.heat_s == 120


def test_a_warm_day_and_a_lid_in_the_sun_are_no_fire():
    node = Bin(120)
    half_c = 30
    for minute in range(0, 240, 2):
        half_c += 2 if minute < 80 else 0  # 1 degC in two minutes, up to 55 degC
        assert node(half_c=half_c) == []


def test_a_thermometer_that_falls_silent_in_the_heat_says_yes_and_one_that_is_broken_does_not():
    node = Bin(120)
    node(half_c=40)
    assert node(half_c=152) == []
    assert node(half_c=FAULT) == [(FIRE, RAISED)]
    assert [code for _ in range(9) for code, _ in Bin(120)(half_c=FAULT)] == []


def test_a_fire_clears_when_it_has_long_been_cold():
    node = Bin(120)
    [node(half_c=half_c) for half_c in (40, 160, 170)]
    said = [node(half_c=50) for _ in range(40)]
    assert said.count([(FIRE, CLEARED)]) == 1 and sum(map(len, said)) == 1
    assert said.index([(FIRE, CLEARED)]) >= 4


def test_a_silent_part_is_a_fault_after_three_samples_and_a_deaf_one_after_twelve():
    for values, wanted in (
        ({"fill": FAULT, "quality": FAULTY_PART}, 3), ({"half_c": FAULT}, 3), ({"fill": NO_ECHO}, 12),
        ({"fill": NO_ECHO, "quality": COVERED}, 12),
    ):  # fmt: skip
        node = Bin()
        node()
        said = [node(**values) for _ in range(20)]
        assert [(SENSOR_FAULT, RAISED)] in said and said.index([(SENSOR_FAULT, RAISED)]) == wanted - 1
        assert sum(map(len, said)) == 1
        assert [event for _ in range(3) for event in node()] == [(SENSOR_FAULT, CLEARED)]


def test_a_ranger_that_never_varies_is_stuck_and_says_what_it_shows():
    judge = Judge(SETTINGS)
    said = []
    for hour in range(60):
        again = Judge(SETTINGS)
        again.unpack(judge.pack())
        judge = again
        for code, state, evidence in judge.sample(hour * 3600, 50, 600, 20, 4, 0, None, 777):
            said.append((hour, code, state, evidence.get(TROUBLE), evidence.get(RAW)))
    assert said == [(49, SENSOR_FAULT, RAISED, AT_DISTANCE | STUCK, 777)] and judge.stuck
    assert (
        judge.sample(0, 95, 300, 20, 4, 0, None, 777) == [] == judge.sample(0, 95, 300, 20, 4, 0, None, 777)
    )  # no full
    assert [judge.sample(0, 50, 600, 20, 4, 0, None, None) for _ in range(3)][2][0][:2] == (SENSOR_FAULT, CLEARED)
    assert not judge.stuck
    for hour in range(200):  # a very still bin, and one echo a day that is otherwise
        assert judge.sample(hour * 3600, 50, 600, 20, 4, 0, None, None if hour % 24 == 0 else 777) == []


def test_a_tilt_over_that_changes_nothing_counts_for_a_day():
    judge = Judge(SETTINGS)
    for hour in range(2):
        judge.sample(hour, 50, 600, 20, 4, 0, None, 777)
        judge.sample(hour, NO_ECHO, 600, 20, 100, NOT_UPRIGHT, None, 777)
        assert judge.sample(hour, 50, 600, 20, 4, 0, None, 777) == []
    assert judge.stuck
    judge = Judge(SETTINGS)
    for hour in range(9):  # one that lies is not tipped again and again
        judge.sample(hour, NO_ECHO, 600, 20, 100, NOT_UPRIGHT, None, 777)
    assert not judge.stuck


def test_a_low_battery_lasts_days_and_passivation_or_frost_does_not():
    node = Bin(86400)
    assert [node(battery_mv=mv) for mv in (3620, 3150, 3280, 3600, 3610)] == [[]] * 5  # the first pulses after a winter
    assert [node(half_c=-40, battery_mv=3240) for _ in range(9)] == [[]] * 9  # -20 degC
    assert [node(half_c=40, battery_mv=mv) for mv in (3290, 3280, 3270, 3260)] == [[], [], [], [(BATTERY_LOW, RAISED)]]
    assert node.found[0][2] == {BATTERY: 326}
    assert node.judge.days_left == 34000 * 10 * 5 // 5000
    node(half_c=40, battery_mv=3150)
    assert node.judge.days_left == 34000 * 10 * 3 // 5000
    assert [node(battery_mv=3620), node(battery_mv=3620)] == [[], [(BATTERY_LOW, CLEARED)]]
    assert node.judge.days_left is None


def test_nothing_measured_says_nothing():
    node = Bin()
    for _ in range(30):
        assert node(fill=NOT_FITTED, half_c=NOT_FITTED, battery_mv=FAULT) == []


def test_what_was_kept_by_another_version_begins_anew():
    judge = Judge(SETTINGS)
    fresh = judge.pack()
    for data in (b"", bytes(7), bytes(40)):
        judge.unpack(data)
        assert judge.pack() == fresh
