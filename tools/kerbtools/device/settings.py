"""A node's settings as the tools handle them: the firmware's own table, with types and with errors for people."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from kerbnode import config
from kerbnode.lamp import settings as lampsettings
from kerbtools.device.errors import DeviceError, printable

PATH = "/node/config.json"
ROWS: Mapping[str, Sequence[tuple[str, int, int, int]]] = {"bin": config.SETTINGS, "lamp": lampsettings.ROWS}
# Of every role; a name that two roles have, has the wider bounds here, and its own on the board.
BOUNDS: dict[str, tuple[int, int]] = {}
for _name, _, _low, _high in [row for rows in ROWS.values() for row in rows]:
    BOUNDS[_name] = min(_low, BOUNDS.get(_name, (_low, 0))[0]), max(_high, BOUNDS.get(_name, (0, _high))[1])


class SettingError(DeviceError):
    """A setting that does not exist, or a value that it cannot have."""


def effective(text: str, role: str = "bin") -> tuple[dict[str, int], list[str]]:
    """(every setting of a role as it holds, complaints) of a config.json."""
    found = config.parse(text, None, ROWS[role])  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return cast("tuple[dict[str, int], list[str]]", found)


def defaults(role: str = "bin") -> dict[str, int]:
    return effective("{}", role)[0]


def check_name(name: str) -> None:
    """SettingError where no setting is called so."""
    if name not in BOUNDS:
        raise SettingError(f"No setting is called {printable(name)!r}.", f"Choose from: {', '.join(BOUNDS)}.")


def changes(words: Sequence[str]) -> dict[str, int | None]:
    """NAME=VALUE words as settings; None for "back to the default". SettingError names the word that is wrong."""
    found: dict[str, int | None] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise SettingError(f"{printable(word)!r} is no NAME=VALUE.", "Write for example: interval_s=600")
        check_name(name)
        low, high = BOUNDS[name]
        digits = text.removeprefix("-")
        if text and not (digits.isascii() and digits.isdigit() and low <= int(text) <= high):
            raise SettingError(
                f"{name}={printable(text)} is no whole number from {low} to {high}.",
                "firmware/SETTINGS.md says what each is for.",
            )
        found[name] = int(text) if text else None
    return found


def changed(text: str, wanted: Mapping[str, int | None], role: str = "bin") -> dict[str, Any]:
    """What a config.json is to hold after these changes. SettingError where the firmware would not take it."""
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    kept: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    kept = {name: value for name, value in kept.items() if name not in wanted}
    kept |= {name: value for name, value in wanted.items() if value is not None}
    complaints = effective(encode(kept).decode(), role)[1]
    if complaints:
        raise SettingError(
            f"The settings would not hold: {printable('; '.join(complaints))}.",
            "Correct those too in the same command (NAME= goes back to the default); nothing was written.",
        )
    return kept


def encode(settings: Mapping[str, Any]) -> bytes:
    return json.dumps(settings, sort_keys=True).encode()
