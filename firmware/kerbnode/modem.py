"""A board that is a gateway's LoRa radio: kerbwire.modem on its USB serial port, the air on the other side.

It knows nothing of nodes and keys: what it hears it hands on, and what it is given it sends, each as it came. The
gateway tells it its frequencies; until then it is silent. It counts what it sends against the duty cycle of the band.
USB is no REPL meanwhile: CR and Ctrl-C, with which mpremote and kerb begin and no frame from a gateway does, bring that
back.
"""

from kerbnode.drivers import sx126x
from kerbwire import frame as frames
from kerbwire import line, lora, modem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_QUEUE = 16  # frames that wait for the air
STALE_MS = 4000  # a node listens for 3 s behind its frame
GAP_MS = 60  # between two sends: a node that has heard the first takes so long to listen again
WAIT_MS = 3000  # between two feeds of the watchdog, at most
MEND_MS = 30000  # between two attempts at a radio that does not answer
BREAK = b"\r\x03"
CRASH_MS = 5000


class Modem:
    """hal and facts: as of sx126x.Radio. write(data): to the gateway. name: what it says of itself."""

    def __init__(self, hal, facts, write, name):
        self._hal = hal
        self._write = write
        self._name = name
        self._radio = sx126x.Radio(hal, facts)
        self._reader = line.Reader()
        self._begins = b""  # of what stands since the last delimiter, no more than BREAK is long
        self._settings: "Any" = None
        self._trouble = modem.UNSET
        self._budget: "Any" = None
        self._queue = []  # (since when, frame)
        self._sending: "Any" = None  # (frame, since when, air time)
        self._quiet_ticks = hal.ticks_ms()  # not before then is anything sent
        self._failed_ticks = 0
        self.heard = self.spoilt = self.sent = self.refused = self.late = 0

    @property
    def dio1(self):
        return self._radio.dio1

    def feed(self, data):
        """Bytes from the gateway. True: a tool wants the REPL, and the rest of what comes is for that."""
        for at in range(len(data)):
            byte = data[at : at + 1]
            self._begins = b"" if byte == b"\x00" else (self._begins + byte)[:3]
            if self._begins == BREAK:
                return True
            for found in self._reader.feed(byte):
                self._take(found)
        return False

    def turn(self):
        """Do what is due. Returns ms until there may be more."""
        try:
            return self._turn()
        except OSError:
            self._fail()
            return WAIT_MS

    def calls(self):
        """Whether a radio that works has something to tell."""
        return not self._trouble and self._radio.dio1.value()

    def tell(self):
        """Say what it is and has done."""
        set_ = self._settings
        counts = self.heard, self.spoilt, self.sent, self.refused, self.late
        left_ms = max(0, self._budget.left_ms(self._now_s())) if self._budget else 0
        numbers = _numbers(set_) if set_ else (0, 0, 0, 0)
        self._say(modem.State(self._trouble, *numbers, left_ms, counts, self._name).encode())

    def close(self):
        try:
            self._radio.sleep()
        except OSError:  # nothing there to switch off
            pass

    # The gateway's side.

    def _take(self, data):
        if modem.is_frame(data):
            if len(self._queue) < MAX_QUEUE and self._settings:
                self._queue.append((self._hal.ticks_ms(), data))
            else:
                self._done(data, modem.LATE if self._settings else modem.FAILED)
            return
        asked = modem.parse(data)
        if isinstance(asked, modem.Ask):
            self._become(asked)
            self.tell()

    def _become(self, asked):
        now_s = self._now_s()
        same = self._settings is not None and _numbers(self._settings) == _numbers(asked)
        if not same:
            try:
                permille = lora.band(asked.down_khz)[0]
                lora.band(asked.up_khz)
                if not 7 <= asked.factor <= 12:
                    raise ValueError
            except ValueError:
                self._trouble = modem.UNSET
                return
            spent_ms = self._budget.spent_ms(now_s) if self._budget else 0
            self._budget = lora.Budget(permille)
            self._budget.spend(spent_ms, now_s)
            self._settings = lora.Settings(asked.up_khz, asked.down_khz, asked.factor, asked.power_dbm)
        missing_ms = asked.spent_ms - self._budget.spent_ms(now_s)
        if missing_ms > 0:  # sent before it was plugged in anew
            self._budget.spend(missing_ms, now_s)
        if not same or self._trouble:
            self._start()

    def _done(self, frame, result, air_ms=0):
        if result == modem.SENT:
            self.sent += 1
        elif result == modem.REFUSED:
            self.refused += 1
        else:
            self.late += 1
        self._say(modem.Done(result, air_ms, line.crc16(frame)).encode())

    def _say(self, data):
        self._write(line.encode(data))

    # The air's side.

    def _start(self):
        self._sending = None
        self._failed_ticks = self._hal.ticks_ms()
        try:
            self._radio.start(self._settings.factor, self._settings.power_dbm)
            self._listen()
            self._trouble = modem.FINE
        except OSError:
            self._trouble = modem.NO_RADIO

    def _fail(self):
        """The radio has stopped to answer."""
        if self._sending:
            self._done(self._sending[0], modem.FAILED)
        self._sending = None
        self._trouble = modem.DEAF
        self._failed_ticks = self._hal.ticks_ms()
        self.tell()

    def _listen(self):
        self._radio.tune(self._settings.up_khz)
        self._radio.listen()

    def _turn(self):
        hal, radio = self._hal, self._radio
        if not self._settings:
            return WAIT_MS
        now = hal.ticks_ms()
        if self._trouble:
            left_ms = MEND_MS - hal.ticks_diff(now, self._failed_ticks)
            if left_ms > 0:
                self._drop(now)
                return min(left_ms, WAIT_MS)
            self._start()
            if not self._trouble:
                self.tell()
            return 0
        irqs = radio.irqs()
        if self._sending:
            return self._send_on(irqs, now)
        if irqs & sx126x.RX_DONE:
            self._hand_on(irqs)
        self._drop(now)
        if not self._queue:
            return WAIT_MS
        wait_ms = hal.ticks_diff(self._quiet_ticks, now)
        if wait_ms > 0:
            return wait_ms
        if radio.is_receiving():  # a node's frame is worth more than an answer that can wait
            return STALE_MS
        self._send_next(now)
        return 0

    def _hand_on(self, irqs):
        radio = self._radio
        if irqs & sx126x.CRC_ERROR:
            self.spoilt += 1
            return
        data = radio.packet()
        self._quiet_ticks = self._hal.ticks_add(self._hal.ticks_ms(), GAP_MS)
        if not 0 < len(data) <= frames.MAX_FRAME or not modem.is_frame(data):
            self.spoilt += 1
            return
        self.heard += 1
        air_ms = lora.air_us(len(data), self._settings.factor) // 1000
        self._say(modem.Heard(radio.rssi, radio.snr, air_ms, line.crc16(data)).encode())
        self._say(data)

    def _send_next(self, now):
        frame = self._queue.pop(0)[1]
        air_ms = lora.air_us(len(frame), self._settings.factor) // 1000 + 1
        now_s = self._now_s()
        if self._budget.left_ms(now_s) < air_ms:
            self._done(frame, modem.REFUSED)
            return
        self._budget.spend(air_ms, now_s)
        self._radio.tune(self._settings.down_khz)
        self._radio.begin_send(frame)
        self._sending = frame, now, air_ms

    def _send_on(self, irqs, now):
        frame, since, air_ms = self._sending
        if irqs & sx126x.TX_DONE:
            self._sending = None
            self._listen()
            self._quiet_ticks = self._hal.ticks_add(now, GAP_MS)
            self._done(frame, modem.SENT, air_ms)
            return 0
        left_ms = air_ms + sx126x.MARGIN_MS - self._hal.ticks_diff(now, since)
        if left_ms <= 0:
            raise OSError("the LoRa radio does not end to send")
        return left_ms

    def _drop(self, now):
        """What has waited too long: nobody listens for it any more."""
        while self._queue and self._hal.ticks_diff(now, self._queue[0][0]) > STALE_MS:
            self._done(self._queue.pop(0)[1], modem.LATE)

    def _now_s(self):
        return self._hal.seconds()


