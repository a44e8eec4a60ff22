"""The LoRa link of a lamp: it listens all the time, and what it sends goes in steps, none of which waits.

A string as of kerbnode.link.lora, without `spread`: a lamp spreads by itself what it says. DIO1 ends the waits of the
lamp's loop.
"""

from kerbnode.drivers import sx126x
from kerbnode.link import lora
from kerbwire import frame as frames
from kerbwire.errors import WireError
from kerbwire.lora import BANDWIDTH_HZ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LISTENING, CHECKING, SENDING, FAILED = range(4)
CHECK_SYMBOLS = 16  # a look at the channel takes six of them at most
MEND_MS = 30000  # between two attempts at a radio that does not answer
BUSY_STEP_MS = 20  # while somebody else speaks
REST_MS = 60000
MOST_HELD_MS = 30000  # from when a frame is given until it is on the air: the backoffs of five tries, and more


def made(hal, board, address, options, identity):
    """The link, which listens. OSError as of kerbnode.link.lora."""
    return lora.started(LampLora, hal, board, address, options, identity)


class LampLora(lora.Lora):
    """frames: what has come. steady: flash may be written now. trouble: what failed last."""

    listens = True
    ready_ms = 1000
    stream = None

    def __init__(self, *handed):
        super().__init__(*handed)
        self.frames = []
        self.steady = True
        self.trouble = ""
        self._frame: "Any" = None  # that waits for the channel
        self._given = self._since = self._until = self._hal.ticks_ms()
        self._slots = 2
        self._air_ms = 0
        self._state = LISTENING
        self._listen()

    def rings(self, ring):
        """ring() is called, by an interrupt, when the radio has something to tell; None: no more."""
        dio1 = self._radio.dio1
        dio1.irq(handler=ring, trigger=dio1.IRQ_RISING)

    @property
    def is_ready(self):
        return self._state != FAILED

    @property
    def holds(self):
        """What was said last is not on the air yet, or just now: its answer is not due."""
        return self._frame is not None or self._state == SENDING

    def send(self, frame, within_ms=0):
        """Give a frame, in place of one that has not gone yet."""
        if self._frame is not None:
            self.tally.lost += 1
        self._repeats = 0
        self._give(frame)

    def step(self):
        """Do what is due, without waiting."""
        try:
            self._step()
        except OSError as error:
            self.trouble = str(error)
            self._lose()
            self._repeat = None
            self._state, self._since = FAILED, self._hal.ticks_ms()

    def next_ms(self):
        """When a step is due even if DIO1 tells nothing."""
        hal = self._hal
        age_ms = hal.ticks_diff(hal.ticks_ms(), self._since)
        if self._state == FAILED:
            return max(lora.POLL_MS, MEND_MS - age_ms)
        if self._radio.dio1.value():  # it went high again before it was low: no edge tells of that
            return 0
        if self._state != LISTENING:
            return max(1, self._limit_ms() - age_ms)
        if self._frame is None and self._repeat is None:
            return REST_MS
        return max(BUSY_STEP_MS, hal.ticks_diff(self._until, hal.ticks_ms()))

    def end(self):
        """The radio sleeps; what waits is lost."""
        self._lose()
        self.rings(None)
        self.close()

    def _step(self):
        hal, radio, state = self._hal, self._radio, self._state
        now = hal.ticks_ms()
        age_ms = hal.ticks_diff(now, self._since)
        if state == FAILED:
            if age_ms >= MEND_MS and self.steady:
                self._since = now
                radio.start(self._settings.factor, self._settings.power_dbm)
                self._listen()
            return
        irqs = radio.irqs()
        if state == SENDING and irqs & sx126x.TX_DONE:
            self._listen()
            self._until = hal.ticks_add(now, self._answer_ms())
        elif state == CHECKING and irqs & sx126x.CAD_DONE:
            if irqs & sx126x.CAD_DETECTED:
                self._back_off(now)
            else:
                self._transmit_now(now)
        elif state != LISTENING:
            if age_ms > self._limit_ms():
                raise OSError("the LoRa radio does not end what it began: check its supply and DIO1 wire")
        elif irqs & sx126x.RX_DONE:
            self._take(irqs)
        elif irqs & sx126x.HEADER_ERROR:
            self.noise += 1
        elif self._frame is None and self._repeat is None:
            pass
        elif hal.ticks_diff(now, self._given) > MOST_HELD_MS:
            self._lose()
            self._repeat = None
        elif hal.ticks_diff(now, self._until) >= 0 and not radio.is_receiving():
            self._go_on(now)

    def _go_on(self, now):
        """Look at the channel for the frame that waits, or for the one that nobody has answered."""
        if self._frame is None:
            if self._repeats >= lora.REPEATS:
                self._repeat = None
                return
            self._repeats += 1
            self.tally.retries += 1
            self._give(self._repeat)
        frame: "Any" = self._frame
        air_ms = lora.packet_ms(len(frame), self._settings.factor)
        if self._reserved_ms < air_ms and not self.steady:
            return
        if not self._has_room(air_ms):
            self.trouble = "no air time left in this hour"
            self._lose()
            return
        self._radio.tune(self._settings.up_khz)
        self._radio.begin_check()
        self._state, self._since = CHECKING, now

    def _transmit_now(self, now):
        frame, self._frame = self._frame, None
        air_ms = lora.packet_ms(len(frame), self._settings.factor)
        self._reserved_ms -= air_ms
        self._repeat = frame
        self.tally.sent(frame)
        self.tally.airtime_ms += air_ms
        self._air_ms = air_ms
        self._radio.begin_send(frame)
        self._state, self._since = SENDING, now

    def _back_off(self, now):
        self._slots *= 2
        self._listen()
        if self._slots > 2 << lora.TRIES:
            self._lose()
            return
        air_ms = lora.packet_ms(len(self._frame), self._settings.factor)
        wait_ms = air_ms * (1 + self._hal.random(1)[0] % self._slots) // 2
        self._until = self._hal.ticks_add(now, min(lora.MOST_WAIT_MS, wait_ms))

    def _limit_ms(self):
        """Of what the radio does just now."""
        if self._state == SENDING:
            return self._air_ms + self._air_ms // 16 + sx126x.MARGIN_MS
        return sx126x.MARGIN_MS + (CHECK_SYMBOLS * 1000 << self._settings.factor) // BANDWIDTH_HZ

    def _give(self, frame):
        self._frame, self._repeat = frame, None
        self._given = self._until = self._hal.ticks_ms()
        self._slots = 2

    def _lose(self):
        if self._frame is not None:
            self._frame = None
            self.tally.lost += 1

    def _listen(self):
        self._state = LISTENING
        self._radio.tune(self._settings.down_khz)
        self._radio.listen()

    def _take(self, irqs):
        radio = self._radio
        if irqs & sx126x.CRC_ERROR:
            self.noise += 1
            return
        found = radio.packet()
        try:
            header = frames.parse(found)
        except WireError:
            self.noise += 1
            return
        is_own = header.space == frames.DOWN and header.node == self._node
        if is_own:
            self._repeat = None
        if is_own or header.space == frames.GROUP:
            self.tally.rssi, self.tally.snr = radio.rssi, radio.snr // 4
            if len(self.frames) < lora.MAX_FRAMES:
                self.frames.append(found)
        else:
            self.overheard += 1
