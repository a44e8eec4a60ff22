"""What each byte of a frame and of its message says: ranges with names, and the message as a table."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kerbgate.shape import flags, physical
from kerbtools.decode.keyring import Keyring
from kerbwire import cbor, controls, events, frame, messages
from kerbwire.channels import CHANNELS, FAULTS, QUALITY, QUALITY_FLAGS, ROLES, SPECIAL
from kerbwire.errors import UNRESOLVED, WireError
from kerbwire.frame import Header
from kerbwire.messages import Message, Report

SPACES = ("up", "down", "group")
KINDS = {
    messages.HELLO: "hello",
    messages.REPORT: "report",
    messages.EVENT: "event",
    messages.RESULT: "result",
    messages.LOG: "log",
    messages.UPDATE_STATE: "update-state",
    messages.ACK: "ack",
    messages.COMMAND: "command",
    messages.CONFIG: "config",
    messages.CHALLENGE: "challenge",
    messages.UPDATE_OFFER: "update-offer",
    messages.UPDATE_BLOCK: "update-block",
    messages.WAVE: "wave",
    messages.BRIGHTEN: "brighten",
}
_SEQ_SIZES = (1, 2, 3, 5)
_TIMES = ("time", "expiry")  # fields in UTC seconds
_NAMED = {  # (message class, field): names of its numbers
    ("Hello", "role"): ROLES,
    ("Hello", "reset_cause"): messages.RESET_CAUSES,
    ("Event", "severity"): events.SEVERITIES,
    ("Event", "state"): events.STATES,
    ("Result", "status"): controls.STATUSES,
    ("Command", "priority"): controls.PRIORITIES,
}


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes start to end (exclusive) of a part, "frame" or "message"."""

    part: str
    start: int
    end: int
    name: str
    value: str


@dataclass(slots=True)
class Annotation:
    """One frame or message, taken apart. sealed: why no message is shown. refused: why a message was not understood."""

    data: bytes
    header: Header | None = None
    message: bytes | None = None
    decoded: Message | None = None
    sealed: str | None = None
    refused: str | None = None
    ranges: list[Range] = field(default_factory=lambda: [])

    def bytes_of(self, row: Range) -> bytes:
        """The bytes that a range covers."""
        return (self.data if row.part == "frame" else self.message or b"")[row.start : row.end]

    @property
    def kind(self) -> str:
        """The kind of the message in words."""
        number = self.message[1] if self.message is not None and len(self.message) > 1 else 255
        return KINDS.get(number, f"kind {number}")


def annotate(data: bytes, keyring: Keyring) -> Annotation:
    """A frame: its header always, its message if a key opens it. Nothing here raises for any bytes."""
    found = Annotation(data)
    try:
        header = frame.parse(data)
    except WireError as error:
        found.refused = str(error)
        found.ranges.append(Range("frame", 0, len(data), "no frame", str(error)))
        return found
    found.header = header
    _header(found, header)
    opened = keyring.open(data, header)
    if isinstance(opened, str):
        found.sealed = opened
    else:
        found.message = opened
        _message(found, header.space, keyring.near(header.node))
        if isinstance(found.decoded, Report):
            keyring.remember(header.node, found.decoded)
    return found


def annotate_message(data: bytes, space: int, near: tuple[int, int] | None = None) -> Annotation:
    """A message in the clear that travelled in a space. near: of a report, as in messages.decode."""
    found = Annotation(data, message=data)
    _message(found, space, near)
    return found


def _header(found: Annotation, header: Header) -> None:
    data = found.data
    other = data[0] >> 5 & 3 == 3
    node_size, seq_size = 2 if data[0] & 4 else 1, _SEQ_SIZES[data[0] & 3]
    at = 0

    def add(size: int, name: str, value: str) -> None:
        nonlocal at
        found.ranges.append(Range("frame", at, at + size, name, value))
        at += size

    space = "other" if other else SPACES[header.space]
    add(1, "control", f"version 0, space {space}, epoch {header.epoch}, address {node_size}, number {seq_size} bytes")
    if other:
        add(1, "other", f"space {SPACES[header.space]}, a context follows")
    add(node_size, "node", str(header.node))
    add(seq_size, "number", str(header.seq))
    if header.context:
        add(len(header.context), "life" if header.space == frame.UP else "instance", header.context.hex())
    size = len(data) - header.size - frame.TAG_SIZE
    add(size, "ciphertext", f"{size} bytes of message")
    add(frame.TAG_SIZE, "tag", "")


