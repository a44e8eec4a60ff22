"""What must never change once it was released: numbers of codes; and the ends of what fields may hold."""

from kerbwire import channels as c
from kerbwire import errors, events, frame, group, levels, messages, updates
from kerbwire.columns import Record
from kerbwire.errors import WireError
from kerbwire.frame import DOWN, UP
from kerbwire.messages import MAX_NUMBER, Ack, Hello, Report

HELLO = (0, "board", "1.0", b"bundle..", 0, 0, b"config..", 9)
LIMIT_NEAR = (1000, 1765454400)


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def test_the_codes_of_events():
    assert (
        events.FIRE, events.FULL, events.EMPTIED, events.TILTED, events.LID_OPEN, events.SENSOR_FAULT,
        events.BATTERY_LOW,
    ) == (0, 1, 2, 3, 4, 5, 6)  # fmt: skip
    assert (
        events.LAMP_FAILURE, events.DAY_BURNER, events.CYCLING, events.GEAR_FAULT, events.SUPPLY_LOW,
        events.SUPPLY_HIGH, events.RELAY_FAULT, events.TOO_HOT, events.PHOTOCELL_FAULT,
    ) == (16, 17, 18, 19, 20, 21, 22, 23, 24)  # fmt: skip
    assert (events.CLOCK_STEP, events.CRASH, events.SAFE_MODE, events.FLASH_FAULT, events.DOOR_OPEN) == (
        32, 33, 34, 35, 36,
    )  # fmt: skip
    assert (events.NOTICE, events.WARNING, events.CRITICAL, events.EMERGENCY) == (0, 1, 2, 3)
    assert (events.RAISED, events.HELD, events.CLEARED) == (0, 1, 2) == tuple(range(len(events.STATES)))
    assert len(events.SEVERITIES) == 4


def test_the_states_of_an_update():
    assert (
        updates.RECEIVING, updates.RECEIVED, updates.VERIFIED, updates.ON_TRIAL, updates.CONFIRMED, updates.ROLLED_BACK,
        updates.REFUSED,
    ) == (0, 1, 2, 3, 4, 5, 6)  # fmt: skip


def test_the_verdicts_on_group_messages_differ():
    assert sorted((group.RAISE, group.DUPLICATE, group.LIMITED)) == [0, 1, 2] and group.RAISE == 0


def test_the_ends_of_an_event():
    last = MAX_NUMBER
    for fields, expected in (
        ((last, last, 0, 3, 2), None), ((0, 0, 63, 0, 0), None), ((last + 1, 0, 0, 0, 0), errors.RANGE),
        ((-1, 0, 0, 0, 0), errors.RANGE), ((0, last + 1, 0, 0, 0), errors.RANGE), ((0, -1, 0, 0, 0), errors.RANGE),
        ((0, 0, 64, 0, 0), errors.RANGE), ((0, 0, 0, 4, 0), errors.RANGE), ((0, 0, 0, 0, 3), errors.RANGE),
        ((0, 0, 0, 0, 0, {31: 1}), errors.RANGE), ((0, 0, 0, 0, 0, {32: 1}), errors.RANGE),
        ((0, 0, 63, 0, 0, {0: 1}), errors.RANGE), ((0, 0, 0, 0, 0, {0: 101}), errors.RANGE),
        ((0, 0, 0, 0, 0, {0: 100, 2: -110}), None), ((0, 0, 0, 0, 0, {2: -111}), errors.RANGE),
        ((0, 9, 0, 0, 0, None, 1, 9), None), ((0, 9, 0, 0, 0, None, 1, 8), errors.RANGE),
        ((0, 9, 0, 0, 0, None, 1), errors.TYPE), ((0, 9, 0, 0, 0, None, 1, last), None),
        ((0, 9, 0, 0, 0, None, last, 9), None), ((0, 9, 0, 0, 0, None, last + 1, 9), errors.RANGE),
    ):  # fmt: skip
        message = events.Event(*fields)
        assert code(messages.encode, message) == expected, fields
        if expected is None:
            again = messages.decode(messages.encode(message), UP)
            assert again.skipped == (1 if fields[2] == 63 else 0)
            assert again == message or again.skipped


def test_an_event_carries_eight_values():
    every = sorted([ident for ident in c.CHANNELS if ident != c.TEMPERATURE])
    for extra in (7, 8):
        values = {ident: c.CHANNELS[ident].low for ident in every[:extra]}
        values[c.TEMPERATURE] = 180
        message = events.Event(70000, 1765454400, events.FIRE, 3, 0, values)
        if extra == 7:
            assert messages.decode(messages.encode(message), UP) == message
        else:
            assert code(messages.encode, message) == errors.TOO_LONG
    eight = events.Event(1, 2, events.CRASH, 0, 0, {ident: c.CHANNELS[ident].low for ident in every[:8]}).pack()
    assert len(events.Event.from_body(eight).values) == 8
    bits = int.from_bytes(eight, "big")
    used = 8 * len(eight)
    while bits & 1 == 0 and used > 8 * len(eight) - 7:
        bits >>= 1
        used -= 1
    assert code(events.Event.from_body, bytes(65)) == errors.TOO_LONG


