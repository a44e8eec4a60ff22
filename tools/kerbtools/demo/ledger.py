"""The witness: what the nodes say on their consoles that they have taken, kept apart from everything else.

A node prints `taken LIFE INDEX TIME` when a record is safely on its flash. Each one must reach the council, once. Of a
level change a lamp prints `changed LIFE INDEX`: it must reach the settlement, once, and nobody else.
"""

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of a set of taken records: how many the gateway's store holds, how many the council holds."""

    taken: int
    committed: int
    council: int
    lost: int
    doubled: int
    council_by_node: dict[int, int] = field(default_factory=dict[int, int])


class Ledger:
    """Fed from the boards' threads. A record's id is the council's: site/node/life/index."""

    def __init__(self, site: str):
        self._site = site
        self._taken: dict[str, str] = {}  # id -> time as printed
        self._changed: set[str] = set()
        self._repeated: set[str] = set()  # ids that were taken twice: an index that repeats within a life
        self._lock = threading.Lock()

    def read_line(self, node: int, line: str) -> None:
        """One console line of a node; others than `taken` and `changed` are not ours."""
        words = line.split()
        if [len(words), *words[:1]] not in ([4, "taken"], [3, "changed"]):
            return
        ident = f"{self._site}/{node}/{words[1]}/{words[2]}"
        with self._lock:
            if ident in self._taken or ident in self._changed:
                self._repeated.add(ident)
            if words[0] == "taken":
                self._taken[ident] = words[3]
            else:
                self._changed.add(ident)

    def taken(self) -> set[str]:
        """Ids of every record taken so far."""
        with self._lock:
            return set(self._taken)

    def changed(self) -> set[str]:
        """Ids of every level change kept so far."""
        with self._lock:
            return set(self._changed)

    def repeated(self) -> set[str]:
        with self._lock:
            return set(self._repeated)


def count_by_node(ids: set[str]) -> dict[int, int]:
    """How many of the ids are each node's."""
    found: dict[int, int] = {}
    for ident in ids:
        node = int(ident.split("/")[1])
        found[node] = found.get(node, 0) + 1
    return found
