"""What the firmware's cases share, on both runtimes: a clock, a board's hardware, and a gateway's end of the air.

Only the radio, the sensors and the clock are stand-ins; the gateway's end is kerbwire itself.
"""

import os

from kerbnode.identity import Identity
from kerbwire import frame, line, messages, seal
from kerbwire.errors import WireError
from kerbwire.window import NEW, REPLAY, Window

SECRET = bytes(range(16))
NODE = 7
LIFE = b"lifelife"
UTC = 1767225600  # 2026-01-01

BOARD = {
    "name": "esp32_c3",
    "port": "esp32",
    "longest_sleep_ms": 0,
    "retained": {"kind": "rtc_memory", "bytes": 2048},
    "watchdog": {"longest_ms": 0, "in_deepsleep": False},
    "link": {"uart": 0, "tx": 21, "rx": 20, "baud": 115200},
    "sensors": {
        "distance": {"driver": "a02yyuw", "uart": 1, "tx": 5, "rx": 4, "baud": 9600, "power_pin": 6, "warm_up_ms": 300},
        "battery": {"pin": 3, "full_scale_mv": 2500, "divider_top_ohm": 1000000, "divider_bottom_ohm": 1000000},
    },
}
PICO = {
    "name": "pico_w",
    "port": "rp2",
    "longest_sleep_ms": 4294966,
    "retained": {"kind": "mem_backup", "bytes": 28},
    "watchdog": {"longest_ms": 8388, "in_deepsleep": True},
    "link": BOARD["link"],
    "sensors": {"distance": BOARD["sensors"]["distance"]},
}


def folder():
    return os.getenv("KERB_TMP")


def identity():
    return Identity(NODE, SECRET, 1, "depot")


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


class Time:
    """MicroPython's time module, moved by hand and by sleeping."""

    def __init__(self):
        self.now_ms = 0
        self.rtc_s = 0  # what the board's own clock, which runs on in deep sleep, showed when ticks were 0

    def ticks_ms(self):
        return self.now_ms & 0x3FFFFFFF

    def ticks_add(self, ticks, delta):
        return ticks + delta & 0x3FFFFFFF

    def ticks_diff(self, end, start):
        return (end - start + 0x20000000 & 0x3FFFFFFF) - 0x20000000

    def sleep_ms(self, ms):
        self.now_ms += ms

    def time(self):
        return self.rtc_s + self.now_ms // 1000

    def sleep_us(self, us):
        """Too short to be seen."""


class Random:
    """Bytes that never come twice."""

    def __init__(self):
        self.drawn = 0

    def __call__(self, size):
        self.drawn += 1
        return self.drawn.to_bytes(size, "big")


class Gateway:
    """A gateway's end for one node. What it does with frames is what law 4 says; `silent` and `deaf` disturb the air.

    records: what it has committed, by (life, index). frames: every uplink it has heard, as (life, seq). trouble: what may
    never happen, in words.
    """

    def __init__(self, utc_s=None, instance=b"instance"):
        self.utc_s = utc_s
        self.confirmed = None
        self.records = {}
        self.near = {}
        self.frames = []
        self.messages = []
        self.trouble = []
        self.silent = 0  # answers to hold back from now on
        self.deaf = 0  # uplinks not to hear
        self.restart(instance)

    def restart(self, instance):
        """A new process: another instance, nothing known of its own numbers; what it has committed stays."""
        self.instance = instance
        self.next_seq = 0
        self.challenges = {}
        if not hasattr(self, "windows"):
            self.windows = {}

    def hear(self, data):
        """The answers to an uplink, as frames."""
        if self.deaf:
            self.deaf -= 1
            return []
        header = frame.parse(data)
        life = header.context or self.confirmed
        if life is None:
            return []
        try:
            body = seal.uplink_key(SECRET, header.node, life).open(data, header)
        except WireError:
            return []
        if (life, header.seq) in self.frames:
            self.trouble.append(f"sequence number {header.seq} came twice")
        self.frames.append((life, header.seq))
        answers = self.answer(life, header.seq, messages.decode(body, frame.UP, self.near.get(life)))
        if self.silent:
            self.silent -= 1
            return []
        return answers

    def answer(self, life, seq, message):
        self.messages.append(message)
        if isinstance(message, messages.Hello):
            if life not in self.windows:
                if message.challenge is None or message.challenge != self.challenges.get(life):
                    self.challenges[life] = b"chal" + seq.to_bytes(4, "big")
                    return [self.seal(life, messages.Challenge(seq, self.challenges[life]))]
                self.windows[life] = Window()
            self.confirmed = life
        elif life != self.confirmed:
            return []
        window = self.windows[life]
        if window.check(seq) == REPLAY:
            return []
        if window.check(seq) == NEW:
            window.accept(seq)
        for record in getattr(message, "records", []):
            known = self.records.get((life, record.index))
            if known is not None and known != record:
                self.trouble.append(f"index {record.index} stands for two records")
            self.records[(life, record.index)] = record
            if message.boot is None:
                self.near[life] = max(self.near.get(life, (-1, 0)), (record.index, record.time))
        return [self.seal(life, messages.Ack(window.top, window.newest(8), self.utc_s))]

    def seal(self, life, message, **change):
        """A downlink frame. change: seq, instance, node, epoch, context to depart from what is right."""
        seq = change.get("seq", self.next_seq)
        self.next_seq = max(self.next_seq, seq + 1)
        instance = change.get("instance", self.instance)
        key = seal.downlink_key(SECRET, life, instance)
        body = message if isinstance(message, bytes) else messages.encode(message)
        node, epoch = change.get("node", NODE), change.get("epoch", 1)
        return key.seal(frame.DOWN, epoch, node, seq, body, change.get("context", instance))


