"""The body of a report: records column by column, in the coder that its first byte names.

A first bit of one is packed (kerbwire.packed), a byte of 1 changes (kerbwire.levels), of 0 plain (kerbwire.plain).
Level changes of a lamp go out as changes, everything else packed; plain is for what these cannot say or make longer.
"""

from kerbwire import packed
from kerbwire.bits import BitWriter
from kerbwire.channels import CAUSE
from kerbwire.errors import TRUNCATED, UNSUPPORTED, WireError
from kerbwire.records import MAX_CHANGES, MAX_NUMBER, MAX_RECORDS, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN, CHANGES, PACKED = 0, 1, 0x80

__all__ = [
    "CHANGES", "MAX_CHANGES", "MAX_NUMBER", "MAX_RECORDS", "PACKED", "PLAIN", "Record",
    "decode", "encode", "fit", "is_short", "steps",
]  # fmt: skip


def encode(
    records: "list[Record]",
    boot: "int | None",
    uptime_now: "int | None",
    near: "tuple[int, int] | None" = None,
    coder: "int | None" = None,
) -> bytes:
    """The body of consecutive records. WireError for gaps, falling times or values out of range.

    uptime_now: None with a boot stands for the time of the last record. near: (index, UTC seconds) of a record that the
    node knows to be committed. coder: None for the shorter one, PLAIN for that one.
    """
    if coder == PLAIN or (boot is not None and _is_early(records, uptime_now)):
        try:
            from kerbwire import plain
        except ImportError:
            raise WireError(UNSUPPORTED, "coder")
        return plain.encode(records, boot, uptime_now)
    out = BitWriter()
    for _ in _work(out, records, boot, uptime_now, near):
        pass
    body = out.finish()
    if out.unusual:  # such as a mask, uneven intervals, even changes, fixed width: else plain is hardly ever shorter
        try:
            from kerbwire import plain  # a bundle may leave it out: packed says all that a node has

            other = plain.encode(records, boot, uptime_now)
        except (ImportError, WireError):  # or an interval that plain cannot say
            return body
        if len(other) < len(body):
            return other
    return body


def steps(
    records: "list[Record]",
    boot: "int | None",
    uptime_now: "int | None",
    near: "tuple[int, int] | None" = None,
    coder: "int | None" = None,
) -> "Iterator[bytes]":
    """`encode` in slices of bounded work, for a loop that must go on beside it: empty bytes each, the body at last."""
    out = BitWriter()
    written = bytearray()
    is_plain = coder == PLAIN or (boot is not None and _is_early(records, uptime_now))
    if not is_plain:
        yield b""
        work = _work(out, records, boot, uptime_now, near)
        yield b""
        for _ in work:
            yield b""
    body = out.finish()
    if is_plain or out.unusual:
        try:
            from kerbwire import plain

            for _ in plain.steps(written, records, boot, uptime_now):
                yield b""
        except (ImportError, WireError):
            if is_plain:
                raise
            written += body
        if is_plain or len(written) < len(body):
            body = bytes(written)
    yield body


def _is_early(records: "list[Record]", uptime_now: "int | None") -> bool:
    """Whether an uptime lies before the last record, which only plain can say."""
    return uptime_now is not None and bool(records) and uptime_now < records[-1].time


def _work(
    out: BitWriter,
    records: "list[Record]",
    boot: "int | None",
    uptime_now: "int | None",
    near: "tuple[int, int] | None",
) -> "Iterator[None]":
    if records and CAUSE in records[0].values:
        from kerbwire import levels  # no bin has a use for it

        if levels.can_say(records):
            return levels.steps(out, records, boot, uptime_now)
    return packed.steps(out, records, boot, uptime_now, near)


def decode(data: bytes, near: "tuple[int, int] | None" = None) -> "tuple[list[Record], int | None, int | None, int]":
    """(records, boot, uptime now, unknown columns skipped). WireError and nothing else for any other bytes.

    near: (index, UTC seconds) of the newest record committed, for a report that says only the low bits of both.
    """
    if not data:
        raise WireError(TRUNCATED, "report")
    # A node never reads a report, and its heap is small: so the readers are loaded here.
    if data[0] == PLAIN:
        from kerbwire import plain

        return plain.decode(data)
    if data[0] >= PACKED:
        from kerbwire import unpacked

        records, boot, uptime_now = unpacked.decode(data, near)
    elif data[0] == CHANGES:
        from kerbwire import levels

        records, boot, uptime_now = levels.decode(data)
    else:
        raise WireError(UNSUPPORTED, "coder")
    return records, boot, uptime_now, 0


def is_short(data: bytes) -> bool:
    """Whether a body says only the low bits of its first index and time."""
    return bool(data) and data[0] >> 5 == 4


def fit(
    records: "list[Record]",
    size: int,
    boot: "int | None" = None,
    uptime_now: "int | None" = None,
    near: "tuple[int, int] | None" = None,
) -> "tuple[int, bytes]":
    """(how many records from the first one on go into a body of `size` bytes, that body); (0, b"") if not even one.

    A record that cannot be sent at all ends the run before it.
    """
    count = len(records)
    if count > MAX_RECORDS:
        count = min(count, MAX_CHANGES if CAUSE in records[0].values else MAX_RECORDS)
    best, body = 0, b""
    short = count + 1  # the fewest records known not to fit
    while best < count < short:
        try:
            run = records if count == len(records) else records[:count]
            tried = encode(run, boot, uptime_now, near)
        except WireError:
            short, count = count, best + (count - best >> 1)
            continue
        if len(tried) <= size:
            best, body = count, tried
            count += 1
        else:
            short, count = count, min(max(best + 1, count * size // len(tried)), count - 1)
    return best, body
