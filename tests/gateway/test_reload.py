"""Outlets that change while the gateway runs and rows flow: nothing lost, nothing doubled, and a bad file changes nothing."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forward_harness import a_broker
from gateway_harness import (
    DEADLINE_S,
    ENVIRONMENT,
    START,
    Broker,
    Council,
    GatewayProcess,
    Street,
    closing_all,
    taken_ids,
    until,
)

from kerbgate import config, control, pumps
from kerbgate.errors import ControlError
from kerbtools.simulate import SimulatedNode

OUTLET = '[[outlet]]\nname = "{name}"\nurl = "mqtt://127.0.0.1:{port}"\ntimeout_s = 2\nalarms = false\n'


class Site:
    """A gateway process with nodes on a serial line that go on sampling, and a configuration that is rewritten."""

    def __init__(self, folder: Path, nodes: int = 4):
        self.gateway = GatewayProcess(folder, inlets=[], broker_port=None)
        self.nodes: list[SimulatedNode] = self.gateway.register(range(1, nodes + 1))
        self.street = Street(self.nodes)
        self._head = self.gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{self.street.path}"\n'
        self._taken = 0

    def write(self, *outlets: str) -> None:
        self.gateway.config.write_text(self._head + "".join(outlets))

    def load(self) -> bool:
        """Each node has something to say; for `Street.run`."""
        for node in self.nodes:
            if node.waiting < 8:
                node.take(8, START + 60 * self._taken, 60)
        self._taken += 8
        return False

    def flow(self, until_true: Callable[[], Any], what: str) -> None:
        assert self.street.run(lambda: self.load() or until_true()), what

    def reload(self, *options: str) -> dict[str, Any]:
        done = self.kerb("reload", "--json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def kerb(self, verb: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run while the nodes go on talking."""
        child = subprocess.Popen(
            [sys.executable, "-m", "kerbgate", verb, "--config", str(self.gateway.config), *options],
            env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.street.run(lambda: self.load() or child.poll() is not None)
        out, err = child.communicate(timeout=DEADLINE_S)
        return subprocess.CompletedProcess([], child.returncode, out, err)

    def settle(self) -> set[str]:
        """Let the nodes deliver what they have; the ids of all records taken."""
        assert self.street.run(lambda: not any(node.waiting for node in self.nodes), 60)
        return taken_ids(self.nodes)


@contextlib.contextmanager
def a_council(port: int) -> Iterator[Council]:
    made = Council(port)
    assert made.subscribed.wait(DEADLINE_S)
    try:
        yield made
    finally:
        made.close()


def test_outlets_come_and_go_under_load_and_no_row_is_lost_or_doubled(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with (
        a_broker(tmp_path / "one") as one,
        a_broker(tmp_path / "two") as two,
        a_council(one.port) as council,
        a_council(two.port) as town,
        closing_all(site.gateway, site.street),
    ):
        first, second = OUTLET.format(name="council", port=one.port), OUTLET.format(name="town", port=two.port)
        site.write(first)
        site.gateway.start()
        site.flow(lambda: len(council.records) > 100, "records flow")

        site.write(first, second)
        assert site.reload() == {"added": ["town"], "removed": [], "changed": [], "restart": []}
        site.flow(lambda: len(town.records) > 100, "records flow to both")
        for window in (8, 64, 16):  # changed while its rows are under way
            site.write(first + f"window = {window}\n", second)
            assert site.reload()["changed"] == ["council"]
        site.write(second)
        assert site.reload()["removed"] == ["council"]
        before = len(council.records)
        site.flow(lambda: len(town.records) > before, "the other goes on")
        ids = site.settle()
        status = site.gateway.status()
        assert [outlet["name"] for outlet in status["outlets"]] == ["town"]
        at_town = set(town.records)
        until(lambda: site.gateway.status()["store"]["outbox"].get("town", 0) == 0, "the other has all")

        site.write(first, second)
        assert site.reload()["added"] == ["council"]
        more = len(council.records)
        site.flow(lambda: len(council.records) > more, "it goes on")
        ids = site.settle()
        until(lambda: site.gateway.status()["store"]["outbox"] == {}, "the outbox is empty")
        assert site.gateway.stop() == 0
    assert council.copies == 0 and council.changed == [] and town.copies == 0
    # One of the two was named at any time: so both together have all, and what the one lacks came while it was not named.
    assert council.records.keys() | town.records.keys() == ids
    assert at_town <= town.records.keys() and len(council.records) < len(ids) > len(town.records)


def test_what_waits_for_a_removed_outlet_is_kept_until_it_is_dropped_or_comes_back(tmp_path: Path) -> None:
    site = Site(tmp_path, nodes=1)
    with a_broker(tmp_path / "one") as one, a_council(one.port) as council, closing_all(site.gateway, site.street):
        away, here = OUTLET.format(name="away", port=9), OUTLET.format(name="council", port=one.port)
        site.write(away)
        site.gateway.start()
        site.flow(lambda: len(site.nodes[0].taken) > 40, "reports wait")
        kept = site.settle()
        waiting = site.gateway.status()["store"]["outbox"]["away"]
        assert waiting > 3
        done = site.kerb("reload", "--drop-outlet", "away")
        assert done.returncode == 1 and "the outlet away is configured and gets reports" in done.stderr
        site.write(here)
        site.reload()
        site.settle()
        status = site.gateway.status()
        waiting, kept = status["store"]["stranded"]["away"], kept | taken_ids(site.nodes)
        assert status["store"]["stranded"].keys() == {"away"}
        assert f"{waiting} reports wait for `away`" in site.kerb("status").stdout

        site.write(here, OUTLET.format(name="away", port=one.port))  # it is back, and reached
        site.reload()
        until(lambda: kept <= council.records.keys(), "all that had waited for it")
        site.flow(lambda: council.copies > 0, "two outlets, one broker")
        assert not council.changed
        site.settle()
        until(lambda: site.gateway.status()["store"]["outbox"] == {}, "the outbox is empty")

        site.write(away)
        site.reload()
        site.settle()
        site.write(here)
        site.reload()
        waiting = site.gateway.status()["store"]["outbox"].get("away", 0)
        site.flow(lambda: site.gateway.status()["store"]["records"] > 0, "it works")
        dropped = site.reload("--drop-outlet", "away")["dropped"]
        assert dropped == {"outlet": "away", "rows": waiting, "all": True}
        assert "away" not in site.gateway.status()["store"]["outbox"]
        assert "nothing waited for awy; `kerb gateway status`" in site.kerb("reload", "--drop-outlet", "awy").stdout
        assert site.gateway.stop() == 0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("[[outlet]]\nname = 3\n", ":18: name in outlet is not a string"),
        ('[[outlet]]\nname = "a"\nurl = "http://x"\n', "not of the form mqtt://host:port"),
        ('[[outlet]]\nname = "a"\nurl = "mqtt://x"\ncredentials = "none"\n', "cannot be read"),
        ("[[outlet]\n", "is not TOML"),
    ],
)
def test_a_bad_file_changes_nothing_and_says_what_and_where(
    tmp_path: Path, broker: Broker, bad: str, words: str
) -> None:
    site = Site(tmp_path, nodes=1)
    with a_council(broker.port) as council, closing_all(site.gateway, site.street):
        good = OUTLET.format(name="council", port=broker.port)
        site.write(good)
        site.gateway.start()
        site.flow(lambda: council.records, "records flow")
        before = site.gateway.status()["outlets"][0]["connections"]
        text = site.gateway.config.read_text()
        site.write(good, OUTLET.format(name="town", port=broker.port), bad)
        state = config.parse(site.gateway.config, text.encode()).gateway.state
        assert state.exists()
        with pytest.raises(ControlError) as caught:
            control.ask(state, "reload", timeout_s=20)
        assert words.split(":")[-1] in caught.value.cause and caught.value.hint
        os.kill(site.gateway._process.pid, signal.SIGHUP)  # type: ignore[union-attr]
        until(lambda: control.ask(state, "status")["status"]["tasks"].get("reload"), "the signal was heeded")
        site.gateway.config.write_text(text)
        more = len(council.records)
        site.flow(lambda: len(council.records) > more + 50, "records flow on")
        status = site.gateway.status()
        assert [outlet["name"] for outlet in status["outlets"]] == ["council"]
        assert status["outlets"][0]["connections"] == before
        assert site.gateway.stop() == 0


