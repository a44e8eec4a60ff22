"""The durable heart of the gateway: what was committed, which numbers were seen, what still has to be forwarded.

STORE.md says what is durable when. One SQLite file in WAL mode; one thread writes it.
"""

from kerbgate.store.folds import Fold
from kerbgate.store.items import (
    CLOSED_LIFE,
    COMMITTED,
    DUPLICATE,
    FAILED,
    REPLAYED,
    UNKNOWN_LIFE,
    Arrival,
    HelloFacts,
    NewReport,
    Outcome,
    StoredReport,
)
from kerbgate.store.quota import Layer
from kerbgate.store.reader import Reader
from kerbgate.store.store import Store

__all__ = [
    "CLOSED_LIFE",
    "COMMITTED",
    "DUPLICATE",
    "FAILED",
    "REPLAYED",
    "UNKNOWN_LIFE",
    "Arrival",
    "Fold",
    "HelloFacts",
    "Layer",
    "NewReport",
    "Outcome",
    "Reader",
    "Store",
    "StoredReport",
]
