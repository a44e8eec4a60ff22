"""Counters and outbox against a model, with the power failing at any change of flash, and flash that tears."""

import pytest
from cutflash import NOTHING, TEARS, CutFlash, PowerCut
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kerbnode import flash
from kerbnode.chunks import shown
from kerbnode.counters import Counters
from kerbnode.lamp.changes import Changes
from kerbnode.lamp.evidence import Evidence
from kerbnode.outbox import Outbox
from kerbnode.retained import State, unpack
from kerbwire.channels import CAUSE, LEVEL


class Node:
    """A node's use of counters and outbox, and what a world may say about it.

    model: (life, index) of every record that was taken and is neither acknowledged nor declared lost. The rest are facts
    that may never repeat.
    """

    def __init__(self, capacity=4):
        self.flash = CutFlash()
        self.capacity = capacity
        self.lives = 0
        self.retained = b""
        self.used_seqs = set()
        self.used_indices = set()
        self.declared = set()
        self.model = set()
        self.reports = {}
        self.counters = None

    def random(self, size):
        self.lives += 1
        return self.lives.to_bytes(size, "big")

    def declare_gap(self, first, count):
        self.counters.declare_gap(first, count)
        self.model -= {(self.counters.life, index) for index in range(first, first + count)}

    def start(self):
        """A boot, or the wake that retained memory allows."""
        state, _ = unpack(self.retained)
        self.retained = b""
        self.counters = Counters("", 8, 8)
        self.counters.open()
        self.outbox = Outbox("/outbox", self.capacity, self.declare_gap)
        if state is not None and self.counters.resume(state):
            self.outbox.open(self.counters.life)
        else:
            self.counters.reboot(self.random, self.outbox.open)

    def take(self):
        index = self.counters.take_index()
        key = (self.counters.life, index)
        assert key not in self.used_indices
        self.used_indices.add(key)
        self.outbox.append(index, [1000 + index, 0, {0: index % 101}])
        self.model.add(key)

    def send(self, most):
        run = self.outbox.next_run(most)
        if run:
            seq = self.counters.take_seq()
            key = (self.counters.life, seq)
            assert key not in self.used_seqs
            self.used_seqs.add(key)
            self.reports[key] = [record[0] for record in run]
            assert self.reports[key] == list(range(run[0][0], run[0][0] + len(run)))
            self.outbox.sent(seq, run[0][0], len(run))

    def acknowledge(self, share):
        """An ack of some of this life's newest reports."""
        seqs = sorted(seq for life, seq in self.reports if life == self.counters.life)
        if not seqs:
            return
        committed = [seq for n, seq in enumerate(reversed(seqs)) if share >> n % 8 & 1][:8]
        for seq in self.outbox.settle(committed, seqs[-1]):
            self.model -= {(self.counters.life, index) for index in self.reports[(self.counters.life, seq)]}

    def sleep(self):
        self.outbox.save()
        state = State()
        self.counters.save_to(state)
        self.retained = state.pack()

    def check(self):
        """Everything taken is still there to be sent, and every number was used or is declared as a gap."""
        life = self.counters.life
        held = Outbox("/outbox", self.capacity, self.declare_gap)
        held.open(life)
        there = {(life, index) for index, _ in held._unacknowledged()}
        assert {key for key in self.model if key[0] == life} <= there
        for first, count in self.counters.gaps:
            self.declared |= {(life, index) for index in range(first, first + count)}
        numbers = {(life, index) for index in range(self.counters.next_index)}
        assert numbers <= self.used_indices | self.declared


@pytest.fixture
def node(monkeypatch):
    def make(**options):
        one = Node(**options)
        monkeypatch.setattr(flash, "open", one.flash.open, raising=False)
        monkeypatch.setattr(flash, "os", one.flash)
        return one

    return make


def a_week(node):
    """Boots, wakes, reports, late acks, a full ring and a second boot."""
    for boot in range(2):
        node.retained = b""
        for wake in range(16):
            node.start()
            for _ in range(3):
                node.take()
            if boot or wake % 8 == 7:
                node.send(48)
                node.acknowledge(0b01 if wake % 3 else 0b10)
                node.counters.confirm(list(node.counters.gaps))
                node.counters.save()
            node.sleep()


def test_the_power_may_fail_at_every_change(node):
    whole = node(capacity=2)
    a_week(whole)
    whole.check()
    assert whole.flash.changes > 100
    for at in range(1, whole.flash.changes + 1):
        for tear in TEARS:
            one = node(capacity=2)
            one.flash.cut_at(at, tear)
            with pytest.raises(PowerCut):
                a_week(one)
            one.flash.restore()
            one.retained = b""
            one.start()
            assert one.lives == 1 or not one.used_indices  # a life whose first slot was torn was never used
            one.check()
            one.take()
            one.send(48)
            one.start()
            one.check()


def test_the_power_may_fail_while_a_full_ring_gives_up_what_nobody_acknowledged(node):
    def full(one):
        one.start()
        for _ in range(100):
            one.take()

    whole = node(capacity=2)
    full(whole)
    whole.check()
    for at in range(1, whole.flash.changes + 1):
        for tear in TEARS:
            one = node(capacity=2)
            one.flash.cut_at(at, tear)
            with pytest.raises(PowerCut):
                full(one)
            one.flash.restore()
            one.start()
            one.check()
            kept = {index for index, _ in one.outbox._unacknowledged()}
            gaps = {index for first, count in one.counters.gaps for index in range(first, first + count)}
            assert {index for _, index in one.used_indices} <= kept | gaps


