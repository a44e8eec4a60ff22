"""The VL53L1X time-of-flight ranger on I2C."""

from collections.abc import Callable

from kerbtools.emulator.parts.echo import COVERS, Echo
from kerbtools.emulator.parts.part import Part
from kerbtools.emulator.scene import Truth

_STATUS, _CLEAR, _START, _RESULT, _BOOTED, _IDENTITY = 0x31, 0x86, 0x87, 0x89, 0xE5, 0x10F
# What has to be set before it ranges as the data sheet says: pulse periods of the long distance mode, the sequence of
# steps, and that a new sample raises its interrupt.
_NEEDED = {0x60: 0x0F, 0x63: 0x0D, 0x69: 0xB8, 0x81: 0x9B, 0x46: 0x20}
_GOOD, _SIGMA, _SIGNAL, _TOO_NEAR, _TOO_FAR, _WRAPPED, _HARDWARE = 9, 6, 4, 8, 5, 7, 3

_STATUSES = {"sigma": _SIGMA, "signal": _SIGNAL, "wrapped": _WRAPPED, "hardware": _HARDWARE}


class Vl53l1x(Part):
    """Registers with 16-bit addresses (data sheet DS12385; status codes of UM2510), a result each 100 ms.

    Models: identity, boot, the settings without which it does not range, start and stop, the interrupt and its
    clearing, status and range of a result. Not: regions of interest, other modes, thresholds. What covers its window
    sends light back at once: a short range, or one nearer than it can tell. Faults "sigma", "signal", "wrapped" and
    "hardware" are its own statuses; of "stuck" no result comes; of "brown_out" it keeps nothing that it is told.
    """

    FAULTS = ("stuck", "wrong_id", "sigma", "signal", "wrapped", "hardware", "brown_out", *COVERS)
    BOOT_US = 1_200
    RESULT_US = 100_000
    NEAREST_MM, FARTHEST_MM = 40, 4000

    def __init__(self, seed: str, truth: Callable[[int], Truth], address: int = 0x29) -> None:
        super().__init__()
        self.address = address
        self._echo = Echo(seed, truth)
        self._registers: dict[int, int] = {}
        self._pointer = 0
        self._powered_us: int | None = None
        self._started_us: int | None = None
        self._taken = 0  # results that were cleared, or came while ranging stood

    def begin(self, now_us: int) -> None:
        self.draws(self._started_us is not None, now_us)

    def power(self, on: bool, now_us: int) -> None:
        """Its shutdown pin: what it was told is forgotten while it is low."""
        if not on:
            self._powered_us = self._started_us = None
            self._registers.clear()
        elif self._powered_us is None:
            self._powered_us = now_us
        self.draws(self._started_us is not None, now_us)

    def write(self, data: bytes, now_us: int) -> int:
        self._refuse_without_power(now_us)
        self._pointer = int.from_bytes(data[:2], "big")
        for value in data[2:]:
            if self.fault != "brown_out":
                self._store(self._pointer, value, now_us)
            self._pointer += 1
        return len(data)

    def read(self, count: int, now_us: int) -> bytes:
        self._refuse_without_power(now_us)
        data = bytes(self._fetch(self._pointer + at, now_us) for at in range(count))
        self._pointer += count
        return data

    def _refuse_without_power(self, now_us: int) -> None:
        if self._powered_us is None:
            raise OSError(19, f"nothing acknowledges address {self.address:#x}")

    def _store(self, register: int, value: int, now_us: int) -> None:
        self._registers[register] = value
        if register == _CLEAR and value & 1:
            self._taken = self._results(now_us)
        elif register == _START:
            self._started_us = now_us if value & 0x40 else None
            self._taken = 0
            self.draws(self._started_us is not None, now_us)

    def _fetch(self, register: int, now_us: int) -> int:
        if register in (_IDENTITY, _IDENTITY + 1):
            return (0xEA, 0xCC)[register - _IDENTITY] ^ (0x10 if self.fault == "wrong_id" else 0)
        if register == _BOOTED:
            return int(self._powered_us is not None and now_us >= self._powered_us + self.BOOT_US) | 2
        if register == _STATUS:
            return 2 | int(self._results(now_us) > self._taken)
        if _RESULT <= register < _RESULT + 17:
            return self._result(now_us)[register - _RESULT]
        return self._registers.get(register, 0)

    def _results(self, now_us: int) -> int:
        """How many results there were since it started."""
        set_up = all(self._registers.get(register) == value for register, value in _NEEDED.items())
        if self._started_us is None or not set_up or self.fault == "stuck":
            return 0
        return (now_us - self._started_us) // self.RESULT_US

    def _result(self, now_us: int) -> bytes:
        count = self._results(now_us)
        at_us = (self._started_us or 0) + count * self.RESULT_US
        status, range_mm = self._seen(at_us)
        data = bytearray(17)
        data[0] = status
        data[13:15] = range_mm.to_bytes(2, "big")
        return bytes(data)

    def _seen(self, at_us: int) -> tuple[int, int]:
        own_status = {"sigma": _SIGMA, "signal": _SIGNAL, "wrapped": _WRAPPED, "hardware": _HARDWARE}.get(
            self.fault or ""
        )
        true_mm, own = self._echo.at(at_us, self.fault)
        if own_status is not None:
            return own_status, own.randrange(4000)
        if true_mm is None:
            return _SIGNAL, own.randrange(4000)
        if true_mm > self.FARTHEST_MM:
            return _TOO_FAR, 0
        if true_mm < self.NEAREST_MM:
            return _TOO_NEAR, max(0, round(true_mm))
        return _GOOD, round(true_mm + own.gauss(0.0, 3.0))
