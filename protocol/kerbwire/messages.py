"""The messages: what a frame carries once it is open. PROTOCOL.md lists every field; kerbwire.cddl is normative.

A message is the CBOR array [kind, body]; the body is a map of numbered fields, or, of a report and an event, a byte
string. Each class names its fields in ROWS, the one table from which both ends write and read:

    number, name, form, low, high, optional     low and high bound the value, or of bytes, text and lists the length

An unknown field is skipped and counted in `skipped`; an unknown kind decodes to Unknown, so that old and new live
together. The kinds of MODULES are loaded when the first of them is read or written: a bundle that leaves such a module
out sees those kinds as Unknown.
"""

from kerbwire import cbor, columns
from kerbwire.columns import MAX_NUMBER, Record
from kerbwire.errors import NOT_CANONICAL, RANGE, TOO_LONG, TRAILING, TRUNCATED, TYPE, WireError
from kerbwire.frame import DOWN, GROUP, MAX_MESSAGE, MAX_SEQ, UP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL_VERSION = 1
POWER_ON, HARD, WATCHDOG, DEEP_SLEEP, SOFT, BROWN_OUT = 0, 1, 2, 3, 4, 5
RESET_CAUSES = ("power on", "hard", "watchdog", "deep sleep", "soft", "brown-out")

HELLO, REPORT, EVENT, RESULT, LOG, UPDATE_STATE = 0, 1, 2, 3, 4, 5  # up: 0 to 7
ACK, COMMAND, CONFIG, CHALLENGE, UPDATE_OFFER, UPDATE_BLOCK = 8, 9, 10, 11, 12, 13  # down: 8 to 15
WAVE, BRIGHTEN = 16, 17  # group: 16 to 19
MAX_KIND = 23  # one byte of CBOR
MAX_FIELDS = 23  # of one message: the count of a map in one byte of CBOR
MODULES = {
    EVENT: "events", RESULT: "controls", LOG: "controls", COMMAND: "controls", CONFIG: "controls",
    UPDATE_STATE: "updates", UPDATE_OFFER: "updates", UPDATE_BLOCK: "updates", WAVE: "waves", BRIGHTEN: "waves",
}  # fmt: skip

MAX_TEXT = 24  # of a board's name and a firmware version
MAX_GAPS = 8  # ranges in one hello; a node joins its nearest ranges rather than list more
MAX_ACKED = 16  # numbers in one ack
HASH_SIZE = 8  # of a bundle and of a configuration: the first bytes of a SHA-256
CHALLENGE_SIZE = 8
INT_LOW, INT_HIGH = -(1 << 31), (1 << 31) - 1  # of an argument, a setting, a result's detail

# The forms of a field: an integer; true, or absent; bytes; printable ASCII; lists of sequence numbers, of integers, of
# (first, count); a map of setting number to integer or null.
UINT, TRUE, BYTES, TEXT, SEQS, INTS, RANGES, PATCH = range(8)
REQUIRED, OPTIONAL = False, True
_PAIR, _MAP = 0x82, 0xA0  # CBOR heads: an array of two, an empty map
_NONE = 256  # above every byte

__all__ = [
    "ACK", "BROWN_OUT", "CHALLENGE", "DEEP_SLEEP", "HARD", "HELLO", "MAX_ACKED", "MAX_GAPS", "MAX_MESSAGE", "POWER_ON",
    "PROTOCOL_VERSION", "REPORT", "RESET_CAUSES", "SOFT", "WATCHDOG",
    "Ack", "Challenge", "Hello", "Record", "Report", "Unknown", "decode", "decode_down", "encode", "encode_fields",
    "fit", "is_short",
]  # fmt: skip


