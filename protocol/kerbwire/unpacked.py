"""Packed reports, to the bit: the decoder. PROTOCOL.md has the layout; kerbwire.packed writes it.

It reads what the encoder writes and nothing else: forms, parameters, escapes, unused codes and the filling bits are
checked on the way; where a column stands in fixed width, the report is written again and compared.
"""

from kerbwire.bitreader import BitReader, unzigzag
from kerbwire.bits import LIMIT, BitWriter, rice_parameter
from kerbwire.channels import (
    CHANNELS,
    EVENTS,
    LEVEL,
    LIGHT,
    MAX_CHANNEL,
    POWER,
    RANK,
    SLOPE,
    WATT_HOURS,
    WATTS,
    Channel,
)  # fmt: skip
from kerbwire.errors import NOT_CANONICAL, RANGE, TOO_LONG, UNRESOLVED, UNSUPPORTED, WireError
from kerbwire.lamps import EVENTS_TOTAL, LIGHT_TOTAL, flow_of, meter_of
from kerbwire.layout import (
    HOURLY,
    MASKED,
    MINUTES,
    NEAR,
    OFFSET,
    SECONDS,
    SETS,
    SPECIALS,
    STEP,
    UNEVEN,
    UPTIME,
    USED,
    Ranks,
    coder_of,
    is_small,
    usual_set,
)  # fmt: skip
from kerbwire.predictors import Adaptive, Light, Watts
from kerbwire.records import MAX_NUMBER, MAX_RECORDS, Record


