"""The log as messages: after a reboot, and where the gateway asks for it."""

from kerbnode import log
from kerbwire.controls import MAX_LOG, Log


def messages(folder, boot, first):
    """What is held of a boot's log from line `first` on."""
    found = []
    for number, data in log.pieces(folder, boot, first, MAX_LOG):
        found.append(Log(boot, number, data, number - first if number > first else None))
        first = number + data.count(b"\n")
    return found
