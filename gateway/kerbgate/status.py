"""What the gateway says about itself: one plain dictionary, the same for people, for --json and for the socket."""

import shutil
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from kerbgate.aggregate import Calendar, RollupReader
from kerbgate.config import Config
from kerbgate.plain import size, span
from kerbgate.store import Reader
from kerbgate.store.items import NO_OUTLET

if TYPE_CHECKING:
    from kerbgate.app import Gateway

VERSION = 1
MAX_LISTED = 50  # nodes, gaps and reports set aside that the plain text lists; --json has them all
MAX_SET_ASIDE = 1000  # reports set aside that --json lists; the rest is counted


def collect(gateway: "Gateway") -> dict[str, Any]:
    """The status of a running gateway. Runs in a thread: the store's counts may take a moment."""
    health = gateway.store.health
    out = stored(gateway.config)
    letters = waiting_letters(gateway)
    out.update(
        running=True,
        shadow=gateway.config.gateway.shadow,
        uptime_s=round(time.monotonic() - gateway.started, 1),
        clock={"source": gateway.config.clock.source, "synchronised": gateway.clock.synchronised()},
        inlets=[
            {
                "name": inlet.name,
                "connected": inlet.counters.connected,
                "opened": inlet.counters.opened,
                "frames": inlet.counters.frames,
                "noise": inlet.counters.noise,
                "committed": inlet.counters.committed,
                "challenged": inlet.counters.challenged,
                "refused": dict(inlet.counters.refused),
                "sent": inlet.counters.sent,
                "unsent": inlet.counters.unsent,
                "last_error": inlet.counters.last_error,
            }
            for inlet in gateway.inlets
        ],
        outlets=[
            {
                "name": pump.name,
                "connected": pump.state.connected,
                "send": pump.settings.send,
                "connections": pump.state.connections,
                "delivered": pump.state.delivered,
                "letters": pump.state.letters,
                "messages": pump.state.messages,
                "suppressed": pump.state.tally.suppressed,
                "withheld": pump.state.tally.withheld,
                "set_aside": pump.state.set_aside,
                "set_aside_reports": [asdict(item) for item in islice(pump.state.aside.copy().values(), MAX_SET_ASIDE)],
                "waiting": out["store"]["outbox"].get(pump.name, 0),
                "waiting_letters": letters.get(pump.name, 0),
                "last_puback_s_ago": None
                if pump.state.last_puback is None
                else round(time.time() - pump.state.last_puback, 1),
                "last_error": pump.state.last_error,
                "warning": pump.state.warning,
            }
            for pump in gateway.pumps
        ],
        registry={"nodes": len(gateway.registry)},
        commands=gateway.command_service.status(),
        alarms=gateway.alarm_service.status(),
        service=gateway.service.status(),
        intake={
            "undecoded": gateway.intake.undecoded,
            "skipped_fields": gateway.intake.skipped_fields,
            "failures": gateway.intake.failures,
            "last_error": gateway.intake.last_error,
        },
        tasks={
            name: {"failures": state.failures, "last_error": state.last_error}
            for name, state in gateway.tasks.copy().items()
        },
    )
    out["store"]["writer"] = {
        "commits": health.commits,
        "frames": health.frames,
        "queued": gateway.store.queued,
        "failed_commits": health.failed_commits,
        "failing": health.failing,
        "unstorable": health.unstorable,
        "last_unstorable": health.last_unstorable,
        "last_commit_ms": round(health.last_commit_ms, 2),
        "checked": health.checked,
        "written_bytes": health.written_bytes,
        "failed_notes": health.failed_notes,
        "last_failed_note": health.last_failed_note,
        "failed_chores": health.failed_chores,
        "last_failed_chore": health.last_failed_chore,
        "room": asdict(gateway.store.chores.room),
        "folds": {"failures": gateway.store.folds.failures, "last_error": gateway.store.folds.last_error},
        "synchronous": gateway.config.store.synchronous,
    }
    return out


