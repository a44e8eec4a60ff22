"""What the verbs share: options, the registry, tables, and errors as one sentence of cause and one of what to do."""

import argparse
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kerbgate.errors import GatewayError
from kerbgate.registry import Registry
from kerbtools.cli import EXTRA_OF_MODULE
from kerbtools.provision.errors import ProvisionError

REGISTRY = "registry.sqlite"
REGISTRY_VARIABLE = "KERB_REGISTRY"
Work = Callable[[argparse.Namespace], int]


def parser(verb: str, text: str, *, epilog: str | None = None) -> argparse.ArgumentParser:
    """A verb's options, those that all have among them."""
    made = argparse.ArgumentParser(prog=f"kerb {verb}", description=text, epilog=epilog)
    made.add_argument(
        "--registry",
        type=Path,
        default=Path(os.environ.get(REGISTRY_VARIABLE, REGISTRY)),
        help=f"the registry's file (default: ${REGISTRY_VARIABLE}, else {REGISTRY} here)",
    )
    made.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return made


def run(work: Work, options: argparse.Namespace) -> int:
    """Work, and tell what went wrong; returns the exit status."""
    if hasattr(os, "umask"):
        os.umask(0o077)  # a registry is for its own user
    try:
        status = work(options)
        sys.stdout.flush()
    except (GatewayError, ProvisionError) as error:
        return told(error.cause, error.hint)
    except sqlite3.Error as error:
        return told(f"the registry or the store cannot be read: {error}", "check the disk; restore from a backup")
    except ModuleNotFoundError as error:  # a verb loads what only some of its work needs
        extra = EXTRA_OF_MODULE.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return told(f"the package {error.name!r} is not installed", f"run: pip install 'kerbstone[{extra}]'")
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def verbs(name: str, table: dict[str, tuple[Callable[[Sequence[str]], int], str]], arguments: Sequence[str]) -> int:
    """Run one verb of a group: `kerb NAME VERB ...`."""
    verb = arguments[0] if arguments else ""
    if verb in table:
        return table[verb][0](arguments[1:])
    asked = verb in ("-h", "--help")
    rows = "\n".join(f"  {row:11} {line}" for row, (_, line) in table.items())
    print(
        f"usage: kerb {name} VERB [options]\n\n{rows}\n\n`kerb {name} VERB --help` explains a verb.",
        file=sys.stdout if asked else sys.stderr,
    )
    return 0 if asked else 2


def told(cause: str, hint: str) -> int:
    """Print an error; returns its exit status."""
    print(f"kerb: {cause}\n      {hint}", file=sys.stderr)
    return 1


def show(options: argparse.Namespace, value: Any, text: str) -> None:
    """The result for programs or for people."""
    print(json.dumps(value, sort_keys=True) if options.json else text)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in plain text; None is shown as nothing."""
    cells = [list(head)] + [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def opened(options: argparse.Namespace) -> Registry:
    """The registry that the options name. RegistryError."""
    return Registry(options.registry)


def read_text(path: Path) -> str:
    """A small text file. ProvisionError."""
    return read_bytes(path, 65536).decode("utf-8", errors="replace")


def read_bytes(path: Path, most: int) -> bytes:
    """A file of at most `most` bytes. ProvisionError."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ProvisionError(f"{path} cannot be read: {error.strerror}", "check the file's name") from error
    if len(data) > most:
        raise ProvisionError(f"{path} is larger than {most} bytes", "check which file it is")
    return data


def write_file(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 whole: a temporary name, synced, renamed. ProvisionError."""
    draft = path.with_name(path.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except OSError as error:
        raise ProvisionError(f"{path} cannot be written: {error.strerror}", "choose another place: --out") from error
