"""What one wake of a bin costs: CPU beside the bar, reads of flash, and the least heap in which it ends well.

The wakes are those of an emulated board after half a day and after a day: its flash and its retained memory are taken
as they are, and each kind of wake is run on the unix port alone (kerbtools.bench.wake_board). The stand-ins of the
hardware are thin, and their time is not counted; the flash is a folder of this host while time is measured, LittleFS
while its reads and the heap are. On an emulated board a wake costs several times as much, because the shims, the calls
to the host and LittleFS's block device are Python: its ledger of computing counts all of that.
"""

import copy
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from kerbnode import retained
from kerbtools import boards
from kerbtools.bench import footprint
from kerbtools.bench.yearly_gateway import Gateway
from kerbwire import controls, line
from kerbwire.controls import Command, Config

BOARD_FACTOR = 160  # an RP2040's time over the unix port's, for plain code
LOOP_US = 3140  # the reference loop on the machine for which that factor was found: time is said in shares of it
BAR_MS = 250  # of CPU at that factor, from wake to sleep without the radio, import included
BAR_HEAP = 100 * 1024  # on 64 bits, without shims
BOARDS = ("esp32_c3", "pico_w")
_PROGRAM = Path(__file__).with_name("wake_board.py")
_RUNS = 15
_HEAP_STEPS = 10
_TIMEOUT_S = 30
_LONGEST_H = 200  # until a report is due
_INTERVAL = 0  # of the settings' table: interval_s
_REPORT = 24  # records, as long as nothing happens

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Moment:
    """A board asleep: its flash as an image and as a folder, what it retains, and its gateway."""

    facts: boards.Board
    image: Path
    folder: Path
    retained: bytes
    gateway: Gateway
    utc_s: int

    def flags(self, flags: int) -> bytes:
        """The retained memory, woken for another purpose."""
        state = _state(self)
        state.flags = flags
        return state.pack() + bytes(len(self.retained) - retained.SIZE)

    def asked(self, order: Command | Config) -> "Moment":
        """The same, of a gateway that asks for something."""
        gateway = copy.deepcopy(self.gateway)
        gateway.asks.append(order)
        return replace(self, gateway=gateway)


def rows(names: tuple[str, ...] = BOARDS) -> Iterator[dict[str, object]]:
    """One row a board and kind of wake. Where MicroPython is missing, a row says so."""
    from kerbtools.emulator import interpreter

    try:
        interpreter.command()
    except interpreter.InterpreterError as error:
        yield {"skipped": str(error), "hint": error.hint}
        return
    for name in names:
        with tempfile.TemporaryDirectory(prefix="kerb-wake-") as folder:
            noon, full = moments(name, Path(folder))
            due = full.flags(retained.SAMPLE)
            for kind, moment, memory in (
                ("takes the temperature", noon, noon.flags(0)),
                ("samples", noon, noon.flags(retained.SAMPLE)),
                ("looks again", noon, noon.flags(retained.CHECK)),
                ("samples and reports a day", full, due),
                ("reports, and samples as commanded", full.asked(command(full, controls.SAMPLE)), due),
                ("reports, and tests itself as commanded", full.asked(command(full, controls.SELF_TEST)), due),
                ("reports, and takes new settings", full.asked(patch()), due),
                ("starts, and says hello", noon, b""),
            ):
                yield row(kind, moment, memory, Path(folder))


def command(moment: Moment, operation: int) -> Command:
    return Command(0, 1, operation, [], moment.utc_s + 86400, 3600)


def patch() -> Config:
    """A sample each half hour."""
    return Config(0, 1, 1, {_INTERVAL: 1800}, None)


def row(kind: str, moment: Moment, memory: bytes, folder: Path) -> dict[str, object]:
    """A row of the table."""
    from kerbtools.emulator import interpreter

    facts = moment.facts
    heap = round(interpreter.HEAP_FACTOR * facts.heap_bytes)
    heap += int(run(moment, memory, folder, 1 << 20)["own_bytes"])
    runs = [run(moment, memory, folder, heap) for _ in range(_RUNS)]
    timed = min(runs, key=lambda found: found["us"])
    share = timed["us"] / min(found["loop_us"] for found in runs)
    flashed = run(moment, memory, folder, 1 << 20, on_flash=True, holds=True)
    at_once = max(sum(_size(moment, name) for name in loaded) for loaded in flashed["held"])
    loaded = {name for names in flashed["held"] for name in names}
    speaks = "report" in kind or "hello" in kind
    return {
        "board": facts.name,
        "wake": kind,
        "unix_us": timed["us"],
        "share_of_loop": share,
        "ms_at_160": share * LOOP_US * BOARD_FACTOR / 1000,
        "bar_ms": "" if speaks else BAR_MS,
        "import_ms_at_160": share * timed["import_us"] / timed["us"] * LOOP_US * BOARD_FACTOR / 1000,
        "mpy_bytes": sum(_size(moment, name) for name in loaded),
        "mpy_bytes_at_once": at_once,
        "bar_mpy_bytes": footprint.BAR_MPY_BYTES,
        "flash_reads": flashed["flash_reads"],
        "flash_read_bytes": flashed["flash_bytes"],
        "least_heap_bytes": least_heap(moment, memory, folder),
        "bar_heap_bytes": BAR_HEAP,
    }


