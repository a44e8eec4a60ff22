"""The link over Bluetooth Low Energy: the node advertises, and the gateway comes to it.

    ble:                    ble:?window_s=15

window_s: for so long it advertises before it gives up; 10 by default. kerbwire.gatt names the service. Everything that
the radio tells comes in `_event`, between two bytecodes; all waits are elsewhere.
"""

from kerbnode.link import radios
from kerbnode.link.tally import Tally
from kerbwire import gatt
from kerbwire.fragment import MIN_NOTIFICATION, Reader, split

WINDOW_S = 10
LONGEST_WINDOW_S = 20  # the watchdog bites after 30
INTERVAL_US = 100000  # between two advertisements: a scan that looks a tenth of the time finds it in a second
AGAIN_MS = 5000  # of advertising once more, after a connection was lost
STRANGER_MS = 4000  # for who connects and does not say what it wants
LAST_MS = 100  # for what was handed to the radio last, before the connection ends
GONE_MS = 500
POLL_MS = 5
MAX_WAITING = 16  # fragments: a full frame in the smallest ones, 13, and what a stranger adds
MAX_TRIES = 60  # to hand over a fragment, POLL_MS apart: ten connection intervals of 30 ms
CONNECT, DISCONNECT, WRITE, MTU = 1, 2, 3, 21  # of bluetooth's events, by the numbers of its documentation
_WRITE_NO_RESPONSE, _WRITE, _NOTIFY = 0x04, 0x08, 0x10
_OVERHEAD = 3  # of a notification or a write (Bluetooth Core 5.4, vol. 3 part F, section 3.4.7.1)


def opened(hal, board, address, options, identity):
    """OSError where nobody has come within the window."""
    window_s = int(options.get("window_s", WINDOW_S))
    if address or not 1 <= window_s <= LONGEST_WINDOW_S:
        raise OSError("write it as ble: or ble:?window_s=1 to %d" % LONGEST_WINDOW_S)
    import bluetooth

    link = Ble(bluetooth, hal, gatt.advertisement(identity.node, identity.site))
    radios.switched_on(hal, "ble", bluetooth.BLE())
    try:
        link.start()
        if not link.wait(window_s * 1000):
            raise OSError("nobody came in %d s: is a gateway in range, and its ble: inlet up? kerb doctor" % window_s)
    except OSError:
        link.close()
        raise
    return link


