"""One life of an emulated board: from a start of the chip to what ends it. A life is one MicroPython process."""

import contextlib
import errno
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from kerbtools import boards
from kerbtools.emulator import ble_radio, interpreter
from kerbtools.emulator.console import Console
from kerbtools.emulator.energy import cpu_seconds
from kerbtools.emulator.flash import BrownedOut, PowerFailed
from kerbtools.emulator.hardware import CALL_US, CONSOLE, SOCKET, Hardware
from kerbtools.emulator.rpc import EVENTS_DUE, MAX_SPENT_US, Call, Op
from kerbtools.emulator.world import FOREVER, Actor, Interrupted, World

# An answer may come until so long after the last frame was sent; a firmware's own timeout is far shorter.
HOLD_LIMIT_S = 30.0
# After the first bytes of an answer the clock runs on at real pace for so long, so that the rest of it is in time too.
HOLD_AFTER_BYTES_S = 0.02
_POLL_STEP_US = 5_000  # between two looks at sockets and UARTs that something waits for
_LINK_STEP_US = 1_000_000  # at the link alone, while no answer is due
# Of MQTT 3.1.1: what keeps a connection is answered at once, and nobody else says anything to it; what a node publishes
# the broker acknowledges, and then the gateway answers, when its disk has it.
_PING, _PUBLISH, _PUBACK_SIZE = b"\xc0\x00", (b"\x32", b"\x3a"), 4
HOLD_AFTER_PUBACK_S = 0.3
_POLLED = 3  # bytes for each thing that is waited for: its kind, its number, flags
_LOOK_S = 0.1  # how often a board that makes no call is looked at
_LOOK_AT_REPL_S = 0.002  # where it may have come to wait for input

