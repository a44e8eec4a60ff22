"""Recorded data that nobody in this project wrote, through the same coder: sizes, after a full round trip.

The data lies in `data` of the project's shared folder; each row carries the attribution that its licence asks for.
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from kerbtools.bench import ours, peers, workload
from kerbtools.bench.peers import SEAL
from kerbtools.bench.sizes import percentile
from kerbtools.bench.workload import Series
from kerbwire import frame
from kerbwire.channels import FAULT, NO_ECHO

RECORDS = 24  # of a report, as a bin sends them
_BRITISH_SUMMER = timezone(timedelta(hours=1))  # all of the Edinburgh trial
_TWIN_S = 2  # the same uplink by a second forwarder

Samples = dict[str, list[tuple[int, int]]]  # (UTC seconds, raw value) by device


class RoundTripError(Exception):
    """A report did not decode to what was encoded."""


@dataclass(frozen=True)
class Source:
    """One set of recorded data. field: of the workload's FIELDS."""

    name: str
    field: str
    attribution: str
    read: Callable[[Path], Samples]


def rows() -> Iterator[dict[str, object]]:
    """One row a source; RoundTripError if a report comes back changed."""
    for source in SOURCES:
        folder = workload.shared() / "data"
        if not folder.exists():
            hint = "recorded data is no part of a public clone; the seeded workload is"
            yield {"skipped": f"no recorded data at {folder}", "hint": hint}
            return
        yield _row(source, source.read(folder))


def _row(source: Source, samples: Samples) -> dict[str, object]:
    sizes: list[int] = []
    other = plain = records = 0
    for number, taken in enumerate(samples.values()):
        for at in range(0, len(taken), RECORDS):
            part = taken[at : at + RECORDS]
            series = Series(
                device=f"bin-{number + 1:04}",
                node=number + 300,
                seq=20533,
                index=at,
                times=[time for time, _ in part],
                columns={source.field: [value for _, value in part]},
            )
            run = workload.records(series)
            made = ours.split(run, frame.MAX_FRAME)
            if [record for message in made for record in ours.read(message)] != run:
                raise RoundTripError(f"{source.name}: {series}")
            sizes += [len(message) + SEAL for message in made]
            plain += sum(len(message) + SEAL for message in ours.plain(run, frame.MAX_FRAME))
            other += len(peers.cbor_int(series)) + SEAL
            records += len(part)
    sizes.sort()
    return {
        "recorded_data": source.name,
        "devices": len(samples),
        "records": records,
        "reports": len(sizes),
        "mean_sealed": sum(sizes) / len(sizes),
        "p99_sealed": percentile(sizes, 99),
        "max_sealed": sizes[-1],
        "bytes_a_record": sum(sizes) / records,
        "plain_coder_bytes_a_record": plain / records,
        "cbor_int_keys_bytes_a_record": other / records,
        "attribution": source.attribution,
    }


def _edinburgh(folder: Path) -> Samples:
    """Fill at each collection; times to the second, days apart."""
    found: Samples = defaultdict(list)
    for row in _csv(folder / "edinburgh_bins" / "collections_dev.csv.gz"):
        local = datetime.fromisoformat(row["collected_at_local"]).replace(tzinfo=_BRITISH_SUMMER)
        found[row["bin"]].append((int(local.timestamp()), int(row["fill_before_pct"])))
    return {name: sorted(taken) for name, taken in found.items()}


def _wyndham(folder: Path) -> Samples:
    """Daily level in steps of 20 %; an alert at level 0 is a sensor fault. Missing days are missing."""
    found: Samples = defaultdict(list)
    for row in _csv(folder / "wyndham_bins" / "levels_dev.csv.gz"):
        day = datetime.fromisoformat(row["date"]).replace(tzinfo=timezone.utc)  # noqa: UP017
        tenths = int(row["level_tenths"])
        value = FAULT if row["reason"] == "ALERT" and tenths == 0 else tenths * 10
        found[row["bin"]].append((int(day.timestamp()), value))
    return {name: sorted(taken) for name, taken in found.items()}


def _dtu(folder: Path) -> Samples:
    """Raw ultrasonic distance at the network's time of reception; 0 cm is no echo; twins are one record."""
    found: Samples = defaultdict(list)
    for row in _csv(folder / "dtu_lora_bins" / "uplinks_dev.csv.gz"):
        time = int(datetime.fromisoformat(row["received_utc"].replace("Z", "+00:00")).timestamp())
        taken = found[row["node"]]
        if not taken or time - taken[-1][0] > _TWIN_S:
            taken.append((time, int(row["distance_cm"]) * 10 or NO_ECHO))
    return {name: sorted(taken) for name, taken in found.items()}


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        yield from csv.DictReader(file)


SOURCES = (
    Source(
        "Edinburgh litter bins 2016: fill at each collection",
        "fill",
        "Contains City of Edinburgh Council data, OGL.",
        _edinburgh,
    ),
    Source(
        "Wyndham smart bins 2018-2020: daily level",
        "fill",
        "Wyndham City Council, Smart Bin Daily Fill Level (historical), CC BY 2.5 AU",
        _wyndham,
    ),
    Source(
        "DTU campus LoRa bins 2016: raw distance",
        "distance",
        "AndreCL/Smart-trash, MIT licence, (c) 2016 Andre",
        _dtu,
    ),
)
