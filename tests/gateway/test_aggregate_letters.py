"""Letters of roll-ups: closed periods only, a new revision after late data, forgotten when delivered, never thinned before."""

import contextlib
import json
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from aggregate_harness import Desk, lamp_records
from gateway_harness import SITE, START, Broker, Council, GatewayProcess, Street, closing_all, until
from jsonschema import Draft202012Validator

from kerbgate import control
from kerbgate.letters import Letter
from kerbgate.store import Reader
from kerbwire.channels import FILL
from kerbwire.messages import Record, Report

HOUR, DAY = 3600, 86400
SCHEMA = Draft202012Validator(
    json.loads(resources.files("kerbgate").joinpath("schemas/rollup-1.json").read_text("utf-8"))
)
LIFE = bytes(8)
GRACE = 600


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    with contextlib.closing(Desk(tmp_path / "store.sqlite", {"quay": [1]}, grace_s=GRACE)) as made:
        made.now_ms = START * 1000
        wants(made, council=frozenset(("raw", "hour", "day")), other=frozenset(("raw",)))
        yield made


def wants(desk: Desk, **found: frozenset[str]) -> None:
    change(desk, lambda db: desk.aggregate.letters.outlets(db, found))


def change(desk: Desk, apply: Any) -> None:
    db = desk.store._db
    db.execute("BEGIN IMMEDIATE")
    apply(db)
    db.execute("COMMIT")


def waiting(desk: Desk, now_s: int, outlet: str = "council") -> list[Letter]:
    with contextlib.closing(Reader(desk.path)) as reader:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.connection.execute("DELETE FROM rollup_outbox")
        found = desk.aggregate.letters.waiting(reader.connection, outlet, 100, now_s)
    for letter in found:
        SCHEMA.validate(letter.body)
    return found


def deliver(desk: Desk, letters: list[Letter]) -> None:
    change(desk, lambda db: desk.aggregate.letters.delivered(db, "council", [letter.key for letter in letters]))


def sample(desk: Desk, first: int, count: int, start: int | None = None) -> None:
    begin = START + first * HOUR if start is None else start
    desk.now_ms = max(desk.now_ms, (begin + count * HOUR) * 1000)
    desk.send(
        1, "bin", LIFE, Report([Record(first + i, begin + i * HOUR, {FILL: (first + i) % 100}) for i in range(count)])
    )
    desk.chores()


def test_only_closed_periods_go_and_the_others_follow_when_they_have_ended(desk: Desk) -> None:
    sample(desk, 0, 3)  # 00:00, 01:00, 02:00; it is 03:00
    assert waiting(desk, START + 3 * HOUR) == [] and waiting(desk, START + 9 * HOUR, "other") == []
    now = START + 3 * HOUR + GRACE
    found = waiting(desk, now)
    assert {letter.kind for letter in found} == {"rollup"}
    assert {letter.topic for letter in found} == {"node/1/hour", "site/harbour/hour", "group/quay/hour"}
    node = next(letter for letter in found if letter.topic == "node/1/hour").body
    assert [period["start"] for period in node["periods"]] == [f"2026-03-01T0{hour}:00:00Z" for hour in range(3)]
    assert node["id"] == "rollup/node/1/hour/2026-03-01T00:00:00Z" and node["schema"] == "kerbstone/rollup/1"
    sample(desk, 3, 1, START + 3 * HOUR + 60)
    early = waiting(desk, now)
    assert all(len(letter.body["periods"]) == 3 for letter in early)  # 03:00 to 04:00 has not ended
    deliver(desk, early)
    assert waiting(desk, START + 4 * HOUR) == []
    late = waiting(desk, START + 4 * HOUR + 2 * GRACE)
    assert {len(letter.body["periods"]) for letter in late} == {4}
    deliver(desk, late)
    day = waiting(desk, START + 30 * HOUR)
    assert {letter.body["level"] for letter in day} == {"day"} and len(day) == 3
    assert day[0].body["periods"][0]["day"] == "2026-03-01" and day[0].body["periods"][0]["records"] == 4
    deliver(desk, day)
    assert waiting(desk, START + 99 * DAY) == []


