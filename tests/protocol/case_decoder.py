"""What the readers of reports refuse, and the bits below them: bodies written bit by bit."""

from kerbwire import bits as b
from kerbwire import channels as c
from kerbwire import columns, errors, plain
from kerbwire.bitreader import BitReader, unzigzag
from kerbwire.errors import WireError
from kerbwire.layout import MASKED, SETS, usual_set
from kerbwire.predictors import Adaptive, Light, Meter, Watts
from kerbwire.records import MAX_NUMBER, Record

HEAD = "1 01 " + "0" * 32 + " " + "0" * 26 + " "  # packed, full minutes, index 0, 1970
ONE, TWO, THREE = HEAD + "0000000 ", HEAD + "0000001 00 ", HEAD + "0000010 00 "
FILL_ALONE = "111 " + "0" * 31 + "1 "
SLICES = {"fixed": 41, "static": 38, "ranks": 23, "new ranks": 26, "mixed": 18, "some": 32, "lamp": 64}  # of reports()
SPECIALS = (c.NOT_FITTED, c.NO_ECHO, c.FAULT)


def text_of(number, width):
    return "".join(["1" if number >> i & 1 else "0" for i in range(width - 1, -1, -1)])


def body(text):
    text = text.replace(" ", "")
    text += "0" * (-len(text) % 8)
    return bytes([int(text[i : i + 8], 2) for i in range(0, len(text), 8)])


def column(text):
    """The fill values of a body, or the code of its refusal."""
    try:
        return [record.values[c.FILL] for record in columns.decode(body(text))[0]]
    except WireError as error:
        return error.code


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def rice(number, k, width):
    if number >> k < 8:
        return "0" * (number >> k) + "1" + text_of(number & (1 << k) - 1, k)
    return "0" * 8 + text_of(number, width)


def test_the_writer_says_what_the_text_says():
    """Any order of numbers, codes and cuts, against the same bits as text."""
    state = 5
    for round_ in range(60):
        out = b.BitWriter()
        text = ""
        for _ in range(40):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            what, number, k = state >> 8 & 3, state >> 4 & 0xFFFF, state >> 20 & 7
            if what == 0:
                width = 1 + (state >> 10 & 31)
                number = (state * 77773 + round_) & (1 << width) - 1
                out.put(number, width)
                text += text_of(number, width)
            elif what == 1:
                number >>= state >> 24 & 15
                out.rice(number, k, 17)
                text += rice(number, k, 17)
            elif what == 2:
                numbers = [number >> i & 127 for i in range(9)]
                out.rices(numbers, 1, 8, k, 9)
                text += "".join([rice(one, k, 9) for one in numbers[1:8]])
            elif len(text) > 30:
                size = len(text) - (state >> 10 & 15)
                if size >= 8 * (len(out.out)) - 16:
                    out.cut(size)
                    text = text[:size]
            assert out.size() == len(text)
        assert out.finish() == body(text), round_


