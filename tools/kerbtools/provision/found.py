"""What is on a board before anything is done to it: firmware, identity, and the records that wait there."""

import re
from binascii import crc32
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

from kerbnode import app
from kerbnode.chunks import scan  # pyright: ignore[reportUnknownVariableType]
from kerbtools.device.errors import DeviceError, FlashRefused
from kerbtools.provision.errors import NotReady
from kerbwire import cbor
from kerbwire.errors import WireError

FOLDER = app.FOLDER
IDENTITY, CONFIG = FOLDER + "/identity.cbor", FOLDER + "/config.json"
OUTBOX = FOLDER + "/outbox"
REGISTER, HELD = FOLDER + "/lamp", FOLDER + "/held"  # of a lamp: kerbnode.lamp.register, kerbnode.lamp.evidence
MANIFEST = "/bundle.json"
DRAFT = ".tmp"  # behind the name of a file that is being written, by Device.write and by the node

COUNTERS = (FOLDER + "/counters.0", FOLDER + "/counters.1")
_CRC_SIZE = 4
_GENERATION, _LIFE = 0, 1  # of a slot of the counters
_ACKED = 0  # of an outbox's state
_REGISTER_KEYS, _WAITING, _LAST = set(range(6)), 1, 5
# Prints [board, role, address, site] of the firmware and the identity that lie there, null for each that does not; of
# the identity nothing else, so that no secret crosses the line.
_WHO = f"""
import json
try:
    with open({MANIFEST!r}) as file:
        found = json.load(file)
    found = [str(found["board"]), str(found["role"]), None, None]
except (OSError, ValueError, KeyError, TypeError):
    found = [None] * 4
try:
    from kerbnode import identity
    try:
        me = identity.read({IDENTITY!r})
        found[2:] = [me.node, me.site]
    except identity.IdentityError:
        pass
except (ImportError, OSError, ValueError):  # none, unreadable, or for another MicroPython
    pass
print(json.dumps(found))
"""


class BoardPort(Protocol):
    """What is asked of a board: kerbtools.device.Device has it."""

    port: str

    def ask(self, code: str, timeout_s: float | None = None) -> Any: ...
    def read(self, path: str) -> bytes: ...
    def write(self, path: str, data: bytes) -> None: ...
    def remove(self, path: str) -> None: ...
    def files(self, *places: str) -> dict[str, int]: ...
    def digests(self, *places: str) -> dict[str, str]: ...
    def soft_reset(self) -> None: ...
    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A board on a port, before anything is done to it. node, site: of the identity that lies on it, if any.

    waiting: records that its gateway has not acknowledged; None: some may wait, and the firmware there cannot say.
    """

    unique_id: str
    board: str
    role: str
    node: int | None
    site: str | None
    waiting: int | None = 0


def look(device: BoardPort, unique_id: str) -> Found:
    """What is on a port. NotReady if it has no firmware of ours; DeviceError."""
    board, role, node, site = device.ask(_WHO)
    if board is None or role is None:
        raise NotReady(f"The board on {device.port} has no Kerbstone firmware.", "Put it there: kerb flash")
    try:
        # Without an identity nobody can say them any more: a provisioning was begun, by somebody who was asked.
        waiting = _waiting(device) if node is not None else 0
    except FlashRefused:
        waiting = None
    return Found(unique_id, board, role, node, site, waiting)


@contextmanager
def running_again(device: BoardPort) -> Generator[None]:
    """Where the work with a board raises, its program is left running: it may be a node in service."""
    try:
        yield
    except Exception:
        with suppress(DeviceError):
            device.reset()
        raise


def counted(records: int) -> str:
    return f"{records} record" + ("s" if records != 1 else "")


def check_waiting(port: str, found: Found) -> None:
    """NotReady where records wait that a new life would throw away."""
    if found.waiting == 0:
        return
    some = "may hold records" if found.waiting is None else f"holds {counted(found.waiting)}"
    raise NotReady(
        f"The board on {port} {some} that no gateway has acknowledged, and a new identity throws them away.",
        "Let node "
        f"{found.node} report first; for a new network, broker or link alone: kerb links --port {port}; "
        "to throw them away: --discard-records",
    )


def _waiting(device: BoardPort) -> int:
    """How many records of the life that goes on wait; any other life's are lost already. The files are those of
    firmware/OUTBOX.md, read here and not there: the board's firmware may be of another release. DeviceError."""
    there = device.files(FOLDER)
    slots = [_checked(device.read(path)) for path in COUNTERS if path in there]
    lives = sorted((slot[_GENERATION], slot[_LIFE]) for slot in slots if _LIFE in slot and _GENERATION in slot)
    if not lives:
        return 0
    life = lives[-1][1]
    return _in_outbox(device, there, f"{OUTBOX}/{life.hex()}/") + _at_lamp(device, there, life)


def _in_outbox(device: BoardPort, there: Mapping[str, int], folder: str) -> int:
    state = _checked(device.read(folder + "state")) if folder + "state" in there else {}
    acked: list[tuple[int, int]] = state.get(_ACKED, [])
    names = [path.removeprefix(folder) for path in there if path.startswith(folder)]
    firsts = sorted(int(name, 16) for name in names if re.fullmatch("[0-9a-f]{8}", name))
    waiting = 0
    for place, first in enumerate(firsts):
        after = firsts[place + 1] if place + 1 < len(firsts) else None
        if after is not None and any(low <= first and after <= end for low, end in acked):
            continue
        count = scan(device.read(f"{folder}{first:08x}"))[0]
        waiting += sum(not any(low <= index < end for low, end in acked) for index in range(first, first + count))
    return waiting


def _at_lamp(device: BoardPort, there: Mapping[str, int], life: bytes) -> int:
    """What a lamp has yet to put into its outbox: its quarters of an hour, and what it showed after an error."""
    quarters = _checked(device.read(REGISTER)).get(_WAITING) if REGISTER in there else None
    count = len(cast("list[Any]", quarters)) if isinstance(quarters, list) else 0
    held = _value(device.read(HELD)) if HELD in there else None
    if isinstance(held, list) and len(cast("list[Any]", held)) == 2:
        of, items = cast("tuple[bytes, list[Any]]", held)
        count += sum(of == life or not item[1] for item in items)  # those of another life it takes on if they have UTC
    return count


def without_records(register: bytes) -> bytes | None:
    """A lamp's register with what belongs to the luminaire (hours, energy, baseline, habits) and nothing of its node's
    life: no record, and no moment of the last one. None: the node could not read it either."""
    fields = _checked(register)
    if set(fields) != _REGISTER_KEYS:
        return None
    body = cbor.encode(fields | {_WAITING: [], _LAST: 0})
    return body + crc32(body).to_bytes(_CRC_SIZE, "big")


def _checked(data: bytes) -> dict[int, Any]:
    """The map of a checked file (kerbnode.flash); empty where it is torn or another thing."""
    value = _value(data)
    return cast("dict[int, Any]", value) if isinstance(value, dict) else {}


def _value(data: bytes) -> object:
    body, crc = data[:-_CRC_SIZE], data[-_CRC_SIZE:]
    if crc32(body) != int.from_bytes(crc, "big"):
        return None
    try:
        return cbor.decode(body)
    except WireError:
        return None