def run(hal, board):
    """Be a modem until a tool wants the REPL. Other errors end in a new start."""
    import micropython

    try:
        micropython.kbd_intr(-1)
        _serve(hal, board)
    except Exception as error:  # the top edge: a modem that stands still is worse than one that begins anew
        micropython.kbd_intr(3)
        print("note crash", type(error).__name__, error)
        hal.sleep_ms(CRASH_MS)
        hal.reset()
    finally:
        micropython.kbd_intr(3)


def _serve(hal, board):
    import select
    import sys

    from kerbnode import __version__

    source, sink = sys.stdin.buffer, sys.stdout.buffer
    hal.start_watchdog()
    hal.seconds = _Seconds(hal)
    made = Modem(hal, board["lora"], sink.write, __version__ + " " + board["name"])
    sink.write(b"\x00")  # ends what was printed before
    made.tell()  # a gateway that is there tells its frequencies anew
    bell = hal.bell(sys.stdin)
    made.dio1.irq(handler=bell.ring, trigger=made.dio1.IRQ_RISING)
    waiting = select.poll()
    waiting.register(sys.stdin, select.POLLIN)
    wait_ms = 0
    while True:
        hal.feed()
        bell.wait(wait_ms)
        while waiting.poll(0):
            if made.feed(source.read(1)):
                made.dio1.irq(handler=None)
                made.close()
                return
        wait_ms = max(0, min(made.turn(), WAIT_MS))
        if made.calls():  # DIO1 went high again before it was low: no edge tells of that
            wait_ms = 0


def _numbers(of):
    return of.up_khz, of.down_khz, of.factor, of.power_dbm


class _Seconds:
    """Seconds since it was made, across the wraps of ticks."""

    def __init__(self, hal):
        self._hal = hal
        self._last = hal.ticks_ms()
        self._ms = 0

    def __call__(self):
        now = self._hal.ticks_ms()
        self._ms += self._hal.ticks_diff(now, self._last)
        self._last = now
        return self._ms // 1000


def test():
    """For `kerb flash`: print the rows of a self-test."""
    import json
    import os
    import time

    import machine

    from kerbnode.hal import Hal

    with open("/board.json") as file:
        board = json.load(file)
    row = {"check": "radio", "verdict": "pass", "value": "answers", "limit": "an SX1261 or SX1262", "cause": ""}
    try:
        radio = sx126x.Radio(Hal(machine, time, os.urandom, board), board["lora"])
        radio.start(lora.SPREADING_FACTOR, 0)
        radio.sleep()
    except OSError as error:
        row.update(verdict="fail", value="silent", cause=str(error))
    print(json.dumps([row]))
