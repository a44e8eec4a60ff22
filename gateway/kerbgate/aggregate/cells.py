"""Cells: what is kept of a channel over a period. Merging is adding, so neither order nor place of arrival matters.

Two kinds. A node's cell also knows its first and last value by time, and the highest and lowest of every value. A
group's or site's cell has no first and last, since its nodes sample at the same full hours.
"""

from dataclasses import dataclass
from struct import Struct

from kerbwire.channels import CHANNELS, FAULT, FAULTS, NO_ECHO, NOT_FITTED, QUALITY

# Beside the channels 0 to 31, groups and sites keep:
QUALITY_BIT, FAULT_BIT = 32, 48  # + bit: records with that flag
ENERGY_FLOW = 64  # total: Wh; first and second special: seconds of lamps that are measured, and estimated
LIGHT_FLOW = 65  # total: seconds that lamps burnt; first special: seconds of which that is known
LEVEL_CHANGES = 66  # count: records of level changes
RECORDS = 67  # count: records; first special: those with a derived time

COUNTERS = frozenset(ident for ident, channel in CHANNELS.items() if channel.name in ("energy", "hours"))
FLAGS = {QUALITY: QUALITY_BIT, FAULTS: FAULT_BIT}
_NONE_LOW, _NONE_HIGH = (1 << 31) - 1, -(1 << 31)  # of a cell without values
_SCOPE = Struct("<BBIqiiIII")

# [count, total, low, high, no echo, fault, not fitted]
ScopeCell = list[int]
SPECIALS = {NO_ECHO: 4, FAULT: 5, NOT_FITTED: 6}  # their places in it


def empty() -> ScopeCell:
    return [0, 0, _NONE_LOW, _NONE_HIGH, 0, 0, 0]


def add(cells: dict[int, ScopeCell], key: int, value: int) -> None:
    """Take up one raw value, special or not."""
    cell = cells.get(key)
    if cell is None:
        cell = cells[key] = [0, 0, _NONE_LOW, _NONE_HIGH, 0, 0, 0]
    if value < -(1 << 28):
        cell[SPECIALS[value]] += 1
        return
    cell[0] += 1
    cell[1] += value
    if value < cell[2]:
        cell[2] = value
    if value > cell[3]:
        cell[3] = value


def count(cells: dict[int, ScopeCell], key: int, number: int, total: int = 0, first: int = 0, second: int = 0) -> None:
    """Add to count, total, and the first two specials."""
    cell = cells.get(key)
    if cell is None:
        cells[key] = [number, total, _NONE_LOW, _NONE_HIGH, first, second, 0]
    else:
        cell[0] += number
        cell[1] += total
        cell[4] += first
        cell[5] += second


def merge(cells: dict[int, ScopeCell], key: int, other: ScopeCell) -> None:
    cell = cells.get(key)
    if cell is None:
        cells[key] = other.copy()
        return
    cell[0] += other[0]
    cell[1] += other[1]
    if other[2] < cell[2]:
        cell[2] = other[2]
    if other[3] > cell[3]:
        cell[3] = other[3]
    cell[4] += other[4]
    cell[5] += other[5]
    cell[6] += other[6]


def pack_scope(cells: dict[int, ScopeCell]) -> bytes:
    """keys: quarter of the hour << 8 | channel. Without cells that are empty: what was added was taken away again."""
    pack = _SCOPE.pack
    return b"".join(
        [
            pack(key >> 8, key & 0xFF, *cell)
            for key, cell in sorted(cells.items())
            if cell[0] or cell[1] or cell[4] or cell[5] or cell[6]
        ]
    )


def unpack_scope(data: bytes) -> dict[int, ScopeCell]:
    return {row[0] << 8 | row[1]: list(row[2:]) for row in _SCOPE.iter_unpack(data)}


@dataclass(slots=True)
class Cell:
    """A channel of a node over a period. first, last: (UTC seconds, life_id, index, raw value), by time.

    flags: records by flag bit, of channels whose values are flags; `total` is then all flags or-ed.
    """

    count: int = 0
    total: int = 0
    low: int = _NONE_LOW
    high: int = _NONE_HIGH
    first: tuple[int, int, int, int] | None = None
    last: tuple[int, int, int, int] | None = None
    no_echo: int = 0
    fault: int = 0
    not_fitted: int = 0
    flags: tuple[int, ...] = ()

    def add(self, at: tuple[int, int, int], value: int, is_flags: bool) -> None:
        """Take up one raw value. at: (UTC seconds, life_id, index)."""
        if value == NO_ECHO:
            self.no_echo += 1
        elif value == FAULT:
            self.fault += 1
        elif value == NOT_FITTED:
            self.not_fitted += 1
        else:
            self.count += 1
            sample = (*at, value)
            if self.first is None or sample < self.first:
                self.first = sample
            if self.last is None or sample > self.last:
                self.last = sample
            if value < self.low:
                self.low = value
            if value > self.high:
                self.high = value
            if not is_flags:
                self.total += value
            elif value:
                self.total |= value
                flags = self.flags or (0,) * 16
                self.flags = tuple(count + (value >> bit & 1) for bit, count in enumerate(flags))

    def merge(self, other: "Cell", is_flags: bool) -> None:
        self.count += other.count
        self.total = self.total | other.total if is_flags else self.total + other.total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.no_echo += other.no_echo
        self.fault += other.fault
        self.not_fitted += other.not_fitted
        if other.first is not None and (self.first is None or other.first < self.first):
            self.first = other.first
        if other.last is not None and (self.last is None or other.last > self.last):
            self.last = other.last
        if other.flags:
            self.flags = tuple(map(int.__add__, self.flags, other.flags)) if self.flags else other.flags


_NODE = Struct("<IBIqiiIIIBIIIiIIIi16H")


def pack_node(cells: dict[tuple[int, int], Cell]) -> bytes:
    """Cells of a thinned sheet. keys: (second of the day at which the period begins, channel)."""
    none = (0, 0, 0, 0)
    return b"".join(
        _NODE.pack(
            second,
            channel,
            *(cell.count, cell.total, cell.low, cell.high, cell.no_echo, cell.fault, cell.not_fitted),
            cell.first is not None,
            *(cell.first or none),
            *(cell.last or none),
            *(cell.flags or (0,) * 16),
        )
        for (second, channel), cell in sorted(cells.items())
    )


def unpack_node(data: bytes) -> dict[tuple[int, int], Cell]:
    out: dict[tuple[int, int], Cell] = {}
    for second, channel, *rest in _NODE.iter_unpack(data):
        count, total, low, high, no_echo, fault, not_fitted, has_values = rest[:8]
        first: tuple[int, int, int, int] | None = None
        last: tuple[int, int, int, int] | None = None
        if has_values:
            first, last = (rest[8], rest[9], rest[10], rest[11]), (rest[12], rest[13], rest[14], rest[15])
        flags = tuple(rest[16:]) if any(rest[16:]) else ()
        out[second, channel] = Cell(count, total, low, high, first, last, no_echo, fault, not_fitted, flags)
    return out
