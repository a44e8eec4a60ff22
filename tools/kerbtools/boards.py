"""Board facts: `boards/<name>/board.toml`, loaded and checked, and where the data folders lie.

In a wheel the folders `boards` and `rootfs` lie in `kerbtools/data`; a source tree has them beside the packages.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

PORTS = ("esp32", "rp2")
SLEEP_MODELS = ("deepsleep", "lightsleep+reset")
ENDINGS = ("deepsleep", "software", "watchdog")  # what retained memory or a clock may survive

_PACKAGE = Path(__file__).parent
_SOURCE_TREE = _PACKAGE.parent.parent


class BoardError(Exception):
    """A board is unknown, or its board.toml is not usable. `hint` says what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} ({hint})")
        self.hint = hint


@dataclass(frozen=True, kw_only=True)
class Board:
    """The facts of one board; names and units as in board.toml. `sensors` and `link` are as written there."""

    name: str
    title: str
    port: Literal["esp32", "rp2"]
    micropython: str
    mcu_frequency_hz: int
    tried_on_hardware: bool
    notes: str
    flash_bytes: int
    filesystem_bytes: int
    block_bytes: int
    program_bytes: int
    page_program_us: int
    sector_erase_us: int
    heap_bytes: int
    sleep_model: str
    longest_sleep_ms: int  # 0: no limit
    retained_kind: Literal["rtc_memory", "mem_backup"]
    retained_bytes: int
    retained_survives: frozenset[str]
    reset_causes: Mapping[str, int]  # "power", "pin", "watchdog", "deepsleep", "software" -> machine.reset_cause()
    epoch_year: int
    clock_starts_at_unix: int
    clock_survives: frozenset[str]
    watchdog_longest_ms: int  # 0: no limit
    watchdog_counts_in_deepsleep: bool
    link: Mapping[str, int]
    sensors: Mapping[str, Mapping[str, int | str]]

    @property
    def backup_bytes(self) -> int:
        """Size of machine.mem_backup(); 0 where the firmware is not to use it."""
        return self.retained_bytes if self.retained_kind == "mem_backup" else 0

    def on_board(self) -> dict[str, Any]:
        """What the board itself is told, as board.json: integers and strings only."""
        return {
            "name": self.name,
            "port": self.port,
            "sleep": self.sleep_model,
            "longest_sleep_ms": self.longest_sleep_ms,
            "retained": {"kind": self.retained_kind, "bytes": self.retained_bytes},
            "watchdog": {"longest_ms": self.watchdog_longest_ms, "in_deepsleep": self.watchdog_counts_in_deepsleep},
            "link": dict(self.link),
            "sensors": {name: dict(sensor) for name, sensor in self.sensors.items()},
        }


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


def load(name: str) -> Board:
    """Board NAME. BoardError where it is unknown or its file is not right."""
    path = boards_folder() / name / "board.toml"
    if name not in names():
        raise BoardError(f"no board is called {name!r}", "choose one of: " + ", ".join(names()))
    return read(path)