class Message:
    """Base of every message. skipped: fields (or columns, or evidence) unknown to the reader."""

    KIND = -1
    ROWS: "tuple[tuple[int, str, int, int, int, bool], ...]" = ()
    NAMES: "tuple[str, ...]" = ()  # of a message whose body is no map
    skipped = 0

    def check(self) -> None:
        """What holds between fields, each of which has been checked. WireError."""

    def pack(self) -> bytes:
        """The body, where it is no map."""
        raise WireError(TYPE, "no such message")

    @classmethod
    def from_body(cls, body: bytes) -> "Message":
        """The message of a body that is no map. WireError."""
        raise WireError(TYPE, "message body")

    def names(self) -> "tuple[str, ...]":
        return self.NAMES or tuple(row[1] for row in self.ROWS)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, f) == getattr(other, f) for f in self.names())

    def __repr__(self) -> str:
        body = ", ".join("{}={!r}".format(f, getattr(self, f)) for f in self.names())
        return "{}({})".format(type(self).__name__, body)


class Hello(Message):
    """Up, after a boot, and until the life is confirmed.

    gaps: (first index, count) of indices that were reserved and never used, or lost with the memory that held them.
    challenge: the gateway's 8 bytes, returned; None before one came.
    """

    KIND = HELLO
    ROWS = (
        (1, "protocol", UINT, 0, 255, REQUIRED),
        (2, "role", UINT, 0, 255, REQUIRED),
        (3, "board", TEXT, 0, MAX_TEXT, REQUIRED),
        (4, "firmware", TEXT, 0, MAX_TEXT, REQUIRED),
        (5, "bundle", BYTES, HASH_SIZE, HASH_SIZE, REQUIRED),
        (6, "reset_cause", UINT, 0, 255, REQUIRED),
        (7, "boot_count", UINT, 0, MAX_NUMBER, REQUIRED),
        (8, "config_hash", BYTES, HASH_SIZE, HASH_SIZE, REQUIRED),
        (9, "next_index", UINT, 0, MAX_NUMBER, REQUIRED),
        (10, "gaps", RANGES, 1, MAX_GAPS, OPTIONAL),
        (11, "challenge", BYTES, CHALLENGE_SIZE, CHALLENGE_SIZE, OPTIONAL),
    )

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


class Report(Message):
    """Up: a run of consecutive records.

    boot: None when the records' times are UTC; else the boot count to which their uptimes belong.
    uptime_now: seconds since that boot when the report was written; None with boot.
    skipped: columns of channels unknown here. coder: PLAIN if it is, or is to be, written so.
    """

    KIND = REPORT
    NAMES = ("records", "boot", "uptime_now")
    coder: "int | None" = None

    def __init__(self, records: "list[Record]", boot: "int | None" = None, uptime_now: "int | None" = None):
        self.records = records
        self.boot = boot
        self.uptime_now = uptime_now


class Challenge(Message):
    """Down, when the gateway has no replay window for the life in a hello. echo: the number of that hello."""

    KIND = CHALLENGE
    ROWS = (
        (0, "echo", UINT, 0, MAX_SEQ, REQUIRED),
        (1, "challenge", BYTES, CHALLENGE_SIZE, CHALLENGE_SIZE, REQUIRED),
    )

    def __init__(self, echo: int, challenge: bytes):
        self.echo = echo
        self.challenge = challenge


class Ack(Message):
    """Down: what is committed.

    echo: the highest sequence number accepted from the node. committed: numbers of its newest committed frames.
    time: UTC seconds, None while the gateway's clock is not synchronised. more: another downlink waits.
    """

    KIND = ACK
    ROWS = (
        (0, "echo", UINT, 0, MAX_SEQ, REQUIRED),
        (1, "committed", SEQS, 0, MAX_ACKED, REQUIRED),
        (2, "time", UINT, 0, MAX_NUMBER, OPTIONAL),
        (3, "more", TRUE, 0, 1, OPTIONAL),
    )

    def __init__(self, echo: int, committed: "list[int]", time: "int | None" = None, more: bool = False):
        self.echo = echo
        self.committed = committed
        self.time = time
        self.more = more


class Unknown(Message):
    """A kind that this version does not know, of any direction: to be counted, kept by a gateway, and skipped."""

    NAMES = ("kind",)

    def __init__(self, kind: int):
        self.kind = kind


