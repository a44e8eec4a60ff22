"""From the clear text of an uplink to what the store books: report, event, hello, log, or why it is none of them."""

from kerbgate.store.items import HelloFacts, Reading
from kerbwire import columns, frame, messages
from kerbwire.channels import CAUSE
from kerbwire.controls import Log, Result
from kerbwire.errors import WireError
from kerbwire.events import Event
from kerbwire.messages import Hello, Report

UNKNOWN_KIND = "unknown kind"
_REPORT = bytes((0x82, messages.REPORT))  # CBOR: an array of two, the kind
Uplink = Report | Event | Hello | Result | Log


def read(message: bytes, near: tuple[int, int] | None = None) -> Uplink | str:
    """What a node says; or, for bytes that this version cannot read, a short stable reason (law 5).

    near: (index, UTC seconds) of the life's newest committed record, from which a short report is resolved.
    """
    try:
        if message[:2] == _REPORT:
            return _report(message, near)
        decoded = messages.decode(message, frame.UP, near)
    except WireError as error:
        return error.code
    if isinstance(decoded, Uplink):
        return decoded
    return UNKNOWN_KIND


def _report(message: bytes, near: tuple[int, int] | None) -> Report:
    """What messages.decode makes of a report, which nearly every frame holds, without the way there. WireError."""
    size = message[2] - 0x40 if len(message) > 2 else -1  # CBOR: a byte string of up to 23 bytes, or up to 255
    if 0 < size < 24 and len(message) == size + 3:
        body = message[3:]
    elif size == 24 and len(message) > 27 and len(message) == message[3] + 4:
        body = message[4:]
    else:
        return messages.decode(message, frame.UP, near)
    records, boot, uptime_now, skipped = columns.decode(body, near)
    report = Report(records, boot, uptime_now)
    report.skipped = skipped
    if body[0] == columns.PLAIN:
        report.coder = columns.PLAIN
    return report


def facts(hello: Hello, *, confirm: bool) -> HelloFacts:
    """What the store keeps of a hello beside its bytes."""
    return HelloFacts(confirm, hello.next_index, tuple(hello.gaps))


def reading(report: Report | Event) -> Reading:
    """What the store books of a report, or of an event: one index of the same counter, kept for ever."""
    if isinstance(report, Event):
        newest = (report.index, report.time) if report.boot is None else None
        return Reading(report, report.index, 1, report.time, newest, True)
    records = report.records
    first, last = records[0], records[-1]
    newest = (last.index, last.time) if report.boot is None else None
    return Reading(report, first.index, len(records), first.time, newest, CAUSE in first.values)


def read_again(message: bytes, near: tuple[int, int] | None = None) -> Reading | HelloFacts | Log | str:
    """What a stored message is under this version: something to book, or the reason still why it is not.

    near: as of `read`.
    """
    decoded = read(message, near)
    if isinstance(decoded, Report | Event):
        return reading(decoded)
    if isinstance(decoded, Hello):
        return facts(decoded, confirm=False)
    return UNKNOWN_KIND if isinstance(decoded, Result) else decoded


def is_short(message: bytes) -> bool:
    """Whether a report says only the low bits of its first index and time."""
    return messages.is_short(message)
