"""A DALI line on an RP2040 or RP2350: one state machine of the PIO sends, one listens. Not run on hardware yet.

The sender takes half bits, 18 a word, and raises a flag after the last word of a frame. The listener waits for that
flag, then for the line to become active, and samples it four times a half bit until its queue of 128 samples is full:
13 ms, and a backward frame lasts 9. So the firmware may come as late as it likes. RP2040 data sheet, chapter 3.
"""

from kerbnode.drivers import dali_frames
from kerbwire.compat import const

_HZ = const(153600)  # 64 cycles a half bit
_SAMPLE_US = const(104)
_WORD = const(18)  # half bits; a bit behind them says whether the word is the frame's last
_SAMPLES = const(16)  # a word of the listener's: two of them would be no small integer


def _send():
    pull()  # type: ignore  # noqa: F821
    set(x, 17)  # type: ignore  # noqa: F821
    label("half")  # type: ignore  # noqa: F821
    out(pins, 1)[31]  # type: ignore  # noqa: F821
    jmp(x_dec, "half")[31]  # type: ignore  # noqa: F821
    out(y, 1)  # type: ignore  # noqa: F821
    jmp(not_y, "more")  # type: ignore  # noqa: F821
    irq(4)  # type: ignore  # noqa: F821
    label("more")  # type: ignore  # noqa: F821


def _hear_high():
    wait(1, irq, 4)  # type: ignore  # noqa: F821
    wait(1, pin, 0)  # type: ignore  # noqa: F821
    wrap_target()  # type: ignore  # noqa: F821
    in_(pins, 1)[15]  # type: ignore  # noqa: F821
    wrap()  # type: ignore  # noqa: F821


def _hear_low():
    wait(1, irq, 4)  # type: ignore  # noqa: F821
    wait(0, pin, 0)  # type: ignore  # noqa: F821
    wrap_target()  # type: ignore  # noqa: F821
    in_(pins, 1)[15]  # type: ignore  # noqa: F821
    wrap()  # type: ignore  # noqa: F821


class Line:
    """facts: tx, rx, and the level of each while the line is idle."""

    def __init__(self, hal, facts):
        import rp2  # pyright: ignore[reportMissingImports]  # not on esp32

        machine, pio = hal.machine, rp2.PIO
        self._idle_tx, self._idle_rx = facts["idle_tx"], facts["idle_rx"]
        self._halves = bytearray(2 * _WORD)
        first = pio.OUT_HIGH if self._idle_tx else pio.OUT_LOW
        sends = rp2.asm_pio(out_init=first, out_shiftdir=pio.SHIFT_LEFT)(_send)
        hears = rp2.asm_pio(in_shiftdir=pio.SHIFT_LEFT, autopush=True, push_thresh=_SAMPLES, fifo_join=pio.JOIN_RX)(
            _hear_low if self._idle_rx else _hear_high
        )
        tx, rx = machine.Pin(facts["tx"]), machine.Pin(facts["rx"])
        self._tx = rp2.StateMachine(0, sends, freq=_HZ, out_base=tx)
        self._rx = rp2.StateMachine(1, hears, freq=_HZ, in_base=rx)
        self._tx.active(1)

    def send(self, frame):
        """Begin to send a forward frame of 16 bits, and listen for what follows it."""
        halves = self._halves
        dali_frames.halves(frame, halves)
        receiver = self._rx
        receiver.active(0)
        while receiver.rx_fifo():
            receiver.get()
        receiver.restart()
        receiver.active(1)
        for at in (0, _WORD):
            word = 0
            for half in range(at, at + _WORD):
                word = word << 1 | halves[half] ^ self._idle_tx
            self._tx.put(word << 1 | (at > 0), 32 - _WORD - 1)

    def take(self, spans):
        """How many spans of an answer there were since `send`: microseconds, active and idle in turn."""
        receiver = self._rx
        count, level, run = 0, 1, 0
        while receiver.rx_fifo():
            word = receiver.get()
            for bit in range(_SAMPLES - 1, -1, -1):
                if word >> bit & 1 ^ self._idle_rx == level:
                    run += 1
                elif count < len(spans):
                    spans[count] = run * _SAMPLE_US
                    count += 1
                    level, run = 1 - level, 1
        if run and count < len(spans):
            spans[count] = run * _SAMPLE_US
            count += 1
        return count
