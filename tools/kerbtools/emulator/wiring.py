"""Puts the parts of a role where its board.toml says: on pins, UARTs, buses and the world behind them.

A new part is a file in `parts/` and a function here. A driver without one is absent: nothing answers at its place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kerbtools import boards
from kerbtools.emulator import parts
from kerbtools.emulator.energy import Ledger
from kerbtools.emulator.lamp_scene import LampScene
from kerbtools.emulator.lora_air import LoraAir
from kerbtools.emulator.parts.bus import Analogue, I2cPart, LevelSink, LevelSource, Powered, PwmSink, SpiPart, UartPart
from kerbtools.emulator.parts.chip import ESP32_PIN, RP2_PIN, Chip
from kerbtools.emulator.scene import BinScene

Entry = Mapping[str, int | str]


@dataclass
class Wired:
    """Who sits where. Keys are GPIO and UART numbers; an I2C bus is its (sda, scl), an SPI bus its clock pin."""

    by_slot: dict[str, parts.Part] = field(default_factory=dict[str, parts.Part])
    uarts: dict[int, UartPart | None] = field(default_factory=dict[int, UartPart | None])  # the link's has no part
    one_wire: dict[int, parts.Ds18b20] = field(default_factory=dict[int, parts.Ds18b20])
    analogue: dict[int, Analogue] = field(default_factory=dict[int, Analogue])
    i2c: dict[tuple[int, int], list[I2cPart]] = field(default_factory=dict[tuple[int, int], list[I2cPart]])
    spi: dict[int, list[tuple[int, SpiPart]]] = field(default_factory=dict[int, list[tuple[int, SpiPart]]])
    sources: dict[int, LevelSource] = field(default_factory=dict[int, LevelSource])
    sinks: dict[int, LevelSink] = field(default_factory=dict[int, LevelSink])
    pwm: dict[int, PwmSink] = field(default_factory=dict[int, PwmSink])
    dali: dict[int, parts.Dali] = field(default_factory=dict[int, parts.Dali])  # by either pin
    always_on: list[Powered] = field(default_factory=list[Powered])
    luminaire: parts.Luminaire | None = None
    banks: parts.D4i | None = None
    lora: parts.Sx126x | None = None
    load_ua: Callable[[], int] = lambda: 0  # what the board and its parts draw now


@dataclass(frozen=True)
class Site:
    """What a part may ask of where it is."""

    scene: BinScene | LampScene
    seed: str
    serial: int
    lora: LoraAir | None = None  # what its LoRa radio sends into; None: it has none fitted
    name: str = ""
    place_m: tuple[float, float] = (0.0, 0.0)

    @property
    def bin(self) -> BinScene:
        if not isinstance(self.scene, BinScene):
            raise ValueError("a part of a bin needs a BinScene")
        return self.scene

    @property
    def lamp(self) -> LampScene:
        if not isinstance(self.scene, LampScene):
            raise ValueError("a part of a lamp needs a LampScene")
        return self.scene


class PowerPin:
    """A load switch: the part behind it has power while its pin is high."""

    def __init__(self, part: Powered) -> None:
        self._part = part

    def drive(self, level: int, now_us: int) -> None:
        self._part.power(bool(level), now_us)


def wire(facts: boards.Board, role: str, site: Site, ledger: Ledger) -> Wired:
    """Everything that `role` wires to the board."""
    wired = Wired(uarts={facts.link["uart"]: None}, load_ua=ledger.draw_ua)
    if role == "lamp":
        wired.luminaire = parts.Luminaire(site.lamp.mains_v)
        wired.by_slot["luminaire"] = wired.luminaire
        rp2 = facts.port == "rp2"
        wired.analogue[RP2_PIN if rp2 else ESP32_PIN] = Chip(lambda now_us: _inside_c(wired, site, now_us), rp2)
    if facts.lora is not None and site.lora is not None:
        _lora(wired, facts.lora.entry, site, ledger)
    sensors: Mapping[str, Entry] = facts.roles[role].sensors if role in facts.roles else {}
    for slot, entry in sensors.items():
        fit = _FITTERS.get(str(entry["driver"]))
        part = fit(wired, entry, site) if fit else parts.Part()
        wired.by_slot[slot] = part
        part.draws = _meter(ledger, slot)
    return wired


def _meter(ledger: Ledger, slot: str) -> Callable[[bool, int], None]:
    def draws(active: bool, now_us: int) -> None:
        ledger.run(slot, f"{'part' if active else 'standby'}:{slot}", now_us)

    return draws


def _lora(wired: Wired, entry: Entry, site: Site, ledger: Ledger) -> None:
    assert site.lora is not None
    radio = wired.lora = wired.by_slot["lora"] = parts.Sx126x(site.name, entry, site.lora, site.place_m)
    radio.draws_as = lambda state, now_us: ledger.run("lora", f"lora:{state}", now_us)
    wired.spi.setdefault(int(entry["sck"]), []).append((int(entry["cs"]), radio))
    wired.sources[int(entry["dio1"])] = radio
    wired.sources[int(entry["busy"])] = radio.busy
    wired.sources[int(entry["reset"])] = radio.reset_pin
    wired.sinks[int(entry["reset"])] = radio.reset_pin


def _a02yyuw(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.A02yyuw(
        f"{site.seed}/a02yyuw",
        site.bin.truth,
        reference_c=int(entry["reference_c"]),
        warm_up_ms=int(entry["warm_up_ms"]),
    )
    wired.uarts[int(entry["uart"])] = part
    _power(wired, entry, part)
    return part


def _jsn_sr04t(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.JsnSr04t(f"{site.seed}/jsn_sr04t", site.bin.truth, warm_up_ms=int(entry["warm_up_ms"]))
    wired.sinks[int(entry["trigger"])] = part
    wired.sources[int(entry["echo"])] = part
    _power(wired, entry, part)
    return part


def _vl53l1x(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Vl53l1x(f"{site.seed}/vl53l1x", site.bin.truth, int(entry["address"]))
    _on_i2c(wired, entry, part)
    _power(wired, entry, part)
    return part


def _power(wired: Wired, entry: Entry, part: Powered) -> None:
    """Behind its load switch, or on at all times."""
    if "power_pin" in entry:
        wired.sinks[int(entry["power_pin"])] = PowerPin(part)
    else:
        wired.always_on.append(part)


def _ds18b20(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Ds18b20(site.serial, site.bin.truth)
    wired.one_wire[int(entry["pin"])] = part
    return part


def _divider(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Cells(
        site.bin.truth,
        top_ohm=int(entry["divider_top_ohm"]),
        bottom_ohm=int(entry["divider_bottom_ohm"]),
        full_scale_mv=int(entry["full_scale_mv"]),
        load_ua=wired.load_ua,
    )
    wired.analogue[int(entry["pin"])] = part
    return part


def _lis3dh(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Lis3dh(
        lambda now_us: site.bin.tilt_degrees,
        int(entry.get("address", 0x19)),
        celsius=lambda now_us: site.bin.truth(now_us).temperature_c,
    )
    if "cs" in entry:
        wired.spi.setdefault(int(entry["sck"]), []).append((int(entry["cs"]), part))
    else:
        _on_i2c(wired, entry, part)
    if "wake_pin" in entry:
        wired.sources[int(entry["wake_pin"])] = part
    return part


def _veml7700(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Veml7700(_light_at(wired, site.lamp), int(entry["address"]))
    _on_i2c(wired, entry, part)
    return part


def _bh1750(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Bh1750(_light_at(wired, site.lamp), int(entry["address"]))
    _on_i2c(wired, entry, part)
    return part


def _level(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Presence(site.lamp.is_occupied, site.lamp.next_presence_us, int(entry["active"]))
    wired.sources[int(entry["pin"])] = part
    return part


def _bl0942(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Bl0942(
        _luminaire(wired),
        baud=int(entry["baud"]),
        shunt_uohm=int(entry["shunt_uohm"]),
        top_ohm=int(entry["divider_top_ohm"]),
        bottom_ohm=int(entry["divider_bottom_ohm"]),
    )
    wired.uarts[int(entry["uart"])] = part
    return part


def _pwm(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Dimmer(_luminaire(wired), int(entry["full_light_duty"]))
    wired.pwm[int(entry["pin"])] = part
    return part


def _relay(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    lamp = _luminaire(wired)
    part = parts.Relay(lamp, int(entry["lit_level"]), int(entry["operate_ms"]), int(entry["release_ms"]))
    wired.sinks[int(entry["pin"])] = part
    if "zero_cross" in entry:
        wired.sources[int(entry["zero_cross"])] = parts.ZeroCross(lamp, part)
    return part


def _dali(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Dali(
        _luminaire(wired), _banks(wired, site), idle_tx=int(entry["idle_tx"]), idle_rx=int(entry["idle_rx"])
    )
    wired.dali[int(entry["tx"])] = wired.dali[int(entry["rx"])] = part
    wired.sources[int(entry["rx"])] = part
    return part


def _d4i(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    return _banks(wired, site)


def _ld2410(wired: Wired, entry: Entry, site: Site) -> parts.Part:
    part = parts.Ld2410(f"{site.seed}/ld2410", site.lamp.is_occupied)
    wired.uarts[int(entry["uart"])] = part
    return part


def _banks(wired: Wired, site: Site) -> parts.D4i:
    """The memory banks of the lamp's driver, one set of them."""
    if wired.banks is None:
        wired.banks = parts.D4i(_luminaire(wired), lambda now_us: site.lamp.truth(now_us).temperature_c)
    return wired.banks