_classes: "dict[int, Any]" = {HELLO: Hello, ACK: Ack, CHALLENGE: Challenge}


def encode(message: "Any", near: "tuple[int, int] | None" = None, coder: "int | None" = None) -> bytes:
    """The bytes of a message: one encoding, except that of a report's coders the shorter one is chosen.

    near, coder: of a report, as in columns.encode. WireError for a field out of range or over MAX_MESSAGE bytes.
    """
    if isinstance(message, Report):
        coder = message.coder if coder is None else coder
        data = cbor.encode([REPORT, columns.encode(message.records, message.boot, message.uptime_now, near, coder)])
    else:
        data = _encoded(message)
    if len(data) > MAX_MESSAGE:
        raise WireError(TOO_LONG, "message")
    return data


def encode_fields(message: "Any") -> bytes:
    """As `encode`, of any message but a report: without what only a report takes."""
    data = _encoded(message)
    if len(data) > MAX_MESSAGE:
        raise WireError(TOO_LONG, "message")
    return data


def _encoded(message: "Any") -> bytes:
    if not isinstance(message, Message) or message.KIND < 0:
        raise WireError(TYPE, "no such message")
    body = _body(message) if message.ROWS else message.pack()
    message.check()
    return cbor.encode([message.KIND, body])


def decode(data: bytes, space: int, near: "tuple[int, int] | None" = None) -> "Any":
    """The message that travelled in a space (frame.UP, DOWN, GROUP): of this module or of one of MODULES, or Unknown.

    near: of a report, as in columns.decode. WireError and nothing else for any other bytes.
    """
    if space == DOWN:
        return decode_down(data)
    kind = _kind(data)
    cls: "Any" = None
    if space == (UP if kind < 8 else GROUP if kind >= 16 else DOWN):
        cls = Report if kind == REPORT else _remembered(kind)
    if cls is not None and cls.ROWS:
        return _message(cls, data)
    body = cbor.decode(data)[1]
    if cls is None:
        return Unknown(kind)
    if not isinstance(body, bytes):
        raise WireError(TYPE, "message body")
    if kind == REPORT:
        records, boot, uptime_now, skipped = columns.decode(body, near)
        report = Report(records, boot, uptime_now)
        report.skipped = skipped
        if body[0] == columns.PLAIN:
            report.coder = columns.PLAIN
        return report
    return cls.from_body(body)


def decode_down(data: bytes) -> "Any":
    """As `decode` in the space DOWN, whose bodies are all maps: what a node reads, without what only a gateway does."""
    kind = _kind(data)
    cls: "Any" = Ack if kind == ACK else Challenge if kind == CHALLENGE else None
    if cls is None and 8 <= kind < WAVE:
        cls = _class_down(kind)
    if cls is not None:
        return _message(cls, data)
    cbor.decode(data)
    return Unknown(kind)


def fit(
    records: "list[Record]",
    budget: int = MAX_MESSAGE,
    boot: "int | None" = None,
    uptime_now: "int | None" = None,
    near: "tuple[int, int] | None" = None,
) -> "tuple[int, bytes]":
    """(how many records from the first one on fit a report of `budget` bytes, 36 to MAX_MESSAGE, that message).

    (0, b"") if not even the first fits, or can be sent at all. The other arguments are as of columns.encode.
    """
    count, body = columns.fit(records, budget - 4, boot, uptime_now, near)
    return count, cbor.encode([REPORT, body]) if count else b""


def is_short(data: bytes) -> bool:
    """Whether a message is a report that says only the low bits of its first index and time."""
    head = 3 if len(data) > 2 and data[2] < 0x58 else 4
    return data[:2] == b"\x82\x01" and columns.is_short(data[head:])


