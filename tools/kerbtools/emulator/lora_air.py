"""The air between LoRa radios: who hears a packet, how loud, and what becomes of two at once.

Nothing here waits: a packet is put on the air with its moments, and a receiver asks, at its end or before, what it has
heard of it. Loudness falls with distance as in a street (log-distance, exponent 2.9, 40 dB at 1 m, each pair of places
with a shadow of its own, 4 dB): plausible, not measured. Thermal noise in 125 kHz, noise figure 6 dB.
"""

import math
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from kerbtools.emulator.world import World
from kerbwire.lora import BANDWIDTH_HZ, PREAMBLE, air_us

NOISE_DBM = -174 + 10 * math.log10(BANDWIDTH_HZ) + 6
LEAST_SNR_DB = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}  # SX1261/2 data sheet, table 6-1
CAPTURE_DB = 6.0  # louder than another of the same spreading factor, a packet lives: Bor and others, LoRaSim (2016)
REJECTION_DB = -16.0  # of another spreading factor: Croce and others, 2018
LOCK_SYMBOLS = 5  # of the preamble that a receiver has to hear
HEADER_SYMBOLS = 8
SPOILT_SHARE = 0.25  # of what chance takes: heard with an error; the rest is not heard at all
KEPT_US = 60_000_000  # a packet is kept so long after its end

Verdict = Literal["heard", "spoilt", "missed"]


class Antenna(Protocol):
    """A radio, as the air knows it."""

    name: str
    place_m: tuple[float, float]

    def air_changed(self) -> None:
        """Somebody began to send. Any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Packet:
    """On the air. Moments in microseconds; lock_us: when a receiver must listen at the latest; header_us: its end."""

    number: int
    sender: Antenna
    data: bytes
    khz: int
    factor: int
    power_dbm: int
    start_us: int
    lock_us: int
    header_us: int
    end_us: int


@dataclass(slots=True)
class Tally:
    """What happened on the air so far. air_ms: sent by all together."""

    packets: int = 0
    collided: int = 0
    air_ms: float = 0.0


class LoraAir:
    """loss: share of packets that a receiver misses by chance. seed: of that chance and of the shadows."""

    def __init__(self, world: World, *, loss: float = 0.0, seed: str = "lora") -> None:
        self.world = world
        self.loss = loss
        self.tally = Tally()
        self.sent_us: dict[str, int] = {}
        self._seed = f"{world.seed}/{seed}"
        self._antennas: list[Antenna] = []
        self._packets: list[Packet] = []
        self._lock = threading.Lock()
        self._shadows: dict[tuple[str, str], float] = {}
        self._chances: dict[tuple[int, str], Verdict] = {}  # what chance does to a packet at a receiver

    def join(self, antenna: Antenna) -> None:
        with self._lock:
            self._antennas.append(antenna)

    def send(self, sender: Antenna, data: bytes, khz: int, factor: int, power_dbm: int, now_us: int) -> Packet:
        """From now on this is on the air; returns it, with its end."""
        symbol_us = (1_000_000 << factor) // BANDWIDTH_HZ
        lock_us = now_us + (PREAMBLE - LOCK_SYMBOLS) * symbol_us
        header_us = now_us + int((PREAMBLE + 4.25 + HEADER_SYMBOLS) * symbol_us)
        took_us = air_us(len(data), factor)
        with self._lock:
            self.tally.packets += 1
            self.tally.air_ms += took_us / 1000
            self.sent_us[sender.name] = self.sent_us.get(sender.name, 0) + took_us
            packet = Packet(
                self.tally.packets, sender, data, khz, factor, power_dbm, now_us, lock_us, header_us, now_us + took_us
            )
            if any(one.end_us + KEPT_US <= now_us for one in self._packets):
                self._packets = [one for one in self._packets if one.end_us + KEPT_US > now_us]
                self._chances.clear()
            if any(self._clash(packet, one) for one in self._packets):
                self.tally.collided += 1
            self._packets.append(packet)
            others = [antenna for antenna in self._antennas if antenna is not sender]
        for antenna in others:
            antenna.air_changed()
        return packet

    def on(self, khz: int, factor: int, after_us: int) -> Iterator[Packet]:
        """Packets of this kind that end after that moment, by their ends."""
        with self._lock:
            found = [p for p in self._packets if p.khz == khz and p.factor == factor and p.end_us > after_us]
        return iter(sorted(found, key=lambda packet: packet.end_us))

    def level(self, packet: Packet, at: Antenna) -> float:
        """dBm at an antenna."""
        (x, y), (u, v) = packet.sender.place_m, at.place_m
        distance_m = max(1.0, math.hypot(x - u, y - v))
        pair = min(packet.sender.name, at.name), max(packet.sender.name, at.name)
        if pair not in self._shadows:
            self._shadows[pair] = random.Random(f"{self._seed}/{'/'.join(pair)}").gauss(0, 4)  # noqa: S311  a scene
        return packet.power_dbm - 40 - 29 * math.log10(distance_m) - self._shadows[pair]

    def _chance(self, packet: Packet, at: Antenna) -> Verdict:
        key = packet.number, at.name
        if key not in self._chances:
            chance = random.Random(f"{self._seed}/{packet.number}/{at.name}")  # noqa: S311  a scene, not a secret
            lost = chance.random() < self.loss
            self._chances[key] = "heard" if not lost else "spoilt" if chance.random() < SPOILT_SHARE else "missed"
        return self._chances[key]

    def judge(self, packet: Packet, at: Antenna) -> tuple[Verdict, float, float]:
        """(what this receiver made of it, RSSI in dBm, SNR in dB), if it listened all the while."""
        level = self.level(packet, at)
        rssi, snr = level, level - NOISE_DBM
        if snr < LEAST_SNR_DB[packet.factor]:
            return "missed", rssi, snr
        chance = self._chance(packet, at)
        if chance != "heard":
            return chance, rssi, snr
        with self._lock:
            others = [one for one in self._packets if one is not packet and self._clash(packet, one)]
        for other in others:
            if other.sender is at:
                return "missed", rssi, snr  # it was talking itself
            its = self.level(other, at)
            if other.factor != packet.factor:
                if level - its < REJECTION_DB:
                    return "spoilt", rssi, snr
            elif level - its < CAPTURE_DB:
                starts_later = other.start_us > packet.header_us
                return ("spoilt" if starts_later else "missed"), rssi, snr
            elif other.start_us < packet.start_us > other.header_us and its - NOISE_DBM >= LEAST_SNR_DB[other.factor]:
                return "missed", rssi, snr  # it was busy with the other one
        return "heard", rssi, snr

    def is_busy(self, khz: int, factor: int, at: Antenna, from_us: int, until_us: int) -> bool:
        """Whether a search for symbols in this span finds any (channel activity detection)."""
        for packet in self.on(khz, factor, from_us):
            if packet.start_us >= until_us or packet.sender is at:
                continue
            if self.level(packet, at) - NOISE_DBM >= LEAST_SNR_DB[factor]:
                return True
        return False

    @staticmethod
    def _clash(one: Packet, other: Packet) -> bool:
        return one.khz == other.khz and one.start_us < other.end_us and other.start_us < one.end_us
