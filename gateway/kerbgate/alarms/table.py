"""What an alarm can be, and what brings it from one state to the next. What is not in the table does not happen.

signal       its cause is there (again)            acknowledge  somebody has taken it
gone         its cause is no longer there          cover        maintenance begins where it is
due          the time that its state waits is up   uncover      maintenance ends there
join         it is part of a larger one            leave        that one has ended, its own cause is still there
"""

from typing import Final, NamedTuple

PENDING: Final = "pending"  # the cause is there, and may be gone in a moment: told to nobody
RAISED: Final = "raised"
ACKNOWLEDGED: Final = "acknowledged"
HELD: Final = "held"  # the cause is gone, and may be back in a moment
HELD_ACKNOWLEDGED: Final = "held acknowledged"
SUPPRESSED: Final = "suppressed"  # the cause is there, and so are those who work on it
QUIET: Final = "quiet"  # suppressed, and the cause is gone
GROUPED: Final = "grouped"  # part of a larger one, which is told in its place
CLEARED: Final = "cleared"  # an end
DROPPED: Final = "dropped"  # an end that nobody hears of, for nobody heard of the begin

SIGNAL: Final = "signal"
GONE: Final = "gone"
DUE: Final = "due"
ACKNOWLEDGE: Final = "acknowledge"
COVER: Final = "cover"
UNCOVER: Final = "uncover"
JOIN: Final = "join"
LEAVE: Final = "leave"

NOT: Final = 0  # the change is told to nobody,
TOLD: Final = 1  # to the council,
IF_TOLD: Final = 2  # or to the council if it was told of this alarm before


class Step(NamedTuple):
    state: str
    tell: int


TRANSITIONS: dict[tuple[str, str], Step] = {
    (PENDING, SIGNAL): Step(PENDING, NOT),
    (PENDING, GONE): Step(DROPPED, NOT),
    (PENDING, DUE): Step(RAISED, TOLD),
    (PENDING, COVER): Step(SUPPRESSED, NOT),
    (PENDING, JOIN): Step(GROUPED, NOT),
    (RAISED, SIGNAL): Step(RAISED, NOT),
    (RAISED, GONE): Step(HELD, NOT),
    (RAISED, ACKNOWLEDGE): Step(ACKNOWLEDGED, TOLD),
    (RAISED, COVER): Step(SUPPRESSED, TOLD),
    (RAISED, JOIN): Step(GROUPED, TOLD),
    (ACKNOWLEDGED, SIGNAL): Step(ACKNOWLEDGED, NOT),
    (ACKNOWLEDGED, GONE): Step(HELD_ACKNOWLEDGED, NOT),
    (ACKNOWLEDGED, ACKNOWLEDGE): Step(ACKNOWLEDGED, TOLD),  # by another, or with another reason
    (ACKNOWLEDGED, COVER): Step(SUPPRESSED, TOLD),
    (ACKNOWLEDGED, JOIN): Step(GROUPED, TOLD),
    (HELD, SIGNAL): Step(RAISED, NOT),
    (HELD, GONE): Step(HELD, NOT),
    (HELD, DUE): Step(CLEARED, IF_TOLD),  # it may have come from maintenance, where nobody heard of it
    (HELD, ACKNOWLEDGE): Step(HELD_ACKNOWLEDGED, TOLD),
    (HELD, COVER): Step(QUIET, NOT),
    (HELD_ACKNOWLEDGED, SIGNAL): Step(ACKNOWLEDGED, NOT),
    (HELD_ACKNOWLEDGED, GONE): Step(HELD_ACKNOWLEDGED, NOT),
    (HELD_ACKNOWLEDGED, DUE): Step(CLEARED, IF_TOLD),
    (HELD_ACKNOWLEDGED, ACKNOWLEDGE): Step(HELD_ACKNOWLEDGED, TOLD),
    (HELD_ACKNOWLEDGED, COVER): Step(QUIET, NOT),
    (SUPPRESSED, SIGNAL): Step(SUPPRESSED, NOT),
    (SUPPRESSED, GONE): Step(QUIET, NOT),
    (SUPPRESSED, UNCOVER): Step(RAISED, TOLD),
    (QUIET, SIGNAL): Step(SUPPRESSED, NOT),
    (QUIET, GONE): Step(QUIET, NOT),
    (QUIET, DUE): Step(CLEARED, IF_TOLD),
    (QUIET, UNCOVER): Step(HELD, NOT),
    (GROUPED, SIGNAL): Step(GROUPED, NOT),
    (GROUPED, GONE): Step(CLEARED, IF_TOLD),
    (GROUPED, COVER): Step(SUPPRESSED, IF_TOLD),
    (GROUPED, LEAVE): Step(RAISED, TOLD),
}

STATES = tuple(dict.fromkeys(state for state, _ in TRANSITIONS))
ENDS = (CLEARED, DROPPED)
EVENTS = (SIGNAL, GONE, DUE, ACKNOWLEDGE, COVER, UNCOVER, JOIN, LEAVE)
RAISING = (PENDING,)  # these wait until the cause has been there for its kind's time,
CLEARING = (HELD, HELD_ACKNOWLEDGED, QUIET)  # and these until it has been gone for that
PRESENT = (PENDING, RAISED, ACKNOWLEDGED, SUPPRESSED, GROUPED)  # the cause is there
COVERED = (SUPPRESSED, QUIET)


def step(state: str, event: str) -> Step | None:
    """The next state and whether it is told; None where this cannot happen to it."""
    return TRANSITIONS.get((state, event))
