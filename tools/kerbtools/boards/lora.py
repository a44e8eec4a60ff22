"""The LoRa radio that is wired to a board: `[lora]` of a board.toml, and the modules of `boards/radios.toml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kerbtools.boards.parts import GPIO_KEYS
from kerbtools.boards.roles import Pins, Role, Wiring
from kerbtools.boards.table import Table

CHIPS = (1261, 1262)
STATES = ("sleep", "standby", "rx", "tx14", "tx17", "tx20", "tx22")  # whose current a radio has; tx by dBm
PINS = ("sck", "mosi", "miso", "cs", "busy", "dio1", "reset")
GAUGES = ("tcxo_mv", "dio2_switch", "dcdc")


@dataclass(frozen=True, kw_only=True)
class Radio:
    """One module. facts: what the driver is told of it. currents: microampere by state."""

    name: str
    title: str
    facts: Mapping[str, int]
    currents: Mapping[str, int]
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A radio and the pins that it is on; `entry` is what board.json says."""

    radio: Radio
    entry: Wiring


def read_radios(path: Path) -> dict[str, Radio]:
    """All modules of one radios.toml. BoardError names the file and the key."""
    table = Table.read(path)
    radios = {name: _radio(name, table.table(name)) for name in table.names()}
    table.refuse_unread()
    return radios


def read_lora(table: Table, radios: Mapping[str, Radio], pins: Pins, link: Wiring, roles: Mapping[str, Role]) -> Lora:
    """BoardError for a pin that is not free, or that the link or a part of any role has."""
    radio = radios[table.text("radio", tuple(radios))]
    entry: dict[str, int | str] = {"driver": "sx126x", "spi": table.number("spi")}
    entry["frequency_hz"] = table.number("frequency_hz", 100_000)
    taken = {int(link["tx"]): "link.tx", int(link["rx"]): "link.rx"}
    for role in roles.values():
        for slot, wires in role.sensors.items():
            taken |= {int(wires[key]): f"{role.name}.{slot}.{key}" for key in GPIO_KEYS if key in wires}
    for key in (*PINS, *(("rxen",) if table.has("rxen") else ())):
        pin = entry[key] = table.number(key)
        if pin not in pins.free:
            raise table.error(key, f"is GPIO {pin}, which is not free on this board", "see pins.free")
        if pin in taken:
            raise table.error(key, f"is GPIO {pin}, which {taken[pin]} has already")
        taken[pin] = key
    return Lora(radio=radio, entry={**entry, **radio.facts})


def _radio(name: str, table: Table) -> Radio:
    chip = table.number("chip")
    if chip not in CHIPS:
        raise table.error("chip", "must be one of: " + ", ".join(map(str, CHIPS)))
    radio = Radio(
        name=name,
        title=table.text("title"),
        facts={"chip": chip, **{key: table.number(key) for key in GAUGES}},
        currents={state: table.number(f"{state}_ua") for state in STATES},
        sources=table.texts("sources"),
    )
    if not radio.sources:
        raise table.error("sources", "must not be empty", "name the data sheet and its table, or say: from memory")
    return radio
