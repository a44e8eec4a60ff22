"""What a node remembers of commands (law 6): each is obeyed once, before its expiry, and answered for ever the same.

    offer     what to do with a command: OBEY it, ANSWER it with a status, or IGNORE it because it is being obeyed
    begin     its id is noted; keep `stored` on flash, then act
    finish    its result is noted; keep `stored` on flash, then answer

A reset between begin and finish leaves an id without a result: `interrupted`, and the node does not act again.
`Holders` says which command is in force. Pure: time is handed in, the owner writes flash.
"""

KEEP = 16  # ids with their results: as many as a gateway may have under way to a node
UNFINISHED = -1  # in the place of a status

IGNORE, OBEY, ANSWER = 0, 1, 2
EXPIRED, INTERRUPTED = 2, 3  # statuses of kerbwire.controls, which a node need not load for these
EMERGENCY, OPERATOR, SCHEDULE = 0, 1, 2  # priorities, likewise; the lower wins


class Commands:
    """stored: [id, status, detail] of the newest commands, oldest first, as from flash; its owner has checked it."""

    def __init__(self, stored: "list[list[int | None]] | None" = None):
        self.stored: "list[list[int | None]]" = stored or []
        self._running: "int | None" = None

    def offer(
        self, ident: int, expiry_utc_s: int, remaining_s: int, utc_s: "int | None", waited_s: int = 0
    ) -> "tuple[int, int, int | None]":
        """(OBEY, 0, None), (ANSWER, status, detail) or (IGNORE, 0, None). Changes nothing.

        expiry_utc_s, remaining_s: of the command. utc_s: now, None while the clock is unset. waited_s: since the frame
        came. Either of the two expiries is enough: a clock may be wrong, and so may a stay on the way.
        """
        for known, status, detail in self.stored:
            if known == ident:
                if status != UNFINISHED:
                    return ANSWER, status or 0, detail
                return (IGNORE, 0, None) if self._running == ident else (ANSWER, INTERRUPTED, None)
        if waited_s >= remaining_s or (utc_s is not None and utc_s >= expiry_utc_s):
            return ANSWER, EXPIRED, None
        return OBEY, 0, None

    def begin(self, ident: int) -> None:
        """The node is about to act: keep `stored` first."""
        self._running = ident
        self.stored.append([ident, UNFINISHED, None])
        del self.stored[:-KEEP]

    def finish(self, ident: int, status: int, detail: "int | None" = None) -> None:
        """It has acted, or failed. A result stands for good: a second one changes nothing."""
        for entry in self.stored:
            if entry[0] == ident and entry[1] == UNFINISHED:
                entry[1], entry[2] = status, detail
        if self._running == ident:
            self._running = None


class Holders:
    """Which command is in force: the highest class that holds one, and of a class the newest that came.

    order: grows with each downlink, NodeEnd.order: so an older command that arrives late does not displace a newer one.
    """

    def __init__(self) -> None:
        self._held: "list[tuple[int, int, int] | None]" = [None, None, None]  # (order, id, until) by class
        self._newest = [-1, -1, -1]

    def place(self, priority: int, order: int, ident: int, until_s: int) -> bool:
        """A command holds until a time. False: superseded, because a newer one of its class has come."""
        if order <= self._newest[priority]:
            return False
        self._newest[priority] = order
        self._held[priority] = (order, ident, until_s)
        return True

    def release(self, priority: int, order: int) -> bool:
        """This class holds nothing any more. False: a newer command of the class has come."""
        if order <= self._newest[priority]:
            return False
        self._newest[priority] = order
        self._held[priority] = None
        return True

    def in_force(self, now_s: int) -> "int | None":
        """The id of the command to follow now, or None: the node's own schedule and sensors."""
        for priority in range(3):
            ident = self.of(priority, now_s)
            if ident is not None:
                return ident
        return None

    def of(self, priority: int, now_s: int) -> "int | None":
        """The id of the command that one class holds now, or None."""
        held = self._held[priority]
        if held is not None and now_s >= held[2]:
            held = self._held[priority] = None
        return None if held is None else held[1]
