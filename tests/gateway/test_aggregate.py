"""Roll-ups equal a straightforward recomputation from the raw records, whatever comes when, and whatever ends in between."""

import contextlib
import random
import sqlite3
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aggregate_harness import Desk, lamp_records
from gateway_harness import START, GatewayProcess, Street, closing_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kerbgate.aggregate import sheets
from kerbwire.channels import (
    BATTERY,
    BY_PRESENCE,
    CAUSE,
    ENERGY,
    FAULT,
    FAULTS,
    FILL,
    HOLD_OVER,
    HOURS,
    LEVEL,
    NO_ECHO,
    NOT_FITTED,
    POWER,
    PRESENCE,
    QUALITY,
    TEMPERATURE,
)
from kerbwire.messages import Record, Report

HOUR, DAY = 3600, 86400
LIVES = [bytes([number] * 8) for number in range(3)]
CLOCK_CHANGE = 1_774_656_000  # 2026-03-28T00:00:00Z: the clocks of Europe go forward at 01:00 UTC of the day after
GROUPS = {"quay": [1, 2], "all-bins": [3], "empty": [99]}


@st.composite
def histories(draw: Any) -> list[tuple[int, bytes, Report]]:
    """Reports of two lamps and a bin over some days: gaps, specials, registers that begin anew, lives that change."""
    reports: list[tuple[int, bytes, Report]] = []
    for node in (1, 2, 3):
        time = CLOCK_CHANGE + draw(st.integers(0, DAY))
        energy, life, index = draw(st.integers(0, 3000)), 0, 0
        for _ in range(draw(st.integers(1, 4))):
            time += draw(st.sampled_from([60, 900, 2 * HOUR, 30 * HOUR, 9 * DAY]))
            kind = draw(st.sampled_from(["plain", "plain", "changes", "new life", "new register", "unset clock"]))
            if kind == "new life" and life < 2:
                life, index = life + 1, 0
            if kind == "new register":
                energy = draw(st.sampled_from([0, 5, 2_000_000]))
            step = draw(st.sampled_from([60, 600, 900, 1000, HOUR]))
            records: list[Record] = []
            for _ in range(draw(st.integers(1, 12))):
                values: dict[int, int]
                if node == 3:
                    values = {
                        FILL: draw(st.sampled_from([0, 7, 90, 100, NO_ECHO])),
                        TEMPERATURE: draw(st.integers(-9, 9)),
                    }
                    values[QUALITY] = draw(st.sampled_from([0, 0, 1, 20, 32768, FAULT]))
                elif kind == "changes":
                    values = {
                        LEVEL: draw(st.sampled_from([0, 20, 100])),
                        CAUSE: draw(st.sampled_from([BY_PRESENCE, HOLD_OVER])),
                    }
                else:
                    level = draw(st.sampled_from([0, 50, 100]))
                    energy += draw(st.integers(0, 40))
                    values = {LEVEL: level, POWER: draw(st.integers(4, 800)), FAULTS: draw(st.sampled_from([0, 5]))}
                    values[ENERGY] = draw(st.sampled_from([energy, energy, energy, NOT_FITTED]))
                    values[HOURS], values[PRESENCE] = energy // 40, draw(st.integers(0, 9))
                records.append(Record(index, time, values))
                index += 1
                time += step if kind != "changes" else draw(st.integers(0, 600))
            if node == 3:
                records[0].values[BATTERY] = 360
            boot = None
            now = None
            if kind == "unset clock":
                boot, now = 3, records[-1].time - records[0].time + 77
                records = [Record(r.index, r.time - records[0].time + 7, r.values) for r in records]
            reports.append((node, LIVES[life], Report(records, boot, now)))
    return reports


_SOME = {"deadline": None, "suppress_health_check": list(HealthCheck)}
_ANY = given(
    data=st.data(), history=histories(), zone=st.sampled_from(["Europe/London", "Asia/Kathmandu", "America/St_Johns"])
)


@settings(max_examples=20, **_SOME)
@_ANY
def test_every_roll_up_equals_its_recomputation(data: Any, history: list[tuple[int, bytes, Report]], zone: str) -> None:
    recompute(data, history, zone)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@settings(max_examples=600, **_SOME)
@_ANY
def test_every_roll_up_in_a_long_sweep(data: Any, history: list[tuple[int, bytes, Report]], zone: str) -> None:
    recompute(data, history, zone)