def _kind(data: bytes) -> int:
    """The kind of what begins as a message. WireError: the first fault of bytes that are no [kind, body]."""
    if len(data) > 2 and data[0] == _PAIR and data[1] <= MAX_KIND:
        return data[1]
    pair = cbor.decode(data)
    if not cbor.is_array(pair) or len(pair) != 2:
        raise WireError(TYPE, "a message is [kind, body]")
    return check(pair[0], UINT, 0, MAX_KIND, "kind")


def class_of(kind: int) -> "Any":
    """The class of a kind, or None: unknown here, or left out of this bundle."""
    if kind in _classes:
        return _classes[kind]
    name = MODULES.get(kind)
    try:  # in words, not by __import__, and each by its own name: so a bundle's builder sees what is loaded from here
        if name == "events":
            from kerbwire.events import MESSAGES as of_events

            return _found(of_events, kind)
        if name == "controls" and kind < ACK:
            from kerbwire.controls import UP as of_node

            return _found(of_node, kind)
        if name == "waves":
            from kerbwire.waves import MESSAGES as of_waves

            return _found(of_waves, kind)
    except ImportError:
        return None
    return _class_down(kind)


def _class_down(kind: int) -> "Any":
    """As `class_of`, of the modules that have kinds of the space DOWN."""
    name = MODULES.get(kind)
    try:
        if name == "controls":
            from kerbwire.controls import DOWN as of_controls

            return _found(of_controls, kind)
        if name == "updates":
            from kerbwire.updates import MESSAGES as of_updates

            return _found(of_updates, kind)
    except ImportError:
        pass
    return None


def _found(classes: "tuple[Any, ...]", kind: int) -> "Any":
    for cls in classes:
        if kind == cls.KIND:
            return cls
    return None


def _remembered(kind: int) -> "Any":
    cls = _classes.get(kind)
    if cls is None:
        cls = class_of(kind)
        if cls is not None:
            _classes[kind] = cls
    return cls


def _body(message: "Any") -> "dict[int, Any]":
    fields: "dict[int, Any]" = {}
    for number, name, form, low, high, optional in message.ROWS:
        value = getattr(message, name)
        if optional and (value is None or value is False or value == [] or value == {}):
            continue
        fields[number] = _flat(value, low, high, name) if form == RANGES else check(value, form, low, high, name)
    return fields


def _message(cls: "Any", data: bytes) -> "Any":
    """The message whose body, a map, stands at data[2:]. It walks bytes and rows together: a node decodes its commands
    here, and the map that cbor.decode would make costs it twice the time and the heap."""
    message = object.__new__(cls)
    at, before, skipped = 3, -1, 0
    try:
        left = data[2] - _MAP
        if not 0 <= left <= MAX_FIELDS:
            raise WireError(TYPE, "message body")
        for number, name, form, low, high, optional in cls.ROWS:
            key = data[at] if left else _NONE
            while key < number:
                before, at = _skip(data, at, before)
                left -= 1
                skipped += 1
                key = data[at] if left else _NONE
            if key == number:
                if before == number:
                    raise WireError(NOT_CANONICAL, "map keys ascend")
                before = number
                left -= 1
                head = data[at + 1]
                at += 2
                if form == UINT and head < 27:
                    if head < 24:
                        value = head
                    elif head == 24:
                        value = data[at]
                        at += 1
                        if value < 24:
                            raise WireError(NOT_CANONICAL, name)
                    elif head == 25:
                        value = data[at] << 8 | data[at + 1]
                        at += 2
                        if value < 256:
                            raise WireError(NOT_CANONICAL, name)
                    else:
                        value = data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
                        at += 4
                        if value < 65536:
                            raise WireError(NOT_CANONICAL, name)
                    if not low <= value <= high:
                        raise WireError(RANGE, name)
                elif form == INTS and 0x81 <= head <= 0x80 + MAX_FIELDS:
                    value: "Any" = []
                    for _ in range(head - 0x80):
                        head = data[at]
                        if head < 24:
                            at += 1
                        else:
                            head, at = cbor.read(data, at, 3)
                        value.append(head)
                    check(value, INTS, low, high, name)
                else:
                    value, at = cbor.read(data, at - 1, 2)
                    value = _pairs(value, low, high, name) if form == RANGES else check(value, form, low, high, name)
            elif not optional:
                raise WireError(TYPE, name + " is missing")
            else:
                value = absent(form)
            setattr(message, name, value)
    except IndexError:
        raise WireError(TRUNCATED, "message")
    while left:
        before, at = _skip(data, at, before)
        left -= 1
        skipped += 1
    if at != len(data):
        raise WireError(TRAILING, "after a message")
    if skipped:
        message.skipped = skipped
    message.check()
    return message


