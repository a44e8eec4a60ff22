"""Links and their secrets: from files to the board, and to nowhere else."""

import json
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provision_harness import Kerb

from kerbnode.link import lora as node_lora
from kerbtools.device import cli as device_cli
from kerbtools.emulator import Board
from kerbtools.provision import cli, links
from kerbtools.provision.errors import NotReady, OrderError, ProvisionError

PASSWORD, SECRET = "lanterns and lamps", "hush-hush-9"
QUICK = ("--no-selftest", "--site", "harbour")


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def wifi(tmp_path: Path) -> Path:
    return private(tmp_path / "wifi", f"Straße 5\n{PASSWORD}\n")


def on(board: Board, path: str) -> object:
    return json.loads(board.read_file(path))


def test_links_and_secrets_reach_the_board_and_no_output(
    emulated_board: Callable[..., Board], kerb: Kerb, wifi: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = private(tmp_path / "broker", f"9 other:{SECRET}x\n\n1 node-1:{SECRET}\nall:nobody\n")
    board = emulated_board("pico_w")
    board.start()
    board.world.advance(1)
    told = ""
    status, out, err = kerb(
        cli.provision, "--port", board.usb_path, *QUICK, "--link", "mqtt://10.0.0.2/harbour", "--link", "serial:",
        "--wifi", wifi, "--broker", broker,
    )  # fmt: skip
    assert status == 0, err
    told += out + err
    board.world.advance(2)
    capsys.readouterr()
    assert device_cli.info(["--port", board.usb_path, "--json"]) == 0
    shown = capsys.readouterr()
    told += shown.out + shown.err
    assert json.loads(shown.out)["links"] == "mqtt://10.0.0.2/harbour serial:"
    for secret in (PASSWORD, SECRET, "node-1", "other"):
        assert secret not in told
    board.cut_power()
    assert on(board, links.LINKS) == ["mqtt://10.0.0.2/harbour", "serial:"]
    assert on(board, links.WIFI) == {"ssid": "Straße 5", "password": PASSWORD}
    assert on(board, links.BROKER) == {"user": "node-1", "password": SECRET}
    board.restore_power()
    board.world.advance(1)
    assert kerb(cli.provision, "--port", board.usb_path, *QUICK)[0] == 0  # a new secret: the links stay
    board.cut_power()
    assert on(board, links.WIFI) == {"ssid": "Straße 5", "password": PASSWORD}
    board.restore_power()
    board.world.advance(1)
    assert kerb(cli.provision, "--port", board.usb_path, *QUICK, "--link", "serial:")[0] == 0
    board.cut_power()
    assert on(board, links.LINKS) == ["serial:"] and not set(links.SECRETS) & set(board.list_files())


def test_a_role_has_the_links_that_its_firmware_speaks() -> None:
    links.check_board("P", "pico_w", "bin", ("ble:", "mqtt://10.0.0.2", "serial:"))
    with pytest.raises(NotReady, match="a lamp has no link ble:") as refused:
        links.check_board("P", "pico_w", "lamp", ("serial:", "ble:"))
    assert "serial:" in refused.value.hint


def test_a_list_names_links_of_its_own(
    emulated_board: Callable[..., Board], kerb: Kerb, wifi: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "nodes.csv"
    sheet.write_text("site,address,links\nharbour,5,mqtt://10.0.0.2\nharbour,6,\n")
    boards = [emulated_board("esp32_c3"), emulated_board("pico_w")]
    for board in boards:
        board.start()
    boards[0].world.advance(1)
    ports = [word for board in boards for word in ("--port", board.usb_path)]
    status, _, err = kerb(cli.provision, *ports, "--csv", sheet, "--no-selftest", "--wifi", wifi, "--link", "serial:")
    assert status == 0, err
    for board in boards:
        board.cut_power()
    assert [on(board, links.LINKS) for board in boards] == [["mqtt://10.0.0.2"], ["serial:"]]


def test_what_is_missing_is_told_before_the_board_is_touched(
    emulated_board: Callable[..., Board], kerb: Kerb, wifi: Path, tmp_path: Path
) -> None:
    board = emulated_board("pico_w")
    board.start()
    board.world.advance(1)
    for words, text in (
        (("--link", "mqtt://10.0.0.2"), "--wifi FILE"),
        (("--link", "mqtts://10.0.0.2", "--wifi", wifi), "--authority FILE"),
        (("--link", "mqtt://10.0.0.2", "--wifi", wifi, "--broker", private(tmp_path / "b", "7 a:b\n")), "no line for"),
        (("--link", "lora:868.1"), "has no lora"),
    ):
        if words[1] == "lora:868.1" and getattr(board.facts, "lora", None):
            continue
        status, _, err = kerb(cli.provision, "--port", board.usb_path, *QUICK, *words)
        assert status == 1 and text in err, err
        board.world.advance(1)
    board.cut_power()
    assert not {links.LINKS, links.WIFI, "/node/identity.cbor"} & set(board.list_files())


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("mqtt://broker..example/harbour", "names no broker"),
        ("mqtt://-broker.example/harbour", "names no broker"),
        ("mqtt:///harbour", "address"),
        ("mqtt://10.0.0.2:99999/harbour", "port"),
        ("mqtt://10.0.0.300/harbour", "names no broker"),
        ("mqtt://user:word@10.0.0.2/harbour", "address"),
        ("mqtt://10.0.0.2/Harbour", "address"),
        ("mqtt://10.0.0.2/harbour?name=x", "option"),
        ("mqtts://10.0.0.2/harbour?name=", "option"),
        ("mqtts://10.0.0.2/harbour?name=a&", "malformed"),
        ("serial:/dev/ttyS0", "address"),
        ("ble:here", "address"),
        ("lora:868.1?sf=13", "option sf"),
        ("lora:868.1?sf=7&sf=9", "option sf"),
        ("lora:868.1?spread=601", "option spread"),
        ("lora:868.1?power=15", "option power"),
        ("lora:869.525?power=23", "option"),
        ("lora:868.65", "frequency"),
        ("lora:869.3", "frequency"),
        ("lora:868.1?down=868.65", "down"),
        ("ble:?window_s=21", "option window_s"),
        ("lora:fast", "address"),
        ("udp:10.0.0.2", "scheme"),
        ("nonsense", "scheme"),
    ],
)
def test_a_string_that_is_not_understood_is_refused(text: str, cause: str) -> None:
    with pytest.raises(OrderError, match=cause) as refused:
        links.read_links([text])
    assert refused.value.hint


