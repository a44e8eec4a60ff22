"""CBOR (RFC 8949), the strict deterministic subset that the protocol writes.

Integers up to 64 bits, byte strings, text, arrays, maps with ascending unsigned keys, false, true, null: definite
lengths and shortest forms only (RFC 8949 section 4.2.1). Everything else is refused, so each value has one encoding.
"""

from kerbwire.errors import (
    NOT_CANONICAL,
    RANGE,
    TOO_DEEP,
    TOO_LONG,
    TRAILING,
    TRUNCATED,
    TYPE,
    UNSUPPORTED,
    WireError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeGuard

MAX_DEPTH = 4  # a message is three levels deep; a board's C stack bears little more than twenty
MAX_SIZE = 4096  # bytes of one encoded item: a frame holds 227, files on a node's flash hold the rest
MAX_ITEMS = 256  # of an array or a map: the longest, the outbox's acknowledged stretches on a node's flash, holds 32

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)


def encode(value: "Any") -> bytes:
    """The one encoding of a value. WireError for a type, a range or a size outside the subset."""
    out = bytearray()
    _write(out, value, 0)
    if len(out) > MAX_SIZE:
        raise WireError(TOO_LONG, "CBOR item")
    return bytes(out)


def decode(data: bytes) -> "Any":
    """The value whose encoding is exactly `data`. WireError and nothing else for any other bytes."""
    if len(data) > MAX_SIZE:
        raise WireError(TOO_LONG, "CBOR item")
    value, end = read(data, 0, 0)
    if end != len(data):
        raise WireError(TRAILING, "after a CBOR item")
    return value


def is_array(value: "Any") -> "TypeGuard[list[Any]]":
    """Whether a value is written as an array; what `decode` returned is a list."""
    return isinstance(value, (list, tuple))


def is_map(value: "Any") -> "TypeGuard[dict[Any, Any]]":
    """Whether a value is written as a map."""
    return isinstance(value, dict)


def _write(out: bytearray, value: "Any", depth: int) -> None:
    if depth > MAX_DEPTH:
        raise WireError(TOO_DEEP, "CBOR")
    if value is None or value is True or value is False:
        out.append(0xF6 if value is None else 0xF5 if value else 0xF4)
    elif isinstance(value, int):
        _head(out, _UNSIGNED if value >= 0 else _NEGATIVE, value if value >= 0 else -1 - value)
    elif isinstance(value, (bytes, bytearray)):
        _head(out, _BYTES, len(value))
        out += value
    elif isinstance(value, str):
        text = value.encode()
        _check_utf8(text)
        _head(out, _TEXT, len(text))
        out += text
    elif is_array(value):
        _head(out, _ARRAY, _count(len(value)))
        for item in value:
            _write(out, item, depth + 1)
    elif is_map(value):
        _head(out, _MAP, _count(len(value)))
        for key in value:
            if isinstance(key, bool) or not isinstance(key, int) or key < 0:
                raise WireError(TYPE, "map keys are unsigned integers")
        for key in sorted(value):
            _head(out, _UNSIGNED, key)
            _write(out, value[key], depth + 1)
    else:
        raise WireError(TYPE, "no CBOR form")


def _head(out: bytearray, major: int, number: int) -> None:
    major <<= 5
    if number < 24:
        out.append(major | number)
    elif number < 1 << 8:
        out.append(major | 24)
        out.append(number)
    elif number < 1 << 16:
        out.append(major | 25)
        out += number.to_bytes(2, "big")
    elif number < 1 << 32:
        out.append(major | 26)
        out += number.to_bytes(4, "big")
    elif number < 1 << 64:
        out.append(major | 27)
        out += number.to_bytes(8, "big")
    else:
        raise WireError(RANGE, "integers have at most 64 bits")


def _count(items: int) -> int:
    if items > MAX_ITEMS:
        raise WireError(TOO_LONG, "CBOR array or map")
    return items


def read(data: bytes, at: int, depth: int) -> "tuple[Any, int]":
    """(value, where the next item starts): one item of several. depth: how deep it lies. WireError."""
    if depth > MAX_DEPTH:
        raise WireError(TOO_DEEP, "CBOR")
    size = len(data)
    if at >= size:
        raise WireError(TRUNCATED, "CBOR")
    major, number = data[at] >> 5, data[at] & 31
    at += 1
    if major == _SIMPLE:
        if 20 <= number <= 22:
            return (False, True, None)[number - 20], at
        raise WireError(UNSUPPORTED, "floats, simple values and breaks")
    if number > 27:
        raise WireError(UNSUPPORTED, "reserved or indefinite length")
    if number > 23:
        width = 1 << (number - 24)
        if at + width > size:
            raise WireError(TRUNCATED, "CBOR")
        number = int.from_bytes(data[at : at + width], "big")
        at += width
        if number < 24 or (width > 1 and number >> 4 * width == 0):
            raise WireError(NOT_CANONICAL, "CBOR head")
    if major == _UNSIGNED:
        return number, at
    if major == _NEGATIVE:
        return -1 - number, at
    if major == _TAG:
        raise WireError(UNSUPPORTED, "tags")
    if number > size - at:  # even an array or a map has a byte for each item: nothing is allocated on a claim
        raise WireError(TRUNCATED, "CBOR")
    if major == _BYTES:
        return bytes(data[at : at + number]), at + number
    if major == _TEXT:
        text = bytes(data[at : at + number])
        _check_utf8(text)
        return text.decode(), at + number
    _count(number)
    if major == _ARRAY:
        items: "list[Any]" = []
        for _ in range(number):
            item, at = read(data, at, depth + 1)
            items.append(item)
        return items, at
    return _read_map(data, at, depth, number)


def _read_map(data: bytes, at: int, depth: int, pairs: int) -> "tuple[dict[int, Any], int]":
    result: "dict[int, Any]" = {}
    before = -1
    for _ in range(pairs):
        if at < len(data) and data[at] >> 5 != _UNSIGNED:
            raise WireError(UNSUPPORTED, "map keys are unsigned integers")
        key, at = read(data, at, depth + 1)
        if key <= before:
            raise WireError(NOT_CANONICAL, "map keys ascend")
        before = key
        result[key], at = read(data, at, depth + 1)
    return result, at


def _check_utf8(text: bytes) -> None:
    # MicroPython's own check lets surrogates and overlong forms pass (RFC 3629 section 3); both runtimes must agree.
    at, size = 0, len(text)
    while at < size:
        lead = text[at]
        if lead < 0x80:
            at += 1
            continue
        more = 1 if 0xC2 <= lead <= 0xDF else 2 if 0xE0 <= lead <= 0xEF else 3 if 0xF0 <= lead <= 0xF4 else 0
        if not more or at + more >= size:
            raise WireError(UNSUPPORTED, "text is UTF-8")
        second = text[at + 1]
        low = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        high = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        if not low <= second <= high:
            raise WireError(UNSUPPORTED, "text is UTF-8")
        for i in range(at + 2, at + more + 1):
            if text[i] & 0xC0 != 0x80:
                raise WireError(UNSUPPORTED, "text is UTF-8")
        at += more + 1
