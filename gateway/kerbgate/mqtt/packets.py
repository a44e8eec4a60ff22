"""Packets of MQTT 5 and 3.1.1 as a client writes and reads them (OASIS MQTT 5.0 and 3.1.1, chapters 2 and 3).

Pure functions and one incremental reader; no sockets, no clock. QoS 2 is never asked for, so it is refused.
"""

from dataclasses import dataclass

V5, V311 = 5, 4  # protocol levels

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"

# Properties that a client gives or heeds.
SESSION_EXPIRY = 0x11
SERVER_KEEP_ALIVE = 0x13
REASON_STRING = 0x1F
RECEIVE_MAXIMUM = 0x21
MAXIMUM_PACKET = 0x27

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP, _DISCONNECT = 0x20, 0x30, 0x40, 0x90, 0xD0, 0xE0
_MAX_LENGTH = 0x0FFFFFFF
_BYTE, _TWO, _FOUR, _NUMBER, _TEXT, _PAIR = range(6)
_KINDS = (
    dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), _BYTE)
    | dict.fromkeys((0x13, 0x21, 0x22, 0x23), _TWO)
    | dict.fromkeys((0x02, 0x11, 0x18, 0x27), _FOUR)
    | dict.fromkeys((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F), _TEXT)
    | {0x0B: _NUMBER, 0x26: _PAIR}
)
_REFUSED = 0x80  # reason codes from here on
MAX_WORDS = 200  # characters kept of what a broker says
_SIZES = {_BYTE: 1, _TWO: 2, _FOUR: 4}  # bytes of a number
_MANY = (0x0B, 0x26)  # what may come several times

Properties = dict[int, int | bytes]


class MqttError(Exception):
    """What a broker did or said; the text is a cause in words."""


class Malformed(MqttError):
    """Bytes that are no packet which a broker may send."""


@dataclass(slots=True)
class Publish:
    """A message. number: what acknowledges it, 0 with QoS 0. payload: None if it was too large, and was not kept."""

    topic: str
    payload: bytes | None
    number: int
    retain: bool


@dataclass(slots=True)
class Puback:
    """The broker has taken a message, or refuses it, as `code` says. words: what it adds to that, cleaned and cut."""

    number: int
    code: int
    words: str = ""


@dataclass(slots=True)
class Connack:
    """The answer to CONNECT. session: the broker has kept one of this client."""

    session: bool
    code: int
    properties: Properties


@dataclass(slots=True)
class Suback:
    """The answer to SUBSCRIBE: a code for each topic."""

    number: int
    codes: bytes


@dataclass(slots=True)
class Disconnect:
    """The broker ends the connection, and says why."""

    code: int
    properties: Properties


@dataclass(slots=True)
class Pong:
    """The answer to a ping."""


@dataclass(slots=True)
class Broken:
    """What came next is no packet: the connection is of no use any more. The last event of a reader."""

    cause: str


Event = Publish | Puback | Connack | Suback | Disconnect | Pong | Broken


# What a client sends.


def connect(
    version: int,
    identifier: str,
    *,
    clean: bool,
    keepalive_s: int,
    user: str | None = None,
    password: str | None = None,
    properties: dict[int, int] | None = None,
) -> bytes:
    """CONNECT. properties: of MQTT 5 alone; numbers of two or four bytes."""
    flags = (2 if clean else 0) | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    body = _text("MQTT") + bytes((version, flags)) + keepalive_s.to_bytes(2, "big")
    if version == V5:
        body += _properties(properties or {})
    body += _text(identifier)
    if user is not None:
        body += _text(user)
    if password is not None:
        body += _text(password)
    return _packet(0x10, body)


def subscribe(version: int, number: int, topics: "list[str]", qos: int = 1) -> bytes:
    """SUBSCRIBE with QoS 0 or 1."""
    body = number.to_bytes(2, "big") + (b"\0" if version == V5 else b"")
    return _packet(0x82, body + b"".join(_text(topic) + bytes((qos,)) for topic in topics))


