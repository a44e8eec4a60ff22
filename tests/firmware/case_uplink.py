"""A lamp's links to its gateway: which one is used, what goes on the street's line, and what a step may stall."""

import sys

from rig import Time, exists, folder

from kerbnode.journal import Journal
from kerbnode.lamp.talk import Pace
from kerbnode.link import uplink
from kerbnode.link.tally import Tally
from kerbnode.link.uplink import Uplink

READY_MS = 1000
DAY_MS = 86400000


class Radio:
    """What a link's module makes: a radio as far as the lamp sees it."""

    listens = True
    ready_ms = READY_MS
    stream = None
    holds = False
    noise = 0
    trouble = "nobody is there"

    def __init__(self, name):
        self.name = name
        self.sent, self.frames, self.steps = [], [], []
        self.is_ready = self.ended = self.steady = False
        self.tally = Tally()

    def rings(self, ring):
        """Nobody rings here."""

    def step(self):
        self.steps.append(self.steady)

    def next_ms(self):
        return 5

    def send(self, frame, within_ms):
        assert within_ms == 0
        self.sent.append(frame)

    def end(self):
        self.ended = True


class Module:
    """Of one kind of link."""

    def __init__(self, name):
        self.name = name
        self.made_of = []
        self.fails = None

    def made(self, hal, board, address, options, identity):
        if self.fails:
            raise self.fails
        self.made_of.append(Radio(self.name))
        self.made_of[-1].options = options
        return self.made_of[-1]


class Line:
    """The street's."""

    def __init__(self):
        self.sent, self.sorted, self.frames = [], [], []
        self.noise = 0

    @property
    def waiting(self):
        return len(self.frames)

    def turn(self):
        return None

    def send(self, frame, first=False):
        self.sent.append((frame, first))

    def sort(self, frame):
        self.sorted.append(frame)

    def receive(self, timeout_ms):
        return self.frames.pop(0)


class Loop(Time):
    is_steady = True
    wants_program = False
    machine = random = None
    then = None  # what happens while the program rests

    def checks_in(self):
        """The program goes on."""

    breathe = checks_in

    def rest(self, ms):
        self.now_ms += min(ms, 50)
        if self.then:
            self.then()

    def utc(self):
        return None

    uptime = utc

    def swap(self, old, new):
        """No stream here."""

    call = None


class Identity:
    node = 17


def make(text=b'["mqtt://10.0.0.2/quay", "lora:868.1"]'):
    """(uplink, line, loop, its mqtt, its lora)"""
    mqtt, lora = Module("mqtt"), Module("lora")
    sys.modules[uplink.MODULES["mqtt"]], sys.modules[uplink.MODULES["lora"]] = mqtt, lora
    loop, line = Loop(), Line()
    link = Uplink(text, loop, {}, Identity, Journal(lambda text: None), folder(), Pace(), loop, loop, loop, line)
    return link, line, loop, mqtt, lora


def restored(test):
    """What a test has put in the place of modules is taken away."""

    def run():
        before = {name: sys.modules.get(name) for name in uplink.MODULES.values()}
        try:
            test()
        finally:
            for name, module in before.items():
                if module is None:
                    sys.modules.pop(name, None)
                else:
                    sys.modules[name] = module

    return run


def exchange(link, heard):
    """One, which an answer ends or silence."""
    if heard:
        link._pace.answered()
    else:
        link._pace.silent()
    link.done()


@restored
def test_what_the_lamp_says_goes_on_its_link_and_waves_on_the_line():
    link, line, _, mqtt, _ = make()
    link.begin()
    (radio,) = mqtt.made_of
    assert link.reach() == uplink.WAIT_MS
    radio.is_ready = True
    assert link.reach() == 0
    link.send(b"report")
    link.send(b"wave", True)
    assert radio.sent == [b"report"] and line.sent == [(b"wave", True)]
    radio.frames = [b"ack", b"group"]
    assert link.turn() == uplink.LEAST_MS and line.sorted == [b"ack", b"group"] and not radio.frames