def read(path: Path) -> Board:
    """The board in one board.toml. BoardError names the file and the key."""
    try:
        table = _Table(tomllib.loads(path.read_text(encoding="utf-8")), path, "")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BoardError(f"{path}: {error}", "boards/README.md lists what a board.toml holds") from error
    flash, retained, clock = table.table("flash"), table.table("retained"), table.table("clock")
    sleep, heap, watchdog, reset = (table.table(part) for part in ("sleep", "heap", "watchdog", "reset"))
    board = Board(
        name=table.text("name"),
        title=table.text("title"),
        port=cast("Literal['esp32', 'rp2']", table.text("port", PORTS)),
        micropython=table.text("micropython"),
        mcu_frequency_hz=table.number("mcu_frequency_hz"),
        tried_on_hardware=table.flag("tried_on_hardware"),
        notes=table.text("notes"),
        flash_bytes=flash.number("size_bytes"),
        filesystem_bytes=flash.number("filesystem_bytes"),
        block_bytes=flash.number("block_bytes"),
        program_bytes=flash.number("program_bytes"),
        page_program_us=flash.number("page_program_us"),
        sector_erase_us=flash.number("sector_erase_us"),
        heap_bytes=heap.number("bytes"),
        sleep_model=sleep.text("model", SLEEP_MODELS),
        longest_sleep_ms=sleep.number("longest_ms"),
        retained_kind=cast("Literal['rtc_memory', 'mem_backup']", retained.text("kind", ("rtc_memory", "mem_backup"))),
        retained_bytes=retained.number("bytes"),
        retained_survives=retained.endings("survives"),
        reset_causes={key: reset.number(key) for key in ("power", "pin", *ENDINGS)},
        epoch_year=clock.number("epoch_year"),
        clock_starts_at_unix=clock.number("starts_at_unix"),
        clock_survives=clock.endings("survives"),
        watchdog_longest_ms=watchdog.number("longest_ms"),
        watchdog_counts_in_deepsleep=watchdog.flag("counts_in_deepsleep"),
        link={key: table.table("link").number(key) for key in ("uart", "tx", "rx", "baud")},
        sensors=table.table("sensors").sensors(),
    )
    if board.name != path.parent.name:
        raise table.error("name", f"is {board.name!r}, its folder is {path.parent.name!r}")
    if board.filesystem_bytes % board.block_bytes or board.filesystem_bytes > board.flash_bytes:
        raise flash.error("filesystem_bytes", "must be whole blocks within the flash")
    for part in (table, flash, retained, clock, sleep, heap, watchdog, reset):
        part.refuse_unread()
    return board


class _Table:
    """One TOML table, read key by key, so that a missing, mistyped or unknown key is told with its place."""

    def __init__(self, values: dict[str, Any], path: Path, prefix: str) -> None:
        self._values = values
        self._path = path
        self._prefix = prefix
        self._unread = set(values)

    def error(self, key: str, problem: str) -> BoardError:
        return BoardError(
            f"{self._path}: {self._prefix}{key} {problem}", "boards/README.md lists what a board.toml holds"
        )

    def _take(self, key: str, kind: type) -> Any:
        if key not in self._values:
            raise self.error(key, "is missing")
        value = self._values[key]
        if type(value) is not kind:
            raise self.error(key, f"must be a TOML {kind.__name__}")
        self._unread.discard(key)
        return value

    def table(self, key: str) -> "_Table":
        return _Table(self._take(key, dict), self._path, f"{self._prefix}{key}.")

    def text(self, key: str, choices: tuple[str, ...] = ()) -> str:
        value: str = self._take(key, str)
        if choices and value not in choices:
            raise self.error(key, "must be one of: " + ", ".join(choices))
        return value

    def number(self, key: str) -> int:
        value: int = self._take(key, int)
        if value < 0:
            raise self.error(key, "must not be negative")
        return value

    def flag(self, key: str) -> bool:
        return self._take(key, bool)

    def endings(self, key: str) -> frozenset[str]:
        values: list[Any] = self._take(key, list)
        if not set(values) <= set(ENDINGS):
            raise self.error(key, "may hold only: " + ", ".join(ENDINGS))
        return frozenset(values)

    def sensors(self) -> dict[str, dict[str, int | str]]:
        """Sensor tables by name; their keys belong to their drivers, so only the kinds of value are checked."""
        found: dict[str, dict[str, int | str]] = {}
        for name in self._values:
            sensor: dict[str, Any] = self._take(name, dict)
            for key, value in sensor.items():
                if type(value) not in (int, str):
                    raise self.error(f"{name}.{key}", "must be a whole number or a text")
            found[name] = sensor
        return found

    def refuse_unread(self) -> None:
        for key in sorted(self._unread):
            raise self.error(key, "is not a key of a board.toml")
