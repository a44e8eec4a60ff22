"""What goes by, in a file: captured and taken apart, bounded and rotated, sent again; and what the office gets."""

import base64
import contextlib
import io
import json
import os
import select
import socket
import sqlite3
import threading
import tty
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from field_harness import BINS, LAMPS, World, until
from gateway_harness import SetClock, secret_of

from kerbgate import asking
from kerbgate.errors import ControlError
from kerbgate.field import capture as recorder
from kerbgate.inlets import Counters
from kerbtools.cli import main as kerb
from kerbtools.decode.source import Source
from kerbtools.field import capture, replay
from kerbwire import channels, line, messages
from kerbwire import frame as frames
from kerbwire.capture import DOWN, UP
from kerbwire.channels import CAUSE, LEVEL, PRESENCE
from kerbwire.group import GroupKey
from kerbwire.waves import Wave


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("capture"))
    made.start()
    yield made
    made.close()


@contextlib.contextmanager
def speaking(world: World, *addresses: int) -> Iterator[list[bytes]]:
    """These nodes speak meanwhile; what they sent."""
    sent: list[bytes] = []
    over = threading.Event()
    plain = world.put

    def street() -> None:
        while not over.is_set():
            for address in addresses:
                node = world.nodes[address]
                values = {LEVEL: 100, CAUSE: channels.BY_PRESENCE} if address in LAMPS else {channels.FILL: 7}
                node.take_values(world.now, values | ({PRESENCE: 3} if address in LAMPS else {}))
                frame = node.next_frame()
                if frame is not None:
                    sent.append(frame)
                    plain(line.encode(frame))
                world.street.run(lambda node=node: not node.waiting, 0.5)

    thread = threading.Thread(target=street)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join(20)