class Air:
    """A link: frames go to a gateway at once, its answers come back after delay_ms."""

    noise = 0

    def __init__(self, gateway, time, delay_ms=40):
        self.gateway = gateway
        self.time = time
        self.delay_ms = delay_ms
        self.sent = []
        self.waiting = []

    def send(self, data):
        self.sent.append(data)
        self.waiting += self.gateway.hear(data)

    def receive(self, timeout_ms):
        if self.waiting and self.delay_ms <= timeout_ms:
            self.time.sleep_ms(self.delay_ms)
            return self.waiting.pop(0)
        self.time.sleep_ms(timeout_ms)
        return None


class Uart:
    """A machine.UART: `source` gives the bytes that have come in by now, `sink` takes what is written."""

    def __init__(self, source, sink=None):
        self._source = source
        self._sink = sink
        self._held = b""

    def any(self):
        self._held += self._source()
        return len(self._held)

    def read(self, count):
        data, self._held = self._held[:count], self._held[count:]
        return data or None

    def write(self, data):
        self._sink(data)
        return len(data)


class AsleepError(Exception):
    """The board sleeps: machine.deepsleep does not return."""


class Pins:
    """machine.Pin. levels: what each pin was set to last, by number."""

    OUT = 1

    def __init__(self):
        self.levels = {}

    def __call__(self, number, mode=-1, value=None):
        pin = Pin(self.levels, number)
        if value is not None:
            pin.value(value)
        return pin


class Pin:
    def __init__(self, levels, number):
        self._levels = levels
        self._number = number

    def value(self, level):
        self._levels[self._number] = level


LONGEST_CONVERSION_MS = 750


class Machine:
    """A board's `machine`: a ranger on UART 1, the air on UART 0, and the retained memory of its port."""

    PWRON_RESET = 1
    WDT_RESET = 3

    def __init__(self, board, time, gateway):
        self._time = time
        self._gateway = gateway
        self._rp2 = board["port"] == "rp2"
        self._reader = line.Reader()
        self._backup = bytearray(28)
        self.memory = b""
        self.cause = 1
        self.slept_ms = self.naps_ms = 0  # naps: light sleeps between which a watchdog is fed
        self.range_mm = 800
        self._frames = 0
        self.Pin = Pins()
        self.longest_unfed_ms = 0  # since the watchdog was started
        self.watchdog_ms = None
        self._armed = False
        self.answers = b""
        if not self._rp2:
            self.HARD_RESET, self.DEEPSLEEP_RESET, self.SOFT_RESET = 2, 4, 5
            self.RTC = lambda: self
            self._memory = b""
            self.memory = self._rtc_memory
        else:
            self.mem_backup = lambda region: (memoryview(self._backup),)

    def _rtc_memory(self, data=None):
        if data is None:
            return self._memory
        self._memory = bytes(data)

    def reset_cause(self):
        return self.cause

    def lightsleep(self, ms):
        if self._armed:
            assert ms < self.watchdog_ms
            self.naps_ms += ms if ms > LONGEST_CONVERSION_MS else 0
        self._time.sleep_ms(ms)

    def reset(self):
        self.slept_ms = 0
        raise AsleepError

    def deepsleep(self, ms):
        if self._rp2 and self._armed:
            assert ms < self.watchdog_ms
        self.slept_ms = self.naps_ms + ms
        self._time.now_ms -= self.naps_ms
        self.naps_ms = 0
        raise AsleepError

    def power_off(self):
        """What a power cut leaves of the retained memory: nothing."""
        self._backup = bytearray(28)
        self._memory = b""
        self.cause = 1

    def wake(self):
        """What the end of a deep sleep shows."""
        self.cause = 3 if self._rp2 else 4
        self._armed = False
        self._time.rtc_s += (self._time.now_ms + (self.slept_ms or 0)) // 1000
        self._time.now_ms = 0

    def WDT(self, timeout):
        self.watchdog_ms = timeout
        self._armed = True
        self._fed_ms = self._time.now_ms
        return self

    def feed(self):
        self.longest_unfed_ms = max(self.longest_unfed_ms, self._time.now_ms - self._fed_ms)
        self._fed_ms = self._time.now_ms

    def UART(self, number, baud, **options):
        if number == 1:
            return Uart(self._echoes)
        return Uart(self._take_answers, self._transmit)

    def _echoes(self):
        self._frames += 1
        range_mm = self.range_mm + (self._frames % 5 == 0)  # no ranger is still to the millimetre
        high, low = range_mm >> 8, range_mm & 255
        return bytes((0xFF, high, low, (0xFF + high + low) & 255))

    def _transmit(self, data):
        for uplink in self._reader.feed(data):
            for downlink in self._gateway.hear(uplink):
                self.answers += line.encode(downlink)

    def _take_answers(self):
        data, self.answers = self.answers, b""
        return data

    class ADC:
        ATTN_11DB = 3

        def __init__(self, pin):
            pass

        def atten(self, attenuation):
            pass

        def read_uv(self):
            return 1800000

        def read_u16(self):
            return 35746
