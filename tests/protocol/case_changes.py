"""The rules for change: what an old node or gateway does with what a newer one sends, and the reverse."""

from kerbwire import cbor, channels, controls, errors, events, messages
from kerbwire.columns import PLAIN
from kerbwire.errors import WireError
from kerbwire.frame import DOWN, GROUP, UP
from kerbwire.messages import Ack, Challenge, Hello, Record, Report, Unknown, decode, encode

START = 1765454400
HASH = b"12345678"


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def hello():
    return Hello(0, "pico_w", "0.1.0", HASH, 1, 2, HASH, 64, [(1, 2)], HASH)


def examples():
    """One message of each kind whose body is a map, with every optional field."""
    from kerbwire.updates import UpdateBlock, UpdateOffer, UpdateState
    from kerbwire.waves import Brighten, Wave

    return (
        (hello(), UP), (Ack(5, [5], START, True), DOWN), (Challenge(5, HASH), DOWN),
        (controls.Result(7, 1, -3), UP), (controls.Log(1, 2, b"text\n", 3), UP), (UpdateState(b"abcd", 0, 1, b"x", 2), UP),
        (controls.Command(5, 7, controls.DIM, [60, 0, 60], START, 60), DOWN),
        (controls.Config(5, 7, 1, {1: 2}, HASH), DOWN), (UpdateOffer(5, bytes(32), 100, 1, b"abcd"), DOWN),
        (UpdateBlock(5, b"abcd", 0, b"x"), DOWN), (Wave(50, 0, 0, 14, 60), GROUP), (Brighten(100, 60), GROUP),
    )  # fmt: skip


def test_a_kind_that_is_not_known_here_is_skipped_and_named():
    for space, kinds in ((UP, (6, 7)), (DOWN, (14, 15)), (GROUP, (18, 19, 20, 23))):
        for kind in kinds:
            for body in ({}, {0: 5, 22: [1, "text"]}, b"bits", None, 7):
                assert decode(cbor.encode([kind, body]), space) == Unknown(kind)
            assert code(decode, cbor.encode([kind, {}]) + b"\x00", space) == errors.TRAILING  # whole CBOR all the same


def test_a_kind_that_this_bundle_leaves_out_is_skipped_as_well():
    modules, classes = dict(messages.MODULES), dict(messages._classes)
    try:
        for kind in modules:
            messages.MODULES[kind] = "left_out"
            messages._classes.pop(kind, None)
            space = UP if kind < 8 else DOWN if kind < 16 else GROUP
            assert decode(cbor.encode([kind, {0: 5}]), space) == Unknown(kind)
    finally:
        messages.MODULES.update(modules)
        messages._classes.update(classes)


def test_a_newer_sender_adds_fields_and_an_older_reader_skips_and_counts_them():
    for message, space in examples():
        kind, body = cbor.decode(encode(message))
        for added in ({22: 1}, {21: {1: [2]}, 22: "text"}, {18: b"bytes", 19: None, 200: True}):
            newer = dict(body)
            newer.update(added)
            again = decode(cbor.encode([kind, newer]), space)
            assert again == message and again.skipped == len(added), (kind, added)
        unused = [number for number in range(24) if number not in [row[0] for row in message.ROWS]]
        for number in unused:  # before, between and behind the fields that are known
            newer = dict(body)
            newer[number] = [1]
            again = decode(cbor.encode([kind, newer]), space)
            assert again == message and again.skipped == 1, (kind, number)


def test_a_body_has_at_most_23_fields():
    body = dict(cbor.decode(encode(Challenge(5, HASH)))[1])
    body.update(dict.fromkeys(range(2, 23), 0))
    assert decode(cbor.encode([messages.CHALLENGE, body]), DOWN).skipped == 21
    body[23] = 0
    assert code(decode, cbor.encode([messages.CHALLENGE, body]), DOWN) == errors.TYPE


def test_an_older_sender_lacks_the_optional_fields_and_a_newer_reader_takes_their_absence():
    for message, space in examples():
        kind, body = cbor.decode(encode(message))
        for number, name, form, _, _, optional in message.ROWS:
            older = dict(body)
            del older[number]
            if optional and not (kind == messages.COMMAND and name == "arguments"):
                assert getattr(decode(cbor.encode([kind, older]), space), name) == messages.absent(form)
            else:  # so a field that must be there cannot be added to a kind: that is a new kind
                assert code(decode, cbor.encode([kind, older]), space) is not None, (kind, name)


