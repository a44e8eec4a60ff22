"""A column of a packed report, written: by the coder that its channel names, as what its predictor did not expect.

Where that is larger than the values in fixed width, they stand in fixed width. A predictor uses a column before its own
(level for power and lamp hours, power for energy) only if that column has a plain number in every record; else the
value before.
"""

from kerbwire.bits import LIMIT, BitWriter, rice_parameter
from kerbwire.channels import RANK, SLOPE, Channel
from kerbwire.errors import RANGE, WireError
from kerbwire.layout import OFFSET, SPECIALS, USED, Ranks, coder_of, is_small

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerbwire.records import Record

SLICE = 32  # values worked on in one slice: 125 us of the unix port are 20 ms of an RP2040


def put_column(
    out: BitWriter, records: "list[Record]", channel: Channel, codes: "list[int]", known: "dict[int, list[int]]"
) -> "Iterator[None]":
    """A column whose presence is told, in slices; known: the complete ones before it, and it too if it is one."""
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


def codes_of(records: "list[Record]", channel: Channel) -> "list[int]":
    """The codes of a column's values, where there are any."""
    ident = channel.ident
    return [code_of(channel, record.values[ident]) for record in records if ident in record.values]


def code_of(channel: Channel, value: int) -> int:
    """WireError for a value out of range."""
    if channel.low <= value <= channel.high:
        return value - channel.low + OFFSET
    if value in SPECIALS:
        return SPECIALS.index(value)
    raise WireError(RANGE, channel.name)


def _put_raw(out: BitWriter, channel: Channel, codes: "list[int]") -> "Iterator[None]":
    out.put(7, 3)
    out.unusual = True
    for i in range(len(codes)):
        out.put(codes[i], channel.width)
        if i % SLICE == SLICE - 1:
            yield


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


def put_one(out: BitWriter, channel: Channel, code: int) -> None:
    """A value on its own. Flags and counts are mostly small: those below LIMIT in unary, the rest as an escape."""
    if is_small(channel) and OFFSET <= code < OFFSET + LIMIT:
        out.put(1, code - OFFSET + 1)
    else:
        out.put(code, channel.width + (LIMIT if is_small(channel) else 0))


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
