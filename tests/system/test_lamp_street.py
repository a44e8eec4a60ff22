"""A street of lamps for an evening: real firmware on one shared line, a real gateway process and a real broker."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from street_harness import wait_for

from kerbgate.aggregate.periods import Calendar
from kerbgate.aggregate.reader import RollupReader
from kerbgate.store import Reader
from kerbnode.lamp import settings as lampsettings
from kerbnode.lamp.changes import Changes
from kerbnode.lamp.lamp import TICK_MS, Lamp
from kerbnode.lamp.wave import Waves
from kerbtools import send
from kerbtools.demo.broker import open_broker
from kerbtools.demo.council import Council
from kerbtools.demo.gateway import SETTLEMENT, GatewayProcess
from kerbtools.demo.lamps import CONFIG, Lamps
from kerbtools.emulator import Board, World
from kerbtools.emulator.street_scene import REACH_M, SPACING_M, ColumnScene, Walker
from kerbtools.emulator.world import START_UTC
from kerbwire.channels import CAUSES

BEGIN_UTC = START_UTC + 18 * 3600 + 1800  # the sun has set; half hours of settlement begin with the world's
LAMPS = 4
FIRST, SECOND = 900, 2700  # seconds after which somebody comes to the first column, and to the last
HALF_HOUR_S = 1800
FULL_S = 0.8  # from detection to full light in one's own column; 0.3 later two columns ahead


@dataclass
class Evening:
    """What there is, and what was noted on the way."""

    world: World
    lamps: Lamps
    walkers: list[Walker]
    gateway: GatewayProcess
    council: Council
    settlement: Council
    lines: dict[int, list[tuple[float, str]]] = field(default_factory=dict[int, list[tuple[float, str]]])
    energy_wh: list[float] = field(default_factory=list[float])

    @property
    def boards(self) -> list[Board]:
        return self.lamps.boards

    def levels(self) -> list[int]:
        return [round(100 * luminaire(board).light(self.world.now_us())) for board in self.boards]

    def order(self, *words: str) -> None:
        """`kerb send`, and wait until the gateway's modem has begun to speak."""
        before = self.lamps.ether.tally.frames
        assert send.main([*words, "--config", str(self.gateway.config)]) == 0
        wait_for(lambda: self.lamps.ether.tally.frames > before, "the gateway speaks")


def luminaire(board: Board) -> Any:
    return board.hardware.wired.luminaire


def documents(council: Council) -> list[dict[str, Any]]:
    return [json.loads(text) for text in council.documents()]


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """An hour and a quarter: two people pass, one from either end."""
    folder = Path(tmp_path_factory.mktemp("street"))
    folder.chmod(0o711)
    folder.parent.chmod(0o711)
    broker = open_broker(folder / "broker")
    lines: dict[int, list[tuple[float, str]]] = {}
    last_m = (LAMPS - 1) * SPACING_M
    with World(seed=3, start_utc=BEGIN_UTC, paused=True) as world:

        def on_line(node: int) -> Callable[[Board, str], None]:
            kept = lines.setdefault(node, [])
            return lambda _board, line: kept.append((world.now() - BEGIN_UTC, line))

        begin_us = BEGIN_UTC * 1_000_000
        walkers = [
            Walker(begin_us + FIRST * 1_000_000, 1.4),
            Walker(begin_us + SECOND * 1_000_000 + round(last_m / 1.4) * 1_000_000, -1.4),
        ]
        lamps = Lamps(world, "demo", LAMPS, on_line, walkers)
        gateway = GatewayProcess(
            folder / "gateway", "demo", broker.port, world.clock_path,
            [f"serial:{lamps.ether.path}?baud=115200"], lamps.group_key,
        )  # fmt: skip
        for identity, board in zip(lamps.identities, lamps.boards, strict=True):
            gateway.add_node(identity.node, "demo", board.facts.name, identity.secret, "lamp")
        council = Council(broker.council_port)
        settlement = Council(broker.council_port, SETTLEMENT, "settlement")
        made = Evening(world, lamps, walkers, gateway, council, settlement, lines)
        try:
            broker.start()
            council.start()
            settlement.start()
            gateway.start()
            for board in lamps.boards:
                board.start()
            for _ in range(2):
                world.advance(HALF_HOUR_S, timeout_s=120)
                made.energy_wh.append(sum(luminaire(board).energy_wh(world.now_us()) for board in lamps.boards))
            world.advance(900, timeout_s=120)
            changed = {
                f"demo/{node}/{line.split()[1]}/{line.split()[2]}"
                for node, kept in lines.items() for at_s, line in kept if line.startswith("changed") and at_s < 3600
            }  # fmt: skip
            wait_for(lambda: changed <= settlement.record_ids(), "the settlement has every change of the hour")
            yield made
        finally:
            gateway.stop()
            council.stop()
            settlement.stop()
            broker.stop()