def test_sighup_reloads(tmp_path: Path, broker: Broker) -> None:
    site = Site(tmp_path, nodes=1)
    with a_council(broker.port) as council, closing_all(site.gateway, site.street):
        site.write()
        site.gateway.start()
        site.flow(lambda: len(site.nodes[0].taken) > 40, "reports wait for the first outlet")
        ids = site.settle()
        site.write(OUTLET.format(name="council", port=broker.port))
        os.kill(site.gateway._process.pid, signal.SIGHUP)  # type: ignore[union-attr]
        until(lambda: ids <= council.records.keys(), "the first outlet inherits what waited for one")
        site.gateway.config.write_text("nonsense")
        os.kill(site.gateway._process.pid, signal.SIGHUP)  # type: ignore[union-attr]

        def failed() -> Any:
            return control.ask(site.gateway.state, "status")["status"]["tasks"].get("reload", {}).get("last_error")

        until(failed, "the failure is in the status")
        assert "is not TOML" in failed()
        assert site.gateway.stop() == 0


def test_a_renewed_password_is_taken_up(tmp_path: Path) -> None:
    """The settings are the same; the file behind them is not."""
    site = Site(tmp_path, nodes=1)
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "kerb", "new"], check=True)
    passwords.chmod(0o644)
    lines = ("allow_anonymous false", f"password_file {passwords}")
    with a_broker(tmp_path / "one", *lines) as one, closing_all(site.gateway, site.street):
        secret = tmp_path / "secret"
        secret.write_text("kerb:old\n")
        secret.chmod(0o600)
        site.write(OUTLET.format(name="council", port=one.port) + 'credentials = "secret"\n')
        site.gateway.start()
        until(lambda: site.gateway.status()["outlets"][0]["last_error"], "it is refused")
        secret.write_text("kerb:new\n")
        assert site.reload()["changed"] == ["council"]
        until(lambda: site.gateway.status()["outlets"][0]["connected"], "it is let in")
        assert site.reload()["changed"] == []
        assert site.gateway.stop() == 0


