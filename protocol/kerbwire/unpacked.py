"""Packed reports, to the bit: the decoder. PROTOCOL.md has the layout; kerbwire.packed writes it.

It reads what the encoder writes and nothing else, as far as that is cheap to tell: parameters, escapes, forms, unused
codes and the filling bits are checked. A column in fixed width is taken even where the coder would have been smaller.
"""

from kerbwire.bitreader import BitReader
from kerbwire.bits import LIMIT, rice_parameter
from kerbwire.channels import (
    CHANNELS,
    EVENTS,
    LEVEL,
    LIGHT,
    LIT_HOURS,
    MAX_CHANNEL,
    POWER,
    RANK,
    WATT_HOURS,
    WATTS,
    Channel,
)  # fmt: skip
from kerbwire.errors import NOT_CANONICAL, RANGE, TOO_LONG, UNRESOLVED, UNSUPPORTED, WireError
from kerbwire.lamps import EVENTS_TOTAL, LIGHT_TOTAL, flow_of, meter_of
from kerbwire.packed import (
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
    slope_of,
    usual_set,
)  # fmt: skip
from kerbwire.predictors import Adaptive, Light, Watts
from kerbwire.records import MAX_NUMBER, MAX_RECORDS, Record


def decode(data: bytes, near: "tuple[int, int] | None" = None) -> "tuple[list[Record], int | None, int | None]":
    """(records, boot, uptime now) of a packed body. WireError and nothing else for any other bytes.

    near: (index, UTC seconds) of a record near those; without it a report in the near form is "unresolved".
    """
    bits = BitReader(data)
    if bits.get(1) != 1:
        raise WireError(UNSUPPORTED, "coder")
    form = bits.get(2)
    boot = uptime_now = None
    late = 0
    if form == NEAR:
        short_index, short_minutes = bits.get(16), bits.get(16)
        if near is None:
            raise WireError(UNRESOLVED, "near form")
        index = _resolve(short_index, near[0])
        time = 60 * _resolve(short_minutes, near[1] // 60)
    else:
        index = bits.get(32)
        time = 60 * bits.get(26) if form == MINUTES else bits.get(32)
        if form == UPTIME:
            boot, late = get_number(bits), get_number(bits)
    count = bits.get(7) + 1
    if count > MAX_RECORDS:
        raise WireError(TOO_LONG, "records in a report")
    times = [time]
    if count > 1:
        _get_times(bits, times, count, 60 if form <= MINUTES else 1)
    if index < 0 or time < 0 or index + count > MAX_NUMBER or times[-1] > MAX_NUMBER:
        raise WireError(RANGE, "index or time")
    if form == SECONDS and times[0] < 60 << 26 and not any(time % 60 for time in times):
        raise WireError(NOT_CANONICAL, "whole minutes")
    if form == UPTIME:
        uptime_now = times[-1] + late
        if uptime_now > MAX_NUMBER:
            raise WireError(RANGE, "uptime")
    records = [Record(index + i, times[i], {}) for i in range(count)]
    _get_columns(bits, records)
    bits.finish()
    return records, boot, uptime_now


def _resolve(short: int, near: int) -> int:
    """The number nearest to `near` that ends in these 16 bits."""
    return near + ((short - near + 0x8000) & 0xFFFF) - 0x8000


def _get_times(bits: BitReader, times: "list[int]", count: int, unit: int) -> None:
    kind = bits.get(2)
    if kind == UNEVEN:
        middle = get_number(bits)
        k = bits.get(3)
        residuals = bits.rices(count - 1, k, 34)
        if k != rice_parameter(residuals, count - 1):
            raise WireError(NOT_CANONICAL, "parameter")
        intervals = [(middle + unzigzag(residual)) * unit for residual in residuals]
        if middle != sorted(intervals)[count - 1 >> 1] // unit:
            raise WireError(NOT_CANONICAL, "middle interval")
        if min(intervals) < 0:
            raise WireError(RANGE, "time falls")
        if min(intervals) == max(intervals) and middle < 1 << 16:
            raise WireError(NOT_CANONICAL, "even intervals")
    else:
        step = bits.get(16) * unit if kind == STEP else 3600 if kind == HOURLY else 900
        if kind == STEP and (step == 3600 or step == 900):
            raise WireError(NOT_CANONICAL, "usual interval")
        intervals = [step] * (count - 1)
    for interval in intervals:
        times.append(times[-1] + interval)


def _get_columns(bits: BitReader, records: "list[Record]") -> None:
    usual = bits.get(3)
    known: "dict[int, list[int]]" = {}
    count = len(records)
    if usual == MASKED:
        mask = bits.get(32)
        for ident in range(MAX_CHANNEL + 1):
            if mask >> ident & 1:
                channel = CHANNELS.get(ident)
                if channel is None:
                    raise WireError(UNSUPPORTED, "channel")
                _get_column(bits, records, channel, _get_presence(bits, count), known)
        if usual_set(records) != MASKED:
            raise WireError(NOT_CANONICAL, "usual channels")
    elif usual >= len(SETS):
        raise WireError(UNSUPPORTED, "channels")
    else:
        every, first = SETS[usual]
        for ident in every:
            _get_column(bits, records, CHANNELS[ident], range(count), known)
        for ident in first:
            _get_column(bits, records, CHANNELS[ident], range(1), known)


def _get_presence(bits: BitReader, count: int) -> "list[int] | range":
    if count == 1 or not bits.get(1):
        return range(count)
    if not bits.get(1):
        return [0]
    places = [i for i in range(count) if bits.get(1)]
    if len(places) in (0, count) or places == [0]:
        raise WireError(NOT_CANONICAL, "presence")
    return places


def _get_column(
    bits: BitReader,
    records: "list[Record]",
    channel: Channel,
    places: "list[int] | range",
    known: "dict[int, list[int]]",
) -> None:
    codes = _get_codes(bits, records, channel, len(places), known)
    ident, shift, most = channel.ident, channel.low - OFFSET, channel.high - channel.low + OFFSET
    if min(codes) < 0 or max(codes) > most:
        raise WireError(RANGE, channel.name)
    if ident in USED and len(codes) == len(records) and min(codes) >= OFFSET:
        known[ident] = [code - OFFSET for code in codes]
    for i, code in zip(places, codes):
        records[i].values[ident] = SPECIALS[code] if code < OFFSET else code + shift


def _get_codes(
    bits: BitReader, records: "list[Record]", channel: Channel, count: int, known: "dict[int, list[int]]"
) -> "list[int]":
    if count == 1:
        return [_get_one(bits, channel)]
    kind = bits.get(1) and 2 | bits.get(1)
    if kind == 2:
        return [_get_one(bits, channel)] * count
    if kind == 3:
        kind = 6 | bits.get(1)
    if kind == 7:
        codes = [bits.get(channel.width) for _ in range(count)]
    else:
        special = [False] * count
        codes = [0] * count
        if kind == 6:
            special = [bool(bits.get(1)) for _ in range(count)]
            if not any(special):
                raise WireError(NOT_CANONICAL, "special values")
            for i in range(count):
                if special[i]:
                    codes[i] = bits.get(2)
                    if codes[i] >= OFFSET:
                        raise WireError(UNSUPPORTED, "special value")
        places = [i for i in range(count) if not special[i]]
        if places:
            numbers = _get_numbers(bits, records, channel, len(places), known)
            for i, number in zip(places, numbers):
                if number < 0:
                    raise WireError(RANGE, channel.name)
                codes[i] = number + OFFSET
    if min(codes) == max(codes):
        raise WireError(NOT_CANONICAL, "constant column")
    return codes


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
    bits: BitReader, records: "list[Record]", channel: Channel, count: int, known: "dict[int, list[int]]"
) -> "list[int]":
    wide = channel.width + 2
    coder = coder_of(channel, count, len(records), known)
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
    elif coder in (WATT_HOURS, LIT_HOURS):
        meter = meter_of(channel)
        flows = known[POWER if coder == WATT_HOURS else LEVEL]
        residuals = get_runs(bits, count - 1, wide)
        for i in range(1, count):
            flow = flow_of(coder, flows[i], records[i].time - records[i - 1].time)
            value = meter.expect(before, flow) + unzigzag(residuals[i - 1])
            meter.learn(value - before)
            before = value
            numbers.append(value)
    elif coder == LIGHT:
        light = Light(before)
        adaptive = Adaptive(LIGHT_TOTAL)
        for _ in range(1, count):
            residual = bits.rice(adaptive.parameter(), wide)
            adaptive.learn(residual)
            before = light.expect(before) + unzigzag(residual)
            if before < 0:
                raise WireError(RANGE, channel.name)
            light.learn(before)
            numbers.append(before)
    else:
        rise = rise_before = 0
        for residual in _get_static(bits, count - 1, wide):
            value = before + slope_of(coder, rise, rise_before) - unzigzag(residual)
            rise, rise_before = value - before, rise
            before = value
            numbers.append(value)
    return numbers


