"""The messages: what a frame carries once it is open. PROTOCOL.md lists every field.

A message is the CBOR array [kind, body]; the body is a map of numbered fields, or, of a report, a byte string.
An unknown field is skipped and counted in `skipped`; an unknown kind decodes to Unknown, so that old and new live
together.
"""

from kerbwire import cbor, columns
from kerbwire.columns import MAX_NUMBER, Record
from kerbwire.errors import NOT_CANONICAL, RANGE, TOO_LONG, TYPE, WireError
from kerbwire.frame import DOWN, MAX_MESSAGE, MAX_SEQ, UP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL_VERSION = 1
POWER_ON, HARD, WATCHDOG, DEEP_SLEEP, SOFT, BROWN_OUT = 0, 1, 2, 3, 4, 5
RESET_CAUSES = ("power on", "hard", "watchdog", "deep sleep", "soft", "brown-out")

HELLO, REPORT = 0, 1  # up
ACK, CHALLENGE = 8, 11  # down
MAX_KIND = 23  # one byte of CBOR

MAX_TEXT = 24  # of a board's name and a firmware version
MAX_GAPS = 8  # ranges in one hello; a node joins its nearest ranges rather than list more
MAX_ACKED = 16  # numbers in one ack
HASH_SIZE = 8  # of a bundle and of a configuration: the first bytes of a SHA-256
CHALLENGE_SIZE = 8

__all__ = [
    "ACK", "BROWN_OUT", "CHALLENGE", "DEEP_SLEEP", "HARD", "HELLO", "MAX_ACKED", "MAX_GAPS", "MAX_MESSAGE", "POWER_ON",
    "PROTOCOL_VERSION", "REPORT", "RESET_CAUSES", "SOFT", "WATCHDOG",
    "Ack", "Challenge", "Hello", "Record", "Report", "Unknown", "decode", "encode",
]  # fmt: skip


class _Message:
    """Equality and a repr over the fields that a class names."""

    FIELDS: "tuple[str, ...]" = ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, f) == getattr(other, f) for f in self.FIELDS)

    def __repr__(self) -> str:
        body = ", ".join("{}={!r}".format(f, getattr(self, f)) for f in self.FIELDS)
        return "{}({})".format(type(self).__name__, body)


class Hello(_Message):
    """Up, after a boot, and until the life is confirmed.

    gaps: (first index, count) of indices that were reserved and never used, or lost with the memory that held them.
    challenge: the gateway's 8 bytes, returned; None before one came.
    """

    FIELDS = (
        "role", "board", "firmware", "bundle", "reset_cause", "boot_count", "config_hash", "next_index", "gaps",
        "challenge", "protocol",
    )  # fmt: skip

    def __init__(
        self,
        role: int,
        board: str,
        firmware: str,
        bundle: bytes,
        reset_cause: int,
        boot_count: int,
        config_hash: bytes,
        next_index: int,
        gaps: "list[tuple[int, int]] | None" = None,
        challenge: "bytes | None" = None,
        protocol: int = PROTOCOL_VERSION,
    ):
        self.protocol = protocol
        self.role = role
        self.board = board
        self.firmware = firmware
        self.bundle = bundle
        self.reset_cause = reset_cause
        self.boot_count = boot_count
        self.config_hash = config_hash
        self.next_index = next_index
        self.gaps = gaps or []
        self.challenge = challenge
        self.skipped = 0


class Report(_Message):
    """Up: a run of consecutive records.

    boot: None when the records' times are UTC; else the boot count to which their uptimes belong.
    uptime_now: seconds since that boot when the report was written; None with boot.
    skipped: columns of channels unknown here.
    """

    FIELDS = ("records", "boot", "uptime_now")

    def __init__(self, records: "list[Record]", boot: "int | None" = None, uptime_now: "int | None" = None):
        self.records = records
        self.boot = boot
        self.uptime_now = uptime_now
        self.skipped = 0


