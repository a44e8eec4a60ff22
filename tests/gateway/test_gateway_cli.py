"""The verbs: init, run, status, as processes; errors are one sentence and one hint, without a traceback."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import DEADLINE_S, ENVIRONMENT, SITE, START, GatewayProcess, Street, closing_all, until

from kerbgate import asking, cli, control, plain
from kerbgate.errors import ControlError
from kerbgate.settings import SETTINGS
from kerbwire import line


def kerb(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kerbgate", *arguments],
        env=ENVIRONMENT, cwd=cwd, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


def fails(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode not in (0, -11) and "Traceback" not in done.stderr
    for words in said:
        assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2 and done.stderr.startswith("kerb: ")


def test_init_writes_a_configuration_that_runs_and_never_overwrites(tmp_path: Path) -> None:
    done = kerb("init", "--site", SITE, cwd=tmp_path)
    assert done.returncode == 0 and "kerb gateway run" in done.stdout
    written = (tmp_path / "gateway.toml").read_text()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    fails(kerb("init", cwd=tmp_path), "exists already", "--force")
    assert (tmp_path / "gateway.toml").read_text() == written
    assert kerb("init", "--force", cwd=tmp_path).returncode == 0
    for option, value, said in (
        ("--site", "No Site", "--site 'No Site'"),
        ("--state", "/proc/nope", "/proc/nope"),
        ("--state", "~nosuchuser/x", "~nosuchuser/x"),
        ("--state", "", None),
        ("--inlet", "seriall:/dev/x", "seriall"),
        ("--outlet", "http://x", "mqtt://host:port"),
    ):
        done = kerb("init", "--config", "x.toml", option, value, cwd=tmp_path)
        if said is not None:
            fails(done, said)
            assert ".new" not in done.stderr
            assert not (tmp_path / "x.toml").exists()
        else:
            (tmp_path / "x.toml").unlink()  # nothing given: the default
    assert not (tmp_path / "x.toml").exists() and not list(tmp_path.glob("*.new"))


def test_errors_are_a_cause_and_a_hint(tmp_path: Path) -> None:
    fails(kerb("run", cwd=tmp_path), "no configuration can be read", "kerb gateway init")
    fails(kerb("status", cwd=tmp_path), "no configuration can be read", "kerb gateway init")
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\nsite = "s"\nstata = "x"\n')
    fails(kerb("run", cwd=tmp_path), "gateway.toml:3:", "did you mean 'state'?")
    config.write_text('[gateway]\nsite = "s"\n[[inlet]]\nurl = "serial:/dev/x?spede=1"\n')
    fails(kerb("run", cwd=tmp_path), "'spede'", "options here: baud")
    config.write_text('[gateway]\nsite = "s"\n[[outlet]]\nname = "c"\nurl = "http://x"\n')
    fails(kerb("run", cwd=tmp_path), "mqtt://host:port")
    config.write_text('[gateway]\nsite = "s"\nstate = "/proc/none"\n')
    fails(kerb("run", cwd=tmp_path), "/proc/none", "correct state")
    config.write_text('[gateway]\nsite = "s"\nstate = "fresh"\n')
    fails(kerb("status", cwd=tmp_path), "cannot be read", "kerb gateway run")
    assert kerb("fly", cwd=tmp_path).returncode == 2


def test_check_looks_at_everything_and_starts_nothing(tmp_path: Path) -> None:
    assert kerb("init", "--site", SITE, "--inlet", "serial:/dev/kerb-absent", cwd=tmp_path).returncode == 0
    before = sorted(path.name for path in (tmp_path / "state").iterdir())
    said = kerb("check", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    for words in ("inlet          serial:/dev/kerb-absent", "outlet         council", "0 nodes", "not there yet"):
        assert words in said.stdout
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == before
    config = tmp_path / "gateway.toml"
    good = config.read_text()
    for change, words in (
        (('# credentials = ""', 'credentials = "absent"'), "credentials file"),
        (("serial:/dev/kerb-absent", "serial:/dev/x?spede=1"), "options here: baud"),
        (('# registry = ""', 'registry = "elsewhere.sqlite"'), "there is no registry"),
        (('# source = "system"', 'source = "shared:/absent"'), "shared clock"),
        (('# address = "127.0.0.1"', 'address = "localhost"'), "an address of this host"),
    ):
        config.write_text(good.replace(*change))
        assert config.read_text() != good
        fails(kerb("check", cwd=tmp_path), words)


def test_settings_are_printed_for_people_and_programs(tmp_path: Path) -> None:
    page = kerb("settings", cwd=tmp_path).stdout
    rows = json.loads(kerb("settings", "--json", cwd=tmp_path).stdout)
    assert len(rows) == page.count("\n| `[") == len(SETTINGS)
    for row in rows:
        default = json.dumps(row["default"]) if isinstance(row["default"], bool) else row["default"]
        assert f"{row['section']}]" in page and (not row["default"] or f"`{default}`" in page)


def running(tmp_path: Path) -> tuple[GatewayProcess, Street]:
    gateway = GatewayProcess(tmp_path, inlets=["serial:/dev/kerb-absent"], broker_port=None)
    street = Street(gateway.register(range(1, 3)))
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "{street.path}"\n')
    return gateway, street


def test_status_while_it_runs_and_when_it_is_stopped(tmp_path: Path) -> None:
    gateway, street = running(tmp_path)
    with closing_all(gateway, street):
        gateway.start()
        nodes = list(street.nodes.values())
        nodes[0].take(8, START)
        assert street.run(lambda: nodes[0].confirmed and nodes[1].confirmed and not nodes[0].waiting)
        replayed = nodes[0]._seal(b"\x82\x07\xa0", (0,))
        for data in (
            b"\x00junk\x00",
            line.encode(replayed),
            line.encode(replayed),
            line.encode(bytes(30)),
            line.encode(b"\x00"),
        ):
            os.write(street.master, data)
        found = until(
            lambda: _if(gateway.status(), lambda s: s["inlets"][1]["frames"] >= 9 and s["store"]["undecoded"]),
            "all seen",
        )
        absent, present = found["inlets"]
        assert not absent["connected"] and "cannot be opened" in absent["last_error"]
        assert present["connected"] and present["noise"] >= 1
        assert present["refused"] == {"duplicate": 1, "malformed": 2}
        assert found["running"] and found["clock"] == {"source": "trusted", "synchronised": True}
        assert found["store"]["undecoded_reasons"] == {"unknown kind": 1}
        assert [(node["node"], node["committed"]) for node in found["nodes"]] == [(1, 8), (2, 0)]
        text = kerb("status", "--config", str(gateway.config), cwd=tmp_path).stdout
        assert found["intake"] == {"undecoded": 1, "skipped_fields": 0, "failures": 0, "last_error": None}
        for words in ("up ", "refused: 1 duplicate", "refused: 2 malformed", "1 undecoded", "node      1 (bin): seen"):
            assert words in text
        assert gateway.stop() == 0
        assert not (gateway.state / "control.sock").exists()
        stopped = gateway.status()
        assert not stopped["running"] and stopped["nodes"] == found["nodes"]
        assert "NOT running" in kerb("status", "--config", str(gateway.config), cwd=tmp_path).stdout


def test_a_gateway_that_does_not_answer_is_not_called_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway, street = running(tmp_path)
    with closing_all(gateway, street):
        gateway.start()
        process = gateway._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(asking, "ASK_TIMEOUT_S", 0.2)
        assert cli.main(["status", "--config", str(gateway.config)]) == 1
        said = capsys.readouterr()
        assert f"process {process.pid} holds the store but does not answer" in said.err and not said.out
        process.send_signal(signal.SIGCONT)
        assert gateway.stop() == 0
    assert cli.main(["status", "--config", str(gateway.config)]) == 0
    assert "NOT running" in capsys.readouterr().out


def test_reports_that_wait_for_an_outlet_that_is_gone_are_shown(tmp_path: Path) -> None:
    gateway, street = running(tmp_path)
    with closing_all(gateway, street):
        gateway.config.write_text(gateway.config.read_text() + OUTLET.format("council"))
        gateway.start()
        node = street.nodes[1]
        node.take(8, START)
        assert street.run(lambda: node.confirmed and not node.waiting)
        assert gateway.stop() == 0
        gateway.config.write_text(gateway.config.read_text().replace('"council"', '"town"'))
        gateway.start()
        assert gateway._process is not None and gateway._process.stdout is not None
        words = "1 reports wait for `council`, which is no outlet that gets reports"
        assert words in gateway._process.stdout.readline().decode()
        assert gateway.status()["store"]["stranded"] == {"council": 1}
        assert words in kerb("status", "--config", str(gateway.config), cwd=tmp_path).stdout
        assert gateway.stop() == 0
        assert words in kerb("status", "--config", str(gateway.config), cwd=tmp_path).stdout


OUTLET = '[[outlet]]\nname = "{}"\nurl = "mqtt://127.0.0.1:9"\n'  # the discard port: nobody listens


def _if(value: Any, good: Any) -> Any:
    return value if good(value) else None


def test_a_second_gateway_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    gateway, street = running(tmp_path)
    with closing_all(gateway, street):
        gateway.start()
        fails(
            kerb("run", "--config", str(gateway.config), cwd=tmp_path), "in use by process", "stop that gateway first"
        )
        assert gateway.status()["running"]


def test_a_gateway_starts_over_the_leavings_of_a_kill(tmp_path: Path) -> None:
    gateway, street = running(tmp_path)
    with closing_all(gateway, street):
        gateway.start()
        gateway.kill()
        assert (gateway.state / "control.sock").exists()
        assert not gateway.status()["running"]
        gateway.start()
        assert gateway.status()["running"]


def ask(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(str(path))
        client.sendall(data)
        with contextlib.suppress(ConnectionError):
            return client.makefile("rb").readline()
        return b""


@pytest.fixture
def short_path() -> Any:
    """A folder whose path fits into a socket's address."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="kerb"))
    yield folder
    shutil.rmtree(folder)


