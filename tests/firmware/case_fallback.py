"""A node with several links: the next one where one cannot be had or stays silent, and each failure rests longer."""

import json
import sys

import rig
from rig import Time

from kerbnode import flash, link
from kerbnode.bin.pace import Pace
from kerbnode.journal import Journal
from kerbnode.link import fallback, radios, serial
from kerbnode.link.tally import Tally

OPENED = []  # by the stand-ins below, in their order


class Radio:
    """kerbnode.link.NAME of a radio that a test breaks. The names are of no module that there is."""

    def __init__(self, name):
        self.name = name
        self.error = None

    def opened(self, hal, board, address, options, identity):
        OPENED.append((self.name, address, options))
        if self.error:
            raise self.error
        return Quiet()


class Quiet:
    noise = 3

    def __init__(self):
        self.tally = Tally()
        self.open = True

    def send(self, frame):
        self.tally.sent(frame)

    def receive(self, timeout_ms):
        return b"answer"

    def close(self):
        self.open = False


class Uart:
    def uart(self, facts, rxbuf):
        return (facts, rxbuf)


class Hal(Time):
    def feed(self):
        pass


def bench(text):
    """(opens a node's link, the lines of its journal, the radios by name, its pace)"""
    rig.write(rig.folder() + link.FILE, text)
    flash.replace(rig.folder() + fallback.STATE, [])
    del OPENED[:]
    radios = {name: Radio(name) for name in ("air", "sea")}
    for name in radios:
        sys.modules["kerbnode.link." + name] = radios[name]
    lines = []
    pace = Pace()

    def open_it():
        return link.opened(Hal(), rig.BOARD, rig.identity(), Journal(lines.append), rig.folder(), pace)

    return open_it, lines, radios, pace


def exchange(open_it, pace, silent=False, heard=None):
    """The names of the links that one exchange has tried. silent: an answer that it asked for stayed out. heard: how
    many came; one where it was not silent."""
    del OPENED[:]
    made = open_it()
    made.send(b"frame")
    made.receive(10)
    pace.heard += (0 if silent else 1) if heard is None else heard
    if silent:
        pace.silent()
    made.close()
    return [name for name, _, _ in OPENED]


def test_a_node_without_links_has_its_uart():
    flash.write(rig.folder() + link.FILE, b"")
    for text in (b"", b'["serial:"]\n'):
        flash.write(rig.folder() + link.FILE, text)
        made = link.opened(Uart(), rig.BOARD, rig.identity(), None, rig.folder(), None)
        assert isinstance(made, serial.Serial) and made._uart == (rig.BOARD["link"], serial.BUFFER)
    flash.remove(rig.folder() + link.FILE)
    assert isinstance(link.opened(Uart(), rig.BOARD, rig.identity(), None, rig.folder(), None), serial.Serial)


def test_a_string_is_taken_apart_and_given_to_its_module():
    real = sys.modules.get("kerbnode.link.mqtt")
    sys.modules["kerbnode.link.mqtt"] = Radio("mqtt")
    try:
        _taken_apart()
    finally:
        del sys.modules["kerbnode.link.mqtt"]
        if real:
            sys.modules["kerbnode.link.mqtt"] = real


def _taken_apart():
    open_it, lines, _, _ = bench(b'["mqtts://broker:8883/site?qos=1&x=", "air:"]')
    made = open_it()
    assert not OPENED and made.noise == 0  # before the first frame nothing is switched on
    made.send(b"frame")
    assert list(OPENED) == [("mqtt", "//broker:8883/site", {"qos": "1", "x": "", "tls": "1", "folder": rig.folder()})]
    assert made.receive(5) == b"answer" and made.noise == 3 and made.tally.bytes == 5
    made.close()
    assert lines == ["link mqtts frames 1 bytes 5"]


def test_the_next_one_is_taken_where_one_cannot_be_had():
    open_it, lines, radios, pace = bench(b'["air:a", "sea:"]')
    radios["air"].error = OSError("no air: open the window")
    assert exchange(open_it, pace) == ["air", "sea"]
    assert lines[0] == "note link air no air: open the window"
    tried = [exchange(open_it, pace) for _ in range(16)]
    assert [at for at in range(16) if "air" in tried[at]] == [1, 4, 9]  # at rest for 1, 2, 4 and 8 exchanges between
    radios["air"].error = None
    tried = [exchange(open_it, pace) for _ in range(8)]
    assert tried[0] == ["sea"] and tried[-1] == ["air"]
    assert exchange(open_it, pace) == ["air"]


