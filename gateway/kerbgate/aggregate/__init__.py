"""Roll-ups of what nodes sample, kept up to date with the records. AGGREGATE.md states their laws and tables."""

from kerbgate.aggregate.fold import Aggregate
from kerbgate.aggregate.periods import Calendar
from kerbgate.aggregate.reader import RollupReader

__all__ = ["Aggregate", "Calendar", "RollupReader"]