def _message(found: Annotation, space: int, near: tuple[int, int] | None) -> None:
    data = found.message or b""
    try:
        found.decoded = messages.decode(data, space, near)
    except WireError as error:
        found.refused = str(error)
        if error.code == UNRESOLVED:
            found.refused += "; give --near, or a capture with an earlier report"
    try:
        _items(found, data)
        left = "nothing of the message"
    except WireError as error:
        left = str(error)
    end = found.ranges[-1].end if found.ranges and found.ranges[-1].part == "message" else 0
    if end < len(data):
        found.ranges.append(Range("message", end, len(data), "left over", left))


def _items(found: Annotation, data: bytes) -> None:
    """Ranges of [kind, body]; of a body that is a map, one for each field."""

    def add(start: int, end: int, name: str, value: str) -> None:
        found.ranges.append(Range("message", start, end, name, value))

    if data[:1] != b"\x82":
        raise WireError("type", "a message is [kind, body]")
    add(0, 1, "array", "[kind, body]")
    kind, at = cbor.read(data, 1, 1)
    add(1, at, "kind", f"{kind} {found.kind}")
    body, end = cbor.read(data, at, 1)
    if isinstance(body, bytes):
        start = end - len(body)
        add(at, start, "body", f"byte string of {len(body)}")
        add(start, end, "columns" if isinstance(found.decoded, Report) else "bits", _coder(found, body))
        return
    if not cbor.is_map(body) or data[at] & 31 > messages.MAX_FIELDS:
        add(at, end, "body", ascii(body))
        return
    rows = {row[0]: row[1] for row in found.decoded.ROWS} if found.decoded is not None else {}
    count = data[at] & 31
    add(at, at + 1, "body", f"map of {count}")
    at += 1
    for _ in range(count):
        key, value_at = cbor.read(data, at, 2)
        value, end = cbor.read(data, value_at, 2)
        name = rows.get(key, f"field {key}")
        shown = value if found.decoded is None or key not in rows else getattr(found.decoded, name)
        add(at, end, name, text_of(found.decoded, name, shown))
        at = end


def _coder(found: Annotation, body: bytes) -> str:
    if not isinstance(found.decoded, Report):
        return ""
    coder = "packed" if body[0] & 0x80 else f"coder {body[0]}, plain" if body[0] == 0 else f"coder {body[0]}"
    count = len(found.decoded.records)
    return f"{coder}, {count} record{'s' * (count != 1)}, below"


def text_of(message: Message | None, name: str, value: Any) -> str:
    """A field's value for people."""
    if value is None:
        return "-"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        if name in _TIMES and getattr(message, "boot", None) is None:
            return f"{value} {utc(value)}"
        names = _NAMED.get((type(message).__name__, name), ())
        return f"{value} {names[value]}" if 0 <= value < len(names) else str(value)
    if isinstance(value, str):
        return ascii(value)[1:-1]
    return ascii(value)


def utc(seconds: int) -> str:
    """UTC seconds as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fields(message: Message) -> dict[str, Any]:
    """A message's fields as JSON carries them; records by channel name, in their units."""
    found: dict[str, Any] = {}
    for name in message.names():
        value = getattr(message, name)
        if name == "records":
            found[name] = [{"index": row.index, "time": row.time, **_values(row.values)} for row in value]
        elif name == "values":
            found[name] = _values(value)
        else:
            found[name] = _plain(value)
    if message.skipped:
        found["skipped"] = message.skipped
    return found


def _values(values: dict[int, int]) -> dict[str, Any]:
    return {name_of(ident): value_of(ident, values[ident]) for ident in sorted(values)}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if cbor.is_array(value):
        return [_plain(item) for item in value]
    if cbor.is_map(value):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def name_of(ident: int) -> str:
    """A channel's name, or its number."""
    return CHANNELS[ident].name if ident in CHANNELS else f"channel {ident}"


def value_of(ident: int, raw: int) -> Any:
    """A raw value in its channel's unit; a special value and flags in words."""
    if raw in SPECIAL:
        return SPECIAL[raw]
    if ident in (QUALITY, FAULTS):
        return flags(raw, QUALITY_FLAGS if ident == QUALITY else {})
    return physical(CHANNELS[ident], raw) if ident in CHANNELS else raw
