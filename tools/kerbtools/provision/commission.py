"""Provisioning one board, in an order such that a cut at any moment leaves nothing half valid.

    1  registry   the address is reserved; no secret is in the registry yet
    2  board      self-test
    3  board      /node/identity.cbor goes: from here on the board has no identity, and its program does not run
    4  board      counters, outbox, a lamp's waiting records and drafts of secrets go: the next start draws a new life
    5  board      /node/config.json and what its links need, each whole or not at all
    6  board      /node/identity.cbor with a fresh secret, whole or not at all
    7  board      all files are hashed there and compared; nothing of the former life is left
    8  registry   secret, state and asset in one transaction
    9  board      its new links are tried; reset: its program runs

Cut before 8, the registry does not know the secret that may be on the board: the board is refused, not half heard. The
next run takes the same address for the same board and does everything again, with another secret.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from kerbgate.registry import SECRET_SIZE, Card, Registry, provisioning
from kerbtools.device.errors import DeviceError
from kerbtools.device.selftest import Row
from kerbtools.provision import trial
from kerbtools.provision.errors import NotReady, ProvisionError
from kerbtools.provision.found import (
    CONFIG,
    COUNTERS,
    DRAFT,
    FOLDER,
    HELD,
    IDENTITY,
    OUTBOX,
    REGISTER,
    BoardPort,
    Found,
    check_waiting,
    running_again,
    without_records,
)
from kerbtools.provision.links import LEARNT, LINKS, SECRETS, Access, check_board, check_site
from kerbtools.provision.order import Order, check, settle
from kerbtools.provision.street import STREET, Streets
from kerbwire import cbor

_EPOCH = 0
# A run or a node that was cut leaves drafts, and they hold what the files would: secrets, or records.
_DRAFTS = tuple(path + DRAFT for path in (IDENTITY, CONFIG, LINKS, LEARNT, STREET, REGISTER, HELD, *SECRETS))
_OF_A_LIFE = frozenset((*COUNTERS, LEARNT, HELD, *_DRAFTS))


class Check(Protocol):
    """One check of a self-test: kerbtools.device.selftest.Row is one. verdict: "pass", "fail" or "skip"."""

    @property
    def check(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def cause(self) -> str: ...


SelfTest = Callable[[Any], Sequence[Check]]  # runs on the board of a Device; it is at its REPL before and after


@dataclass(frozen=True, slots=True)
class Done:
    """A node. links: how its links fared when each was opened once, of those that it was given, if that was tried."""

    card: Card
    links: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A board that has its address: what it is, and what it is to become, settled and checked.

    files: of its links, by path; None: nothing is to lie there.
    """

    found: Found
    order: Order
    reservation: provisioning.Reservation
    files: Mapping[str, bytes | None]
    begin: Callable[[], None] = lambda: None  # called before anything of it is on the board


NO_ACCESS = Access()


def prepare(
    port: str,
    found: Found,
    registry: Registry,
    order: Order,
    access: Access = NO_ACCESS,
    streets: Streets | None = None,
    *,
    discards: bool = False,
) -> Prepared:
    """Reserve the address. Nothing is written on the board. OrderError, NotReady, RegistryError.

    discards: records that wait on the board may be thrown away; else NotReady where there are any.
    """
    in_street = streets if found.role == "lamp" else None
    if in_street is not None:
        order = replace(order, settings=in_street.settings() | order.settings)
    order = settle(order, found.role)
    if order.role != found.role:
        raise NotReady(
            f"The board on {port} has the firmware of a {found.role}, and {order.name} is a {order.role}.",
            f"Put the other firmware on it: kerb flash --role {order.role} --port {port}",
        )
    check(registry, order, found.unique_id)
    if not discards:
        check_waiting(port, found)
    check_board(port, found.board, found.role, order.links or access.links or ())
    check_site(order.links or access.links or (), order.site)
    reservation = provisioning.reserve(
        registry,
        unique_id=found.unique_id,
        site=order.site,
        role=found.role,
        board=found.board,
        address=order.address,
        claimed=found.node,
    )
    try:
        files = access.files(reservation.address, order.links)
        if in_street is not None:
            files[STREET] = in_street.file_of(reservation.address)
    except ProvisionError:
        provisioning.release(registry, reservation)
        raise
    if in_street is None:
        return Prepared(found, order, reservation, files)
    return Prepared(found, order, reservation, files, lambda: in_street.begin(reservation.address))


