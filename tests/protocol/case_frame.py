"""Frame header and seal: shortest forms only, every bit under the tag, the true space of `other`."""

from kerbwire import errors, frame, seal
from kerbwire.errors import WireError

SECRET = bytes(range(16))
LIFE = bytes(range(0x10, 0x18))
INSTANCE = bytes(range(0x20, 0x28))


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def test_header_round_trip():
    for space in (frame.UP, frame.DOWN, frame.GROUP):
        for epoch in (0, 3):
            for node in (1, 255, 256, 65535):
                for seq in (0, 255, 256, 65535, 65536, (1 << 24) - 1, 1 << 24, (1 << 40) - 1):
                    for context in (b"", LIFE):
                        if context and space == frame.GROUP:
                            continue
                        packed = frame.pack(space, epoch, node, seq, context)
                        header = frame.parse(packed + bytes(9))
                        found = (header.space, header.epoch, header.node, header.seq, header.context, header.size)
                        assert found == (space, epoch, node, seq, context, len(packed))


def test_usual_overhead_is_13_bytes():
    key = seal.uplink_key(SECRET, 417, LIFE)
    assert len(key.seal(frame.UP, 0, 417, 20533, b"x" * 33)) == 33 + 13


def test_only_shortest_forms():
    tail = bytes(20)
    for text in ("040001", "0100010000", "0101000a", "020100ffff", "03010000ffffff", "0301000000ffff"):
        assert code(frame.parse, bytes.fromhex(text) + tail) in (errors.NOT_CANONICAL, errors.RANGE), text
    assert code(frame.parse, b"\x04\x00\xff\x01" + tail) == errors.NOT_CANONICAL
    assert code(frame.parse, b"\x01\x05\x00\xff" + tail) == errors.NOT_CANONICAL
    assert code(frame.parse, b"\x02\x05\x00\xff\xff" + tail) == errors.NOT_CANONICAL
    assert code(frame.parse, b"\x03\x05\x00\x00\xff\xff\xff" + tail) == errors.NOT_CANONICAL


def test_refused_headers():
    tail = bytes(20)
    assert code(frame.parse, b"\x80\x01\x00" + tail) == errors.UNSUPPORTED  # version 1
    assert code(frame.parse, b"\x00\x00\x00" + tail) == errors.RANGE  # node 0
    for other in (0, 1, 2, 3, 6, 7, 8, 12, 0x14, 0xFC, 0xFF):  # no context, group, reserved bits
        assert code(frame.parse, bytes((0x60, other)) + b"\x01\x00" + tail) == errors.UNSUPPORTED, other
    assert code(frame.parse, bytes(frame.MAX_FRAME + 1)) == errors.TOO_LONG
    whole = frame.pack(frame.UP, 0, 417, 300, LIFE) + bytes(9)
    for size in range(len(whole)):
        assert code(frame.parse, whole[:size]) == errors.TRUNCATED, size


def test_numbers_out_of_range_are_not_packed():
    for args in ((3, 0, 1, 0), (0, 4, 1, 0), (0, 0, 0, 0), (0, 0, 65536, 0), (0, 0, 1, 1 << 40), (0, 0, 1, -1)):
        assert code(frame.pack, *args) == errors.RANGE
    assert code(frame.pack, 0, 0, 1, 0, b"short") == errors.RANGE
    assert code(frame.pack, frame.GROUP, 0, 1, 0, LIFE) == errors.RANGE


def test_a_frame_opens_under_its_own_key_only():
    up = seal.uplink_key(SECRET, 417, LIFE)
    sealed = up.seal(frame.UP, 0, 417, 7, b"message", LIFE)
    header = frame.parse(sealed)
    assert up.open(sealed, header) == b"message"
    for other in (
        seal.uplink_key(bytes(16), 417, LIFE),
        seal.uplink_key(SECRET, 416, LIFE),
        seal.uplink_key(SECRET, 417, INSTANCE),
        seal.downlink_key(SECRET, LIFE, INSTANCE),
    ):
        assert code(other.open, sealed, header) == errors.UNSEALED


def test_every_single_bit_counts():
    key = seal.downlink_key(SECRET, LIFE, INSTANCE)
    for context in (b"", INSTANCE):
        sealed = key.seal(frame.DOWN, 1, 9, 300, b"\x82\x08\xa0", context)
        for bit in range(8 * len(sealed)):
            changed = bytearray(sealed)
            changed[bit >> 3] ^= 1 << (bit & 7)
            changed = bytes(changed)
            try:
                header = frame.parse(changed)
            except WireError:
                continue
            assert code(key.open, changed, header) == errors.UNSEALED, bit


def test_every_truncation_is_refused():
    key = seal.uplink_key(SECRET, 9, LIFE)
    sealed = key.seal(frame.UP, 0, 9, 300, b"message")
    for size in range(len(sealed)):
        cut = sealed[:size]
        try:
            header = frame.parse(cut)
        except WireError:
            continue
        assert code(key.open, cut, header) == errors.UNSEALED, size


def test_sizes():
    key = seal.uplink_key(SECRET, 65535, LIFE)
    assert len(key.seal(frame.UP, 0, 65535, frame.MAX_SEQ, bytes(frame.MAX_MESSAGE))) == frame.MAX_FRAME
    assert code(key.seal, frame.UP, 0, 65535, frame.MAX_SEQ, bytes(frame.MAX_MESSAGE + 1)) == errors.TOO_LONG
    assert code(key.seal, frame.UP, 0, 1, 0, b"") == errors.TOO_LONG


def test_bad_key_material_is_refused():
    assert code(seal.uplink_key, bytes(15), 1, LIFE) == errors.RANGE
    assert code(seal.uplink_key, SECRET, 1, b"") == errors.RANGE
    assert code(seal.downlink_key, SECRET, LIFE, b"1234567") == errors.RANGE


def test_a_key_never_shows_itself():
    assert repr(seal.uplink_key(SECRET, 1, LIFE)) == "<Key>"
