"""Packed reports over any records, over the fixed workload, and over data that nobody here has made."""

import csv
import gzip
import math
import statistics
import sys
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerbtools.bench import days
from kerbwire import channels as c
from kerbwire import columns, messages, plain
from kerbwire.columns import MAX_RECORDS, Record
from kerbwire.errors import WireError

SHARED = Path(__file__).parents[3] / "shared"
DATA = SHARED / "data"
SEAL = 13  # bytes around a message: header of a usual node, and tag
SEEDS = range(1, 1001)
SPECIALS = (c.NOT_FITTED, c.NO_ECHO, c.FAULT)

needs_data = pytest.mark.skipif(not DATA.exists(), reason="the recorded data is not beside this checkout")


@st.composite
def values_of(draw: st.DrawFn, channel: c.Channel, count: int) -> list[int | None]:
    """A column: steady, wandering or wild; with special values and gaps, or without."""
    low, high = channel.low, channel.high
    kind = draw(st.integers(0, 3))
    if kind == 0:
        plain_values = [draw(st.integers(low, high))] * count
    elif kind == 1:
        plain_values = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
    else:
        spread = 3 if kind == 2 else 200
        value = draw(st.integers(low, high))
        plain_values = []
        for step in draw(st.lists(st.integers(-spread, spread), min_size=count, max_size=count)):
            value = min(high, max(low, value + step))
            plain_values.append(value)
    found: list[int | None] = list(plain_values)
    if draw(st.booleans()):
        for place in draw(st.sets(st.integers(0, count - 1), max_size=4)):
            found[place] = draw(st.sampled_from((*SPECIALS, None)))
    return found


@st.composite
def runs(draw: st.DrawFn) -> list[Record]:
    count = draw(st.integers(1, 8) | st.integers(1, MAX_RECORDS))
    unit = draw(st.sampled_from((1, 60)))
    steps = draw(
        st.integers(0, 1 << 17).map(lambda step: [step] * count)
        | st.sampled_from((60, 15)).map(lambda step: [step] * count)
        | st.lists(st.integers(0, 4000), min_size=count, max_size=count)
    )
    time = unit * draw(st.integers(0, ((1 << 32) - 1) // 60))
    index = draw(st.integers(0, 70000) | st.integers(0, (1 << 32) - 100))
    records: list[Record] = []
    for i in range(count):
        records.append(Record(index + i, min(time, (1 << 32) - 1), {}))
        time += unit * steps[i]
    sets = st.sampled_from([[0, 2, 5], [0, 2, 3, 5], [0, 1, 2, 5], [16, 17, 18, 19, 20, 21, 23], [16, 24]])
    for ident in draw(sets | st.lists(st.sampled_from(sorted(c.CHANNELS)), unique=True, max_size=8)):
        for record, value in zip(records, draw(values_of(c.CHANNELS[ident], count)), strict=True):
            if value is not None:
                record.values[ident] = value
    return records


@settings(max_examples=300, deadline=None)
@given(runs(), st.none() | st.integers(0, (1 << 32) - 1), st.integers(-5, 1 << 20), st.booleans())
def test_any_records_round_trip_in_the_shorter_coder(
    records: list[Record], boot: int | None, late: int, is_near: bool
) -> None:
    uptime_now = None if boot is None else min(max(0, records[-1].time + late), (1 << 32) - 1)
    near = (max(0, records[0].index - 24), max(0, records[0].time - 86400)) if is_near else None
    body = columns.encode(records, boot, uptime_now, near)
    assert columns.decode(body, near) == (records, boot, uptime_now, 0)
    try:
        written = plain.encode(records, boot, uptime_now)
    except WireError:
        return
    assert plain.decode(written) == (records, boot, uptime_now, 0)
    assert len(body) <= len(written) + 8  # plain can win where neither mask, raw column nor interval says so


@given(
    st.integers(1, 60), st.integers(0, 70_000), st.booleans(), st.booleans(), st.integers(0, 1 << 20),
)  # fmt: skip
def test_changes_that_lie_evenly_apart_take_no_more_than_plain(
    count: int, step: int, same_level: bool, same_cause: bool, start: int
) -> None:
    records = [
        Record(7 + i, start + step * i, {16: 20 if same_level else i * 37 % 101, 24: 1 if same_cause else i % 3})
        for i in range(count)
    ]
    body = columns.encode(records, None, None)
    assert columns.decode(body) == (records, None, None, 0)
    assert len(body) <= len(plain.encode(records, None, None)) + 1


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=230), st.sampled_from((0x80, 0xA0, 0xC0, 0xE0, 1, 0)))
def test_any_bytes_are_read_or_refused(data: bytes, mark: int) -> None:
    body = bytes([mark | (data[0] & 31 if mark >= 0x80 else 0)]) + data[1:] if data else b""
    try:
        records, boot, uptime_now, _ = columns.decode(body, (40000, 1765432800))
    except WireError:
        return
    assert 1 <= len(records) <= columns.MAX_CHANGES
    if body[0] != columns.PLAIN:
        again = columns.encode(records, boot, uptime_now)
        assert columns.decode(again) == (records, boot, uptime_now, 0)


def eighth_octaves(lux: int) -> int:
    return min(160, round(8 * math.log2(lux + 1)))


def bin_records(day: dict) -> list[Record]:
    records = [
        Record(day["index"] + i, day["start"] + i * day["step"], {c.FILL: fill, c.TEMPERATURE: half_c, c.QUALITY: 0})
        for i, (fill, half_c) in enumerate(zip(day["level"], day["temperature"], strict=True))
    ]
    records[0].values[c.BATTERY] = day["battery"]
    return records


