"""The street: a world with emulated bins and lamps, their gateway, the council's broker; and the verdict on it all."""

import math
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from kerbtools.demo.broker import Broker, open_broker
from kerbtools.demo.council import Council
from kerbtools.demo.gateway import SETTLEMENT, GatewayProcess
from kerbtools.demo.lamps import Lamps, addresses
from kerbtools.demo.ledger import Ledger, Verdict, count_by_node
from kerbtools.demo.links import Ground, open_links
from kerbtools.emulator import Board, Identity, World
from kerbtools.emulator.world import START_UTC

SITE = "demo"
BINS = ((417, "esp32_c3"), (418, "pico_w"), (2290, "esp32_c3"))
CONFIG = {"heat_s": 0}  # a look at the temperature every two minutes would be a process each
SPEED = 20 * 3600.0  # virtual seconds a real second, at most, while all boards sleep
WALK_SPEED = 40.0  # the same, while somebody is to be watched: 35 m in less than a second
FLIGHT_S = 0.5  # real seconds to the next one, at least
_LOOK_S = 0.1


class Street:
    """Everything that the demo runs, in one temporary folder. A context manager: it leaves nothing behind.

    link: how nodes reach the gateway, by a name of kerbtools.demo.links; lamps have a line of their own beside it.
    lamps: how many, in a row. start_utc: of the world.
    """

    def __init__(
        self,
        seed: int,
        speed: float | None = SPEED,
        broker: str = "auto",
        lamps: int = 0,
        start_utc: int = START_UTC,
        config: Mapping[str, int] = CONFIG,
        link: str = "serial",
    ):
        self._scratch = TemporaryDirectory(prefix="kerb-demo-")
        folder = Path(self._scratch.name)
        # A broker that gives up root must still pass through to its own folder; secrets lie in folders of mode 0700.
        folder.chmod(0o711)
        self.started = time.monotonic()
        self.ledger = Ledger(SITE)
        self.broker: Broker = open_broker(folder / "broker", broker)
        self.world = World(seed=seed, start_utc=start_utc, speed=speed)
        identities = [Identity(node=node, secret=secrets.token_bytes(16), site=SITE) for node, _ in BINS]
        ground = Ground(self.world, SITE, seed, folder / "links", self.broker)
        self.links = open_links(link, [node for node, _ in BINS], addresses(lamps), ground)
        bins = [self._bin(board, identity, config) for (_, board), identity in zip(BINS, identities, strict=True)]
        self.lamps = Lamps(self.world, SITE, lamps, self._on_line, options=self.links.options) if lamps else None
        columns = self.lamps.boards if self.lamps else []
        if self.lamps:
            identities += self.lamps.identities
            for identity, board in zip(self.lamps.identities, columns, strict=True):
                self.links.join(identity.node, board)
        self.boards = bins + columns
        self.nodes = {identity.node: board for identity, board in zip(identities, self.boards, strict=True)}
        inlets = self.links.inlets()
        if self.lamps and self.links.has_line:
            inlets.append(f"serial:{self.lamps.ether.path}?baud=115200")
        self.gateway = GatewayProcess(
            folder / "gateway",
            SITE,
            self.broker.port,
            self.world.clock_path,
            inlets,
            self.lamps.group_key if self.lamps else None,
            self.links.environment(),
        )
        for identity in identities:
            board = self.nodes[identity.node]
            self.gateway.add_node(identity.node, SITE, board.facts.name, identity.secret, board.role)
        self.council = Council(self.broker.council_port)
        self.settlement = Council(self.broker.council_port, SETTLEMENT, "settlement") if self.lamps else None

    def __enter__(self) -> Self:
        """Broker, council, gateway, then the nodes: so the first hello finds somebody."""
        try:
            self.broker.start()
            self.council.start()
            if self.settlement is not None:
                self.settlement.start()
            self.links.start()
            self.gateway.start()
            for board in self.boards:
                board.start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def pace_for_eyes(self) -> None:
        """Let somebody who walks along the street be watched, and the time between two of them fly."""
        if self.lamps is not None:
            self.world.speed = min(SPEED, max(WALK_SPEED, self.lamps.ahead_s() / FLIGHT_S))

    def virtual_hours(self) -> float:
        return (self.world.now() - self.world.start_utc) / 3600

    def check(self) -> None:
        """Raise what ended by itself: a board's thread, the gateway (GatewayFailed), the broker (BrokerError)."""
        for board in self.boards:
            if board.failure is not None:
                raise board.failure
        self.gateway.check()
        self.broker.check()
        self.links.check()

    def settle(self, taken: set[str], timeout_s: float, changed: Collection[str] = (), hours: float = math.inf) -> bool:
        """Wait until the council holds every one of these records and the settlement these level changes, or so many
        virtual hours have passed. The street lives on meanwhile. False: timeout_s of real time were over before."""
        deadline, end_hours = time.monotonic() + timeout_s, self.virtual_hours() + hours
        while (taken - self.council.record_ids() or self.unsettled(changed)) and self.virtual_hours() < end_hours:
            if time.monotonic() >= deadline:
                return False
            self.check()
            time.sleep(_LOOK_S)
        return True

    def unsettled(self, changed: Collection[str]) -> set[str]:
        """Which of these level changes the settlement does not hold."""
        return set(changed) - (self.settlement.record_ids() if self.settlement is not None else set())

    def verdict(self, taken: set[str]) -> Verdict:
        """The account of these records. Doubled counts ids that came in two documents, and indices taken twice."""
        arrived = taken & self.council.record_ids()
        return Verdict(
            taken=len(taken),
            committed=len(self.gateway.committed(taken)),
            council=len(arrived),
            lost=len(taken - arrived),
            doubled=len(self.council.doubled() | self.ledger.repeated()),
            council_by_node={node: count_by_node(arrived).get(node, 0) for node in self.nodes},
        )

    def _bin(self, name: str, identity: Identity, config: Mapping[str, int]) -> Board:
        options = dict(self.links.options(identity.node))
        name = options.pop("board", name)
        on_line = self._on_line(identity.node)
        board = Board(self.world, name, identity=identity, config=config, on_line=on_line, **options)
        self.links.join(identity.node, board)
        return board

    def _on_line(self, node: int) -> Callable[[Board, str], None]:
        def on_line(_board: Board, line: str) -> None:
            self.ledger.read_line(node, line)

        return on_line

    def _stop(self) -> None:
        # The gateway first: it must not find its ports gone. One end that fails does not keep the others.
        with ExitStack() as ends:
            for end in (
                self._scratch.cleanup, self.broker.stop, self.council.stop, self.links.stop, self.world.stop,
                self.gateway.stop,
            ):  # fmt: skip
                ends.callback(end)
            if self.settlement is not None:
                ends.callback(self.settlement.stop)
