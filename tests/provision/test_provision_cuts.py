"""The power fails at a flash write of a provisioning, at each one in turn (`make soak`; at every second one without it):
the board starts each time, and a second run mends it.
"""

from typing import Any

import pytest

from kerbgate.registry import Registry, states
from kerbtools.device import Device, DeviceError
from kerbtools.emulator import Board
from kerbtools.emulator.flash import Tear
from kerbtools.provision.commission import commission, prepare
from kerbtools.provision.found import CONFIG, COUNTERS, IDENTITY, look
from kerbtools.provision.order import Order, order_again
from kerbwire import cbor

ANSWER_S = 1.0  # emulated boards answer within milliseconds; one that lost its power never does
FEWEST_WRITES = 9  # of a provisioning over a former life: four files removed, two written and renamed, and a folder


def provision(
    board: Board, registry: Registry, order: Order, *, at_write: int | None = None, tear: Tear = "all"
) -> bool:
    """One run over USB; False if the power failed in it."""
    board.start()
    board.world.advance(1)  # into the seconds after a cold boot in which USB answers
    with Device.open(board.usb_path) as device:
        found = look(device, device.facts().unique_id)
        if at_write is not None:
            device.timeout_s = ANSWER_S
            board.cut_power(at_write=at_write, tear=tear)
        try:
            commission(device, registry, prepare(device.port, found, registry, order, discards=True))
        except DeviceError:
            assert at_write is not None
            board.wait_off()
            return False
    return True


def live(board: Board) -> None:
    """Let it boot, draw its life and take a record; then it is off."""
    board.world.advance(60)
    board.cut_power()
    assert set(COUNTERS) < set(board.list_files()) and any("/node/outbox/" in path for path in board.list_files())


def agree(board: Board, registry: Registry) -> bytes:
    """Board and registry know the same node; returns its secret. The board is off."""
    node, identity = registry.get(1), cbor.decode(board.read_file(IDENTITY))
    assert node is not None and node.state == "stock" and isinstance(identity, dict)
    assert identity == {1: 1, 2: registry.secret(node), 3: 0, 4: "harbour"}
    return identity[2]


def sweep(board: Board, registry: Registry, tear: Tear, writes: range | None = None) -> int:
    """Cut at each write until a provisioning gets through; returns how many there are."""
    order = Order(site="harbour", settings={"echoes": 9})
    assert provision(board, registry, order)
    live(board)
    for at_write in writes or range(1, 200):
        old = agree(board, registry)
        finished = provision(board, registry, order_again(registry, 1), at_write=at_write, tear=tear)
        if finished:
            board.flash.restore()
            board.cut_power()
            assert agree(board, registry) != old
            return at_write - 1
        # What the registry says is what it said: the board's half of it counts for nothing.
        node = registry.get(1)
        assert node is not None and registry.secret(node) == old and registry.card(1).unfinished
        board.flash.restore()
        files = board.list_files()
        assert IDENTITY not in files or cbor.decode(board.read_file(IDENTITY))  # whole or not there
        lines = board.lines
        board.start()
        board.world.advance(60)
        board.wait_line(r"(boot [0-9a-f]{16}|note IdentityError) ", after=lines)  # it starts, and says what it is
        board.cut_power()
        assert provision(board, registry, order_again(registry, 1))
        live(board)
        assert agree(board, registry) != old and not registry.card(1).unfinished
        assert board.read_file(CONFIG) == b'{"echoes": 9}'
    raise AssertionError("it never got through")


@pytest.mark.timeout(300)
def test_every_second_write(emulated_board: Any, registry: Registry) -> None:
    assert FEWEST_WRITES <= sweep(emulated_board("pico_w"), registry, "garbage", range(1, 200, 2)) < 100


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("board", ["pico_w", "esp32_c3"])
@pytest.mark.parametrize("tear", ["all", "half", "garbage"])
def test_every_write_and_every_tear(emulated_board: Any, registry: Registry, board: str, tear: Tear) -> None:
    assert FEWEST_WRITES <= sweep(emulated_board(board), registry, tear) < 100


def test_a_new_node_is_cut_between_board_and_registry(
    emulated_board: Any, registry: Registry, monkeypatch: Any
) -> None:
    """The machine that runs the tools dies after the board was written: nothing is valid, and a second run mends it."""
    from kerbgate.registry import provisioning

    class Died(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died

    board = emulated_board("pico_w")
    order = Order(site="harbour")
    with monkeypatch.context() as patch:
        patch.setattr(provisioning, "commit", die)
        with pytest.raises(Died):
            provision(board, registry, order)
    assert registry.card(1).state == states.PENDING and registry.get(1) is None
    board.cut_power()
    orphan = cbor.decode(board.read_file(IDENTITY))
    assert provision(board, registry, order)
    board.cut_power()
    assert isinstance(orphan, dict) and agree(board, registry) != orphan[2]