def _size(moment: Moment, name: str) -> int:
    """Bytes of a module's file; 0 of one that lies in another's."""
    file = moment.folder / "lib" / f"{name.replace('.', '/')}.mpy"
    package = moment.folder / "lib" / name.replace(".", "/") / "__init__.mpy"
    return next((place.stat().st_size for place in (file, package) if place.exists()), 0)


def moments(board: str, place: Path, *, to_report: bool = True) -> tuple[Moment, Moment]:
    """An emulated board after half a day, and when its report is due with the next sample; else the first twice."""
    from kerbtools.bench import reentry, years
    from kerbtools.emulator import Board, Identity, World

    taken: set[tuple[str, int]] = set()

    def on_line(_: Board, text: str) -> None:
        words = text.split()
        if words[:1] in (["taken"], ["event"]):
            taken.add((words[1], int(words[2])))

    with World(seed=1, start_utc=reentry.START_UTC, paused=True) as world:
        me = Identity(node=reentry.NODE, secret=reentry.SECRET, epoch=1)
        node = Board(world, board, name="wake", config={"heat_s": 3600}, identity=me, on_line=on_line)
        with years.Answering(node) as gateway:
            node.start()
            world.advance(11.5 * 3600, timeout_s=600)
            noon = _moment(node, gateway, place / "noon")
            for _ in range(_LONGEST_H if to_report else 0):
                world.advance(3600, timeout_s=600)
                if len(taken - gateway.indices) == _REPORT - 1:
                    return noon, _moment(node, gateway, place / "full")
    if to_report:
        raise RuntimeError("no report became due")
    return noon, noon


def _moment(node: Any, gateway: Gateway, place: Path) -> Moment:
    place.mkdir()
    shutil.copy(node.flash.path, place / "image")
    for path, data in node.flash.files().items():
        target = place / "files" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    memory = node.hardware.retained
    now_s = int(node.world.now())
    return Moment(node.facts, place / "image", place / "files", memory, copy.deepcopy(gateway), now_s)


def _state(moment: Moment) -> Any:
    """What a board that sleeps has kept."""
    return cast(Any, retained).unpack(moment.retained[: retained.SIZE])[0]


def least_heap(moment: Moment, memory: bytes, folder: Path) -> int:
    """The least heap, without this bench's own share, in which such a wake ends without an error."""
    low, high = 16 << 10, 512 << 10
    own = int(run(moment, memory, folder, high, on_flash=True)["own_bytes"])
    for _ in range(_HEAP_STEPS):
        middle = (low + high) // 2
        try:
            run(moment, memory, folder, middle, on_flash=True)
            high = middle
        except RuntimeError:
            low = middle
    return high - own


def run(
    moment: Moment, memory: bytes, folder: Path, heap_bytes: int, *, on_flash: bool = False, holds: bool = False
) -> Figures:
    """One wake. RuntimeError where it did not end in a sleep, or told of an error."""
    from kerbtools.emulator import interpreter

    target = folder / "run"
    shutil.rmtree(target, ignore_errors=True)
    target.unlink(missing_ok=True)
    shutil.copy(moment.image, target) if on_flash else shutil.copytree(moment.folder, target)
    causes = moment.facts.reset_causes
    ours, theirs = socket.socketpair()
    with ours:
        process = subprocess.Popen(
            [
                *interpreter.command(),
                "-X",
                f"heapsize={heap_bytes}",
                str(_PROGRAM),
                str(target),
                memory.hex(),
                str(causes["deepsleep" if memory else "power"]),
                str(moment.facts.program_bytes),
                str(theirs.fileno()),
                str(int(holds)),
            ],
            env={"MICROPYPATH": ".frozen", "PATH": os.environ.get("PATH", "")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        ours.settimeout(_TIMEOUT_S)
        answering = threading.Thread(target=_answer, args=(ours, copy.deepcopy(moment.gateway), moment.utc_s + 1800))
        answering.start()
        try:
            printed = process.communicate(timeout=_TIMEOUT_S)[0]
        except subprocess.TimeoutExpired:  # hardly any heap: it does nothing but collect
            process.kill()
            printed = process.communicate()[0]
        answering.join()
    told = (printed.splitlines() or [""])[-1]
    if process.returncode or "note crash" in printed or not told.startswith("{"):
        raise RuntimeError(f"the wake did not end well: {printed[-300:]}")
    if moment.gateway.asks and "obeyed " not in printed:
        raise RuntimeError(f"the wake did not obey: {printed[-300:]}")
    figures: Figures = json.loads(told)
    return {**figures, "printed": printed}


def _answer(wire: socket.socket, gateway: Gateway, utc_s: int) -> None:
    reader = line.Reader()
    while head := _take(wire, 4):
        answers = [
            line.encode(answer)
            for frame in reader.feed(_take(wire, int.from_bytes(head, "little")))
            for answer in gateway.hear(frame, utc_s)
        ]
        data = b"".join(answers)
        wire.sendall(len(data).to_bytes(4, "little") + data)


def _take(wire: socket.socket, count: int) -> bytes:
    """So many bytes; none when the board is gone."""
    data = b""
    while len(data) < count:
        try:
            more = wire.recv(count - len(data))
        except OSError:
            return b""
        if not more:
            return b""
        data += more
    return data