def test_a_rest_has_an_end():
    open_it, _, radios, pace = bench(b'["air:", "sea:"]')
    radios["air"].error = OSError("gone")
    longest = since = 0
    for _ in range(400):
        since += 1
        if "air" in exchange(open_it, pace):
            longest, since = max(longest, since), 0
    assert longest == fallback.MAX_REST + 1


def test_one_that_stays_silent_is_left_alone_and_all_of_them_are_tried_in_turn():
    open_it, _, _, pace = bench(b'["air:", "sea:"]')
    tried = [exchange(open_it, pace, silent=True) for _ in range(12)]
    assert tried[:3] == [["air"], ["sea"], ["air"]] and all(len(names) == 1 for names in tried)
    assert len([names for names in tried if names == ["air"]]) in (5, 6, 7)
    assert exchange(open_it, pace) in (["air"], ["sea"])


def test_one_on_which_the_gateway_answered_is_sound_whatever_stayed_out():
    open_it, _, _, pace = bench(b'["air:", "sea:"]')
    for _ in range(3):
        assert exchange(open_it, pace, silent=True, heard=1) == ["air"]
    assert exchange(open_it, pace, silent=True) == ["air"]
    assert exchange(open_it, pace, silent=True, heard=2) == ["sea"]
    assert exchange(open_it, pace, silent=True) == ["air"]  # that one knows no failure but this


def test_one_that_was_asked_nothing_is_judged_by_nothing():
    """A silence of an earlier exchange is not its own, and no failure is forgotten."""
    open_it, _, _, pace = bench(b'["air:", "sea:"]')
    exchange(open_it, pace, silent=True)
    assert [exchange(open_it, pace, heard=0) for _ in range(3)] == [["sea"], ["air"], ["air"]]
    exchange(open_it, pace, silent=True)
    assert [exchange(open_it, pace, heard=0) for _ in range(3)] == [["sea"], ["sea"], ["air"]]


def test_where_no_link_can_be_had_frames_are_lost_and_nothing_waits():
    open_it, _, radios, _ = bench(b'["air:", "nowhere:", "sea:"]')
    radios["air"].error = radios["sea"].error = OSError("gone")
    made = open_it()
    for _ in range(3):
        made.send(b"frame")
        assert made.receive(3000) is None
    assert (made.tally.frames, made.tally.lost) == (3, 3) and len(OPENED) == 2
    made.close()


def test_what_it_learnt_outlasts_a_wake_and_is_written_only_when_it_changes():
    open_it, _, radios, pace = bench(b'["air:", "sea:"]')
    writes = []
    replace = flash.replace
    flash.replace = lambda *what: (writes.append(what), replace(*what))
    try:
        for _ in range(5):
            exchange(open_it, pace)
        assert not writes
        radios["air"].error = OSError("gone")
        exchange(open_it, pace)
        assert len(writes) == 1
    finally:
        flash.replace = replace
    assert exchange(open_it, pace) == ["sea"]
    rig.write(rig.folder() + link.FILE, json.dumps(["sea:", "air:"]).encode())  # others: what was learnt is void
    radios["air"].error = None
    assert exchange(open_it, pace) == ["sea"]


def test_a_file_that_is_none_leaves_the_uart():
    for text in (b"{", b'{"a": 1}', b"[]", b"[1]", b"3", b"\xff"):
        assert fallback.names(text) == ["serial:"], text
    assert len(fallback.names(json.dumps(["a:"] * 9).encode())) == fallback.MAX_LINKS


class Chip:
    """`network` of a board whose radio has a supply of its own."""

    STA_IF = 0

    def __init__(self, calls):
        class WLAN:
            def __init__(self, interface):
                pass

            def deinit(self):
                calls.append("deinit")

        self.WLAN = WLAN


def test_before_a_sleep_every_radio_is_switched_off_and_its_supply_last():
    calls = []
    hal = Hal()
    hal.radio_off = None
    radios.switched_off(hal, "lora")

    def broken():
        calls.append("ble")
        raise OSError("it does not answer")

    radios.switched_on(hal, "wifi", lambda: calls.append("an earlier opening"))
    radios.switched_on(hal, "wifi", lambda: calls.append("wifi"))
    radios.switched_on(hal, "ble", broken)
    radios.switched_on(hal, "lora", lambda: calls.append("lora"))
    radios.switched_off(hal, "lora")
    real = sys.modules.get("network")
    sys.modules["network"] = Chip(calls)
    try:
        hal.radio_off()
        assert sorted(calls[:2]) == ["ble", "wifi"] and calls[2:] == ["deinit"]
        hal.radio_off()
        assert calls[3:] == ["deinit"]
    finally:
        del sys.modules["network"]
        if real:
            sys.modules["network"] = real
