"""Numbers that never change, and the last value on either side of each bound."""

from kerbwire import cbor, ccm, channels, errors, frame, line, messages, seal
from kerbwire.errors import WireError
from kerbwire.messages import Record
from kerbwire.window import DUPLICATE, NEW, REPLAY, WIDTH, Window

CHANNELS = (  # id, name, numerator, denominator, low, high
    (0, "fill", 1, 1, 0, 100), (1, "distance", 1, 1, 0, 12000), (2, "temperature", 1, 2, -110, 250),
    (3, "battery", 1, 100, 0, 2000), (4, "tilt", 1, 1, 0, 180), (5, "quality", 1, 1, 0, 65535),
    (8, "trouble", 1, 1, 0, 255), (9, "raw", 1, 1, 0, 65535),
    (16, "level", 1, 1, 0, 100), (17, "power", 1, 10, 0, 20000), (18, "energy", 1, 1, 0, 2147483640),
    (19, "lux", 1, 1, 0, 160), (20, "hours", 1, 1, 0, 1048576), (21, "presence", 1, 1, 0, 65535),
    (22, "supply", 1, 1, 0, 500), (23, "faults", 1, 1, 0, 65535),
)  # fmt: skip


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def test_channels_keep_their_numbers():
    for ident, name, numerator, denominator, low, high in CHANNELS:
        row = channels.CHANNELS[ident]
        found = (row.ident, row.name, row.numerator, row.denominator, row.low, row.high)
        assert found == (ident, name, numerator, denominator, low, high), name
    assert (channels.NOT_FITTED, channels.NO_ECHO, channels.FAULT) == (-536870912, -536870911, -536870910)
    flags = (
        channels.FEW_ECHOES, channels.SPREAD_ECHOES, channels.BELOW_RANGE, channels.ABOVE_RANGE, channels.UNCORRECTED,
    )  # fmt: skip
    assert flags == (1, 2, 4, 8, 16)
    flags = (
        channels.COVERED, channels.OPEN_LID, channels.NOT_UPRIGHT, channels.WEAK_ECHO, channels.WRAPPED_ECHO,
        channels.ROUGH_TEMPERATURE, channels.FAULTY_PART,
    )  # fmt: skip
    assert flags == (32, 64, 128, 256, 512, 1024, 2048)
    assert (channels.BIN, channels.LAMP, channels.MAX_CHANNEL) == (0, 1, 31)


def test_kinds_and_causes_keep_their_numbers():
    causes = (
        messages.POWER_ON, messages.HARD, messages.WATCHDOG, messages.DEEP_SLEEP, messages.SOFT, messages.BROWN_OUT,
    )  # fmt: skip
    assert causes == (0, 1, 2, 3, 4, 5)
    assert (messages.HELLO, messages.REPORT, messages.ACK, messages.CHALLENGE) == (0, 1, 8, 11)
    assert messages.PROTOCOL_VERSION == 1


def test_window_verdicts_differ():
    assert len({NEW, DUPLICATE, REPLAY}) == 3 and WIDTH == 64
    assert (Window().top, Window().bits) == (-1, 0)
    window = Window(100, (1 << 64) - 1)
    assert window.check(37) == DUPLICATE and window.check(36) == REPLAY and window.check(101) == NEW
    window.accept(163)
    assert window.bits == 1 << 63 | 1
    window.accept(227)
    assert window.bits == 1


def test_records_compare_by_every_field():
    record = Record(5, 60, {0: 1})
    assert record == Record(5, 60, {0: 1})
    for other in (Record(6, 60, {0: 1}), Record(5, 61, {0: 1}), Record(5, 60, {0: 2}), Record(5, 60, {}), 5, None):
        assert not record == other, other  # noqa: SIM201  the operator itself is under test
    assert repr(record) == "Record(5, 60, {0: 1})"


def test_constant_time_compare():
    assert ccm.equal(b"", b"") and ccm.equal(b"\x01\x02", b"\x01\x02")
    for a, b in (
        (b"", b"\x00"),
        (b"\x00", b""),
        (b"\x01", b"\x02"),
        (b"\x01\x02", b"\x01\x03"),
        (b"\x01\x02", b"\x00\x02"),
    ):
        assert not ccm.equal(a, b), (a, b)
    assert not ccm.equal(b"\xff\x00\x00", b"\x00\x00\x00")
    assert ccm.equal(b"", b"\x00") is False and ccm.equal(b"a", b"b") is False and ccm.equal(b"a", b"a") is True