def test_frames_are_captured_and_taken_apart(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "street.kcap"
    with speaking(world, 1, 801):
        assert kerb(["capture", str(file), "--for", "1s", "--config", str(world.config)]) == 0
    assert "kerb decode" in capsys.readouterr().out
    items = list(Source(str(file)))
    ways = {(capture.node_of(item.data), item.direction) for item in items}
    assert {(1, UP), (1, DOWN), (801, UP), (801, DOWN)} <= ways
    assert file.stat().st_mode & 0o777 == 0o600
    assert kerb(["decode", str(file), "--registry", str(world.registry_path), "--json"]) == 0
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(items) and rows[0]["header"]["node"] in (1, 801)
    assert kerb(["capture", str(file), "--for", "1s", "--config", str(world.config)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert kerb(["capture", str(tmp_path / "x"), "--inlet", "ble:", "--for", "1s", "--config", str(world.config)]) == 1
    assert f"there are: serial:{world.street.path}" in capsys.readouterr().err
    with speaking(world, 1, 801):
        only = tmp_path / "one.kcap"
        assert kerb(["capture", str(only), "--node", "1", "--for", "1s", "--config", str(world.config)]) == 0
    assert {capture.node_of(item.data) for item in Source(str(only))} == {1}


def test_a_capture_has_no_wave_of_a_lamp_and_shows_nothing_without_keys(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wave says by its moment that somebody passed, sealed or not; all else of a lamp says it to who has its keys alone."""
    file = tmp_path / "lamps.kcap"
    key, told = GroupKey(bytes(16), 0), [0]
    plain = world.put

    def put(data: bytes) -> None:
        told[0] += 1
        plain(line.encode(key.seal(5, told[0], messages.encode(Wave(100, 0, 0, 0, 40)))) + data)

    world.put = put
    try:
        with speaking(world, 801):
            assert kerb(["capture", str(file), "--for", "1s", "--config", str(world.config)]) == 0
    finally:
        world.put = plain
    capsys.readouterr()
    headers = [frames.parse(item.data) for item in Source(str(file))]
    assert told[0] > 2 and len(headers) > 2 and not [header for header in headers if header.space == frames.GROUP]
    kerb(["decode", str(file), "--json"])
    shown = capsys.readouterr().out.lower()
    assert shown and not any(word in shown for word in ("presence", "wave", "level_percent", "cause"))


def test_files_are_bounded_and_the_oldest_goes(tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    files = capture.Files(folder / "a.kcap", 2000, 3)
    files.begin("serial:/dev/ttyACM0?baud=9600", None)
    for number in range(200):
        files.put(number * 1000, UP, 0, bytes([0x0B, 1, number]) + bytes(60))
    files.close()
    kept = sorted(folder.iterdir(), reverse=True)  # the oldest first
    assert [path.name for path in kept] == ["a.kcap.2", "a.kcap.1", "a.kcap"]
    assert all(path.stat().st_size <= 2000 for path in kept)
    offsets = [item.offset_us or 0 for path in kept for item in Source(str(path))]
    assert offsets[-1] == 199_000 and offsets == sorted(offsets) and len(offsets) > 40
    (folder / "a.kcap").unlink()
    with pytest.raises(ControlError, match=r"a\.kcap\.1 exists already"):  # it would be written over
        capture.Files(folder / "a.kcap", 2000, 3)


def test_the_recording_ends_when_nobody_asks(world: World) -> None:
    state = world.gateway.state
    first = asking.ask(state, "capture")["capture"]
    world.say(1)
    found = asking.ask(state, "capture", after=first["next"])["capture"]
    assert found["frames"] and found["lost"] == 0
    with pytest.raises(ControlError):
        asking.ask(state, "capture", after="x")


def test_what_a_recording_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = Counters()
    gateway: Any = SimpleNamespace(intake=SimpleNamespace(tap=None), inlets=[], clock=SetClock())
    made = recorder.Recorder(gateway)
    begun = made.since(None)
    assert gateway.intake.tap is made
    for _ in range(recorder.MAX_FRAMES + 700):
        made.up(bytes(20), counters)
    found = made.since(begun["next"])
    assert found["lost"] == 700 and len(found["frames"]) == recorder.MAX_ANSWER
    rest = made.since(found["next"])
    assert rest["lost"] == 0 and rest["next"] > found["next"]
    monkeypatch.setattr(made, "_until", 0.0)  # nobody has asked for a while
    made.up(bytes(20), counters)
    assert gateway.intake.tap is None and not made._frames


def test_a_capture_is_sent_again(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "again.kcap"
    with speaking(world, 2):
        assert kerb(["capture", str(file), "--for", "1s", "--config", str(world.config)]) == 0
    sent = [item.data for item in Source(str(file)) if item.direction == UP]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        assert kerb(["replay", str(file), "--to", f"udp:127.0.0.1:{receiver.getsockname()[1]}", "--speed", "0"]) == 0
        assert [receiver.recv(300) for _ in sent] == sent
    capsys.readouterr()
    with pty_pair() as (end, device):
        assert kerb(["replay", str(file), "--to", f"serial:{device}?baud=57600", "--speed", "20"]) == 0
        assert f"{len(sent)} frames sent" in capsys.readouterr().out
        reader, come = line.Reader(), list[bytes]()
        while len(come) < len(sent) and select.select([end], [], [], 5)[0]:
            come += reader.feed(os.read(end, 65_536))
        assert come == sent
    for wrong in ("ftp://x", "udp:nowhere", "serial:/nonexistent/port"):
        assert kerb(["replay", str(file), "--to", wrong]) == 1
    assert kerb(["replay", str(tmp_path / "none"), "--to", "udp:127.0.0.1:9"]) == 1
    capsys.readouterr()
    monkeypatch.setattr(replay, "TIMEOUT_S", 0.2)
    with pty_pair() as (_, device):
        filling = os.open(device, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with contextlib.suppress(BlockingIOError):
            while os.write(filling, bytes(1024)):
                pass
        assert kerb(["replay", str(file), "--to", f"serial:{device}", "--speed", "0"]) == 1
        os.close(filling)
    assert "takes nothing: 0 frames went" in capsys.readouterr().err


@contextlib.contextmanager
def pty_pair() -> Iterator[tuple[int, str]]:
    """A serial line: the descriptor of its far end, and the path of the port."""
    end, port = os.openpty()
    tty.setraw(port)
    try:
        yield end, os.ttyname(port)
    finally:
        os.close(port)
        os.close(end)


def test_the_office_gets_no_key_and_no_trace_of_movement(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = tmp_path / "support.zip"
    credentials = world.folder / "credentials"
    credentials.write_text("gateway:sesame-open\n")
    credentials.chmod(0o600)
    text = world.config.read_text()
    outlet = f'[[outlet]]\nname = "town"\nurl = "mqtt://127.0.0.1:9"\ncredentials = "{credentials}"\n'
    world.config.write_text(outlet + text)
    with speaking(world, 1, 801, 802) as sent:
        until(lambda: len(sent) > 3, "the street speaks")
        assert kerb(["support", str(pack), "--capture", "2s", "--config", str(world.config)]) == 0
    world.config.write_text(text)
    assert "no trace of movement" in capsys.readouterr().out
    with zipfile.ZipFile(pack) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    assert {"doctor.txt", "facts.json", "configuration.json", "store.json", "nodes.json", "bins.kcap"} <= set(parts)
    assert pack.stat().st_mode & 0o777 == 0o600
    everything = b"\n".join(parts.values()).lower()

    secrets = [secret_of(address) for address in (*BINS, *LAMPS)]
    for path in world.gateway.state.glob("*.key"):
        secrets += [path.read_bytes(), path.read_bytes().strip()]
    secrets += [b"sesame-open"]
    for secret in filter(None, secrets):
        for form in (secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"=")):
            assert form.lower() not in everything, "a key is in it"

    tmp = tmp_path / "bins.kcap"
    tmp.write_bytes(parts["bins.kcap"])
    heard = {capture.node_of(item.data) for item in Source(str(tmp))}
    assert heard <= set(BINS) and 1 in heard
    for frame in sent:  # not one frame of a lamp, and none of what they say of when somebody passed
        if capture.node_of(frame) in LAMPS:
            assert frame not in parts["bins.kcap"] and frame.hex().encode() not in everything
    assert not any(word in everything for word in (b"presence_count", b"level_changes", b"by presence"))
    lamps = [json.loads(row) for row in parts["nodes.json"].splitlines() if json.loads(row)["role"] == "lamp"]
    assert lamps and not any("age_s" in row or "seen_ms" in row or "newest_time_s" in row for row in lamps)
    settings = json.loads(parts["configuration.json"])
    assert settings["outlets"][0]["credentials"] == str(credentials)  # where they are, and not what they are
    assert io.BytesIO(parts["doctor.txt"]).readline()


def test_support_works_beside_a_gateway_that_has_stopped_or_is_broken(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("[shop]\n")
    assert kerb(["support", str(tmp_path / "broken.zip"), "--config", str(config)]) == 0
    with zipfile.ZipFile(tmp_path / "broken.zip") as file:
        assert "'shop'" in file.read("configuration.json").decode() and "FAIL" in file.read("doctor.txt").decode()
        assert "store.json" in json.loads(file.read("missing.json"))
    assert kerb(["support", str(tmp_path / "broken.zip"), "--config", str(config)]) == 1
    assert "name another file" in capsys.readouterr().err


def test_a_damaged_store_is_said_in_words(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a gateway that has stopped: no verb ends in a traceback, and the office gets what can be read."""
    state, live = tmp_path / "state", world.gateway.state
    state.mkdir(mode=0o700)
    store = state / "store.sqlite"
    with closing(sqlite3.connect(live / "store.sqlite")) as whole, closing(sqlite3.connect(store)) as copy:
        whole.backup(copy)
        (size,) = copy.execute("PRAGMA page_size").fetchone()
        pages = [row[0] for row in copy.execute("SELECT rootpage FROM sqlite_master WHERE name IN ('window', 'life')")]
    with store.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            file.write(b"\xa5" * size)
    config = tmp_path / "gateway.toml"
    config.write_text(world.config.read_text().replace(str(live), str(state)))
    for verb in (["nodes"], ["show", "1"], ["tail"]):
        assert kerb([*verb, "--config", str(config)]) == 1
        said = capsys.readouterr().err
        assert "store.sqlite cannot be read" in said and "kerb doctor" in said
    pack = tmp_path / "support.zip"
    assert kerb(["support", str(pack), "--config", str(config)]) == 0
    with zipfile.ZipFile(pack) as file:
        assert "nodes.json" in json.loads(file.read("missing.json")) and "doctor.txt" in file.namelist()
