"""From the clear text of an uplink to what the store books: a report, a hello, or the reason why it is neither."""

from kerbgate.store.items import HelloFacts, Reading
from kerbwire import frame, messages
from kerbwire.channels import CAUSE
from kerbwire.controls import Result
from kerbwire.errors import WireError
from kerbwire.messages import Hello, Report

UNKNOWN_KIND = "unknown kind"


def read(message: bytes, near: tuple[int, int] | None = None) -> Report | Hello | Result | str:
    """A report, a hello or a result; or, for bytes that this version cannot read, a short stable reason (law 5).

    near: (index, UTC seconds) of the life's newest committed record, from which a short report is resolved.
    """
    try:
        decoded = messages.decode(message, frame.UP, near)
    except WireError as error:
        return error.code
    if isinstance(decoded, Report | Hello | Result):
        return decoded
    return UNKNOWN_KIND


def facts(hello: Hello, *, confirm: bool) -> HelloFacts:
    """What the store keeps of a hello beside its bytes."""
    return HelloFacts(confirm, hello.next_index, tuple(hello.gaps))


def reading(report: Report) -> Reading:
    """What the store books of a report."""
    records = report.records
    first, last = records[0], records[-1]
    newest = (last.index, last.time) if report.boot is None else None
    return Reading(report, first.index, len(records), first.time, newest, CAUSE in first.values)


def read_again(message: bytes, near: tuple[int, int] | None = None) -> Reading | HelloFacts | str:
    """What a stored message is under this version: a report, a hello, or the reason still why it is neither.

    near: as of `read`.
    """
    decoded = read(message, near)
    if isinstance(decoded, Report):
        return reading(decoded)
    if isinstance(decoded, Hello):
        return facts(decoded, confirm=False)
    return UNKNOWN_KIND if isinstance(decoded, Result) else decoded


def is_short(message: bytes) -> bool:
    """Whether a report says only the low bits of its first index and time."""
    return messages.is_short(message)
