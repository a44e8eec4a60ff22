"""The chip and what is wired to it: pins, UARTs, one-wire bus, ADC, retained memory and the board's own clock."""

import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from kerbtools import boards
from kerbtools.emulator.flash import Flash
from kerbtools.emulator.link import LinkPty
from kerbtools.emulator.parts import A02yyuw, Cells, Ds18b20, UartPart
from kerbtools.emulator.rpc import Call, Op
from kerbtools.emulator.scene import BinScene

CALL_US = 20  # what a call takes of virtual time: about what a method call takes on a board, and it ends busy loops

Reply = tuple[int, int, bytes]  # a, b, payload


@dataclass
class Uart:
    """One UART in use. The link's has no part."""

    part: UartPart | None
    received: bytearray = field(default_factory=bytearray)
    capacity: int = 256
    seen_us: int = 0


class Hardware:
    """Lives as long as the board; `begin` is a start of the chip. Calls come from the board's thread only."""

    def __init__(self, facts: boards.Board, scene: BinScene, flash: Flash, link: LinkPty, seed: str) -> None:
        self.unique_id = hashlib.sha256(seed.encode()).digest()[: 8 if facts.port == "rp2" else 6]
        self.flash = flash
        self.link = link
        self.retained = b""
        self.started_us = 0
        self.link_bytes = 0  # received on the link since the board was made
        self._facts = facts
        self._clock_offset_us = 0
        self._pins: dict[int, int] = {}
        self._uarts: dict[int, Uart] = {}
        sensors = facts.sensors
        distance, temperature, battery = sensors["distance"], sensors["temperature"], sensors["battery"]
        self.distance = A02yyuw(
            f"{seed}/a02yyuw",
            scene.truth,
            reference_c=int(distance["reference_c"]),
            warm_up_ms=int(distance["warm_up_ms"]),
        )
        self.thermometer = Ds18b20(int.from_bytes(self.unique_id[:4], "big"), scene.truth)
        self.cells = Cells(
            scene.truth,
            top_ohm=int(battery["divider_top_ohm"]),
            bottom_ohm=int(battery["divider_bottom_ohm"]),
            full_scale_mv=int(battery["full_scale_mv"]),
        )
        self._power_pin = distance.get("power_pin")
        self._parts: dict[int, UartPart | None] = {facts.link["uart"]: None, int(distance["uart"]): self.distance}
        self._wires = {int(temperature["pin"]): self.thermometer}
        self._analogue = {int(battery["pin"]): self.cells}
        self._table: dict[int, Callable[[Call, int], Reply]] = {
            Op.CLOCK: lambda call, now_us: (now_us + self._clock_offset_us, 0, b""),
            Op.CLOCK_SET: self._clock_set,
            Op.RTC_READ: lambda call, now_us: (0, 0, self.retained),
            Op.RTC_WRITE: self._retain,
            Op.BACKUP_WRITE: self._retain,
            Op.PIN_READ: lambda call, now_us: (self._pins.get(call.a, 0), 0, b""),
            Op.PIN_WRITE: self._pin_write,
            Op.ADC_READ: self._adc_read,
            Op.UART_OPEN: self._uart_open,
            Op.UART_ANY: lambda call, now_us: (self.waiting(call.a, now_us), 0, b""),
            Op.UART_READ: self._uart_read,
            Op.UART_WRITE: self._uart_write,
            Op.WIRE_RESET: lambda call, now_us: (int(self._wire(call).reset()), 0, b""),
            Op.WIRE_READ: lambda call, now_us: (self._wire(call).read(), 0, b""),
            Op.WIRE_WRITE: self._wire_write,
            Op.WIRE_SCAN: lambda call, now_us: (0, 0, self._wire(call).scan()),
        }

    @property
    def link_uart(self) -> int:
        return self._facts.link["uart"]

    def begin(self, ending: str, now_us: int) -> None:
        """The chip starts after `ending`: a cause of `reset_causes`, or "vm", which is no reset at all."""
        self._uarts.clear()
        if ending == "vm":
            return
        self.started_us = now_us
        self._pins_to_inputs()
        if ending not in self._facts.clock_survives:
            self._clock_offset_us = self._facts.clock_starts_at_unix * 1_000_000 - now_us
        if ending not in self._facts.retained_survives:
            self.retained = bytes(self._facts.backup_bytes)

    def answer(self, call: Call, now_us: int) -> Reply:
        """Do a call. OSError with ENODEV for what is not wired or not known."""
        handler = self._table.get(call.op)
        if handler is None:
            raise OSError(errno.ENOSYS, f"operation {call.op}")
        return handler(call, now_us)

    def waiting(self, uart: int, now_us: int) -> int:
        """Bytes in a UART's receive buffer."""
        port = self._uart(uart)
        room = port.capacity - len(port.received)
        if port.part is None:
            data = self.link.read()
            self.link_bytes += len(data)
            port.received += data[:room]
        else:
            port.received += port.part.sent(port.seen_us, now_us, room)
            port.seen_us = now_us
        return len(port.received)

    def _pins_to_inputs(self) -> None:
        self._pins.clear()
        if self._power_pin is not None:
            self.distance.power(False, 0)
        else:
            self.distance.power(True, self.started_us)

    def _clock_set(self, call: Call, now_us: int) -> Reply:
        self._clock_offset_us = call.a - now_us
        return 0, 0, b""

    def _retain(self, call: Call, now_us: int) -> Reply:
        self.retained = call.payload
        return 0, 0, b""

    def _pin_write(self, call: Call, now_us: int) -> Reply:
        self._pins[call.a] = call.b
        if call.a == self._power_pin:
            self.distance.power(bool(call.b), now_us)
        return 0, 0, b""

    def _adc_read(self, call: Call, now_us: int) -> Reply:
        part = self._analogue.get(call.a)
        return (*part.read(now_us), b"") if part else (0, 0, b"")

    def _uart(self, number: int) -> Uart:
        uart = self._uarts.get(number)
        if uart is None:
            raise OSError(errno.ENODEV, f"UART {number}")
        return uart

    def _uart_open(self, call: Call, now_us: int) -> Reply:
        if call.a not in self._parts:
            raise OSError(errno.ENODEV, f"UART {call.a}")
        if call.a == self.link_uart and call.a not in self._uarts:
            self.link.drop_input()
        self._uarts[call.a] = Uart(self._parts[call.a], capacity=max(call.b, 32), seen_us=now_us)
        return 0, 0, b""

    def _uart_read(self, call: Call, now_us: int) -> Reply:
        self.waiting(call.a, now_us)
        received = self._uart(call.a).received
        data = bytes(received[: max(0, call.b)])
        del received[: len(data)]
        return 0, 0, data

    def _uart_write(self, call: Call, now_us: int) -> Reply:
        if self._uart(call.a).part is None:
            self.link.write(call.payload)
        return 0, 0, b""

    def _wire(self, call: Call) -> Ds18b20:
        device = self._wires.get(call.a)
        if device is None:
            raise OSError(errno.ENODEV, f"pin {call.a}")
        return device

    def _wire_write(self, call: Call, now_us: int) -> Reply:
        self._wire(call).write(call.b, now_us)
        return 0, 0, b""
