"""`kerb emulate [--board NAME] [--role ROLE] [--count N] [--blank] [--directory DIR] [--speed X] [--json]`."""

import argparse
import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from kerbtools import boards, bundle
from kerbtools.emulator import Board, InterpreterError, World

MAX_COUNT = 100  # each board takes a process of 12 MB, two threads and two ptys
_LOOK_S = 0.25
_MAX_LINE = 200
_INPUT = 0  # standard input as a file number: what Python's buffer holds, poll would not see

COMMANDS = """\
While it runs, it reads commands from its standard input, one a line; NAME is a board's, or all:
  reset NAME   press the reset pin
  off NAME     cut the power
  on NAME      give it power again
"""


class EmulateError(Exception):
    """The boards cannot run. `hint` says what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def main(arguments: Sequence[str]) -> int:
    """Runs the boards until Ctrl-C, which is exit status 0."""
    parser = argparse.ArgumentParser(
        prog="kerb emulate",
        description="Run emulated boards and print the paths of their ports: USB (for mpremote) and the node's link.",
        epilog=COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--board", default="pico_w", metavar="NAME", help=f"one of {', '.join(boards.names())}")
    parser.add_argument("--role", default="bin", metavar="ROLE", help=f"one of {', '.join(bundle.ROLES)} (default bin)")
    parser.add_argument("--count", type=_count, default=1, metavar="N", help="how many boards (default 1)")
    parser.add_argument("--blank", action="store_true", help="MicroPython alone, as a new board: no firmware")
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="keep the flash images here, and take them up again"
    )
    parser.add_argument(
        "--speed", type=_speed, default=1.0, metavar="X", help="seconds of the boards a second while all sleep, or max"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the world (default 1)")
    parser.add_argument("--json", action="store_true", help="each board as a line of JSON")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with World(seed=options.seed, speed=options.speed) as world:
            _run(_boards(world, options), options)
    except KeyboardInterrupt:
        return 0
    except (boards.BoardError, bundle.BundleError, InterpreterError, EmulateError) as error:
        print(f"kerb emulate: {error}\n{error.hint}", file=sys.stderr)
        return 1
    return 0


def _boards(world: World, options: argparse.Namespace) -> list[Board]:
    facts = boards.load(options.board)
    if options.role not in facts.roles:
        raise EmulateError(
            f"no role is called {options.role!r} on a {facts.name}", "choose one of: " + ", ".join(facts.roles)
        )
    found: list[Board] = []
    for number in range(1, options.count + 1):
        name = f"{options.board}-{number}"
        folder: Path | None = options.directory and options.directory / name
        _check_image(folder, facts)
        files: dict[str, bytes] | None = {} if options.blank else None
        found.append(Board(world, options.board, options.role, name=name, files=files, directory=folder))
    return found


def _check_image(folder: Path | None, facts: boards.Board) -> None:
    """EmulateError where an image of an earlier run is none of this board."""
    if folder is None:
        return
    image = folder / "flash.img"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        size = image.stat().st_size if image.exists() else facts.filesystem_bytes
    except OSError as error:
        raise EmulateError(
            f"{folder}: {error.strerror}", "name a folder that you may write, with --directory"
        ) from error
    if size != facts.filesystem_bytes:
        raise EmulateError(
            f"{image} holds {size} bytes, the flash of a {facts.name} {facts.filesystem_bytes}",
            "name another --directory, or remove this one",
        )


def _run(found: list[Board], options: argparse.Namespace) -> None:
    for board in found:
        board.start()
    for board in found:
        ports = {"usb": board.usb_path, "link": board.link_path, "flash": str(board.flash.path)}
        what = {"name": board.name, "board": options.board, "role": options.role, "blank": options.blank}
        print(json.dumps(what | ports) if options.json else "  ".join((board.name, *ports.values())), flush=True)
    if not options.json:
        print(f"{len(found)} running; Ctrl-C ends it. In another terminal: mpremote connect PATH repl", file=sys.stderr)
        print("A board that sleeps answers nobody. Type here to wake it: reset NAME", file=sys.stderr)
    poll = select.poll()
    if sys.stdin is not None:  # pyright: ignore[reportUnnecessaryComparison]  # closed by who started us
        poll.register(_INPUT, select.POLLIN)
    unfinished = b""
    while True:
        if poll.poll(_LOOK_S * 1000):
            data = os.read(_INPUT, _MAX_LINE)
            if not data:
                poll.unregister(_INPUT)
            *lines, unfinished = (unfinished + data).split(b"\n")
            unfinished = unfinished[-_MAX_LINE:]
            for line in lines:
                _obey(line.decode(errors="replace").split(), found)
        for board in found:
            if board.failure is not None:
                raise board.failure


def _obey(words: list[str], found: list[Board]) -> None:
    """Do a command; what is none is told."""
    if not words:
        return
    named = [board for board in found if words[1:] in ([board.name], ["all"])]
    verb = words[0]
    if not named or verb not in ("reset", "off", "on"):
        print(f"kerb emulate: not understood: {' '.join(words)}\n{COMMANDS}", end="", file=sys.stderr)
        return
    for board in named:
        if verb == "on":
            board.restore_power()
        elif verb == "off":
            board.cut_power()
        elif board.alive:
            board.reset()
        else:
            print(f"kerb emulate: {board.name} is off\nType: on {board.name}", file=sys.stderr)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"must be 1 to {MAX_COUNT}")
    return number


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    speed = float(text)
    if not speed > 0:
        raise argparse.ArgumentTypeError("must be above 0, or max")
    return speed


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
