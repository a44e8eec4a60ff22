"""The demo's bins over Bluetooth Low Energy: a virtual radio in the air, bleak in the gateway."""

from collections.abc import Mapping, Sequence
from typing import Any

from kerbtools.demo.links import Ground, Misfortune, Wait, write_links
from kerbtools.emulator import Board
from kerbtools.emulator.ble_air import BleAir

UNPLUGGED_S = 0.8  # of real time
LOSS, LOSS_S = 0.3, 1.5  # a share of the fragments, for so long


class Link:
    note = "Bluetooth Low Energy on a virtual radio, by bleak and bumble"

    def __init__(self, ground: Ground, /) -> None:
        self._air = BleAir(ground.world)  # stops with the world
        self._site = ground.site

    def options(self, _node: int, /) -> Mapping[str, Any]:
        return {}

    def join(self, _node: int, board: Board, /) -> None:
        write_links(board, "ble:")

    def inlets(self) -> Sequence[str]:
        return [f"{self._air.url}&site={self._site}"]

    def environment(self) -> Mapping[str, str]:
        return {}

    def start(self) -> None: ...

    def stop(self) -> None:
        self._air.stop()

    def check(self) -> None: ...

    def misfortunes(self) -> Sequence[Misfortune]:
        return [
            Misfortune("ble_disconnects", lambda wait: self._break()),
            Misfortune("ble_adapter_unplugged", self._unplug),
            Misfortune("ble_fragments_lost", self._lose),
        ]

    def _break(self) -> None:
        self._air.break_connections()

    def _unplug(self, wait: Wait) -> None:
        self._air.unplug()
        wait(UNPLUGGED_S)
        self._air.plug()

    def _lose(self, wait: Wait) -> None:
        self._air.loss = LOSS
        wait(LOSS_S)
        self._air.loss = 0.0
