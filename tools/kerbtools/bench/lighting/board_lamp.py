"""A lamp of the street's bench on an emulated board: real MicroPython and flash image, and what its driver is told."""

from collections.abc import Callable, Mapping
from typing import Any

from kerbtools.demo.lamps import WIRING
from kerbtools.emulator import Board, Ether, Identity, World
from kerbtools.emulator.lamp_scene import LampScene


class BoardLamp:
    """One board, with what kerbtools.bench.native.NativeLamp offers. shown: (us, percent) as the 0-10 V line told it.

    lux: daylight in the place of the scene's. files: by path, beside its bundle.
    """

    def __init__(
        self, world: World, ether: Ether, node: int, secret: bytes, scene: LampScene, config: Mapping[str, Any],
        files: Mapping[str, bytes], lux: Callable[[], int],
    ) -> None:  # fmt: skip
        self.shown: list[tuple[int, int]] = []
        self.lines: list[tuple[float, str]] = []
        self._world = world
        scene.daylight_lux = lambda now_us: float(lux())  # type: ignore[method-assign]
        self.board = Board(
            world, "emulated", "lamp", identity=Identity(node=node, secret=secret, site="street"), config=config,
            scene=scene, on_line=self._say, wiring=WIRING, ether=ether,
        )  # fmt: skip
        for path, data in files.items():
            self.board.write_file(path, data)
        self._percent = 100  # an open input is full light
        luminaire = self.board.hardware.wired.luminaire
        assert luminaire is not None
        luminaire.on_level = self._show

    def start(self) -> None:
        self.board.start()

    @property
    def failure(self) -> BaseException | None:
        return self.board.failure

    @property
    def starts(self) -> int:
        """More than one: it was reset on the way."""
        return self.board.starts

    def _say(self, board: Board, line: str) -> None:
        self.lines.append((self._world.now() - self._world.start_utc, line))

    def _show(self, level: float, now_us: int) -> None:
        percent = round(100 * level)
        if percent != self._percent:
            self._percent = percent
            self.shown.append((now_us, percent))
