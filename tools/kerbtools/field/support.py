"""`kerb support FILE`: what the office needs to help from afar, in one zip: no key, no trace of movement.

In it: what the doctor finds, what the gateway says of itself, the configuration, figures of the store, nodes and
queues, the service's log, and a short capture of sealed frames, of bins only: when a lamp speaks tells who passed it.
"""

import argparse
import functools
import io
import json
import os
import platform
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kerbwire
from kerbgate.errors import ConfigError, ControlError, GatewayError
from kerbtools.field import capture, doctor, nodes, queue, words
from kerbtools.field.screen import Screen
from kerbtools.field.subject import RUNNING, Subject
from kerbwire.capture import Writer, public_url
from kerbwire.frame import MAX_FRAME

CAPTURE_S = 10
MAX_LOG = 2000  # lines of the service's log
MAX_NODES = 20_000
LOG_S = 10.0
_NODE_FIELDS = (
    "node",
    "site",
    "role",
    "board",
    "registered",
    "state",
    "alarms",
    "age_s",
    "arrived",
    "frames",
    "feeder",
)


def main(arguments: Sequence[str]) -> int:
    """Returns 0 when the file was written, whatever could not be found out for it; 1 otherwise."""
    parser = words.parser("support", "Pack what the office needs into one file: no keys, no trace of movement.")
    parser.add_argument("file", type=Path, help="a .zip; never overwritten")
    parser.add_argument("--capture", type=words.span_of, default=CAPTURE_S, metavar="SPAN", help="of bins; 0s: none")
    return words.run(_support, parser.parse_args(list(arguments)))


def _support(options: argparse.Namespace) -> int:
    path: Path = options.file
    subject = Subject(options.config)
    examined = functools.cache(lambda: list(doctor.examine(subject)))
    plain = Screen(colour=False)
    parts: dict[str, Callable[[], bytes]] = {
        "doctor.txt": lambda: _text("\n".join([doctor.head(subject), *doctor.plain(examined(), plain)])),
        "doctor.json": lambda: _lines(row.document() for row in examined()),
        "facts.json": lambda: _json(subject.facts),
        "configuration.json": lambda: _json(configuration(subject)),
        "store.json": lambda: _json(_store(subject)),
        "nodes.json": lambda: _lines(_nodes(subject)),
        "queue.json": lambda: _lines(queue.fetch(subject)),
        "host.json": lambda: _json(_host()),
        "log.txt": _log,
    }
    if options.capture and subject.mode == RUNNING:
        parts["bins.kcap"] = lambda: _capture(subject, options.capture)
    missing: dict[str, str] = {}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, make in parts.items():
            try:
                file.writestr(name, make())
            except (GatewayError, OSError, ValueError, sqlite3.Error) as error:
                missing[name] = str(error)
        file.writestr("missing.json", json.dumps(missing, indent=1))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(packed.getvalue())
    except OSError as error:
        raise ControlError(f"{path} cannot be written: {error.strerror}", "name another file") from error
    for name, why in missing.items():
        print(f"kerb: {name} is not in it: {why}", file=sys.stderr)
    size_kb = len(packed.getvalue()) / 1000
    print(f"{path}: {len(parts) - len(missing)} parts, {size_kb:.0f} KB; no key and no trace of movement is in it")
    return 0


def configuration(subject: Subject) -> dict[str, Any]:
    """The settings as they are read; of a file that cannot be, why not. Passwords and keys are never in it."""
    from kerbgate.settings import SETTINGS

    try:
        config = subject.config
    except ConfigError as error:
        return {"path": str(subject.path), "error": error.cause}
    out: dict[str, Any] = {"path": str(subject.path), "inlets": [public_url(inlet.url) for inlet in config.inlets]}
    sections = ("gateway", "store", "clock", "command", "aggregate", "service", "alarms", "morning")
    named = {name: getattr(config, name) for name in sections}
    rows = [row for row in SETTINGS if row.section in named]
    out |= {f"{row.section}.{row.name}": _plain(getattr(named[row.section], row.name, None)) for row in rows}
    settings = [row.name for row in SETTINGS if row.section == "outlet"]
    out["outlets"] = [{name: _plain(getattr(outlet, name)) for name in settings} for outlet in config.outlets]
    return out


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int) else str(value)


def _store(subject: Subject) -> dict[str, Any]:
    from kerbgate.store.reader import Reader

    reader = Reader(subject.store)
    try:
        return reader.summary()
    finally:
        reader.close()


def _nodes(subject: Subject) -> list[dict[str, Any]]:
    """Nodes without what would tell who passed a lamp: how long ago a lamp spoke is left out."""
    found = nodes.fetch(subject, {"limit": MAX_NODES, "reverse": False})["nodes"]
    return [
        {name: row[name] for name in _NODE_FIELDS if not (name == "age_s" and row["role"] == "lamp")} for row in found
    ]


def _host() -> dict[str, Any]:
    return {
        "kerb": kerbwire.__version__, "python": platform.python_version(), "system": platform.platform(),
        "processors": os.cpu_count(), "user": os.getuid(), "load": os.getloadavg(),
    }  # fmt: skip


def _log() -> bytes:
    """The service's log: it never holds keys or payloads."""
    try:
        done = subprocess.run(
            ["journalctl", "-u", "kerbstone", "-n", str(MAX_LOG), "--no-pager", "-o", "cat"],
            capture_output=True, timeout=LOG_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise OSError("journalctl does not answer") from error
    if done.returncode:
        raise OSError(f"journalctl: {done.stderr.decode(errors='replace').strip()[:200]}")
    return done.stdout


def _capture(subject: Subject, span_s: float) -> bytes:
    """Sealed frames of bins and to them."""
    bins = {row["node"] for row in nodes.fetch(subject, {"role": "bin", "limit": MAX_NODES})["nodes"]}
    out = bytearray()
    writer: Writer | None = None
    for answer in capture.answers(subject.state, span_s):
        if writer is None:
            writer = Writer("", answer["start_ms"], f"kerb {kerbwire.__version__}")
            out += writer.start()
        for offset, way, link, text in answer["frames"]:
            data = bytes.fromhex(text)
            if capture.node_of(data) in bins and 0 < len(data) <= MAX_FRAME:
                out += writer.record(offset, way, link, data)
    return bytes(out)


def _text(text: str) -> bytes:
    return text.encode() + b"\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, default=str).encode() + b"\n"


def _lines(rows: Any) -> bytes:
    return b"".join(json.dumps(row, default=str).encode() + b"\n" for row in rows)
