"""The energy ledger of a board: charge by cause, from the currents in its board.toml."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

# CPU time of a board = CPU time of the unix port on this host, times this. Measured for an RP2040 at 125 MHz against
# this project's reference loop (160 for plain code); an ESP32-C3 at 160 MHz is taken as the same.
CPU_FACTOR = 160
# CPU time of the interpreter for one call to the host, which no board spends: 7 us in a loop, more between other work.
CALL_CPU_S = 16e-6

_UAH = 3_600_000_000  # microampere-microseconds in a microampere-hour


@dataclass(frozen=True, slots=True)
class Energy:
    """Charge in microampere-hours by cause, and time in seconds by state of the chip.

    Causes: "active", "lightsleep", "deepsleep", "off"; "part:SLOT" and "standby:SLOT" of each part; "radio_rx" while
    Wi-Fi or Bluetooth is on, "radio_tx" while it sends and "radio_idle" while its chip has power and does neither, in
    sleep too: all above the chip's own. These follow from virtual time alone.
    `computing_uah` is an estimate: computing takes no virtual time, so it is the CPU time that the interpreter took on
    this host, times CPU_FACTOR, at the active current. It varies from run to run, and is part of no cause.
    """

    charge_uah: Mapping[str, float]
    seconds: Mapping[str, float]
    computing_s: float
    computing_uah: float

    @property
    def total_uah(self) -> float:
        """All causes, and the estimate for computing."""
        return sum(self.charge_uah.values()) + self.computing_uah


class Ledger:
    """Book-keeping in the board's thread. currents: microampere by cause; what it does not name draws nothing."""

    def __init__(self, currents: Mapping[str, int]) -> None:
        self._currents = currents
        self._state = "off"
        self._since_us: int | None = None
        self._running: dict[str, tuple[str, int]] = {}  # what draws: (cause now, since)
        self._charge: dict[str, float] = {}
        self._time_us: dict[str, int] = {}
        self._cpu_s = 0.0

    def enter(self, state: str, now_us: int) -> None:
        """The chip is in `state` from now on: "active", "lightsleep", "deepsleep" or "off"."""
        self._book_state(now_us)
        self._state = state
        if state == "off":
            for name in list(self._running):
                self.stop(name, now_us)

    def run(self, name: str, cause: str, now_us: int) -> None:
        """From now on `name` draws the current of `cause`; it may have drawn another's until now."""
        self.stop(name, now_us)
        self._running[name] = cause, now_us

    def stop(self, name: str, now_us: int) -> None:
        running = self._running.pop(name, None)
        if running is not None:
            self.book(running[0], now_us - running[1])

    def draw_ua(self) -> int:
        """What all that runs draws together, now."""
        causes = [self._state, *(cause for cause, _ in self._running.values())]
        return sum(self._currents.get(cause, 0) for cause in causes)

    def book(self, cause: str, us: int) -> None:
        """Add so many microseconds of a cause."""
        self._charge[cause] = self._charge.get(cause, 0.0) + self._currents.get(cause, 0) * max(0, us)

    def computed(self, seconds: float, calls: int) -> None:
        """Add CPU seconds of the interpreter on this host, less what its calls to the host take."""
        self._cpu_s += max(0.0, seconds - calls * CALL_CPU_S)

    def sum(self, now_us: int) -> Energy:
        """The ledger up to now."""
        self._book_state(now_us)
        for name, (cause, _) in list(self._running.items()):
            self.run(name, cause, now_us)
        computing_s = self._cpu_s * CPU_FACTOR
        return Energy(
            charge_uah={cause: charge / _UAH for cause, charge in sorted(self._charge.items())},
            seconds={state: us / 1e6 for state, us in sorted(self._time_us.items())},
            computing_s=computing_s,
            computing_uah=computing_s * 1e6 * self._currents.get("active", 0) / _UAH,
        )

    def _book_state(self, now_us: int) -> None:
        if self._since_us is not None:
            us = max(0, now_us - self._since_us)
            self.book(self._state, us)
            self._time_us[self._state] = self._time_us.get(self._state, 0) + us
        self._since_us = now_us


def cpu_seconds(pid: int) -> float:
    """CPU time of another process so far; 0 where the system does not tell, or the process is gone."""
    # Linux: the clock of a process is the complement of its number, shifted by three, and the scheduler's clock.
    with contextlib.suppress(OSError, AttributeError, OverflowError):
        return time.clock_gettime(~pid << 3 | 2)
    return 0.0
