"""The inventory beside what a real store holds: missing, foreign, of another wattage."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import SITE, START, Rig, secret_of

from kerbgate.registry import Asset, inventory
from kerbgate.store import Reader
from kerbtools.provision import inventory_cli, report
from kerbtools.simulate import SimulatedNode
from kerbwire import channels

HOUR_MS = 3_600_000


class LampNode(SimulatedNode):
    """A simulated lamp that reports these (level, power in 0.1 W), one after the other."""

    values: list[tuple[int, int]]

    def _values(self) -> dict[int, int]:
        level, power = self.values.pop(0)
        return {channels.LEVEL: level, channels.POWER: power}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def listed(name: str, **facts: Any) -> Asset:
    return Asset(**{"asset": name, "site": SITE, "role": "lamp", "wattage_w": 40.0, "inventory": True} | facts)


def lamp(rig: Rig, address: int, asset: str | None, values: list[tuple[int, int]]) -> LampNode:
    """A lamp that was heard, with these readings in the store."""
    if rig.registry.get(address) is None:
        rig.registry.add(address=address, site=SITE, role="lamp", board="esp32_c3", secret=secret_of(address))
    if asset is not None:
        inventory.bind(rig.registry, address, inventory.asset(rig.registry, asset))
    node = LampNode(address, secret_of(address), seed=address, role=channels.LAMP)
    rig.confirm(node)
    node.values = list(values)
    node.take(len(values), START, 900)
    rig.exchange(node)
    assert node.waiting == 0
    return node


def compare(rig: Rig, hours: float = 0, **options: Any) -> report.Comparison:
    reader = Reader(rig.store.path)
    try:
        return report.compare(rig.registry, reader, round((START + hours * 3600) * 1000), **options)
    finally:
        reader.close()


def test_each_difference_is_found_and_nothing_else(rig: Rig) -> None:
    inventory.take(rig.registry, [listed(f"c{i}") for i in range(6)] + [listed("h1", site="hill")])
    lamp(rig, 1, "c0", [(100, 401), (100, 399), (100, 405), (30, 120)])  # all well
    lamp(rig, 2, "c1", [(100, 702), (100, 698), (0, 0), (100, 700)])  # another lamp was built in
    lamp(rig, 3, None, [(100, 400)] * 3)  # works, and nobody said where
    rig.registry.add(address=4, site=SITE, role="lamp", board="esp32_c3", secret=secret_of(4))
    inventory.bind(rig.registry, 4, inventory.asset(rig.registry, "c2"))  # never heard
    lamp(rig, 5, "c3", [(100, 400)] * 3)
    rig.registry.mark(5, "quarantine")
    lamp(rig, 6, None, [(100, 400)] * 3)
    inventory.bind(rig.registry, 6, listed("found on the street", inventory=False))
    lamp(rig, 7, None, [(100, 400)] * 3)
    rig.registry.remove(7)
    found = compare(rig, site=SITE)
    assert found.assets == 6 and found.well == 1
    assert [(row["asset"], row["node"], row["why"]) for row in found.missing] == [
        ("c2", 4, "never heard"), ("c3", 5, "its node is quarantined"), ("c4", None, "no node"), ("c5", None, "no node"),
    ]  # fmt: skip
    assert [(row["node"], row["why"]) for row in found.foreign] == [
        (3, "stock, at no asset"),
        (6, "at asset found on the street, which the inventory does not have"),
        (7, "not in the registry"),
    ]
    assert found.wattage == [
        {"asset": "c1", "node": 2, "luminaire": None, "inventory_w": 40.0, "measured_w": 70.0, "readings": 3}
    ]
    assert {row["asset"] for row in compare(rig).missing} == {"c2", "c3", "c4", "c5", "h1"}


def test_silence_is_told_after_the_hours_that_were_asked_for(rig: Rig) -> None:
    inventory.take(rig.registry, [listed("c0")])
    lamp(rig, 1, "c0", [(100, 400)])
    assert compare(rig, 47).missing == []
    assert [row["why"] for row in compare(rig, 49).missing] == ["last heard 49 h ago"]
    assert compare(rig, 49, within_h=50).missing == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([(100, 441)] * 3, True),
        ([(100, 439)] * 3, False),  # within a tenth
        ([(100, 359)] * 3, True),
        ([(100, 700)] * 2, False),  # too few
        ([(99, 700)] * 5, False),  # not at full level
        ([(100, channels.FAULT)] * 5, False),
        ([(100, channels.FAULT), (100, 700), (100, 700), (100, 701)], True),
    ],
)
def test_wattage(rig: Rig, values: list[tuple[int, int]], told: bool) -> None:
    inventory.take(rig.registry, [listed("c0")])
    lamp(rig, 1, "c0", values)
    assert bool(compare(rig).wattage) == told


def test_a_small_lamp_is_not_told_for_a_watt(rig: Rig) -> None:
    inventory.take(rig.registry, [listed("c0", wattage_w=10.0)])
    lamp(rig, 1, "c0", [(100, 119)] * 3)
    assert not compare(rig).wattage


def test_the_verb_prints_a_table_or_json(rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.csv").write_text(f"asset,site,role,wattage_w\nc0,{SITE},lamp,40\nc1,{SITE},lamp,40\n")
    registry = ["--registry", str(rig.registry.path)]
    assert inventory_cli.main(["import", str(tmp_path / "list.csv"), *registry]) == 0
    assert "2 assets are new" in capsys.readouterr().out
    lamp(rig, 1, "c0", [(100, 700)] * 3)
    assert inventory_cli.main(["report", *registry, "--within", "1e9"]) == 0
    text = capsys.readouterr().out
    assert "0 of 2 assets are well" in text and "in the inventory, not heard: 1" in text and "70.0" in text
    assert inventory_cli.main(["report", *registry, "--json", "--within", "1e9"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["v"] == 1 and [row["asset"] for row in found["wattage"]] == ["c0"]
    assert [row["why"] for row in found["missing"]] == ["no node"]


def test_a_bench_without_a_store_says_so(tmp_path: Path, rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    inventory.take(rig.registry, [listed("c0")])
    bench = tmp_path / "bench"
    bench.mkdir()
    for name in ("registry.sqlite", "registry.key"):
        (bench / name).write_bytes((tmp_path / name).read_bytes())
        (bench / name).chmod(0o600)
    assert inventory_cli.main(["report", "--registry", str(bench / "registry.sqlite")]) == 0
    assert "there is no store" in capsys.readouterr().out
    assert (
        inventory_cli.main(["report", "--registry", str(bench / "registry.sqlite"), "--store", str(bench / "no")]) == 1
    )
    assert "kerb gateway run" in capsys.readouterr().err
