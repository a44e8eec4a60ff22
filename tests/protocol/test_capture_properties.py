"""A capture file cut, spoiled and torn at will: the reader does not care how it is fed, and never makes a frame up."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kerbwire.capture import DOWN, MAX_CHUNK, UP, Reader, Writer
from kerbwire.errors import WireError
from kerbwire.frame import MAX_FRAME

frames = st.lists(
    st.tuples(st.integers(0, 10**7), st.sampled_from((UP, DOWN)), st.binary(min_size=1, max_size=MAX_FRAME))
)


def written(rows: list[tuple[int, int, bytes]]) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    writer = Writer("ble:", None, "test")
    data, offset = writer.start(), 0
    kept = []
    for step, direction, frame in rows:
        offset += step
        data += writer.record(offset, direction, 0, frame)
        kept.append((offset, direction, frame))
    assert writer.size == len(data)
    return data, kept


@given(frames, st.lists(st.integers(0, 5000), max_size=8), st.binary(max_size=20).filter(lambda tail: 0 not in tail))
def test_any_cut(rows: list[tuple[int, int, bytes]], cuts: list[int], tail: bytes) -> None:
    data, kept = written(rows)
    reader = Reader()
    found = []
    for start, end in itertools.pairwise([0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]):
        found += reader.feed(data[start:end])
    found += reader.feed(tail)
    assert [(r.offset_us, r.direction, r.frame) for r in found] == kept
    assert (reader.damaged, reader.torn) == (0, len(tail))


@given(frames, st.lists(st.tuples(st.integers(8, 5000), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_damage(rows: list[tuple[int, int, bytes]], changes: list[tuple[int, int]]) -> None:
    data, kept = written(rows)
    spoiled = bytearray(data)
    for at, byte in changes:
        spoiled[min(at, len(data) - 1)] = byte
    reader = Reader()
    found = [(r.offset_us, r.direction, r.frame) for r in reader.feed(bytes(spoiled))]
    assert all(row in kept for row in found)
    assert len(found) >= len(kept) - 2 * len(changes)
    assert reader.torn <= MAX_CHUNK or reader.torn < len(data)


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    for start in (b"", Writer("ble:", None, "test").start()):
        reader = Reader()
        try:
            reader.feed(start + data)
        except WireError:
            assert not start