def test_late_data_sends_a_new_revision_under_the_same_id(desk: Desk) -> None:
    sample(desk, 0, 2)
    sample(desk, 5, 20)
    found = waiting(desk, START + 3 * DAY)
    deliver(desk, found)
    assert waiting(desk, START + 9 * DAY) == []
    desk.now_ms = (START + 9 * DAY) * 1000
    sample(desk, 2, 3)
    assert waiting(desk, START + 9 * DAY) == []  # what came late is gathered for a while
    again = waiting(desk, START + 9 * DAY + GRACE)
    before = {letter.body["id"]: letter.body for letter in found}
    assert {letter.body["id"] for letter in again} < before.keys()
    assert all(letter.body["revision"] > before[letter.body["id"]]["revision"] for letter in again)
    node = next(letter for letter in again if letter.topic == "node/1/hour").body
    assert [period["records"] for period in node["periods"]] == [1] * 24


def test_what_changes_while_a_letter_is_under_way_goes_again(desk: Desk) -> None:
    sample(desk, 0, 24)
    under_way = waiting(desk, START + 2 * DAY)
    desk.send(1, "bin", LIFE, Report([Record(24, START + HOUR + 60, {FILL: 50})]))
    desk.chores()
    deliver(desk, under_way)
    again = waiting(desk, START + 3 * DAY)
    assert {letter.topic for letter in again} >= {"node/1/hour", "node/1/day", "site/harbour/day"}
    assert next(letter for letter in again if letter.topic == "node/1/day").body["periods"][0]["records"] == 25


def test_letters_survive_a_restart_and_an_outlet_can_be_dropped(desk: Desk) -> None:
    sample(desk, 0, 24)
    before = waiting(desk, START + 2 * DAY)
    desk.restart()
    assert waiting(desk, START + 2 * DAY) == before and len(before) == 6
    with contextlib.closing(Reader(desk.path)) as reader:
        assert desk.aggregate.letters.backlog(reader.connection) == {"council": 6}
    dropped: list[int] = []
    change(desk, lambda db: dropped.append(desk.aggregate.letters.drop(db, "council", 4)))
    assert dropped == [4] and len(waiting(desk, START + 2 * DAY)) == 2


def test_a_day_of_a_lamp_has_its_half_hours(desk: Desk) -> None:
    desk.now_ms = (START + 3 * DAY) * 1000
    desk.send(1, "lamp", LIFE, Report(lamp_records(0, START, 96)))
    desk.chores()
    letter = next(found for found in waiting(desk, START + 4 * DAY) if found.topic == "node/1/day")
    halves = letter.body["periods"][0]["half_hours"]
    assert len(halves) == 48 and halves[0] == {"start": "2026-03-01T00:00:00Z", "wh": 20, "quality": "measured"}
    assert halves[47]["quality"] == "missing"  # the reading after it has not come


def test_a_running_gateway_publishes_them_and_answers_for_them(tmp_path: Path, broker: Broker) -> None:
    """The whole way: nodes on a serial line, a real broker, the letter of a closed hour; then the socket's operation."""
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=broker.port)
    nodes = gateway.register(range(1, 4))
    line = Street(nodes)
    council = Council(broker.port)
    config = gateway.config.read_text().replace("[store]", "[aggregate]\ngrace_s = 0\n[store]")
    gateway.config.write_text(config + f'levels = "hour"\n[[inlet]]\nurl = "serial:{line.path}"\n')
    with closing_all(gateway, line, council):
        assert council.subscribed.wait(20)
        gateway.start()
        for node in nodes:
            node.take(8, START)
        assert line.run(lambda: not any(node.waiting for node in nodes))
        assert gateway.stop() == 0
        gateway.start()  # what is stale is rolled up at a start at once, and otherwise within a minute
        topics = {f"kerbstone/1/{SITE}/rollup/{name}/hour" for name in ("node/1", "node/2", "node/3", f"site/{SITE}")}
        until(lambda: topics <= set(council.topics), "the letters of all nodes and the site", 120)
        bodies = dict(zip(council.topics, council.documents, strict=True))
        site = bodies[f"kerbstone/1/{SITE}/rollup/site/{SITE}/hour"]
        assert sum(period["records"] for period in site["periods"]) == 24 and len(site["periods"]) == 8
        answer = control.ask(gateway.state, "rollups", site=SITE, level="hour")
        assert answer["rollups"]["periods"] == site["periods"]
        status = gateway.status()
        assert status["rollups"]["stale"] == 0 and status["rollups"]["days"] == 3
        assert gateway.stop() == 0


def levels(desk: Desk) -> list[list[dict[str, Any]]]:
    with desk.reader() as reader:
        return [reader.node(1, level, START - DAY, START + 9 * DAY) for level in range(3)]


def scopes(desk: Desk) -> list[list[dict[str, Any]]]:
    with desk.reader() as reader:
        return [reader.scope("site", "harbour", level, START - DAY, START + 9 * DAY) for level in range(3)]


