"""Bits in order, the highest first: what packed reports are written in.

Numbers of unknown size are Rice codes: for a parameter k the quotient by 2^k as that many zeros and a one, then the k
low bits. From a quotient of LIMIT on they are escaped: LIMIT zeros, then the number in a width that both ends know, so
one outlier costs a byte and its own width.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 8
CLIP = 12  # of a number that a parameter is taken from


class BitWriter:
    """Bits into bytes. `out` holds the whole bytes so far; `unusual` is a note of its user: see columns.encode."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.unusual = False
        self._acc: int = 0
        self._count = 0

    def put(self, value: int, width: int) -> None:
        """`width` bits of a number that has no others."""
        while width > 22:  # what is left of a byte and 22 bits more are a small integer on a 32-bit board
            width -= 16
            self.put(value >> width, 16)
            value &= (1 << width) - 1
        count = self._count + width
        acc: int = self._acc << width | value
        out = self.out
        while count >= 8:
            count -= 8
            out.append(acc >> count & 255)
        self._acc = acc & (1 << count) - 1
        self._count = count

    def rice(self, value: int, k: int, width: int) -> None:
        """One unsigned number; `width` bits if it is escaped."""
        quotient = value >> k
        if quotient < LIMIT:
            self.put(1 << k | value & (1 << k) - 1, quotient + 1 + k)
        else:
            self.put(0, LIMIT)
            self.put(value, width)

    def rices(self, values: "Sequence[int]", start: int, stop: int, k: int, width: int) -> None:
        """The unsigned numbers of values[start:stop], as `rice` writes each."""
        out, acc, count = self.out, self._acc, self._count
        one = 1 << k
        low = one - 1
        limit = LIMIT + k + 1
        for i in range(start, stop):
            value = values[i]
            bits = (value >> k) + k + 1
            if bits < limit:
                acc = acc << bits | one | value & low
                count += bits
                if count > 15:  # 15 and the 15 bits of the longest code are a small integer on a 32-bit board
                    count -= 16
                    out.append(acc >> count + 8)
                    out.append(acc >> count & 255)
                    acc &= (1 << count) - 1
            else:
                self._acc, self._count = acc, count
                self.put(0, LIMIT)
                self.put(value, width)
                acc, count = self._acc, self._count
        if count > 7:
            count -= 8
            out.append(acc >> count)
            acc &= (1 << count) - 1
        self._acc, self._count = acc, count

    def size(self) -> int:
        """Bits written."""
        return 8 * len(self.out) + self._count

    def cut(self, size: int) -> None:
        """Take back all but the first `size` bits."""
        whole, rest = size >> 3, size & 7
        if whole < len(self.out):
            self._acc = self.out[whole] >> 8 - rest
            self.out[whole:] = b""
        else:
            self._acc >>= self._count - rest
        self._count = rest

    def finish(self) -> bytes:
        """All bytes, the last one filled with zeros."""
        if self._count:
            self.out.append(self._acc << 8 - self._count)
            self._acc = self._count = 0
        return bytes(self.out)


def rice_parameter(values: "Sequence[int]", count: int) -> int:
    """0..7 for the first `count` unsigned numbers, from their clipped mean, so that a few outliers do not count."""
    total = 0
    for i in range(count):
        value = values[i]
        total += value if value < CLIP else CLIP
    return parameter(total, values, count)


def parameter(total: int, values: "Sequence[int]", count: int) -> int:
    """The same from a total of numbers clipped at CLIP; for large numbers again, clipped at 384."""
    if total > (CLIP - 4) * count:
        total = 0
        for i in range(count):
            total += min(values[i], 384)
    mean = total * 5 >> 3
    k = 0
    while count << k < mean and k < 7:
        k += 1
    return k
