"""MQTT packets: what a broker sends, in any pieces, and any other bytes. The broker's side is written here, on its own."""

import itertools
import struct
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kerbgate.mqtt import V5, V311, packets
from kerbgate.mqtt.packets import (
    Broken,
    Connack,
    Disconnect,
    Event,
    Malformed,
    Pong,
    Puback,
    Publish,
    Reader,
    Suback,
)

MAX_PACKET = 1024
VERSIONS = st.sampled_from((V5, V311))


def varint(value: int) -> bytes:
    found = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        found.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(found)


def packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + varint(len(body)) + body


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(data)) + data


def properties(*found: bytes) -> bytes:
    return varint(sum(map(len, found))) + b"".join(found)


topics = st.text(min_size=1, max_size=40).filter(lambda name: "\0" not in name)
numbers = st.integers(1, 65535)
some_properties = st.lists(
    st.sampled_from(
        [
            b"\x26" + text("key") + text("value"),
            b"\x26" + text("") + text("ü"),
            b"\x0b\x81\x02",
        ]
    ),
    max_size=3,
)


@st.composite
def sent(draw: st.DrawFn, version: int) -> tuple[bytes, Event]:
    """A packet of a broker, and what a reader makes of it."""
    kind = draw(st.sampled_from(("publish", "large", "puback", "suback", "connack", "pong", "disconnect")))
    more = properties(*draw(some_properties)) if version == V5 else b""
    number = draw(numbers)
    if kind in ("publish", "large"):
        topic, qos = draw(topics), draw(st.integers(0, 1))
        payload = draw(st.binary(max_size=300)) if kind == "publish" else bytes(draw(st.integers(1000, 5000)))
        retain, again = draw(st.booleans()), draw(st.booleans())
        head = text(topic) + (struct.pack(">H", number) if qos else b"")
        made = packet(0x30 | qos << 1 | retain | (again and qos) << 3, head + more + payload)
        kept = payload if len(made) <= MAX_PACKET else None
        return made, Publish(topic, kept, number if qos else 0, retain)
    if kind == "puback":
        code = draw(st.sampled_from((0, 0x10, 0x87)))
        if version == V311 or (not code and draw(st.booleans())):
            return packet(0x40, struct.pack(">H", number)), Puback(number, 0)
        why = draw(st.text(max_size=20).filter(str.isalnum)) if code == 0x87 else ""
        tail = properties(b"\x1f" + text(why)) if why else draw(st.sampled_from((b"", b"\0")))
        return packet(0x40, struct.pack(">HB", number, code) + tail), Puback(number, code, why)
    if kind == "suback":
        codes = bytes(draw(st.lists(st.sampled_from((0, 1, 0x80, 0x87)), min_size=1, max_size=5)))
        return packet(0x90, struct.pack(">H", number) + more + codes), Suback(number, codes)
    if kind == "connack":
        session, code = draw(st.booleans()), draw(st.sampled_from((0, 0x87)))
        if version == V311:
            return packet(0x20, bytes((session, code))), Connack(session, code, {})
        limits = properties(b"\x21\x00\x14", b"\x27\x00\x01\x00\x00", b"\x12" + text("name"))
        known: packets.Properties = {0x21: 20, 0x27: 65536, 0x12: b"name"}
        return packet(0x20, bytes((session, code)) + limits), Connack(session, code, known)
    if kind == "disconnect" and version == V5:
        return packet(0xE0, b"\x8e"), Disconnect(0x8E, {})
    return packet(0xD0, b""), Pong()


def in_pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(st.data())
def test_packets_are_read_however_they_are_cut(data: st.DataObject) -> None:
    version = data.draw(VERSIONS)
    stream = data.draw(st.lists(sent(version), min_size=1, max_size=8))
    raw = b"".join(made for made, _ in stream)
    reader = Reader(version, MAX_PACKET)
    found: list[Event] = []
    for piece in in_pieces(raw, data.draw(st.lists(st.integers(0, 1 << 16), max_size=20))):
        found += reader.feed(piece)
    assert found == [event for _, event in stream]


