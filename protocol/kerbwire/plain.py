"""Coder 0, "plain": reports as columns of bytes, for what the packed coder cannot say.

    coder     0
    flags     bit 0: times are uptime of one boot (the clock was unset); bit 1: the interval is not constant
    index     of the first record
    count     of records, 1..96; their indices are consecutive
    time      of the first record: UTC seconds since 1970, or uptime seconds
    boot, now only with flag bit 0: the boot count, and the node's uptime when it wrote the report
    step      only if count > 1: seconds from the first record to the second
    residuals only with flag bit 1: for each further interval, its difference from step, zigzag
    mask      one bit a channel, bit number = channel id
    columns   for each channel of the mask, ascending:
              head   2 * n + constant; n = 0: a value in every record, else n values, at the positions that follow
              places only if n > 0: the first position, then the distance to the next less one
              values the first code, then (unless constant) zigzag differences; code = value - low + 3, or 0 "not
                     fitted", 1 "no echo", 2 "fault"

Numbers are little-endian base-128 (LEB128), at most 32 bits, shortest form. Zigzag maps 0, -1, 1, -2 to 0, 1, 2, 3.
A column of an unknown channel is skipped and counted.
"""

from kerbwire.channels import CHANNELS, FAULT, MAX_CHANNEL, NO_ECHO, NOT_FITTED
from kerbwire.errors import NOT_CANONICAL, RANGE, TOO_LONG, TRAILING, TRUNCATED, UNSUPPORTED, WireError
from kerbwire.records import MAX_NUMBER, MAX_RECORDS, Record, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = 0

_UPTIME, _UNEVEN = 1, 2
_SLICE = 32  # numbers written in one slice
_SPECIALS = (NOT_FITTED, NO_ECHO, FAULT)
_OFFSET = len(_SPECIALS)


def encode(records: "list[Record]", boot: "int | None", uptime_now: "int | None") -> bytes:
    """The column bytes of consecutive records. WireError for gaps, falling times or values out of range."""
    out = bytearray()
    for _ in steps(out, records, boot, uptime_now):
        pass
    return bytes(out)


def steps(out: bytearray, records: "list[Record]", boot: "int | None", uptime_now: "int | None") -> "Iterator[None]":
    """`encode` in slices of bounded work."""
    step = check(records)
    uneven = step is None
    first = records[0]
    count = len(records)
    intervals = [records[i + 1].time - records[i].time for i in range(count - 1)]
    out += bytes((PLAIN, (_UPTIME if boot is not None else 0) | (_UNEVEN if uneven else 0)))
    _put(out, first.index)
    _put(out, count)
    _put(out, first.time)
    if boot is not None:
        _put(out, boot)
        _put(out, records[-1].time if uptime_now is None else uptime_now)
    if intervals:
        _put(out, intervals[0])
    yield
    if uneven:
        for i in range(1, len(intervals)):
            _put(out, _zigzag(intervals[i] - intervals[0]))
            if i % _SLICE == 0:
                yield
    mask = 0
    for record in records:
        for ident in record.values:
            if ident not in CHANNELS:
                raise WireError(RANGE, "no such channel")
            mask |= 1 << ident
    _put(out, mask)
    for ident in range(MAX_CHANNEL + 1):
        if mask >> ident & 1:
            yield
            yield from _put_column(out, ident, records)


def decode(data: bytes) -> "tuple[list[Record], int | None, int | None, int]":
    """(records, boot, uptime now, unknown columns skipped). WireError and nothing else for any other bytes."""
    if len(data) < 2:
        raise WireError(TRUNCATED, "report")
    if data[0] != PLAIN:
        raise WireError(UNSUPPORTED, "coder")
    flags = data[1]
    if flags > (_UPTIME | _UNEVEN):
        raise WireError(UNSUPPORTED, "report flags")
    index, at = _get(data, 2)
    count, at = _get(data, at)
    if not 1 <= count <= MAX_RECORDS:
        raise WireError(TOO_LONG, "records in a report")
    if index + count > MAX_NUMBER:
        raise WireError(RANGE, "index")
    time, at = _get(data, at)
    boot = uptime_now = None
    if flags & _UPTIME:
        boot, at = _get(data, at)
        uptime_now, at = _get(data, at)
    times, at = _get_times(data, at, time, count, flags & _UNEVEN)
    records = [Record(index + i, times[i], {}) for i in range(count)]
    mask, at = _get(data, at)
    skipped = 0
    for ident in range(MAX_CHANNEL + 1):
        if mask >> ident & 1:
            at, known = _get_column(data, at, ident, records)
            skipped += not known
    if at != len(data):
        raise WireError(TRAILING, "report")
    return records, boot, uptime_now, skipped