class Ble:
    """bluetooth: the module. peer: who listens (kerbwire.gatt), or 0."""

    def __init__(self, bluetooth, hal, advertisement):
        self._bluetooth = bluetooth
        self._hal = hal
        self._advertisement = advertisement
        self._ble = bluetooth.BLE()
        self._up = self._down = 0
        self._connection = None
        self._advertises = False
        self._since = 0
        self._is_new = False
        self._notification = MIN_NOTIFICATION
        self._number = 0
        self._waiting = []
        self._reader = Reader()
        self._noise = 0
        self.peer = 0
        self.tally = Tally()

    @property
    def noise(self):
        return self._noise + self._reader.noise + self._reader.lost

    @property
    def collects(self):
        """Whether who listens keeps the frames for the gateway, and answers nothing."""
        return self.peer == gatt.ROUND

    def start(self):
        """Switch the radio on. OSError."""
        ble, uuid = self._ble, self._bluetooth.UUID
        ble.active(True)
        ble.irq(self._event)
        ble.config(mtu=gatt.MTU)
        up, down = (uuid(gatt.UP), _NOTIFY), (uuid(gatt.DOWN), _WRITE | _WRITE_NO_RESPONSE)
        ((self._up, self._down),) = ble.gatts_register_services(((uuid(gatt.SERVICE), (up, down)),))
        ble.gatts_set_buffer(self._down, gatt.MTU - _OVERHEAD)

    def wait(self, timeout_ms):
        """Advertise until somebody listens. False: nobody has come."""
        hal = self._hal
        begin = hal.ticks_ms()
        while not self.peer:
            now = hal.ticks_ms()
            if hal.ticks_diff(now, begin) >= timeout_ms:
                if self._advertises:
                    self._advertises = False
                    self._ble.gap_advertise(None)
                return False
            if self._connection is not None:
                if hal.ticks_diff(now, self._since) > STRANGER_MS:
                    self._noise += 1
                    self._leave()
            elif not self._advertises:
                self._advertises = True
                self._ble.gap_advertise(INTERVAL_US, adv_data=self._advertisement)
            hal.sleep_ms(POLL_MS)
        return True

    def send(self, frame):
        """Lost, and counted, where nobody listens any more and nobody comes soon."""
        self.tally.sent(frame)
        if not self.peer and not self._waits(AGAIN_MS):
            self.tally.lost += 1
            return
        self._begin()
        number = self._number
        self._number += 1
        for part in split(frame, number, self._notification):
            if not self._notify(part):
                self.tally.lost += 1
                return

    def receive(self, timeout_ms):
        """The next frame, or None when timeout_ms are over. A connection that was lost is waited for meanwhile."""
        hal = self._hal
        begin = hal.ticks_ms()
        while True:
            self._begin()
            while self._waiting:
                frame = self._reader.feed(self._waiting.pop(0))
                if frame is not None:
                    return frame
            left_ms = timeout_ms - hal.ticks_diff(hal.ticks_ms(), begin)
            if left_ms <= 0:
                return None
            if self.peer:
                hal.sleep_ms(min(POLL_MS, left_ms))
            else:
                self._waits(left_ms)

    def _waits(self, timeout_ms):
        """As wait; a stack that refuses for now is a link that is silent."""
        begin = self._hal.ticks_ms()
        try:
            return self.wait(timeout_ms)
        except OSError:
            self._hal.sleep_ms(max(0, min(AGAIN_MS, timeout_ms - self._hal.ticks_diff(self._hal.ticks_ms(), begin))))
            return False

    def close(self):
        """Let the last go out, end the connection, and switch the radio off."""
        try:
            if self._connection is not None:
                self._hal.sleep_ms(LAST_MS)
                self._leave()
        except OSError:  # switched off it is all the same
            pass
        self.peer = 0
        self._connection = None
        try:
            self._ble.active(False)
        except OSError:  # a stack that never came up
            pass

    def _leave(self):
        """End the connection."""
        hal = self._hal
        connection, begin = self._connection, hal.ticks_ms()
        if connection is not None:
            self._ble.gap_disconnect(connection)
        while self._connection is not None and hal.ticks_diff(hal.ticks_ms(), begin) < GONE_MS:
            hal.sleep_ms(POLL_MS)
        self._connection = None

    def _begin(self):
        """Both ends begin anew with each connection."""
        if self._is_new:
            self._is_new = False
            self._noise += self._reader.noise + self._reader.lost
            self._reader = Reader()
            self._number = 0

    def _notify(self, part):
        """Hand over a fragment: the radio may have no room for it at once."""
        for _ in range(MAX_TRIES):
            connection = self._connection
            if connection is None:
                return False
            try:
                self._ble.gatts_notify(connection, self._up, part)
                return True
            except OSError:
                self.tally.retries += 1
                self._hal.sleep_ms(POLL_MS)
        return False

    def _event(self, event, data):
        if event == CONNECT:
            self._connection = data[0]
            self._advertises = False  # that ends with it
            self._since = self._hal.ticks_ms()
            self._notification = MIN_NOTIFICATION
            self._waiting = []
            self._is_new = True
            self.peer = 0
        elif data[0] != self._connection:
            return
        elif event == DISCONNECT:
            self._connection = None
            self.peer = 0
        elif event == MTU:
            self._notification = max(MIN_NOTIFICATION, data[1] - _OVERHEAD)
        elif event == WRITE and data[1] == self._down:
            value = self._ble.gatts_read(self._down)
            if len(value) == 1:
                self.peer = value[0]
            elif self.peer and len(self._waiting) < MAX_WAITING:
                self._waiting.append(value)
            else:
                self._noise += 1
