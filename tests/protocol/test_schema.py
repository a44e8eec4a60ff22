"""The schema itself: it takes what the table allows at both ends of each range, and refuses what lies beyond."""

import pycddl
import wire_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from kerbwire import cbor, controls, events, frame, messages, updates, waves
from kerbwire.channels import CHANNELS, FAULT, MAX_CHANNEL, NO_ECHO, NOT_FITTED
from kerbwire.errors import WireError
from kerbwire.messages import BYTES, INT_HIGH, INT_LOW, INTS, MAX_SEQ, PATCH, RANGES, SEQS, TEXT, TRUE, UINT

CLASSES = [messages.Hello, messages.Ack, messages.Challenge]
for module in (controls, updates, waves):
    CLASSES += module.MESSAGES
SPACE = {cls.KIND: frame.UP if cls.KIND < 8 else frame.DOWN if cls.KIND < 16 else frame.GROUP for cls in CLASSES}
LENIENT = {  # (form or field, value) that only the reader refuses: it is the validator that does not look, not the schema
    (UINT, "b''"), (SEQS, "[b'']"),
    ("patch", "{256: 1}"), ("gaps", "[0, 0]"), ("gaps", "[0, 1, 2]"),
}  # fmt: skip
NUMBER = st.integers(0, 0xFFFFFFFF)


