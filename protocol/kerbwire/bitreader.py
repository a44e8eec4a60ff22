"""Bits in order, read: the inverse of kerbwire.bits."""

import sys

from kerbwire.bits import CLIP, LIMIT, parameter, rice_parameter
from kerbwire.errors import NOT_CANONICAL, TRAILING, TRUNCATED, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    _Row = tuple[tuple[int, ...], int, tuple[int, ...], tuple[int, ...]]

# Bits looked up at once in a list of Rice codes. A table takes some 400 KB and is made for a parameter when it is first
# met; MicroPython has no room for one, and reads code by code.
_WINDOW = 0 if sys.implementation.name == "micropython" else 10

_tables: "dict[int, dict[str, _Row]]" = {}


class BitReader:
    """The inverse of BitWriter: WireError for bytes that end too early, and for an escape that was not due.

    at: bits read so far. `unusual` is a note of its user, as the writer's.
    """

    __slots__ = ("_size", "_text", "at", "unusual")

    def __init__(self, data: bytes):
        # Text of zeros and ones: finding the next one, and reading a number, are then one native call each.
        self._text = bin(int.from_bytes(b"\x01" + data, "big"))[3:] if data else ""
        self._size = 8 * len(data)
        self.at = 0
        self.unusual = False

    def get(self, width: int) -> int:
        """The number in the next `width` bits, 1 or more."""
        at = self.at
        end = self.at = at + width
        if end > self._size:
            raise WireError(TRUNCATED, "report")
        return int(self._text[at:end], 2)

    def flags(self, count: int) -> "list[int]":
        """That many bits."""
        at = self.at
        end = self.at = at + count
        if end > self._size:
            raise WireError(TRUNCATED, "report")
        return [1 if bit == "1" else 0 for bit in self._text[at:end]]

    def rice(self, k: int, width: int) -> int:
        text, at = self._text, self.at
        one = text.find("1", at, at + LIMIT)
        if one >= 0:
            end = self.at = one + 1 + k
            if end > self._size:
                raise WireError(TRUNCATED, "report")
            return (one - at - 1 << k) + int(text[one:end], 2)  # the one before the low bits makes up for the - 1
        self.at = at + LIMIT
        value = self.get(width)
        if value >> k < LIMIT:
            raise WireError(NOT_CANONICAL, "escaped number")
        return value

    def static(self, count: int, width: int) -> "list[int]":
        """A static code of so many numbers, 1 or more, each zigzag. WireError also for a parameter not theirs."""
        k = self.get(3)
        table = _tables.get(k) or _make_table(k)
        text, at, left = self._text, self.at, count
        numbers: "list[int]" = []
        total = 0
        while left:
            row = table.get(text[at : at + _WINDOW])
            if row is None:  # the next code is an escape, or longer than the window, or the end is near
                self.at = at
                number = self.rice(k, width)
                at = self.at
                total += number if number < CLIP else CLIP
                numbers.append(unzigzag(number))
                left -= 1
            else:
                found, size, ends, totals = row
                if size > left:
                    size = left
                    found = found[:size]
                numbers += found
                at += ends[size]
                total += totals[size]
                left -= size
        self.at = at
        if total > (CLIP - 4) * count:  # large ones: their parameter is taken from more than the clipped sum
            agreed = rice_parameter([number << 1 if number >= 0 else (-number << 1) - 1 for number in numbers], count)
        else:
            agreed = parameter(total, numbers, count)
        if k != agreed:
            raise WireError(NOT_CANONICAL, "parameter")
        return numbers

    def finish(self) -> None:
        """WireError unless nothing but less than a byte of zeros is left."""
        left = self._size - self.at
        if left > 7:
            raise WireError(TRAILING, "report")
        if left and self.get(left):
            raise WireError(NOT_CANONICAL, "padding")


def unzigzag(number: int) -> int:
    """0, 1, 2, 3, ... as 0, -1, 1, -2, ..."""
    return -(number + 1 >> 1) if number & 1 else number >> 1


def _make_table(k: int) -> "dict[str, _Row]":
    """By the next bits: the numbers whose codes lie whole in them, how many, and behind each: bits and clipped sum."""
    table: "dict[str, _Row]" = {}
    for window in range(1 << _WINDOW):
        text = bin(window | 1 << _WINDOW)[3:]
        numbers: "list[int]" = []
        ends = [0]
        totals = [0]
        at = 0
        while True:
            one = text.find("1", at, at + LIMIT)
            end = one + 1 + k
            if one < 0 or end > _WINDOW:
                break
            number = (one - at - 1 << k) + int(text[one:end], 2)
            numbers.append(unzigzag(number))
            ends.append(end)
            totals.append(totals[-1] + (number if number < CLIP else CLIP))
            at = end
        if numbers:
            table[text] = tuple(numbers), len(numbers), tuple(ends), tuple(totals)
    _tables[k] = table
    return table
