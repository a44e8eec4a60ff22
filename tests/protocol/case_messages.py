"""Messages and reports: round trips, one form each, unknown fields and kinds, caps and ranges."""

from kerbwire import cbor, errors, messages
from kerbwire import channels as c
from kerbwire.columns import MAX_RECORDS
from kerbwire.errors import WireError
from kerbwire.frame import DOWN, GROUP, UP
from kerbwire.messages import Ack, Challenge, Hello, Record, Report, Unknown, decode, encode

START = 1765454400


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def bin_day(count=24):
    records = [
        Record(41203 + i, START + 3600 * i, {c.FILL: 30 + i // 3, c.TEMPERATURE: 12 - (i % 5), c.QUALITY: 0})
        for i in range(count)
    ]
    records[0].values[c.BATTERY] = 342
    return records


def hello(**changes):
    fields = {
        "role": c.BIN, "board": "esp32_c3", "firmware": "0.1.0", "bundle": b"bundle..", "reset_cause": messages.HARD,
        "boot_count": 3, "config_hash": b"config..", "next_index": 64,
    }  # fmt: skip
    fields.update(changes)
    return Hello(**fields)


def test_reports_round_trip():
    special = bin_day(3)
    special[0].values[c.FILL] = c.NO_ECHO
    special[1].values[c.FILL] = c.FAULT
    special[2].values[c.FILL] = c.NOT_FITTED
    edges = [Record(0, 0, {ident: row.low for ident, row in c.CHANNELS.items()})]
    edges.append(Record(1, 0, {ident: row.high for ident, row in c.CHANNELS.items()}))
    for report in (
        Report(bin_day()), Report(bin_day(1)), Report(bin_day(MAX_RECORDS)), Report(special), Report(edges),
        Report([Record(7, 100, {})]), Report([Record(7, 100, {}), Record(8, 100, {c.FILL: 1})]),
        Report(bin_day(5), boot=4, uptime_now=START + 99999),
        Report([Record(5, 10, {c.FILL: 1}), Record(6, 20, {c.FILL: 2}), Record(7, 25, {c.FILL: 3})]),
    ):  # fmt: skip
        again = decode(encode(report), UP)
        assert again == report and again.skipped == 0
        assert encode(again) == encode(report)


def test_special_values_are_never_numbers():
    for special in (c.NO_ECHO, c.FAULT, c.NOT_FITTED):
        assert special in c.SPECIAL
        assert all(not row.low <= special <= row.high for row in c.CHANNELS.values())


def test_a_bin_day_is_small():
    assert len(encode(Report(bin_day()))) < 90


def test_records_of_a_report_are_consecutive_and_in_range():
    good = bin_day(3)
    for bad in (
        [],
        bin_day(MAX_RECORDS + 1),
        [good[0], good[2]],
        [Record(1, 100, {}), Record(2, 99, {})],
        [Record(1, 1, {c.FILL: 101})],
        [Record(1, 1, {c.FILL: -1})],
        [Record(1, 1, {6: 1})],
        [Record(-1, 1, {})],
        [Record(1, 1 << 32, {})],
    ):
        assert code(encode, Report(bad)) in (errors.RANGE,), bad


def test_every_truncated_report_is_refused():
    data = encode(Report(bin_day(5), boot=1, uptime_now=START + 99999))
    body = cbor.decode(data)[1]
    for size in range(len(body)):
        assert code(decode, cbor.encode([messages.REPORT, body[:size]]), UP) is not None, size
    assert code(decode, cbor.encode([messages.REPORT, body + b"\x00"]), UP) == errors.TRAILING


def test_refused_report_bodies():
    # coder, flags, index, count, time, [step], mask, columns
    for text, expected in (
        ("0200", errors.UNSUPPORTED), ("0004", errors.UNSUPPORTED), ("00000500640000", errors.TOO_LONG),
        ("000005616400", errors.TOO_LONG), ("0000050164", errors.TRUNCATED), ("0002050164" + "00", errors.NOT_CANONICAL),
        ("0002000300010000" + "00", errors.NOT_CANONICAL), ("000085000164" + "00", errors.NOT_CANONICAL),
        ("0000050164" + "010165", None), ("0000050164" + "010104", None),
        ("0000050164" + "010169", errors.RANGE), ("0000050164" + "010000", errors.NOT_CANONICAL),
        ("0000050164" + "01030004", errors.NOT_CANONICAL), ("0000ffffffff7f0100" + "00", errors.RANGE),
        ("0000ffffffffff010100" + "00", errors.RANGE), ("000005026401" + "0105050405", errors.NOT_CANONICAL),
        ("000005026401" + "01030204", errors.RANGE), ("000005026401" + "01000400", errors.NOT_CANONICAL),
        ("000005026401" + "01000401", None),
        ("000005026401" + "01000409", errors.RANGE),
        ("0000ffffffff0f0164" + "00", errors.RANGE), ("0000feffffff0f0164" + "00", None),
    ):  # fmt: skip
        size = len(text) // 2
        data = bytes((0x82, 1, 0x40 + size)) if size < 24 else bytes((0x82, 1, 0x58, size))
        assert code(decode, data + bytes.fromhex(text), UP) == expected, text


def test_a_column_of_an_unknown_channel_is_skipped_and_counted():
    body = bytes.fromhex("0000050264" + "01" + "41" + "01" + "05" + "00" + "ffff03" + "02")
    report = decode(cbor.encode([messages.REPORT, body]), UP)
    assert report.skipped == 1
    assert [r.values for r in report.records] == [{c.FILL: 2}, {c.FILL: 2}]


def test_control_messages_round_trip():
    for message, space in (
        (hello(), UP), (hello(gaps=[(5, 59), (70, 1)], challenge=b"12345678"), UP), (Challenge(5, b"12345678"), DOWN),
        (Ack(0, []), DOWN), (Ack(9, [9, 8, 5], START, True), DOWN), (Ack((1 << 40) - 1, [(1 << 40) - 1] * 16), DOWN),
    ):  # fmt: skip
        again = decode(encode(message), space)
        assert again == message and encode(again) == encode(message)


def test_a_full_hello_fits_its_frame():
    full = hello(
        board="b" * 24, firmware="f" * 24, boot_count=(1 << 32) - 1, next_index=(1 << 32) - 1,
        gaps=[((1 << 32) - 1, (1 << 32) - 1)] * messages.MAX_GAPS, challenge=bytes(8),
    )  # fmt: skip
    assert len(encode(full)) <= 243 - 17 - 8


def test_fields_out_of_range_are_not_written():
    for bad, expected in (
        (hello(board="b" * 25), errors.TOO_LONG), (hello(board="caf\u00e9"), errors.TYPE), (hello(board="a\n"), errors.TYPE),
        (hello(bundle=b"short"), errors.RANGE), (hello(boot_count=1 << 32), errors.RANGE), (hello(role=-1), errors.RANGE),
        (hello(role=True), errors.TYPE), (hello(gaps=[(1, 1)] * 9), errors.TOO_LONG), (hello(gaps=[(1, 0)]), errors.RANGE),
        (Ack(1 << 40, []), errors.RANGE), (Ack(0, [0] * 17), errors.TOO_LONG), (Ack(0, [], 1 << 32), errors.RANGE),
        (Challenge(0, b"short"), errors.RANGE), ("text", errors.TYPE),
    ):  # fmt: skip
        assert code(encode, bad) == expected, bad


def test_unknown_kinds_and_fields_are_skipped():
    assert decode(cbor.encode([7, {1: 2}]), UP) == Unknown(7)
    assert decode(cbor.encode([23, None]), DOWN) == Unknown(23)
    assert decode(encode(Ack(1, [])), UP) == Unknown(messages.ACK)
    assert decode(encode(Ack(1, [])), GROUP) == Unknown(messages.ACK)
    newer = decode(cbor.encode([messages.ACK, {0: 5, 1: [5], 2: START, 9: "new", 20: [1]}]), DOWN)
    assert newer == Ack(5, [5], START) and newer.skipped == 2


def test_refused_messages():
    for item, expected in (
        (5, errors.TYPE), ([], errors.TYPE), ([1], errors.TYPE), ([1, b"", 2], errors.TYPE), ([24, {}], errors.RANGE),
        ([-1, {}], errors.RANGE), ([b"", {}], errors.TYPE), ([True, {}], errors.TYPE), ([messages.REPORT, {}], errors.TYPE),
        ([messages.HELLO, b""], errors.TYPE), ([messages.HELLO, {}], errors.TYPE),
    ):  # fmt: skip
        assert code(decode, cbor.encode(item), UP) == expected, item
    for item, expected in (
        ([messages.ACK, {}], errors.TYPE), ([messages.ACK, {0: 1, 1: 2}], errors.TYPE),
        ([messages.ACK, {0: 1, 1: [0] * 17}], errors.TOO_LONG), ([messages.ACK, {0: 1, 1: [b""]}], errors.TYPE),
        ([messages.ACK, {0: 1, 1: [], 3: False}], errors.NOT_CANONICAL), ([messages.ACK, {0: True, 1: []}], errors.TYPE),
        ([messages.CHALLENGE, {0: 1, 1: b"1234567"}], errors.RANGE),
    ):  # fmt: skip
        assert code(decode, cbor.encode(item), DOWN) == expected, item
    fields = cbor.decode(encode(hello()))[1]
    for gaps in ([], [1], [1, 0]):
        fields[10] = gaps
        assert code(decode, cbor.encode([messages.HELLO, fields]), UP) in (errors.NOT_CANONICAL, errors.RANGE), gaps
