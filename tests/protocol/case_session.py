"""The table of the node's end, walked: each state can be reached and left, and what is not in it is an error."""

from kerbwire import session
from kerbwire.session import (
    ACK,
    BACK_OFF,
    BACKOFF,
    CHALLENGE,
    CONFIRM,
    EXHAUSTED,
    FRESH,
    HELLO,
    HELLO_DUE,
    LATE_ACK,
    MAX_CHALLENGES,
    NOTHING,
    REPORT,
    REPORT_DUE,
    REST,
    SEND_HELLO,
    SEND_REPORT,
    SETTLE,
    SILENT,
    SPENT,
    STOP,
    TABLE,
    UNANSWERED,
    WAITED,
    Session,
    SessionError,
)

STATES = (FRESH, HELLO, SILENT, REST, REPORT, BACKOFF)
EVENTS = range(session.SETTLED + 1)


def rows():
    """(state, event, next state, action) of each row."""
    return [(key & 0xF0, key & 0x0F, row & 0xF0, row & 0x0F) for key, row in TABLE.items()]


def at(state):
    machine = Session(2)
    machine.state = state
    return machine


def test_every_state_is_reached_and_left():
    found = {FRESH}
    while True:
        more = {after for before, _, after, _ in rows() if before in found} | found
        if more == found:
            break
        found = more
    assert found == set(STATES)
    for state in STATES:
        assert any(before == state and after != state for before, _, after, _ in rows())
        seen = {state}  # and from each there is a way to rest
        for _ in STATES:
            seen |= {after for before, _, after, _ in rows() if before in seen}
        assert REST in seen


def test_every_row_uses_named_states_events_and_actions():
    for before, event, after, action in rows():
        assert before in STATES and after in STATES and event in EVENTS and NOTHING <= action <= STOP
    assert sorted({event for _, event, _, _ in rows()}) == list(EVENTS)
    assert sorted({action for _, _, _, action in rows()}) == list(range(STOP + 1))


def test_walk_each_row_and_each_that_is_missing():
    for state in STATES:
        for event in EVENTS:
            machine = at(state)
            row = TABLE.get(state | event)
            if row is None:
                try:
                    machine.on(event)
                    assert False
                except SessionError:
                    assert machine.state == state
            else:
                assert machine.on(event) == row & 0x0F and machine.state == row & 0xF0


def test_what_the_laws_ask_of_the_table():
    for before, event, after, action in rows():
        if action == SEND_REPORT:  # nothing but hello leaves before the life is confirmed
            assert before in (REST, REPORT)
        if after in (REST, REPORT) and before in (FRESH, HELLO, SILENT):
            assert (event, action) == (ACK, CONFIRM)
        if action in (SEND_HELLO, SEND_REPORT):  # whatever is sent is waited for
            assert after in (HELLO, REPORT)
        if event == LATE_ACK:  # settles, and neither sends nor moves
            assert (after, action) == (before, SETTLE)
    for state in STATES:  # the peer, or a stranger, can say anything at any time
        for event in (LATE_ACK, CHALLENGE, session.DUPLICATE):
            assert state | event in TABLE


def test_a_hello_its_challenge_and_a_report():
    machine = Session(2)
    assert machine.on(HELLO_DUE) == SEND_HELLO
    machine.sent(7)
    assert machine.challenged(b"8 bytes!") == SEND_HELLO and machine.challenge == b"8 bytes!"
    machine.sent(8)
    assert machine.answered([3]) == SETTLE and machine.state == HELLO
    assert machine.answered([7]) == CONFIRM and machine.state == REST  # either hello counts
    assert machine.challenge is None
    assert machine.on(REPORT_DUE) == SEND_REPORT
    machine.sent(9)
    assert machine.challenged(b"8 bytes!") == NOTHING and machine.challenge is None
    assert machine.unanswered() == SEND_REPORT
    machine.sent(10)
    assert machine.answered([9]) == SETTLE and machine.state == REPORT  # late: what is out is still out
    assert machine.answered([10, 9]) == SETTLE and machine.state == REST


def test_tries_and_challenges_are_bounded():
    machine = Session(2)
    action, frames = machine.on(HELLO_DUE), 0
    while action == SEND_HELLO:
        machine.sent(frames)
        frames += 1
        action = machine.challenged(b"%08d" % frames)
    assert (action, frames, machine.state) == (BACK_OFF, 2 + MAX_CHALLENGES, SILENT)
    assert machine.on(HELLO_DUE) == SEND_HELLO  # and each hello has its own tries
    machine.sent(9)
    assert machine.unanswered() == SEND_HELLO and machine.unanswered() == BACK_OFF
    machine.on(WAITED)
    assert machine.state == FRESH


def test_the_days_numbers_and_backoff():
    machine = Session(1, confirmed=True)
    machine.on(REPORT_DUE)
    assert machine.on(SPENT) == STOP and machine.state == REST
    machine.on(REPORT_DUE)
    machine.sent(1)
    assert machine.unanswered() == BACK_OFF and machine.state == BACKOFF
    assert machine.answered([1]) == SETTLE and machine.state == REST  # later than the window, and good news
    assert TABLE[REPORT | UNANSWERED] == REPORT | SEND_REPORT
    assert TABLE[REPORT | EXHAUSTED] == BACKOFF | BACK_OFF
