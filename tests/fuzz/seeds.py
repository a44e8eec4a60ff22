"""Valid inputs of every reader, to be mutated: `python tests/fuzz/seeds.py FOLDER` writes READER.hex, one a line."""

import json
import sys
from pathlib import Path

import dns.message
import dns.rrset

from kerbwire import capture, cbor, columns, controls, events, fragment, line, messages, modem, updates, waves
from kerbwire.channels import CHANNELS, FAULT, LAMP, NO_ECHO, NOT_FITTED
from kerbwire.frame import MAX_MESSAGE
from kerbwire.messages import Ack, Challenge, Hello, Record, Report

VECTORS = Path(__file__).parents[1] / "vectors" / "frames.json"
START = 1765454400
NEAR = (41000, START - 4400)  # what the reader `near` has committed, in fuzzing.py
BIN_CHANNELS = (0, 2, 5)
LAMP_CHANNELS = (16, 17, 18, 19, 20, 21, 23)


def records(channels: tuple[int, ...], count: int, step_s: int, sparse: bool = False) -> list[Record]:
    """Values that wander through their ranges, with special values and, if sparse, gaps."""
    found: list[Record] = []
    for i in range(count):
        values: dict[int, int] = {}
        for ident in channels:
            row = CHANNELS[ident]
            span = row.high - row.low
            values[ident] = row.low + (i * i * 7 + ident * 13 + i) % min(span + 1, 40 + ident)
            if sparse and (i + ident) % 5 == 0:
                values[ident] = (NOT_FITTED, NO_ECHO, FAULT)[i % 3]
            if sparse and (i * 3 + ident) % 7 == 0:
                del values[ident]
        found.append(Record(41203 + i, START + step_s * i + (i % 3 if sparse else 0), values))
    return found


def reports() -> list[Report]:
    found = [Report(records(BIN_CHANNELS, count, 3600)) for count in (1, 2, 24)]
    found.append(Report(records((*BIN_CHANNELS, 3), 24, 3600)))
    found.append(Report(records((0, 1, 2, 3, 4, 5), 6, 900, sparse=True)))
    found.append(Report(records(LAMP_CHANNELS, 12, 900)))
    found.append(Report(records(LAMP_CHANNELS, 8, 77, sparse=True)))
    found.append(Report(records(tuple(i for i, row in CHANNELS.items() if LAMP in row.roles), 5, 900)))
    found.append(Report(records(BIN_CHANNELS, 5, 3600), boot=4, uptime_now=START + 99999))
    found.append(Report([Record(7, 100, {}), Record(8, 160, {0: 1})]))
    return found


def others() -> "list[object]":
    ident, digest = b"\x01\x02\x03\x04", b"configur"
    return [
        Hello(0, "esp32_c3", "0.1.0", b"bundle..", 1, 3, digest, 64, [(5, 59), (70, 1)], b"12345678"),
        Ack(20533, [20533, 20530, 300, 7], START, True),
        Challenge(5, b"12345678"),
        events.Event(7, START, events.FIRE, 3, 0, {2: 180, 0: NO_ECHO}),
        events.Event(70000, 500, events.LAMP_FAILURE, 1, 2, {17: 0, 22: 230}, 4, 900),
        controls.Command(5, 77, controls.DIM, [50, 10, 600], START, 600),
        controls.Command(1 << 30, 1 << 31, controls.RELEASE, [], START, 1, 0),
        controls.Result(77, 1, -5),
        controls.Log(4, 100, b"a line of log\n" * 5, 3),
        controls.Config(5, 78, 3, {1: 5, 2: None, 9: -70000}, digest),
        updates.UpdateState(ident, 1, 5, b"\xff\x00\xff", 2),
        updates.UpdateOffer(5, bytes(range(32)), 40000, 209, ident),
        updates.UpdateBlock(5, ident, 7, bytes(range(190))),
        waves.Wave(80, 3, 1, 14, 60),
        waves.Brighten(100, 600, 12),
    ]


def encoded() -> list[bytes]:
    """Every message above that fits its frame."""
    return [data for data in map(messages.encode, [*reports(), *others()]) if len(data) <= MAX_MESSAGE]


def by_reader() -> dict[str, list[bytes]]:
    """The seeds of each row of fuzzing.READERS."""
    rows = json.loads(VECTORS.read_text())["vectors"]
    frames = [bytes.fromhex(row["frame"]) for row in rows]
    every = [bytes.fromhex(row["message"]) for row in rows] + encoded()
    lines = [line.encode(data) for data in frames]
    writer = capture.Writer("serial:/dev/ttyACM0?baud=115200", START * 1000, "kerb 0.1.0")
    start = writer.start()
    kept = [writer.record(i, i & 1, i, data) for i, data in enumerate(frames)]
    near = [columns.encode(report.records, None, None, NEAR) for report in reports() if report.boot is None]
    return {
        **dict.fromkeys(("cbor", "up", "down", "group"), every),
        "report": [cbor.decode(data)[1] for data in every if data[1] == messages.REPORT],
        "near": [data for data in near if data[0] >= columns.PACKED],
        "event": [cbor.decode(data)[1] for data in every if data[1] == messages.EVENT],
        "header": frames,
        "opener": frames,
        "line": lines,
        "cobs": [data[:-1] for data in lines],
        "modem": [
            modem.Ask(868100, 869525, 9, 14, 36000).encode(),
            modem.State(0, 868100, 869525, 9, 14, 360000, (9, 8, 7, 6, 5), "0.1.0 pico_w").encode(),
            modem.Heard(-101, -20, 410, 0x29B1).encode(),
            modem.Done(0, 226, 0x29B1).encode(),
        ],
        "fragment": [part for i, data in enumerate(frames) for part in fragment.split(data, i, 20 + 37 * (i % 7))],
        "capture": [start, start[len(capture.MAGIC) :], *kept],
        "lookup": answers(),
    }


def answers() -> list[bytes]:
    """What name servers say of broker.example: an address, one behind aliases, several."""
    records = (
        ["broker.example. 300 IN A 10.0.0.2"],
        ["BROKER.example. 60 IN A 10.0.0.2", "broker.example. 60 IN A 10.0.0.3"],
        ["broker.example. 60 IN CNAME mail.example.", "mail.example. 0 IN CNAME ns.mail.example.",
         "ns.mail.example. 9000000 IN A 10.0.0.9"],
    )  # fmt: skip
    found: list[bytes] = []
    for number, texts in enumerate(records):
        made = dns.message.make_response(
            dns.message.make_query("broker.example.", "A", id=number * 511), recursion_available=True
        )
        made.answer = [dns.rrset.from_text(*text.split(" ", 4)) for text in texts]
        found.append(made.to_wire())
    return found


def write(folder: Path) -> None:
    for name, found in by_reader().items():
        (folder / f"{name}.hex").write_text("".join(data.hex() + "\n" for data in found))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
