"""A street on LoRa, real firmware at both ends of the air: loss, collisions, an attacker in range, a modem unplugged."""

import random
from typing import Any

import pytest
from street_harness import DEADLINE_S, wait_for

from kerbtools.demo.link_lora import Link
from kerbtools.demo.street import Street
from kerbtools.emulator.lora_air import LoraAir, Packet

pytestmark = pytest.mark.timeout(4 * DEADLINE_S)

CONFIG = {"heat_s": 0, "report_records": 4}
SPEED = 6 * 3600.0


class Attacker:
    """Hears everything, and says it again, changes it and makes up frames: behind an uplink, in the answer's place."""

    name = "attacker"

    def __init__(self, air: LoraAir, place_m: tuple[float, float]) -> None:
        self.place_m = place_m
        self.sent = 0
        self._air = air
        self._kept: dict[int, list[bytes]] = {}
        self._newest = 0
        self._random = random.Random(1)
        air.join(self)

    def air_changed(self) -> None:
        for khz in (868_100, 869_525):
            for packet in self._air.on(khz, 9, 0):
                if packet.number > self._newest and packet.sender is not self:
                    self._newest = packet.number
                    self._react(packet)

    def _react(self, packet: Packet) -> None:
        kept = self._kept.setdefault(packet.khz, [])
        kept.append(packet.data)
        if self._random.random() > 0.25:
            return
        old = self._random.choice(kept)
        forged = packet.data[:4] + self._random.randbytes(len(packet.data) - 4)
        bent = bytearray(packet.data)
        bent[-1] ^= 1
        for data in (old, forged, bytes(bent)):
            after_us = packet.end_us + self._random.randrange(2_000_000, 8_000_000)
            self._air.send(self, data, packet.khz, 9, 14, after_us)
            self.sent += 1
        if packet.khz == 868_100:  # louder than the modem, at the moment when a node listens
            down = self._kept.get(869_525, [])
            answer = self._random.choice(down) if down else self._random.randbytes(30)
            self._air.send(self, answer, 869_525, 9, 22, packet.end_us + 8_000)


def inlet(street: Street) -> dict[str, Any]:
    [found] = street.gateway.status()["inlets"]
    return found


def test_a_node_its_modem_and_a_gateway_through_a_third_of_loss() -> None:
    with Street(seed=3, speed=SPEED, link="lora", config={**CONFIG, "report_records": 3}) as street:
        kind = street.links.kind("lora")
        assert isinstance(kind, Link)
        kind.air.loss = 0.3
        for board in street.boards[1:]:
            board.cut_power()
        wait_for(lambda: len(street.council.record_ids()) >= 6, "two reports")
        taken = street.ledger.taken()
        street.settle(taken, DEADLINE_S)
        verdict = street.verdict(taken)
        assert verdict.lost == 0 and verdict.doubled == 0, verdict
        assert inlet(street)["connected"] and not inlet(street)["refused"].keys() - {"duplicate"}
        assert any(line.startswith("link lora frames") for line in street.boards[0].console)


@pytest.mark.soak
def test_loss_collisions_an_attacker_and_an_unplugged_modem_lose_and_double_nothing() -> None:
    with Street(seed=7, speed=SPEED, link="lora", config=CONFIG) as street:
        kind = street.links.kind("lora")
        assert isinstance(kind, Link)
        kind.air.loss = 0.3
        attacker = Attacker(kind.air, (60.0, 60.0))
        wait_for(lambda: len(street.council.counts()) == 3, "each node has reported through loss and attack")
        kind.modem.cut_power()
        start = street.virtual_hours()
        wait_for(lambda: street.virtual_hours() > start + 4, "hours without a modem")
        kind.modem.restore_power()
        taken = street.ledger.taken()
        street.settle(taken, DEADLINE_S)
        verdict = street.verdict(taken)
        assert verdict.lost == 0 and verdict.doubled == 0, verdict
        refused = inlet(street)["refused"]
        assert attacker.sent > 10 and isinstance(refused, dict) and sum(refused.values()) > 5, (attacker.sent, refused)
        assert kind.air.tally.collided > 0
        told = [line for board in street.boards for line in board.console if line.startswith("note refused")]
        assert told, "the nodes count what strangers said"
        for board in [*street.boards, kind.modem]:
            assert not board.part("lora").mistakes
