"""A session with an MQTT 3.1.1 broker over Wi-Fi: a frame a message, to kerb/1/SITE/up/NODE; answers on .../down/NODE.

No call waits longer than it is given, sockets never block, and what fails is taken up one step higher each time: the
connection anew, the access point anew, the radio off and on; the deep sleep that ends a wake is the reset of the board.
A wrong password is no reason to give up: access points say so of good ones too. All goes on in `step`, which never
waits: a lamp takes a step now and then (kerbnode.link.uplink), a bin's `open`, `send` and `receive` take one after the
other until their time is over.

The session persists at the broker. A PUBACK says only that the broker has a frame: a record leaves the outbox with the
gateway's ack, and not before. A frame without its PUBACK is sent again when the connection is back.
"""

import select

from kerbnode.link.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

READY_MS = 25000  # to join, connect and subscribe before a frame is let go: 4 s where all is well
JOIN_MS = 12000  # of that, for the access point
RESOLVE_MS = 9000  # for a name's address: kerbnode.link.lookup is through before
ANSWER_MS = 5000  # of the broker, to any one packet
TLS_MS = 15000  # of a handshake: an RP2040 computes for some seconds
SOUND_MS = 60000  # a connection that lasts so long, or carries a frame, is sound: a broker may drop whom it took
LAST_MS = 1000  # at the end, for the PUBACK of the last frame
KEEPALIVE_S = 60
POLL_MS = 10  # between two looks
STEP_MS = 50  # the same, until it is ready, of who has something else to do
JOIN_STEP_MS = 250  # the same while the radio joins, which takes seconds
REST_MS = 1000  # after a failure, doubled with each: an ESP32 that asks sooner does not join
MAX_REST_MS = 60000
MAX_PACKET = 512  # bytes of a packet: a frame, its topic and its head
MAX_FRAMES = 8  # that wait to be asked for
MAX_OUTPUT = 16  # packets that wait for a socket to take them: a frame, and an answer to each of those that wait

OFF, JOINING, RESOLVING, DIALLING, CONNECTING, SUBSCRIBING, READY = range(7)
_WITHIN_MS = (0, JOIN_MS, RESOLVE_MS, ANSWER_MS, ANSWER_MS, ANSWER_MS, 0)  # each state; then it has failed
_IN_PROGRESS = (115, 119)  # EINPROGRESS of the ports: rp2 and esp32


