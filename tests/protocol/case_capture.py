"""The capture file: whole, byte by byte, with trailing bytes; torn, damaged and zeroed; nothing secret in it."""

from kerbwire import capture, errors
from kerbwire.capture import DOWN, MAGIC, UP, Reader, Writer, public_url
from kerbwire.errors import WireError
from kerbwire.frame import MAX_FRAME

FRAMES = (b"\x01", bytes(MAX_FRAME), b"\xff" * MAX_FRAME, bytes(range(1, 200)), b"\x00\x00")


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def writer():
    return Writer("serial:/dev/ttyACM0?baud=115200", 1765454400123, "kerb 0.1.0")


def pieces():
    made = writer()
    found = [made.start()]
    for i, frame in enumerate(FRAMES):
        found.append(made.record(i * 1000, i & 1, i, frame))
    assert made.size == sum(map(len, found))
    return found


def shown(records):
    return [(r.offset_us, r.direction, r.link, r.frame) for r in records]


ALL = [(i * 1000, i & 1, i, frame) for i, frame in enumerate(FRAMES)]


def check_head(head):
    assert (head.url, head.start_ms, head.program) == ("serial:/dev/ttyACM0?baud=115200", 1765454400123, "kerb 0.1.0")


def test_whole_byte_by_byte_and_trailing():
    stream = b"".join(pieces())
    reader = Reader()
    assert shown(reader.feed(stream)) == ALL
    check_head(reader.head)
    assert (reader.damaged, reader.torn) == (0, 0)
    reader, found = Reader(), []
    for i in range(len(stream)):
        found += reader.feed(stream[i : i + 1])
    assert shown(found) == ALL and (reader.damaged, reader.torn) == (0, 0)
    check_head(reader.head)
    reader = Reader()
    assert shown(reader.feed(stream + b"tail")) == ALL
    assert (reader.damaged, reader.torn) == (0, 4)


def test_a_file_torn_anywhere_gives_every_whole_record():
    parts = pieces()
    stream = b"".join(parts)
    ends = [sum(map(len, parts[: i + 1])) for i in range(len(parts))]
    for size in range(len(stream)):
        reader = Reader()
        found = shown(reader.feed(stream[:size]))
        whole = sum(end <= size for end in ends)
        assert found == ALL[: max(0, whole - 1)], size
        assert reader.damaged == 0
        assert reader.torn == size - (ends[whole - 1] if whole else len(MAGIC) if size >= len(MAGIC) else 0), size


def test_a_damaged_record_costs_itself():
    parts = pieces()
    for at in range(1, len(parts)):
        for changed in (
            b"",
            parts[at][:-3] + b"\x00",
            parts[at][:4] + bytes((parts[at][4] ^ 1 or 7,)) + parts[at][5:],
            bytes(64),
        ):
            reader = Reader()
            found = shown(reader.feed(b"".join(parts[:at]) + changed + b"\x00" + b"".join(parts[at + 1 :])))
            assert found == ALL[: at - 1] + ALL[at:], (at, changed)
            assert reader.damaged == (any(changed))
            assert reader.torn == 0


def test_a_damaged_head_costs_the_head_only():
    parts = pieces()
    reader = Reader()
    assert shown(reader.feed(MAGIC + b"\x05xx\x00" + b"".join(parts[1:]))) == ALL
    assert reader.head is None and reader.damaged == 1


def test_every_changed_bit_is_noticed():
    parts = pieces()
    start, record = parts[0], parts[1]
    for bit in range(8 * (len(record) - 1)):
        changed = bytearray(record)
        changed[bit >> 3] ^= 1 << (bit & 7)
        reader = Reader()
        assert reader.feed(start + bytes(changed)) == [] and reader.damaged >= 1, bit


def test_what_is_no_capture_file():
    for data in (b"KCAQ", b"0501a150", b"\x00" * 20, MAGIC[:3] + b"x", b"KCAP\n\x1a\x00"):
        assert code(Reader().feed, data) == errors.UNSUPPORTED, data
    reader = Reader()
    reader.feed(MAGIC[:4])
    assert code(reader.feed, b"\n\x1a\x00") == errors.UNSUPPORTED
    later = MAGIC + capture._encode([2, "new:", 5])
    assert code(Reader().feed, later) == errors.UNSUPPORTED
    assert Reader().feed(b"") == []


def test_bodies_that_no_writer_makes():
    start = writer().start()
    for body in (
        5, [], [1], {1: 2}, [1, UP, 0], [1, UP, 0, b"x", 0], [1, 2, 0, b"x"], [1, UP, 65536, b"x"], [-1, UP, 0, b"x"],
        [1, UP, 0, b""], [1, UP, 0, bytes(MAX_FRAME + 1)], [1 << 53, UP, 0, b"x"], [True, UP, 0, b"x"],
        [1, UP, 0, 7], [1, "x:", None, "y"], [b"", UP, 0, b"x"], [1, True, 0, b"x"],
    ):  # fmt: skip
        reader = Reader()
        assert reader.feed(start + capture._encode(body)) == [] and reader.damaged == 1, body
    for body in (
        [1, "x:", None], [1, "x:", -1, "y"], [1, "x:", 1 << 53, "y"], [1, "x\n", None, "y"], [1, "x\x7f", None, "y"], [1, "x\x1f", None, "y"], [1, "x:", None, "y" * 41],
        [1, "x" * 201, None, "y"], [1, "x:", None, 5], [1, "x:", "5", "y"], [True, "x:", None, "y"],
    ):  # fmt: skip
        reader = Reader()
        assert reader.feed(MAGIC + capture._encode(body)) == [] and reader.damaged == 1, body
        assert reader.head is None
    reader = Reader()
    assert reader.feed(MAGIC + capture._encode([1, "x" * 200, (1 << 53) - 1, "y" * 40])) == []
    assert reader.head and reader.damaged == 0


