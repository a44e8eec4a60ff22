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
from kerbtools.bench.gateways.load import Collector
from kerbtools.bench.gateways.process import Process
from kerbtools.bench.gateways.subjects import NODES, Make, Message, Sends, Subject
from kerbtools.bench.gateways.way import Way

STEADY_PER_S = 200
TRICKLE_PER_S = 20  # below the pace of group commits: each message has a commit of its own, as at real rates
SLOW_DELAY_S = 0.025  # each way, to the slow broker
QUIET_S = 8.0  # so long nothing more came: the gateway is done. thingsboard-gateway's pauses are shorter
DEADLINE_S = 180.0
START_DEADLINE_S = 60.0
SETTLE_S = 2.0
DAY = NODES * 24  # readings: an hourly one of each node

Cells = dict[str, object]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each: messages, and readings where it says so."""

    bulk: int = 10_000
    steady: int = 2_000  # 10 s
    trickle: int = 300
    kill: int = 5_000
    backlog: int = DAY  # readings
    million: int = 1_000_000  # readings


QUICK = Sizes(bulk=6_000, steady=600, trickle=60, kill=1_000, backlog=4_800, million=48_000)


@dataclass(slots=True)
class Stage:
    """A running scenario."""

    subject: Subject
    process: Process
    council: Broker
    way: Way | None
    sender: Sends
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
                    self.process.check()
        except TimeoutError as error:
            raise TimeoutError(f"{self.subject.name}: not in {deadline_s:.0f} s: {what}") from error

    async def quiet(self, deadline_s: float = DEADLINE_S) -> None:
        """Wait until everything expected came, or nothing has come for QUIET_S."""
        end = time.monotonic() + deadline_s
        expected = self.subject.expected()
        seen: set[str] = set()
        read = came = 0
        idle_since = time.monotonic()
        while time.monotonic() < end:
            if len(self.collector.received) > came:  # read in a pause: reading takes the CPU from what is measured
                came, idle_since = len(self.collector.received), time.monotonic()
            else:
                for _, document in self.collector.received[read:came]:
                    seen.update(self.subject.ids(document))
                read = came
                if seen >= expected:
                    await asyncio.sleep(1.0)  # a copy may still follow
                    return
                if time.monotonic() - idle_since > (QUIET_S if came else QUIET_S * 2):
                    return
            self.process.check()
            await asyncio.sleep(0.5)

    def ids(self) -> Counter[str]:
        return Counter(ident for _, document in self.collector.received for ident in self.subject.ids(document))

    async def publish(self, messages: list[Message], per_second: float | None = None) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.sender.publish(messages, per_second)


@contextlib.asynccontextmanager
async def stage(make: Make, *, delay_s: float | None = None) -> AsyncGenerator[Stage]:
    """Two brokers, a gateway that forwards, its nodes and a collector; all gone at the end.

    delay_s: a relay stands before the council's broker, which is late by so much each way and can be closed.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="kerb-bench-", ignore_cleanup_errors=True))
        )
        field, council = Broker(folder, "field"), Broker(folder, "council")
        for broker in (field, council):
            stack.callback(broker.stop)
            broker.start()
        way = await stack.enter_async_context(Way(council.port, delay_s)) if delay_s is not None else None
        subject = make(folder / "gateway", field.port, way.port if way else council.port)
        stack.callback(subject.close)
        process = subject.prepare()
        stack.callback(process.kill)
        came = asyncio.Event()
        collector = Collector(council.port, "collector", "#", came.set, subject.answer)
        collecting = asyncio.create_task(collector.run())
        stack.callback(collecting.cancel)
        await asyncio.wait_for(collector.subscribed.wait(), START_DEADLINE_S)
        made = Stage(subject, process, council, way, subject.sender(), collector, came)
        process.start()
        await _warm(made)
        yield made


async def _warm(made: Stage) -> None:
    """The nodes introduce themselves; then one reading through, so that every gateway is warm and connected."""
    subject = made.subject
    try:
        await subject.introduce(made.sender, START_DEADLINE_S)
    except TimeoutError as error:
        made.process.check()
        raise TimeoutError(f"{subject.name} let its nodes in within {START_DEADLINE_S:.0f} s: not all") from error
    started = time.monotonic()
    while not made.ids():  # until the gateway subscribes, a broker drops what it gets
        await made.publish(subject.messages(1))
        with contextlib.suppress(TimeoutError):
            await made.wait(made.ids, "the first reading", 0.5)
        if time.monotonic() - started > START_DEADLINE_S:
            raise TimeoutError(f"{subject.name} forwarded nothing in {START_DEADLINE_S:.0f} s")
    await asyncio.sleep(1.0)


async def speed(make: Make, sizes: Sizes) -> Cells:
    """As fast as it goes, and its cost; peak memory; what went up."""
    async with stage(make) as made:
        subject, process = made.subject, made.process
        messages = subject.messages(sizes.bulk)
        before = sum(made.ids().values())
        cpu_s, up = process.cpu_s(), made.collector.bytes
        count_before = len(made.collector.received)
        started = time.perf_counter()
        await made.publish(messages)
        await made.quiet()
        readings = sum(made.ids().values()) - before
        if len(made.collector.received) == count_before:
            raise TimeoutError(f"{subject.name} forwarded nothing of the load")
        took = made.collector.received[-1][0] - started
        cpu_s = process.cpu_s() - cpu_s
        count = readings / subject.records
        return {
            "messages_per_second": count / took,
            "readings_per_second": readings / took,
            "cpu_s_per_1000_messages": cpu_s / count * 1000,
            "cpu_s_per_1000_readings": cpu_s / readings * 1000,
            "peak_memory_mb": process.peak_mb(),
            "missing": sizes.bulk * subject.records - readings,
            "bytes_up_per_reading": (made.collector.bytes - up) / readings,
        }


