"""A DALI bus with one D4i control gear on it, as half bits of 416.67 us on the pins of its interface."""

import math
from collections.abc import Callable

from kerbtools.emulator.parts.luminaire import Luminaire
from kerbtools.emulator.parts.part import Part
from kerbtools.emulator.world import FOREVER

HALF_US = 417
FORWARD = 34  # half bits of a start bit and 16
SETTLE_US = 8_000  # from a forward frame to the answer: 5.5 to 10.5 ms, IEC 62386-101
FULL, MASK = 254, 255
_FAILED, _ON, _NO_ADDRESS, _CYCLED = 2, 4, 64, 128  # bits of QUERY STATUS


def percent_of(arc: int) -> float:
    """Light in percent of an arc power level: the standard curve of IEC 62386-102."""
    return 10 ** ((arc - 1) / (253 / 3) - 1) if arc else 0.0


class D4i(Part):
    """The memory banks of the gear: DiiA parts 252 and 253, version 1.1, of which 202, 203, 205, 206 and 207 are there.

    Of "silent" there are none, of "stuck" they change no more, of "garbled" their scale is none, and of "out_of_range"
    every number says that it is not to be had now.
    """

    FAULTS = ("silent", "stuck", "garbled", "out_of_range")

    def __init__(self, luminaire: Luminaire, celsius: Callable[[int], float]) -> None:
        super().__init__()
        self._luminaire = luminaire
        self._celsius = celsius
        self._frozen: dict[int, bytes] = {}

    def read(self, bank: int, place: int, now_us: int) -> int | None:
        """One byte; None: there is none, and the gear does not answer."""
        if self.fault == "silent" or not self.present:
            return None
        content = self._bank(bank, now_us)
        if self.fault == "stuck":
            content = self._frozen.setdefault(bank, content)
        else:
            self._frozen.clear()
        return content[place] if place < len(content) else None

    def _bank(self, bank: int, now_us: int) -> bytes:
        lamp = self._luminaire
        watts, volts = lamp.power_w(now_us), lamp.volts(now_us)
        head = bytes((0, 0xFF, 0xFF, 1))
        if bank == 202:
            return self._scaled(head, round(1000 * lamp.energy_wh(now_us)), round(100 * watts))
        if bank == 203:
            return self._scaled(
                head, round(1000 * lamp.energy_wh(now_us)), round(100 * watts / lamp.power_factor(now_us))
            )
        if bank == 205:
            data = bytearray(29)
            data[:4] = head
            data[11:13] = round(10 * volts).to_bytes(2, "big")
            data[13], data[14] = 50, round(100 * lamp.power_factor(now_us))
            data[15] = int(lamp.fault == "driver")
            data[0x1B] = round(self._celsius(now_us) + 25 * lamp.light(now_us)) + 60
            data[0x1C] = round(100 * lamp.light(now_us))
        elif bank == 206:
            data = bytearray(33)
            data[:4] = head
            data[0x16] = data[0x1A] = int(lamp.fault == "dead")
            data[0x20] = round(self._celsius(now_us) + 35 * lamp.light(now_us)) + 60
        elif bank == 207:
            data = bytearray(head + bytes((100, 60 + 55, 0x13, 0x88)))
        else:
            return b""
        data[0] = len(data) - 1
        return bytes(data)

    def _scaled(self, head: bytes, milliwatt_hours: int, centiwatts: int) -> bytes:
        energy, power = milliwatt_hours.to_bytes(6, "big"), centiwatts.to_bytes(4, "big")
        if self.fault == "out_of_range":
            energy, power = b"\xff\xff\xff\xff\xff\xfe", b"\xff\xff\xff\xfe"
        scales = b"\x40\x40" if self.fault == "garbled" else b"\xfd\xfe"
        return b"\x0f" + head[1:] + scales[:1] + energy + scales[1:] + power


