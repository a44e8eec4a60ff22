"""What a power cut would leave of a folder, from a strace log of the process that wrote it.

A write is in the page cache once its call ends, and on the disk once a sync of that file, begun later, has ended. At a
cut, each write that is not on the disk yet is there whole, torn in the middle, or not at all. A file that was created
or removed is so for certain once its folder was synced.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "trace=openat,pwrite64,write,ftruncate,fdatasync,fsync,unlink,rename"
STRACE = ("-f", "-y", "-xx", "-A", "-s", "100000", "-e", CALLS)  # whole buffers, names of descriptors, appending
VARIANTS = ("dropped", "kept", "torn", "mixed")

_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(\(| resumed>)(.*?)( <unfinished \.\.\.>|\)? += (-?\d+).*)$", re.DOTALL)
_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")


@dataclass
class Call:
    """A system call. `begin` and `end` are its places in the order of all beginnings and ends."""

    name: str
    path: str
    begin: int
    end: int = 1 << 60
    data: bytes = b""
    offset: int = 0
    created: bool = False


def read_log(text: str) -> list[Call]:
    """The calls of a log that succeeded or were under way at its end, in the order of their beginnings."""
    calls: list[Call] = []
    under_way: dict[str, tuple[str, int, Call | None]] = {}
    for place, row in enumerate(text.splitlines()):
        match = _LINE.match(row)
        if match is None:
            continue
        process, name, how, arguments, rest, result = match.groups()
        if how == "(" and "unfinished" in rest:
            call = _call(name, arguments, place)
            under_way[process] = (arguments, place, call)
            if call is not None:
                calls.append(call)
        elif how == "(":
            call = _call(name, arguments, place)
            if call is not None and int(result) >= 0:
                call.end = place
                calls.append(call)
        elif process in under_way and result is not None:
            _, _, call = under_way.pop(process)
            if call is not None:
                call.end = place
    return calls


def _call(name: str, arguments: str, place: int) -> Call | None:
    if name in ("pwrite64", "write", "ftruncate", "fdatasync", "fsync"):
        descriptor = _DESCRIPTOR.match(arguments)
        if descriptor is None:
            return None
        call = Call(name, _text(descriptor[1]), place)
        fields = arguments[descriptor.end() :].lstrip(", ").split(", ")
        if name == "ftruncate":
            call.offset = int(fields[0])
        elif name in ("pwrite64", "write"):
            call.data = bytes.fromhex(fields[0].strip('"').replace("\\x", ""))
            call.offset = int(fields[2]) if name == "pwrite64" else 0
        return call
    named = re.search(r'"((?:\\x[0-9a-f]{2})*)"', arguments)
    if named is None or name == "rename":
        return None
    return Call(name, _text(named[1]), place, created="O_CREAT" in arguments)


def _text(escaped: str) -> str:
    return bytes.fromhex(escaped.replace("\\x", "")).decode() if escaped.startswith("\\x") else escaped


@dataclass
class _File:
    disk: bytearray = field(default_factory=bytearray)
    pending: list[Call] = field(default_factory=list)
    on_disk: bool = False  # its name
    exists: bool = True  # its name in the page cache


class PowerCut:
    """Replays calls; `advance` to a place in the log, then `files` as a cut there would leave them."""

    def __init__(
        self,
        calls: list[Call],
        folder: Path,
        wanted: Iterator[str] | tuple[str, ...],
        before: dict[str, bytes] | None = None,
    ):
        """wanted: names of the files to rebuild. before: what was on the disk of them when the log began."""
        self._folder = str(folder)
        self._wanted = {f"{folder}/{name}" for name in wanted}
        steps = [(call.end, 1, call) for call in calls] + [
            (call.begin, 0, call) for call in calls if "sync" in call.name
        ]
        self._steps = sorted(steps, key=lambda step: step[:2])
        self._at = 0
        self._files: dict[str, _File] = {
            f"{folder}/{name}": _File(bytearray(content), on_disk=True) for name, content in (before or {}).items()
        }
        self._covered: dict[int, int] = {}

    def advance(self, place: int) -> None:
        """Let everything happen that ended before this place."""
        while self._at < len(self._steps) and self._steps[self._at][0] < place:
            _, ends, call = self._steps[self._at]
            self._at += 1
            if "sync" in call.name:
                self._sync(call, bool(ends))
            elif call.path in self._wanted:
                self._change(call)

    def files(self, variant: str, rng: random.Random) -> dict[str, bytes]:
        """The files by name. `variant` says what becomes of writes that are not on the disk."""
        left: dict[str, bytes] = {}
        for path, file in self._files.items():
            certain = file.on_disk == file.exists
            there = file.exists if certain or variant != "dropped" else file.on_disk
            if not certain and variant == "mixed":
                there = rng.random() < 0.5
            if there:
                content = bytearray(file.disk)
                for call in file.pending:
                    fate = rng.choice(("dropped", "kept", "torn")) if variant == "mixed" else variant
                    _apply(content, call, fate)
                left[Path(path).name] = bytes(content)
        return left

    def _change(self, call: Call) -> None:
        file = self._files.get(call.path)
        if call.name == "openat":
            if call.created and (file is None or not file.exists):
                was_on_disk = file is not None and file.on_disk
                self._files[call.path] = _File(on_disk=was_on_disk)
        elif call.name == "unlink":
            if file is not None:
                file.exists = False
        elif file is not None:
            file.pending.append(call)

    def _sync(self, call: Call, ended: bool) -> None:
        if call.path == self._folder:
            if ended:
                for file in self._files.values():
                    file.on_disk = file.exists
        elif call.path in self._files:
            file = self._files[call.path]
            if not ended:
                self._covered[id(call)] = len(file.pending)
            else:
                count = self._covered.pop(id(call), 0)
                for write in file.pending[:count]:
                    _apply(file.disk, write, "kept")
                del file.pending[:count]


def _apply(content: bytearray, call: Call, fate: str) -> None:
    if fate == "dropped":
        return
    if call.name == "ftruncate":
        if fate == "kept":
            content[call.offset :] = bytes(max(0, call.offset - len(content)))
        return
    data = call.data[: len(call.data) // 2] if fate == "torn" else call.data
    if len(content) < call.offset:
        content.extend(bytes(call.offset - len(content)))
    content[call.offset : call.offset + len(data)] = data
