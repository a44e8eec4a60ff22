"""`kerb registry`, `bind` and `revoke`, as a person at a bench and one at a cabinet use them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from provision_harness import Kerb, shows

from kerbgate.registry import Registry, inventory
from kerbtools.provision import cli, inventory_cli, registry_cli

SECRET = bytes(range(100, 116))


def add(registry: Registry, address: int = 17, **facts: Any) -> None:
    registry.add(
        **{"address": address, "site": "harbour", "role": "lamp", "board": "esp32_c3", "secret": SECRET} | facts
    )


def test_a_node_is_bound_moved_and_taken_away(kerb: Kerb, registry: Registry, tmp_path: Path) -> None:
    add(registry)
    (tmp_path / "list.csv").write_text("asset,site,role,wattage_w\nc1,harbour,lamp,40\nc2,harbour,lamp,40\n")
    assert kerb(inventory_cli.main, "import", tmp_path / "list.csv")[0] == 0
    status, out, _ = kerb(cli.bind, 17, "--asset", "c1", "--supply", "switched", "--lamp-hours", 1200)
    assert status == 0 and out == "node 17 is at asset c1\n"
    place = inventory.asset(registry, "c1")
    assert (place.wattage_w, place.supply, place.inventory) == (40.0, "switched", True)
    assert inventory.history(registry, "c1")[0].start_hours == 1200
    assert kerb(cli.bind, 17, "--asset", "c2")[0] == 0
    status, out, _ = kerb(cli.bind, 17, "--unbind", "--json")
    assert status == 0 and json.loads(out)["state"] == "stock"
    status, out, _ = kerb(registry_cli.main, "show", "--asset", "c1")
    assert status == 0 and "1200" in out and "17" in out
    status, _, err = kerb(cli.bind, 17, "--unbind")
    assert status == 1 and "node 17 is stock: it cannot unbind" in err


def test_a_stolen_node_is_revoked_listed_and_found_again(kerb: Kerb, registry: Registry) -> None:
    add(registry)
    status, out, _ = kerb(cli.revoke, 17)
    assert status == 0 and "node 17 is stolen" in out and "kerb rekey --site harbour" in out
    status, out, _ = kerb(registry_cli.main, "list", "--state", "stolen", "--json")
    (row,) = json.loads(out)["nodes"]
    assert row["address"] == 17 and "secret" not in row and "sealed" not in row
    status, _, err = kerb(registry_cli.main, "mark", 17, "readmit")
    assert status == 1 and "kerb registry mark 17 find" in err
    assert kerb(registry_cli.main, "mark", 17, "find")[0] == 0
    assert registry.card(17).state == "returned"
    add(registry, 18)
    assert kerb(cli.revoke, 18, "--because", "quarantined")[0] == 0
    assert kerb(registry_cli.main, "mark", 18, "readmit")[0] == 0
    status, out, _ = kerb(registry_cli.main, "list")
    assert [line.split()[3] for line in out.splitlines()[1:]] == ["returned", "stock"]
    assert kerb(registry_cli.main, "remove", 17)[0] == 0
    status, _, err = kerb(registry_cli.main, "show", 17)
    assert status == 1 and "node 17 is not in the registry" in err


def test_keys_travel_sealed_from_the_bench_to_the_cabinet(kerb: Kerb, registry: Registry, tmp_path: Path) -> None:
    add(registry)
    cabinet = tmp_path / "cabinet"

    def at_cabinet(*words: Any) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "kerbtools", "registry", *map(str, words), "--registry", cabinet / "registry.sqlite"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert not shows((done.stdout + done.stderr).encode(), [SECRET]) and "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    assert at_cabinet("init")[0] == 0
    assert at_cabinet("init")[0] == 1
    assert at_cabinet("public-key", "--out", tmp_path / "cabinet.pub", "--name", "riverside")[0] == 0
    kerb(registry_cli.main, "public-key", "--out", tmp_path / "bench.pub", "--name", "bench")
    box = tmp_path / "box.kreg"
    status, out, _ = kerb(registry_cli.main, "export", "--for", tmp_path / "cabinet.pub", "--out", box)
    assert status == 0 and "1 nodes, export 0 for riverside" in out and box.stat().st_mode & 0o77 == 0
    status, _, err = at_cabinet("import", box)
    assert status == 1 and "not known here" in err and "--from" in err
    status, out, err = at_cabinet("import", box, "--from", tmp_path / "bench.pub", "--json")
    assert status == 0, err
    assert json.loads(out)["added"] == 1
    status, _, err = at_cabinet("import", box)
    assert status == 1 and "not newer" in err
    there = Registry(cabinet / "registry.sqlite")
    node = there.get(17)
    assert node is not None and there.secret(node) == SECRET
    there.close()
    status, _, err = kerb(registry_cli.main, "import", box)
    assert status == 1 and "not for this one" in err
    status, _, err = kerb(registry_cli.main, "import", tmp_path / "bench.pub")
    assert status == 1 and "no registry export" in err


def test_a_label_is_printed_again(kerb: Kerb, registry: Registry, tmp_path: Path) -> None:
    add(registry)
    status, out, _ = kerb(registry_cli.main, "label", 17)
    assert status == 0 and out.startswith("NODE 17\n")
    status, out, _ = kerb(registry_cli.main, "label", 17, "--out", tmp_path / "labels", "--json")
    assert json.loads(out)["code"] == "kerb:1/harbour/17"
    assert {path.suffix for path in (tmp_path / "labels").iterdir()} == {".txt", ".png"}


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (cli.bind, ["17"]), (cli.bind, ["x", "--asset", "a"]), (cli.bind, ["99", "--asset", "a"]),
        (cli.revoke, ["99"]), (cli.rekey, []), (cli.rekey, ["--site", "hill"]), (registry_cli.main, ["show"]),
        (registry_cli.main, ["mark", "99", "find"]), (registry_cli.main, ["label", "99"]),
        (registry_cli.main, ["export", "--for", "none.pub", "--out", "x"]), (registry_cli.main, ["import", "none"]),
        (registry_cli.main, ["public-key", "--name", "two words"]), (inventory_cli.main, ["import", "none.csv"]),
    ],
)  # fmt: skip
def test_each_refusal_has_a_way_out(kerb: Kerb, registry: Registry, verb: Callable[..., int], words: list[str]) -> None:
    add(registry)
    status, out, err = kerb(verb, *words)
    assert status == 1 and not out
    cause, hint = err.splitlines()
    assert cause.startswith("kerb: ") and hint.startswith("      ") and hint.strip()


def test_without_a_registry_the_way_to_make_one_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert registry_cli.main(["list", "--registry", str(tmp_path / "none.sqlite")]) == 1
    assert "kerb registry init" in capsys.readouterr().err


def test_a_cabinet_needs_no_package_of_the_bench(tmp_path: Path) -> None:
    """What a gateway host installs has neither mpremote nor pictures: its verbs of the registry run all the same."""
    program = (
        "import sys\nfor name in ('mpremote', 'segno', 'PIL', 'serial', 'rich'): sys.modules[name] = None\n"
        "from kerbtools.cli import main\n"
        f"path = {str(tmp_path / 'registry.sqlite')!r}\n"
        "for words in (['registry', 'init'], ['registry', 'list'], ['registry', 'public-key'], ['inventory', 'report']):\n"
        "    assert main([*words, '--registry', path]) == 0, words\n"
        "assert main(['registry', 'label', '1', '--registry', path]) == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "kerbstone[tools]" in done.stderr
