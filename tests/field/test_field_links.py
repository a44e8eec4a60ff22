"""Faults of the line and of the gateway's process, one at a time on one street."""

import os
import random
import signal
import stat
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from field_harness import Doctor, World, problems, well
from gateway_harness import ENVIRONMENT

from kerbtools.field.checks import links
from kerbtools.field.findings import FAIL, OK
from kerbtools.field.subject import Subject
from kerbwire import line


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("links"))
    made.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def healthy(world: World) -> None:
    well(world.config)


def test_a_serial_cable_that_is_unplugged(world: World, named: Doctor) -> None:
    os.unlink(world.street.path)
    unplug(world)
    named("unplugged serial", world.config, "serial", "the cable is unplugged", "plug the cable in")
    Path(world.street.path).symlink_to(os.ttyname(world.street._slave))
    well(world.config)  # the gateway opens it by itself


def test_a_wrong_baud_rate(world: World, named: Doctor) -> None:
    restart(world)  # nothing was heard since
    for address in list(world.nodes) * 2:
        frame = world.nodes[address]._hello()
        world.put(as_heard_at(line.encode(frame), sent=9600, heard=115_200))
    named("wrong baud", world.config, "inlets", "another baud rate", "?baud=")
    restart(world)
    world.say_all()


def test_a_noisy_line(world: World, named: Doctor) -> None:
    rng = random.Random(8)
    for _ in range(12):
        for node in world.nodes.values():
            data = bytearray(line.encode(node._hello()))
            if rng.random() < 0.05:
                data[rng.randrange(1, len(data) - 2)] ^= 0x10
            world.put(bytes(data))
        drain(world)
    named("noisy line, 5 % errors", world.config, "inlets", "noise on the line", "120 ohm")
    restart(world)
    world.say_all()


def test_a_gateway_that_was_killed(world: World, named: Doctor) -> None:
    world.gateway.kill()
    named("gateway killed", world.config, "gateway", "killed it", "systemctl restart kerbstone")
    world.gateway.start()
    world.say_all()


def test_a_gateway_that_is_stopped_by_a_signal_is_not_called_dead(world: World) -> None:
    os.kill(world.gateway.pid, signal.SIGSTOP)
    try:
        found = problems(world.config)
        assert found[0].check == "gateway" and "stopped by a signal" in found[0].causes[0]
        assert f"kill -CONT {world.gateway.pid}" in found[0].next[0]
    finally:
        os.kill(world.gateway.pid, signal.SIGCONT)


def test_a_gateway_that_ended_by_itself_is_not_called_killed(world: World) -> None:
    assert world.gateway.stop() == 0
    found = problems(world.config)
    assert found[0].check == "gateway" and "somebody stopped it" in found[0].causes[0]
    world.gateway.start()
    world.say_all()


def test_a_port_that_another_program_holds(world: World) -> None:
    code = (
        "import os,sys,time; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print('held', flush=True); time.sleep(60)"
    )
    device = os.path.realpath(world.street.path)
    holder = subprocess.Popen([sys.executable, "-c", code, device], stdout=subprocess.PIPE, env=ENVIRONMENT)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        assert holder.pid in [pid for pid, _ in links.holders(Path(world.street.path))]
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_a_port_that_the_gateways_user_may_not_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite may run as root, who may everything: so another user's gateway is asked about."""
    monkeypatch.setattr(links, "gateway_user", lambda subject: 65534)
    subject = Subject(world.config)
    monkeypatch.setitem(subject._known, "facts", (None, None))  # of a gateway that does not run
    device = Path(os.path.realpath(world.street.path))
    mode = stat.S_IMODE(device.stat().st_mode)
    device.chmod(0o600)
    try:
        (found,) = links.serial(subject)
        assert found.verdict == FAIL and "may not open" in found.evidence and "usermod -aG" in found.next[0]
        device.chmod(0o666)
        (found,) = links.serial(subject)
        assert found.verdict == OK or "held" in found.evidence
    finally:
        device.chmod(mode)


def unplug(world: World) -> None:
    """The port is closed under the gateway; the street has another one ready."""
    street = world.street
    os.close(street._slave)
    os.close(street.master)
    street.master, street._slave = os.openpty()
    for end in (street.master, street._slave):
        tty.setraw(end)
    os.set_blocking(street.master, False)


def restart(world: World) -> None:
    assert world.gateway.stop() == 0
    drain(world)
    world.gateway.start()


def drain(world: World) -> None:
    end = time.monotonic() + 0.02
    while time.monotonic() < end:
        try:
            os.read(world.street.master, 65536)
        except BlockingIOError:
            time.sleep(0.002)


def as_heard_at(data: bytes, *, sent: int, heard: int) -> bytes:
    """What a receiver at one speed makes of bytes that were sent at another: eight data bits, no parity, one stop bit."""
    levels: list[int] = []
    for byte in data:
        levels += [0, *(byte >> bit & 1 for bit in range(8)), 1]
    levels += [1] * 4

    def level(at: float) -> int:
        place = int(at * sent)
        return levels[place] if place < len(levels) else 1

    out, at, step = bytearray(), 0.0, 1 / heard
    end = len(levels) / sent
    while at < end:
        if level(at):
            at += step / 4  # waits for a start bit
            continue
        bits = [level(at + (place + 1.5) * step) for place in range(9)]
        if bits[8]:
            out.append(sum(bit << place for place, bit in enumerate(bits[:8])))
        else:  # no stop bit: a driver hands on a zero
            out.append(0)
        at += 10 * step
    return bytes(out)


@pytest.mark.parametrize(
    ("name", "frames", "cause", "step"),
    [
        ("udp:127.0.0.1:5690", 0, "another program has the port", "ss -ulpn"),
        ("udp:127.0.0.1:5690", 40, "somebody sends there", "firewall"),
        ("replay:street.kcap", 0, "the file is not there", "ls -l FILE"),
        ("replay:street.kcap", 40, "pieces of the file are damaged", "kerb decode FILE"),
        ("mqtt:host:1883/quay", 0, "see broker and tls above", "--only broker,tls"),
    ],
)
def test_a_link_that_no_other_check_looks_at(world: World, name: str, frames: int, cause: str, step: str) -> None:
    """Down, or noisy: what is said of it is said of its own kind."""
    recent = {"frames": frames, "noise": frames, "span_s": 900}
    row = {"name": name, "connected": bool(frames), "last_error": "it cannot be opened", "recent": recent}
    found = links._heard(Subject(world.config), row)
    assert found.verdict == FAIL and any(cause in text for text in found.causes)
    assert any(step in text for text in found.next)
