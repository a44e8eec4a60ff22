"""What of a node's former life counts as waiting, and goes with a new identity; and whose board runs on after a failure."""

from binascii import crc32
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from provision_harness import Kerb

from kerbgate.registry import Registry
from kerbtools.device import Device
from kerbtools.emulator import Board
from kerbtools.provision import cli, links, links_cli
from kerbtools.provision.commission import commission, prepare
from kerbtools.provision.found import CONFIG, COUNTERS, DRAFT, HELD, IDENTITY, REGISTER, look, without_records
from kerbtools.provision.order import Order
from kerbtools.provision.street import STREET
from kerbwire import cbor

Boards = Callable[..., Board]
QUICK = ("--no-selftest", "--site", "harbour")
LIFE = b"12345678"
UTC_S = 1_800_000_000


def checked(value: Any) -> bytes:
    body = cbor.encode(value)
    return body + crc32(body).to_bytes(4, "big")


def power_on(*boards: Board) -> None:
    for board in boards:
        board.start()
    boards[0].world.advance(1)  # into the seconds after a cold boot in which USB answers


def node(board: Board, *, address: int = 1) -> None:
    """A node whose counters have begun a life, and whose outbox has no segment yet. It is off."""
    board.write_file(IDENTITY, cbor.encode({1: address, 2: bytes(range(16)), 3: 0, 4: "harbour"}))
    board.write_file(COUNTERS[0], checked({0: 1, 1: LIFE}))


def waiting(board: Board) -> int | None:
    power_on(board)
    with Device.open(board.usb_path) as device:
        found = look(device, device.facts().unique_id).waiting
    board.cut_power()
    return found


def register(*items: list[Any], last: int = UTC_S) -> bytes:
    """A lamp's /node/lamp: serial, what waits, seconds with light, habits, what its faults have learnt, last second."""
    return checked({0: 9, 1: list(items), 2: 7200, 3: [7, 2], 4: [1, b"learnt"], 5: last})


def test_a_node_just_after_its_first_start_has_no_segment(emulated_board: Boards, kerb: Kerb) -> None:
    board = emulated_board("pico_w")
    node(board)
    assert waiting(board) == 0
    power_on(board)
    status, out, err = kerb(links_cli.main, "--port", board.usb_path)
    assert status == 0 and "waiting: 0 records" in out, err


def test_what_a_lamp_has_yet_to_number_waits_too(emulated_board: Boards) -> None:
    board = emulated_board("pico_w", role="lamp")
    node(board)
    board.write_file(REGISTER, register([UTC_S, 0, {}, b"a"], [900, 3, {}, b"b"]))
    assert waiting(board) == 2
    held = [[UTC_S, 0, {}, b""], [900, 3, {}, b""]]
    board.write_file(HELD, checked([LIFE, held]))
    assert waiting(board) == 4
    board.write_file(HELD, checked([b"another.", held]))  # of another life it takes on only what has a date
    assert waiting(board) == 3
    board.write_file(HELD, checked([LIFE, held])[:-1])
    board.write_file(REGISTER, b"torn")
    assert waiting(board) == 0


def test_of_a_register_stays_what_belongs_to_the_luminaire() -> None:
    assert without_records(register([UTC_S, 0, {6: 1}, b"a"])) == register(last=0)
    assert without_records(checked({0: 9, 1: []})) is None and without_records(b"torn") is None


def test_a_lamp_under_a_new_identity_tells_nothing_of_the_former(
    emulated_board: Boards, kerb: Kerb, registry: Registry
) -> None:
    board = emulated_board("pico_w", role="lamp")
    node(board)
    board.write_file(REGISTER, register([UTC_S, 0, {}, b"a"]))
    board.write_file(REGISTER + ".burnt", checked(100))
    board.write_file(HELD, checked([LIFE, [[UTC_S, 0, {}, b""]]]))
    power_on(board)
    status, _, err = kerb(cli.provision, "--port", board.usb_path, *QUICK)
    assert status == 1 and "holds 2 records" in err and "--discard-records" in err
    board.cut_power()
    power_on(board)
    with Device.open(board.usb_path) as device:
        found = look(device, device.facts().unique_id)
        order = Order(site="harbour")
        commission(device, registry, prepare(device.port, found, registry, order, discards=True))
        board.cut_power()
    files = board.list_files()
    assert HELD not in files and not set(COUNTERS) & set(files)
    assert board.read_file(REGISTER) == register(last=0) and board.read_file(REGISTER + ".burnt") == checked(100)


