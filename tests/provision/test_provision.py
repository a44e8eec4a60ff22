"""`kerb provision` and its kin on emulated boards: real USB port, real raw REPL, real file system."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from provision_harness import Kerb, shows

from kerbgate.registry import Asset, Registry, inventory
from kerbtools.emulator import Board
from kerbtools.provision import cli, registry_cli
from kerbtools.provision.found import CONFIG, COUNTERS, IDENTITY
from kerbwire import cbor

QUICK = ("--no-selftest", "--site", "harbour")
Boards = Callable[..., Board]


def identity_of(board: Board) -> dict[int, Any]:
    """The identity on its flash; the board is off after this."""
    board.cut_power()
    found = cbor.decode(board.read_file(IDENTITY))
    assert isinstance(found, dict)
    return found


def started(make: Boards, name: str = "pico_w", **options: Any) -> Board:
    board = make(name, **options)
    power_on(board)
    return board


def power_on(*boards: Board) -> None:
    """Started, and in the seconds after a cold boot in which a USB port answers."""
    for board in boards:
        board.start()
    boards[0].world.advance(1)


def life_of(board: Board, after: int = 0) -> str:
    """The life that it says at its boot; it has slept by the end of this."""
    board.world.advance(60)
    return board.wait_line(r"^boot ([0-9a-f]{16}) ", after=after)[1]


def test_a_blank_board_becomes_a_node(emulated_board: Boards, kerb: Kerb, registry: Registry, tmp_path: Path) -> None:
    board = started(emulated_board)
    begun = time.monotonic()
    status, out, err = kerb(
        cli.provision, "--port", board.usb_path, "--site", "harbour", "--asset", "bin 4", "--latitude", "51.5",
        "--longitude=-0.12", "--usrn", "12345678", "--set", "interval_s=600", "--labels", tmp_path / "labels",
    )  # fmt: skip
    print(f"one board with its self-test: {time.monotonic() - begun:.2f} s")
    assert status == 0, err
    assert "NODE 1" in out and "1 of 1 boards" in out and "self-test passed" in err
    card = registry.card(1)
    assert (card.state, card.asset, card.role, card.board, card.settings, card.unfinished) == (
        "bound", "bin 4", "bin", "pico_w", {"interval_s": 600}, False,
    )  # fmt: skip
    assert inventory.asset(registry, "bin 4") == Asset(
        asset="bin 4", site="harbour", role="bin", latitude=51.5, longitude=-0.12, usrn="12345678"
    )
    life_of(board)  # it runs
    node, identity = registry.get(1), identity_of(board)
    assert node is not None and identity == {1: 1, 2: registry.secret(node), 3: 0, 4: "harbour"}
    assert json.loads(board.read_file(CONFIG)) == {"interval_s": 600}
    assert {path.name for path in (tmp_path / "labels").iterdir()} == {"harbour-1.txt", "harbour-1.png"}
    assert shows(b"key " + identity[2].hex().encode(), [identity[2]])  # what the fixture looks for can be found


def test_a_second_time_it_is_the_same_node_with_a_new_secret_and_a_new_life(
    emulated_board: Boards, kerb: Kerb, registry: Registry
) -> None:
    board = started(emulated_board)
    assert kerb(cli.provision, "--port", board.usb_path, *QUICK)[0] == 0
    life = life_of(board)
    board.wait_line("taken")
    first = identity_of(board)
    assert set(board.list_files()) >= set(COUNTERS) and any("/node/outbox/" in path for path in board.list_files())
    lines = board.lines
    power_on(board)
    words = ("--port", board.usb_path, *QUICK, "--set", "echoes=9")
    status, _, err = kerb(cli.provision, *words)
    assert status == 1 and "holds 1 record " in err and "kerb links" in err and "--discard-records" in err
    assert life_of(board, after=lines) == life  # the same node: it was left running
    lines = board.lines
    board.cut_power()
    power_on(board)
    status, _, err = kerb(cli.provision, *words, "--discard-records")
    assert status == 0, err
    assert life_of(board, after=lines) != life
    second = identity_of(board)
    assert second[1] == first[1] == 1 and second[2] != first[2]
    assert not any(f"/node/outbox/{life}" in path for path in board.list_files())
    assert registry.card(1).provisions == 2 and registry.card(1).settings == {"echoes": 9}


def test_what_another_board_has_is_refused(emulated_board: Boards, kerb: Kerb, registry: Registry) -> None:
    registry.add(address=17, site="harbour", role="bin", board="pico_w", secret=bytes(range(16)))
    inventory.bind(registry, 17, Asset(asset="bin 4", site="harbour", role="bin"))
    board = started(emulated_board)
    status, _, err = kerb(cli.provision, "--port", board.usb_path, *QUICK, "--address", 17)
    assert status == 1 and "another board is node 17 already" in err and "--replace 17" in err
    status, _, err = kerb(cli.provision, "--port", board.usb_path, *QUICK, "--asset", "bin 4")
    assert status == 1 and "asset bin 4 has node 17 already" in err
    status, _, err = kerb(cli.provision, "--port", board.usb_path, *QUICK, "--role", "lamp")
    assert status == 1 and "has the firmware of a bin" in err and "kerb flash --role lamp" in err
    board.cut_power()
    assert IDENTITY not in board.list_files() and [card.address for card in registry.cards()] == [17]


def test_a_board_that_fails_its_self_test_stays_as_it_was(
    emulated_board: Boards, kerb: Kerb, registry: Registry
) -> None:
    board = emulated_board("pico_w")
    board.write_file("/lib/kerbnode/log.mpy", board.read_file("/lib/kerbnode/log.mpy") + b"\0")
    power_on(board)
    status, _, err = kerb(cli.provision, "--port", board.usb_path, "--site", "harbour")
    assert status == 1 and "failed its self-test: firmware" in err and "--no-self-test" in err
    board.cut_power()
    assert IDENTITY not in board.list_files() and registry.cards() == []


def test_a_board_without_firmware_and_a_port_without_a_board(
    emulated_board: Boards, kerb: Kerb, tmp_path: Path
) -> None:
    board = started(emulated_board, files={})
    status, _, err = kerb(cli.provision, "--port", board.usb_path, *QUICK)
    assert status == 1 and "no Kerbstone firmware" in err and "kerb flash" in err
    status, out, err = kerb(cli.provision, "--port", tmp_path / "none", *QUICK, "--json")
    assert status == 1 and not err
    (row,) = json.loads(out)["boards"]
    assert "no port" in row["error"] and row["hint"]


def test_a_replacement_takes_the_place_and_the_settings(emulated_board: Boards, kerb: Kerb, registry: Registry) -> None:
    old, new = emulated_board("pico_w"), emulated_board("esp32_c3")
    power_on(old, new)
    words = ("--asset", "bin 4", "--set", "empty_mm=900")
    assert kerb(cli.provision, "--port", old.usb_path, *QUICK, *words)[0] == 0
    status, out, err = kerb(cli.provision, "--port", new.usb_path, "--no-selftest", "--replace", 1)
    assert status == 0, err
    assert "NODE 2" in out and "bin 4" in out
    assert registry.card(1).state == "returned" and not registry.get(1).sealed  # type: ignore[union-attr]
    assert registry.card(2).asset == "bin 4" and registry.card(2).settings == {"empty_mm": 900}
    status, out, _ = kerb(registry_cli.main, "show", "--asset", "bin 4", "--json")
    assert [(row["node"], row["until_ms"] is None) for row in json.loads(out)["history"]] == [(1, False), (2, True)]
    assert identity_of(new)[1] == 2


def test_a_list_is_worked_off_in_batches(
    emulated_board: Boards, kerb: Kerb, registry: Registry, tmp_path: Path
) -> None:
    boards = [emulated_board("pico_w") for _ in range(3)]
    power_on(*boards)
    path = tmp_path / "list.csv"
    path.write_text(
        "asset,site,role,settings,address\nb1,harbour,bin,echoes=9,\nb2,harbour,bin,,40\nb3,harbour,bin,,\nb4,harbour,bin,,\n"
    )

    def ports(*some: Board) -> list[str]:
        return [word for board in some for word in ("--port", board.usb_path)]

    status, out, err = kerb(cli.provision, "--csv", path, *ports(*boards[:2]), "--no-selftest", "--json")
    assert status == 0, out
    assert [(row["node"]["address"], row["node"]["asset"]) for row in json.loads(out)["boards"]] == [
        (41, "b1"),
        (40, "b2"),
    ]
    for board in (boards[0], boards[2]):
        board.cut_power()
    power_on(boards[0], boards[2])
    status, _, err = kerb(cli.provision, "--csv", path, *ports(boards[2], boards[0]), "--no-selftest")
    assert status == 1 and "nothing is left for this board" in err  # the one that has its place already
    there = {item.asset: item.node for item in inventory.bindings(registry)}
    assert there == {"b1": 41, "b2": 40, "b3": 42}
    assert [identity_of(board)[1] for board in boards] == [41, 40, 42]


def test_rekey_gives_each_board_a_new_secret_and_names_who_waits(
    emulated_board: Boards, kerb: Kerb, registry: Registry
) -> None:
    board = started(emulated_board)
    assert kerb(cli.provision, "--port", board.usb_path, *QUICK, "--asset", "b1", "--set", "echoes=9")[0] == 0
    registry.add(address=40, site="harbour", role="bin", board="pico_w", secret=bytes(range(16)))
    registry.add(address=41, site="hill", role="bin", board="pico_w", secret=bytes(range(16)))
    life_of(board)
    before = identity_of(board)
    power_on(board)
    words = ("--site", "harbour", "--port", board.usb_path, "--quarantine", "--discard-records")
    status, out, err = kerb(cli.rekey, *words)
    assert status == 0, err
    assert "1 nodes wait" in out and re.search(r"^40 +quarantined", out, re.M)
    assert registry.card(1).state == "bound" and registry.card(1).settings == {"echoes": 9}
    assert registry.card(41).rekey_since_ms is None
    after = identity_of(board)
    assert after[1] == before[1] and after[2] != before[2]
    assert json.loads(board.read_file(CONFIG)) == {"echoes": 9}
    status, out, _ = kerb(cli.rekey, "--site", "harbour", "--json")
    assert status == 0 and [row["address"] for row in json.loads(out)["waiting"]] == [40]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "a", "--port", "b", "--site", "s"), "several ports take a list"),
        (("--port", "a"), "site is missing"),
        (("--port", "a", "--site", "s", "--latitude", "1", "--longitude", "1"), "no asset is named"),
        (("--port", "a", "--site", "s", "--asset", "x", "--latitude", "1"), "latitude and longitude"),
        (("--port", "a", "--site", "s", "--set", "speed=1"), "unknown setting speed"),
        (("--port", "a", "--replace", "9"), "node 9 never had an asset"),
        (("--csv", "none.csv", "--port", "a"), "cannot be read"),
        (("--csv", "none.csv", "--port", "a", "--site", "s"), "a list and options"),
    ],
)
def test_what_cannot_be_asked_for_is_told_before_any_port_is_opened(
    kerb: Kerb, words: tuple[str, ...], said: str
) -> None:
    status, _, err = kerb(cli.provision, *words)
    assert status == 1 and said in err and err.count("\n") == 2
