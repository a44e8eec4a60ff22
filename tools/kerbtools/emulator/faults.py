"""What a test or a demonstration does to a board: faults, wear and weather, one call each, and the energy ledger."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

from kerbtools import boards
from kerbtools.emulator.energy import Energy
from kerbtools.emulator.flash import Flash, Tear
from kerbtools.emulator.hardware import Hardware
from kerbtools.emulator.lamp_scene import LampScene
from kerbtools.emulator.line_noise import LineNoise
from kerbtools.emulator.parts import Lis3dh, Part
from kerbtools.emulator.scene import BinScene
from kerbtools.emulator.world import FOREVER, World

Request = Literal["pin", "power", "brownout"]


class Faults(ABC):
    """The part of `Board` that acts on its hardware and surroundings. Each call holds until it is undone.

    Parts go by the names that board.toml gives them: "distance", "light", "meter", "relay" and so on, and "luminaire".
    """

    world: World
    facts: boards.Board
    flash: Flash
    hardware: Hardware
    scene: BinScene | LampScene
    name: str

    def brown_out(self, *, at_write: int | None = None, tear: Tear = "all") -> None:
        """Let the voltage fall too low for a moment, now or at the n-th flash write from now: the board starts again.

        Both ports report it as power-up, and no memory survives it.
        """
        if at_write is not None:
            self.flash.cut_at(at_write, tear, comes_back=True)
        elif not self._ask("brownout"):
            raise RuntimeError(f"{self.name} is off: start it before a brown-out")

    def break_part(self, slot: str, fault: str | None) -> None:
        """Give a part one of its FAULTS ("stuck", "silent", ...), or None: it works again. ValueError names them."""
        self.part(slot).fault = fault
        self.hardware.pins.refresh()

    def remove_part(self, slot: str) -> None:
        """Take a part off its pins or bus: nothing answers there."""
        self.part(slot).present = False
        self.hardware.pins.refresh()

    def fit_part(self, slot: str) -> None:
        """Put a removed part back."""
        self.part(slot).present = True
        self.hardware.pins.refresh()

    def part(self, slot: str) -> Part:
        """The part at an entry of board.toml. ValueError names those that there are."""
        found = self.hardware.parts.get(slot)
        if found is None:
            known = ", ".join(sorted(self.hardware.parts))
            raise ValueError(f"{self.name} has no {slot!r}; it has: {known}")
        return found

    def make_noisy(self, line: str, per_byte: float) -> None:
        """Spoil bytes both ways on a UART: "link", or the entry of a part. per_byte: share of them; 0: a clean line."""
        uart = self.facts.link["uart"] if line == "link" else self._uart_of(line)
        self.hardware.noise.pop(uart, None)
        if per_byte:
            self.hardware.noise[uart] = LineNoise(f"{self.world.seed}/{self.name}/noise/{line}", per_byte)

    def shift_clock(self, seconds: float) -> None:
        """Move the board's own clock (RTC) by so many seconds; the world's time stays."""
        self.hardware.clock_offset_us += round(seconds * 1_000_000)

    def drain_battery(self, to_v: float) -> None:
        """Let the cells have so many volts from now on, less what time and cold take."""
        if not isinstance(self.scene, BinScene):
            raise ValueError(f"{self.name} has no battery")
        self.scene.lost_v += self.scene.truth(self.world.now_us()).battery_v - to_v

    def deafen_radio(self, deaf: bool = True) -> None:
        """The radio hears and reaches nobody, and does not know it; undone with False."""
        self.hardware.station.deaf = deaf

    def drive_pin(self, number: int, level: int | None, *, for_s: float | None = None) -> None:
        """Hold a pin at 0 or 1 from outside, whatever is wired to it, for good or for so many seconds; None lets go.

        It interrupts and wakes the board as the level of a part would.
        """
        now_us = self.world.now_us()
        self.hardware.pins.drive(number, level, now_us, FOREVER if for_s is None else now_us + int(for_s * 1_000_000))
        self.hardware.nudge()

    def tilt(self, degrees: float) -> None:
        """Tilt a bin; an accelerometer's interrupt pin may wake the board."""
        if not isinstance(self.scene, BinScene):
            raise ValueError(f"{self.name} is no bin")
        scene = self.scene

        def tilt(part: Lis3dh | None, now_us: int) -> None:
            scene.tilt_degrees = degrees
            if part is not None:
                part.moved(now_us)

        self._shake(tilt)

    def knock(self, mg: int = 1500) -> None:
        """A blow at a bin from the side, in thousandths of g; an accelerometer's interrupt pin may wake the board."""
        self._shake(lambda part, now_us: part.knock(mg, now_us) if part is not None else None)

    def _shake(self, act: Callable[[Lis3dh | None, int], None]) -> None:
        now_us = self.world.now_us()
        found = self.hardware.parts.get("tilt")
        part = found if isinstance(found, Lis3dh) else None
        before = part.level(now_us) if part is not None else 0
        act(part, now_us)
        if part is not None:
            self.hardware.pins.changed(part, before, now_us)
            self.hardware.nudge()

    def energy(self) -> Energy:
        """What the board has drawn since it was made, by cause. Exact while the world stands still."""
        now_us = self.world.now_us()
        if self.hardware.wired.lora is not None:
            self.hardware.wired.lora.settle(now_us)
        return self.hardware.ledger.sum(now_us)

    def _uart_of(self, slot: str) -> int:
        part = self.part(slot)
        found = [uart for uart, device in self.hardware.wired.uarts.items() if id(device) == id(part)]
        if found:
            return found[0]
        raise ValueError(f"the {slot} of {self.name} is on no UART")

    @abstractmethod
    def _ask(self, request: Request) -> bool: ...
