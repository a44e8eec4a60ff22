"""Commands to nodes: taken from the council and from local callers, sent once, ended by the node's own report.

COMMANDS.md says what may be asked, by whom, and what becomes of it. What a name needs is loaded when it is used: a tool
that asks for the table of operations does not load the gateway.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerbgate.commands.brighten import GroupVoice
    from kerbgate.commands.commander import Commands
    from kerbgate.commands.groups import Groups
    from kerbgate.commands.ledger import Ledger

__all__ = ["Commands", "GroupVoice", "Groups", "Ledger"]

_MODULES = {"Commands": "commander", "GroupVoice": "brighten", "Groups": "groups", "Ledger": "ledger"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
