"""One sampling of a node, and what the records of one report have in common."""

from kerbwire.errors import RANGE, WireError

MAX_RECORDS = 96  # a night of quarter hours, four days of hours; bounds what a decoder allocates for one frame
MAX_CHANGES = 192  # of a lamp's level: what a frame holds in a busy street; two numbers each
MAX_NUMBER = (1 << 32) - 1  # of an index or a time: UTC seconds until 2106, indices for ever


class Record:
    """One sampling. index: of this life. time: seconds (see Report.boot). values: raw value by channel id."""

    __slots__ = ("index", "time", "values")

    def __init__(self, index: int, time: int, values: "dict[int, int]"):
        self.index = index
        self.time = time
        self.values = values

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Record)
            and self.index == other.index
            and self.time == other.time
            and self.values == other.values
        )

    def __repr__(self) -> str:
        return "Record({}, {}, {})".format(self.index, self.time, self.values)


def check(records: "list[Record]", most: int = MAX_RECORDS) -> "int | None":
    """The interval between the records if it is one, 0 for a single record, else None.

    WireError unless there are 1 to `most`, their indices consecutive, their times not falling.
    """
    count = len(records)
    if not 1 <= count <= most:
        raise WireError(RANGE, "records in a report")
    first = records[0]
    index, before = first.index, first.time
    if index < 0 or index + count > MAX_NUMBER or before < 0 or records[-1].time > MAX_NUMBER:
        raise WireError(RANGE, "index or time")
    step = records[1].time - before if count > 1 else 0
    before -= step
    even = True
    for record in records:
        time = record.time
        if record.index != index or time < before:
            raise WireError(RANGE, "records of a report are consecutive")
        if time - before != step:
            even = False
        before = time
        index += 1
    return step if even else None