def lamp_records(night: dict) -> list[Record]:
    names = ("level", "power", "energy", "lux", "hours", "presence", "faults")
    idents = (c.LEVEL, c.POWER, c.ENERGY, c.LUX, c.HOURS, c.PRESENCE, c.FAULTS)
    rows = [dict(zip(idents, row, strict=True)) for row in zip(*(night[name] for name in names), strict=True)]
    for row in rows:
        row[c.LUX] = eighth_octaves(row[c.LUX])
    return [Record(night["index"] + i, night["start"] + i * night["step"], row) for i, row in enumerate(rows)]


def sealed(records: list[Record]) -> int:
    """Bytes of the frame, a day after the last one was acknowledged; the report reads back."""
    near = (records[0].index - 1, records[0].time - (records[1].time - records[0].time))
    message = messages.encode(messages.Report(records), near)
    assert messages.decode(message, 0, near).records == records
    return SEAL + len(message)


def test_the_bar_of_a_bin_day() -> None:
    sizes = sorted(sealed(bin_records(days.bin_day(seed))) for seed in SEEDS)
    assert statistics.mean(sizes) <= 46 and sizes[989] <= 51, (statistics.mean(sizes), sizes[989], sizes[-1])


def test_the_bar_of_a_lamp_night() -> None:
    sizes = [sealed(lamp_records(days.lamp_night(seed))) for seed in SEEDS]
    assert statistics.mean(sizes) <= 172 and max(sizes) <= 220, (statistics.mean(sizes), max(sizes))


def test_the_bar_of_level_changes() -> None:
    causes = {"presence": c.BY_PRESENCE, "hold over": c.HOLD_OVER}
    shares = []
    for seed in SEEDS:
        changes = [
            Record(1000 + i, days.NOON + second, {c.LEVEL: level, c.CAUSE: causes[cause]})
            for i, (second, level, cause) in enumerate(days.level_changes(seed, 9))
        ]
        left, size = changes, 0
        while left:
            count, message = messages.fit(left)
            size += SEAL + len(message)
            assert messages.decode(message, 0).records == left[:count]
            left = left[count:]
        shares.append(size / len(changes))
    assert statistics.mean(shares) <= 1.4, statistics.mean(shares)


def test_a_slice_of_a_lamp_night_is_bounded() -> None:
    """In lines of code that one slice runs: on the unix port 1,400 take 55 us, and 125 us are 20 ms of an RP2040."""
    most = 0
    folder = str(Path(columns.__file__).parent)
    for seed in range(1, 6):
        lines = 0

        def count(frame, event, _):
            nonlocal lines
            if not frame.f_code.co_filename.startswith(folder):
                return None
            lines += event == "line"
            return count

        steps = columns.steps(lamp_records(days.lamp_night(seed)), None, None)
        done = False
        while not done:
            before = lines
            tracer = sys.gettrace()
            sys.settrace(count)
            try:
                done = next(steps, None) is None
            finally:
                sys.settrace(tracer)
            most = max(most, lines - before)
    assert most <= 1600, most


def goes_through(records: list[Record]) -> int:
    """Bytes of all its reports; every record comes back."""
    size, left, near = 0, records, None
    while left:
        run = 1
        while run < len(left) and left[run].time >= left[run - 1].time:
            run += 1
        count, message = messages.fit(left[:run], near=near)
        assert count and messages.decode(message, 0, near).records == left[:count]
        near = (left[count - 1].index, left[count - 1].time)
        size += len(message)
        left = left[count:]
    return size


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by(rows: list[dict[str, str]], key: str) -> list[list[dict[str, str]]]:
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return list(groups.values())


@needs_data
def test_the_litter_bins_of_edinburgh_go_through() -> None:
    """City of Edinburgh Council, OGL: fill at collections, at odd seconds, hours to days apart."""
    for rows in by(rows_of(DATA / "edinburgh_bins" / "collections_dev.csv.gz"), "bin"):
        times = [int(datetime.fromisoformat(row["collected_at_local"] + "+01:00").timestamp()) for row in rows]
        goes_through([
            Record(i, time, {c.FILL: int(row["fill_before_pct"])})
            for i, (time, row) in enumerate(sorted(zip(times, rows, strict=True), key=lambda pair: pair[0]))
        ])  # fmt: skip


@needs_data
def test_the_smart_bins_of_wyndham_go_through() -> None:
    """Wyndham City Council, CC BY: daily levels in steps of 20 %; an alert at level 0 is a sensor fault."""
    for rows in by(rows_of(DATA / "wyndham_bins" / "levels_dev.csv.gz"), "bin"):
        records = []
        for i, row in enumerate(sorted(rows, key=lambda row: row["date"])):
            is_fault = row["reason"] == "ALERT" and row["level_tenths"] == "0"
            time = int(datetime.fromisoformat(row["date"] + "T00:00+00:00").timestamp())
            records.append(Record(i, time, {c.FILL: c.FAULT if is_fault else 10 * int(row["level_tenths"])}))
        goes_through(records)


@needs_data
def test_the_lora_bins_of_the_dtu_go_through() -> None:
    """MIT licence, 2016 Andre: raw distances with losses, duplicates and missing echoes."""
    for rows in by(rows_of(DATA / "dtu_lora_bins" / "uplinks_dev.csv.gz"), "node"):
        records = []
        for i, row in enumerate(sorted(rows, key=lambda row: row["received_utc"])):
            time = int(datetime.fromisoformat(row["received_utc"].replace("Z", "+00:00")).timestamp())
            distance_mm = 10 * int(row["distance_cm"])
            records.append(Record(i, time, {c.DISTANCE: distance_mm or c.NO_ECHO}))
        goes_through(records)
