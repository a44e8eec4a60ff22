"""One life of an emulated board: from a start of the chip to what ends it. A life is one MicroPython process."""

import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from kerbtools import boards
from kerbtools.emulator import interpreter
from kerbtools.emulator.flash import PowerFailed
from kerbtools.emulator.hardware import CALL_US, Hardware
from kerbtools.emulator.rpc import MAX_SPENT_US, Call, Op
from kerbtools.emulator.world import FOREVER, Actor, Interrupted, World

# An answer may come until so long after the last frame was sent; a firmware's own timeout is far shorter.
HOLD_LIMIT_S = 30.0
# After the first bytes of an answer the clock runs on at real pace for so long, so that the rest of it is in time too.
HOLD_AFTER_BYTES_S = 0.02

EndKind = Literal["deepsleep", "watchdog", "software", "vm", "power"]


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a life ended; a deep sleep goes on until `until_us` (FOREVER: until a reset)."""

    kind: EndKind
    until_us: int = 0


class _Over(Exception):
    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class Life:
    """Start with `run`, in the board's thread. `kill` may come from any thread and makes `run` raise Interrupted."""

    def __init__(
        self,
        world: World,
        actor: Actor,
        facts: boards.Board,
        hardware: Hardware,
        shims: Path,
        console: Callable[[bytes], None],
        stall_s: float,
    ) -> None:
        self._world = world
        self._actor = actor
        self._facts = facts
        self._hardware = hardware
        self._shims = shims
        self._console = console
        self._stall_s = stall_s
        self._lock = threading.Lock()
        self._process: interpreter.Process | None = None
        self._watchdog_us = 0  # its timeout; 0: not started
        self._bites_us = FOREVER  # when it would reset the chip
        self._sent_at: float | None = None  # real time of the last frame whose answer may come; None: no hold
        self._heard_at: float | None = None
        self._link_bytes = 0

    def run(self, cause: int) -> Ending:
        """Run a process until the chip resets, sleeps or loses power. Interrupted; InterpreterError."""
        heap = interpreter.heap_for(self._facts)
        environment = {
            "KERB_PORT": self._facts.port,
            "KERB_CAUSE": str(cause),
            "KERB_FLASH": str(self._hardware.flash.path),
            "KERB_PROGRAM_BYTES": str(self._facts.program_bytes),
            "KERB_BACKUP_BYTES": str(self._facts.backup_bytes),
            "KERB_UNIQUE_ID": self._hardware.unique_id.hex(),
            "KERB_FREQUENCY": str(self._facts.mcu_frequency_hz),
        }
        with self._lock:
            if self._actor.interrupted:
                raise Interrupted
            self._process = process = interpreter.start(self._shims, heap, environment)
        try:
            self._serve(process)
        except _Over as over:
            return over.ending
        except PowerFailed:
            return Ending("power")
        finally:
            self._release()
            process.end()
            self._read_console(process)
            process.close()

    def kill(self) -> None:
        """End the process now, as the loss of power does."""
        self._world.interrupt(self._actor)
        with self._lock:
            if self._process is not None:
                self._process.popen.kill()

    def _serve(self, process: interpreter.Process) -> NoReturn:
        poll = select.poll()
        poll.register(process.channel, select.POLLIN)
        poll.register(process.console, select.POLLIN)
        while True:
            events = dict(poll.poll(self._stall_s * 1000))
            if self._actor.interrupted:
                raise Interrupted
            if not events:
                self._hang(process, f"no call for {self._stall_s} s: the firmware hangs")
            if process.console in events and not self._read_console(process):
                poll.unregister(process.console)
            if process.channel.fileno() in events:
                call = process.channel.receive()
                if call is None:
                    if self._actor.interrupted:
                        raise Interrupted
                    self._hang(process, f"the interpreter ended with status {process.popen.wait()}")
                else:
                    self._handle(process, call)

    def _handle(self, process: interpreter.Process, call: Call) -> None:
        now_us = self._world.charge(CALL_US + min(max(call.spent_us, 0), MAX_SPENT_US))
        if now_us >= self._bites_us:
            raise _Over(Ending("watchdog"))
        a, b, payload, error = 0, 0, b"", 0
        match call.op:
            case Op.BOOTED | Op.TICKS:
                pass
            case Op.SLEEP:
                self._sleep(FOREVER if call.a < 0 else now_us + call.a)
            case Op.UART_WAIT:
                a = self._wait_for_bytes(call.a, now_us + max(0, call.b) * 1000)
            case Op.WDT_START:
                self._watchdog_us = call.a * 1000
                self._bites_us = now_us + self._watchdog_us
            case Op.WDT_FEED:
                self._bites_us = now_us + self._watchdog_us if self._watchdog_us else FOREVER
            case Op.FLASH_PROGRAM:
                self._world.charge(self._hardware.flash.program(call.a, call.b, call.payload))
            case Op.FLASH_ERASE:
                self._world.charge(self._hardware.flash.erase(call.a))
            case Op.DEEPSLEEP:
                raise _Over(self._deepsleep(FOREVER if call.a < 0 else now_us + call.a * 1000))
            case Op.RESET:
                raise _Over(Ending("software"))
            case Op.SOFT_RESET:
                raise _Over(Ending("vm"))
            case Op.IDLE:
                self._release()
                self._sleep(FOREVER)
            case _:
                try:
                    a, b, payload = self._hardware.answer(call, now_us)
                except OSError as problem:
                    error = problem.errno or 5
                if call.op == Op.UART_WRITE and call.a == self._hardware.link_uart:
                    self._expect_answer()
        process.channel.reply(call, self._world.now_us() - self._hardware.started_us, a, b, payload, error)

    def _deepsleep(self, until_us: int) -> Ending:
        if self._facts.watchdog_counts_in_deepsleep and self._bites_us < until_us:
            return Ending("deepsleep", self._bites_us)
        return Ending("deepsleep", until_us)

    def _hang(self, process: interpreter.Process, reason: str) -> None:
        """The firmware makes no more calls: nothing happens until the watchdog bites or a reset comes."""
        self._console(f"[emulator: {reason}]\n".encode())
        process.popen.kill()
        self._release()
        self._sleep(FOREVER)

    def _sleep(self, until_us: int) -> None:
        self._wait(min(until_us, self._bites_us))
        if self._bites_us <= until_us and self._world.now_us() >= self._bites_us:
            raise _Over(Ending("watchdog"))

    def _wait_for_bytes(self, uart: int, until_us: int) -> int:
        """Wait until a UART has received something. Returns the bytes waiting, 0 after the timeout."""
        step_us = 1_000_000 if uart == self._hardware.link_uart else 10_000
        while True:
            now_us = self._world.now_us()
            count = self._hardware.waiting(uart, now_us)
            if count or now_us >= until_us:
                return count
            self._sleep(min(until_us, now_us + step_us))

    # The hold: real time passes while a real gateway may answer.

    def _expect_answer(self) -> None:
        if self._hardware.link.has_peer():
            self._sent_at = time.monotonic()
            self._heard_at = None
            self._link_bytes = self._hardware.link_bytes
            self._world.hold(self._actor)

    def _release(self) -> None:
        self._sent_at = None
        self._world.release(self._actor)

    def _hold_left_s(self) -> float:
        """Real seconds that the hold may still last; 0: none is on."""
        if self._sent_at is None or not self._hardware.link.has_peer():
            return 0.0
        if self._hardware.link_bytes != self._link_bytes:
            self._link_bytes = self._hardware.link_bytes
            self._heard_at = time.monotonic()
        if self._heard_at is not None:
            return max(0.0, self._heard_at + HOLD_AFTER_BYTES_S - time.monotonic())
        return max(0.0, self._sent_at + HOLD_LIMIT_S - time.monotonic())

    def _wait(self, until_us: int) -> None:
        while self._sent_at is not None:
            left_s = self._hold_left_s()
            if not left_s:
                self._release()
                break
            if self._world.now_us() >= until_us:
                return
            self._world.park(self._actor, until_us, lambda most_s, least_s=left_s: self._listen(min(most_s, least_s)))
        self._world.wait(self._actor, until_us)

    def _listen(self, seconds: float) -> None:
        if self._process is not None:
            self._hardware.link.wait(seconds, self._process.channel.fileno())
        self._hardware.waiting(self._hardware.link_uart, self._world.now_us())

    def _read_console(self, process: interpreter.Process) -> bool:
        """Take what was printed; False: nothing more can come."""
        while data := process.printed():
            self._console(data)
        return data is not None
