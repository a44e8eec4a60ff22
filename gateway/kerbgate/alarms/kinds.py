"""The kinds of alarms: how bad, whose business, how long a cause must be there or gone, and where each comes from.

This is the only place that names a kind or a route. Settings may give a kind another route (`parse_routes`).
"""

from dataclasses import dataclass, replace
from types import MappingProxyType

from kerbwire import council, events
from kerbwire.events import CRITICAL, EMERGENCY, NOTICE, WARNING

ROUTES = ("contractor", "network operator", "trees", "communications", "council")
CONTRACTOR, OPERATOR, TREES, COMMUNICATIONS, COUNCIL = ROUTES

OUT, BURNING, NOT_HEARD, SUPPLY, BINS = "out", "burning by day", "silent", "supply", "bins due"
LISTED = (OUT, BURNING, SUPPLY, NOT_HEARD, BINS)  # the morning list, in its order

HOUR, DAY = 3600, 86_400


@dataclass(frozen=True, slots=True)
class Kind:
    """One row. Seconds of the gateway's steady clock.

    listed: its word in the morning list, "" for none. joins: the kind of the larger alarm that several of these at one
    place are. momentary: no node says when it is over. always: maintenance does not suppress it.
    """

    name: str
    severity: int
    route: str
    raise_s: int
    clear_s: int
    listed: str = ""
    joins: str = ""
    momentary: bool = False
    always: bool = False

    @property
    def slug(self) -> str:
        """As a part of an id and a topic."""
        return self.name.replace(" ", "-")


POWER_CUT, AREA_SILENT, SILENT = "power cut", "area silent", "silent"
LAMP_SILENT = "lamp silent"
DOUBTFUL = "sensor doubtful"
DAY_BURNER, BATTERY_LOW, SENSOR_FAULT, BIN_FULL, SUPPLY_LOW = (
    "day burner", "battery low", "sensor fault", "bin full", "supply too low",
)  # fmt: skip
INLET_DOWN, INLET_SILENT, DISK, STORE, CLOCK, OUTLET, FOLD, AUDIT, TASK = (
    "inlet down", "inlet silent", "disk nearly full", "store failing", "clock not trusted", "outlet behind",
    "fold failing", "audit log changed", "task failing",
)  # fmt: skip

KINDS: MappingProxyType[str, Kind] = MappingProxyType({
    row.name: row
    for row in (
        # of a bin
        Kind("fire", EMERGENCY, COUNCIL, 0, HOUR, always=True),
        Kind(BIN_FULL, WARNING, CONTRACTOR, 0, HOUR, BINS),
        Kind("tilted", WARNING, CONTRACTOR, 0, HOUR),
        Kind("lid open", NOTICE, CONTRACTOR, HOUR, HOUR),
        Kind(BATTERY_LOW, WARNING, CONTRACTOR, 6 * HOUR, DAY),
        # of both
        Kind(SENSOR_FAULT, WARNING, CONTRACTOR, 2 * HOUR, 2 * HOUR),
        Kind(DOUBTFUL, NOTICE, CONTRACTOR, 0, DAY),
        Kind("crash", NOTICE, CONTRACTOR, 0, DAY, momentary=True),
        Kind("safe mode", CRITICAL, CONTRACTOR, 0, HOUR),
        Kind("flash fault", CRITICAL, CONTRACTOR, 0, DAY),
        Kind("door open", WARNING, CONTRACTOR, 300, 300),
        Kind(SILENT, WARNING, COMMUNICATIONS, 600, 0, NOT_HEARD, AREA_SILENT),
        # of a lamp
        Kind(LAMP_SILENT, WARNING, COMMUNICATIONS, 1800, 0, NOT_HEARD, POWER_CUT),
        Kind("lamp failure", CRITICAL, CONTRACTOR, 900, 1800, OUT),
        Kind("control gear failure", CRITICAL, CONTRACTOR, 900, 1800, OUT),
        Kind("control gear silent", WARNING, CONTRACTOR, 900, 1800, OUT),
        Kind(DAY_BURNER, WARNING, CONTRACTOR, 1800, 1800, BURNING),
        Kind("cycling", WARNING, CONTRACTOR, 0, DAY, OUT),
        Kind("relay failure", CRITICAL, CONTRACTOR, 900, 1800, OUT),
        Kind("power too high", WARNING, CONTRACTOR, 1800, HOUR),
        Kind("power too low", WARNING, CONTRACTOR, 1800, HOUR, OUT),
        Kind("power factor too low", NOTICE, CONTRACTOR, DAY, DAY),
        Kind("too hot", WARNING, CONTRACTOR, 300, HOUR),
        Kind("photocell fault", WARNING, TREES, HOUR, DAY),
        Kind(SUPPLY_LOW, WARNING, OPERATOR, 180, 900, SUPPLY, POWER_CUT),
        Kind("supply too high", CRITICAL, OPERATOR, 180, 900, SUPPLY),
        # of several nodes at one place
        Kind(POWER_CUT, CRITICAL, OPERATOR, 120, 600, SUPPLY),
        Kind(AREA_SILENT, CRITICAL, COMMUNICATIONS, 120, 600, NOT_HEARD),
        # of the gateway itself
        Kind(INLET_DOWN, CRITICAL, COMMUNICATIONS, 120, 60),
        Kind(INLET_SILENT, WARNING, COMMUNICATIONS, 0, 0),
        Kind(DISK, CRITICAL, COUNCIL, 60, 600, always=True),
        Kind(STORE, CRITICAL, COUNCIL, 0, 60, always=True),
        Kind(CLOCK, WARNING, COUNCIL, 900, 300),
        Kind(OUTLET, WARNING, COMMUNICATIONS, 0, 300),
        Kind(FOLD, WARNING, COUNCIL, 0, 300),
        Kind(TASK, WARNING, COUNCIL, 0, DAY, momentary=True),
        Kind(AUDIT, EMERGENCY, COUNCIL, 0, 0, always=True),
    )
})  # fmt: skip

_RENAMED = {events.FULL: BIN_FULL}
_NO_ALARM = {events.EMPTIED, events.CLOCK_STEP}  # they call for nobody

# Where they come from: the wire's event codes and bits of the faults channel.
OF_EVENT = {code: _RENAMED.get(code, flag.name) for code, flag in council.EVENTS.items() if code not in _NO_ALARM}
OF_BIT = {bit: flag.name for bit, flag in council.FAULT_FLAGS.items()}


def silence_of(role: str) -> str:
    """The kind of a node that is not heard."""
    return LAMP_SILENT if role == "lamp" else SILENT


def parse_routes(text: str) -> dict[str, str]:
    """Kind to route, from `tilted = council, photocell fault = contractor`. ValueError says what to use."""
    routes: dict[str, str] = {}
    for part in filter(str.strip, text.split(",")):
        kind, equals, route = (word.strip() for word in part.partition("="))
        if not equals or kind not in KINDS or route not in ROUTES or kind in routes:
            raise ValueError(f"write KIND = ROUTE, ...; routes are {', '.join(ROUTES)}; kinds are in ALARMS.md")
        routes[kind] = route
    return routes


def with_routes(routes: dict[str, str]) -> dict[str, Kind]:
    """The table with other routes."""
    return {name: replace(kind, route=routes.get(name, kind.route)) for name, kind in KINDS.items()}
