"""What a packed report looks like to both ends: its forms, its sets of channels, and which coder a column has."""

from kerbwire.channels import (
    BATTERY,
    DISTANCE,
    ENERGY,
    EVENTS,
    FAULT,
    FAULTS,
    FILL,
    HOLD,
    HOURS,
    LEVEL,
    LIT_HOURS,
    LUX,
    NO_ECHO,
    NOT_FITTED,
    POWER,
    PRESENCE,
    QUALITY,
    RANK,
    TEMPERATURE,
    WATT_HOURS,
    WATTS,
    Channel,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.records import Record

NEAR, MINUTES, SECONDS, UPTIME = 0, 1, 2, 3  # forms of index and time
HOURLY, QUARTERLY, STEP, UNEVEN = 0, 1, 2, 3  # the interval
SPECIALS = (NOT_FITTED, NO_ECHO, FAULT)
OFFSET = len(SPECIALS)  # a code is value - low + OFFSET; below it stand the special values

# Channels that stand in every record, and those that stand in the first one only. MASKED: a mask says which.
SETS = (
    ((FILL, TEMPERATURE, QUALITY), ()),
    ((FILL, TEMPERATURE, QUALITY), (BATTERY,)),
    ((LEVEL, POWER, ENERGY, LUX, HOURS, PRESENCE, FAULTS), ()),
    ((FILL, DISTANCE, TEMPERATURE, QUALITY), ()),
    ((FILL, DISTANCE, TEMPERATURE, QUALITY), (BATTERY,)),
)
MASKED = 7
USED = (LEVEL, POWER)  # columns that predictors of others use
MAX_KNOWN = 16  # values that a rank can name; the one unused for longest is forgotten


def usual_set(records: "list[Record]") -> int:
    """The number of the set whose channels these are, or MASKED."""
    values = records[0].values
    size = len(values)
    number = 0
    for every, first_only in SETS:
        if size == len(every) + len(first_only) and every[1] in values and every[-1] in values:
            there = True
            for ident in first_only:
                if ident not in values:
                    there = False
            if there and _is_set(records, every, len(first_only)):
                return number
        number += 1  # noqa: SIM113  # enumerate makes garbage
    return MASKED


def _is_set(records: "list[Record]", every: "tuple[int, ...]", more: int) -> bool:
    """Whether each record has these channels, and all of them together `more` others."""
    length = len  # a name that is not the module's own is found slowly on a board
    one, two, three = every[0], every[1], every[2]
    found = 0
    try:  # taking a value is much faster than asking for its key
        for record in records:
            values = record.values
            found += length(values)
            _ = values[one] + values[two] + values[three]
        for i in range(3, len(every)):
            one = every[i]
            for record in records:
                _ = record.values[one]
    except KeyError:
        return False
    return found == len(every) * len(records) + more


def is_small(channel: Channel) -> bool:
    """Whether small numbers are the usual ones of a channel."""
    return channel.width > 16 and (channel.coder == RANK or channel.coder == EVENTS)


def coder_of(channel: Channel, count: int, records: int, known: "dict[int, list[int]]") -> int:
    """The coder that `count` numbers get: HOLD where what the channel's own needs is not complete."""
    coder = channel.coder
    if coder == WATT_HOURS:
        return coder if count == records and POWER in known else HOLD
    if coder in (WATTS, LIT_HOURS):
        return coder if count == records and LEVEL in known else HOLD
    return coder


class Ranks:
    """Values by how recently they were used: 0 the last one, `known()` one that is new."""

    __slots__ = ("_recent",)

    def __init__(self, first: int):
        self._recent = [first]

    def known(self) -> int:
        return len(self._recent)

    def rank(self, value: int) -> int:
        recent = self._recent
        if value == recent[0]:
            return 0
        return recent.index(value) if value in recent else len(recent)

    def use(self, rank: int, new: int = 0) -> int:
        """The value of a rank, `new` if it is a new one's; it becomes the last used."""
        recent = self._recent
        if rank == 0:
            return recent[0]
        value = new
        if rank < len(recent):
            value = recent.pop(rank)
        elif len(recent) == MAX_KNOWN:
            recent.pop()
        recent.insert(0, value)
        return value
