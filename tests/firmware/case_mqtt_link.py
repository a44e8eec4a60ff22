"""The MQTT link of a node: what it says to a broker, and that every failure ends, one step higher each time."""

import select
import sys

from rig import Time

from kerbnode.link import lookup, mqtt, mqttsession
from kerbnode.link.mqttsession import READY, Mqtt

FACTS = {
    "ssid": "street",
    "password": "p",
    "host": "10.0.0.2",
    "port": 1883,
    "user": "n",
    "secret": "s",
    "site": "quay",
}
CONNACK, SUBACK = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x01"
DOWN = b"\x00\x13kerb/1/quay/down/17"


class Air(Time):
    """A board's time, radio and one socket to a broker that says what a test lets it say."""

    PM_NONE = 0
    STAT_CONNECTING, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 1, 201, 202

    def __init__(self, says=(CONNACK, SUBACK), joins=True, connects=True):
        super().__init__()
        self.says = list(says)
        self.joins, self.connects = joins, connects
        self.joining = self.STAT_CONNECTING
        self.breaks = ()  # first bytes of packets at which the connection is lost
        self.calls = []
        self.written = []
        self.waiting = b""
        self.open = 0
        self.joined = False

    def random(self, count):
        return b"\xff" * count

    def feed(self):
        pass

    # network
    def config(self, pm):
        pass

    def status(self, name=None):
        return -61 if name else self.joining

    def active(self, on):
        if not on:
            self.joined = False
            self.calls.append("off")

    def isconnected(self):
        return self.joined

    def connect(self, *where):
        if isinstance(where[0], tuple):  # a socket's
            if not self.connects:
                raise OSError(113, "unreachable")
            raise OSError(115, "in progress")
        self.calls.append("join")
        self.joined = self.joins

    def disconnect(self):
        self.joined = False
        self.calls.append("leave")

    # socket
    def socket(self):
        self.open += 1
        self.waiting = b""
        return self

    def setblocking(self, flag):
        assert not flag

    def setsockopt(self, *option):
        assert option == (6, 1, 1)

    def write(self, data):
        if self.breaks and data[0] in self.breaks:
            raise OSError(103, "aborted")
        self.written.append(bytes(data))
        if data[0] in (0x10, 0x82) and self.says:
            self.waiting += self.says.pop(0)
        return len(data)

    def readinto(self, buffer):
        if self.waiting is None:
            return 0
        data, self.waiting = self.waiting[: len(buffer)], self.waiting[len(buffer) :]
        buffer[: len(data)] = data
        return len(data) or None

    def close(self):
        self.open -= 1

    # select.poll
    def register(self, end, flags):
        pass

    def poll(self, timeout=None):
        return [1]


def air_select(air):
    mqttsession.select = type("select", (), {"poll": lambda *_: air, "POLLOUT": select.POLLOUT})()


def a_link(air):
    air_select(air)
    return Mqtt(FACTS, 17, air, air, air, air)


def test_a_frame_is_published_and_its_answer_taken():
    air = Air()
    link = a_link(air)
    link.send(b"frame")
    name = b"\x00\x0ckerb-quay-17\x00\x01n\x00\x01s"
    assert air.written == [
        bytes((0x10, 10 + len(name))) + b"\x00\x04MQTT\x04\xc0\x00\x3c" + name,
        bytes((0x82, 24)) + b"\x00\x01" + DOWN + b"\x01",
        bytes((0x32, 26)) + b"\x00\x11kerb/1/quay/up/17\x00\x01frame",
    ]
    air.waiting = b"\x40\x02\x00\x01" + b"\x30\x1a" + DOWN + b"first" + b"\x32\x1d" + DOWN + b"\x00\x09second"
    assert link.receive(0) == b"first" and link.receive(0) == b"second" and link.receive(30) is None
    assert air.written[-1] == b"\x40\x02\x00\x09"
    assert (link.noise, link.failures, link.trouble) == (0, 0, "")
    assert (link.tally.frames, link.tally.bytes, link.tally.lost, link.tally.rssi) == (1, 5, 0, -61)
    link.close()
    assert air.written[-1] == b"\xe0\x00" and air.open == 0 and air.calls == ["join", "off"]


