"""An SX1261 or SX1262 LoRa radio on SPI, at the level of its commands and registers."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kerbtools.emulator.lora_air import LoraAir, Packet
from kerbtools.emulator.parts.part import Part
from kerbtools.emulator.world import FOREVER
from kerbwire.lora import BANDWIDTH_HZ

TX_DONE, RX_DONE, HEADER_VALID, CRC_ERROR, CAD_DONE, CAD_DETECTED, TIMEOUT = 1, 2, 16, 64, 128, 256, 512
_START_US = 3500  # of BUSY after a reset or a cold start, and for a calibration
_COMMAND_US = 30
_TX_US = 126
_WAKE_US = 3500
_LAMBDA_RX = 0xFFFFFF
_READS = {0xC0: 0, 0x11: 1, 0x12: 2, 0x13: 2, 0x14: 3, 0x15: 1, 0x17: 2}  # commands that answer: bytes behind status
_SIZES = {  # least arguments of the others
    0x80: 1, 0x82: 3, 0x83: 3, 0x84: 1, 0x86: 4, 0x88: 7, 0x89: 1, 0x8A: 1, 0x8B: 4, 0x8C: 6, 0x8E: 2, 0x8F: 2,
    0x95: 4, 0x96: 1, 0x97: 4, 0x98: 2, 0x9D: 1, 0xC5: 0, 0x02: 2, 0x07: 2, 0x08: 8, 0x0D: 3, 0x0E: 1,
}  # fmt: skip
_REGISTERS = {0x0740: 0x14, 0x0741: 0x24, 0x0889: 0x01, 0x08AC: 0x94, 0x08D8: 0xC8, 0x0736: 0x0D, 0x08E7: 0x38}
_OPTIMAL = {(2, 2): 14, (3, 2): 14, (2, 3): 17, (3, 5): 20, (4, 7): 22}  # paDutyCycle, hpMax -> dBm at 22: table 13-21


class _Event(NamedTuple):
    """What happens next by itself."""

    at_us: int
    irqs: int
    packet: Packet | None = None
    rssi: float = 0.0
    snr: float = 0.0


class Sx126x(Part):
    """Commands, registers, BUSY and DIO1 as in data sheet DS.SX1261-2, chapters 8, 9 and 13; from memory.

    entry: of board.json. Models: sleep (all is forgotten), standby, single and continuous receive with its timer, send,
    channel activity detection, the buffer, CRC errors, packet status, the TCXO and the DIO2 switch as far as a driver
    that leaves them out is not heard, and the current in each state. Not: FSK, warm start, header errors, drift.
    mistakes: what a driver must not do, in words. Of "deaf" it hears nothing, of "mute" nobody hears it, of
    "stuck_busy" BUSY stays high, of "brown_out" it starts anew with the next command.
    """

    FAULTS = ("deaf", "mute", "stuck_busy", "brown_out")

    def __init__(self, name: str, entry: Mapping[str, int | str], air: LoraAir, place_m: tuple[float, float]) -> None:
        super().__init__()
        self.name = name
        self.place_m = place_m
        self.mistakes: list[str] = []
        self.draws_as: Callable[[str, int], None] = _nobody_counts  # (state, since), set by the wiring
        self.changed: Callable[[], None] = _nobody  # another's packet began: what was known of DIO1 counts no more
        self.busy = _Busy(self)
        self.reset_pin = _Reset(self)
        self._air = air
        self._tcxo = int(entry["tcxo_mv"])
        self._dio2 = bool(entry["dio2_switch"])
        self._is_1261 = int(entry["chip"]) == 1261
        self._command = bytearray()
        self._ignored = False
        self._busy_until_us = 0
        self._on = False
        self._forget()
        air.join(self)

    def _forget(self) -> None:
        self._mode = "standby"
        self._registers = dict(_REGISTERS)
        self._buffer = bytearray(256)
        self._irqs = self._mask = self._dio1_mask = 0
        self._packet_type = 0
        self._khz = 0
        self._factor = 0
        self._length = 255
        self._pa: tuple[int, ...] = ()
        self._dbm = 0
        self._switch = False
        self._tcxo_mv = 0
        self._received = (0, 0)
        self._status = (0, 0, 0)
        self._since_us = 0
        self._until_us = FOREVER
        self._seen: set[int] = set()
        self._headed: set[int] = set()
        self._cad_symbols = 0

    # The board's life. It outlasts deep sleep and resets of the board, as it was left.

    def begin(self, now_us: int) -> None:
        self.settle(now_us)
        if not self._on:
            self._on = True
            self._reset(now_us)

    def lose_power(self, now_us: int) -> None:
        self.settle(now_us)
        self._on = False

    def settle(self, now_us: int) -> None:
        """Let happen what has happened by now."""
        while (event := self._next()).at_us <= now_us:
            self._happen(event)
        if event.packet is not None and event.packet.header_us <= now_us and event.packet.number not in self._headed:
            self._headed.add(event.packet.number)
            self._irqs |= HEADER_VALID & self._mask

    # Its pins.

    def level(self, now_us: int) -> int:
        """DIO1."""
        return int(bool(self._irqs & self._dio1_mask) or self._next().at_us <= now_us)  # each event is one of DIO1's

    def next_change_us(self, after_us: int) -> int:
        return FOREVER if self._irqs & self._dio1_mask else self._next().at_us

    def air_changed(self) -> None:
        if self._mode == "rx":
            self.changed()

    def busy_until_us(self) -> int:
        return FOREVER if self.fault == "stuck_busy" or self._mode == "sleep" else self._busy_until_us

    def reset(self, now_us: int) -> None:
        """NRESET went low."""
        self.settle(now_us)
        self._reset(now_us)

    def _reset(self, now_us: int) -> None:
        self._forget()
        self._busy_until_us = now_us + _START_US
        self.draws_as("standby", now_us)

    # SPI.

    def select(self, selected: bool, now_us: int) -> None:
        self.settle(now_us)
        if selected:
            self._command.clear()
            self._ignored = False
            if self._mode == "sleep":  # it wakes, and takes no command meanwhile
                self._reset(now_us)
                self._busy_until_us = now_us + _WAKE_US
                self._ignored = True
            elif now_us < self._busy_until_us or self.fault == "stuck_busy":
                self._ignored = True
                self.mistakes.append("a command while BUSY was high")
            elif self.fault == "brown_out":
                self._reset(now_us)
                self.fault = None
        elif self._command and not self._ignored:
            self._do(bytes(self._command), now_us)
            self._command.clear()

    def exchange(self, data: bytes, now_us: int) -> bytes:
        answer = bytearray()
        for value in data:
            self._command.append(value)
            answer.append(0 if self._ignored else self._answer(len(self._command) - 1))
        return bytes(answer)

    def _answer(self, place: int) -> int:
        code = self._command[0]
        if code == 0x1D and place >= 4:
            return self._registers.get(int.from_bytes(self._command[1:3], "big") + place - 4, 0)
        if code == 0x1E and place >= 3:
            return self._buffer[self._command[1] + place - 3 & 255]
        if code in _READS and place >= 2:
            return self._found(code)[place - 2] if place - 2 < _READS[code] else 0
        return 0x22  # status: STBY_RC, data available

    def _found(self, code: int) -> tuple[int, ...]:
        match code:
            case 0x11:
                return (self._packet_type,)
            case 0x12:
                return self._irqs >> 8, self._irqs & 255
            case 0x13:
                return self._received
            case 0x14:
                return self._status
            case 0x17:
                return (0, 0 if self._tcxo in (0, self._tcxo_mv) else 0x20)  # XOSC_START_ERR
            case _:
                return (0,)

    def _do(self, command: bytes, now_us: int) -> None:
        code, args = command[0], command[1:]
        self._busy_until_us = now_us + _COMMAND_US
        if code in _READS or code in (0x1D, 0x1E, 0x00):
            return
        if code not in _SIZES or len(args) < _SIZES[code]:
            self.mistakes.append(f"command {code:#x} with {len(args)} bytes")
            return
        match code:
            case 0x80:
                self._mode = "standby"
                self.draws_as("standby", now_us)
            case 0x84:
                self._forget()
                self._mode = "sleep"
                self.draws_as("sleep", now_us)
            case 0x82:
                self._listen(int.from_bytes(args[:3], "big"), now_us)
            case 0x83:
                self._send(now_us)
            case 0xC5:
                self._begin("cad", now_us, (self._cad_symbols << self._factor) * 1_000_000 // BANDWIDTH_HZ)
                self.draws_as("rx", now_us)
            case 0x86:
                self._khz = (int.from_bytes(args[:4], "big") * 4000 + (1 << 21)) >> 22
            case 0x88:
                self._cad_symbols = 1 << args[0]
            case 0x89 | 0x98:
                self._busy_until_us = now_us + _START_US
            case 0x8A:
                self._packet_type = args[0]
            case 0x8B:
                self._factor = args[0]
                if args[1:4] != bytes((4, 1, self._factor >= 11)):
                    self.mistakes.append(f"modulation {args.hex()}: the air here knows 125 kHz and 4/5 alone")
            case 0x8C:
                self._length = args[3]
                if args[:3] != b"\x00\x08\x00" or args[4:6] != b"\x01\x00":
                    self.mistakes.append(f"packet {args.hex()}")
            case 0x8E:
                self._dbm = args[0] - (args[0] << 1 & 256)
            case 0x95:
                self._pa = tuple(args[:4])
            case 0x97:
                self._tcxo_mv = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)[args[0] & 7]
            case 0x9D:
                self._switch = bool(args[0])
            case 0x02:
                self._irqs &= ~int.from_bytes(args[:2], "big")
            case 0x08:
                self._mask, self._dio1_mask = int.from_bytes(args[:2], "big"), int.from_bytes(args[2:4], "big")
            case 0x0D:
                for offset, value in enumerate(args[2:]):
                    self._registers[int.from_bytes(args[:2], "big") + offset] = value
            case 0x0E:
                for offset, value in enumerate(args[1:]):
                    self._buffer[args[0] + offset & 255] = value
            case _:
                pass  # regulator, errors, base addresses: nothing that the air could tell

    # What it does by itself.

    def _begin(self, mode: str, now_us: int, took_us: int) -> None:
        self._mode, self._since_us, self._until_us = mode, now_us, now_us + took_us
        self._busy_until_us = now_us + _TX_US

    def _works(self) -> bool:
        """Whether it was told all that it has to know."""
        clock = self._tcxo in (0, self._tcxo_mv)
        return clock and self._packet_type == 1 and 7 <= self._factor <= 12 and self._khz > 0 and self._sync() == 0x1424

    def _sync(self) -> int:
        return self._registers[0x0740] << 8 | self._registers[0x0741]

    def power_dbm(self) -> int:
        """What it sends with, by its amplifier's settings."""
        if self._is_1261 or not self._pa:
            return min(self._dbm, 14)
        return self._dbm - 22 + _OPTIMAL.get((self._pa[0], self._pa[1]), 22)

    def _send(self, now_us: int) -> None:
        data = bytes(self._buffer[: self._length])
        if not self._works() or not self._pa:
            self.mistakes.append("told to send before it was told how")
            self._mode = "standby"
            return
        dbm = self.power_dbm() - (0 if self._switch == self._dio2 else 40)  # through the switch's wrong side
        row = next((row for row in (14, 17, 20, 22) if self.power_dbm() <= row), 22)
        if self.fault == "mute":
            dbm = -200
        packet = self._air.send(self, data, self._khz, self._factor, dbm, now_us)
        self._begin("tx", now_us, packet.end_us - now_us)
        self.draws_as(f"tx{row}", now_us)

    def _listen(self, ticks: int, now_us: int) -> None:
        if not self._works():
            self.mistakes.append("told to listen before it was told how")
            return
        self._begin("rx", now_us, 0)
        self._until_us = FOREVER if ticks in (0, _LAMBDA_RX) else now_us + ticks * 125 // 8
        self._continuous = ticks == _LAMBDA_RX
        self._seen.clear()
        self.draws_as("rx", now_us)

    def _next(self) -> _Event:
        """The next thing that happens, as far as the air knows it now. Pure: it may be asked of any moment."""
        if self._mode == "tx":
            return _Event(self._until_us, TX_DONE)
        if self._mode == "cad":
            busy = self.fault != "deaf" and self._air.is_busy(
                self._khz, self._factor, self, self._since_us, self._until_us
            )
            return _Event(self._until_us, CAD_DONE | (CAD_DETECTED if busy else 0))
        if self._mode == "rx":
            for packet in self._air.on(self._khz, self._factor, self._since_us) if self.fault != "deaf" else ():
                if packet.number in self._seen or packet.sender is self or packet.lock_us < self._since_us:
                    continue
                if packet.header_us > self._until_us:
                    continue
                verdict, rssi, snr = self._air.judge(packet, self)
                if verdict != "missed":
                    return _Event(packet.end_us, RX_DONE | (CRC_ERROR if verdict == "spoilt" else 0), packet, rssi, snr)
            return _Event(self._until_us, TIMEOUT)
        return _Event(FOREVER, 0)

    def _happen(self, event: _Event) -> None:
        self._irqs |= event.irqs & self._mask
        if event.packet is not None and event.packet.number not in self._headed:
            self._irqs |= HEADER_VALID & self._mask
        if event.packet is not None:
            self._seen.add(event.packet.number)
            self._headed.add(event.packet.number)
            data = event.packet.data
            if event.irqs & CRC_ERROR:
                data = bytes(value ^ 0x5A for value in data)
            self._buffer[: len(data)] = data
            self._received = (len(data), 0)
            rssi = max(0, min(255, round(-2 * event.rssi)))
            self._status = (rssi, round(4 * max(-32.0, min(31.0, event.snr))) & 255, rssi)
            if self._continuous:
                return
        self._mode = "standby"
        self.draws_as("standby", event.at_us)


class _Busy:
    """The BUSY pin."""

    present = True

    def __init__(self, radio: Sx126x) -> None:
        self._radio = radio

    def level(self, now_us: int) -> int:
        return int(self._radio.present and now_us < self._radio.busy_until_us())

    def next_change_us(self, after_us: int) -> int:
        until_us = self._radio.busy_until_us()
        return until_us if until_us > after_us else FOREVER


class _Reset:
    """The NRESET pin, with the chip's own pull-up: a pin that is no output leaves it high."""

    present = True

    def __init__(self, radio: Sx126x) -> None:
        self._radio = radio
        self._low = False

    def level(self, now_us: int) -> int:
        return 1

    def next_change_us(self, after_us: int) -> int:
        return FOREVER

    def drive(self, level: int, now_us: int) -> None:
        low = not level
        if low and not self._low:
            self._radio.reset(now_us)
        self._low = low


def _nobody_counts(state: str, now_us: int) -> None:
    pass


def _nobody() -> None:
    pass
