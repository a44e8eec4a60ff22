"""The BLE link of a node, on a radio that a test plays: who comes, who goes, what is lost, and that every wait ends."""

from rig import Time

from kerbnode.link import ble
from kerbwire import gatt
from kerbwire.fragment import Reader, split
from kerbwire.frame import MAX_FRAME

DOWN = 12
UP = 10


class Radio(Time):
    """`bluetooth` and its BLE, and the node's time. script: (ms, what to do) as time passes."""

    def __init__(self, script=(), full=0):
        super().__init__()
        self.script = list(script)
        self.said = []
        self.full = full  # notifications that find no room
        self.heard = []  # notifications
        self.value = b""
        self.on = False
        self.advertises = 0
        self.left = []

    def BLE(self):
        return self

    def UUID(self, text):
        return text

    def active(self, on):
        self.on = on

    def irq(self, handler):
        self.handler = handler

    def config(self, mtu):
        self.mtu = mtu

    def gatts_register_services(self, services):
        assert services[0][0] == gatt.SERVICE and [item[0] for item in services[0][1]] == [gatt.UP, gatt.DOWN]
        return ((UP, DOWN),)

    def gatts_set_buffer(self, handle, size):
        assert handle == DOWN and size >= MAX_FRAME + 1

    def gatts_read(self, handle):
        return self.value

    def gatts_notify(self, connection, handle, data):
        assert handle == UP
        if self.full:
            self.full -= 1
            raise OSError(12)
        self.heard.append(data)

    def gap_advertise(self, interval_us, adv_data=None):
        if interval_us:
            assert len(adv_data) <= 31
            self.advertises += 1

    def gap_disconnect(self, connection):
        self.left.append(connection)
        self.handler(ble.DISCONNECT, (connection, 1, b""))

    def sleep_ms(self, ms):
        super().sleep_ms(ms)
        while self.script and self.script[0][0] <= self.ticks_ms():
            self.script.pop(0)[1](self)

    def write(self, data, connection=1):
        self.value = data
        self.handler(ble.WRITE, (connection, DOWN))


def comes(mtu=247, says=gatt.GATEWAY, connection=1):
    def do(radio):
        radio.handler(ble.CONNECT, (connection, 1, b"\x01" * 6))
        if mtu:
            radio.handler(ble.MTU, (connection, mtu))
        if says:
            radio.write(bytes((says,)), connection)

    return do


def goes(connection=1):
    return lambda radio: radio.handler(ble.DISCONNECT, (connection, 1, b""))


def opened(radio):
    link = ble.Ble(radio, radio, gatt.advertisement(17, "quay"))
    link.start()
    return link


def frame(number, size=MAX_FRAME):
    return bytes([(number * 37 + at * 11 + (at >> 3)) & 255 for at in range(size)])


def test_the_advertisement_fits_and_is_read_back():
    data = gatt.advertisement(0xABC, "quay")
    assert len(data) == 31 and data[:3] == b"\x02\x01\x06"
    assert gatt.named(data[23:].decode()) == (0xABC, gatt.tag("quay"))
    for text in (None, "", "kerb", "0abcxyz1", "0ABCDEF1", "0abcdef12"):
        assert gatt.named(text) is None


def test_a_frame_each_way_in_whatever_the_mtu_is():
    for mtu, parts in ((247, 1), (185, 2), (23, 13), (0, 13)):
        radio = Radio([(50, comes(mtu))])
        link = opened(radio)
        assert link.wait(1000) and not link.collects
        link.send(frame(1))
        assert len(radio.heard) == parts
        reader = Reader()
        assert [whole for whole in [reader.feed(part) for part in radio.heard] if whole] == [frame(1)]
        for part in split(frame(2), 0, 100):
            radio.write(part)
        assert link.receive(1000) == frame(2)
        assert (link.tally.frames, link.tally.bytes, link.tally.lost, link.noise) == (1, MAX_FRAME, 0, 0)
        link.close()
        assert not radio.on and radio.left == [1]


def test_nobody_comes():
    radio = Radio()
    link = opened(radio)
    begin = radio.ticks_ms()
    assert not link.wait(10000)
    assert 10000 <= radio.ticks_ms() - begin < 10100 and radio.advertises == 1
    link.close()
    assert not radio.on


def test_a_round_is_told_from_a_gateway():
    radio = Radio([(10, comes(says=gatt.ROUND))])
    link = opened(radio)
    assert link.wait(1000) and link.collects
    link.close()
    assert not link.collects


def test_a_stranger_is_sent_away_and_the_gateway_comes():
    radio = Radio([(10, comes(says=0)), (6000, comes(connection=2))])
    link = opened(radio)
    assert link.wait(10000)
    assert radio.left == [1] and radio.advertises == 2 and link.noise == 1
    link.close()


def test_a_lost_connection_is_waited_for_and_both_begin_anew():
    radio = Radio([(10, comes()), (200, goes()), (900, comes(connection=2))])
    link = opened(radio)
    assert link.wait(1000)
    link.send(frame(0))
    link.send(frame(1))
    assert radio.heard[1][0] >> 4 & 7 == 1
    assert link.receive(300) is None
    assert radio.advertises == 2  # at once, so that the answer may still come
    link.send(frame(2))
    assert radio.heard[2][0] >> 4 & 7 == 0 and link.tally.lost == 0
    link.close()
    assert radio.left == [2]


def test_what_nobody_takes_is_lost_and_counted():
    radio = Radio([(10, comes()), (100, goes())])
    link = opened(radio)
    assert link.wait(1000)
    assert link.receive(200) is None
    begin = radio.ticks_ms()
    link.send(frame(0))
    assert link.tally.lost == 1 and radio.ticks_ms() - begin < ble.AGAIN_MS + 100
    assert link.receive(100) is None
    link.close()


def test_a_full_radio_is_waited_for_and_not_for_ever():
    radio = Radio([(10, comes())], full=5)
    link = opened(radio)
    assert link.wait(1000)
    link.send(frame(0))
    assert (link.tally.retries, link.tally.lost, len(radio.heard)) == (5, 0, 1)
    radio.full = 1000
    begin = radio.ticks_ms()
    link.send(frame(1))
    assert link.tally.lost == 1 and radio.ticks_ms() - begin < 1000
    link.close()


def test_hostile_writes_are_bounded_and_counted():
    radio = Radio([(10, comes())])
    link = opened(radio)
    assert link.wait(1000)
    for number in range(200):
        radio.write(bytes((number & 255,)) + frame(number, 60))
    assert len(link._waiting) == ble.MAX_WAITING
    radio.write(b"")
    while link.receive(10):
        pass
    assert link.noise > 150
    radio.write(split(frame(7), 7, 244)[0])
    assert link.receive(100) == frame(7)
    link.close()


def test_events_of_another_connection_change_nothing():
    radio = Radio([(10, comes())])
    link = opened(radio)
    assert link.wait(1000)
    radio.handler(ble.DISCONNECT, (9, 1, b""))
    radio.handler(ble.MTU, (9, 23))
    radio.write(b"\x80abc", connection=9)
    assert link.peer == gatt.GATEWAY and link.receive(10) is None
    link.send(frame(0))
    assert len(radio.heard) == 1
    link.close()


def test_a_string_that_is_not_understood():
    class Identity:
        node, site = 17, "quay"

    for address, options in (("hci0", {}), ("", {"window_s": "0"}), ("", {"window_s": "21"})):
        radio = Radio()
        try:
            ble.opened(radio, {}, address, options, Identity)
        except OSError as error:
            assert "ble:" in str(error)
        else:
            raise AssertionError("it was taken")