def test_a_number_of_an_event_is_as_short_as_it_can_be():
    for index, size in ((0, 8), (255, 8), (256, 16), (65535, 16), (65536, 24), ((1 << 24) - 1, 24), (1 << 24, 32)):
        body = events.Event(index, 0, events.CRASH, 0, 0).pack()
        assert len(body) == (1 + 2 + size + 32 + 6 + 2 + 2 + 1 + 7) // 8, index
        assert events.Event.from_body(body).index == index


def test_which_messages_are_short_reports():
    for data in (b"", b"\x82", b"\x82\x01", b"\x82\x01\x41", b"\x82\x01\x58", b"\x82\x01\x58\x18"):
        assert not messages.is_short(data)
    assert messages.is_short(b"\x82\x01\x41\x80") and messages.is_short(b"\x82\x01\x58\x18\x9f")
    assert not messages.is_short(b"\x82\x01\x41\xa0") and not messages.is_short(b"\x82\x01\x41\x7f")
    assert not messages.is_short(b"\x82\x02\x41\x80") and not messages.is_short(b"\x81\x01\x41\x80")
    seen = set()
    for count in range(1, 40):
        records = [
            Record(1001 + i, LIMIT_NEAR[1] + 3600 * i, {0: i * i % 101, 2: i * 37 % 100, 5: 0}) for i in range(count)
        ]
        data = messages.encode(Report(records), LIMIT_NEAR)
        seen.add(data[2])
        assert messages.is_short(data) and not messages.is_short(messages.encode(Report(records)))
    assert 0x57 in seen or 0x56 in seen


def test_the_ends_of_a_declared_gap():
    last = MAX_NUMBER
    for gaps, expected in (
        ([(0, 1)], None), ([(last, last)], None), ([(0, 0)], errors.RANGE), ([(-1, 1)], errors.RANGE),
        ([(last + 1, 1)], errors.RANGE), ([(0, last + 1)], errors.RANGE), ([(1, 1)] * 8, None),
        ([(1, 1)] * 9, errors.TOO_LONG),
    ):  # fmt: skip
        hello = Hello(*HELLO, gaps)
        assert code(messages.encode, hello) == expected, gaps
        if expected is None:
            assert messages.decode(messages.encode(hello), UP).gaps == gaps


def test_text_is_printable_ascii():
    for text, expected in (
        ("", None), (" ~", None), ("a" * 24, None), ("a" * 25, errors.TOO_LONG), ("\x1f", errors.TYPE),
        ("\x7f", errors.TYPE), ("\xe9", errors.TYPE), ("a\n", errors.TYPE),
    ):  # fmt: skip
        assert code(messages.encode, Hello(0, text, *HELLO[2:])) == expected, text
    good = messages.encode(Hello(*HELLO))
    assert code(messages.decode, good.replace(b"board", b"boa\x1fd"), UP) == errors.TYPE
    assert code(messages.decode, good.replace(b"board", b"boa\x7fd"), UP) == errors.TYPE
    assert messages.decode(good.replace(b"board", b"bo rd"), UP).board == "bo rd"


def test_sixteen_numbers_in_an_ack():
    for count, expected in ((0, None), (16, None), (17, errors.TOO_LONG)):
        ack = Ack(5, list(range(count)))
        assert code(messages.encode, ack) == expected
        if expected is None:
            assert messages.decode(messages.encode(ack), DOWN) == ack


def test_the_parameter_of_an_interval_is_the_cheapest_from_the_mean_down():
    def size(numbers, k):
        return sum([1 + k + (number >> k if number >> k < 8 else 40) for number in numbers])

    for numbers in (
        [0],
        [1],
        [60, 0, 3],
        [500, 481, 400],
        [1] * 20 + [300],
        [4, 4, 4],
        [70000],
        [8, 0],
        [0] * 9 + [77],
    ):
        k = levels.parameter(numbers)
        start = 0
        while len(numbers) << start < sum(numbers) * 3 // 4 and start < 15:
            start += 1
        while start and size(numbers, start - 1) < size(numbers, start):
            start -= 1
        assert k == start, numbers


def test_messages_that_differ_are_not_equal():
    one, other = Record(1, 2, {0: 3}), Record(1, 2, {0: 4})
    assert Ack(1, []) != Ack(2, []) and Ack(1, []) != Ack(1, [1]) and Ack(1, [2]) == Ack(1, [2])
    assert Report([one]) != Report([other]) and Report([one]) != Report([one], 1, 5) and Report([one]) == Report([one])
    assert one != other and one != Record(2, 2, {0: 3}) and one != Record(1, 3, {0: 3}) and one != 5
    assert Ack(1, []) != Report([one]) and "echo=7" in repr(Ack(7, [])) and "Record(1, 2" in repr(Report([one]))


def test_a_group_frame_is_as_long_as_any():
    key = group.GroupKey(bytes(16), 1)
    for member, seq, head in ((1, 0, 3), (300, 70000, 6), (300, 1 << 24, 8)):
        most = frame.MAX_FRAME - head - frame.TAG_SIZE
        sealed = key.seal(member, seq, bytes(most))
        assert len(sealed) == frame.MAX_FRAME and key.open(sealed, frame.parse(sealed)) == bytes(most)
        assert code(key.seal, member, seq, bytes(most + 1)) == errors.TOO_LONG
        assert code(key.seal, member, seq, b"") == errors.TOO_LONG
    assert code(group.GroupKey, bytes(15), 1) == code(group.GroupKey, bytes(17), 1) == errors.RANGE