def test_the_control_socket_is_private_and_survives_nonsense(short_path: Path) -> None:
    gateway, street = running(short_path)
    with closing_all(gateway, street):
        gateway.start()
        path = gateway.state / "control.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for data, cause in (
            (b"\n", "not JSON"),
            (b"{}\n", "another version"),
            (b"[]\n", "another version"),
            (b'{"v":1,"op":"reboot"}\n', "not known"),
            (b"[" * 4000 + b"\n", "not JSON"),
            (b"x" * 100_000, "too long"),
        ):
            answer = ask(path, data)
            if answer or cause != "too long":  # the rest of a long line may reset the connection
                refusal = json.loads(answer)
                assert refusal["ok"] is False and cause in refusal["error"]["cause"] and refusal["error"]["hint"]
        assert json.loads(ask(path, b'{"v":1,"op":"status"}\n'))["status"]["running"]


def test_a_state_folder_with_a_long_path_has_a_socket_too(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    folder.mkdir(parents=True)
    gateway = GatewayProcess(folder, inlets=[], broker_port=None)
    with closing_all(gateway):
        gateway.start()
        assert gateway.status()["running"]


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(ControlError) as caught:
        control.ask(tmp_path, "status")
    assert "kerb gateway run" in caught.value.hint


def test_spans_and_sizes_are_said_in_words_of_the_field() -> None:
    assert [plain.span(s) for s in (-1, 5, 200, 7200, 200000)] == ["0 s", "5 s", "3 min", "2 h", "2 d"]
    assert [plain.size(n) for n in (5, 20_000, 20_000_000)] == ["5 bytes", "20 KB", "20 MB"]
