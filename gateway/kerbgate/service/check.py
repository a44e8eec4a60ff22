"""`kerb gateway check`: whether a gateway would start with this configuration, without starting anything."""

from pathlib import Path

from kerbgate import outlets
from kerbgate.clock import open_clock
from kerbgate.commands.groups import Groups
from kerbgate.config import Config
from kerbgate.errors import GatewayError
from kerbgate.inlets import open_inlet
from kerbgate.registry import Registry
from kerbgate.settings import SETTINGS
from kerbgate.store import Reader
from kerbgate.store.lock import holder


def check(loaded: Config) -> list[str]:
    """One line for each part that was looked at. Raises the first GatewayError, as `run` would."""
    lines = [f"configuration  {loaded.path}: {len(SETTINGS)} settings are known, and these are understood"]
    for settings in loaded.inlets:
        lines.append(f"inlet          {open_inlet(settings.url).name}")
    for settings in loaded.outlets:
        outlets.open_outlet(settings, "kerb-check")
        lines.append(f"outlet         {settings.name}: its files can be used")
    if loaded.command.groups:
        Groups.load(loaded.gateway.site, loaded.command.groups)
        lines.append(f"groups         {loaded.command.groups}")
    clock = open_clock(loaded.clock.source)
    trusted = "trusted" if clock.synchronised() else "NOT trusted now: nodes get no time until it is"
    lines.append(f"clock          {loaded.clock.source}: {trusted}")
    lines.append(f"registry       {loaded.gateway.registry}: {_registry(loaded)}")
    path = loaded.gateway.state / "store.sqlite"
    process = holder(path)
    if not path.exists():
        lines.append(f"store          {path}: not there yet; the first start makes it")
    else:
        lines.append(f"store          {path}: {_store(path)}{f', held by process {process}' if process else ''}")
    return lines


def _registry(loaded: Config) -> str:
    path = loaded.gateway.registry
    if path.parent == loaded.gateway.state and not path.exists():
        return "not there yet; the first start makes it"
    registry = Registry(path, create=False)
    try:
        return f"{len(registry)} nodes"
    finally:
        registry.close()


def _store(path: Path) -> str:
    try:
        reader = Reader(path)
    except GatewayError as error:  # an older schema is brought up to date at the start
        return error.cause
    try:
        return f"schema {reader.summary()['schema']}"
    finally:
        reader.close()
