"""`kerb collect`: the firmware on an emulated board, a round with a laptop, and the gateway that gets its file later."""

import asyncio
import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ble_harness import open_link
from gateway_harness import DEADLINE_S, SITE, Broker, Council, GatewayProcess, Rig, closing_all, secret_of, until

from kerbgate.errors import ControlError
from kerbgate.handed import MAX_FRAMES, HandIn
from kerbtools.collect import hand
from kerbtools.collect.gather import Round, radio_of
from kerbtools.emulator import Board, Identity, World
from kerbtools.emulator.ble_air import BleAir
from kerbwire import capture

HOUR_S = 3600


@pytest.fixture
def world() -> Iterator[World]:
    start = int(time.time()) // HOUR_S * HOUR_S  # the laptop's clock is real
    with World(seed=3, start_utc=start, paused=True) as made:
        yield made


class Laptop:
    """`kerb collect gather` as a technician runs it; `end` is Ctrl-C."""

    def __init__(self, path: Path, air: BleAir, *words: str):
        command = [sys.executable, "-m", "kerbtools", "collect", "gather", str(path), "--link", air.url, *words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        until(lambda: any("listens" in line for line in self.lines), "the laptop listens")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())

    def end(self) -> int:
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(DEADLINE_S)
        self._thread.join(DEADLINE_S)
        return status

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)


def kerb(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "kerbtools", *words], capture_output=True, text=True, timeout=60)


def taken(lines: list[str]) -> set[str]:
    """The records that the node's console says are on flash."""
    found = [re.match(r"taken ([0-9a-f]{16}) (\d+) ", line) for line in lines]
    return {f"{SITE}/17/{match[1]}/{match[2]}" for match in found if match}


def test_a_round_is_handed_in_twice_and_nothing_is_lost_or_doubled(
    tmp_path: Path, broker: Broker, council: Council, world: World
) -> None:
    air = BleAir(world)
    gateway = GatewayProcess(tmp_path, inlets=[air.url], broker_port=broker.port)
    gateway.register(range(17, 18))
    lines: list[str] = []
    board = Board(
        world,
        "esp32_c3",
        identity=Identity(node=17, secret=secret_of(17), site=SITE),
        config={"report_records": 8, "soon_records": 8, "forecast_h": 0, "heat_s": 0},
        on_line=lambda _, line: lines.append(line),
    )
    board.write_file("/node/links.json", b'["ble:"]')
    gateway.start()
    laptop: Laptop | None = None
    with closing_all(gateway):
        until(lambda: gateway.status()["inlets"][0]["connected"], "the gateway scans")
        board.start()
        world.advance(60)
        assert any(line.startswith("confirmed") for line in lines)
        gateway.stop()
        world.advance(20 * HOUR_S)  # nobody is there: it keeps what it has, and tries less and less
        assert len(taken(lines)) >= 20

        file = tmp_path / "round.kcap"
        laptop = Laptop(file, air, "--site", SITE)
        board.reset()  # the technician's magnet; tilting it would do as well
        world.advance(60)
        until(lambda: any(line.startswith("node 17:") for line in laptop.lines), "the laptop has heard it")
        assert laptop.end() == 0
        assert any(f"kerb collect hand {file}" in line for line in laptop.lines)
        sent = [line for line in lines if line.startswith("sent report")]
        assert len(sent) >= 2 and not any(line.startswith("committed") for line in lines)

        gateway.start()
        first = kerb("collect", "hand", str(file), "--config", str(gateway.config), "--json")
        assert first.returncode == 0, first.stderr
        said = json.loads(first.stdout)
        assert said["committed"] == said["frames"] >= 2 and not said["refused"] and not said["known"]
        until(lambda: len(council.records) >= 20, "the round's records are at the council")
        assert set(council.records) <= taken(lines)
        again = kerb("collect", "hand", str(file), "--config", str(gateway.config))
        assert again.returncode == 0 and f"{said['frames']} known already" in again.stdout

        # The node knows nothing of it until it meets its gateway: then the first ack lists what the round has brought.
        until(lambda: gateway.status()["inlets"][0]["connected"], "the gateway scans")
        before = len(lines)
        board.reset()
        world.advance(60)
        news = lines[before:]
        assert any(line.startswith("committed") for line in news), news
        world.advance(10 * HOUR_S)
        until(lambda: len(taken(lines) - set(council.records)) < 8, "all but what fills no report yet")
        assert set(council.records) <= taken(lines) and council.changed == []
        board.cut_power()
        assert gateway.stop() == 0


