"""One medium for many: an RS-485 line or a radio channel that all nodes of a street and their gateway's modem share.

A byte takes its time, everybody hears everybody else, and what is said at the same time is spoilt. Who hears what may
besides be lost by chance. The gateway opens `path`, a pty; its modem waits until the medium is free, as nodes do.
"""

import heapq
import os
import random
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from kerbtools.emulator.link import LinkPty
from kerbtools.emulator.world import FOREVER, Interrupted, World
from kerbwire import frame as frames
from kerbwire import line
from kerbwire.errors import WireError

CHARACTER_BITS = 10
GAP_CHARACTERS = 5  # of silence, before the gateway's modem takes its turn
ANSWER_US = 5_000_000  # so long the clock runs at real pace after a frame to the gateway, at most
AFTER_ANSWER_US = 20_000  # and after the first answer, so that what follows it is in time too
LOOK_S = 0.02  # of real time, between two looks whether a gateway has opened the port
WAIT_S = 5.0
STOP_TIMEOUT_S = 5.0
MAX_QUEUED = 256  # frames of the gateway that wait for the medium: more are lost, as in a modem


@dataclass(slots=True)
class Sending:
    """Bytes on the medium. spoilt: places in data that somebody else talked into."""

    sender: "Port | None"  # None: the gateway
    data: bytes
    header: frames.Header | None
    start_us: int
    end_us: int
    spoilt: set[int] = field(default_factory=set[int])


@dataclass(slots=True)
class Tally:
    """What happened on the medium so far. busy_us: its time that was spent."""

    frames: int = 0
    collided: int = 0
    lost: int = 0
    overflowed: int = 0
    busy_us: int = 0


