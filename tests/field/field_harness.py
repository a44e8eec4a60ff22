"""What the field's tests share: a street on a clock that tests set, in front of a real gateway process, and a doctor
who is asked until what was broken comes first.
"""

import contextlib
import mmap
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import SITE, START, GatewayProcess, Street, secret_of

from kerbgate.clock import SharedClock, write_shared
from kerbgate.registry import Asset, Registry, inventory
from kerbtools.field import doctor
from kerbtools.field.checks import CHECKS
from kerbtools.field.findings import OK, SKIPPED, Finding
from kerbtools.field.subject import Subject
from kerbtools.simulate import SimulatedNode
from kerbwire import channels, messages
from kerbwire.channels import BATTERY, DISTANCE, ENERGY, FAULTS, FILL, LEVEL, POWER, QUALITY, SUPPLY, TEMPERATURE
from kerbwire.messages import Hello

PATIENCE_S = 15.0
HOUR, DAY = 3600, 86_400
BINS, LAMPS = range(1, 5), range(801, 807)
WATTS = 40
PACE = 60.0  # of the usual hour: waits of the gateway are short, and a record is still of the minute it is sent in


class Node(SimulatedNode):
    """A node whose firmware and reset cause a test chooses."""

    firmware = "1.4.0"
    reset_cause = messages.POWER_ON

    def _hello(self) -> bytes:
        self._unanswered = 0
        hello = Hello(
            role=self._role,
            board="esp32_c3",
            firmware=self.firmware,
            bundle=self.firmware.encode().ljust(8, b"\x00"),
            reset_cause=self.reset_cause,
            boot_count=self.boots,
            config_hash=bytes(8),
            next_index=self._next_index,
            challenge=self._challenge,
        )
        return self._seal(messages.encode(hello), (), self.life)


class World:
    """Bins and lamps on one serial line, a gateway, and a clock that both go by."""

    def __init__(
        self, folder: Path, *, bins: Iterable[int] = BINS, lamps: Iterable[int] = LAMPS, more: str = "", **store: Any
    ):
        self.folder = folder
        self.clock_path = folder / "clock"
        self.clock_path.write_bytes(bytes(40))
        self._file = self.clock_path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), 40)
        self.set_clock(START + 12 * HOUR)
        self.clock = SharedClock(self.clock_path)
        self.gateway = GatewayProcess(folder, inlets=[], broker_port=None, **store)
        self.registry_path = self.gateway.state / "registry.sqlite"
        self.nodes = {address: self._node(address, channels.BIN) for address in bins}
        self.nodes |= {address: self._node(address, channels.LAMP) for address in lamps}
        with self.registry() as registry:
            for address, node in self.nodes.items():
                role = channels.ROLES[node._role]
                registry.add(address=address, site=SITE, role=role, board="esp32_c3", secret=secret_of(address))
                inventory.bind(registry, address, asset(address, role))
        self.street = Street(list(self.nodes.values()))
        text = self.gateway.config.read_text().replace('"trusted"', f'"shared:{self.clock_path}"')
        self.gateway.config.write_text(f'{text}{more}[[inlet]]\nurl = "serial:{self.street.path}"\n')

    @property
    def config(self) -> Path:
        return self.gateway.config

    @contextlib.contextmanager
    def registry(self) -> Iterator[Registry]:
        opened = Registry(self.registry_path, create=True)
        try:
            yield opened
        finally:
            opened.close()

    def _node(self, address: int, role: int, **options: Any) -> Node:
        return Node(address, secret_of(address), seed=address, role=role, batch=8, **options)

    # Time.

    def set_clock(self, utc: float, rate: float = PACE) -> None:
        write_shared(self._map, utc, rate)

    @property
    def now(self) -> int:
        return int(self.clock.utc())

    def pass_time(self, seconds: float, took_s: float = 1.3) -> None:
        """Virtual time goes by faster, for everybody; the clock is never set.

        took_s: more than the second between two looks of the gateway at its clock, which must see that the pace is
        another. What sleeps meanwhile notices it late, so waits of the gateway pass by somewhat less than `seconds`.
        """
        pace = seconds / took_s
        end = self.now + seconds
        self.set_clock(self.clock.utc(), pace)
        until(lambda: self.clock.utc() >= end, "time goes by", took_s * 4)
        self.set_clock(self.clock.utc())

    # The street.

    def start(self) -> None:
        self.gateway.start()
        self.say_all()

    def say(self, *addresses: int, values: dict[int, int] | None = None, count: int = 1, step: int = 900) -> None:
        """These nodes take records up to now, and send them until they are acknowledged."""
        for address in addresses:
            node, now = self.nodes[address], self.now
            for back in reversed(range(count)):
                node.take_values(now - back * step, usual(node, now) | (values or {}))
        self.exchange(*addresses)

    def say_all(self) -> None:
        self.say(*self.nodes)

    def say_all_but(self, *silent: int) -> None:
        self.say(*(address for address in self.nodes if address not in silent))

    def tell(
        self, address: int, code: int, severity: int, values: dict[int, int] | None = None, state: int = 0
    ) -> None:
        self.nodes[address].tell(code, severity, state, self.now, values)
        self.exchange(address)

    def exchange(self, *addresses: int) -> None:
        some = [self.nodes[address] for address in addresses]
        assert self.street.run(lambda: all(n.confirmed and not n.waiting and not n._events for n in some)), (
            "not acknowledged"
        )

    def put(self, data: bytes) -> None:
        """Bytes on the line, whoever sends them."""
        os.write(self.street.master, data)

    def close(self) -> None:
        self.gateway.kill()
        self.street.close()
        self._map.close()
        self._file.close()