def hand_in(rig: Rig, heard_ms: int, *frames: bytes) -> dict[str, Any]:
    operation = HandIn(rig.intake, rig.clock).operation

    async def main() -> dict[str, Any]:
        task = asyncio.create_task(operation({"frames": [[heard_ms, data.hex()] for data in frames]}))
        while not task.done():
            await asyncio.sleep(0.005)
            while not rig._deliveries.empty():
                rig.intake.deliver(rig._deliveries.get())
        return (await task)["hand"]

    return asyncio.run(main())


def test_what_a_gateway_says_to_frames_that_are_handed_in(rig: Rig, tmp_path: Path) -> None:
    node = rig.node(5)
    rig.confirm(node)
    rig.clock.now += 7 * 24 * HOUR_S
    heard_ms = round((rig.clock.now - 3 * 24 * HOUR_S) * 1000)
    frames: list[bytes] = []
    for number in range(3):
        node.take(4, int(rig.clock.now) - 4 * 24 * HOUR_S + number * 4 * HOUR_S)
        frame = node.stream()
        assert frame is not None
        frames.append(frame)
    strange = rig.node(6).next_frame()
    assert strange is not None

    def handed(*given: bytes) -> dict[str, Any]:
        return hand_in(rig, heard_ms, *given)

    assert handed(*frames) == {"committed": 3, "known": 0, "again": 0, "refused": {}}
    assert handed(*frames)["known"] == 3
    assert handed(b"\xff" * 20, frames[0][:-1] + b"\x00", strange)["refused"] == {
        "malformed": 1,
        "unsealed": 1,
        "no life": 1,
    }
    assert rig.air.sent == [] or all(frame not in rig.air.sent for frame in frames)
    received = {row[0] for row in rig.query("SELECT received FROM report")}
    assert heard_ms in received, "it is dated by when it was heard"


def test_a_round_from_before_takes_nothing_back(rig: Rig) -> None:
    """Its frames are older than what the gateway has heard of the node itself since."""
    node = rig.node(5)
    rig.confirm(node)
    rig.clock.now += 7 * 24 * HOUR_S
    heard_ms = round((rig.clock.now - 3 * 24 * HOUR_S) * 1000)
    node.take(8, int(rig.clock.now) - 4 * 24 * HOUR_S)
    stream = node.stream()
    node.reset()
    hello = node.next_frame()
    assert stream is not None and hello is not None
    rig.exchange(node)
    asked = "SELECT seen, (SELECT max(seq) FROM hello), (SELECT max(received) FROM hello) FROM window"
    before = rig.query(asked)
    assert before[0][0] == before[0][2] == round(rig.clock.now * 1000)
    assert hand_in(rig, heard_ms, stream, hello)["committed"] == 2
    assert rig.query(asked) == before and rig.store._newest_ms == before[0][0]
    rig.clock.now += 60
    node.take(8, int(rig.clock.now) - 8 * HOUR_S)
    rig.exchange(node)
    assert rig.query(asked)[0][0] == before[0][0] + 60_000


def test_a_laptop_whose_clock_was_wrong_is_told_so(rig: Rig) -> None:
    operation = HandIn(rig.intake, rig.clock).operation
    for seconds, word in ((3600, "ahead"), (-91 * 86400, "behind")):
        with pytest.raises(ControlError, match=word) as caught:
            asyncio.run(operation({"frames": [[round((rig.clock.now + seconds) * 1000), "ab"]]}))
        assert "set the laptop's clock" in caught.value.hint


@pytest.mark.parametrize(
    "frames", [None, [], [[1]], [[1, "zz"]], [["1", "ab"]], [[1, ""]], [[-1, "ab"]], [[1, "ab"]] * (MAX_FRAMES + 1)]
)
def test_a_request_that_cannot_be_read_is_refused(rig: Rig, frames: Any) -> None:
    with pytest.raises(ControlError) as caught:
        asyncio.run(HandIn(rig.intake, rig.clock).operation({"frames": frames}))
    assert caught.value.hint


