"""The gateway that is asked about: running, stopped, or broken. Verbs ask it here, and never care which.

A running gateway is asked through its control socket. Of one that has stopped the store is read, and never written.
"""

import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kerbgate import asking
from kerbgate.errors import ControlError, GatewayError, NoAnswer

if TYPE_CHECKING:
    from kerbgate.config import Config
    from kerbgate.field.sight import Sight

ASK_S = 15.0  # for an answer that reads the store
FACTS_S = 3.0  # for one that does not: who needs longer is not well
RUNNING, STOPPED, STUCK, BROKEN = "running", "stopped", "stuck", "broken"
DEFAULT_CONFIG = Path("gateway.toml")
SYSTEM_CONFIG = Path("/etc/kerbstone/gateway.toml")  # where SERVICE.md puts it

T = TypeVar("T")


def find_config(given: Path | None) -> Path:
    """The configuration that was named, else the one here, else the system's."""
    if given is not None:
        return given
    return SYSTEM_CONFIG if not DEFAULT_CONFIG.exists() and SYSTEM_CONFIG.exists() else DEFAULT_CONFIG


class Subject:
    """One gateway. What is asked once is kept, so that all checks of a look speak of the same moment."""

    def __init__(self, path: Path | None = None):
        self.path = find_config(path)
        self._lock = threading.Lock()
        self._asked: dict[str, threading.RLock] = {}  # checks run in threads: one asks, the others wait for its answer
        self._known: dict[str, Any] = {}

    def once(self, name: str, find: Callable[[], T]) -> T:
        with self._lock:
            asking_it = self._asked.setdefault(name, threading.RLock())
        with asking_it:
            if name not in self._known:
                try:
                    self._known[name] = (find(), None)
                except Exception as error:  # every asker is told the same
                    self._known[name] = (None, error)
            found, error = self._known[name]
        if error is not None:
            raise error
        return found

    @property
    def config(self) -> "Config":
        """ConfigError where it cannot be used."""
        from kerbgate import config

        return self.once("config", lambda: config.load(self.path))

    @property
    def state(self) -> Path:
        """The state folder. ConfigError."""
        return self.config.gateway.state

    @property
    def store(self) -> Path:
        return self.state / "store.sqlite"

    @property
    def facts(self) -> dict[str, Any] | None:
        """What a running gateway says of itself; None of one that does not answer."""

        def find() -> dict[str, Any] | None:
            try:
                return asking.ask(self.state, "facts", timeout_s=FACTS_S)["facts"]
            except NoAnswer:
                return None

        return self.once("facts", find)

    @property
    def holder(self) -> str | None:
        """The process that works on the store, as a number."""
        from kerbgate.store.lock import holder

        return self.once("holder", lambda: holder(self.store))

    @property
    def mode(self) -> str:
        """running, stopped, or stuck: a process holds the store and does not answer; broken: no configuration."""
        try:
            if self.facts is not None:
                return RUNNING
            return STOPPED if self.holder is None else STUCK
        except GatewayError:
            return BROKEN

    @property
    def now_s(self) -> float:
        """UTC by the gateway's clock; by the host's where there is none."""
        facts = self.facts
        if facts is not None:
            return facts["now_s"]
        from kerbgate.clock import open_clock

        try:
            return open_clock(self.config.clock.source).utc()
        except GatewayError:
            return time.time()

    @property
    def condition(self) -> dict[str, Any]:
        """Facts about the nodes. GatewayError."""

        def find() -> dict[str, Any]:
            if self.mode == RUNNING:
                return asking.ask(self.state, "condition", timeout_s=ASK_S)["condition"]
            from kerbgate.field import condition

            return self.look(lambda sight: condition.condition(sight, self.now_s)) | {"refused": [], "boots": []}

        return self.once("condition", find)

    @property
    def queues(self) -> list[dict[str, Any]]:
        """What waits for each outlet. GatewayError."""

        def find() -> list[dict[str, Any]]:
            if self.mode == RUNNING:
                return asking.ask(self.state, "queue", timeout_s=ASK_S)["queues"]
            from kerbgate.field import queues

            return self.look(lambda sight: queues.queues(sight, self.now_s))

        return self.once("queues", find)

    def ask(self, op: str, offline: "Callable[[Sight], dict[str, Any]]", **fields: Any) -> dict[str, Any]:
        """The answer of the running gateway to an operation; of one that has stopped, what `offline` reads.

        Connects at once and asks nothing before. GatewayError with a hint.
        """
        try:
            return asking.ask(self.state, op, timeout_s=ASK_S, **fields)
        except NoAnswer as error:
            process = self.holder
            if process is not None:
                raise ControlError(
                    f"process {process} holds the store and does not answer",
                    "if it just started, ask again; else: kerb doctor",
                ) from error
        return self.look(offline)

    def look(self, work: "Callable[[Sight], T]") -> T:
        """Read the store of a gateway that does not run. GatewayError."""
        import sqlite3

        from kerbgate.errors import StoreError

        sight = self._sight()
        try:
            return work(sight)
        except sqlite3.Error as error:
            raise StoreError(f"the store {self.store} cannot be read: {error}", "run: kerb doctor") from error
        finally:
            sight.close()

    def _sight(self) -> "Sight":
        from kerbgate.field.sight import Sight

        return Sight(self.store, self.config.gateway.registry, self._streets)

    @cached_property
    def _streets(self) -> dict[int, str]:
        path = self.config.command.groups
        if path is None:
            return {}
        from kerbgate.commands.groups import Groups

        try:
            return Groups.load(self.config.gateway.site, path).streets()
        except GatewayError:  # said by the check of the configuration
            return {}
