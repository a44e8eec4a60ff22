"""Health: a table of problems walked row by row on plain facts; and steps of a clock."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import SetClock

from kerbgate.service.facts import INLET, OUTLET, Facts, Link
from kerbgate.service.health import NEVER, PROBLEMS, STUCK_S, WRITER_S, Health
from kerbgate.service.service import count_pause_s
from kerbgate.service.steps import STEP_S, Steps

PAGE = (Path(__file__).parents[2] / "gateway" / "SERVICE.md").read_text()
UP = Link(OUTLET, "council", True, 1, 0)
GOOD = Facts(
    writer_alive=True,
    writer_idle_s=0.5,
    failing=None,
    synchronised=True,
    stepped_s_ago=None,
    links=(Link(INLET, "serial:/dev/x", True, 1, 5), UP),
    ended=(),
    failures={"inlet serial:/dev/x": (0, None)},
    refused={},
)


def changed(**fields: Any) -> Facts:
    return dataclasses.replace(GOOD, **fields)


def outlet(**fields: Any) -> Facts:
    return changed(links=(GOOD.links[0], dataclasses.replace(UP, **fields)))


BAD = {
    "writer_stuck": changed(writer_idle_s=WRITER_S + 1),
    "task_ended": changed(ended=("outlet council",)),
    "not_storing": changed(failing="disk full"),
    "inlet_down": changed(links=(Link(INLET, "serial:/dev/x", False, 1, 5, "gone"), UP)),
    "outlet_down": outlet(connected=False),
    "outlet_stuck": outlet(waiting=3),
    "outlet_warning": outlet(warning="nobody has subscribed"),
    "set_aside": outlet(set_aside=2, waiting=2),
    "task_failing": changed(failures={"outlet council": (1, "ValueError: x")}),
    "clock_unsynchronised": changed(synchronised=False),
    "clock_stepped": changed(stepped_s_ago=0.0),
    "unserved": changed(unserved="port 9619 is taken"),
}


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_problem_begins_becomes_grave_and_ends_at_its_time(code: str) -> None:
    kind = PROBLEMS[code]
    health = Health()
    assert health.look(GOOD, 0.0).began == () and health.well and health.vital
    began: float | None = None
    grave: float | None = None
    for second in range(1, 1200):
        changes = health.look(BAD[code], float(second))
        for problem in changes.began:
            assert problem.code == code and problem.hint and problem.cause
            began = began if began is not None else second - 1
            grave = second - 1 if problem.grave else grave
        if code in ("task_failing", "clock_stepped") and second > 30:
            break
    assert began == kind.after_s
    assert grave == (None if kind.grave_after_s == NEVER else kind.grave_after_s)
    assert health.well is (grave is None) and health.vital is not kind.vital
    solved = health.look(GOOD, 1300.0).solved
    if code != "task_failing":
        assert [problem.code for problem in solved] == [code] and health.well and health.vital and not health.open


def test_a_writer_that_ended_is_vital_and_a_silent_one_by_the_managers_patience() -> None:
    health = Health(watchdog_s=6.0)
    assert health.writer_s == 3.0 and Health(1.0).writer_s == 2.0 and Health(600.0).writer_s == WRITER_S
    health.look(changed(writer_idle_s=2.9), 0.0)
    assert health.vital
    health.look(changed(writer_idle_s=3.1), 1.0)
    assert not health.vital
    health.look(changed(writer_alive=False), 2.0)
    assert not health.vital


def test_what_a_restart_does_not_mend_leaves_the_watchdog_fed() -> None:
    health = Health()
    facts = changed(
        failing="disk full", synchronised=False, links=(BAD["inlet_down"].links[0], BAD["outlet_down"].links[1])
    )
    for second in range(2000):
        health.look(facts, float(second))
        assert health.vital
    assert not health.well


def test_an_outlet_that_moves_is_not_stuck_and_what_is_set_aside_does_not_wait() -> None:
    health = Health()
    for second in range(0, 1000):
        health.look(outlet(waiting=1000, moved=second // 60), float(second))
        assert health.well
    health = Health()
    for second in range(0, 1000):
        health.look(outlet(waiting=2, set_aside=2), float(second))
        assert health.well
    for second in range(1000, 1000 + int(STUCK_S) + 2):
        health.look(outlet(waiting=3, set_aside=2), float(second))
    assert not health.well


def test_an_outlet_does_not_look_stuck_for_a_count_that_is_old() -> None:
    assert [count_pause_s(took_s) for took_s in (0.0, 0.2)] == [10, 20]
    assert count_pause_s(100.0) < STUCK_S


def test_a_task_that_failed_long_ago_is_no_problem_any_more() -> None:
    health = Health()
    facts = BAD["task_failing"]
    assert [health.look(facts, at).began != () for at in (0.0, 10.0)] == [True, False]
    assert health.look(facts, 700.0).solved
    again = health.look(changed(failures={"outlet council": (2, "x")}), 701.0)
    assert again.began


def test_the_page_lists_the_problems() -> None:
    said = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \| (yes|no) \|$", PAGE, re.M)

    def delay(seconds: float) -> str:
        return "never" if seconds == NEVER else "at once" if not seconds else f"{seconds:.0f} s"

    assert said == [
        (code, kind.meaning, delay(kind.after_s), delay(kind.grave_after_s), "no" if kind.vital else "yes")
        for code, kind in PROBLEMS.items()
    ]


def test_a_clock_that_is_set_is_seen_and_one_that_runs_is_not() -> None:
    clock, steady = SetClock(1000.0), [50.0]
    steps = Steps(clock, lambda: steady[0])

    def later(seconds: float, utc: float) -> float | None:
        steady[0] += seconds
        clock.now += utc
        return steps.look()

    assert steps.look() is None
    assert later(1, 1) is None and later(60, 60.4) is None  # a slewed clock, and a look that came late
    assert later(1, 1 + 86400) == 86400 and later(1, 1) is None
    assert later(1, 1 - 86400) == -86400 and later(3600, 3600) is None
    assert later(1, 1 + STEP_S * 0.9) is None and later(1, 1 - STEP_S) == -STEP_S
    assert (steps.count, steps.last_s) == (3, -STEP_S)


def test_a_world_that_changes_its_pace_is_no_step() -> None:
    class World(SetClock):
        rate = 1.0

        def pace(self) -> float:
            return self.rate

    clock, steady = World(1000.0), [50.0]
    steps = Steps(clock, lambda: steady[0])
    steps.look()
    clock.rate, clock.now, steady[0] = 3600.0, 2000.0, 51.0
    assert steps.look() is None
    clock.now, steady[0] = 2000.0 + 3600, 52.0
    assert steps.look() is None
    clock.now, steady[0] = clock.now + 3600 + 86400, 53.0
    assert steps.look() == 86400
