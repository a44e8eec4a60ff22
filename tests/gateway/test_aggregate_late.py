"""Roll-ups when what lies under them changes: late data of thinned days, another time zone, other groups, a restored store."""

import contextlib
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aggregate_harness import Desk, lamp_records
from gateway_harness import START
from test_aggregate_letters import LIFE, change, deliver, thin, waiting, wants

from kerbgate.aggregate import outbox, sheets, thinning
from kerbwire.channels import ENERGY, FILL
from kerbwire.messages import Record, Report

HOUR, DAY = 3600, 86400
LEVELS = frozenset(("15min", "hour", "day"))


@contextlib.contextmanager
def opened(path: Path, groups: Any = None, **settings: Any) -> Iterator[Desk]:
    with contextlib.closing(Desk(path, groups, **settings)) as desk:
        desk.now_ms = (START + DAY) * 1000
        wants(desk, council=LEVELS)
        yield desk


def test_a_group_that_changes_keeps_the_energy_of_days_without_a_record(tmp_path: Path) -> None:
    with opened(tmp_path / "s", {"quay": [1]}) as desk:
        desk.now_ms = (START + 9 * DAY) * 1000
        desk.send(1, "lamp", LIFE, Report([Record(0, START, {ENERGY: 50_000})]))
        desk.send(1, "lamp", LIFE, Report([Record(1, START + 3 * DAY, {ENERGY: 53_000})]))
        desk.send(2, "bin", LIFE, Report([Record(i, START + i * HOUR, {FILL: 5}) for i in range(96)]))
        desk.chores()
        desk.groups = {"quay": frozenset([1, 2]), "new": frozenset([1])}
        desk.restart()
        desk.chores()
        assert not desk.wrong()
        with desk.reader() as reader:
            found = reader.scope("group", "new", 2, START, START + 4 * DAY)
        assert [body.get("energy", {}).get("wh") for body in found] == [1000, 1000, 1000, None]


def test_nothing_is_left_of_days_without_a_record_when_they_are_thinned(tmp_path: Path) -> None:
    with opened(tmp_path / "s", quarter_days=2, hour_days=4, day_days=6) as desk:
        wants(desk)
        desk.send(1, "lamp", LIFE, Report([Record(0, START, {ENERGY: 50_000})]))
        desk.send(1, "lamp", LIFE, Report([Record(1, START + 3 * DAY, {ENERGY: 53_000})]))
        desk.chores()
        desk.now_ms = (START + 20 * DAY) * 1000
        thin(desk)
        assert [desk.one(f"SELECT count(*) FROM {name}") for name in ("sheet", "sheet_state", "rollup")] == [0, 0, 0]


def test_late_data_of_a_thinned_day_replaces_no_letter_by_an_emptier_one(tmp_path: Path) -> None:
    """What the council has of a level that is not kept any more is better than what could be made now."""
    with opened(tmp_path / "s", quarter_days=2, hour_days=4) as desk:
        for days, kept in ((1, LEVELS), (3, {"hour", "day"}), (5, {"day"})):
            desk.now_ms = (START + days * DAY) * 1000
            if days == 1:
                desk.send(1, "lamp", LIFE, Report(lamp_records(0, START, 95)))
                desk.chores()
            deliver(desk, waiting(desk, START + 30 * DAY))
            thin(desk)
            desk.send(1, "lamp", LIFE, Report(lamp_records(100 * days, START + HOUR + 60 * days, 1)))
            desk.chores()
            again = waiting(desk, START + 30 * DAY)
            assert {letter.body["level"] for letter in again} == kept
            for letter in again:
                assert (letter.body["periods"] and "node" not in letter.body) or letter.body["periods"][0]["records"]
            day = next(letter for letter in again if letter.topic == "node/1/day").body["periods"][0]
            assert day["records"] == 95 + (days + 1) // 2 and ("half_hours" in day) == (days < 5)
            deliver(desk, again)
        assert desk.one("SELECT count(*) FROM rollup_outbox") == 0


def test_late_data_of_a_thinned_day_counts_for_its_availability(tmp_path: Path) -> None:
    with opened(tmp_path / "s", quarter_days=2) as desk:
        wants(desk)
        desk.send(1, "bin", LIFE, Report([Record(i, START + i * HOUR, {FILL: 5}) for i in range(20)]))
        desk.now_ms = (START + 9 * DAY) * 1000
        thin(desk)
        desk.send(1, "bin", LIFE, Report([Record(20 + i, START + (20 + i) * HOUR, {FILL: 5}) for i in range(4)]))
        desk.chores()
        with desk.reader() as reader:
            assert (found := reader.availability(1, START, START + DAY)).records == 24 and found.step_s == HOUR


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Asia/Kathmandu"])
def test_letters_that_wait_when_the_time_zone_changes_are_told_by_the_new_one(tmp_path: Path, zone: str) -> None:
    with opened(tmp_path / "s") as desk:
        desk.send(1, "bin", LIFE, Report([Record(i, START + i * HOUR, {FILL: i}) for i in range(24)]))
        desk.chores()
        desk.settings = type(desk.settings)(timezone=zone)
        desk.restart()
        wants(desk, council=LEVELS)
        assert not waiting(desk, START + 9 * DAY)
        desk.chores()
        now = START + 9 * DAY
        letters = waiting(desk, now)
        for level in LEVELS:
            told = [letter.body for letter in letters if letter.topic == f"node/1/{level}"]
            assert {body["timezone"] for body in told} == {zone}
            assert sum(period["records"] for body in told for period in body["periods"]) == 24, level
        assert len({letter.body["id"] for letter in letters}) == len(letters)
        deliver(desk, letters)
        assert desk.one("SELECT count(*) FROM rollup_outbox") == 0