def test_time_never_falls():
    made = writer()
    made.start()
    made.record(5, UP, 0, b"x")
    made.record(5, DOWN, 0, b"x")
    assert code(made.record, 4, UP, 0, b"x") == errors.RANGE
    first, late = writer(), writer()
    stream = first.start() + first.record(9, UP, 0, b"x") + late.record(8, UP, 0, b"y") + late.record(9, UP, 0, b"z")
    reader = Reader()
    assert [r.frame for r in reader.feed(stream)] == [b"x", b"z"] and reader.damaged == 1


def test_what_is_not_written():
    for args, expected in (
        ((0, 2, 0, b"x"), errors.RANGE), ((0, UP, 1 << 16, b"x"), errors.RANGE), ((-1, UP, 0, b"x"), errors.RANGE),
        ((1 << 53, UP, 0, b"x"), errors.RANGE), ((0, UP, 0, b""), errors.TOO_LONG),
        ((0, UP, 0, bytes(MAX_FRAME + 1)), errors.TOO_LONG), ((0, UP, 0.5, b"x"), errors.TYPE),
    ):  # fmt: skip
        made = writer()
        assert code(made.record, *args) == expected, args
        assert made.size == 0
    assert code(Writer, "x" * 201, 0, "p") == errors.TOO_LONG
    assert code(Writer, "x:", 0, "p" * 41) == errors.TOO_LONG
    assert code(Writer, "x:", -1, "p") == errors.RANGE
    assert code(Writer, "x:\u20ac", 0, "p") == errors.TYPE
    unset = Writer("x:", None, "p")
    reader = Reader()
    reader.feed(unset.start())
    assert reader.head.start_ms is None


def test_what_is_held_is_bounded():
    largest = writer().record(capture.MAX_OFFSET_US, DOWN, capture.MAX_LINK, b"\xff" * MAX_FRAME)
    assert len(largest) == capture.MAX_CHUNK + 1 == 266
    reader = Reader()
    reader.feed(writer().start())
    assert [r.frame for r in reader.feed(largest)] == [b"\xff" * MAX_FRAME]
    longest = Writer("u" * capture.MAX_URL, capture.MAX_OFFSET_US, "p" * capture.MAX_PROGRAM).start()
    assert len(longest) < capture.MAX_CHUNK + len(MAGIC)
    reader = Reader()
    reader.feed(writer().start())
    for _ in range(50):
        assert reader.feed(b"\x55" * 100) == []
        assert len(reader._chunk) <= capture.MAX_CHUNK
    assert reader.torn == 5000 and reader.damaged == 0
    assert [r.frame for r in reader.feed(b"\x00" + writer().record(1, UP, 0, b"after"))] == [b"after"]
    assert (reader.torn, reader.damaged) == (0, 1)
    reader = Reader()
    reader.feed(writer().start())
    reader.feed(b"\x55" * capture.MAX_CHUNK + b"\x00")
    assert (reader.torn, reader.damaged) == (0, 1)


def test_a_link_is_written_down_without_its_secrets():
    for url, expected in (
        ("serial:/dev/ttyACM0?baud=115200", "serial:/dev/ttyACM0?baud=115200"),
        ("mqtt://user:pass@host:1883/site", "mqtt://host:1883/site"),
        ("mqtts://u:p@ss/wo?rd#x@host:8883/site?token=abc&baud=9600", "mqtts://host:8883/site?baud=9600"),
        ("mqtt://host/site?password=a&client=b#frag", "mqtt://host/site"),
        ("replay:capture.kcap", "replay:capture.kcap"), ("ble:", "ble:"), ("user:pass@host", "user:host"), ("", ""),
    ):  # fmt: skip
        assert public_url(url) == expected, url
        assert public_url(expected) == expected
    assert b"secret" not in Writer("mqtt://me:secret@host/", 0, "p").start()


def test_the_bytes():
    """The example of CAPTURE.md."""
    made = Writer("ble:", None, "kerb 0.1.0")
    head = "4b4341500d0a1a00" + "18840164626c653af66a6b65726220302e312e30f0cf52cc00"
    assert made.start() == bytes.fromhex(head)
    frame = "0501a15037b2cb0782d37b01ea2539717e6572cf000a118b95dc3c821cb279a8b489"
    record = "05841905dc011758220501a15037b2cb0782d37b01ea2539717e6572cf120a118b95dc3c821cb279a8b489697af08100"
    assert made.record(1500, UP, 0, bytes.fromhex(frame)) == bytes.fromhex(record)
