"""The table of the gateway's settings: the only place where one is named.

Reading, defaults, checks, the commented file that `kerb gateway init` writes, and the reference all come from it.
"""

import ipaddress
import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kerbgate.letters import LEVELS

# Names that become a topic level, a part of an id or a file name: nothing that MQTT, a URL or a shell would read.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `check` returns what is wrong with a value, or None; default None: it must be given."""

    section: str
    name: str
    kind: type
    default: Any
    help: str
    check: Callable[[Any], str | None] = lambda value: None


def _name(value: str) -> str | None:
    return None if NAME.fullmatch(value) else "use at most 32 of a-z, 0-9, - and _, starting with a letter or digit"


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    return lambda value: None if value in allowed else "use one of " + ", ".join(allowed)


def _between(low: int, high: int) -> Callable[[int], str | None]:
    return lambda value: None if low <= value <= high else f"use a number from {low} to {high}"


def _filled(value: str) -> str | None:
    return None if value else "it must not be empty"


def _prefix(value: str) -> str | None:
    good = re.fullmatch(r"[^\s+#\x00$][^\s+#\x00]{0,127}", value) and not value.startswith("/") and value[-1] != "/"
    return None if good else "use topic levels without +, #, spaces, or a slash at either end"


def _ip(value: str) -> str | None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "use an address of this host, such as 127.0.0.1 or ::1"
    return None


def _levels(value: str) -> str | None:
    names = value.replace(",", " ").split()
    good = len(set(names)) == len(names) and set(names) <= set(LEVELS)
    return None if good else "use some of " + ", ".join(LEVELS)


def _deadband(value: str) -> str | None:
    from kerbgate.changes import parse_deadband  # which knows the channels: not for every reader of a configuration

    try:
        parse_deadband(value)
    except ValueError as error:
        return str(error)
    return None


def _routes(value: str) -> str | None:
    if value:
        from kerbgate.alarms.kinds import parse_routes  # which brings the alarms: not for every reader either

        try:
            parse_routes(value)
        except ValueError as error:
            return str(error)
    return None


def _timezone(value: str) -> str | None:
    try:
        zoneinfo.ZoneInfo(value)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        return "use a name of the IANA list, such as Europe/London; `timedatectl list-timezones` prints it"
    return None


def _source(value: str) -> str | None:
    good = value in ("system", "trusted") or value.startswith("shared:/")
    return None if good else "use system, trusted, or shared:/absolute/path"


