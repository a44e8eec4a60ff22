"""What `wake` runs on the unix port: one wake of a bin, from main.py to its deep sleep, on hardware that costs nothing.

argv: the flash (an image, or a folder in its place), the retained memory as hex, the reset cause, the bytes that one
write programs, the file number of a line to the gateway, 1 to tell which modules are loaded together. It prints a JSON
line: microseconds from the first line of main.py to the sleep, of which loading modules, both without what the
stand-ins of the hardware took themselves; reads and bytes of flash; the heap that this program takes; a loop of 100,000
`x += 1` in the same process.
"""

# pyright: basic, reportAttributeAccessIssue=false, reportMissingImports=false, reportArgumentType=false
# pyright: reportUndefinedVariable=false

import builtins
import gc
import json
import os
import sys
import time as clock

import vfs

ticks_us, ticks_diff = clock.ticks_us, clock.ticks_diff
spent_us = calls = 0
now_ms = 0
loaded_us = overhead = 0
reads = read_bytes = 0
slept_ms = None
holds = False  # whether to keep `held`: it takes time and heap
held = []  # our modules that were loaded together
ERASED = b"\xff" * 4096  # at hand: a board's flash needs no heap for it


class Asleep(BaseException):
    """machine.deepsleep was called."""


def apart(function):
    """A stand-in's method, its time booked apart."""

    def booked(*arguments, **options):
        global spent_us, calls
        calls += 1
        start = ticks_us()
        try:
            return function(*arguments, **options)
        finally:
            spent_us += ticks_diff(ticks_us(), start)

    return booked


class Module:
    """What stands for a module of the board."""


class Blocks:
    def __init__(self, path):
        self._image = open(path, "r+b")  # noqa: PTH123, SIM115
        self._count = self._image.seek(0, 2) // 4096

    @apart
    def readblocks(self, block, buffer, offset=0):
        global reads, read_bytes
        reads += 1
        read_bytes += len(buffer)
        self._image.seek(block * 4096 + offset)
        self._image.readinto(buffer)

    @apart
    def writeblocks(self, block, buffer, offset=0):
        self._image.seek(block * 4096 + offset)
        self._image.write(buffer)

    @apart
    def ioctl(self, operation, argument):
        if operation == 6:
            self._image.seek(argument * 4096)
            self._image.write(ERASED)
        return {4: self._count, 5: 4096}.get(operation, 0)


class Pin:
    IN, OUT = 0, 1

    def __init__(self, number, mode=-1, value=None):
        self.id = number

    def value(self, level=None):
        return 0


class Adc:
    ATTN_11DB = 3

    def __init__(self, pin):
        pass

    def atten(self, attenuation):
        pass

    def read_uv(self):
        return 1800000

    def read_u16(self):
        return 36000


