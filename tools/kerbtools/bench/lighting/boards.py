"""How soon light comes, and goes ahead, on emulated boards: real MicroPython on one shared line (`kerb bench street`).

The light is looked at each LOOK_S about each passage. What the sensor and a driver's own fade take comes on top.
"""

# pyright: basic
# The firmware is MicroPython's, which carries no types.

import time
from collections.abc import Iterator
from typing import Any

from kerbtools.bench.native import NativeGateway
from kerbtools.demo.lamps import Lamps
from kerbtools.emulator import Board, World, interpreter
from kerbtools.emulator.street_scene import REACH_M, Walker
from kerbtools.emulator.world import START_UTC

BEGIN_UTC = START_UTC + 19 * 3600
LAMPS, WALKERS = 6, 10
EVERY_S, FIRST_S = 300, 300  # dark again before the next one comes
LOOK_S, AFTER_S = 0.05, 1.6
DARK, FULL = 25, 99  # percent of light: begins to ramp, is full
TIMEOUT_S = 300
WAVE_BAR_S, OWN_BAR_S, FULL_BAR_S, AHEAD_BAR_S = 0.3, 0.2, 0.8, 1.1


def rows(lamps: int = LAMPS, walkers: int = WALKERS) -> Iterator[dict[str, object]]:
    """One row: longest spans from a detection, of all passages. Where MicroPython is missing, a row says so."""
    try:
        interpreter.command()
    except interpreter.InterpreterError as error:
        yield {"skipped": str(error), "hint": error.hint}
        return
    begun = time.monotonic()
    spans = measure(lamps, walkers)
    found: dict[str, object] = {"boards": lamps, "detections": len(spans["ramps"])}
    for name, bar in (
        ("ramps", OWN_BAR_S), ("full", FULL_BAR_S), ("told", WAVE_BAR_S), ("next_is_full", AHEAD_BAR_S),
        ("two_ahead_is_full", AHEAD_BAR_S),
    ):  # fmt: skip
        ordered = sorted(spans[name])
        found[f"{name}_s_median"] = round(ordered[len(ordered) // 2], 2)
        found[f"{name}_s_longest"] = round(ordered[-1], 2)
        found[f"{name}_bar_s"] = bar
    found["to_the_s"] = LOOK_S
    found["wall_s"] = round(time.monotonic() - begun)
    yield found


def measure(lamps: int, walkers: int) -> dict[str, list[float]]:
    """Seconds from each detection at the first column, which no wave had lit: own light, full light; `told`: from the
    own column's beginning to the next one's; and until the next and the second next are full."""
    spans: dict[str, list[float]] = {
        name: [] for name in ("ramps", "full", "told", "next_is_full", "two_ahead_is_full")
    }  # fmt: skip
    with World(seed=5, start_utc=BEGIN_UTC, paused=True) as world:
        begin_us = BEGIN_UTC * 1_000_000
        people = [
            Walker(begin_us + round((FIRST_S + EVERY_S * at + 0.013 * at) * 1_000_000), (1.4, 5.0)[at & 1])
            for at in range(walkers)
        ]
        street = Lamps(world, "demo", lamps, lambda node: lambda board, line: None, people)
        NativeGateway(world, street.ether, {one.node: one.secret for one in street.identities})
        for board in street.boards:
            board.start()
        for person in people:
            sight_us = person.at_us(-REACH_M)
            world.advance((sight_us - world.now_us()) / 1_000_000, timeout_s=TIMEOUT_S)
            seen: dict[str, float] = {}
            while world.now_us() < sight_us + AFTER_S * 1_000_000:
                world.advance(LOOK_S, timeout_s=TIMEOUT_S)
                at_s = (world.now_us() - sight_us) / 1_000_000
                for name, place, percent in (
                    ("ramps", 0, DARK), ("full", 0, FULL), ("next", 1, DARK), ("next_is_full", 1, FULL),
                    ("two_ahead_is_full", 2, FULL),
                ):  # fmt: skip
                    if name not in seen and _light(street.boards[place], world) >= percent:
                        seen[name] = at_s
            seen["told"] = seen["next"] - seen["ramps"]
            for name, found in spans.items():
                found.append(seen[name])
    return spans


def _light(board: Board, world: World) -> float:
    luminaire: Any = board.hardware.wired.luminaire
    return 100 * luminaire.light(world.now_us())
