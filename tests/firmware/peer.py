"""A gateway's end on the link pty of an emulated board, in a thread of its own."""

import os
import random
import select
import threading

from rig import Gateway

from kerbwire import line

STOP_S = 5.0


class Peer:
    """Use as a context manager, which gives the Peer. loss: the share of frames, either way, that the air swallows."""

    def __init__(self, board, *, loss=0.0, seed=0):
        self.gateway = Gateway()
        self._board = board
        self.loss = loss
        self._random = random.Random(seed)
        self._reader = line.Reader()
        self._ending, self._end = os.pipe()
        self._thread = threading.Thread(target=self._run, name="peer", daemon=True)
        self.failure = None

    def __enter__(self):
        self._fd = os.open(self._board.link_path, os.O_RDWR | os.O_NOCTTY)
        self._thread.start()
        return self

    def __exit__(self, *_):
        os.write(self._end, b"x")
        self._thread.join(STOP_S)
        for fd in (self._fd, self._ending, self._end):
            os.close(fd)
        if self.failure:
            raise self.failure

    def _run(self):
        try:
            while True:
                readable, _, _ = select.select([self._fd, self._ending], [], [])
                if self._ending in readable:
                    return
                for frame in self._reader.feed(os.read(self._fd, 4096)):
                    self._take(frame)
        except BaseException as error:
            self.failure = error

    def _take(self, frame):
        self.gateway.utc_s = int(self._board.world.now())
        if self._random.random() < self.loss:
            return
        for answer in self.gateway.hear(frame):
            if self._random.random() >= self.loss:
                os.write(self._fd, line.encode(answer))