def test_a_clock_that_begins_in_1970_takes_nothing_from_other_scopes(tmp_path: Path) -> None:
    """London kept summer time in the winter of 1970: its first day began in 1969."""
    with opened(tmp_path / "s", {"quay": [1], "pier": [2]}, timezone="Europe/London") as desk:
        for node, count in ((1, 5), (2, 9)):
            desk.send(node, "bin", LIFE, Report([Record(i, i * HOUR, {FILL: 5}) for i in range(count)]))
        desk.chores()
        found = {letter.topic: letter.body for letter in waiting(desk, START + 9 * DAY)}
        for name, count in (("group/quay", 5), ("group/pier", 9), ("site/harbour", 14)):
            assert [period["records"] for period in found[f"{name}/day"]["periods"]] == [count]


def test_a_restored_store_goes_on_with_higher_revisions(tmp_path: Path) -> None:
    """The highest revision counts: what the council was told after the backup must not hide what it is told now."""
    path = tmp_path / "s"

    def sent(desk: Desk, first: int, count: int, days: int) -> int:
        desk.now_ms = (START + days * DAY) * 1000
        for index in range(first, first + count):
            desk.send(1, "bin", LIFE, Report([Record(index, START + index * HOUR, {FILL: 5})]))
            desk.chores()
        return next(found for found in waiting(desk, START + 9 * DAY) if found.topic == "node/1/day").body["revision"]

    with opened(path) as desk:
        sent(desk, 0, 1, 2)
    shutil.copy(path, tmp_path / "backup")
    with opened(path) as desk:
        told = sent(desk, 1, 9, 3)
    with opened(tmp_path / "backup") as desk:
        assert sent(desk, 1, 1, 4) > told


def test_thinning_many_groups_is_done_in_short_steps(tmp_path: Path) -> None:
    groups = {f"g{number}": [1] for number in range(100)}
    with opened(tmp_path / "s", groups) as desk:
        wants(desk)
        desk.send(1, "lamp", LIFE, Report(lamp_records(0, START, 96)))
        desk.send(1, "lamp", LIFE, Report(lamp_records(96, START + 9 * DAY, 1)))
        desk.chores()
        layer = desk.aggregate.layers[0]
        steps = []
        while not steps or not steps[-1].ended:
            before = desk.store._db.total_changes
            change(desk, lambda db: steps.append(layer.thin(db)))
            assert desk.store._db.total_changes - before <= 100 + 2 * 24 * thinning.STEP
        assert sum(step.reports for step in steps) == 1
        with desk.reader() as reader:
            assert [len(reader.scope("group", "g77", level, START, START + DAY)) for level in range(3)] == [0, 24, 1]
            assert len(reader.settlement(1, date(2026, 3, 1))) == 48


def test_what_is_rolled_up_before_the_outlets_are_named_is_told(tmp_path: Path) -> None:
    """After a kill the writer begins at once, with what was stale; the outlets are named a moment later, or not at all."""
    with opened(tmp_path / "s") as desk:
        desk.send(1, "bin", LIFE, Report([Record(0, START, {FILL: 5})]))
        desk.restart()
        desk.chores()
        wants(desk, council=LEVELS)
        assert {letter.topic for letter in waiting(desk, START + 9 * DAY)} >= {f"node/1/{level}" for level in LEVELS}
        wants(desk, council=frozenset(("raw",)))
        desk.send(1, "bin", LIFE, Report([Record(1, START + 3 * DAY, {FILL: 5})]))
        desk.restart()
        desk.chores()
        assert desk.one("SELECT count(*) FROM rollup_outbox WHERE block > ?", START + 2 * DAY) == 0


def test_no_step_reads_all_letters_that_wait(tmp_path: Path) -> None:
    """A council's broker that is away for weeks leaves a million rows."""
    with opened(tmp_path / "s") as desk:
        for query, values in ((outbox.HOLDS, (0, 1)), (outbox._AFTER, ("", 0, 0, 0, 1))):
            plan = [row[3] for row in desk.store._db.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            assert len(plan) == 1 and plan[0].startswith("SEARCH"), plan


def test_a_node_that_floods_its_day_fills_one_sheet_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "s") as desk:
        monkeypatch.setattr(sheets, "MAX_SHEET", 4000)
        for start in range(0, 480, 96):
            records = [Record(i, START + i, {FILL: 5, ENERGY: i}) for i in range(start, start + 96)]
            desk.send(1, "bin", LIFE, Report(records))
        desk.send(2, "bin", LIFE, Report([Record(0, START, {FILL: 7})]))
        size, beyond = (
            desk.one("SELECT max(length(samples)) FROM sheet"),
            desk.one("SELECT value FROM rollup_meta WHERE name=?", sheets.BEYOND),
        )
        assert (size, beyond) == (3 * (11 + 96 * 16), 2)
        desk.chores()
        assert desk.one("SELECT sum(count) FROM report") == 481
        with desk.reader() as reader:
            assert reader.node(2, 0, START, START + DAY)[0]["channels"]["fill_percent"]["count"] == 1
