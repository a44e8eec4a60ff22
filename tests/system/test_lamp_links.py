"""Lamps whose gateway is at the end of Wi-Fi or LoRa, their street's line for waves alone: real firmware, broker, gateway."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from street_harness import DEADLINE_S

from kerbtools import boards, send
from kerbtools.demo import links
from kerbtools.demo.broker import find_mosquitto, open_broker
from kerbtools.demo.council import Council
from kerbtools.demo.gateway import SETTLEMENT, GatewayProcess
from kerbtools.demo.lamps import CONFIG, Lamps, addresses
from kerbtools.demo.link_lora import Link as LoraKind
from kerbtools.demo.link_mqtt import SSID
from kerbtools.demo.links import Ground, Links
from kerbtools.emulator import Board, World
from kerbtools.emulator.street_scene import REACH_M, Walker
from kerbtools.emulator.world import START_UTC

pytestmark = pytest.mark.timeout(3 * DEADLINE_S)

BEGIN_UTC = START_UTC + 18 * 3600 + 1800  # the sun has set
WIFI, LORA = addresses(2)
HEAP_BYTES = boards.load("pico_w").heap_bytes  # of the boards here, which have more
WALK_MPS = 1.4
QUIET_S, TROUBLED_S = 400, 1000  # when somebody comes to the first column: all is well; nothing is
FULL_S = 0.8  # from detection to full light at one's own column; the next has 0.3 s more


@dataclass
class Evening:
    """A lamp on Wi-Fi, the next one on LoRa, on one line."""

    world: World
    lamps: Lamps
    links: Links
    gateway: GatewayProcess
    settlement: Council
    broker_cut: Callable[[float], None]
    lines: dict[int, list[tuple[float, str]]] = field(default_factory=dict[int, list[tuple[float, str]]])

    def now_s(self) -> float:
        return self.world.now() - BEGIN_UTC

    def until(self, at_s: float) -> None:
        self.world.advance(at_s - self.now_s(), timeout_s=DEADLINE_S)

    def levels(self) -> list[int]:
        now_us = self.world.now_us()
        found = [board.hardware.wired.luminaire for board in self.lamps.boards]
        return [round(100 * one.light(now_us)) for one in found if one is not None]

    def said(self, node: int, word: str) -> list[float]:
        return [at_s for at_s, line in self.lines[node] if line.startswith(word)]

    def order(self, *words: str) -> None:
        assert send.main([*words, "--config", str(self.gateway.config)]) == 0

    def walk_past(self, sight_s: float) -> None:
        """Somebody comes into sight of the first column: it is full in time, and by its wave the next one."""
        self.until(sight_s + FULL_S + 0.35)
        assert self.levels() == [100, 100], (sight_s, self.levels())
        self.until(sight_s + 120)
        assert self.levels() == [20, 20], (sight_s, self.levels())


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    if not find_mosquitto():
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    folder = Path(tmp_path_factory.mktemp("links"))
    folder.chmod(0o711)
    folder.parent.chmod(0o711)
    broker = open_broker(folder / "broker")
    lines: dict[int, list[tuple[float, str]]] = {WIFI: [], LORA: []}
    with World(seed=3, start_utc=BEGIN_UTC, paused=True) as world:

        def on_line(node: int) -> Callable[[Board, str], None]:
            return lambda _board, line: lines[node].append((world.now() - BEGIN_UTC, line))

        begin_us = BEGIN_UTC * 1_000_000
        walkers = [Walker(begin_us + at_s * 1_000_000, WALK_MPS) for at_s in (QUIET_S, TROUBLED_S)]
        ground = Ground(world, "demo", 3, folder / "kinds", broker)
        made = links.open_links(links.MIXED, [1, 2, 3], [WIFI, LORA], ground)
        assert [made.kinds[node] for node in (WIFI, LORA)] == ["mqtt", "lora"]
        lora = made.kind("lora")
        assert isinstance(lora, LoraKind)
        lora.air.loss = 0.0
        lamps = Lamps(world, "demo", 2, on_line, walkers, made.options)
        for identity, board in zip(lamps.identities, lamps.boards, strict=True):
            made.join(identity.node, board)
            board.facts = replace(board.facts, heap_bytes=HEAP_BYTES)
        inlets = [inlet for kind in ("mqtt", "lora") for inlet in made.kind(kind).inlets()]
        gateway = GatewayProcess(folder / "gateway", "demo", broker.port, world.clock_path, inlets, lamps.group_key)
        for identity, board in zip(lamps.identities, lamps.boards, strict=True):
            gateway.add_node(identity.node, "demo", board.facts.name, identity.secret, "lamp")
        settlement = Council(broker.council_port, SETTLEMENT, "settlement")
        try:
            broker.start()
            settlement.start()
            lora.modem.start()
            gateway.start()
            for board in lamps.boards:
                board.start()
            yield Evening(world, lamps, made, gateway, settlement, broker.cut, lines)
        finally:
            gateway.stop()
            made.stop()
            settlement.stop()
            broker.stop()


def test_hello_is_spread_over_the_window_on_either_link(evening: Evening) -> None:
    evening.until(QUIET_S - 100)
    for node in (WIFI, LORA):
        confirmed_s = min(evening.said(node, "confirmed"))
        assert confirmed_s < 3 + CONFIG["spread_s"] + 10, confirmed_s
        assert evening.said(node, "sent hello")[0] >= 3
    assert all(inlet["frames"] for inlet in evening.gateway.status()["inlets"])


def test_a_wave_goes_on_the_line_while_the_gateway_is_elsewhere(evening: Evening) -> None:
    evening.walk_past(QUIET_S - REACH_M / WALK_MPS)


def test_a_command_and_a_brighten_reach_both_within_a_minute(evening: Evening) -> None:
    for node in (WIFI, LORA):
        evening.order("dim", "--node", str(node), "--level", "35", "--for", "2min")
    _look(evening, lambda: evening.levels() == [35, 35], 10)
    evening.order("brighten", "--site", "demo", "--level", "90", "--for", "1min")
    _look(evening, lambda: min(evening.levels()) >= 90, 60)
    _look(evening, lambda: all(len(evening.said(node, "obeyed")) >= 2 for node in (WIFI, LORA)), 60)
    evening.until(TROUBLED_S - 100)
    assert evening.levels() == [20, 20]


def test_the_light_does_not_notice_a_link_that_goes_in_the_middle_of_a_ramp(evening: Evening) -> None:
    """Access point and modem are gone from the ramp on, then broker and gateway are killed, then all is back."""
    point, lora = evening.world.air.access_points[SSID], evening.links.kind("lora")
    assert isinstance(lora, LoraKind)
    sight_s = TROUBLED_S - REACH_M / WALK_MPS
    evening.until(sight_s + 0.25)
    assert 20 < evening.levels()[0] < 100, evening.levels()
    point.present = False
    lora.modem.cut_power()
    evening.walk_past(sight_s)
    evening.gateway.kill()
    evening.broker_cut(0.2)
    evening.until(3800)  # the first report, an hour after the start, stays out
    assert evening.said(WIFI, "note link mqtt no access point street is heard") and not evening.said(LORA, "note link")
    assert [line for _, line in evening.lines[LORA] if "link lora frames 4" in line and "rssi" not in line]
    point.present = True
    lora.modem.restore_power()
    evening.gateway.start()
    changed = {
        f"demo/{node}/{line.split()[1]}/{line.split()[2]}"
        for node, kept in evening.lines.items() for _, line in kept if line.startswith("changed")
    }  # fmt: skip
    assert changed - evening.settlement.record_ids()
    _look(evening, lambda: not changed - evening.settlement.record_ids(), 2 * 3600, step_s=60)
    assert not evening.settlement.doubled()
    assert evening.levels() == [20, 20] and all(board.starts == 1 for board in evening.lamps.boards)
    notes = [line for kept in evening.lines.values() for _, line in kept if "crash" in line or "Error" in line]
    assert not notes, json.dumps(notes)


def _look(evening: Evening, condition: Callable[[], bool], within_s: float, step_s: float = 1) -> None:
    """Let time pass until a condition holds; its real time is the gateway's."""
    deadline, end_s = time.monotonic() + DEADLINE_S, evening.now_s() + within_s
    while not condition():
        assert time.monotonic() < deadline and evening.now_s() < end_s, (evening.levels(), evening.lines)
        evening.world.advance(step_s, timeout_s=DEADLINE_S)
        time.sleep(0.02)