def publish(version: int, topic: str, payload: bytes, number: int = 0) -> bytes:
    """PUBLISH: with QoS 1 under a number, with QoS 0 without. Malformed if it is more than MQTT can carry."""
    name = topic.encode()
    head = len(name).to_bytes(2, "big") + name
    if number:
        head += number.to_bytes(2, "big")
    if version == V5:
        head += b"\0"
    return _start(0x32 if number else 0x30, len(head) + len(payload)) + head + payload


def puback(number: int) -> bytes:
    """PUBACK that says success, in the form that both versions have."""
    return b"\x40\x02" + number.to_bytes(2, "big")


def disconnect(version: int, code: int = 0) -> bytes:
    """DISCONNECT; 3.1.1 knows no reason."""
    return _packet(0xE0, bytes((code,))) if version == V5 and code else DISCONNECT


def _start(first: int, length: int) -> bytes:
    """A fixed header."""
    return bytes((first, length)) if length < 128 else bytes((first,)) + _length(length)


def _length(length: int) -> bytes:
    if length > _MAX_LENGTH:
        raise Malformed(f"a packet of {length} bytes is more than MQTT can carry")
    found = bytearray()
    while length > 127:
        found.append(length & 0x7F | 0x80)
        length >>= 7
    found.append(length)
    return bytes(found)


def _packet(first: int, body: bytes) -> bytes:
    return _start(first, len(body)) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _properties(properties: dict[int, int]) -> bytes:
    body = b"".join(
        bytes((ident,)) + value.to_bytes(_SIZES[_KINDS[ident]], "big") for ident, value in properties.items()
    )
    return _length(len(body)) + body


# What a broker sends.