def _inside_c(wired: Wired, site: Site, now_us: int) -> float:
    """The air in the luminaire's head."""
    return site.lamp.truth(now_us).temperature_c + HEATS_C * _luminaire(wired).light(now_us)


def _on_i2c(wired: Wired, entry: Entry, part: I2cPart) -> None:
    wired.i2c.setdefault((int(entry["sda"]), int(entry["scl"])), []).append(part)


def _luminaire(wired: Wired) -> parts.Luminaire:
    if wired.luminaire is None:
        raise ValueError("only a lamp has a luminaire")
    return wired.luminaire


def _light_at(wired: Wired, scene: LampScene) -> Callable[[int], float]:
    """What a sensor on the column sees: daylight, and a little of its own lamp."""
    luminaire = _luminaire(wired)
    return lambda now_us: (scene.daylight_lux(now_us) + OWN_LIGHT_LUX * luminaire.light(now_us)) * (1 - scene.cover)


HEATS_C = 25.0  # what full light adds to the air in the luminaire; invented, plausible
OWN_LIGHT_LUX = 4.0  # of its own lamp at full light, on a sensor that looks at the sky; invented, plausible

_FITTERS: Mapping[str, Callable[[Wired, Entry, Site], parts.Part]] = {
    "a02yyuw": _a02yyuw,
    "bh1750": _bh1750,
    "bl0942": _bl0942,
    "d4i": _d4i,
    "dali": _dali,
    "divider": _divider,
    "ds18b20": _ds18b20,
    "jsn_sr04t": _jsn_sr04t,
    "ld2410": _ld2410,
    "level": _level,
    "lis3dh": _lis3dh,
    "pwm": _pwm,
    "relay": _relay,
    "veml7700": _veml7700,
    "vl53l1x": _vl53l1x,
}
