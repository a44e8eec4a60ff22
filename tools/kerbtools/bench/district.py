"""A district's day: 10,000 simulated nodes at their real reporting rates, through a gateway in a process of its own.

Half of the nodes are bins, half are lamps, after the workload's days (kerbtools.bench.days):

| node | samples | sends |
|---|---|---|
| bin | 24 hourly records; one in 50 has an alarm | its day in one frame at an hour of its own, and alarms at once |
| lamp, 8 of 10 | 96 quarter hours of seven channels | its night in one frame, and two frames of the day |
| lamp, 1 of 10 | the same | every quarter hour, as a record each: mains-powered on a fast link |
| lamp, 1 of 10 | the same, and level changes at 9 passages an hour | each hour of the night, and once by day |

Frames are sealed by the nodes, and opened, judged, committed, rolled up and acknowledged by the gateway's own intake,
store and aggregate, on the virtual clock of the day. The gateway's address space is capped at 256 MB. At the end every
roll-up of every node, group and the site is compared with a straightforward recomputation from the raw records.
"""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

from kerbgate.registry import Registry
from kerbtools.bench import district_uplink, pipes, recomputed, workload
from kerbtools.simulate import SimulatedNode
from kerbwire import channels, events, frame
from kerbwire.messages import Record

NODES = 10_000
MEMORY_MB = 256
SITE = "district"
ZONE = "Europe/London"
START = 1_774_656_000  # 2026-03-28T00:00:00Z; the clocks of the zone go forward the night after
DAY_S = 86400
STREET = 50  # nodes of a group
SLICE_S = 300  # of virtual time that is handed to the gateway at once
GREETERS = 200  # nodes that say hello at once
ALARMS = 0.02  # of the bins
DEADLINE_S = 900.0
_MEMORY = Path("/dev/shm")  # noqa: S108


@dataclass(slots=True)
class Turn:
    """A node sends, at a second of the day, what it has sampled; or an alarm."""

    at_s: int
    node: int
    alarm: bool = False


class District:
    """The nodes, and what each samples."""

    def __init__(self, folder: Path, nodes: int):
        self.folder = folder
        self.groups = {
            f"street-{first // STREET + 1}": list(range(first, min(first + STREET, nodes + 1)))
            for first in range(1, nodes + 1, STREET)
        }
        self._days: ModuleType = workload.load()
        self._nodes: dict[int, SimulatedNode] = {}
        self._records: dict[int, list[Record]] = {}
        self._random = random.Random(1)  # noqa: S311
        self.records = 0
        self.frames = 0
        self._told: list[tuple[int, int]] = []  # alarms: node and index
        groups = [
            f'[[group]]\nname = "{name}"\nnodes = ["{found[0]}-{found[-1]}"]' for name, found in self.groups.items()
        ]
        (folder / "groups.toml").write_text("\n".join(groups))
        with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as made:  # a sync for each node
            self._register(Path(made), nodes)
            for file in Path(made).iterdir():
                shutil.copy2(file, folder / file.name)

    def _register(self, folder: Path, nodes: int) -> None:
        registry = Registry(folder / "registry.sqlite", create=True)
        for address in range(1, nodes + 1):
            role = channels.BIN if address % 2 else channels.LAMP
            secret = self._random.randbytes(16)
            registry.add(address=address, site=SITE, role=channels.ROLES[role], board="simulated", secret=secret)
            self._nodes[address] = SimulatedNode(
                address, secret, seed=address, role=role, batch=96, hello_after=1 << 30
            )
        registry.close()

    def greet(self, through: Callable[[list[bytes]], list[bytes]]) -> None:
        """Let every node say hello, and again with its challenge; some at a time, as the gateway remembers few."""
        nodes = list(self._nodes.values())
        for place in range(0, len(nodes), GREETERS):
            for _ in range(2):
                self.hear(through([node.next_frame() or b"" for node in nodes[place : place + GREETERS]]))
        if not all(node.confirmed for node in nodes):
            raise RuntimeError("not every node was confirmed")

    def hear(self, answers: list[bytes]) -> None:
        for answer in answers:
            self._nodes[frame.parse(answer).node].feed(answer)

    def turns(self) -> list[Turn]:
        """Who sends when, over the day; and what each node samples is drawn."""
        out: list[Turn] = []
        for address in self._nodes:
            rng = random.Random(address)  # noqa: S311
            seed = address % 1000 + 1
            if address % 2:
                offset = rng.randrange(3600)
                series = workload.bin_report(self._days, seed).records
                records = [Record(i, START + i * 3600 + offset, r.values) for i, r in enumerate(series)]
                sends = [rng.randrange(24) * 3600 + rng.randrange(3600)]
                if rng.random() < ALARMS:
                    out.append(Turn(rng.randrange(DAY_S), address, alarm=True))
            else:
                offset = rng.randrange(60)
                series = workload.records(workload.lamp_night(self._days, seed))
                records = [Record(i, START + i * 900 + offset, r.values) for i, r in enumerate(series)]
                sends = [7 * 3600 + rng.randrange(3600), 15 * 3600 + rng.randrange(3600)]
                kind = address // 2 % 10
                if kind == 0:
                    sends = [i * 900 + offset + 5 for i in range(96)]
                elif kind == 1:
                    records = self._with_changes(records, seed)
                    sends = [hour * 3600 + rng.randrange(3600) for hour in (*range(8), 12, *range(17, 24))]
            self._records[address] = records
            sends.append(DAY_S - 1 - rng.randrange(60))  # so that the whole day is compared
            out += [Turn(at_s, address) for at_s in sends]
        out.sort(key=lambda turn: (turn.at_s, turn.node))
        return out

    def _with_changes(self, records: list[Record], seed: int) -> list[Record]:
        """Level changes between the quarter hours, in the order of time."""
        made = workload.records(workload.level_changes(self._days, seed, 9))
        begin = made[0].time - made[0].time % DAY_S
        changes = [Record(0, START + (r.time - begin) % DAY_S, r.values) for r in made]
        both = sorted([*records, *changes], key=lambda record: record.time)
        return [Record(index, record.time, record.values) for index, record in enumerate(both)]

    def frames_of(self, turn: Turn) -> Iterator[bytes]:
        """The frames of a turn."""
        node = self._nodes[turn.node]
        at_s = START + turn.at_s
        if turn.alarm:
            index = node.tell(events.FIRE, events.CRITICAL, events.RAISED, at_s, {channels.TEMPERATURE: 120})
            self._told.append((turn.node, index))
            data = node.next_frame()
            if data is not None:
                self.frames += 1
                yield data
            return
        records = self._records[turn.node]
        taken = sum(record.time <= at_s for record in records)
        for record in records[:taken]:
            node.take_values(record.time, record.values)
        del records[:taken]
        self.records += taken
        while (data := node.stream()) is not None:
            self.frames += 1
            yield data

    @property
    def alarms(self) -> int:
        return len(self._told)

    @property
    def waiting(self) -> int:
        """Records that are not acknowledged."""
        return sum(node.waiting for node in self._nodes.values())

    def ids(self) -> set[str]:
        """The ids of all records and events, as documents say them."""
        taken = [(address, index) for address, node in self._nodes.items() for index in node.taken]
        return {
            f"{SITE}/{address}/{self._nodes[address].life.hex()}/{index}" for address, index in [*taken, *self._told]
        }


