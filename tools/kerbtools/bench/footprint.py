"""Bytes of code as a board runs it: kerbwire's modules, and the files of a role's bundle by what they are for."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import kerbwire
from kerbtools import boards, bundle
from kerbtools.pack import mpy

BAR_MPY_BYTES = 28 * 1024  # a role
BENCH = ("selftest", "counters", "flash", "identity")  # loaded by tools over USB, and one of them by a command
FIRST = ("app", "lampnode", "__init__", "drivers/__init__")  # of every wake, and of every start of a lamp
SAMPLING = ("chunks", "sampling")  # with these every wake that samples
SPEAKING = ("node", "report", "encoding", "saying", "sealing", "eventmsg", "channels", "closing", "opening")
RUNS = "1234"  # how the kinds of files begin that a node loads by itself


def rows() -> Iterator[dict[str, object]]:
    """Of kerbwire, whole: one row a module, then the sum."""
    total = lines = 0
    for source in sorted(Path(kerbwire.__file__).parent.glob("*.py")):
        try:
            size = len(bundle.compile_module(source, f"kerbwire/{source.name}"))
        except bundle.BundleError as error:
            yield {"skipped": str(error), "hint": error.hint}
            return
        count = len(source.read_text().splitlines())
        total, lines = total + size, lines + count
        yield _row(source.stem, size, count)
    yield _row("all of kerbwire", total, lines)


def role_rows(board: str, role: str) -> Iterator[dict[str, object]]:
    """The files of a role's bundle for a board, then sums. BundleError.

    The floor of what is there is its instructions: names, constants and preludes apart.
    """
    contents = bundle.contents(board, role)
    fitted = {sensor.get("driver", "") for sensor in json.loads(contents["board.json"])["sensors"].values()}
    files = {path: mpy.measure(data) for path, data in contents.items() if path.endswith(".mpy")}
    kinds = {path: _loaded(path.removeprefix("lib/kerbnode/").removesuffix(".mpy"), fitted) for path in files}
    for path in sorted(files, key=lambda path: (kinds[path], path)):
        yield _file_row(role, path, kinds[path], [files[path]], "")
    for kind in sorted(set(kinds.values())):
        yield _file_row(role, "sum", kind, _of(files, kinds, (kind,)), "")
    runs = [kind for kind in set(kinds.values()) if kind[0] in RUNS]
    yield _file_row(role, "sum", "1-4 what runs", _of(files, kinds, runs), BAR_MPY_BYTES)
    yield _file_row(role, "all", "1-6", files.values(), BAR_MPY_BYTES)
    loose = [mpy.measure(d) for p, d in bundle.contents(board, role, readable=True).items() if p.endswith(".mpy")]
    yield _file_row(role, "readable", "the same, a file a module", loose, "")


def board_rows(role: str) -> Iterator[dict[str, object]]:
    """One row a board that has the role: bytes of .mpy by when they are loaded. Boards differ by their drivers."""
    for board in boards.names():
        if role not in boards.load(board).roles:
            continue
        contents = bundle.contents(board, role)
        fitted = {sensor.get("driver", "") for sensor in json.loads(contents["board.json"])["sensors"].values()}
        sizes: dict[str, int] = {}
        for path, data in contents.items():
            if path.endswith(".mpy"):
                kind = _loaded(path.removeprefix("lib/kerbnode/").removesuffix(".mpy"), fitted)
                sizes[kind[0]] = sizes.get(kind[0], 0) + len(data)
        runs = sum(size for kind, size in sizes.items() if kind in RUNS)
        yield {
            "board": board, "role": role, "every_wake": sizes.get("1", 0), "and_to_sample": sizes.get("2", 0),
            "and_to_speak": sizes.get("3", 0), "and_seldom": sizes.get("4", 0), "what_runs": runs,
            "bar_mpy_bytes": BAR_MPY_BYTES,
        }  # fmt: skip


def _loaded(name: str, fitted: set[str]) -> str:
    if name in BENCH:
        return "5 on the bench"
    if name.startswith("drivers/") and name not in FIRST:
        return "2 to sample" if name.removeprefix("drivers/") in fitted else "6 drivers of parts that are not fitted"
    if name in FIRST:
        return "1 at every wake"
    if name in SAMPLING:
        return "2 to sample"
    return "3 to speak" if name in SPEAKING else "4 seldom"


def _of(files: Mapping[str, mpy.Sizes], kinds: Mapping[str, str], wanted: Iterable[str]) -> list[mpy.Sizes]:
    return [files[path] for path in files if kinds[path] in wanted]


def _file_row(role: str, file: str, loaded: str, sizes: Iterable[mpy.Sizes], bar: object) -> dict[str, object]:
    found = list(sizes)
    names, constants = sum(each.names for each in found), sum(each.constants for each in found)
    instructions, rest = sum(each.instructions for each in found), sum(each.rest for each in found)
    return {
        "role": role, "file": file, "loaded": loaded, "files": len(found),
        "mpy_bytes": names + constants + instructions + rest, "bar_mpy_bytes": bar, "names": names,
        "constants": constants, "instructions": instructions, "rest": rest,
        "functions": sum(each.functions for each in found),
    }  # fmt: skip


def _row(module: str, size: int, lines: int) -> dict[str, object]:
    return {"module": module, "mpy_bytes": size, "source_lines": lines}
