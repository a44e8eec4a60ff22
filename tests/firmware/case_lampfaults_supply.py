"""The faults of the supply: volts, dips, a supply that was lost or is switched, and a lamp that goes out and back."""

from faulty_lamp import HOUR_S, Lamp, check

from kerbnode.lamp import faults as lampfaults
from kerbnode.lamp.faults import CLEARED, CYCLES_ROW, DIM, DIPPED, HIGH, LOST, RAISED, Judge
from kerbnode.lamp.meter import NIGHTS
from kerbwire.channels import FAULTS, RAW, SUPPLY


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
