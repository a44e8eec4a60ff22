"""Packed reports, to the bit: the encoder. PROTOCOL.md has the layout; kerbwire.unpacked reads it.

Columns are written by kerbwire.coders. What is usual has shorter ways, to the same bits: a bin's day kerbwire.bins, and
here a column with a number in every record: what HOLD or SLOPE did not expect of it, or one and the same.
"""

from kerbwire import bins
from kerbwire.bits import CLIP, BitWriter, rice_parameter
from kerbwire.channels import CHANNELS, DISTANCE, HOLD, MAX_CHANNEL, SLOPE, Channel
from kerbwire.coders import SLICE, code_of, codes_of, put_column, put_number, put_one, zigzag
from kerbwire.errors import RANGE, WireError
from kerbwire.layout import (
    HOURLY,
    MASKED,
    MINUTES,
    QUARTERLY,
    SECONDS,
    SETS,
    STEP,
    UNEVEN,
    UPTIME,
    USED,
    usual_set,
)  # fmt: skip
from kerbwire.records import MAX_NUMBER, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, MutableSequence

    from kerbwire.records import Record

_NEAR_LIMIT = 1 << 14  # records and minutes from the last ack: a quarter of what 16 bits tell apart


def steps(
    out: BitWriter,
    records: "list[Record]",
    boot: "int | None",
    uptime_now: "int | None",
    near: "tuple[int, int] | None" = None,
) -> "Iterator[None]":
    """The encoder in slices of bounded work, for a loop that must go on beside it; the first slice is this call.

    near: (index, UTC seconds) of a record that the other end has committed, or None.
    """
    _put_head(out, records, boot, uptime_now, near)
    if len(records) <= SLICE and bins.put(out, records):
        return iter(())
    return _put_columns(out, records)


def _put_columns(out: BitWriter, records: "list[Record]") -> "Iterator[None]":
    """Which channels there are, and a column for each."""
    yield
    number = usual_set(records)
    out.put(number, 3)
    known: "dict[int, list[int]]" = {}
    if number == MASKED:
        for ident in _put_mask(out, records):
            yield
            yield from _put_some(out, records, CHANNELS[ident], known)
        return
    yield
    every, first_only = SETS[number]
    # A byte holds any difference of a narrow column but a fault of the sensor's, and takes an eighth of the heap.
    rests = [0] * len(records) if DISTANCE in every else bytearray(len(records))
    for ident in every:
        if not _put_usual(out, records, CHANNELS[ident], rests, known):
            yield from put_column(out, records, CHANNELS[ident], codes_of(records, CHANNELS[ident]), known)
        yield
    for ident in first_only:
        put_one(out, CHANNELS[ident], code_of(CHANNELS[ident], records[0].values[ident]))


def _put_usual(
    out: BitWriter,
    records: "list[Record]",
    channel: Channel,
    rests: "MutableSequence[int]",
    known: "dict[int, list[int]]",
) -> bool:
    """A column that stands in every record. False, and nothing is written: it is one for kerbwire.coders.

    rests: room for a number a record; known: as of put_column.
    """
    total = _differences(records, channel, rests)
    if total < 0:
        return False
    first = records[0].values[channel.ident]
    if total == 0 and channel.ident in USED:
        known[channel.ident] = [first - channel.low] * len(records)
    return bins.put_differences(out, channel, first, rests, total, len(records))


def _differences(records: "list[Record]", channel: Channel, rests: "MutableSequence[int]") -> int:
    """Fill in what HOLD or SLOPE did not expect, zigzag, from the second record on.

    Returns their clipped sum; 0 also for one and the same number of another coder; -1 if it is none of these.
    """
    ident, low, high = channel.ident, channel.low, channel.high
    before = records[0].values[ident]
    slope = channel.coder == SLOPE
    if not low <= before <= high:
        return -1
    if not slope and channel.coder != HOLD:
        for record in records:
            if record.values[ident] != before:
                return -1
        return 0
    clip = CLIP
    total = rise = rise_before = 0
    i = -1  # what the first record makes goes into the last place, which nobody reads
    for record in records:
        value = record.values[ident]
        if not low <= value <= high:
            return -1
        rest = before - value
        before = value
        if slope:
            expected = (rise + rise_before) * 3 >> 3
            rise_before = rise
            rise = -rest
            rest += expected
        rest = rest << 1 ^ rest >> 31
        if rest < clip:
            total += rest
        else:
            total += clip
            if rest > 255 and channel.width < 10:
                return -1
        rests[i] = rest
        i += 1
    return total


