"""Lamp nodes without boards: the firmware's own source on CPython, a thread each, in a World and on its Ether.

No MicroPython and no flash image. Presence and 0-10 V go by the firmware's own drivers over emulated pins, light and
meter by drivers that read the scene. So a street of hundreds fits one process.
"""

# pyright: basic
# The firmware is MicroPython's, which carries no types.

import random
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerbnode.journal import Journal
from kerbnode.lamp.node import LampNode
from kerbtools.emulator.ether import Ether, Port
from kerbtools.emulator.lamp_scene import LampScene
from kerbtools.emulator.world import Interrupted, World
from kerbwire import cbor, frame, line, messages, seal
from kerbwire.channels import FAULT, NOT_FITTED
from kerbwire.errors import WireError
from kerbwire.gateway_end import ACK_AGAIN, COMMIT, OPEN_LIFE, Lives
from kerbwire.gateway_end import CHALLENGE as ASK
from kerbwire.messages import Ack, Challenge, Hello

STANDBY_MW, FULL_MW, DRIVER_SHARE = 1000, 30000, 0.05
STOP_S = 20.0
POWER_ON = 0


def power_mw(level: int) -> int:
    """Of the luminaire at a level."""
    return round(FULL_MW * (DRIVER_SHARE + (1 - DRIVER_SHARE) * level / 100)) if level else STANDBY_MW


class _Pin:
    """The output of the presence sensor."""

    def __init__(self, hal: "_Hal") -> None:
        self._hal = hal

    def value(self) -> int:
        return int(self._hal.scene.is_occupied(self._hal.world.now_us()))

    def irq(self, handler: Callable[[Any], None], trigger: int) -> None:
        self._hal.on_edge = lambda: handler(self)


class _Pins:
    """machine.Pin: of the one pin that is read, and of the PWM's."""

    IN, IRQ_RISING, IRQ_FALLING = 0, 1, 2

    def __init__(self, hal: "_Hal") -> None:
        self._hal = hal

    def __call__(self, number: int, mode: int = IN) -> _Pin:
        return _Pin(self._hal)


class _Machine:
    """What the drivers of a presence pin and of 0-10 V ask of MicroPython's machine."""

    def __init__(self, hal: "_Hal") -> None:
        self._hal = hal
        self.Pin = _Pins(hal)

    def PWM(self, pin: _Pin, freq: int, duty_u16: int) -> "Luminaire":
        return self._hal.luminaire


