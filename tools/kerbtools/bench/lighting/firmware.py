"""`kerb bench street`: how soon boards light up, and twenty lamps' whole program for three nights on one shared line.

Lamps are the firmware's own source on CPython (kerbtools.bench.native), loop, parts, link, street and log, or with
`--boards` twenty emulated boards; people, sensors, sky and faults are those of `kerb bench lighting`, whose table this
one stands beside.
"""

# pyright: basic
# The firmware is MicroPython's, which carries no types.

import json
import os
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kerbtools.bench.lighting import boards, centre, nights
from kerbtools.bench.lighting import rows as control
from kerbtools.bench.lighting.board_lamp import BoardLamp
from kerbtools.bench.lighting.count import Count, add
from kerbtools.bench.lighting.nights import HEIGHT_MM, MARGIN_S, RADAR_CONE, RADAR_MM, SUNSET, Night
from kerbtools.bench.lighting.people import Person, arrivals
from kerbtools.bench.lighting.street import SPACING_M, Column, Faults, lux_at, reach_m
from kerbtools.bench.native import NativeGateway, NativeLamp
from kerbtools.demo.lamps import FIRST_MEMBER, street_file
from kerbtools.emulator.ether import Ether
from kerbtools.emulator.street_scene import ColumnScene, Walker
from kerbtools.emulator.world import World
from kerbwire.messages import Report

FIRST_NODE, SECRET = 801, bytes(range(16))
COUNTER = "Commerce Street West"  # the median of the centre's
LATER_S = 7 * 365 * 86400  # the same weekday and season of 2026: a node believes no clock before its own time
START_S = 900  # before the night's margin: hello, and the clock
LOOK_S = 10  # each 2 s by default: fewer looks change no light, and cost a fifth
RAMP_GAP_MS = 250  # steps as near as this are one ramp: a board rounds one of them away
MORNING_H = 10
TIMEOUT_S = 3600
STREET_FAULTS = Faults(missed=0.02, lost=0.01, dead=0.05)


@dataclass(frozen=True, slots=True)
class Case:
    """One night. deaf: no gateway from dusk to dawn. clock_off_s: of the gateway, which all lamps believe."""

    name: str
    night: Night
    deaf: bool = False
    clock_off_s: int = 0


def cases() -> list[Case]:
    """The path at 3 and 9 passages an hour, and a busy centre where its counts are at hand."""
    found = [
        Case("quiet path, 3 passages an hour", _path(3, "2026-03-21")),
        Case("quiet path, 9 passages an hour, no gateway", _path(9, "2026-09-21"), deaf=True),
    ]
    if centre.recorded().exists():
        night = centre.night(COUNTER, datetime(2019, 5, 14), control.CENTRE, STREET_FAULTS)
        night = replace(night, noon_s=night.noon_s + LATER_S)
        found.append(Case(f"busy centre, {COUNTER}, clock ten minutes off", night, clock_off_s=600))
    return found


def rows(on_boards: bool = False, columns: int = nights.COLUMNS) -> Iterator[dict[str, object]]:
    """Some emulated boards' way to light, then a row a night, with what the bench of the control makes of it."""
    yield from boards.rows()
    for case in cases():
        yield row(replace(case, night=replace(case.night, columns=columns)), on_boards)


