"""Alarms: from what nodes report, and from what they do not, to what a person should do. ALARMS.md has the tables."""

from kerbgate.alarms.book import AlarmBook
from kerbgate.alarms.letters import AlarmLetters
from kerbgate.alarms.service import AlarmService

__all__ = ["AlarmBook", "AlarmLetters", "AlarmService"]