class Silent:
    """A journal and a clock that nothing is asked of."""

    def line(self, *words):
        """Not asked."""

    keep = note = line


def lamp_starts(one):
    """A lamp's start as far as it takes on what the boot before has held. Returns (held items in the outbox, in their
    order; the last one's UTC second)."""
    one.start()
    evidence = Evidence(None, one.counters, one.outbox, Changes(), None, Silent(), lambda: None)
    newest = one.outbox.newest()
    second = evidence.take_held("/held", newest[-1] if newest else b"")
    found = []
    for segment in one.outbox._segments:
        found += [one.outbox._record(segment, place) for place in range(one.outbox._size(segment))]
    return [item[:3] for item in found if CAUSE in item[2]], second


HELD = [[1767225600 + at, at % 2, {LEVEL: at, CAUSE: 1}, b""] for at in range(40)]  # three writes, in two segments


def held_bench(node, life=None):
    one = node(capacity=8)
    one.start()
    for _ in range(3):
        one.take()
    flash.store("/held", [life or one.counters.life, HELD])
    return one


@pytest.mark.parametrize("life", [None, b"another!"])
def test_what_was_held_over_an_error_is_taken_once_wherever_the_power_fails(node, life):
    """Of an earlier life, whose uptime says nothing any more, what is dated."""
    wanted = [item[:3] for item in HELD if not (life and item[1])]
    whole = held_bench(node, life)
    before = whole.flash.changes
    assert lamp_starts(whole) == (wanted, 0) and "/held" not in whole.flash.files
    changes = whole.flash.changes - before
    assert changes > 4 and lamp_starts(whole) == (wanted, 0)
    for at in range(1, changes + 1):
        for tear in TEARS:
            one = held_bench(node, life)
            one.flash.cut_at(at, tear)
            with pytest.raises(PowerCut):
                lamp_starts(one)
            one.flash.restore()
            if tear == NOTHING and "/held" in one.flash.files:  # of a file that was begun LittleFS keeps the name
                one.flash.files[f"/outbox/{shown(one.counters.life)}/{0xFFF:08x}"] = b""
            assert lamp_starts(one)[0] == wanted, (at, tear)
            assert "/held" not in one.flash.files


def test_the_last_that_was_held_says_when_it_was(node):
    one = held_bench(node)
    flash.store("/held", [one.counters.life, HELD[:39]])
    assert lamp_starts(one)[1] == HELD[38][0]


class PowerCuts(RuleBasedStateMachine):
    """Any sequence of a node's doings, with cuts anywhere, also in the recovery from a cut."""

    @initialize()
    def begin(self):
        self.patch = pytest.MonkeyPatch()
        self.node = Node(capacity=3)
        self.patch.setattr(flash, "open", self.node.flash.open, raising=False)
        self.patch.setattr(flash, "os", self.node.flash)
        self.awake = False

    def teardown(self):
        if hasattr(self, "patch"):
            self.patch.undo()

    def do(self, action, *arguments):
        try:
            action(*arguments)
            return True
        except PowerCut:
            self.node.flash.restore()
            self.node.retained = b""
            self.awake = False
            return False

    @rule(at=strategies.integers(1, 12), tear=strategies.sampled_from(TEARS))
    def plan_a_cut(self, at, tear):
        self.node.flash.cut_at(at, tear)

    @precondition(lambda self: not self.awake)
    @rule()
    def start(self):
        self.awake = self.do(self.node.start)

    @precondition(lambda self: self.awake)
    @rule(count=strategies.integers(1, 40))
    def take(self, count):
        for _ in range(count):
            if not self.do(self.node.take):
                break

    @precondition(lambda self: self.awake)
    @rule(most=strategies.integers(1, 48))
    def send(self, most):
        self.do(self.node.send, most)

    @precondition(lambda self: self.awake)
    @rule(share=strategies.integers(0, 255))
    def acknowledge(self, share):
        self.do(self.node.acknowledge, share)

    @precondition(lambda self: self.awake)
    @rule()
    def confirm(self):
        self.do(lambda: self.node.counters.confirm(list(self.node.counters.gaps)))

    @precondition(lambda self: self.awake)
    @rule()
    def save(self):
        self.do(self.node.counters.save)

    @precondition(lambda self: self.awake)
    @rule()
    def sleep(self):
        if self.do(self.node.sleep):
            self.awake = False

    @precondition(lambda self: self.awake)
    @rule()
    def reset(self):
        self.awake = False

    @precondition(lambda self: not self.awake)
    @rule(slot=strategies.sampled_from(["/counters.0", "/counters.1"]), keep=strategies.integers(0, 40))
    def damage_a_slot(self, slot, keep):
        self.node.flash.restore()
        if slot in self.node.flash.files and not self.damaged():
            self.node.flash.files[slot] = self.node.flash.files[slot][:keep]

    def damaged(self):
        """Whether a slot is unreadable already: two of them are a new life, which is a test of its own."""
        return any(flash.load(slot) is None for slot in ("/counters.0", "/counters.1"))

    @invariant()
    def nothing_is_lost(self):
        if getattr(self, "awake", False):
            left = self.node.flash._left
            self.node.flash.restore()
            self.node.check()
            self.node.flash._left = left


PowerCuts.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestPowerCuts = PowerCuts.TestCase