class Uart:
    """A ranger on number 1, which says 800 mm each 100 ms; else the line to the gateway, which answers at once."""

    wire = None

    def __init__(self, number, baud=0, **options):
        self._ranger = number == 1
        self._taken = now_ms // 100
        self._answers = b""

    @apart
    def any(self):
        return 4 * (now_ms // 100 - self._taken) if self._ranger else len(self._answers)

    @apart
    def read(self, count):
        if not self._ranger:
            found, self._answers = self._answers[:count], self._answers[count:]
            return found or None
        frames = now_ms // 100 - self._taken
        self._taken += frames
        return b"\xff\x03\x20\x22" * frames or None

    @apart
    def write(self, data):
        Uart.wire.write(len(data).to_bytes(4, "little"))
        Uart.wire.write(data)
        self._answers += Uart.wire.read(int.from_bytes(Uart.wire.read(4), "little"))
        return len(data)


class I2c:
    """A LIS3DH that lies upright."""

    _registers = {0x0F: b"\x33", 0x20: b"\x2f\x00\x40\x80\x08", 0x27: b"\x08", 0x28: b"\0\0\0\0\0\x3e"}  # noqa: RUF012

    def __init__(self, number, **options):
        pass

    @apart
    def readfrom_mem(self, address, register, size):
        return (self._registers.get(register & 127, b"") + bytes(size))[:size]

    def writeto_mem(self, address, register, data):
        pass


class Rtc:
    data = b""

    @apart
    def memory(self, data=None):
        if data is None:
            return Rtc.data
        Rtc.data = bytes(data)


class Wdt:
    def __init__(self, timeout):
        pass

    def feed(self):
        pass


class Thermometer:
    def __init__(self, wire):
        self.ow = self

    def convert_temp(self):
        pass

    def readbyte(self):
        return 0

    def scan(self):
        return [b"12345678"]

    def read_temp(self, rom):
        return 12.5


def overhead_us():
    """What a call of a stand-in takes that it does not book itself."""

    @apart
    def nothing(one, two, three):
        pass

    best = 1 << 29
    for _ in range(5):
        gc.collect()
        before, start = spent_us, ticks_us()
        for _ in range(200):
            nothing(1, 2, 3)
        best = min(best, ticks_diff(ticks_us(), start) - (spent_us - before))
    return best / 200


def machine(cause, words):
    found = Module()
    found.PWRON_RESET, found.HARD_RESET, found.WDT_RESET, found.DEEPSLEEP_RESET, found.SOFT_RESET = 1, 2, 3, 4, 5
    found.reset_cause = lambda: cause
    found.Pin, found.ADC, found.UART, found.I2C, found.RTC, found.WDT = Pin, Adc, Uart, I2c, Rtc, Wdt
    found.deepsleep = asleep
    found.lightsleep = sleep
    found.mem_backup = lambda region: (words,)
    return found


def asleep(ms=None):
    global slept_ms
    slept_ms = ms
    raise Asleep


@apart
def sleep(ms):
    global now_ms
    now_ms += ms


@apart
def ticks_ms():
    return now_ms


def stand_in(cause, retained):
    from array import array

    Rtc.data = retained
    words = array("I", bytes(28))
    for place in range(min(7, len(retained) // 4)):
        words[place] = int.from_bytes(retained[4 * place : 4 * place + 4], "little")
    sys.modules["machine"] = machine(cause, memoryview(words))
    time = sys.modules["time"] = Module()
    time.ticks_ms, time.sleep_ms = ticks_ms, sleep
    time.ticks_diff = lambda end, start: end - start
    time.ticks_add = lambda ticks, delta: ticks + delta
    time.sleep_us = lambda us: None
    time.time = lambda: 0
    esp32 = sys.modules["esp32"] = Module()
    esp32.wake_on_gpio, esp32.WAKEUP_ANY_HIGH = (lambda pins, level: None), 1
    ds18x20, onewire = Module(), Module()
    ds18x20.DS18X20, onewire.OneWire = Thermometer, lambda pin: pin
    sys.modules["ds18x20"], sys.modules["onewire"] = ds18x20, onewire


@apart
def rename(old, new):
    with open(old, "rb") as source, open(new, "wb") as target:  # noqa: PTH123
        target.write(source.read())
    os.remove(old)  # noqa: PTH107


def renaming():
    """The module os whose rename works in a folder: VfsPosix with a root gives both names the same buffer."""
    found = Module()
    for name in dir(os):
        setattr(found, name, getattr(os, name))
    found.rename = rename
    return found


def booked_imports():
    plain = builtins.__import__
    depth = [0]

    def booked(*arguments):
        global loaded_us
        if depth[0]:
            return plain(*arguments)
        depth[0] = 1
        before, known, start = spent_us, calls, ticks_us()
        try:
            return plain(*arguments)
        finally:
            loaded_us += ticks_diff(ticks_us(), start) - (spent_us - before) - (calls - known) * overhead
            depth[0] = 0
            if holds:
                loaded = sorted([name for name in sys.modules if name.startswith("kerb")])
                if loaded not in held:
                    held.append(loaded)

    builtins.__import__ = booked


def loop_us():
    x = 0
    start = ticks_us()
    for _ in range(100000):
        x += 1  # noqa: SIM113
    return ticks_diff(ticks_us(), start)


def main(flash, retained, cause, program_bytes, wire, keeps):
    global spent_us, calls, overhead, reads, read_bytes, holds
    overhead = overhead_us()
    Uart.wire = open(int(wire), "r+b")  # noqa: PTH123, SIM115
    if os.stat(flash)[0] & 0x4000:  # noqa: PTH116  MicroPython has no pathlib
        place = vfs.VfsPosix(flash)
    else:
        place = vfs.VfsLfs2(Blocks(flash), readsize=32, progsize=int(program_bytes), lookahead=32)
    vfs.umount("/")
    vfs.mount(place, "/")
    os.chdir("/")
    if isinstance(place, vfs.VfsPosix):
        sys.modules["os"] = renaming()
    sys.path[:] = ["", ".frozen", "/lib"]
    stand_in(int(cause), bytes.fromhex(retained))
    booked_imports()
    holds = keeps == "1"
    gc.collect()
    own_bytes = gc.mem_alloc()
    spent_us = calls = reads = read_bytes = 0
    start = ticks_us()
    try:
        execfile("/main.py", {})  # noqa: F821
        raise RuntimeError("main.py came to its end")
    except Asleep:
        total_us = ticks_diff(ticks_us(), start) - spent_us - calls * overhead
    figures = {
        "us": total_us, "import_us": loaded_us, "slept_ms": slept_ms, "flash_reads": reads, "flash_bytes": read_bytes,
        "own_bytes": own_bytes, "loop_us": min([loop_us() for _ in range(5)]),
        "files": sorted([name for name in sys.modules if name.startswith("kerb")]), "held": held,
    }  # fmt: skip
    gc.threshold(-1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
