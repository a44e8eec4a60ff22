"""Commands to nodes: taken from the council and from local callers, sent once, ended by the node's own report.

COMMANDS.md says what may be asked, by whom, and what becomes of it.
"""

from kerbgate.commands.brighten import GroupVoice
from kerbgate.commands.commander import Commands
from kerbgate.commands.groups import Groups
from kerbgate.commands.ledger import Ledger

__all__ = ["Commands", "GroupVoice", "Groups", "Ledger"]