class Challenge(_Message):
    """Down, when the gateway has no replay window for the life in a hello. echo: the number of that hello."""

    FIELDS = ("echo", "challenge")

    def __init__(self, echo: int, challenge: bytes):
        self.echo = echo
        self.challenge = challenge
        self.skipped = 0


class Ack(_Message):
    """Down: what is committed.

    echo: the highest sequence number accepted from the node. committed: numbers of its newest committed frames.
    time: UTC seconds, None while the gateway's clock is not synchronised. more: another downlink waits.
    """

    FIELDS = ("echo", "committed", "time", "more")

    def __init__(self, echo: int, committed: "list[int]", time: "int | None" = None, more: bool = False):
        self.echo = echo
        self.committed = committed
        self.time = time
        self.more = more
        self.skipped = 0


class Unknown(_Message):
    """A kind that this version does not know, of either direction: to be counted, kept by a gateway, and skipped."""

    FIELDS = ("kind",)

    def __init__(self, kind: int):
        self.kind = kind
        self.skipped = 0


def encode(message: "Any") -> bytes:
    """The one encoding of a message. WireError for a field out of range or a message over MAX_MESSAGE bytes."""
    if isinstance(message, Report):
        data = cbor.encode([REPORT, columns.encode(message.records, message.boot, message.uptime_now)])
    elif isinstance(message, Hello):
        data = cbor.encode([HELLO, _hello_fields(message)])
    elif isinstance(message, Ack):
        fields: "dict[int, Any]" = {0: _uint(message.echo, MAX_SEQ, "echo"), 1: _numbers(message.committed)}
        if message.time is not None:
            fields[2] = _uint(message.time, MAX_NUMBER, "time")
        if message.more:
            fields[3] = True
        data = cbor.encode([ACK, fields])
    elif isinstance(message, Challenge):
        fields = {0: _uint(message.echo, MAX_SEQ, "echo"), 1: _fixed(message.challenge, CHALLENGE_SIZE, "challenge")}
        data = cbor.encode([CHALLENGE, fields])
    else:
        raise WireError(TYPE, "no such message")
    if len(data) > MAX_MESSAGE:
        raise WireError(TOO_LONG, "message")
    return data


def decode(data: bytes, space: int) -> "Hello | Report | Challenge | Ack | Unknown":
    """The message that travelled in a space (frame.UP, DOWN, GROUP). WireError and nothing else for any other bytes."""
    pair = _list(cbor.decode(data), 2, "a message is [kind, body]")
    if len(pair) != 2:
        raise WireError(TYPE, "a message is [kind, body]")
    kind = _uint(pair[0], MAX_KIND, "kind")
    body = pair[1]
    if space == UP and kind == REPORT:
        if not isinstance(body, bytes):
            raise WireError(TYPE, "report body")
        records, boot, uptime_now, skipped = columns.decode(body)
        report = Report(records, boot, uptime_now)
        report.skipped = skipped
        return report
    if space == UP and kind == HELLO:
        return _hello(_Fields(body))
    if space == DOWN and kind == ACK:
        return _ack(_Fields(body))
    if space == DOWN and kind == CHALLENGE:
        fields = _Fields(body)
        challenge = Challenge(fields.uint(0, MAX_SEQ), fields.fixed(1, CHALLENGE_SIZE))
        challenge.skipped = fields.left()
        return challenge
    return Unknown(kind)


def _hello_fields(hello: Hello) -> "dict[int, Any]":
    fields: "dict[int, Any]" = {
        1: _uint(hello.protocol, 255, "protocol"),
        2: _uint(hello.role, 255, "role"),
        3: _text(hello.board),
        4: _text(hello.firmware),
        5: _fixed(hello.bundle, HASH_SIZE, "bundle"),
        6: _uint(hello.reset_cause, 255, "reset cause"),
        7: _uint(hello.boot_count, MAX_NUMBER, "boot count"),
        8: _fixed(hello.config_hash, HASH_SIZE, "configuration hash"),
        9: _uint(hello.next_index, MAX_NUMBER, "index"),
    }
    if len(hello.gaps) > MAX_GAPS:
        raise WireError(TOO_LONG, "gaps")
    if hello.gaps:
        flat: "list[int]" = []
        for first, count in hello.gaps:
            flat += [_uint(first, MAX_NUMBER, "gap"), _uint(count, MAX_NUMBER, "gap", 1)]
        fields[10] = flat
    if hello.challenge is not None:
        fields[11] = _fixed(hello.challenge, CHALLENGE_SIZE, "challenge")
    return fields