def commission(
    device: BoardPort,
    registry: Registry,
    prepared: Prepared,
    *,
    selftest: SelfTest | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Done:
    """Make the board on a port the node that is asked for. It runs when this returns.

    With a self-test the links that it is given are tried too, once it is a node: one that cannot be had is told, and
    is no failure, since the node's street may be elsewhere.

    NotReady, RegistryError and DeviceError leave no valid node that was not valid before; run again to mend. A node
    that was not touched yet runs on.
    """
    found, order, reservation = prepared.found, prepared.order, prepared.reservation
    address = reservation.address
    say(f"node {address} is reserved")
    with running_again(device):
        if selftest is not None:
            _test(device, registry, reservation, selftest, say)
        prepared.begin()
    secret = secrets.token_bytes(SECRET_SIZE)
    identity = cbor.encode({1: address, 2: secret, 3: _EPOCH, 4: order.site})
    files = {path: data for path, data in prepared.files.items() if data is not None}
    files |= {CONFIG: json.dumps(order.settings, sort_keys=True).encode(), IDENTITY: identity}
    kept = _forget(device)
    say("the former life is gone")
    for path, data in prepared.files.items():
        if data is None:
            device.remove(path)
    for path, data in files.items():
        device.write(path, data)
    _verify(device, files | kept)
    say("identity and settings are written and read back")
    card = provisioning.commit(
        registry,
        reservation,
        secret,
        site=order.site,
        role=found.role,
        board=found.board,
        settings=order.settings,
        asset=order.asset,
        replaces=order.replaces,
        start_hours=order.start_hours,
    )
    tried: Sequence[Row] = ()
    if selftest is not None and prepared.files.get(LINKS):
        try:
            tried = trial.run(device)
        except DeviceError as error:
            say(f"its links could not be tried: {error}")
        for row in tried:
            say(trial.told(row))
    try:
        device.reset()
    except DeviceError:  # the node is valid, and starts as soon as somebody resets it
        say("it did not take the reset: press its reset button")
    return Done(card, tried)


def _test(
    device: BoardPort,
    registry: Registry,
    reservation: provisioning.Reservation,
    selftest: SelfTest,
    say: Callable[[str], None],
) -> None:
    """A board that fails its self-test is left as it was, and its address is free again."""
    try:
        rows = selftest(device)
    except DeviceError:
        provisioning.release(registry, reservation)
        raise
    # The links that are on it are those of where it was, and here nobody may answer; its new ones are tried at the end.
    failed = [row for row in rows if row.verdict == "fail" and not row.check.startswith("link:")]
    if failed:
        provisioning.release(registry, reservation)
        raise NotReady(
            f"The board on {device.port} failed its self-test: {failed[0].check}: {failed[0].cause}.",
            "See all checks with kerb selftest; to provision it all the same: --no-self-test",
        )
    say(f"self-test passed, {len(rows)} checks")


def _forget(device: BoardPort) -> dict[str, bytes]:
    """Remove the former life, its identity first: without it the board's program does not run. Returns what stays of
    files that hold some of it, by path."""
    there = device.files(FOLDER)
    device.remove(IDENTITY)
    old = [path for path in there if _of_a_life(path)]
    for path in sorted(old):
        device.remove(path)
    for folder in sorted({path.rpartition("/")[0] for path in old if path.startswith(OUTBOX + "/")}, reverse=True):
        device.remove(folder)
    if REGISTER not in there:
        return {}
    kept = without_records(device.read(REGISTER))
    if kept is None:
        device.remove(REGISTER)
        return {}
    device.write(REGISTER, kept)
    return {REGISTER: kept}


def _verify(device: BoardPort, files: Mapping[str, bytes]) -> None:
    found = device.digests(*files)
    wrong = [path for path, data in files.items() if found.get(path) != hashlib.sha256(data).hexdigest()]
    wrong += [path for path in device.files(FOLDER) if _of_a_life(path)]
    if wrong:
        raise NotReady(
            f"The board on {device.port} does not hold what was written: {wrong[0]}.",
            "Provision it again; if that fails too, its flash is worn: kerb selftest",
        )


def _of_a_life(path: str) -> bool:
    return path in _OF_A_LIFE or path.startswith(OUTBOX + "/")
