"""The verbs for a connected board: info, selftest, logs, config, reset, erase."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kerbnode import log
from kerbtools.device import erase as erasing
from kerbtools.device import ports, settings, traces
from kerbtools.device import selftest as testing
from kerbtools.device.device import Device
from kerbtools.device.errors import BoardRaised, DeviceError, FlashRefused, printable
from kerbtools.device.show import field_lines, table

NODE = "/node"
ENOENT = 2
REGISTRY_VARIABLE = "KERB_REGISTRY"

Options = argparse.Namespace


class UsageError(DeviceError):
    """What was asked for cannot be done to any board."""


def info(arguments: Sequence[str]) -> int:
    """What a board is, what runs on it and who it is; without boards: which ports there are."""
    return _run(_parser("info", info.__doc__), arguments, _info)


def selftest(arguments: Sequence[str]) -> int:
    """Try each sensor, the lamp driver, battery, clock, radio and flash; exit status 1 if anything fails."""
    return _run(_parser("selftest", selftest.__doc__), arguments, _selftest)


def logs(arguments: Sequence[str]) -> int:
    """The log that a board keeps over resets, and its last crash."""
    parser = _parser("logs", logs.__doc__)
    parser.add_argument(
        "--names",
        dest="names_file",
        type=Path,
        metavar="FILE",
        help="FOLDER.names.json of a bundle that was written",
    )
    return _run(parser, arguments, _logs)


def configure(arguments: Sequence[str]) -> int:
    """Settings of a board: shown, set, or compared with their defaults or a file."""
    parser = _parser("config", configure.__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    get = parts.add_parser("get", help="the settings that hold")
    get.add_argument("names", nargs="*", metavar="NAME")
    put = parts.add_parser("set", help="write settings; NAME= goes back to the default")
    put.add_argument("changes", nargs="+", metavar="NAME=VALUE")
    diff = parts.add_parser("diff", help="what differs from the defaults; exit status 1 if anything does")
    diff.add_argument("--file", help="from this config.json instead")
    return _run(parser, arguments, _configure)


def reset(arguments: Sequence[str]) -> int:
    """Reset a board, as its button does: its program starts anew."""
    return _run(_parser("reset", reset.__doc__), arguments, _reset)


def erase(arguments: Sequence[str]) -> int:
    """Wipe a board: keys, counters, records, settings and firmware, and erase the flash under them."""
    parser = _parser("erase", erase.__doc__)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    told = parser.add_mutually_exclusive_group()
    named = os.environ.get(REGISTRY_VARIABLE)
    told.add_argument(
        "--registry",
        type=Path,
        default=Path(named) if named else None,
        metavar="FILE",
        help=f"mark its node as returned there (default: ${REGISTRY_VARIABLE})",
    )
    told.add_argument("--config", type=Path, metavar="FILE", help="a gateway's configuration, which names its registry")
    return _run(parser, arguments, _erase)


def _parser(verb: str, text: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"kerb {verb}", description=text)
    parser.add_argument("--port", help="serial port or pty; else the one board that is plugged in")
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="seconds to wait for a board that sleeps")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str], act: Callable[[Device, Options], int]) -> int:
    """Open the board, do it, and let its program run again."""
    options = parser.parse_args(arguments)
    try:
        _check(options)
        port = _pick(options.port)
        with Device.open(port, wait_s=options.wait, on_silence=_tell) as device:
            try:
                status = act(device, options)
            except DeviceError:
                with suppress(DeviceError):  # its program runs again where it can
                    device.reset()
                raise
            device.reset()
        return status
    except DeviceError as error:
        if options.json:
            kind = type(error).__name__
            print(json.dumps({"error": {"kind": kind, "cause": error.message, "hint": error.hint}}))
        print(f"{parser.prog}: {error.message}\n      {error.hint}", file=sys.stderr)
        return 1


def _tell(error: DeviceError) -> None:
    print(f"{error.message}\n      {error.hint}", file=sys.stderr)


def _pick(named: str | None) -> str:
    """The port to use. DeviceError where that is not clear."""
    if named is not None:
        return named
    found = ports.find()
    if not found:
        others = ", ".join(port.path for port in ports.listed()) or "none"
        raise UsageError(
            f"No board is plugged in (serial ports of other kinds: {others}).",
            "Plug one in with a cable that carries data, or name its port with --port.",
        )
    if len(found) > 1:
        listed = ", ".join(f"{port.path} ({printable(port.title)})" for port in found)
        raise UsageError(f"Several boards are plugged in: {listed}.", "Name one with --port.")
    return found[0].path


def _check(options: Options) -> None:
    """What can be refused before a board is touched. DeviceError."""
    for name in getattr(options, "names", ()):
        settings.check_name(name)
    settings.changes(getattr(options, "changes", ()))
    if getattr(options, "yes", True) is False and not _agreed():
        raise UsageError("Nothing was erased.", "Run it again and type: erase, or give --yes.")


def _agreed() -> bool:
    print("This wipes keys, counters, records, settings and firmware. The keys cannot be had back.", file=sys.stderr)
    print("Type `erase` to go on: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() == "erase"


def _info(device: Device, options: Options) -> int:
    facts = device.facts()
    found: dict[str, Any] = {
        "port": device.port,
        "machine": printable(facts.machine),
        "micropython": facts.micropython,
        "unique_id": facts.unique_id,
        "flash_free_bytes": facts.free_bytes,
        "flash_total_bytes": facts.total_bytes,
    }
    try:
        told: dict[str, Any] = device.ask(_INFO)
    except BoardRaised:
        told = {}
    found |= {key: told.get(key) for key in _TOLD}
    _show(found, options)
    return 0


_TOLD = (
    "firmware", "bundle", "board", "role", "node", "site", "key_epoch", "links", "boots", "records_numbered",
    "settings_hash",
)  # fmt: skip
# Asked of the firmware itself; of the identity it gives address and site, of the links their strings: never a secret.
_INFO = """
import json
from kerbnode import __version__, config, flash, identity
from kerbnode.counters import Counters
out = {"firmware": __version__, "bundle": "".join("%02x" % b for b in flash.digest("/bundle.json")[:8])}
try:
 with open("/bundle.json") as f: m = json.load(f)
 out["board"], out["role"] = m["board"], m["role"]
