"""A command's document, checked: from bytes that anyone may have sent to a Request, or one Refusal with a reason.

What is not understood is refused, not passed over: a command of which a part was ignored is another command.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from kerbgate.commands.operations import (
    MAX_SETTING,
    MAX_SETTINGS,
    MAX_WAIT_S,
    OPERATIONS,
    PRIORITIES,
    SETTING_VALUES,
    Operation,
)
from kerbgate.commands.reasons import Refusal, shown
from kerbgate.settings import NAME

SCHEMA = "kerbstone/command/1"
MAX_DOCUMENT = 16 * 1024  # bytes: a list of 256 nodes and a note take 3 KB
MAX_NODES = 256  # named one by one; more of them are a group
MAX_NOTE = 200  # characters
CANCEL = "cancel"
LOCAL = "local"  # the role of who may open the control socket

ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_FIELDS = frozenset(
    ("schema", "id", "operation", "target", "arguments", "settings", "until", "not_before", "expires")
) | {"priority", "dry_run", "cancels", "by", "note"}
_RELATIVE = {"until_s": "until", "valid_s": "expires", "in_s": "not_before"}
_HIGHEST = {**PRIORITIES, LOCAL: PRIORITIES["emergency"]}


@dataclass(frozen=True, slots=True)
class Target:
    """kind: node (addresses), group (name) or site."""

    kind: str
    name: str = ""
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A document that was checked. Times: UTC seconds. until: how long it holds, None where it does not.

    arguments: values in the order of the operation's row. text: the document in one canonical writing.
    """

    ident: str
    role: str
    operation: Operation
    target: Target
    arguments: tuple[int, ...]
    settings: dict[int, int | None]
    priority: int
    not_before: int
    expiry: int
    until: int | None
    dry_run: bool
    text: str

    @property
    def digest(self) -> bytes:
        """What tells a repeated document from another one under the same id."""
        return hashlib.sha256(f"{self.role}\n{self.text}".encode()).digest()[:16]


@dataclass(frozen=True, slots=True)
class Cancel:
    """A document that withdraws a command. highest: the class that its sender may ask for."""

    ident: str
    role: str
    cancels: str
    highest: int


def read(data: bytes) -> dict[str, Any]:
    """The object of a document's bytes; Refusal."""
    if len(data) > MAX_DOCUMENT:
        raise Refusal("too large")
    try:
        found = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal("not a document", shown(error)) from error
    if not isinstance(found, dict):
        raise Refusal("not a document")
    return cast(dict[str, Any], found)


def ident_of(document: dict[str, Any]) -> str | None:
    """The id of a document that may be refused for any other reason."""
    ident = document.get("id")
    return ident if isinstance(ident, str) and ID.fullmatch(ident) else None


def absolute(document: dict[str, Any], now: int) -> dict[str, Any]:
    """A local document with its until_s, valid_s and in_s counted from now, by the gateway's own clock."""
    out = dict(document)
    for relative, name in _RELATIVE.items():
        if relative in out:
            value = _integer(out.pop(relative), 0, MAX_WAIT_S, relative)
            out[name] = write_time(now + value)
    return out


def check(document: dict[str, Any], role: str, now: int) -> "Request | Cancel":
    """The request of a document that came with the authority of a role. now: UTC seconds. Refusal."""
    for name in document:
        if name not in _FIELDS:
            raise Refusal("unknown field", shown(name))
    if document.get("schema") != SCHEMA:
        raise Refusal("unknown schema")
    ident = ident_of(document)
    if ident is None:
        raise Refusal("bad id")
    for name in ("by", "note"):
        if name in document and not (isinstance(document[name], str) and len(document[name]) <= MAX_NOTE):
            raise Refusal("bad argument", f"{name} is a text of at most {MAX_NOTE} characters")
    highest = _HIGHEST[role]
    word = document.get("operation")
    if word == CANCEL:
        return _cancel(document, ident, role, highest)
    operation = OPERATIONS.get(word) if isinstance(word, str) else None
    if operation is None:
        raise Refusal("unknown operation", shown(word))
    if "cancels" in document:
        raise Refusal("unknown field", "cancels")
    asked = document.get("priority", "operator" if role == LOCAL else role)
    priority = PRIORITIES.get(asked) if isinstance(asked, str) else None
    if priority is None:
        raise Refusal("bad argument", "priority")
    if priority < highest or priority > operation.lowest:
        raise Refusal("not allowed", f"{operation.name} as {shown(asked)} on the topic of {role}")
    arguments, settings = _arguments(document, operation)
    dry_run = document.get("dry_run", False)
    if not isinstance(dry_run, bool):
        raise Refusal("bad argument", "dry_run")
    not_before, expiry, until = _times(document, operation, arguments, now)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    target = _target(document.get("target"))
    return Request(
        ident, role, operation, target, arguments, settings, priority, not_before, expiry, until, dry_run, text
    )


