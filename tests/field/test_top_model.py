"""What `kerb top` makes of answers: rates over looks, tables, what stands first; and when it asks again."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from field_harness import World

from kerbgate import asking
from kerbgate.errors import ControlError, NoAnswer
from kerbtools.field.top import details
from kerbtools.field.top.looks import (
    ALARMS,
    EVERY_S,
    FACTS,
    MAX_REST_S,
    NODES,
    QUEUES,
    REST,
    Answer,
    Look,
    Looker,
    due,
    of_socket,
)
from kerbtools.field.top.model import Meter, Model


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("model"), bins=(1, 2), lamps=(801,))
    made.start()
    yield made
    made.close()


def looked(world: World) -> Look:
    return Looker(of_socket(world.gateway.state)).look()


def at(look: Look, at_s: float, **changed: Any) -> Look:
    """The same answers at another time; changed: of the facts."""
    answers = {
        name: Answer(at_s, 0.0, row.fields, _with(row.found, changed) if name == FACTS else row.found)
        for name, row in look.answers.items()
    }
    return Look(at_s, answers)


def _with(found: dict[str, Any] | None, changed: Mapping[str, Any]) -> dict[str, Any]:
    assert found is not None
    return found | {"facts": found["facts"] | changed}


def test_two_looks_make_a_rate(world: World) -> None:
    model, first = Model("harbour"), looked(world)
    assert "heard -/s" in model.take(at(first, 10.0)).head[1]
    for _ in range(3):
        world.say(1)
    second = looked(world)
    heard = sum(
        now["frames"] - before["frames"]
        for before, now in zip(_facts(first)["inlets"], _facts(second)["inlets"], strict=True)
    )
    assert heard >= 3
    view = model.take(at(second, 12.0))
    assert f"heard {heard / 2:.1f}/s" in view.head[1] and view.history == (heard / 2,)
    assert view.tables[FACTS].rows[0].cells[2] == f"{heard / 2:.1f}/s"
    assert model.take(at(second, 12.0)).history == view.history, "one answer counts once"
    begun_anew = model.take(at(second, 13.0, pid=1))
    assert "heard -/s" in begun_anew.head[1]


def _facts(look: Look) -> dict[str, Any]:
    found = look.found(FACTS)
    assert found is not None
    return found["facts"]


def test_a_meter_tells_ten_seconds_and_begins_anew_when_its_counter_does() -> None:
    meter = Meter()
    assert meter.rate is None
    for second in range(30):
        meter.note(float(second), 5 * second if second < 20 else 95)
    assert meter.rate == pytest.approx(0.0) and meter.last == 0
    meter.note(30.0, 125)
    assert meter.rate == pytest.approx(3.0) and meter.last == 30
    meter.note(31.0, 2)
    assert meter.rate is None
    meter.note(32.0, 4)
    assert meter.rate == 2


def test_a_question_rests_by_what_its_answer_took() -> None:
    answer = Answer(100.0, 0.001, {}, {})
    assert due(None, {}, 0.0) and due(answer, {"sort": "age"}, 100.0)
    assert not due(answer, {}, 100.0 + EVERY_S / 2) and due(answer, {}, 100.0 + EVERY_S)
    slow = Answer(100.0, 0.2, {}, {})
    assert not due(slow, {}, 100.0 + REST * 0.2 - 1) and due(slow, {}, 100.0 + REST * 0.2)
    assert due(Answer(100.0, 9.0, {}, {}), {}, 100.0 + MAX_REST_S)


def test_who_does_not_answer_is_asked_one_thing_until_it_is_back(world: World) -> None:
    asked: list[str] = []
    there = of_socket(world.gateway.state)
    state = {"away": False}

    def ask(question: str, timeout_s: float, fields: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(question)
        return (
            of_socket(world.folder)(question, timeout_s, fields)
            if state["away"]
            else there(question, timeout_s, fields)
        )

    ticks = itertools.count(0.0, 10.0)
    looker = Looker(ask, steady=lambda: next(ticks) * 3)
    first = looker.look()
    assert first.away_s is None and asked == [FACTS, NODES, QUEUES, ALARMS]
    state["away"] = True
    asked.clear()
    away, later = looker.look(), looker.look()
    assert asked == [FACTS, FACTS] and away.away_s == later.away_s is not None and later.found(NODES) is not None
    view = Model("harbour").take(later)
    assert view.colour == "red" and "DOES NOT ANSWER" in view.trouble and "kerb gateway run" in view.trouble
    assert view.tables[NODES].rows, "what was known stays"
    state["away"] = False
    asked.clear()
    assert looker.look().away_s is None and asked == [FACTS, NODES, QUEUES, ALARMS]
    with pytest.raises(NoAnswer):
        of_socket(world.folder)(FACTS, 1.0, {})


def test_what_is_refused_is_said_in_its_table(world: World) -> None:
    looker = Looker(of_socket(world.gateway.state))
    looker.wanted[NODES] = {"sort": "beauty"}
    view = Model("harbour").take(looker.look())
    assert "is no column to sort by" in view.tables[NODES].empty[0] and view.tables[NODES].empty[1]
    assert view.colour == "yellow" and view.tables[FACTS].rows
    looker.wanted["story"] = {"node": 4242}
    assert "kerb nodes" in details.lines(looker.look(), NODES, "4242", 80)[1]
    assert details.lines(looker.look(), ALARMS, "gone", 80)[0].strip() == "it is not there any more"


def test_where_nothing_is_registered_it_says_what_to_do(world: World) -> None:
    look = looked(world)
    answers = dict(at(look, 5.0, registry={"nodes": 0}).answers)
    nothing = {"nodes": [], "total": 0, "states": {}, "registry_error": None}
    answers[NODES] = Answer(5.0, 0.0, {}, nothing)
    table = Model("harbour").take(Look(5.0, answers)).tables[NODES]
    assert not table.rows and "no node is registered" in table.empty[0]
    assert any("kerb provision" in line for line in table.empty)


def test_the_gateway_finds_words_in_any_part_of_a_node(world: World) -> None:
    def found(text: str) -> list[int]:
        return [row["node"] for row in asking.ask(world.gateway.state, "nodes", text=text)["nodes"]]

    assert found("lamp well") == [801] and found("BIN-2") == [2] and found("f1") == [801] and found("bin") == [1, 2]
    assert found("") == [1, 2, 801] and found("lamp bin") == []
    with pytest.raises(ControlError):
        asking.ask(world.gateway.state, "nodes", text=7)


def test_what_peers_say_does_not_reach_the_terminal_as_it_is(world: World) -> None:
    look = looked(world)
    facts = _facts(look)
    evil = [row | {"name": "\x1b[2Jlink", "connected": False, "last_error": "\x1b]0;x\x07"} for row in facts["inlets"]]
    view = Model("\x1b[31m").take(at(look, 1.0, inlets=evil, problems=[
        {"code": "x", "name": "", "cause": "\x1b[1m", "hint": "\x9b", "grave": True}]))  # fmt: skip
    said = repr(view.tables[FACTS].rows[0].cells) + view.trouble + view.head[0]
    assert "\x1b" not in said and "\x9b" not in said and "\\x1b" not in said
