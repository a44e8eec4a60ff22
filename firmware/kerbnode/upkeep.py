"""What an outbox seldom does: make room, look at a damaged end, send again. Loaded where it comes to it.

box: a kerbnode.outbox.Outbox, whose insides these functions share.
"""

from kerbnode import flash
from kerbnode.chunks import SEGMENT_RECORDS, scan
from kerbnode.outbox import segment_names


def make_room(box):
    """Remove the oldest segment that is all acknowledged; else the oldest, its waiting records declared a gap."""
    oldest, behind = box._spans()[0]
    for segment, after in box._spans():
        if after is not None and box._is_acked(segment, after):
            oldest, behind = segment, after
            break
    numbers = range(oldest, _examined(box, oldest, behind)[1])
    lost = [index for index in numbers if not box._is_acked(index, index + 1)]
    if lost:
        box._declare_gap(lost[0], lost[-1] - lost[0] + 1)
        box.dropped += len(lost)
    flash.remove(box._path(oldest))
    box._segments.remove(oldest)
    box._sizes.pop(oldest, None)
    box._acknowledge(0, box._segments[0] if box._segments else oldest)  # nothing below is held any more


def settle_end(box, segment, after):
    """Whether nothing of a segment can come any more; what is damaged in it is declared first."""
    count, end = _examined(box, segment, after)
    if count is None or count != box._sizes.get(segment):
        box._sizes.pop(segment, None)  # it could not be read, now or before: looked at again
        return False
    if end > segment + count:
        box._declare_gap(segment + count, end - segment - count)
        box.dropped += 1
    return True


def remove_other(path):
    """Remove the folder of another life; returns how many records it held."""
    count = 0
    for name in segment_names(path):
        count += scan(flash.read("%s/%08x" % (path, name)) or b"")[0]
    flash.remove_tree(path)
    return count


def newest_time(box, boot, index):
    """The newest time of a boot, whose record `index` is; acknowledged ones count too. They lie in one row."""
    newest = 0
    for segment in box._segments:
        if segment + SEGMENT_RECORDS <= index:
            continue
        for place in range(max(0, index - segment), box._size(segment)):
            time, other = box._record(segment, place)[:2]
            if other != boot:
                return newest
            newest = max(newest, time)
    return newest


def resend(box, first, count):
    """Let acknowledged records of a range wait again; returns how many of it are held."""
    held = 0
    for segment in box._segments:
        held += max(0, min(segment + box._size(segment), first + count) - max(segment, first))
    kept = []
    for low, high in box._acked:
        for part in ([low, min(high, first)], [max(low, first + count), high]):
            if part[0] < part[1]:
                kept.append(part)
    box._acked = kept
    box._changed = True
    return held


def _examined(box, segment, after):
    """(records that check out, or None if it cannot be read now; the number after the last that it may hold)"""
    data = flash.read(box._path(segment))
    count, size = scan(data or b"")
    if data and count and size == len(data):
        return count, segment + count
    end = segment + SEGMENT_RECORDS
    return None if data is None else count, end if after is None else min(end, after)
