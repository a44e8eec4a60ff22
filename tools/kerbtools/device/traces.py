"""The traceback of a board's last crash in the names of the sources: a packed bundle has short ones."""

import json
import sys
from pathlib import Path
from typing import Any

from kerbtools import boards, bundle
from kerbtools.device.device import Device
from kerbtools.device.errors import DeviceError, FlashRefused
from kerbtools.pack import trace


class NoNamesError(DeviceError):
    """A file of names cannot be read."""


def explained(device: Device, crash: list[str], names_file: Path | None) -> list[str]:
    """The lines of a crash record. names_file: of the board's bundle; None: of the bundle made here, if that
    is what lies on the board."""
    if not any(line.startswith("Traceback") for line in crash):
        return crash
    names = _read(names_file) if names_file else _own(device)
    return list(trace.explained(crash, names))


def _read(path: Path) -> trace.Names:
    try:
        names: trace.Names = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise NoNamesError(
            f"{path}: {error}.", "Give the .names.json that was written beside the board's bundle."
        ) from error
    return names


def _own(device: Device) -> trace.Names:
    try:
        there = device.read("/" + bundle.MANIFEST)
        told: dict[str, Any] = json.loads(there)
        if told.get("readable"):
            return {}
        if bundle.contents(told["board"], told["role"])[bundle.MANIFEST] == there:
            return bundle.names(told["role"], told["board"])
    except (FlashRefused, ValueError, KeyError, TypeError, boards.BoardError, bundle.BundleError):
        pass
    print(
        "kerb logs: the board has another bundle than this program makes, so names in the traceback stay short.\n"
        "      Give the names that were written beside that bundle: --names FOLDER.names.json",
        file=sys.stderr,
    )
    return {}