def test_all_are_confirmed_within_the_window_of_their_hellos(evening: Evening) -> None:
    for kept in evening.lines.values():
        at_s = min(at_s for at_s, line in kept if line.startswith("confirmed"))
        assert at_s < 3 + CONFIG["spread_s"] + 3  # USB's window before it, an exchange after it
        assert not [line for _, line in kept if "crash" in line]
    assert not evening.lamps.ether.tally.overflowed


def test_light_goes_ahead_of_the_walker(evening: Evening) -> None:
    """The second column lights up for the first one's sight, by its wave: the walker is 20 m from its own.

    A node knows UTC to a second, and its log rounds to one.
    """
    sight_s = FIRST - REACH_M / 1.4
    for place, cause in ((0, "presence"), (1, "wave"), (2, "wave")):
        node = evening.lamps.identities[place].node
        up = [
            record
            for document in documents(evening.settlement) for record in document["records"]
            if document["node"] == node and record.get("level_percent") == 100 and record.get("cause") == cause
        ]  # fmt: skip
        times = [datetime.fromisoformat(record["time"]).timestamp() - BEGIN_UTC for record in up]
        assert any(abs(at_s - sight_s) <= 2 for at_s in times), (place, sight_s, times)
    # The last column is three away from the first: it waits for the second one's wave.
    far = evening.lamps.identities[3].node
    early = [
        record["time"]
        for document in documents(evening.settlement) for record in document["records"]
        if document["node"] == far and record.get("cause") == "wave"
        and abs(datetime.fromisoformat(record["time"]).timestamp() - BEGIN_UTC - sight_s) < 5
    ]  # fmt: skip
    assert not early


def test_boards_agree_with_the_pure_control(evening: Evening) -> None:
    """Every level change of the hour, from the second minute on: level and cause, and the second as well as UTC is known."""
    pure = pure_logs(evening.walkers, 3600)
    for place, identity in enumerate(evening.lamps.identities):
        records = [
            record for document in documents(evening.settlement) if document["node"] == identity.node
            for record in document["records"] if "cause" in record
        ]  # fmt: skip
        found = [
            (datetime.fromisoformat(record["time"]).timestamp() - BEGIN_UTC, record["level_percent"], record["cause"])
            for record in sorted(records, key=lambda record: record["index"])
        ]
        found = [change for change in found if 120 <= change[0] < 3500]
        wanted = [change for change in pure[place] if 120 <= change[0] < 3500]
        assert [change[1:] for change in found] == [(level, CAUSES[cause]) for _, level, cause in wanted], place
        for at_s, should_s in zip((change[0] for change in found), (change[0] for change in wanted), strict=True):
            assert abs(at_s - should_s) <= 2, (place, at_s, should_s)