def _hello(fields: "_Fields") -> Hello:
    hello = Hello(
        protocol=fields.uint(1, 255),
        role=fields.uint(2, 255),
        board=fields.text(3),
        firmware=fields.text(4),
        bundle=fields.fixed(5, HASH_SIZE),
        reset_cause=fields.uint(6, 255),
        boot_count=fields.uint(7, MAX_NUMBER),
        config_hash=fields.fixed(8, HASH_SIZE),
        next_index=fields.uint(9, MAX_NUMBER),
    )
    if 10 in fields:
        flat = fields.numbers(10, 2 * MAX_GAPS)
        if not flat or len(flat) & 1:
            raise WireError(NOT_CANONICAL, "gaps")
        for i in range(0, len(flat), 2):
            hello.gaps.append((_uint(flat[i], MAX_NUMBER, "gap"), _uint(flat[i + 1], MAX_NUMBER, "gap", 1)))
    if 11 in fields:
        hello.challenge = fields.fixed(11, CHALLENGE_SIZE)
    hello.skipped = fields.left()
    return hello


def _ack(fields: "_Fields") -> Ack:
    ack = Ack(fields.uint(0, MAX_SEQ), fields.numbers(1, MAX_ACKED))
    if 2 in fields:
        ack.time = fields.uint(2, MAX_NUMBER)
    if 3 in fields:
        if fields.take(3) is not True:
            raise WireError(NOT_CANONICAL, "more")
        ack.more = True
    ack.skipped = fields.left()
    return ack


class _Fields:
    """The fields of a body, each taken once and checked; what is left over at the end is unknown here."""

    def __init__(self, body: "Any"):
        if not cbor.is_map(body):
            raise WireError(TYPE, "message body")
        self._fields = body

    def __contains__(self, key: int) -> bool:
        return key in self._fields

    def left(self) -> int:
        return len(self._fields)

    def take(self, key: int) -> "Any":
        if key not in self._fields:
            raise WireError(TYPE, "field {} is missing".format(key))
        return self._fields.pop(key)

    def uint(self, key: int, high: int) -> int:
        return _uint(self.take(key), high, "field {}".format(key))

    def fixed(self, key: int, size: int) -> bytes:
        return _fixed(self.take(key), size, "field {}".format(key))

    def text(self, key: int) -> str:
        return _text(self.take(key))

    def numbers(self, key: int, most: int) -> "list[int]":
        name = "field {}".format(key)
        return [_uint(item, MAX_SEQ, name) for item in _list(self.take(key), most, name)]


def _uint(value: "Any", high: int, name: str, low: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError(TYPE, name)
    if not low <= value <= high:
        raise WireError(RANGE, name)
    return value


def _list(value: "Any", most: int, name: str) -> "list[Any]":
    if not cbor.is_array(value) or len(value) > most:
        raise WireError(TYPE, name)
    return value


def _fixed(value: "Any", size: int, name: str) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise WireError(TYPE, name)
    return value


def _numbers(values: "list[int]") -> "list[int]":
    if len(values) > MAX_ACKED:
        raise WireError(TOO_LONG, "committed")
    return [_uint(value, MAX_SEQ, "committed") for value in values]


def _text(value: "Any") -> str:
    # Printable ASCII only: it goes to terminals, logs and documents as it is.
    if not isinstance(value, str) or len(value) > MAX_TEXT or not all(32 <= ord(c) < 127 for c in value):
        raise WireError(TYPE, "text")
    return value
