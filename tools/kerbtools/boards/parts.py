"""The parts that are wired to boards: `boards/parts.toml`, one table a part, for all boards.

A presence sensor that cannot see the ground from a column of 5 to 12 m must be marked `bench_only`; a part that touches
the mains must be marked `mains`, and a board that wires it must say what isolates it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kerbtools.boards.table import Table

# What a part is for. A board has at most one of each in a role, so this is also the name of its entry.
SLOTS = ("distance", "temperature", "tilt", "battery", "presence", "light", "meter", "dimmer", "relay")
# Drivers of the firmware, and what board.json tells each: key -> whether it must be there.
DRIVERS: Mapping[str, Mapping[str, bool]] = {
    "a02yyuw": {
        "uart": True, "tx": True, "rx": True, "baud": True, "power_pin": False, "warm_up_ms": True, "reference_c": True,
    },
    "jsn_sr04t": {"trigger": True, "echo": True, "power_pin": False, "warm_up_ms": True},
    "vl53l1x": {
        "i2c": True, "sda": True, "scl": True, "frequency_hz": True, "address": True, "power_pin": False,
        "warm_up_ms": True,
    },
    "ds18b20": {"pin": True},
    "lis3dh": {"i2c": True, "sda": True, "scl": True, "frequency_hz": True, "address": True, "wake_pin": False},
    "divider": {"pin": True, "full_scale_mv": True, "divider_top_ohm": True, "divider_bottom_ohm": True},
    "level": {"pin": True, "active": True},  # presence as a level on a pin: PIR, or a radar's output
    "ld2410": {"uart": True, "tx": True, "rx": True, "baud": True},
    "veml7700": {"i2c": True, "sda": True, "scl": True, "frequency_hz": True, "address": True},
    "bh1750": {"i2c": True, "sda": True, "scl": True, "frequency_hz": True, "address": True},
    "bl0942": {
        "uart": True, "tx": True, "rx": True, "baud": True, "shunt_uohm": True, "divider_top_ohm": True,
        "divider_bottom_ohm": True,
    },
    "d4i": {},  # asks the dimmer's bus
    "pwm": {"pin": True, "frequency_hz": True, "full_light_duty": True},
    "dali": {"tx": True, "rx": True, "idle_tx": True, "idle_rx": True},
    "relay": {"pin": True, "lit_level": True, "operate_ms": True, "release_ms": True, "zero_cross": False},
}  # fmt: skip
GPIO_KEYS = ("tx", "rx", "pin", "power_pin", "wake_pin", "trigger", "echo", "sda", "scl", "zero_cross")
GOES_OUT = {"pwm": False, "dali": True}  # whether a dimmer's driver goes dark by what it is told
COLUMN_MM = (5000, 12000)  # heights of lamps that a presence sensor has to see the ground from


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What a ranging part sees. cone_degrees: full opening angle of the wider axis. Mounting: height of the part."""

    nearest_mm: int
    farthest_mm: int
    cone_degrees: int
    mounting_lowest_mm: int
    mounting_highest_mm: int
    mounting: str
    rain: str

    def sees_from(self, height_mm: int) -> bool:
        """Whether the ground straight below is within its range."""
        return self.nearest_mm <= height_mm <= self.farthest_mm


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part. Currents in microampere at the board's supply rail; standby: fitted and powered, but not measuring."""

    name: str
    title: str
    slot: str
    driver: str
    active_ua: int
    standby_ua: int
    mains: bool  # some terminal of it lies at mains potential, or may by a single fault
    bench_only: bool
    geometry: Geometry | None
    sources: tuple[str, ...]


def read_parts(path: Path) -> dict[str, Part]:
    """All parts of one parts.toml. BoardError names the file and the key."""
    table = Table.read(path)
    parts = {name: _part(name, table.table(name)) for name in table.names()}
    table.refuse_unread()
    return parts


def _part(name: str, table: Table) -> Part:
    slot = table.text("slot", SLOTS)
    part = Part(
        name=name,
        title=table.text("title"),
        slot=slot,
        driver=table.text("driver", tuple(DRIVERS)),
        active_ua=table.number("active_ua"),
        standby_ua=table.number("standby_ua"),
        mains=table.flag("mains"),
        bench_only=table.flag("bench_only"),
        geometry=_geometry(table.table("geometry")) if table.has("geometry") else None,
        sources=table.texts("sources"),
    )
    if not part.sources:
        raise table.error("sources", "must not be empty", "name the data sheet and its section, or say: from memory")
    if slot in ("distance", "presence") and part.geometry is None:
        raise table.error("geometry", "is missing", "give range, cone, mounting height and what rain does to it")
    if slot == "presence" and part.geometry and not part.bench_only:
        blind = [height for height in COLUMN_MM if not part.geometry.sees_from(height)]
        if blind:
            raise table.error(
                "bench_only", f"must be true: it cannot see the ground from {blind[0] // 1000} m",
                "a lamp hangs 5 to 12 m high; a part for the street needs that range",
            )  # fmt: skip
    return part


def _geometry(table: Table) -> Geometry:
    geometry = Geometry(
        nearest_mm=table.number("nearest_mm"),
        farthest_mm=table.number("farthest_mm"),
        cone_degrees=table.number("cone_degrees", 1),
        mounting_lowest_mm=table.number("mounting_lowest_mm"),
        mounting_highest_mm=table.number("mounting_highest_mm"),
        mounting=table.text("mounting"),
        rain=table.text("rain"),
    )
    if geometry.nearest_mm >= geometry.farthest_mm:
        raise table.error("nearest_mm", "must be less than farthest_mm")
    if geometry.cone_degrees > 360:
        raise table.error("cone_degrees", "must be at most 360")
    if geometry.mounting_lowest_mm > geometry.mounting_highest_mm:
        raise table.error("mounting_lowest_mm", "must not be more than mounting_highest_mm")
    return geometry
