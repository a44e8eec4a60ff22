"""A channel that loses, doubles and reorders notifications: what comes out was sent, once, and loss stays local."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kerbwire.fragment import MAX_NOTIFICATION, MIN_NOTIFICATION, NUMBERS, WINDOW, Reader, split
from kerbwire.frame import MAX_FRAME


@st.composite
def frames(draw: st.DrawFn) -> list[bytes]:
    sizes = draw(st.lists(st.integers(12, MAX_FRAME), min_size=1, max_size=30))
    # Sealed frames differ in every fragment; here the frame's place and the byte's make them differ.
    return [bytes((n * 89 + i * 7 + (i >> 5) * n + 1) & 255 for i in range(size)) for n, size in enumerate(sizes)]


@given(frames(), st.integers(MIN_NOTIFICATION, MAX_NOTIFICATION), st.data())
@settings(max_examples=300, deadline=None)
def test_loss_and_doubling_in_order(sent: list[bytes], notification: int, data: st.DataObject) -> None:
    reader = Reader()
    found: list[bytes] = []
    expected: list[bytes] = []
    gone = 0  # frames in a row of which nothing arrived, since the last fragment that did
    for number, frame in enumerate(sent):
        whole = True
        any_came = False
        for part in split(frame, number, notification):
            copies = data.draw(st.sampled_from((1, 1, 1, 1, 0, 2)))
            if copies == 0 and not any_came and gone >= NUMBERS - WINDOW - 1:
                copies = 1  # as many whole frames lost in a row may bring a number round to parts that are kept
            whole = whole and copies > 0
            any_came = any_came or copies > 0
            for _ in range(copies):
                got = reader.feed(part)
                if got is not None:
                    found.append(got)
        gone = 0 if any_came else gone + 1
        if whole:
            expected.append(frame)
    assert found == expected
    assert reader.noise == 0 and reader.lost <= len(sent) - len(expected)


@given(frames(), st.integers(MIN_NOTIFICATION, MAX_NOTIFICATION), st.data())
@settings(max_examples=300, deadline=None)
def test_reordering_within_the_window(sent: list[bytes], notification: int, data: st.DataObject) -> None:
    """Fragments of at most WINDOW frames at a time, in any order and doubled: each whole frame comes out once."""
    reader = Reader()
    for start in range(0, len(sent), WINDOW):
        batch = sent[start : start + WINDOW]
        parts = [part for i, frame in enumerate(batch) for part in split(frame, start + i, notification)]
        order = data.draw(st.permutations(range(len(parts)))) if len(parts) > 1 else range(len(parts))
        again = data.draw(st.sets(st.integers(0, len(parts) - 1), max_size=4))
        found = [reader.feed(parts[i]) for i in [*order, *again]]
        assert sorted(got for got in found if got is not None) == sorted(batch)
    assert (reader.lost, reader.noise) == (0, 0)


@given(st.lists(st.binary(max_size=MAX_NOTIFICATION + 2), max_size=60))
def test_any_notifications_at_all(stream: list[bytes]) -> None:
    reader = Reader()
    for part in stream:
        got = reader.feed(part)
        assert got is None or 0 < len(got) <= MAX_FRAME
        assert len(reader._frames) <= WINDOW and sum(f.size for f in reader._frames) <= WINDOW * MAX_FRAME
