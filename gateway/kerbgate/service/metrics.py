"""Metrics in Prometheus' text format (exposition format 0.0.4), made from one table.

Plain text is written here and no client library used: every figure already has its counter, the library would add a
registry of its own beside them. Labels are names of the configuration or words of a fixed list, never a node, so the
number of series is bounded by the configuration.
"""

import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import kerbwire
from kerbgate.service.facts import INLET, OUTLET, links
from kerbgate.service.health import PROBLEMS

if TYPE_CHECKING:
    from kerbgate.service.service import Service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTER, GAUGE = "counter", "gauge"
_STARTED = time.time()

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: labels are the names that its samples carry; read gives the samples as they are now."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    read: Callable[["Service"], Iterable[Sample]]


def _one(read: Callable[["Service"], float]) -> Callable[["Service"], Iterable[Sample]]:
    return lambda service: (({}, read(service)),)


def _inlets(field: str) -> Callable[["Service"], Iterable[Sample]]:
    return lambda service: [({"inlet": i.name}, float(getattr(i.counters, field))) for i in service.gateway.inlets]


def _outlets(field: str) -> Callable[["Service"], Iterable[Sample]]:
    return lambda service: [
        ({"outlet": link.name}, float(getattr(link, field)))
        for link in links(service.gateway, service.waiting)
        if link.kind == OUTLET
    ]


def _writer(field: str, scale: float = 1) -> Callable[["Service"], Iterable[Sample]]:
    return _one(lambda service: getattr(service.gateway.store.health, field) * scale)


def _refused(service: "Service") -> Iterable[Sample]:
    for inlet in service.gateway.inlets:
        for reason, count in sorted(inlet.counters.refused.items()):
            yield {"inlet": inlet.name, "reason": reason}, count


def _last_acknowledged(service: "Service") -> Iterable[Sample]:
    for pump in service.gateway.pumps:
        if pump.state.last_puback is not None:
            yield {"outlet": pump.name}, pump.state.last_puback


def _problems(service: "Service") -> Iterable[Sample]:
    for code in PROBLEMS:
        yield {"code": code}, sum(1 for found, _ in service.health.open if found == code)


def _build(service: "Service") -> Iterable[Sample]:
    yield {"version": kerbwire.__version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}, 1


def _store_bytes(service: "Service") -> float:
    path = service.gateway.store.path
    return sum(file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists())


