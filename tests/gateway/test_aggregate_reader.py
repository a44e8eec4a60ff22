"""What tools read of roll-ups: periods over clock changes, sparklines, availability, links, batteries, the socket's operation."""

import contextlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aggregate_harness import Desk, lamp_records
from gateway_harness import START

from kerbgate import config
from kerbgate.aggregate import requests
from kerbgate.aggregate.periods import DAY, HOUR, QUARTER, Calendar
from kerbgate.errors import ConfigError, ControlError
from kerbwire.channels import BATTERY, FILL, NO_ECHO
from kerbwire.messages import Record, Report

LIFE = bytes(8)
H, D = 3600, 86400


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("zone", "day", "hours", "quarters"),
    [
        ("Europe/London", date(2026, 3, 29), 23, 92),
        ("Europe/London", date(2026, 10, 25), 25, 100),
        ("UTC", date(2026, 3, 29), 24, 96),
        ("Asia/Kathmandu", date(2026, 3, 29), 24, 96),
        ("Australia/Lord_Howe", date(2026, 4, 5), 25, 98),  # set back by half an hour: one hour is cut in two
        ("America/Santiago", date(2026, 9, 6), 23, 92),  # its clock jumps over midnight
    ],
)
def test_a_local_day_is_made_of_its_hours_and_quarters_without_a_gap(
    zone: str, day: date, hours: int, quarters: int
) -> None:
    calendar = Calendar(ZoneInfo(zone))
    begin, end = calendar.day_bounds(day)
    assert calendar.day_of(begin) == calendar.day_of(end - 1) == day and calendar.day_of(
        begin - 1
    ) != day != calendar.day_of(end)
    assert calendar.start(DAY, begin) == calendar.start(DAY, end - 1) == begin and calendar.end(DAY, begin) == end
    for level, count in ((HOUR, hours), (QUARTER, quarters)):
        at_s, found = begin, 0
        while at_s < end:
            following = calendar.end(level, at_s)
            assert {calendar.start(level, second) for second in range(at_s, following, 300)} == {at_s}
            at_s, found = following, found + 1
        assert (at_s, found) == (end, count)
    for level in (QUARTER, HOUR, DAY):
        at_s = begin
        while at_s < end:  # blocks of letters too
            assert calendar.block(level, at_s) == at_s
            following = calendar.block_end(level, at_s)
            assert {calendar.block(level, second) for second in range(at_s, following, 900)} == {at_s}
            at_s = following
        assert at_s == end


def test_a_time_zone_that_does_not_exist_is_an_error_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as failed:
        config.parse(tmp_path / "g.toml", b'[gateway]\nsite = "a"\n[aggregate]\ntimezone = "Europe/Londn"\n')
    assert "g.toml:4:" in failed.value.cause and "Europe/London" in failed.value.hint


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    with contextlib.closing(Desk(tmp_path / "store.sqlite", {"quay": [1, 2]}, timezone="Europe/London")) as made:
        made.now_ms = (START + 120 * D) * 1000
        yield made


def test_a_sparkline_has_an_hour_a_point_and_none_where_nothing_is_known(desk: Desk) -> None:
    values = {0: 10, 1: 20, 3: NO_ECHO, 4: 40}
    desk.send(1, "bin", LIFE, Report([Record(i, START + h * H, {FILL: v}) for i, (h, v) in enumerate(values.items())]))
    with desk.reader() as reader:  # not rolled up yet: a node's roll-ups are as new as the commit
        spark = reader.spark(1, FILL, START + 5 * H, days=1)
    assert len(spark) == 24 and spark[-6:] == [10, 20, None, None, 40, None] and set(spark[:-6]) == {None}


