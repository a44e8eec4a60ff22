"""The faults of a lamp: every row of the table raised and cleared within its time, and what must raise none."""

from kerbnode import control, lampfaults
from kerbnode.lampfaults import (
    BURNS,
    CELL,
    CLEARED,
    CYCLES_ROW,
    DEAF,
    DIM,
    DIPPED,
    EYE,
    GEAR,
    HIGH,
    HOT,
    LOST,
    MUTE,
    OUT,
    PART,
    PARTIAL,
    RAISED,
    RELAY,
    ROWS,
    Judge,
)  # fmt: skip
from kerbnode.meter import NIGHTS, Baseline, Energy
from kerbwire.channels import (
    AT_DIMMER,
    AT_LIGHT,
    AT_PRESENCE,
    ENERGY,
    FAULT,
    FAULTS,
    LEVEL,
    NOT_FITTED,
    POWER,
    RAW,
    SILENT,
    STUCK,
    SUPPLY,
    TEMPERATURE,
    TROUBLE,
)  # fmt: skip
from kerbwire.events import CODES, Event

HOUR_S = 3600
WATTS = 60


class Thing:
    def __init__(self, **values):
        for name in values:
            setattr(self, name, values[name])


class Lamp:
    """A luminaire, its parts and its control, as Judge.look sees them; run() lets time pass."""

    def __init__(self, switched=False):
        self.judge = Judge({"supply_switched": int(switched)})
        self.now_s = 1000
        self.level = 0
        self.share = 100  # percent of its light sources that work
        self.dead = False
        self.closed = True
        self.power_mw = None  # a value that a test puts there
        self.supply_mv = 231000
        self.celsius = NOT_FITTED
        self.gear = self.status = 0
        self.troubles = []
        self.energy_wh = NOT_FITTED
        self.lamp = Thing(
            ramp=Thing(level=0),
            state=control.DAY,
            night=Thing(is_night=False, faults=0, source=2, doubts=False),
            presence=Thing(verdict=0),
        )
        self.told = []

    @property
    def is_closed(self):
        return self.closed

    @property
    def power_s(self):
        return self.now_s

    def watts(self):
        if self.power_mw is not None:
            return self.power_mw
        if self.dead or not self.closed or self.supply_mv < 100000:
            return 0
        light = self.level * self.share
        return 500 + (WATTS * 50 + WATTS * 95 * light // 1000 if light else 0)

    def look(self):
        self.lamp.ramp.level = self.level
        here = Thing(
            power_mw=self.watts(), power_s=self.now_s, supply_mv=self.supply_mv, energy_wh=self.energy_wh,
            celsius=self.celsius, gear=self.gear, status=self.status, troubles=self.troubles, is_closed=self.closed,
            values=self.values,
        )  # fmt: skip
        found = self.judge.look(self.now_s, here, self.lamp)
        self.told += found
        return found

    def values(self):
        return {POWER: (self.watts() + 50) // 100, ENERGY: self.energy_wh, SUPPLY: (self.supply_mv + 500) // 1000}

    def run(self, seconds, step_s=10):
        """Seconds until the first event, or None; all of them pass."""
        first = None
        start_s = self.now_s
        while self.now_s < start_s + seconds:
            if self.look() and first is None:
                first = self.now_s - start_s
            self.now_s += step_s
        return first

    def dusk(self):
        self.lamp.night.is_night, self.lamp.state, self.level = True, control.IDLE, 30

    def dawn(self):
        self.lamp.night.is_night, self.lamp.state, self.level = False, control.DAY, 0

    def night(self, hours=4, step_s=240):
        self.dusk()
        for level in (30, 100) * (hours // 2):
            self.level = level
            self.run(HOUR_S, step_s)
        self.dawn()
        self.run(600, step_s)

    def learnt(self):
        for _ in range(NIGHTS):
            self.night()
        assert self.told == []
        return self

    def lit(self, level=100):
        self.dusk()
        self.level = level
        self.run(600)
        return self

    def codes(self):
        return [(event[0], event[3][FAULTS], event[2]) for event in self.told]


def test_the_table_fits_the_wire():
    for code, severity, _, raise_at, clear_at in ROWS:
        assert code in CODES and 0 <= severity <= 3 and raise_at and clear_at
    assert len(ROWS) == 16


def check(lamp, row, within_s, mend, clear_s=None, step_s=10):
    """A row is raised within its time, as an event that the wire takes, and cleared within its time."""
    del lamp.told[:]
    code, severity, bit, _, clear_at = ROWS[row]
    lamp.run(within_s, step_s)
    found = [event for event in lamp.told if event[0] == code]
    assert found and found[0][2] == RAISED and found[0][1] == severity, (row, lamp.told)
    assert lamp.judge.is_raised(row)
    assert lamp.judge.flags & bit == bit
    evidence = found[0][3]
    Event(1, 2, code, severity, RAISED, evidence).pack()
    mend()
    del lamp.told[:]
    lamp.run(clear_s or 2 * clear_at, step_s)
    assert not lamp.judge.is_raised(row) and [event[2] for event in lamp.told if event[0] == code] == [CLEARED]
    assert lamp.judge.flags & bit == 0
    return evidence


def test_a_light_source_that_fails_is_told_in_ten_minutes_by_its_power():
    lamp = Lamp().learnt().lit()
    lamp.share = 0
    evidence = check(lamp, OUT, 620, lambda: setattr(lamp, "share", 100))
    assert evidence[LEVEL] == 100 and evidence[POWER] < 100 and evidence[SUPPLY] == 231


def test_and_by_what_its_driver_says_before_anything_is_learnt():
    lamp = Lamp().lit(30)
    lamp.status = 2
    check(lamp, OUT, 620, lambda: setattr(lamp, "status", 0))
    lamp.gear = 4
    check(lamp, OUT, 620, lambda: setattr(lamp, "gear", 0))


def test_a_lamp_that_never_burnt_is_found_at_half_light_or_more():
    lamp = Lamp()
    lamp.share = 0
    lamp.lit(60)
    assert lamp.run(300) is not None and lamp.judge.is_raised(OUT)


def test_a_driver_that_takes_nothing_is_told_in_ten_minutes():
    lamp = Lamp().lit()
    lamp.dead = True
    check(lamp, GEAR, 620, lambda: setattr(lamp, "dead", False))
    lamp.status = 1
    check(lamp, GEAR, 620, lambda: setattr(lamp, "status", 0))


def test_a_driver_that_says_nothing_or_takes_no_level_is_told_in_fifteen_minutes():
    lamp = Lamp().learnt().lit()
    lamp.troubles = [(AT_DIMMER | SILENT, 7)]
    evidence = check(lamp, MUTE, 920, lambda: setattr(lamp, "troubles", []))
    assert evidence[TROUBLE] == AT_DIMMER | SILENT and evidence[RAW] == 7
    lamp.troubles, lamp.status = [(AT_DIMMER | STUCK, 254)], 4
    check(lamp, DEAF, 920, lambda: setattr(lamp, "troubles", []))
    lamp.lit(30)
    lamp.power_mw, lamp.status = 60000, 0  # the dimming line is open
    check(lamp, DEAF, 920, lambda: setattr(lamp, "power_mw", None))


def test_full_light_says_nothing_of_a_dimming_line():
    lamp = Lamp().learnt().lit(30)
    lamp.power_mw = 60500
    for _ in range(6):
        lamp.level = 30
        lamp.run(200)
        lamp.level = 100
        lamp.run(900)
    assert lamp.judge.is_raised(DEAF)


def test_a_lamp_that_burns_against_its_level_is_told_in_half_an_hour():
    lamp = Lamp().learnt()
    lamp.power_mw = 30000
    check(lamp, BURNS, 1820, lambda: setattr(lamp, "power_mw", None))


def test_a_relay_that_does_not_open_is_told_in_five_minutes():
    lamp = Lamp().learnt()
    lamp.closed, lamp.power_mw = False, 59000
    check(lamp, RELAY, 320, lambda: setattr(lamp, "power_mw", None))
    assert not lamp.judge.is_raised(BURNS)


def test_volts_out_of_range_are_told_in_ten_minutes():
    lamp = Lamp().lit()
    lamp.supply_mv = 200000
    assert check(lamp, DIM, 620, lambda: setattr(lamp, "supply_mv", 231000))[SUPPLY] == 200
    lamp.supply_mv = 255000
    check(lamp, HIGH, 620, lambda: setattr(lamp, "supply_mv", 231000))


def test_no_volts_are_told_in_half_a_minute_unless_a_cabinet_took_them():
    lamp = Lamp().lit()
    lamp.supply_mv = 0
    check(lamp, LOST, 50, lambda: setattr(lamp, "supply_mv", 231000))
    switched = Lamp(switched=True).lit()
    switched.supply_mv = 0
    switched.run(HOUR_S)
    assert switched.told == []


def test_a_supply_that_was_lost_is_told_afterwards_unless_it_is_switched():
    lamp = Lamp()
    (event,) = lamp.judge.start(0, True, 7200)
    assert event == (lampfaults.SUPPLY_LOW, lampfaults.NOTICE, RAISED, {FAULTS: 256, SUPPLY: 0})
    lamp.run(60)
    assert [event[2] for event in lamp.told] == [CLEARED]
    assert Lamp(switched=True).judge.start(0, True, 7200) == []
    assert Lamp().judge.start(0) == []


def test_a_switched_lamp_learns_and_judges_over_its_mornings():
    """Each morning it loses its mains and all that is not kept; the kept state carries the night over."""
    lamp = Lamp(switched=True)
    kept = b""
    for night in range(NIGHTS + 3):
        lamp.judge = Judge({"supply_switched": 1})
        lamp.judge.unpack(kept)
        lamp.told += lamp.judge.start(0, bool(night), None)
        lamp.now_s = 10
        lamp.share = 75 if night >= NIGHTS else 100
        lamp.dusk()
        lamp.level = 100
        lamp.run(4 * HOUR_S, 60)
        assert lamp.judge.dirty
        kept = lamp.judge.pack()
    lamp.told += lamp.judge.start(0, True, None)
    assert [(event[0], event[3][FAULTS]) for event in lamp.told] == [(lampfaults.LAMP_FAILURE, 128)]


def test_a_string_that_is_dark_is_told_after_three_nights():
    lamp = Lamp().learnt()
    lamp.share = 80
    for night in range(3):
        assert lamp.told == [], night
        lamp.night()
    code, _, state, evidence = lamp.told[0]
    assert (code, state) == (lampfaults.LAMP_FAILURE, RAISED) and lamp.judge.flags == 128
    assert evidence[LEVEL] in (30, 100) and evidence[POWER] > 0
    lamp.share = 100
    lamp.night()
    lamp.night()
    assert [event[2] for event in lamp.told] == [RAISED, CLEARED]


def test_what_is_broken_is_not_learnt():
    lamp = Lamp().learnt()
    before = lamp.judge.baseline.expected_mw(100)
    lamp.share = 80
    for _ in range(12):
        lamp.night()
    assert lamp.judge.baseline.expected_mw(100) == before and lamp.judge.is_raised(PARTIAL)


def test_slow_drift_is_followed():
    lamp = Lamp().learnt()
    for percent in range(100, 90, -1):
        lamp.share = percent
        for _ in range(20):
            lamp.night(hours=4, step_s=290)
    assert lamp.told == []


def flicker(lamp, times, supply_mv=231000):
    """A night in which the lamp goes out so many times for a minute."""
    lamp.dusk()
    lamp.level = 100
    for _ in range(times):
        lamp.run(300)
        lamp.share, lamp.supply_mv = 0, supply_mv
        lamp.run(60)
        lamp.share, lamp.supply_mv = 100, 231000
    lamp.run(4 * HOUR_S, 60)
    lamp.dawn()
    lamp.run(600, 60)


def test_a_lamp_that_goes_out_and_comes_back_is_told_after_two_nights_or_twenty_times():
    lamp = Lamp().learnt()
    flicker(lamp, 4)
    assert lamp.told == []
    flicker(lamp, 5)
    assert lamp.codes() == [(lampfaults.CYCLING, 8, RAISED)] and lamp.told[0][3][RAW] == 5
    for _ in range(3):
        lamp.night()
    assert lamp.codes()[1:] == [(lampfaults.CYCLING, 0, CLEARED)]
    flicker(lamp, 20)
    assert lamp.judge.is_raised(CYCLES_ROW)


def test_a_storm_on_the_mains_is_no_cycling_lamp():
    lamp = Lamp().learnt()
    for _ in range(2):
        flicker(lamp, 25, supply_mv=150000)
    assert not lamp.judge.is_raised(CYCLES_ROW) and lamp.judge.flags == 0


def test_dips_of_three_nights_in_a_row_are_a_notice():
    lamp = Lamp().learnt()
    for night in range(3):
        assert not lamp.judge.is_raised(DIPPED), night
        lamp.dusk()
        for _ in range(31):
            lamp.supply_mv = 190000
            lamp.run(10)
            lamp.supply_mv = 231000
            lamp.run(300)
        lamp.run(2 * HOUR_S)
        lamp.dawn()
        lamp.run(600)
    assert lamp.judge.is_raised(DIPPED) and lamp.told[0][1] == lampfaults.NOTICE and lamp.told[0][3][RAW] == 31


def test_a_photocell_that_is_wrong_on_three_mornings_is_told():
    lamp = Lamp().learnt()
    lamp.lamp.night.faults = 1
    for night in range(3):
        assert not lamp.judge.is_raised(CELL), night
        lamp.night()
    assert lamp.codes() == [(lampfaults.PHOTOCELL_FAULT, 0, RAISED)]
    lamp.lamp.night.faults = 0
    lamp.night()
    assert lamp.codes()[1][2] == CLEARED


def test_and_on_fifteen_where_clock_and_sun_decide():
    lamp = Lamp().learnt()
    lamp.lamp.night.faults, lamp.lamp.night.source = 1, 0
    for night in range(15):
        assert not lamp.judge.is_raised(CELL), night
        lamp.night(hours=4, step_s=300)
    assert lamp.judge.is_raised(CELL)


def test_a_presence_sensor_that_is_stuck_for_most_of_seven_nights_is_told_and_one_that_is_blind_at_once():
    lamp = Lamp().learnt()
    lamp.lamp.presence.verdict = 1
    for night in range(7):
        assert not lamp.judge.is_raised(EYE), night
        lamp.night()
    assert lamp.told[0][3][TROUBLE] == AT_PRESENCE | STUCK
    lamp.lamp.presence.verdict = 0
    lamp.night()
    lamp.lamp.presence.verdict = 2
    lamp.night()
    assert [event[2] for event in lamp.told] == [RAISED, CLEARED, RAISED]


def test_a_part_that_says_nothing_is_told_after_an_hour_and_a_gust_of_noise_is_not():
    lamp = Lamp().learnt().lit()
    lamp.troubles = [(AT_LIGHT | SILENT, 19)]
    lamp.run(3000)
    lamp.troubles = []
    lamp.run(60)
    assert lamp.told == []
    lamp.troubles = [(AT_LIGHT | SILENT, 19)]
    evidence = check(lamp, PART, 3620, lambda: setattr(lamp, "troubles", []))
    assert evidence[TROUBLE] == AT_LIGHT | SILENT and evidence[RAW] == 19


def test_heat_takes_light_away_and_gives_it_back_and_never_all_of_it():
    lamp = Lamp().lit()
    lamp.celsius = 80
    lamp.run(360)
    assert 65 <= lamp.judge.heat_cap <= 75
    lamp.run(3 * HOUR_S)
    assert lamp.judge.heat_cap == lampfaults.LEAST_CAP and lamp.judge.is_raised(HOT)
    assert lamp.told[0][3][TEMPERATURE] == 160
    assert Event(1, 2, *lamp.told[0][:3], lamp.told[0][3]).pack()
    lamp.celsius = 73
    lamp.run(HOUR_S)
    assert lamp.judge.heat_cap == lampfaults.LEAST_CAP
    lamp.celsius = 50
    lamp.run(3 * HOUR_S)
    assert lamp.judge.heat_cap == 100 and not lamp.judge.is_raised(HOT)
    lamp.celsius = FAULT
    lamp.run(60)
    assert lamp.judge.heat_cap == 100


def test_heat_beyond_what_the_wire_holds_is_told_as_its_most():
    lamp = Lamp().lit()
    lamp.celsius = 190
    lamp.run(1000)
    assert lamp.told[0][3][TEMPERATURE] == 250
    Event(1, 2, *lamp.told[0][:3], lamp.told[0][3]).pack()


def test_a_sound_lamp_raises_nothing_in_a_month_of_all_levels():
    lamp = Lamp()
    for day in range(30):
        lamp.dusk()
        for level in (30, 100, 31, 60, 29, 100, 0, 30):
            lamp.level = level
            lamp.lamp.state = control.IDLE if level else control.DARK
            lamp.supply_mv = 231000 + (day * 7919 + level * 104729) % 9000 - 4500
            lamp.run(1800, 60)
        lamp.dawn()
        lamp.run(1200, 60)
    assert lamp.told == [] and lamp.judge.flags == 0


def test_a_commissioning_burn_begins_anew():
    lamp = Lamp().learnt()
    lamp.share = 50
    lamp.lit(100)
    for _ in range(3):
        lamp.night()
    assert lamp.judge.is_raised(PARTIAL)
    lamp.lamp.state, lamp.level = control.BURN, 100
    lamp.run(60)
    assert not lamp.judge.is_raised(PARTIAL) and lamp.judge.baseline.expected_mw(100) == 0
    for _ in range(6):
        lamp.night()
    assert lamp.judge.flags == 0


def test_what_is_kept_goes_on_and_rubbish_is_ignored():
    lamp = Lamp().learnt().lit()
    lamp.share = 0
    lamp.run(620)
    kept = lamp.judge.pack()
    assert len(kept) <= 94
    other = Judge({"supply_switched": 0})
    other.unpack(kept)
    assert other.flags == 1 and other.baseline.expected_mw(100) == lamp.judge.baseline.expected_mw(100)
    assert other.energy.total_wh == lamp.judge.energy.total_wh > 0
    assert other.pack() == kept
    for rubbish in (b"", b"\xff" * 3, kept[:20], kept + b"\x00"):
        fresh = Judge({"supply_switched": 0})
        fresh.unpack(rubbish)
        fresh.pack()


def test_levels_are_bounded_and_the_known_ones_stay():
    baseline = Baseline()
    for _ in range(NIGHTS):
        for level in (20, 100):
            for _ in range(20):
                baseline.learn(level, 1000 * level)
        baseline.night_over(True)
    for level in range(1, 100):
        baseline.learn(level, 5000)
    assert len(baseline.pack()) <= 7 * 8
    assert baseline.expected_mw(100) == 100000 and baseline.expected_mw(20) == 20000
    assert baseline.expected_mw(98) < 100000 and baseline.expected_mw(50) == 0 and baseline.least_mw() == 20000


def test_energy_is_the_drivers_own_where_it_counts_and_integrated_where_it_does_not():
    energy = Energy()
    for minute in range(61):
        energy.take(60 * minute, 100, 60000, NOT_FITTED)
    assert energy.total_wh == 60 and energy.by_level[10] == 60
    energy = Energy()
    for minute in range(61):
        energy.take(60 * minute, 50, 60000, 1000 + 2 * minute)
    assert energy.total_wh == 120 and energy.by_level[5] == 60
    energy.take(3660, 50, 60000, 3)  # another driver, or one that began anew
    assert energy.total_wh == 123
    energy.take(100000, 50, 60000, NOT_FITTED)  # a gap is no energy beyond a quarter of an hour
    assert energy.total_wh <= 123 + 15
