"""Packed reports and level changes: golden bodies, forms, gaps, special values, the fallback, one form."""

import gc

from kerbwire import channels as c
from kerbwire import columns, errors, messages, plain
from kerbwire.columns import MAX_CHANGES, MAX_RECORDS, PLAIN, Record, decode, encode, fit
from kerbwire.errors import WireError
from kerbwire.frame import UP

START = 1765432800  # 2025-12-11 06:00
NEAR = (41179, START - 86400)
SPECIALS = (c.NOT_FITTED, c.NO_ECHO, c.FAULT)


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def rows(first, *values, step=3600, time=START):
    return [Record(first + i, time + step * i, dict(values[i])) for i in range(len(values))]


def bin_day(count=24):
    records = rows(41203, *[{c.FILL: 30 + i // 3, c.TEMPERATURE: 12 - i % 5, c.QUALITY: 0} for i in range(count)])
    records[0].values[c.BATTERY] = 342
    return records


def lamp_night(count=96):
    records = []
    energy = hours = 0
    for i in range(count):
        level = 0 if i < 20 or i > 80 else 50 if 40 < i < 70 and i % 5 else 100
        power = 4 + level * 4 + i % 3 if level else 4
        energy += power // 40
        hours += 1 if level and i % 4 == 0 else 0
        records.append(Record(50122 + i, START + 900 * i, {
            c.LEVEL: level, c.POWER: power, c.ENERGY: 700000 + energy, c.LUX: 100 - i % 7 if not level else 27 - i % 3,
            c.HOURS: 9000 + hours, c.PRESENCE: i * 7 % 5 % 3, c.FAULTS: 4 if i == 33 else 0,
        }))  # fmt: skip
    return records


def changes(count):
    return [
        Record(1000 + i, START + 500 * (i // 2) + 60 * (i % 2), {c.LEVEL: 20 if i % 2 else 100, c.CAUSE: 1 + i % 2})
        for i in range(count)
    ]


# What PROTOCOL.md spells out, and what must never change: records, boot, uptime now, near, body.
THREE = rows(41203, *[{c.FILL: fill, c.TEMPERATURE: t, c.QUALITY: 0} for fill, t in ((31, 12), (33, 12), (33, 11))])
NO_ECHO = rows(5, *[{c.FILL: fill, c.TEMPERATURE: 23, c.QUALITY: q} for fill, q in ((40, 0), (c.NO_ECHO, 1), (41, 0))])
FOUR = [
    Record(1000 + i, 1765455445 + second, {c.LEVEL: level, c.CAUSE: cause})
    for i, (second, level, cause) in enumerate(((0, 100, 1), (60, 20, 2), (541, 100, 1), (601, 20, 2)))
]
GOLDEN = (
    (THREE, None, None, (41202, START - 3600), "941e7f21008044063e89a0"),
    (NO_ECHO, None, None, None, "a0000000ae07c8402064ab0c8840f4"),
    (FOUR, None, None, None, "01000003e8693ab655031c8250806a3c205f0380"),
    (bin_day(), None, None, NEAR, "941e7f2105c242377777771f4aa8322a0c8a8322a0c8aa5640"),
    (rows(0, {c.FILL: 12}, {c.FILL: 13}, time=30), 4, 3700, None, "000100021e04f41c901c01000f02"),
)


def test_golden_bodies():
    for records, boot, uptime_now, near, text in GOLDEN:
        assert encode(records, boot, uptime_now, near).hex() == text, text
        assert decode(bytes.fromhex(text), near) == (records, boot, uptime_now, 0)


def samples():
    """(records, boot, uptime now) of every form."""
    gaps = bin_day(9)
    del gaps[3].values[c.FILL], gaps[4].values[c.TEMPERATURE], gaps[0].values[c.QUALITY]
    special = bin_day(4)
    for i in range(3):
        special[i].values[c.FILL] = SPECIALS[i]
    uneven = bin_day(5)
    uneven[3].time += 60
    uneven[4].time += 7260
    seconds = bin_day(3)
    seconds[2].time += 1
    edges = [Record(0, 0, {ident: row.low for ident, row in c.CHANNELS.items()})]
    edges.append(Record(1, 0, {ident: row.high for ident, row in c.CHANNELS.items()}))
    lamp_gap = lamp_night(30)
    del lamp_gap[7].values[c.LEVEL], lamp_gap[9].values[c.POWER]
    lamp_fault = lamp_night(30)
    lamp_fault[12].values[c.POWER] = c.FAULT
    return (
        (bin_day(), None, None), (bin_day(1), None, None), (bin_day(MAX_RECORDS), None, None), (gaps, None, None),
        (special, None, None), (uneven, None, None), (seconds, None, None), (edges, None, None),
        (lamp_night(), None, None), (lamp_night(1), None, None), (lamp_gap, None, None), (lamp_fault, None, None),
        (rows(0, {}, {}, {c.FILL: 4}), None, None), (bin_day(6), 4, START + 99999), (bin_day(6), 0, START),
        (rows((1 << 32) - 3, {c.TILT: 3}, {c.TILT: 4}, time=(1 << 32) - 61, step=60), None, None),
        (rows(3, {c.SUPPLY: 230}, {c.SUPPLY: 231}, {c.SUPPLY: 229}, step=60 << 17), None, None),
        (changes(1), None, None), (changes(2), None, None), (changes(40), 3, START + 99999),
        (changes(MAX_CHANGES), None, None),
    )  # fmt: skip


def test_every_form_round_trips():
    for records, boot, uptime_now in samples():
        body = encode(records, boot, uptime_now)
        assert decode(body) == (records, boot, uptime_now, 0), records
        assert encode(records, boot, uptime_now) == body
        if len(records) <= MAX_RECORDS:
            written = encode(records, boot, uptime_now, None, PLAIN)
            assert written[0] == PLAIN and decode(written) == (records, boot, uptime_now, 0)
            assert len(body) <= len(written)


def test_index_and_time_are_resolved_nearest_to_what_is_committed():
    for first, minute in ((0, 0), (65530, 65530), (1 << 20, 29_423_880), ((1 << 32) - 40, 67_108_000)):
        records = rows(first, {c.FILL: 1}, {c.FILL: 2}, time=60 * minute)
        for ago in (-16383, -100, -1, 0, 1, 16383):
            near = (first - ago, 60 * (minute - ago) + 59 * (ago > 0))
            if near[0] < 0:
                continue
            body = encode(records, None, None, near)
            assert columns.is_short(body) == (body[0] >> 5 == 4)
            assert decode(body, near)[0] == records, (first, ago)
            if columns.is_short(body):
                assert code(decode, body) == errors.UNRESOLVED
                moved = (max(near[0] - 16000, 0), max(near[1] - 60 * 16000, 0))  # the gateway knows less, or more
                assert decode(body, moved)[0] == records
    records = rows(40000, {c.FILL: 1})
    for near in ((40000 - (1 << 14), START), (39999, START - 60 * (1 << 14)), (40001, START - 60), (39999, START + 60)):
        assert not columns.is_short(encode(records, None, None, near)), near
    assert columns.is_short(encode(records, None, None, (39999, START - 60)))
    body = encode(rows(65535, {c.FILL: 1}, time=60 * 65535), None, None, (65534, 60 * 65534))
    assert code(decode, body, (2, 0)) == errors.RANGE  # nearest to it lies before the first record


def test_what_packed_cannot_say_goes_out_plain():
    records = bin_day(3)
    assert encode(records, 4, START)[0] == PLAIN  # written before its last record: an uptime that was misread
    assert decode(encode(records, 4, START)) == (records, 4, START, 0)
    jumps = rows(
        0, *[{ident: (row.low, row.high)[i * 7 % 3 % 2] for ident, row in c.CHANNELS.items()} for i in range(9)]
    )
    assert len(encode(jumps, None, None)) <= len(plain.encode(jumps, None, None))


def test_no_column_is_longer_than_in_fixed_width_and_a_byte():
    alone = len(encode(rows(5, *[{}] * 50), None, None, None))
    state = 1
    for ident, row in c.CHANNELS.items():
        for spread in (1, 7, 300, row.high - row.low):
            values = []
            for _ in range(50):
                state = state * 69069 + 1 & 0xFFFFFFFF
                values.append({ident: row.low + (state >> 5) % (min(spread, row.high - row.low) + 1)})
            size = len(encode(rows(5, *values), None, None))
            assert size <= alone + -(-50 * row.width // 8) + 2, (row.name, spread)  # a byte, and one for rounding


def test_every_truncated_body_is_refused():
    for records, boot, uptime_now in samples():
        body = encode(records, boot, uptime_now)
        for size in range(len(body)):
            assert code(decode, body[:size]) is not None, (size, body.hex())
        assert code(decode, body + b"\x00") == errors.TRAILING


def test_each_changed_bit_is_refused_or_another_report():
    for records, boot, uptime_now in (samples()[0], samples()[3], samples()[9], samples()[19]):
        body = encode(records, boot, uptime_now)
        for bit in range(8 * len(body)):
            changed = bytearray(body)
            changed[bit >> 3] ^= 128 >> (bit & 7)
            try:
                other = decode(bytes(changed), NEAR)
            except WireError:
                continue
            assert other[:3] != (records, boot, uptime_now), bit


def bits(text):
    text = text.replace(" ", "")
    text += "0" * (-len(text) % 8)
    return bytes([int(text[i : i + 8], 2) for i in range(0, len(text), 8)])


def test_refused_bodies():
    head = "1 01 " + "0" * 32 + " " + "0" * 26
    seconds = "1 10 " + "0" * 32 + " " + "0" * 31
    one = head + " 0000000 "
    two = head + " 0000001 00 "
    masked = "111 " + "0" * 31 + "1 "  # fill alone
    fill = "0000100 "  # 1 %
    for text, expected in (
        (one + "111 " + "0" * 32, None), (one + masked + fill, None), (two + masked + "0 10 " + fill, None),
        (head + " 1100000 00 000", errors.TOO_LONG),  # 97 records
        (one + "101", errors.UNSUPPORTED), (one + "110", errors.UNSUPPORTED),  # unused sets
        (one + "111 " + "0" * 25 + "1000000", errors.UNSUPPORTED),  # no such channel
        (one + masked + "1111111", errors.RANGE),
        (head + " 0000001 10 " + "0" * 10 + "111100 " + masked + "0 10 " + fill, errors.NOT_CANONICAL),  # an hour
        (seconds + "0 0000000 " + masked + fill, errors.NOT_CANONICAL), (seconds + "1 0000000 " + masked + fill, None),
        (two + masked + "11 11 10 " + fill, errors.NOT_CANONICAL), (two + masked + "11 00 " + fill, errors.NOT_CANONICAL),
        (two + masked + "11 10 " + fill, errors.NOT_CANONICAL), (two + masked + "11 01 " + fill, None),
        (two + masked + "0 111 0000100 0000100", errors.NOT_CANONICAL),  # constant, in fixed width
        (two + masked + "0 111 0000100 0000101", errors.NOT_CANONICAL),  # fixed width, though the coder is shorter
        (two + masked + "0 111 0000011 1100111", None),
        (two + masked + "0 0 " + fill + "000 1", errors.NOT_CANONICAL),  # constant, coded
        (two + masked + "0 0 " + fill + "000 01", None), (two + masked + "0 0 " + fill + "001 11", errors.NOT_CANONICAL),
        (two + masked + "0 0 0000001 000 01", errors.NOT_CANONICAL),  # a special value without its mode
        (two + masked + "0 0 " + fill + "000 00000000 000000001", errors.NOT_CANONICAL),  # an escape that was not due
        (two + masked + "0 110 00 " + fill + "000 01", errors.NOT_CANONICAL),  # no special value
        (two + masked + "0 110 01 11 " + fill, errors.UNSUPPORTED), (two + masked + "0 110 01 10 " + fill, None),
        (two + masked + "0 10 0000000 1", errors.NOT_CANONICAL),  # filling
        (one + "111 " + "0" * 29 + "101" + "0000100 001110011" , None),
        (two + "111 " + "0" * 26 + "100101 0 10 0000100 0 10 001110011 0 10 1", errors.NOT_CANONICAL),  # a usual set
    ):  # fmt: skip
        assert code(decode, bits(text)) == expected, text
    assert code(decode, b"") == errors.TRUNCATED
    assert code(decode, b"\x02" + bytes(40)) == errors.UNSUPPORTED
    assert code(decode, b"\x01" + bytes(8) + b"\xc0" + bytes(20)) == errors.TOO_LONG  # 193 changes


def test_random_bytes_are_refused_or_read():
    state = 7
    for size in range(1, 120):
        for first in (0x80, 0xA0, 0xC0, 0xE0, 1):
            data = bytearray((first,))
            for _ in range(size):
                state = state * 1103515245 + 12345 & 0x7FFFFFFF
                data.append(state >> 16 & 255)
            code(decode, bytes(data), NEAR)


def test_a_run_is_split_at_a_byte_budget():
    day, night = bin_day(MAX_RECORDS), lamp_night()
    for records, budgets in ((day, (36, 51, 100, 227)), (night, (36, 51, 100, 227)), (changes(60), (36, 51, 227))):
        for budget in budgets:
            left = records
            while left:
                count, message = messages.fit(left, budget)
                assert 0 < count <= len(left) and len(message) <= budget
                assert decode_message(message) == left[:count]
                if count < len(left) and count < MAX_RECORDS:
                    assert len(messages.encode(messages.Report(left[: count + 1]))) > budget - 3
                left = left[count:]
    assert fit(day, 3) == (0, b"") and fit([], 200) == (0, b"")
    bad = bin_day(5)
    bad[3].values[c.FILL] = 101
    assert fit(bad, 200)[0] == 3
    bad[0].values[c.FILL] = 101
    assert fit(bad, 200) == (0, b"")


def decode_message(message):
    return messages.decode(message, UP).records


def test_the_encoder_works_in_slices():
    for records, boot, uptime_now in samples():
        parts = list(columns.steps(records, boot, uptime_now))
        assert parts[-1] == encode(records, boot, uptime_now) and not any(parts[:-1])
    assert len([1 for _ in columns.steps(lamp_night(), None, None)]) > 20


def test_a_bin_day_takes_at_most_1_kb_of_heap():
    if hasattr(gc, "mem_alloc"):  # of MicroPython, on 64 bits
        day = bin_day()
        encode(day, None, None, NEAR)
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        encode(day, None, None, NEAR)
        taken = gc.mem_alloc() - before
        gc.enable()
        assert taken <= 1024, taken


def test_a_bin_day_and_a_lamp_night_are_small():
    """A copy of the bars that needs no workload: a plain day, a plain night, a busy evening."""
    assert len(encode(bin_day(), None, None, NEAR)) + 17 <= 46
    assert len(encode(lamp_night(), None, None, (50026, START - 86400))) + 17 <= 172
    assert len(encode(changes(120), None, None)) + 17 <= 1.4 * 120
