"""Seeded misfortune: nodes reset and cut off from power, gateway and broker killed, links cut, at random moments."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from kerbtools.demo.links import Misfortune
from kerbtools.demo.street import Street

PAUSE_S = (0.8, 2.5)  # real seconds between two misfortunes
GATEWAY_DOWN_S = (0.05, 0.8)
BROKER_DOWN_S = (0.2, 1.2)
NODE_DOWN_S = (0.0, 0.3)


@dataclass
class Tally:
    """What was done so far."""

    node_resets: int = 0
    power_cuts: int = 0
    gateway_kills: int = 0
    broker_cuts: int = 0
    links: dict[str, int] = field(default_factory=dict[str, int])  # by the name of a link's own misfortune


class Chaos:
    """A thread that does one misfortune after another until stop(); the street is whole again when stop() returns."""

    def __init__(self, street: Street, seed: int):
        self.tally = Tally()
        self.failure: BaseException | None = None
        self._street = street
        self._random = random.Random(f"chaos{seed}")  # noqa: S311  repeatable on purpose
        self._over = threading.Event()
        deeds = (self._reset, self._reset, self._cut_power, self._kill_gateway, self._cut_broker)
        self._deeds: list[Callable[[], None]] = [*deeds, *map(self._on_link, street.links.misfortunes())]
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(60)
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._over.wait(self._random.uniform(*PAUSE_S)):
                self._random.choice(self._deeds)()
        except Exception as error:  # the thread's edge: told by stop()
            self.failure = error

    def _on_link(self, misfortune: Misfortune) -> Callable[[], None]:
        self.tally.links[misfortune.name] = 0

        def do() -> None:
            misfortune.do(self._over.wait)
            self.tally.links[misfortune.name] += 1

        return do

    def _reset(self) -> None:
        self._random.choice(self._street.boards).reset()
        self.tally.node_resets += 1

    def _cut_power(self) -> None:
        board = self._random.choice(self._street.boards)
        board.cut_power()
        self._over.wait(self._random.uniform(*NODE_DOWN_S))
        board.restore_power()
        self.tally.power_cuts += 1

    def _kill_gateway(self) -> None:
        self._street.gateway.kill()
        self._over.wait(self._random.uniform(*GATEWAY_DOWN_S))
        self._street.gateway.start()
        self.tally.gateway_kills += 1

    def _cut_broker(self) -> None:
        self._street.broker.cut(self._random.uniform(*BROKER_DOWN_S))
        self.tally.broker_cuts += 1
