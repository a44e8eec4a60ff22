"""The packed coders that only lamps use: light, power, energy, lit hours, events. PROTOCOL.md has them."""

from kerbwire.bits import BitWriter
from kerbwire.channels import EVENTS, LEVEL, LIGHT, POWER, WATT_HOURS, WATTS, Channel
from kerbwire.coders import SLICE, put_one, put_runs, put_static, zigzag
from kerbwire.layout import OFFSET
from kerbwire.predictors import Adaptive, Light, Meter, Watts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerbwire.records import Record

EVENTS_TOTAL, LIGHT_TOTAL = 6, 8  # where the fading means begin, over two numbers
WATT_HOUR = 36000  # tenths of a watt times seconds
HOUR = 3600


def put_numbers(
    out: BitWriter,
    records: "list[Record]",
    channel: Channel,
    coder: int,
    numbers: "list[int]",
    known: "dict[int, list[int]]",
) -> "Iterator[None]":
    """Numbers, value - low, by one of these coders; known: the complete columns before this one."""
    count = len(numbers)
    wide = channel.width + 2
    if coder == EVENTS:
        yield from put_adaptive(out, numbers, Adaptive(EVENTS_TOTAL), wide)
        return
    if coder == WATTS:
        yield from _put_watts(out, channel, numbers, known[LEVEL])
        return
    before = numbers[0]
    put_one(out, channel, before + OFFSET)
    if count == 1:
        return
    rest: "list[int]" = []
    if coder != LIGHT:
        meter = meter_of(channel)
        flows = known[POWER if coder == WATT_HOURS else LEVEL]
        for i in range(1, count):
            value = numbers[i]
            flow = flow_of(coder, flows[i], records[i].time - records[i - 1].time)
            rest.append(zigzag(value - meter.expect(before, flow)))
            meter.learn(value - before)
            before = value
            if i % SLICE == 0:
                yield
        yield from put_runs(out, rest, wide)
    else:
        light = Light(before)
        for i in range(1, count):
            value = numbers[i]
            rest.append(zigzag(value - light.expect(before)))
            light.learn(value)
            before = value
            if i % SLICE == 0:
                yield
        yield from put_adaptive(out, rest, Adaptive(LIGHT_TOTAL), wide)


def meter_of(channel: Channel) -> Meter:
    """The state in which a cumulative column begins."""
    high = channel.high - channel.low
    return Meter(WATT_HOUR, high, WATT_HOUR // 2) if channel.coder == WATT_HOURS else Meter(HOUR, high, 0)


def flow_of(coder: int, used: int, seconds: int) -> int:
    """What an interval adds to a cumulative column, from the power or the level at its end."""
    return used * seconds if coder == WATT_HOURS or not used else seconds


def _put_watts(out: BitWriter, channel: Channel, numbers: "list[int]", levels: "list[int]") -> "Iterator[None]":
    watts = Watts(channel.high)
    lit: "list[int]" = []
    unlit: "list[int]" = []
    for i in range(len(numbers)):
        value, level = numbers[i], levels[i]
        expected = watts.expect(level)
        if expected is None:
            out.put(value + OFFSET, channel.width)
        else:
            (lit if level else unlit).append(zigzag(value - expected))
        watts.learn(level, value)
        if i % SLICE == SLICE - 1:
            yield
    if lit:
        yield from put_static(out, lit, channel.width + 2)
    if unlit:
        yield from put_runs(out, unlit, channel.width + 2)


def put_adaptive(out: BitWriter, numbers: "list[int]", adaptive: Adaptive, width: int) -> "Iterator[None]":
    yield
    for i in range(len(numbers)):
        number = numbers[i]
        out.rice(number, adaptive.parameter(), width)
        adaptive.learn(number)
        if i % SLICE == SLICE - 1:
            yield