def test_a_round_keeps_what_it_heard_when_it_is_killed(tmp_path: Path, world: World) -> None:
    air = BleAir(world)
    file = tmp_path / "round.kcap"
    laptop = Laptop(file, air)
    link = open_link(world.air, 9)
    link.start()
    frame = Rig(tmp_path)  # registry, for a sealed frame
    with contextlib.closing(frame), contextlib.closing(frame.registry):
        data = frame.node(9).next_frame()
    assert data is not None
    assert link.wait(10_000) and link.collects
    link.send(data)
    link.close()
    until(lambda: any("node 9: 1 frames" in line for line in laptop.lines), "it is told")
    assert any("only hello" in line for line in laptop.lines)
    laptop.kill()
    reader = capture.Reader()
    assert [record.frame for record in reader.feed(file.read_bytes())] == [data]
    assert reader.head is not None and abs((reader.head.start_ms or 0) / 1000 - time.time()) < 60


def test_a_full_disk_ends_the_round_and_leaves_the_file_whole(small_disk: Path, tmp_path: Path, world: World) -> None:
    air = BleAir(world)
    file = small_disk / "round.kcap"
    laptop = Laptop(file, air)
    link = open_link(world.air, 9)
    link.start()
    rig = Rig(tmp_path)
    with contextlib.closing(rig), contextlib.closing(rig.registry):
        node = rig.node(9)
        frames = [node.next_frame() for _ in range(4)]
    assert link.wait(10_000) and link.collects
    said: list[bytes] = []
    for frame in frames:
        said.append(frame or b"")
        link.send(said[-1])
    until(lambda: len(read(file)) == len(said), "they are in the file")
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    for _ in range(4096 // len(said[0])):  # more than its last page takes
        if laptop.running:
            link.send(said[0])
            link.wait(20)
    until(lambda: not laptop.running, "the round is over")
    assert laptop.end() == 1
    told = "\n".join(laptop.lines)
    assert "takes no more (No space left on device)" in told and f"kerb collect hand {file}" in told, told
    reader = capture.Reader()
    found = [record.frame for record in reader.feed(file.read_bytes())]
    assert reader.torn == 0 and reader.damaged == 0, "nothing is half-written"
    assert found[: len(said)] == said and set(found) == set(said)
    with pytest.raises(ControlError, match="no room for a round on this disk") as refused:
        Round(small_disk / "next.kcap", radio_of(air.url), None, print)
    assert refused.value.hint == "make room, or name a file elsewhere"
    assert not (small_disk / "next.kcap").exists()


def test_the_name_of_a_rounds_file_is_on_the_disk_before_anybody_is_heard(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, int]] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        found = os.fstat(descriptor)
        synced.append((stat.S_ISDIR(found.st_mode), found.st_ino))

    monkeypatch.setattr(os, "fsync", watched)
    file = tmp_path / "round.kcap"
    round_ = Round(file, radio_of(BleAir(world).url), None, print)
    assert synced == [(False, file.stat().st_ino), (True, tmp_path.stat().st_ino)]
    round_.close()
    assert len(synced) == 3, "the folder once"


def read(file: Path) -> list[bytes]:
    return [record.frame for record in capture.Reader().feed(file.read_bytes())]


def test_files_that_cannot_be_used_say_why(tmp_path: Path, world: World) -> None:
    air = BleAir(world)
    there = tmp_path / "there.kcap"
    there.write_bytes(b"something")
    with pytest.raises(ControlError, match="exists already"):
        Round(there, radio_of(air.url), None, print)
    with pytest.raises(ControlError, match="not a capture file"):
        hand.hand(tmp_path, [there])
    with pytest.raises(ControlError, match="cannot be read"):
        hand.hand(tmp_path, [tmp_path / "nothing.kcap"])
    undated = tmp_path / "undated.kcap"
    undated.write_bytes(capture.Writer("ble:", None, "kerb").start())
    with pytest.raises(ControlError, match="when it began"):
        hand.hand(tmp_path, [undated])


def test_a_laptop_without_bluetooth_is_told_so(tmp_path: Path) -> None:
    done = kerb("collect", "gather", str(tmp_path / "round.kcap"), "--link", "ble:127.0.0.1:1?radio=virtual")
    assert done.returncode == 1 and "is not there" in done.stderr and "plug" in done.stderr
    assert kerb("collect", "--help").returncode == 0
