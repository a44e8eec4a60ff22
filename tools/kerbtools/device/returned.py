"""What becomes of a wiped board's node in the registry: it is returned, its secret and its place are gone there too.

The board is wiped first and the registry told after: cut in between, the registry holds a secret that no board has, and
the same command again mends it, for the board's unique id is not on the flash.
"""

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kerbgate import config
from kerbgate.errors import GatewayError, RegistryError
from kerbgate.registry import Card, Registry, provisioning, states
from kerbtools.device.device import Device
from kerbtools.device.errors import BoardRaised, DeviceError, printable

# Prints [unique id, address or null]; of the identity nothing else.
_WHO = """
import binascii, json, machine
found = [binascii.hexlify(machine.unique_id()).decode(), None]
try:
    from kerbnode import identity
    try:
        found[1] = identity.read("/node/identity.cbor").node
    except identity.IdentityError:
        pass
except (ImportError, OSError, ValueError):  # none, unreadable, or for another MicroPython
    pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Owner:
    """A board, before it is wiped. node: the address in the identity that lies on it, if any."""

    unique_id: str
    node: int | None


class RegistryRefused(DeviceError):
    """The registry cannot be used, or it was not told."""


def who(device: Device) -> Owner:
    """DeviceError."""
    found = device.ask(_WHO)
    match found:
        case [str(unique_id), int() | None as node]:
            return Owner(printable(unique_id), node)
        case _:
            raise BoardRaised(device.port, "it does not tell its unique id")


def opened(registry: Path | None, configuration: Path | None) -> Registry | None:
    """The registry that is named, by itself or by a gateway's configuration; None if none is. RegistryRefused."""
    try:
        path = config.load(configuration).gateway.registry if configuration is not None else registry
        return None if path is None else Registry(path)
    except GatewayError as error:
        raise RegistryRefused(
            f"{error.cause[:1].upper()}{error.cause[1:]}.", f"Nothing was erased; {error.hint}."
        ) from error


def tell(registry: Registry | None, owner: Owner) -> tuple[Card | None, str]:
    """Mark the node of a wiped board as returned: its card, if it has one, and what a person is to know.

    RegistryRefused: the board is wiped, and the registry does not know.
    """
    if registry is None:
        node = "NODE" if owner.node is None else str(owner.node)
        found = f"; `kerb registry list` shows the node of board {owner.unique_id}" if owner.node is None else ""
        return None, f"No registry was told. If one knows this board, run: kerb registry mark {node} return{found}"
    try:
        card = _card(registry, owner)
        if card is None:
            return None, f"No node in {registry.path} has the board {owner.unique_id}: nothing was to be told."
        if (card.state, states.RETURN) in states.TRANSITIONS:
            card = registry.mark(card.address, states.RETURN)
            return card, f"Node {card.address} is {card.state}."
    except (GatewayError, sqlite3.Error) as error:
        cause = error.cause if isinstance(error, GatewayError) else str(error)
        raise RegistryRefused(
            f"The board is wiped, but the registry was not told: {cause}.", "Run the same command again."
        ) from error
    found = f" If it was found, run: kerb registry mark {card.address} find" if card.state == states.STOLEN else ""
    return card, f"Node {card.address} is {card.state}, as before.{found}"


def _card(registry: Registry, owner: Owner) -> Card | None:
    """The node of this board; one whose board the registry never saw is known by the identity that lay on it."""
    card = provisioning.of_board(registry, owner.unique_id)
    if card is None and owner.node is not None:
        with suppress(RegistryError):
            named = registry.card(owner.node)
            card = named if named.unique_id is None else None
    return card