class Ether:
    """baud: of the medium. loss: share of frames that one listener misses. delay_us: until a byte is heard.

    seed: of what is lost. Stops with the world.
    """

    def __init__(
        self, world: World, *, baud: int = 115_200, loss: float = 0.0, delay_us: int = 0, seed: str = "ether"
    ) -> None:
        self.world = world
        self.tally = Tally()
        self.loss = loss
        self._random = random.Random(f"{world.seed}/{seed}")  # noqa: S311  a scene, not a secret
        self._byte_us = CHARACTER_BITS * 1_000_000 // baud
        self._delay_us = delay_us
        self._ports: list[Port] = []
        self._air: list[Sending] = []  # what is, or will soon be, on the medium
        self._events: list[tuple[int, int, Sending | int]] = []  # moment, order, what is over then: a wait for a node
        self._order = 0
        self._queued = 0
        self._held: dict[int, int] = {}  # node whose answer is awaited -> order of its latest frame
        self._lock = threading.Lock()
        self._gateway = LinkPty()
        self._stopped = threading.Event()
        self._stop_file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._actor = world.join()
        self._threads = [
            threading.Thread(target=work, name=f"ether-{work.__name__}", daemon=True)
            for work in (self._run, self._read)
        ]
        world.attach(self)
        for thread in self._threads:
            thread.start()

    @property
    def path(self) -> str:
        """The serial port of the gateway's modem."""
        return self._gateway.path

    def port(self) -> "Port":
        """A node's place on the medium."""
        port = Port(self)
        with self._lock:
            self._ports.append(port)
        return port

    def stop(self) -> None:
        if self._stopped.is_set():
            return
        self._stopped.set()
        os.eventfd_write(self._stop_file, 1)
        self.world.interrupt(self._actor)
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)
        os.close(self._stop_file)
        self._gateway.close()

    # The medium.

    def send(self, sender: "Port | None", data: bytes) -> None:
        """Put bytes on the medium: a node's now, the gateway's as soon as it is free."""
        header = _header(data)
        now_us = self.world.now_us()
        with self._lock:
            self._air = [one for one in self._air if one.end_us + self._delay_us >= now_us]
            start_us = now_us
            if sender is None:
                if self._queued >= MAX_QUEUED:
                    self.tally.overflowed += 1
                    return
                self._queued += 1
                free_us = max((one.end_us for one in self._air), default=0) + GAP_CHARACTERS * self._byte_us
                start_us = max(now_us, free_us)
            sending = Sending(sender, data, header, start_us, start_us + len(data) * self._byte_us)
            self._collide(sending)
            self._air.append(sending)
            self.tally.frames += 1
            self.tally.busy_us += sending.end_us - sending.start_us
            listeners = [port for port in self._ports if port is not sender]
            for port in listeners:
                if self._random.random() < self.loss:
                    self.tally.lost += 1
                else:
                    port.incoming.append([sending, 0])
            self._put(sending.end_us, sending)
        for port in listeners:
            if port.heeds(header):
                port.nudge()
        self.world.nudge(self._actor)

    def _collide(self, sending: Sending) -> None:
        for other in self._air:
            low, high = max(other.start_us, sending.start_us), min(other.end_us, sending.end_us)
            if low < high:
                self.tally.collided += 1
                for one in (other, sending):
                    first, last = (low - one.start_us) // self._byte_us, (high - one.start_us - 1) // self._byte_us
                    one.spoilt.update(range(first, last + 1))

    def heard(self, sending: Sending, since: int, now_us: int) -> bytes:
        """The bytes from place `since` on that a listener has heard by now."""
        passed_us = now_us - self._delay_us - sending.start_us
        until = min(len(sending.data), max(0, passed_us // self._byte_us))
        return bytes(
            sending.data[at] ^ 0xA5 if at in sending.spoilt else sending.data[at] for at in range(since, until)
        )

    def ends_us(self, sending: Sending) -> int:
        return sending.end_us + self._delay_us

    # The gateway's end.

    def _put(self, at_us: int, over: Sending | int) -> int:
        self._order += 1
        heapq.heappush(self._events, (at_us, self._order, over))
        return self._order

    def _run(self) -> None:
        """The world's time: what becomes of a frame when it is over."""
        try:
            while True:
                with self._lock:
                    next_us = self._events[0][0] if self._events else FOREVER
                    event = heapq.heappop(self._events) if next_us <= self.world.now_us() else None
                if event is None:
                    self.world.wait(self._actor, next_us)
                elif isinstance(event[2], Sending):
                    self._over(event[2])
                else:
                    self._end_of_wait(event[2], event[1])
        except Interrupted:
            pass
        finally:
            for node in self._held:
                self.world.release((self, node))
            self.world.leave(self._actor)

    def _over(self, sending: Sending) -> None:
        header = sending.header
        if sending.sender is None:
            with self._lock:
                self._queued -= 1
            if header is not None and header.space == frames.DOWN and header.node in self._held:
                self._wait_for(header.node, AFTER_ANSWER_US)
        elif self._gateway.has_peer() and self._random.random() >= self.loss:
            if header is not None and header.space == frames.UP and not sending.spoilt:
                self._wait_for(header.node, ANSWER_US)
            self._gateway.write(self.heard(sending, 0, FOREVER))

    def _wait_for(self, node: int, at_most_us: int) -> None:
        """Time runs at real pace, while a real gateway may answer this node."""
        self.world.hold((self, node))
        with self._lock:
            self._held[node] = self._put(self.world.now_us() + at_most_us, node)

    def _end_of_wait(self, node: int, order: int) -> None:
        if self._held.get(node) == order:  # else it was lengthened
            del self._held[node]
            self.world.release((self, node))

    def _read(self) -> None:
        """Real time: what the gateway writes, frame by frame."""
        rest = b""
        while not self._stopped.is_set():
            if not self._gateway.has_peer():
                self._stopped.wait(LOOK_S)
                continue
            self._gateway.wait(WAIT_S, self._stop_file)
            *chunks, rest = (rest + self._gateway.read()).split(b"\x00")
            for chunk in chunks:
                if chunk:
                    self.send(None, chunk + b"\x00")


class Port:
    """A node's end of the medium, in the place of a LinkPty.

    heeds: whether a frame, by its header, ends a wait of the node; what does not is read with the next that does.
    """

    def __init__(self, ether: Ether) -> None:
        self.incoming: list[list[Sending | int]] = []  # what is heard, and how many bytes of it were read
        self.nudge = _nobody  # ends a wait of the board
        self.heeds: Callable[[frames.Header | None], bool] = _everything
        self.closed = False
        self._ether = ether

    @property
    def path(self) -> str:
        return self._ether.path

    def has_peer(self) -> bool:
        """Whether something real answers: the ether itself makes the clock wait for it."""
        return False

    def write(self, data: bytes) -> int:
        self._ether.send(self, data)
        return len(data)

    def read(self) -> bytes:
        """What has been heard since the last time."""
        if not self.incoming:
            return b""
        now_us = self._ether.world.now_us()
        data = b""
        for entry in list(self.incoming):
            sending, read = entry
            assert isinstance(sending, Sending)
            assert isinstance(read, int)
            part = self._ether.heard(sending, read, now_us)
            data += part
            entry[1] = read + len(part)
            if entry[1] == len(sending.data):
                self.incoming.remove(entry)
        return data

    def next_us(self) -> int:
        """When the next frame will have been heard whole, as far as it is known now."""
        heard = [entry[0] for entry in list(self.incoming) if isinstance(entry[0], Sending)]
        return min((self._ether.ends_us(one) for one in heard if self.heeds(one.header)), default=FOREVER)

    def drop_input(self) -> None:
        self.incoming.clear()

    def wait(self, seconds: float, *others: int) -> None:
        poll = select.poll()
        for other in others:
            poll.register(other, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)

    def close(self) -> None:
        self.closed = True


def _header(data: bytes) -> frames.Header | None:
    for frame in line.Reader().feed(data):
        try:
            return frames.parse(frame)
        except WireError:
            return None
    return None


def _nobody() -> None:
    pass


def _everything(header: frames.Header | None) -> bool:
    return True
