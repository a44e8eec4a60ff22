"""`kerb bench lampheap`: the least heap with which a lamp lives through an evening, on 64 bits, the shims apart.

A real MicroPython with the lamp's own bundle, a gateway's end on the line: a start, its hello, people on the street and
neighbours' waves, quarters of an hour and reports of level changes, orders of each kind. Less and less heap is tried,
until the board says MemoryError, starts anew, or comes no further for collecting garbage.
"""

# pyright: basic
# The firmware is MicroPython's, which carries no types.

from collections.abc import Iterator
from dataclasses import replace

from kerbtools import boards
from kerbtools.bench.native import NativeGateway
from kerbtools.emulator import Board, Ether, Identity, World, interpreter
from kerbtools.emulator.street_scene import ColumnScene, Walker
from kerbwire import cbor, messages
from kerbwire.controls import DIM, IDENTIFY, OPERATOR, RESEND, SAMPLE, SEND_LOG, Command, Result
from kerbwire.group import GroupKey
from kerbwire.waves import Wave

BAR_BYTES = 100 * 1024
NODE, SECRET, GROUP = 801, bytes(16), bytes(range(16))
EVENING_S = 20 * 3600
CONFIG = {"look_s": 30, "spread_s": 5, "report_s": 900, "latitude": 0, "longitude": 0, "dusk_sun": 0, "dawn_sun": 0}
WIRING = {
    "presence": {"driver": "level", "pin": 14, "active": 1},
    "dimmer": {"driver": "pwm", "pin": 10, "frequency_hz": 500, "full_light_duty": 0},
}
STEP_BYTES = 4096
STUCK_S = 60  # of real time for a minute of the evening
ORDERS = ((DIM, [40, 5, 60]), (SAMPLE, []), (IDENTIFY, [3]), (RESEND, [0, 8]), (SEND_LOG, [1, 0]))


def rows() -> Iterator[dict[str, object]]:
    """The least heap of the lamp, and what each board that may be one has."""
    try:
        interpreter.command()
    except interpreter.InterpreterError as error:
        yield {"skipped": str(error), "hint": error.hint}
        return
    least = least_heap()
    yield {
        "lamp": "least heap on 64 bits, shims apart",
        "bytes": least,
        "bar_bytes": BAR_BYTES,
        "within": least <= BAR_BYTES,
    }
    for name in boards.names():
        facts = boards.load(name)
        if "lamp" in facts.roles:
            room = round(interpreter.HEAP_FACTOR * facts.heap_bytes)
            yield {"lamp": f"heap of {name} there", "bytes": room, "bar_bytes": "", "within": least <= room}


def least_heap(low: int = 96 * 1024, high: int = 320 * 1024) -> int:
    """To STEP_BYTES: `high` has to do."""
    while high - low > STEP_BYTES:
        middle = (low + high) // 2
        if lives(middle):
            high = middle
        else:
            low = middle
    return high


def lives(heap_bytes: int) -> bool:
    """Whether the evening goes by as it should."""
    with World(seed=3, start_utc=1_767_225_600 + EVENING_S, paused=True) as world:
        begin_us = world.start_utc * 1_000_000
        ether = Ether(world)
        gateway = NativeGateway(world, ether, {NODE: SECRET})
        scene = ColumnScene("heap", begin_us, 0.0, [Walker(begin_us + 60_000_000 * n, 1.4) for n in range(1, 60)])
        board = Board(
            world, "emulated", "lamp", identity=Identity(node=NODE, secret=SECRET), config=CONFIG, scene=scene,
            wiring=WIRING, ether=ether,
        )  # fmt: skip
        board.facts = replace(board.facts, heap_bytes=round(heap_bytes / interpreter.HEAP_FACTOR))
        street = {1: GROUP, 2: 0, 3: 2, 4: 7, 5: [], 6: [3, 4]}
        board.write_file("/node/street.cbor", cbor.encode(street))
        board.start()
        key = GroupKey(GROUP, 0)
        for number in range(1, 36):
            try:
                world.advance(60, timeout_s=STUCK_S)
            except TimeoutError:
                return False
            gateway.send_raw(key.seal(3, number, messages.encode(Wave(100, 0, 0, 0, 40))))
            if number % 3 == 0:
                operation, arguments = ORDERS[number // 3 % len(ORDERS)]
                _ask(gateway, world, number, operation, arguments)
        answered = sum(isinstance(message, Result) for message in gateway.heard[NODE])
        bad = any("MemoryError" in line or "crash" in line for line in board.console)
        return board.starts == 1 and not bad and answered >= len(ORDERS)


def _ask(gateway: NativeGateway, world: World, ident: int, operation: int, arguments: "list[int]") -> None:
    until_s = world.start_utc + 86400
    gateway.ask(NODE, lambda echo: Command(echo, ident, operation, arguments, until_s, 86400, OPERATOR))
