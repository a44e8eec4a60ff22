"""A gateway's end for one node, in memory: what law 4 says, without a store. The real one is proven by tests/system."""

from kerbwire import frame, messages, seal
from kerbwire.controls import Command, Config, Result
from kerbwire.errors import WireError
from kerbwire.events import Event
from kerbwire.records import Record
from kerbwire.window import NEW, REPLAY, Window

_INSTANCE = b"instance"


class Gateway:
    """asks: what it wants of the node, one with each ack until its result has come. indices: (life, index) of what is
    committed. frames: uplinks heard. trouble: what may never happen, in words."""

    def __init__(self, node: int, secret: bytes) -> None:
        self._node, self._secret = node, secret
        self._windows: dict[bytes, Window] = {}
        self._challenges: dict[bytes, bytes] = {}
        self._confirmed: bytes | None = None
        self._near: dict[bytes, tuple[int, int]] = {}
        self._next_seq = 0
        self.asks: list[Command | Config] = []
        self.indices: set[tuple[str, int]] = set()
        self.events: list[Event] = []
        self.newest: list[Record] = []  # the records of the newest report
        self.frames = 0
        self.heard_us = 0  # when the newest frame came
        self.trouble: list[str] = []

    def hear(self, data: bytes, utc_s: int) -> list[bytes]:
        """The answers to an uplink."""
        header = frame.parse(data)
        life = header.context or self._confirmed
        if life is None:
            return []
        try:
            body = seal.uplink_key(self._secret, header.node, life).open(data, header)
            message = messages.decode(body, frame.UP, self._near.get(life))
        except WireError as error:
            self.trouble.append(str(error))
            return []
        self.frames += 1
        if isinstance(message, messages.Hello):
            if life not in self._windows:
                if message.challenge is None or message.challenge != self._challenges.get(life):
                    self._challenges[life] = b"chal" + header.seq.to_bytes(4, "big")
                    return [self._seal(life, messages.Challenge(header.seq, self._challenges[life]))]
                self._windows[life] = Window()
            self._confirmed = life
        window = self._windows[life]
        if window.check(header.seq) == REPLAY:
            return []
        if window.check(header.seq) == NEW:
            window.accept(header.seq)
        else:
            self.trouble.append(f"sequence number {header.seq} came twice")
        self._commit(life, message)
        if not self.asks or isinstance(message, messages.Hello):
            return [self._seal(life, messages.Ack(window.top, window.newest(8), utc_s))]
        self.asks[0].echo = window.top
        return [
            self._seal(life, messages.Ack(window.top, window.newest(8), utc_s, True)),
            self._seal(life, self.asks[0]),
        ]

    def _commit(self, life: bytes, message: object) -> None:
        if isinstance(message, messages.Report):
            self.newest = list(message.records)
            for record in message.records:
                self.indices.add((life.hex(), record.index))
                if message.boot is None:
                    self._near[life] = max(self._near.get(life, (-1, 0)), (record.index, record.time))
        elif isinstance(message, Event):
            self.indices.add((life.hex(), message.index))
            self.events.append(message)
        elif isinstance(message, Result):
            self.asks = [ask for ask in self.asks if ask.ident != message.ident]

    def _seal(self, life: bytes, message: object) -> bytes:
        seq, self._next_seq = self._next_seq, self._next_seq + 1
        key = seal.downlink_key(self._secret, life, _INSTANCE)
        return key.seal(frame.DOWN, 1, self._node, seq, messages.encode(message), _INSTANCE)
