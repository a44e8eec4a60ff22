"""The demo's nodes on Wi-Fi: an access point in the street, and MQTT to the council's broker, as the gateway has it."""

import json
import random
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from kerbtools.demo.links import Ground, Misfortune, Wait, write_links
from kerbtools.emulator import Board

SSID = "street"
BROKER = "10.0.0.2"  # what nodes call this machine
AWAY_S = (0.1, 1.0)  # real seconds, hours of virtual time


class Link:
    note = "Wi-Fi, and MQTT to the council's broker"

    def __init__(self, ground: Ground, /) -> None:
        self._ground = ground
        self._password = secrets.token_hex(8)
        air = ground.world.air
        self._point = air.add_access_point(SSID, self._password)
        air.add_host(BROKER, ground.broker.port)
        self._boards: list[Board] = []
        self._random = random.Random(f"{ground.seed}/wifi")  # noqa: S311  repeatable on purpose

    def options(self, _node: int, /) -> Mapping[str, Any]:
        return {}

    def join(self, _node: int, board: Board, /) -> None:
        board.write_file("/node/wifi.json", json.dumps({"ssid": SSID, "password": self._password}).encode())
        write_links(board, f"mqtt://{BROKER}/{self._ground.site}")
        self._boards.append(board)

    def inlets(self) -> Sequence[str]:
        return [f"mqtt://127.0.0.1:{self._ground.broker.port}/{self._ground.site}"]

    def environment(self) -> Mapping[str, str]:
        return {}

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def check(self) -> None: ...

    def misfortunes(self) -> Sequence[Misfortune]:
        return [Misfortune("access_point_gone", self._lose_point), Misfortune("radio_deaf", self._deafen)]

    def _lose_point(self, wait: Wait) -> None:
        self._point.present = False
        wait(self._random.uniform(*AWAY_S))
        self._point.present = True

    def _deafen(self, wait: Wait) -> None:
        board = self._random.choice(self._boards)
        board.deafen_radio()
        wait(self._random.uniform(*AWAY_S))
        board.deafen_radio(False)
