"""A bin's day in one pass: numbers for fill, temperature and one and the same quality in every record, nothing unusual.

It writes the bits that kerbwire.packed would write column by column, in less time and heap. PROTOCOL.md has the layout.
"""

from kerbwire.bits import CLIP, BitWriter, parameter
from kerbwire.channels import BATTERY, CHANNELS, FILL, QUALITY, TEMPERATURE
from kerbwire.coders import code_of, put_one
from kerbwire.layout import OFFSET, SETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kerbwire.channels import Channel
    from kerbwire.records import Record


def put(out: BitWriter, records: "list[Record]") -> bool:
    """The set's number and its columns. False, and nothing is written: these are not such records."""
    values = records[0].values
    number = 1 if BATTERY in values else 0
    if len(values) != 3 + number or SETS[number][0] != (FILL, TEMPERATURE, QUALITY):
        return False
    fills, temperatures = bytearray(len(records)), bytearray(len(records))
    totals = _measure(records, fills, temperatures)
    if totals < 0:
        return False
    start = out.size()
    out.put(number, 3)
    if not put_differences(out, CHANNELS[FILL], values[FILL], fills, totals >> 16, len(records)) or not put_differences(
        out, CHANNELS[TEMPERATURE], values[TEMPERATURE], temperatures, totals & 0xFFFF, len(records)
    ):
        out.cut(start)
        return False
    put_differences(out, CHANNELS[QUALITY], values[QUALITY], fills, 0, len(records))
    if number:
        put_one(out, CHANNELS[BATTERY], code_of(CHANNELS[BATTERY], values[BATTERY]))
    return True


def _measure(records: "list[Record]", fills: bytearray, temperatures: bytearray) -> int:
    """Fill in what HOLD and SLOPE did not expect, zigzag, from the second record on.

    Returns their clipped sums, of fill << 16 | of temperature: 96 of 12 at most; -1 if something is unusual.
    """
    length = len  # a name that is not the module's own is found slowly on a board
    clip, fill_id, temperature_id, quality_id = CLIP, FILL, TEMPERATURE, QUALITY
    highest = CHANNELS[FILL].high  # its lowest is 0
    low, high = CHANNELS[TEMPERATURE].low, CHANNELS[TEMPERATURE].high
    values = records[0].values
    found = (1 - length(records)) * 3 - length(values)
    fill_total = total = rise = rise_before = 0
    i = -1  # what the first record makes goes into the last place, which nobody reads
    try:  # taking a value is much faster than asking for its key
        fill, temperature, quality = values[fill_id], values[temperature_id], values[quality_id]
        if not 0 <= quality <= CHANNELS[QUALITY].high:
            return -1
        for record in records:
            values = record.values
            found += length(values)
            rest = fill
            fill = values[fill_id]
            if not 0 <= fill <= highest or values[quality_id] != quality:
                return -1
            rest -= fill
            rest = rest << 1 ^ rest >> 31
            fill_total += rest if rest < clip else clip
            fills[i] = rest
            rest = temperature
            temperature = values[temperature_id]
            if not low <= temperature <= high:
                return -1
            rest -= temperature
            expected = (rise + rise_before) * 3 >> 3
            rise_before = rise
            rise = -rest
            rest += expected
            rest = rest << 1 ^ rest >> 31
            if rest < clip:
                total += rest
            elif rest < 256:
                total += clip
            else:
                return -1
            temperatures[i] = rest
            i += 1
    except KeyError:
        return -1
    return -1 if found else fill_total << 16 | total


def put_differences(
    out: BitWriter, channel: "Channel", first: int, rests: "Sequence[int]", total: int, count: int
) -> bool:
    """A column of `count` numbers: the first, and what was not expected of the others.

    total: the clipped sum of these, 0 also for one and the same number of a coder that expects otherwise. False, and
    nothing is written: fixed width is shorter.
    """
    code = first - channel.low + OFFSET
    if total == 0:
        if count > 1:
            out.put(2, 2)
        put_one(out, channel, code)
        return True
    start = out.size()
    k = parameter(total, rests, count - 1)
    out.put(code << 3 | k, 4 + channel.width)
    out.rices(rests, 0, count - 1, k, channel.width + 2)
    if out.size() - start <= 3 + count * channel.width:
        return True
    out.cut(start)
    return False