class Gateway:
    """The gateway's process: frames go in with the time of the day, answers come out when all are committed."""

    def __init__(self, folder: Path):
        command = [sys.executable, "-m", "kerbtools.bench.district_gateway", str(folder), str(MEMORY_MB)]
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # glibc reserves 64 MB of addresses for each thread
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def through(self, at_s: int, frames: list[bytes]) -> list[bytes]:
        """Hand in frames at a time of the day; returns the answers, after the commits."""
        pipes.write(self._process.stdin, [at_s.to_bytes(8, "big"), *frames])
        return self._read()

    def finish(self) -> dict[str, Any]:
        """Roll up what is stale, stop, and say what it took."""
        pipes.write(self._process.stdin, [])
        said = json.loads(self._read()[0])
        self._process.wait(DEADLINE_S)
        return said

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read(self) -> list[bytes]:
        found = pipes.read(self._process.stdout)
        if found is None:
            raise RuntimeError("the district's gateway ended; its last words stand above")
        return found


def run(nodes: int = NODES, uplink: str = "none", say: Callable[[str], None] = lambda text: None) -> dict[str, object]:
    """One day. uplink: "none", or "down": there is an outlet whose broker comes after the day, and takes everything."""
    with tempfile.TemporaryDirectory(prefix="kerb-district-") as name:
        folder = Path(name)
        say(f"making {nodes} nodes ...")
        district = District(folder, nodes)
        turns = district.turns()
        gateway = Gateway(folder)
        try:
            district.greet(lambda frames: gateway.through(START, frames))
            say("the day begins ...")
            made_s, started = 0.0, time.perf_counter()
            place = 0
            for at_s in range(SLICE_S, DAY_S + 1, SLICE_S):
                making = time.perf_counter()
                frames: list[bytes] = []
                while place < len(turns) and turns[place].at_s < at_s:
                    frames += district.frames_of(turns[place])
                    place += 1
                made_s += time.perf_counter() - making
                answers = gateway.through(START + at_s, frames)
                making = time.perf_counter()
                district.hear(answers)
                made_s += time.perf_counter() - making
            said = gateway.finish()
            took_s = time.perf_counter() - started - made_s
        finally:
            gateway.kill()
        if district.waiting:
            raise RuntimeError(f"{district.waiting} records were not acknowledged")
        say("recomputing every roll-up ...")
        records = recomputed.raw_records(folder / "store.sqlite")
        wrong = list(recomputed.mismatches(folder / "store.sqlite", ZoneInfo(ZONE), district.groups, records))
        for text in wrong[:5]:
            say(text[:400])
        row: dict[str, object] = {
            "nodes": nodes,
            "frames": district.frames,
            "records": district.records,
            "alarms": district.alarms,
            "seconds": took_s,
            "times_real_time": DAY_S / took_s,
            "gateway_cpu_s": said["cpu_s"],
            "of_that_rolling_up_s": said["rolling_s"],
            "peak_mb": said["peak_mb"],
            "capped_at_mb": MEMORY_MB,
            "written_mb": said["written_mb"],
            "store_mb": said["store_mb"],
            "records_lost": district.records - len(records),
            "roll_up_mismatches": len(wrong),
        }
        if uplink == "down":
            say("the uplink comes back ...")
            row |= asyncio.run(district_uplink.drain(folder, SITE, district.ids()))
        return row


def rows() -> Iterator[dict[str, object]]:
    """For `kerb bench district`. KERB_DISTRICT_NODES: fewer nodes. KERB_DISTRICT_UPLINK=down: with 24 h of backlog."""
    nodes = int(os.environ.get("KERB_DISTRICT_NODES", NODES))
    uplink = os.environ.get("KERB_DISTRICT_UPLINK", "none")
    yield run(nodes, uplink, lambda text: print(text, file=sys.stderr, flush=True))
