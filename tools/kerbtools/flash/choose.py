"""Which board is this, and may the firmware go onto it: the facts of boards against what the board says of itself."""

import json

from kerbtools import boards, bundle
from kerbtools.device import Device, Facts, FlashRefused, WrongBoard, WrongMicroPython
from kerbtools.device.errors import printable

ENOENT = 2


def board(port: str, facts: Facts, wanted: str | None) -> boards.Board:
    """The board that these facts are of; `wanted` is the name that it must be.

    WrongBoard, WrongMicroPython; BoardError for a name that is unknown.
    """
    machine = printable(facts.machine)
    if wanted is not None:
        found = boards.load(wanted)
        if not found.identify.matches(facts.platform, facts.machine):
            raise WrongBoard(
                f"The board on {port} says that it is {machine!r}, and {found.name} says {found.identify.machine!r}.",
                f"Plug in the board {found.name} or name another --board; if it is one, {found.identify.install}",
            )
    else:
        fitting = [b for b in map(boards.load, boards.names()) if b.identify.matches(facts.platform, facts.machine)]
        if not fitting:
            raise WrongBoard(
                f"The board on {port} says that it is {machine!r}, {printable(facts.platform)}: no board.toml fits it.",
                "Name it with --board to be told which MicroPython it needs; known are: " + ", ".join(boards.names()),
            )
        if len(fitting) > 1:
            raise WrongBoard(
                f"The board on {port} says that it is {machine!r}, which several boards say.",
                "Name it with --board: " + ", ".join(b.name for b in fitting),
            )
        found = fitting[0]
    check_micropython(port, facts, found)
    return found


def check_micropython(port: str, facts: Facts, found: boards.Board) -> None:
    """WrongMicroPython where it is older than the firmware needs, or loads other .mpy files."""
    if facts.version[:2] < found.identify.micropython:
        raise WrongMicroPython(
            f"The {found.name} on {port} runs MicroPython {facts.micropython}; the firmware needs {found.micropython}.",
            f"To install it, {found.identify.install}",
        )
    if facts.mpy != bundle.MPY_VERSION:
        raise WrongMicroPython(
            f"The {found.name} on {port} loads .mpy files of version {facts.mpy}, and the firmware's are "
            f"{bundle.MPY_VERSION}.",
            f"To install a MicroPython that fits, {found.identify.install}",
        )


def role(device: Device, wanted: str | None) -> str:
    """The role: the one wanted, else the one that the board has, else the only one there is. WrongBoard."""
    if wanted is not None:
        return wanted
    if len(bundle.ROLES) == 1:
        return next(iter(bundle.ROLES))
    try:
        named = json.loads(device.read("/bundle.json"))["role"]
    except FlashRefused as error:
        if error.errno != ENOENT:
            raise
    except (ValueError, KeyError, TypeError):
        pass
    else:
        if named in bundle.ROLES:
            return named
    raise WrongBoard(
        f"The board on {device.port} has no role yet.", "Name it with --role: " + ", ".join(sorted(bundle.ROLES))
    )