METRICS: tuple[Metric, ...] = (
    Metric("kerbstone_build_info", GAUGE, "Versions; always 1.", ("version", "python", "sqlite"), _build),
    Metric("kerbstone_ready", GAUGE, "1 while frames are taken.", (), _one(lambda s: s.is_ready)),
    Metric(
        "kerbstone_healthy", GAUGE, "1 unless a grave problem is open; what /health answers.",
        (), _one(lambda s: s.health.well),
    ),
    Metric("kerbstone_problems", GAUGE, "Open problems, by code of the table in SERVICE.md.", ("code",), _problems),
    Metric("kerbstone_inlet_connected", GAUGE, "1 while the link is open.", (INLET,), _inlets("connected")),
    Metric(
        "kerbstone_inlet_connections_total", COUNTER, "Times that the link was opened.",
        (INLET,), _inlets("opened"),
    ),
    Metric("kerbstone_inlet_frames_total", COUNTER, "Frames heard.", (INLET,), _inlets("frames")),
    Metric("kerbstone_inlet_noise_total", COUNTER, "Pieces heard that are no frame.", (INLET,), _inlets("noise")),
    Metric(
        "kerbstone_inlet_committed_total", COUNTER, "Frames committed to the store.",
        (INLET,), _inlets("committed"),
    ),
    Metric(
        "kerbstone_inlet_challenged_total", COUNTER, "Hellos answered with a challenge.",
        (INLET,), _inlets("challenged"),
    ),
    Metric("kerbstone_inlet_refused_total", COUNTER, "Frames refused, by reason.", (INLET, "reason"), _refused),
    Metric("kerbstone_inlet_answers_total", COUNTER, "Answers sent to nodes.", (INLET,), _inlets("sent")),
    Metric(
        "kerbstone_inlet_answers_unsent_total", COUNTER, "Answers that the link did not take.",
        (INLET,), _inlets("unsent"),
    ),
    Metric(
        "kerbstone_outlet_connected", GAUGE, "1 while the council system is connected.",
        (OUTLET,), _outlets("connected"),
    ),
    Metric("kerbstone_outlet_connections_total", COUNTER, "Times that it was connected.", (OUTLET,), _outlets("times")),
    Metric(
        "kerbstone_outlet_acknowledged_total", COUNTER, "Documents that it acknowledged, letters included.",
        (OUTLET,), lambda s: [({OUTLET: p.name}, p.state.delivered + p.state.letters) for p in s.gateway.pumps],
    ),
    Metric(
        "kerbstone_outlet_waiting", GAUGE, "Reports that wait for it, counted now and then.",
        (OUTLET,), _outlets("waiting"),
    ),
    Metric(
        "kerbstone_outlet_letters_waiting", GAUGE, "Roll-ups and alarms that wait for it, due or not.",
        (OUTLET,), lambda s: [({OUTLET: p.name}, s.letters.get(p.name, 0)) for p in s.gateway.pumps],
    ),
    Metric(
        "kerbstone_outlet_set_aside", GAUGE, "Documents that it did not take, set aside.",
        (OUTLET,), _outlets("set_aside"),
    ),
    Metric(
        "kerbstone_outlet_last_acknowledged_timestamp_seconds", GAUGE, "When it last acknowledged one.",
        (OUTLET,), _last_acknowledged,
    ),
    Metric("kerbstone_store_commits_total", COUNTER, "Commits.", (), _writer("commits")),
    Metric(
        "kerbstone_store_commit_failures_total", COUNTER, "Commits that failed; nothing of them was acknowledged.",
        (), _writer("failed_commits"),
    ),
    Metric("kerbstone_store_items_total", COUNTER, "Frames and changes committed.", (), _writer("frames")),
    Metric("kerbstone_store_unstorable_total", COUNTER, "Frames that failed alone.", (), _writer("unstorable")),
    Metric(
        "kerbstone_store_last_commit_seconds", GAUGE, "How long the last commit took.",
        (), _writer("last_commit_ms", 0.001),
    ),
    Metric(
        "kerbstone_store_written_bytes_total", COUNTER, "Bytes written to disk: what wears a card.",
        (), _writer("written_bytes"),
    ),
    Metric(
        "kerbstone_store_queued", GAUGE, "Frames that wait for a commit.",
        (), _one(lambda s: s.gateway.store.queued),
    ),
    Metric("kerbstone_store_size_bytes", GAUGE, "Size of the store's files.", (), _one(_store_bytes)),
    Metric(
        "kerbstone_store_disk_free_bytes", GAUGE, "Free on its disk.", (),
        _one(lambda s: shutil.disk_usage(s.gateway.store.path.parent).free),
    ),
    Metric(
        "kerbstone_undecoded_total", COUNTER, "Frames kept that this version cannot read.",
        (), _one(lambda s: s.gateway.intake.undecoded),
    ),
    Metric("kerbstone_registry_nodes", GAUGE, "Nodes in the registry.", (), _one(lambda s: len(s.gateway.registry))),
    Metric(
        "kerbstone_commands_open", GAUGE, "Commands that are not at their end.",
        (), _one(lambda s: s.gateway.command_service.commands.open[0]),
    ),
    Metric(
        "kerbstone_alarms_open", GAUGE, "Open alarms by state, see ALARMS.md.",
        ("state",), lambda s: [({"state": state}, count) for state, count in s.alarms.items()],
    ),
    Metric(
        "kerbstone_task_failures_total", COUNTER, "Failures that nobody foresaw; the task was started again.",
        ("task",),
        lambda s: [({"task": name}, state.failures) for name, state in s.gateway.tasks.items()],
    ),
    Metric(
        "kerbstone_clock_synchronised", GAUGE, "1 while nodes are given the time.",
        (), _one(lambda s: s.gateway.clock.synchronised()),
    ),
    Metric(
        "kerbstone_clock_steps_total", COUNTER, "Times that the host's clock was set.",
        (), _one(lambda s: s.steps.count),
    ),
    Metric(
        "kerbstone_log_lines_lost_total", COUNTER, "Lines of the log that nobody took.",
        (), _one(lambda s: s.log.lost),
    ),
    Metric(
        "process_cpu_seconds_total", COUNTER, "Processor time, user and system.",
        (), _one(lambda _: time.process_time()),
    ),
    Metric("process_resident_memory_bytes", GAUGE, "Memory in use.", (), _one(lambda _: resident_bytes())),
    Metric("process_open_fds", GAUGE, "Open descriptors.", (), _one(lambda _: _open_fds())),
    Metric(
        "process_max_fds", GAUGE, "Descriptors that it may open.",
        (), _one(lambda _: _most_fds()),
    ),
    Metric("process_start_time_seconds", GAUGE, "When the process began.", (), _one(lambda _: _STARTED)),
)  # fmt: skip


def render(service: "Service") -> bytes:
    """Every metric, as Prometheus reads it."""
    lines: list[str] = []
    for metric in METRICS:
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
        for labels, value in metric.read(service):
            told = ",".join(f'{name}="{_escape(labels[name])}"' for name in metric.labels)
            lines.append(f"{metric.name}{{{told}}} {_number(value)}" if told else f"{metric.name} {_number(value)}")
    return ("\n".join(lines) + "\n").encode()


def resident_bytes() -> int:
    """Resident memory of this process (proc(5), statm)."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  # once a scrape
        return int(file.read(256).split()[1]) * os.sysconf("SC_PAGESIZE")


def _most_fds() -> int:
    import resource  # POSIX only, as the gateway is; this module loads elsewhere too

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _open_fds() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) or float(value).is_integer() else repr(float(value))


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
