"""A photocell that is latched by direction, and its own lamp's light."""

from kerbnode.lamp import photocell
from kerbnode.lamp.photocell import Photocell
from kerbwire.channels import FAULT

DUSK, DAWN = 70, 35


def run(cell, lights, start_s=0, step_s=60, percent=0):
    """Sample a list of light levels, a minute apart; returns the verdicts."""
    verdicts = []
    for place, lux in enumerate(lights):
        cell.sample(lux, percent, start_s + place * step_s)
        verdicts.append(cell.is_dark)
    return verdicts


def test_a_street_cell_switches_on_at_70_and_off_at_35():
    cell = Photocell(DUSK, DAWN)
    assert run(cell, [5000, 200, 71, 69, 69]) == [False, False, False, False, True]
    assert all(run(cell, [40, 20, 1, 0, 20, 34, 35], 300))
    assert run(cell, [36, 60, 400], 300 + 420) == [False, False, False]  # a minute past the level


def test_between_the_levels_the_direction_decides():
    falling, rising = Photocell(DUSK, DAWN), Photocell(DUSK, DAWN)
    run(falling, [200, 60, 50, 50])
    run(rising, [5, 36, 50, 50])
    assert falling.is_dark and not rising.is_dark  # the same 50 lux


def test_found_between_the_levels_it_is_dark_until_full_daylight():
    cell = Photocell(DUSK, DAWN)
    assert run(cell, [50, 60, 65, 71, 71, 71]) == [True, True, True, True, False, False]
    cell = Photocell(DUSK, DAWN)
    assert run(cell, [50, 30, 10, 36, 40, 40])[-1] is False  # it was dusk, and then dawn


def test_a_reading_that_fails_between_ends_no_darkness():
    cell = Photocell(DUSK, DAWN)
    run(cell, [0, 0, 0])
    run(cell, [FAULT], 600)
    assert cell.is_dark is None
    run(cell, [0], 660)
    assert cell.is_dark and cell.since_s == 0
    run(cell, [FAULT], 720)
    run(cell, [0], 720 + photocell.GAP_S + 60)  # for so long nobody knows what there was
    assert cell.is_dark and cell.since_s == 720 + photocell.GAP_S + 60
    run(cell, [FAULT], 10000)
    run(cell, [5000], 10060)
    assert cell.is_dark is False and cell.since_s == 10060


def test_headlights_and_clouds_that_pass_change_nothing():
    cell = Photocell(DUSK, DAWN)
    run(cell, [1, 1])
    for second in range(120, 400, 10):
        cell.sample(900 if second % 60 else 1, 0, second)
        assert cell.is_dark


def test_its_own_lamp_is_no_dawn():
    cell = Photocell(DUSK, DAWN)
    run(cell, [200, 60, 60])
    assert cell.is_dark
    cell.sample(60, 0, 1000)
    cell.sample(160, 100, 1001)  # the lamp comes on and gives it 100 lux
    assert cell.own_lux == 100
    assert all(run(cell, [110, 101, 100, 100], 1060, percent=100))
    assert run(cell, [100, 136, 137, 140], 2000, percent=100)[-1] is False  # dawn, on top of the own light


def test_light_that_hides_the_dawn_is_told():
    cell = Photocell(DUSK, DAWN)
    run(cell, [1, 1])
    cell.sample(1, 0, 1000)
    cell.sample(4 * DAWN + 2, 100, 1001)
    assert cell.is_blind()


def test_a_slow_change_of_level_teaches_nothing():
    cell = Photocell(DUSK, DAWN)
    run(cell, [1, 1])
    cell.sample(1, 0, 1000)
    cell.sample(500, 100, 1000 + photocell.LEARN_S + 1)
    assert cell.own_lux == 0


def test_a_fault_leaves_no_verdict():
    cell = Photocell(DUSK, DAWN)
    run(cell, [1, 1])
    cell.sample(FAULT, 0, 200)
    assert cell.is_dark is None
    assert run(cell, [5000], 300) == [False]


def test_what_was_taken_for_day_and_was_the_own_lamp_is_taken_back_at_once():
    cell = Photocell(70, 35)
    cell.sample(85, 100, 0)
    assert cell.is_dark is False
    cell.sample(0, 0, 1)
    assert cell.is_dark is True and cell.own_lux == 85
    day = Photocell(70, 35)
    day.sample(5085, 100, 0)
    day.sample(5000, 0, 1)
    assert day.is_dark is False and day.own_lux == 85


def test_a_lamp_that_goes_out_at_dawn_takes_back_no_day():
    """The look after it sees no step of its own light. Only a first verdict beside its own lamp is taken back."""
    for level in (20, 60, 100):
        cell, now_s = Photocell(70, 35), 0
        for lux in (0, 20, 36, 36, 36):
            cell.sample(lux, level, now_s)
            now_s += 60
        assert cell.is_dark is False and cell.turned_s == 180
        cell.sample(36, 0, now_s - 59)
        cell.sample(37, 0, now_s)
        assert cell.is_dark is False and cell.turned_s == 180, level
