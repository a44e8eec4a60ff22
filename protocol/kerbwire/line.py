"""Serial framing: COBS (Cheshire and Baker, 1999) with a zero delimiter, CRC-16/IBM-3740 big-endian at the end.

For USB, RS-485 and radio modems. Noise is skipped and counted; the next delimiter is always a fresh start.
"""

from kerbwire.errors import NOT_CANONICAL, TOO_LONG, TRUNCATED, UNSUPPORTED, WireError
from kerbwire.frame import MAX_FRAME

try:
    from binascii import crc_hqx as _crc  # type: ignore

    def crc16(data: bytes) -> int:
        """CRC-16/IBM-3740: polynomial 0x1021, initial 0xFFFF, check value 0x29B1."""
        return _crc(data, 0xFFFF)
except ImportError:  # MicroPython: by the nibble, which costs a table of 16 numbers and no time worth saving
    _TABLE = (
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
        0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
    )  # fmt: skip

    def crc16(data: bytes) -> int:
        """CRC-16/IBM-3740: polynomial 0x1021, initial 0xFFFF, check value 0x29B1."""
        table = _TABLE
        crc = 0xFFFF
        for byte in data:
            crc = (crc << 4 & 0xFFFF) ^ table[crc >> 12 ^ byte >> 4]
            crc = (crc << 4 & 0xFFFF) ^ table[crc >> 12 ^ byte & 15]
        return crc


CRC_SIZE = 2
_FULL = 254  # the most data bytes in one COBS group
MAX_CHUNK = MAX_FRAME + CRC_SIZE + 1  # encoded bytes between two delimiters: COBS adds one to fewer than 255


def cobs_encode(data: bytes) -> bytes:
    """Data without a zero byte, one byte longer for each started run of 254; without the delimiter."""
    out = bytearray()
    at, size = 0, len(data)
    while True:
        zero = data.find(b"\x00", at)
        end = size if zero < 0 else zero
        while end - at >= _FULL:
            out.append(255)
            out += data[at : at + _FULL]
            at += _FULL
        # A full group ends without a zero, so at the end of the data nothing more needs to be said.
        if zero >= 0 or end > at or not size or data[size - 1] == 0:
            out.append(end - at + 1)
            out += data[at:end]
        if zero < 0:
            return bytes(out)
        at = zero + 1


def cobs_decode(encoded: bytes) -> bytes:
    """The inverse; WireError for a zero inside, a group that runs over the end, or a form that is never written."""
    out = bytearray()
    at, size = 0, len(encoded)
    if not size:
        raise WireError(TRUNCATED, "COBS")
    while at < size:
        code = encoded[at]
        if code == 0 or at + code > size:
            raise WireError(TRUNCATED if code else UNSUPPORTED, "COBS")
        group = encoded[at + 1 : at + code]
        if b"\x00" in group:
            raise WireError(UNSUPPORTED, "COBS")
        out += group
        at += code
        if code != 255 and at < size:
            out.append(0)
        elif code == 255 and at == size - 1 and encoded[at] == 1:
            raise WireError(NOT_CANONICAL, "COBS")
    return bytes(out)


def encode(frame: bytes) -> bytes:
    """A frame as it goes on the line: COBS of frame and CRC, then the delimiter."""
    if not 0 < len(frame) <= MAX_FRAME:
        raise WireError(TOO_LONG, "frame")
    return cobs_encode(frame + crc16(frame).to_bytes(CRC_SIZE, "big")) + b"\x00"


class Reader:
    """Frames out of a stream of bytes, however it is cut. Holds at most MAX_CHUNK bytes.

    noise: chunks that were no frame, counted. A chunk that grows over MAX_CHUNK is dropped up to the next delimiter.
    """

    def __init__(self) -> None:
        self.noise = 0
        self._chunk = b""
        self._skipping = False

    def feed(self, data: bytes) -> "list[bytes]":
        """The frames that these bytes complete; never raises."""
        frames: "list[bytes]" = []
        parts = bytes(data).split(b"\x00")
        last = len(parts) - 1
        for i, part in enumerate(parts):
            if not self._skipping:
                if len(self._chunk) + len(part) > MAX_CHUNK:
                    self.noise += 1
                    self._skipping = True
                    self._chunk = b""
                else:
                    self._chunk += part
            if i < last:
                if self._chunk:
                    self._finish(frames)
                self._chunk = b""
                self._skipping = False
        return frames

    def _finish(self, frames: "list[bytes]") -> None:
        try:
            checked = cobs_decode(self._chunk)
        except WireError:
            self.noise += 1
            return
        frame, crc = checked[:-CRC_SIZE], checked[-CRC_SIZE:]
        if not frame or int.from_bytes(crc, "big") != crc16(frame):
            self.noise += 1
        else:
            frames.append(frame)
