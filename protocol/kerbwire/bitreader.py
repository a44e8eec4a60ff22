"""Bits in order, read: the inverse of kerbwire.bits."""

from kerbwire.bits import LIMIT
from kerbwire.errors import NOT_CANONICAL, TRAILING, TRUNCATED, WireError


class BitReader:
    """The inverse: WireError for bytes that end too early, and for an escape that was not due."""

    def __init__(self, data: bytes):
        # Text of zeros and ones: finding the next one, and reading a number, are then one native call each.
        self._text = bin(int.from_bytes(b"\x01" + data, "big"))[3:] if data else ""
        self._at = 0

    def get(self, width: int) -> int:
        """The number in the next `width` bits."""
        if width == 0:
            return 0
        at = self._at
        end = at + width
        if end > len(self._text):
            raise WireError(TRUNCATED, "report")
        self._at = end
        return int(self._text[at:end], 2)

    def rice(self, k: int, width: int) -> int:
        at = self._at
        one = self._text.find("1", at, at + LIMIT)
        if one >= 0:
            self._at = one + 1
            return one - at << k | self.get(k)
        self._at = at + LIMIT
        value = self.get(width)
        if value >> k < LIMIT:
            raise WireError(NOT_CANONICAL, "escaped number")
        return value

    def rices(self, count: int, k: int, width: int) -> "list[int]":
        return [self.rice(k, width) for _ in range(count)]

    def finish(self) -> None:
        """WireError unless nothing but less than a byte of zeros is left."""
        left = len(self._text) - self._at
        if left > 7:
            raise WireError(TRAILING, "report")
        if self.get(left):
            raise WireError(NOT_CANONICAL, "padding")