def values(form: int, low: int, high: int) -> st.SearchStrategy:
    """Values of a field, on the wire, from both ends of its range and from between."""
    if form == UINT:
        return st.sampled_from((low, high)) | st.integers(low, high)
    if form == TRUE:
        return st.just(True)
    if form == BYTES:
        return st.binary(min_size=low, max_size=high)
    if form == TEXT:
        return st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=low, max_size=high)
    if form == SEQS:
        return st.lists(st.integers(0, MAX_SEQ), min_size=low, max_size=high)
    if form == INTS:
        return st.lists(st.integers(INT_LOW, INT_HIGH), min_size=low, max_size=high)
    if form == RANGES:
        pair = st.tuples(NUMBER, st.integers(1, 0xFFFFFFFF))
        return st.lists(pair, min_size=low, max_size=high).map(lambda pairs: [n for pair in pairs for n in pair])
    assert form == PATCH
    return st.dictionaries(st.integers(0, 255), st.none() | st.integers(INT_LOW, INT_HIGH), min_size=low, max_size=high)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[type, dict]:
    cls = draw(st.sampled_from(CLASSES))
    body = {
        number: draw(values(form, low, high))
        for number, _, form, low, high, optional in cls.ROWS
        if not optional or draw(st.booleans())
    }
    if cls is controls.Command and draw(st.booleans()):
        body[2] = draw(st.sampled_from(sorted(controls.OPERATIONS)))
        body.pop(3, None)
        arguments = [draw(st.integers(low, high)) for low, high in controls.OPERATIONS[body[2]]]
        if arguments:
            body[3] = arguments
    if cls is updates.UpdateOffer:
        body[3] = draw(st.integers(-(-body[2] // updates.MAX_BLOCK), min(body[2], updates.MAX_BLOCKS)))
    return cls, body


def decodes(data: bytes, kind: int) -> object:
    try:
        return messages.decode(data, SPACE[kind])
    except WireError:
        return None


@given(bodies())
@settings(max_examples=300)
def test_what_the_table_allows_round_trips_and_is_valid(drawn: tuple[type, dict]) -> None:
    cls, body = drawn
    data = cbor.encode([cls.KIND, body])
    message = decodes(data, cls.KIND)
    if message is None:  # what fields ask of each other: arguments of an operation, blocks of an update
        assert cls in (controls.Command, updates.UpdateOffer)
        return
    assert isinstance(message, cls) and message.skipped == 0
    if len(data) <= messages.MAX_MESSAGE:
        assert messages.encode(message) == data
    wire_schema.schema(cls.KIND).validate_cbor(data)


@given(bodies(), st.data())
@settings(max_examples=300)
def test_the_schema_and_the_reader_refuse_the_same_fields(drawn: tuple[type, dict], data: st.DataObject) -> None:
    """One field is replaced or taken out: whatever the reader still takes is valid, and where the schema says no, so does
    the reader. (The other way does not hold: the reader also knows what fields ask of each other.)"""
    cls, body = drawn
    number = data.draw(st.sampled_from([row[0] for row in cls.ROWS]))
    if data.draw(st.booleans()) and number in body:
        del body[number]
    else:
        body[number] = data.draw(
            st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=300)
            | st.text(max_size=30) | st.lists(st.integers(-(1 << 64), (1 << 64) - 1), max_size=40)
            | st.dictionaries(st.integers(0, 300), st.none() | st.integers(-(1 << 40), 1 << 40), max_size=20)
        )  # fmt: skip
    try:
        encoded = cbor.encode([cls.KIND, body])
    except WireError:
        return
    message = decodes(encoded, cls.KIND)
    try:
        wire_schema.schema(cls.KIND).validate_cbor(encoded)
    except pycddl.ValidationError:
        assert message is None, encoded.hex()


@given(bodies(), st.data())
@settings(max_examples=500)
def test_what_the_reader_takes_is_strict_cbor(drawn: tuple[type, dict], data: st.DataObject) -> None:
    """The reader of messages walks bytes and table together, past cbor.decode: it must take nothing that this refuses."""
    cls, body = drawn
    if data.draw(st.booleans()):
        body[data.draw(st.integers(0, 60))] = data.draw(st.integers(0, 1 << 40) | st.binary(max_size=30) | st.none())
    changed = bytearray(cbor.encode([cls.KIND, body]))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        what = data.draw(st.sampled_from(("set", "flip", "insert", "delete")))
        if what == "set":
            changed[at] = data.draw(st.sampled_from((0, 1, 23, 24, 25, 26, 27, 28, 31)) | st.integers(0, 255))
        elif what == "flip":
            changed[at] ^= 1 << data.draw(st.integers(0, 7))
        elif what == "insert":
            changed[at:at] = bytes((data.draw(st.integers(0, 255)),))
        elif len(changed) > 1:
            del changed[at]
    for space in (frame.UP, frame.DOWN, frame.GROUP):
        try:
            message = messages.decode(bytes(changed), space)
        except WireError:
            continue
        value = cbor.decode(bytes(changed))
        assert cbor.encode(value) == changed
        if not isinstance(message, messages.Unknown) and not message.skipped and len(changed) <= messages.MAX_MESSAGE:
            assert messages.encode(message) == changed


def test_ends_of_every_range() -> None:
    """One below the lowest and one above the highest value of each field, and other types, are refused by the reader; by
    the schema too, except for LENIENT."""
    lenient = set()
    for cls in CLASSES:
        base = {number: minimal(form, low) for number, _, form, low, _, optional in cls.ROWS if not optional}
        if cls is controls.Command:
            base[2] = controls.MAX_OPERATION
        assert decodes(cbor.encode([cls.KIND, base]), cls.KIND) is not None, cls
        for number, name, form, low, high, _ in cls.ROWS:
            for value in beyond(form, low, high):
                data = cbor.encode([cls.KIND, {**base, number: value}])
                assert decodes(data, cls.KIND) is None, (cls, name, value)
                try:
                    wire_schema.schema(cls.KIND).validate_cbor(data)
                except pycddl.ValidationError:
                    continue
                lenient.add((name if form in (PATCH, RANGES) else form, repr(value)))
    assert lenient == LENIENT


def minimal(form: int, low: int) -> object:
    return {UINT: low, BYTES: bytes(low), TEXT: "x" * low, SEQS: [0] * low, PATCH: {1: 1}}[form]


def beyond(form: int, low: int, high: int) -> list:
    if form == UINT:
        return [low - 1, high + 1, None, True, b"", "", [], {}]
    if form == TRUE:
        return [False, None, 1]
    if form == BYTES:
        return [bytes(high + 1), 5, "x" * high] + ([bytes(low - 1)] if low else [])
    if form == TEXT:
        return ["x" * (high + 1), b"x", "caf\u00e9", "\n", 5]
    if form == RANGES:
        return [[], [0], [0, 0], [0, 1] * (high + 1), [1 << 32, 1], [0, 1 << 32], [0, 1, 2], 5, None]
    if form == SEQS:
        return [[0] * (high + 1), [-1], [MAX_SEQ + 1], [True], [b""], 5, None]
    if form == INTS:
        return [[], [0] * (high + 1), [INT_LOW - 1], [INT_HIGH + 1], [True], [None], 5, None]
    assert form == PATCH
    return [{}, dict.fromkeys(range(high + 1), 0), {1: INT_HIGH + 1}, {1: INT_LOW - 1}, {1: "x"}, {256: 1}, 5]


@st.composite
def alarms(draw: st.DrawFn) -> events.Event:
    code = draw(st.sampled_from(sorted(events.CODES)))
    chosen = draw(st.sets(st.sampled_from(sorted(CHANNELS)), max_size=events.MAX_VALUES))
    evidence = {
        ident: draw(
            st.sampled_from((NO_ECHO, FAULT, NOT_FITTED)) | st.integers(CHANNELS[ident].low, CHANNELS[ident].high)
        )
        for ident in chosen
    }
    time = draw(NUMBER)
    boot = draw(st.none() | NUMBER)
    now = None if boot is None else draw(st.integers(time, 0xFFFFFFFF))
    return events.Event(draw(NUMBER), time, code, draw(st.integers(0, 3)), draw(st.integers(0, 2)), evidence, boot, now)


@given(alarms())
@settings(max_examples=300)
def test_any_event_round_trips(event: events.Event) -> None:
    data = messages.encode(event)
    again = messages.decode(data, frame.UP)
    assert again == event and again.skipped == 0 and messages.encode(again) == data
    assert 7 <= len(cbor.decode(data)[1]) <= events.MAX_BODY


@given(st.binary(max_size=70))
@settings(max_examples=500)
def test_an_event_body_has_one_form(body: bytes) -> None:
    data = cbor.encode([messages.EVENT, body])
    try:
        event = messages.decode(data, frame.UP)
    except WireError:
        return
    if not event.skipped:
        assert messages.encode(event) == data


def test_no_channel_is_wider_than_an_event_says() -> None:
    assert max(CHANNELS) <= MAX_CHANNEL < 1 << 5
    widest = sorted((row.width for row in CHANNELS.values()), reverse=True)[: events.MAX_VALUES]
    assert 1 + 3 * 34 + 32 + 11 + sum(widest) + 5 * events.MAX_VALUES <= 8 * events.MAX_BODY


def test_a_fault_is_noted() -> None:
    before = list(wire_schema.faults)
    data = cbor.encode([messages.CHALLENGE, {0: 1, 1: b"short"}])
    wire_schema.check(data)
    assert wire_schema.faults.pop().startswith(data.hex())
    wire_schema._seen.discard(data)
    assert wire_schema.faults == before
