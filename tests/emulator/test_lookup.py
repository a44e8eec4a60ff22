"""The firmware's name look-up against a real name server: over this machine's sockets, and over an emulated board's."""

import contextlib
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from name_server import NameServer

import kerbnode
import kerbwire
from kerbnode.link import lookup
from kerbtools.emulator import World

NAME = "broker.example"
ALIASES = [f"{NAME}. 60 IN CNAME mail.example.", "mail.example. 600 IN A 10.0.0.2", "mail.example. 600 IN A 10.0.0.3"]
NEEDED = ("__init__", "lookup", "flash", "cbor", "errors", "compat")


@pytest.fixture
def server() -> Iterator[NameServer]:
    made = NameServer()
    made.records[NAME] = ALIASES
    yield made
    made.close()


class HostHal:
    """What a look-up asks of a node's hal, in real time."""

    def ticks_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def ticks_add(self, ticks: int, delta: int) -> int:
        return ticks + delta

    def ticks_diff(self, end: int, begin: int) -> int:
        return end - begin

    def random(self, count: int) -> bytes:
        return random.randbytes(count)


def address_of(made: lookup.Lookup) -> str:
    made.begin(["127.0.0.1"])
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found: str | None = made.step()
        if found:
            return found
        time.sleep(0.001)
    raise TimeoutError


def test_this_machines_sockets(server: NameServer, tmp_path: Path) -> None:
    made = lookup.Lookup(NAME, HostHal(), socket, str(tmp_path), server.port)
    assert address_of(made) == "10.0.0.2" and server.asked == [NAME] and min(server.sources) >= 49152
    server.records.clear()
    lone = lookup.Lookup(NAME, HostHal(), socket, str(tmp_path), server.port)
    with pytest.raises(OSError, match=r"127\.0\.0\.1 knows no such name: check the name"):
        address_of(lone)
    server.records[NAME] = [f"{NAME}. 60 IN TXT words"]
    with pytest.raises(OSError, match="knows no address of it"):
        address_of(lone)
    server.records[NAME] = ALIASES
    server.spoil = lambda data: [b"\0\0" + data[2:], b"", data[:30], data]
    assert address_of(lone) == "10.0.0.2" and lone.noise == 3
    server.close()
    with pytest.raises(OSError, match=r"127\.0\.0\.1 is not there"):
        address_of(lookup.Lookup(NAME, HostHal(), socket, str(tmp_path), server.port))


LOOK = """
import network, socket, time, os
from kerbnode.link import lookup
class hal:
    ticks_ms, ticks_diff, ticks_add, random = time.ticks_ms, time.ticks_diff, time.ticks_add, os.urandom
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("street", "secret")
while not wlan.isconnected():
    time.sleep_ms(100)
made = lookup.Lookup("broker.example", hal, socket, "", lookup.PORT)
while True:
    begin = time.ticks_ms()
    made.begin(wlan.ifconfig()[3:])
    try:
        found = None
        while not found:
            found = made.step()
            time.sleep_ms(10)
        made.proven(found)
    except OSError as error:
        found = error
    print(found, made.trouble or "-", time.ticks_diff(time.ticks_ms(), begin) // 1000)
    time.sleep(600)
"""


def test_an_emulated_boards_sockets(emulated_board, world: World, server: NameServer) -> None:
    files = {"main.py": LOOK.encode()}
    for package in (kerbnode, kerbwire):
        folder = Path(str(package.__file__)).parent
        for path in folder.rglob("*.py"):
            if path.stem in NEEDED:
                files[f"lib/{path.relative_to(folder.parent)}"] = path.read_bytes()
    world.air.add_access_point("street", "secret")
    world.air.add_host("192.168.4.1", server.port)
    board = emulated_board("pico_w", files=files)
    board.start()
    world.advance(60)
    server.mute = True
    world.advance(600)
    server.mute = False
    del server.records[NAME]
    world.advance(600)
    server.records[NAME] = [f"{NAME}. 60 IN A 10.0.0.9"]
    world.advance(600)
    assert list(board.console) == [
        "10.0.0.2 - 0",
        "10.0.0.2 name server 192.168.4.1 does not answer 3",
        "10.0.0.2 name server 192.168.4.1 knows no such name 0",
        "10.0.0.9 - 0",
    ]
    assert len(server.asked) == 5 and len(server.sources) == 4


HEAD = b"\x12\x34\x81\x80\0\x01\0\x03\0\0\0\0" + lookup.question(b"", NAME)[10:]
LABELS = st.binary(max_size=20).map(lambda data: bytes((len(data),)) + data)
POINTERS = st.integers(0, 0x3FFF).map(lambda to: (0xC000 | to).to_bytes(2, "big"))
SMALL = st.sampled_from(
    [b"\xc0\x0c", b"\xc0\x2c", b"\0", b"\0\x01\0\x01\0\0\0\x05\0\x04", b"\0\x05\0\x01\0\0\0\x05\0\x02"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(LABELS, POINTERS, SMALL, st.binary(max_size=30)), max_size=25).map(b"".join))
def test_whatever_a_server_says_is_an_address_or_its_own_error(behind: bytes) -> None:
    with contextlib.suppress(lookup.NoAnswer):
        address, ttl_s = lookup.parse(HEAD + behind, b"\x12\x34", NAME)
        assert socket.inet_aton(address) and 0 <= ttl_s < 1 << 31


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600), st.binary(min_size=2, max_size=2))
def test_any_bytes_at_all(data: bytes, ident: bytes) -> None:
    with contextlib.suppress(lookup.NoAnswer):
        lookup.parse(data, ident, NAME)
