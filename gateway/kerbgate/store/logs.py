"""What nodes sent of their ring logs, in answer to `send_log`: the newest pieces of each, for a person to read.

A log is a look into a node and no evidence: it is bounded for each node and in all, and goes to no outlet.
"""

import sqlite3
from dataclasses import dataclass

from kerbwire.controls import Log

MAX_PIECES = 64  # of one node: 12 KB of lines, as much as a board's ring log holds
MAX_ALL = 20_000  # of all nodes: 6 MB


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines of one boot of a node, from `line` on. dropped: lines before them that its ring has overwritten."""

    node: int
    boot: int
    line: int
    dropped: int
    text: str
    received_ms: int


def keep(db: sqlite3.Connection, node: int, log: Log, received_ms: int) -> None:
    """Keep a piece; the oldest go where there are too many. In the transaction of the frame that brought it."""
    db.execute(
        "INSERT OR REPLACE INTO node_log (node, boot, line, dropped, data, received) VALUES (?,?,?,?,?,?)",
        (node, log.boot, log.line, log.dropped or 0, log.data, received_ms),
    )
    db.execute(
        "DELETE FROM node_log WHERE piece IN"
        " (SELECT piece FROM node_log WHERE node=? ORDER BY piece DESC LIMIT -1 OFFSET ?)",
        (node, MAX_PIECES),
    )
    db.execute("DELETE FROM node_log WHERE piece <= (SELECT max(piece) FROM node_log) - ?", (MAX_ALL,))


def of_node(db: sqlite3.Connection, node: int) -> list[Piece]:
    """What is kept of a node, by boot and line. The text shows nothing that a terminal obeys."""
    rows = db.execute(
        "SELECT node, boot, line, dropped, data, received FROM node_log WHERE node=? ORDER BY boot, line", (node,)
    )
    return [Piece(node, boot, line, dropped, plain(data), at) for node, boot, line, dropped, data, at in rows]


def counts(db: sqlite3.Connection) -> tuple[int, int]:
    """(pieces, nodes that have some)."""
    row = db.execute("SELECT count(*), count(DISTINCT node) FROM node_log").fetchone()
    return row[0], row[1]


def plain(data: bytes) -> str:
    """Lines as printable ASCII; any other byte becomes a question mark."""
    return "".join(chr(byte) if 32 <= byte < 127 or byte == 10 else "?" for byte in data)
