"""Commands and the council's broker: documents come in on a topic a role, what becomes of them goes out.

    {prefix}/{site}/command/{role}       in    commands; the broker's access list says who may write to which
    {prefix}/{site}/command/{id}/state   out   every change, in the order of the audit log, from there: none is left out
    {prefix}/{site}/command/refused      out   refusals of documents without a readable id
    {prefix}/{site}/audit/head           out   the head of the audit log, at intervals

A document is acknowledged to the broker once it is written down or refused. States wait in the store for the broker's
acknowledgement; refusals and dry runs change nothing, and are published while the broker is there.
"""

import asyncio
import contextlib
import json
import random
import sqlite3
from collections import deque
from dataclasses import dataclass
from typing import Any

from kerbgate import audit, brokers, mqtt
from kerbgate.commands import ledger as ledgers
from kerbgate.commands.commander import Commands
from kerbgate.commands.operations import PRIORITY_NAMES
from kerbgate.commands.reasons import Allowance, Refusal
from kerbgate.commands.request import MAX_DOCUMENT, write_time
from kerbgate.config import OutletSettings
from kerbgate.errors import OutletError
from kerbgate.outlets import Link, open_outlet
from kerbgate.store.items import Change
from kerbgate.store.store import Store

WINDOW = 20  # documents that the broker sends before one of them is acknowledged: 320 KB
MAX_PACKET = MAX_DOCUMENT + 1024  # bytes: the broker keeps larger ones from us
SESSION_S = 86400  # how long a broker keeps commands for a gateway that is away; each has an expiry of its own
BURST, EVERY_S = 200, 0.1  # documents of one role: so many at once, and ten a second; a flood of one stops no other
WARNING_S = 60.0  # a flood is answered once in so long, not for each of its drops
MAX_ANSWERS = 200  # refusals and dry runs that wait for the broker; more of them are counted
BATCH = 32  # states between two notes of how far the council has them
IDLE_S = 1.0
RETRY_S = (0.5, 30.0)


@dataclass(slots=True)
class CouncilState:
    """Counters, for status."""

    listening: bool = False
    received: int = 0
    too_fast: int = 0
    published: int = 0
    unpublished_answers: int = 0
    head: int = 0
    last_error: str | None = None


