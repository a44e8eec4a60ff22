"""Serial framing: fed whole, byte by byte, with trailing bytes, through noise."""

from kerbwire import errors, line
from kerbwire.errors import WireError
from kerbwire.frame import MAX_FRAME

FRAMES = (b"\x00", b"\x01\x02\x03", bytes(40), bytes(range(1, 200)), bytes((i * 7) & 255 for i in range(MAX_FRAME)))


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def test_whole_byte_by_byte_and_trailing():
    stream = b"".join(line.encode(f) for f in FRAMES)
    assert line.Reader().feed(stream) == list(FRAMES)
    reader = line.Reader()
    found = []
    for i in range(len(stream)):
        found += reader.feed(stream[i : i + 1])
    assert found == list(FRAMES) and reader.noise == 0
    reader = line.Reader()
    assert reader.feed(stream + b"\x05tail") == list(FRAMES)
    assert reader.feed(b"\x00") == [] and reader.noise == 1


def test_an_encoded_frame_fits_the_reader():
    for frame in (bytes(MAX_FRAME), b"\xff" * MAX_FRAME):
        encoded = line.encode(frame)
        assert len(encoded) <= line.MAX_CHUNK + 1 and b"\x00" not in encoded[:-1]
        assert line.Reader().feed(encoded) == [frame]


def test_frames_out_of_range():
    assert code(line.encode, b"") == errors.TOO_LONG
    assert code(line.encode, bytes(MAX_FRAME + 1)) == errors.TOO_LONG


def test_any_changed_bit_is_noise():
    encoded = line.encode(b"sixteen bytes ok")
    for bit in range(8 * (len(encoded) - 1)):
        changed = bytearray(encoded)
        changed[bit >> 3] ^= 1 << (bit & 7)
        reader = line.Reader()
        assert reader.feed(bytes(changed)) == [], bit
        assert reader.noise >= 1


def test_the_next_frame_after_noise_is_read():
    good = line.encode(b"good")
    for noise in (b"\x01", b"\xff\xff\xff", bytes(range(1, 256)) * 5, b"\x03a\x00\x02b\x00", good[:-2]):
        reader = line.Reader()
        assert reader.feed(noise + b"\x00" + good) == [b"good"], noise
        assert reader.noise >= 1


def test_an_endless_chunk_is_bounded():
    reader = line.Reader()
    for _ in range(100):
        assert reader.feed(b"\x55" * 100) == []
    assert reader.noise == 1 and len(reader._chunk) <= line.MAX_CHUNK
    assert reader.feed(b"\x00" + line.encode(b"after")) == [b"after"]


def test_idle_delimiters_are_no_noise():
    reader = line.Reader()
    assert reader.feed(bytes(10)) == [] and reader.noise == 0


def test_cobs_has_one_form():
    full = bytes(range(1, 255))
    assert line.cobs_encode(full) == b"\xff" + full
    assert line.cobs_encode(full + b"\x00") == b"\xff" + full + b"\x01\x01"
    assert line.cobs_encode(full + b"\x01") == b"\xff" + full + b"\x02\x01"
    assert code(line.cobs_decode, b"\xff" + full + b"\x01") == errors.NOT_CANONICAL
    assert code(line.cobs_decode, b"") == errors.TRUNCATED
    assert code(line.cobs_decode, b"\x05ab") == errors.TRUNCATED
    assert code(line.cobs_decode, b"\x02a\x00") == errors.UNSUPPORTED
    for size in range(250, 262):
        for tail in (b"", b"\x00", b"\x00\x01", b"\x01"):
            data = b"\x07" * size + tail
            encoded = line.cobs_encode(data)
            assert b"\x00" not in encoded and line.cobs_decode(encoded) == data