@restored
def test_a_link_that_is_not_there_in_time_is_left_for_the_next_one_and_tried_again():
    link, _, loop, mqtt, lora = make()
    link.begin()
    begin = loop.now_ms
    while link.reach() != 0:
        loop.now_ms += uplink.WAIT_MS
        if lora.made_of:
            lora.made_of[0].is_ready = True
    assert READY_MS < loop.now_ms - begin <= READY_MS + 2 * uplink.WAIT_MS and mqtt.made_of[0].ended
    exchange(link, True)
    link.save()
    assert exists(folder() + "/links.cbor")
    assert link.reach() == 0 and len(mqtt.made_of) == 1  # it rests for one exchange
    exchange(link, True)
    assert link.reach() == uplink.WAIT_MS and len(mqtt.made_of) == 2 and lora.made_of[0].ended
    mqtt.made_of[1].is_ready = True
    assert link.reach() == 0
    exchange(link, True)
    link.save()
    assert make()[0]._states == [[0, 0], [0, 0]]


@restored
def test_silence_on_a_link_counts_against_it_and_where_none_can_be_had_it_says_so():
    link, _, _, mqtt, lora = make()
    link.begin()
    mqtt.made_of[0].is_ready = True
    assert link.reach() == 0
    exchange(link, False)
    lora.fails = OSError("this board has no LoRa radio")
    assert link.reach() is None  # the other one rests, and this one cannot be had
    while link.reach() is None:
        pass
    assert mqtt.made_of[-1].name == "mqtt"


@restored
def test_the_line_may_be_the_second_link():
    link, line, _, mqtt, _ = make(b'["mqtt://10.0.0.2/quay", "serial:"]')
    mqtt.fails = MemoryError()
    link.begin()
    assert link.reach() == 0
    link.send(b"report")
    assert line.sent == [(b"report", False)] and link.turn() is None


@restored
def test_bluetooth_is_no_link_of_a_lamp():
    link, _, _, _, lora = make(b'["ble:", "lora:868.1"]')
    link.begin()
    assert link.reach() == uplink.WAIT_MS and len(lora.made_of) == 1


@restored
def test_what_may_stall_the_loop_waits_for_a_steady_light_but_not_for_ever():
    link, _, loop, mqtt, _ = make()
    link.begin()
    loop.is_steady = False
    loop.now_ms += 100
    link.turn()
    loop.now_ms += uplink.UNSTEADY_MS
    link.turn()
    assert mqtt.made_of[0].steps == [False, True]
    loop.is_steady = True
    link.turn()
    assert mqtt.made_of[0].steps[-1]


@restored
def test_the_time_for_an_answer_begins_when_the_frame_is_under_way():
    link, line, loop, _, lora = make(b'["lora:868.1"]')
    link.begin()
    radio = lora.made_of[0]
    radio.is_ready = radio.holds = True
    begin = loop.now_ms

    def then():
        radio.holds = loop.now_ms - begin < 4000

    loop.then = then
    assert link.receive(3000) is None and 6900 <= loop.now_ms - begin < 7300
    line.frames = [b"ack"]
    assert link.receive(3000) == b"ack"


@restored
def test_a_link_that_is_back_is_told_however_long_it_was_gone():
    link, _, loop, mqtt, _ = make(b'["mqtt://10.0.0.2/quay"]')
    link.begin()
    link.turn()
    assert not link.came_back
    loop.now_ms += DAY_MS + 1000
    link.turn()
    assert not link.came_back
    mqtt.made_of[0].is_ready = True
    link.turn()
    assert link.came_back and loop.wants_program


@restored
def test_a_link_that_runs_out_of_memory_is_given_up_and_made_anew_when_something_is_to_be_said():
    link, _, _, mqtt, _ = make(b'["mqtts://10.0.0.2/quay"]')
    link.begin()
    radio = mqtt.made_of[0]
    assert radio.options["tls"] == "1" and radio.most_rest_ms == uplink.SLOW_REST_MS

    def short():
        raise MemoryError

    radio.step = short
    link.turn()
    assert radio.ended and link.reach() == uplink.WAIT_MS and len(mqtt.made_of) == 2
