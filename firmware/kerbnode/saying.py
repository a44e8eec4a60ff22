"""What a node says, as the bytes of messages, events (kerbnode.eventmsg) and reports (kerbnode.encoding) apart."""

from kerbnode import __version__
from kerbwire import messages
from kerbwire.channels import BIN


def hello(board, cause, counters, hashes, challenge):
    """The Hello of this moment, of a bin. hashes: of bundle and configuration."""
    return messages.Hello(
        role=BIN,
        board=board,
        firmware=__version__,
        bundle=hashes[0],
        reset_cause=cause,
        boot_count=counters.boot_count,
        config_hash=hashes[1],
        next_index=counters.next_index,
        gaps=list(counters.gaps),
        challenge=challenge,
    )


def message(content):
    """Of any message that is no report."""
    return messages.encode_fields(content)
