"""What a bin does once it has left the air: a command to sample, or to test itself. What that takes, and what speaks
over Wi-Fi, are more than the heap bears together. Loaded for that alone.
"""

from kerbnode import flash
from kerbwire import controls
from kerbwire.commands import UNFINISHED


def obey(node, hal, board, journal, folder):
    """Do what node.apart says, unless it has expired, and keep the result on flash. Returns (id, status, detail).

    node: a kerbnode.bin.node.Node without a link; apart: (id, operation, uptime at which it expires), whose id
    kerbnode.orders has kept."""
    ident, operation, until_s = node.apart
    status, detail = controls.EXPIRED, None
    if node.clock.uptime() < until_s:
        try:
            status = controls.APPLIED
            if operation == controls.SAMPLE:
                detail = node.counters.next_index
                node.take(False, True)
            else:
                detail = _self_test(hal, board, node.settings, journal, folder.rsplit("/", 1)[0])
        except (OSError, ValueError):
            status, detail = controls.FAILED, None
    node.let_go_of_sampling()
    path = folder + "/commands"
    stored = flash.load(path) or [[ident, UNFINISHED, None]]
    for entry in stored:
        if entry[0] == ident and entry[1] == UNFINISHED:
            entry[1], entry[2] = status, detail
    flash.replace(path, stored)
    node.apart = None
    journal.line("obeyed", ident, status)
    if operation == controls.SAMPLE:
        node.make_ahead()
    return ident, status, detail


def _self_test(hal, board, settings, journal, root):
    """Try all there is. A bit for each check that failed; the log says in words what did not pass."""
    from kerbnode import selftest

    failed = 0
    for row in selftest.run(hal, hal, board, settings, root, True):
        name, verdict = row["check"], row["verdict"]
        if verdict != selftest.PASS:
            journal.note("self-test:", name, verdict + ",", row["value"], "(" + row["cause"] + ")")
        if verdict == selftest.FAIL:
            failed |= 1 << (controls.CHECKS.index(name) if name in controls.CHECKS else controls.CHECK_OF_ELSE)
    return failed
