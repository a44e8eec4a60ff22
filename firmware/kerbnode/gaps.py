"""Ranges of record numbers that will never come, as a hello declares them. Loaded only where there is a new one."""

MAX_GAPS = 8  # ranges in one hello (kerbwire.messages)


def joined(gaps, first, end):
    """[first, count] of each range, ascending, that from `first` up to `end` among them: at most MAX_GAPS. One more
    joins the two that lie nearest to each other, which declares what lies between them too."""
    gaps = sorted(gaps + [[first, end - first]])
    found = [gaps[0]]
    for gap in gaps[1:]:
        if gap[0] <= found[-1][0] + found[-1][1]:
            _join(found, gap)
        else:
            found.append(gap)
    while len(found) > MAX_GAPS:
        nearest = min(range(1, len(found)), key=lambda i: found[i][0] - found[i - 1][0] - found[i - 1][1])
        _join(found, found.pop(nearest), nearest - 1)
    return found


def _join(gaps, gap, at=-1):
    first = gaps[at][0]
    gaps[at] = [first, max(gaps[at][0] + gaps[at][1], gap[0] + gap[1]) - first]