def _cancel(document: dict[str, Any], ident: str, role: str, highest: int) -> Cancel:
    for name in document:
        if name not in ("schema", "id", "operation", "cancels", "by", "note"):
            raise Refusal("unknown field", shown(name))
    cancels = document.get("cancels")
    if not isinstance(cancels, str) or not ID.fullmatch(cancels):
        raise Refusal("nothing to cancel", shown(cancels))
    return Cancel(ident, role, cancels, highest)


def _arguments(document: dict[str, Any], operation: Operation) -> tuple[tuple[int, ...], dict[int, int | None]]:
    given: Any = document.get("arguments", {})
    if not isinstance(given, dict):
        raise Refusal("bad argument", "arguments is an object")
    values = cast(dict[str, Any], given)
    rows = {row.name: row for row in operation.arguments}
    for name in values:
        if name not in rows:
            raise Refusal("bad argument", f"{operation.name} has no {shown(name)}")
    out: list[int] = []
    for row in operation.arguments:
        value = values.get(row.name, row.default)
        if value is None:
            raise Refusal("bad argument", f"{row.name} is missing")
        out.append(_integer(value, row.low, row.high, row.name))
    settings = _settings(document.get("settings")) if operation.settings else {}
    if not operation.settings and "settings" in document:
        raise Refusal("unknown field", "settings")
    return tuple(out), settings


def _settings(given: Any) -> dict[int, int | None]:
    if not isinstance(given, dict) or not 1 <= len(cast(dict[str, Any], given)) <= MAX_SETTINGS:
        raise Refusal("bad argument", f"settings is an object of 1 to {MAX_SETTINGS} numbers")
    out: dict[int, int | None] = {}
    for name, value in cast(dict[str, Any], given).items():
        if not re.fullmatch(r"0|[1-9]\d{0,4}", name, re.ASCII) or int(name) > MAX_SETTING:
            raise Refusal("bad argument", f"setting {shown(name)}")
        out[int(name)] = None if value is None else _integer(value, *SETTING_VALUES, f"setting {name}")
    return out


def _times(
    document: dict[str, Any], operation: Operation, arguments: tuple[int, ...], now: int
) -> tuple[int, int, int | None]:
    """(not before, expiry, until) of a document, all within a week from now."""
    not_before = _time(document, "not_before") or now
    until = _time(document, "until")
    if operation.timed and until is None:
        raise Refusal("no expiry", "until: how long it holds")
    if not operation.timed and until is not None:
        raise Refusal("unknown field", "until")
    if operation.grouped:
        until = max(not_before, now) + arguments[-1]
    expiry = _time(document, "expires") or until
    if expiry is None:
        raise Refusal("no expiry")
    if until is not None:
        expiry = min(expiry, until)
    if expiry <= now:
        raise Refusal("expired", write_time(expiry))
    if expiry <= not_before:
        raise Refusal("bad time", "it expires before it begins")
    if max(expiry, until or 0) > now + MAX_WAIT_S:
        raise Refusal("too far ahead")
    return not_before, expiry, until


def _target(given: Any) -> Target:
    if not isinstance(given, dict) or len(cast(dict[str, Any], given)) != 1:
        raise Refusal("bad target")
    ((kind, value),) = cast(dict[str, Any], given).items()
    if kind == "node":
        return Target("node", nodes=(_address(value),))
    if kind == "nodes":
        if not isinstance(value, list) or not 1 <= len(cast(list[Any], value)) <= MAX_NODES:
            raise Refusal("bad target", f"nodes is a list of 1 to {MAX_NODES}")
        return Target("node", nodes=tuple(sorted({_address(item) for item in cast(list[Any], value)})))
    if kind in ("group", "site") and isinstance(value, str) and NAME.fullmatch(value):
        return Target(kind, value)
    raise Refusal("bad target", shown(kind))


def _address(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 65535:
        raise Refusal("bad target", f"node {shown(value)}")
    return value


def _integer(value: Any, low: int, high: int, name: str) -> int:
    if type(value) is not int or not low <= value <= high:
        raise Refusal("bad argument", f"{name} is a whole number from {low} to {high}")
    return value


def _time(document: dict[str, Any], name: str) -> int | None:
    if name not in document:
        return None
    value = document[name]
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise Refusal("bad time", name)
    try:
        return int(datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise Refusal("bad time", name) from error


def write_time(seconds: int) -> str:
    """UTC seconds as documents write them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field comes twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
