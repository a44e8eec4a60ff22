"""A report as the bytes of a message. Loaded for that, and let go of before the node speaks where that can be: a report
takes more code than all that comes back."""

from kerbwire import messages


def report(run, boot, uptime_now, near):
    """(message, how many records of the run [(index, time, boot, values)] it holds); (b"", 0) if not even the first can
    be sent."""
    records = [messages.Record(index, time, values) for index, time, _, values in run]
    count, body = messages.fit(records, messages.MAX_MESSAGE, boot, uptime_now, near)
    return body, count


def ahead(outbox, longest, most):
    """The next reports, at most `most` of `longest` records each, before anything of them is sent: {number of the first
    record: (message, how many records)}. Reports that say what time it is now are made when they are sent."""
    made = {}
    after = -1
    for _ in range(most):
        run = outbox.next_run(longest, after)
        if not run or run[0][2]:
            break
        body, count = report(run, None, None, outbox.near)
        after = run[0][0] + count - 1
        made[run[0][0]] = body, count
        if not count:
            break
    return made
