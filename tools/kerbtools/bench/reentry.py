"""Years of a bin node in one process: its wake function entered again and again, on the emulator's own hardware.

What an emulated board does by a MicroPython process a wake is done here by a call: the same shims, parts, ledger and
LittleFS2, the firmware's own sources, the same charges of virtual time. Computing takes no time and no charge. One
board a process: modules hold the board's port.
"""

import io
import os
import random
import sys
import tempfile
import types
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, cast

from littlefs import LittleFS, LittleFSError, lfs
from littlefs.context import UserContext

from kerbtools import boards
from kerbtools.bench.yearly_gateway import Gateway
from kerbtools.emulator.board import rewired
from kerbtools.emulator.flash import Flash
from kerbtools.emulator.hardware import CALL_US, Hardware
from kerbtools.emulator.rpc import MAX_SPENT_US, Call, Op
from kerbtools.emulator.scene import BinScene
from kerbwire import cbor, line
from kerbwire.events import RAISED

_SHIMS = ("kerb_pin", "kerb_uart", "kerb_buses", "machine", "esp32", "onewire", "ds18x20")
# Operations that the life of a board answers, not its hardware.
_OURS = frozenset(map(int, (Op.SLEEP, Op.LIGHTSLEEP, Op.DEEPSLEEP, Op.UART_WAIT, Op.WDT_START, Op.WDT_FEED, Op.TICKS)))
_READING_US = 20  # as in kerb_rpc: a reading of the clock
_STEP_US = 10_000  # as in Life: between two looks at a UART that something waits for
_EIO = -5
_ANSWER_US = 20_000  # of a gateway on the link
_DAY_US = 86_400_000_000
START_UTC = 1_767_571_200  # 2026-01-05, a Monday
NODE, SECRET = 7, bytes(range(16))


class Asleep(BaseException):
    """machine.deepsleep was called."""


class PowerCut(BaseException):
    """The power has failed at a write."""


