"""The systemd unit: what it says, what systemd's own tools say of it, and that a gateway lives within its sandbox."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from gateway_harness import START, Broker, GatewayProcess, Street, closing_all, until
from test_service_pages import free_port, get

from kerbgate import cli, config
from kerbgate.errors import ConfigError
from kerbgate.service import service, unit

TEXT = '[gateway]\nsite = "harbour"\nstate = "/var/lib/kerbstone"\n'
PATH = Path("/etc/kerbstone/gateway.toml")


def rendered(text: str = TEXT, path: Path = PATH, python: str = "/bin/sh", user: str = "kerbstone") -> str:
    return unit.render(config.parse(path, text.encode()), user=user, serial_group="dialout", python=python)


def directives(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed: the unit is only read, by the other tests")
    return subprocess.run([found, *words], capture_output=True, text=True, timeout=60, check=False)


def test_the_unit_says_what_it_must() -> None:
    said = directives(rendered())
    wanted = {
        "Type": "notify", "Restart": "always", "WatchdogSec": "60", "StartLimitIntervalSec": "0",
        "ExecStart": "/bin/sh -m kerbgate run --config /etc/kerbstone/gateway.toml",
        "StateDirectory": "kerbstone", "StateDirectoryMode": "0700", "UMask": "0077", "User": "kerbstone",
        "ProtectSystem": "strict", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "DevicePolicy": "closed",
        "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6", "MemoryMax": "384M", "MemoryDenyWriteExecute": "yes",
        "LimitCORE": "0", "ProtectHome": "yes", "PrivateTmp": "yes", "RestrictNamespaces": "yes",
    }  # fmt: skip
    assert {name: said[name][0] for name in wanted} == wanted
    assert "ProtectClock" not in said and "PrivateDevices" not in said
    assert "clock_adjtime" in said["SystemCallFilter"][-1]
    assert set(re.findall(r"@[a-z-]+", rendered())) == {"@system-service", "@privileged"}  # every place was filled in
    assert int(said["TimeoutStopSec"][0]) > service.STOP_S
    assert {row.split()[0] for row in said["DeviceAllow"]} == {
        "char-ttyACM", "char-ttyUSB", "char-ttyS", "char-ttyAMA",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"text": '[gateway]\nsite = "s"\n'}, "not below /var/lib"),
        ({"text": '[gateway]\nsite = "s"\nstate = "/var/lib"\n'}, "not below /var/lib"),
        ({"path": Path("/home/me/gateway.toml")}, "cannot reach the configuration"),
        ({"path": Path("/etc/a b/gateway.toml")}, "cannot reach the configuration"),
        ({"path": Path("/etc/%n/gateway.toml")}, "cannot reach the configuration"),
        ({"python": "/root/venv/bin/python"}, "cannot reach the Python"),
        ({"user": "a\nExecStartPre=/bin/x"}, "no name of a user"),
    ],
)
def test_a_unit_that_could_not_work_is_refused(arguments: dict[str, object], cause: str) -> None:
    with pytest.raises(ConfigError, match=cause) as caught:
        rendered(**arguments)  # type: ignore[arg-type]
    assert caught.value.hint


def test_the_verb_prints_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "_HIDDEN", ())  # this test's own folder is one that the unit hides
    path, to = tmp_path / "gateway.toml", tmp_path / "kerbstone.service"
    path.write_text(TEXT)
    assert cli.main(["service", "--config", str(path)]) == 0
    text = capsys.readouterr().out
    assert cli.main(["service", "--config", str(path), "--to", str(to)]) == 0
    said = capsys.readouterr().out
    assert (
        to.read_text() == text and "systemctl enable --now kerbstone" in said and list(tmp_path.iterdir()) == [to, path]
    )
    assert cli.main(["service", "--config", str(path), "--to", "/proc/x"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_systemd_reads_it_and_finds_it_tight(tmp_path: Path) -> None:
    path = tmp_path / "kerbstone.service"
    path.write_text(rendered())
    done = analyze("verify", "--man=no", str(path))
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
    done = analyze("security", "--offline=yes", "--no-pager", "--threshold=25", str(path))
    assert done.returncode == 0, (
        done.stdout
    )  # its scale goes from 0 to 10.0; 9 and more is "unsafe", and a plain unit has that
    (level,) = re.findall(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    print(f"exposure level {level}")


def allowed_calls() -> set[str]:
    """What the unit's filter lets through, resolved by systemd."""
    sets: dict[str, list[str]] = {}
    name = ""
    for line in analyze("syscall-filter", "--no-pager").stdout.splitlines():
        word = line.strip()
        if word.startswith("@") and not line.startswith(" "):
            name = word
            sets[name] = []
        elif word and not word.startswith("#"):
            sets[name].append(word)

    def resolve(word: str) -> set[str]:
        return set().union(*map(resolve, sets[word])) if word.startswith("@") else {word}

    allowed: set[str] = set()
    for row in directives(rendered())["SystemCallFilter"]:
        found = set().union(*map(resolve, row.lstrip("~").split()))
        allowed = allowed - found if row.startswith("~") else allowed | found
    return allowed


def test_a_gateway_lives_within_its_sandbox(tmp_path: Path, broker: Broker) -> None:
    """Every call of the kernel that a working gateway makes is one that the unit allows."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: apt-get install strace")
    allowed = allowed_calls()
    assert "openat" in allowed and "mount" not in allowed and "settimeofday" not in allowed
    port, trace = free_port(), tmp_path / "trace"
    gateway = GatewayProcess(
        tmp_path, inlets=[f"mqtt://localhost:{broker.port}/harbour"], broker_port=broker.port,
        wrap=[strace, "-f", "-qq", "-o", str(trace)], service_port=port,
    )  # fmt: skip
    gateway.config.write_text(gateway.config.read_text().replace('source = "trusted"', 'source = "system"'))
    street = Street(gateway.register(range(1, 3)))
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{street.path}"\n')
    with closing_all(gateway, street):
        gateway.start()
        node = street.nodes[1]
        node.take(8, START)
        assert street.run(lambda: node.confirmed and not node.waiting, 40)
        until(lambda: gateway.status()["outlets"][0]["delivered"], "delivered")
        assert "kerbstone_ready 1" in get(port, "/metrics")[2] and get(port, "/health")[0] == 200
        (child,) = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)  # strace itself takes none
        assert gateway._reap() == 0
    calls = trace.read_text(errors="replace")
    made = set(re.findall(r"^\d+ +(\w+)\(", calls, re.M))
    assert {"openat", "fdatasync", "accept4", "epoll_wait"} <= made and made & {"clock_adjtime", "adjtimex"}
    as_root = {"fchown"} if os.geteuid() == 0 else set()  # SQLite gives its log to the owner of its file, if it is root
    assert made - allowed - as_root == set()
    families = set(re.findall(r"socket\((AF_\w+)", calls))
    assert families - {"AF_NETLINK"} <= set(directives(rendered())["RestrictAddressFamilies"][0].split())
    assert not re.search(r"mmap\([^)\n]*PROT_WRITE\|PROT_EXEC", calls) and not re.search(  # a call may break off
        r"mprotect\([^)\n]*PROT_EXEC", calls
    )
    print(json.dumps({"calls": len(made), "allowed": len(allowed), "families": sorted(families)}))