def recompute(data: Any, history: list[tuple[int, bytes, Report]], zone: str) -> None:
    """Late, out of order, twice, in parts; restarts, rollings and failing folds in between; debts paid at the end."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Desk(Path(folder) / "store", GROUPS, timezone=zone)) as desk,
    ):
        desk.now_ms = (CLOCK_CHANGE + 40 * DAY) * 1000
        pieces: list[tuple[int, bytes, Report]] = []
        for node, life, report in history:
            cut = data.draw(st.integers(0, len(report.records)))
            first, rest = report.records[:cut], report.records[cut:]
            pieces += [(node, life, Report(part, report.boot, report.uptime_now)) for part in (first, rest) if part]
            pieces += [(node, life, report)] * data.draw(st.integers(0, 1))  # all of it again, or for the first time
        # A closed life is never heard again, so each node's reports keep the order of its lives.
        order = data.draw(st.permutations(range(len(pieces))))
        arriving = sorted((pieces[place] for place in order), key=lambda piece: LIVES.index(piece[1]))
        for node, life, report in arriving:
            what = data.draw(st.sampled_from(["", "", "roll", "restart", "fail", "roll fails"]))
            with pytest.MonkeyPatch.context() as patch:
                if what == "fail":
                    patch.setattr(sheets, "append", _fails_after(sheets.append))
                desk.send(
                    node,
                    "bin" if node == 3 else "lamp",
                    life,
                    report,
                    desk.now_ms - data.draw(st.integers(0, 3 * DAY)) * 1000,
                )
            if what == "roll":
                desk.chores(data.draw(st.integers(1, 3)))
            elif what == "restart":
                desk.restart()
            elif what == "roll fails":
                _rolled_back(desk)
        desk.restart()
        desk.chores()
        assert desk.one("SELECT count(*) FROM debt") == 0
        wrong = desk.wrong()
        assert not wrong, "\n".join(wrong[:5])


def _fails_after(append: Any) -> Any:
    def failing(db: sqlite3.Connection, new: Any) -> None:
        append(db, new)
        raise ValueError("a report that this version cannot take")

    return failing


def _rolled_back(desk: Desk) -> None:
    """A step of rolling up whose commit fails."""
    db = desk.store._db
    db.execute("BEGIN IMMEDIATE")
    desk.aggregate.work(db, 0.0, desk.now_ms)
    db.execute("ROLLBACK")
    desk.store.folds.forget()


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    with contextlib.closing(Desk(tmp_path / "store.sqlite", GROUPS, timezone="Europe/London")) as made:
        made.now_ms = (START + 60 * DAY) * 1000
        yield made


def verify(desk: Desk, *, groups: Any = None) -> None:
    desk.chores()
    wrong = desk.wrong(groups)
    assert not wrong, "\n".join(wrong[:5])


def test_a_late_reading_between_two_others_moves_their_energy(desk: Desk) -> None:
    """Two readings 10 hours apart are an estimate, laid evenly; what comes between them later says where it was used."""
    day = START // DAY * DAY
    desk.send(1, "lamp", LIVES[0], Report([Record(0, day, {ENERGY: 1000})]))
    desk.send(1, "lamp", LIVES[0], Report([Record(2, day + 10 * HOUR, {ENERGY: 1400})]))
    verify(desk)
    with desk.reader() as reader:
        before = reader.settlement(1, date(2026, 3, 1))
    assert [half["wh"] for half in before[:20]] == [20] * 20 and {half["quality"] for half in before[:20]} == {
        "estimated"
    }
    assert {half["quality"] for half in before[20:]} == {"missing"} and len(before) == 48
    desk.send(1, "lamp", LIVES[0], Report([Record(1, day + 1800, {ENERGY: 1300})]))
    verify(desk)
    with desk.reader() as reader:
        after = reader.settlement(1, date(2026, 3, 1))
        site = reader.scope("site", "harbour", 2, day, day + DAY)
    assert after[0] == {"start": "2026-03-01T00:00:00Z", "wh": 300, "quality": "measured"}
    assert sum(half["wh"] for half in after) == sum(half["wh"] for half in before) == 400
    assert site[0]["energy"] == {"wh": 400, "measured_s": 1800, "estimated_s": 34_200}


def test_a_gap_of_days_is_laid_over_them_and_a_register_that_begins_anew_counts_from_zero(desk: Desk) -> None:
    day = START // DAY * DAY
    desk.send(1, "lamp", LIVES[0], Report([Record(0, day, {ENERGY: 50_000})]))
    desk.send(1, "lamp", LIVES[0], Report([Record(1, day + 3 * DAY, {ENERGY: 53_000})]))
    desk.send(1, "lamp", LIVES[0], Report([Record(2, day + 3 * DAY + 900, {ENERGY: 9})]))  # a new meter
    desk.send(
        1, "lamp", LIVES[0], Report([Record(3, day + 3 * DAY + 1800, {ENERGY: 90_000})])
    )  # and another: no lamp used that
    verify(desk)
    with desk.reader() as reader:
        days = reader.node(1, 2, day, day + 4 * DAY)
    assert [body["energy"]["wh"] for body in days] == [1000, 1000, 1000, 9]
    assert days[3]["energy"] == {"wh": 9, "measured_s": 0, "estimated_s": 900}


def test_level_changes_say_when_the_energy_between_two_readings_was_used(desk: Desk) -> None:
    day = START // DAY * DAY
    desk.send(1, "lamp", LIVES[0], Report([Record(0, day, {ENERGY: 0, LEVEL: 20})]))
    desk.send(1, "lamp", LIVES[0], Report([Record(3, day + 4 * HOUR, {ENERGY: 300, LEVEL: 0})]))
    changes = [
        Record(1, day + HOUR, {LEVEL: 100, CAUSE: BY_PRESENCE}),
        Record(2, day + 3 * HOUR, {LEVEL: 80, CAUSE: HOLD_OVER}),
    ]
    desk.send(1, "lamp", LIVES[0], Report(changes))
    verify(desk)
    with desk.reader() as reader:
        used = [body["energy"]["wh"] for body in reader.node(1, 1, day, day + 4 * HOUR)]
        hour = reader.node(1, 1, day + HOUR, day + 2 * HOUR)[0]
    assert used == [20, 100, 100, 80]
    assert hour["level_changes"] == 1 and hour["records"] == 0 and "channels" not in hour  # no trace of movement


@pytest.mark.parametrize(("day", "halves"), [(date(2026, 3, 29), 46), (date(2026, 6, 1), 48), (date(2026, 10, 25), 50)])
def test_settlement_days_have_46_48_or_50_half_hours(desk: Desk, day: date, halves: int) -> None:
    begin, end = desk.aggregate.calendar.day_bounds(day)
    assert (end - begin) // 1800 == halves
    desk.send(1, "lamp", LIVES[0], Report(lamp_records(0, begin, 96)))
    desk.send(1, "lamp", LIVES[0], Report(lamp_records(96, begin + 96 * 900, 20, energy=1960)))
    verify(desk)
    with desk.reader() as reader:
        found = reader.settlement(1, day)
        whole = reader.node(1, 2, begin, end)
    assert len(found) == halves
    assert [half["wh"] for half in found] == [20] * halves and {half["quality"] for half in found} == {"measured"}
    assert [body["energy"]["wh"] for body in whole] == [20 * halves]
    assert whole[0]["day"] == day.isoformat() and whole[0]["records"] == 2 * halves


def test_specials_are_counted_apart_and_flags_by_their_names(desk: Desk) -> None:
    values = [{FILL: NO_ECHO, QUALITY: 1}, {FILL: 0, QUALITY: 3}, {FILL: FAULT, QUALITY: 0}]
    desk.send(3, "bin", LIVES[0], Report([Record(i, START + i * 60, v) for i, v in enumerate(values)]))
    verify(desk)
    with desk.reader() as reader:
        channels = reader.node(3, 0, START, START + 900)[0]["channels"]
    assert channels["fill_percent"] == {
        "count": 1, "min": 0, "max": 0, "mean": 0.0, "first": 0, "last": 0, "missing": {"no echo": 1, "fault": 1},
    }  # fmt: skip
    assert channels["quality"] == {"count": 3, "flags": {"few echoes": 2, "spread echoes": 1}}


def test_a_group_whose_nodes_change_is_rolled_up_anew(desk: Desk) -> None:
    desk.send(1, "lamp", LIVES[0], Report(lamp_records(0, START, 96)))
    desk.send(3, "bin", LIVES[0], Report([Record(i, START + i * HOUR, {FILL: i}) for i in range(96)]))
    verify(desk)
    desk.groups = {"quay": frozenset([3]), "all-bins": frozenset([3]), "new": frozenset([1, 3])}
    desk.restart()
    verify(desk, groups=desk.groups | {"empty": frozenset(), "gone": frozenset()})
    desk.groups = {"quay": frozenset([1, 3])}
    desk.restart()
    desk.send(1, "lamp", LIVES[0], Report(lamp_records(96, START + 96 * 900, 96, energy=1960)))
    verify(desk, groups=desk.groups | {"new": frozenset(), "all-bins": frozenset()})


def test_a_store_from_before_roll_ups_is_rolled_up_at_its_first_start(tmp_path: Path) -> None:
    from test_store_schema import thaw

    path = tmp_path / "store.sqlite"
    thaw(path, 4)
    with contextlib.closing(Desk(path)) as desk:
        desk.now_ms = START * 1000
        assert desk.one("SELECT count(*) FROM debt") > 0
        verify(desk)
        assert len(desk.raw()) >= 80
        assert desk.one("SELECT count(*) FROM debt") == 0


def test_roll_ups_are_right_after_kills(tmp_path: Path) -> None:
    """kill -9 at random moments while frames come and roll-ups are made; nothing is lost, doubled or rolled up twice."""
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=None)
    nodes = gateway.register(range(1, 9))
    line = Street(nodes)
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{line.path}"\n')
    rng = random.Random(5)
    with closing_all(gateway, line):
        for turn in range(5):
            gateway.start()
            for node in nodes:
                node.take(60, START + turn * 60 * HOUR)
            line.run(lambda: False, rng.uniform(0.1, 1.5))
            gateway.kill()
        gateway.start()
        assert line.run(lambda: not any(node.waiting for node in nodes), 60)
        assert gateway.stop() == 0
    with contextlib.closing(Desk(gateway.state / "store.sqlite")) as desk:
        desk.now_ms = (START + 60 * DAY) * 1000
        verify(desk)
        assert len(desk.raw()) == 8 * 5 * 60