def test_bounds_of_the_cipher():
    def identity(blocks):
        assert len(blocks) % 16 == 0
        return blocks

    cipher = ccm.Ccm(identity, identity)
    nonce = bytes(13)
    for aad, message, expected in (
        (b"", b"m", errors.RANGE), (bytes(1), b"m", None), (bytes(ccm.MAX_AAD), b"m", None),
        (bytes(ccm.MAX_AAD + 1), b"m", errors.RANGE), (b"a", bytes(ccm.MAX_PLAINTEXT), None),
        (b"a", bytes(ccm.MAX_PLAINTEXT + 1), errors.RANGE), (b"a", b"", None),
    ):  # fmt: skip
        assert code(cipher.encrypt, nonce, message, aad) == expected, (len(aad), len(message))
    assert code(cipher.encrypt, bytes(12), b"m", b"a") == errors.RANGE
    assert code(cipher.encrypt, bytes(14), b"m", b"a") == errors.RANGE
    assert code(cipher.decrypt, bytes(12), bytes(9), b"a") == errors.RANGE
    assert code(cipher.decrypt, nonce, bytes(9), b"") == errors.RANGE
    for size in range(8):
        assert code(cipher.decrypt, nonce, bytes(size), b"a") == errors.TRUNCATED, size
    assert cipher.decrypt(nonce, cipher.encrypt(nonce, b"", b"a"), b"a") == b""


