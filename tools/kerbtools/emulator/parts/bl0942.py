"""The BL0942 energy meter on a UART, behind its isolator."""

from kerbtools.emulator.parts.luminaire import Luminaire
from kerbtools.emulator.parts.part import Part

_REFERENCE_V = 1.218
_READ, _WRITE, _WHOLE_PACKET = 0x58, 0xA8, 0xAA


class Bl0942(Part):
    """Command 0x58 0xAA is answered by the whole packet of 23 bytes; register reads of 3 bytes and a checksum besides.

    Packet, registers and scaling: data sheet BL0942 V1.06, chapters 2 to 4; from memory. current: 305,978 x mV at the
    shunt / Vref; voltage: 73,989 x mV at the divider / Vref; power: 3,537 x mV x mV / Vref^2; one energy count is
    1,638.4 x 256 power units in an hour's second sum; frequency register: 1,000,000 / Hz.
    """

    FAULTS = ("silent", "garbled", "stuck", "out_of_range")

    def __init__(self, luminaire: Luminaire, *, baud: int, shunt_uohm: int, top_ohm: int, bottom_ohm: int) -> None:
        super().__init__()
        self._luminaire = luminaire
        self._byte_us = 10_000_000 // baud
        self._shunt_mohm = shunt_uohm / 1000
        self._divider = bottom_ohm / (top_ohm + bottom_ohm)
        self._asked = bytearray()
        self._answers: list[tuple[int, bytes]] = []  # when its last bit is out, bytes
        self._stuck = b""

    def begin(self, now_us: int) -> None:
        self.draws(True, now_us)

    def write(self, data: bytes, now_us: int) -> None:
        for value in data:
            if not self._asked and value & 0xFC != _READ:
                continue  # a write command, or noise: settings are not modelled
            self._asked.append(value)
            if len(self._asked) == 2:
                self._answer(self._asked[0], self._asked[1], now_us)
                self._asked.clear()

    def sent(self, from_us: int, to_us: int, room: int) -> bytes:
        out = bytearray()
        while self._answers and self._answers[0][0] <= to_us and len(out) < room:
            out += self._answers.pop(0)[1]
        return bytes(out[:room])

    def _answer(self, command: int, register: int, now_us: int) -> None:
        if not self.present or self.fault == "silent" or command & 3:
            return
        registers = self._registers(now_us)
        if register == _WHOLE_PACKET:
            body = b"\x55" + b"".join(registers[name] for name in range(1, 6))
            body += registers[6][:2] + bytes((0, 0, 0, 0))
        elif register in (3, 4, 5, 6, 7, 8):
            body = registers[{3: 1, 4: 2, 5: 3, 6: 4, 7: 5, 8: 6}[register]]
        else:
            return
        head = bytes((command,)) if register == _WHOLE_PACKET else bytes((command, register))
        packet = body + bytes((~sum(head + body) & 0xFF,))
        if self.fault == "stuck":
            packet = self._stuck = self._stuck or packet
        if self.fault == "garbled":
            packet = bytes((packet[0] ^ 0x10,)) + packet[1:]
        self._answers.append((now_us + (len(packet) + 2) * self._byte_us, packet))
        del self._answers[:-4]

    def _registers(self, now_us: int) -> dict[int, bytes]:
        lamp = self._luminaire
        volts, watts = lamp.volts(now_us) * (3 if self.fault == "out_of_range" else 1), lamp.power_w(now_us)
        amperes = watts / (volts * lamp.power_factor(now_us)) if volts > 1 else 0.0
        shunt_mv = amperes * self._shunt_mohm
        divider_mv = volts * 1000 * self._divider
        real_mv2 = watts * self._shunt_mohm * 1000 * self._divider
        power = 3537 * real_mv2 / _REFERENCE_V**2
        energy = 3537 * lamp.energy_wh(now_us) * self._shunt_mohm * 1000 * self._divider / _REFERENCE_V**2
        values = {
            1: 305978 * shunt_mv / _REFERENCE_V,
            2: 73989 * divider_mv / _REFERENCE_V + (now_us // 1000 % 7 if volts else 0),  # its lowest bits are noise
            3: 305978 * shunt_mv / _REFERENCE_V,
            4: power,
            5: energy * 3600 / (1638.4 * 256),
            6: 1_000_000 / 50,
        }
        return {name: (round(value) & 0xFFFFFF).to_bytes(3, "little") for name, value in values.items()}
