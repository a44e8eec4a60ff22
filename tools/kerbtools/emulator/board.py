"""An emulated board, as a test or a demo holds it in its hands."""

import hashlib
import json
import re
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from kerbtools import boards, bundle
from kerbtools.emulator import interpreter
from kerbtools.emulator.console import Console
from kerbtools.emulator.ether import Ether, Port
from kerbtools.emulator.faults import Faults, Request
from kerbtools.emulator.flash import Flash, Tear
from kerbtools.emulator.hardware import Hardware
from kerbtools.emulator.lamp_scene import LampScene, LampTruth
from kerbtools.emulator.life import EndKind, Life
from kerbtools.emulator.link import LinkPty
from kerbtools.emulator.lora_air import LoraAir
from kerbtools.emulator.modem_talk import ModemTalk
from kerbtools.emulator.scene import BinScene, Truth
from kerbtools.emulator.usb import TALK_S, UsbPort
from kerbtools.emulator.world import Actor, Interrupted, World
from kerbwire import cbor

# machine.reset_cause() after a soft reset; where a port is missing it is that of the chip's last reset (modmachine.c).
_AFTER_SOFT_RESET = {"esp32": 5}
STALL_S = 10.0  # real seconds without a call after which the firmware counts as hung
_REQUEST_TIMEOUT_S = 10.0

ResetKind = EndKind | Literal["pin"]

