"""Two lamps from the box to a passage: flashed, commissioned as a street, and lit by what one tells the other.

Every step is a `kerb` command in a process of its own; no file of the boards is written by this test.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kerbgate.audit import write_private
from kerbgate.registry import Registry
from kerbtools.bench.native import NativeGateway
from kerbtools.emulator import Board, Ether, World
from kerbtools.emulator.street_scene import REACH_M, SPACING_M, ColumnScene, Walker
from kerbtools.emulator.world import START_UTC
from kerbtools.provision.street import STREET
from kerbwire import cbor

NIGHT_UTC = START_UTC + 20 * 3600
NODES = (815, 816)
SECRET = bytes(range(70, 86))
GROUPS = '[[group]]\nname = "river-street"\nscope = 7\nnodes = ["815-816"]\n'
COMES_S, WALK_MPS = 900, 1.4
AHEAD_S = 1.1  # from detection to full light at the next column
STEP_S = 120.0
DARK, FULL = 25, 99  # percent


@dataclass
class Street:
    world: World
    boards: list[Board]
    walker: Walker
    ether: Ether

    def levels(self) -> list[int]:
        return [round(100 * self._luminaire(board).light(self.world.now_us())) for board in self.boards]

    @staticmethod
    def _luminaire(board: Board) -> Any:
        return board.hardware.wired.luminaire

    def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Virtual seconds until a condition holds."""
        begun_s = self.world.now()
        while not condition():
            assert self.world.now() < begun_s + within_s, self.levels()
            self.world.advance(0.05, timeout_s=STEP_S)
        return self.world.now() - begun_s


def kerb(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "kerbtools", *map(str, words)],
        capture_output=True, text=True, timeout=STEP_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    """Two blank Pico W on one line, flashed and commissioned, at 20:00."""
    with ExitStack() as stack:
        world = stack.enter_context(World(seed=6, start_utc=NIGHT_UTC, paused=True))
        ether = Ether(world)
        # Commissioning takes some virtual minutes: whoever walks here comes from far away.
        walker = Walker((NIGHT_UTC + COMES_S) * 1_000_000, WALK_MPS)
        boards: list[Board] = []
        for place in range(len(NODES)):
            scene = ColumnScene(f"column/{place}", NIGHT_UTC * 1_000_000, place * SPACING_M, [walker])
            boards.append(Board(world, "pico_w", "lamp", files={}, name=f"lamp{place}", scene=scene, ether=ether))
            stack.callback(boards[-1].stop)
            boards[-1].start()
        ports = [word for board in boards for word in ("--port", board.usb_path)]
        (tmp_path / "groups.toml").write_text(GROUPS)
        write_private(tmp_path / "group.key", b"\x01" + SECRET)
        registry = tmp_path / "registry.sqlite"
        kerb("registry", "init", "--registry", registry)
        kerb("flash", *ports, "--role", "lamp", "--no-self-test", "--json")
        for node, board in zip(NODES, boards, strict=True):
            said = kerb(
                "provision", "--registry", registry, "--port", board.usb_path, "--site", "harbour", "--address", node,
                "--no-selftest", "--street", tmp_path / "groups.toml", "--group-key", tmp_path / "group.key",
            )  # fmt: skip
            assert SECRET.hex() not in said
        known = Registry(registry)
        NativeGateway(world, ether, {card.address: known.secret(card) for card in known.list()})
        known.close()
        yield Street(world, boards, walker, ether)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_passage_at_one_lamp_lights_the_next_by_the_keys_that_provisioning_wrote(street: Street) -> None:
    world, walker = street.world, street.walker
    for place, x_m in ((0, -REACH_M), (1, SPACING_M - REACH_M)):
        assert walker.at_us(x_m) > world.now_us() + 300_000_000 * (1 - place), "commissioning took too long"
    world.advance((walker.at_us(-REACH_M) - world.now_us()) / 1e6 - 1, timeout_s=STEP_S)
    lines = [list(board.console) for board in street.boards]
    assert all(any(line.startswith("confirmed") for line in found) for found in lines), lines
    before = street.levels()
    assert max(before) <= DARK and min(before) >= 15, before
    ahead_s = street.until(lambda: street.levels()[1] >= FULL, 1 + AHEAD_S)
    assert walker.x_m(world.now_us()) < SPACING_M - REACH_M - 15  # nobody is in its own sight for ten seconds
    assert street.levels()[0] >= FULL and ahead_s <= 1 + AHEAD_S
    # Once it is past both, both go back; without the group's key the second would have waited for its own sight.
    world.advance((walker.at_us(SPACING_M + REACH_M) - world.now_us()) / 1e6 + 60, timeout_s=STEP_S)
    assert max(street.levels()) <= DARK
    for place, board in enumerate(street.boards):
        board.cut_power()
        found: Any = cbor.decode(board.read_file(STREET))
        assert found[1] == SECRET and (found[2], found[3], found[4]) == (1, 2 + place, 7) and len(found[7]) == 8
        assert (found[5], found[6]) == ([2], []) if place else ([], [3])
