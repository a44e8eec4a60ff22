"""A LoRa link: one frame a packet, up on one frequency, down on another, as kerbwire.lora has them.

    lora:868.1?sf=9&down=869.525&power=14&spread=60

What is sent is counted against the duty cycle of its band, and kept in FOLDER/lora.cbor over sleeps and resets: room
for a frame is written there before the frame goes, and what was not used is given back at the end. Without room nothing
is sent, and the frame counts as lost. Before each send the radio listens whether somebody else is on the air; the first
send of a wake waits besides, asleep, for a random part of `spread` seconds, since whole streets sample at one moment.
A frame without any answer is sent once more, as it is: its number is the same, so the gateway takes it once.
"""

from kerbnode import flash
from kerbnode.drivers import sx126x
from kerbnode.link import radios
from kerbnode.link.tally import Tally
from kerbwire import frame as frames
from kerbwire import lora
from kerbwire.errors import WireError

FILE = "/lora.cbor"
SPREAD_S = 60  # at 2 uA a second of light sleep on an ESP32 it costs less than one lost frame
MOST_SPREAD_S = 600
JUST_S = 60  # after a cold boot nobody else has just booted, and a person may be on USB, which light sleep cuts
NAP_MS = 5000  # the longest light sleep, between two feeds
POLL_MS = 20  # between looks at DIO1, asleep: of a packet's end it is never late by more
TRIES = 5  # at a channel that is busy
MOST_WAIT_MS = 4000  # of one backoff
REPEATS = 1
ANSWER_MS = 1000  # until the gateway's answer begins, where its modem is at leisure
MAX_FRAMES = 8  # of one that listens, that wait to be asked for
MORE_MS = 2000  # the radio goes on listening behind a frame: what follows at once is not missed
RESERVE_FRAMES = 4  # whose air time is reserved at once
TYPICAL = 60  # bytes of a frame: a link without room for one cannot be had


def opened(hal, board, address, options, identity):
    """The link, or OSError: no radio, no such frequency, no air time left."""
    link = started(Lora, hal, board, address, options, identity)
    if getattr(hal, "uptime_s", _no_time)() > JUST_S:
        link.rest_ms = hal.light_sleep_ms
        link.spread_s = int(options.get("spread", SPREAD_S))
    return link


def started(kind, hal, board, address, options, identity):
    """A link of this class, its radio on. OSError."""
    facts = board.get("lora")
    if not facts:
        raise OSError("this board has no LoRa radio: name another link")
    spread = options.get("spread", "0")
    if not spread.isdigit() or int(spread) > MOST_SPREAD_S:
        raise OSError("spread is a number of seconds up to %d" % MOST_SPREAD_S)
    try:
        settings = lora.settings(address, options)
        permille, most_dbm = lora.band(settings.up_khz)
    except ValueError as error:
        raise OSError(str(error))
    if settings.power_dbm > most_dbm:
        raise OSError("at most %d dBm may be sent on this band" % most_dbm)
    budget = lora.Budget(permille)
    now_s = getattr(hal, "uptime_s", _no_time)()
    budget.unpack(flash.load(options["folder"] + FILE), now_s)
    wait_s = budget.wait_s(packet_ms(TYPICAL, settings.factor), now_s)
    if wait_s and not kind.listens:
        raise OSError("no air time left: the next frame may go in %d s" % wait_s)
    radio = sx126x.Radio(hal, facts)
    hal.feed()
    radios.switched_on(hal, "lora", radio.sleep)
    radio.start(settings.factor, settings.power_dbm)
    return kind(hal, radio, settings, budget, options["folder"], identity.node)


