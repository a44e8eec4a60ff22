"""Provisioning several boards at once: each port in a thread, one registry, and which line goes to which board."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import repeat

from kerbgate.errors import GatewayError
from kerbgate.registry import HEARD, Card, Registry, inventory, provisioning, states
from kerbtools.device import Device, DeviceError
from kerbtools.device.selftest import Row
from kerbtools.provision.commission import NO_ACCESS, Prepared, SelfTest, commission, prepare
from kerbtools.provision.errors import OrderError, ProvisionError
from kerbtools.provision.found import Found, look, running_again
from kerbtools.provision.links import Access
from kerbtools.provision.order import Order
from kerbtools.provision.street import Streets

MAX_PORTS = 64  # boards at once: more than USB hubs on a bench carry
Say = Callable[[str, str], None]  # port, what happens there
Assign = Callable[[dict[str, Found]], dict[str, Order]]  # boards by port -> what those become that become anything


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one port. error: one sentence of cause, hint: what to do; both None where it went well.

    links: how the links that it was given fared, if they were tried.
    """

    port: str
    order: Order | None
    card: Card | None
    seconds: float
    error: str | None = None
    hint: str | None = None
    links: Sequence[Row] = ()


@dataclass(slots=True)
class _Bench:
    """A board that was opened, and what is on it."""

    port: str
    device: Device
    found: Found


def run(
    ports: Sequence[str],
    registry: Registry,
    assign: Assign,
    *,
    selftest: SelfTest | None = None,
    wait_s: float = 0.0,
    access: Access = NO_ACCESS,
    streets: Streets | None = None,
    discards: bool = False,
    say: Say = lambda port, text: None,
) -> list[Result]:
    """Open all ports, ask `assign` who becomes what, and provision them side by side. ProvisionError from `assign`.

    discards: records that wait on a board may be thrown away.

    A port that fails does not stop the others. Results come in the order of the ports.
    """
    if not 0 < len(set(ports)) == len(ports) <= MAX_PORTS:
        raise OrderError("no port, the same port twice, or too many", f"name 1 to {MAX_PORTS} ports, each once: --port")
    started = time.monotonic()
    lock = threading.Lock()

    def tell(port: str, text: str) -> None:
        with lock:
            say(port, text)

    def fail(port: str, order: Order | None, error: Exception) -> Result:
        cause, hint = cause_of(error)
        return Result(port, order, None, time.monotonic() - started, cause, hint)

    with ExitStack() as stack, ThreadPoolExecutor(len(ports)) as pool:
        results: dict[str, Result] = {}
        benches: dict[str, _Bench] = {}
        for port, opened in zip(ports, pool.map(_open, ports, repeat(wait_s)), strict=True):
            if isinstance(opened, _Bench):
                benches[port] = opened
                stack.callback(opened.device.close)
            else:
                results[port] = fail(port, None, opened)
        with ExitStack() as untouched:
            for bench in benches.values():
                untouched.enter_context(running_again(bench.device))
            given = assign({port: bench.found for port, bench in benches.items()})
        prepared: dict[str, Prepared] = {}
        # Addresses follow the lines, those that were asked for first: a free one must not be one of them.
        for port, order in sorted(given.items(), key=lambda item: (item[1].address is None, item[1].line)):
            bench = benches[port]
            try:
                with running_again(bench.device):
                    prepared[port] = prepare(port, bench.found, registry, order, access, streets, discards=discards)
            except (GatewayError, ProvisionError) as error:
                results[port] = fail(port, order, error)

        def work(port: str) -> Result:
            bench, order = benches[port], given[port]
            try:
                done = commission(
                    bench.device, registry, prepared[port], selftest=selftest, say=lambda text: tell(port, text)
                )
            except (GatewayError, DeviceError, ProvisionError) as error:
                return fail(port, order, error)
            tell(port, f"node {done.card.address} is provisioned")
            return Result(port, order, done.card, time.monotonic() - started, links=done.links)

        results |= {result.port: result for result in pool.map(work, list(prepared))}
        for port in benches.keys() - given.keys():
            with suppress(DeviceError):
                benches[port].device.reset()  # it may be a node in service
            error = OrderError("nothing is left for this board to become", "add a line for it, or unplug it")
            results[port] = fail(port, None, error)
    return [results[port] for port in ports]


def assign_sheet(registry: Registry, wanted: Sequence[Order]) -> Assign:
    """Lines of a file to boards: a line that names a board's unique id, or was begun with it, goes to that board; the
    others in order to the ports in order. Lines that are done are left out, so that a file is worked off in batches.
    """

    def assign(boards: dict[str, Found]) -> dict[str, Order]:
        todo = [order for order in wanted if not is_done(registry, order)]
        if not todo:
            raise OrderError(
                "every line of the file is done", "see kerb registry list; to do one again: --port, --address"
            )
        given: dict[str, Order] = {}
        for port, found in boards.items():
            begun = provisioning.of_board(registry, found.unique_id)
            for order in todo:
                if order.unique_id == found.unique_id or (begun is not None and order.address == begun.address):
                    given[port] = order
                    todo.remove(order)
                    break
        free = [order for order in todo if order.unique_id is None]
        for port, found in boards.items():
            own = provisioning.of_board(registry, found.unique_id)
            if port not in given and free and (own is None or own.state not in states.KEYED):
                given[port] = free.pop(0)  # a board that has its place is not taken for another line
        return given

    return assign


def is_done(registry: Registry, order: Order) -> bool:
    """Whether the registry holds already what this order asks for."""
    if order.asset is not None:
        there = [item.node for item in inventory.history(registry, order.asset.asset) if item.until_ms is None]
        return bool(there) and there[0] != order.replaces and registry.card(there[0]).state in HEARD
    known = {node.address: node.state for node in registry.list()}
    if order.address is not None:
        return known.get(order.address) in HEARD
    return order.unique_id is not None and any(
        card.unique_id == order.unique_id and card.state in HEARD for card in registry.cards()
    )


def cause_of(error: Exception) -> tuple[str, str]:
    """(cause, hint) of an error of ours, whichever tree it is from."""
    cause = getattr(error, "cause", None) or getattr(error, "message", None) or str(error)
    return str(cause), str(getattr(error, "hint", "") or "run it again")


def _open(port: str, wait_s: float) -> "_Bench | Exception":
    try:
        device = Device.open(port, wait_s=wait_s)
    except DeviceError as error:
        return error
    try:
        with running_again(device):
            return _Bench(port, device, look(device, device.facts().unique_id))
    except (DeviceError, ProvisionError) as error:
        device.close()
        return error
