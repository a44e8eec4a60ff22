"""What the service looks at, once a second: plain figures of a running gateway, taken in its event loop."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerbgate.app import Gateway

INLET, OUTLET = "inlet", "outlet"


@dataclass(frozen=True, slots=True)
class Link:
    """An inlet or an outlet. times: how often it was connected. moved: frames heard, or documents that are done with.

    waiting: reports; letters are not counted here, since some are not due yet.
    """

    kind: str
    name: str
    connected: bool
    times: int
    moved: int
    error: str | None = None
    warning: str | None = None
    waiting: int = 0
    set_aside: int = 0

    @property
    def stuck(self) -> bool:
        """Something waits that could go: for a moment at each delivery, else for ever."""
        return self.connected and self.waiting > self.set_aside


@dataclass(frozen=True, slots=True)
class Facts:
    """writer_idle_s: since the writer's thread last came round; each second, usually. ended: tasks that are no more."""

    writer_alive: bool
    writer_idle_s: float
    failing: str | None
    synchronised: bool
    stepped_s_ago: float | None
    links: tuple[Link, ...]
    ended: tuple[str, ...]
    failures: Mapping[str, tuple[int, str | None]]
    refused: Mapping[str, int]
    unserved: str | None = None


def links(gateway: "Gateway", waiting: Mapping[str, int]) -> tuple[Link, ...]:
    """Inlets, then outlets. waiting: documents by outlet."""
    return (
        *(
            Link(INLET, inlet.name, found.connected, found.opened, found.frames, found.last_error)
            for inlet in gateway.inlets
            for found in (inlet.counters,)
        ),
        *(
            Link(
                OUTLET,
                pump.name,
                pump.state.connected,
                pump.state.connections,
                pump.state.delivered + pump.state.letters + pump.state.tally.suppressed,
                pump.state.last_error,
                pump.state.warning,
                waiting.get(pump.name, 0),
                pump.state.set_aside,
            )
            for pump in gateway.pumps
        ),
    )


def take(gateway: "Gateway", waiting: Mapping[str, int], *, stepped_s_ago: float | None, unserved: str | None) -> Facts:
    """The facts as they are now."""
    refused: dict[str, int] = {}
    for inlet in gateway.inlets:
        for reason, count in inlet.counters.refused.items():
            refused[reason] = refused.get(reason, 0) + count
        refused["noise"] = refused.get("noise", 0) + inlet.counters.noise
    return Facts(
        writer_alive=gateway.store.alive,
        writer_idle_s=time.monotonic() - gateway.store.health.turned,
        failing=gateway.store.health.failing,
        synchronised=gateway.clock.synchronised(),
        stepped_s_ago=stepped_s_ago,
        links=links(gateway, waiting),
        ended=tuple(task.get_name() for task in gateway.running if task.done() and not task.cancelled()),
        failures={name: (state.failures, state.last_error) for name, state in gateway.tasks.items()},
        refused=refused,
        unserved=unserved,
    )