def _skip(data: bytes, at: int, before: int) -> "tuple[int, int]":
    """(key, where the next begins) of a field that is unknown here."""
    key, at = cbor.read(data, at, 2)
    check(key, UINT, 0, MAX_NUMBER, "map key")
    if key <= before:
        raise WireError(NOT_CANONICAL, "map keys ascend")
    return key, cbor.read(data, at, 2)[1]


def absent(form: int) -> "Any":
    """What an optional field of a form is when it was not sent."""
    if form == TRUE:
        return False
    return {} if form == PATCH else [] if form >= SEQS else None


def check(value: "Any", form: int, low: int, high: int, name: str) -> "Any":
    """The value of a field, if it is of its form and within its bounds; WireError otherwise."""
    if form == UINT:
        if isinstance(value, bool) or not isinstance(value, int):
            raise WireError(TYPE, name)
        if not low <= value <= high:
            raise WireError(RANGE, name)
    elif form == TRUE:
        if value is not True:
            raise WireError(NOT_CANONICAL, name)
    elif form == BYTES:
        if not isinstance(value, (bytes, bytearray)):
            raise WireError(TYPE, name)
        _length(value, low, high, name)
    elif form == TEXT:
        # Printable ASCII only: it goes to terminals, logs and documents as it is.
        # Checked as bytes: MicroPython keeps each character that a loop over text gives for ever.
        if not isinstance(value, str) or not _is_printable(value):
            raise WireError(TYPE, name)
        _length(value, low, high, name)
    elif form == PATCH:
        if not cbor.is_map(value):
            raise WireError(TYPE, name)
        _length(value, low, high, name)
        for key in value:
            check(key, UINT, 0, 255, name)
            if value[key] is not None:
                check(value[key], UINT, INT_LOW, INT_HIGH, name)
    else:
        if not cbor.is_array(value):
            raise WireError(TYPE, name)
        _length(value, low, high, name)
        low, high = (INT_LOW, INT_HIGH) if form == INTS else (0, MAX_SEQ)
        for item in value:
            if isinstance(item, bool) or not isinstance(item, int):
                raise WireError(TYPE, name)
            if not low <= item <= high:
                raise WireError(RANGE, name)
    return value


def _is_printable(text: str) -> bool:
    try:
        return all(32 <= byte < 127 for byte in text.encode())
    except UnicodeError:  # half of a surrogate pair, which CPython's text may hold
        return False


def _length(value: "Any", low: int, high: int, name: str) -> None:
    if len(value) > high:
        raise WireError(TOO_LONG, name)
    if len(value) < low:
        raise WireError(RANGE, name)


def _flat(pairs: "list[tuple[int, int]]", low: int, high: int, name: str) -> "list[int]":
    """first, count, first, count, ..."""
    _length(pairs, low, high, name)
    flat: "list[int]" = []
    for first, count in pairs:
        flat += [check(first, UINT, 0, MAX_NUMBER, name), check(count, UINT, 1, MAX_NUMBER, name)]
    return flat


def _pairs(flat: "Any", low: int, high: int, name: str) -> "list[tuple[int, int]]":
    check(flat, SEQS, 2 * low, 2 * high, name)
    if len(flat) & 1:
        raise WireError(NOT_CANONICAL, name)
    return [
        (check(flat[i], UINT, 0, MAX_NUMBER, name), check(flat[i + 1], UINT, 1, MAX_NUMBER, name))
        for i in range(0, len(flat), 2)
    ]