def decode(data: bytes, near: "tuple[int, int] | None" = None) -> "tuple[list[Record], int | None, int | None]":
    """(records, boot, uptime now) of a packed body. WireError and nothing else for any other bytes.

    near: (index, UTC seconds) of a record near those; without it a report in the near form is "unresolved".
    """
    bits = BitReader(data)
    form = bits.get(3) - 4
    if form < 0:
        raise WireError(UNSUPPORTED, "coder")
    boot = uptime_now = None
    late = 0
    if form == NEAR:
        short = bits.get(32)
        if near is None:
            raise WireError(UNRESOLVED, "near form")
        index = _resolve(short >> 16, near[0])
        time = 60 * _resolve(short & 0xFFFF, near[1] // 60)
    else:
        index = bits.get(32)
        time = 60 * bits.get(26) if form == MINUTES else bits.get(32)
        if form == UPTIME:
            boot, late = get_number(bits), get_number(bits)
    count = bits.get(7) + 1
    if count > MAX_RECORDS:
        raise WireError(TOO_LONG, "records in a report")
    times = _get_times(bits, time, count, 60 if form <= MINUTES else 1) if count > 1 else [time]
    if index < 0 or time < 0 or index + count > MAX_NUMBER or times[-1] > MAX_NUMBER:
        raise WireError(RANGE, "index or time")
    if form == SECONDS and time < 60 << 26 and not any(time % 60 for time in times):
        raise WireError(NOT_CANONICAL, "whole minutes")
    if form == UPTIME:
        uptime_now = times[-1] + late
        if uptime_now > MAX_NUMBER:
            raise WireError(RANGE, "uptime")
    usual = bits.get(3)
    values = _get_masked(bits, times) if usual == MASKED else _get_set(bits, usual, times)
    bits.finish()
    records = list(map(Record, range(index, index + count), times, values))
    if usual == MASKED and usual_set(records) != MASKED:
        raise WireError(NOT_CANONICAL, "usual channels")
    if bits.unusual:
        from kerbwire import packed  # rare, and its memory is not

        out = BitWriter()
        for _ in packed.steps(out, records, boot, uptime_now, (index, time) if form == NEAR else None):
            pass
        if out.finish() != data:
            raise WireError(NOT_CANONICAL, "fixed width")
    return records, boot, uptime_now


def _resolve(short: int, near: int) -> int:
    """The number nearest to `near` that ends in these 16 bits."""
    return near + ((short - near + 0x8000) & 0xFFFF) - 0x8000


def _get_times(bits: BitReader, time: int, count: int, unit: int) -> "list[int]":
    kind = bits.get(2)
    if kind != UNEVEN:
        step = bits.get(16) * unit if kind == STEP else 3600 if kind == HOURLY else 900
        if kind == STEP and (step == 3600 or step == 900):
            raise WireError(NOT_CANONICAL, "usual interval")
        return list(range(time, time + count * step, step)) if step else [time] * count
    middle = get_number(bits)
    intervals = [(middle + residual) * unit for residual in bits.static(count - 1, 34)]
    if middle != sorted(intervals)[count - 1 >> 1] // unit:
        raise WireError(NOT_CANONICAL, "middle interval")
    if min(intervals) < 0:
        raise WireError(RANGE, "time falls")
    if min(intervals) == max(intervals) and middle < 1 << 16:
        raise WireError(NOT_CANONICAL, "even intervals")
    times = [time]
    for interval in intervals:
        time += interval
        times.append(time)
    return times


def _get_set(bits: BitReader, usual: int, times: "list[int]") -> "list[dict[int, int]]":
    """The values of each record, of the channels of a set."""
    if usual >= len(SETS):
        raise WireError(UNSUPPORTED, "channels")
    every, first = SETS[usual]
    if len(times) == 1:
        return [{ident: _get_raw(bits, CHANNELS[ident]) for ident in every + first}]
    known: "dict[int, list[int]]" = {}
    columns = [_get_column(bits, CHANNELS[ident], len(times), times, known) for ident in every]
    if len(columns) == 3:  # a bin's: most of what a gateway reads
        one, two, three = every[0], every[1], every[2]
        values = [{one: a, two: b, three: c} for a, b, c in zip(*columns)]
    else:
        values: "list[dict[int, int]]" = [{} for _ in times]
        for ident, column in zip(every, columns):
            _fill(values, ident, column)
    for ident in first:
        values[0][ident] = _get_raw(bits, CHANNELS[ident])
    return values


def _get_masked(bits: BitReader, times: "list[int]") -> "list[dict[int, int]]":
    """The values of each record, of the channels of a mask."""
    values: "list[dict[int, int]]" = [{} for _ in times]
    known: "dict[int, list[int]]" = {}
    mask = bits.get(32)
    for ident in range(MAX_CHANNEL + 1):
        if mask >> ident & 1:
            channel = CHANNELS.get(ident)
            if channel is None:
                raise WireError(UNSUPPORTED, "channel")
            places = _get_presence(bits, values)
            _fill(places, ident, _get_column(bits, channel, len(places), times, known))
    return values


def _fill(places: "list[dict[int, int]]", ident: int, column: "list[int]") -> None:
    for values, value in zip(places, column):
        values[ident] = value


def _get_presence(bits: BitReader, values: "list[dict[int, int]]") -> "list[dict[int, int]]":
    """The values of those records in which a channel stands."""
    if len(values) == 1 or not bits.get(1):
        return values
    if not bits.get(1):
        return values[:1]
    flags = bits.flags(len(values))
    places = [values[i] for i in range(len(values)) if flags[i]]
    if len(places) in (0, len(values)) or (len(places) == 1 and flags[0]):
        raise WireError(NOT_CANONICAL, "presence")
    return places


def _get_column(
    bits: BitReader, channel: Channel, count: int, times: "list[int]", known: "dict[int, list[int]]"
) -> "list[int]":
    """The raw values of a channel. known: the numbers of the columns before it that are complete, by channel."""
    low, high = channel.low, channel.high
    start = bits.at
    if count == 1:
        column = [_get_raw(bits, channel)]
    elif not bits.get(1):
        column = _get_numbers(bits, channel, count, times, known)
        least, most = min(column), max(column)
        if least < low or most > high:
            raise WireError(RANGE, channel.name)
        _check(bits, start, count, channel, least == most)
    elif not bits.get(1):
        column = [_get_raw(bits, channel)] * count
    elif not bits.get(1):
        column = _get_mixed(bits, channel, count, times, known)
        _check(bits, start, count, channel, min(column) == max(column))
    else:
        column = [_raw(channel, bits.get(channel.width)) for _ in range(count)]
        _check(bits, start, count, channel, min(column) == max(column))
        bits.unusual = True
    if channel.ident in USED and count == len(times) and min(column) >= low:
        known[channel.ident] = [value - low for value in column]
    return column


def _check(bits: BitReader, start: int, count: int, channel: Channel, constant: bool) -> None:
    """WireError for a column that has a shorter form."""
    if constant or bits.at - start > 3 + count * channel.width:
        raise WireError(NOT_CANONICAL, channel.name)


def _get_mixed(
    bits: BitReader, channel: Channel, count: int, times: "list[int]", known: "dict[int, list[int]]"
) -> "list[int]":
    """Values some of which are special, behind the mode."""
    special = bits.flags(count)
    codes = [bits.get(2) if flag else OFFSET for flag in special]
    number = count - sum(special)
    if number == count:
        raise WireError(NOT_CANONICAL, "special values")
    numbers = _get_numbers(bits, channel, number, times, known) if number else []
    if numbers and (min(numbers) < channel.low or max(numbers) > channel.high):
        raise WireError(RANGE, channel.name)
    following = iter(numbers)
    column: "list[int]" = []
    for flag, code in zip(special, codes):
        if not flag:
            column.append(next(following))
        elif code < OFFSET:
            column.append(SPECIALS[code])
        else:
            raise WireError(UNSUPPORTED, "special value")
    return column


def _raw(channel: Channel, code: int) -> int:
    """The raw value of a code. WireError for one above the channel's range."""
    if code < OFFSET:
        return SPECIALS[code]
    value = code - OFFSET + channel.low
    if value > channel.high:
        raise WireError(RANGE, channel.name)
    return value


def _get_raw(bits: BitReader, channel: Channel) -> int:
    """A value on its own."""
    width = channel.width
    return _raw(channel, bits.get(width) if width <= 16 else _get_one(bits, channel))


def _get_one(bits: BitReader, channel: Channel) -> int:
    if not is_small(channel):
        return bits.get(channel.width)
    for number in range(LIMIT):
        if bits.get(1):
            return number + OFFSET
    code = bits.get(channel.width)
    if OFFSET <= code < OFFSET + LIMIT:
        raise WireError(NOT_CANONICAL, "escaped number")
    return code


def _get_first(bits: BitReader, channel: Channel) -> int:
    """The number that a column begins with."""
    code = _get_one(bits, channel)
    if code < OFFSET:
        raise WireError(NOT_CANONICAL, "special value")
    return code - OFFSET


def _get_numbers(
    bits: BitReader, channel: Channel, count: int, times: "list[int]", known: "dict[int, list[int]]"
) -> "list[int]":
    """Raw values by the channel's coder; its range is not checked."""
    coder = coder_of(channel, count, len(times), known)
    if coder > SLOPE:
        numbers = _get_others(bits, channel, count, coder, times, known)
        return [channel.low + number for number in numbers] if channel.low else numbers
    before = _get_first(bits, channel) + channel.low
    column = [before]
    if count == 1:
        return column
    drops = bits.static(count - 1, channel.width + 2)
    if coder == SLOPE:
        rise = rise_before = 0
        for drop in drops:
            rise, rise_before = ((rise + rise_before) * 3 >> 3) - drop, rise
            before += rise
            column.append(before)
    else:
        for drop in drops:
            before -= drop
            column.append(before)
    return column


def _get_others(
    bits: BitReader, channel: Channel, count: int, coder: int, times: "list[int]", known: "dict[int, list[int]]"
) -> "list[int]":
    """Numbers, value - low, of the other coders."""
    wide = channel.width + 2
    if coder == EVENTS:
        return _get_adaptive(bits, count, Adaptive(EVENTS_TOTAL), wide)
    if coder == WATTS:
        return _get_watts(bits, channel, known[LEVEL])
    before = _get_first(bits, channel)
    numbers = [before]
    if count == 1:
        return numbers
    if coder == RANK:
        ranks = Ranks(before)
        for rank in get_runs(bits, count - 1, wide):
            new = 0
            if rank >= ranks.known():
                if rank > ranks.known():
                    raise WireError(RANGE, "rank")
                new = _get_first(bits, channel)
                if ranks.rank(new) < rank:
                    raise WireError(NOT_CANONICAL, "rank")
            numbers.append(ranks.use(rank, new))
    elif coder == LIGHT:
        light = Light(before)
        for residual in _get_adaptive(bits, count - 1, Adaptive(LIGHT_TOTAL), wide):
            before = light.expect(before) + unzigzag(residual)
            if before < 0:
                raise WireError(RANGE, channel.name)
            light.learn(before)
            numbers.append(before)
    else:
        meter = meter_of(channel)
        flows = known[POWER if coder == WATT_HOURS else LEVEL]
        residuals = get_runs(bits, count - 1, wide)
        for i in range(1, count):
            flow = flow_of(coder, flows[i], times[i] - times[i - 1])
            value = meter.expect(before, flow) + unzigzag(residuals[i - 1])
            meter.learn(value - before)
            before = value
            numbers.append(value)
    return numbers


def _get_watts(bits: BitReader, channel: Channel, levels: "list[int]") -> "list[int]":
    lit = len([level for level in levels if level])
    unlit = len(levels) - lit
    firsts = [_get_first(bits, channel) for some in (lit, unlit) if some]
    wide = channel.width + 2
    lit_rest = bits.static(lit - 1, wide) if lit > 1 else []
    unlit_rest = list(map(unzigzag, get_runs(bits, unlit - 1, wide))) if unlit > 1 else []
    lit_rest.reverse()
    unlit_rest.reverse()
    firsts.reverse()
    watts = Watts(channel.high)
    numbers: "list[int]" = []
    for level in levels:
        value = watts.expect(level)
        if value is None:
            value = firsts.pop()
        else:
            value += lit_rest.pop() if level else unlit_rest.pop()
        watts.learn(level, value)
        numbers.append(value)
    return numbers


def _get_adaptive(bits: BitReader, count: int, adaptive: Adaptive, width: int) -> "list[int]":
    numbers: "list[int]" = []
    for _ in range(count):
        number = bits.rice(adaptive.parameter(), width)
        adaptive.learn(number)
        numbers.append(number)
    return numbers


def get_runs(bits: BitReader, count: int, width: int) -> "list[int]":
    k, k_others = bits.get(3), bits.get(3)
    numbers: "list[int]" = []
    runs: "list[int]" = []
    others: "list[int]" = []
    while len(numbers) < count:
        run = bits.rice(k, 8)
        if len(numbers) + run > count:
            raise WireError(RANGE, "run")
        runs.append(run)
        numbers += [0] * run
        if len(numbers) < count:
            other = bits.rice(k_others, width)
            others.append(other)
            numbers.append(other + 1)
    if k != rice_parameter(runs, len(runs)) or k_others != rice_parameter(others, len(others)):
        raise WireError(NOT_CANONICAL, "parameter")
    return numbers


def get_number(bits: BitReader) -> int:
    width = bits.get(5) + 1
    number = bits.get(width)
    if width > 1 and not number >> width - 1:
        raise WireError(NOT_CANONICAL, "number in a report")
    return number
