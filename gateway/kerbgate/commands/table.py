"""What may become of an order, a command to one node, as a table. COMMANDS.md shows it; a test walks it.

    accepted     written down; its time has not come
    queued       its time has come; the node has not spoken since
    sent         a link has taken it; it is repeated, under the same id, until the node answers
    unanswered   sent, and not repeated any more: nobody knows yet whether it was applied; an answer may still come
    delivered    the node has answered something that this version cannot read
    cancelled    withdrawn before it was sent
    lost         the only ones who could say have forgotten: the node's life has ended, or the store was restored
    the others   as the node answered (kerbwire.controls.STATUSES); expired and superseded also before it was sent

What is not in the table is no transition: `step` returns None, and the caller counts it.
"""

from kerbwire.controls import STATUSES

ACCEPTED, QUEUED, SENT, UNANSWERED, DELIVERED, CANCELLED, LOST = (
    "accepted", "queued", "sent", "unanswered", "delivered", "cancelled", "lost",
)  # fmt: skip
APPLIED, REFUSED, EXPIRED, INTERRUPTED, UNSUPPORTED, FAILED, SUPERSEDED = STATUSES

# Events
DUE = "due"  # its time has come
SEND = "send"  # a link has taken a frame with it
EXPIRY = "expiry"  # the second has come from which no node may obey it
CANCEL = "cancel"
NEWER = "newer"  # a newer one of its class asks the same node for light
LIFE_ENDED = "life ended"  # the life that it may have been sent to
RESTORE = "restore"  # the store was restored: what was sent since the copy is not known
ANSWERS = tuple("answer " + word for word in (*STATUSES, DELIVERED))  # the node's result, by status

ANSWERED = (*STATUSES, DELIVERED)
WAITING = (ACCEPTED, QUEUED, SENT)  # states in which the gateway still has something to do
STATES = (ACCEPTED, QUEUED, SENT, UNANSWERED, DELIVERED, CANCELLED, LOST, *STATUSES)
EVENTS = (DUE, SEND, EXPIRY, CANCEL, NEWER, LIFE_ENDED, RESTORE, *ANSWERS)

TABLE: dict[tuple[str, str], str] = {
    (ACCEPTED, DUE): QUEUED,
    (ACCEPTED, EXPIRY): EXPIRED,
    (ACCEPTED, CANCEL): CANCELLED,
    (ACCEPTED, RESTORE): LOST,
    (QUEUED, SEND): SENT,
    (QUEUED, EXPIRY): EXPIRED,
    (QUEUED, CANCEL): CANCELLED,
    (QUEUED, NEWER): SUPERSEDED,
    (QUEUED, LIFE_ENDED): LOST,
    (QUEUED, RESTORE): LOST,
    (SENT, SEND): SENT,
    (SENT, EXPIRY): UNANSWERED,
    (SENT, CANCEL): UNANSWERED,
    (SENT, NEWER): UNANSWERED,
    (SENT, LIFE_ENDED): LOST,
    (SENT, RESTORE): LOST,
    (UNANSWERED, RESTORE): LOST,
}
# An answer counts wherever the order may have reached the node, and it stands for good. Queued: the gateway died
# between the sending and writing that down.
for _state in (QUEUED, SENT, UNANSWERED, LOST):
    for _word in ANSWERED:
        TABLE[_state, "answer " + _word] = _word


def answer(status: int) -> str:
    """The event of a node's result."""
    return ANSWERS[status] if 0 <= status < len(STATUSES) else ANSWERS[-1]


def step(state: str, event: str) -> str | None:
    """The state after an event, or None: no such transition."""
    return TABLE.get((state, event))
