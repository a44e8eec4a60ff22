"""Signs of life on real datagram sockets, as the service manager gets them."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerbgate.service.notify import Notifier


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "n") if request.param == "file" else f"@kerb-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name[1:] if name[0] == "@" else name)
        heard.settimeout(5)
        yield heard, name


def test_messages_are_those_of_sd_notify(manager: tuple[socket.socket, str]) -> None:
    heard, name = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000"})
    assert notifier.watchdog_s == 60
    notifier.ready()
    notifier.status("a\nb" + "x" * 500)
    notifier.alive()
    notifier.reloading()
    notifier.stopping()
    said = [heard.recv(4096).decode() for _ in range(5)]
    assert said[0] == "READY=1" and said[2] == "WATCHDOG=1" and said[4] == "STOPPING=1"
    assert said[1].startswith("STATUS=a bx") and len(said[1]) == 7 + 200
    first, second = said[3].split("\n")
    assert first == "RELOADING=1" and second.startswith("MONOTONIC_USEC=") and second[15:].isdecimal()
    assert (notifier.sent, notifier.unsent) == (5, 0)
    notifier.close()
    notifier.alive()
    assert notifier.sent == 5


def test_a_manager_that_reads_nothing_costs_no_wait(manager: tuple[socket.socket, str]) -> None:
    heard, name = manager
    notifier = Notifier(name)
    for _ in range(5000):
        notifier.alive()
    assert notifier.unsent > 0 and notifier.sent + notifier.unsent == 5000
    heard.close()
    notifier.alive()
    assert notifier.sent + notifier.unsent == 5001


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, None),
        ({"NOTIFY_SOCKET": "/" + "x" * 200}, None),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "9" * 30}, None),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
    ],
)
def test_an_environment_is_read_and_nobody_listening_is_no_error(
    environment: dict[str, str], watchdog_s: float | None
) -> None:
    notifier = Notifier.from_environment(environment)
    notifier.ready()
    assert notifier.sent == 0 and notifier.watchdog_s == watchdog_s
    notifier.close()
