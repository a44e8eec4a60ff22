"""The table of an alarm's states walked, its promises, and the kinds of alarms with their routes."""

import pytest

from kerbgate.alarms import kinds, table
from kerbwire import council
from kerbwire.events import CLOCK_STEP, EMPTIED


def test_each_state_is_reached_from_pending_and_has_a_way_to_an_end() -> None:
    after: dict[str, set[str]] = {}
    for (state, _), step in table.TRANSITIONS.items():
        after.setdefault(state, set()).add(step.state)
    assert set(after) == set(table.STATES) and not set(after) & set(table.ENDS)

    def reach(start: str) -> set[str]:
        found, queue = {start}, [start]
        while queue:
            for state in after.get(queue.pop(), ()):
                if state not in found:
                    found.add(state)
                    queue.append(state)
        return found

    assert reach(table.PENDING) == set(table.STATES) | set(table.ENDS)
    for state in table.STATES:
        assert reach(state) & set(table.ENDS), state
        assert (state, table.SIGNAL) in table.TRANSITIONS and (state, table.GONE) in table.TRANSITIONS
        assert ((state, table.UNCOVER) in table.TRANSITIONS) == (state in table.COVERED)
        assert ((state, table.DUE) in table.TRANSITIONS) == (state in table.RAISING + table.CLEARING)
        assert ((state, table.COVER) in table.TRANSITIONS) == (state not in table.COVERED)


def test_the_table_keeps_its_promises() -> None:
    for (state, event), step in table.TRANSITIONS.items():
        assert event in table.EVENTS
        if event == table.SIGNAL:
            assert step.state in table.PRESENT, (state, event)
        if event == table.GONE:
            assert step.state not in table.PRESENT, (state, event)
        if step.state == table.DROPPED:
            assert state == table.PENDING and step.tell == table.NOT  # only what nobody heard of
        if step.state == table.CLEARED:
            assert step.tell != table.NOT
        if step.state in (table.ACKNOWLEDGED, table.HELD_ACKNOWLEDGED) and event != table.ACKNOWLEDGE:
            assert state in (table.ACKNOWLEDGED, table.HELD_ACKNOWLEDGED)  # nothing is acknowledged by itself
        if {state, step.state} <= {table.RAISED, table.HELD, table.ACKNOWLEDGED, table.HELD_ACKNOWLEDGED}:
            told = event == table.ACKNOWLEDGE
            assert (step.tell == table.TOLD) == told, "a flapping cause writes no letters"


def test_each_bit_and_each_event_has_a_kind_and_the_table_names_its_routes() -> None:
    assert set(kinds.OF_BIT) == set(council.FAULT_FLAGS) and set(kinds.OF_BIT.values()) <= set(kinds.KINDS)
    assert set(council.EVENTS) - set(kinds.OF_EVENT) == {EMPTIED, CLOCK_STEP}
    assert set(kinds.OF_EVENT.values()) <= set(kinds.KINDS)
    for kind in kinds.KINDS.values():
        assert kind.route in kinds.ROUTES and kind.listed in ("", *kinds.LISTED)
        assert not kind.joins or kind.joins in kinds.KINDS
    assert {kind.route for kind in kinds.KINDS.values()} == set(kinds.ROUTES)


def test_routes_are_overridden_by_settings() -> None:
    made = kinds.with_routes(kinds.parse_routes("lamp failure = council,photocell fault=contractor"))
    assert made["lamp failure"].route == "council" and made["photocell fault"].route == "contractor"
    assert made["day burner"] == kinds.KINDS["day burner"]
    for wrong in ("lamp failure", "lamp = council", "fire = nobody", "fire=council, fire=trees"):
        with pytest.raises(ValueError, match="routes are contractor"):
            kinds.parse_routes(wrong)