except (OSError, ValueError, KeyError) as e: out["board"] = out["role"] = None
try:
 me = identity.read("/node/identity.cbor")
 out["node"], out["site"], out["key_epoch"] = me.node, me.site, me.epoch
except identity.IdentityError as e: out["node"] = out["site"] = None
try:
 with open("/node/links.json") as f: out["links"] = " ".join([str(n)[:120] for n in json.load(f)])
except (OSError, ValueError, TypeError): out["links"] = "serial:"
c = Counters("/node", 8, 8)
c.open(255)
out["boots"], out["records_numbered"] = c.boot_count, c.index_limit
rows = ()
if out["role"] == "lamp":
 from kerbnode.lamp import settings as lampsettings
 rows = (lampsettings.ROWS,)
held = config.read("/node/config.json", None, *rows)[0]
out["settings_hash"] = "".join("%02x" % b for b in config.digest(held, *rows))
print(json.dumps(out))
"""


def _selftest(device: Device, options: Options) -> int:
    rows = testing.run(device)
    if options.json:
        print(json.dumps({"port": device.port, "passed": testing.passed(rows), "rows": [asdict(row) for row in rows]}))
    else:
        print("\n".join(table(rows)))
    return 0 if testing.passed(rows) else 1


def _logs(device: Device, options: Options) -> int:
    lines = [line for name in log.NAMES for line in _log_lines(device, name)]
    crash = _log_lines(device, log.CRASH)
    crash = traces.explained(device, crash, options.names_file)
    if options.json:
        print(json.dumps({"port": device.port, "log": lines, "crash": crash or None}))
        return 0
    print("\n".join(lines) if lines else "The log is empty: nothing worth a note has happened since the last erase.")
    if crash:
        print("\nThe last crash:\n  " + "\n  ".join(crash))
    return 0


def _log_lines(device: Device, name: str) -> list[str]:
    lines: list[str] = log.lines(_read(device, f"{NODE}/{name}") or b"")  # pyright: ignore[reportUnknownMemberType]
    return lines


def _role(device: Device) -> str:
    """Of the firmware on the board; a bin's where nothing says so."""
    try:
        found = json.loads(_read(device, "/bundle.json") or b"{}")["role"]
    except (ValueError, KeyError, TypeError):
        return "bin"
    return found if found in settings.ROWS else "bin"


def _configure(device: Device, options: Options) -> int:
    text = (_read(device, settings.PATH) or b"{}").decode(errors="replace")
    role = _role(device)
    if options.part == "set":
        wanted = settings.changed(text, settings.changes(options.changes), role)
        device.write(settings.PATH, settings.encode(wanted))
        _show(wanted, options)
        return 0
    held, complaints = settings.effective(text, role)
    if options.part == "get":
        shown: dict[str, Any] = {name: held[name] for name in options.names or held if name in held}
        _show({**shown, "complaints": complaints} if options.json else shown, options)
        for complaint in complaints:
            print(printable(complaint), file=sys.stderr)
        return 0
    base = settings.effective(_file(options.file), role)[0] if options.file else settings.defaults(role)
    differing = {name: [base[name], held[name]] for name in held if held[name] != base[name]}
    if options.json:
        print(json.dumps(differing))
    else:
        print("\n".join(f"{name}: {old} -> {new}" for name, (old, new) in differing.items()) or "No difference.")
    return 1 if differing else 0


def _reset(device: Device, options: Options) -> int:
    _show({"port": device.port, "reset": True}, options) if options.json else print(f"{device.port}: reset")
    return 0


def _erase(device: Device, options: Options) -> int:
    from kerbtools.device import returned  # it needs the gateway's packages, and no other verb does

    registry = returned.opened(options.registry, options.config)
    owner = returned.who(device)
    count = erasing.erase(device, None if options.json else _erased)
    card, advice = returned.tell(registry, owner)
    node = None if card is None else card.address
    state = None if card is None else card.state
    _show({"port": device.port, "erased_bytes": count, "node": node, "state": state}, options)
    print(advice, file=sys.stderr)
    return 0


def _erased(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\rerasing {done * 100 // total} %", end=end, file=sys.stderr, flush=True)


def _read(device: Device, path: str) -> bytes | None:
    """A file of the board; None where there is none."""
    try:
        return device.read(path)
    except FlashRefused as error:
        if error.errno != ENOENT:
            raise
        return None


def _file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", "Check the path given with --file.") from error


def _show(found: dict[str, Any], options: Options) -> None:
    print(json.dumps(found) if options.json else "\n".join(field_lines(found)))