def test_of_an_option_the_hint_says_what_is_allowed() -> None:
    for text, allowed in (
        ("lora:868.1?sf=13", "sf is 7 to 12"),
        ("lora:868.1?spread=601", "spread is 0 to 600 seconds"),
        ("lora:868.1?power=15", "at most 14 dBm may be sent at 868.1 MHz"),
        ("lora:868.1?power=30", "power is a number from 0 to 22"),
        ("lora:868.65", "choose 868.1 to 868.5, or 869.525"),
        ("ble:?window_s=0", "window_s is 1 to 20 seconds"),
    ):
        with pytest.raises(OrderError) as refused:
            links.read_links([text])
        assert allowed in refused.value.hint, refused.value.hint


@given(
    st.sampled_from(("", "868.1", "868.3", "868.65", "869.525", "867.9", "869.3", "864.9", "870")),
    st.dictionaries(
        st.sampled_from(("sf", "power", "spread", "down")),
        st.sampled_from(("0", "6", "7", "9", "12", "13", "14", "15", "22", "23", "99", "600", "601", "869.525", "868")),
    ),
)
def test_what_is_let_through_is_what_the_node_opens(address: str, options: dict[str, str]) -> None:
    text = f"lora:{address}" + ("?" + "&".join(f"{name}={value}" for name, value in options.items()) if options else "")
    try:
        links.read_links([text])
    except OrderError:
        accepted = False
    else:
        accepted = True
    with pytest.raises((OSError, KeyError)) as told:  # next it wants its folder, and there is none here
        node_lora.opened(None, {"lora": {"spi": 0}}, address, options, None)
    assert accepted == isinstance(told.value, KeyError), (text, told.value)


def test_strings_that_are_understood() -> None:
    known = ("mqtts://10.0.0.2:8883/harbour?name=broker.example", "ble:?window_s=15", "lora:868.1?sf=9", "serial:")
    assert links.read_links(known) == known
    named = ("mqtts://broker.example/harbour", "mqtt://broker:1884")
    assert links.read_links(named) == named
    for wrong in (("serial:", "serial:"), tuple(f"lora:868.{n}" for n in range(5))):
        with pytest.raises(OrderError):
            links.read_links(wrong)


def test_files_of_secrets_must_be_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text, read in (
        ("", links.read_wifi),
        ("a\nb\nc\n", links.read_wifi),
        ("street\nshort\n", links.read_wifi),
        ("x" * 33 + "\npassword\n", links.read_wifi),
        ("", links.read_brokers),
        ("user\n", links.read_brokers),
        ("a:b\nc:d\n", links.read_brokers),
        ("70000 a:b\n", links.read_brokers),
        ("a:" + "x" * 65, links.read_brokers),
    ):
        with pytest.raises(OrderError) as refused:
            read(private(path, text))
        assert "short" not in str(refused.value) and "xxx" not in str(refused.value)
    assert links.read_wifi(private(path, "open network\n")) == ("open network", "")
    path.chmod(0o644)
    for read in (links.read_wifi, links.read_brokers):
        with pytest.raises(OrderError, match="others") as refused:
            read(path)
        assert "chmod 600" in refused.value.hint


def test_certificates_become_what_a_board_reads(tmp_path: Path) -> None:
    made = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
        "-subj", "/CN=depot", "-keyout", str(tmp_path / "5.key"), "-out", str(tmp_path / "5.crt"),
    ]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True, timeout=30)
    (tmp_path / "5.key").chmod(0o600)
    access = links.Access(
        ("mqtts://10.0.0.2",), ("street", ""), {}, tmp_path / "5.crt", str(tmp_path / "{node}.crt"),
        str(tmp_path / "{node}.key"),
    )  # fmt: skip
    files = access.files(5, ())
    der = ssl.PEM_cert_to_DER_cert((tmp_path / "5.crt").read_text())
    assert files[links.AUTHORITY] == files[links.CERTIFICATE] == der
    key = files[links.KEY]
    assert key is not None and key[:1] == b"\x30" and len(key) < 200
    (tmp_path / "der").write_bytes(der)
    assert (
        links.Access(("mqtts://10.0.0.2",), ("street", ""), {}, tmp_path / "der").files(5, ())[links.AUTHORITY] == der
    )
    with pytest.raises(ProvisionError, match=r"6\.crt cannot be read"):
        access.files(6, ())
    (tmp_path / "5.key").chmod(0o640)
    with pytest.raises(OrderError, match="others"):
        access.files(5, ())
    for wrong in (b"no certificate", b"-----BEGIN CERTIFICATE-----\nAA\n"):
        (tmp_path / "der").write_bytes(wrong)
        with pytest.raises(OrderError, match="certificate"):
            links.Access(("mqtts://10.0.0.2",), ("street", ""), {}, tmp_path / "der").files(5, ())