@given(VERSIONS, st.lists(st.binary(max_size=400), max_size=10))
@example(V5, [b"\x32\x05\x00\x01a\x00\x00"])  # number 0
@example(V5, [b"\x34\x06\x00\x01a\x00\x01\x00"])  # QoS 2
@example(V311, [b"\x30\xff\xff\xff\xff\x01"])  # a length of five bytes
@example(V5, [b"\x40\x01\x00"])
@example(V5, [b"\x30\x00"])
@example(V5, [b"\xf0\xff\x7f"])
@example(V5, [b"\x20\x05\x00\x00\x02\x27\x00"])
def test_any_bytes_end_in_one_broken_at_most(version: int, pieces: list[bytes]) -> None:
    reader = Reader(version, MAX_PACKET)
    found: list[Event] = []
    for piece in pieces:
        found += reader.feed(piece)
    broken = [place for place, event in enumerate(found) if isinstance(event, Broken)]
    assert broken in ([], [len(found) - 1])
    for event in found:
        assert not isinstance(event, Publish) or event.payload is None or len(event.payload) <= MAX_PACKET


def test_a_message_that_is_too_large_is_never_kept() -> None:
    """100 MB pass by; what is held meanwhile is less than a packet."""
    reader = Reader(V5, MAX_PACKET)
    size = 100 * 1024 * 1024
    head = text("kerb/1/site/up/1") + b"\0\7\0"
    events = reader.feed(b"\x32" + varint(len(head) + size) + head)
    piece = bytes(1024 * 1024)
    for _ in range(100):
        events += reader.feed(piece)
        assert len(reader._rest) <= MAX_PACKET
    events += reader.feed(packet(0x40, b"\0\1"))
    assert events == [Publish("kerb/1/site/up/1", None, 7, False), Puback(1, 0)]


@pytest.mark.parametrize("payload", [b"", b"x", b"xyz"])
def test_a_long_topic_is_passed_by_too_whatever_little_it_carries(payload: bytes) -> None:
    """Who may publish to one topic could else end a gateway's connection, for ever with a retained message."""
    topic = "kerb/1/site/up/" + "9" * 2000
    made = packets.publish(V311, topic, payload)
    events = Reader(V311, MAX_PACKET).feed(made + packet(0x40, b"\0\1"))
    assert events == [Publish(topic, None, 0, False), Puback(1, 0)]


@pytest.mark.parametrize("first", [0x20, 0x40, 0x90, 0xD0])
def test_nothing_else_may_be_that_large(first: int) -> None:
    assert isinstance(Reader(V5, MAX_PACKET).feed(bytes((first,)) + varint(2000))[0], Broken)


def test_what_a_client_sends_is_as_the_standard_has_it() -> None:
    """Bytes written by hand from the OASIS texts."""
    made = packets.connect(
        V5, "me", clean=False, keepalive_s=15, user="u", password="p", properties={0x21: 20, 0x11: 60}
    )
    assert made == bytes.fromhex("101d 0004 4d515454 05 c0 000f 08 210014 110000003c 0002 6d65 0001 75 0001 70")
    assert packets.connect(V311, "me", clean=True, keepalive_s=15) == bytes.fromhex(
        "100e 0004 4d515454 04 02 000f 0002 6d65"
    )
    assert packets.subscribe(V5, 9, ["a/+"]) == bytes.fromhex("8209 0009 00 0003 612f2b 01")
    assert packets.subscribe(V311, 9, ["a/+"]) == bytes.fromhex("8208 0009 0003 612f2b 01")
    assert packets.publish(V5, "a", b"x", 258) == bytes.fromhex("3207 0001 61 0102 00 78")
    assert packets.publish(V311, "a", b"x") == bytes.fromhex("3004 0001 61 78")
    assert packets.publish(V311, "a", bytes(200))[:3] == bytes.fromhex("30 cb01")
    assert packets.puback(258) == bytes.fromhex("4002 0102")
    assert packets.disconnect(V5, 0x81) == bytes.fromhex("e001 81")
    assert packets.disconnect(V311, 0x81) == bytes.fromhex("e000")
    with pytest.raises(Malformed):
        packets.publish(V5, "a", bytes(1 << 28))
