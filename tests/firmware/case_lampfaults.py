"""The faults of luminaire, driver, relay and heat: each row of the table raised and cleared within its time."""

from faulty_lamp import HOUR_S, Lamp, check

from kerbnode.lamp import control
from kerbnode.lamp import faults as lampfaults
from kerbnode.lamp.faults import BURNS, DEAF, GEAR, HOT, MUTE, OUT, RELAY, ROWS
from kerbwire.channels import AT_DIMMER, FAULT, LEVEL, POWER, RAW, SILENT, STUCK, SUPPLY, TEMPERATURE, TROUBLE
from kerbwire.events import CODES, Event


def test_the_table_fits_the_wire():
    for code, severity, _, raise_at, clear_at in ROWS:
        assert code in CODES and 0 <= severity <= 3 and raise_at and clear_at
    assert len(ROWS) == 16


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
