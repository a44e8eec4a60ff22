"""The capture file, `.kcap`: frames of any link with their times, readable up to the last whole record after a crash.

    file      MAGIC, then records
    record    COBS of body and CRC-32 (big-endian, ISO 3309 as `binascii.crc32`), then a zero byte
    body      CBOR; the first one, the head: [version, link url, start, program]; each other: [offset, direction, link,
              frame]

`Writer` and `Reader` only turn values into bytes and back: files, their size and their rotation are the caller's.
A damaged record costs itself: the next zero byte is a fresh start, as on the serial line. CAPTURE.md has the details.
"""

from binascii import crc32

from kerbwire import cbor
from kerbwire.errors import RANGE, TOO_LONG, TRUNCATED, TYPE, UNSUPPORTED, WireError
from kerbwire.frame import MAX_FRAME
from kerbwire.line import cobs_decode, cobs_encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAGIC = b"KCAP\r\n\x1a\x00"  # a text-mode copy changes the line end; `type` and `cat` stop at the 0x1a
VERSION = 1
UP, DOWN = 0, 1  # direction: from a node, to a node
MAX_URL = 200  # bytes: what an operator writes into one line
MAX_PROGRAM = 40  # bytes: a name and a version
MAX_OFFSET_US = (1 << 53) - 1  # 285 years, and exact in JSON
MAX_LINK = 65535  # links of one file: a gateway's inlets, or the ports of a bench
MAX_BODY = MAX_FRAME + 16  # bytes: array 1, offset 9, direction 1, link 3, the frame and its head of 2
CRC_SIZE = 4
MAX_CHUNK = MAX_BODY + CRC_SIZE + 2  # encoded bytes between two zeros: COBS adds two to fewer than 509

_PUBLIC_OPTIONS = ("baud",)  # of a link's query; any other may be a password


class Head:
    """What a file says of itself. start_ms: UTC of offset 0 in milliseconds, None where the clock was not set."""

    __slots__ = ("program", "start_ms", "url")

    def __init__(self, url: str, start_ms: "int | None", program: str):
        self.url = url
        self.start_ms = start_ms
        self.program = program

    def __repr__(self) -> str:
        return "Head({!r}, {}, {!r})".format(self.url, self.start_ms, self.program)


class Record:
    """One frame as it went over a link. offset_us: microseconds since the start, by a clock that never goes back."""

    __slots__ = ("direction", "frame", "link", "offset_us")

    def __init__(self, offset_us: int, direction: int, link: int, frame: bytes):
        self.offset_us = offset_us
        self.direction = direction
        self.link = link
        self.frame = frame

    def __repr__(self) -> str:
        return "Record({}, {}, {}, {} bytes)".format(self.offset_us, self.direction, self.link, len(self.frame))


class Writer:
    """The bytes of one file, piece by piece: `start()` once, then `record()` for each frame.

    size: bytes handed out so far; a caller begins the next file before it is more than it wants to keep.
    """

    def __init__(self, url: str, start_ms: "int | None", program: str):
        self.size = 0
        self._head = [VERSION, public_url(url), start_ms, program]
        _head(self._head)
        self._offset_us = 0

    def start(self) -> bytes:
        """Magic and head."""
        return self._count(MAGIC + _encode(self._head))

    def record(self, offset_us: int, direction: int, link: int, frame: bytes) -> bytes:
        """One frame. WireError for a value out of range or an offset below the one before."""
        body = [offset_us, direction, link, bytes(frame)]
        _record(body, self._offset_us)
        self._offset_us = offset_us
        return self._count(_encode(body))

    def _count(self, data: bytes) -> bytes:
        self.size += len(data)
        return data


