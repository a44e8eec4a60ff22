"""The operation `rollups` of the control socket: roll-ups of one node, group or site, and what is forecast of a bin.

    {"v": 1, "op": "rollups", "node": 417, "level": "hour", "from": 1772323200, "to": 1772409600}
    {"v": 1, "op": "rollups", "group": "river-street", "level": "day", ...}      also "site"

`from` and `to` are UTC seconds. The answer is as AGGREGATE.md has a letter's periods.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kerbgate.aggregate.periods import LEVELS, Calendar
from kerbgate.aggregate.reader import RollupReader
from kerbgate.errors import ControlError
from kerbgate.store.reader import Reader
from kerbwire.records import MAX_NUMBER

_SCOPES = ("group", "site")


def answer(path: Path, calendar: Calendar, request: Mapping[str, Any]) -> dict[str, Any]:
    """Runs in a thread, on a connection of its own. ControlError for a request that says too little, or nonsense."""
    level, start_s, end_s = request.get("level", "day"), request.get("from", 0), request.get("to", MAX_NUMBER)
    if level not in LEVELS:
        raise ControlError(f"{level!r} is no level", "use one of " + ", ".join(LEVELS))
    for number in (start_s, end_s):
        if type(number) is not int or not 0 <= number <= MAX_NUMBER:
            raise ControlError("from and to are not UTC seconds", "give whole seconds since 1970")
    named = [kind for kind in ("node", *_SCOPES) if kind in request]
    if len(named) != 1:
        raise ControlError("rollups needs a node, a group or a site", "name one of them")
    kind = named[0]
    name: Any = request[kind]
    place = LEVELS.index(level)
    reader = Reader(path)
    try:
        rollups = RollupReader(reader, calendar)
        if kind in _SCOPES:
            if (kind, name) not in rollups.scopes():
                raise ControlError(f"no {kind} is called {name!r}", "kerb gateway status says which there are")
            return {"periods": rollups.scope(kind, str(name), place, start_s, end_s)}
        if type(name) is not int or not 1 <= name <= 65535:
            raise ControlError(f"{name!r} is no node's address", "use a number from 1 to 65535")
        full, link = rollups.full(name), rollups.link(name)
        battery = rollups.battery(name, min(end_s, link.heard_ms // 1000)) if link is not None else None
        first_s = start_s if start_s or link is None else max(link.heard_ms // 1000 - 31 * 86400, 0)
        return {
            "periods": rollups.node(name, place, first_s, end_s),
            "full": None if full is None else asdict(full),
            "battery": None if battery is None else asdict(battery),
            "link": None if link is None else asdict(link),
        }
    finally:
        reader.close()
