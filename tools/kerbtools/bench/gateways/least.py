"""The least that a gateway in Python can do: a yardstick, and no gateway. Run by `Least` in a process of its own.

MQTT in, one AES-CCM opening, one row a message in a commit of many (SQLite, WAL, FULL), then the acknowledgement; MQTT
out, and the row is deleted on the council's PUBACK. It keeps no replay window, decodes nothing, answers no node, and
one thread does it all. Its client is the gateway's own, which is the fastest of those that were tried.
"""

import asyncio
import sqlite3
import sys
from itertools import count

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from kerbgate import mqtt

NONCE_SIZE = 13
TAG_SIZE = 8
COMMIT_COUNT = 200  # as the gateway's own
COMMIT_S = 0.02
WINDOW = 500


class Gateway:
    """Two connections and a file."""

    def __init__(self, council: mqtt.Connection, path: str, key: bytes):
        self._council = council
        self._cipher = AESCCM(key, tag_length=TAG_SIZE)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE IF NOT EXISTS queue (id INTEGER PRIMARY KEY, topic TEXT, message BLOB)"
        )
        self._loop = asyncio.get_running_loop()
        self._ids = count(1)
        self._new: list[tuple[int, str, bytes]] = []
        self._owed: list[int] = []
        self._gone: list[tuple[int]] = []
        self._timer: asyncio.TimerHandle | None = None

    def heard(self, field: mqtt.Connection, message: mqtt.Publish) -> None:
        """Open it, and commit it soon."""
        data = message.payload or b""
        clear = self._cipher.decrypt(data[:NONCE_SIZE], data[NONCE_SIZE:], message.topic.encode())
        self._new.append((next(self._ids), message.topic, clear))
        self._owed.append(message.number)
        if len(self._new) == COMMIT_COUNT:
            self._loop.call_soon(self.commit, field)
        elif self._timer is None:
            self._timer = self._loop.call_later(COMMIT_S, self.commit, field)

    def commit(self, field: mqtt.Connection) -> None:
        """Store, acknowledge, forward."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        (new, self._new), (owed, self._owed), (gone, self._gone) = (self._new, []), (self._owed, []), (self._gone, [])
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO queue VALUES (?,?,?)", new)
        self._db.executemany("DELETE FROM queue WHERE id=?", gone)
        self._db.execute("COMMIT")
        for number in owed:
            field.acknowledge(number)
        for ident, topic, message in new:
            self._council.send(topic, message, lambda code, words, ident=ident: self._gone.append((ident,)))


async def run(field_port: int, council_port: int, path: str, key: bytes) -> None:
    """Forward until it is killed."""
    council = await mqtt.connect("127.0.0.1", council_port, mqtt.Options("least-out"), lambda connection, message: None)
    gateway = Gateway(council, path, key)
    options = mqtt.Options("least-in", clean=False, session_s=3600, window=WINDOW)
    field = await mqtt.connect("127.0.0.1", field_port, options, gateway.heard)
    await field.subscribe(["data/#"])
    await field.ended()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], bytes.fromhex(sys.argv[4])))