class _Context(UserContext):
    """Flash that counts erases by block, takes its time, and may lose its power at any write."""

    def __init__(self, owner: "Reentry", size: int) -> None:
        super().__init__(size)
        self._owner = owner

    def prog(self, cfg: Any, block: int, off: int, data: bytes) -> int:
        self._owner.pass_us(CALL_US + self._owner.facts.page_program_us * -(-len(data) // 256))
        return self._write(block * cfg.block_size + off, bytes(data))

    def erase(self, cfg: Any, block: int) -> int:
        self._owner.erased[block] += 1
        self._owner.pass_us(CALL_US + self._owner.facts.sector_erase_us)
        return self._write(block * cfg.block_size, b"\xff" * cfg.block_size)

    def _write(self, start: int, data: bytes) -> int:
        owner = self._owner
        if owner.is_dead:
            return _EIO
        owner.writes += 1
        if owner.writes == owner.cut[0]:
            owner.is_dead = True
            half = len(data) // 2
            data = {"all": data, "half": data[:half], "garbage": data[:half] + random.randbytes(half)}[owner.cut[1]]  # noqa: S311
        self.buffer[start : start + len(data)] = data
        return _EIO if owner.is_dead else 0

    def read(self, cfg: Any, block: int, off: int, size: int) -> bytearray:
        start = block * cfg.block_size + off
        return self.buffer[start : start + size]


class _Writing:
    """An open file. What is written goes to flash when it is closed, and never without."""

    def __init__(self, owner: "Reentry", fs: Any, path: str, mode: str) -> None:
        self._owner, self._fs, self._path, self._mode = owner, fs, path, mode
        self._data = b""

    def __enter__(self) -> Self:
        return self

    def write(self, data: bytes | str) -> int:
        self._data += data.encode() if isinstance(data, str) else data
        return len(data)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._owner.attempt(self._store)

    def _store(self) -> None:
        add = "a" in self._mode
        handle = lfs.file_open(self._fs, self._path, "a" if add and self._is_there() else "w")
        try:
            lfs.file_write(self._fs, handle, self._data)  # pyright: ignore[reportUnknownMemberType]
        finally:
            lfs.file_close(self._fs, handle)

    def _is_there(self) -> bool:
        try:
            return bool(lfs.stat(self._fs, self._path))
        except LittleFSError:
            return False


class _Link:
    """The link's pty without a pty: what a node sends is heard at once, the answer comes a moment later."""

    def __init__(self, owner: "Reentry") -> None:
        self._owner = owner
        self._reader = line.Reader()
        self._answers: list[tuple[int, bytes]] = []

    def has_peer(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        owner = self._owner
        for frame in self._reader.feed(data):
            at_us = owner.now_us + _ANSWER_US
            owner.gateway.heard_us = owner.now_us
            self._answers += [(at_us, line.encode(a)) for a in owner.gateway.hear(frame, owner.now_us // 1_000_000)]
        return len(data)

    def read(self) -> bytes:
        due = b"".join(data for at_us, data in self._answers if at_us <= self._owner.now_us)
        self._answers = [answer for answer in self._answers if answer[0] > self._owner.now_us]
        return due

    def drop_input(self) -> None:
        self._answers.clear()


class _Clock:
    """A board's `time`."""

    def __init__(self, owner: "Reentry", ask: Callable[..., Any]) -> None:
        self._owner, self._ask = owner, ask
        self._epoch = 946_684_800 if owner.facts.port == "esp32" else 0

    def ticks_us(self) -> int:
        return self._owner.uptime_us() & 0x3FFFFFFF

    def ticks_ms(self) -> int:
        return self._owner.uptime_us() // 1000 & 0x3FFFFFFF

    def ticks_add(self, ticks: int, delta: int) -> int:
        return ticks + delta & 0x3FFFFFFF

    def ticks_diff(self, end: int, start: int) -> int:
        return (end - start + 0x20000000 & 0x3FFFFFFF) - 0x20000000

    def sleep_ms(self, ms: int) -> None:
        self._ask(Op.SLEEP, max(0, ms) * 1000)

    def sleep_us(self, us: int) -> None:
        self._ask(Op.SLEEP, max(0, us))

    def time(self) -> int:
        return self._ask(Op.CLOCK)[0] // 1_000_000 - self._epoch


class Reentry:
    """One board. wake() runs one wake and its sleep; `ledger`, `erased`, `gateway` and `lines` tell what it did."""

    def __init__(
        self,
        board: str,
        config: dict[str, int],
        start_utc: int,
        seed: str,
        folder: Path,
        wiring: Mapping[str, Mapping[str, int | str]] | None = None,
    ) -> None:
        self.facts = rewired(boards.load(board), "bin", wiring or {})
        self.now_us: int = start_utc * 1_000_000
        self.erased: Counter[int] = Counter()
        self.gateway = Gateway(NODE, SECRET)
        self.taken: set[tuple[str, int]] = set()
        self.notes: list[str] = []
        self.wakes = 0
        self.writes = 0  # programs and erases so far
        self.cut: tuple[int, str] = (0, "all")  # the number of that at which the power fails, and what it leaves
        self.is_dead = False
        self._spent_us = 0
        self.scene = BinScene(seed, self.now_us)
        link: Any = _Link(self)
        self.hardware = Hardware(self.facts, self.scene, Flash(folder / "unused", self.facts), link, seed)
        self._cause = self.facts.reset_causes["power"]
        self._context = _Context(self, self.facts.filesystem_bytes)
        self._files = self._image()
        self._files.format()
        self._files.mount()
        self._files.mkdir("/node")
        self._write("/node/identity.cbor", cbor.encode({1: NODE, 2: SECRET, 3: 1, 4: "bench"}))
        import json

        self._write("/node/config.json", json.dumps(config).encode())
        self.erased.clear()
        self.writes = 0
        self._board = self.facts.on_board("bin")
        self._machine, self._time = self._load()
        self._use_flash()
        self.hardware.begin("power", self.now_us)

    @property
    def ledger(self):
        return self.hardware.ledger.sum(self.now_us)

    def wake(self) -> None:
        """From a start to the end of the deep sleep behind it."""
        from kerbnode import app, hal
        from kerbnode.journal import Journal

        self._cause_of_start()
        try:
            run: Callable[..., None] = app.run  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            run(hal.Hal(self._machine, self._time, os.urandom, self._board), self._board, Journal(self._heard))
        except Asleep as asleep:
            until_us = self.now_us + asleep.args[0] * 1000
        except PowerCut:
            self._come_back()
            return
        else:
            raise RuntimeError("the wake function came back: " + "; ".join(self.notes[-3:]))
        self.hardware.end("deepsleep", self.now_us)
        self.now_us = max(self.now_us, self.hardware.wakes_us(self.now_us, until_us))
        self.hardware.begin("deepsleep", self.now_us)
        self._cause = self.facts.reset_causes["deepsleep"]
        self._spent_us = 0
        self.wakes += 1

    def self_test(self) -> dict[str, dict[str, str]]:
        """What the self-test of the sensors says now, by check."""
        from kerbnode import config, hal, selftest

        tests: Any = selftest
        made = hal.Hal(self._machine, self._time, os.urandom, self._board)
        rows = tests.parts(made, self._board["sensors"], cast(Any, config).parse("{}")[0])
        return {row["check"]: row for row in rows}

    def _come_back(self) -> None:
        """The power is there again, an hour later: what memory held is gone."""
        self.is_dead = False
        self.hardware.end("power", self.now_us)
        self.now_us += 3_600_000_000
        self.hardware.begin("power", self.now_us)
        self._cause = self.facts.reset_causes["power"]
        self._spent_us = 0
        self._files = self._image()
        self._files.mount()
        self._use_flash()

    def _image(self) -> LittleFS:
        size = self.facts.filesystem_bytes
        return LittleFS(
            context=self._context, mount=False, block_size=self.facts.block_bytes, block_cycles=100,
            block_count=size // self.facts.block_bytes, read_size=32, prog_size=self.facts.program_bytes,
            cache_size=min(self.facts.block_bytes, 4 * max(32, self.facts.program_bytes)), lookahead_size=32,
        )  # fmt: skip

    def pass_us(self, us: int) -> None:
        self.now_us += us

    def attempt(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Something that touches flash, with a board's errors. PowerCut."""
        try:
            return method(*arguments)
        except LittleFSError as error:
            if self.is_dead:
                raise PowerCut from None
            raise OSError(-error.code, str(arguments)) from None

    def call(self, op: int, a: int = 0, b: int = 0, payload: bytes = b"") -> tuple[int, int, bytes]:
        """What the shims' kerb_rpc does by a frame to the host."""
        if self.is_dead:
            raise PowerCut
        self.now_us += CALL_US + min(self._spent_us, MAX_SPENT_US)
        self._spent_us = 0
        if op not in _OURS:
            return self.hardware.answer(Call(0, op, a, b, 0, payload), self.now_us)
        if op == Op.SLEEP:
            self.now_us += max(0, a)
        elif op == Op.LIGHTSLEEP:
            begin_us = self.now_us
            self.hardware.ledger.enter("lightsleep", begin_us)
            self.now_us = self.hardware.wakes_us(begin_us, begin_us + a)
            self.hardware.wake_lightly(self.now_us - begin_us, self.now_us)
        elif op == Op.DEEPSLEEP:
            raise Asleep(a)
        elif op == Op.UART_WAIT:
            until_us = self.now_us + max(0, b) * 1000
            while not (count := self.hardware.waiting(a, self.now_us)) and self.now_us < until_us:
                self.now_us = min(until_us, self.now_us + _STEP_US)
            return count, 0, b""
        return 0, 0, b""

    def uptime_us(self) -> int:
        if self._spent_us >= MAX_SPENT_US:
            self.call(Op.TICKS)
        self._spent_us += _READING_US
        return self.now_us + self._spent_us - self.hardware.started_us

    def _heard(self, text: str) -> None:
        words = text.split()
        if words[0] in ("taken", "event"):
            key = words[1], int(words[2])
            if key in self.taken:
                self.gateway.trouble.append(f"record number {words[2]} was given twice")
            self.taken.add(key)
        elif words[0] == "note":
            self.notes.append(text)

    def _cause_of_start(self) -> None:
        self._machine._CAUSE = self._cause
        if self.facts.port == "rp2":  # registers, which the machine module shows as they are
            sys.modules["kerb_rpc"].backup[:] = type(sys.modules["kerb_rpc"].backup)("I", self.hardware.retained)

    # The shims, as CPython modules.

    def _load(self) -> tuple[Any, Any]:
        from array import array

        os.environ.update(
            KERB_PORT=self.facts.port, KERB_CHIP=self.facts.name, KERB_CAUSE="1",
            KERB_UNIQUE_ID=self.hardware.unique_id.hex(), KERB_WATCHDOG_MS=str(self.facts.watchdog_longest_ms),
        )  # fmt: skip
        rpc: Any = types.ModuleType("kerb_rpc")
        for op in Op:
            setattr(rpc, op.name, int(op))
        rpc.backup = array("I", bytes(self.facts.backup_bytes))

        def ask(op: int, a: int = 0, b: int = 0, payload: bytes = b"") -> tuple[int, int, bytes]:
            if self.facts.port == "rp2":
                self.hardware.retained = rpc.backup.tobytes()
            return self.call(op, a, b, bytes(payload))

        def call(op: int, a: int = 0, b: int = 0, payload: bytes = b"") -> tuple[int, int]:
            return ask(op, a, b, payload)[:2]

        def fetch(op: int, a: int = 0, b: int = 0, payload: bytes = b"") -> bytes:
            return ask(op, a, b, payload)[2]

        def ignore(*_: object) -> int:
            return 0

        rpc.call, rpc.fetch = call, fetch
        umachine, irq = types.ModuleType("umachine"), types.ModuleType("kerb_irq")
        vars(umachine).update(PinBase=object, Signal=None)
        vars(irq).update(set_handler=ignore, mask=ignore, unmask=ignore)
        blocks: Any = types.ModuleType("kerb_flash")
        blocks.Blocks = object
        stubs = {"kerb_rpc": rpc, "umachine": umachine, "kerb_irq": irq, "kerb_port": types.ModuleType("kerb_port")}
        sys.modules.update({**stubs, "kerb_flash": blocks})
        for name in _SHIMS:
            path = boards.shims_folder() / f"{name}.py"
            module = types.ModuleType(name)
            sys.modules[name] = module
            exec(compile(path.read_text(), str(path), "exec"), module.__dict__)  # noqa: S102  our own shims
        return sys.modules["machine"], _Clock(self, ask)

    # The file system.

    def _write(self, path: str, data: bytes) -> None:
        with _Writing(self, self._files.fs, path, "wb") as file:
            file.write(data)

    def _use_flash(self) -> None:
        from kerbnode import app, brief, config, flash, log, modules

        for module in (app, modules):
            cast(Any, module).gc = types.SimpleNamespace(collect=bool)  # there is room here, and it takes long
        files = self._files

        def told(method: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *arguments: self.attempt(method, *arguments)

        def opened(path: str, mode: str = "r") -> Any:
            if "r" in mode:
                handle = lfs.file_open(files.fs, path, "r")
                size = lfs.file_size(files.fs, handle)
                data = bytes(lfs.file_read(files.fs, handle, size))  # pyright: ignore[reportUnknownMemberType]
                lfs.file_close(files.fs, handle)
                return io.BytesIO(data) if "b" in mode else io.StringIO(data.decode())
            return _Writing(self, files.fs, path, mode)

        def stat(path: str) -> tuple[int, ...]:
            found = files.stat(path)
            return (0x4000 if found.type == 2 else 0x8000, 0, 0, 0, 0, 0, found.size)

        names = ("mkdir", "rename", "remove", "rmdir", "listdir")
        place = types.SimpleNamespace(stat=told(stat), **{name: told(getattr(files, name)) for name in names})
        for module in (flash, config, brief, log):
            vars(module)["open"] = told(opened)
            if "os" in vars(module):
                vars(module)["os"] = place


def main(board: str, config: dict[str, int], start_utc: int, days: float, seed: str, folder: str) -> dict[str, Any]:
    """Run so many days; what they cost, as plain values. Begins at the board's first start."""
    random.seed(seed)
    node = Reentry(board, config, start_utc, seed, Path(folder))
    end_us = node.now_us + int(days * 86_400_000_000)
    while node.now_us < end_us:
        node.wake()
    energy = node.ledger
    lost = {key for key in node.taken if key not in node.gateway.indices}
    return {
        "charge_uah": dict(energy.charge_uah), "seconds": dict(energy.seconds), "wakes": node.wakes, "days": days,
        "erases": sum(node.erased.values()), "hottest": max(node.erased.values(), default=0),
        "taken": len(node.taken), "waiting": len(lost), "trouble": node.gateway.trouble, "notes": node.notes,
        "newest_waiting": sorted(index for _, index in lost)[:1], "next": max(index for _, index in node.taken) + 1,
        "frames": node.gateway.frames,
        "raised": Counter(event.code for event in node.gateway.events if event.state == RAISED),
    }  # fmt: skip


def cut_week(board: str, at: int, tear: str, seed: str = "1/cut") -> dict[str, Any]:
    """A week in which the power fails at one write of the flash (0: at none), then days enough to report what waits."""
    random.seed(seed)
    with tempfile.TemporaryDirectory(prefix="kerb-week-") as folder:
        config = {"heat_s": 0, "ack_timeout_ms": 100, "report_records": 12}
        node = Reentry(board, config, START_UTC, seed, Path(folder))
        node.cut = at, tear
        begin_us = node.now_us
        while node.now_us < begin_us + 7 * _DAY_US:
            node.wake()
        writes = node.writes
        for _ in range(30):
            node.wake()
    due = max(index for _, index in node.taken) - 12
    return {
        "writes": writes, "lives": len({life for life, _ in node.taken}), "taken": len(node.taken),
        "lost": sorted(key for key in node.taken - node.gateway.indices if key[1] < due),
        "trouble": node.gateway.trouble, "crashes": [note for note in node.notes if note.startswith("note crash")],
        "wakes": node.wakes,
    }  # fmt: skip
