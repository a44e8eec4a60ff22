"""Random and mutated inputs through every reader: WireError and nothing else, no hang, no growth. On both runtimes.

    python tests/fuzz/fuzzing.py READER COUNT SEED       (or micropython)

KERB_SEEDS names the folder that seeds.py has filled. READER is a row of READERS, or on CPython `all`. Prints one JSON
object a reader: how many inputs, how many of them ended in WireError or were read, seconds, the slowest input, and from
the first tenth of the inputs to the last the growth of what is held (bytes on MicroPython, blocks on CPython) and, on
CPython, of the most memory that the process ever had, in KB. A failure prints the reader, the seed, the number of the
input and its bytes, and ends with status 1: the same words show it again.
"""

import gc
import json
import os
import sys
import time

from kerbwire.errors import WireError

SECRET = bytes(range(16))
NODE = 417
LIFE = b"\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7"
MAX_FRAME = 243
MAX_INPUT = 300  # bytes: more than the largest frame, chunk and notification
STEPS = 12  # changes on top of each other before a seed is taken afresh
MICROPYTHON = sys.implementation.name == "micropython"
# After warming up, a reader may hold its own bounded buffers and nothing else: bytes on MicroPython, else blocks.
MAX_GROWTH = 4096 if MICROPYTHON else 300
MAX_SLOWEST_S = 2.0  # of one input: a hang, not a busy machine
EDGES = (
    b"\x00\x01\x17\x18\x19\x1a\x1b\x1f\x20\x3b\x40\x58\x5f\x60\x7f\x80\x81\x82\x98\x9f\xa0\xa1\xb8\xbf\xf5\xf6\xf7\xff"
)


def expect(holds, what):
    """Instead of assert, which bytecode for a board leaves out."""
    if not holds:
        raise ValueError(what)


def make_tables():
    """Those that CPython's reader of bits makes on first use, so that they do not count as growth."""
    from kerbwire.bitreader import BitReader

    for k in range(8):
        try:
            BitReader(bytes((k << 5, 0, 255, 255))).static(1, 8)
        except WireError:
            continue


def read_cbor():
    from kerbwire import cbor

    def read(data):
        value = cbor.decode(data)
        expect(cbor.encode(value) == data, "one encoding")

    return read


def read_messages(space):
    from kerbwire import messages

    def read(data):
        messages.decode(data, space)

    return read


def written_again(body, records, boot, uptime_now):
    """The body that this one's coder writes for what was read from it: there is one."""
    from kerbwire import columns, levels, packed, plain
    from kerbwire.bits import BitWriter

    if body[0] == columns.PLAIN:
        return plain.encode(records, boot, uptime_now)
    out = BitWriter()
    if body[0] == columns.CHANGES:
        steps = levels.steps(out, records, boot, uptime_now)
    else:
        near = (records[0].index, records[0].time) if columns.is_short(body) else None
        steps = packed.steps(out, records, boot, uptime_now, near)
    for _ in steps:
        pass
    return out.finish()


def read_up():
    """Every kind that goes up. On MicroPython reports are left to `report`: the modules of both do not fit its heap."""
    from kerbwire import messages

    if not MICROPYTHON:
        make_tables()

    def read(data):
        if MICROPYTHON and data[1:2] == b"\x01":
            raise WireError("report")
        messages.decode(data, 0)

    return read


def read_report():
    """The input is the body: its bits are reached without the heads before them."""
    from kerbwire import columns

    make_tables()

    def read(data):
        records, boot, uptime_now, skipped = columns.decode(data)
        if not skipped:
            expect(written_again(data, records, boot, uptime_now) == data, "one form")

    return read


def read_event():
    """As of a report."""
    from kerbwire import events

    def read(data):
        events.Event.from_body(data)

    return read


def read_near():
    """Packed reports that say only the low bits of index and time."""
    from kerbwire import unpacked

    make_tables()

    def read(data):
        expect(written_again(data, *unpacked.decode(data, (41000, 1765450000))) == data, "one form")

    return read


def read_header():
    from kerbwire import frame

    def read(data):
        header = frame.parse(data)
        packed = frame.pack(header.space, header.epoch, header.node, header.seq, header.context)
        expect(packed == data[: header.size], "one header")

    return read


def read_frame():
    """The opener. What opens is a seed that came through whole."""
    from kerbwire import frame, seal

    key = seal.uplink_key(SECRET, NODE, LIFE)

    def read(data):
        key.open(data, frame.parse(data))

    return read


def read_cobs():
    from kerbwire import line

    def read(data):
        expect(line.cobs_encode(line.cobs_decode(data)) == data, "one form")

    return read


def read_line():
    """One stream that goes on and on."""
    from kerbwire import line

    reader = line.Reader()

    def read(data):
        noise = reader.noise
        for found in reader.feed(data):
            expect(0 < len(found) <= MAX_FRAME, "a frame's size")
        if reader.noise != noise:
            raise WireError("noise")

    return read


def read_modem():
    from kerbwire import modem

    def read(data):
        found = modem.parse(data)
        if found is None:
            raise WireError("no message")
        expect(found.encode() == data and not modem.is_frame(data), "one form")

    return read


def read_fragments():
    """One connection that goes on and on."""
    from kerbwire import fragment

    reader = fragment.Reader()

    def read(data):
        noise = reader.noise
        found = reader.feed(data)
        expect(found is None or 0 < len(found) <= MAX_FRAME, "a frame's size")
        if reader.noise != noise:
            raise WireError("noise")

    return read


