"""How fast the firmware gets onto a board: `kerb flash` beside plain `mpremote fs cp -r` of the same files.

Both run as programs, on blank emulated boards, in turn, with the same folder; the start of the program, looking at the
board and, for kerb, reading all back are in the time. An emulated board does not show the speed of a real port and of a
real flash: the order of the two, not their bytes a second, is the result.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kerbtools import bundle
from kerbtools.device import Device

BOARD, ROLE = "pico_w", "bin"
RUNS = 5  # the best of them counts: the machine has other work
TIMEOUT_S = 120


def rows() -> Iterator[dict[str, object]]:
    """One row a program and state of the board."""
    with tempfile.TemporaryDirectory(prefix="kerb-flash-") as folder:
        root = bundle.build(BOARD, ROLE, Path(folder) / "bundle")
        (root / bundle.PACKAGE).unlink()
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        kerb = [sys.executable, "-m", "kerbtools", "flash", "--no-self-test", "--bundle", ".", "--port"]
        copy = [sys.executable, "-m", "mpremote", "connect"]
        runs = [
            (
                _seconds(root, {}, [*kerb, "{port}"]),
                _seconds(root, {}, [*copy, "{port}", "fs", "cp", "-r", ".", ":"]),
                _seconds(root, None, [*kerb, "{port}"]),
            )
            for _ in range(RUNS)
        ]
    full, plain, same = map(min, zip(*runs, strict=True))
    yield _row("kerb flash, blank board", size, full, plain)
    yield _row("mpremote fs cp -r, blank board", size, plain, plain)
    yield _row("kerb flash, unchanged board", 0, same, plain)


def _row(what: str, size: int, seconds: float, plain: float) -> dict[str, object]:
    return {
        "what": what,
        "bytes": size,
        "seconds": seconds,
        "bytes_a_second": round(size / seconds) if size else 0,
        "times_the_speed_of_mpremote": plain / seconds,
    }


def _seconds(folder: Path, files: dict[str, bytes] | None, command: list[str]) -> float:
    """The time that a program takes with a new board. files: what lies on it; None: the role's bundle."""
    from kerbtools.emulator import Board, World  # they need a POSIX host, and the other parts of the bench do not

    with World(seed=1, paused=True) as world:
        board = Board(world, BOARD, ROLE, files=files)
        words = [word.replace("{port}", board.usb_path) for word in command]
        board.start()
        with Device.open(board.usb_path):
            pass  # at its REPL: mpremote waits for ever for a board that still starts
        began = time.monotonic()
        subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=TIMEOUT_S)
        return time.monotonic() - began