def test_the_reader_says_what_the_text_says():
    for k in range(8):
        numbers = [0, 1, 5, 7 << k, (8 << k) - 1, 8 << k, (8 << k) + 3, 0, 0, 1, 2, 3, 3, 0]
        text = "".join([rice(number, k, 12) for number in numbers])
        bits = BitReader(body("101" + text))
        assert bits.get(3) == 5 and [bits.rice(k, 12) for _ in numbers] == numbers
        assert bits.at == 3 + len(text)
        bits.finish()
        assert code(BitReader(body(rice(7, 0, 12) + text)[: len(text) // 8]).static, len(numbers), 12) is not None
    for escaped in (0, 7, 63):  # with k = 3 a quotient below 8 has its own code
        assert code(BitReader(body("0" * 8 + text_of(escaped, 12))).rice, 3, 12) == errors.NOT_CANONICAL
    assert BitReader(body("0" * 8 + text_of(64, 12))).rice(3, 12) == 64
    assert BitReader(body("1010")).flags(4) == [1, 0, 1, 0]
    assert code(BitReader(b"\x80").flags, 9) == code(BitReader(b"\x80").get, 9) == errors.TRUNCATED
    assert code(BitReader(b"\x01").rice, 1, 12) == code(BitReader(b"").get, 1) == errors.TRUNCATED
    bits = BitReader(b"\xff\x00")
    bits.get(8)
    assert code(bits.finish) == errors.TRAILING
    bits.get(1)
    assert code(bits.finish) is None
    bits = BitReader(b"\xff")
    bits.get(1)
    assert code(bits.finish) == errors.NOT_CANONICAL


def test_a_static_code_has_the_parameter_of_its_numbers():
    for numbers in (
        [0], [1], [0] * 30, [1, 0, 2, 1, 0] * 9, [3, 9, 1, 4, 2, 2, 11, 5], [12] * 5, [13, 12, 11], [8, 8, 8], [9, 8, 8],
        [40, 0, 1, 1, 2, 1], [200, 300, 90], [384, 385, 500, 383], [1000] * 3, [4095], [0, 4095, 0, 0, 0, 0, 0, 0],
    ):  # fmt: skip
        right = b.rice_parameter(numbers, len(numbers))
        for k in range(8):
            text = text_of(k, 3) + "".join([rice(number, k, 12) for number in numbers])
            bits = BitReader(body(text))
            if k == right:
                assert bits.static(len(numbers), 12) == [unzigzag(number) for number in numbers]
                assert bits.at == len(text)
            else:
                assert code(bits.static, len(numbers), 12) == errors.NOT_CANONICAL, (numbers, k)


def test_the_parameter_is_the_least_that_is_enough():
    """PROTOCOL.md: count x 2^k >= 5/8 of the sum, numbers counted as 12, or as 384 if that sum is above 8 x count."""
    for numbers in (
        [1, 2],
        [12, 12, 8],
        [8, 8],
        [9, 8],
        [24, 0],
        [385, 0, 0],
        [383, 384, 385, 386],
        [12] * 8,
        [0],
        [2],
    ):
        count = len(numbers)
        total = sum([min(number, 12) for number in numbers])
        if total > 8 * count:
            total = sum([min(number, 384) for number in numbers])
        least = next(k for k in range(8) if count << k >= total * 5 // 8 or k == 7)
        assert b.rice_parameter(numbers, count) == least, numbers


def test_zigzag():
    assert [unzigzag(number) for number in range(7)] == [0, -1, 1, -2, 2, -3, 3]
    assert unzigzag(MAX_NUMBER) == -(1 << 31)


def test_columns_that_have_a_shorter_form_are_refused():
    fixed = "0 111 "
    wild = [1, 101, 40, 3, 99, 0, 88]
    wild_text = "".join([text_of(value, 7) for value in [3 + value - (value == 101) for value in wild]])
    seven = HEAD + "0000110 00 " + FILL_ALONE
    assert column(seven + fixed + wild_text) == [value - (value == 101) for value in wild]
    assert column(TWO + FILL_ALONE + fixed + "0000100 0000101") == errors.NOT_CANONICAL  # coded it takes less
    assert column(TWO + FILL_ALONE + fixed + "0000100 0000100") == errors.NOT_CANONICAL
    assert column(TWO + FILL_ALONE + fixed + "0000100 1101000") == errors.RANGE
    # 17 bits are allowed to two values: 1 + 7 + 3 and a code of up to 6; -63 and 63 would take more, escaped
    coded = "0 0 0000100 "
    assert column(TWO + FILL_ALONE + coded + "100 1 0001") == errors.NOT_CANONICAL  # the parameter of 1 is 0
    assert column(TWO + FILL_ALONE + coded + "000 001") == [1, 0]
    assert column(TWO + FILL_ALONE + coded + "000 01") == [1, 2]
    assert column(TWO + FILL_ALONE + coded + "000 1") == errors.NOT_CANONICAL


def test_special_values_in_a_column():
    mixed = THREE + FILL_ALONE + "0 110 "
    assert column(mixed + "010 01 0000100 000 01") == [1, c.NO_ECHO, 2]
    assert column(mixed + "101 00 10 0000100") == [c.NOT_FITTED, 1, c.FAULT]
    assert column(mixed + "111 00 01 10") == list(SPECIALS)
    assert column(mixed + "111 01 01 01") == errors.NOT_CANONICAL  # constant
    assert column(mixed + "010 11 0000100 000 01") == errors.UNSUPPORTED
    assert column(mixed + "000 0000100 000 01 01") == errors.NOT_CANONICAL  # none
    assert column(mixed + "010 01 0000100 000 0000001") == errors.NOT_CANONICAL  # the parameter of 6 is 2
    assert column(mixed + "010 01 0000011 000 001") == errors.RANGE  # 0, and 1 below
    assert column(mixed + "010 01 1100111 000 01") == errors.RANGE  # 100, and 1 above
    assert column(mixed + "010 01 1100111 000 001") == [100, c.NO_ECHO, 99]


def test_the_ends_of_a_range():
    assert column(TWO + FILL_ALONE + "0 0 0000011 000 001") == errors.RANGE
    assert column(TWO + FILL_ALONE + "0 0 1100111 000 01") == errors.RANGE
    assert column(TWO + FILL_ALONE + "0 0 0000011 000 01") == [0, 1]
    assert column(TWO + FILL_ALONE + "0 0 1100111 000 001") == [100, 99]
    assert column(ONE + FILL_ALONE + "1100111") == [100] and column(ONE + FILL_ALONE + "1101000") == errors.RANGE
    assert column(ONE + FILL_ALONE + "0000010") == [c.FAULT] and column(ONE + FILL_ALONE + "0000011") == [0]


def test_index_and_time_have_ends():
    last = MAX_NUMBER
    for index, minutes, count, expected in (
        (last - 1, 0, 1, None), (last, 0, 1, errors.RANGE), (last - 2, 0, 2, None), (last - 1, 0, 2, errors.RANGE),
        (0, (1 << 26) - 1, 1, None),
    ):  # fmt: skip
        text = "1 01" + text_of(index, 32) + text_of(minutes, 26) + text_of(count - 1, 7) + ("00" if count > 1 else "")
        text += FILL_ALONE + ("0 10 " if count > 1 else "") + "0000100"
        assert code(columns.decode, body(text)) == expected, (index, minutes, count)
    uptime = "1 11" + text_of(0, 32) + text_of(last - 5, 32) + "00000 1" + "00010 "
    for late, expected in (("101", None), ("110", errors.RANGE)):
        text = uptime + late + "0000000" + FILL_ALONE + "0000100"
        assert code(columns.decode, body(text)) == expected, late
    seconds = "1 10" + text_of(0, 32) + text_of(last - 900, 32) + "0000001"
    for interval, expected in (("01", None), ("00", errors.RANGE)):
        assert code(columns.decode, body(seconds + interval + FILL_ALONE + "0 10 0000100")) == expected


def test_a_near_form_is_resolved_to_the_nearest():
    text = "1 00" + text_of(0x8000, 16) + text_of(7, 16) + "0000000" + FILL_ALONE + "0000100"
    for near, index, minute in (
        ((0x8000, 0), 0x8000, 7), ((0x10000, 60 * 0x10000), 0x8000, 0x10007), ((0x10001, 60 * 0x18007), 0x18000, 0x10007),
        ((0x18000, 60 * 0x18008), 0x18000, 0x20007),
    ):  # fmt: skip
        record = columns.decode(body(text), near)[0][0]
        assert (record.index, record.time) == (index, 60 * minute), near
    for index, minute, expected in ((0xFFFF, 5, errors.RANGE), (5, 0xFFFF, errors.RANGE), (0, 0, None)):
        other = "1 00" + text_of(index, 16) + text_of(minute, 16) + "0000000" + FILL_ALONE + "0000100"
        assert code(columns.decode, body(other), (100, 6000)) == expected  # -1 is nearer than 65535
    assert code(columns.decode, body(text)) == errors.UNRESOLVED


def test_plain_counts_columns_of_channels_unknown_here():
    """Up to the last bit of the mask."""
    for bit in (6, 25, 31):
        data = bytearray((0, 0, 5, 1, 9))
        mask = 1 << bit | 1
        while mask > 127:
            data.append(mask & 127 | 128)
            mask >>= 7
        data.append(mask)
        data += bytes((1, 4, 1, 77))
        assert plain.decode(bytes(data)) == ([Record(5, 9, {0: 1})], None, None, 1), bit
        assert code(plain.decode, bytes(data[:-2])) == errors.TRUNCATED


def test_plain_works_in_slices():
    """Each does as much as 32 numbers ask for, wherever a column or a list of intervals is long."""
    records = [Record(i, 100 * i + i % 3, {0: i % 7}) for i in range(96)]
    out = bytearray()
    most = before = slices = 0
    for _ in plain.steps(out, records, None, None):
        most = max(most, len(out) - before)
        before = len(out)
        slices += 1
    assert max(most, len(out) - before) <= 2 * 33 and slices == 1 + 2 + 3 + 2


def test_a_mean_is_rounded_to_the_nearest():
    light = Light(3)
    light.learn(4)
    assert light.expect(0) == 4  # 3.5
    light.learn(3)
    assert light.expect(0) == 3  # 3.33
    for value in (33, 34, 35):
        assert Light(10).expect(value) == (10 if value < 34 else value)
    light = Light(33)
    light.learn(34)
    assert light.expect(0) == 33  # 34 is no dark
    watts = Watts(1000)
    assert watts.expect(50) is None and watts.expect(0) is None
    watts.learn(50, 201)
    watts.learn(50, 202)
    assert watts.expect(50) == 202 and watts.expect(0) is None
    assert watts.expect(100) == 403  # in proportion: 201.5 x 2
    assert Watts(1000).expect(1) is None
    watts.learn(0, 7)
    assert watts.expect(100) == 403 and watts.expect(0) == 7  # an unlit level is no reference
    watts.learn(10, 999)
    assert watts.expect(100) == 1000  # at most the highest


def test_a_mean_fades():
    watts = Watts(1000)
    for _ in range(16):
        watts.learn(5, 100)
    watts.learn(5, 200)
    assert watts.expect(5) == (1200 + 200 + 6) // 13
    light = Light(20)
    for _ in range(7):
        light.learn(20)
    light.learn(0)
    assert light.expect(0) == (120 + 3) // 7
    adaptive = Adaptive(6)
    assert adaptive.parameter() == 2
    for number, expected in ((0, 1), (0, 1), (40, 4), (99, 4), (0, 4), (0, 4), (0, 4)):
        adaptive.learn(number)
        assert adaptive.parameter() == expected, number


def test_a_meter_keeps_the_rest():
    meter = Meter(10, 100, 5)
    assert meter.expect(7, 4) == 7
    meter.learn(0)
    assert meter.expect(7, 1) == 8  # 5 + 4 + 1
    meter.learn(1)
    assert meter.expect(8, 9) == 8
    meter.learn(0)
    assert meter.expect(8, 1) == 9
    meter.learn(0)  # it counted less than it should have: of the rest no more than a unit less one is kept
    assert meter.expect(8, 0) == 8 and meter.expect(8, 1) == 9
    meter.learn(5)
    assert meter.expect(8, 9) == 8 and meter.expect(100, 50) == 100


def test_numbers_intervals_and_runs_have_one_form():
    uptime = "1 11" + "0" * 32 + "0" * 32
    for boot, expected in (
        ("00000 0", None),
        ("00000 1", None),
        ("00001 10", None),
        ("00001 01", errors.NOT_CANONICAL),
    ):
        text = uptime + boot + "00000 0" + "0000000" + FILL_ALONE + "0000100"
        assert code(columns.decode, body(text)) == expected, boot
    uneven = HEAD + "0000010 11 "
    same, rest = FILL_ALONE + "0 10 0000100", "00010 101 "  # middle: 5 minutes
    assert code(columns.decode, body(uneven + rest + "000 1 1" + same)) == errors.NOT_CANONICAL  # even
    assert code(columns.decode, body(uneven + rest + "000 1 001" + same)) == errors.NOT_CANONICAL  # not the middle
    assert [r.time for r in columns.decode(body(uneven + rest + "000 01 1" + same))[0]] == [0, 240, 540]
    falls = "00000 0 " + "000 01 1"  # intervals of -1 and 0 minutes
    assert code(columns.decode, body(uneven + falls + same)) == errors.RANGE
    late = text_of(60 << 26, 32)  # whole minutes, and more than 26 bits can say
    assert code(columns.decode, body("1 10" + "0" * 32 + late + "0000000" + FILL_ALONE + "0000100")) is None
    early = text_of((60 << 26) - 60, 32)
    assert code(columns.decode, body("1 10" + "0" * 32 + early + "0000000" + FILL_ALONE + "0000100")) is not None
    quality = "111 " + text_of(1 << c.QUALITY, 32) + " 0 0 1 "  # coded, first 0
    assert code(columns.decode, body(THREE + quality + "000 000 01 1 01")) is None  # a zero, then a new one: 1
    assert code(columns.decode, body(THREE + quality + "000 000 1 1 01 01")) is None  # a new one, then a zero
    assert code(columns.decode, body(THREE + quality + "000 000 1 1 001 01")) == errors.RANGE  # two: one too many
    assert code(columns.decode, body(THREE + quality + "000 000 001")) == errors.NOT_CANONICAL  # constant
    assert code(columns.decode, body(THREE + quality + "000 000 01 1 1")) == errors.NOT_CANONICAL  # 0 is known
    assert code(columns.decode, body(THREE + quality + "000 000 01 01 01")) == errors.RANGE  # a rank that none has


def test_the_size_of_what_is_read_is_exact():
    assert BitReader(b"\x80").flags(8) == [1] + [0] * 7 and BitReader(b"\x80").get(8) == 128
    assert BitReader(b"\x01").rice(0, 9) == 7 and BitReader(b"\x03").rice(1, 9) == 13
    assert BitReader(b"\x00\x09").rice(0, 8) == 9 and BitReader(b"\x80").rice(0, 8) == 0


def test_few_lit_and_few_unlit_records():
    for levels in ((0, 100), (100, 0, 100), (0, 0, 100), (0, 100, 100, 0, 50), (100, 50, 100, 0, 0, 0), (1, 0)):
        records = []
        for i in range(len(levels)):
            level = levels[i]
            records.append(Record(i, 900 * i, {
                c.LEVEL: level, c.POWER: 4 + i + 4 * level, c.ENERGY: 100 * i, c.LUX: 30 + i, c.HOURS: 5, c.PRESENCE: i,
                c.FAULTS: 0,
            }))  # fmt: skip
        data = columns.encode(records, None, None)
        assert columns.decode(data)[0] == records, levels


def test_each_set_of_channels_has_its_number():
    for number in range(len(SETS)):
        every, first = SETS[number]
        for count in (1, 2, 5):
            records = [Record(i, 3600 * i, {ident: c.CHANNELS[ident].low + i for ident in every}) for i in range(count)]
            for ident in first:
                records[0].values[ident] = 300
            assert usual_set(records) == number
            data = columns.encode(records, None, None)
            text = "".join([text_of(byte, 8) for byte in data])
            at = 3 + 32 + 26 + 7 + (2 if count > 1 else 0)
            assert text[at : at + 3] == text_of(number, 3) and columns.decode(data)[0] == records
            records[-1].values[c.TILT] = 1
            assert usual_set(records) == MASKED and columns.decode(columns.encode(records, None, None))[0] == records


def reports():
    """Every way in which a column is written, each long enough for several slices."""
    wild = [i * 7919 % 101 for i in range(96)]
    for name, columns_of in (
        ("fixed", {c.FILL: wild, c.TILT: wild}), ("static", {c.DISTANCE: [6000 + i * i % 90 for i in range(96)], c.TILT: wild}),
        ("ranks", {c.QUALITY: [i % 9 for i in range(96)]}), ("new ranks", {c.QUALITY: [i * 600 for i in range(96)]}),
        ("mixed", {c.FILL: [i % 50 if i % 3 else c.NO_ECHO for i in range(96)]}),
        ("some", {c.FILL: [i % 50 if i % 3 else None for i in range(96)], c.BATTERY: [330 + i % 2 for i in range(96)]}),
        ("lamp", {
            c.LEVEL: [0 if i < 40 else 100 for i in range(96)], c.POWER: [4 + 2 * (i % 2) + (560 if i >= 40 else 0) for i in range(96)],
            c.ENERGY: [9 * i for i in range(96)], c.LUX: [20 + i * i % 11 for i in range(96)],
            c.HOURS: [i // 4 for i in range(96)], c.PRESENCE: [i * i % 7 for i in range(96)], c.FAULTS: [i // 50 for i in range(96)],
        }),
    ):  # fmt: skip
        records = []
        for i in range(96):
            values = {ident: columns_of[ident][i] for ident in columns_of if columns_of[ident][i] is not None}
            records.append(Record(i, 900 * i + (60 * (i % 2) if name == "ranks" else 0), values))
        yield name, records


def test_the_slices_of_each_way_to_write_a_column():
    """As many as the 32 values that one may take ask for, and no more: each costs its turn of a lamp's loop."""
    for name, records in reports():
        parts = list(columns.steps(records, None, None))
        assert columns.decode(parts[-1])[0] == records, name
        assert len(parts) == SLICES[name], (name, len(parts))
