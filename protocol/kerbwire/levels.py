"""Coder 1, "changes": a lamp's switchings, each a record of a second, a level and a cause. PROTOCOL.md has the layout.

A street at night goes to and fro between few states: what follows a state is expected to be what followed it last time,
and how long a state was held depends on what ended it. So each state has its own shortest interval and Rice parameter.
"""

from kerbwire.bits import LIMIT, BitWriter
from kerbwire.channels import CAUSE, CHANNELS, LEVEL
from kerbwire.coders import put_number, put_runs
from kerbwire.errors import NOT_CANONICAL, RANGE, TOO_LONG, WireError
from kerbwire.records import MAX_CHANGES, MAX_NUMBER, Record, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGES = 1
MAX_STATES = 8  # level and cause, told apart by one report; a lamp uses two to four in a night
SLICE = 32


def can_say(records: "list[Record]") -> bool:
    """Whether these are changes that this coder can carry."""
    states: "set[int]" = set()
    for record in records:
        values = record.values
        level, cause = values.get(LEVEL, -1), values.get(CAUSE, -1)
        if len(values) != 2 or not (0 <= level <= CHANNELS[LEVEL].high and 0 <= cause <= CHANNELS[CAUSE].high):
            return False
        states.add(level << 4 | cause)
    return len(states) <= MAX_STATES


def steps(out: BitWriter, records: "list[Record]", boot: "int | None", uptime_now: "int | None") -> "Iterator[None]":
    """The encoder in slices, for records that `can_say` approves. WireError as of any report."""
    check(records, MAX_CHANGES)
    count = len(records)
    out.put(CHANGES, 8)
    out.put(records[0].index, 32)
    out.put(records[0].time, 32)
    out.put(count - 1, 8)
    out.put(0 if boot is None else 1, 1)
    if boot is not None:
        late = 0 if uptime_now is None else uptime_now - records[-1].time
        if late < 0 or records[-1].time + late > MAX_NUMBER:
            raise WireError(RANGE, "uptime")
        put_number(out, boot)
        put_number(out, late)
    yield
    states: "list[int]" = []
    follows: "list[int]" = []  # by state, what followed it last; at first the next state of the table
    sequence: "list[int]" = []
    for record in records:
        state = record.values[LEVEL] << 4 | record.values[CAUSE]
        if state not in states:
            states.append(state)
            follows.append(len(states))
        sequence.append(states.index(state))
    yield
    out.unusual = len(states) > 3 or _is_even(records)
    out.put(len(states) - 1, 3)
    for state in states:
        out.put(state, 11)
    rests: "list[list[int]]" = [[] for _ in states]
    symbols: "list[int]" = []
    for i in range(1, count):
        before, state = sequence[i - 1], sequence[i]
        symbols.append(0 if follows[before] == state else state + 1)
        follows[before] = state
        rests[state].append(records[i].time - records[i - 1].time)
        if i % SLICE == 0:
            yield
    yield from put_runs(out, symbols, 4)
    shortest: "list[int]" = []
    parameters: "list[int]" = []
    for rest in rests:
        least = min(rest) if rest else 0
        for i in range(len(rest)):
            rest[i] -= least
        yield
        k = parameter(rest)
        shortest.append(least)
        parameters.append(k)
        if rest:
            put_number(out, least)
            out.put(k, 4)
        yield
    for i in range(1, count):
        state = sequence[i]
        out.rice(records[i].time - records[i - 1].time - shortest[state], parameters[state], 32)
        if i % SLICE == 0:
            yield


def _is_even(records: "list[Record]") -> bool:
    """Whether the times lie evenly apart, as changes hardly ever do: the plain coder may then be shorter."""
    if len(records) < 2:
        return False
    step = records[1].time - records[0].time
    before = records[0].time - step
    for record in records:
        if record.time - before != step:
            return False
        before = record.time
    return True


def parameter(numbers: "list[int]") -> int:
    """The Rice parameter, 0..15: from the mean, and less by one while that is shorter."""
    enough = sum(numbers) * 3 >> 2
    k = 0
    while len(numbers) << k < enough and k < 15:
        k += 1
    while k and _size(numbers, k - 1) < _size(numbers, k):
        k -= 1
    return k


def _size(numbers: "list[int]", k: int) -> int:
    size = (1 + k) * len(numbers)
    for number in numbers:
        quotient = number >> k
        size += quotient if quotient < LIMIT else 40
    return size


def decode(data: bytes) -> "tuple[list[Record], int | None, int | None]":
    """(records, boot, uptime now) of a body of this coder. WireError and nothing else for any other bytes."""
    from kerbwire.bitreader import BitReader
    from kerbwire.unpacked import get_number, get_runs

    bits = BitReader(data)
    if bits.get(8) != CHANGES:
        raise WireError(RANGE, "coder")
    index, time, count = bits.get(32), bits.get(32), bits.get(8) + 1
    if count > MAX_CHANGES:
        raise WireError(TOO_LONG, "changes in a report")
    boot = uptime_now = None
    late = 0
    if bits.get(1):
        boot, late = get_number(bits), get_number(bits)
    states = [bits.get(11) for _ in range(bits.get(3) + 1)]
    if max(states) >> 4 > CHANNELS[LEVEL].high:
        raise WireError(RANGE, "level")
    sequence = [0]
    follows = [state + 1 for state in range(len(states))]
    for symbol in get_runs(bits, count - 1, 4):
        before = sequence[-1]
        state = symbol - 1 if symbol else follows[before]
        if symbol and state == follows[before]:
            raise WireError(NOT_CANONICAL, "expected state")
        if state > max(sequence) + 1 or state >= len(states):
            raise WireError(RANGE, "state")
        follows[before] = state
        sequence.append(state)
    if max(sequence) != len(states) - 1 or len(set(states)) != len(states):
        raise WireError(NOT_CANONICAL, "states")
    shortest: "dict[int, int]" = {}
    parameters: "dict[int, int]" = {}
    for state in range(len(states)):
        if state in sequence[1:]:
            shortest[state], parameters[state] = get_number(bits), bits.get(4)
    rests: "list[list[int]]" = [[] for _ in states]
    times = [time]
    for state in sequence[1:]:
        rest = bits.rice(parameters[state], 32)
        rests[state].append(rest)
        times.append(times[-1] + shortest[state] + rest)
    bits.finish()
    for state, rest in enumerate(rests):
        if rest and (min(rest) or parameters[state] != parameter(rest)):
            raise WireError(NOT_CANONICAL, "intervals")
    if index + count > MAX_NUMBER or times[-1] > MAX_NUMBER:
        raise WireError(RANGE, "index or time")
    if boot is not None:
        uptime_now = times[-1] + late
        if uptime_now > MAX_NUMBER:
            raise WireError(RANGE, "uptime")
    records: "list[Record]" = []
    for i in range(count):
        state = states[sequence[i]]
        records.append(Record(index + i, times[i], {LEVEL: state >> 4, CAUSE: state & 15}))
    return records, boot, uptime_now
