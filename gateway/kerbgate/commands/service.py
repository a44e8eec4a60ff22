"""What a running gateway needs of commands, in one place: the ledger before the store, the rest behind it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from kerbgate import audit
from kerbgate.clock import Clock
from kerbgate.commands import ledger as ledgers
from kerbgate.commands.brighten import GroupVoice
from kerbgate.commands.commander import Commands, Ends
from kerbgate.commands.council import Council
from kerbgate.commands.groups import Groups
from kerbgate.commands.ledger import Ledger
from kerbgate.commands.request import LOCAL
from kerbgate.config import Config
from kerbgate.control import Operation
from kerbgate.errors import ControlError
from kerbgate.inlets import Inlet
from kerbgate.inlets.serial import SerialInlet
from kerbgate.registry import Registry
from kerbgate.store.store import Store

MAX_LISTED = 200
ANSWER_S = 20.0  # a commit on a slow card


@runtime_checkable
class Broadcasts(Protocol):
    """An inlet that can say a group message to nodes."""

    def broadcast(self, frame: bytes, nodes: Iterable[int], /) -> bool: ...


class CommandService:
    """Commands of a gateway. `open` before its store, `attach` when store and intake are there."""

    def __init__(self, config: Config):
        """AuditError for a key file that cannot be used, ConfigError for the groups file."""
        site, groups = config.gateway.site, config.command.groups
        self._config = config
        self._key = audit.Key.open(config.gateway.state, create=True)
        self.groups = Groups.load(site, groups) if groups else Groups(site)
        self.ledger = Ledger(site, self._key)
        self.council: Council | None = None

    def attach(self, store: Store, registry: Registry, clock: Clock, inlets: Sequence[Inlet]) -> Commands:
        """The commands, not yet begun. BrokerError for files of the outlet that cannot be used."""
        config = self._config
        self._store = store
        self.commands = Commands(
            site=config.gateway.site,
            store=store,
            ledger=self.ledger,
            registry=registry,
            clock=clock,
            groups=self.groups,
            voice=GroupVoice(config.gateway.state),
            broadcast=lambda frame, nodes: sum(_say(inlet, frame, nodes) for inlet in inlets),
        )
        for settings in config.outlets:
            if settings.name == config.command.outlet:
                self.council = Council(
                    settings,
                    site=config.gateway.site,
                    identifier=f"kerb-{config.gateway.site}-commands-{store.store_id}",
                    commands=self.commands,
                    store=store,
                    key=self._key,
                    head_interval_s=config.command.head_interval_s,
                )
        return self.commands

    def begin(self, ends: Ends) -> None:
        """The store's writer runs."""
        self.commands.begin(ends)

    @property
    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs until it is cancelled, by name."""
        found: dict[str, Callable[[], Awaitable[None]]] = {"times": self.commands.run}
        if self.council is not None:
            found |= {"in": self.council.listen, "out": self.council.publish}
        return found

    @property
    def operations(self) -> Mapping[str, Operation]:
        """For the control socket."""
        return {"send": self._send, "commands": self._list}

    def status(self) -> dict[str, Any]:
        """For `status`."""
        commands, orders = self.commands.open
        council = self.council.state if self.council is not None else None
        return {
            "open": commands,
            "open_orders": orders,
            "refused": self.commands.refused,
            "late_answers": self.commands.late,
            "council": None if council is None else {name: getattr(council, name) for name in council.__slots__},
        }

    async def _send(self, request: dict[str, Any]) -> dict[str, Any]:
        document: Any = request.get("document")
        if not isinstance(document, dict):
            raise ControlError("send has no document", "give a command's document, see COMMANDS.md")
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def answer(found: dict[str, Any]) -> None:
            if not answered.done():
                answered.set_result(found)

        self.commands.submit(cast(dict[str, Any], document), LOCAL, answer)
        try:
            async with asyncio.timeout(ANSWER_S):
                return {"answer": await answered}
        except TimeoutError as error:
            raise ControlError(
                "the store did not write the command down in time", "look at kerb send list before you send it again"
            ) from error

    async def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        limit: Any = request.get("limit", 20)
        if type(limit) is not int or not 1 <= limit <= MAX_LISTED:
            raise ControlError("limit is no such number", f"use 1 to {MAX_LISTED}")
        return {"commands": await asyncio.to_thread(ledgers.listing, self._store.path, limit)}


def _say(inlet: Inlet, frame: bytes, nodes: Iterable[int]) -> bool:
    """One group message over one link. A serial line reaches who listens to it."""
    if isinstance(inlet, Broadcasts):
        return inlet.broadcast(frame, nodes)
    return isinstance(inlet, SerialInlet) and inlet.send(frame)