def _get_times(data: bytes, at: int, time: int, count: int, uneven: int) -> "tuple[list[int], int]":
    times = [time]
    if count > 1:
        step, at = _get(data, at)
        differs = False
        for i in range(count - 1):
            interval = step
            if uneven and i:
                residual, at = _get(data, at)
                interval += _unzigzag(residual)
                differs = differs or residual != 0
            if interval < 0:
                raise WireError(RANGE, "time falls")
            time += interval
            times.append(time)
        if uneven and not differs:
            raise WireError(NOT_CANONICAL, "even intervals")
    elif uneven:
        raise WireError(NOT_CANONICAL, "even intervals")
    if time > MAX_NUMBER:
        raise WireError(RANGE, "time")
    return times, at


def _put_column(out: bytearray, ident: int, records: "list[Record]") -> "Iterator[None]":
    channel = CHANNELS[ident]
    places = [i for i in range(len(records)) if ident in records[i].values]
    codes: "list[int]" = []
    for i in places:
        value = records[i].values[ident]
        if value in _SPECIALS:
            codes.append(_SPECIALS.index(value))
        elif channel.low <= value <= channel.high:
            codes.append(value - channel.low + _OFFSET)
        else:
            raise WireError(RANGE, channel.name)
    yield
    constant = min(codes) == max(codes)
    _put(out, (0 if len(places) == len(records) else len(places)) << 1 | constant)
    if len(places) < len(records):
        before = -1
        for i in places:
            _put(out, i - before - 1)
            before = i
    yield
    _put(out, codes[0])
    if not constant:
        for i in range(1, len(codes)):
            _put(out, _zigzag(codes[i] - codes[i - 1]))
            if i % _SLICE == 0:
                yield


def _get_column(data: bytes, at: int, ident: int, records: "list[Record]") -> "tuple[int, bool]":
    head, at = _get(data, at)
    places, at = _get_places(data, at, head >> 1, len(records))
    channel = CHANNELS.get(ident)
    highest = channel.high - channel.low + _OFFSET if channel else MAX_NUMBER
    constant = head & 1
    code, at = _get(data, at)
    differs = False
    for n, i in enumerate(places):
        if n and not constant:
            difference, at = _get(data, at)
            code += _unzigzag(difference)
            differs = differs or difference != 0
        if not 0 <= code <= highest:
            raise WireError(RANGE, channel.name if channel else "unknown channel")
        if channel:
            records[i].values[ident] = _SPECIALS[code] if code < _OFFSET else code - _OFFSET + channel.low
    if not constant and not differs:
        raise WireError(NOT_CANONICAL, "constant column")
    return at, channel is not None


def _get_places(data: bytes, at: int, some: int, count: int) -> "tuple[list[int] | range, int]":
    if some == 0:
        return range(count), at
    if some >= count:
        raise WireError(NOT_CANONICAL, "values in a column")
    places: "list[int]" = []
    place = -1
    for _ in range(some):
        skip, at = _get(data, at)
        place += skip + 1
        if place >= count:
            raise WireError(RANGE, "place in a column")
        places.append(place)
    return places, at


def _put(out: bytearray, number: int) -> None:
    if not 0 <= number <= MAX_NUMBER:
        raise WireError(RANGE, "number in a report")
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _get(data: bytes, at: int) -> "tuple[int, int]":
    number = shift = 0
    while True:
        if at >= len(data):
            raise WireError(TRUNCATED, "report")
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            if byte == 0 and shift:
                raise WireError(NOT_CANONICAL, "number in a report")
            if number > MAX_NUMBER:
                raise WireError(RANGE, "number in a report")
            return number, at
        shift += 7
        if shift > 28:
            raise WireError(RANGE, "number in a report")


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _unzigzag(number: int) -> int:
    return -(number + 1 >> 1) if number & 1 else number >> 1
