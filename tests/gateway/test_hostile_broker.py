"""A council's broker that is hostile: whatever it says, the pump neither ends nor grows, and no row is deleted of which
the broker has not acknowledged that very document. When it behaves again, everything that was left is delivered.
"""

import asyncio
import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from forward_harness import Running, fill
from gateway_harness import DEADLINE_S, until

from kerbgate import status
from kerbgate.store import Reader

GROWTH_MB = 40  # of this process, in which the attacker keeps its own books too
CONNACK = b"\x20\x03\x00\x00\x00"


class Talk:
    """One connection of the gateway, at the broker's end."""

    def __init__(self, villain: "Villain", reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.random = villain.random
        self.number = villain.connections
        self.documents: dict[int, str] = {}  # by packet number
        self._villain = villain
        self._reader = reader
        self._writer = writer

    async def packet(self) -> tuple[int, bytes]:
        """The next packet: its kind and body."""
        first = (await self._reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await self._reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 128:
                break
        return first >> 4, await self._reader.readexactly(length)

    async def publish(self) -> int:
        """The number of the next document; other packets are passed by."""
        while True:
            kind, body = await self.packet()
            if kind == 3:
                at = 2 + int.from_bytes(body[:2], "big")
                number = int.from_bytes(body[at : at + 2], "big")
                payload = body[at + 2 :]
                self.documents[number] = json.loads(payload[payload.index(b"{") :])["id"]
                return number
            if kind == 12:
                await self.say(b"\xd0\x00")

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def acknowledge(self, number: int, code: int = 0, tail: bytes = b"") -> None:
        """A PUBACK; what it truly acknowledges is noted before it is sent."""
        if code < 0x80 and number in self.documents:
            self._villain.acknowledged.add(self.documents[number])
        body = number.to_bytes(2, "big") + (bytes((code,)) + tail if code or tail else b"")
        await self.say(b"\x40" + _length(len(body)) + body)

    async def accept(self) -> None:
        assert (await self.packet())[0] == 1
        await self.say(CONNACK)


def _length(length: int) -> bytes:
    out = bytearray()
    while length > 127:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((*out, length))


def _publish(topic: bytes, payload: bytes, flags: int = 0x31, number: bytes = b"") -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + number + b"\0" + payload
    return bytes((flags,)) + _length(len(body)) + body


Attack = Callable[[Talk], Awaitable[None]]


async def honest(talk: Talk) -> None:
    await talk.accept()
    while True:
        await talk.acknowledge(await talk.publish())


async def garbage_at_once(talk: Talk) -> None:
    await talk.say(talk.random.randbytes(talk.random.randrange(1, 5000)))


async def garbage_later(talk: Talk) -> None:
    await talk.accept()
    await talk.acknowledge(await talk.publish())
    await talk.say(talk.random.randbytes(talk.random.randrange(1, 5000)))
    await talk.publish()


async def mutated_packets(talk: Talk) -> None:
    await talk.accept()
    good = bytearray(b"\x40\x02\x00\x01" + _publish(b"a/b", b"x", 0x32, b"\0\1") + b"\x90\x04\x00\x01\x00\x01\xd0\x00")
    for _ in range(3):
        good[talk.random.randrange(len(good))] = talk.random.randrange(256)
    for position, number in enumerate(good[:-1]):  # it may by chance acknowledge what is under way
        if number == 0x40 and position + 4 <= len(good):
            return
    await talk.say(bytes(good))
    await talk.publish()


async def packets_without_end(talk: Talk) -> None:
    """Lengths of 256 MB, with topics and properties that claim as much, and the bytes to go with it for a while."""
    await talk.accept()
    await talk.say(b"\x31" + b"\xff\xff\xff\x7f" + b"\xff\xff")
    for _ in range(60):
        await talk.say(bytes(100_000))


async def large_topics(talk: Talk) -> None:
    await talk.accept()
    for _ in range(50):
        await talk.say(_publish(b"t" * 65_535, b"x" * 60_000, 0x33, b"\0\1"))
    await talk.publish()


async def flood_of_retained(talk: Talk) -> None:
    await talk.accept()
    flood = b"".join(_publish(b"kerbstone/%d" % number, b"x" * 900) for number in range(1000))
    for _ in range(30):
        await talk.say(flood)
    await talk.publish()


async def wrong_acknowledgements(talk: Talk) -> None:
    await talk.accept()
    for _ in range(20):
        number = await talk.publish()
        for wrong in (0, number + 1000, 65_535, number ^ 0x4000):
            if wrong not in talk.documents:
                await talk.acknowledge(wrong)
    number = talk.random.choice(list(talk.documents))
    await talk.acknowledge(number)
    await talk.acknowledge(number)


async def refusals(talk: Talk) -> None:
    await talk.accept()
    words = b"\x1b[2J\x00\r\nno " * 1000
    text = b"\x1f" + len(words).to_bytes(2, "big") + words
    for code in (0x80, 0x83, 0x87, 0x97, 0x99, 0xFE):
        await talk.acknowledge(await talk.publish(), code, _length(len(text)) + text)


async def lost_sessions(talk: Talk) -> None:
    await talk.accept()
    for _ in range(talk.random.randrange(4)):
        await talk.publish()


async def one_byte_at_a_time(talk: Talk) -> None:
    assert (await talk.packet())[0] == 1
    for byte in CONNACK + b"\x40\x02\xff\xff" * 5 + b"\x40\x05\x00":
        await talk.say(bytes((byte,)))
        await asyncio.sleep(0)
    await talk.publish()


async def acknowledges_and_ends(talk: Talk) -> None:
    """Session after session takes one document; and tells of limits that leave no room."""
    assert (await talk.packet())[0] == 1
    limits = bytes.fromhex("210001") + bytes.fromhex("2700000020")
    await talk.say(b"\x20" + bytes((3 + len(limits), 0, 0, len(limits))) + limits)
    await asyncio.sleep(0.05)


ATTACKS: list[Attack] = [
    garbage_at_once,
    garbage_later,
    mutated_packets,
    packets_without_end,
    large_topics,
    flood_of_retained,
    wrong_acknowledgements,
    refusals,
    lost_sessions,
    one_byte_at_a_time,
    acknowledges_and_ends,
]


class Villain:
    """A broker in a thread of its own, that behaves as it is told."""

    def __init__(self, attack: Attack):
        self.attack = attack
        self.random = random.Random(7)
        self.connections = 0
        self.acknowledged: set[str] = set()
        self.faults: list[BaseException] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> "Villain":
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE_S)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            async with asyncio.timeout(DEADLINE_S if self.attack is honest else 1.5):
                await self.attack(Talk(self, reader, writer))
        except (OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            pass
        except BaseException as fault:
            self.faults.append(fault)
        finally:
            writer.transport.abort()


def left(running: Running) -> set[str]:
    """The records that still wait."""
    with contextlib.closing(Reader(running.gateway.store.path)) as reader:
        rows = reader.waiting("council", 0, 100_000)
    return {
        f"{row.site}/{row.node}/{row.life.hex()}/{index}"
        for row in rows
        for index in range(row.first, row.first + row.count)
    }


def records(documents: set[str]) -> set[str]:
    """The ids of the records of documents, by the documents' ids."""
    out: set[str] = set()
    for ident in documents.copy():
        base, _, ends = ident.rpartition("/")
        first, last = ends.split("-")
        out |= {f"{base}/{index}" for index in range(int(first), int(last) + 1)}
    return out


def megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_it_survives_and_deletes_only_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: Attack
) -> None:
    monkeypatch.setattr("kerbgate.forward.FIRST_RETRY_S", 0.01)
    monkeypatch.setattr("kerbgate.forward.LAST_RETRY_S", 0.05)
    ids = fill(tmp_path, reports=60)
    with Villain(attack) as villain:
        running = Running(tmp_path, villain.port, window=8)
        try:
            before = megabytes()
            descriptors = len(os.listdir("/proc/self/fd"))
            end = time.monotonic() + 4
            until(lambda: villain.connections >= 40 or time.monotonic() > end, "it was attacked for a while")
            assert villain.connections >= 2
            assert megabytes() - before < GROWTH_MB
            assert len(os.listdir("/proc/self/fd")) < descriptors + 20
            # What was acknowledged is noted before it is said: whatever is gone by now was.
            remain = left(running)
            assert ids - remain <= records(villain.acknowledged)
            found = status.collect(running.gateway)
            text = status.plain(found, 0)
            assert all(line.isprintable() for line in text.splitlines()) and len(text) < 20_000
            villain.attack = honest
            aside = {ident for ident, _ in running.pump.aside.items()}
            until(lambda: len(left(running)) <= 4 * len(aside), "what was left is delivered", 60)
            assert ids - left(running) <= records(villain.acknowledged)
            assert running.gateway.tasks["outlet council"].failures == 0
            if aside:  # refused for what they were; a restart or a reload tries them again
                assert attack in (refusals, acknowledges_and_ends)
        finally:
            running.close()
        assert not villain.faults, villain.faults
