"""What `node` runs on both MicroPythons, 64 and 32 bits. argv: a JSON file with the work, how many modules to import.

With a count it imports so many and prints the heap in use after one collection. Without one it prints what a call of
each operation allocates, nothing collected, a JSON line each. The 32-bit build is not safe after a collection, so there
is one at most, at the very end.
"""

# pyright: basic, reportAttributeAccessIssue=false, reportMissingImports=false

import gc
import json
import sys

try:
    import cryptolib  # noqa: F401
except ImportError:  # the 32-bit build: what imports it can be weighed, what it does cannot

    class _NoCipher:
        def aes(self, *arguments):
            raise OSError("no AES in this build")

    sys.modules["cryptolib"] = _NoCipher()  # type: ignore


def operations(work):
    """What a wake does, and a lamp's report."""
    from kerbnode import config
    from kerbnode.bin import level
    from kerbwire import controls, frame, line, messages

    bins, lamps = records(work["bin"]), records(work["lamp"])
    near = bins[0].index - 24, bins[0].time - 86400
    near_lamp = lamps[0].index - 96, lamps[0].time - 86400
    sent = messages.encode(messages.Report(bins), near)
    framed = line.encode(bytes(13) + sent)
    command = messages.encode(controls.Command(20533, 0x5EED1234, controls.DIM, [40, 10, 3600], 1765544400, 3600))
    ack = messages.encode(messages.Ack(20533, [20531, 20532, 20533], 1765540800))
    hello = messages.Hello(0, "pico_w", "0.2.0", bytes(8), 3, 12, bytes(8), 41203, [(40100, 16)], bytes(8))
    echoes = [831, 829, 1204, 832, 830, 828, 833]
    settings = config.parse("{}")[0]
    return (
        ("a level from seven echoes", lambda: level.level(echoes, 41, 20, 30, 0, settings)),
        ("read the settings", lambda: config.parse('{"interval_s": 900}')),
        ("encode a bin day", lambda: messages.encode(messages.Report(bins), near)),
        ("encode a lamp night", lambda: messages.encode(messages.Report(lamps), near_lamp)),
        ("encode a hello", lambda: messages.encode(hello)),
        ("decode an ack", lambda: messages.decode(ack, frame.DOWN)),
        ("decode a command", lambda: messages.decode(command, frame.DOWN)),
        ("COBS and CRC of a bin day", lambda: line.encode(sent)),
        ("the same, read", lambda: line.Reader().feed(framed)),
        ("24 records of a bin, in memory", lambda: records(work["bin"])),
    )


def records(rows):
    from kerbwire.records import Record

    return [Record(index, at, {int(key): value for key, value in values.items()}) for index, at, values in rows]


def allocated(call):
    call()  # the first call may import
    before = gc.mem_alloc()
    kept = call()  # noqa: F841  # held until it is counted
    return gc.mem_alloc() - before


gc.disable()
with open(sys.argv[1]) as file:  # noqa: PTH123  # MicroPython has no pathlib
    work = json.load(file)
if len(sys.argv) > 2:
    for name in work["modules"][: int(sys.argv[2])]:
        __import__(name)
    gc.collect()
    print(gc.mem_alloc())
else:
    for name, call in operations(work):
        print(json.dumps({"name": name, "bytes": allocated(call)}))
