"""What a node says to a technician's round, which answers nothing: what waits, once. Loaded only where one listens.

pace: of the day's numbers. event, encode: of an event and of a run of records (message, how many it holds). send(kind,
message, with_life): the sequence number of what has left.
"""

from kerbnode.outbox import EVENT


def give(pace, outbox, event, encode, send, longest):
    """Events, for half of the numbers that rounds have left today; records; then the events that are left over. Of
    either kind it goes on behind what was said last, then from the front: so rounds come to all, however much waits."""
    newest = _said(outbox, False)
    waiting = _waiting(outbox, _said(outbox, True))
    _events(outbox, event, send, waiting, pace.to_give() + 1 >> 1)
    _reports(pace, outbox, encode, send, longest, newest)
    _events(outbox, event, send, waiting, pace.to_give())


def _said(outbox, is_event):
    """The last number of the event, or of the report, that was said last and still waits, as far as that is remembered;
    -1 without one."""
    for _, first, count in reversed(outbox._flights.flying):
        run = outbox._run(1, True, first - 1)
        if is_event != bool(run and run[0][0] == first):
            return first + count - 1
    return -1


def _waiting(outbox, last):
    """(number, item) of each event that waits: those behind `last`, then those up to it."""
    for is_later in (True, False):
        for index, segment in outbox._waiting():
            if (index > last) == is_later:
                item = outbox._record(segment, index - segment)
                if len(item) == EVENT:
                    yield index, item


def _events(outbox, event, send, waiting, most):
    """So many of those that wait, at most."""
    if most:
        for found in waiting:
            body, count = event(found)
            if count:
                outbox.sent(send("event", body, False), found[0], 1)
                most -= 1
            if not most:
                break


def _reports(pace, outbox, encode, send, longest, newest):
    """The records from behind those that were said last, then those. newest: of the last that was said."""
    for begin, end in ((newest, None), (-1, newest)):
        last = begin
        while pace.to_give():
            run = outbox.next_run(longest, last)
            if not run or (end is not None and run[0][0] > end):
                break
            body, count = encode(run)
            if count:
                outbox.sent(send("report", body, False), run[0][0], count)
            last = run[0][0] + max(0, count - 1)
