"""`rp2` of an emulated board: the flash under the file system, and the PIO programs of a DALI line, by their frames.

A state machine here does not run a program: one with an `out_base` sends half bits, 18 and whether they are the last a
word, one with an `in_base` gives the samples of what followed, 16 a word. No other program, no DMA.
"""

import kerb_rpc
from kerb_flash import Blocks as _Blocks

_SAMPLE_NS = 104167
_WORD = 18
_QUEUE = 8  # words


class Flash(_Blocks):
    pass


class PIO:
    IN_LOW, IN_HIGH, OUT_LOW, OUT_HIGH = 0, 1, 2, 3
    SHIFT_LEFT, SHIFT_RIGHT = 0, 1
    JOIN_NONE, JOIN_TX, JOIN_RX = 0, 1, 2


def asm_pio(**options):
    return lambda program: program


class StateMachine:
    def __init__(self, id, program=None, freq=-1, *, in_base=None, out_base=None, **options):
        self._out = out_base
        self._in = in_base
        self._half_us = 64000000 // freq if freq > 0 else 0
        self._levels = self._heard = b""
        self._taken = 0

    def active(self, value=None):
        return True

    def restart(self):
        self._taken = 0
        self._heard = b""

    def put(self, value, shift=0):
        word = value << shift
        self._levels += bytes([word >> 31 - bit & 1 for bit in range(_WORD)])
        if word >> 31 - _WORD & 1:
            kerb_rpc.call(kerb_rpc.LINE_SEND, self._out.id, self._half_us, self._levels)
            self._levels = b""

    def tx_fifo(self):
        return 0

    def _samples(self):
        if len(self._heard) < 16 * _QUEUE:
            self._heard = kerb_rpc.fetch(kerb_rpc.LINE_HEAR, self._in.id, _SAMPLE_NS)
        return self._heard

    def rx_fifo(self):
        return len(self._samples()) // 16 - self._taken

    def get(self, buf=None, shift=0):
        samples = self._samples()[16 * self._taken : 16 * self._taken + 16]
        if len(samples) < 16:
            raise OSError(110)  # a board would wait for ever
        self._taken += 1
        word = 0
        for sample in samples:
            word = word << 1 | sample
        return word << shift