class Reader:
    """Bytes of a stream to events. A message over `max_packet` bytes is passed by without being kept."""

    def __init__(self, version: int, max_packet: int):
        self._newer = version == V5
        self._max = max_packet
        self._rest = b""
        self._skip = 0
        self._broken = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete. After Broken there is none."""
        events: list[Event] = []
        if self._broken:
            return events
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        buffer = self._rest + data if self._rest else data
        try:
            done = self._read(buffer, events)
        except (Malformed, IndexError, UnicodeDecodeError) as error:
            events.append(Broken(str(error) if isinstance(error, Malformed) else "a packet is shorter than it says"))
            self._broken = True
            done = len(buffer)
        self._rest = buffer[done:]
        return events

    def _read(self, buffer: bytes, events: list[Event]) -> int:
        """Take whole packets; how far."""
        at, size = 0, len(buffer)
        while size - at > 1:
            length, start = buffer[at + 1], at + 2
            if length > 127:
                found = _varint(buffer, at + 1, size)
                if found is None:
                    break
                length, start = found
            end = start + length
            if end - at > self._max:
                end = self._pass_by(buffer, at, start, end, events)
                if not end:
                    break
                self._skip = max(end - size, 0)
                at = min(end, size)
                continue
            if end > size:
                break
            first = buffer[at]
            if first & 0xF0 == _PUBLISH:
                events.append(self._publish(buffer, first, start, end))
            elif first == _PUBACK:
                code = buffer[start + 2] if length > 2 else 0
                if length < 2:
                    raise Malformed("a PUBACK is too short")
                words = _words(_read_properties(buffer[start:end], 3)) if code >= _REFUSED and length > 3 else ""
                events.append(Puback(buffer[start] << 8 | buffer[start + 1], code, words))
            else:
                events.append(self._other(first, buffer[start:end]))
            at = end
        return at

    def _publish(self, buffer: bytes, first: int, start: int, end: int) -> Publish:
        topic = start + 2
        at = topic + (buffer[start] << 8 | buffer[start + 1])
        name = buffer[topic:at].decode()
        number = 0
        if first & 0x06:
            if first & 0x06 != 0x02:
                raise Malformed("a message has a QoS that was not asked for")
            number = buffer[at] << 8 | buffer[at + 1]
            at += 2
            if not number:
                raise Malformed("a message has the number 0")
        if self._newer:
            length = buffer[at]
            at += 1
            if length:
                found = _varint(buffer, at - 1, end)
                if found is None:
                    raise Malformed("a message's properties do not end")
                length, at = found
                at += length
        if at > end or not name:
            raise Malformed("a message is shorter than it says, or has no topic")
        return Publish(name, buffer[at:end], number, bool(first & 1))

    def _pass_by(self, buffer: bytes, at: int, start: int, end: int, events: list[Event]) -> int:
        """A packet that is too large: where it ends; 0 if more bytes are needed. Malformed unless it is a message."""
        first = buffer[at]
        if first & 0xF0 != _PUBLISH:
            raise Malformed(f"a packet of {end - at} bytes is too large")
        if len(buffer) < start + 2:
            return 0
        topic = start + 2
        number_at = topic + (buffer[start] << 8 | buffer[start + 1])
        known = number_at + (2 if first & 0x06 else 0)  # with QoS 0 there is no number
        if known > end:
            raise Malformed("a message is shorter than it says")
        if len(buffer) < known:
            return 0
        number = buffer[number_at] << 8 | buffer[number_at + 1] if known > number_at else 0
        events.append(Publish(buffer[topic:number_at].decode(), None, number, bool(first & 1)))
        return end

    def _other(self, first: int, body: bytes) -> Event:
        if first == _CONNACK:
            properties = _read_properties(body, 2) if self._newer and len(body) > 2 else {}
            return Connack(bool(body[0] & 1), body[1], properties)
        if first == _SUBACK:
            at = 2
            if self._newer:
                found = _varint(body, 2, len(body))
                if found is None:
                    raise Malformed("a SUBACK's properties do not end")
                at = found[0] + found[1]
            if at >= len(body):
                raise Malformed("a SUBACK answers nothing")
            return Suback(body[0] << 8 | body[1], body[at:])
        if first == _PINGRESP and not body:
            return Pong()
        if first == _DISCONNECT and self._newer:
            return Disconnect(body[0] if body else 0, _read_properties(body, 1) if len(body) > 1 else {})
        raise Malformed(f"a packet of kind 0x{first:02x} is nothing that a broker sends")


def _words(properties: Properties) -> str:
    """A reason string as it may be shown: one line of printable characters, and not too long."""
    found = properties.get(REASON_STRING, b"")
    text = found.decode(errors="replace") if isinstance(found, bytes) else ""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_WORDS]).strip()


def _varint(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """A number of one to four bytes and where it ends; None if it goes on behind `end`."""
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= end:
            return None
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value, at
    raise Malformed("a length takes more than four bytes")


def _read_properties(data: bytes, at: int) -> Properties:
    found = _varint(data, at, len(data))
    if found is None or found[0] + found[1] != len(data):
        raise Malformed("properties do not end with their packet")
    at = found[1]
    properties: Properties = {}
    while at < len(data):
        ident = data[at]
        kind = _KINDS.get(ident)
        if kind is None or (ident in properties and ident not in _MANY):
            raise Malformed(f"property 0x{ident:02x} is unknown, or comes twice")
        at += 1
        value: int | bytes
        if kind == _NUMBER:
            number = _varint(data, at, len(data))
            if number is None:
                raise Malformed("a property does not end")
            value, at = number
        elif kind in (_TEXT, _PAIR):
            value = b""
            for _ in range(2 if kind == _PAIR else 1):
                stop = at + 2 + (data[at] << 8 | data[at + 1])
                value, at = data[at + 2 : stop], stop
        else:
            size = _SIZES[kind]
            value, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at > len(data):
            raise Malformed("a property is longer than its packet")
        properties[ident] = value
    return properties
