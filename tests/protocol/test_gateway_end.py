"""The table of the gateway's end, walked, and the lives of one node in it."""

import itertools

import pytest

from kerbwire.gateway_end import (
    ACK_AGAIN,
    ASKED,
    CHALLENGE,
    CLOSED,
    COMMIT,
    NOTHING,
    OPEN,
    OPEN_LIFE,
    REFUSE,
    STRANGE,
    TABLE,
    Lives,
    judge,
)
from kerbwire.window import Window

OLD, NEW = b"old life", b"new life"
FRAMES = ("hello", "proof", "data", "new", "duplicate", "replay")


def lives() -> Lives:
    numbers = itertools.count(1)
    return Lives(lambda: next(numbers).to_bytes(8, "big"))


def opened(known: Lives, life: bytes = OLD, epoch: int = 0, seq: int = 0) -> None:
    verdict, challenge = known.take(life, epoch, seq, True, None, 0)
    assert verdict == CHALLENGE
    assert known.take(life, epoch, seq + 1, True, challenge, 1)[0] == OPEN_LIFE


def test_every_state_is_reached_and_left() -> None:
    states = {STRANGE, ASKED, OPEN, CLOSED}
    found = {STRANGE}
    for _ in states:
        found |= {after for (before, _), (after, _) in TABLE.items() if before in found}
    assert found == states == {before for before, _ in TABLE}
    for state in states:
        assert any(before == state and after != state for (before, _), (after, _) in TABLE.items())


def test_law_4_what_the_table_commits() -> None:
    for (before, event), (after, verdict) in TABLE.items():
        if verdict in (COMMIT, OPEN_LIFE):
            assert after == OPEN and (before, event) in {(OPEN, "new"), (ASKED, "proof"), (STRANGE, "proof")}
        if verdict == CHALLENGE:
            assert event == "hello" and after == ASKED
        if event not in FRAMES:
            assert verdict == NOTHING
        if before == CLOSED and event in FRAMES:
            assert (after, verdict) == (CLOSED, REFUSE)


def test_law_4_nothing_is_committed_before_the_challenge_came_back() -> None:
    known = lives()
    assert known.take(OLD, 0, 0, False, None, 0)[0] == REFUSE and known.current() is None
    verdict, challenge = known.take(OLD, 0, 1, True, None, 0)
    assert (verdict, known.take(OLD, 0, 2, True, None, 30)) == (CHALLENGE, (CHALLENGE, challenge))  # the same again
    assert known.take(OLD, 0, 3, True, b"made up!", 30) == (CHALLENGE, challenge)
    assert known.take(OLD, 0, 4, False, None, 30)[0] == REFUSE
    assert known.take(OLD, 0, 5, True, challenge, 59)[0] == OPEN_LIFE and known.current() == OLD
    assert known.window(OLD, 0).newest(8) == [5] and known.take(OLD, 0, 4, False, None, 60)[0] == REFUSE
    assert [known.take(OLD, 0, seq, False, None, 60)[0] for seq in (6, 6, 5, 100, 36, 37)] == [
        COMMIT, ACK_AGAIN, ACK_AGAIN, COMMIT, REFUSE, COMMIT,
    ]  # fmt: skip


def test_law_4_a_challenge_expires_and_does_not_outlive_the_process() -> None:
    for expire in (lambda known: 61, lambda known: known.restart() or 1):
        known = lives()
        _, challenge = known.take(OLD, 0, 0, True, None, 0)
        verdict, other = known.take(OLD, 0, 1, True, challenge, expire(known))
        assert verdict == CHALLENGE and other != challenge


def test_law_4_a_confirmed_life_closes_those_before_it() -> None:
    known = lives()
    opened(known, OLD)
    opened(known, NEW)
    assert (known.state(OLD, 0), known.state(NEW, 0), known.current()) == (CLOSED, OPEN, NEW)
    for hello, epoch in itertools.product((True, False), (0, 1)):
        assert known.take(OLD, epoch, 99, hello, None, 2)[0] == REFUSE


def test_law_4_windows_that_were_lost_are_not_believed() -> None:
    known = lives()
    opened(known)
    known.take(OLD, 0, 7, False, None, 2)
    known.lose()
    assert known.current() is None
    assert known.take(OLD, 0, 7, False, None, 3)[0] == REFUSE
    opened(known, seq=20)
    assert known.window(OLD, 0).newest(8) == [21]
    for seq in (7, 8, 20):  # within 64 of the top, and nobody can say whether they were committed before
        assert known.take(OLD, 0, seq, False, None, 4)[0] == REFUSE


def test_law_7_the_window_of_a_new_epoch_begins_with_a_challenge() -> None:
    known = lives()
    opened(known, epoch=0)
    assert known.take(OLD, 1, 50, False, None, 2)[0] == REFUSE
    opened(known, epoch=1, seq=51)
    assert known.state(OLD, 0) == OPEN and known.window(OLD, 1).top == 52


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("hello", [False, True])
@pytest.mark.parametrize("proof", [False, True])
def test_the_verdict_of_a_store(closed: bool, hello: bool, proof: bool) -> None:
    """What judge() says of a frame is what Lives does with it, window or none."""
    window = Window()
    window.accept(100)
    expected = {101: COMMIT, 100: ACK_AGAIN, 36: REFUSE}
    for seq, verdict in expected.items():
        assert judge(window, closed, hello, proof, seq) == (REFUSE if closed else verdict)
    without = REFUSE if closed else OPEN_LIFE if proof else CHALLENGE if hello else REFUSE
    assert judge(None, closed, hello, proof, 1) == without
    assert window.top == 100
