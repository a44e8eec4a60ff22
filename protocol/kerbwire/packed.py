"""Packed reports, to the bit: the encoder. PROTOCOL.md has the layout; kerbwire.unpacked reads it.

A column is written by the coder that its channel names, as what its predictor did not expect, Rice coded. Where that is
larger than the values in fixed width, they stand in fixed width. A predictor uses a column before its own (level for
power and lamp hours, power for energy) only if that column has a plain number in every record; else the value before.
"""

from kerbwire.bits import CLIP, LIMIT, BitWriter, parameter, rice_parameter
from kerbwire.channels import (
    BATTERY,
    CHANNELS,
    DISTANCE,
    ENERGY,
    EVENTS,
    FAULT,
    FAULTS,
    FILL,
    HOLD,
    HOURS,
    LEVEL,
    LIT_HOURS,
    LUX,
    MAX_CHANNEL,
    NO_ECHO,
    NOT_FITTED,
    POWER,
    PRESENCE,
    QUALITY,
    RANK,
    SLOPE,
    TEMPERATURE,
    WATT_HOURS,
    WATTS,
    Channel,
)  # fmt: skip
from kerbwire.errors import RANGE, WireError
from kerbwire.records import MAX_NUMBER, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerbwire.records import Record

NEAR, MINUTES, SECONDS, UPTIME = 0, 1, 2, 3  # forms of index and time
HOURLY, QUARTERLY, STEP, UNEVEN = 0, 1, 2, 3  # the interval
NEAR_LIMIT = 1 << 14  # records and minutes from the last ack: a quarter of what 16 bits tell apart
SPECIALS = (NOT_FITTED, NO_ECHO, FAULT)
OFFSET = len(SPECIALS)  # a code is value - low + OFFSET; below it stand the special values

# Channels that stand in every record, and those that stand in the first one only. MASKED: a mask says which.
SETS = (
    ((FILL, TEMPERATURE, QUALITY), ()),
    ((FILL, TEMPERATURE, QUALITY), (BATTERY,)),
    ((LEVEL, POWER, ENERGY, LUX, HOURS, PRESENCE, FAULTS), ()),
    ((FILL, DISTANCE, TEMPERATURE, QUALITY), ()),
    ((FILL, DISTANCE, TEMPERATURE, QUALITY), (BATTERY,)),
)
MASKED = 7
MAX_KNOWN = 16  # values that a rank can name; the one unused for longest is forgotten
USED = (LEVEL, POWER)  # columns that predictors of others use
SLICE = 32  # values worked on in one slice: 125 us of the unix port are 20 ms of an RP2040


def steps(
    out: BitWriter,
    records: "list[Record]",
    boot: "int | None",
    uptime_now: "int | None",
    near: "tuple[int, int] | None" = None,
) -> "Iterator[None]":
    """The encoder in slices of bounded work, for a loop that must go on beside it.

    near: (index, UTC seconds) of a record that the other end has committed, or None.
    """
    _put_head(out, records, boot, uptime_now, near)
    yield
    count = len(records)
    usual = usual_set(records)
    out.put(usual, 3)
    if usual == MASKED:
        every: "tuple[int, ...]" = ()
        some = _put_mask(out, records)
    else:
        every, some = SETS[usual]
    yield
    known: "dict[int, list[int]]" = {}
    values = [0] * (count - 1)
    for ident in every:
        channel = CHANNELS[ident]
        if channel.coder == SLOPE or channel.coder == HOLD:
            total = _residuals(records, channel, values)
        else:
            total = 0 if _is_constant(records, channel) else -1
        code = records[0].values[ident] - channel.low + OFFSET
        if total == 0:
            if count > 1:
                out.put(2, 2)
            put_one(out, channel, code)
            if ident in USED:
                known[ident] = [code - OFFSET] * count
        elif total > 0:
            yield
            start = out.size()
            k = parameter(total, values, count - 1)
            out.put(code, 1 + channel.width)
            out.put(k, 3)
            out.rices(values, 0, count - 1, k, channel.width + 2)
            if out.size() - start > 3 + count * channel.width:
                out.cut(start)
                yield from _put_raw(out, channel, _codes(records, channel))
        else:
            yield from _put_column(out, records, channel, _codes(records, channel), known)
        yield
    for ident in some:
        channel = CHANNELS[ident]
        if usual != MASKED:
            put_one(out, channel, _code(channel, records[0].values[ident]))
            return
        codes = _codes(records, channel)
        yield
        if count > 1:
            _put_presence(out, records, ident, len(codes))
        yield from _put_column(out, records, channel, codes, known)


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
    out.put(count - 1, 7)
    if count > 1:
        _put_intervals(out, records, step, unit)


def _is_near(records: int, minutes: int) -> bool:
    """Whether 16 bits say it: close, and later records not earlier in time."""
    return -NEAR_LIMIT < records < NEAR_LIMIT and -NEAR_LIMIT < minutes < NEAR_LIMIT and records * minutes >= 0


