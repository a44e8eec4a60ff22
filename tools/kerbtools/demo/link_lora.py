"""The demo's nodes on LoRa: one channel for the street, and the gateway's radio modem, an emulated board on USB."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from kerbtools.demo.links import Ground, Misfortune, Wait, write_links
from kerbtools.emulator import Board
from kerbtools.emulator.lora_air import LoraAir

LOSS = 0.1  # of packets, by chance, beside those that collide
SETTINGS = "868.1?sf=9&spread=20"
BOARD = "esp32_s3"  # of the boards that have a radio, the one that sleeps deeply
AWAY_S = (0.1, 1.0)  # real seconds, hours of virtual time


class Link:
    note = "LoRa at 868.1 MHz, SF9, to a radio modem on the gateway's USB"

    def __init__(self, ground: Ground, /) -> None:
        self.air = LoraAir(ground.world, loss=LOSS)
        self.modem = Board(ground.world, "pico_w", "modem", name="modem", lora=self.air)
        self._path = self.modem.usb_path
        self._random = random.Random(f"{ground.seed}/lora")  # noqa: S311  repeatable on purpose

    def options(self, _node: int, /) -> Mapping[str, Any]:
        place_m = self._random.uniform(-400, 400), self._random.uniform(-400, 400)
        return {"board": BOARD, "lora": self.air, "place_m": place_m}

    def join(self, _node: int, board: Board, /) -> None:
        write_links(board, f"lora:{SETTINGS}")

    def inlets(self) -> Sequence[str]:
        return [f"lora:{self._path}?mhz=868.1&sf=9"]

    def environment(self) -> Mapping[str, str]:
        return {}

    def start(self) -> None:
        self.modem.start()

    def stop(self) -> None:
        self.modem.stop()

    def check(self) -> None:
        if self.modem.failure is not None:
            raise self.modem.failure

    def misfortunes(self) -> Sequence[Misfortune]:
        return [Misfortune("modem_unplugged", self._unplug), Misfortune("modem_deaf", self._deafen)]

    def _unplug(self, wait: Wait) -> None:
        self.modem.cut_power()
        wait(self._random.uniform(*AWAY_S))
        self.modem.restore_power()

    def _deafen(self, wait: Wait) -> None:
        self.modem.break_part("lora", "deaf")
        wait(self._random.uniform(*AWAY_S))
        self.modem.break_part("lora", None)
