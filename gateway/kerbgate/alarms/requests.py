"""What a tool asks of alarms, checked: who, why, what, until when."""

from datetime import UTC, datetime
from typing import Any, cast

from kerbgate.alarms.book import AlarmBook
from kerbgate.alarms.windows import MAX_S, MAX_WINDOWS, SCOPES, Window
from kerbgate.errors import ControlError

MAX_PERSON = 64  # characters
MAX_REASON = 200
MAX_IDENTS = 1000
MAX_IDENT = 300


def person(request: dict[str, Any]) -> str:
    """Who asks. ControlError."""
    return _text(request, "user", MAX_PERSON, "say who you are: --user")


def reason(request: dict[str, Any]) -> str:
    """Why. ControlError."""
    return _text(request, "reason", MAX_REASON, "say why: --reason")


def idents(request: dict[str, Any]) -> list[str]:
    """Ids of alarms. ControlError."""
    given: Any = request.get("alarms")
    if not isinstance(given, list) or not 0 < len(cast(list[Any], given)) <= MAX_IDENTS:
        raise ControlError("alarms is no list of ids", f"give 1 to {MAX_IDENTS} ids, as kerb alarms shows them")
    for ident in cast(list[Any], given):
        if not isinstance(ident, str) or len(ident) > MAX_IDENT:
            raise ControlError("an id of an alarm is no text", "take it as kerb alarms shows it")
    return cast(list[str], given)


def whole(request: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    """A number of a request. ControlError."""
    value: Any = request.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise ControlError(f"{name} is no such number", f"use {low} to {high}")
    return value


def window(request: dict[str, Any], site: str, book: AlarmBook, by: str, why: str, now: int) -> Window:
    """A maintenance that is to begin. now: UTC seconds. ControlError."""
    scope: Any = request.get("scope")
    if not isinstance(scope, str) or not 0 < len(scope) <= 80 or not scope.isprintable():
        raise ControlError("scope is no text", "name a node, a group, a feeder, the site or the gateway")
    kind, _, name = scope.partition(":")
    nodes = book.places.nodes
    known = {
        "node": name.isdecimal() and name.isascii() and len(name) < 6 and int(name) in nodes,
        "group": any(name in place.groups for place in nodes.values()),
        "feeder": name in book.places.feeders,
        "site": name == site,
        "gateway": name == "",
    }.get(kind)
    if known is None:
        raise ControlError(f"{kind[:40]!r} is no scope", "use one of " + ", ".join(f"{one}:NAME" for one in SCOPES))
    if not known:
        raise ControlError(f"{scope!r} is not known here", "check the name with kerb inventory and the groups file")
    begins = _time(request, "begins") or now
    span = whole(request, "for_s", 0, 0, MAX_S)
    until = _time(request, "until") or (begins + span if span else None)
    if until is None or not begins < until or until <= now:
        raise ControlError(
            "it is not said how long the maintenance lasts, or that time is over",
            "add --for 4h, or --until with a UTC time such as 2026-03-01T16:00:00Z",
        )
    if until - now > MAX_S:
        raise ControlError("until is more than 31 days away", "give an earlier time, and a new maintenance later")
    if book.windows_open >= MAX_WINDOWS:
        raise ControlError(f"{MAX_WINDOWS} maintenances are open", "end some: kerb alarms maintenance --end NUMBER")
    return Window(0, scope, begins, until, by, why, False)


def _time(request: dict[str, Any], name: str) -> int | None:
    value: Any = request.get(name)
    if value is None:
        return None
    try:
        return int(datetime.strptime(str(value), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise ControlError(f"{name} is no time", "give UTC such as 2026-03-01T16:00:00Z") from error


def _text(request: dict[str, Any], name: str, most: int, hint: str) -> str:
    value: Any = request.get(name)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= most or not value.isprintable():
        raise ControlError(f"{name} is no text of 1 to {most} characters", hint)
    return value.strip()
