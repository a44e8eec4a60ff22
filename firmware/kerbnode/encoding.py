"""What a node says, as the bytes of messages. Loaded for that, and let go before the node listens: a report takes more
code than all that comes back."""

from kerbwire import messages
from kerbwire.errors import WireError
from kerbwire.events import Event


def message(content):
    """Of any message that is no report."""
    return messages.encode(content)


def event(index, item, boot, uptime_now):
    """(message, 1) of an event as kerbnode.chunks has it; (b"", 0) if it cannot be said."""
    time, _, evidence, code, severity, state, _ = item
    try:
        return messages.encode(Event(index, time, code, severity, state, evidence, boot, uptime_now)), 1
    except WireError:
        return b"", 0


def report(run, boot, uptime_now, near):
    """(message, how many records of the run [(index, time, boot, values)] it holds); (b"", 0) if not even the first can
    be sent."""
    records = [messages.Record(index, time, values) for index, time, _, values in run]
    count, body = messages.fit(records, messages.MAX_MESSAGE, boot, uptime_now, near)
    return body, count
