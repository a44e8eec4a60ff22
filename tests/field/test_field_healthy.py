"""A healthy street for a week of its own time: whenever the doctor is asked, nothing is wrong.

Time is the test's, down to the clock that silence is measured by, so that a busy machine makes nobody silent: intake,
store, alarms and watcher are the gateway's own, and what a process says of itself is handed to the doctor.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from alarms_harness import AlarmRig
from field_harness import DAY, HOUR, WATTS, asset
from gateway_harness import SITE, add_node

import kerbwire
from kerbgate.field import condition, queues
from kerbgate.field.sight import Sight
from kerbgate.field.watcher import Watcher
from kerbgate.registry import inventory
from kerbtools.field import doctor
from kerbtools.field.findings import OK, SKIPPED
from kerbtools.field.subject import Subject
from kerbtools.simulate import SimulatedNode
from kerbwire import channels
from kerbwire.channels import BATTERY, DISTANCE, ENERGY, FAULTS, FILL, LEVEL, POWER, QUALITY, SUPPLY, TEMPERATURE

BINS, PERMANENT, SWITCHED = (1, 2, 3), (801, 802), (811, 812)
SWITCH_ON, SWITCH_OFF = 18 * HOUR, 6 * HOUR + 1800  # a cabinet of early March: about sunset and sunrise
LOOK_S = 6 * HOUR


def test_no_false_verdict_in_a_virtual_week(tmp_path: Path) -> None:
    """Bins speak once a day, lamps each hour with four quarters; those behind a cabinet only while it is on."""
    week = Week(tmp_path)
    try:
        looks = 0
        for hour in range(7 * 24):
            week.hour()
            if hour % (LOOK_S // HOUR) == LOOK_S // HOUR - 1:
                found = week.problems()
                assert not found, f"after {hour + 1} hours: " + "\n".join(map(str, found))
                looks += 1
        assert looks == 28
        assert len(week.query("SELECT 1 FROM report")) > 400  # and it did speak
        week.rig.pass_time(3 * DAY, step=1800.0)
        assert {row.check for row in week.problems()} >= {"nodes"}, "silence would have been seen"
    finally:
        week.rig.close()
        week.rig.registry.close()


class Week:
    """A street whose hours a test lets go by."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rig = rig = AlarmRig(folder)
        self.query = rig.query
        self.config = folder / "gateway.toml"
        self.config.write_text(f'[gateway]\nsite = "{SITE}"\nstate = "."\n[clock]\nsource = "trusted"\n')
        folder.chmod(0o700)
        self.watcher = Watcher(lambda: rig.mono)
        rig.intake.on_refused, rig.intake.on_hello = self.watcher.refused, self.watcher.hello
        self.nodes: dict[int, SimulatedNode] = {}
        for address in (*BINS, *PERMANENT, *SWITCHED):
            role = "bin" if address in BINS else "lamp"
            supply = None if role == "bin" else "switched" if address in SWITCHED else "permanent"
            facts: dict[str, Any] = (
                {"supply": supply, "feeder": "F2" if address in SWITCHED else "F1"} if supply else {}
            )
            place = asset(address, role, **facts)
            add_node(rig.registry, address, role)
            inventory.bind(rig.registry, address, place)
            node = rig.bin(address) if role == "bin" else rig.lamp(
                address, latitude=place.latitude, longitude=place.longitude, supply=supply, feeder=place.feeder
            )  # fmt: skip
            self.nodes[address] = node

    def hour(self) -> None:
        """One hour: the watch looks each ten minutes, and each node speaks at its own time."""
        rig = self.rig
        for part in range(6):
            rig.pass_time(600, step=600.0)
            for address, node in self.nodes.items():
                if address % 6 == part and self._speaks(address):
                    self._say(address, node)

    def _speaks(self, address: int) -> bool:
        second = int(self.rig.clock.now) % DAY
        if address in BINS:
            return second // HOUR == address
        return address not in SWITCHED or not SWITCH_OFF < second < SWITCH_ON

    def _say(self, address: int, node: SimulatedNode) -> None:
        rig = self.rig
        if address in SWITCHED and int(rig.clock.now) % DAY < SWITCH_ON + HOUR and int(rig.clock.now) % DAY > SWITCH_ON:
            node.reset()  # its supply has come back
        now = int(rig.clock.now)
        step, count = (HOUR, 24) if address in BINS else (900, 4)
        for back in reversed(range(count)):
            node.take_values(now - back * step, values(address, now - back * step))
        while node.waiting or not node.confirmed or node._must_say_hello:
            rig.exchange(node)

    def problems(self) -> list[Any]:
        subject = Subject(self.config)
        subject.once("facts", self._facts)
        subject.once("condition", self._condition)
        subject.once("queues", self._queues)
        return [row for row in doctor.examine(subject) if row.verdict not in (OK, SKIPPED)]

    def _condition(self) -> dict[str, Any]:
        now_s = self.rig.clock.now
        with contextlib.closing(Sight(self.rig.store.path, self.rig.registry.path)) as sight:
            found = condition.condition(sight, now_s)
            found["refused"] = condition.known(sight, self.watcher.refusals(), now_s)
        found["boots"] = self.watcher.boots(least=condition.MIN_BOOTS)
        return found

    def _queues(self) -> list[dict[str, Any]]:
        with contextlib.closing(Sight(self.rig.store.path, self.rig.registry.path)) as sight:
            return [row for row in queues.queues(sight, self.rig.clock.now) if row["outlet"] != "council"]

    def _facts(self) -> dict[str, Any]:
        counters = self.rig.air.counters
        recent = {"span_s": 900, "frames": 90, "noise": 0, "committed": 90, "refused": counters.refused.total()}
        return {
            "version": kerbwire.__version__, "pid": os.getpid(), "uptime_s": 3600.0, "shadow": False, "restart": [],
            "config": str(self.config.absolute()), "now_s": self.rig.clock.now, "synchronised": True, "clock_steps": 0,
            "clock_step_s": None, "problems": [], "outlets": [], "registry": {"nodes": len(self.rig.registry)}, "tasks": {},
            "inlets": [{"name": "air", "connected": True, "opened": 1, "frames": 90, "noise": 0, "last_error": None,
                        "unsent": 0, "recent": recent}],
            "store": {"queued": 0, "failing": None, "room": {"exhausted": False}},
        }  # fmt: skip


def values(address: int, at_s: int) -> dict[int, int]:
    """What a healthy node measures at a time of day."""
    if address in BINS:
        fill = 100 - abs(at_s // 1200 % 180 - 90)
        special = channels.NO_ECHO if at_s // HOUR % 37 == 0 else fill
        return {
            FILL: special, DISTANCE: 900, TEMPERATURE: 12 + at_s // HOUR % 9, BATTERY: 360 - at_s // DAY % 3,
            QUALITY: channels.FEW_ECHOES if at_s // HOUR % 11 == 0 else 0,
        }  # fmt: skip
    level = 0 if SWITCH_OFF < at_s % DAY < SWITCH_ON else 100 if at_s % DAY > 20 * HOUR else 30
    power = (WATTS * 10 * level // 100) * (92 + at_s // 900 % 9) // 100 + 4
    return {LEVEL: level, POWER: power, ENERGY: at_s // 400, SUPPLY: 228 + at_s // 900 % 5, FAULTS: 0}