class Luminaire:
    """What hangs on the 0-10 V line. shown: (us, percent), each as it was shown; settle(): what it took so far."""

    def __init__(self, world: World) -> None:
        self.shown: list[tuple[int, int]] = []
        self.percent, self._since_us = 100, world.now_us()  # an open input is full light
        self._world = world
        self._nws = 0  # microseconds times milliwatts

    def duty_u16(self, duty: int) -> None:
        percent = 100 - -(-duty * 100 // 65535)
        if percent != self.percent:
            self.settle()
            self.percent = percent
            self.shown.append((self._since_us, percent))

    def settle(self) -> int:
        """Count the energy up to now; return it in milliwatt seconds."""
        now_us = self._world.now_us()
        self._nws += power_mw(self.percent) * (now_us - self._since_us)
        self._since_us = now_us
        return self._nws // 1_000_000


class _Light:
    """A light sensor that sees the scene's sky, read as the real ones are."""

    reason = raw = 0

    def __init__(self, hal: "_Hal", facts: Any, fitted: Any) -> None:
        self._hal, self.lux = hal, FAULT
        self._next_ms = 0

    def poll(self, now_ms: int) -> None:
        if now_ms >= self._next_ms:
            self._next_ms = now_ms + 200
            self.lux = self._hal.lux()


class _Meter:
    """A meter of the luminaire, asked in one poll and answering in a later one."""

    reason = raw = gear = 0
    celsius = NOT_FITTED

    def __init__(self, hal: "_Hal", facts: Any, fitted: Any) -> None:
        self._hal = hal
        self._next_ms = self._asked_ms = 0
        self.moment_ms, self.energy_wh = 0, 0
        self.power_mw = self.supply_mv = FAULT

    def hurry(self) -> None:
        """It is asked every second anyway."""

    def poll(self, now_ms: int) -> None:
        if self._asked_ms:
            hal, self._asked_ms, self.moment_ms = self._hal, 0, now_ms
            self.power_mw = power_mw(hal.luminaire.percent)
            self.supply_mv = round(1000 * hal.scene.mains_v(hal.world.now_us()))
            self.energy_wh = hal.luminaire.settle() // 3_600_000
        elif now_ms >= self._next_ms:
            self._next_ms, self._asked_ms = now_ms + 1000, max(now_ms, 1)


# Drivers of parts that only this bench has, where the firmware looks for its own.
SENSORS: dict[str, dict[str, Any]] = {
    "dimmer": {"driver": "pwm", "pin": 10, "frequency_hz": 500, "full_light_duty": 0},
    "presence": {"driver": "level", "pin": 14, "active": 1},
    "light": {"driver": "scene_light"},
    "meter": {"driver": "scene_meter"},
}


def _offer_drivers() -> None:
    for name, driver in (("scene_light", _Light), ("scene_meter", _Meter)):
        module: Any = types.ModuleType("kerbnode.drivers." + name)
        module.Driver = driver
        sys.modules[module.__name__] = module


class _Uart:
    def __init__(self, port: Port) -> None:
        self.port = port
        self._received = b""

    @property
    def left(self) -> int:
        """Bytes that were taken off the medium and not read yet."""
        return len(self._received)

    def any(self) -> int:
        self._received += self.port.read()
        return len(self._received)

    def read(self, count: int) -> bytes:
        data, self._received = self._received[:count], self._received[count:]
        return data

    def write(self, data: bytes) -> int:
        return self.port.write(data)


class _Hal:
    """What LampNode asks of kerbnode.hal. Time is the world's."""

    watchdog_ms = 30000
    cause = POWER_ON

    def __init__(self, world: World, port: Port, scene: LampScene, seed: str) -> None:
        self._world = self.world = world
        self.scene = scene
        self.luminaire = Luminaire(world)
        self.lux: Callable[[], int] = lambda: round(scene.daylight_lux(world.now_us()))
        self.on_edge: Callable[[], None] = lambda: None
        self.machine = _Machine(self)
        self._uart = _Uart(port)
        self._began_us = world.now_us()
        self._random = random.Random(seed)  # noqa: S311
        self.actor = world.join()
        port.nudge = lambda: world.nudge(self.actor)
        self._rung = False

    def ticks_ms(self) -> int:
        return (self._world.now_us() - self._began_us) // 1000

    def ticks_add(self, ticks: int, ms: int) -> int:
        return ticks + ms

    def ticks_diff(self, end: int, start: int) -> int:
        return end - start

    def random(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uart(self, facts: Any, rxbuf: int) -> _Uart:
        return self._uart

    def bell(self, uart: _Uart) -> "_Hal":
        return self

    def ring(self) -> None:
        self._rung = True

    def wait(self, ms: int) -> tuple[bool, bool]:
        """As of kerbnode.bell; the next edge of the presence sensor rings."""
        world, port = self._world, self._uart.port
        now_us = world.now_us()
        until_us = now_us + 1000 * ms
        edge_us = self.scene.next_presence_us(now_us)
        while True:
            now_us = world.now_us()
            if edge_us <= now_us:
                self.on_edge()
            came = self._uart.left > 0 or port.next_us() <= now_us
            if came or self._rung or now_us >= until_us:
                break
            world.wait(self.actor, min(until_us, edge_us, port.next_us()))
        rung, self._rung = self._rung, False
        return came, rung

    def start_watchdog(self) -> None:
        """A thread that hangs fails its test."""

    def feed(self) -> None:
        """Likewise."""

    def chip_celsius(self) -> int:
        return 30

    def reset_cause(self) -> int:
        return self.cause

    def reset(self) -> None:
        """The thread ends."""


class NativeLamp:
    """One node. config, street: contents of config.json and street.cbor. lines: its console, with its moments."""

    def __init__(
        self,
        world: World,
        ether: Ether,
        folder: Path,
        node: int,
        secret: bytes,
        scene: LampScene,
        config: str = "{}",
        street: bytes | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "identity.cbor").write_bytes(cbor.encode({1: node, 2: secret, 3: 0, 4: "street"}))
        (folder / "config.json").write_text(config)
        if street is not None:
            (folder / "street.cbor").write_bytes(street)
        self.lines: list[tuple[float, str]] = []
        self.failure: BaseException | None = None
        self.port = ether.port()
        # Who overhears what is for others does nothing about it, but waits for its end where it has something to say.
        self.port.heeds = lambda header: header is None or header.space == frame.GROUP or header.node == node
        self.node: Any = None
        self._world = world
        self.hal = self._hal = _Hal(world, self.port, scene, f"{world.seed}/{node}")
        self.luminaire = self._hal.luminaire
        self._folder = folder
        self._thread = threading.Thread(target=self._run, name=f"lamp-{node}", daemon=True)
        world.attach(self)

    def start(self) -> None:
        self._thread.start()

    @property
    def shown(self) -> list[tuple[int, int]]:
        """(us, percent) of each level that the 0-10 V line was told."""
        return self.luminaire.shown

    @property
    def starts(self) -> int:
        """Two: it asked for a reset, which ended it."""
        return 1 + self.has_ended

    @property
    def has_ended(self) -> bool:
        """It asked for a reset, or was stopped."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        self._world.interrupt(self._hal.actor)
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        board = {"name": "native", "link": {"baud": 115200}, "sensors": SENSORS}
        _offer_drivers()
        try:
            self.node = LampNode(self._hal, board, Journal(self._say), str(self._folder))
            self.node.run()
        except Interrupted:
            pass
        except BaseException as error:
            self.failure = error
            self._world.fail(error)
        finally:
            self._world.leave(self._hal.actor)

    def _say(self, text: str) -> None:
        self.lines.append((self._world.now() - self._world.start_utc, text))


class NativeGateway:
    """A gateway's end of the wire on an Ether, in virtual time: it challenges, acknowledges, and keeps what came.

    secrets: by node. heard: messages by node. answer_us: from a frame's end to its answer.
    """

    def __init__(self, world: World, ether: Ether, secrets: dict[int, bytes], answer_us: int = 5000) -> None:
        self.heard: dict[int, list[Any]] = {node: [] for node in secrets}
        self.confirmed_s: dict[int, float] = {}
        self.refused = 0
        self.deaf = False  # it hears nothing, and answers nobody
        self.clock_off_s = 0  # what it tells is wrong by so much
        self.failure: BaseException | None = None
        self._world = world
        self._secrets = secrets
        self._random = random.Random(world.seed)  # noqa: S311
        self._lives = {node: Lives(lambda: self._random.randbytes(8)) for node in secrets}
        self._instance = self._random.randbytes(8)
        self._numbers: dict[int, int] = dict.fromkeys(secrets, 0)
        self._newest: dict[int, tuple[int, int] | None] = dict.fromkeys(secrets)
        self._keys: dict[tuple[int, bytes], seal.Key] = {}
        self._waiting: dict[int, list[Callable[[int], Any]]] = {}
        self._reader = line.Reader()
        self._port = ether.port()
        self._ether = ether
        self._answer_us = answer_us
        self._actor = world.join()
        self._port.nudge = lambda: world.nudge(self._actor)
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        world.attach(self)
        self._thread.start()

    def stop(self) -> None:
        self._world.interrupt(self._actor)
        self._thread.join(STOP_S)

    def ask(self, node: int, make: Callable[[int], Any]) -> None:
        """Send a downlink after the node's next frame. make(echo): the message."""
        self._waiting.setdefault(node, []).append(make)

    def tell(self, node: int, message: Any) -> None:
        """Send a downlink now."""
        life = self._lives[node].current()
        if life is None:
            raise ValueError(f"node {node} has no life yet")
        self._answer(node, life, message)

    def send_raw(self, data: bytes) -> None:
        """Put a frame on the medium as it is."""
        self._ether.send(None, line.encode(data))

    def _run(self) -> None:
        world = self._world
        try:
            while True:
                for data in self._reader.feed(self._port.read()):
                    world.wait(self._actor, world.now_us() + self._answer_us)
                    self._take(data)
                world.wait(self._actor, self._port.next_us())
        except Interrupted:
            pass
        except BaseException as error:
            self.failure = error
            world.fail(error)
        finally:
            world.leave(self._actor)

    def _take(self, data: bytes) -> None:
        header = frame.parse(data)
        if self.deaf or header.space != frame.UP or header.node not in self._secrets:
            return
        node = header.node
        lives = self._lives[node]
        life = header.context or lives.current()
        if life is None:
            self.refused += 1
            return
        key = self._keys.get((node, life))
        if key is None:
            key = self._keys[node, life] = seal.uplink_key(self._secrets[node], node, life)
        try:
            message = messages.decode(key.open(data, header), frame.UP, self._newest[node])
        except WireError:
            self.refused += 1
            return
        hello = message if isinstance(message, Hello) else None
        verdict, challenge = lives.take(
            life, 0, header.seq, hello is not None, hello.challenge if hello else None, self._world.now()
        )
        if verdict in (COMMIT, OPEN_LIFE):
            self.heard[node].append(message)
            if verdict == OPEN_LIFE:
                self.confirmed_s[node] = self._world.now() - self._world.start_utc
            if isinstance(message, messages.Report) and message.boot is None:
                self._newest[node] = (message.records[-1].index, message.records[-1].time)
        if verdict == ASK:
            self._answer(node, life, Challenge(header.seq, challenge))
        elif verdict in (COMMIT, OPEN_LIFE, ACK_AGAIN):
            window = lives.window(life, 0)
            asked = self._waiting.pop(node, [])
            numbers = [window.top] if window.top == header.seq else [header.seq, window.top]
            self._answer(node, life, Ack(window.top, numbers, int(self._world.now()) + self.clock_off_s, bool(asked)))
            for make in asked:
                self._answer(node, life, make(window.top))
        else:
            self.refused += 1

    def _answer(self, node: int, life: bytes, message: Any) -> None:
        key = seal.downlink_key(self._secrets[node], life, self._instance)
        number = self._numbers[node]
        self._numbers[node] += 1
        self.send_raw(key.seal(frame.DOWN, 0, node, number, messages.encode(message), self._instance))