def test_numbers_that_stand_for_words_are_taken_even_where_the_word_is_not_known():
    message = hello()
    message.role, message.reset_cause, message.protocol = 9, 200, 2
    assert decode(encode(message), UP) == message
    assert decode(encode(controls.Result(7, 99)), UP).status == 99
    command = controls.Command(
        5, 7, 40, [1, 2, 3, 4], START, 60
    )  # an operation to come: the node answers "unsupported"
    assert decode(encode(command), DOWN) == command and 40 not in controls.OPERATIONS


def test_an_event_of_a_new_code_is_an_alarm_all_the_same():
    assert 40 not in events.CODES
    event = events.Event(5, START, 40, events.CRITICAL, events.RAISED)
    data = encode(event)
    newer = cbor.decode(data)[1] + b"\x81\x23\x45"  # with evidence that only its sender understands
    for body in (cbor.decode(data)[1], newer):
        again = decode(cbor.encode([messages.EVENT, body]), UP)
        assert (again.code, again.severity, again.index, again.time, again.values) == (40, 2, 5, START, {})
        assert again.skipped == 1


def test_evidence_of_a_new_channel_is_skipped_with_what_follows_it():
    assert 30 not in channels.CHANNELS
    event = events.Event(5, START, events.CRASH, events.NOTICE, events.RAISED, {channels.FILL: 7})
    body = cbor.decode(encode(event))[1]
    # 62 bits so far, 1 + 2 + 8 + 32 + 10 + 1 + 5 + 7 = 66: then channel 30 (11110) and 12 bits of its value
    bits = int.from_bytes(body, "big") >> (8 * len(body) - 66)
    newer = ((bits << 17 | 0b11110 << 12 | 0xABC) << 5).to_bytes(11, "big")
    again = decode(cbor.encode([messages.EVENT, newer]), UP)
    assert again.values == {channels.FILL: 7} and again.skipped == 1


def test_a_plain_report_of_a_new_channel_keeps_the_columns_that_are_known():
    report = Report([Record(1, START, {channels.FILL: 5}), Record(2, START + 3600, {channels.FILL: 6})])
    body = cbor.decode(encode(report, coder=PLAIN))[1]
    at = body.rindex(b"\x01")  # the mask: channel 0 alone
    assert decode(cbor.encode([messages.REPORT, body]), UP) == report
    mask = b"\x81\x80\x80\x80\x04"  # channels 0 and 30
    newer = decode(cbor.encode([messages.REPORT, body[:at] + mask + body[at + 1 :] + b"\x01\x05"]), UP)
    assert newer == report and newer.skipped == 1


def test_a_new_coder_is_refused_so_that_the_frame_is_stored_whole_and_read_after_an_upgrade():
    for coder in (0x3F, 0x40, 0x7F):
        assert code(decode, cbor.encode([messages.REPORT, bytes((coder, 0, 1, 2))]), UP) == errors.UNSUPPORTED


def test_reserved_values_are_refused():
    data = cbor.decode(encode(events.Event(5, START, events.CRASH, events.NOTICE, events.CLEARED)))[1]
    bits = int.from_bytes(data, "big") | 0b11 << (8 * len(data) - 53)  # state 3
    assert code(decode, cbor.encode([messages.EVENT, bits.to_bytes(len(data), "big")]), UP) == errors.RANGE
    command = cbor.decode(encode(controls.Command(5, 7, controls.RELEASE, [], START, 60)))[1]
    command[6] = 3
    assert code(decode, cbor.encode([messages.COMMAND, command]), DOWN) == errors.RANGE


def test_kinds_are_never_used_twice():
    kinds = [messages.HELLO, messages.REPORT, messages.ACK, messages.CHALLENGE] + list(messages.MODULES)  # noqa: RUF005
    assert len(set(kinds)) == len(kinds) == 14
    for kind in kinds:
        cls = messages.class_of(kind)
        assert cls is not None or kind == messages.REPORT
        rows = cls.ROWS if cls else ()
        numbers = [row[0] for row in rows]
        assert numbers == sorted(set(numbers)) and all(number < 24 for number in numbers)
        if 8 <= kind < 16:
            assert rows[0][:2] == (0, "echo")
