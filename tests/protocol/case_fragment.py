"""Fragments: every size and notification, loss, reordering, doubling, noise, and the bounds of what is held."""

from kerbwire import errors, fragment
from kerbwire.errors import WireError
from kerbwire.fragment import MAX_NOTIFICATION, MIN_NOTIFICATION, WINDOW, Reader, split
from kerbwire.frame import MAX_FRAME


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def frame(number, size=MAX_FRAME):
    return bytes((number * 37 + i * 11 + (i >> 3)) & 255 for i in range(size))


def feed(reader, fragments):
    found = []
    for item in fragments:
        whole = reader.feed(item)
        if whole is not None:
            found.append(whole)
    return found


def test_every_size_in_every_notification():
    reader = Reader()
    number = 0
    notifications = list(range(MIN_NOTIFICATION, 66))
    notifications += [100, 122, 185, 243, 244, 247, 512]
    for notification in notifications:
        for size in (1, 2, notification - 2, notification - 1, notification, 2 * notification - 2, 51, 242, MAX_FRAME):
            if not 0 < size <= MAX_FRAME:
                continue
            sent = frame(number, size)
            parts = split(sent, number, notification)
            room = min(notification, MAX_NOTIFICATION) - 1
            assert len(parts) == -(-size // room) <= fragment.MAX_FRAGMENTS
            assert all(2 <= len(part) <= min(notification, MAX_NOTIFICATION) for part in parts)
            assert feed(reader, parts) == [sent], (notification, size)
            number += 1
    assert (reader.lost, reader.doubled, reader.noise) == (0, 0, 0)


def test_the_head():
    assert split(b"abc", 0, 244) == [b"\x80abc"]
    assert split(b"abc", 13, 20) == [b"\xd0abc"]
    assert split(bytes(39), 2, 20) == [b"\xa2" + bytes(19), b"\x21" + bytes(19), b"\x20" + bytes(1)]
    assert len(split(bytes(MAX_FRAME), 0, 244)) == 1
    assert [part[0] for part in split(bytes(MAX_FRAME), 7, 20)] == list(
        b"\xfc\x7b\x7a\x79\x78\x77\x76\x75\x74\x73\x72\x71\x70"
    )


def test_what_is_not_split():
    assert code(split, b"", 0, 244) == errors.TOO_LONG
    assert code(split, bytes(MAX_FRAME + 1), 0, 244) == errors.TOO_LONG
    assert code(split, b"abc", 0, MIN_NOTIFICATION - 1) == errors.RANGE
    assert code(split, b"abc", -1, MIN_NOTIFICATION) == errors.RANGE


def test_any_order_and_doubled():
    sent = frame(3)
    parts = split(sent, 3, 50)
    assert len(parts) == 5
    for turn in range(5):
        for order in (parts[turn:] + parts[:turn], parts[turn::-1] + parts[:turn:-1]):
            reader = Reader()
            assert feed(reader, order) == [sent]
            assert feed(reader, order) == [] and reader.doubled == 5
            assert (reader.lost, reader.noise) == (0, 0)
    reader = Reader()
    assert feed(reader, [part for part in parts for _ in range(2)]) == [sent]
    assert (reader.doubled, reader.lost) == (5, 0)


def test_a_lost_fragment_costs_its_frame_only():
    for missing in range(5):
        reader = Reader()
        found = []
        for number in range(42):
            parts = split(frame(number), number, 50)
            if number % 5 == 2 and number < 40:
                del parts[missing]
            found += feed(reader, parts)
        assert found == [frame(n) for n in range(42) if n % 5 != 2 or n > 40], missing
        assert reader.lost == 8 and (reader.noise, reader.doubled) == (0, 0)


def test_whole_frames_may_be_lost():
    for gap in range(1, 30):
        reader = Reader()
        found = []
        for number in (0, 1, 1 + gap, 2 + gap):
            found += feed(reader, split(frame(number), number, 50))
        assert found == [frame(n) for n in (0, 1, 1 + gap, 2 + gap)], gap
        assert (reader.lost, reader.doubled, reader.noise) == (0, 0, 0)


def test_a_part_of_long_ago_does_not_stop_its_successor():
    reader = Reader()
    feed(reader, split(frame(0), 0, 50)[:3])
    assert feed(reader, split(frame(8), 8, 50)) == [frame(8)] and reader.lost == 1
    # An older start that is shorter, and one that is longer, than the frame that comes after it under its number.
    for before, after in ((60, 243), (243, 60)):
        reader = Reader()
        feed(reader, split(frame(0, before), 0, 50)[:1])
        assert feed(reader, split(frame(8, after), 8, 50)) == [frame(8, after)] and reader.lost == 1


def test_frames_may_interleave_within_the_window():
    streams = [split(frame(n), n, 50) for n in range(WINDOW)]
    mixed = [streams[n][i] for i in range(5) for n in range(WINDOW)]
    reader = Reader()
    assert feed(reader, mixed) == [frame(n) for n in range(WINDOW)]
    streams = [split(frame(n), n, 50) for n in range(WINDOW + 1)]
    reader = Reader()
    mixed = [streams[n][i] for i in range(5) for n in range(WINDOW + 1)]
    assert feed(reader, mixed) == [] and reader.lost > 0


def test_what_is_held_is_bounded():
    reader = Reader()
    state = 1
    for _ in range(3000):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        reader.feed(bytes((state >> 8 & 255,)) + bytes(1 + (state >> 16) % 243))
        assert len(reader._frames) <= WINDOW
        assert sum(f.size for f in reader._frames) <= WINDOW * MAX_FRAME
    assert reader.noise and reader.lost and reader.doubled
    assert feed(reader, split(frame(5), 5, 50)) == [frame(5)]


def test_noise():
    reader = Reader()
    for item in (b"", b"\x80", bytes(MAX_NOTIFICATION + 1)):
        assert reader.feed(item) is None
    assert reader.noise == 3
    assert reader.feed(b"\x80" + bytes(MAX_FRAME)) == bytes(MAX_FRAME)
    # Together over the largest frame: both are noise, and the number is free again.
    assert reader.feed(b"\x91" + bytes(200)) is None
    assert reader.feed(b"\x10" + bytes(44)) is None
    assert (reader.noise, reader.lost) == (4, 0)
    assert reader.feed(b"\x91" + bytes(200)) is None
    assert reader.feed(b"\x10" + bytes(43)) == bytes(243)


def test_contradictions_start_a_frame_anew():
    for first, second in (
        (b"\x80a", b"\x80b"),  # other bytes in a finished place
        (b"\x82a", b"\x81a"),  # another start
        (b"\x82a", b"\x02a"),  # a place beyond the start
        (b"\x03a", b"\x82a"),  # a start below a place that was there
        (b"\x02a", b"\x82a"),  # the same place once as a start, once not
        (b"\x82a", b"\x04a"),
    ):
        reader = Reader()
        reader.feed(first)
        before = reader.lost + (first[0] != 0x80)
        reader.feed(second)
        assert reader.lost == before and len(reader._frames) == 1, (first, second)
        assert reader.doubled == 0


def test_trailing_bytes_make_another_frame():
    # A notification says its own length: bytes behind it become the frame's, and the seal refuses them.
    assert Reader().feed(split(b"abc", 0, 244)[0] + b"!") == b"abc!"


def test_byte_by_byte_is_no_notification():
    reader = Reader()
    for part in split(frame(1), 1, 50):
        for i in range(len(part)):
            assert reader.feed(part[i : i + 1]) is None
    assert reader.noise == MAX_FRAME + 5 and not reader._frames