def row(case: Case, on_boards: bool = False) -> dict[str, object]:
    """Walk one night, count it, and wait for the morning."""
    begun, begun_cpu_s = time.monotonic(), _cpu_s()
    night = case.night
    with tempfile.TemporaryDirectory(prefix="kerb-street-") as folder:
        walk = Walk(case, Path(folder), on_boards)
        count = walk.run()
    pure = nights.run(night)
    response = {
        f"{name}_p99": sorted(spans)[len(spans) * 99 // 100] / 1000 if spans else ""
        for name, spans in (
            ("ramps_s", count.own_ms), ("full_s", count.own_full_ms), ("two_ahead_full_s", count.ahead_full_ms),
        )
    }  # fmt: skip
    return {
        "night_of_20_lamps": case.name,
        "lamps": f"{night.columns}{' emulated boards' if on_boards else ''}",
        "saving_percent": round(control._saving(count), 1),
        "of_the_bench_of_control": round(control._saving(pure), 1),
        "most_possible": round(control._most(count), 1),
        "saving_of_half_nights": round(100 * (1 - count.wh / count.half_wh), 1),
        "stood_too_dark_percent": round(control._too_dark(count), 3),
        "person_hours": round(count.person_s / 3600, 1),
        "daylight_lamp_hours": round(count.day_lit_s / 3600, 3),
        "switchings_a_lamp_night": round(count.switchings / count.lamp_nights, 1),
        **response,
        "detections": len(count.own_ms),
        "logs_whole_by_10": f"{walk.whole} of {walk.living}",
        "frames": walk.frames,
        "line_busy_percent": round(walk.busy_percent, 2),
        "collided": walk.collided,
        "waves_stale": walk.stale,
        "failed": walk.failed,
        "cpu_s": round(_cpu_s() - begun_cpu_s),
        "wall_s": round(time.monotonic() - begun),
    }


class Walk:
    """One night of a street. on_boards: of emulated boards, else of native lamps. steps: of each lamp's light, by
    place: (us, percent). loss: of frames, at each listener."""

    def __init__(self, case: Case, folder: Path, on_boards: bool = False, loss: float = STREET_FAULTS.lost) -> None:
        self._case, self._folder = case, folder
        self._on_boards, self._loss = on_boards, loss
        self.steps: dict[int, list[tuple[int, int]]] = {}
        night = case.night
        self._dusk_s, self._dawn_s = nights.dusk_and_dawn(night.noon_s, night.place)
        self._start_s = (self._dusk_s - MARGIN_S) // 60 * 60
        self._reach = reach_m(RADAR_MM, RADAR_CONE, HEIGHT_MM)
        length_m = (night.columns - 1) * SPACING_M
        self._people = arrivals(f"{night.seed}/people", self._start_s, self._dawn_s, self._per_hour, length_m)
        own = random.Random(f"{night.seed}/street")  # noqa: S311
        self._dead = set(own.sample(range(night.columns), int(night.columns * STREET_FAULTS.dead)))
        self.whole = self.living = self.frames = self.collided = self.stale = self.failed = 0
        self.busy_percent = 0.0

    def run(self) -> Count:
        """The night and its morning, counted as the bench counts."""
        case, night = self._case, self._case.night
        begin_s = self._start_s - START_S
        with World(seed=7, start_utc=begin_s, paused=True) as world:
            ether = Ether(world, loss=self._loss)
            places = [place for place in range(night.columns) if place not in self._dead]
            gateway = NativeGateway(world, ether, {FIRST_NODE + place: SECRET for place in places})
            gateway.clock_off_s = case.clock_off_s
            columns = [Column(None, None, place * SPACING_M) for place in range(night.columns)]  # type: ignore[arg-type]
            lamps = {place: self._lamp(world, ether, place, columns[place]) for place in places}
            for place in self._dead:
                columns[place].alive = False
                columns[place].shown.append((0, 100, 0, 100))
            for lamp in lamps.values():
                lamp.start()
            world.advance(self._dusk_s - begin_s, timeout_s=TIMEOUT_S)
            gateway.deaf = case.deaf
            world.advance(self._dawn_s + MARGIN_S - self._dusk_s, timeout_s=TIMEOUT_S)
            gateway.deaf = False
            self._count_line(ether, world, begin_s, lamps)
            noon_s = night.noon_s + 86400
            world.advance(max(0, noon_s - (12 - MORNING_H) * 3600 - world.now()), timeout_s=TIMEOUT_S)
            for place, lamp in lamps.items():
                self.steps[place] = lamp.shown
                columns[place].shown.extend(_ramps(lamp.shown, self._start_s))
                self.living += 1
                self.whole += self._is_whole(lamp, gateway.heard[FIRST_NODE + place], world)
                self.failed += lamp.failure is not None or lamp.starts > 1
        count = Count()
        needs = nights.needs_of(night, self._start_s, self._dusk_s, self._dawn_s)
        sun = nights.dusk_and_dawn(night.noon_s, night.place, SUNSET, SUNSET)
        half_s = sum(
            max(0, min(self._dawn_s, night.noon_s + 3600 * (hour + 1)) - max(self._dusk_s, night.noon_s + 3600 * hour))
            for hour in night.half_hours
        )
        add(count, columns, self._people, self._start_s, needs, sun, half_s, night.settings.floor)
        return count

    def _per_hour(self, second: int) -> float:
        night = self._case.night
        return night.per_hour[min(max(0, second - night.noon_s) // 3600, len(night.per_hour) - 1)]

    def _lamp(self, world: World, ether: Ether, place: int, column: Column) -> NativeLamp | BoardLamp:
        night = self._case.night
        missed = random.Random(f"{night.seed}/missed/{place}").random  # noqa: S311
        seen = [_walker(person) for person in self._people if missed() >= STREET_FAULTS.missed]
        scene = ColumnScene(f"{night.seed}/{place}", world.start_utc * 1_000_000, column.x_m, seen, self._reach)
        column.sights += [edge // 1000 - self._start_s * 1000 for edge in scene._edges[::2]]
        settings: dict[str, Any] = nights.lamp_settings(night.place, night.settings)
        settings |= {"look_s": LOOK_S, "spread_s": 120, "ahead": night.settings.ahead, "wave_s": night.settings.wave_s}
        folder, node = self._folder / str(place), FIRST_NODE + place
        street = street_file(SECRET, FIRST_MEMBER + place, night.columns)
        calendar = json.dumps({"rules": [list(rule) for rule in night.rules], "zone": list(night.zone)})

        def lux() -> int:
            return lux_at(int(world.now()) // 10 * 10, night.place)

        if self._on_boards:
            files = {"/node/street.cbor": street, "/node/calendar.json": calendar.encode()}
            return BoardLamp(world, ether, node, SECRET, scene, settings, files, lux)
        lamp = NativeLamp(world, ether, folder, node, SECRET, scene, json.dumps(settings), street)
        (folder / "calendar.json").write_text(calendar)
        lamp.hal.lux = lux
        return lamp

    def _count_line(
        self, ether: Ether, world: World, begin_s: int, lamps: Mapping[int, NativeLamp | BoardLamp]
    ) -> None:
        tally = ether.tally
        self.frames, self.collided = tally.frames, tally.collided
        self.busy_percent = tally.busy_us / (world.now() - begin_s) / 10_000
        self.stale = sum(lamp.node.link.stale for lamp in lamps.values() if isinstance(lamp, NativeLamp))

    def _is_whole(self, lamp: NativeLamp | BoardLamp, heard: Sequence[Any], world: World) -> bool:
        """Whether the gateway has every level change of the night."""
        until_s = self._dawn_s + MARGIN_S - (self._start_s - START_S)
        kept = {int(text.split()[2]) for at_s, text in lamp.lines if text.startswith("changed") and at_s < until_s}
        came = {record.index for message in heard if isinstance(message, Report) for record in message.records}
        return bool(kept) and kept <= came


def _cpu_s() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _path(rate: float, evening: str) -> Night:
    return control._path_night(rate, datetime.fromisoformat(evening).replace(tzinfo=UTC), STREET_FAULTS)


def _walker(person: Person) -> Walker:
    return Walker(round(person.when(0.0) * 1_000_000), person.speed_mps)


def _ramps(steps: Sequence[tuple[int, int]], start_s: int) -> list[tuple[int, int, int, int]]:
    """(us, percent) of each step as ramps: begin ms, level, end ms, level. A ramp begins a tick before it shows."""
    found: list[tuple[int, int, int, int]] = []
    before = 100
    for at_us, percent in steps:
        at_ms = at_us // 1000 - start_s * 1000
        if found and at_ms - found[-1][2] <= RAMP_GAP_MS and (percent > before) == (found[-1][3] > found[-1][1]):
            found[-1] = found[-1][0], found[-1][1], at_ms, percent
        else:
            found.append((at_ms - 100, before, at_ms, percent))
        before = percent
    return found