class Lora:
    """noise: packets that were spoilt, or no frames. overheard: frames for others. listens: also without air time."""

    listens = False

    def __init__(self, hal, radio, settings, budget, folder, node):
        self._hal = hal
        self._radio = radio
        self._settings = settings
        self._budget = budget
        self._path = folder + FILE
        self._node = node
        self.spread_s = 0
        self.rest_ms = hal.sleep_ms  # while the radio works by itself
        self._reserved_ms = 0  # on flash, and not used yet
        self._repeat = None  # a frame that nobody has answered yet
        self._repeats = 0
        self._mute = False  # the last frame did not go: no answer is to be waited for
        self._listens = False
        self.noise = self.overheard = 0
        self.tally = Tally()

    def send(self, frame):
        self._nap()
        self._repeat, self._repeats = frame, 0
        try:
            self._mute = not self._transmit(frame)
        except OSError:  # the radio itself: what is said is lost, and the fallback may do better
            self._mute = True
        if self._mute:
            self._repeat = None
            self.tally.lost += 1

    def receive(self, timeout_ms):
        """The next frame for this node. A frame that is on its way when the time is over is heard to its end."""
        if self._mute:
            return None
        try:
            return self._receive(timeout_ms)
        except OSError:
            self._mute = True
            return None

    def close(self):
        """The radio sleeps, whatever happened; what was not sent of the reserve is given back."""
        hal = self._hal
        if self._reserved_ms:
            self._reserve(-self._reserved_ms)
        radios.switched_off(hal, "lora")
        try:
            self._radio.sleep()
        except OSError:  # it does not answer: there is nothing that could be switched off
            pass

    def _receive(self, timeout_ms):
        hal = self._hal
        start = hal.ticks_ms()
        left_ms = timeout_ms
        while left_ms > 0:
            waits_ms = left_ms
            if self._repeat and self._repeats < REPEATS:
                waits_ms = min(left_ms, self._answer_ms())
            found = self._hear(waits_ms)
            if found:
                self._repeat = None
                return found
            left_ms = timeout_ms - hal.ticks_diff(hal.ticks_ms(), start)
            if self._repeat and self._repeats < REPEATS:
                self._repeats += 1
                hal.feed()
                if self._transmit(self._repeat):
                    self.tally.retries += 1
                    left_ms = max(timeout_ms - hal.ticks_diff(hal.ticks_ms(), start), self._answer_ms())
        self._repeat = None
        return None

    def _answer_ms(self):
        """How long the start of an answer is waited for before the frame goes again."""
        return ANSWER_MS + packet_ms(TYPICAL, self._settings.factor) // 2

    def _hear(self, window_ms):
        """The next frame for this node that begins within the window, or None. What is for others, or is none, makes
        the window no longer: it ends with the packet that is on the air then."""
        hal, radio = self._hal, self._radio
        start = hal.ticks_ms()
        longest_ms = window_ms + MORE_MS + packet_ms(sx126x.MAX_PACKET, self._settings.factor) + sx126x.MARGIN_MS
        while True:
            if not self._listens:
                left_ms = window_ms - hal.ticks_diff(hal.ticks_ms(), start)
                if left_ms <= 0:
                    return None
                radio.tune(self._settings.down_khz)
                radio.listen(left_ms)
                self._listens = True
            irqs = radio.irqs()
            if irqs:
                self._listens = False
                if irqs & sx126x.RX_DONE and not irqs & sx126x.CRC_ERROR:
                    found = radio.packet()
                    if self._is_ours(found):
                        radio.listen(MORE_MS)
                        self._listens = True
                        self.tally.rssi, self.tally.snr = radio.rssi, radio.snr // 4
                        return found
                elif irqs & (sx126x.CRC_ERROR | sx126x.HEADER_ERROR):
                    self.noise += 1
            elif hal.ticks_diff(hal.ticks_ms(), start) > longest_ms:
                raise OSError("the LoRa radio does not end its window")
            else:
                self._rest(POLL_MS)

    def _is_ours(self, data):
        try:
            header = frames.parse(data)
        except WireError:
            self.noise += 1
            return False
        if header.space == frames.DOWN and header.node == self._node:
            return True
        self.overheard += 1
        return False

    def _transmit(self, frame):
        """Send a packet when the channel is free. False: no air time, or never free."""
        hal, radio = self._hal, self._radio
        air_ms = packet_ms(len(frame), self._settings.factor)
        if not self._has_room(air_ms):
            return False
        self._listens = False
        slots = 2
        for _ in range(TRIES):
            hal.feed()
            radio.tune(self._settings.up_khz)
            if not radio.is_busy():
                break
            radio.tune(self._settings.up_khz)  # standby: nothing is heard while we wait
            slots *= 2
            hal.sleep_ms(min(MOST_WAIT_MS, air_ms * (1 + hal.random(1)[0] % slots) // 2))
        else:
            return False
        self._reserved_ms -= air_ms
        self.tally.sent(frame)
        self.tally.airtime_ms += air_ms
        return radio.send(frame, self._rest)

    def _has_room(self, air_ms):
        if self._reserved_ms >= air_ms:
            return True
        wanted_ms = min(self._budget.left_ms(self._now_s()), RESERVE_FRAMES * air_ms)
        if self._reserved_ms + wanted_ms < air_ms:
            return False
        return self._reserve(wanted_ms)

    def _reserve(self, ms):
        """Count so much as sent, on flash too. False where flash refuses: then nothing more may go."""
        self._budget.spend(ms, self._now_s())
        try:
            flash.replace(self._path, self._budget.pack())
        except OSError:
            return False
        self._reserved_ms += ms
        return True

    def _now_s(self):
        return getattr(self._hal, "uptime_s", _no_time)()

    def _nap(self):
        """Once a wake: not all nodes of a street speak at once."""
        self._rest(self.spread_s * self._hal.random(1)[0] * 1000 // 256)
        self.spread_s = 0

    def _rest(self, ms):
        while ms > 0:
            self._hal.feed()
            self.rest_ms(min(ms, NAP_MS))
            ms -= NAP_MS


def packet_ms(size, factor):
    """Time on the air of a frame of that size, rounded up."""
    return lora.air_us(size, factor) // 1000 + 1


def _no_time():
    return 0
