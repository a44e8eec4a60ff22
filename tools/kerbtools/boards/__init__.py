"""Board facts: `boards/<name>/board.toml` and `boards/parts.toml`, loaded and checked, and where the data folders lie.

In a wheel the folders `boards` and `rootfs` lie in `kerbtools/data`; a source tree has them beside the packages.
"""

from functools import cache
from pathlib import Path

from kerbtools.boards.board import MODEM, Board, Identify, read_board
from kerbtools.boards.errors import BoardError
from kerbtools.boards.lora import Lora, Radio, read_radios
from kerbtools.boards.parts import Geometry, Part, read_parts
from kerbtools.boards.roles import ROLES, Isolation, Role

__all__ = [
    "MODEM",
    "ROLES",
    "Board",
    "BoardError",
    "Geometry",
    "Identify",
    "Isolation",
    "Lora",
    "Part",
    "Radio",
    "Role",
    "boards_folder",
    "data_folder",
    "load",
    "names",
    "parts",
    "radios",
    "read",
    "rootfs_folder",
    "shims_folder",
]

_PACKAGE = Path(__file__).parents[1]
_SOURCE_TREE = _PACKAGE.parents[1]


def data_folder(name: str, source: str) -> Path:
    """A data folder of the installation: kerbtools/data/NAME, or SOURCE in the source tree. BoardError."""
    for folder in (_PACKAGE / "data" / name, _SOURCE_TREE / source):
        if folder.is_dir():
            return folder
    raise BoardError(f"the folder {name} is missing", "install kerbstone again, or run from a complete source tree")


def boards_folder() -> Path:
    return data_folder("boards", "boards")


def rootfs_folder() -> Path:
    """The files that lie in a board's root as they are: boot.py and main.py."""
    return data_folder("rootfs", "firmware/rootfs")


def shims_folder() -> Path:
    """The MicroPython half of emulated boards."""
    return boards_folder() / "emulated" / "shims"


def names() -> list[str]:
    """All boards, sorted."""
    return sorted(path.parent.name for path in boards_folder().glob("*/board.toml"))


@cache
def parts() -> dict[str, Part]:
    """All parts that a board may wire, by name. BoardError where parts.toml is not right."""
    return read_parts(boards_folder() / "parts.toml")


@cache
def radios() -> dict[str, Radio]:
    """All LoRa modules that a board may wire, by name. BoardError where radios.toml is not right."""
    return read_radios(boards_folder() / "radios.toml")


def load(name: str) -> Board:
    """Board NAME. BoardError where it is unknown or its file is not right."""
    if name not in names():
        raise BoardError(f"no board is called {name!r}", "choose one of: " + ", ".join(names()))
    return read(boards_folder() / name / "board.toml")


def read(path: Path) -> Board:
    """The board in one board.toml. BoardError names the file and the key."""
    return read_board(path, parts(), radios())
