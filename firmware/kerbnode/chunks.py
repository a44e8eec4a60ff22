"""What a segment of the outbox consists of: a row of chunks, each length (2 bytes), CRC-32 (4), CBOR array. Pure.

Of a record [time, boot, values, judge]; of an event, which has a number from the same counter, [time, boot, evidence,
code, severity, state, judge]. boot is 0 where the time is UTC; judge is what kerbnode.bin.events was left with.
"""

from binascii import crc32

from kerbwire.cbor import encode

SEGMENT_RECORDS = 32  # 512 bytes to 1 KB; what that wears: firmware/OUTBOX.md
MAX_RECORD = 96  # bytes of one record's CBOR: a whole segment fits flash.MAX_FILE
HEAD = 6


def chunk(item):
    """The bytes of a record or an event. ValueError for one that is too long."""
    body = encode(item)
    if len(body) > MAX_RECORD:
        raise ValueError("record over %d bytes" % MAX_RECORD)
    return len(body).to_bytes(2, "big") + crc32(body).to_bytes(4, "big") + body


def scan(data):
    """(how many chunks check out from the start on, where they end)"""
    count = at = 0
    while count < SEGMENT_RECORDS and at + HEAD <= len(data):
        size = data[at] << 8 | data[at + 1]
        end = at + HEAD + size
        if not 0 < size <= MAX_RECORD or end > len(data):  # a tail of zeros would check out as an empty chunk
            break
        if crc32(data[at + HEAD : end]) != int.from_bytes(data[at + 2 : at + HEAD], "big"):
            break
        count += 1
        at = end
    return count, at


def place(folder, life, first):
    """Where the segment lies whose first number is `first`. folder: the outbox's."""
    return "%s/%s/%08x" % (folder, shown(life), first)


def shown(life):
    """A life as files and console lines show it."""
    return "".join(["%02x" % byte for byte in life])
