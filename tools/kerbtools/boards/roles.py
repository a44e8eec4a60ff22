"""What is wired to a board in a role: `[roles.bin]` and `[roles.lamp]` of a board.toml.

A lamp hangs on the mains. So its role must say what stands between the mains and whatever the board, a technician or a
USB cable could touch: its supply, and every part that parts.toml marks `mains`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from kerbtools.boards.parts import DRIVERS, GOES_OUT, GPIO_KEYS, Part
from kerbtools.boards.table import Table

ROLES = ("bin", "lamp")
GRADES = ("pilot", "field")
REQUIRED = {"bin": ("distance", "temperature", "battery"), "lamp": ("presence", "light", "meter", "dimmer")}
ALLOWED = {"bin": (*REQUIRED["bin"], "tilt"), "lamp": (*REQUIRED["lamp"], "relay")}
# Reinforced insulation at 230 V: test voltage 4 U + 2000 V with U = 250 V (IEC 61347-1, table of electric strength);
# creepage in pollution degree 3, material group III: twice 4 mm (IEC 60664-1, table F.5). Both from memory.
LEAST_RATED_V = 3000
LEAST_CREEPAGE_UM = 8000

Wiring = Mapping[str, int | str]


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """What separates one thing from the mains. rated_v: AC test voltage, r.m.s., for one minute."""

    barrier: str
    rated_v: int
    creepage_um: int


@dataclass(frozen=True, kw_only=True)
class Role:
    """One role of one board. `sensors`: what board.json says, dimmer and relay included; `parts`: what they are."""

    name: str
    grade: Literal["pilot", "field"]
    why: str
    sensors: Mapping[str, Wiring]
    parts: Mapping[str, Part]
    isolation: Mapping[str, Isolation]

    @property
    def bench_only(self) -> tuple[str, ...]:
        """The entries whose part is not for the street."""
        return tuple(slot for slot, part in self.parts.items() if part.bench_only)


@dataclass(frozen=True, kw_only=True)
class Pins:
    """GPIO numbers that the board leads out and leaves free for us, and those of them with an ADC."""

    free: Collection[int]
    adc: Collection[int]


def read_role(table: Table, name: str, parts: Mapping[str, Part], pins: Pins, link: Wiring) -> Role:
    """BoardError names the file and the key."""
    entries = table.table("sensors")
    sensors: dict[str, Wiring] = {}
    fitted: dict[str, Part] = {}
    for slot in entries.names():
        if slot not in ALLOWED[name]:
            raise entries.error(slot, f"is nothing that a {name} has", "choose from: " + ", ".join(ALLOWED[name]))
        wires = entries.table(slot)
        part = parts[wires.text("part", tuple(parts))]
        if part.slot != slot:
            raise wires.error("part", f"must be a part for {slot}", f"{part.name} is one for {part.slot}")
        fitted[slot] = part
        sensors[slot] = _wiring(wires, part)
    for slot in REQUIRED[name]:
        if slot not in sensors:
            raise entries.error(slot, "is missing", f"a {name} needs: " + ", ".join(REQUIRED[name]))
    _check_pins(entries, sensors, pins, link)
    _check_buses(entries, sensors, link)
    if name == "lamp":
        _check_lamp(entries, sensors)
    role = Role(
        name=name,
        grade=cast("Literal['pilot', 'field']", table.text("grade", GRADES)),
        why=table.text("why"),
        sensors=sensors,
        parts=fitted,
        isolation=_isolation(table, fitted, sensors) if name == "lamp" else {},
    )
    if role.grade == "field" and role.bench_only:
        slot = role.bench_only[0]
        raise table.error("grade", f"cannot be field: {role.parts[slot].name} ({slot}) is for the bench only")
    return role


def _wiring(table: Table, part: Part) -> Wiring:
    """What the driver is told; texts are not among it, apart from the driver's own name."""
    wiring: dict[str, int | str] = {"driver": part.driver}
    for key, needed in DRIVERS[part.driver].items():
        if needed or table.has(key):
            wiring[key] = table.number(key)
    return wiring


def _check_pins(table: Table, sensors: Mapping[str, Wiring], pins: Pins, link: Wiring) -> None:
    taken: dict[int, str] = {int(link["tx"]): "link.tx", int(link["rx"]): "link.rx"}
    for slot, wiring in sensors.items():
        for key in GPIO_KEYS:
            if key not in wiring:
                continue
            pin, user = int(wiring[key]), f"{slot}.{key}"
            if pin not in pins.free:
                raise table.error(user, f"is GPIO {pin}, which is not free on this board", "see pins.free")
            if slot == "battery" and pin not in pins.adc:
                raise table.error(user, f"is GPIO {pin}, which has no ADC", "see pins.adc")
            shared = f"i2c {wiring['i2c']} {key}" if "i2c" in wiring and key in ("sda", "scl") else user
            if taken.setdefault(pin, shared) != shared:
                raise table.error(user, f"is GPIO {pin}, which {taken[pin]} has already")


def _check_buses(table: Table, sensors: Mapping[str, Wiring], link: Wiring) -> None:
    uarts = {int(link["uart"]): "link"}
    addresses: dict[tuple[int, int], str] = {}
    for slot, wiring in sensors.items():
        if "uart" in wiring and uarts.setdefault(int(wiring["uart"]), slot) != slot:
            user = uarts[int(wiring["uart"])]
            raise table.error(f"{slot}.uart", f"is UART {wiring['uart']}, which {user} has already")
        if "i2c" in wiring:
            at = int(wiring["i2c"]), int(wiring["address"])
            if addresses.setdefault(at, slot) != slot:
                raise table.error(f"{slot}.address", f"is the address of {addresses[at]} on the same bus")


def _check_lamp(table: Table, sensors: Mapping[str, Wiring]) -> None:
    """It has to go out by day, and a meter that is the driver's own needs the driver's bus."""
    dimmer = str(sensors["dimmer"]["driver"])
    if not GOES_OUT[dimmer] and "relay" not in sensors:
        raise table.error("relay", "is missing", "a 0-10 V driver does not go out by its dimming input: a relay does")
    if sensors["meter"]["driver"] == "d4i" and dimmer != "dali":
        raise table.error("meter.part", "is asked over a DALI bus, which this dimmer is not", "take dali as the dimmer")


def _isolation(table: Table, fitted: Mapping[str, Part], sensors: Mapping[str, Wiring]) -> dict[str, Isolation]:
    entries = table.table("isolation")
    needed = ["supply", *(slot for slot, part in fitted.items() if part.mains)]
    if "zero_cross" in sensors.get("relay", {}):
        needed.append("zero_cross")
    isolation: dict[str, Isolation] = {}
    for name in needed:
        if not entries.has(name):
            raise entries.error(name, "is missing", "say what stands between it and the mains: it can kill")
        entry = entries.table(name)
        isolation[name] = Isolation(
            barrier=entry.text("barrier"),
            rated_v=entry.number("rated_v", LEAST_RATED_V),
            creepage_um=entry.number("creepage_um", LEAST_CREEPAGE_UM),
        )
    return isolation
