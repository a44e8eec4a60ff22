"""One TOML table, read key by key, so that a missing, mistyped or unknown key is told with its file and place."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerbtools.boards.errors import BoardError

_KINDS = {int: "whole number", str: "text", bool: "true or false", list: "list", dict: "table"}


class Table:
    """Take each key, then call `refuse_unread`: what was not taken is no key of this table. All raise BoardError."""

    def __init__(self, values: dict[str, Any], path: Path, prefix: str = "") -> None:
        self._values = values
        self._path = path
        self._prefix = prefix
        self._known: set[str] = set()
        self._tables: list[Table] = []

    @classmethod
    def read(cls, path: Path) -> "Table":
        """The top table of a file."""
        try:
            return cls(tomllib.loads(path.read_text(encoding="utf-8")), path)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BoardError(f"{path}: {error}", "correct the file; boards/README.md lists what it holds") from error

    def error(self, key: str, problem: str, hint: str = "boards/README.md lists what this file holds") -> BoardError:
        return BoardError(f"{self._path}: {self._prefix}{key} {problem}", hint)

    def names(self) -> list[str]:
        """All keys that are written there, in their order."""
        return list(self._values)

    def has(self, key: str) -> bool:
        """Whether an optional key is written there."""
        self._known.add(key)
        return key in self._values

    def _take(self, key: str, kind: type) -> Any:
        self._known.add(key)
        if key not in self._values:
            raise self.error(key, "is missing", f"add {key}, a {_KINDS[kind]}; boards/README.md says what it means")
        value = self._values[key]
        if type(value) is not kind:
            raise self.error(key, f"must be a {_KINDS[kind]}", f"it is {value!r} now")
        return value

    def table(self, key: str) -> "Table":
        inner = Table(self._take(key, dict), self._path, f"{self._prefix}{key}.")
        self._tables.append(inner)
        return inner

    def text(self, key: str, choices: Sequence[str] = (), *, may_be_empty: bool = False) -> str:
        value: str = self._take(key, str)
        if choices and value not in choices:
            raise self.error(key, "must be one of: " + ", ".join(choices), f"it is {value!r} now")
        if not value.strip() and not may_be_empty:
            raise self.error(key, "must not be empty")
        return value

    def number(self, key: str, lowest: int = 0) -> int:
        value: int = self._take(key, int)
        if value < 0:
            raise self.error(key, "must not be negative", f"it is {value} now")
        if value < lowest:
            raise self.error(key, f"must be at least {lowest}", f"it is {value} now")
        return value

    def flag(self, key: str) -> bool:
        return self._take(key, bool)

    def texts(self, key: str, choices: Sequence[str] = ()) -> tuple[str, ...]:
        """A list of texts; of `choices` only, where there are any."""
        values: list[Any] = self._take(key, list)
        for value in values:
            if type(value) is not str or not value.strip():
                raise self.error(key, "must hold texts only", f"it holds {value!r} now")
            if choices and value not in choices:
                raise self.error(key, "may hold only: " + ", ".join(choices), f"it holds {value!r} now")
        return tuple(values)

    def numbers(self, key: str) -> tuple[int, ...]:
        values: list[Any] = self._take(key, list)
        for value in values:
            if type(value) is not int or value < 0:
                raise self.error(key, "must hold whole numbers from 0 only", f"it holds {value!r} now")
        return tuple(values)

    def refuse_unread(self) -> None:
        """BoardError for the first key, here or in a table taken from here, that nobody took."""
        for key in self._values:
            if key not in self._known:
                raise self.error(key, "is not a key of this table", "its keys: " + ", ".join(sorted(self._known)))
        for inner in self._tables:
            inner.refuse_unread()
