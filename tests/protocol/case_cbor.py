"""The strict deterministic subset: round trips, every refusal by its code, and the caps."""

from kerbwire import cbor, errors
from kerbwire.errors import WireError


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def test_round_trips_have_one_encoding():
    for value, text in (
        (0, "00"), (23, "17"), (24, "1818"), (255, "18ff"), (256, "190100"), (65536, "1a00010000"),
        (1 << 32, "1b0000000100000000"), ((1 << 64) - 1, "1bffffffffffffffff"),
        (-1, "20"), (-24, "37"), (-25, "3818"), (-(1 << 64), "3bffffffffffffffff"),
        (b"", "40"), (b"\x01\x02", "420102"), ("", "60"), ("Kerb", "644b657262"), ("\u6c34", "63e6b0b4"),
        ([], "80"), ([1, [2, [3]]], "820182028103"), ({}, "a0"), ({3: None, 1: True, 500: False}, "a301f503f61901f4f4"),
    ):  # fmt: skip
        data = bytes.fromhex(text)
        assert cbor.encode(value) == data, text
        assert cbor.decode(data) == value, text


def test_refusals_by_code():
    for text, expected in (
        ("", errors.TRUNCATED), ("18", errors.TRUNCATED), ("4401", errors.TRUNCATED), ("8201", errors.TRUNCATED),
        ("a101", errors.TRUNCATED), ("5affffffff00", errors.TRUNCATED), ("9bffffffffffffffff", errors.TRUNCATED),
        ("0000", errors.TRAILING), ("1800", errors.NOT_CANONICAL), ("1817", errors.NOT_CANONICAL),
        ("1900ff", errors.NOT_CANONICAL), ("1a0000ffff", errors.NOT_CANONICAL),
        ("1b00000000ffffffff", errors.NOT_CANONICAL), ("5800", errors.NOT_CANONICAL),
        ("a201010101", errors.NOT_CANONICAL), ("a202010101", errors.NOT_CANONICAL),
        ("c000", errors.UNSUPPORTED), ("f7", errors.UNSUPPORTED), ("f97c00", errors.UNSUPPORTED),
        ("f0", errors.UNSUPPORTED), ("ff", errors.UNSUPPORTED), ("5f4100ff", errors.UNSUPPORTED),
        ("9fff", errors.UNSUPPORTED), ("1c", errors.UNSUPPORTED), ("a1616101", errors.UNSUPPORTED),
        ("a12001", errors.UNSUPPORTED), ("8181818181818100", errors.TOO_DEEP),
    ):  # fmt: skip
        assert code(cbor.decode, bytes.fromhex(text)) == expected, text


def test_text_is_utf8_on_both_runtimes():
    for text in ("61ff", "62c080", "63eda080", "64f4908080", "61c3", "62c328", "63e28228", "64f0288cbc", "63e080af"):
        assert code(cbor.decode, bytes.fromhex(text)) == errors.UNSUPPORTED, text
    for text in ("62c2a2", "63e282ac", "64f0908d88", "63ee8080", "64f48fbfbf"):
        data = bytes.fromhex(text)
        assert cbor.encode(cbor.decode(data)) == data


def test_what_cannot_be_written():
    deep = []
    for _ in range(cbor.MAX_DEPTH + 1):
        deep = [deep]
    for value, expected in (
        (1.5, errors.TYPE), ({"a": 1}, errors.TYPE), ({True: 1}, errors.TYPE), ({-1: 1}, errors.TYPE),
        (object(), errors.TYPE), (1 << 64, errors.RANGE), (-(1 << 64) - 1, errors.RANGE), (deep, errors.TOO_DEEP),
        ([0] * (cbor.MAX_ITEMS + 1), errors.TOO_LONG), (bytes(cbor.MAX_SIZE), errors.TOO_LONG),
    ):  # fmt: skip
        assert code(cbor.encode, value) == expected, value


def test_caps_of_the_decoder():
    assert cbor.decode(cbor.encode([0] * cbor.MAX_ITEMS)) == [0] * cbor.MAX_ITEMS
    assert code(cbor.decode, b"\x99\x01\x01" + bytes(257)) == errors.TOO_LONG
    assert code(cbor.decode, bytes(cbor.MAX_SIZE + 1)) == errors.TOO_LONG


def test_every_truncation_of_a_nested_item_is_refused():
    data = cbor.encode([1, {1: b"abc", 2: ["text", -5, None]}])
    for size in range(len(data)):
        assert code(cbor.decode, data[:size]) == errors.TRUNCATED, size
    assert code(cbor.decode, data + b"\x00") == errors.TRAILING