def waiting_letters(gateway: "Gateway") -> dict[str, int]:
    """How many letters wait, by outlet; through a connection of its own, since this runs in a thread."""
    if gateway.outlets is None:
        return {}
    reader = Reader(gateway.store.path)
    try:
        return gateway.outlets.backlog(reader)
    finally:
        reader.close()


def stored(config: Config) -> dict[str, Any]:
    """What the store alone can tell: also of a gateway that does not run. StoreError when there is no store."""
    path = config.gateway.state / "store.sqlite"
    reader = Reader(path)
    try:
        summary: dict[str, Any] = reader.summary()
        summary["stranded"] = _stranded(config, summary["outbox"])
        nodes = reader.nodes()
        rollups = RollupReader(reader, Calendar(ZoneInfo(config.aggregate.timezone))).status()
    finally:
        reader.close()
    summary["path"] = str(path)
    summary["bytes"] = sum(file.stat().st_size for file in _files(path))
    summary["disk_free_bytes"] = shutil.disk_usage(path.parent).free
    site = config.gateway.site
    return {"v": VERSION, "running": False, "site": site, "store": summary, "rollups": rollups, "nodes": nodes}


def stranded(config: Config) -> list[str]:
    """One sentence for each outlet that reports wait for and that the configuration does not name."""
    reader = Reader(config.gateway.state / "store.sqlite")
    try:
        return _say_stranded(_stranded(config, reader.outbox()))
    finally:
        reader.close()


def _stranded(config: Config, outbox: dict[str, int]) -> dict[str, int]:
    named = {settings.name for settings in config.outlets if settings.reports} | {NO_OUTLET}
    return {name: count for name, count in outbox.items() if name not in named}


def _say_stranded(found: dict[str, int]) -> list[str]:
    return [
        f"{count} reports wait for `{name}`, which is no outlet that gets reports: name it so again, or forget them:"
        f" kerb gateway reload --drop-outlet {name}"
        for name, count in found.items()
    ]


