"""Emulated boards: a real MicroPython with a board's flash, heap, sleep and resets, in a world with its own time.

with World(seed=1, paused=True) as world:
    board = Board(world, "pico_w", identity=Identity(node=1, secret=secret))
    board.start()
    world.advance(24 * 3600)
    print(board.wakes, board.truth().fill_percent)
"""

from kerbtools.emulator.board import Board, Identity
from kerbtools.emulator.energy import Energy
from kerbtools.emulator.ether import Ether
from kerbtools.emulator.interpreter import InterpreterError
from kerbtools.emulator.lamp_scene import LampScene, LampTruth
from kerbtools.emulator.radio import AccessPoint
from kerbtools.emulator.scene import BinScene, Truth
from kerbtools.emulator.world import World

__all__ = [
    "AccessPoint",
    "BinScene",
    "Board",
    "Energy",
    "Ether",
    "Identity",
    "InterpreterError",
    "LampScene",
    "LampTruth",
    "Truth",
    "World",
]
