"""A power cut is more than a kill: what was acknowledged must be on the disk, not only in the page cache.

The gateway runs under strace while simulated nodes report. At many places of the log the store's files are rebuilt as
a power cut there would leave them, and every record that was acknowledged before must be in them.
"""

import contextlib
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from gateway_harness import SITE, START, GatewayProcess, Street, closing_all, secret_of
from power_log import STRACE, VARIANTS, PowerCut, read_log
from test_store_schema import frozen, thaw

from kerbgate import decoding
from kerbgate.config import StoreSettings
from kerbgate.store import Reader, Store, schema
from kerbtools.simulate import SimulatedNode
from kerbwire import frame, line, messages, seal
from kerbwire.messages import Ack, Report

OTHER_PLACES = 30  # cuts at places that are not just after an ack
NO_BROKER = 9  # the discard port: nobody listens, so that everything stays in the outbox

Key = tuple[int, int]  # (node address, index)
FORWARDED = (
    "SELECT node, first, count FROM report JOIN life USING (life_id) WHERE first IS NOT NULL AND life.state='confirmed'"
    " AND report_id NOT IN (SELECT report_id FROM outbox)"
)


pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: apt-get install strace"
)


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_everything_acknowledged_survives_a_power_cut(tmp_path: Path, synchronous: str) -> None:
    lost = run_and_cut(tmp_path, synchronous, records=40, other_places=OTHER_PLACES)
    if synchronous == "FULL":
        assert lost == []
    else:
        assert lost, "the procedure did not notice that NORMAL leaves acknowledged records in the page cache"


@pytest.mark.parametrize("number", [*frozen(), schema.version()])
def test_a_store_of_each_schema_survives_a_power_cut_on_its_way_up(tmp_path: Path, number: int) -> None:
    assert run_and_cut(tmp_path, "FULL", records=12, other_places=60, number=number) == []


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_everything_acknowledged_survives_thousands_of_power_cuts(tmp_path: Path) -> None:
    assert run_and_cut(tmp_path, "FULL", records=400, other_places=3000) == []


def run_and_cut(
    tmp_path: Path, synchronous: str, *, records: int, other_places: int, number: int | None = None
) -> list[str]:
    """Run the gateway twice under strace with nodes that take `records` each time; returns what cuts would lose.

    number: begin with a store of this schema, with what it holds; None: with none.
    """
    log = tmp_path / "strace.log"
    gateway = GatewayProcess(
        tmp_path,
        inlets=[],
        broker_port=NO_BROKER,
        wrap=["strace", *STRACE, "-o", str(log)],
        synchronous=synchronous,
        commit_interval_ms=0,
        checkpoint_pages=24,  # so that checkpoints, which move the log into the main file, happen in mid-flow
    )
    before: dict[str, bytes] = {}
    if number is not None:
        thaw(gateway.state / "store.sqlite", number)
        before["store.sqlite"] = (gateway.state / "store.sqlite").read_bytes()
    nodes = gateway.register(range(1, 4))
    street = RecordedStreet(nodes)
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{street.path}"\n')
    with closing_all(gateway, street):
        for _ in range(2):  # the second gateway begins with what a kill of the first left
            for node in nodes:
                node.batch = 4
                node.take(records, START + 3600 * len(node.taken))
            gateway.start()
            assert street.run(lambda: not any(node.waiting for node in nodes), 120)
            gateway.kill()

    calls = read_log(log.read_text())
    acks = acknowledged(calls, street)
    assert len(acks) > records
    return cuts_that_lose(tmp_path, calls, acks, other_places, before)


class RecordedStreet(Street):
    """Remembers which records each sequence number of each node carried."""

    def __init__(self, nodes: list[SimulatedNode]):
        super().__init__(nodes)
        self.carried: dict[tuple[int, int], list[int]] = {}

    def _send(self, data: bytes | None) -> None:
        super()._send(data)
        if data is not None:
            header = frame.parse(data)
            node = self.nodes[header.node]
            key = seal.uplink_key(secret_of(header.node), header.node, node.life)
            message = messages.decode(key.open(data, header), frame.UP, node.near)
            indices = [record.index for record in message.records] if isinstance(message, Report) else []
            self.carried[header.node, header.seq] = indices


def acknowledged(calls: list, street: RecordedStreet) -> list[tuple[int, set[Key]]]:
    """(place in the log, records acknowledged by then) for each ack that began to leave."""
    reader = line.Reader()
    done: set[Key] = set()
    out: list[tuple[int, set[Key]]] = []
    for call in calls:
        if call.name == "write" and call.path == street.device:
            for data in reader.feed(call.data):
                header = frame.parse(data)
                life = street.nodes[header.node].life
                key = seal.downlink_key(secret_of(header.node), life, header.context)
                message = messages.decode(key.open(data, header), frame.DOWN)
                if isinstance(message, Ack):
                    for number in message.committed:
                        done.update((header.node, index) for index in street.carried[header.node, number])
                    out.append((call.begin, set(done)))
    return out


def cuts_that_lose(
    folder: Path, calls: list, acks: list[tuple[int, set[Key]]], other_places: int, before: dict[str, bytes]
) -> list[str]:
    """Cut the power at every ack and at seeded other places, in each variant; says where a record was missing."""
    rng = random.Random("cuts")
    last = calls[-1].begin
    places = sorted({place + 1 for place, _ in acks} | {rng.randrange(last) for _ in range(other_places)})
    if before:  # and all through the steps, which come first
        first = acks[0][0]
        places = sorted({*places, *(rng.randrange(calls[0].begin, first) for _ in range(other_places))})
    held = found_in(folder, before)
    names = ("store.sqlite", "store.sqlite-wal", "store.sqlite-journal", "store.sqlite.mark")
    cut = PowerCut(calls, folder / "state", names, before)
    lost: list[str] = []
    for place in places:
        cut.advance(place)
        required = held | max((done for at, done in acks if at < place), key=len, default=set())
        for variant in VARIANTS:
            missing = required - found_in(folder, cut.files(variant, rng))
            if missing:
                lost.append(f"cut at {place}, unsynced writes {variant}: {len(missing)} records missing")
    return lost


def found_in(folder: Path, files: dict[str, bytes]) -> set[Key]:
    """The records that these files hold."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else folder) as left:  # a sync costs nothing there
        for name, content in files.items():
            (Path(left) / name).write_bytes(content)
        return found(Path(left) / "store.sqlite")


def found(path: Path) -> set[Key]:
    """The records that a store holds: committed, readable, and waiting for the council or forwarded before."""
    store = Store(
        path, outlets=["council"], settings=StoreSettings(), post=lambda delivery: None, decode=decoding.read_again
    )
    try:
        with contextlib.closing(Reader(path)) as reader:
            ranges = {
                (node["node"], index)
                for node in reader.nodes()
                for first, last in reader.committed(node["node"], bytes.fromhex(node["life"]))
                for index in range(first, last + 1)
            }
            rows = {row.report_id: row for name in ("council", "archive") for row in reader.waiting(name, 0, 100_000)}
            gone = {
                (node, index)
                for node, first, count in reader._db.execute(FORWARDED)
                for index in range(first, first + count)
            }
    finally:
        store.stop()
    readable = gone
    for row in rows.values():
        report = decoding.read(row.message, row.near)
        assert isinstance(report, Report) and row.site == SITE
        readable.update((row.node, record.index) for record in report.records)
    assert readable == ranges  # one transaction: never one without the other
    return ranges