def plain(status: dict[str, Any], now: float) -> str:
    """The status as text for a terminal. now: UTC, Unix seconds."""
    store: dict[str, Any] = status["store"]
    lines: list[str] = []
    if status["running"]:
        clock = "synchronised" if status["clock"]["synchronised"] else "NOT synchronised: nodes get no time"
        lines.append(f"gateway   site {status['site']}, up {span(status['uptime_s'])}, clock {clock}")
    else:
        lines.append(f"gateway   site {status['site']}, NOT running; this is what its store holds")
    if status.get("shadow"):
        lines.append("            SHADOW: it listens and compares, and sends nothing")
    for problem in status.get("service", {}).get("problems", []):
        grave = "PROBLEM" if problem["grave"] else "problem"
        what = f"{problem['code']} {problem['name']}".strip()
        lines.append(f"{grave}   {what}: {problem['cause']}\n            {problem['hint']}")
    for inlet in status.get("inlets", []):
        state = "connected" if inlet["connected"] else f"down ({inlet['last_error']})"
        lines.append(
            f"inlet     {inlet['name']}: {state}, {inlet['frames']} frames, {inlet['committed']} committed, "
            f"{inlet['noise']} noise"
        )
        for reason, count in sorted(inlet["refused"].items(), key=lambda item: -item[1]):
            lines.append(f"            refused: {count} {reason}")
    for outlet in status.get("outlets", []):
        state = "connected" if outlet["connected"] else "down"
        ago = outlet["last_puback_s_ago"]
        last = "nothing delivered yet" if ago is None else f"last delivery {span(ago)} ago"
        counts = f"{outlet['delivered']} delivered, {outlet['waiting']} waiting"
        lines.append(f"outlet    {outlet['name']}: {state}, {counts}, {last}")
        if outlet["letters"] or outlet["waiting_letters"]:
            lines.append(f"            letters: {outlet['letters']} delivered, {outlet['waiting_letters']} waiting")
        if outlet["suppressed"]:
            lines.append(f"            not sent, for nothing moved: {outlet['suppressed']} records")
        if outlet["withheld"]:
            lines.append(f"            sent as counts: {outlet['withheld']} level changes")
        if not outlet["connected"] and outlet["last_error"]:
            lines.append(f"            {outlet['last_error']}")
        if outlet["warning"]:
            lines.append(f"            WARNING: {outlet['warning']}")
        if outlet["set_aside"]:
            lines.append(f"            set aside until the next start or reload: {outlet['set_aside']} documents")
        for item in outlet["set_aside_reports"][:MAX_LISTED]:
            where = item["letter"] or f"node {item['node']}, {item['count']} records from index {item['first']}"
            lines.append(f"            set aside: {where}: {item['cause']}")
    for name, count in store["outbox"].items():
        if name == NO_OUTLET:
            lines.append(f"outlet    none: {count} reports wait for the first outlet that is configured")
        elif not status["running"] and name not in store["stranded"]:
            lines.append(f"outlet    {name}: {count} waiting")
    lines += [f"outlet    {line}" for line in _say_stranded(store["stranded"])]
    lines.append(
        f"store     {store['records']} records in {store['reports']} reports, {size(store['bytes'])}, "
        f"{size(store['disk_free_bytes'])} free, {store['undecoded']} undecoded, {store['gaps_declared']} gaps"
    )
    if store["restored"]:
        why, missing = store["restored"]["why"], store["restored"]["nodes_not_back"]
        lines.append(f"            RESTORED: {why}; {missing} nodes not back yet")
    writer, intake = store.get("writer", {}), status.get("intake", {})
    if writer.get("failing"):
        lines.append(f"            NOT STORING: {writer['failing']}; nothing is acknowledged until it works again")
    if writer.get("unstorable"):
        lines.append(f"            not storable: {writer['unstorable']} frames, last {writer['last_unstorable']}")
    if writer.get("failed_notes"):
        last = writer["last_failed_note"]
        lines.append(
            f"            delivered, and sent again after the next start: {writer['failed_notes']} notes, last {last}"
        )
    if intake.get("skipped_fields"):
        lines.append(f"            not known to this version: {intake['skipped_fields']} fields of decoded frames")
    if intake.get("failures"):
        lines.append(f"            not answered: {intake['failures']} frames, last {intake['last_error']}")
    for reason, count in store["undecoded_reasons"].items():
        lines.append(f"            undecoded: {count} {reason}")
    for gap in store["gaps"][:MAX_LISTED]:
        kind = "declared" if gap["declared"] else "missing"
        lines.append(
            f"            gap: node {gap['node']}, {gap['count']} records from index {gap['first']}, "
            f"{kind} since {span(now - gap['since_ms'] / 1000)}"
        )
    rollups = status["rollups"]
    lines.append(
        f"rollups   {rollups['days']} days of nodes, {rollups['stale']} to be rolled up, "
        f"{rollups['forecasts']} bins forecast, days by {rollups['timezone']}"
    )
    for name, task in status.get("tasks", {}).items():
        if task["failures"]:
            lines.append(f"task      {name}: failed {task['failures']} times, last {task['last_error']}")
    for node in status["nodes"][:MAX_LISTED]:
        seen = "never" if node["seen_ms"] is None else span(now - node["seen_ms"] / 1000) + " ago"
        counts = f"{node['committed']} records, life {node['life'][:8]}"
        lines.append(f"node      {node['node']} ({node['role']}): seen {seen}, {counts}")
    if len(status["nodes"]) > MAX_LISTED:
        lines.append(f"          and {len(status['nodes']) - MAX_LISTED} more: --json lists them all")
    return "\n".join(lines)


def _files(path: Path) -> list[Path]:
    return [file for file in (path, path.with_name(path.name + "-wal")) if file.exists()]
