"""The ladder: sun, switched supply, photocell, learnt night, else light; and what is wrong with a photocell."""

from kerbnode.lamp import night
from kerbnode.lamp.night import CELL, LEARNT, SUN, SUPPLY, UNKNOWN, Night
from kerbnode.lamp.photocell import Photocell
from kerbwire.channels import FAULT

NOON = 1772366400  # 2026-03-01 12:00 UTC
BRISTOL = (514500, -25900)
HOUR = 3600


def made(place=BRISTOL, switched=False):
    cell = Photocell(70, 35)
    return cell, Night(cell, place[0], place[1], -20, -30, switched)


def daylight(utc_s):
    """Lux of a plain day: bright from 7 to 18 UTC."""
    return 5000 if 7 * HOUR <= utc_s % 86400 < 18 * HOUR else 1


def run(ladder, cell, hours, start_s=0, utc_s=None, lux=daylight):
    """Minute by minute; returns the verdicts. lux: what the cell sees at all times, or by the true UTC."""
    nights = []
    for minute in range(hours * 60):
        now_s = start_s + minute * 60
        utc = None if utc_s is None else utc_s + minute * 60
        cell.sample(lux if isinstance(lux, int) else lux(NOON + now_s), 0, now_s)
        nights.append(ladder.decide(now_s, utc))
    return nights


def test_the_sun_decides_where_clock_and_place_are_known():
    cell, ladder = made()
    nights = run(ladder, cell, 24, 0, NOON, lux=FAULT)
    assert ladder.source == SUN and not nights[0] and nights[12 * 60]
    dusk, dawn = nights.index(True), nights.index(False, nights.index(True))
    assert 5 * 60 + 50 < dusk < 6 * 60 + 20 and 18 * 60 + 20 < dawn < 18 * 60 + 50  # some minutes beside sunset


def test_in_twilight_a_cell_mends_a_clock_that_is_wrong():
    for error_s in (-600, 0, 600):
        cell, ladder = made()
        nights = run(ladder, cell, 24, 0, NOON + error_s)
        dusk, dawn = nights.index(True), nights.index(False, nights.index(True))
        assert (dusk, dawn) == (6 * 60 + 1, 19 * 60 + 1), error_s  # by the light, a minute after it changed


def test_a_cell_that_is_covered_changes_nothing_under_a_sun_that_it_has_borne_out():
    cell, ladder = made()
    run(ladder, cell, 48, 0, NOON)
    nights = run(ladder, cell, 30, 48 * HOUR, NOON + 48 * HOUR, lux=0)
    assert not nights[1] and nights[12 * 60] and not nights[24 * 60]
    assert ladder.faults == night.COVERED