@pytest.mark.parametrize("role", ["bin", "lamp"])
def test_thinning_leaves_the_coarser_levels_as_they_were(tmp_path: Path, role: str) -> None:
    """Also for late data of days that were thinned, and in a zone whose hours are not those of UTC."""
    options = {"quarter_days": 2, "hour_days": 4, "day_days": 6}
    with contextlib.closing(Desk(tmp_path / "s", {"quay": [1]}, timezone="Asia/Kathmandu", **options)) as desk:
        desk.now_ms = (START + DAY) * 1000
        records = lamp_records(0, START, 96) if role == "lamp" else []
        records = records or [Record(i, START + i * 900, {FILL: i % 90}) for i in range(95)]
        desk.send(1, role, LIFE, Report(records[:90]))
        desk.chores()
        before, site = levels(desk), scopes(desk)
        for days, left in ((2, {1, 2}), (4, {2}), (6, set())):
            desk.now_ms = (START + (days + 1) * DAY) * 1000 + 900_000
            thin(desk)
            after, site_after = levels(desk), scopes(desk)
            for level in range(3):
                assert after[level] == (before[level] if level in left else [])
                assert site_after[level] == (site[level] if level in left else [])
            if days == 2:
                late = [
                    Record(200 + i, START + 7200 + i * 60, {FILL: 99} if role == "bin" else {36 - 20: 100})
                    for i in range(3)
                ]
                desk.send(1, role, LIFE, Report(late))
                desk.chores()
                before, site = levels(desk), scopes(desk)
                assert before[0] == [] and sum(body["records"] for body in before[2]) == 93
                assert sum(body["records"] for body in site[1]) == 93
        assert desk.one("SELECT count(*) FROM sheet") == desk.one("SELECT count(*) FROM rollup") == 0


def thin(desk: Desk) -> None:
    desk.aggregate._thin_s = 0.0
    desk.chores()


def test_raw_reports_go_by_age_when_every_outlet_has_them_and_roll_ups_stay(tmp_path: Path) -> None:
    with contextlib.closing(Desk(tmp_path / "s", raw_days=3)) as desk:
        desk.now_ms = START * 1000
        outcomes = [desk.send(1, "bin", LIFE, Report([Record(i, START + i, {FILL: i})])) for i in range(5)]
        desk.chores()
        before = levels(desk)
        desk.now_ms += 5 * DAY * 1000
        thin(desk)
        assert desk.one("SELECT count(*) FROM report") == 5  # the council has none of them
        db = desk.store._db
        db.executemany("DELETE FROM outbox WHERE report_id=?", [(outcome.report_id,) for outcome in outcomes[:4]])
        thin(desk)
        assert desk.one("SELECT count(*) FROM report") == 1 and levels(desk) == before


def test_nothing_goes_by_age_while_the_clock_is_not_trusted(tmp_path: Path) -> None:
    with contextlib.closing(Desk(tmp_path / "s", raw_days=3, quarter_days=4, hour_days=6, day_days=8)) as desk:
        wants(desk)
        for at_s, trusted, kept in ((0, True, [0]), (9000 * DAY, False, [0, 9000]), (20 * DAY, True, [20, 9000])):
            desk.now_ms, desk.synchronised = (START + at_s) * 1000, trusted
            desk.send(1, "bin", LIFE, Report([Record(at_s // DAY, START + at_s, {FILL: 5})]))
            desk.store._db.execute("DELETE FROM outbox")
            desk.chores()
            thin(desk)
            days = [ident - START // DAY for (ident,) in desk.store._db.execute("SELECT sheet_id >> 16 FROM sheet")]
            assert days == kept and desk.one("SELECT count(*) FROM report") == len(kept)


def test_at_the_quota_the_finest_goes_first_and_nothing_that_an_outlet_waits_for(desk: Desk) -> None:
    for day in range(6):
        sample(desk, day * 24, 24)
    quarter = desk.aggregate.layers[0]

    def step() -> None:
        change(desk, lambda db: done.append(quarter.thin(db)))

    done: list[Any] = []
    step()
    assert done[-1].ended and done[-1].reports == 0  # letters of that day wait
    deliver(desk, waiting(desk, START + 30 * DAY))
    while not done or not done[-1].ended or len(done) < 2:
        step()
    assert len(levels(desk)[0]) == 2 * 24 and len(levels(desk)[1]) == 6 * 24  # the last two days stay whole
