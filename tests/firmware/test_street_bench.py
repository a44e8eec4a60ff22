"""The bench of a street that runs the lamps' own program: it counts as the bench of the control does, and agrees with it."""

from dataclasses import replace
from pathlib import Path

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
@pytest.mark.timeout(900)
def test_boards_show_what_native_lamps_show_to_the_second(tmp_path: Path) -> None:
    """Three columns, a night with 9 passages an hour, nothing lost: the same levels at the same seconds. At dusk a
    BH1750 rounds a lux away, which moves it by one of the scene's steps of ten seconds."""
    case = firmware.cases()[1]
    case = replace(case, night=replace(case.night, columns=3), deaf=False)
    native, boards_ = (firmware.Walk(case, tmp_path / str(on), on, 0.0) for on in (False, True))
    native.run()
    boards_.run()
    for place in range(3):
        one, other = (settled(walk.steps[place]) for walk in (native, boards_))
        assert [percent for _, percent in one] == [percent for _, percent in other], place
        moved_s = [abs(at_us - other_us) / 1e6 for (at_us, _), (other_us, _) in zip(one, other, strict=True)]
        assert len(moved_s) > 60 and max(moved_s[3:]) <= 1 and max(moved_s) <= 11, moved_s


def settled(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The levels that a lamp came to and stayed at for a second, and when."""
    after = [*(at_us for at_us, _ in steps[1:]), 1 << 62]
    return [step for step, next_us in zip(steps, after, strict=True) if next_us - step[0] >= 1_000_000]


@pytest.mark.soak
def test_boards_light_up_in_time_and_tell_each_other() -> None:
    (row,) = boards.rows(4, 4)
    for name in ("ramps", "full", "told", "next_is_full", "two_ahead_is_full"):
        assert float(str(row[f"{name}_s_longest"])) <= float(str(row[f"{name}_bar_s"])), row
