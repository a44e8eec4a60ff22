"""What a lamp learns of itself: the power of its levels, what fails in part, energy, and what is kept of it."""

from faulty_lamp import Lamp

from kerbnode.lamp import control
from kerbnode.lamp import faults as lampfaults
from kerbnode.lamp.faults import CLEARED, PARTIAL, RAISED, Judge
from kerbnode.lamp.meter import NIGHTS, Baseline, Energy
from kerbwire.channels import LEVEL, NOT_FITTED, POWER


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