def test_what_needs_a_restart_is_named(tmp_path: Path) -> None:
    text = '[gateway]\nsite = "s"\n[command]\noutlet = "a"\n[[outlet]]\nname = "a"\nurl = "mqtt://h"\n'
    old = config.parse(tmp_path / "c.toml", text.encode())
    new = config.parse(
        tmp_path / "c.toml",
        (text.replace("mqtt://h", "mqtt://other") + '[store]\nqueue = 7\n[[inlet]]\nurl = "serial:/dev/x"\n').encode(),
    )
    assert pumps.restarts(old, old) == []
    assert pumps.restarts(old, new) == [
        "[store] queue",
        "[[inlet]]",
        "[[outlet]] a, for the commands that come from it",
    ]
    said = pumps.plain({"added": [], "removed": ["b"], "changed": [], "restart": pumps.restarts(old, new)})
    assert said.splitlines()[:2] == ["removed: b", "needs a restart: [store] queue"]


def test_an_outlet_that_gets_roll_ups_only_from_now_on_gets_no_report_and_none_waits_for_it(
    tmp_path: Path, broker: Broker
) -> None:
    site = Site(tmp_path, nodes=1)
    with a_council(broker.port) as council, closing_all(site.gateway, site.street):
        raw = OUTLET.format(name="council", port=broker.port)
        site.write(raw)
        site.gateway.start()
        site.flow(lambda: len(council.records) > 20, "records flow")
        site.settle()
        until(lambda: site.gateway.status()["store"]["outbox"] == {}, "the outbox is empty")
        site.write(raw + 'send = "rollup"\nlevels = "day"\n')
        assert site.reload()["changed"] == ["council"]
        ids = site.settle()
        left = site.gateway.status()["store"]["stranded"].get("council", 0)  # committed while it was changed
        assert site.reload("--drop-outlet", "council")["dropped"] == {"outlet": "council", "rows": left, "all": True}
        before = set(council.records)
        site.flow(lambda: len(taken_ids(site.nodes)) > len(ids) + 40, "records are taken")
        site.settle()
        status = site.gateway.status()
        assert status["store"]["outbox"] == {} and status["store"]["records"] > len(ids)
        assert (status["outlets"][0]["send"], status["outlets"][0]["waiting"]) == ("rollup", 0)
        assert set(council.records) == before
        site.write(raw)
        site.reload()
        site.flow(lambda: set(council.records) != before, "and again from then on")
        assert site.gateway.stop() == 0
