"""The bench of a street that runs the lamps' own program: it counts as the bench of the control does, and agrees with it."""

from dataclasses import replace

import pytest

from kerbtools.bench.lighting import boards, firmware


def test_steps_of_a_tenth_of_a_second_are_ramps() -> None:
    steps = [(1_000_000_000 + 100_000 * tick, percent) for tick, percent in enumerate((40, 60, 80, 100))]
    steps += [(1_030_000_000, 90), (1_030_100_000, 80), (1_030_200_000, 85), (1_090_000_000, 0)]
    assert firmware._ramps(steps, 1000) == [  # type: ignore[attr-defined]
        (-100, 100, 0, 40), (0, 40, 300, 100), (29_900, 100, 30_100, 80), (30_100, 80, 30_200, 85),
        (89_900, 85, 90_000, 0),
    ]  # fmt: skip


@pytest.mark.soak
def test_a_night_of_the_program_is_that_of_the_control() -> None:
    for case in firmware.cases()[:2]:
        row = firmware.row(replace(case, night=replace(case.night, columns=4)))
        assert row["failed"] == 0 and row["daylight_lamp_hours"] == 0, row
        assert abs(float(str(row["saving_percent"])) - float(str(row["of_the_bench_of_control"]))) <= 0.5, row
        whole, living = str(row["logs_whole_by_10"]).split(" of ")
        assert whole == living and float(str(row["stood_too_dark_percent"])) < 0.5, row


@pytest.mark.soak
def test_boards_light_up_in_time_and_tell_each_other() -> None:
    (row,) = boards.rows(4, 4)
    for name in ("ramps", "full", "told", "next_is_full", "two_ahead_is_full"):
        assert float(str(row[f"{name}_s_longest"])) <= float(str(row[f"{name}_bar_s"])), row
