"""The audit log: who asked for what, and what became of it, as a chain of keyed hashes in the store.

    mac(n) = HMAC-SHA256(key, mac(n - 1) || n in 8 bytes || length of kind in 1 byte || kind || entry)

So nobody without the key can change, add, leave out or reorder an entry unseen. Who has the key, which lies on the same
machine, can write another chain: against that stands the head (number and mac of the newest entry), which is published
to the council at intervals. `verify` claims only what the last published head covers.
"""

import hmac
import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from kerbgate.errors import AuditError

KEY_SIZE = 32
KEY_FILE = "audit.key"
SCHEMA = "kerbstone/audit-head/1"
MAX_ENTRIES = 500_000  # about 150 MB; older ones go once a published head covers them
PRUNE = 1000  # entries a transaction
START = bytes(32)  # before the first entry

PUBLISHED = "audit published"  # rows of command_meta: the entry up to which the council has the log,
HEAD = "audit head"  # the last head that it acknowledged, [number, mac, UTC seconds] in JSON,
ANCHOR = "audit anchor"  # and the last entry that was pruned, [number, mac, a keyed hash of both]


class Key:
    """The key of one log. Never shows its bytes."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes):
        self._key = key

    def __repr__(self) -> str:
        return "<audit key>"

    @classmethod
    def open(cls, state: Path, *, create: bool = False) -> "Key":
        """The key file of a state folder, of mode 0600; AuditError says what is wrong with it."""
        return cls(private_file(state / KEY_FILE, KEY_SIZE, create=create))

    def mac(self, before: bytes, seq: int, kind: str, entry: str) -> bytes:
        word = kind.encode()
        head = seq.to_bytes(8, "big") + len(word).to_bytes(1, "big") + word
        return hmac.digest(self._key, before + head + entry.encode(), "sha256")

    def anchor(self, seq: int, mac: bytes) -> str:
        """What shows that it was this gateway that pruned up to an entry."""
        return self.mac(mac, seq, "anchor", "").hex()


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry at some time. at: UTC seconds."""

    seq: int
    mac: str
    at: int

    def document(self, site: str, time: str) -> dict[str, Any]:
        """What is published."""
        return {"schema": SCHEMA, "site": site, "sequence": self.seq, "mac": self.mac, "time": time}


@dataclass(slots=True)
class Verdict:
    """What `verify` found. covered: up to here a published head vouches; what follows is on our word."""

    entries: int = 0
    first: int = 0
    last: int = 0
    covered: int = 0
    head: Head | None = None
    outside: bool = False  # the head came from outside this machine
    faults: list[str] = field(default_factory=list[str])

    @property
    def sound(self) -> bool:
        return not self.faults


def append(db: sqlite3.Connection, key: Key, kind: str, entry: dict[str, Any]) -> int:
    """Add an entry, inside the transaction of what it tells of; returns its number."""
    seq, before = _newest(db, key)
    seq += 1
    entry = {"sequence": seq} | entry
    text = json.dumps(entry, separators=(",", ":"))  # in ASCII: whoever shows it shows nothing that a terminal obeys
    db.execute("INSERT INTO audit VALUES (?,?,?,?)", (seq, kind, text, key.mac(before, seq, kind, text)))
    return seq


def head(db: sqlite3.Connection, key: Key, now: int) -> Head | None:
    """The newest entry, to be published; None while there is none. now: UTC seconds."""
    seq, mac = _newest(db, key)
    return Head(seq, mac.hex(), now) if seq else None


def acknowledged(db: sqlite3.Connection, newest: Head) -> None:
    """The council has this head."""
    _set(db, HEAD, json.dumps([newest.seq, newest.mac, newest.at]))


def last_head(db: sqlite3.Connection) -> Head | None:
    """The head that the council acknowledged last, as this machine remembers it."""
    row = db.execute("SELECT value FROM command_meta WHERE name=?", (HEAD,)).fetchone()
    try:
        return Head(*json.loads(row[0])) if row else None
    except (TypeError, ValueError):
        return None


def prune(db: sqlite3.Connection, key: Key, keep: int = MAX_ENTRIES) -> int:
    """Take away the oldest entries beyond `keep` that the council has and a head covers; returns how many.

    Where there is no council, or it is away for good, the log grows to twice that.
    """
    newest, known = _newest(db, key)[0], last_head(db)
    row = db.execute("SELECT value FROM command_meta WHERE name=?", (PUBLISHED,)).fetchone()
    limit = max(min(newest - keep, known.seq if known else 0, row[0] if row else 0), newest - 2 * keep)
    rows = db.execute("SELECT seq, mac FROM audit WHERE seq <= ? ORDER BY seq LIMIT ?", (limit, PRUNE)).fetchall()
    if rows:
        _set(db, ANCHOR, json.dumps([*_text(rows[-1]), key.anchor(*rows[-1])]))
        db.execute("DELETE FROM audit WHERE seq <= ?", (rows[-1][0],))
    return len(rows)


