"""The gateway's configuration: one TOML file, read against one table of settings.

The table below is the only place where a setting is named: reading, defaults, checks, the commented file that
`kerb gateway init` writes, and the reference all come from it. A key that is not in it is an error with file, line,
key and hint. Relative paths count from the folder of the configuration file.
"""

import difflib
import ipaddress
import re
import tomllib
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

from kerbgate.errors import ConfigError
from kerbgate.letters import LEVELS

# Names that become a topic level, a part of an id or a file name: nothing that MQTT, a URL or a shell would read.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
MAX_FILE = 256 * 1024  # bytes; a street's configuration has a few thousand
PORTS = {"mqtt": 1883, "mqtts": 8883}  # of a broker's URL that names none
MAX_LINKS = 64  # inlets, and outlets: each is a task with buffers of its own


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    site: str
    state: Path
    registry: Path
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class StoreSettings:
    synchronous: str = "FULL"
    commit_interval_ms: int = 20
    commit_count: int = 200
    queue: int = 2000
    checkpoint_pages: int = 1000
    quota_mb: int = 0


@dataclass(frozen=True, slots=True)
class ClockSettings:
    source: str = "system"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    address: str = "127.0.0.1"
    port: int = 9619


@dataclass(frozen=True, slots=True)
class CommandSettings:
    outlet: str = ""
    groups: Path | None = None
    head_interval_s: int = 3600


@dataclass(frozen=True, slots=True)
class AggregateSettings:
    timezone: str = "UTC"
    full_percent: int = 80
    grace_s: int = 600
    raw_days: int = 0
    quarter_days: int = 0
    hour_days: int = 0
    day_days: int = 0


@dataclass(frozen=True, slots=True)
class AlarmSettings:
    battery_low_mv: int = 3200
    routes: str = ""


@dataclass(frozen=True, slots=True)
class MorningSettings:
    hour: int = 6
    folder: Path | None = None
    keep_days: int = 60


@dataclass(frozen=True, slots=True)
class InletSettings:
    url: str


@dataclass(frozen=True, slots=True)
class OutletSettings:
    name: str
    url: str
    prefix: str = "kerbstone/1"
    credentials: Path | None = None
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    window: int = 500
    timeout_s: int = 10
    send: str = "raw"
    levels: str = ""
    alarms: bool = True
    settlement: bool = False
    deadband: str = ""
    heartbeat_s: int = 21_600
    batch: int = 1
    batch_kb: int = 28
    batch_ms: int = 1000
    compress: str = "none"
    shadow: bool = False

    @property
    def reports(self) -> bool:
        """Whether it gets documents of reports, and not only letters."""
        return self.send != "rollup"

    @property
    def level_names(self) -> tuple[str, ...]:
        """The levels of roll-ups that it gets."""
        return tuple(self.levels.replace(",", " ").split())


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that was checked. `path` is the file it came from."""

    path: Path
    gateway: GatewaySettings
    store: StoreSettings
    clock: ClockSettings
    inlets: tuple[InletSettings, ...]
    outlets: tuple[OutletSettings, ...]
    command: CommandSettings = CommandSettings()
    aggregate: AggregateSettings = AggregateSettings()
    service: ServiceSettings = ServiceSettings()
    alarms: AlarmSettings = AlarmSettings()
    morning: MorningSettings = MorningSettings()


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


def _broker(url: str) -> str:
    """Which broker a URL names: host and port, or the URL as it is where it is none."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}"
    except (ValueError, KeyError):
        return url


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


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

# One each; the others are arrays of tables.
_TABLES = ("gateway", "store", "clock", "command", "aggregate", "alarms", "morning", "service")
ARRAYS = ("inlet", "outlet")


