"""The shared medium: everybody hears, time passes for each byte, and who talks at the same time spoils it."""

import os
from collections.abc import Iterator

import pytest

from kerbtools.emulator import World
from kerbtools.emulator.ether import Ether
from kerbtools.emulator.link import LinkPty
from kerbtools.emulator.world import FOREVER, Actor

BAUD = 10_000  # a byte a millisecond


@pytest.fixture
def world() -> Iterator[World]:
    with World(seed=1, paused=True) as made:
        yield made


@pytest.fixture
def actor(world: World) -> Iterator[Actor]:
    """Who sends: time stands still while it does."""
    made = world.join()
    yield made
    world.leave(made)


def pass_ms(world: World, actor: Actor, ms: int) -> None:
    """Let time go on for the sender, too."""
    until_us = world.now_us() + ms * 1000
    world._horizon_us = until_us  # pyright: ignore[reportPrivateUsage]  # as advance() does from another thread
    world.wait(actor, until_us)


def test_a_byte_takes_its_time_and_all_but_the_sender_hear_it(world: World, actor: Actor) -> None:
    ether = Ether(world, baud=BAUD)
    one, other, third = ether.port(), ether.port(), ether.port()
    one.write(b"0123456789")
    assert other.read() == b"" and other.next_us() == world.now_us() + 10_000
    pass_ms(world, actor, 4)
    assert other.read() == b"0123"
    pass_ms(world, actor, 20)
    assert other.read() == b"456789" and third.read() == b"0123456789" and one.read() == b""
    assert other.next_us() == FOREVER and ether.tally.busy_us == 10_000 and not ether.tally.collided


def test_two_at_once_spoil_what_overlaps_and_no_more(world: World, actor: Actor) -> None:
    ether = Ether(world, baud=BAUD)
    one, other, third = ether.port(), ether.port(), ether.port()
    one.write(b"aaaaaaaaaa")
    pass_ms(world, actor, 6)
    other.write(b"bbbbbbbbbb")
    pass_ms(world, actor, 30)
    heard = third.read()
    assert ether.tally.collided == 1 and heard.startswith(b"aaaaaa") and heard.endswith(b"bbbbbb")
    assert b"aaaaaaa" not in heard and b"bbbbbbb" not in heard and len(heard) == 20


def test_what_is_lost_is_lost_for_one_listener(world: World, actor: Actor) -> None:
    ether = Ether(world, baud=BAUD, loss=0.5)
    sender, listeners = ether.port(), [ether.port() for _ in range(40)]
    sender.write(b"frame\x00")
    pass_ms(world, actor, 50)
    heard = sum(listener.read() == b"frame\x00" for listener in listeners)
    assert heard == 40 - ether.tally.lost and 8 <= heard <= 32


def test_the_gateways_modem_waits_for_silence(world: World, actor: Actor) -> None:
    ether = Ether(world, baud=BAUD, delay_us=2000)
    node, listener = ether.port(), ether.port()
    node.write(b"x" * 10)
    ether.send(None, b"answer\x00")
    pass_ms(world, actor, 12)
    assert listener.read() == b"x" * 10
    pass_ms(world, actor, 40)
    assert listener.read() == b"answer\x00" and node.read() == b"answer\x00" and not ether.tally.collided


def test_a_gateway_hears_frames_on_its_port(world: World, actor: Actor) -> None:
    ether = Ether(world, baud=BAUD)
    node = ether.port()
    node.write(b"nobody is there\x00")
    pass_ms(world, actor, 100)
    gateway = os.open(ether.path, os.O_RDWR | os.O_NOCTTY)
    try:
        node.write(b"\x01\x02\x00")
        pass_ms(world, actor, 100)
        assert os.read(gateway, 100) == b"\x01\x02\x00"
    finally:
        os.close(gateway)


def test_a_cable_of_ones_own_does_not_know_when_something_comes() -> None:
    link = LinkPty()
    assert link.next_us() is None
    link.close()
