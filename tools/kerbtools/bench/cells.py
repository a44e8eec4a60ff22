"""How long cells last: the model of firmware/POWER.md, and a board's budget from the currents of its board.toml."""

from dataclasses import dataclass

from kerbtools import boards

DAYS_A_YEAR = 365.25
# Computing of a wake at 160 times the unix port, by port: `ms_at_160` of `kerb bench node` (kerbtools.bench.wake).
HEAT_CPU_S = {"esp32": 0.103, "rp2": 0.115}  # takes the temperature
SAMPLE_CPU_S = {"esp32": 0.195, "rp2": 0.195}  # samples
REPORT_CPU_S = {"esp32": 1.4, "rp2": 1.6}  # samples and reports a day
START_S = 0.3  # of each wake before the firmware: chip, MicroPython, reading modules from flash (estimate)
EXCHANGE_S = 1.0  # the radio on, for an exchange that is answered: association, one frame, its answer (an assumption)
ECHO_S = 1.25  # seven echoes and the ranger's warm-up; the part sends one each 100 to 150 ms
SILENCE_SHARE = 0.2  # of what ten years allow: what a gateway that never answers may cost
CONVERSION_S = 0.75  # of the thermometer
HASTE_LOOKS = 12.4  # a day more, of a thin dark lid in the sun: `kerb bench levels`

READ, MEASURED, ESTIMATE = "read", "measured elsewhere", "estimate"
# What the figures of Cells and of board.toml rest on: figure, source, and whether that source was read for this page.
SOURCES = (
    (
        "two cells: 2 x 17 Ah",
        "Linden's Handbook of Batteries, p. 14.30, fig. 14.17a: D bobbin at 25 degC, 17 Ah at 0.2 mA, 19 at 4 mA",
        READ,
    ),
    (
        "self-discharge 1 % a year",
        "Saft LS 26500 data sheet, a C cell of that make: less than 1 % after a year of storage at 20 degC",
        READ,
    ),
    (
        "80 % usable at -10 degC",
        "the handbook's fig. 14.18 has the curves, which were not read: below 1 mA, taken low",
        ESTIMATE,
    ),
    ("leakage of the pulse capacitor 5 uA", "hybrid layer capacitors' data sheets say less, from memory", ESTIMATE),
    ("ESP32-C3 active 28 mA", "26.8 mA of a bare chip at 160 MHz (robdobson.com, 2023-11)", MEASURED),
    (
        "ESP32-C3 deep sleep 5 uA, sending 335 mA",
        "its data sheet, section 4.6, by a reader (joe.neeman.me, 2023-11)",
        READ,
    ),
    ("ESP32-C3 light sleep 130 uA", "its data sheet, from memory; 350 uA of a bare chip (robdobson.com)", ESTIMATE),
    ("ESP32-S3, all currents", "its data sheet, from memory; 31.7 mA running, 8 uA asleep (lucidar.me)", ESTIMATE),
    (
        "Pico W asleep 1.2 mA",
        "micropython-pico-deepsleep issue 8; 0.99 mA of a Pico: micropython pull request 8832",
        MEASURED,
    ),
    ("Pico W and Pico 2 W, all else", "from memory", ESTIMATE),
    ("start of chip and MicroPython 0.3 s", "reports of 0.2 s, from memory, and 90 KB read from flash", ESTIMATE),
    ("DS18B20 1 mA while it converts, 750 ms", "data sheet, DC and AC electrical characteristics", READ),
    ("LIS3DH 11 uA", "data sheet, at 50 Hz, from memory; it runs at 10 Hz in low power, which is less", ESTIMATE),
    ("A02YYUW 8 mA", "product page, from memory; with power for 1.25 s an hour", ESTIMATE),
)


@dataclass(frozen=True, slots=True)
class Cells:
    """Two D cells Li-SOCl2 in parallel with a pulse capacitor, at -10 degC. Sources: firmware/POWER.md."""

    nominal_mah: float = 2 * 17_000
    usable_share: float = 0.8  # at -10 degC and below 5 mA, to the voltage at which a board stops
    self_discharge_a_year: float = 0.01  # of the nominal charge
    capacitor_ua: float = 5.0  # leakage of the pulse capacitor

    def years(self, mah_a_day: float) -> float:
        """Until the usable charge is gone."""
        a_day = mah_a_day + self.capacitor_ua * 24 / 1000
        return (
            self.nominal_mah * self.usable_share / (a_day * DAYS_A_YEAR + self.nominal_mah * self.self_discharge_a_year)
        )

    def may_draw(self, years: float) -> float:
        """mAh a day that last so long."""
        share = self.nominal_mah * (self.usable_share - self.self_discharge_a_year * years)
        return share / years / DAYS_A_YEAR - self.capacitor_ua * 24 / 1000


CELLS = Cells()


def budget(name: str, heat_s: int = 120, interval_s: int = 3600) -> dict[str, float]:
    """mAh a day by what is done, of a bin node on this board, from its currents and the times above. BoardError."""
    facts = boards.load(name)
    ua = facts.currents
    samples, looks = 86_400 / interval_s, (86_400 / heat_s if heat_s else 0.0)
    active, light = ua["active"], ua["lightsleep"]

    def mah(count: float, seconds: float, current_ua: float) -> float:
        return count * seconds * current_ua / 3_600_000

    always = sum(current for cause, current in ua.items() if cause in ("part:battery", "part:tilt")) * 24 / 1000
    rows = {
        "asleep": ua["deepsleep"] * 24 / 1000,
        "always on: accelerometer, divider": always,
        "samples: echoes": mah(samples, ECHO_S, active + ua.get("part:distance", 0)),
        "samples: computing": mah(samples, SAMPLE_CPU_S[facts.port], active),
        "temperature: conversion": mah(samples + looks, CONVERSION_S, light + ua.get("part:temperature", 0)),
        "temperature: computing": mah(looks, HEAT_CPU_S[facts.port], active),
        "temperature: sooner in the sun": mah(
            HASTE_LOOKS if looks else 0.0, 1, CONVERSION_S * light + (HEAT_CPU_S[facts.port] + START_S) * active
        ),
        "starts of chip and MicroPython": mah(samples + looks, START_S, active),
        "report: computing": mah(1, REPORT_CPU_S[facts.port], active),
        "radio: a frame a day": mah(1, EXCHANGE_S, active + ua.get("radio_rx", 0)),
    }
    return {**rows, "all": sum(rows.values())}