EndKind = Literal["deepsleep", "watchdog", "software", "vm", "power", "brownout"]


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a life ended; a deep sleep goes on until `until_us` (FOREVER: until a reset)."""

    kind: EndKind
    until_us: int = 0


class _Over(Exception):
    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class _BrokenOff(Exception):
    """Ctrl-C came while the board waits."""


class Life:
    """Start with `run`, in the board's thread. `kill` may come from any thread and makes `run` raise Interrupted.

    `type` is input of the USB port, from any thread.
    """

    def __init__(
        self,
        world: World,
        actor: Actor,
        facts: boards.Board,
        hardware: Hardware,
        shims: Path,
        console: Console,
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
        self._after_bytes_s = 0.0
        self._wanted = -1  # bytes that sockets have received when all that was expected is there
        self._sent_at: float | None = None  # real time of the last frame whose answer may come; None: no hold
        self._heard_at: float | None = None
        self._heard = self._hardware.heard()
        self._cpu_s = 0.0  # of the process, when the firmware began
        self._calls = 0
        self._booted = False  # from here on Ctrl-C means the program that runs
        self._at_repl = False  # main.py is over
        self._typed = False
        self._ctrl_c = False
        self._broken_off: tuple[int, int] | None = None  # sequence of the call that Ctrl-C broke off, and its start
        self._kick = -1  # an event file: input has come

    def run(self, cause: int, heap_bytes: int) -> Ending:
        """Run a process until the chip resets, sleeps or loses power. Interrupted; InterpreterError."""
        environment = {
            "KERB_PORT": self._facts.port,
            "KERB_MACHINE": self._facts.identify.machine,
            "KERB_CAUSE": str(cause),
            "KERB_FLASH": str(self._hardware.flash.path),
            "KERB_PROGRAM_BYTES": str(self._facts.program_bytes),
            "KERB_BACKUP_BYTES": str(self._facts.backup_bytes),
            "KERB_UNIQUE_ID": self._hardware.unique_id.hex(),
            "KERB_FREQUENCY": str(self._facts.mcu_frequency_hz),
            "KERB_CHIP": self._facts.name,
            "KERB_RADIO": str(int("wifi" in self._facts.radio)),
            "KERB_WATCHDOG_MS": str(self._facts.watchdog_longest_ms),
        }
        with self._lock:
            if self._actor.interrupted:
                raise Interrupted
            self._kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._process = process = interpreter.start(self._shims, heap_bytes, environment, self._console)
        try:
            self._serve(process)
        except _Over as over:
            return over.ending
        except PowerFailed as failure:
            return Ending("brownout" if isinstance(failure, BrownedOut) else "power")
        finally:
            self._release()
            if self._booted:
                self._hardware.ledger.computed(cpu_seconds(process.popen.pid) - self._cpu_s, self._calls)
            process.end()
            self._read_console(process)
            with self._lock:
                self._process = None
                os.close(self._kick)
            process.close()

    def kill(self) -> None:
        """End the process now, as the loss of power does."""
        self._world.interrupt(self._actor)
        with self._lock:
            if self._process is not None:
                self._process.popen.kill()

    def type(self, data: bytes) -> None:
        """Input. The interrupt character, where there is one at that moment, breaks off the running program."""
        while data:
            character = self._console.interrupt_character if self._booted else None
            found = b"" if character is None else bytes([character])
            text, found, data = data.partition(found) if found else (data, b"", b"")
            self._console.feed(text)
            self._typed = True
            with self._lock:
                if self._process is None:
                    return
                if found:
                    self._process.popen.send_signal(signal.SIGINT)
                    self._ctrl_c = True  # only now: a wait that is broken off earlier would be taken up again
                os.eventfd_write(self._kick, 1)
            self._world.nudge(self._actor)

    def _serve(self, process: interpreter.Process) -> NoReturn:
        poll = select.poll()
        poll.register(process.channel, select.POLLIN)
        poll.register(process.console, select.POLLIN)
        called_at = time.monotonic()
        while True:
            look_s = _LOOK_AT_REPL_S if self._at_repl else min(_LOOK_S, self._stall_s)
            events = dict(poll.poll(look_s * 1000))
            if self._actor.interrupted:
                raise Interrupted
            if process.console in events and not self._read_console(process):
                poll.unregister(process.console)
            if process.channel.fileno() in events:
                call = process.channel.receive()
                if call is not None:
                    self._handle(process, call)
                else:
                    self._end_of_calls(process.popen.wait())
                called_at = time.monotonic()
            elif not events:
                self._bite_if_due()
                if self._at_repl and process.is_asleep() and not poll.poll(0):
                    self._idle()
                    called_at = time.monotonic()
                elif time.monotonic() - called_at >= self._stall_s and not self._usb_is_open():
                    self._stand_still(process)
                    called_at = time.monotonic()

    def _handle(self, process: interpreter.Process, call: Call) -> None:
        self._world.charge(CALL_US + min(max(call.spent_us, 0), MAX_SPENT_US))
        self._bite_if_due()
        now_us = self._world.now_us()
        if self._broken_off is not None and self._broken_off[0] == call.sequence:
            now_us = self._broken_off[1]  # the same call again: what it waits for is as far away as it was at first
        try:
            a, b, payload, error = self._answer(call, now_us)
        except _BrokenOff:
            self._broken_off = call.sequence, now_us
            a, b, payload, error = 0, 0, b"", errno.EINTR
        now_us = self._world.now_us()
        if self._hardware.next_event_us(now_us) <= now_us:
            error |= EVENTS_DUE
        self._calls += 1
        process.channel.reply(call, now_us - self._hardware.started_us, a, b, payload, error)

    def _answer(self, call: Call, now_us: int) -> tuple[int, int, bytes, int]:
        a, b, payload, error = 0, 0, b"", 0
        match call.op:
            case Op.BOOTED:
                self._booted = True
                if self._process is not None:
                    self._cpu_s = cpu_seconds(self._process.popen.pid)
            case Op.TICKS:
                pass
            case Op.KBD_INTR:
                self._console.binary = call.a < 0
            case Op.SLEEP:
                a, b = self._rest(FOREVER if call.a < 0 else now_us + call.a, self._heed(call.b))
            case Op.LIGHTSLEEP:
                self._sleep_lightly(FOREVER if call.a < 0 else now_us + call.a)
            case Op.POLL:
                payload = self._poll(call.payload, FOREVER if call.b < 0 else now_us + call.b, self._heed(call.a))
            case Op.UART_WAIT:
                a = self._wait_for_bytes(call.a, now_us + max(0, call.b) * 1000)
            case Op.WDT_START:
                self._watchdog_us = call.a * 1000
                self._bites_us = now_us + self._watchdog_us
            case Op.WDT_FEED:
                self._bites_us = now_us + self._watchdog_us if self._watchdog_us else FOREVER
            case Op.FLASH_PROGRAM | Op.FLASH_ERASE:
                flash = self._hardware.flash
                try:
                    is_erase = call.op == Op.FLASH_ERASE
                    took_us = flash.erase(call.a) if is_erase else flash.program(call.a, call.b, call.payload)
                    self._world.charge(took_us)
                except OSError as problem:
                    error = problem.errno or errno.EIO
            case Op.DEEPSLEEP:
                raise _Over(self._deepsleep(FOREVER if call.a < 0 else now_us + call.a * 1000))
            case Op.RESET:
                raise _Over(Ending("software"))
            case Op.SOFT_RESET:
                raise _Over(Ending("vm"))
            case Op.IDLE:
                self._at_repl = True
                while not (call.a or self._typed or self._console.has_unread() or self._usb_is_open()):
                    self._idle()
            case _:
                try:
                    a, b, payload = self._hardware.answer(call, now_us)
                except OSError as problem:
                    error = problem.errno or 5
                if (
                    call.op == Op.SOCKET_SEND
                    or (
                        call.op == Op.UART_WRITE
                        and call.a == self._hardware.link_uart
                        and self._hardware.link.has_peer()
                    )
                    or (call.op == Op.BLE and call.a in (ble_radio.ADVERTISE, ble_radio.NOTIFY))
                ):
                    self._expect_answer(call.payload if call.op == Op.SOCKET_SEND else b"")
        return a, b, payload, error

    def _deepsleep(self, until_us: int) -> Ending:
        if self._facts.watchdog_counts_in_deepsleep and self._bites_us < until_us:
            return Ending("deepsleep", self._bites_us)
        return Ending("deepsleep", until_us)

    # What the board does when it makes no call.

    def _end_of_calls(self, status: int) -> None:
        """The interpreter has ended: by Ctrl-D or SystemExit at the REPL, or it crashed, and then nothing happens."""
        if self._actor.interrupted:
            raise Interrupted
        if self._at_repl and status >= 0:
            raise _Over(Ending("vm"))
        self._console.print(f"[emulator: the interpreter ended with status {status}]\n".encode())
        while True:
            self._idle()

    def _stand_still(self, process: interpreter.Process) -> None:
        """The firmware hangs: nothing happens until the watchdog bites, a reset comes, or Ctrl-C over USB."""
        self._console.print(f"[emulator: no call for {self._stall_s} s: the firmware hangs]\n".encode())
        process.popen.send_signal(signal.SIGSTOP)
        self._idle()
        process.popen.send_signal(signal.SIGCONT)

    def _idle(self) -> None:
        """Wait for input, or for the watchdog."""
        self._release()
        self._world.wait(self._actor, self._bites_us)
        self._bite_if_due()

    def _bite_if_due(self) -> None:
        if self._world.now_us() >= self._bites_us:
            raise _Over(Ending("watchdog"))

    def _usb_is_open(self) -> bool:
        return self._console.usb is not None and self._console.usb.is_open()

    def _heed(self, uninterrupted: int) -> Callable[[int], int]:
        """When, seen from now, something ends a wait early."""
        return _never if uninterrupted else self._hardware.next_event_us

    def _sleep(self, until_us: int, heed: Callable[[int], int] | None = None) -> None:
        self._wait(min(until_us, self._bites_us), heed or _never)
        self._bite_if_due()

    def _rest(self, until_us: int, heed: Callable[[int], int]) -> tuple[int, int]:
        """Sleep, or until something interrupts. Returns the microseconds left, and the end counted from the start."""
        self._sleep(until_us, heed)
        return max(0, until_us - self._world.now_us()), until_us - self._hardware.started_us

    def _sleep_lightly(self, until_us: int) -> None:
        self._release()  # a chip that sleeps lightly hears nothing: whatever is still to be answered is not waited for
        begin_us = self._world.now_us()
        self._hardware.ledger.enter("lightsleep", begin_us)
        try:
            self._sleep(until_us, lambda now_us: self._hardware.wakes_us(now_us, until_us))
        finally:
            now_us = self._world.now_us()
            self._hardware.wake_lightly(now_us - begin_us, now_us)

    def _poll(self, asked: bytes, until_us: int, heed: Callable[[int], int]) -> bytes:
        """Wait until one of `asked` is ready, something interrupts, or the time is over; returns what is ready."""
        link = self._hardware.link
        only_link = asked[:2] == bytes((1, self._hardware.link_uart)) and len(asked) == _POLLED
        kinds = set(asked[::_POLLED])
        with_sockets = kinds >= {SOCKET} and all(
            kind == SOCKET or (kind, number) == (1, self._hardware.link_uart)
            for kind, number in zip(asked[::_POLLED], asked[1::_POLLED], strict=True)
        )  # they and the link: who writes to them nudges
        if CONSOLE in kinds:
            heed = self._heed_input(heed)

        def arrives_us(now_us: int) -> int:
            return min(heed(now_us), link.next_us() or FOREVER)

        while True:
            now_us = self._world.now_us()
            ready = self._hardware.ready(asked, now_us)
            if CONSOLE in kinds and self._console.has_unread():
                flags = zip(ready, asked[::_POLLED], asked[2::_POLLED], strict=True)
                ready = bytes(wanted & 1 if kind == CONSOLE else flag for flag, kind, wanted in flags)
            if any(ready) or now_us >= until_us or heed(now_us) <= now_us:
                return ready
            if only_link and link.next_us() is not None:
                self._sleep(until_us, arrives_us)
                continue
            if kinds == {CONSOLE}:  # input ends the wait
                self._sleep(until_us, heed)
                continue
            if with_sockets:
                self._hardware.sockets.watch(lambda: self._world.nudge(self._actor))
                most_us = until_us if link.next_us() is not None or not link.has_peer() else now_us + _LINK_STEP_US
                self._sleep(min(until_us, most_us), lambda now_us: self._heed_sockets(asked, arrives_us, now_us))
                continue
            step_us = _LINK_STEP_US if only_link and self._sent_at is None else _POLL_STEP_US
            self._sleep(min(until_us, now_us + step_us), heed)

    def _heed_sockets(self, asked: bytes, heed: Callable[[int], int], now_us: int) -> int:
        return now_us if any(self._hardware.ready(asked, now_us)) else heed(now_us)

    def _heed_input(self, heed: Callable[[int], int]) -> Callable[[int], int]:
        return lambda now_us: now_us if self._console.has_unread() else heed(now_us)

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

    def _expect_answer(self, said: bytes) -> None:
        """said: to a socket."""
        if self._hardware.has_peer():
            if said != _PING:
                self._after_bytes_s = HOLD_AFTER_BYTES_S
            elif self._sent_at is None:
                self._after_bytes_s = 0
            if said[:1] in _PUBLISH:  # the broker's answer is not yet the gateway's
                self._wanted = self._hardware.sockets.received + _PUBACK_SIZE
            self._sent_at = time.monotonic()
            self._heard_at = None
            self._heard = self._hardware.heard()
            self._world.hold(self._actor)

    def _release(self) -> None:
        self._sent_at = None
        self._wanted = -1
        self._world.release(self._actor)

    def _hold_left_s(self) -> float:
        """Real seconds that the hold may still last; 0: none is on."""
        if self._sent_at is None or not self._hardware.has_peer():
            return 0.0
        if (heard := self._hardware.heard()) != self._heard:
            self._heard = heard
            self._heard_at = time.monotonic()
        if self._heard_at is not None:
            is_all = self._hardware.sockets.received > self._wanted
            after_s = self._after_bytes_s if is_all else HOLD_AFTER_PUBACK_S
            return max(0.0, self._heard_at + after_s - time.monotonic())
        return max(0.0, self._sent_at + HOLD_LIMIT_S - time.monotonic())

    def _wait(self, until_us: int, heed: Callable[[int], int]) -> None:
        while True:
            if self._ctrl_c:
                self._ctrl_c = False
                raise _BrokenOff
            now_us = self._world.now_us()
            end_us = min(until_us, heed(now_us))
            if now_us >= end_us:
                return
            left_s = self._hold_left_s()
            if left_s:
                self._world.park(self._actor, end_us, lambda most_s, least_s=left_s: self._listen(min(most_s, least_s)))
            else:
                self._release()
                self._world.wait(self._actor, end_us)

    def _listen(self, seconds: float) -> None:
        if self._process is not None:
            others = self._process.channel.fileno(), self._kick, *self._hardware.files()
            self._hardware.link.wait(seconds, *others)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._kick)
        self._hardware.listen(self._world.now_us())

    def _read_console(self, process: interpreter.Process) -> bool:
        """Take what was printed; False: nothing more can come."""
        while data := process.printed():
            self._console.print(data)
        return data is not None


def _never(now_us: int) -> int:
    return FOREVER
