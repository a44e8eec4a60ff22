"""What `operations` runs on MicroPython: one JSON line a figure. argv[1]: a JSON file with the records to encode.

Times are the least of RUNS runs in microseconds; heap is what one call allocates, with the collector off.
"""

# pyright: basic, reportAttributeAccessIssue=false

import gc
import json
import sys
import time

from kerbwire import columns, controls, frame, line, messages, seal

RUNS = 9
RUN_US = 3000  # a run repeats its operation for about so long


def main(path):
    with open(path) as file:  # noqa: PTH123  # MicroPython has no pathlib
        work = json.load(file)
    loops = [_loop() for _ in range(RUNS)]
    bins, lamps = _records(work["bin"]), _records(work["lamp"])
    key = seal.uplink_key(bytes(16), 417, bytes(8))
    near = (bins[0].index - 24, bins[0].time - 86400)
    message = messages.encode(messages.Report(bins), near)
    sealed = key.seal(frame.UP, 0, 417, 20533, message)
    hello = messages.Hello(0, "pico_w", "0.2.0", bytes(8), 3, 12, bytes(8), 41203, [(40100, 16)], bytes(8))
    hello_bytes = messages.encode(hello)
    framed = line.encode(sealed)
    command = messages.encode(controls.Command(20533, 0x5EED1234, controls.DIM, [40, 10, 3600], 1765544400, 3600))
    ack = messages.encode(messages.Ack(20533, [20531, 20532, 20533], 1765540800))
    near_lamp = (lamps[0].index - 96, lamps[0].time - 86400)
    operations = [
        ("encode a bin day", lambda: messages.encode(messages.Report(bins), near)),
        ("seal a bin day", lambda: key.seal(frame.UP, 0, 417, 20533, message)),
        ("open a sealed bin day", lambda: key.open(sealed, frame.parse(sealed))),
        ("decode a bin day", lambda: messages.decode(message, frame.UP, near)),
        ("encode a lamp night", lambda: messages.encode(messages.Report(lamps), near_lamp)),
        ("decode a command", lambda: messages.decode(command, frame.DOWN)),
        ("decode an ack", lambda: messages.decode(ack, frame.DOWN)),
        ("encode a hello", lambda: messages.encode(hello)),
        ("decode a hello", lambda: messages.decode(hello_bytes, frame.UP)),
        ("derive an uplink key", lambda: seal.uplink_key(bytes(16), 417, bytes(8))),
        ("COBS and CRC of a sealed bin day", lambda: line.encode(sealed)),
        ("the same, read", lambda: line.Reader().feed(framed)),
    ]
    for name, call in operations:
        try:
            figure = {"name": name, "us": _time(call), "heap": _heap(call)}
        except Exception as error:
            figure = {"name": name, "failed": repr(error)}
        print(json.dumps(figure))
        loops.append(_loop())  # between the operations too: the machine may be busy for a while
    print(json.dumps({"name": "reference loop", "us": min(loops)}))
    _slices(lamps, near_lamp)


def _slices(lamps, near):
    """The longest stretch without a pause of a lamp night's encoding."""
    longest = []
    for _ in range(RUNS):
        gc.collect()
        at = 0
        start = time.ticks_us()
        for _ in columns.steps(lamps, None, None, near):
            took = time.ticks_diff(time.ticks_us(), start)
            if at < len(longest):
                longest[at] = min(longest[at], took)
            else:
                longest.append(took)
            at += 1  # noqa: SIM113
            start = time.ticks_us()
    print(json.dumps({"name": "longest slice of a lamp night", "us": max(longest), "slices": len(longest)}))


def _records(rows):
    return [messages.Record(index, at, {int(k): v for k, v in values.items()}) for index, at, values in rows]


def _loop():
    x = 0
    start = time.ticks_us()
    for _ in range(100000):
        x += 1  # noqa: SIM113
    return time.ticks_diff(time.ticks_us(), start)


def _time(call):
    start = time.ticks_us()
    call()
    count = max(1, RUN_US // max(1, time.ticks_diff(time.ticks_us(), start)))
    best = None
    for _ in range(RUNS):
        gc.collect()
        start = time.ticks_us()
        for _ in range(count):
            call()
        took = time.ticks_diff(time.ticks_us(), start) / count
        best = took if best is None else min(best, took)
    return best


def _heap(call):
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    call()
    after = gc.mem_alloc()
    gc.enable()
    return after - before


main(sys.argv[1])