def test_drafts_of_a_run_that_was_cut_are_gone(emulated_board: Boards, kerb: Kerb) -> None:
    board = emulated_board("pico_w")
    drafts = [path + DRAFT for path in (*links.SECRETS, links.LINKS, CONFIG, IDENTITY, STREET, REGISTER)]
    for path in drafts:
        board.write_file(path, b"lanterns and lamps")
    power_on(board)
    status, _, err = kerb(cli.provision, "--port", board.usb_path, *QUICK, "--link", "serial:")
    assert status == 0, err
    board.cut_power()
    assert not set(drafts) & set(board.list_files())


def runs(board: Board, after: int) -> None:
    """Its program starts: it was reset, and not left at its REPL."""
    board.world.advance(60)
    board.wait_line(r"^boot [0-9a-f]{16} ", after=after)


@pytest.mark.parametrize("fails", ["the list", "the line", "the self-test", "the look"])
def test_a_node_that_was_not_touched_runs_on(
    emulated_board: Boards, kerb: Kerb, registry: Registry, tmp_path: Path, fails: str
) -> None:
    board = emulated_board("pico_w")
    node(board)
    registry.add(address=5, site="harbour", role="bin", board="pico_w", secret=bytes(range(16)))
    sheet = tmp_path / "list.csv"
    words: tuple[object, ...] = ("--csv", sheet, "--no-selftest")
    if fails == "the list":
        sheet.write_text("site,address\nharbour,5\n")
        said = "every line of the file is done"
    elif fails == "the line":
        sheet.write_text("site,address,unique_id\nharbour,6,ffffffffffffffff\n")
        said = "nothing is left for this board"
    elif fails == "the self-test":
        board.write_file("/lib/kerbnode/log.mpy", board.read_file("/lib/kerbnode/log.mpy") + b"\0")
        words, said = ("--site", "harbour"), "failed its self-test: firmware"
    else:
        board.write_file("/bundle.json", b"{")
        words, said = ("--site", "harbour", "--no-selftest"), "no Kerbstone firmware"
    power_on(board)
    lines = board.lines
    status, _, err = kerb(cli.provision, "--port", board.usb_path, *words)
    assert status == 1 and said in err, err
    runs(board, lines)


def test_a_link_of_another_site_is_refused(emulated_board: Boards, kerb: Kerb, tmp_path: Path) -> None:
    for text in ("mqtt://10.0.0.2/quay", "mqtts://broker.example:8883/quay?name=a.example"):
        with pytest.raises(links.OrderError, match="names the site quay, and the node is of harbour") as refused:
            links.check_site(("serial:", text), "harbour")
        assert refused.value.hint == "leave the site out, or write /harbour"
    links.check_site(("mqtt://10.0.0.2", "mqtt://10.0.0.2:1883/harbour", "lora:868.1", "ble:"), "harbour")
    wifi = tmp_path / "wifi"
    wifi.write_text("street\nlanterns and lamps\n")
    wifi.chmod(0o600)
    board = emulated_board("pico_w")
    power_on(board)
    words = ("--port", board.usb_path, "--link", "mqtt://10.0.0.2/quay", "--wifi", wifi)
    status, _, err = kerb(cli.provision, *words, *QUICK)
    assert status == 1 and "leave the site out, or write /harbour" in err
    board.cut_power()
    assert IDENTITY not in board.list_files()
    power_on(board)
    assert kerb(cli.provision, "--port", board.usb_path, *QUICK)[0] == 0
    board.cut_power()
    power_on(board)
    status, _, err = kerb(links_cli.main, *words, "--no-selftest")
    assert status == 1 and "leave the site out, or write /harbour" in err
    board.cut_power()
    assert links.LINKS not in board.list_files()
