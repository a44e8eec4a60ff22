"""A lamp on an emulated board when things go wrong: it shines by night and not by day, whatever its flash and its starts do."""

import pytest

from kerbnode.lamp.node import SAFE_FAILURES
from kerbtools.demo.lamps import WIRING
from kerbtools.emulator import Board, Identity, World
from kerbtools.emulator.street_scene import ColumnScene
from kerbtools.emulator.world import START_UTC

CONFIG = {"look_s": 30, "spread_s": 5, "latitude": 0, "longitude": 0, "dusk_sun": 0, "dawn_sun": 0}
NIGHT, NOON = START_UTC + 20 * 3600, START_UTC + 12 * 3600


def lamp(world):
    scene = ColumnScene("alone", world.start_utc * 1_000_000, 0.0, [])
    return Board(
        world,
        "emulated",
        "lamp",
        identity=Identity(node=801, secret=bytes(16)),
        config=CONFIG,
        scene=scene,
        wiring=WIRING,
    )


def level(board):
    return round(100 * board.hardware.wired.luminaire.level)


@pytest.mark.soak
def test_ten_starts_that_fail_are_safe_mode_and_light():
    """Whoever shakes the lamp's supply ten times gets the photocell's light, and a node that still says hello."""
    with World(seed=1, start_utc=NIGHT, paused=True) as world:
        board = lamp(world)
        board.start()
        for _ in range(SAFE_FAILURES):
            world.advance(4)
            board.reset()
        world.advance(20)
        assert any("safe mode" in line for line in board.console), list(board.console)[-5:]
        assert any(line.startswith("sent hello") for line in board.console) and level(board) == 100
        board.scene.daylight_lux = lambda now_us: 5000.0  # somebody holds a lamp to the cell
        world.advance(60)  # and it has to last, for headlights are no day
        assert level(board) == 100
        world.advance(120)
        assert level(board) == 0


@pytest.mark.parametrize(("start_utc", "wanted"), [(NIGHT, 100), (NOON, 0)])
def test_a_lamp_whose_flash_cannot_be_used_goes_by_the_photocell(start_utc, wanted):
    with World(seed=1, start_utc=start_utc, paused=True) as world:
        board = lamp(world)
        board.write_file("/node/outbox", b"this should be a folder")
        board.start()
        world.advance(8)
        first = board.starts
        assert any(line.startswith("note crash") for line in board.console) and level(board) == wanted
        shown = []
        for _ in range(40):
            world.advance(1)
            shown.append(level(board))
        assert board.starts > first + 1  # it is tried again and again
        # By night it is never dark; by day a driver whose board starts shines by itself for a moment.
        assert min(shown) >= 20 if wanted else shown.count(0) >= 34, shown
        board.cut_power()
        assert b"crash" in board.read_file("/node/log.0")
