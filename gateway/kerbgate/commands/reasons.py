"""Why a command is refused: stable words for programs, and for people what to do next."""

from typing import Final

HINTS: Final = {
    "not a document": "send one JSON object in UTF-8, by commands-1.json, each field once",
    "too large": "send at most 16 KB; name a group instead of a list of nodes",
    "unknown schema": "set schema to kerbstone/command/1",
    "unknown field": "leave it out, or correct its name: what is not understood is not obeyed",
    "bad id": "use an id of your own, new for each command: 1 to 64 of a-z, 0-9, - and _",
    "id used": "this id was another command: draw a new one",
    "retained": "publish without the retain flag: a command is no state",
    "unknown operation": "use one of the operations in COMMANDS.md",
    "bad argument": "see the operation's arguments, units and ranges in COMMANDS.md",
    "bad time": "write UTC as 2026-03-01T21:00:00Z",
    "no expiry": "set expires: the second from which on no node may obey it",
    "expired": "send it again with a later expires, and check both clocks",
    "too far ahead": "let it end within a week: what waits longer is decided anew",
    "clock not synchronised": "wait for the gateway's clock, or use kerb send on the gateway with --for and --valid",
    "not allowed": "your topic's role may not ask for this class or operation: use the topic of a higher role",
    "bad target": "name one of node, nodes, group or site",
    "other site": "this gateway answers for its own site only: use that site's topic",
    "unknown node": "check the address on the node's label, and that it is in this gateway's registry",
    "out of service": "the node is quarantined, returned, retired or stolen: kerb registry show tells",
    "unknown group": "check the name in the gateway's groups file",
    "no such role": "none of the nodes named is of a role that this operation is for",
    "no group key": "make one with: kerb gateway init, and give it to the lamps; or use dim on each",
    "nothing to cancel": "check the id: it is not known here, or has ended",
    "too many": "wait until commands end, or cancel some: kerb send list",
    "too fast": "send fewer commands a second; this one was not looked at",
    "store busy": "nothing was written down: send it again, under the same id",
    "audit failed": "look at kerb gateway status: the audit log cannot be written",
}


REFUSALS = 20  # entries of refusals in the audit log at once, and then one in REFUSAL_S: a stranger must not fill it
REFUSAL_S = 30.0


class Refusal(Exception):
    """A command that is refused. reason: one of HINTS. detail: what of the document, stripped and short."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.hint = HINTS[reason]


MAX_SHOWN = 80


def shown(value: object) -> str:
    """A stranger's value for a log or an answer: printable, and short."""
    text = str(value)[: MAX_SHOWN + 1]
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean[:MAX_SHOWN] + ("..." if len(clean) > MAX_SHOWN else "")


class Allowance:
    """So many at once, and one more in each span: for what a stranger can cause as often as they like."""

    def __init__(self, burst: int, every_s: float, now: float):
        self._burst = burst
        self._every_s = every_s
        self._left = float(burst)
        self._since = now
        self._missed = 0

    def take(self, now: float) -> bool:
        """Whether one is allowed now. now: seconds of a clock that goes forward."""
        self._left = min(self._burst, self._left + (now - self._since) / self._every_s)
        self._since = now
        if self._left < 1:
            self._missed += 1
            return False
        self._left -= 1
        return True

    def missed(self) -> int:
        """How many were not allowed since the last question."""
        count, self._missed = self._missed, 0
        return count