def test_packets_may_come_in_any_parts():
    air = Air()
    link = a_link(air)
    link.send(b"x")
    frame = bytes(range(200))
    for byte in b"\x30\xdd\x01" + DOWN + frame:
        assert not link.receive(0)
        air.waiting = bytes((byte,))
    assert link.receive(0) == frame


def test_the_longest_packet_has_room_and_what_is_behind_it_too():
    air = Air()
    link = a_link(air)
    link.send(b"x")
    frame = bytes(mqttsession.MAX_PACKET - len(DOWN))
    longest = b"\x30\x80\x04" + DOWN + frame
    air.waiting = longest + longest + b"\x30\x18" + DOWN + b"one"
    assert [link.receive(30) for _ in range(3)] == [frame, frame, b"one"]
    assert link.noise == 0 and link.state == mqttsession.READY


def test_half_a_packet_of_a_lost_connection_is_not_the_begin_of_the_next_one():
    air = Air(says=(CONNACK, SUBACK) * 2)
    link = a_link(air)
    link.send(b"x")
    air.waiting = b"\x30\x1a" + DOWN[:9]
    assert link.receive(0) is None
    air.waiting = None  # closed
    assert link.receive(0) is None and link.failures == 1
    air.waiting = b""
    assert link.open()
    air.waiting = b"\x30\x18" + DOWN + b"one"
    assert link.receive(0) == b"one" and link.noise == 0


def test_what_is_no_frame_for_this_node_is_noise():
    air = Air()
    link = a_link(air)
    link.send(b"x")
    air.waiting = (
        b"\x30\x18\x00\x13kerb/1/quay/down/18abc" + b"\x30\x15" + DOWN + b"\x30\x00" + b"\x60\x02ab" + b"\xd0\x00"
    )
    assert link.receive(0) is None and link.noise == 4 and link.state == mqttsession.READY
    air.waiting = b"\x30\xff\x7f" + b"x" * 300
    assert link.receive(0) is None and link.failures == 1 and air.open == 0


def test_each_failure_is_answered_one_step_higher_and_after_a_longer_rest():
    air = Air(says=(), connects=False)
    link = a_link(air)
    rests = []
    for _ in range(7):
        before, failures = air.now_ms, link.failures
        while link.failures == failures:
            link.receive(10)
        rests.append(air.now_ms - before)
    assert air.calls == ["join", "leave", "join", "off", "join", "leave", "join", "off", "join"]
    assert rests[1:6] == sorted(rests[1:6]) and rests[0] < 100 and 900 < rests[1] < 1200 and rests[6] > 25000


def test_no_call_takes_longer_than_its_bound_whatever_fails_and_says_what_to_check():
    for made, text in (
        (Air(joins=False), "password and signal"),
        (Air(connects=False), "the broker does not answer"),
        (Air(says=()), "the broker takes no connection"),
        (Air(says=[b"\x20\x02\x00\x05"] * 9), "user or password"),
        (Air(says=[b"\x20\x02\x00\x03"] * 9), "code 3"),
        (Air(says=[CONNACK, b"\x90\x03\x00\x01\x80"] * 9), "access list"),
    ):
        link = a_link(made)
        assert not link.open() and made.now_ms <= mqttsession.READY_MS + 50
        assert text in link.trouble, link.trouble
        begin = made.now_ms
        link.send(b"lost")
        assert link.tally.lost == 1 and made.now_ms - begin <= mqttsession.READY_MS + 50
        begin = made.now_ms
        assert link.receive(3000) is None and made.now_ms - begin <= 3050
        begin = made.now_ms
        link.close()
        assert made.now_ms - begin <= mqttsession.LAST_MS and made.open == 0 and made.calls[-1] == "off"


def test_a_wrong_password_and_an_access_point_that_is_not_there_are_told_apart_and_tried_again():
    for status, text in ((Air.STAT_WRONG_PASSWORD, "street refuses the password"), (Air.STAT_NO_AP_FOUND, "no access")):
        air = Air(joins=False)
        air.joining = status
        link = a_link(air)
        assert not link.open() and text in link.trouble
        assert air.calls.count("join") >= 3
        air.joins = True
        link.send(b"x")
        assert link.state == mqttsession.READY and link.tally.lost == 0 and link.trouble == ""


