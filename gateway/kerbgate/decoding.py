"""From the clear text of an uplink to what the store books: a report, a hello, or the reason why it is neither."""

from kerbgate.store.items import HelloFacts
from kerbwire import frame, messages
from kerbwire.errors import WireError
from kerbwire.messages import Hello, Report

UNKNOWN_KIND = "unknown kind"


def read(message: bytes, near: tuple[int, int] | None = None) -> Report | Hello | str:
    """A report or a hello; or, for bytes that this version cannot read, a short stable reason (law 5).

    near: (index, UTC seconds) of the life's newest committed record, from which a short report is resolved.
    """
    try:
        decoded = messages.decode(message, frame.UP, near)
    except WireError as error:
        return error.code
    if isinstance(decoded, Report | Hello):
        return decoded
    return UNKNOWN_KIND


def facts(hello: Hello, *, confirm: bool) -> HelloFacts:
    """What the store keeps of a hello beside its bytes."""
    return HelloFacts(confirm, hello.next_index, tuple(hello.gaps))


def read_again(message: bytes) -> tuple[int, int, int] | HelloFacts | str:
    """What an undecoded row has become under this version: (first index, count, first time), a hello, or the reason
    still. A short report stays as it is: what was near when it came is not near now.
    """
    decoded = read(message)
    if isinstance(decoded, Report):
        return decoded.records[0].index, len(decoded.records), decoded.records[0].time
    if isinstance(decoded, Hello):
        return facts(decoded, confirm=False)
    return decoded


def is_short(message: bytes) -> bool:
    """Whether a report says only the low bits of its first index and time."""
    return messages.is_short(message)
