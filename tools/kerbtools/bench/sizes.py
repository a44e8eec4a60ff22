"""Bytes of each kind of message: ours, its peers and the floor, sealed and unsealed, over seeds of the workload."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import ModuleType

from kerbtools.bench import floor, ours, peers, workload
from kerbtools.bench.peers import SEAL
from kerbtools.bench.workload import Series
from kerbwire.frame import MAX_FRAME
from kerbwire.messages import Record

PASSAGES = (3, 9, 60)  # an hour
Row = dict[str, object]
Sizes = list[list[int]]  # a list a seed: bytes of each message
_FEW = 50  # seeds: with fewer it is a quick look, and the floor's training is one too
_QUICK_TRAINING = 60
_OURS: dict[str, Callable[[list[Record]], list[bytes]]] = {
    "ours": lambda records: ours.split(records, MAX_FRAME, ours.before(records)),
    "ours, index and time in full": lambda records: ours.split(records, MAX_FRAME),
    "ours, plain coder": lambda records: ours.plain(records, MAX_FRAME),
}


@dataclass(frozen=True)
class Kind:
    """One kind of message. bar: of ours, sealed."""

    name: str
    bar: str
    make: Callable[[ModuleType, int], Series]
    tenths: bool = False


KINDS = (
    Kind("fill record", "", lambda days, seed: workload.bin_day(days, seed).part(0, 1)),
    Kind("bin day, 0.5 degC", "mean 46, p99 51", workload.bin_day),
    Kind("bin day, 0.1 degC", "", lambda days, seed: workload.bin_day(days, seed, True), tenths=True),
    Kind(
        "lamp record",
        "",
        lambda days, seed: workload.lamp_night(days, seed).part(workload.LAMP_RECORD, workload.LAMP_RECORD + 1),
    ),
    Kind("lamp night", "mean 172, max 220", workload.lamp_night),
)


def rows(days: ModuleType, seeds: Sequence[int]) -> Iterator[Row]:
    """A table of all messages, a table of level changes, and what each format contains."""
    training = floor.TRAINING_SEEDS if len(seeds) >= _FEW else floor.TRAINING_SEEDS[:_QUICK_TRAINING]
    for kind in KINDS:
        yield from _kind_rows(days, kind, seeds, training)
    yield from _alarm_rows(days)
    for passages in PASSAGES:
        yield from _change_rows(days, passages, seeds, training)
    for peer in peers.PEERS:
        yield {"format": peer.name, "contains": peer.contains}
    yield {"format": "ours", "contains": "kerbwire: every channel, quality flags too; lux in 1/8 octaves"}
    yield {
        "format": "floor (estimate)",
        "contains": f"ideal code length of the values under a context model trained on other seeds ({len(training)}; "
        f"{len(training[: floor.NIGHT_TRAINING])} of nights), and {floor.NAMING_BYTES} bytes for index and time",
    }


def _kind_rows(days: ModuleType, kind: Kind, seeds: Sequence[int], training: Sequence[int]) -> Iterator[Row]:
    workloads = [kind.make(days, seed) for seed in seeds]
    for name, made in _OURS.items():
        with ours.tenths() if kind.tenths else nullcontext():
            sizes = [[len(m) for m in made(workload.records(series))] for series in workloads]
        yield _row(kind.name, name, sizes, kind.bar if name == "ours" else "")
    fair = [peers.fair(series) for series in workloads]
    for peer in peers.PEERS:
        yield _row(kind.name, peer.name, [[len(peer.encode(series))] for series in fair])
    most = floor.NIGHT_TRAINING if kind.name == "lamp night" else len(training)
    model = floor.Floor([kind.make(days, seed) for seed in training[:most]])
    yield _row(kind.name, "floor (estimate)", [[model.bytes(series)] for series in workloads])


def _alarm_rows(days: ModuleType) -> Iterator[Row]:
    series = workload.alarm(days)
    yield _row("alarm", "ours", [[len(ours.alarm(series))]], "max 25")
    for peer in peers.PEERS:
        yield _row("alarm", peer.name, [[len(peer.encode(series))]])
    yield _row("alarm", "floor (estimate)", [[floor.alarm_bytes()]])


def _change_rows(days: ModuleType, passages: int, seeds: Sequence[int], training: Sequence[int]) -> Iterator[Row]:
    name = f"level changes, {passages} passages/h"
    nights = [workload.level_changes(days, seed, passages) for seed in seeds]
    changes = sum(len(night.times) for night in nights)

    def row(format_name: str, sizes: Sizes, bar: str = "") -> Row:
        total = sum(map(sum, sizes)) + SEAL * sum(map(len, sizes))
        return {
            "message": name,
            "format": format_name,
            "nights": len(nights),
            "changes_a_night": changes / len(nights),
            "frames_a_night": sum(map(len, sizes)) / len(sizes),
            "mean_sealed": total / len(nights),
            "bytes_a_change": total / changes,
            "bar": bar,
        }

    logs = [ours.split(workload.records(night), MAX_FRAME) for night in nights]
    yield row("ours", [[len(message) for message in log] for log in logs], "1.4" if passages == 9 else "")
    for peer in peers.PEERS:
        yield row(peer.name, [[len(peer.encode(night))] for night in nights])
    measure = floor.changes_floor(
        [workload.level_changes(days, seed, passages) for seed in training[: floor.NIGHT_TRAINING]]
    )
    yield row("floor (estimate)", [[measure(night)] for night in nights])


def _row(message: str, format_name: str, sizes: Sizes, bar: str = "") -> Row:
    unsealed = sorted(sum(parts) for parts in sizes)
    sealed = sorted(sum(parts) + SEAL * len(parts) for parts in sizes)
    return {
        "message": message,
        "format": format_name,
        "seeds": len(sizes),
        "frames": sum(map(len, sizes)) / len(sizes),
        "mean": sum(unsealed) / len(unsealed),
        "p99": percentile(unsealed, 99),
        "max": unsealed[-1],
        "mean_sealed": sum(sealed) / len(sealed),
        "p99_sealed": percentile(sealed, 99),
        "max_sealed": sealed[-1],
        "bar": bar,
    }


def percentile(ordered: Sequence[int], percent: int) -> int:
    """The smallest value that so many percent do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
