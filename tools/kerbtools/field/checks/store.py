"""The store and the registry: whole, of this version, and in agreement with each other."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator

from kerbgate.errors import GatewayError, StoreDamaged
from kerbtools.field.findings import FAIL, OK, SKIPPED, WARN, Finding
from kerbtools.field.screen import listed, size
from kerbtools.field.subject import RUNNING, Subject

CHECK_S = 5.0  # of integrity check beside a gateway that stands still,
CHECK_RUNNING_S = 0.5  # and beside one that works: both want the same disk
_FOLLOWS = ("gateway", "registry", "clock", "nodes", "queues", "refused", "programs", "boots", "supply", "columns")


def store(subject: Subject) -> Iterator[Finding]:
    """Integrity, schema, room below the quota, wear, restore."""
    path = subject.store
    if not path.exists():
        there = path.with_name(path.name + ".mark").exists()
        if there:
            yield Finding(
                "store",
                FAIL,
                f"{path} is gone, and its mark says that there was one",
                ("it was moved or deleted", "its disk is not mounted"),
                ("kerb restore FILE", f"findmnt --target {path.parent}"),
                explains=_FOLLOWS,
            )
        else:
            yield Finding("store", SKIPPED, "not there yet: the first start makes it")
        return
    found = list(_damage(subject))
    if found:
        yield from found
        return
    yield from _room(subject)


def _damage(subject: Subject) -> Iterator[Finding]:
    from kerbgate.store import opening, schema

    path = subject.store
    limit_s = CHECK_RUNNING_S if subject.mode == RUNNING else CHECK_S
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as db:
            version: int = db.execute("PRAGMA user_version").fetchone()[0]
            opening.check(db, path, limit_s)
    except (StoreDamaged, sqlite3.DatabaseError) as error:
        if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF not in (
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
            sqlite3.SQLITE_IOERR,
        ):
            raise
        yield Finding(
            "store",
            FAIL,
            f"{path} is damaged: {error.cause if isinstance(error, StoreDamaged) else error}",
            ("the card or disk is failing, or lost writes in a power cut", "another program wrote into it"),
            (
                "kerb restore FILE",
                "dmesg | grep -i -e mmc -e 'I/O error'",
                f"without a backup: mv {path} {path}-wal aside, leave {path.name}.mark, kerb gateway run",
            ),
            explains=_FOLLOWS,
        )
        return
    if version > schema.version():
        yield Finding(
            "store",
            FAIL,
            f"{path} has schema {version}, and this program knows {schema.version()}",
            ("an earlier version was installed over a later one",),
            ("/opt/kerbstone/bin/pip install --no-index --find-links wheels --upgrade kerbstone", "kerb restore FILE"),
            explains=_FOLLOWS,
        )
    elif version < schema.version():
        said = f"{path} has schema {version}; this program brings it to {schema.version()} at the next start"
        yield Finding(
            "store",
            WARN,
            said,
            ("the gateway was upgraded and not restarted",),
            ("sudo systemctl restart kerbstone",),
            explains=_FOLLOWS,
        )


def _room(subject: Subject) -> Iterator[Finding]:
    path, facts = subject.store, subject.facts
    wal = path.with_name(path.name + "-wal")
    used = path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    said = f"{size(used)}, whole as far as it was looked at"
    quota = subject.config.store.quota_mb * 1024 * 1024
    room = None if facts is None else facts["store"]["room"]
    if facts is not None and facts["store"]["failing"] and shutil.disk_usage(path.parent).free > 0:
        yield Finding(
            "store",
            FAIL,
            f"it does not store: {facts['store']['failing']}; nothing is acknowledged, nodes keep it",
            ("its quota or its disk is full", "the disk is failing"),
            ("kerb queue", "raise [store] quota_mb, then: sudo systemctl restart kerbstone", "dmesg | tail"),
            explains=("problems", "nodes", "inlets", "gateway"),
        )
    elif room is not None and room["exhausted"]:
        yield Finding(
            "store",
            WARN,
            f"{said}; nearly full, and nothing may be thinned",
            ("an outlet is away and its documents wait", "the quota is too small"),
            ("kerb queue", "raise [store] quota_mb"),
        )
    elif quota and used > 0.95 * quota:
        yield Finding(
            "store",
            WARN,
            f"{said}, of a quota of {size(quota)}",
            ("documents wait for an outlet",),
            ("kerb queue", "raise [store] quota_mb"),
        )
    else:
        yield Finding("store", OK, said)


def registry(subject: Subject) -> Iterator[Finding]:
    """Opens with its key, and knows who the store knows."""
    path = subject.config.gateway.registry
    if not path.exists():
        if subject.store.exists():
            yield Finding(
                "registry",
                FAIL,
                f"there is no registry at {path}, but a store",
                ("it was moved or never copied", "registry = in the configuration is wrong"),
                ("put the copy back, with its .key file", "kerb registry import EXPORT"),
                explains=("gateway", "nodes", "refused"),
            )
        else:
            yield Finding("registry", SKIPPED, "not there yet: kerb gateway init, or the first start, makes it")
        return
    if subject.mode != RUNNING:  # a running gateway has opened it
        from kerbgate.registry import Registry

        try:
            opened = Registry(path)
        except GatewayError as error:
            yield Finding(
                "registry",
                FAIL,
                error.cause,
                ("registry and key file are of different copies", "the file is damaged"),
                (error.hint, "kerb registry import EXPORT"),
                explains=("gateway", "nodes", "refused"),
            )
            return
        count = len(opened)
        opened.close()
    else:
        facts = subject.facts
        count = 0 if facts is None else facts["registry"]["nodes"]
    if not subject.store.exists():
        yield Finding("registry", OK, f"{count} nodes")
        return
    found = subject.condition
    if found["registry_error"]:
        said = f"{path} cannot be read: {found['registry_error']}"
        yield Finding("registry", FAIL, said, ("it is damaged, or of another version",), ("kerb registry list",))
        return
    strangers = found["strangers"]
    if strangers["count"]:
        named = listed(strangers["nodes"])
        some = "" if strangers["count"] == 1 else "s"
        yield Finding(
            "registry",
            FAIL,
            f"{strangers['count']} node{some} of the store not in it any more: {named}",
            (
                "an older copy of the registry was put back, or an import left them out",
                "they were taken out on purpose",
            ),
            ("kerb registry import EXPORT", f"kerb registry list --registry {path}"),
            subject=f"node {strangers['nodes'][0]}",
            nodes=tuple(strangers["nodes"]),
            explains=("refused",),
        )
    else:
        yield Finding("registry", OK, f"{count} nodes, {found['heard']} of them heard")