def test_a_cell_that_was_covered_before_it_saw_a_dusk_costs_a_day_of_light_and_no_more():
    cell, ladder = made()
    nights = run(ladder, cell, 72, 0, NOON, lux=0)
    assert all(nights[: night.LONGEST_NIGHT_S // 60])  # no clock is believed against it: it might be night
    assert ladder.faults == night.COVERED
    assert not any(nights[21 * 60 : 29 * 60]) and not any(nights[45 * 60 : 53 * 60])  # by day the sun decides again
    assert all(nights[32 * 60 : 41 * 60])


def test_a_clock_that_is_hours_wrong_puts_no_light_out():
    for start in (0, 12):  # by day, and by night
        for error in (-5, 2, 12):
            cell, ladder = made()
            nights = run(ladder, cell, 36, start * HOUR, NOON + (start + error) * HOUR)
            for minute in range(1, len(nights)):  # a level has to hold for a minute
                second = NOON + start * HOUR + minute * 60
                if daylight(second) < 35 and daylight(second - 60) < 35:
                    assert nights[minute], (start, error, minute)


def test_a_clock_that_is_set_by_hours_has_to_be_borne_out_anew():
    for error in (-3, 12):
        cell, ladder = made()
        run(ladder, cell, 48, 0, NOON)
        nights = run(ladder, cell, 30, 48 * HOUR, NOON + (48 + error) * HOUR)
        assert all(nights[6 * 60 + 10 : 18 * 60 + 50]), error  # of the true night nothing is dark
        nights = run(ladder, cell, 48, 78 * HOUR, NOON + 78 * HOUR)  # set right: at once by day, and by the sun
        assert not nights[18 * 60 + 60] and ladder.source == SUN, error
        nights = run(ladder, cell, 24, 126 * HOUR, NOON + 126 * HOUR, lux=0)
        assert not nights[18 * 60 + 60], error  # and borne out: a cover changes nothing again


def covered(utc_s):
    """Lux through leaves and dirt: a day from 9:30 to 15:30 UTC, three hours short on either side, and a dim one."""
    return 300 if 19 * HOUR <= 2 * (utc_s % 86400) < 31 * HOUR else 1


def by_day(nights, first_minute):
    """Minutes of light between 7:30 and 17:30 UTC. first_minute: from NOON."""
    return len([1 for at in range(len(nights)) if nights[at] and 450 <= (720 + first_minute + at) % 1440 < 1050])


def test_a_cell_that_is_partly_covered_costs_three_days_and_is_told():
    cell, ladder = made()
    nights = run(ladder, cell, 68, 0, NOON, covered)
    assert not ladder.faults and ladder.doubts and 590 <= by_day(nights, 0) <= 640
    nights = run(ladder, cell, 76, 68 * HOUR, NOON + 68 * HOUR, covered)  # from 8 o'clock: an hour and a half more
    assert ladder.faults == night.COVERED and ladder.source == SUN and not ladder.doubts
    assert by_day(nights[: 24 * 60], 68 * 60) <= 110 and by_day(nights[24 * 60 :], 92 * 60) == 0
    nights = run(ladder, cell, 48, 144 * HOUR, NOON + 144 * HOUR)  # the leaves are gone
    assert not ladder.faults and by_day(nights, 0) <= 2


def test_a_partly_covered_cell_that_a_dusk_has_borne_out_before_costs_nothing_and_is_told():
    cell, ladder = made()
    run(ladder, cell, 48, 0, NOON)
    nights = run(ladder, cell, 96, 48 * HOUR, NOON + 48 * HOUR, covered)
    assert ladder.faults == night.COVERED and by_day(nights, 0) == 0


def test_a_partly_covered_cell_bears_no_clock_out_that_shows_its_day_by_night():
    for error in (-5, 5, 12):
        cell, ladder = made()
        nights = run(ladder, cell, 144, 0, NOON + error * HOUR, covered)
        assert ladder.doubts, error
        for minute in range(len(nights)):
            assert nights[minute] or daylight(NOON + 60 * minute) > 35, (error, minute)


def test_a_bright_day_is_no_cover_s_whatever_season_the_clock_says():
    summer = NOON + 112 * 86400  # by this clock the sun sets at half past eight, and the cell's dusk is right
    cell, ladder = made()
    nights = run(ladder, cell, 120, 0, summer, lambda utc_s: 20 * daylight(utc_s))
    assert ladder.doubts and all(nights[6 * 60 + 1 : 19 * 60])


def test_a_step_of_the_clock_makes_the_nights_count_anew():
    cell, ladder = made()
    run(ladder, cell, 96, 0, NOON, covered)
    assert not ladder.doubts
    run(ladder, cell, 24, 96 * HOUR, NOON + 95 * HOUR, covered)
    assert ladder.doubts
    run(ladder, cell, 72, 120 * HOUR, NOON + 119 * HOUR, covered)
    assert not ladder.doubts and ladder.faults == night.COVERED


def test_a_supply_of_the_night_counts_for_more_than_a_clock_that_nothing_bears_out():
    cell, ladder = made(switched=True)
    assert all(run(ladder, cell, 3, 0, NOON, lux=FAULT)) and ladder.source == SUPPLY
    assert not any(run(ladder, cell, 3, 3 * HOUR, NOON))  # but with a cell that sees day there are two


def test_without_a_clock_the_cell_decides():
    cell, ladder = made()
    nights = run(ladder, cell, 24)
    assert ladder.source == CELL
    assert [not nights[0], nights[7 * 60], not nights[20 * 60]] == [True, True, True]


def test_a_start_by_night_is_no_dusk():
    cell, ladder = made()
    run(ladder, cell, 11, 8 * HOUR)  # from 20 UTC to the dawn
    nights = run(ladder, cell, 12, 19 * HOUR, lux=FAULT)  # the cell dies at dawn: nothing is learnt that could be night
    assert all(nights) and ladder.source == UNKNOWN


def test_a_covered_cell_is_left_for_the_learnt_night_and_no_day_burns():
    cell, ladder = made()
    run(ladder, cell, 48, 0, NOON)  # two days with a clock
    nights = run(ladder, cell, 72, 48 * HOUR, lux=0)  # then neither clock nor light
    assert ladder.faults & night.COVERED and ladder.source == LEARNT
    for hour in (24 + 1, 48 + 1, 24 + 3):  # noon, later the margin grows
        assert not nights[hour * 60], hour
    for hour in (24 + 8, 24 + 12, 24 + 17):
        assert nights[hour * 60], hour


def test_a_cell_that_sees_day_by_night_is_left_too():
    cell, ladder = made()
    run(ladder, cell, 48, 0, NOON, lux=500)
    assert ladder.faults & night.DISAGREES
    nights = run(ladder, cell, 24, 48 * HOUR, lux=500)
    assert ladder.source == LEARNT and nights[12 * 60]


def test_a_cell_in_a_light_is_not_followed_far_into_the_learnt_night():
    cell, ladder = made()
    run(ladder, cell, 48, 0, NOON)
    nights = run(ladder, cell, 24, 48 * HOUR, lux=500)  # neither clock nor truth
    dusk = nights.index(True)
    assert 6 * 60 <= dusk <= 7 * 60 and all(nights[dusk : 18 * 60])
    assert ladder.faults & night.DISAGREES


def test_a_cell_in_a_light_and_nothing_else_is_left_within_a_day():
    cell, ladder = made(place=(None, None))
    nights = run(ladder, cell, 48, lux=500)
    assert nights.index(True) == night.LONGEST_DAY_S // 60 and ladder.source == UNKNOWN
    nights = run(ladder, cell, 48, 48 * HOUR)  # mended: it sees a dusk and a dawn
    assert not ladder.faults and ladder.source == CELL and not nights[24 * 60] and nights[36 * 60]


def test_a_dusk_that_a_storm_made_early_is_learnt_anew_the_next_day():
    cell, ladder = made(place=(None, None))
    run(ladder, cell, 48)
    nights = []
    for minute in range(72 * 60):  # the first dusk comes 100 minutes early
        now_s = 48 * HOUR + minute * 60
        is_storm = 6 * 60 - 100 <= minute < 6 * 60
        cell.sample(1 if is_storm else daylight(NOON + now_s), 0, now_s)
        nights.append(ladder.decide(now_s, None))
    dusks = [minute - 6 * 60 for minute in range(1, len(nights)) if nights[minute] and not nights[minute - 1]]
    assert -100 <= dusks[0] <= -95
    assert dusks[1] >= 24 * 60 - 60 and 48 * 60 <= dusks[2] <= 48 * 60 + 2  # half an hour of doubt once, and no more
    assert not ladder.faults


def test_a_cell_that_agrees_again_is_believed_again():
    cell, ladder = made()
    run(ladder, cell, 24, 0, NOON, lux=0)
    assert ladder.faults & night.COVERED
    run(ladder, cell, 48, 24 * HOUR, NOON + 24 * HOUR)
    assert ladder.faults == 0


def test_a_switched_supply_is_night_without_a_clock():
    cell, ladder = made(switched=True)
    assert all(run(ladder, cell, 3))
    assert ladder.source == SUPPLY
    assert not run(ladder, cell, 1, 3 * HOUR, NOON)[0]  # a clock knows better: the cabinet is being worked at


def test_nothing_known_is_light():
    cell, ladder = made(place=(None, None))
    assert all(run(ladder, cell, 30, lux=FAULT)) and ladder.source == UNKNOWN
    cell, ladder = made(place=(None, None))
    assert ladder.decide(0, NOON) and ladder.source == UNKNOWN  # a clock without a place is none


def test_the_learnt_night_is_forgotten_in_the_end():
    cell, ladder = made()
    run(ladder, cell, 48, 0, NOON)
    cell.sample(FAULT, 0, 48 * HOUR)
    seen = set()
    for day in range(2, 2 + night.LEARNT_DAYS + 2):
        assert ladder.decide(day * 86400 + 12 * HOUR, None)  # midnight: always light
        seen.add(ladder.source)
    assert seen == {LEARNT, UNKNOWN} and ladder.source == UNKNOWN


def test_a_cell_in_a_long_winter_is_not_called_covered_before_its_time():
    cell, ladder = made(place=(None, None))
    run(ladder, cell, 19, lux=0)
    assert not ladder.faults
    run(ladder, cell, 2, 19 * HOUR, lux=0)
    assert ladder.faults == night.COVERED and ladder.is_night