def test_availability_is_by_the_nodes_own_interval_and_a_silent_node_counts(desk: Desk) -> None:
    desk.send(1, "lamp", LIFE, Report(lamp_records(0, START, 96)))
    desk.send(2, "bin", LIFE, Report([Record(i, START + i * H, {FILL: 5}) for i in range(24)]))
    desk.send(1, "lamp", LIFE, Report(lamp_records(96, START + D, 48)))
    desk.chores()
    with desk.reader() as reader:
        assert reader.availability(1, START, START + D).share == 1.0
        half = reader.availability(1, START + D, START + 2 * D)
        assert (half.records, half.expected, half.share) == (48, 96, 0.5)
        gone = reader.availability(2, START + D, START + 2 * D)
        assert (gone.records, gone.expected, gone.step_s) == (0, 24, H)
        both = reader.availability_of_all(START // D + 1)
        assert (both.records, both.expected) == (48, 120)
        assert reader.availability(9, START, START + D).share is None


def test_a_link_is_judged_by_the_numbers_that_arrived(desk: Desk) -> None:
    for number in range(10):
        if number in (3, 4):  # lost on the air: two numbers, and the second time the records too
            desk.numbers[1, LIFE] += 1
        desk.send(1, "bin", LIFE, Report([Record(number + (number > 4), START + number, {FILL: 1})]))
    with desk.reader() as reader:
        link = reader.link(1)
        assert (link.arrived, link.frames, link.missing) == (11, 13, 1)
        assert link.heard_ms == desk.now_ms and reader.link(9) is None


def test_battery_days_come_from_the_median_of_slopes(desk: Desk) -> None:
    records = [
        Record(day, START + day * D, {FILL: 1, BATTERY: 360 - day // 4 + (20 if day == 30 else 0)}) for day in range(60)
    ]
    desk.send(1, "bin", LIFE, Report(records[:10]))
    with desk.reader() as reader:
        young = reader.battery(1, START + 9 * D)
    assert young.days == 10 and young.days_left is None and young.millivolts == 3580
    desk.send(1, "bin", LIFE, Report(records[10:]))
    with desk.reader() as reader:
        old = reader.battery(1, START + 59 * D)
        assert reader.battery(2, START) is None
    assert old.days == 60 and old.a_year_mv == pytest.approx(-912, rel=0.05)  # 10 mV in four days
    assert old.days_left == pytest.approx((347 - 300) * 4, rel=0.1)


def test_the_operation_of_the_control_socket(desk: Desk) -> None:
    desk.send(1, "bin", LIFE, Report([Record(i, START + i * H, {FILL: 5 + i, BATTERY: 360}) for i in range(24)]))
    desk.chores()
    calendar = desk.aggregate.calendar

    def ask(**request: Any) -> dict[str, Any]:
        return requests.answer(desk.path, calendar, request)

    found = ask(node=1, level="hour", **{"from": START, "to": START + 2 * H})
    assert [body["channels"]["fill_percent"]["last"] for body in found["periods"]] == [5, 6]
    assert (
        found["full"]["fill_percent"] == 28 and found["battery"]["millivolts"] == 3600 and found["link"]["arrived"] == 2
    )
    assert ask(group="quay", level="day")["periods"][0]["records"] == ask(site="harbour")["periods"][0]["records"] == 24
    bad: list[dict[str, Any]] = [
        {}, {"node": 1, "group": "quay"}, {"node": 0}, {"node": True}, {"node": "1"}, {"group": "nowhere"}, {"group": ["x"]},
        {"site": "harbour", "level": "week"}, {"node": 1, "from": -1}, {"node": 1, "to": 1.5}, {"node": 1, "from": 1 << 40},
    ]  # fmt: skip
    for request in bad:
        with pytest.raises(ControlError) as failed:
            ask(**request)
        assert failed.value.hint


def test_bins_that_will_be_full_are_listed_the_soonest_first(desk: Desk) -> None:
    for node, rate in ((3, 1), (4, 3), (5, 2)):
        desk.send(node, "bin", LIFE, Report([Record(i, START + i * H, {FILL: i * rate}) for i in range(24)]))
    desk.chores()
    with desk.reader() as reader:
        assert [full.node for full in reader.full_by(START + 60 * D)] == [4, 5, 3]
        assert reader.full_by(START) == []
        assert reader.status()["forecasts"] == 3 and reader.status()["stale"] == 0
