"""Links: what carries frames, each opened from a string SCHEME:ADDRESS?OPTION=VALUE&... of /node/links.json.

The module kerbnode.link.SCHEME is loaded only where it is named. It has

    opened(hal, board, address, options, identity) -> link

address: what stands between scheme and `?`; options: texts by name, and "folder", where files of secrets lie. It may
take seconds inside hal.sleep_ms, and raises OSError with a text that says what to check. A link has

    send(frame)             hand a frame over; what cannot be is lost, and counted
    receive(timeout_ms)     the next frame, or None when the time is over
    close()                 before a sleep: the radio draws nothing after it, whatever fails
    noise                   count of what came and was no frame
    tally                   kerbnode.link.tally.Tally

Nothing waits without an end, and every wait is one of hal.sleep_ms.
"""

from kerbnode import flash

FILE = "/links.json"
SERIAL = b'["serial:"]'


def of_lamp(hal, board, identity, journal, folder, pace, loop, clock, bell, line):
    """The link of a lamp: its street's line (kerbnode.link.shared) where links.json names no other."""
    text = flash.read(folder + FILE)
    if text and text.strip() != SERIAL:
        from kerbnode.link.uplink import Uplink

        return Uplink(text, hal, board, identity, journal, folder, pace, loop, clock, bell, line)
    return line


def opened(hal, board, identity, journal, folder, pace, text=None):
    """The link of a node: the UART of board.json where links.json names no other. pace: of its exchanges. text: of
    links.json, where the caller has read it, while the heap had room for a file's buffer."""
    if text is None:
        text = flash.read(folder + FILE)
    if text and text.strip() != SERIAL:
        from kerbnode.link.fallback import Fallback

        return Fallback(text, hal, board, identity, journal, folder, pace)
    from kerbnode.link import serial

    return serial.opened(hal, board, "", {}, identity)