class Mqtt:
    """facts: ssid, password, host, port, user, secret (of the broker; empty: none), site.

    network, socket: the modules; radio: a station, off; hal: of the board. tls(socket): wraps a connected one, or None.
    names: a Lookup of a host that is no address, or None.
    """

    def __init__(self, facts, node, hal, network, radio, socket, tls=None, names=None):
        site = facts["site"]
        self._facts = facts
        self._hal = hal
        self._network = network
        self._module = socket
        self._radio = radio
        self._tls = tls
        self._names: "Any" = names
        self._address = facts["host"]
        self._unproven = False  # a name's address, at which the broker has taken the node
        self._name = "kerb-%s-%d" % (site, node)
        self._up = _text("kerb/1/%s/up/%d" % (site, node))
        self._down = _text("kerb/1/%s/down/%d" % (site, node))
        self._socket: "Any" = None
        self._raw: "Any" = None  # what a TLS socket wraps
        self._poll: "Any" = None
        self._input = bytearray(MAX_PACKET + 3)  # made once: a heap that is nearly full has no such piece later
        self._room = memoryview(self._input)
        self._filled = 0
        self._output = []  # packets, whole but for the first: TLS wants to be given the same bytes again
        self._stuck = 0  # since when the socket takes nothing, if something waits
        self._came = False  # something, with the last step
        self.frames = []
        self._number = 0
        self._unacked = None  # the frame that the broker has not acknowledged yet, of number _number
        self._rest_ms = 0
        self.most_rest_ms = MAX_REST_MS
        self.steady = True  # a step may take as long as it wants
        self._since = self._heard = self._asked = self._sent = hal.ticks_ms()
        self.state = OFF
        self.noise = 0  # packets that were none, or no frame for this node
        self.failures = 0  # in a row: what is tried next goes by it
        self.trouble = ""  # what failed last, and what to check
        self.tally = Tally()

    def open(self):
        """Join, connect and subscribe; False where that takes too long: `trouble` says why."""
        return self._wait(READY, self.ready_ms)

    def send(self, frame, within_ms=READY_MS):
        """Hand a frame to the broker; it is lost, and counted, where none is reached in time."""
        self.tally.sent(frame)
        if self._unacked is not None:  # whoever sends again has given that one up
            self.tally.lost += 1
            self._unacked = None
            if self.state == READY and self._hal.ticks_diff(self._hal.ticks_ms(), self._sent) > ANSWER_MS // 2:
                self._fail("the broker acknowledges nothing")
        if not self._wait(READY, within_ms):
            self.tally.lost += 1
            return
        self._number = self._number % 65535 + 1
        self._unacked = frame
        try:
            self._publish(b"\x32")
        except OSError as error:  # it goes again with the next connection
            self._fail("%s (%s)" % (_FAILED[READY], error))

    def receive(self, timeout_ms):
        """The next frame, or None when timeout_ms are over. 0: one look, which also keeps the connection."""
        if not self.frames:
            self._wait(None, timeout_ms)
        return self.frames.pop(0) if self.frames else None

    def close(self):
        """Before a deep sleep: the broker need not wonder, and the radio draws nothing."""
        hal = self._hal
        begin = hal.ticks_ms()
        while self.state == READY and self._unacked is not None and hal.ticks_diff(hal.ticks_ms(), begin) < LAST_MS:
            self.step()
            hal.sleep_ms(POLL_MS)
        self.end()

    def end(self):
        """As `close`, at once: what is under way is lost."""
        if self._unacked is not None:
            self.tally.lost += 1
            self._unacked = None
        try:
            if self.state == READY:
                self._write(b"\xe0")
        except OSError:  # it is gone already
            pass
        self._drop()
        try:
            self._radio.active(False)
        except OSError:  # one that never started
            pass
        self.state = OFF

    # For who takes the steps himself.

    @property
    def ready_ms(self):
        """Time until a frame can leave, at most, where all is well."""
        return READY_MS + (TLS_MS if self._tls else 0)

    @property
    def is_ready(self):
        return self.state == READY

    @property
    def stream(self):
        """What becomes readable when something has come; None: nothing does."""
        return self._socket if self.state > DIALLING else None

    def rings(self, ring):
        """Nobody does: `stream` tells."""

    def step(self):
        """Do what is due, without waiting."""
        try:
            self._advance()
        except OSError as error:
            self._fail("%s (%s)" % (_FAILED[self.state], error))
        except ValueError as error:  # of a certificate
            self._fail("the broker's certificate is refused: %s" % str(error).strip())

    holds = False  # what was said waits for nothing here

    def next_ms(self):
        """When a step is due even if nothing comes."""
        hal, now = self._hal, self._hal.ticks_ms()
        if self._came:
            return 0
        if self.state == OFF:
            return max(STEP_MS, self._rest_ms - hal.ticks_diff(now, self._since))
        if self.state != READY:
            return JOIN_STEP_MS if self.state == JOINING else STEP_MS
        if self._output:
            return POLL_MS
        left_ms = 500 * KEEPALIVE_S - hal.ticks_diff(now, self._asked)
        if self._unacked is not None:
            left_ms = min(left_ms, ANSWER_MS - hal.ticks_diff(now, self._sent))
        return max(0, left_ms) + 1

    def _publish(self, kind):
        self._sent = self._hal.ticks_ms()
        self._write(kind, self._up, self._number.to_bytes(2, "big"), self._unacked)

    def _wait(self, state, limit_ms):
        """Go on until a state is reached (None: until a frame has come); False when the time is over."""
        hal = self._hal
        begin = hal.ticks_ms()
        while True:
            self.step()
            if self.frames if state is None else self.state == state:
                return True
            left_ms = limit_ms - hal.ticks_diff(hal.ticks_ms(), begin)
            if left_ms <= 0:
                return False
            hal.feed()
            hal.sleep_ms(min(POLL_MS, left_ms))

    def _advance(self):
        """One step, without waiting. OSError where the connection is lost."""
        hal, state = self._hal, self.state
        now = hal.ticks_ms()
        self._came = False
        if not self.steady and (state == OFF or (self._tls and state in (DIALLING, CONNECTING))):
            return  # a radio that starts is given its program, and a handshake is much to compute
        age_ms = hal.ticks_diff(now, self._since)
        if state == OFF:
            if age_ms >= self._rest_ms:
                self._radio.active(True)
                if not self._radio.isconnected():
                    self._radio.config(pm=self._radio.PM_NONE)  # in power save some go deaf after hours
                    self._radio.connect(self._facts["ssid"], self._facts["password"])
                self._go(JOINING)
        elif state != READY and age_ms > (TLS_MS if self._tls and state == CONNECTING else _WITHIN_MS[state]):
            self._fail(self.trouble if state == JOINING and self.trouble else _FAILED[state])
        elif state == JOINING:
            self._join()
        elif state == RESOLVING:
            address = self._names.step()
            if address:
                self._address = address
                self._dial()
        elif state == DIALLING:
            if self._poll.poll(0):
                self._greet()
        else:
            if self._output:
                self._flush()
            if not (self._output and state == CONNECTING):  # else TLS is not through with its handshake
                self._read()
            if self.state == READY:
                self._watch(now)

    def _watch(self, now):
        """A radio may be deaf and not know it: what is not answered ends the connection."""
        hal = self._hal
        if self.failures and hal.ticks_diff(now, self._since) > SOUND_MS:
            self.failures = 0
        if self._unproven and self.steady:  # flash may take its time
            self._unproven = False
            self._names.proven(self._address)
        if self._unacked is not None and hal.ticks_diff(now, self._sent) > ANSWER_MS:
            self._fail("the broker acknowledges nothing")
        elif hal.ticks_diff(now, self._heard) > 1500 * KEEPALIVE_S:
            self._fail("the broker fell silent")
        elif hal.ticks_diff(now, self._asked) > 500 * KEEPALIVE_S:
            self._write(b"\xc0")

    def _go(self, state):
        self.state = state
        self._since = self._hal.ticks_ms()

    def _join(self):
        if self._radio.isconnected():
            if self._names:
                _, _, router, server = self._radio.ifconfig()
                self._names.begin((server, router))
                self._go(RESOLVING)
            else:
                self._dial()
            return
        network, status, ssid = self._network, self._radio.status(), self._facts["ssid"]
        if status == network.STAT_WRONG_PASSWORD:
            self._fail("%s refuses the password: check wifi.json: kerb links --wifi FILE" % ssid)
        elif status == network.STAT_NO_AP_FOUND:
            self._fail("no access point %s is heard: check its name, and the signal here" % ssid)

    def _dial(self):
        made = self._socket = self._module.socket()
        made.setblocking(False)
        made.setsockopt(6, 1, 1)  # TCP_NODELAY: else a PUBACK takes 44 ms
        self._poll = select.poll()
        self._poll.register(made, select.POLLOUT)
        self._go(DIALLING)
        try:
            made.connect((self._address, self._facts["port"]))
        except OSError as error:
            if error.errno not in _IN_PROGRESS:
                raise

    def _greet(self):
        self._go(CONNECTING)
        if self._tls:
            self._raw, self._socket = self._socket, self._tls(self._socket)
        user, secret = self._facts["user"], self._facts["secret"]
        names = _text(self._name) + (_text(user) + _text(secret) if user else b"")
        self._write(b"\x10", b"\x00\x04MQTT\x04", bytes((0xC0 if user else 0, 0, KEEPALIVE_S)), names)

    def _read(self):
        """Take what has come, packet by packet."""
        count = self._socket.readinto(self._room[self._filled :])
        if count == 0:
            raise OSError("it closed the connection")
        self._came = bool(count)
        self._filled += count or 0
        come = self._input
        while self._filled >= 2:
            length, at = come[1], 2
            if length & 0x80:
                if self._filled < 3:
                    break
                length, at = length & 0x7F | come[2] << 7, 3
            if length > MAX_PACKET:
                raise OSError("no packet of ours")  # what follows it cannot be found either
            end = at + length
            if self._filled < end:
                break
            packet, kind = bytes(self._room[at:end]), come[0]
            left = self._filled - end
            self._room[:left] = self._room[end : end + left]
            self._filled = left
            self._heard = self._hal.ticks_ms()
            self._take(kind, packet)

    def _take(self, kind, packet):
        if kind & 0xF0 == 0x30:
            start = len(self._down) + (2 if kind & 6 else 0)
            if packet[: len(self._down)] == self._down and len(packet) > start and len(self.frames) < MAX_FRAMES:
                self.frames.append(packet[start:])
            else:
                self.noise += 1
            at = 2 + int.from_bytes(packet[:2], "big")
            if kind & 6 and len(packet) >= at + 2:
                self._write(b"\x40", packet[at : at + 2])
        elif kind == 0x20 and self.state == CONNECTING and len(packet) == 2:
            if packet[1]:
                self._fail(_REFUSED if packet[1] in (4, 5) else "the broker refuses the node: code %d" % packet[1])
            else:
                self._go(SUBSCRIBING)
                self._write(b"\x82", b"\x00\x01", self._down, b"\x01")
                if packet[0] & 1 and self.state == SUBSCRIBING:  # it knows us: nothing said from now on is missed
                    self._is_ready()
        elif kind == 0x90 and len(packet) == 3:
            if packet[2] == 0x80:
                self._fail("the broker does not let the node read its own topic: see its access list")
            elif self.state == SUBSCRIBING:
                self._is_ready()
        elif kind == 0x40 and len(packet) == 2:
            if int.from_bytes(packet, "big") == self._number:
                self._unacked = None
                self.failures = 0
        elif kind != 0xD0:
            self.noise += 1

    def _is_ready(self):
        self._rest_ms = 0
        self.trouble = ""
        self._unproven = bool(self._names)
        self._go(READY)
        try:
            self.tally.rssi = self._radio.status("rssi")
        except (OSError, ValueError):  # a port that does not say
            pass
        if self._unacked is not None:
            self.tally.retries += 1
            self._publish(b"\x3a")

    def _write(self, kind, *parts):
        """One packet: it goes when the socket takes it."""
        body = b"".join(parts)
        length = len(body)
        head = kind + (bytes((length,)) if length < 128 else bytes((length & 0x7F | 0x80, length >> 7)))
        self._asked = self._hal.ticks_ms()
        if not self._output:
            self._stuck = self._asked
        elif len(self._output) >= MAX_OUTPUT:
            raise OSError("it takes nothing")
        self._output.append(head + body)
        self._flush()

    def _flush(self):
        """Hand over what the socket takes. OSError where it has taken nothing for too long."""
        hal = self._hal
        while self._output:
            sent = self._socket.write(self._output[0]) or 0
            if not sent:
                limit_ms = TLS_MS if self._tls and self.state == CONNECTING else ANSWER_MS
                if hal.ticks_diff(hal.ticks_ms(), self._stuck) > limit_ms:
                    raise OSError("it takes nothing")
                return
            self._stuck = hal.ticks_ms()
            self._output[0] = self._output[0][sent:]
            if not self._output[0]:
                self._output.pop(0)

    def _fail(self, trouble):
        """Give up what there is, and begin anew after a rest, each time one step higher."""
        if self._names and self.state in (DIALLING, CONNECTING):
            self._names.failed(self._address)
            if self._names.trouble:
                trouble = self._names.trouble + ", and " + trouble
        self.trouble = trouble
        joining = self.state == JOINING
        self._drop()
        self.failures += 1
        step = self.failures % 3
        try:
            if step == 0:
                self._radio.active(False)
            elif step == 2 or joining:
                self._radio.disconnect()
        except OSError:  # a radio that never started
            pass
        rest_ms = min(REST_MS << min(self.failures - 1, 10), self.most_rest_ms)
        self._rest_ms = rest_ms // 2 + self._hal.random(1)[0] * rest_ms // 510
        self._go(OFF)

    def _drop(self):
        for end in (self._socket, self._raw):  # a TLS one whose handshake failed leaves the other open
            if end:
                try:
                    end.close()
                except OSError:
                    pass
        if self._names:
            self._names.end()
        self._socket = self._raw = self._poll = None
        self._filled = 0
        self._output = []


_REFUSED = "the broker refuses the node's user or password: check broker.json: kerb links --broker FILE"
_FAILED = (
    "the radio does not start: reset the board",
    "the access point does not let the node in: check password and signal",
    "the broker's address is not to be had",
    "the broker does not answer: check its address, and that it runs",
    "the broker takes no connection: check its port, certificates and log",
    "the broker does not take the subscription: see its log",
    "the connection to the broker is lost",
)  # by state


def _text(text):
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