def _put_some(
    out: BitWriter, records: "list[Record]", channel: Channel, known: "dict[int, list[int]]"
) -> "Iterator[None]":
    """A column of a masked report: in which records it stands, then its values."""
    codes = codes_of(records, channel)
    yield
    if len(records) > 1:
        _put_presence(out, records, channel.ident, len(codes))
    yield from put_column(out, records, channel, codes, known)


def _put_head(
    out: BitWriter,
    records: "list[Record]",
    boot: "int | None",
    uptime_now: "int | None",
    near: "tuple[int, int] | None",
) -> None:
    step = check(records)
    count = len(records)
    first = records[0]
    index, time = first.index, first.time
    unit = 1
    if boot is not None:
        late = 0 if uptime_now is None else uptime_now - records[-1].time
        if late < 0 or records[-1].time + late > MAX_NUMBER:
            raise WireError(RANGE, "uptime")
        out.put(4 | UPTIME, 3)
        out.put(index, 32)
        out.put(time, 32)
        put_number(out, boot)
        put_number(out, late)
    else:
        if time % 60 == 0 and time < 60 << 26:
            unit = 60
            if step is None:
                for record in records:
                    if record.time % 60:
                        unit = 1
            elif step % 60:
                unit = 1
        if unit == 1:
            out.put(4 | SECONDS, 3)
            out.put(index, 32)
            out.put(time, 32)
        elif near is not None and _is_near(index - near[0], time // 60 - near[1] // 60):
            out.put(4 << 16 | index & 0xFFFF, 19)
            out.put(time // 60 & 0xFFFF, 16)
        else:
            out.put(4 | MINUTES, 3)
            out.put(index, 32)
            out.put(time // 60, 26)
    if count == 1:
        out.put(0, 7)
    elif step == 3600 or step == 900:
        out.put(count - 1 << 2 | (HOURLY if step == 3600 else QUARTERLY), 9)
    else:
        out.put(count - 1, 7)
        _put_intervals(out, records, step, unit)


def _is_near(records: int, minutes: int) -> bool:
    """Whether 16 bits say it: close, and later records not earlier in time."""
    return -_NEAR_LIMIT < records < _NEAR_LIMIT and -_NEAR_LIMIT < minutes < _NEAR_LIMIT and records * minutes >= 0


def _put_intervals(out: BitWriter, records: "list[Record]", step: "int | None", unit: int) -> None:
    if step is not None and step // unit < 1 << 16:
        out.put(STEP, 2)
        out.put(step // unit, 16)
    else:
        out.put(UNEVEN, 2)
        out.unusual = True
        count = len(records) - 1
        intervals = [(records[i + 1].time - records[i].time) // unit for i in range(count)]
        middle = sorted(intervals)[count >> 1]
        put_number(out, middle)
        for i in range(count):
            intervals[i] = zigzag(intervals[i] - middle)
        k = rice_parameter(intervals, count)
        out.put(k, 3)
        out.rices(intervals, 0, count, k, 34)


def _put_mask(out: BitWriter, records: "list[Record]") -> "tuple[int, ...]":
    mask = 0
    for record in records:
        for ident in record.values:
            if ident not in CHANNELS:
                raise WireError(RANGE, "no such channel")
            mask |= 1 << ident
    out.put(mask, 32)
    out.unusual = True
    return tuple([ident for ident in range(MAX_CHANNEL + 1) if mask >> ident & 1])


def _put_presence(out: BitWriter, records: "list[Record]", ident: int, present: int) -> None:
    if present == len(records):
        out.put(0, 1)
    elif present == 1 and ident in records[0].values:
        out.put(2, 2)
    else:
        out.put(3, 2)
        for record in records:
            out.put(1 if ident in record.values else 0, 1)