def verify(db: sqlite3.Connection, key: Key, heads: Iterable[Head] = ()) -> Verdict:
    """Walk the chain and hold it against the heads that the council has, or else the last one that we remember."""
    given = sorted(heads, key=lambda known: known.seq)
    verdict = Verdict(outside=bool(given))
    ours = last_head(db)
    expected = {known.seq: known for known in [*([ours] if ours else []), *given]}
    try:
        seq, before = _anchor(db, key)
    except AuditError as error:
        verdict.faults.append(error.cause)
        return verdict
    verdict.first = seq + 1
    pruned = seq
    found: dict[int, str] = {seq: before.hex()} if seq in expected else {}
    for number, kind, entry, mac in db.execute("SELECT seq, kind, entry, mac FROM audit ORDER BY seq"):
        if number != seq + 1:
            verdict.faults.append(f"entries {seq + 1} to {number - 1} are missing")
            break
        whole = isinstance(mac, bytes) and isinstance(kind, str) and isinstance(entry, str) and len(kind) < 256
        if not whole or not hmac.compare_digest(mac, key.mac(before, number, kind, entry)):
            verdict.faults.append(f"entry {number} was changed, or its place in the order was")
            break
        seq, before = number, mac
        verdict.entries += 1
        if number in expected:
            found[number] = mac.hex()
    verdict.last = seq
    for known in expected.values():
        if known.seq <= pruned and known.seq not in found:
            continue  # taken away in good order since
        if known.seq not in found:
            if not verdict.faults:
                verdict.faults.append(f"the log ends at entry {seq}; the council was told of entry {known.seq}")
        elif found[known.seq] != known.mac:
            verdict.faults.append(f"entry {known.seq} is another than the council was told of")
        elif not given or known in given:
            verdict.covered, verdict.head = known.seq, known
    return verdict


def read_heads(text: str, site: str) -> list[Head]:
    """The heads of a file from the council: one published document a line. AuditError."""
    out: list[Head] = []
    for line in filter(str.strip, text.splitlines()):
        try:
            document: Any = json.loads(line)
            if document["schema"] != SCHEMA or document["site"] != site:
                raise ValueError("a head of another site or schema")
            seq, mac = cast(int, document["sequence"]), cast(str, document["mac"])
            if type(seq) is not int or len(bytes.fromhex(mac)) != 32:
                raise ValueError("its number or its mac")
            out.append(Head(seq, mac, 0))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise AuditError(
                f"a line of the file is no head of site {site}: {error}",
                "save what the gateway published on .../audit/head, one document a line",
            ) from error
    return out


def private_file(path: Path, size: int, *, create: bool = False) -> bytes:
    """The bytes of a secret's file, of mode 0600; made if it may be. AuditError."""
    if create and not path.exists():
        draft = path.with_name(path.name + ".new")
        draft.unlink(missing_ok=True)
        write_private(draft, os.urandom(size))
        draft.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(size + 1)
    except OSError as error:
        raise AuditError(
            f"the key file {path} cannot be read: {error.strerror}", "restore it from a backup, or start the gateway"
        ) from error
    if mode & 0o077:
        raise AuditError(f"the key file {path} can be read by others", f"run: chmod 600 {path}")
    if len(data) != size:
        raise AuditError(f"the key file {path} is not {size} bytes long", "restore it from a backup")
    return data


def write_private(path: Path, data: bytes) -> None:
    """A new file of mode 0600, synced. AuditError."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AuditError(f"{path} cannot be written: {error}", "check the folder and free space") from error


def _newest(db: sqlite3.Connection, key: Key) -> tuple[int, bytes]:
    row = db.execute("SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return (row[0], row[1]) if row else _anchor(db, key)


def _anchor(db: sqlite3.Connection, key: Key) -> tuple[int, bytes]:
    """What the first entry that is there follows: the last one that was pruned, or nothing. AuditError."""
    row = db.execute("SELECT value FROM command_meta WHERE name=?", (ANCHOR,)).fetchone()
    if row is None:
        return 0, START
    try:
        seq, text, sign = json.loads(row[0])
        mac = bytes.fromhex(text)
        if hmac.compare_digest(key.anchor(seq, mac), sign):
            return seq, mac
    except (TypeError, ValueError, AttributeError, OverflowError):
        pass
    raise AuditError("the note of what was pruned from the audit log was changed", "restore the store from a backup")


def _text(row: tuple[int, bytes]) -> tuple[int, str]:
    return row[0], row[1].hex()


def _set(db: sqlite3.Connection, name: str, value: Any) -> None:
    db.execute("INSERT OR REPLACE INTO command_meta VALUES (?,?)", (name, value))
