"""Acks: the same bytes as the protocol's own encoder writes, and one to a node for what a commit holds of it."""

from pathlib import Path
from typing import Any

from gateway_harness import DEADLINE_S, START, Air, Rig
from hypothesis import given
from hypothesis import strategies as st

from kerbgate import acks
from kerbgate.registry import Node
from kerbgate.store.items import COMMITTED, Outcome
from kerbwire import messages
from kerbwire.frame import MAX_SEQ
from kerbwire.messages import Ack
from kerbwire.records import MAX_NUMBER

seqs = st.one_of(*[st.integers(0, (1 << bits) - 1) for bits in (4, 5, 8, 16, 32)], st.integers(0, MAX_SEQ))


@given(seqs, st.lists(seqs, max_size=8), st.none() | st.integers(0, MAX_NUMBER), st.booleans())
def test_the_bytes_are_those_of_the_protocol(echo: int, committed: list[int], utc_s: int | None, more: bool) -> None:
    assert acks.encode(echo, committed, utc_s, more) == messages.encode(Ack(echo, committed, utc_s, more))


def batch(rig: Rig, frames: list[tuple[bytes, Air]]) -> None:
    """Several frames in one delivery, as a commit under load brings them."""
    for data, air in frames:
        rig.intake.take(data, air)
    outcomes: list[Any] = []
    while len(outcomes) < len(frames):
        outcomes += rig._deliveries.get(timeout=DEADLINE_S)
    rig.intake.deliver(outcomes)


def test_a_node_gets_one_ack_for_its_frames_of_a_commit(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    node, other = rig.node(1, batch=1), rig.node(2, batch=1)
    rig.confirm(node)
    rig.confirm(other)
    rig.air.sent.clear()
    node.take(11, START)
    other.take(1, START)
    frames = [node.stream() or b"" for _ in range(11)]
    batch(rig, [(data, rig.air) for data in [*frames[:6], other.stream() or b"", *frames[6:]]])
    assert len(rig.air.sent) == 3  # eight numbers fit an ack: two for eleven frames, one for the other node's
    for data in rig.air.sent:
        node.feed(data)
        other.feed(data)
    assert node.waiting == other.waiting == 0
    rig.close()


def test_a_frame_that_is_played_again_takes_nothing_from_the_node(tmp_path: Path) -> None:
    """In the same commit, by another link of the same kind: the node still gets its ack where it spoke."""
    rig = Rig(tmp_path)
    node = rig.node(1, batch=1)
    rig.confirm(node)
    rig.air.sent.clear()
    node.take(1, START)
    data = node.stream() or b""
    stranger = Air()
    stranger.counters = rig.air.counters
    batch(rig, [(data, rig.air), (data, stranger)])
    assert len(rig.air.sent) == 1 and len(stranger.sent) == 1
    node.feed(rig.air.sent[0])
    assert node.waiting == 0
    rig.close()


def test_each_key_epoch_is_answered_by_itself() -> None:
    """Its numbers begin anew: what one epoch lists says nothing of the other's frames."""
    found, air = acks.Acks(), Air()
    for epoch in (1, 2):
        node = Node(7, "harbour", "bin", "board", "active", epoch, b"")
        found.owe(node, b"L" * 8, air, 5, Outcome(COMMITTED, [5], 5), fresh=True)
    assert [(owed.node.epoch, owed.own) for owed in found.take()] == [(1, [5]), (2, [5])]
