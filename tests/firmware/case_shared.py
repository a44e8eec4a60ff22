"""A shared link: turns, other nodes' frames, and bounded queues."""

from kerbnode.link.shared import MAX_FRAMES, USEFUL_MS, Shared
from kerbwire import frame as frames
from kerbwire import line

NODE, OTHER = 801, 802


class Wire:
    """What one node's UART sees."""

    def __init__(self):
        self.incoming, self.sent = b"", []

    def any(self):
        return len(self.incoming)

    def read(self, count):
        data, self.incoming = self.incoming[:count], self.incoming[count:]
        return data

    def write(self, data):
        self.sent.append(data)
        return len(data)


class Loop:
    def __init__(self):
        self.now = 1000
        self.then = None  # what happens while the node rests

    def ticks_ms(self):
        return self.now

    def ticks_add(self, ticks, ms):
        return ticks + ms

    def ticks_diff(self, end, start):
        return end - start

    def rest(self, ms):
        self.now += min(ms, 50)
        if self.then:
            self.then()


def frame_of(space, node, seq=1):
    return frames.pack(space, 0, node, seq) + bytes(12)


def make(number=3):
    wire, loop, groups = Wire(), Loop(), []
    link = Shared(wire, loop, NODE, lambda n: bytes([number] * n), 115200, lambda frame, header: groups.append(frame))
    return wire, loop, link, groups


def test_a_frame_waits_for_its_turn_and_is_whole():
    wire, loop, link, _ = make()
    link.send(b"\x01" * 20)
    assert wire.sent == []
    left_ms = link.turn()
    assert left_ms and left_ms <= 10
    loop.now += left_ms
    assert link.turn() is None and line.Reader().feed(wire.sent[0]) == [b"\x01" * 20]


def test_who_was_faster_goes_first_and_the_choice_gets_wider():
    wire, loop, link, _ = make(63)
    link.send(b"\x01" * 20)
    first_ms = link.turn()
    wire.incoming = line.encode(frame_of(frames.UP, OTHER))
    loop.now += first_ms
    again_ms = link.turn()
    assert wire.sent == [] and again_ms > first_ms and link.deferred == 1
    loop.now += again_ms
    link.turn()
    assert len(wire.sent) == 1 and link.overheard == 1


def test_our_own_frame_has_to_end_before_the_next_begins():
    wire, loop, link, _ = make(0)
    link.send(b"\x01" * 230)
    link.send(b"\x02" * 230)
    loop.now += link.turn()
    left_ms = link.turn()
    assert len(wire.sent) == 1 and left_ms >= 230 * 10 * 1000 // 115200


def test_frames_are_sorted():
    wire, _, link, groups = make()
    mine, late = frame_of(frames.DOWN, NODE), frame_of(frames.DOWN, NODE, 2)
    group = frame_of(frames.GROUP, 5)
    for frame in (frame_of(frames.DOWN, OTHER), mine, group, frame_of(frames.UP, NODE), late):
        wire.incoming += line.encode(frame)
    wire.incoming += b"\x00\x07noise\x00"
    link.take()
    assert groups == [group] and link.waiting == 2 and link.overheard == 2 and link.noise == 1
    assert link.receive(10) == mine and link.receive(10) == late and link.receive(10) is None


def test_a_wait_ends_with_a_frame_or_with_its_time():
    wire, loop, link, _ = make()
    begin = loop.now
    assert link.receive(500) is None and 500 <= loop.now - begin <= 550

    def arrive():
        wire.incoming = line.encode(frame_of(frames.DOWN, NODE))
        link.take()

    loop.then = arrive
    assert link.receive(500) == frame_of(frames.DOWN, NODE)


def test_a_wave_that_is_no_use_any_more_is_not_told():
    wire, loop, link, _ = make()
    link.send(b"\xaa" * 5, True)
    link.send(b"\x01" * 5)
    for _ in range(USEFUL_MS // 4 + 1):  # somebody else speaks all the time
        loop.now += 5
        wire.incoming += b"\x00"
        link.turn()
    while link.speaks:
        loop.now += link.turn() or 0
    assert link.stale == 1 and line.Reader().feed(wire.sent[0]) == [b"\x01" * 5] and len(wire.sent) == 1
    link.send(b"\xaa" * 5, True)
    while link.speaks:
        loop.now += link.turn() or 0
    assert link.stale == 1 and len(wire.sent) == 2


def test_queues_are_bounded_and_what_is_first_stays():
    wire, loop, link, _ = make()
    for number in range(MAX_FRAMES + 3):
        link.send(bytes([number + 1] * 5))
    link.send(b"\xaa" * 5, True)
    assert link.dropped == 4
    for _ in range(2 * MAX_FRAMES):
        loop.now += link.turn() or 0
    assert line.Reader().feed(wire.sent[0]) == [b"\xaa" * 5] and len(wire.sent) == MAX_FRAMES
    for seq in range(MAX_FRAMES + 2):
        wire.incoming += line.encode(frame_of(frames.DOWN, NODE, seq))
    link.take()
    assert link.waiting == MAX_FRAMES and link.dropped == 6