IDENTITY_PATH = "/node/identity.cbor"
CONFIG_PATH = "/node/config.json"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who a node is: address 1..65535, master secret of 16 bytes, key epoch, site."""

    node: int
    secret: bytes
    epoch: int = 0
    site: str = "demo"

    def encode(self) -> bytes:
        return cbor.encode({1: self.node, 2: self.secret, 3: self.epoch, 4: self.site})


class Board(Faults):
    """One board in a world, off until `start`.

    files: what lies on its flash instead of the role's bundle, by path. directory: where its image lies; an image that
    is there already is kept. on_line: called from the board's thread with each console line. wiring: entries of
    board.json in place of board.toml's, by slot. ether: the medium that its link shares; None: a cable of its own.
    lora: what its LoRa radio sends into, from place_m (east, north); None: no radio is fitted.
    """

    def __init__(
        self,
        world: World,
        board: str = "esp32_c3",
        role: str = "bin",
        *,
        identity: Identity | None = None,
        config: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        directory: Path | None = None,
        name: str | None = None,
        scene: BinScene | LampScene | None = None,
        on_line: Callable[["Board", str], None] | None = None,
        stall_s: float = STALL_S,
        wiring: Mapping[str, Mapping[str, int | str]] | None = None,
        ether: Ether | None = None,
        lora: LoraAir | None = None,
        place_m: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.world = world
        self.facts = boards.load(board)
        if wiring:
            self.facts = rewired(self.facts, role, wiring)
        self._is_rewired = bool(wiring)
        self.role = role
        self.name = name or (f"{board}-{identity.node}" if identity else f"{board}-{world.attached}")
        seed = f"{world.seed}/{self.name}"
        self.scene = scene or (LampScene if role == "lamp" else BinScene)(seed, world.start_utc * 1_000_000)
        self.wakes = 0  # starts that ended a deep sleep
        self.starts = 0  # all starts of the chip
        self.failure: BaseException | None = None  # what ended the emulator's own thread, where something did
        self._identity = identity
        self._config = config
        self._files = files
        self._console = Console((lambda line: on_line(self, line)) if on_line else None)
        self._modem = ModemTalk(world, self._console) if role == "modem" else None
        self._stall_s = stall_s
        self._life: Life | None = None
        self._runs = False  # the present life: neither off nor in deep sleep
        self._thread: threading.Thread | None = None
        self._requests = threading.Lock()
        self._state = threading.Lock()  # of _life and _request
        self._request: Request | None = None
        self._taken = threading.Event()
        self._shims = interpreter.install_shims(world.directory / "shims")
        folder = directory or world.directory / self.name
        folder.mkdir(parents=True, exist_ok=True)
        self.flash = Flash(folder / "flash.img", self.facts)
        self._link = LinkPty() if ether is None else ether.port()
        self.hardware = Hardware(
            self.facts, self.scene, self.flash, self._link, seed, role=role, air=world.air, lora=lora, name=self.name,
            place_m=place_m,
        )  # fmt: skip
        if not self.flash.exists():
            self.wipe_flash()
        world.attach(self)

    @property
    def link_path(self) -> str:
        """The serial port of the node's link; a gateway's inlet opens it."""
        return self._link.path

    @property
    def usb_path(self) -> str:
        """The USB serial port, as mpremote opens it; it is there from the first time that this is asked for.

        A board that is off, sleeps deeply or hangs with Ctrl-C switched off does not answer there.
        """
        with self._state:
            if self._console.usb is None:
                self._console.usb = UsbPort(self._on_usb_input, self._on_usb_quiet)
            return self._console.usb.path

    @property
    def alive(self) -> bool:
        """Whether it has power: it runs, sleeps, or hangs."""
        return self._thread is not None and self._thread.is_alive()

    def truth(self) -> Truth | LampTruth:
        """The state of its surroundings now, as no sensor sees it."""
        return self.scene.truth(self.world.now_us())

    # Power and reset.

    def start(self) -> None:
        """Power on. Nothing happens where it is on. InterpreterError."""
        if self.alive:
            return
        if self._link.closed:
            raise RuntimeError(f"{self.name} was stopped for good: make a new board, or use cut_power")
        heap_bytes = interpreter.heap_for(self.facts)  # measured once a kind of board; a request must not wait for that
        self.flash.open()
        self._life = self._request = None
        self._console.begin(cold=True)
        self._runs = True
        self._thread = threading.Thread(
            target=self._run, args=(self.world.join(), heap_bytes), name=self.name, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Power off and let go of the link, for good."""
        self.cut_power()
        if not self._link.closed:
            self._link.close()
            self._console.close()

    def reset(self) -> None:
        """Press the reset pin. Returns when the old life is over."""
        if not self._ask("pin"):
            raise RuntimeError(f"{self.name} is off: start it before a reset")

    def cut_power(self, *, at_write: int | None = None, tear: Tear = "all") -> None:
        """Cut the power now, or at the n-th program or erase of the flash from now (then `wait_off`)."""
        if at_write is None:
            self._ask("power")
            self.wait_off()
        else:
            self.flash.cut_at(at_write, tear)

    def restore_power(self) -> None:
        self.flash.restore()
        self.start()

    def wait_off(self, timeout_s: float = 20.0) -> None:
        """Wait until the power is gone. TimeoutError."""
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                raise TimeoutError(f"{self.name} is still on after {timeout_s} s")

    # Flash, while the board is off.

    def wipe_flash(self) -> None:
        """A board as it comes from the bench: empty file system, firmware, identity and configuration."""
        self._check_off()
        files = dict(self._files) if self._files is not None else dict(_bundle(self.facts.name, self.role))
        if self._is_rewired and self._files is None:
            _rewire(files, self.facts.on_board(self.role))
        if self._identity is not None:
            files[IDENTITY_PATH] = self._identity.encode()
        if self._config is not None:
            files[CONFIG_PATH] = json.dumps(dict(self._config)).encode()
        self.flash.format(files)

    def read_file(self, path: str) -> bytes:
        """FileNotFoundError where it is not there."""
        self._check_off()
        return self.flash.read_file(path)

    def write_file(self, path: str, data: bytes) -> None:
        self._check_off()
        self.flash.write_file(path, data)

    def list_files(self) -> list[str]:
        self._check_off()
        return self.flash.list_files()

    # Console.

    @property
    def console(self) -> deque[str]:
        """The newest lines."""
        return self._console.lines

    @property
    def lines(self) -> int:
        """Console lines printed so far: pass it to `wait_line` as `after`."""
        return self._console.count

    def wait_line(self, pattern: str, *, after: int = 0, timeout_s: float = 20.0) -> re.Match[str]:
        """The first line that matches, from the `after`-th printed on. TimeoutError shows the last lines."""
        try:
            return self._console.wait_line(pattern, after=after, timeout_s=timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"{self.name}: {error}") from None

    # USB, from its own thread.

    def _on_usb_input(self, data: bytes) -> float:
        with self._state:
            runs, life = self._runs, self._life
        talk_s = self._modem.talk_s() if self._modem else TALK_S
        if not runs:
            return talk_s  # nobody is there to hear it
        self.world.hold(self._console)
        if life is None:
            self._console.feed(data)
        else:
            life.type(data)
        return talk_s

    def _on_usb_quiet(self) -> None:
        self.world.release(self._console)

    # The board's thread.

    def _run(self, actor: Actor, heap_bytes: int) -> None:
        kind: ResetKind = "power"
        cause = self.facts.reset_causes[kind]
        self.hardware.nudge = lambda: self.world.nudge(actor)
        self.hardware.ble.nudge = self.hardware.nudge
        if isinstance(self._link, Port):
            self._link.nudge = self.hardware.nudge
        try:
            while True:
                self.starts += 1
                self.hardware.begin(kind, self.world.now_us())
                with self._state:
                    self._life = Life(
                        self.world, actor, self.facts, self.hardware, self._shims, self._console, self._stall_s
                    )
                    if self._request is not None:  # it came while there was no life to end
                        self._life.kill()
                try:
                    ending = self._life.run(cause, heap_bytes)
                    kind = ending.kind
                    self._runs = kind == "vm"
                    self._console.begin(cold=kind != "vm")
                    self.hardware.end(kind, self.world.now_us())
                    while kind == "deepsleep" and (now_us := self.world.now_us()) < (
                        wakes_us := self.hardware.wakes_us(now_us, ending.until_us)
                    ):
                        self.world.wait(actor, wakes_us)
                except Interrupted:
                    self._runs = False
                    self._console.begin(cold=True)
                kind = self._take_request(actor) or kind
                self.hardware.end(kind, self.world.now_us())
                if kind == "power":
                    return
                if kind == "vm":
                    self._console.print(b"MPY: soft reboot\r\n")
                    cause = _AFTER_SOFT_RESET.get(self.facts.port, cause)
                if kind == "deepsleep":
                    self.wakes += 1
                if kind != "vm":
                    # Both ports report a brown-out as power-up (mp_machine_reset_cause of each).
                    cause = self.facts.reset_causes["power" if kind == "brownout" else kind]
        except BaseException as error:
            self.failure = error
            self.world.fail(error)
            self._console.print(f"[emulator: {type(error).__name__}: {error}]\n".encode())
        finally:
            self._runs = False
            self.flash.close()
            self.world.release(self._console)
            self.world.leave(actor)
            self._taken.set()

    def _ask(self, request: Request) -> bool:
        """End the present life from outside; return when it is over. False: the board is off. TimeoutError."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a board's own thread (on_line) cannot reset it or cut its power")
        with self._requests:
            with self._state:
                if not self.alive:
                    return False
                self._taken.clear()
                self._request = request
                if self._life is not None:
                    self._life.kill()
            deadline = time.monotonic() + _REQUEST_TIMEOUT_S
            while not self._taken.wait(0.05):
                if not self.alive:  # its last life ended by itself just now
                    return True
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self.name} did not end in {_REQUEST_TIMEOUT_S} s: {self._whereabouts()}")
            return True

    def _whereabouts(self) -> str:
        """What the board's thread does now, from the outside in."""
        frame = sys._current_frames().get(self._thread.ident or 0) if self._thread else None  # pyright: ignore[reportPrivateUsage]  # documented in sys
        return " > ".join(entry.name for entry in traceback.extract_stack(frame)) if frame else "its thread is gone"

    def _take_request(self, actor: Actor) -> ResetKind | None:
        with self._state:
            request, self._request = self._request, None
            self._runs = request != "power"  # from here on what is typed is for the next life
            if request is not None:
                self.world.clear(actor)
                self._taken.set()
            return request

    def _check_off(self) -> None:
        if self.alive:
            raise RuntimeError(f"{self.name} is on: cut its power before its flash is touched")


