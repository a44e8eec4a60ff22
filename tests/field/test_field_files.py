"""Faults of files and of the host: a full disk, a store that is damaged, keys that are open or gone, a configuration
that cannot be used. With the gateway running, stopped, or broken.
"""

import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from field_harness import Doctor, World, problems, well

from kerbtools.cli import main as kerb
from kerbtools.field import deadline, doctor
from kerbtools.field.checks import CHECKS, ORDER, host
from kerbtools.field.checks.clock import offset_s
from kerbtools.field.findings import FAIL, OK, SKIPPED, UNKNOWN, WARN, Finding, ranked, worst
from kerbtools.field.subject import Subject


def test_a_disk_that_is_full(small_disk: Path, named: Doctor) -> None:
    world = World(small_disk, bins=range(1, 3), lamps=(), checkpoint_pages=50)
    try:
        world.start()
        well(world.config)
        ballast = small_disk / "ballast"
        with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))
        for node in world.nodes.values():
            node.take_values(world.now, {0: 5})
        world.street.run(lambda: False, 1.5)  # nothing is acknowledged
        named("full disk", world.config, "disk", "logs or other programs filled it", f"du -xh {world.gateway.state}")
        ballast.unlink()
        world.exchange(*world.nodes)
        well(world.config)
    finally:
        world.close()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway that has worked, was copied, and was stopped."""
    made = World(tmp_path_factory.mktemp("files"), lamps=())
    made.start()
    for node in made.nodes.values():
        for index in range(75):
            node.take_values(made.now - 75 * 900 + 900 * index, {0: index % 90, 2: index % 40, 3: 360})
    made.exchange(*made.nodes)
    assert kerb(["backup", "--config", str(made.config), str(made.folder / "store.backup")]) == 0
    assert made.gateway.stop() == 0
    yield made
    made.close()


def test_a_store_that_is_damaged(stopped: World, named: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
    store = stopped.gateway.state / "store.sqlite"
    with store.open("r+b") as file:
        for page in range(3, store.stat().st_size // 4096, 2):
            file.seek(page * 4096)
            file.write(b"\xa5" * 1024)
    first = named("store corrupted", stopped.config, "store", "lost writes in a power cut", "kerb restore FILE")
    assert first.verdict == FAIL
    assert {row.follows for row in problems(stopped.config) if row is not first} <= {"store", ""}
    assert kerb(["nodes", "--config", str(stopped.config)]) in (0, 1)  # it says what it can, and ends
    step = next(one for one in first.next if one.startswith("kerb restore")).replace(
        "FILE", str(stopped.folder / "store.backup")
    )
    assert kerb([*step.split()[1:], "--config", str(stopped.config)]) == 0
    capsys.readouterr()
    assert problems(stopped.config, ["store"]) == []


def test_verbs_read_the_store_of_a_gateway_that_has_stopped(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(stopped.config)]
    assert kerb(["nodes", *config, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["node"] for row in rows] == [1, 2, 3, 4] and {row["registered"] for row in rows} == {"bound"}
    assert kerb(["show", "2", *config]) == 0
    said = capsys.readouterr().out
    assert "bin-2" in said and "76 here, 0 missing" in said and "fill over the last seven days" in said
    assert kerb(["tail", "-n", "1", *config]) == 0
    assert "fill_percent" in capsys.readouterr().out
    assert kerb(["queue", *config]) == 0
    assert "first outlet" in capsys.readouterr().out
    assert kerb(["alarms", *config]) == 0 and kerb(["alarms", "maintenance", *config]) == 0
    assert "no alarm is open" in capsys.readouterr().out
    assert kerb(["ping", "2", *config]) == 1
    assert "no gateway answers" in capsys.readouterr().err


def test_keys_that_are_open_or_gone(stopped: World) -> None:
    key = stopped.registry_path.with_suffix(".key")
    key.chmod(0o644)
    found = problems(stopped.config)
    assert found[0].check == "keys" and f"chmod 600 {key}" in found[0].next[0]
    key.chmod(0o600)
    shutil.move(key, key.with_name("elsewhere"))
    found = problems(stopped.config)
    assert found[0].check == "keys" and "registry's key is not there" in found[0].evidence
    shutil.move(key.with_name("elsewhere"), key)
    stopped.gateway.state.chmod(0o755)
    found = problems(stopped.config, ["keys"])
    assert found[0].verdict == WARN and "chmod 700" in found[0].next[0]
    stopped.gateway.state.chmod(0o700)
    assert problems(stopped.config, ["keys"]) == []
    password = stopped.folder / "password"
    password.write_text("user:word")
    password.chmod(0o640)
    text = stopped.config.read_text()
    stopped.config.write_text(f'{text}\n[[inlet]]\nurl = "mqtt://127.0.0.1:9/harbour?credentials={password}"\n')
    (found,) = problems(stopped.config, ["keys"])
    assert f"chmod 600 {password}" in found.next[0] and "credentials of inlet mqtt://127.0.0.1:9" in found.evidence
    stopped.config.write_text(text)


def test_a_registry_that_is_gone_and_a_store_that_is_gone(stopped: World) -> None:
    for path, check in ((stopped.registry_path, "registry"), (stopped.gateway.state / "store.sqlite", "store")):
        path.rename(path.with_name("elsewhere"))
        found = problems(stopped.config, [check])
        assert found and found[0].verdict == FAIL and found[0].next, check
        path.with_name("elsewhere").rename(path)


def test_a_configuration_that_cannot_be_used(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    text = stopped.config.read_text()
    stopped.config.write_text(text.replace("[store]", "[shop]"))
    try:
        status = kerb(["doctor", "--config", str(stopped.config), "--json"])
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert status == 2 and rows[0]["check"] == "configuration" and "'shop'" in rows[0]["evidence"]
        assert all(row["follows"] for row in rows[1:] if row["verdict"] in (FAIL, UNKNOWN, WARN))
    finally:
        stopped.config.write_text(text)
    assert kerb(["doctor", "--config", str(stopped.folder / "nowhere.toml"), "--problems"]) == 2
    assert "kerb gateway init" in capsys.readouterr().out


def test_settings_that_are_not_in_force(tmp_path: Path) -> None:
    world = World(tmp_path / "world" if (tmp_path / "world").mkdir() is None else tmp_path, bins=(1,), lamps=())
    try:
        world.start()
        world.config.write_text(world.config.read_text() + "[alarms]\nbattery_low_mv = 3300\n")
        found = problems(world.config)
        assert [row.check for row in found] == ["configuration"] and "[alarms] battery_low_mv" in found[0].evidence
    finally:
        world.close()


# The host, as files of a kernel that a test lays out.


def test_heat_and_a_weak_supply(stopped: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "pi"
    zone = root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("86200\n")
    throttled = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    throttled.parent.mkdir(parents=True)
    throttled.write_text("50005\n")
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text("MemTotal: 1000000 kB\nMemAvailable: 20000 kB\n")
    monkeypatch.setattr(host, "ROOT", root)
    found = {row.check: row for row in problems(stopped.config, ["temperature", "undervoltage", "memory"])}
    assert {name: row.verdict for name, row in found.items()} == dict.fromkeys(
        ("temperature", "undervoltage", "memory"), FAIL
    )
    assert "86 degC" in found["temperature"].evidence and "power supply" in found["undervoltage"].causes[0]
    throttled.write_text("50000\n")
    zone.joinpath("temp").write_text("60000\n")
    (row,) = problems(stopped.config, ["temperature", "undervoltage"])
    assert row.check == "undervoltage" and row.verdict == WARN


def test_a_board_whose_own_clock_differs(stopped: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = stopped.config.read_text()
    stopped.config.write_text(text.replace(f'"shared:{stopped.clock_path}"', '"system"'))
    rtc = tmp_path / "host/sys/class/rtc/rtc0/since_epoch"
    rtc.parent.mkdir(parents=True)
    rtc.write_text(f"{int(time.time()) - 7200}\n")
    try:
        (row,) = problems(stopped.config, ["clock"])
        assert "differ by 2 h" in row.evidence and "hwclock" in row.next[2]
    finally:
        stopped.config.write_text(text)


@pytest.mark.parametrize(
    ("lags", "off"),
    [
        ([3600, 3605, 3700, 3590], 3604),
        ([-3600, -3500, -3590, 5], -3590),
        ([10, 900, 1800, 3500, 3590], None),  # nodes of all phases
        ([7200, 90_000, 4000, 30], None),  # backlogs of an outage
        ([3600, 3600], None),  # two may agree by chance
        ([], None),
    ],
)  # fmt: skip
def test_a_clock_is_off_only_if_nodes_agree_by_how_much(lags: list[int], off: float | None) -> None:
    found = offset_s(lags)
    assert found is None if off is None else found == pytest.approx(off, abs=10)


# The doctor himself.


def test_a_check_that_hangs_is_cut_off_and_says_so(stopped: World) -> None:
    def hangs(subject: Subject) -> Iterator[Finding]:
        time.sleep(30)
        yield Finding("hangs", OK, "never")

    def fails(subject: Subject) -> Iterator[Finding]:
        yield Finding("fails", OK, "before it failed")
        raise sqlite3.DatabaseError("malformed")

    rows = [
        deadline.Row("hangs", "", hangs, 0.2),
        deadline.Row("fails", "", fails),
        deadline.Row("well", "", lambda s: ()),
    ]
    began = time.monotonic()
    found = deadline.run(rows, Subject(stopped.config))
    assert time.monotonic() - began < 5
    assert [row.verdict for row in found] == [UNKNOWN, UNKNOWN]
    assert "cut off" in found[0].evidence and "kerb doctor --only hangs" in found[0].next
    assert "malformed" in found[1].evidence
    assert worst(found) == UNKNOWN


def test_what_follows_stands_behind_its_root() -> None:
    given = [
        Finding("nodes", FAIL, "silent", subject="node 3"),
        Finding("nodes", WARN, "other", subject="node 4"),
        Finding("disk", WARN, "root", explains=("store", "nodes/node 3")),
        Finding("store", FAIL, "full"),
        Finding("ble", SKIPPED, "none"),
        Finding("clock", OK, "fine"),
    ]
    found = ranked(given, ORDER)
    assert [(row.check, row.subject, row.follows) for row in found] == [
        ("disk", "", ""), ("nodes", "node 4", ""), ("store", "", "disk"), ("nodes", "node 3", "disk"), ("clock", "", ""),
        ("ble", "", ""),
    ]  # fmt: skip


def test_exit_status_and_bad_usage(stopped: World, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(stopped.config)]
    assert kerb(["doctor", *config, "--only", "keys,disk"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "2 ok" in said
    assert kerb(["doctor", *config, "--only", "gateway"]) == 2
    for wrong in (["--only", "nonsense"], ["--frobnicate"], ["--every", "0"]):
        with pytest.raises(SystemExit) as ended:
            kerb(["doctor", *wrong])
        assert ended.value.code == 3
    capsys.readouterr()


def test_watching_looks_again(
    stopped: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(doctor.time, "sleep", sleep)
    assert kerb(["doctor", "--config", str(stopped.config), "--only", "disk", "--watch", "--every", "2"]) == 130
    assert capsys.readouterr().out.count("ok    disk") == 2 and slept == [2.0, 2.0]


def test_every_row_of_the_table_has_a_name_of_its_own_and_ends_in_time() -> None:
    assert len(ORDER) == len(CHECKS) and all(0 < row.limit_s <= 10 and row.about for row in CHECKS)
