"""What is measured of each gateway: speed, latency, start, memory, a slow uplink, and what a kill -9 loses or doubles.

Load and collector run in this process; each scenario has its own brokers, gateway and folder. Messages are made before
the clock starts; documents are read after it stopped. Everything waits with a deadline.
"""

import asyncio
import contextlib
import math
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

from kerbtools.bench.gateways.brokers import Broker
from kerbtools.bench.gateways.load import Collector, Publisher
from kerbtools.bench.gateways.subjects import SITE, Message, Ours, Subject
from kerbtools.bench.gateways.way import Way

BULK = 10_000  # messages of the speed row
STEADY_PER_S = 200
STEADY = 2_000  # messages of the latency row: 10 s
KILL = 5_000  # messages of a kill row
BACKLOG = 1_000  # messages of the drain row; with 24 records a message it is 24 hours of 1,000 nodes
SLOW_DELAY_S = 0.025  # each way, to the slow broker
QUIET_S = 8.0  # so long nothing more came: the gateway is done. thingsboard-gateway's pauses are shorter
DEADLINE_S = 180.0
START_DEADLINE_S = 60.0
SETTLE_S = 2.0

Make = Callable[[Path, int, int], Subject]


@dataclass(slots=True)
class Stage:
    """A running scenario."""

    subject: Subject
    council: Broker
    way: Way | None
    publisher: Publisher
    collector: Collector
    came: asyncio.Event

    async def wait(self, condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait for something to arrive that makes the condition true; TimeoutError says what did not happen."""
        try:
            async with asyncio.timeout(deadline_s):
                while not condition():
                    self.came.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.2):
                            await self.came.wait()
                    self.subject.check()
        except TimeoutError as error:
            raise TimeoutError(f"{self.subject.name}: not in {deadline_s} s: {what}") from error

    async def quiet(self, deadline_s: float = DEADLINE_S) -> None:
        """Wait until everything expected came, or nothing has come for QUIET_S."""
        end = time.monotonic() + deadline_s
        expected = self.subject.expected()
        while time.monotonic() < end:
            before = len(self.collector.received)
            if before and set(self.ids()) >= expected:
                await asyncio.sleep(1.0)  # a copy may still follow
                return
            await asyncio.sleep(QUIET_S if before else QUIET_S * 2)
            if len(self.collector.received) == before:
                return

    def ids(self) -> Counter[str]:
        return Counter(ident for _, document in self.collector.received for ident in self.subject.ids(document))

    async def publish(self, messages: list[Message], per_second: float | None = None) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.publisher.publish(messages, per_second)


@contextlib.asynccontextmanager
async def stage(make: Make, *, delay_s: float | None = None) -> AsyncGenerator[Stage]:
    """Two brokers, a gateway that forwards, a publisher and a collector; all gone at the end.

    delay_s: a relay stands before the council's broker, which is late by so much each way and can be closed.
    """
    with tempfile.TemporaryDirectory(prefix="kerb-bench-") as name:
        folder = Path(name)
        field, council = Broker(folder, "field"), Broker(folder, "council")
        subject: Subject | None = None
        collecting: list[asyncio.Task[None]] = []
        try:
            field.start()
            council.start()
            async with contextlib.AsyncExitStack() as stack:
                way = None
                if delay_s is not None:
                    way = await stack.enter_async_context(Way(council.port, delay_s))
                subject = make(folder / "gateway", field.port, way.port if way else council.port)
                subject.prepare()
                came = asyncio.Event()
                collector = Collector(council.port, "collector", "#", came.set, subject.answer)
                collecting.append(asyncio.create_task(collector.run()))
                await asyncio.wait_for(collector.subscribed.wait(), START_DEADLINE_S)
                made = Stage(subject, council, way, Publisher(subject.field_port, "nodes"), collector, came)
                subject.start()
                await _greet(made)
                yield made
        finally:
            for task in collecting:
                task.cancel()
            if subject is not None:
                subject.kill()
            field.stop()
            council.stop()


async def _greet(made: Stage) -> None:
    """Confirm our nodes' lives; then one reading through, so that every gateway is warm and connected."""
    subject = made.subject
    answers = Collector(subject.field_port, "answers", f"kerb/1/{SITE}/down/+", made.came.set)
    hearing = asyncio.create_task(answers.run())
    try:
        await asyncio.wait_for(answers.subscribed.wait(), START_DEADLINE_S)
        async with asyncio.timeout(START_DEADLINE_S):
            while greetings := subject.greet():
                answers.received.clear()
                due = len(greetings)
                await made.publish(greetings)
                with contextlib.suppress(TimeoutError):  # the broker drops what comes before the gateway's subscription
                    await made.wait(lambda due=due: len(answers.received) >= due, "answers", 2)
                subject.hear([data for _, data in answers.received])
    finally:
        hearing.cancel()
    started = time.monotonic()
    while not made.ids():  # until the gateway subscribes, a broker drops what it gets
        await made.publish(subject.messages(1))
        with contextlib.suppress(TimeoutError):
            await made.wait(made.ids, "the first reading", 0.5)
        if time.monotonic() - started > START_DEADLINE_S:
            raise TimeoutError(f"{subject.name} forwarded nothing in {START_DEADLINE_S} s")


async def speed(make: Make) -> dict[str, object]:
    """As fast as it goes, and its cost; peak memory; what went up and to the disk."""
    async with stage(make) as made:
        subject = made.subject
        await asyncio.sleep(1.0)
        messages = subject.messages(BULK)
        before = sum(made.ids().values())
        cpu_s, written_mb, up = subject.cpu_s(), subject.written_mb(), made.collector.bytes
        count_before = len(made.collector.received)
        started = time.perf_counter()
        await made.publish(messages)
        await made.quiet()
        readings = sum(made.ids().values()) - before
        if len(made.collector.received) == count_before:
            raise TimeoutError(f"{subject.name} forwarded nothing of the load")
        took = made.collector.received[-1][0] - started
        cpu_s = subject.cpu_s() - cpu_s
        count = readings / subject.records
        return {
            "messages_per_second": count / took,
            "readings_per_second": readings / took,
            "cpu_s_per_1000_messages": cpu_s / count * 1000,
            "cpu_s_per_1000_readings": cpu_s / readings * 1000,
            "peak_memory_mb": subject.peak_mb(),
            "missing": BULK * subject.records - readings,
            "bytes_up_per_reading": (made.collector.bytes - up) / readings,
            "disk_bytes_per_reading": (subject.written_mb() - written_mb) * 1e6 / readings,
        }


async def latency(make: Make) -> dict[str, object]:
    """At 200 messages a second: from the publisher's send to the collector, and the cost."""
    async with stage(make) as made:
        subject = made.subject
        await asyncio.sleep(1.0)
        before = subject.expected()
        messages = subject.messages(STEADY)
        cpu_s = subject.cpu_s()
        started = time.perf_counter()
        await made.publish(messages, STEADY_PER_S)
        await made.quiet()
        cpu_s = subject.cpu_s() - cpu_s
        fresh = sorted(subject.expected() - before, key=_order(subject))
        order = {ident: place for place, ident in enumerate(fresh)}
        delays: dict[str, float] = {}
        for at, document in made.collector.received:
            for ident in subject.ids(document):
                place = order.get(ident)
                if place is not None:
                    sent = started + place // subject.records / STEADY_PER_S
                    delays.setdefault(ident, (at - sent) * 1000)
        found = sorted(delays.values())
        return {
            "p50_ms": found[len(found) // 2],
            "p99_ms": found[math.ceil(len(found) * 0.99) - 1],
            "cpu_s_per_1000_at_200": cpu_s / STEADY * 1000,
        }


def _order(subject: Subject) -> Callable[[str], tuple[int, ...]]:
    """Sorts ids into the order in which `messages` made them."""
    if isinstance(subject, Ours):  # site/node/life/index: node by node, then the next index
        records = subject.records
        return lambda ident: (
            int(ident.rsplit("/", 1)[1]) // records,
            int(ident.split("/")[1]),
            int(ident.rsplit("/", 1)[1]),
        )
    return lambda ident: (int(ident),)


async def start(make: Make) -> dict[str, object]:
    """From the start of a process whose nodes already send, to the first reading at the council."""
    async with stage(make) as made:
        subject = made.subject
        subject.kill()
        made.collector.received.clear()
        messages = subject.messages(int(START_DEADLINE_S * 20))
        started = time.perf_counter()
        subject.start()
        sending = asyncio.create_task(made.publisher.publish(messages, 20))
        try:
            await made.wait(made.ids, "the first reading", START_DEADLINE_S)
        finally:
            sending.cancel()
        first = next(at for at, document in made.collector.received if subject.ids(document))
        return {"first_reading_after_s": first - started}


async def drain(make: Make) -> dict[str, object]:
    """A backlog made while the council's broker was frozen, into a broker 50 ms away."""
    async with stage(make, delay_s=SLOW_DELAY_S) as made:
        subject = made.subject
        made.council.freeze()
        messages = subject.messages(BACKLOG)
        await made.publish(messages)
        await asyncio.sleep(3.0)
        before = sum(made.ids().values())
        started = time.perf_counter()
        made.council.thaw()
        await made.quiet()
        readings = sum(made.ids().values()) - before
        last = made.collector.received[-1][0]
        return {
            "drained_readings": readings,
            "drain_s": last - started,
            "drained_per_second": readings / (last - started),
        }


async def kill(make: Make, uplink: str) -> dict[str, object]:
    """kill -9 in mid-flow with the uplink up, down (connections refused) or frozen; then everything comes back."""
    async with stage(make, delay_s=0.0) as made:
        subject, way = made.subject, made.way
        if way is None:
            raise RuntimeError("this stage has no way to close")
        await asyncio.sleep(1.0)
        messages = subject.messages(KILL)
        if uplink == "down":
            way.refuse()
        elif uplink == "frozen":
            made.council.freeze()
        sending = asyncio.create_task(made.publish(messages))
        if uplink == "up":
            await made.wait(lambda: made.publisher.acknowledged > KILL // 2 or sending.done(), "half of it is sent")
        else:
            await sending
            await asyncio.sleep(SETTLE_S)  # what it has taken, it has had time to store
        subject.kill()
        subject.start()
        await sending
        way.admit()
        made.council.thaw()
        await made.quiet()
        ids = made.ids()
        return {
            f"lost_{uplink}": len(subject.expected() - set(ids)),
            f"copies_{uplink}": sum(ids.values()) - len(ids),
        }
