"""Sets of indices as sorted, disjoint, non-adjacent closed ranges: pure functions."""

Range = tuple[int, int]  # (first, last), both in the set


def missing(ranges: list[Range], first: int, last: int) -> list[Range]:
    """The parts of first..last that are in none of the ranges, which are sorted and disjoint."""
    out: list[Range] = []
    at = first
    for low, high in ranges:
        if high < at:
            continue
        if low > last:
            break
        if low > at:
            out.append((at, low - 1))
        at = high + 1
    if at <= last:
        out.append((at, last))
    return out


def merged(ranges: list[Range], first: int, last: int) -> Range:
    """The one range that first..last becomes with all the ranges, each of which touches or overlaps it."""
    return min([first, *(low for low, _ in ranges)]), max([last, *(high for _, high in ranges)])


def mask(parts: list[Range], first: int, count: int) -> int | None:
    """Parts of first..first+count-1 as a bit mask by offset; None when they are all of it."""
    if parts == [(first, first + count - 1)]:
        return None
    bits = 0
    for low, high in parts:
        bits |= ((1 << (high - low + 1)) - 1) << (low - first)
    return bits