def _put_intervals(out: BitWriter, records: "list[Record]", step: "int | None", unit: int) -> None:
    if step == 3600 or step == 900:
        out.put(HOURLY if step == 3600 else QUARTERLY, 2)
    elif step is not None and step // unit < 1 << 16:
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


def usual_set(records: "list[Record]") -> int:
    """The number of the set whose channels these are, or MASKED."""
    values = records[0].values
    size = len(values)
    number = 0
    for every, first_only in SETS:
        if size == len(every) + len(first_only) and every[1] in values and every[-1] in values:
            for ident in first_only:
                if ident not in values:
                    size = 0
            if size and _is_set(records, every):
                return number
        number += 1  # noqa: SIM113  # enumerate makes garbage
    return MASKED


def _is_set(records: "list[Record]", every: "tuple[int, ...]") -> bool:
    """Whether each record has these channels, and all but the first one no others."""
    size = len(every)
    length = len  # a name that is not the module's own is found slowly on a board
    one, two, three = every[0], every[1], every[2]
    first = True
    try:  # taking a value is much faster than asking for its key
        for record in records:
            values = record.values
            if length(values) != size and not first:
                return False
            first = False
            _ = values[one] + values[two] + values[three]
            for i in range(3, size):
                _ = values[every[i]]
    except KeyError:
        return False
    return True


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


def _residuals(records: "list[Record]", channel: Channel, values: "list[int]") -> int:
    """Fill in what HOLD or SLOPE did not expect, zigzag. Returns its clipped sum; -1: there is more than numbers."""
    ident, slope = channel.ident, channel.coder == SLOPE
    low, high = channel.low, channel.high
    before = records[0].values[ident]
    if not low <= before <= high:
        return -1
    total = rise = rise_before = 0
    for i in range(len(values)):
        value = records[i + 1].values[ident]
        if not low <= value <= high:
            return -1
        residual = before - value
        before = value
        if slope:
            expected = (rise + rise_before) * 3 >> 3
            rise_before = rise
            rise = -residual
            residual += expected
        residual = residual << 1 if residual >= 0 else (-residual << 1) - 1
        values[i] = residual
        total += residual if residual < CLIP else CLIP
    return total


def _is_constant(records: "list[Record]", channel: Channel) -> bool:
    """Whether a column that stands in every record is one and the same number."""
    ident = channel.ident
    value = records[0].values[ident]
    if not channel.low <= value <= channel.high:
        return False
    for record in records:  # noqa: SIM110  # a generator costs more than this loop
        if record.values[ident] != value:
            return False
    return True


def _codes(records: "list[Record]", channel: Channel) -> "list[int]":
    """The codes of a column's values, where there are any."""
    ident = channel.ident
    return [_code(channel, record.values[ident]) for record in records if ident in record.values]


def _code(channel: Channel, value: int) -> int:
    """WireError for a value out of range."""
    if channel.low <= value <= channel.high:
        return value - channel.low + OFFSET
    if value in SPECIALS:
        return SPECIALS.index(value)
    raise WireError(RANGE, channel.name)


def _put_column(
    out: BitWriter, records: "list[Record]", channel: Channel, codes: "list[int]", known: "dict[int, list[int]]"
) -> "Iterator[None]":
    """A column whose presence is told. known: columns before it that are complete, and become so by this one."""
    count = len(codes)
    numbers = [code - OFFSET for code in codes if code >= OFFSET]
    if len(numbers) == len(records) and channel.ident in USED:
        known[channel.ident] = numbers
    yield
    if count == 1:
        put_one(out, channel, codes[0])
    elif min(codes) == max(codes):
        out.put(2, 2)
        put_one(out, channel, codes[0])
    else:
        start = out.size()
        if len(numbers) == count:
            out.put(0, 1)
        else:
            out.put(6, 3)
            for code in codes:
                out.put(1 if code < OFFSET else 0, 1)
            for code in codes:
                if code < OFFSET:
                    out.put(code, 2)
        yield
        if numbers:
            yield from _put_numbers(out, records, channel, numbers, known)
        if out.size() - start > 3 + count * channel.width:
            out.cut(start)
            yield from _put_raw(out, channel, codes)


def _put_raw(out: BitWriter, channel: Channel, codes: "list[int]") -> "Iterator[None]":
    out.put(7, 3)
    out.unusual = True
    for i in range(len(codes)):
        out.put(codes[i], channel.width)
        if i % SLICE == SLICE - 1:
            yield


def put_one(out: BitWriter, channel: Channel, code: int) -> None:
    """A value on its own. Flags and counts are mostly small: those below LIMIT in unary, the rest as an escape."""
    if is_small(channel) and OFFSET <= code < OFFSET + LIMIT:
        out.put(1, code - OFFSET + 1)
    else:
        out.put(code, channel.width + (LIMIT if is_small(channel) else 0))


