"""The demo's bins on a cable each: a UART at the node, a pty at the gateway."""

from collections.abc import Mapping, Sequence
from typing import Any

from kerbtools.demo.links import Ground, Misfortune
from kerbtools.emulator import Board


class Link:
    note = "a cable to the gateway each"

    def __init__(self, _ground: Ground, /) -> None:
        self._boards: list[Board] = []

    def options(self, _node: int, /) -> Mapping[str, Any]:
        return {}

    def join(self, _node: int, board: Board, /) -> None:
        self._boards.append(board)  # no links.json: a node without one has its UART

    def inlets(self) -> Sequence[str]:
        return [f"serial:{board.link_path}?baud=115200" for board in self._boards]

    def environment(self) -> Mapping[str, str]:
        return {}

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def check(self) -> None: ...

    def misfortunes(self) -> Sequence[Misfortune]:
        return []
