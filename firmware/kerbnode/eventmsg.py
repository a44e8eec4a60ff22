"""An event as the bytes of a message."""

from kerbwire import messages
from kerbwire.errors import WireError
from kerbwire.events import Event


def event(index, item, boot, uptime_now):
    """(message, 1) of an event as kerbnode.chunks has it; (b"", 0) if it cannot be said."""
    time, _, evidence, code, severity, state, _ = item
    try:
        return messages.encode_fields(Event(index, time, code, severity, state, evidence, boot, uptime_now)), 1
    except WireError:
        return b"", 0
