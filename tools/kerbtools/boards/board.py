"""The facts of one board: `boards/<name>/board.toml`, read and checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from kerbtools.boards.lora import Lora, Radio, read_lora
from kerbtools.boards.parts import Geometry, Part
from kerbtools.boards.roles import ROLES, Pins, Role, Wiring, read_role
from kerbtools.boards.table import Table

PORTS = ("esp32", "rp2")
SLEEP_MODELS = ("deepsleep", "lightsleep+reset")
ENDINGS = ("deepsleep", "software", "watchdog")  # what retained memory or a clock may survive
CURRENTS = ("active", "lightsleep", "deepsleep", "off", "radio_idle", "radio_rx", "radio_tx")
RADIOS = ("wifi", "ble")
MODEM = "modem"  # the role of a board that is a gateway's radio: it has no sensors


@dataclass(frozen=True, kw_only=True)
class Identify:
    """How a board on USB is told from another, and how it gets the right MicroPython.

    usb: (vendor, product) of the running MicroPython or of the board's bridge; several boards may share one, so the
    running MicroPython is asked: `platform` is its sys.platform, `machine` its os.uname().machine, `pattern` matches
    all that the builds of this board say there.
    """

    usb: tuple[tuple[int, int], ...]
    platform: str
    machine: str
    pattern: re.Pattern[str]
    micropython: tuple[int, int]
    install: str

    def matches(self, platform: str, machine: str) -> bool:
        return platform == self.platform and self.pattern.fullmatch(machine) is not None


@dataclass(frozen=True, kw_only=True)
class Board:
    """The facts of one board; names and units as in board.toml."""

    name: str
    title: str
    port: Literal["esp32", "rp2"]
    stubs: str  # the package of its MicroPython's type stubs; "": none
    mcu_frequency_hz: int
    tried_on_hardware: bool
    notes: str
    sources: tuple[str, ...]
    identify: Identify
    pins: Pins
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
    radio: tuple[str, ...]
    chip_currents: Mapping[str, int]  # microampere by state, the names of CURRENTS
    link: Mapping[str, int]
    roles: Mapping[str, Role]
    lora: Lora | None  # the radio that is wired to it, in every role

    @property
    def micropython(self) -> str:
        """The least MicroPython, as text."""
        return ".".join(map(str, self.identify.micropython))

    @property
    def backup_bytes(self) -> int:
        """Size of machine.mem_backup(); 0 where the firmware is not to use it."""
        return self.retained_bytes if self.retained_kind == "mem_backup" else 0

    @property
    def sensors(self) -> Mapping[str, Wiring]:
        """What is wired to a bin."""
        return self.roles["bin"].sensors

    @property
    def parts(self) -> Mapping[str, Part]:
        """The parts of all roles. An entry of two roles is the same part in both."""
        return {slot: part for role in self.roles.values() for slot, part in role.parts.items()}

    @property
    def currents(self) -> Mapping[str, int]:
        """Microampere by state: the names of CURRENTS, and "part:SLOT" and "standby:SLOT" of each part."""
        found = dict(self.chip_currents)
        for slot, part in self.parts.items():
            found[f"part:{slot}"], found[f"standby:{slot}"] = part.active_ua, part.standby_ua
        if self.lora is not None:
            found |= {f"lora:{state}": current for state, current in self.lora.radio.currents.items()}
        return found

    @property
    def geometry(self) -> Mapping[str, Geometry]:
        """What the ranging parts see, by entry."""
        return {slot: part.geometry for slot, part in self.parts.items() if part.geometry is not None}

    def on_board(self, role: str = "bin") -> dict[str, Any]:
        """What the board itself is told in a role, as board.json: integers and strings only. KeyError: no such role."""
        return {
            "name": self.name,
            "role": role,
            "port": self.port,
            "sleep": self.sleep_model,
            "longest_sleep_ms": self.longest_sleep_ms,
            "retained": {"kind": self.retained_kind, "bytes": self.retained_bytes},
            "watchdog": {"longest_ms": self.watchdog_longest_ms, "in_deepsleep": self.watchdog_counts_in_deepsleep},
            "link": dict(self.link),
            "sensors": {} if role == MODEM else {n: dict(sensor) for n, sensor in self.roles[role].sensors.items()},
            **({} if self.lora is None else {"lora": dict(self.lora.entry)}),
        }


def read_board(path: Path, parts: Mapping[str, Part], radios: Mapping[str, Radio]) -> Board:
    """The board in one board.toml. BoardError names the file and the key."""
    table = Table.read(path)
    flash, retained, clock = table.table("flash"), table.table("retained"), table.table("clock")
    sleep, watchdog, reset = table.table("sleep"), table.table("watchdog"), table.table("reset")
    lines, currents, roles = table.table("link"), table.table("currents"), table.table("roles")
    pins = _pins(table.table("pins"))
    link = {key: lines.number(key) for key in ("uart", "tx", "rx", "baud")}
    found = {role: read_role(roles.table(role), role, parts, pins, link) for role in ROLES}
    lora = read_lora(table.table("lora"), radios, pins, link, found) if table.has("lora") else None
    board = Board(
        name=table.text("name"),
        title=table.text("title"),
        port=cast("Literal['esp32', 'rp2']", table.text("port", PORTS)),
        stubs=table.text("stubs", may_be_empty=True),
        mcu_frequency_hz=table.number("mcu_frequency_hz"),
        tried_on_hardware=table.flag("tried_on_hardware"),
        notes=table.text("notes"),
        sources=table.texts("sources"),
        identify=_identify(table.table("identify")),
        pins=pins,
        flash_bytes=flash.number("size_bytes"),
        filesystem_bytes=flash.number("filesystem_bytes"),
        block_bytes=flash.number("block_bytes", 1),
        program_bytes=flash.number("program_bytes", 1),
        page_program_us=flash.number("page_program_us"),
        sector_erase_us=flash.number("sector_erase_us"),
        heap_bytes=table.table("heap").number("bytes"),
        sleep_model=sleep.text("model", SLEEP_MODELS),
        longest_sleep_ms=sleep.number("longest_ms"),
        retained_kind=cast("Literal['rtc_memory', 'mem_backup']", retained.text("kind", ("rtc_memory", "mem_backup"))),
        retained_bytes=retained.number("bytes"),
        retained_survives=frozenset(retained.texts("survives", ENDINGS)),
        reset_causes={key: reset.number(key) for key in ("power", "pin", *ENDINGS)},
        epoch_year=clock.number("epoch_year"),
        clock_starts_at_unix=clock.number("starts_at_unix"),
        clock_survives=frozenset(clock.texts("survives", ENDINGS)),
        watchdog_longest_ms=watchdog.number("longest_ms"),
        watchdog_counts_in_deepsleep=watchdog.flag("counts_in_deepsleep"),
        radio=(*table.table("radio").texts("kinds", RADIOS), *(("lora",) if lora else ())),
        chip_currents={key: currents.number(f"{key}_ua") for key in CURRENTS},
        link=link,
        roles=found,
        lora=lora,
    )
    if board.name != path.parent.name:
        raise table.error("name", f"is {board.name!r}, its folder is {path.parent.name!r}")
    if board.filesystem_bytes % board.block_bytes or board.filesystem_bytes > board.flash_bytes:
        raise flash.error("filesystem_bytes", "must be whole blocks within the flash")
    if not board.sources:
        raise table.error("sources", "must not be empty", "name the data sheets, or say: from memory")
    if not board.tried_on_hardware and "tried_on_hardware = false" not in board.notes:
        raise table.error("notes", "must say: tried_on_hardware = false", "tell the reader what was never measured")
    for key in ("tx", "rx"):
        if link[key] not in pins.free:
            raise table.error(f"link.{key}", f"is GPIO {link[key]}, which is not free on this board", "see pins.free")
    table.refuse_unread()
    return board


def _pins(table: Table) -> Pins:
    return Pins(free=table.numbers("free"), adc=table.numbers("adc"))


def _identify(table: Table) -> Identify:
    usb: list[tuple[int, int]] = []
    for text in table.texts("usb"):
        match = re.fullmatch("([0-9a-f]{4}):([0-9a-f]{4})", text)
        if match is None:
            raise table.error("usb", f"must hold vendor:product in hexadecimal, as 2e8a:0005, not {text!r}")
        usb.append((int(match[1], 16), int(match[2], 16)))
    version = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", table.text("micropython"))
    if version is None:
        raise table.error("micropython", 'must be a version such as "1.29"')
    try:
        pattern = re.compile(table.text("machine_pattern"))
    except re.error as error:
        raise table.error("machine_pattern", f"is no regular expression: {error}") from error
    machine = table.text("machine")
    if pattern.fullmatch(machine) is None:
        raise table.error("machine_pattern", f"does not match machine, {machine!r}")
    return Identify(
        usb=tuple(usb),
        platform=table.text("platform"),
        machine=machine,
        pattern=pattern,
        micropython=(int(version[1]), int(version[2])),
        install=table.text("install"),
    )