@cache
def _bundle(board: str, role: str) -> Mapping[str, bytes]:
    """The files of a bundle, built once per process."""
    with tempfile.TemporaryDirectory(prefix="kerb-bundle-") as folder:
        root = bundle.build(board, role, Path(folder) / "bundle")
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def rewired(facts: boards.Board, role: str, wiring: Mapping[str, Mapping[str, int | str]]) -> boards.Board:
    """The board with these entries in place of board.toml's. BoardError for a driver that no part of the slot has."""
    here = facts.roles[role]
    fitted = dict(here.parts)
    for slot, entry in wiring.items():
        found = [part for part in boards.parts().values() if (part.slot, part.driver) == (slot, entry["driver"])]
        if not found:
            raise boards.BoardError(f"no part for {slot} has the driver {entry['driver']}", "see boards/parts.toml")
        fitted[slot] = found[0]
    changed = replace(here, sensors={**here.sensors, **wiring}, parts=fitted)
    return replace(facts, roles={**facts.roles, role: changed})


def _rewire(files: dict[str, bytes], facts: Mapping[str, Any]) -> None:
    """Let a bundle name other parts."""
    files["board.json"] = json.dumps(facts).encode()
    manifest = json.loads(files[bundle.MANIFEST])
    manifest["files"]["board.json"] = hashlib.sha256(files["board.json"]).hexdigest()
    files[bundle.MANIFEST] = json.dumps(manifest).encode()