def asset(address: int, role: str, **more: Any) -> Asset:
    """Where a node stands: a street that runs east; the first lamps on feeder F1, the others on F2."""
    facts: dict[str, Any] = {"latitude": 51.45, "longitude": -2.59 + 0.00045 * (address % 100)}
    if role == "lamp":
        facts |= {"wattage_w": WATTS, "feeder": "F1" if address < 804 else "F2", "supply": "permanent"}
    return Asset(asset=f"{role}-{address}", site=SITE, role=role, inventory=True, **facts | more)


def usual(node: SimulatedNode, now: int) -> dict[int, int]:
    """What a healthy node measures."""
    if node._role == channels.LAMP:
        night = not 6 * HOUR < now % DAY < 18 * HOUR
        level = 100 if night else 0
        return {LEVEL: level, POWER: WATTS * 10 * level // 100 + 3, ENERGY: now // 400, SUPPLY: 230, FAULTS: 0}
    return {FILL: now // 1800 % 80, DISTANCE: 900, TEMPERATURE: 24, BATTERY: 360, QUALITY: 0}


class Doctor:
    """Asks `kerb doctor` until it names a cause first, with what mends it."""

    def __init__(self, keep: Callable[[tuple[str, str, str, str]], None]):
        self._keep = keep

    def __call__(
        self,
        fault: str,
        config: Path,
        check: str,
        cause: str,
        step: str,
        *,
        node: int | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Finding:
        """fault: as the table has it. cause and step: words of the likeliest cause, and of one of the next steps."""
        end = time.monotonic() + patience_s
        while True:
            found = problems(config)
            if found and found[0].check == check and found[0].causes and cause in found[0].causes[0]:
                break
            if time.monotonic() > end:
                pytest.fail(f"{fault}: not named first:\n" + "\n".join(map(str, found or ["nothing is wrong"])))
            time.sleep(0.1)
        first = found[0]
        assert any(step in one for one in first.next), first.next
        assert node is None or node in first.nodes, first
        self._keep((fault, check, first.causes[0], next(one for one in first.next if step in one)))
        return first


def problems(config: Path, only: Sequence[str] = ()) -> list[Finding]:
    """What is not well, the root first."""
    rows = [row for row in CHECKS if not only or row.name in only]
    return [row for row in doctor.examine(Subject(config), rows) if row.verdict not in (OK, SKIPPED)]


def well(config: Path, patience_s: float = PATIENCE_S) -> None:
    """After it was mended nothing is wrong any more, and nothing ever was that is not."""
    end = time.monotonic() + patience_s
    while found := problems(config):
        if time.monotonic() > end:
            pytest.fail("still wrong:\n" + "\n".join(map(str, found)))
        time.sleep(0.1)


def until(condition: Callable[[], Any], what: str, deadline_s: float = PATIENCE_S) -> Any:
    """The first true value of a condition."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"still not: {what}")
        time.sleep(0.01)
    return value