class Council:
    """The council's broker, as commands use it. `listen` and `publish` are tasks; both run until cancelled."""

    def __init__(
        self,
        settings: OutletSettings,
        *,
        site: str,
        identifier: str,
        commands: Commands,
        store: Store,
        key: audit.Key,
        head_interval_s: int,
    ):
        """BrokerError if the URL, the credentials or a certificate cannot be used."""
        self.state = CouncilState()
        self._settings = settings
        self._site = site
        self._commands = commands
        self._store = store
        self._key = key
        self._head_interval_s = head_interval_s
        self._base = f"{settings.prefix}/{site}"
        self._roles = {f"{self._base}/command/{role}": role for role in PRIORITY_NAMES}
        self._outlet = open_outlet(settings, f"{identifier}-state")
        self._broker = brokers.of_outlet(settings)
        self._options = mqtt.Options(
            identifier,
            clean=False,
            session_s=SESSION_S,
            window=WINDOW,
            max_packet=MAX_PACKET,
            timeout_s=settings.timeout_s,
        )
        self._answers: deque[dict[str, Any]] = deque()
        self._wake = asyncio.Event()
        self._allowances: dict[str, Allowance] = {}
        self._warnings: dict[str, Allowance] = {}
        commands.on_change = self._wake.set

    async def listen(self) -> None:
        """Take commands."""
        pause_s = RETRY_S[0]
        while True:
            try:
                await self._session()
            except (mqtt.MqttError, OSError, TimeoutError) as error:
                self.state.last_error = f"{self._broker}: {error or 'it does not answer'}"
            pause_s = RETRY_S[0] if self.state.listening else min(pause_s * 2, RETRY_S[1])
            self.state.listening = False
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311

    async def _session(self) -> None:
        connection = await self._broker.connect(self._options, self._heard)
        try:
            codes = await connection.subscribe(list(self._roles))
            for topic, code in zip(self._roles, codes, strict=True):
                if code >= mqtt.REFUSED:
                    self.state.last_error = f"{topic}: {mqtt.reason(code)}"
            self.state.listening = any(code < mqtt.REFUSED for code in codes)
            await connection.ended()
        finally:
            await connection.close()

    def _heard(self, connection: mqtt.Connection, message: mqtt.Publish) -> None:
        """One document: acknowledged to the broker when it is answered."""
        role = self._roles.get(message.topic)
        if role is None or message.payload is None:
            connection.acknowledge(message.number)
            return
        self.state.received += 1

        def answer(document: dict[str, Any]) -> None:
            connection.acknowledge(message.number)
            if document["event"] != "accepted":  # that one is in the log
                self._say(document)

        now = asyncio.get_running_loop().time()
        if not self._allowances.setdefault(role, Allowance(BURST, EVERY_S, now)).take(now):
            self.state.too_fast += 1
            if self._warnings.setdefault(role, Allowance(1, WARNING_S, now)).take(now):
                answer(self._commands.refusal(None, role, Refusal("too fast")))
            else:
                connection.acknowledge(message.number)
        elif message.retain:
            answer(self._commands.refusal(None, role, Refusal("retained")))
        else:
            self._commands.submit(message.payload, role, answer)

    def _say(self, document: dict[str, Any]) -> None:
        if len(self._answers) >= MAX_ANSWERS:
            self.state.unpublished_answers += 1
            return
        self._answers.append(document)
        self._wake.set()

    async def publish(self) -> None:
        """Publish states, answers and heads."""
        pause_s = RETRY_S[0]
        while True:
            try:
                async with self._outlet.connect() as link:
                    pause_s = RETRY_S[0]
                    await self._pump(link)
            except OutletError as error:
                self.state.last_error = error.cause
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311
            pause_s = min(pause_s * 2, RETRY_S[1])

    async def _pump(self, link: Link) -> None:
        """Ends in OutletError."""
        db = sqlite3.connect(f"{self._store.path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
        try:
            row = db.execute("SELECT value FROM command_meta WHERE name=?", (audit.PUBLISHED,)).fetchone()
            done: int = row[0] if row else 0
            known = audit.last_head(db)
            self.state.head = known.seq if known else 0
            head_at = 0.0
            while True:
                self._wake.clear()
                while self._answers:
                    await self._send(link, self._answers[0])
                    self._answers.popleft()
                while rows := ledgers.unpublished(db, done, BATCH):
                    for seq, document in rows:
                        await self._send(link, document)
                        done = seq
                    self._note(audit.PUBLISHED, done)
                now = asyncio.get_running_loop().time()
                if now >= head_at:
                    await self._publish_head(link, db)
                    head_at = now + self._head_interval_s
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_S):
                        await self._wake.wait()
        finally:
            db.close()

    async def _send(self, link: Link, document: dict[str, Any]) -> None:
        ident = document.get("id")
        topic = f"{self._base}/command/{ident}/state" if ident else f"{self._base}/command/refused"
        await link.publish(topic, json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())
        self.state.published += 1

    async def _publish_head(self, link: Link, db: sqlite3.Connection) -> None:
        """The head of the log, where it has grown since the last one."""
        utc = int(self._commands.utc())
        newest = audit.head(db, self._key, utc)
        if newest is None or newest.seq <= self.state.head:
            return
        document = newest.document(self._site, write_time(utc))
        await link.publish(f"{self._base}/audit/head", json.dumps(document).encode())
        self.state.head = newest.seq
        self._store.submit(Change(lambda db: audit.acknowledged(db, newest), utc * 1000), lambda _: None)

    def _note(self, name: str, value: int) -> None:
        """How far it is done; a note that is lost costs that states are published twice, each with its number."""

        def apply(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO command_meta VALUES (?,?)", (name, value))

        self._store.submit(Change(apply, int(self._commands.utc()) * 1000), lambda _: None)
