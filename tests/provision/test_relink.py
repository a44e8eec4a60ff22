"""`kerb links` on emulated boards: new links and secrets, and nothing else of a node in service."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from provision_harness import Kerb

from kerbgate.registry import Registry, states
from kerbtools.device import Device, DeviceError
from kerbtools.emulator import Board
from kerbtools.emulator.flash import Tear
from kerbtools.provision import cli, links, links_cli, relink, trial
from kerbtools.provision.errors import OrderError
from kerbtools.provision.found import CONFIG, COUNTERS, IDENTITY, Found, look

FORMER, FRESH = "lanterns and lamps", "a new broom 2026"
STREET = "mqtt://10.0.0.2/harbour"
ANSWER_S = 1.0
Boards = Callable[..., Board]
Plan = dict[str, bytes | None]


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def access(password: str, *names: str) -> links.Access:
    return links.Access(names or None, ("street", password))


def power_on(board: Board) -> None:
    board.start()
    board.world.advance(1)  # into the seconds after a cold boot in which USB answers


def in_service(board: Board, kerb: Kerb, wifi: Path) -> None:
    """A node that has taken a record, which waits, since nobody is there. The board is off."""
    power_on(board)
    words = ("--no-selftest", "--site", "harbour", "--set", "echoes=9", "--link", STREET, "--link", "serial:")
    status, _, err = kerb(cli.provision, "--port", board.usb_path, *words, "--wifi", wifi)
    assert status == 0, err
    board.world.advance(120)
    board.wait_line("taken")
    board.cut_power()


def kept(board: Board) -> dict[str, bytes]:
    """What no change of links may touch. The board is off."""
    names = [path for path in board.list_files() if "/node/outbox/" in path or path in (*COUNTERS, IDENTITY, CONFIG)]
    assert len(names) >= 5
    return {path: board.read_file(path) for path in names}


def there(board: Board, path: str) -> Any:
    return json.loads(board.read_file(path))


def test_a_new_password_keeps_the_records(
    emulated_board: Boards, kerb: Kerb, registry: Registry, tmp_path: Path
) -> None:
    board = emulated_board("pico_w")
    in_service(board, kerb, private(tmp_path / "wifi", f"street\n{FORMER}\n"))
    before = kept(board)
    assert links.LEARNT in board.list_files()  # it has found that nobody is there, and would leave that link alone
    wifi = private(tmp_path / "fresh", f"street\n{FRESH}\n")
    told = ""
    power_on(board)
    with Device.open(board.usb_path) as device:  # the run itself: what follows lets the node run on
        found = look(device, device.facts().unique_id)
        present = relink.present(device)
        assert found.waiting and present.links == (STREET, "serial:")
        relink.check_node(device.port, found, "harbour", registry)
        files = relink.plan(device.port, found, present, access(FRESH))
        done = relink.relink(device, present, files, tries=False)
        board.cut_power()
    assert (done.before, done.links, done.changed, done.removed) == ((STREET, "serial:"),) * 2 + (("wifi.json",), ())
    assert kept(board) == before and links.LEARNT not in board.list_files()
    assert there(board, links.WIFI) == {"ssid": "street", "password": FRESH}
    assert there(board, links.LINKS) == [STREET, "serial:"]
    lines = board.lines
    power_on(board)
    words = ("--port", board.usb_path, "--site", "harbour", "--no-selftest")
    status, out, err = kerb(links_cli.main, *words, "--wifi", wifi)
    told += out + err
    assert status == 0 and "nothing: it had all of this already" in out and "waiting: 1 record" in out
    board.world.advance(60)
    assert board.wait_line("^boot ([0-9a-f]{16}) ", after=lines)[1] in "".join(before)  # the same life goes on
    board.cut_power()
    lines = board.lines
    power_on(board)
    status, out, err = kerb(links_cli.main, *words, "--link", "serial:", "--json")
    told += out + err
    (row,) = json.loads(out)["boards"]
    assert status == 0 and row["links"] == ["serial:"] and row["removed"] == ["wifi.json"] and row["node"] == 1
    board.world.advance(60)
    board.wait_line("^boot ", after=lines)
    board.cut_power()
    assert not {links.WIFI, links.LEARNT} & set(board.list_files())
    assert board.read_file(IDENTITY) == before[IDENTITY] and board.read_file(CONFIG) == before[CONFIG]
    assert not any(secret in told for secret in (FORMER, FRESH))


def test_links_are_shown_and_tried(emulated_board: Boards, kerb: Kerb, registry: Registry, tmp_path: Path) -> None:
    board = emulated_board("pico_w")
    wifi = private(tmp_path / "wifi", f"street\n{FORMER}\n")
    power_on(board)
    assert kerb(cli.provision, "--port", board.usb_path, "--no-selftest", "--site", "harbour")[0] == 0
    board.cut_power()
    power_on(board)
    status, out, _ = kerb(links_cli.main, "--port", board.usb_path)
    assert status == 0 and "node 1 of harbour, waiting: 0 records" in out and "files    none" in out
    board.cut_power()
    power_on(board)
    words = ("--port", board.usb_path, "--link", STREET, "--wifi", wifi)
    status, _, err = kerb(links_cli.main, *words, "--site", "quay")
    assert status == 1 and "node 1 of harbour, not of quay" in err
    board.cut_power()
    assert links.LINKS not in board.list_files()
    power_on(board)
    status, out, err = kerb(links_cli.main, "--port", board.usb_path, "--link", "ble:", "--link", "serial:")
    assert status == 0 and "link:ble skip: not tried" in err
    assert "links    ble: serial:, were serial:" in out and "changed  links.json" in out
    board.cut_power()
    assert there(board, links.LINKS) == ["ble:", "serial:"]


@contextmanager
def at_hand(board: Board, kerb: Kerb, tmp_path: Path) -> Iterator[tuple[Device, relink.Present, Plan]]:
    """A node in service: its port, what is there, and what is to be written for a fresh Wi-Fi password."""
    in_service(board, kerb, private(tmp_path / "wifi", f"street\n{FORMER}\n"))
    power_on(board)
    with Device.open(board.usb_path) as device:
        there_now = relink.present(device)
        yield device, there_now, relink.plan(device.port, look(device, "ab"), there_now, access(FRESH))


@pytest.mark.soak  # time is real while somebody talks over USB, and nobody answers for 25 s
def test_a_link_that_cannot_be_had_is_told_and_stays_written(
    emulated_board: Boards, kerb: Kerb, registry: Registry, tmp_path: Path
) -> None:
    board = emulated_board("pico_w")
    with at_hand(board, kerb, tmp_path) as (device, there_now, files):
        waits = threading.Thread(target=board.world.advance, args=(60,))
        (row,) = relink.relink(device, there_now, files, say=lambda _: waits.start()).tried
        waits.join()
    assert (row.check, row.verdict) == ("link:mqtt", "fail") and "no access point street" in row.cause
    board.cut_power()
    assert there(board, links.WIFI)["password"] == FRESH


def test_a_board_that_goes_before_its_links_were_tried_has_them(
    emulated_board: Boards, kerb: Kerb, registry: Registry, tmp_path: Path
) -> None:
    board = emulated_board("pico_w")
    with at_hand(board, kerb, tmp_path) as (device, present, files):
        device.timeout_s = ANSWER_S
        done = relink.relink(device, present, files, say=lambda _: board.cut_power())
    assert done.changed == ("wifi.json",) and done.untried and done.stopped and not done.tried
    assert there(board, links.WIFI)["password"] == FRESH


def test_links_that_could_not_be_tried_are_told(
    emulated_board: Boards, kerb: Kerb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise DeviceError("The board does not answer.", "Plug it in again")

    board = emulated_board("pico_w")
    power_on(board)
    assert kerb(cli.provision, "--port", board.usb_path, "--no-selftest", "--site", "harbour")[0] == 0
    board.cut_power()
    monkeypatch.setattr(trial, "run", fail)
    for words in ((), ("--json",)):
        power_on(board)
        names = ("--link", "ble:", "--link", "serial:")
        status, out, err = kerb(links_cli.main, "--port", board.usb_path, *names, *words)
        assert status == 1
        if words:
            (row,) = json.loads(out)["boards"]
            assert row["untried"] and "error" not in row and row["links"] == ["ble:", "serial:"]
        else:
            assert "written all the same, but its links could not be tried: The board does not answer." in err
            assert "changed  links.json" in out
        board.cut_power()


def test_links_of_one_kind_are_told_apart(emulated_board: Boards, kerb: Kerb) -> None:
    board = emulated_board("pico_w")
    power_on(board)
    assert kerb(cli.provision, "--port", board.usb_path, "--no-selftest", "--site", "harbour")[0] == 0
    board.cut_power()
    power_on(board)
    names = ("--link", "ble:", "--link", "ble:?window_s=15", "--link", "serial:")
    status, out, _ = kerb(links_cli.main, "--port", board.usb_path, *names, "--json")
    assert status == 0
    (row,) = json.loads(out)["boards"]
    assert [tried["check"] for tried in row["tried"]] == ["link:ble (1 of 2)", "link:ble (2 of 2)"]


FOUND = Found("ab" * 8, "pico_w", "bin", 7, "harbour", 3)


@pytest.mark.parametrize(
    ("change", "site", "said"),
    [
        ({}, "quay", "node 7 of harbour, not of quay"),
        ({"node": None, "site": None}, None, "no identity"),
        ({"site": "hill"}, None, "registry knows another"),
        ({"unique_id": "cd" * 8}, None, "registry knows another"),
    ],
)
def test_another_node_is_refused(registry: Registry, change: dict[str, Any], site: str | None, said: str) -> None:
    from dataclasses import replace

    from kerbgate.registry import provisioning

    taken = provisioning.reserve(registry, unique_id="ab" * 8, site="harbour", role="bin", board="pico_w", address=7)
    provisioning.commit(
        registry, taken, bytes(16), site="harbour", role="bin", board="pico_w", settings={}, asset=None,
        replaces=None, start_hours=None,
    )  # fmt: skip
    relink.check_node("P", FOUND, "harbour", registry)
    with pytest.raises(relink.NotReady, match=said) as refused:
        relink.check_node("P", replace(FOUND, **change), site, registry)
    assert refused.value.hint
    registry.mark(7, states.STEAL)
    with pytest.raises(relink.NotReady, match="is stolen"):
        relink.check_node("P", FOUND, None, registry)


def test_what_is_not_brought_stays() -> None:
    secure = "mqtts://10.0.0.2:8883/harbour"
    there = relink.Present((secure, "serial:"), frozenset((links.LINKS, *links.SECRETS)))
    kinds = {path: data is not None for path, data in relink.plan("P", FOUND, there, access(FRESH)).items()}
    assert kinds == {links.LINKS: True, links.WIFI: True}
    files = relink.plan("P", FOUND, there, links.Access((STREET,)))  # without TLS nobody needs its files
    gone = {links.SINCE, links.AUTHORITY, links.CERTIFICATE, links.KEY}
    assert {path for path, data in files.items() if data is None} == gone and links.WIFI not in files
    for wanted, said in (
        (links.Access(None, None, {9: ("a", "b")}), "no line for node 7"),
        (links.Access(("serial:",), ("street", FRESH)), "no link that uses a network"),
        (links.Access((STREET,), None, {}, Path("ca.pem")), "no link that uses TLS"),
        (links.Access(("mqtts://10.0.0.3",)), "no authority is known"),
    ):
        few = relink.Present((STREET,), frozenset((links.LINKS, links.WIFI)))
        with pytest.raises(OrderError, match=said) as refused:
            relink.plan("P", FOUND, few, wanted)
        assert refused.value.hint


def test_without_a_registry_the_site_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--registry", str(tmp_path / "none"), "--port", str(tmp_path / "port"), "--link", "serial:"]
    assert links_cli.main(words) == 1
    assert "no site is named" in capsys.readouterr().err
    assert links_cli.main([*words, "--site", "harbour"]) == 1
    assert "There is no port" in capsys.readouterr().err


def sweep(board: Board, tear: Tear) -> int:
    """Cut at each write of a change until it gets through; what must stay stays each time, and the next run mends."""
    plans = [access(FRESH, STREET), access(FORMER, "serial:", STREET)]

    def run(wanted: links.Access, at_write: int | None) -> bool:
        power_on(board)
        with Device.open(board.usb_path) as device:
            found, present = look(device, device.facts().unique_id), relink.present(device)
            if at_write is not None:
                device.timeout_s = ANSWER_S
                board.cut_power(at_write=at_write, tear=tear)
            try:
                relink.relink(device, present, relink.plan("P", found, present, wanted), tries=False)
            except DeviceError:
                assert at_write is not None
                board.wait_off()
                return False
            board.cut_power()
        return True

    before = kept(board)
    for at_write in range(1, 100):
        finished = run(plans[at_write & 1], at_write)
        board.flash.restore()
        assert kept(board) == before
        for path in (links.LINKS, links.WIFI):
            there(board, path)  # whole, whichever it is
        if finished:
            return at_write - 1
        assert run(plans[at_write & 1], None) and kept(board) == before
        wanted = plans[at_write & 1]
        assert there(board, links.LINKS) == list(wanted.links or ()) and wanted.wifi is not None
        assert there(board, links.WIFI)["password"] == wanted.wifi[1]
    raise AssertionError("it never got through")


@pytest.mark.parametrize("tear", ["garbage", pytest.param("half", marks=pytest.mark.soak)])
def test_the_power_fails_at_each_write(emulated_board: Boards, kerb: Kerb, tmp_path: Path, tear: Tear) -> None:
    board = emulated_board("pico_w")
    in_service(board, kerb, private(tmp_path / "wifi", f"street\n{FORMER}\n"))
    assert 4 <= sweep(board, tear) < 40
