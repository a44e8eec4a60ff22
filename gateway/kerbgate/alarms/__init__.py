"""Alarms: from what nodes report, and from what they do not, to what a person should do. ALARMS.md has the tables.

What a name needs is loaded when it is used: a tool that asks for the table of kinds does not load the gateway.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerbgate.alarms.book import AlarmBook
    from kerbgate.alarms.letters import AlarmLetters
    from kerbgate.alarms.service import AlarmService

__all__ = ["AlarmBook", "AlarmLetters", "AlarmService"]

_MODULES = {"AlarmBook": "book", "AlarmLetters": "letters", "AlarmService": "service"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
