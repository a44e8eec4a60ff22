"""What `operations` runs on MicroPython: one JSON line a figure. argv[1]: a folder with bin.json and lamp.json.

Times are the least of PASSES x RUNS runs in microseconds, each after a collection and with the collector off; heap is
what one call allocates and does not free itself.
"""

# pyright: basic, reportAttributeAccessIssue=false

import gc
import json
import sys
import time

from kerbwire import columns, controls, epochs, frame, line, messages, node_end, seal

PASSES = 8  # over all operations: the machine may be busy for a while
RUNS = 12
RUN_US = 1000  # a run repeats its operation for about so long,
RUN_BYTES = 1 << 16  # or until it has allocated so much: an allocation looks long for room among garbage


def main(folder):
    day = _records(folder + "/bin.json")
    numbers = iter(range(20533, 1 << 30))
    end = node_end.NodeEnd(417, epochs.Epochs(0, bytes(16)), bytes(8), lambda: next(numbers))
    key = seal.uplink_key(bytes(16), 417, bytes(8))
    near = (day[0].index - 24, day[0].time - 86400)
    message = messages.fit(day, frame.MAX_MESSAGE, None, None, near)[1]
    end.seal(message)  # derives the key
    sealed = key.seal(frame.UP, 0, 417, 20533, message)
    hello = messages.Hello(0, "pico_w", "0.2.0", bytes(8), 3, 12, bytes(8), 41203, [(40100, 16)], bytes(8))
    hello_bytes = messages.encode(hello)
    framed = line.encode(sealed)
    command = messages.encode(controls.Command(20533, 0x5EED1234, controls.DIM, [40, 10, 3600], 1765544400, 3600))
    ack = messages.encode(messages.Ack(20533, [20531, 20532, 20533], 1765540800))
    loops = _operations([
        ("encode a bin day", "messages.fit: from 24 Records to the bytes of the message",
         lambda: messages.fit(day, frame.MAX_MESSAGE, None, None, near)),
        ("seal a bin day", "NodeEnd.seal: from these bytes to the frame, its number taken, the key derived before",
         lambda: end.seal(message)),
        ("open a sealed bin day", "frame.parse and Key.open", lambda: key.open(sealed, frame.parse(sealed))),
        ("decode a bin day", "messages.decode", lambda: messages.decode(message, frame.UP, near)),
        ("decode a command", "messages.decode: from the opened bytes to a Command",
         lambda: messages.decode(command, frame.DOWN)),
        ("decode an ack", "messages.decode", lambda: messages.decode(ack, frame.DOWN)),
        ("encode a hello", "messages.encode", lambda: messages.encode(hello)),
        ("decode a hello", "messages.decode", lambda: messages.decode(hello_bytes, frame.UP)),
        ("derive an uplink key", "seal.uplink_key", lambda: seal.uplink_key(bytes(16), 417, bytes(8))),
        ("COBS and CRC of a sealed bin day", "line.encode", lambda: line.encode(sealed)),
        ("the same, read", "line.Reader.feed", lambda: line.Reader().feed(framed)),
    ])  # fmt: skip
    day = _records(folder + "/lamp.json")  # only now: a node does not hold both
    near = (day[0].index - 96, day[0].time - 86400)
    loops += _operations([
        ("encode a lamp night", "messages.fit: 96 Records",
         lambda: messages.fit(day, frame.MAX_MESSAGE, None, None, near)),
    ])  # fmt: skip
    print(json.dumps({"name": "reference loop", "counted": "100,000 x `x += 1`", "us": min(loops)}))
    _slices(day, near)


def _operations(rows):
    """Print a figure for each (name, what is counted, call). Returns the times of the loops between them."""
    heaps = [_heap(call) for _, _, call in rows]
    best, loops = [1 << 29] * len(rows), []
    for _ in range(PASSES):
        for i in range(len(rows)):
            loops.append(_loop())
            best[i] = min(best[i], _time(rows[i][2], heaps[i]))
    for i in range(len(rows)):
        print(json.dumps({"name": rows[i][0], "counted": rows[i][1], "us": best[i], "heap": heaps[i]}))
    return loops


def _slices(records, near):
    """The longest stretch without a pause of a lamp night's encoding."""
    longest = []
    for _ in range(PASSES * RUNS):
        gc.collect()
        gc.disable()
        at = 0
        start = time.ticks_us()
        for _ in columns.steps(records, None, None, near):
            took = time.ticks_diff(time.ticks_us(), start)
            if at < len(longest):
                longest[at] = min(longest[at], took)
            else:
                longest.append(took)
            at += 1  # noqa: SIM113
            start = time.ticks_us()
        gc.enable()
    counted = f"columns.steps: the longest of {len(longest)}"
    print(json.dumps({"name": "longest slice of a lamp night", "counted": counted, "us": max(longest)}))


def _records(path):
    with open(path) as file:  # noqa: PTH123  # MicroPython has no pathlib
        rows = json.load(file)
    return [messages.Record(index, at, {int(k): v for k, v in values.items()}) for index, at, values in rows]


def _loop():
    x = 0
    start = time.ticks_us()
    for _ in range(100000):
        x += 1  # noqa: SIM113
    return time.ticks_diff(time.ticks_us(), start)


def _time(call, heap):
    """Microseconds of a call that allocates so many bytes."""
    start = time.ticks_us()
    call()
    took = max(1, time.ticks_diff(time.ticks_us(), start))
    count = max(1, min(RUN_US // took, RUN_BYTES // max(1, heap)))
    best = 1 << 29
    for _ in range(RUNS):
        gc.collect()
        gc.disable()
        start = time.ticks_us()
        for _ in range(count):
            call()
        best = min(best, time.ticks_diff(time.ticks_us(), start) / count)
        gc.enable()
    return best


def _heap(call):
    call()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    call()
    after = gc.mem_alloc()
    gc.enable()
    return after - before


main(sys.argv[1])