def pure_logs(walkers: list[Walker], seconds: int) -> list[list[tuple[int, int, int]]]:
    """(second, level, cause) by column: the node's control on CPython, asked ten times a second; waves come at once."""
    settings: dict[str, Any] = {row[0]: row[1] for row in lampsettings.ROWS} | CONFIG
    begin_us = BEGIN_UTC * 1_000_000
    lamps: list[Any] = []
    for place in range(LAMPS):
        below, above = list(range(place - 1, -1, -1)), list(range(place + 1, LAMPS))
        waves = Waves(below, above, settings["spacing_dm"], settings["high"], settings["wave_s"], 0, settings["ahead"])
        scene = ColumnScene("pure", begin_us, place * SPACING_M, walkers)
        lamps.append((Lamp(settings, [], [0], True), waves, scene, Changes()))
    for now_ms in range(0, seconds * 1000, TICK_MS):
        for place, (lamp, waves, scene, changes) in enumerate(lamps):
            if now_ms % 60_000 == 0:
                lamp.sense(0, now_ms // 1000)
                lamp.judge(now_ms // 1000, BEGIN_UTC + now_ms // 1000)
            active = scene.is_occupied(begin_us + now_ms * 1000)
            before, shown, cause = lamp.ramp.target, lamp.ramp.level, lamp.cause
            level = lamp.tick(active, now_ms)
            if changes.level is None:
                changes.start(level, lamp.cause, now_ms)
            if lamp.ramp.target != before and shown != before:
                changes.settle(before, cause, now_ms)
            changes.show(level, now_ms)
            if level == lamp.ramp.target:
                changes.settle(level, lamp.cause, now_ms)
            waves.level = lamp.high
            wave = waves.seen(now_ms) if active else None
            for other, (neighbour, heard, _, _) in enumerate(lamps if wave is not None else []):
                if other != place and heard.heard(place, wave, now_ms)[0]:
                    neighbour.light_up(wave.level, wave.lifetime, now_ms)
    return [changes.waiting for _, _, _, changes in lamps]


def test_who_is_no_settlement_gets_counts_per_interval_only(evening: Evening) -> None:
    seen = 0
    for document in documents(evening.council):
        assert document["received"].endswith("Z")
        for record in document["records"]:
            seen += record.get("presence_count") or 0
            assert "cause" not in record
            at_s = datetime.fromisoformat(record["time"]).timestamp()
            assert at_s % 900 == 0, record
        for count in document.get("level_changes", []):
            assert datetime.fromisoformat(count["from"]).timestamp() % 900 == 0 and set(count) == {"from", "count"}
        for event in document.get("events", []):
            assert "presence" not in json.dumps(event)
    assert seen == 2 * LAMPS  # two people past four columns
    for kept in evening.lines.values():  # nor does the console say when
        assert all(re.fullmatch(r"changed [0-9a-f]{16} \d+", line) for _, line in kept if line.startswith("changed"))


def test_energy_from_the_log_is_that_of_the_meter(evening: Evening) -> None:
    """The half hour that the log covers whole, of all lamps: within one per cent of the emulated luminaires'."""
    reader = Reader(evening.gateway.folder / "state" / "store.sqlite")
    try:
        rollups = RollupReader(reader, Calendar(ZoneInfo("UTC")))
        used, at_s = 0.0, BEGIN_UTC + HALF_HOUR_S
        for identity in evening.lamps.identities:
            (half,) = [
                half for half in rollups.evidence(identity.node, date.fromtimestamp(BEGIN_UTC)) if half.start_s == at_s
            ]
            assert half.known_s == HALF_HOUR_S
            used += half.wh
    finally:
        reader.close()
    true_wh = evening.energy_wh[1] - evening.energy_wh[0]
    assert abs(used - true_wh) < 0.01 * true_wh, (used, true_wh)


def test_dim_and_brighten_reach_the_lamps(evening: Evening) -> None:
    """One lamp by a command, which it answers; then the street by one group message within a minute."""
    world = evening.world
    evening.order("dim", "--node", "802", "--level", "35", "--for", "1h")
    world.advance(20)
    assert evening.levels()[1] == 35, evening.levels()
    assert any(line.startswith("obeyed") and line.endswith(" 0") for _, line in evening.lines[802])
    evening.order("brighten", "--site", "demo", "--level", "90", "--for", "30min")
    sent_s = world.now()
    deadline = time.monotonic() + 30
    while min(evening.levels()) < 90 and time.monotonic() < deadline:
        world.advance(1)
    assert min(evening.levels()) >= 90 and world.now() - sent_s <= 60, evening.levels()
    wait_for(lambda: _advance(world) and len(_obeyed(evening)) >= LAMPS, "every lamp has answered")


def _advance(world: World) -> bool:
    world.advance(1)
    return True


def _obeyed(evening: Evening) -> set[int]:
    """Lamps that have answered the record that a brighten asks of each."""
    return {
        node
        for node, kept in evening.lines.items()
        if len([line for _, line in kept if line.startswith("obeyed")]) >= (2 if node == 802 else 1)
    }


def test_the_flash_of_a_lamp_that_is_taken_down_tells_no_moments(evening: Evening) -> None:
    """What `kerb logs` shows, and a crash's record; the evidence itself lies in the outbox until it is overwritten."""
    board = evening.boards[0]
    board.cut_power()
    for path in board.list_files():
        if path.startswith(("/node/log", "/node/crash")):
            text = board.read_file(path)
            assert b"changed" not in text and b"wave" not in text and b"presence" not in text
    kept = board.read_file("/node/lamp")
    assert len(kept) < 1024
