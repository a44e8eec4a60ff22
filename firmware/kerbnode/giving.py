"""What a node says to a technician's round, which answers nothing: all that waits, once. Loaded only where one listens.

event, encode: of an event and of a run of records (message, how many it holds). send(kind, message, with_life): the
sequence number of what has left.
"""


def events(pace, outbox, event, send):
    """The events that wait, as far as the day's numbers go."""
    given = -1
    while pace.may_give():
        found = outbox.next_event()
        if not found or found[0] <= given:
            break
        given = found[0]
        body, count = event(found)
        if count:
            outbox.sent(send("event", body, False), given, 1)


def reports(pace, outbox, encode, send, longest, newest):
    """The records that wait, from behind those that were said last, then those. newest: of the last that was said."""
    for begin, end in ((newest, None), (-1, newest)):
        last = begin
        while pace.may_give():
            run = outbox.next_run(longest, last)
            if not run or (end is not None and run[0][0] > end):
                break
            body, count = encode(run)
            if count:
                outbox.sent(send("report", body, False), run[0][0], count)
            last = run[0][0] + max(0, count - 1)