def is_small(channel: Channel) -> bool:
    """Whether small numbers are the usual ones of a channel."""
    return channel.width > 16 and (channel.coder == RANK or channel.coder == EVENTS)


def coder_of(channel: Channel, count: int, records: int, known: "dict[int, list[int]]") -> int:
    """The coder that `count` numbers get: HOLD where what the channel's own needs is not complete."""
    coder = channel.coder
    if coder == WATT_HOURS:
        return coder if count == records and POWER in known else HOLD
    if coder in (WATTS, LIT_HOURS):
        return coder if count == records and LEVEL in known else HOLD
    return coder


def _put_numbers(
    out: BitWriter, records: "list[Record]", channel: Channel, numbers: "list[int]", known: "dict[int, list[int]]"
) -> "Iterator[None]":
    """Numbers, value - low, by the channel's coder."""
    count = len(numbers)
    wide = channel.width + 2
    coder = coder_of(channel, count, len(records), known)
    if coder > RANK:
        from kerbwire import lamps  # no bin has a use for it

        yield from lamps.put_numbers(out, records, channel, coder, numbers, known)
        return
    put_one(out, channel, numbers[0] + OFFSET)
    if count == 1:
        return
    before = numbers[0]
    rest: "list[int]" = []
    if coder == RANK:
        ranks = Ranks(before)
        new: "list[int]" = []
        for i in range(1, count):
            rank = ranks.rank(numbers[i])
            if rank == ranks.known():
                new.append(numbers[i] + OFFSET)
            ranks.use(rank, numbers[i])
            rest.append(rank)
            if i % SLICE == 0:
                yield
        yield from put_runs(out, rest, wide)
        if len(new) > 1 and is_small(channel):
            out.unusual = True
        for i in range(len(new)):
            put_one(out, channel, new[i])
            if i % SLICE == 0:
                yield
    else:
        rise = rise_before = 0
        for i in range(1, count):
            value = numbers[i]
            rest.append(zigzag(before + slope_of(coder, rise, rise_before) - value))
            rise, rise_before = value - before, rise
            before = value
            if i % SLICE == 0:
                yield
        yield from put_static(out, rest, wide)


def slope_of(coder: int, rise: int, rise_before: int) -> int:
    """What SLOPE adds to the value before: three quarters of the mean of the last two rises."""
    return (rise + rise_before) * 3 >> 3 if coder == SLOPE else 0


def put_static(out: BitWriter, numbers: "list[int]", width: int) -> "Iterator[None]":
    """Rice codes of one parameter."""
    count = len(numbers)
    k = rice_parameter(numbers, count)
    out.put(k, 3)
    yield
    for start in range(0, count, SLICE):
        out.rices(numbers, start, min(start + SLICE, count), k, width)
        yield


def put_runs(out: BitWriter, numbers: "list[int]", width: int) -> "Iterator[None]":
    """Mostly zeros: how many come next, then a number less one, and so on; nothing after a run that reaches the end."""
    runs: "list[int]" = []
    others: "list[int]" = []
    run = 0
    for number in numbers:
        if number:
            runs.append(run)
            others.append(number - 1)
            run = 0
        else:
            run += 1
    if run:
        runs.append(run)
    yield
    k = rice_parameter(runs, len(runs))
    k_others = rice_parameter(others, len(others))
    out.put(k << 3 | k_others, 6)
    yield
    for i in range(len(runs)):
        out.rice(runs[i], k, 8)
        if i < len(others):
            out.rice(others[i], k_others, width)
        if i % SLICE == SLICE - 1:
            yield


def put_number(out: BitWriter, number: int) -> None:
    """A number of up to 32 bits: how many it has, less one, in five bits, then those bits."""
    if not 0 <= number < 1 << 32:
        raise WireError(RANGE, "number in a report")
    width = 1
    while number >> width:
        width += 1
    out.put(width - 1, 5)
    out.put(number, width)


def zigzag(number: int) -> int:
    """0, -1, 1, -2, ... as 0, 1, 2, 3, ..."""
    return number << 1 if number >= 0 else (-number << 1) - 1


class Ranks:
    """Values by how recently they were used: 0 the last one, `known()` one that is new."""

    __slots__ = ("_recent",)

    def __init__(self, first: int):
        self._recent = [first]

    def known(self) -> int:
        return len(self._recent)

    def rank(self, value: int) -> int:
        recent = self._recent
        if value == recent[0]:
            return 0
        return recent.index(value) if value in recent else len(recent)

    def use(self, rank: int, new: int = 0) -> int:
        """The value of a rank, `new` if it is a new one's; it becomes the last used."""
        recent = self._recent
        if rank == 0:
            return recent[0]
        value = new
        if rank < len(recent):
            value = recent.pop(rank)
        elif len(recent) == MAX_KNOWN:
            recent.pop()
        recent.insert(0, value)
        return value