def test_a_connection_that_is_silent_is_asked_and_then_given_up():
    air = Air()
    link = a_link(air)
    link.send(b"x")
    air.waiting = b"\x40\x02\x00\x01"
    asked = 0
    while link.failures == 0:
        link.receive(1000)
        asked = len([data for data in air.written if data == b"\xc0\x00"])
        assert air.now_ms < 200000
    assert asked >= 1 and 89000 < air.now_ms < 95000


def test_a_frame_without_its_acknowledgement_is_sent_again_on_a_new_connection():
    air = Air(says=(CONNACK, SUBACK, CONNACK, SUBACK))
    link = a_link(air)
    link.send(b"frame")
    assert link.receive(mqttsession.ANSWER_MS + 3000) is None  # a radio that is deaf: nothing comes
    assert [data[0] for data in air.written] == [0x10, 0x82, 0x32, 0x10, 0x82, 0x3A]
    assert air.written[2][1:] == air.written[5][1:] and link.tally.retries == 1
    air.waiting = b"\x40\x02\x00\x01"
    link.receive(0)
    link.close()
    assert link.tally.lost == 0 and air.written[-1] == b"\xe0\x00"


def test_a_connection_that_is_lost_as_a_frame_goes_or_at_the_end_is_no_error():
    air = Air(says=(CONNACK, SUBACK, CONNACK, SUBACK))
    link = a_link(air)
    air.breaks = (0x32,)
    link.send(b"frame")
    assert link.failures == 1 and air.open == 0
    air.breaks = (0xE0,)
    assert link.receive(3000) is None and air.written[-1][:1] == b"\x3a" and link.tally.retries == 1
    link.close()
    assert link.tally.lost == 1 and air.open == 0 and air.calls[-1] == "off"


def test_a_frame_that_nobody_acknowledged_counts_as_lost_once():
    air = Air()
    link = a_link(air)
    link.send(b"one")
    link.send(b"two")
    assert link.tally.lost == 1 and [data[0] for data in air.written] == [0x10, 0x82, 0x32, 0x32]
    begin = air.now_ms
    link.close()
    assert link.tally.lost == 2 and air.now_ms - begin <= mqttsession.LAST_MS + 50
    for number in (b"\x00\x01", b"\x00\x02"):  # of the older, then of the newer frame
        air = Air()
        link = a_link(air)
        link.send(b"one")
        link.send(b"two")
        air.waiting = b"\x40\x02" + number
        link.close()
        assert link.tally.lost == (2 if number == b"\x00\x01" else 1)


def test_a_session_that_the_broker_knows_is_not_waited_for():
    air = Air(says=(b"\x20\x02\x01\x00",))
    link = a_link(air)
    assert link.open() and [data[0] for data in air.written] == [0x10, 0x82]
    air.waiting = SUBACK
    assert link.receive(0) is None and link.noise == 0 and link.state == mqttsession.READY


def test_a_certificate_that_is_refused_is_told():
    def wrap(_):
        raise ValueError("The certificate validity has expired")

    air = Air()
    air_select(air)
    link = Mqtt(FACTS, 17, air, air, air, air, wrap)
    assert not link.open() and "certificate is refused: The certificate validity has expired" in link.trouble


def test_a_broker_that_closes_is_found_at_once_and_again():
    air = Air(says=(CONNACK, SUBACK, CONNACK, SUBACK))
    link = a_link(air)
    link.send(b"x")
    air.waiting = None
    assert link.receive(0) is None and link.failures == 1
    link.send(b"y")
    assert link.failures == 1 and link.tally.lost == 1 and air.written[-1][-1:] == b"y"


def test_a_broker_that_takes_a_node_and_drops_it_is_asked_ever_more_seldom():
    air = Air(says=(CONNACK, SUBACK) * 40)
    link = a_link(air)
    rests = []
    for _ in range(7):
        while link.state != READY:
            link.receive(10)
        air.waiting = None
        before, failures = air.now_ms, link.failures
        while link.failures == failures or link.state != READY:
            link.receive(10)
        rests.append(air.now_ms - before)
    assert rests[-1] > 16 * rests[1] > 0 and link.failures == 7
    while link.failures:  # one that lasts is sound
        link.receive(1000)
    assert link.state == READY


