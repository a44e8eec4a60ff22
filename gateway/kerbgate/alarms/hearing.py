"""When each node was last heard, how often it speaks, and from when on its silence is one.

Kept in memory on a steady clock. At a start the store says how long each had been silent when the gateway last wrote;
the time in which it did not run counts for nobody.
"""

import sqlite3

GAPS = 4  # of the last reports: with so many a node's own interval is known
TIMES = 3.0  # a node is silent when it misses three of its longest
BURST_S = 5.0  # reports of a backlog come faster: no interval of anything
# Seconds of silence that are none, whatever the node's own interval; and those of a node whose interval is not known.
FLOOR_S = {"bin": 26 * 3600.0, "lamp": 45 * 60.0}
UNKNOWN_S = {"bin": 50 * 3600.0, "lamp": 2 * 3600.0}
MAX_S = 7 * 86_400.0  # whatever a node's reports say of its interval


class Hearing:
    """`heard` is called in the writer's thread, the rest in the event loop: single reads and writes of a dict."""

    def __init__(self) -> None:
        self.last: dict[int, float] = {}
        self._gaps: dict[int, tuple[float, ...]] = {}

    def begin(self, db: sqlite3.Connection, now: float) -> None:
        """Take in what the store knows of the nodes' confirmed lives."""
        seen = dict(
            db.execute(
                "SELECT node, max(seen) FROM window JOIN life USING (life_id) WHERE state='confirmed' GROUP BY node"
            ).fetchall()
        )
        newest = max(seen.values(), default=0)
        for node, seen_ms in seen.items():
            self.last.setdefault(node, now - max(newest - seen_ms, 0) / 1000)

    def heard(self, node: int, role: str, now: float, span: float = 0.0) -> None:
        """A node spoke. span: seconds from the first to the last record of what it said, which took as long."""
        before = self.last.get(node)
        self.last[node] = now
        gap = 0.0 if before is None else now - before
        if gap > BURST_S or span:
            if gap > span:
                span = min(gap, self.limit_s(node, role))  # an outage is no interval, and teaches little
            self._gaps[node] = (min(span, MAX_S), *self._gaps.get(node, ())[: GAPS - 1])

    def limit_s(self, node: int, role: str) -> float:
        """How long a node may be silent."""
        gaps = self._gaps.get(node, ())
        least = FLOOR_S if len(gaps) == GAPS else UNKNOWN_S
        return max(least.get(role, least["bin"]), TIMES * max(gaps, default=0.0))
