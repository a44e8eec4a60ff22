"""The simulated truth behind `kerb bench levels`, and that the node's figures on it hold, on a small part."""

import random

from kerbtools.bench import levels, levels_world
from kerbwire.channels import NO_ECHO


def test_recorded_days_become_hours_between_their_steps():
    story = levels_world.from_days("bin", 0, [2, 4, 4, 8, 0, 2, 10], "seed")
    assert len(story.levels) == 6 * 24 and all(0 <= each <= 100 for each in story.levels)
    ends = story.levels[23::24]
    for end, (low, high) in zip(ends, ((40, 60), (40, 60), (80, 100), (0, 20), (20, 40), (97, 100)), strict=True):
        assert low - 0.001 <= end <= high + 0.001, ends
    (crew,) = story.emptied
    assert 3 * 24 + 6 <= crew <= 3 * 24 + 10 and story.levels[crew] < 10 < 75 < story.levels[crew - 1]
    assert all(after >= before - 0.001 for before, after in zip(story.levels, story.levels[1:crew], strict=False))


def test_echoes_have_the_noise_the_strays_and_the_silence_that_they_should():
    bin_ = levels_world.Bin("seed", 0, facet_mm=0)
    flat_mm = bin_.distance_mm(50)
    dice = random.Random(1)
    heard = []
    for hour in range(4000):
        readings, cover = bin_.echoes(hour * 3600, 50, 7)
        if not cover:
            heard += readings
    air = [1 - 0.00177 * (20 - bin_.celsius(hour * 3600)) for hour in dice.sample(range(4000), 200)]
    assert min(air) > 0.8 and len(heard) > 25_000
    assert abs(heard.count(NO_ECHO) / len(heard) - levels_world.NO_ECHO_SHARE) < 0.005
    strays = [each for each in heard if each != NO_ECHO and abs(each - flat_mm) > 0.15 * flat_mm]
    assert 0.6 * levels_world.STRAY_SHARE < len(strays) / len(heard) <= levels_world.STRAY_SHARE + 0.005


def test_the_node_is_right_on_a_few_weeks_of_the_workload():
    score = levels._run([levels_world.from_workload(seed) for seed in range(1, 121)])
    row = levels._level_row("days", score, "")
    assert row["truth"] == "simulated"
    assert row["median_error_percent"] <= levels.AIM_MEDIAN and row["p95_error_percent"] <= levels.AIM_P95
    assert score.covered_wrong == 0 and score.covered_told > 0.8 * score.covered > 0
    assert score.emptied_found == score.emptied > 20 and score.emptied_false == 0
    assert score.full_false == score.said_full_was_not == score.stuck_false == 0


def test_a_ranger_that_sticks_is_told_within_days_and_sooner_by_a_tilt():
    row = levels.stuck_row(10)
    assert (row["told"], row["before_they_stuck"]) == (10, 0)
    assert row["with_a_tilt_a_day_slowest_h"] < row["slowest_h"] <= 52


def test_every_fire_is_told_within_five_minutes_a_smoulder_too():
    rows = list(levels.fire_rows((5.0, 10.0, 120.0), 60))
    assert [row["fire_kelvin_a_minute"] for row in rows] == [5.0, 10.0, 120.0]
    for row in rows:
        assert row["told_within_5_min_share"] == 1.0 and row["before_it_was_lit"] == 0
    assert levels.FIRE_RATES[0] == 5.0


def test_a_dark_lid_in_the_sun_is_no_fire():
    row = levels.sun_row(levels_world.LIDS[0], 20, 160)
    assert row["false_fires"] == 0 and 4 < row["steepest_kelvin_in_4_min"] < row["limit_kelvin"]
    assert 0 < row["of_these_in_haste"] < 0.2 * row["looks_a_day"]