class Names:
    """What a link asks of a Lookup: each step says the next of these."""

    def __init__(self, *says):
        self.says = list(says)
        self.calls = []
        self.trouble = ""

    def begin(self, servers):
        self.calls.append(("begin", servers))

    def step(self):
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(said, OSError):
            raise said
        return said

    def failed(self, address):
        self.calls.append(("failed", address))

    def proven(self, address):
        self.calls.append(("proven", address))

    def end(self):
        pass


def a_named_link(air, names):
    air_select(air)
    air.ifconfig = lambda: ("10.0.0.9", "255.0.0.0", "10.0.0.254", "10.0.0.53")
    air.dialled = []
    connect = air.connect
    air.connect = lambda *where: (
        air.dialled.append(where[0]) if isinstance(where[0], tuple) else None,
        connect(*where),
    )[1]
    return Mqtt(FACTS, 17, air, air, air, air, None, names)


def test_a_name_is_asked_of_the_networks_servers_and_kept_when_the_broker_was_there():
    air = Air()
    names = Names(None, None, "10.0.0.7")
    link = a_named_link(air, names)
    assert link.open() and air.dialled == [("10.0.0.7", 1883)]
    assert names.calls == [("begin", ("10.0.0.53", "10.0.0.254")), ("proven", "10.0.0.7")]
    assert (
        mqttsession.RESOLVE_MS > lookup.MOST_MS and mqttsession.JOIN_MS + mqttsession.RESOLVE_MS < mqttsession.READY_MS
    )


def test_flash_waits_for_a_steady_light():
    names = Names("10.0.0.7")
    link = a_named_link(Air(), names)
    link.step()  # switches the radio on, which waits for that too
    link.steady = False
    while not link.is_ready:
        link.step()
    link.step()
    assert ("proven", "10.0.0.7") not in names.calls
    link.steady = True
    link.step()
    link.step()
    assert names.calls.count(("proven", "10.0.0.7")) == 1


def test_an_address_at_which_nobody_is_is_told_and_another_one_tried():
    air = Air(connects=False)
    names = Names("10.0.0.7")
    names.trouble = "name server 10.0.0.53 does not answer"
    link = a_named_link(air, names)
    assert not link.open() and names.calls.count(("failed", "10.0.0.7")) == link.failures > 1
    assert link.trouble.startswith("name server 10.0.0.53 does not answer, and the broker does not answer: check")
    refused = Air(says=(b"\x20\x02\x00\x05",) * 20)
    names = Names("10.0.0.7")
    link = a_named_link(refused, names)
    assert not link.open() and ("failed", "10.0.0.7") in names.calls and "user or password" in link.trouble
    lost = Air()
    names = Names("10.0.0.7")
    link = a_named_link(lost, names)
    assert link.open()
    lost.waiting = None
    link.receive(0)
    assert ("failed", "10.0.0.7") not in names.calls  # there it is, if not now


def test_a_name_that_nobody_knows_says_so():
    link = a_named_link(Air(), Names(OSError("name server 10.0.0.53 knows no such name: check")))
    assert not link.open() and link.failures > 1
    assert "is not to be had (name server 10.0.0.53 knows no such name: check)" in link.trouble
    slow = a_named_link(Air(), Names(None))
    assert not slow.open() and "is not to be had" in slow.trouble


def test_more_frames_than_are_asked_for_are_let_go():
    air = Air()
    link = a_link(air)
    link.send(b"x")
    air.waiting = (b"\x30\x16" + DOWN + b"f") * 20
    for _ in range(10):
        link._wait(None, 0)
    got = 0
    while link.receive(0):
        got += 1
    assert got == mqttsession.MAX_FRAMES and link.noise == 20 - got


def test_what_a_string_must_say_is_told():
    for address, options, text in (
        ("//broker..example:1883/quay", {}, "name the broker or give its address"),
        ("//broker.example:1883/quay", {}, "no network is known"),
        ("//10.0.0.2/quay", {}, "no network is known"),
    ):
        sys.modules["network"] = mqtt  # any module: none of it is used
        try:
            mqtt.opened(None, None, address, dict(options, folder="/nowhere"), None)
        except OSError as error:
            assert text in str(error), error
        else:
            raise AssertionError(address)
        finally:
            del sys.modules["network"]