class Reader:
    """Records out of a file's bytes, however they are cut. Holds at most MAX_CHUNK bytes.

    head: None until it was read. damaged: chunks that were no record. torn: bytes of a record that has not ended, so
    far: after the last `feed` this is what a crash left.
    """

    def __init__(self) -> None:
        self.head: "Head | None" = None
        self.damaged = 0
        self._chunk: bytes = b""
        self._magic = False
        self._skipping = 0  # bytes of a chunk that is too long
        self._offset_us = 0

    @property
    def torn(self) -> int:
        return len(self._chunk) + self._skipping

    def feed(self, data: bytes) -> "list[Record]":
        """The records that these bytes complete. WireError("unsupported"): no capture file, or a later version."""
        records: "list[Record]" = []
        data = bytes(data)
        if not self._magic:
            data = self._chunk + data
            self._chunk = b""
            if data[: len(MAGIC)] != MAGIC[: len(data)]:
                raise WireError(UNSUPPORTED, "not a capture file")
            if len(data) < len(MAGIC):
                self._chunk = data
                return records
            self._magic = True
            data = data[len(MAGIC) :]
        at = 0
        while at < len(data):
            zero = data.find(b"\x00", at)
            end = len(data) if zero < 0 else zero
            if self._skipping or len(self._chunk) + end - at > MAX_CHUNK:
                self._skipping += len(self._chunk) + end - at
                self._chunk = b""
            else:
                self._chunk += data[at:end]
            if zero >= 0:
                self._finish(records)
            at = end + 1
        return records

    def _finish(self, records: "list[Record]") -> None:
        chunk, self._chunk = self._chunk, b""
        skipped, self._skipping = self._skipping, 0
        if not chunk and not skipped:
            return  # a run of zeros, as a file system leaves behind after a power cut
        later = False
        try:
            if skipped:
                raise WireError(TOO_LONG, "record")
            body = _decode(chunk)
            later = _is_head(body) and body[0] != VERSION
            if not later:
                self._take(body, records)
        except WireError:
            self.damaged += 1
        if later:
            raise WireError(UNSUPPORTED, "capture file of a later version")

    def _take(self, body: "Any", records: "list[Record]") -> None:
        if _is_head(body):
            if self.head:
                raise WireError(TYPE, "second head")
            self.head = _head(body)
        else:
            record = _record(body, self._offset_us)
            self._offset_us = record.offset_us
            records.append(record)


def public_url(url: str) -> str:
    """A link's address without user, password and options that may be secret: safe to write down."""
    scheme, colon, rest = url.partition(":")
    if "@" in rest:
        rest = ("//" if rest[:2] == "//" else "") + rest.rsplit("@", 1)[1]
    rest = rest.split("#", 1)[0]
    path, _, query = rest.partition("?")
    kept = [option for option in query.split("&") if option.split("=", 1)[0] in _PUBLIC_OPTIONS]
    return scheme + colon + path + ("?" + "&".join(kept) if kept else "")


def _encode(body: "list[Any]") -> bytes:
    data = cbor.encode(body)
    return cobs_encode(data + crc32(data).to_bytes(CRC_SIZE, "big")) + b"\x00"


def _decode(chunk: bytes) -> "Any":
    checked = cobs_decode(chunk)
    data = checked[:-CRC_SIZE]
    if crc32(data) != int.from_bytes(checked[-CRC_SIZE:], "big"):
        raise WireError(TRUNCATED, "record")
    return cbor.decode(data)


def _is_head(body: "Any") -> bool:
    # Version first and text second: what every later version keeps, so that this one can refuse it.
    return cbor.is_array(body) and len(body) > 1 and isinstance(body[1], str)


def _head(body: "list[Any]") -> Head:
    if len(body) != 4:
        raise WireError(TYPE, "head")
    _uint(body[0], VERSION)
    url, start_ms, program = body[1:]
    for text, most in ((url, MAX_URL), (program, MAX_PROGRAM)):
        if not isinstance(text, str) or not all(32 <= ord(c) < 127 for c in text):
            raise WireError(TYPE, "text")
        if len(text) > most:
            raise WireError(TOO_LONG, "text")
    if start_ms is not None:
        _uint(start_ms, MAX_OFFSET_US)
    return Head(url, start_ms, program)


def _record(body: "Any", before_us: int) -> Record:
    if not cbor.is_array(body) or len(body) != 4:
        raise WireError(TYPE, "record")
    frame = body[3]
    if not isinstance(frame, bytes):
        raise WireError(TYPE, "frame")
    if not 0 < len(frame) <= MAX_FRAME:
        raise WireError(TOO_LONG, "frame")
    record = Record(_uint(body[0], MAX_OFFSET_US), _uint(body[1], DOWN), _uint(body[2], MAX_LINK), frame)
    if record.offset_us < before_us:
        raise WireError(RANGE, "offset")
    return record


def _uint(value: "Any", high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError(TYPE, "number")
    if not 0 <= value <= high:
        raise WireError(RANGE, "number")
    return value