def read_lookup():
    """A name server's answer, to a question that it always fits."""
    from kerbnode.link import lookup

    def read(data):
        try:
            address, ttl_s = lookup.parse(data, data[:2], "broker.example")
        except lookup.NoAnswer:
            address = None
        if address is None:
            raise WireError("no answer")
        expect(len(address.split(".")) == 4 and 0 <= ttl_s < 1 << 31, "an address")

    return read


def read_capture():
    """Whole files where the input begins as one; else the records of a file that goes on and on."""
    from kerbwire import capture

    reader = capture.Reader()
    reader.feed(capture.MAGIC)

    def read(data):
        if data[:2] == capture.MAGIC[:2]:
            capture.Reader().feed(data)
            return
        damaged = reader.damaged
        for found in reader.feed(data):
            expect(0 < len(found.frame) <= MAX_FRAME, "a frame's size")
        if reader.damaged != damaged:
            raise WireError("damaged")

    return read


def seeds_of(reader):
    """Valid inputs of a reader, to be mutated: the lines that seeds.py wrote."""
    with open(os.getenv("KERB_SEEDS") + "/" + reader + ".hex") as file:
        return [bytes.fromhex(text.strip()) for text in file]


READERS = {
    "cbor": read_cbor,
    "up": read_up,
    "down": lambda: read_messages(1),
    "group": lambda: read_messages(2),
    "report": read_report,
    "event": read_event,
    "near": read_near,
    "header": read_header,
    "opener": read_frame,
    "cobs": read_cobs,
    "line": read_line,
    "modem": read_modem,
    "fragment": read_fragments,
    "capture": read_capture,
    "lookup": read_lookup,
}


def inputs(seeds, seed, count):
    """`count` inputs from a seed: one in eight random, the others changes upon changes of the seeds."""
    import random

    random.seed(seed)
    bits = random.getrandbits
    data = bytearray()
    left = 0
    for _ in range(count):
        a = bits(30)
        if left == 0:
            left = STEPS
            if a & 7 == 0:
                data = bytearray((a >> 3) % (MAX_INPUT if a & 0x10000000 else 24))
                for i in range(len(data)):
                    data[i] = bits(8)
            else:
                data = bytearray(seeds[(a >> 3) % len(seeds)])
        left -= 1
        size = len(data)
        way = a >> 27
        at = bits(16) % (size + 1)
        if at == size or way == 7:
            if size < MAX_INPUT:
                data = data[:at] + bytes((a >> 8 & 255,)) + data[at:]
        elif way == 0:
            data[at] ^= 1 << (a & 7)
        elif way == 1:
            data[at] = a >> 8 & 255
        elif way == 2:
            data[at] = EDGES[(a >> 8) % len(EDGES)]
        elif way == 3:
            data = data[:at] + data[at + 1 + (a & 3) :]
        elif way == 4:
            data[at] = (data[at] + (1 if a & 1 else 255)) & 255
        elif way == 5:
            other = seeds[(a >> 3) % len(seeds)]
            data = (data[:at] + other[at:])[:MAX_INPUT]
        elif a & 0x700 == 0:
            data = data[:at]
        else:
            end = at + 1 + (a & 15)
            data = (data[:end] + data[at:])[:MAX_INPUT]
        yield bytes(data)


def held():
    gc.collect()
    return gc.mem_alloc() if MICROPYTHON else sys.getallocatedblocks()


def peak_kb():
    """The most memory that the process ever had; on MicroPython the heap's size says it."""
    if MICROPYTHON:
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def clock_us():
    return time.ticks_us() if MICROPYTHON else time.perf_counter_ns() // 1000


def reader_of(name):
    """The reader; on MicroPython, where code lies in the heap, the others are thrown away."""
    read = READERS[name]()
    if MICROPYTHON:
        READERS.clear()
        for other in [word for word in globals() if word[:5] == "read_"]:
            del globals()[other]
    return read


def run(name, count, seed):
    """The figures of one reader as a dictionary; "failed" says what went wrong."""
    read = reader_of(name)
    refused = slowest = number = 0
    before = peak = None
    data = b""
    seeds = seeds_of(name)
    for data in seeds:  # what is loaded on first use is loaded now
        try:
            read(data)
        except WireError:
            continue
    start = clock_us()
    last = start
    out = {"fuzz": name, "runtime": sys.implementation.name, "seed": seed, "inputs": count}
    try:
        for data in inputs(seeds, seed, count):
            try:
                read(data)
            except WireError:
                refused += 1
            now = clock_us()
            if now - last > slowest:
                slowest = now - last
            number += 1
            if number == count // 10:
                before, peak = held(), peak_kb()
                now = clock_us()
            last = now
    except Exception as error:
        if MICROPYTHON:
            sys.print_exception(error)
        else:
            import traceback

            traceback.print_exc()
        out["failed"] = repr(error)
        out["number"] = number
        out["input"] = data.hex()
        return out
    seconds = (clock_us() - start) / 1000000
    growth = held() - (before or 0) if before is not None else 0
    out.update({"wire_errors": refused, "read": count - refused, "seconds": round(seconds, 1)})
    out.update({"per_second": round(count / (seconds or 1)), "slowest_us": slowest, "growth": growth})
    if not MICROPYTHON:
        out["peak_growth_kb"] = peak_kb() - (peak or peak_kb())
    if growth > MAX_GROWTH:
        out["failed"] = "it grows"
    if slowest > MAX_SLOWEST_S * 1000000:
        out["failed"] = "an input took too long"
    return out


def main(words):
    failed = 0
    for name in READERS if words[0] == "all" else [words[0]]:
        out = run(name, int(words[1]), int(words[2]))
        print(json.dumps(out))
        failed += "failed" in out
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
