"""The gateway's configuration: one TOML file, read against the table of settings (kerbgate.settings).

A key that is not in the table is an error with file, line, key and hint. Relative paths count from the folder of the
configuration file.
"""

import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

from kerbgate.errors import ConfigError
from kerbgate.settings import SETTINGS

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


def _broker(url: str) -> str:
    """Which broker a URL names: host and port, or the URL as it is where it is none."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}"
    except (ValueError, KeyError):
        return url


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
