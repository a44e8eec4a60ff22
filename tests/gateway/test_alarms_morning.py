"""The morning list: what is in it, in which order, and that neither a spreadsheet nor a crash is harmed by it."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alarms_harness import DARK, LIT, AlarmRig
from gateway_harness import START

from kerbgate.alarms import morning
from kerbgate.alarms.kinds import LISTED
from kerbgate.alarms.morning import DueBin
from kerbgate.errors import ControlError
from kerbwire.channels import FAULTS, FILL, POWER
from kerbwire.events import FULL, RAISED, SUPPLY_LOW, WARNING


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AlarmRig]:
    made = AlarmRig(tmp_path)
    yield made
    made.close()
    made.registry.close()


def rows(rig: AlarmRig, *due: DueBin) -> list[dict[str, Any]]:
    return morning.rows_of(rig.store.path, rig.book._kinds, rig.book.places, due)


def test_each_part_of_the_list_has_its_rows(rig: AlarmRig) -> None:
    out, burning, well = rig.lamp(801, number=0), rig.lamp(802, number=1), rig.lamp(803, number=2)
    cut = [rig.lamp(810 + n, number=100 + n, feeder="F1") for n in range(4)]
    full, empty = rig.bin(17, asset="b17"), rig.bin(18, asset="b18")
    rig.clock.now = START + 12 * 3600
    rig.report(out, DARK | {FAULTS: 1})
    rig.report(burning, LIT)
    rig.report(well, DARK)
    rig.event(full, FULL, WARNING, RAISED, {FILL: 97})
    rig.report(empty, {FILL: 3})
    for lamp in cut:
        rig.event(lamp, SUPPLY_LOW, WARNING, RAISED)
    rig.pass_time(2000)
    rig.acknowledge(rig.alarms(kind="day burner")[0]["id"])
    found = rows(rig, DueBin(18, START + 13 * 3600, {"hours_to_full": 9}), DueBin(17, START, {"hours_to_full": 0}))
    assert [(row["kind"], row["node"]) for row in found] == [
        ("out", 801), ("burning by day", 802), ("supply", 810), ("supply", 811), ("supply", 812), ("supply", 813),
        ("bins due", 17), ("bins due", 18),
    ]  # fmt: skip
    by_node = {row["node"]: row for row in found}
    assert by_node[802]["state"] == "acknowledged" and by_node[810]["alarm"] == "power cut"
    assert by_node[17]["evidence"] == "fill_percent=97" and by_node[18]["evidence"] == "hours_to_full=9"
    assert by_node[801]["place"] == "c801" and by_node[801]["route"] == "contractor"
    assert [row["kind"] for row in found] == sorted((row["kind"] for row in found), key=LISTED.index)
    parsed = list(csv.DictReader(io.StringIO(morning.text(found))))
    assert [row["node"] for row in parsed] == [str(row["node"]) for row in found]
    assert tuple(parsed[0]) == morning.COLUMNS


def test_a_maintenance_is_named_as_long_as_it_covers(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    number = rig.maintain("node:801", 3600)
    rig.report(lamp, LIT | {FAULTS: 1})
    assert [(row["state"], row["maintenance"]) for row in rows(rig)] == [("suppressed", number)]
    rig.pass_time(3700)
    assert [(row["state"], row["maintenance"]) for row in rows(rig)] == [("raised", "")]


def test_what_is_gone_or_not_sure_yet_is_not_listed(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, LIT | {FAULTS: 1})
    assert rows(rig) == []
    rig.pass_time(930)
    assert len(rows(rig)) == 1
    rig.report(lamp, LIT | {POWER: 300})
    assert rows(rig) == []


@pytest.mark.parametrize("name", ["=1+1", "+44", "-5", "@SUM(A1)", "\tx", "\r=x"])
def test_no_cell_is_a_formula(name: str) -> None:
    row = dict.fromkeys(morning.COLUMNS, name)
    for cell in next(csv.reader(io.StringIO(morning.text([row]).split("\r\n", 1)[1]))):
        assert cell == "'" + name
    assert morning.harmless(-2.59) == -2.59 and morning.harmless("Quay 3") == "Quay 3"


def test_a_list_is_written_whole_and_old_ones_go(tmp_path: Path, rig: AlarmRig) -> None:
    folder = tmp_path / "lists"
    for day in range(1, 6):
        path = morning.write(folder, f"2026-03-0{day}", [], keep_days=3)
    assert [file.name for file in morning.files(folder)] == [f"morning-2026-03-0{day}.csv" for day in (3, 4, 5)]
    assert path.read_bytes() == (",".join(morning.COLUMNS) + "\r\n").encode()
    assert sorted(folder.iterdir()) == morning.files(folder)  # nothing else is left
    (folder / "notes.txt").write_text("mine")
    morning.write(folder, "2026-03-09", [], keep_days=1)
    assert (folder / "notes.txt").exists() and len(morning.files(folder)) == 1
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ControlError) as caught:
        morning.write(tmp_path / "taken", "2026-03-01", [], keep_days=3)
    assert "folder =" in caught.value.hint


def test_the_hour_is_the_councils_and_comes_once_a_day(tmp_path: Path) -> None:
    zone = ZoneInfo("Pacific/Auckland")
    due = [morning.due_day(tmp_path, START + hour * 3600, zone, 6) for hour in range(0, 30)]
    # 2026-03-01T00:00Z is 13:00 in Auckland; its next day begins at 11:00Z, its 06:00 is 17:00Z
    assert due[:11] == ["2026-03-01"] * 11 and due[11:17] == [None] * 6 and set(due[17:]) == {"2026-03-02"}
    morning.write(tmp_path, "2026-03-02", [], 10)
    assert morning.due_day(tmp_path, START + 20 * 3600, zone, 6) is None