async def latency(make: Make, sizes: Sizes) -> Cells:
    """At 200 messages a second: from the sender to the collector, and the cost."""
    async with stage(make) as made:
        subject = made.subject
        before = subject.expected()
        messages = subject.messages(sizes.steady)
        cpu_s = made.process.cpu_s()
        started = time.perf_counter()
        await made.publish(messages, STEADY_PER_S)
        await made.quiet()
        cpu_s = made.process.cpu_s() - cpu_s
        fresh = sorted(subject.expected() - before, key=subject.order)
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
            "cpu_s_per_1000_at_200": cpu_s / sizes.steady * 1000,
        }


async def day(make: Make, sizes: Sizes) -> Cells:
    """Megabytes a day of 1,000 nodes with an hourly reading, up and to the disk, from some messages a second."""
    async with stage(make) as made:
        messages = made.subject.messages(sizes.trickle)
        written, up = made.process.written_bytes(), made.collector.bytes
        before = len(made.collector.received)
        await made.publish(messages, TRICKLE_PER_S)
        await made.quiet()
        if len(made.collector.received) == before:
            raise TimeoutError(f"{made.subject.name} forwarded nothing of the load")
        await asyncio.sleep(1.0)  # what is deleted or tidied up after it
        share = DAY / (sizes.trickle * made.subject.records) / 1e6
        return {
            "mb_up_a_day": (made.collector.bytes - up) * share,
            "mb_written_a_day": (made.process.written_bytes() - written) * share,
        }


async def start(make: Make, sizes: Sizes) -> Cells:
    """From the start of a process whose nodes already send, to the first reading at the council."""
    async with stage(make) as made:
        subject = made.subject
        made.process.kill()
        made.collector.received.clear()
        messages = subject.messages(int(START_DEADLINE_S * 20))
        started = time.perf_counter()
        made.process.start()
        sending = asyncio.create_task(made.sender.publish(messages, 20))
        try:
            await made.wait(made.ids, "the first reading", START_DEADLINE_S)
        finally:
            sending.cancel()
        first = next(at for at, document in made.collector.received if subject.ids(document))
        return {"first_reading_after_s": first - started}


async def drain(make: Make, sizes: Sizes) -> Cells:
    """A day's backlog, made while the council's broker was frozen, into a broker 50 ms away."""
    async with stage(make, delay_s=SLOW_DELAY_S) as made:
        subject = made.subject
        made.council.freeze()
        await made.publish(subject.messages(sizes.backlog // subject.records))
        await asyncio.sleep(3.0)
        before = sum(made.ids().values())
        started = time.perf_counter()
        made.council.thaw()
        await made.quiet()
        readings = sum(made.ids().values()) - before
        last = made.collector.received[-1][0]
        if last <= started:
            raise TimeoutError(f"{subject.name} forwarded nothing of the backlog")
        return {
            "drained_readings": readings,
            "drain_s": last - started,
            "drained_per_second": readings / (last - started),
        }


async def million(make: Make, sizes: Sizes) -> Cells:
    """Resident memory while a million readings pass: after a tenth, half and all of them."""
    async with stage(make) as made:
        subject, process = made.subject, made.process
        chunk = max(sizes.million // subject.records // 20, 1)
        memory: list[float] = []
        async with subject.hearing():
            for _ in range(20):
                subject.forget()
                made.collector.received.clear()
                messages = subject.messages(chunk)
                await made.publish(messages)
                expected = len(subject.expected())
                await made.wait(lambda expected=expected: made.ids().total() >= expected, f"{expected} readings")
                memory.append(process.memory_mb())
        return {
            "readings": chunk * 20 * subject.records,
            "memory_mb_at_a_tenth": memory[1],
            "memory_mb_at_half": memory[9],
            "memory_mb_at_the_end": memory[-1],
            "peak_memory_mb": process.peak_mb(),
        }


async def kill(make: Make, sizes: Sizes, uplink: str) -> Cells:
    """kill -9 in mid-flow with the uplink up, down (connections refused) or frozen; then everything comes back."""
    async with stage(make, delay_s=0.0) as made:
        subject, way = made.subject, made.way
        if way is None:
            raise RuntimeError("this stage has no way to close")
        messages = subject.messages(sizes.kill)
        if uplink == "down":
            way.refuse()
        elif uplink == "frozen":
            made.council.freeze()
        before = made.sender.acknowledged
        sending = asyncio.create_task(made.publish(messages))
        if uplink == "up":
            half = before + sizes.kill // 2
            await made.wait(lambda: made.sender.acknowledged > half or sending.done(), "half of it is sent")
        else:
            await sending
            await asyncio.sleep(SETTLE_S)  # what it has taken, it has had time to store
        made.process.kill()
        made.process.start()
        await sending
        way.admit()
        made.council.thaw()
        await subject.settle(made.sender, DEADLINE_S)
        await made.quiet()
        ids = made.ids()
        return {
            f"lost_{uplink}": len(subject.expected() - set(ids)),
            f"copies_{uplink}": sum(ids.values()) - len(ids),
        }
