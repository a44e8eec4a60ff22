"""Letters: roll-ups, alarms and lists beside the reports, durable, in order, and forgotten only when the council has them."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from forward_harness import Memory, Running, make_pump, until_async
from gateway_harness import SITE, START, Rig, until

from kerbgate import config, pumps, status
from kerbgate.config import OutletSettings
from kerbgate.errors import ConfigError, DocumentRefused
from kerbgate.letters import Letter, LetterSource, Wants
from kerbgate.store import Reader
from kerbgate.store.items import Change
from kerbgate.store.store import Settled
from kerbgate.waiting import MAX_ASIDE


class Notes:
    """A source with a table of its own, of rows that change: what a change replaced is not sent any more."""

    name = "notes"

    def __init__(self, kind: str = "note"):
        self.kind = kind
        self.told: list[dict[str, frozenset[str]]] = []
        self.fails = False

    @staticmethod
    def make(db: sqlite3.Connection) -> None:
        db.execute(
            "CREATE TABLE note (outlet TEXT, note INTEGER, change INTEGER, due INTEGER, PRIMARY KEY (outlet, note))"
        )

    def waiting(self, db: sqlite3.Connection, outlet: str, limit: int, now_s: int) -> list[Letter]:
        rows = db.execute(
            "SELECT note, change FROM note WHERE outlet=? AND due <= ? ORDER BY note LIMIT ?", (outlet, now_s, limit)
        )
        return [
            Letter((note, change), self.kind, f"node/{note}", {"id": f"{SITE}/note/{note}", "revision": change})
            for note, change in rows
        ]

    def delivered(self, db: sqlite3.Connection, outlet: str, keys: Sequence[tuple[int, ...]]) -> None:
        if self.fails:
            raise ValueError("no")
        db.executemany("DELETE FROM note WHERE outlet=? AND note=? AND change=?", [(outlet, *key) for key in keys])

    def outlets(self, db: sqlite3.Connection, wants: Wants) -> None:
        self.told.append(dict(wants))

    def backlog(self, db: sqlite3.Connection) -> Mapping[str, int]:
        return dict(db.execute("SELECT outlet, count(*) FROM note GROUP BY outlet"))

    def drop(self, db: sqlite3.Connection, outlet: str, limit: int) -> int:
        return db.execute(
            "DELETE FROM note WHERE rowid IN (SELECT rowid FROM note WHERE outlet=? LIMIT ?)", (outlet, limit)
        ).rowcount


class Desk:
    """A store with notes, and a pump over it."""

    def __init__(self, folder: Path, source: Notes):
        self.rig = Rig(folder)
        self.source: LetterSource = source
        self.change(Notes.make)

    def change(self, apply: Any) -> None:
        done: list[Any] = []
        assert self.rig.store.submit(Change(apply, START * 1000), done.append)
        while not done:  # a batch of the store may have been about something else
            for made, outcome in self.rig._deliveries.get(timeout=20):
                made(outcome)
        assert done[0].verdict == "committed"

    def write(self, notes: Sequence[int], change: int = 1, due: int = START, outlet: str = "council") -> None:
        rows = [(outlet, note, change, due) for note in notes]
        self.change(lambda db: db.executemany("INSERT OR REPLACE INTO note VALUES (?,?,?,?)", rows))

    def waiting(self) -> list[tuple[int, int]]:
        return self.rig.query("SELECT note, change FROM note ORDER BY note")

    def forward(self, outlet: Any, done: Any, utc: int = START, **settings: Any) -> Any:
        async def main() -> Any:
            loop = asyncio.get_running_loop()
            with contextlib.closing(Reader(self.rig.store.path)) as reader:
                pump = make_pump(outlet, self.rig.store, reader, (self.source,), utc=utc, **settings)

                def deleted(settled: Settled) -> None:
                    def call() -> None:
                        for note in settled.notes:
                            note.committed()
                        pump.deleted(settled)

                    loop.call_soon_threadsafe(call)

                self.rig.store._on_deleted = deleted
                task = asyncio.create_task(pump.run())
                await until_async(lambda: done(pump.state), "done")
                task.cancel()
                await asyncio.wait([task])
                self.rig.store._on_deleted = None
                return pump.state

        return asyncio.run(main())


class Mailbox(Memory):
    """Keeps topics and documents; refuses by id."""

    def __init__(self, refuse_after: list[int] | None = None, poison: str = ""):
        super().__init__(refuse_after or [])
        self.documents: list[dict[str, Any]] = []
        self._poison = poison

    async def publish(self, topic: str, payload: bytes) -> None:
        await asyncio.sleep(0)
        document = json.loads(payload)
        if self._poison and document.get("id") == self._poison:
            raise DocumentRefused("not this one", "-")
        await super().publish(topic, payload)
        self.documents.append(document)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerbgate.forward.FIRST_RETRY_S", 0.001)
    monkeypatch.setattr("kerbgate.waiting.LETTERS_S", 0.005)
    monkeypatch.setattr("kerbgate.waiting.RECHECK_S", 0.02)


def test_letters_go_in_order_in_their_envelope_and_are_forgotten_once(tmp_path: Path) -> None:
    desk, mailbox = Desk(tmp_path, Notes()), Mailbox([7, 7, 30])
    desk.write(range(40))
    state = desk.forward(mailbox, lambda state: state.letters >= 40 and not desk.waiting(), window=1)
    assert mailbox.documents[0] == {"schema": "kerbstone/note/1", "site": SITE, "id": f"{SITE}/note/0", "revision": 1}
    assert mailbox.got[0] == f"k/{SITE}/note/node/0"
    assert [d["id"] for d in mailbox.documents] == [f"{SITE}/note/{note}" for note in range(40)]
    assert (state.letters, state.delivered) == (40, 0)
    desk.rig.close()


def test_what_is_not_due_waits_and_what_changed_meanwhile_goes_again(tmp_path: Path) -> None:
    desk, mailbox = Desk(tmp_path, Notes()), Mailbox()
    desk.write([1, 2])
    desk.write([3], due=START + 100)
    desk.forward(mailbox, lambda state: state.letters == 2 and len(desk.waiting()) == 1)
    desk.write([1], change=2)
    desk.forward(mailbox, lambda state: state.letters == 2 and not desk.waiting(), utc=START + 100)
    assert [(d["id"][-1], d["revision"]) for d in mailbox.documents] == [("1", 1), ("2", 1), ("1", 2), ("3", 1)]
    desk.rig.close()


def test_a_letter_that_changes_while_it_is_under_way_is_not_forgotten(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Notes())
    desk.write([1])

    class Slow(Mailbox):
        async def publish(self, topic: str, payload: bytes) -> None:
            if not self.documents:
                await asyncio.to_thread(desk.write, [1], 2)
            await super().publish(topic, payload)

    mailbox = Slow()
    desk.forward(mailbox, lambda state: state.letters == 2 and not desk.waiting())
    assert [d["revision"] for d in mailbox.documents] == [1, 2]
    desk.rig.close()


def test_an_urgent_letter_does_not_wait_for_a_batch_and_others_share_one(tmp_path: Path) -> None:
    for kind, lengths in (("alarm", None), ("note", 3)):
        folder = tmp_path / kind
        folder.mkdir()
        desk, mailbox = Desk(folder, Notes(kind)), Mailbox()
        desk.write(range(3))
        desk.forward(mailbox, lambda state: state.letters == 3, batch=10, batch_ms=30)
        if lengths is None:
            assert [d["id"] for d in mailbox.documents] == [f"{SITE}/note/{note}" for note in range(3)]
            assert set(mailbox.got) == {f"k/{SITE}/alarm/node/{note}" for note in range(3)}
        else:
            assert [len(d["documents"]) for d in mailbox.documents] == [lengths]
            assert mailbox.got == [f"k/{SITE}/batch"]
        desk.rig.close()


def test_a_poison_letter_is_set_aside_with_the_councils_words(tmp_path: Path) -> None:
    desk, mailbox = Desk(tmp_path, Notes()), Mailbox(poison=f"{SITE}/note/2")
    desk.write(range(5))
    state = desk.forward(mailbox, lambda state: state.letters == 4 and state.set_aside == 1)
    (found,) = state.aside.values()
    assert (found.letter, found.cause) == (f"k/{SITE}/note/node/2", "not this one")
    until(lambda: desk.waiting() == [(2, 1)], "it stays")
    desk.rig.close()


def test_a_source_that_fails_keeps_no_row_and_no_frame_from_being_committed(tmp_path: Path) -> None:
    source = Notes()
    source.fails = True
    desk, mailbox = Desk(tmp_path, source), Mailbox()
    desk.write([1])
    node = desk.rig.node(1)
    desk.rig.confirm(node)
    node.take(2, START)
    desk.rig.exchange(node)
    state = desk.forward(mailbox, lambda state: state.delivered == 1 and not desk.rig.query("SELECT * FROM outbox"))
    assert state.letters == 1  # once, and again at the next start
    assert desk.rig.store.health.failed_notes == 1 and not desk.rig.store.health.failing
    assert desk.waiting() == [(1, 1)]
    desk.rig.close()


def test_a_note_that_failed_is_in_the_status(tmp_path: Path) -> None:
    running = Running(tmp_path, 9)
    try:
        running.gateway.store.health.failed_notes = 3
        running.gateway.store.health.last_failed_note = "KeyError: 'x'"
        found = status.collect(running.gateway)
        assert found["store"]["writer"]["failed_notes"] == 3
        assert "sent again after the next start: 3 notes, last KeyError: 'x'" in status.plain(found, START)
    finally:
        running.close()


def test_an_outlet_of_roll_ups_gets_no_reports_and_none_waits_for_it(tmp_path: Path) -> None:
    text = '[gateway]\nsite = "s"\n[[outlet]]\nname = "a"\nurl = "mqtt://h"\nsend = "rollup"\nlevels = "hour, day"\n'
    made = config.parse(tmp_path / "c.toml", text.encode())
    assert pumps.report_names(made.outlets) == [] and pumps.letters_only(made)
    assert pumps.wants(made.outlets) == {"a": frozenset(("hour", "day", "alarms"))}
    assert pumps.wants([OutletSettings("b", "u", alarms=False)]) == {"b": frozenset(("raw",))}
    for bad, words in (
        (text.replace("hour", "month"), "15min, hour, day"),
        (text.replace("hour, day", "") + "alarms = false\n", "name some levels"),
        (text + "batch = 0\n", "from 1 to 200"),
        (text + 'compress = "zip"\n', "none, gzip"),
        (text + 'deadband = "fill"\n', "fill_percent=5"),
        (text + 'deadband = "2"\n', 'send = "change"'),
        (text + 'alarms = "yes"\n', "Whether it gets alarms"),
    ):
        with pytest.raises(ConfigError) as caught:
            config.parse(tmp_path / "c.toml", bad.encode())
        assert words in caught.value.hint, bad


def test_what_is_set_aside_is_bounded(tmp_path: Path) -> None:
    """A broker that takes one document and refuses a thousand others with reason does not fill the memory."""
    desk = Desk(tmp_path, Notes())
    desk.write(range(MAX_ASIDE + 51))

    class Picky(Mailbox):
        async def publish(self, topic: str, payload: bytes) -> None:
            await asyncio.sleep(0)
            if self.documents:
                raise DocumentRefused("no", "-")
            await super().publish(topic, payload)

    state = desk.forward(Picky(), lambda state: state.set_aside >= MAX_ASIDE + 50, window=1)
    assert len(state.aside) == MAX_ASIDE and state.letters == 1
    desk.rig.close()
