"""A bin's day: the short way writes what the general way does, or nothing; what a day allocates on a board."""

import gc

from kerbwire import bins, columns, controls, epochs, errors, frame, messages, packed
from kerbwire import channels as c
from kerbwire.bits import BitWriter
from kerbwire.coders import SLICE
from kerbwire.errors import WireError
from kerbwire.node_end import NodeEnd

START = 1765432800  # 2025-12-11 06:00
# Bytes that one call allocates and does not free, on 64 bits; a 32-bit board needs about half.
ENCODING, SEALING, COMMAND = 1024, 3072, 1024


def records(*values):
    return [messages.Record(41203 + i, START + 3600 * i, dict(values[i])) for i in range(len(values))]


def day(fills, temperatures, quality=0, battery=None):
    pairs = [(fills[i], temperatures[i]) for i in range(len(fills))]
    found = records(*[{c.FILL: f, c.TEMPERATURE: t, c.QUALITY: quality} for f, t in pairs])
    if battery is not None:
        found[0].values[c.BATTERY] = battery
    return found


def noisy(seed, count=24):
    """A day of a bin that fills and is emptied, with noise of a sensor in fill and temperature."""
    fills, temperatures, state, fill, half_c = [], [], seed, 20 + seed, 10 + seed
    for _ in range(count):
        state = state * 1103515 + 12345 & 0xFFFFFF
        fill = fill + (state >> 9) % 4 if fill < 95 else 3
        half_c += (state >> 14) % 5 - 2
        fills.append(max(0, fill - (state >> 20) % 2))
        temperatures.append(half_c)
    return day(fills, temperatures, battery=342 if seed % 2 else None)


def short(run):
    """The columns as the short way writes them, or None."""
    out = BitWriter()
    if bins.put(out, run):
        return out.finish()
    assert out.finish() == b""
    return None


def general(run):
    out = BitWriter()
    for _ in packed._put_columns(out, run):
        pass
    return out.finish()


def test_the_short_way_writes_the_same_bits():
    for run in [noisy(seed) for seed in range(20)] + [
        noisy(3, 1), noisy(3, 2), noisy(4, SLICE),
        day([0, 100, 0, 100] + [50] * 20, [0] * 24), day([5] * 24, [-110] + [17] * 23), day([5] * 24, [17] + [-110] * 23),
        day([5] * 24, [250] * 24, 65535), day([5, 6], [7, 7], 8, 0), day([5], [7], 0, c.FAULT),
        day([0] * 9 + [100] + [0] * 14, [-110, -110, 16] + [17] * 21), day([5] * 24, [-110] + [18] * 23),
    ]:  # fmt: skip
        assert short(run) == general(run), run
        assert columns.decode(columns.encode(run, None, None))[0] == run


def test_what_is_unusual_takes_the_general_way():
    flagged, special, other, fewer, more = [noisy(5) for _ in range(5)]
    flagged[7].values[c.QUALITY] = c.FEW_ECHOES
    special[9].values[c.FILL] = c.NO_ECHO
    for run, low in ((other, c.TILT), (more, c.TILT)):
        run[3].values[low] = 4
    del other[3].values[c.TEMPERATURE], fewer[23].values[c.QUALITY]
    late = noisy(6)
    late[4].values[c.BATTERY] = 340
    cold = noisy(5)
    cold[1].values[c.TEMPERATURE] = c.NOT_FITTED
    hot = noisy(5)
    hot[0].values[c.QUALITY] = c.FAULT
    for run in (
        flagged, special, other, fewer, more, late, cold, hot, records({c.FILL: 5}, {c.FILL: 6}), records({}),
        day([5] * 24, [-110] + [19] * 23), day([0, 100] * 12, [0] * 24), day([5] * 24, [-60, 60] * 12),
        records({c.FILL: 5, c.TEMPERATURE: 4, c.TILT: 0}), records({c.FILL: 5, c.TEMPERATURE: 4, c.BATTERY: 300}),
    ):  # fmt: skip
        assert short(run) is None, run
        assert columns.decode(columns.encode(run, None, None))[0] == run


def test_a_value_out_of_range_is_refused():
    for ident, value in ((c.FILL, 101), (c.FILL, -1), (c.TEMPERATURE, 251), (c.QUALITY, 65536), (c.BATTERY, 2001)):
        run = noisy(5)
        for record in run if ident == c.QUALITY else run[:1]:
            record.values[ident] = value
        try:
            columns.encode(run, None, None)
        except WireError as error:
            assert error.code == errors.RANGE
        else:
            raise AssertionError(ident)


def heap_of(call):
    """Bytes that a call allocates, and does not free itself."""
    call()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    call()
    after = gc.mem_alloc()
    gc.enable()
    return after - before


def test_a_day_fits_one_frame_and_little_heap():
    numbers = iter(range(20533, 30000))
    end = NodeEnd(417, epochs.Epochs(0, bytes(16)), bytes(8), lambda: next(numbers))
    command = messages.encode(controls.Command(20533, 0x5EED1234, controls.DIM, [40, 10, 3600], 1765544400, 3600))
    works = [(COMMAND, lambda: messages.decode(command, frame.DOWN))]
    for seed in range(20):
        run = noisy(seed)
        near = (run[0].index - 24, START - 86400)
        count, message = messages.fit(run, frame.MAX_MESSAGE, None, None, near)
        assert count == 24 and len(end.seal(message)[1]) <= 51, seed
        works.append((ENCODING, lambda run=run, near=near: messages.fit(run, frame.MAX_MESSAGE, None, None, near)))
        works.append((SEALING, lambda message=message: end.seal(message)))
    if hasattr(gc, "mem_alloc"):  # what CPython allocates, no board does
        for bar, call in works:
            assert heap_of(call) <= bar, (bar, heap_of(call))
