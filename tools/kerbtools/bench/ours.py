"""What kerbwire makes of the workload: messages, sealed frames, and runs of records split into frames of a budget."""

import copy
from collections.abc import Generator
from contextlib import contextmanager

from kerbtools.bench.peers import SEAL
from kerbtools.bench.workload import Series
from kerbwire import cbor, channels, columns, events, frame, messages, seal
from kerbwire.messages import Record, Report

NODE, SEQ = 417, 20533  # two bytes each, as in the field
KEY = seal.uplink_key(bytes(16), NODE, bytes(8))
MAX_PLAIN = 48  # records


def sealed(message: bytes) -> bytes:
    """The frame with a 2-byte address and a 2-byte sequence number."""
    return KEY.seal(frame.UP, 0, NODE, SEQ, message)


def before(records: list[Record]) -> tuple[int, int]:
    """Index and time of a record that was committed the day before: the node and the gateway both know it."""
    return max(0, records[0].index - 24), records[0].time - 86400


def report(records: list[Record]) -> bytes:
    """The message of a node whose last ack was a day ago: index and time by their low 16 bits."""
    return messages.encode(Report(records), before(records))


def split(records: list[Record], budget: int, near: tuple[int, int] | None = None) -> list[bytes]:
    """Messages whose sealed frames have at most `budget` bytes, as full as they go; none if one record is longer.

    near: as of messages.encode; without it index and time stand in full.
    """
    made: list[bytes] = []
    at = 0
    while at < len(records):
        count, message = messages.fit(records[at:], min(budget - SEAL, frame.MAX_MESSAGE), near=near)
        if not count:
            return []
        made.append(message)
        at += count
    return made


def plain(records: list[Record], budget: int) -> list[bytes]:
    """The same with the plain coder, which stays as the fallback: halved until it fits."""
    message = cbor.encode([messages.REPORT, columns.encode(records[:MAX_PLAIN], None, None, None, columns.PLAIN)])
    if len(records) <= MAX_PLAIN and len(message) + SEAL <= budget:
        return [message]
    half = len(records) // 2
    return plain(records[:half], budget) + plain(records[half:], budget)


def read(message: bytes, near: tuple[int, int] | None = None) -> list[Record]:
    """The records of a report; WireError."""
    return messages.decode(message, frame.UP, near).records


def alarm(series: Series) -> bytes:
    """The event message of an alarm."""
    raised = events.Event(
        series.index,
        series.times[0],
        events.FIRE,
        series.columns["severity"][0],
        events.RAISED,
        {channels.TEMPERATURE: series.once["temperature"]},
    )
    return messages.encode(raised)


@contextmanager
def tenths() -> Generator[None]:
    """The temperature channel at 0.1 degC while the context lasts."""
    row = channels.CHANNELS[channels.TEMPERATURE]
    fine = copy.copy(row)
    fine.denominator, fine.low, fine.high = 10, row.low * 5, row.high * 5
    if hasattr(fine, "width"):
        fine.width = (fine.high - fine.low + len(channels.SPECIAL)).bit_length()
    channels.CHANNELS[channels.TEMPERATURE] = fine
    try:
        yield
    finally:
        channels.CHANNELS[channels.TEMPERATURE] = row
