"""The demo's lamps: a row of columns on one shared line, people who walk along it, and its picture for a terminal."""

import random
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from kerbtools.emulator import Board, Ether, Identity, World
from kerbtools.emulator.street_scene import SPACING_M, ColumnScene, Walker
from kerbwire import cbor
from kerbwire.group import MAX_SENDERS
from kerbwire.seal import SECRET_SIZE

FIRST_ADDRESS = 801
FIRST_MEMBER = 2  # the gateway is member 1
SCOPE = 7  # the street's number in group messages
BOARD = "emulated"
# Parts that end a wait by themselves: a radar on a UART would be asked ten times a second, a process each time.
WIRING = {
    "presence": {"driver": "level", "pin": 14, "active": 1},
    "dimmer": {"driver": "pwm", "pin": 10, "frequency_hz": 500, "full_light_duty": 0},
}
CONFIG = {
    "look_s": 60,
    "spread_s": 60,
    "ramp_down_ms": 2000,
    "latitude": 0,
    "longitude": 0,
    "dusk_sun": 0,
    "dawn_sun": 0,
}
PEOPLE_AN_HOUR = 6
WALK_MPS, CYCLE_MPS = 1.4, 5.0
DAYS = 30  # for which there are people; a demo that runs on sees none any more
FAR_S = 1e6
DIM = 0.15  # a driver that is told 0 % shines a little until its relay opens
_CELL = 9  # characters from column to column
_LIGHTS = (" ", "░", "▒", "▓", "█")


class Lamps:
    """`count` lamps in a row. on_line: of each, by its address. walkers: None for some at random. options: of a lamp's
    board, by its address, for the link that it has beside the line."""

    def __init__(
        self,
        world: World,
        site: str,
        count: int,
        on_line: Callable[[int], Callable[[Board, str], None]],
        walkers: Sequence[Walker] | None = None,
        options: Callable[[int], Mapping[str, Any]] = lambda node: {},
    ) -> None:
        self._world = world
        self.ether = Ether(world)
        start_us = world.start_utc * 1_000_000
        self._walkers = list(_walkers(world.seed, start_us, count)) if walkers is None else list(walkers)
        self._options = options
        self._secret = secrets.token_bytes(SECRET_SIZE)
        self.identities = [
            Identity(node=node, secret=secrets.token_bytes(SECRET_SIZE), site=site) for node in addresses(count)
        ]
        self.boards = [
            self._column(place, identity, count, on_line(identity.node))
            for place, identity in enumerate(self.identities)
        ]

    @property
    def group_key(self) -> bytes:
        """What the gateway keeps as group.key: the epoch and the secret."""
        return b"\x00" + self._secret

    def _column(self, place: int, identity: Identity, count: int, on_line: Callable[[Board, str], None]) -> Board:
        seed, start_us = f"{self._world.seed}/column/{place}", self._world.start_utc * 1_000_000
        scene = ColumnScene(seed, start_us, place * SPACING_M, self._walkers)
        options = {name: value for name, value in self._options(identity.node).items() if name != "board"}
        board = Board(
            self._world, BOARD, "lamp", identity=identity, config=CONFIG, scene=scene, on_line=on_line, wiring=WIRING,
            ether=self.ether, **options,
        )  # fmt: skip
        board.write_file("/node/street.cbor", street_file(self._secret, FIRST_MEMBER + place, count))
        return board

    def ahead_s(self) -> float:
        """Virtual seconds until somebody comes into the street while it is lit; 0: somebody is there."""
        now_us, length_m = self._world.now_us(), (len(self.boards) - 1) * SPACING_M
        if not any(self._light(board, now_us) > DIM for board in self.boards):
            return FAR_S
        if any(-SPACING_M <= walker.x_m(now_us) <= length_m + SPACING_M for walker in self._walkers):
            return 0.0
        coming = (min(walker.at_us(-SPACING_M), walker.at_us(length_m + SPACING_M)) for walker in self._walkers)
        return min((at_us - now_us for at_us in coming if at_us > now_us), default=now_us) / 1_000_000

    @staticmethod
    def _light(board: Board, now_us: int) -> float:
        """Light as a share of full."""
        luminaire = board.hardware.wired.luminaire
        return 0.0 if luminaire is None else luminaire.light(now_us)

    def picture(self) -> Text:
        """The street from the side: light by column, and who walks below."""
        now_us = self._world.now_us()
        light, levels = "", ""
        width = _CELL * len(self.boards)
        for board in self.boards:
            share = self._light(board, now_us)
            light += (_LIGHTS[round(share * (len(_LIGHTS) - 1))] * (_CELL - 2)).center(_CELL)
            levels += f"{round(100 * share)} %".center(_CELL)
        ground = ["·"] * width
        for walker in self._walkers:
            at = round((walker.x_m(now_us) / SPACING_M + 0.5) * _CELL)
            if 0 <= at < width:
                ground[at] = "o" if abs(walker.speed_mps) < CYCLE_MPS else "%"
        return Text.assemble((light + "\n", "yellow"), levels + "\n", ("".join(ground), "bold"))


def addresses(count: int) -> list[int]:
    """Of so many lamps."""
    return [FIRST_ADDRESS + place for place in range(count)]


def street_file(secret: bytes, member: int, count: int, scope: int = SCOPE, epoch: int = 0) -> bytes:
    """/node/street.cbor of one of `count` lamps in a row, whose members are numbered from FIRST_MEMBER on."""
    reach = MAX_SENDERS // 8
    below = [other for other in range(member - 1, member - 1 - reach, -1) if other >= FIRST_MEMBER]
    above = [other for other in range(member + 1, member + 1 + reach) if other < FIRST_MEMBER + count]
    return cbor.encode({1: secret, 2: epoch, 3: member, 4: scope, 5: below, 6: above})


def _walkers(seed: int, start_us: int, count: int) -> Iterator[Walker]:
    """People from either end, at random."""
    own = random.Random(f"{seed}/people")  # noqa: S311  a scene
    length_m = (count - 1) * SPACING_M
    at_s = 0.0
    while at_s < DAYS * 86400:
        at_s += own.expovariate(PEOPLE_AN_HOUR / 3600)
        speed = own.choice((WALK_MPS, WALK_MPS, CYCLE_MPS)) * own.choice((1, -1))
        enters_s = at_s if speed > 0 else at_s - length_m / speed
        yield Walker(start_us + round(enters_s * 1_000_000), speed)
