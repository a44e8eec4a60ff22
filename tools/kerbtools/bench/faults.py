"""Every fault of every part of a bin: what the gateway decodes of it, and what the self-test says on the bench.

The parts are the emulator's, the node's side is the firmware's sources re-entered wake by wake, the gateway's end opens
sealed frames. Four samples a day, of which one tries cells and accelerometer too.
"""

import multiprocessing
import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from kerbwire.channels import (
    BATTERY,
    DISTANCE,
    FILL,
    QUALITY,
    QUALITY_FLAGS,
    RAW,
    SPECIAL,
    TEMPERATURE,
    TILT,
    TROUBLE,
    trouble,
)  # fmt: skip
from kerbwire.events import BATTERY_LOW, CLEARED, FIRE, RAISED, SENSOR_FAULT, Event

BOARD = "esp32_c3"
RANGERS: dict[str, dict[str, int | str]] = {
    "a02yyuw": {
        "driver": "a02yyuw", "uart": 1, "tx": 5, "rx": 4, "baud": 9600, "power_pin": 6, "warm_up_ms": 300,
        "reference_c": 20,
    },
    "jsn_sr04t": {"driver": "jsn_sr04t", "trigger": 5, "echo": 4, "power_pin": 6, "warm_up_ms": 100},
    "vl53l1x": {
        "driver": "vl53l1x", "i2c": 0, "sda": 10, "scl": 1, "frequency_hz": 400_000, "address": 0x29, "power_pin": 6,
        "warm_up_ms": 2,
    },
}  # fmt: skip
SETTLE = 6  # wakes before a fault
LONGEST = 60  # samples that a fault may take until it is told
FULL_MM = 700  # so that what hangs before a JSN-SR04T, whose blind zone is 250 mm, is nearer than waste can be
CONFIG = {"heat_s": 0, "interval_s": 21_600, "report_records": 1, "full_mm": FULL_MM, "cells_mah": 34_000}
_HOUR_US = 3_600_000_000
SHOWN = {FILL: "fill", DISTANCE: "distance", TEMPERATURE: "temperature", TILT: "tilt", BATTERY: "battery"}


def rows() -> Iterator[dict[str, object]]:
    """One row a driver and fault."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(walk, RANGERS):
            yield from found


def walk(ranger: str) -> list[dict[str, object]]:
    """The faults of this ranger; beside the first ranger those of the other parts too. One call a process."""
    from kerbtools.bench import reentry

    random.seed(ranger)
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="kerb-faults-") as folder:
        node = reentry.Reentry(
            BOARD, CONFIG, reentry.START_UTC, f"faults/{ranger}", Path(folder), {"distance": RANGERS[ranger]}
        )
        slots = ["distance"] if found or ranger != next(iter(RANGERS)) else list(node.hardware.parts)
        for slot in slots:
            for fault in ("absent", *node.hardware.parts[slot].FAULTS):
                driver = ranger if slot == "distance" else str(node.facts.roles["bin"].sensors[slot]["driver"])
                found.append({"driver": driver, "slot": slot, "fault": fault, **_one(node, slot, fault)})
    return found


def smoulder(board: str, kelvin_a_minute: float, phases: int) -> list[float]:
    """Seconds from the lighting of a fire to its event at the gateway, of the whole firmware. One call a process.

    The fires are lit 25 s apart before a full hour, at which a sample falls among the looks.
    """
    from kerbtools.bench import levels_world, reentry

    random.seed("smoulder")
    took_s: list[float] = []
    fire = levels_world.Fire(kelvin_a_minute)
    with tempfile.TemporaryDirectory(prefix="kerb-smoulder-") as folder:
        node = reentry.Reentry(board, {}, reentry.START_UTC, "smoulder", Path(folder))
        for phase in range(phases):
            lit_us = (node.now_us // _HOUR_US + 2) * _HOUR_US - 25_000_000 * phase
            found: list[Event] = []
            while not found and node.now_us < lit_us + 1800 * 1_000_000:
                node.gateway.events.clear()
                node.scene.extra_c = fire.rise_k((node.now_us - lit_us) / 1e6)
                node.wake()
                found = [event for event in node.gateway.events if (event.code, event.state) == (FIRE, RAISED)]
            took_s.append((node.gateway.heard_us - lit_us) / 1e6 if found else 1800.0)
            node.scene.extra_c = 0.0
            while node.now_us < lit_us + 5 * _HOUR_US:  # the frames of a day are counted: some four of these have them
                node.wake()
    return took_s


def _one(node: Any, slot: str, fault: str) -> dict[str, object]:
    part, gateway = node.hardware.parts[slot], node.gateway
    for _ in range(SETTLE):
        node.wake()
    gateway.events.clear()
    if fault == "absent":
        part.present = False
    else:
        part.fault = fault
    node.hardware.pins.refresh()
    told, flags = None, 0
    before, first = len(gateway.indices), len(node.taken)
    while told is None and len(node.taken) - first < LONGEST:
        node.wake()
        flags = flags or _flags(gateway.newest) if len(gateway.indices) > before else 0
        told = next((event for event in gateway.events if _is_raised(event)), None)
    samples = len(node.taken) - first
    tested = node.self_test()[slot]
    part.present, part.fault = True, None
    node.hardware.pins.refresh()
    over, last = False, len(node.taken)
    while told and not over and len(node.taken) - last < LONGEST:
        node.wake()
        over = any(event.code == told.code and event.state == CLEARED for event in gateway.events)
    return {
        "event": _words(told), "raw": "" if told is None else told.values.get(RAW, ""),
        "samples": samples if told else "", "flags": _flag_words(flags), "cleared": over,
        "self_test": f"{tested['verdict']}: {tested['value']}", "advice": tested["cause"],
    }  # fmt: skip


def _is_raised(event: Event) -> bool:
    return event.code in (SENSOR_FAULT, BATTERY_LOW) and event.state == RAISED


def _flags(records: list[Any]) -> int:
    flags = 0
    for record in records:
        value = record.values.get(QUALITY, 0)
        flags |= value if value not in SPECIAL else 0
    return flags


def _flag_words(flags: int) -> str:
    return ", ".join(word for bit, word in QUALITY_FLAGS.items() if flags & bit)


def _words(event: Event | None) -> str:
    """What the event names: a part and why, or what its evidence shows."""
    if event is None:
        return ""
    if event.code == BATTERY_LOW:
        return f"battery low, {event.values[BATTERY] / 100:.2f} V"
    if TROUBLE in event.values:
        return trouble(event.values[TROUBLE])
    shown = [f"{name} {SPECIAL[event.values[at]]}" for at, name in SHOWN.items() if event.values.get(at) in SPECIAL]
    return "; ".join([*shown, _flag_words(event.values.get(QUALITY, 0))])