def load(path: Path) -> Config:
    """Read and check a configuration file; ConfigError says file, line, key and hint."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(
            f"no configuration can be read from {path}: {error.strerror}",
            f"write one with: kerb gateway init --config {path}",
        ) from error
    if len(raw) > MAX_FILE:
        raise ConfigError(f"{path} is larger than {MAX_FILE} bytes", "name the gateway's TOML file")
    return parse(path, raw)


def parse(path: Path, raw: bytes) -> Config:
    """Check the bytes of a configuration file that is, or will be, at `path`; ConfigError as for `load`."""
    try:
        text = raw.decode()
        document = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both
        raise ConfigError(f"{path} is not TOML: {error}", "correct that line; strings need quotes") from error
    return _Parser(path, text).config(document)


def render(given: dict[str, dict[str, Any]] | None = None) -> str:
    """A whole commented configuration from the table. `given` values are set; the other lines stay commented out."""
    values = given or {}
    lines = ["# Kerbstone gateway. Lines that start with # show the defaults."]
    section = ""
    for setting in SETTINGS:
        if setting.section != section:
            section = setting.section
            lines += ["", f"[[{section}]]" if section in ARRAYS else f"[{section}]"]
        value = values.get(section, {}).get(setting.name)
        shown = setting.default if value is None else value
        comment = "" if value is not None else "# "
        lines += [f"# {setting.help}", f"{comment}{setting.name} = {_toml(shown, setting.kind)}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any, kind: type) -> str:
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    text = str(value if value is not None else "")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Parser:
    """Checks one document against the table; holds the text, to name lines."""

    def __init__(self, path: Path, text: str):
        self._path = path
        self._lines = text.splitlines()

    def config(self, document: dict[str, Any]) -> Config:
        for key in document:
            if key not in _TABLES and key not in ARRAYS:
                self._unknown(key, key, list(_TABLES + ARRAYS))
        gateway = self._table("gateway", document.get("gateway", {}))
        state = self._resolve("gateway", "state", gateway["state"])
        inlets = [self._table("inlet", row) for row in self._rows(document, "inlet")]
        outlets = [self._table("outlet", row) for row in self._rows(document, "outlet")]
        names = [row["name"] for row in outlets]
        for name in names:
            if names.count(name) > 1:
                self._fail("outlet", "name", f"two outlets are called {name!r}", "give each outlet a name of its own")
        opened = tuple(self._outlet(row) for row in outlets)
        self._apart(opened)
        return Config(
            path=self._path,
            gateway=GatewaySettings(
                site=gateway["site"],
                state=state,
                registry=self._resolve("gateway", "registry", gateway["registry"])
                if gateway["registry"]
                else state / "registry.sqlite",
                shadow=gateway["shadow"],
            ),
            store=StoreSettings(**self._table("store", document.get("store", {}))),
            clock=ClockSettings(**self._table("clock", document.get("clock", {}))),
            aggregate=AggregateSettings(**self._table("aggregate", document.get("aggregate", {}))),
            service=ServiceSettings(**self._table("service", document.get("service", {}))),
            alarms=AlarmSettings(**self._table("alarms", document.get("alarms", {}))),
            morning=self._morning(self._table("morning", document.get("morning", {}))),
            inlets=tuple(InletSettings(**row) for row in inlets),
            outlets=opened,
            command=self._command(self._table("command", document.get("command", {})), names),
        )

    def _command(self, row: dict[str, Any], outlets: list[str]) -> CommandSettings:
        if row["outlet"] and row["outlet"] not in outlets:
            self._fail("command", "outlet", f"no outlet is called {row['outlet']!r}", "name one of the [[outlet]]s")
        row["groups"] = self._resolve("command", "groups", row["groups"]) if row["groups"] else None
        return CommandSettings(**row)

    def _morning(self, row: dict[str, Any]) -> MorningSettings:
        row["folder"] = self._resolve("morning", "folder", row["folder"]) if row["folder"] else None
        return MorningSettings(**row)

    def _outlet(self, row: dict[str, Any]) -> OutletSettings:
        for key in ("credentials", "authority", "certificate", "key"):
            row[key] = self._resolve("outlet", key, row[key]) if row[key] else None
        made = OutletSettings(**row)
        if not made.reports and made.settlement:
            self._fail("outlet", "settlement", f"{made.name} takes roll-ups only", "level changes need send = raw")
        if made.deadband and made.send != "change":
            self._fail("outlet", "deadband", f"{made.name} gets send = {made.send}", 'a deadband needs send = "change"')
        if not made.reports and not made.levels and not made.alarms:
            self._fail("outlet", "send", f"{made.name} would get nothing", "name some levels, or set alarms = true")
        return made

    def _apart(self, outlets: tuple[OutletSettings, ...]) -> None:
        """Level changes must not come to the topics that another outlet's readers may read."""
        for one in outlets:
            for other in outlets:
                if (
                    one.settlement
                    and not other.settlement
                    and _broker(one.url) == _broker(other.url)
                    and _overlap(one.prefix, other.prefix)
                ):
                    self._fail(
                        "outlet",
                        "settlement",
                        f"{one.name} would publish level changes where {other.name} publishes",
                        "give the settlement outlet a prefix of its own, and its own access at the broker",
                    )

    def _rows(self, document: dict[str, Any], section: str) -> list[Any]:
        rows = document.get(section, [])
        if not isinstance(rows, list):
            self._fail(section, section, f"[{section}] is a single table", f"write [[{section}]], once for each")
        if len(cast(list[Any], rows)) > MAX_LINKS:
            self._fail(section, section, f"more than {MAX_LINKS} [[{section}]]", "split the site over two gateways")
        return cast(list[Any], rows)

    def _table(self, section: str, given: Any) -> dict[str, Any]:
        if not isinstance(given, dict):
            self._fail(section, section, f"{section} is not a table", f"write [{section}] and its settings below")
        values = cast(dict[str, Any], given)
        rows = {setting.name: setting for setting in SETTINGS if setting.section == section}
        for key in values:
            if key not in rows:
                self._unknown(section, key, list(rows))
        out: dict[str, Any] = {}
        for name, setting in rows.items():
            value = values.get(name, setting.default)
            if value is None:
                self._fail(section, name, f"{name} is missing in {section}", f"add: {name} = ...  ({setting.help})")
            if type(value) is not setting.kind:
                kind = {int: "a number", bool: "true or false"}.get(setting.kind, "a string in quotes")
                self._fail(section, name, f"{name} in {section} is not {kind}", setting.help)
            wrong = setting.check(value)
            if wrong:
                self._fail(section, name, f"{name} = {value!r} in {section} cannot be used", wrong)
            out[name] = value
        return out

    def _resolve(self, section: str, key: str, value: str) -> Path:
        try:
            if "\0" in value:
                raise RuntimeError("it has a zero byte")
            return self._path.parent.absolute() / Path(value).expanduser()
        except RuntimeError as error:  # ~name of a user that is not there
            self._fail(section, key, f"{key} = {value!r} in {section} is no path: {error}", "write the whole path")

    def _unknown(self, section: str, key: str, known: list[str]) -> NoReturn:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known here: " + ", ".join(known)
        cause = f"{key!r} is no setting of {section}" if section != key else f"unknown section {key!r}"
        self._fail(section, key, cause, hint)

    def _fail(self, section: str, key: str, cause: str, hint: str) -> NoReturn:
        raise ConfigError(f"{self._path}:{self._line(section, key)}: {cause}", hint)

    def _line(self, section: str, key: str) -> int:
        """The line that names a key after its section's header: a best guess for people, never used to decide."""
        inside = False
        first = 1
        for number, line in enumerate(self._lines, 1):
            text = line.strip()
            if re.match(rf"\[+\s*{re.escape(section)}\s*\]", text):
                inside, first = True, number
            elif text.startswith("["):
                inside = False
            if (inside or section == key) and re.match(rf'"?{re.escape(key)}"?\s*=', text):
                return number
        return first
