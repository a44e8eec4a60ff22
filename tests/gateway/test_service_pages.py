"""Metrics and health over real HTTP from a gateway in this process, and what a caller may not do."""

import asyncio
import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import GatewayProcess, Street, closing_all, until

from kerbgate.service import pages
from kerbgate.service.facts import INLET, OUTLET
from kerbgate.service.metrics import METRICS
from kerbgate.service.pages import HEAD_S, MAX_HEAD, PLACES, Page, Pages

PAGE = (Path(__file__).parents[2] / "gateway" / "SERVICE.md").read_text()
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+)\})? (-?[0-9.e+-]+)')
START = 1_772_323_200


def get(port: int, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, int]]:
    """A gateway with a street that delivered 8 records, an inlet and an outlet that are down."""
    port = free_port()
    folder = tmp_path_factory.mktemp("gateway")
    gateway = GatewayProcess(folder, inlets=["serial:/dev/kerb-absent"], broker_port=9, service_port=port)
    street = Street(gateway.register(range(1, 3)))
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{street.path}"\n')
    with closing_all(gateway, street):
        gateway.start()
        node = street.nodes[1]
        node.take(8, START)
        assert street.run(lambda: node.confirmed and not node.waiting)
        yield gateway, port


def samples(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """The text format, read strictly: HELP and TYPE before the samples of each family, each series once."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    kinds: dict[str, str] = {}
    family = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
            assert family not in found
            found[family] = {}
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == family
            kinds[family] = line.split(" ")[3]
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None and match[1] == family, line
            labels = tuple(re.findall(r'([a-z]+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            assert labels not in found[family]
            found[family][labels] = float(match[3])
    assert text.endswith("\n") and kinds == {metric.name: metric.kind for metric in METRICS}
    return found


def test_metrics_say_what_happened(running: tuple[GatewayProcess, int]) -> None:
    gateway, port = running

    def scraped() -> Any:
        status, kind, text = get(port, "/metrics")
        assert status == 200 and kind == "text/plain; version=0.0.4; charset=utf-8"
        found = samples(text)
        return found if found["kerbstone_outlet_waiting"][(("outlet", "council"),)] == 1 else None

    found = until(scraped, "what waits was counted")
    street = next(name for ((_, name),) in found["kerbstone_inlet_connected"] if "absent" not in name)
    assert found["kerbstone_inlet_connected"] == {(("inlet", "serial:/dev/kerb-absent"),): 0, (("inlet", street),): 1}
    assert found["kerbstone_inlet_committed_total"][(("inlet", street),)] >= 2
    assert found["kerbstone_ready"] == found["kerbstone_healthy"] == {(): 1}
    assert found["kerbstone_registry_nodes"] == {(): 2} and found["kerbstone_clock_synchronised"] == {(): 1}
    assert 1e6 < found["process_resident_memory_bytes"][()] < 256e6
    assert found["process_open_fds"][()] < 64 and found["kerbstone_store_size_bytes"][()] > 4096
    statm = int(Path(f"/proc/{gateway.pid}/statm").read_text().split()[1]) * 4096
    assert abs(statm - found["process_resident_memory_bytes"][()]) < 16e6


def test_labels_are_bounded_and_the_page_lists_every_metric(running: tuple[GatewayProcess, int]) -> None:
    assert {label for metric in METRICS for label in metric.labels} == {
        INLET, OUTLET, "reason", "code", "task", "state", "version", "python", "sqlite",
    }  # fmt: skip
    for metric in METRICS:
        unit = metric.name.removesuffix("_total")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not unit.endswith(("_ms", "_mb", "_kb")), "base units: seconds, bytes"
    rows = re.findall(r"^\| `(\w+)` \| (counter|gauge) \| (.*?) \| (.+) \|$", PAGE, re.M)
    assert rows == [
        (metric.name, metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.help)
        for metric in METRICS
    ]


def test_health_and_readiness(running: tuple[GatewayProcess, int]) -> None:
    _, port = running
    status, kind, text = get(port, "/health")
    body = json.loads(text)
    assert (status, kind, body["v"]) == (200, "application/json", 1) and body["status"] in ("ok", "degraded")
    assert get(port, "/ready")[::2] == (200, "ready\n")
    assert get(port, "/ready?x=1", "HEAD") == (200, "text/plain; charset=utf-8", "")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"DELETE /health HTTP/1.0\r\n\r\n", 405),
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../health HTTP/1.1\r\n\r\n", 404),
        (b"GET /%2e%2e/metrics HTTP/1.1\r\n\r\n", 404),
        (b"GET http://elsewhere/metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"GET /" + b"x" * 300 + b" HTTP/1.1\r\n\r\n", 400),
        (b"get /metrics HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 2000 + b"\r\n", 431),
        (b"GET /metrics HTTP/1.1\r\nA: " + b"x" * MAX_HEAD + b"\r\n\r\n", 431),
    ],
)
def test_nothing_else_is_answered(running: tuple[GatewayProcess, int], sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", running[1]), 10) as caller:
        caller.sendall(sent)
        try:
            said = caller.makefile("rb").readline()
        except ConnectionResetError:  # the rest of what was sent is not read
            said = b""
        if said or status != 431:
            assert said.split()[1] == b"%d" % status
            assert said.startswith(b"HTTP/1.1 ")


def served(work: Any) -> None:
    """Run `work(port)` in a thread against a page that answers at once."""

    async def main() -> None:
        async def make() -> Page:
            return Page(200, "text/plain", b"here\n")

        site = Pages("127.0.0.1", 0, {"/x": make})
        task = asyncio.create_task(site.run())
        async with asyncio.timeout(10):
            while site.port == 0:  # noqa: ASYNC110  # the socket is bound in the task's first turn
                await asyncio.sleep(0.001)
        await asyncio.to_thread(work, site.port)
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(main())


def test_callers_who_say_nothing_hold_a_place_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "HEAD_S", 0.5)

    def work(port: int) -> None:
        idle = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(PLACES)]
        try:
            assert get(port, "/x") == (200, "text/plain", "here\n")
            assert b" 408 " in idle[0].makefile("rb").readline()
        finally:
            for caller in idle:
                caller.close()

    assert HEAD_S > 0.5
    served(work)


def test_an_address_that_is_taken_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "BIND_AGAIN_S", 0.01)

    async def main() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            site = Pages("127.0.0.1", other.getsockname()[1], {})
            task = asyncio.create_task(site.run())
            async with asyncio.timeout(10):
                while site.unserved is None:  # noqa: ASYNC110  # state, not an event
                    await asyncio.sleep(0.001)
            assert "in use" in site.unserved
        async with asyncio.timeout(10):
            while site.unserved is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(main())
