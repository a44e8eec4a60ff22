"""From the clear text of an uplink to what the store books: a report, a hello, or the reason why it is neither."""

from kerbgate.store.items import HelloFacts
from kerbwire import frame, messages
from kerbwire.errors import WireError
from kerbwire.messages import Hello, Report

UNKNOWN_KIND = "unknown kind"


def read(message: bytes) -> Report | Hello | str:
    """A report or a hello; or, for bytes that this version cannot read, a short stable reason (law 5)."""
    try:
        decoded = messages.decode(message, frame.UP)
    except WireError as error:
        return error.code
    if isinstance(decoded, Report | Hello):
        return decoded
    return UNKNOWN_KIND


def facts(hello: Hello, *, confirm: bool) -> HelloFacts:
    """What the store keeps of a hello beside its bytes."""
    return HelloFacts(confirm, hello.next_index, tuple(hello.gaps))


def read_again(message: bytes) -> tuple[int, int] | HelloFacts | str:
    """What an undecoded row has become under this version: (first index, count), a hello, or the reason still."""
    decoded = read(message)
    if isinstance(decoded, Report):
        return decoded.records[0].index, len(decoded.records)
    if isinstance(decoded, Hello):
        return facts(decoded, confirm=False)
    return decoded