def _get_watts(bits: BitReader, channel: Channel, levels: "list[int]") -> "list[int]":
    lit = len([level for level in levels if level])
    unlit = len(levels) - lit
    firsts = [_get_first(bits, channel) for some in (lit, unlit) if some]
    wide = channel.width + 2
    lit_rest = _get_static(bits, lit - 1, wide) if lit > 1 else []
    unlit_rest = get_runs(bits, unlit - 1, wide) if unlit > 1 else []
    watts = Watts(channel.high)
    numbers: "list[int]" = []
    lit = unlit = fresh = 0
    for level in levels:
        value = watts.expect(level)
        if value is None:
            value = firsts[fresh]
            fresh += 1
        elif level:
            value += unzigzag(lit_rest[lit])
            lit += 1
        else:
            value += unzigzag(unlit_rest[unlit])
            unlit += 1
        watts.learn(level, value)
        numbers.append(value)
    return numbers


def _get_static(bits: BitReader, count: int, width: int) -> "list[int]":
    k = bits.get(3)
    numbers = bits.rices(count, k, width)
    if k != rice_parameter(numbers, count):
        raise WireError(NOT_CANONICAL, "parameter")
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


def unzigzag(number: int) -> int:
    return -(number + 1 >> 1) if number & 1 else number >> 1
