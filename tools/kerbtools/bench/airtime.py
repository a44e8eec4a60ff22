"""Air time and energy of a bin's day over LoRa, EU868, with our retry rule: computed, not measured on hardware.

Time on air is Semtech's formula (AN1200.13, section 4; SX1276 data sheet, section 4.1.1.7) with 125 kHz, coding rate
4/5, 8 preamble symbols, explicit header, CRC, and low data rate optimisation from SF11 on; a frame takes 13 bytes of
PHY and MAC beside its payload. Energy is the transmitter's alone: 45 mA at 3.3 V, the typical figure of the SX1262 data
sheet (DS.SX1261-2, power consumption in transmit mode) for +14 dBm at 868 MHz with the optimal PA settings; with the
settings for +22 dBm it is 90 mA. Listening comes to that, and is the same for all formats.

The rule: one frame at a time, sent again under a new number until its ack is heard, at most 16 frames a day, as
`kerbnode.bin.pace` has it. Uplinks and acks are lost with the same chance, each for itself. The expected values are
exact.
"""

import math
from collections.abc import Iterator, Sequence
from types import ModuleType

from kerbnode.bin.pace import MAX_FRAMES_A_DAY
from kerbtools.bench import ours, peers, workload
from kerbtools.bench.peers import SEAL
from kerbtools.bench.workload import Series

SPREADING_FACTORS = (7, 12)
BUDGETS = (36, 51)  # bytes of a sealed frame; 51 is one LoRaWAN DR0 payload
LOSSES = (0.0, 0.3, 0.5)
MAC_BYTES = 13
TRANSMIT_WATTS = 0.045 * 3.3
_BANDWIDTH_HZ = 125_000
_PREAMBLE = 8
_CODING = 1  # 4/5
_REMARK = "computed; transmitter only, 45 mA at 3.3 V (SX1262, +14 dBm)"
_PEERS = ("CBOR, int keys", "MessagePack, int keys", "SenML-CBOR")


def time_on_air_s(payload: int, spreading_factor: int) -> float:
    """Seconds of one frame with so many bytes of payload, MAC_BYTES not included."""
    symbol = 2**spreading_factor / _BANDWIDTH_HZ
    slow = spreading_factor >= 11
    bits = 8 * (payload + MAC_BYTES) - 4 * spreading_factor + 28 + 16
    groups = max(math.ceil(bits / (4 * (spreading_factor - 2 * slow))), 0)
    return (_PREAMBLE + 4.25 + 8 + groups * (_CODING + 4)) * symbol


def expected_sends(frames: int, loss: float, most: int = MAX_FRAMES_A_DAY) -> tuple[list[float], float]:
    """(expected transmissions of each frame, chance that all are delivered) with at most so many transmissions."""
    sends = [0.0] * frames
    # Chance of being at a frame whose copy the gateway has not (0) or has (1); what is acked moves on.
    at = [[0.0, 0.0] for _ in range(frames + 1)]
    at[0][0] = 1.0
    for _ in range(most):
        after = [[0.0, 0.0] for _ in range(frames + 1)]
        after[frames][0] = at[frames][0]
        for number in range(frames):
            for had, chance in enumerate(at[number]):
                sends[number] += chance
                after[number + 1][0] += chance * (1 - loss) ** 2
                after[number][1] += chance * (1 - loss) * loss
                after[number][had] += chance * loss
        at = after
    return sends, at[frames][0] + at[frames - 1][1]


def rows(days: ModuleType, seeds: Sequence[int]) -> Iterator[dict[str, object]]:
    """A row a format, budget, spreading factor and loss."""
    workloads = [workload.bin_day(days, seed) for seed in seeds]
    for budget in BUDGETS:
        formats = {"ours": [_ours(day, budget) for day in workloads]}
        for peer in peers.PEERS:
            if peer.name in _PEERS:
                formats[peer.name] = [_split(peer, peers.fair(day), budget) for day in workloads]
        for name, sizes in formats.items():
            frames = max(map(len, sizes))
            if not all(sizes) or frames > MAX_FRAMES_A_DAY:
                yield _row(name, budget, f"{frames} frames a day" if all(sizes) else "one record does not fit")
                continue
            for spreading_factor in SPREADING_FACTORS:
                for loss in LOSSES:
                    yield _expected(name, budget, sizes, spreading_factor, loss)


def _expected(name: str, budget: int, sizes: list[list[int]], spreading_factor: int, loss: float) -> dict[str, object]:
    sent = seconds = delivered = 0.0
    for frames in sizes:
        sends, chance = expected_sends(len(frames), loss)
        sent += sum(sends)
        air = [time_on_air_s(size + SEAL, spreading_factor) for size in frames]
        seconds += sum(n * each for n, each in zip(sends, air, strict=True))
        delivered += chance
    return _row(
        name,
        budget,
        _REMARK,
        spreading_factor=spreading_factor,
        loss=loss,
        frames_a_day=sum(map(len, sizes)) / len(sizes),
        transmissions=sent / len(sizes),
        delivered_share=delivered / len(sizes),
        air_time_s=seconds / delivered,
        energy_mj=1000 * TRANSMIT_WATTS * seconds / delivered,
    )


def _row(name: str, budget: int, remark: str, **figures: float) -> dict[str, object]:
    keys = (
        "spreading_factor", "loss", "frames_a_day", "transmissions", "delivered_share", "air_time_s", "energy_mj",
    )  # fmt: skip
    return {
        "bin_day_over_lora": name,
        "budget_bytes": budget,
        **{key: figures.get(key, "") for key in keys},
        "remark": remark,
    }


def _ours(day: Series, budget: int) -> list[int]:
    records = workload.records(day)
    return [len(message) for message in ours.split(records, budget, ours.before(records))]


def _split(peer: peers.Peer, day: Series, budget: int) -> list[int]:
    """Bytes of messages whose sealed frames fit the budget; empty if one record does not."""
    made: list[int] = []
    at, count = 0, len(day.times)
    while at < count:
        for stop in range(count, at, -1):
            size = len(peer.encode(day.part(at, stop)))
            if size + SEAL <= budget:
                break
        else:
            return []
        made.append(size)
        at = stop
    return made
