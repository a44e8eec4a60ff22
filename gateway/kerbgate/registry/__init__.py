"""The registry: which nodes and assets belong here, and the nodes' secrets. One SQLite file, opened nowhere else."""

from kerbgate.registry.cards import ROLES, Asset, Binding, Card
from kerbgate.registry.registry import MAX_ADDRESS, SECRET_SIZE, Node, Registry
from kerbgate.registry.states import HEARD, KEYED, STATES, TRANSITIONS

__all__ = [
    "Asset",
    "Binding",
    "Card",
    "HEARD",
    "KEYED",
    "MAX_ADDRESS",
    "Node",
    "ROLES",
    "Registry",
    "SECRET_SIZE",
    "STATES",
    "TRANSITIONS",
]