class Dali(Part):
    """The interface's two pins, the bus and the gear. What is sent on it while a frame is on it, is not modelled.

    Faults: "silent", the bus is broken; "short", it is active for ever; "garbled", answers come with wrong half bits;
    "stuck", the gear takes no level.
    """

    FAULTS = ("silent", "short", "garbled", "stuck")

    def __init__(self, luminaire: Luminaire, banks: D4i, *, idle_tx: int, idle_rx: int) -> None:
        super().__init__()
        self._luminaire = luminaire
        self._banks = banks
        self._idle_tx, self._idle_rx = idle_tx, idle_rx
        self._arc = FULL
        self._cycled = True
        self._dtr0 = self._dtr1 = 0
        self._edges: list[int] = []  # of the line: it is active from the first to the second, and so on
        self._answer_us = FOREVER
        luminaire.floor = 0.0
        luminaire.level = 1.0
        luminaire.on_power = self._power_up

    def begin(self, now_us: int) -> None:
        self.draws(False, now_us)

    def send(self, levels: bytes, half_us: int, now_us: int) -> None:
        """The interface drives its pin for one half bit a byte, then leaves it as it is while idle."""
        active = [level != self._idle_tx for level in levels]
        self._edges = _edges(active, half_us, now_us)
        self._answer_us = FOREVER
        frame = _frame(active[:FORWARD])
        hears = self.present and self.fault not in ("silent", "short") and self._has_power(now_us)
        if frame is None or not hears or not 375 <= half_us <= 458:
            return
        end_us = now_us + FORWARD * half_us
        answer = self._take(frame, end_us)
        if answer is not None:
            self._answer_us = end_us + SETTLE_US
            halves = [half for bit in range(8, -1, -1) for half in _pair((1 << 8 | answer) >> bit & 1)]
            if self.fault == "garbled":
                halves = [halves[0], *halves]
            self._edges += _edges(halves, HALF_US, self._answer_us)

    def level(self, now_us: int) -> int:
        """Of the receiving pin."""
        if not self.present:
            return 1
        active = self.fault == "short" or sum(edge <= now_us for edge in self._edges) & 1
        return 1 - self._idle_rx if active else self._idle_rx

    def next_change_us(self, after_us: int) -> int:
        return next((edge for edge in self._edges if edge > after_us), FOREVER)

    def samples(self, step_us: float, count: int, now_us: int) -> bytes:
        """Levels of the receiving pin, from where it is active first after the frame that was sent."""
        start_us = self._answer_us
        if self.fault == "short":
            start_us = self._edges[-1] if self._edges else now_us
        taken = 0 if start_us > now_us else min(count, int((now_us - start_us) / step_us) + 1)
        if self.fault == "short":
            return bytes((1 - self._idle_rx,)) * taken
        levels = bytearray()
        edges = [edge for edge in self._edges if edge > start_us]
        level = self.level(start_us)
        for at in range(taken):
            while edges and edges[0] <= start_us + at * step_us:
                del edges[0]
                level = 1 - level
            levels.append(level)
        return bytes(levels)

    def _has_power(self, now_us: int) -> bool:
        lamp = self._luminaire
        return lamp.closed and lamp.volts(now_us) >= 100 and lamp.fault != "driver"

    def _power_up(self) -> None:
        """IEC 62386-102: its power-on level, 254 as it leaves the factory."""
        self._arc, self._cycled = FULL, True
        self._luminaire.level = 1.0

    def _take(self, frame: int, at_us: int) -> int | None:
        """Do a forward frame; the backward frame's byte, or None."""
        high, low = frame >> 8, frame & 0xFF
        if high == 0xFE:
            if low != MASK and self.fault != "stuck":
                self._luminaire.settle(at_us)
                self._arc, self._cycled = low, False
                self._luminaire.level = percent_of(low) / 100
                self.draws(low > 0, at_us)
            return None
        if high in (0xA3, 0xC3):
            self._dtr0, self._dtr1 = (low, self._dtr1) if high == 0xA3 else (self._dtr0, low)
            return None
        failed = self._luminaire.fault == "dead"
        if frame == 0xFF90:
            lit = self._arc > 0 and not failed
            return _NO_ADDRESS | _CYCLED * self._cycled | _ON * lit | _FAILED * failed
        if frame == 0xFFA0:
            return MASK if failed else self._arc
        if frame == 0xFFC5:
            found = self._banks.read(self._dtr1, self._dtr0, at_us)
            if found is not None:
                self._dtr0 = min(self._dtr0 + 1, 255)
            return found
        return None


def _pair(bit: int) -> tuple[int, int]:
    return (1, 0) if bit else (0, 1)


def _frame(active: list[bool]) -> int | None:
    """The 16 bits of a forward frame; None where it is none."""
    value = 0
    if len(active) < FORWARD:
        return None
    for at in range(0, FORWARD, 2):
        if active[at] == active[at + 1]:
            return None
        value = value << 1 | active[at]
    return value & 0xFFFF if value >> 16 == 1 else None


def _edges(active: list[bool] | list[int], half_us: int, start_us: int) -> list[int]:
    edges: list[int] = []
    before = False
    for at, now in enumerate([*active, 0]):
        if bool(now) != before:
            edges.append(start_us + math.ceil(at * half_us))
            before = bool(now)
    return edges
