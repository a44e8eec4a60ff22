"""What the doctor says of a Bluetooth adapter: missing, another number, blocked, and what the gateway has noticed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kerbtools.field.checks import host, links
from kerbtools.field.findings import FAIL, OK, SKIPPED, Finding
from kerbtools.field.subject import RUNNING


def looked_at(urls: list[str], rows: list[dict[str, Any]] | None = None) -> list[Finding]:
    """The check on a configuration with these inlets, of which the running gateway says `rows`."""
    inlets = [SimpleNamespace(url=url) for url in urls]
    facts = None if rows is None else {"inlets": rows}
    subject: Any = SimpleNamespace(config=SimpleNamespace(inlets=inlets), facts=facts, mode=RUNNING if rows else "")
    return list(links.ble(subject))


def adapter(*names: str) -> None:
    for name in names:
        (host.ROOT / "sys/class/bluetooth" / name).mkdir(parents=True)


@pytest.fixture(autouse=True)
def no_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "ROOT", tmp_path)


def test_without_such_an_inlet_nothing_is_looked_at() -> None:
    assert [finding.verdict for finding in looked_at(["udp:0.0.0.0:5690"])] == [SKIPPED]


def test_an_adapter_that_is_not_there() -> None:
    (finding,) = looked_at(["ble:"])
    assert finding.verdict == FAIL and "no Bluetooth adapter" in finding.evidence and "lsusb" in finding.next
    adapter("hci0")
    (finding,) = looked_at(["ble:hci1"])
    assert finding.verdict == FAIL and "hci1 is not there; hci0 is" in finding.evidence
    assert any("another number" in cause for cause in finding.causes)
    assert [finding.verdict for finding in looked_at(["ble:", "ble:hci0"])] == [OK, OK]


def test_a_blocked_adapter() -> None:
    adapter("hci0")
    switch = host.ROOT / "sys/class/rfkill/rfkill0"
    switch.mkdir(parents=True)
    for name, text in (("type", "bluetooth"), ("hard", "0"), ("soft", "1")):
        (switch / name).write_text(text + "\n")
    (finding,) = looked_at(["ble:hci0"])
    assert finding.verdict == FAIL and finding.next == ("sudo rfkill unblock bluetooth",)


def test_what_the_gateway_has_noticed_is_told() -> None:
    adapter("hci0")
    row = {"name": "ble:hci0", "connected": False, "last_error": "hci0 hears nobody any more: check antenna"}
    (finding,) = looked_at(["ble:hci0"], [row])
    assert finding.verdict == FAIL and "hears nobody" in finding.evidence and finding.causes and finding.next
    (finding,) = looked_at(["ble:hci0"], [row | {"connected": True}])
    assert finding.verdict == OK
    radio = "ble:127.0.0.1:7?radio=virtual"
    (finding,) = looked_at([radio], [{"name": "ble:127.0.0.1:7", "connected": True, "last_error": None}])
    assert finding.verdict == OK and "virtual" in finding.evidence
