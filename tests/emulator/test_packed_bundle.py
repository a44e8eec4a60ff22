"""The packed bundle and the readable one do the same: a day on the board, to the byte of every frame."""

import sys
from pathlib import Path

import pytest

from kerbtools import bundle
from kerbtools.emulator import Board, Identity, World, interpreter
from kerbtools.emulator.scene import BinScene, Truth

sys.path.insert(0, str(Path(__file__).parents[1] / "firmware"))
from peer import Peer
from rig import NODE, SECRET

DAY_S = 86400
# The only chance in a node is its life; with that the same, so are its keys and its frames.
MAIN = b"""
import os, sys
class Same: pass
for name in dir(os): setattr(Same, name, getattr(os, name))
Same.urandom = lambda size: bytes(range(size))
sys.modules["os"] = Same
import kerbnode.app
kerbnode.app.main()
"""


class Even(BinScene):
    """Values in the middle of a step, by the hour: the noise of sensors, which a run's pace decides, changes none."""

    def truth(self, now_us):
        hour = (now_us + 1_800_000_000) // 3_600_000_000
        fill = 10 + hour % 24 * 2
        return Truth(
            fill_percent=fill,
            distance_mm=self.empty_mm - (self.empty_mm - self.full_mm) * fill / 100,
            temperature_c=8 + hour % 9 / 2,
            battery_v=3.6,
            emptied=0,
        )


READABLE_ONLY = "lib/kerbwire/cbor.mpy"


def day(board, files):
    """(frames that reached the gateway, the console's lines without the times that a run takes, records there)"""
    frames, lines = [], []
    with World(seed=3, paused=True) as world:
        node = Board(
            world, board, identity=Identity(node=NODE, secret=SECRET, epoch=1), config={"report_records": 3, "heat_s": 0},
            files={**files, "main.py": MAIN}, scene=Even("even", int(world.start_utc * 1e6)), on_line=lambda _, text: lines.append(text),
        )  # fmt: skip
        with Peer(node) as peer:
            hear = peer.gateway.hear
            peer.gateway.hear = lambda frame: (frames.append(bytes(frame)), hear(frame))[1]
            node.start()
            world.advance(DAY_S)
        assert peer.gateway.trouble == []
        return frames, lines, {key: record.values for key, record in peer.gateway.records.items()}


@pytest.mark.parametrize("board", ["esp32_c3", "pico_w"])
def test_a_day_is_the_same_in_both_forms(board, monkeypatch):
    monkeypatch.setattr(interpreter, "HEAP_FACTOR", 2 * interpreter.HEAP_FACTOR)  # the readable form needs more
    packed, readable = bundle.contents(board, "bin"), bundle.contents(board, "bin", readable=True)
    assert READABLE_ONLY in readable and READABLE_ONLY not in packed
    readable[bundle.MANIFEST] = packed[bundle.MANIFEST]  # a hello carries its hash
    loose, packed = day(board, readable), day(board, packed)
    assert len(loose[0]) >= 5 and len(loose[2]) >= 18
    for one, other in zip(packed, loose, strict=True):
        assert one == other