SETTINGS: tuple[Setting, ...] = (
    Setting("gateway", "site", str, None, "Short name of this site; part of every topic and id.", _name),
    Setting(
        "gateway", "state", str, "state", "Folder of mode 0700 for store, registry and control socket.", _filled
    ),
    Setting("gateway", "registry", str, "", "The node registry; empty: registry.sqlite in the state folder."),
    Setting("gateway", "shadow", bool, False, "Listen, log and compare beside another system, and send nothing."),
    Setting("inlet", "url", str, None, "A link from nodes: serial:/dev/ttyACM0?baud=115200, mqtt://host/site", _filled),
    Setting("outlet", "name", str, None, "Name of this outlet, unique here; its backlog is kept under it.", _name),
    Setting("outlet", "url", str, None, "A council system, such as mqtts://broker.council.example:8883.", _filled),
    Setting("outlet", "prefix", str, "kerbstone/1", "First topic levels of everything that is published.", _prefix),
    Setting("outlet", "credentials", str, "", "File of mode 0600 with one line user:password; empty: none."),
    Setting("outlet", "authority", str, "", "PEM of who signs the broker's certificate; empty: the system's."),
    Setting("outlet", "certificate", str, "", "PEM of this gateway's own certificate; empty: none."),
    Setting("outlet", "key", str, "", "PEM of that certificate's key, of mode 0600 and without a passphrase."),
    Setting("outlet", "window", int, 500, "Documents under way at most; fewer on a slow line.", _between(1, 1000)),
    Setting("outlet", "timeout_s", int, 10, "Seconds without an acknowledgement until reconnecting.", _between(1, 300)),
    Setting("outlet", "send", str, "raw", "raw: every record. change: those that moved. rollup: none of them.",
            _one_of("raw", "change", "rollup")),
    Setting("outlet", "levels", str, "", "Roll-ups that it gets: some of 15min, hour, day; empty: none.", _levels),
    Setting("outlet", "alarms", bool, True, "Whether it gets alarms."),
    Setting("outlet", "settlement", bool, False, "Whether it gets each level change, a trace of movement; or counts."),
    Setting("outlet", "deadband", str, "", "Of change: steps, or field=number, ...; empty: any difference.", _deadband),
    Setting("outlet", "heartbeat_s", int, 21_600, "Of change: a record goes at least so often.", _between(60, 604_800)),
    Setting("outlet", "batch", int, 1, "Documents in one message; 1: each alone.", _between(1, 200)),
    Setting("outlet", "batch_kb", int, 28, "Size at which a batch goes, before it is compressed.", _between(1, 1000)),
    Setting("outlet", "batch_ms", int, 1000, "Time after which a batch goes, full or not.", _between(1, 60_000)),
    Setting("outlet", "compress", str, "none", "none, or gzip: the topic then ends in /gzip.", _one_of("none", "gzip")),
    Setting("outlet", "shadow", bool, False, "Whether it publishes in shadow mode, below shadow/ and its prefix."),
    Setting(
        "store",
        "synchronous",
        str,
        "FULL",
        "FULL: an acknowledged record survives a power cut. NORMAL: it survives a crash of the program only.",
        _one_of("FULL", "NORMAL"),
    ),
    Setting("store", "commit_interval_ms", int, 20, "At most one commit in it; earlier for many.", _between(0, 1000)),
    Setting("store", "commit_count", int, 200, "Commit at once when so many frames wait.", _between(1, 10000)),
    Setting("store", "queue", int, 2000, "Frames that may wait; then inlets stop reading.", _between(1, 100000)),
    Setting("store", "checkpoint_pages", int, 1000, "Pages in the log until a checkpoint.", _between(1, 100000)),
    Setting("store", "quota_mb", int, 0, "Size at which it stops acknowledging; 0: the disk.", _between(0, 1 << 20)),
    Setting("command", "outlet", str, "", "The outlet whose broker commands come from; empty: only from kerb send."),
    Setting("command", "groups", str, "", "A file that names groups of nodes, see COMMANDS.md; empty: none."),
    Setting("command", "head_interval_s", int, 3600, "Seconds between heads of the audit log.", _between(1, 86400)),
    Setting("aggregate", "timezone", str, "UTC", "The council's: days, and settlement days, are by it.", _timezone),
    Setting("aggregate", "full_percent", int, 80, "Fill at which a bin counts as full.", _between(1, 100)),
    Setting("aggregate", "grace_s", int, 600, "From a period's end, or late data, to its letter.", _between(0, 86_400)),
    Setting("aggregate", "raw_days", int, 0, "Days that reports are kept; 0: as room allows.", _between(0, 36_500)),
    Setting("aggregate", "quarter_days", int, 0, "The same of 15-minute roll-ups.", _between(0, 36_500)),
    Setting("aggregate", "hour_days", int, 0, "The same of hourly roll-ups, and of half-hours.", _between(0, 36_500)),
    Setting("aggregate", "day_days", int, 0, "The same of daily roll-ups.", _between(0, 36_500)),
    Setting("clock", "source", str, "system", "system: trusted if the kernel says so. trusted: your word.", _source),
    Setting("alarms", "battery_low_mv", int, 3200, "Battery of a node that calls for a change.", _between(0, 20_000)),
    Setting("alarms", "routes", str, "", "Other routes: kind = route, ...; ALARMS.md has both; empty: none.", _routes),
    Setting("morning", "hour", int, 6, "Hour of the morning list, in the council's time zone.", _between(0, 23)),
    Setting("morning", "folder", str, "", "Where it is written; empty: morning in the state folder."),
    Setting("morning", "keep_days", int, 60, "Lists that are kept.", _between(1, 1000)),
    Setting("service", "address", str, "127.0.0.1", "Where metrics and health are served: a number, no name.", _ip),
    Setting("service", "port", int, 9619, "Its port, see SERVICE.md; 0: they are not served.", _between(0, 65535)),
)  # fmt: skip
