"""A lamp in its street: waves told and heard under the group's key, brighten, and a member number that is one life's."""

import os

from kerbnode.lamp import street as streets
from kerbwire import cbor, messages
from kerbwire import frame as frames
from kerbwire.group import GroupKey, Raised
from kerbwire.waves import Brighten, Wave

SECRET = bytes(range(16))
SETTINGS = {"spacing_dm": 350, "wave_s": 40, "high": 100, "hops": 0, "ahead": 2}
SCOPE = 7


class Lamp:
    """What a Street asks of kerbnode.lamp.lamp."""

    def __init__(self):
        self.high, self.raised, self.lit = 75, Raised(), []

    def light_up(self, level, lifetime_s, now_ms):
        self.lit.append((level, lifetime_s, now_ms))


class Column:
    def __init__(self, member, members):
        self.lamp, self.sent, self.seq = Lamp(), [], 100 * member
        fields = {
            1: SECRET, 2: 0, 3: member, 4: SCOPE,
            5: list(range(member - 1, 1, -1)), 6: list(range(member + 1, members + 2)),
        }  # fmt: skip
        self.street = streets.Street(fields, SETTINGS, self.lamp, self._take_seq, self.sent.append)
        self.street.may_speak = True

    def _take_seq(self):
        self.seq += 1
        return self.seq

    def hears(self, frame, now_ms):
        return self.street.hear(frame, frames.parse(frame), now_ms)


def test_a_walker_is_told_once_and_lights_two_columns_on_either_side():
    columns = [Column(member, 6) for member in range(2, 8)]
    columns[2].street.seen(5000, None)
    columns[2].street.seen(5100, 5000)
    (frame,) = columns[2].sent
    lit = [column.hears(frame, 5200) for column in columns if column is not columns[2]]
    assert lit == [True, True, True, True, False]
    assert columns[1].lamp.lit == [(75, 40, 5200)]
    assert not any(column.sent for column in columns if column is not columns[2])  # what all hear nobody passes on


def test_a_replay_and_a_stranger_change_nothing():
    one, other = Column(2, 3), Column(3, 3)
    one.street.seen(5000, None)
    frame = one.sent[0]
    assert other.hears(frame, 5100) and not other.hears(frame, 5200) and len(other.lamp.lit) == 1
    assert not one.hears(frame, 5300)  # our own number: somebody else has our key, or plays our frame
    stranger = GroupKey(bytes(16), 0).seal(2, 900, messages.encode(Wave(100, 0, 0, 0, 40)))
    assert not other.hears(stranger, 5400) and other.street.refused == 1
    later = GroupKey(SECRET, 1).seal(2, 901, messages.encode(Wave(100, 0, 0, 0, 40)))
    assert not other.hears(later, 5500) and other.street.refused == 2


def test_brighten_is_for_all_or_for_our_street():
    column, key = Column(2, 1), GroupKey(SECRET, 0)
    for seq, scope, heeds in ((1, SCOPE + 1, False), (2, SCOPE, True), (3, 0, True)):
        frame = key.seal(1, seq, messages.encode(Brighten(80, 600, scope)))
        assert column.hears(frame, 5000) is heeds
    assert column.lamp.raised.level(20, 10) == 80 and column.lamp.raised.level(20, 606) == 20


def test_a_member_number_belongs_to_the_life_that_first_used_it():
    path = os.getenv("KERB_TMP") + "/street.cbor"
    assert streets.read(path) is None
    with open(path, "wb") as file:
        file.write(cbor.encode({1: SECRET, 2: 0, 3: 5, 4: SCOPE, 5: [4], 6: [6]}))
    assert streets.join(path, streets.read(path), b"a" * 8)
    assert streets.join(path, streets.read(path), b"a" * 8)
    assert not streets.join(path, streets.read(path), b"b" * 8)
    silent = Column(5, 6)
    silent.street.may_speak = False
    silent.street.seen(5000, None)
    assert silent.sent == []


def test_a_damaged_file_is_no_street():
    path = os.getenv("KERB_TMP") + "/street.cbor"
    for data in (b"", b"\xff", cbor.encode({1: b"short", 2: 0, 3: 5, 4: 7, 5: [], 6: []}), cbor.encode([1]),
                 cbor.encode({1: SECRET, 2: 0, 3: b"5", 4: 7, 5: [], 6: []}),
                 cbor.encode({1: SECRET, 2: 4, 3: 5, 4: 7, 5: [], 6: []}),
                 cbor.encode({1: SECRET, 2: 0, 3: 0, 4: 7, 5: [], 6: []}),
                 cbor.encode({1: SECRET, 2: 0, 3: 5, 4: 70000, 5: [], 6: []}),
                 cbor.encode({1: SECRET, 2: 0, 3: 5, 4: 7, 5: [b"4"], 6: []}),
                 cbor.encode({1: SECRET, 2: 0, 3: 5, 4: 7, 5: [], 6: [True]}),
                 cbor.encode({1: SECRET, 2: 0, 3: 5, 4: 7, 5: []})):  # fmt: skip
        with open(path, "wb") as file:
            file.write(data)
        assert streets.read(path) is None, data
