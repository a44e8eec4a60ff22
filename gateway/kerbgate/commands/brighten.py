"""Group messages of the gateway: `brighten`, under a key that the lamps of a site share (law 8).

The gateway speaks as member number 1. Its sequence numbers are reserved ahead in the store, so that no start repeats
one; a store that was restored draws another secret, of the next epoch, which the lamps must then be given.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from kerbgate import audit
from kerbgate.store.items import COMMITTED, Change, Outcome
from kerbgate.store.store import Store
from kerbwire import messages
from kerbwire.group import GroupKey
from kerbwire.seal import SECRET_SIZE
from kerbwire.waves import Brighten

MEMBER = 1  # Members of a site begin with 2
KEY_FILE = "group.key"
BLOCK = 64  # numbers reserved at once: a brighten takes three
NEXT = "group next"  # row of command_meta: "epoch next"
AGAIN_S = (0.0, 3.0, 15.0)  # a brighten is said again so long after the first time, each under a number of its own


class GroupVoice:
    """Seals group messages. wanted: a block of numbers is to be reserved."""

    def __init__(self, state: Path):
        self._path = state / KEY_FILE
        self._open()
        self._next = self._end = 0
        self.wanted = True
        self._reserving = False

    def _open(self) -> None:
        data = audit.private_file(self._path, SECRET_SIZE + 1, create=True)
        self.epoch = data[0] & 3
        self._key = GroupKey(data[1:], self.epoch)

    def renew(self) -> None:
        """Draw another secret, of the next epoch: numbers under the old one may have been used."""
        draft = self._path.with_name(KEY_FILE + ".new")
        draft.unlink(missing_ok=True)
        audit.write_private(draft, bytes([(self.epoch + 1) & 3]) + os.urandom(SECRET_SIZE))
        draft.replace(self._path)
        self._open()
        self._next = self._end = 0
        self.wanted = True

    def reserve(self, store: Store, now_ms: int, then: Callable[[], None]) -> None:
        """Reserve a block of numbers in the store, and call `then`. What is left of the block before is let go."""
        if self._reserving:
            return
        first = [0]

        def apply(db: sqlite3.Connection) -> None:
            first[0] = self._reserve(db)

        def done(outcome: Outcome) -> None:
            self._reserving = False
            if outcome.verdict == COMMITTED:
                self._next, self._end = first[0], first[0] + BLOCK
                self.wanted = False
                then()

        self._reserving = store.submit(Change(apply, now_ms), done)

    def _reserve(self, db: sqlite3.Connection) -> int:
        row = db.execute("SELECT value FROM command_meta WHERE name=?", (NEXT,)).fetchone()
        epoch, first = (int(word) for word in row[0].split()) if row else (self.epoch, 0)
        if epoch != self.epoch:
            first = 0
        db.execute("INSERT OR REPLACE INTO command_meta VALUES (?,?)", (NEXT, f"{self.epoch} {first + BLOCK}"))
        return first

    def brighten(self, level_percent: int, seconds: int, scope: int) -> bytes | None:
        """A frame, or None while no number is reserved."""
        if self._next >= self._end:
            self.wanted = True
            return None
        number = self._next
        self._next += 1
        self.wanted = self._next + len(AGAIN_S) >= self._end
        return self._key.seal(MEMBER, number, messages.encode(Brighten(level_percent, seconds, scope)))
