"""`kerb bench restore`: the power comes back to a street of 300 lamps on one line, each the node's own source.

Simulated: threads of CPython in virtual time; the medium has a byte's time, collisions and losses, the gateway answers
after 5 ms.
"""

# pyright: basic
# The firmware is MicroPython's, which carries no types.

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kerbtools.bench.native import NativeGateway, NativeLamp
from kerbtools.emulator.ether import Ether
from kerbtools.emulator.street_scene import ColumnScene
from kerbtools.emulator.world import World
from kerbwire.controls import DIM, OPERATOR, Command
from kerbwire.messages import Hello

LAMPS = 300
CASES = ((115_200, 120, 0.0), (19_200, 300, 0.01))  # baud, spread_s, share of frames that a listener misses
USB_S, AFTER_S = 3, 30
TIMEOUT_S = 1800


def rows() -> Iterator[dict[str, object]]:
    for baud, spread_s, loss in CASES:
        with tempfile.TemporaryDirectory() as folder, World(seed=6, paused=True) as world:
            yield _restore(world, Path(folder), baud, spread_s, loss)


def _restore(world: World, folder: Path, baud: int, spread_s: int, loss: float) -> dict[str, object]:
    ether = Ether(world, baud=baud, loss=loss)
    secrets = {node: node.to_bytes(16, "big") for node in range(801, 801 + LAMPS)}
    gateway = NativeGateway(world, ether, secrets)
    scene = ColumnScene("dark", world.start_utc * 1_000_000, 0.0, [])
    config = json.dumps({"look_s": 60, "spread_s": spread_s})
    lamps = [
        NativeLamp(world, ether, folder / str(node), node, secret, scene, config) for node, secret in secrets.items()
    ]
    expiry = world.start_utc + 86400
    for lamp in lamps:
        lamp.start()
    for node in secrets:  # commands that echo nothing which the lamp has sent since its start
        gateway.ask(node, lambda echo: Command(10**6, 7, DIM, [0, 0, 3600], expiry, 86400, OPERATOR))
    world.advance(USB_S + spread_s, timeout_s=TIMEOUT_S)
    in_window = len(gateway.confirmed_s)
    world.advance(AFTER_S, timeout_s=TIMEOUT_S)
    tally, times = ether.tally, sorted(gateway.confirmed_s.values())
    return {
        "lamps": LAMPS,
        "baud": baud,
        "spread_s": spread_s,
        "lost_percent": round(100 * loss, 1),
        "confirmed_in_window": in_window,
        "confirmed": len(times),
        "last_confirmed_s": round(times[-1], 1) if times else None,
        "hellos_committed": sum(isinstance(one, Hello) for heard in gateway.heard.values() for one in heard),
        "frames": tally.frames,
        "line_busy_percent": round(tally.busy_us / (USB_S + spread_s + AFTER_S) / 10_000, 1),
        "collided": tally.collided,
        "commands_taken_without_echo": sum(text.startswith("obeyed") for lamp in lamps for _, text in lamp.lines),
        "failed": sum(lamp.failure is not None for lamp in lamps),
    }
