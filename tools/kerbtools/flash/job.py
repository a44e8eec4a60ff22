"""Flashing one board, from its port to its self-test; and the bundles that several such jobs share."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from kerbtools import bundle
from kerbtools.boards import BoardError
from kerbtools.bundle import BundleError
from kerbtools.device import Device, DeviceError, selftest
from kerbtools.device.selftest import Row
from kerbtools.flash import choose
from kerbtools.flash.plan import plan
from kerbtools.flash.update import carry_out, look

Status = Literal["unchanged", "planned", "flashed", "failed"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """board, role: None to ask the board. wait_s: for a board that is absent or asleep."""

    board: str | None = None
    role: str | None = None
    wait_s: float = 0.0
    dry_run: bool = False
    self_test: bool = True


@dataclass(kw_only=True)
class Result:
    """What came of one board. sent_bytes, transfer_s: of the files' content, and the seconds from plan to verified."""

    port: str
    board: str = ""
    role: str = ""
    unique_id: str = ""
    status: Status = "failed"
    files: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    sent_bytes: int = 0
    transfer_s: float = 0.0
    total_s: float = 0.0
    rows: list[Row] = field(default_factory=list[Row])
    error: DeviceError | BoardError | BundleError | None = None

    @property
    def succeeded(self) -> bool:
        return self.status != "failed" and selftest.passed(self.rows)

    def as_json(self) -> dict[str, Any]:
        found = {**vars(self), "rows": [asdict(row) for row in self.rows], "error": None}
        found["self_test"] = found.pop("rows")
        if self.error is not None:
            found["error"] = {"kind": type(self.error).__name__, "cause": cause(self.error), "hint": self.error.hint}
        return found


class Watcher:
    """What a job tells while it runs. Called from the job's thread; this one says nothing."""

    def said(self, port: str, text: str) -> None:
        """A step begins, or the job waits for somebody."""

    def progress(self, port: str, done: int, total: int) -> None:
        """Bytes sent, of bytes in all."""


class Bundles:
    """The contents of bundles, each built once, however many boards ask. build: contents by board and role."""

    def __init__(self, build: Callable[[str, str], Mapping[str, bytes]] | None = None) -> None:
        self._build = build or bundle.contents
        self._lock = threading.Lock()
        self._built: dict[tuple[str, str], Mapping[str, bytes]] = {}

    def get(self, board: str, role: str) -> Mapping[str, bytes]:
        """BoardError, BundleError."""
        with self._lock:
            if (board, role) not in self._built:
                self._built[board, role] = self._build(board, role)
            return self._built[board, role]


def from_folder(folder: Path) -> Callable[[str, str], Mapping[str, bytes]]:
    """A `build` for Bundles that takes a bundle from a folder; it is for one board and role."""

    def build(board: str, role: str) -> Mapping[str, bytes]:
        files = bundle.read(folder)
        manifest = json.loads(files[bundle.MANIFEST])
        if (manifest.get("board"), manifest.get("role")) != (board, role):
            raise BundleError(
                f"{folder} is for a {manifest.get('role')} on a {manifest.get('board')}, this is a {role} on a {board}",
                "give the folder of that board and role, or leave --bundle out",
            )
        return files

    return build


def flash(port: str, options: Options, bundles: Bundles, watcher: Watcher) -> Result:
    """Flash the board on a port. What goes wrong is in the result."""
    began = time.monotonic()
    result = Result(port=port)
    try:
        _flash(result, options, bundles, watcher)
    except (DeviceError, BoardError, BundleError) as error:
        result.status, result.error = "failed", error
    result.total_s = round(time.monotonic() - began, 3)
    return result


def _flash(result: Result, options: Options, bundles: Bundles, watcher: Watcher) -> None:
    port = result.port
    tell: Callable[[DeviceError], None] = lambda error: watcher.said(port, f"{error.message} {error.hint}")  # noqa: E731
    watcher.said(port, "opening")
    with Device.open(port, wait_s=options.wait_s, on_silence=tell) as device:
        facts = device.facts()
        board = choose.board(port, facts, options.board)
        result.board, result.unique_id = board.name, facts.unique_id
        result.role = choose.role(device, options.role)
        todo = plan(bundles.get(board.name, result.role), look(device))
        result.files, result.removed = todo.files, todo.remove
        if options.dry_run or todo.is_empty:
            result.status = "unchanged" if todo.is_empty else "planned"
            if not options.dry_run:
                carry_out(device, todo)
        else:
            watcher.said(port, f"{len(set(todo.files) & set(todo.missing))} files to send")
            started = time.monotonic()
            carry_out(device, todo, lambda done, total: watcher.progress(port, done, total))
            result.transfer_s = round(time.monotonic() - started, 3)
            result.sent_bytes = todo.bytes_to_send
            result.status = "flashed"
            if options.self_test:
                watcher.said(port, "self-test")
                result.rows = selftest.run(device, result.role)
        device.reset()


def cause(error: DeviceError | BoardError | BundleError) -> str:
    """The sentence of cause alone."""
    return error.message if isinstance(error, DeviceError) else str(error).removesuffix(f" ({error.hint})")
