"""The chip and what is wired to it: what each call of a board means for its pins, buses, radio, memory and clock."""

import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from kerbtools import boards
from kerbtools.emulator import ble_radio
from kerbtools.emulator.ble_radio import BleRadio
from kerbtools.emulator.energy import Ledger
from kerbtools.emulator.flash import Flash
from kerbtools.emulator.lamp_scene import LampScene
from kerbtools.emulator.line_noise import LineNoise
from kerbtools.emulator.link import Link
from kerbtools.emulator.lora_air import LoraAir
from kerbtools.emulator.parts import Dali
from kerbtools.emulator.parts.bus import I2cPart, UartPart
from kerbtools.emulator.pins import Pins
from kerbtools.emulator.radio import Air, State, Station
from kerbtools.emulator.rpc import Call, Op
from kerbtools.emulator.scene import BinScene
from kerbtools.emulator.sockets import Sockets
from kerbtools.emulator.timers import Timers
from kerbtools.emulator.wiring import Site, wire
from kerbtools.emulator.world import FOREVER

CALL_US = 20  # what a call takes of virtual time: about what a method call takes on a board, and it ends busy loops
_RADIO_BITS_PER_US = 6  # net rate at which a frame is sent, taken for all; each frame is at least _FRAME_US on the air
_FRAME_US = 200
_TIMER, _PIN, _BLE = 1, 2, 3  # kinds of an event, and the first two of what can be polled: UART, socket
SOCKET = 2  # a kind of what can be polled: a TCP connection
CONSOLE = 3  # a kind of what can be polled: the USB console
_TIMER_WAKES = 4  # machine.TIMER_WAKE
_DEINIT = 2  # of WIFI_ACTIVE: the shim's WLAN.deinit
MAX_SAMPLES = 128  # that the queue of a PIO state machine holds: eight words of 16

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

    def __init__(
        self,
        facts: boards.Board,
        scene: BinScene | LampScene,
        flash: Flash,
        link: Link,
        seed: str,
        *,
        role: str = "bin",
        air: Air | None = None,
        lora: LoraAir | None = None,
        name: str = "",
        place_m: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.unique_id = hashlib.sha256(seed.encode()).digest()[: 8 if facts.port == "rp2" else 6]
        self.flash = flash
        self.link = link
        self.retained = b""
        self.started_us = 0
        self.link_bytes = 0  # received on the link since the board was made
        self.noise: dict[int, LineNoise] = {}  # by UART
        self.nudge: Callable[[], None] = _nobody  # ends a wait of the board, from any thread
        self.ledger = Ledger(facts.currents)
        site = Site(scene, seed, int.from_bytes(self.unique_id[:4], "big"), lora, name, place_m)
        self.wired = wire(facts, role, site, self.ledger)
        if self.wired.lora is not None:
            self.wired.lora.changed = self._lora_changed
        self.parts = self.wired.by_slot
        self.pins = Pins(self.wired.sources, self.wired.sinks)
        self.timers = Timers()
        air = air or Air()
        self.station = Station(air, "wifi" in facts.radio)
        self.ble = BleRadio(air, seed)
        self._has_ble = "ble" in facts.radio
        self._radio_powered = False  # rp2: its chip has a supply of its own, which only WLAN.deinit and a reset cut
        self.sockets = Sockets(self.station)
        self.clock_offset_us = 0  # of the board's own clock to the world's
        self._facts = facts
        self._uarts: dict[int, Uart] = {}
        self._wake_reason = 0, 0
        self._table = self._operations()

    @property
    def link_uart(self) -> int:
        return self._facts.link["uart"]

    # Starts and ends of the chip.

    def begin(self, ending: str, now_us: int) -> None:
        """The chip starts after `ending`: a cause of `reset_causes`, or "vm", which is no reset at all."""
        self._uarts.clear()
        self.timers.reset()
        self.sockets.close_all()
        self.ble.power(False)
        if ending == "vm":
            self._book_radio(now_us)
            self.pins.forget()
            return
        self._wake_reason = self._reason_to_wake(now_us) if ending == "deepsleep" else (0, 0)
        self.started_us = now_us
        self.ledger.enter("active", now_us)
        self.station.reset()
        self._radio_powered = False
        self._book_radio(now_us)
        self.pins.reset(now_us)
        for pin in self.wired.pwm:
            self._pwm_off(pin, now_us)
        for part in self.wired.always_on:
            part.power(True, now_us)
        for part in self.parts.values():
            part.begin(now_us)
        if ending not in self._facts.clock_survives:
            self.clock_offset_us = self._facts.clock_starts_at_unix * 1_000_000 - now_us
        if ending not in self._facts.retained_survives:
            self.retained = bytes(self._facts.backup_bytes)

    def end(self, kind: str, now_us: int) -> None:
        """A life of the chip is over: it sleeps deeply, has no power, or starts anew at once."""
        self.sockets.close_all()
        self.station.reset()
        self.ble.power(False)
        if not self._radio_powered:
            self.ledger.stop("radio", now_us)
        if kind in ("deepsleep", "power", "brownout"):
            if kind != "deepsleep" and self.wired.lora is not None:
                self.wired.lora.lose_power(now_us)
            self.ledger.enter("deepsleep" if kind == "deepsleep" else "off", now_us)

    # What interrupts and wakes.

    def next_event_us(self, now_us: int) -> int:
        """When a timer or a pin interrupts next, as far as that is known already."""
        if self.ble.has_events():
            return now_us
        return min(self.timers.next_us(), self.pins.next_edge_us(now_us))

    def wakes_us(self, now_us: int, until_us: int) -> int:
        """When a sleep that should last until then ends.

        rp2: a timer or a pin with a handler ends any sleep that has an end (micropython#7035). esp32: the wake pins.
        """
        if self._facts.port == "rp2":
            return min(until_us, self.next_event_us(now_us)) if until_us < FOREVER else until_us
        return self.pins.next_wake_us(now_us, until_us)

    def wake_lightly(self, slept_us: int, now_us: int) -> None:
        """The end of a light sleep, in which an esp32 counts no timers and sees no edges."""
        self.ledger.enter("active", now_us)
        if self._facts.port == "esp32":
            self._wake_reason = self._reason_to_wake(now_us)
            self.timers.stand_still(slept_us)
            self.pins.take_edges(now_us, lost=True)

    def _reason_to_wake(self, now_us: int) -> tuple[int, int]:
        source, mask = self.pins.woken_by(now_us)
        return (source, mask) if source else (_TIMER_WAKES, 0)

    # What a host may wait for.

    def has_peer(self) -> bool:
        """Whether something real may answer the board."""
        return self.link.has_peer() or self.sockets.is_open or self.ble.has_peer()

    def heard(self) -> tuple[int, int, int]:
        """Changes when something real has answered."""
        return self.link_bytes + self.ble.heard, self.sockets.received, self.sockets.waiting()

    def files(self) -> list[int]:
        """What a host may wait on, besides the link, for something to arrive."""
        return self.sockets.files() + self.ble.files()

    def ready(self, asked: bytes, now_us: int) -> bytes:
        """For each three bytes of `asked` (kind, number, flags), which of the flags hold."""
        found = bytearray()
        for at in range(0, len(asked) - 2, 3):
            kind, number, flags = asked[at : at + 3]
            if kind == CONSOLE:
                found.append(0)  # not wired to the chip: kerbtools.emulator.life knows
            elif kind == 1:
                found.append(flags & (5 if self.waiting(number, now_us) else 4))
            else:
                found.append(self.sockets.ready(number, flags, now_us))
        return bytes(found)

    def listen(self, now_us: int) -> None:
        """Take in what has come on the link, where its UART is on."""
        if self.link_uart in self._uarts:
            self.waiting(self.link_uart, now_us)

    # Calls.

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
            data = data[:room]
        else:
            data = port.part.sent(port.seen_us, now_us, room)
            port.seen_us = now_us
        port.received += self._spoilt(uart, data)
        return len(port.received)

    def _operations(self) -> dict[int, Callable[[Call, int], Reply]]:
        return {
            Op.CLOCK: lambda call, now_us: (now_us + self.clock_offset_us, 0, b""),
            Op.CLOCK_SET: self._clock_set,
            Op.RTC_READ: lambda call, now_us: (0, 0, self.retained),
            Op.RTC_WRITE: self._retain,
            Op.BACKUP_WRITE: self._retain,
            Op.EVENTS: self._events,
            Op.TIMER_SET: self._timer_set,
            Op.PIN_READ: lambda call, now_us: (self.pins.read(call.a, now_us), 0, b""),
            Op.PIN_WRITE: self._pin_write,
            Op.PIN_MODE: self._pin_mode,
            Op.PIN_IRQ: self._pin_irq,
            Op.WAKE_PINS: self._wake_pins,
            Op.PIN_PULSE: lambda call, now_us: (*self.pins.pulse(call.a, call.b, now_us), b""),
            Op.WAKE_REASON: lambda call, now_us: (self._wake_reason[0], self._wake_reason[1], b""),
            Op.PWM_SET: self._pwm_set,
            Op.LINE_SEND: self._line_send,
            Op.LINE_HEAR: self._line_hear,
            Op.ADC_READ: self._adc_read,
            Op.UART_OPEN: self._uart_open,
            Op.UART_ANY: lambda call, now_us: (self.waiting(call.a, now_us), 0, b""),
            Op.UART_READ: self._uart_read,
            Op.UART_WRITE: self._uart_write,
            Op.WIRE_RESET: lambda call, now_us: (int(self._wire(call).reset()), 0, b""),
            Op.WIRE_READ: lambda call, now_us: (self._wire(call).read(now_us), 0, b""),
            Op.WIRE_WRITE: self._wire_write,
            Op.WIRE_SCAN: lambda call, now_us: (0, 0, self._wire(call).scan()),
            Op.I2C_WRITE: lambda call, now_us: (self._i2c(call).write(call.payload, now_us), 0, b""),
            Op.I2C_READ: lambda call, now_us: (0, 0, self._i2c(call).read(max(0, call.b), now_us)),
            Op.I2C_SCAN: self._i2c_scan,
            Op.SPI_TRANSFER: self._spi,
            Op.WIFI_ACTIVE: self._wifi_active,
            Op.WIFI_CONNECT: self._wifi_connect,
            Op.WIFI_DISCONNECT: self._wifi_disconnect,
            Op.WIFI_STATUS: lambda call, now_us: (self.station.state(now_us), self.station.rssi(), b""),
            Op.WIFI_SCAN: self._wifi_scan,
            Op.NET_RESOLVE: self._resolve,
            Op.SOCKET_OPEN: lambda call, now_us: (self.sockets.open(is_datagram=bool(call.a)), 0, b""),
            Op.SOCKET_BIND: self._socket_bind,
            Op.SOCKET_CONNECT: self._socket_connect,
            Op.SOCKET_SEND: self._socket_send,
            Op.SOCKET_RECEIVE: lambda call, now_us: (0, 0, self.sockets.receive(call.a, max(1, call.b), now_us)),
            Op.SOCKET_CLOSE: self._socket_close,
            Op.BLE: self._ble,
        }

    def _lora_changed(self) -> None:
        """Somebody began to send, in whose thread this runs."""
        self.pins.refresh()
        self.nudge()

    # Clock and memory.

    def _clock_set(self, call: Call, now_us: int) -> Reply:
        self.clock_offset_us = call.a - now_us
        return 0, 0, b""

    def _retain(self, call: Call, now_us: int) -> Reply:
        self.retained = call.payload
        return 0, 0, b""

    # Pins, timers, ADC, PWM.

    def _events(self, call: Call, now_us: int) -> Reply:
        due = b"".join(bytes((_TIMER, number)) for number in self.timers.take(now_us))
        due += b"".join(bytes((_PIN, number)) for number in self.pins.take_edges(now_us))
        return 0, 0, due + (bytes((_BLE, 0)) if self.ble.has_events() else b"")

    def _timer_set(self, call: Call, now_us: int) -> Reply:
        self.timers.set(call.a & 0xFF, call.b, periodic=bool(call.a >> 8), now_us=now_us)
        return 0, 0, b""

    def _pin_write(self, call: Call, now_us: int) -> Reply:
        self.pins.write(call.a, call.b, now_us)
        self._select(call.a, now_us)
        return 0, 0, b""

    def _pin_mode(self, call: Call, now_us: int) -> Reply:
        self.pins.set_mode(call.a, call.b & 0xF, call.b >> 4, now_us)
        self._select(call.a, now_us)
        return 0, 0, b""

    def _select(self, pin: int, now_us: int) -> None:
        for devices in self.wired.spi.values():
            for chip_select, part in devices:
                if chip_select == pin:
                    part.select(self.pins.is_low(pin), now_us)
                    self.pins.refresh()  # a radio that was told something has other news of DIO1 from now on

    def _pin_irq(self, call: Call, now_us: int) -> Reply:
        self.pins.watch(call.a, call.b, now_us)
        return 0, 0, b""

    def _wake_pins(self, call: Call, now_us: int) -> Reply:
        # The sources' own numbers are those of machine.wake_reason(): ext0 2, ext1 3, gpio 7.
        self.pins.wake_on({1: 2, 2: 3, 3: 7}[call.b & 0xF], call.a, call.b >> 4)
        return 0, 0, b""

    def _pwm_set(self, call: Call, now_us: int) -> Reply:
        sink = self.wired.pwm.get(call.a)
        if sink is not None and call.b < 0:
            self._pwm_off(call.a, now_us)
        elif sink is not None:
            sink.pwm((call.b & 0xFFFF) / 65535, call.b >> 16, now_us)
        return 0, 0, b""

    def _pwm_off(self, pin: int, now_us: int) -> None:
        self.wired.pwm[pin].pwm(float(self.pins.read(pin, now_us)), 0, now_us)

    def _line_send(self, call: Call, now_us: int) -> Reply:
        self._line(call.a).send(call.payload, call.b, now_us)
        self.pins.refresh()
        return 0, 0, b""

    def _line_hear(self, call: Call, now_us: int) -> Reply:
        return 0, 0, self._line(call.a).samples(call.b / 1000, MAX_SAMPLES, now_us)

    def _line(self, pin: int) -> Dali:
        line = self.wired.dali.get(pin)
        if line is None:
            raise OSError(errno.ENODEV, f"no DALI bus at pin {pin}")
        return line

    def _adc_read(self, call: Call, now_us: int) -> Reply:
        part = self.wired.analogue.get(call.a)
        return (*part.read(now_us), b"") if part else (0, 0, b"")

    # UARTs.

    def _uart(self, number: int) -> Uart:
        uart = self._uarts.get(number)
        if uart is None:
            raise OSError(errno.ENODEV, f"UART {number}")
        return uart

    def _uart_open(self, call: Call, now_us: int) -> Reply:
        if call.a not in self.wired.uarts:
            raise OSError(errno.ENODEV, f"UART {call.a}")
        if call.a == self.link_uart and call.a not in self._uarts:
            self.link.drop_input()
        self._uarts[call.a] = Uart(self.wired.uarts[call.a], capacity=max(call.b, 32), seen_us=now_us)
        return 0, 0, b""

    def _uart_read(self, call: Call, now_us: int) -> Reply:
        self.waiting(call.a, now_us)
        received = self._uart(call.a).received
        data = bytes(received[: max(0, call.b)])
        del received[: len(data)]
        return 0, 0, data

    def _uart_write(self, call: Call, now_us: int) -> Reply:
        part = self._uart(call.a).part
        data = self._spoilt(call.a, call.payload)
        if part is None:
            self.link.write(data)
        else:
            part.write(data, now_us)
        return 0, 0, b""

    def _spoilt(self, uart: int, data: bytes) -> bytes:
        noise = self.noise.get(uart)
        return noise.spoil(data) if noise and data else data

    # One-wire, I2C, SPI.

    def _wire(self, call: Call):
        device = self.wired.one_wire.get(call.a)
        if device is None:
            raise OSError(errno.ENODEV, f"pin {call.a}")
        return device

    def _wire_write(self, call: Call, now_us: int) -> Reply:
        self._wire(call).write(call.b, now_us)
        return 0, 0, b""

    def _i2c(self, call: Call) -> I2cPart:
        address = call.a >> 16
        for part in self._i2c_bus(call):
            if part.address == address:
                return part
        raise OSError(errno.ENODEV, f"nothing acknowledges address {address:#x}")

    def _i2c_bus(self, call: Call) -> list[I2cPart]:
        return [part for part in self.wired.i2c.get((call.a & 0xFF, call.a >> 8 & 0xFF), ()) if part.present]

    def _i2c_scan(self, call: Call, now_us: int) -> Reply:
        return 0, 0, bytes(sorted(part.address for part in self._i2c_bus(call)))

    def _spi(self, call: Call, now_us: int) -> Reply:
        for chip_select, part in self.wired.spi.get(call.a, ()):
            if part.present and self.pins.is_low(chip_select):
                return 0, 0, part.exchange(call.payload, now_us)
        return 0, 0, b"\xff" * len(call.payload)  # nobody pulls the line down

    # Wi-Fi and sockets.

    def _ble(self, call: Call, now_us: int) -> Reply:
        if call.a == ble_radio.ACTIVE and call.b >= 0 and not self._has_ble:
            raise OSError(errno.ENODEV, "no Bluetooth on this board")
        if call.a == ble_radio.NOTIFY:
            self.ledger.book("radio_tx", _FRAME_US + len(call.payload) * 8)  # 1 Mbit/s
        answer = self.ble.answer(call.a, call.b, call.payload)
        if call.a == ble_radio.ACTIVE and call.b >= 0:
            self._book_radio(now_us)
        return answer

    def _wifi_active(self, call: Call, now_us: int) -> Reply:
        if not self.station.has_radio:
            raise OSError(errno.ENODEV, "no Wi-Fi on this board")
        if call.a >= 0:
            self.station.power(call.a == 1)
            if call.a != 1:
                self.sockets.close_all()
            if call.a == _DEINIT:
                self.ble.power(False)
                self._radio_powered = False
            self._book_radio(now_us)
        return int(self.station.is_on), 0, b""

    def _book_radio(self, now_us: int) -> None:
        """What the radio draws from now on; while it is on and not in use, what its chip does, if it has its own."""
        active = self.station.is_on or self.ble.is_on
        self._radio_powered = self._facts.port == "rp2" and (active or self._radio_powered)
        if active or self._radio_powered:
            self.ledger.run("radio", "radio_rx" if active else "radio_idle", now_us)
        else:
            self.ledger.stop("radio", now_us)

    def _wifi_connect(self, call: Call, now_us: int) -> Reply:
        ssid, _, key = call.payload.partition(b"\0")
        self.station.connect(ssid.decode(), key.decode(), now_us)
        return 0, 0, b""

    def _wifi_disconnect(self, call: Call, now_us: int) -> Reply:
        self.station.disconnect()
        return 0, 0, b""

    def _wifi_scan(self, call: Call, now_us: int) -> Reply:
        lines = [
            f"{point.ssid}\t{point.bssid.hex()}\t{point.channel}\t{point.rssi}\t{int(bool(point.password))}"
            for point in self.station.scan()
        ]
        return 0, 0, "\n".join(lines).encode()

    def _resolve(self, call: Call, now_us: int) -> Reply:
        name = call.payload.decode(errors="replace")
        found = self.station.air.resolve(name) if self.station.state(now_us) == State.GOT_ADDRESS else None
        if found is None:
            raise OSError(errno.ENOENT, f"no host {name}")
        return 0, 0, found.encode()

    def _socket_bind(self, call: Call, now_us: int) -> Reply:
        self.sockets.bind(call.a, call.b)
        return 0, 0, b""

    def _socket_connect(self, call: Call, now_us: int) -> Reply:
        host, _, port = call.payload.decode(errors="replace").rpartition(":")
        self.sockets.connect(call.a, host, int(port), now_us)
        self._on_air(60)
        return 0, 0, b""

    def _socket_send(self, call: Call, now_us: int) -> Reply:
        sent = self.sockets.send(call.a, call.payload, now_us)
        self._on_air(sent)
        return sent, 0, b""

    def _socket_close(self, call: Call, now_us: int) -> Reply:
        self.sockets.close(call.a)
        return 0, 0, b""

    def _on_air(self, sent: int) -> None:
        self.ledger.book("radio_tx", _FRAME_US + sent * 8 // _RADIO_BITS_PER_US)


def _nobody() -> None:
    pass