def test_bounds_of_utf8():
    for text in (
        "c280",
        "dfbf",
        "e0a080",
        "e18080",
        "ecbfbf",
        "ed9fbf",
        "ee8080",
        "efbfbf",
        "f0908080",
        "f1808080",
        "f48fbfbf",
        "7f",
    ):
        data = bytes((0x60 | len(text) // 2,)) + bytes.fromhex(text)
        assert cbor.encode(cbor.decode(data)) == data, text
        for more in ("41", "c2a2"):
            tail = bytes((0x60 | (len(text) + len(more)) // 2,)) + bytes.fromhex(text + more)
            assert cbor.encode(cbor.decode(tail)) == tail, text + more
    for text in (
        "80", "bf", "c0af", "c1bf", "c27f", "c2c0", "dfc0", "df7f", "e09fbf", "e0a07f", "e0a0c0", "e17fbf", "e1c080",
        "eda080", "edbfbf", "efbf", "efbfc0", "f08fbfbf", "f0908f", "f090807f", "f09080c0", "f0907f80", "f1c08080",
        "f4908080", "f5808080", "ff", "c2", "e0a0", "f09080",
    ):  # fmt: skip
        data = bytes((0x60 | len(text) // 2,)) + bytes.fromhex(text)
        assert code(cbor.decode, data) == errors.UNSUPPORTED, text
        assert code(cbor.decode, bytes((data[0] + 1,)) + data[1:] + b"A") == errors.UNSUPPORTED, text


def test_depth_counts_for_maps_and_arrays_alike():
    for wrap in (lambda item: [item], lambda item: {0: item}):
        item = 7
        for depth in range(cbor.MAX_DEPTH + 2):
            inside = depth <= cbor.MAX_DEPTH
            assert code(cbor.encode, item) == (None if inside else errors.TOO_DEEP), depth
            if inside:
                data = cbor.encode(item)
                assert cbor.decode(data) == item
                head = data[:1] if data[:1] == b"\x81" else b"\xa1\x00"
                deeper = head + data
                assert code(cbor.decode, deeper) == (None if depth < cbor.MAX_DEPTH else errors.TOO_DEEP), depth
            item = wrap(item)


def test_each_width_of_a_number():
    for number, size in (
        (23, 1), (24, 2), (255, 2), (256, 3), (65535, 3), (65536, 5), ((1 << 32) - 1, 5), (1 << 32, 9), ((1 << 64) - 1, 9),
    ):  # fmt: skip
        assert len(cbor.encode(number)) == len(cbor.encode(-1 - number)) == size, number
        assert len(cbor.encode([number])) == size + 1
    for size in (0, 1, 23, 24, 255, 256, 4093):
        data = cbor.encode(bytes(size))
        assert cbor.decode(data) == bytes(size)
        assert code(cbor.decode, data[:-1]) == errors.TRUNCATED
    assert code(cbor.encode, bytes(4094)) == errors.TOO_LONG
    assert cbor.MAX_SIZE == 4096 and len(cbor.encode(bytes(4093))) == 4096


def test_a_long_chunk_is_never_held():
    for piece in (1, 7, 100, 240):
        reader = line.Reader()
        for _ in range(1000 // piece):
            assert reader.feed(b"\x55" * piece) == []
            assert len(reader._chunk) <= line.MAX_CHUNK, piece
        assert reader.noise == 1
    for size, frames in ((line.MAX_CHUNK, 1), (line.MAX_CHUNK + 1, 0)):
        reader = line.Reader()
        encoded = line.cobs_encode(b"\xee" * (size - 3) + line.crc16(b"\xee" * (size - 3)).to_bytes(2, "big"))
        assert len(encoded) == size
        assert len(reader.feed(encoded[:100]) + reader.feed(encoded[100:] + b"\x00")) == frames, size


def test_a_nodes_ident_is_its_address():
    for node, ident in ((1, b"\x01"), (255, b"\xff"), (256, b"\x01\x00"), (65535, b"\xff\xff")):
        assert seal.node_ident(node) == ident


def test_the_last_channel_of_the_mask():
    for ident in (23, 30, 31):
        row = channels.CHANNELS.get(ident)
        mask = 1 << ident
        written = b""
        while mask > 127:
            written += bytes((mask & 127 | 128,))
            mask >>= 7
        body = bytes.fromhex("0000050164") + written + bytes((mask,)) + b"\x01\x05"
        report = messages.decode(cbor.encode([messages.REPORT, body]), 0)
        assert report.skipped == (0 if row else 1), ident
        assert report.records == [Record(5, 100, {ident: row.low + 2} if row else {})]
        assert code(messages.decode, cbor.encode([messages.REPORT, body[:-2]]), 0) == errors.TRUNCATED, ident


def test_the_largest_frame_is_read():
    whole = frame.pack(frame.UP, 0, 417, 300) + bytes(frame.MAX_FRAME)
    assert frame.MAX_FRAME == 243
    assert frame.parse(whole[:243]).size == 5
    assert code(frame.parse, whole[:244]) == errors.TOO_LONG
    assert frame.parse(whole[:14]).size == 5 and code(frame.parse, whole[:13]) == errors.TRUNCATED


def test_bounds_of_hello_and_ack():
    fields = {
        1: 255, 2: 255, 3: " " + "b" * 23, 4: "~" * 24, 5: bytes(8), 6: 255, 7: (1 << 32) - 1, 8: bytes(8), 9: (1 << 32) - 1,
        10: [(1 << 32) - 1, (1 << 32) - 1] * 8, 11: bytes(8),
    }  # fmt: skip
    assert code(messages.decode, cbor.encode([messages.HELLO, fields]), frame.UP) is None
    for field, value in (
        (1, 256), (2, 256), (3, "b" * 25), (4, "f" * 25), (5, bytes(9)), (6, 256), (7, 1 << 32), (8, bytes(7)),
        (9, 1 << 32), (10, [1 << 32, 1]), (10, [1, 1 << 32]), (10, [1, 0]), (10, [1, 1] * 9), (11, bytes(9)),
        (3, "\x7f"), (3, "\x1f"),
    ):  # fmt: skip
        changed = dict(fields)
        changed[field] = value
        assert code(messages.decode, cbor.encode([messages.HELLO, changed]), frame.UP) is not None, (field, value)
    seq = (1 << 40) - 1
    for fields, fits in (
        ({0: seq, 1: [seq] * 16, 2: (1 << 32) - 1, 3: True}, True), ({0: seq + 1, 1: []}, False),
        ({0: 1, 1: [seq + 1]}, False), ({0: 1, 1: [0] * 17}, False), ({0: 1, 1: [], 2: 1 << 32}, False),
    ):  # fmt: skip
        assert (code(messages.decode, cbor.encode([messages.ACK, fields]), frame.DOWN) is None) == fits, fields


def test_the_last_index():
    for index, count, expected in (
        ("feffffff0f", "01", None), ("ffffffff0f", "01", errors.RANGE), ("fdffffff0f", "02", None),
        ("feffffff0f", "02", errors.RANGE),
    ):  # fmt: skip
        body = bytes.fromhex("0000" + index + count + "64" + ("05" if count == "02" else "") + "00")
        assert code(messages.decode, cbor.encode([messages.REPORT, body]), frame.UP) == expected, (index, count)
