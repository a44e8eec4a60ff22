"""Laws 3, 5, 6, 7, 8 and 10 of PROTOCOL.md as pure data, on both runtimes. test_laws.py says where each law is tested."""

from kerbwire import frame, messages, seal
from kerbwire.commands import (
    ANSWER,
    EMERGENCY,
    EXPIRED,
    IGNORE,
    INTERRUPTED,
    KEEP,
    OBEY,
    OPERATOR,
    SCHEDULE,
    Commands,
    Holders,
)
from kerbwire.epochs import Epochs, successor
from kerbwire.errors import UNSEALED, WireError
from kerbwire.flights import MAX_IN_FLIGHT, MAX_REFUSALS, Flights
from kerbwire.group import (
    DUPLICATE,
    FORGET_S,
    LIMITED,
    MAX_JUMP,
    MAX_MEMBER,
    MAX_RAISE_S,
    MAX_RAISES,
    MAX_SENDERS,
    MAX_UNPROVEN,
    RAISE,
    UNPROVEN_EVERY_S,
    GroupKey,
    Members,
    Raised,
    Receiver,
)
from kerbwire.messages import Ack
from kerbwire.node_end import MAX_BAD_FRAMES, NodeEnd

SECRET = bytes(range(16))
LIFE = b"lifelife"
INSTANCE = b"instance"
NOW = 1767225600


def refuses(call, *arguments):
    try:
        call(*arguments)
    except WireError as error:
        return error.code
    raise AssertionError("was not refused")


# Law 3


def test_law_3_an_ack_settles_exactly_the_frames_that_it_lists():
    flights = Flights()
    for seq in (5, 6, 7):
        flights.sent(seq, seq * 10, 10)
    assert flights.carries(59) and not flights.carries(49)
    assert flights.settle([5], 6) == ([[5, 50, 10]], [])  # 6 was passed over, 7 may still be on its way
    assert flights.flying == [[7, 70, 10]] and not flights.carries(60)
    assert flights.settle([7, 99], 99) == ([[7, 70, 10]], [])


def test_law_3_an_ack_that_comes_late_still_counts():
    flights = Flights()
    flights.sent(5, 0, 24)
    assert flights.settle([], 4) == ([], [])  # an ack from before: says nothing of 5
    flights.sent(6, 24, 24)
    assert flights.settle([6, 5], 6)[0] == [[5, 0, 24], [6, 24, 24]]


def test_law_3_what_is_remembered_is_bounded():
    flights = Flights()
    for seq in range(3 * MAX_IN_FLIGHT):
        flights.sent(seq, seq, 1)
    assert [flight[0] for flight in flights.flying] == list(range(2 * MAX_IN_FLIGHT, 3 * MAX_IN_FLIGHT))
    flights.settle([], 99)
    assert len(flights.refused) == MAX_IN_FLIGHT


# Law 5


def test_law_5_a_report_is_set_aside_after_eight_refusals():
    flights = Flights()
    for attempt in range(MAX_REFUSALS):
        flights.sent(2 * attempt, 100, 24)
        flights.sent(2 * attempt + 1, 200 + attempt, 1)
        done, aside = flights.settle([2 * attempt + 1], 2 * attempt + 1)
        assert len(done) == 1
        assert aside == ([[2 * attempt, 100, 24]] if attempt == MAX_REFUSALS - 1 else [])
    assert flights.refused == [] and flights.flying == []


def test_law_5_silence_is_no_refusal_and_a_commit_forgets_them():
    flights = Flights()
    for seq in range(20):
        flights.sent(seq, 100, 24)
        assert flights.settle([], seq - 1 if seq else 0)[1] == [] or seq < MAX_REFUSALS
        if seq % 5 == 4:
            flights.settle([seq], seq)
    again = Flights(flights.flying, flights.refused)  # as it lies on flash
    assert again.settle([], 0) == ([], [])


# Law 6


def test_law_6_an_id_is_noted_before_the_node_acts_and_answered_the_same_for_ever():
    commands = Commands()
    assert commands.offer(7, NOW + 60, 60, NOW) == (OBEY, 0, None)
    commands.begin(7)
    on_flash = [list(entry) for entry in commands.stored]
    assert on_flash == [[7, -1, None]]
    assert commands.offer(7, NOW + 60, 60, NOW) == (IGNORE, 0, None)  # it comes again while it is being obeyed
    commands.finish(7, 0, 42)
    for now in (NOW, NOW + 10**6, None):
        assert commands.offer(7, NOW + 60, 60, now) == (ANSWER, 0, 42)  # also after its expiry
    commands.finish(7, 5)
    assert commands.offer(7, NOW + 60, 60, NOW) == (ANSWER, 0, 42)
    reset = Commands(on_flash)
    assert reset.offer(7, NOW + 60, 60, NOW) == (ANSWER, INTERRUPTED, None)


def test_law_6_the_last_sixteen_are_kept():
    commands = Commands()
    for ident in range(KEEP + 1):
        commands.begin(ident)
        commands.finish(ident, 0)
    assert KEEP == 16 and len(commands.stored) == KEEP
    assert commands.offer(1, NOW + 60, 60, NOW)[0] == ANSWER
    assert commands.offer(0, NOW - 1, 60, NOW) == (ANSWER, EXPIRED, None)  # what was forgotten is held by its expiry


def test_law_6_either_expiry_is_enough():
    commands = Commands()
    assert commands.offer(1, NOW + 60, 60, NOW + 59, 59)[0] == OBEY
    assert commands.offer(1, NOW + 60, 60, NOW + 60, 0) == (ANSWER, EXPIRED, None)
    assert commands.offer(1, NOW + 60, 60, NOW, 60) == (ANSWER, EXPIRED, None)  # the clock says yes, the wait says no
    assert commands.offer(1, NOW + 60, 60, None, 59)[0] == OBEY  # without a clock the seconds count
    assert commands.offer(1, NOW + 60, 60, None, 60) == (ANSWER, EXPIRED, None)
    assert commands.stored == []


def test_law_6_emergency_then_operator_then_schedule_and_the_newest_of_a_class():
    holders = Holders()
    assert holders.in_force(0) is None
    assert holders.place(SCHEDULE, 10, 1, 1000) and holders.in_force(0) == 1
    assert holders.place(OPERATOR, 11, 2, 500) and holders.in_force(0) == 2
    assert holders.place(EMERGENCY, 12, 3, 100) and holders.in_force(0) == 3
    assert holders.place(OPERATOR, 20, 4, 400) and holders.in_force(0) == 3  # a lower class waits
    assert not holders.place(OPERATOR, 19, 5, 400)  # sent before, came later
    assert [holders.in_force(now) for now in (99, 100, 399, 400, 999, 1000)] == [3, 4, 4, 1, 1, None]
    assert not holders.release(EMERGENCY, 12) and holders.release(SCHEDULE, 30)
    assert not holders.place(SCHEDULE, 29, 6, 2000)
    assert holders.in_force(0) is None


# Law 7


class Ends:
    """A node and a gateway that share a secret, and frames between them."""

    def __init__(self):
        self.node = Epochs(3, SECRET)
        self.gateway = Epochs(3, SECRET)
        self.seq = 0
        self.openings = 0
        self.end = NodeEnd(7, self.node, LIFE, self.take)

    def take(self):
        self.seq += 1
        return self.seq

    def up(self):
        """The epoch under which the gateway opened the node's next frame, or None."""
        _, data = self.end.seal(b"\x82\x01\x40")
        header = frame.parse(data)
        secret = self.gateway.secret_of(header.epoch)
        if secret is None:
            return None
        self.openings += 1
        seal.uplink_key(secret, 7, LIFE).open(data, header)
        self.gateway.opened(header.epoch)
        return header.epoch

    def down(self, epoch):
        secret = self.gateway.secret_of(epoch)
        number = self.take() + 1000
        body = messages.encode(Ack(self.end.last_seq, [self.end.last_seq]))
        return seal.downlink_key(secret, LIFE, INSTANCE).seal(frame.DOWN, epoch, 7, number, body, INSTANCE)


def test_law_7_each_end_keeps_the_old_key_until_it_has_opened_a_frame_under_the_new():
    ends = Ends()
    assert ends.up() == 3 and ends.end.receive(ends.down(3))
    old = ends.down(3)
    ends.gateway.begin()
    ends.node.begin()
    assert ends.end.receive(ends.down(3)) and ends.node.older == SECRET  # the old key still opens
    assert ends.up() == 0 and ends.gateway.older is None  # 3 is followed by 0
    assert ends.node.older == SECRET and not ends.end.turned
    assert ends.end.receive(ends.down(0)) and ends.node.older is None and ends.end.turned
    assert ends.end.receive(old) is None and ends.end.refused["unsealed"] == 1
    assert ends.openings == 2
    ends.node.begin()  # and only now the next


def test_law_7_no_third_epoch_before_the_change_over_is_done():
    epochs = Epochs(1, SECRET)
    epochs.begin()
    assert refuses(epochs.begin) == "range"
    assert epochs.opened(1) is False and refuses(epochs.begin) == "range"
    assert epochs.opened(2) is True
    epochs.begin()
    assert (epochs.epoch, epochs.secret_of(3), epochs.secret_of(2)) == (3, epochs.newest, epochs.older)
    assert epochs.secret_of(1) is None and epochs.secret_of(0) is None


def test_law_7_a_gateway_that_was_restored_is_found_again():
    ends = Ends()
    ends.node.begin()  # the node was told, and the gateway has forgotten
    heard = [ends.up() for _ in range(6)]
    assert heard == [None, None, 3, None, None, 3]
    assert ends.end.receive(ends.down(3)) and ends.node.older == SECRET
    ends.gateway.begin()
    assert [ends.up() for _ in range(2)] == [0, 0]


def test_law_7_both_ends_derive_the_next_secret_and_show_none():
    first = successor(SECRET, 1)
    assert len(first) == 16 and first != SECRET and first != successor(SECRET, 2)
    epochs = Epochs(0, SECRET)
    epochs.begin()
    assert epochs.newest == first
    assert repr(epochs) == "<Epochs 1, changing over>" and repr(Epochs(0, SECRET)) == "<Epochs 0>"


def test_law_7_and_10_a_frame_is_opened_under_one_key():
    epochs = Epochs(2, SECRET)
    epochs.begin()
    secrets = [epochs.secret_of(epoch) for epoch in range(4)]
    assert [secret is None for secret in secrets] == [True, True, False, False]


# Law 8


def test_law_8_members_make_no_nonce_twice():
    key = GroupKey(SECRET, 1)
    sealed = [key.seal(member, seq, b"wave") for member in (1, 2, 255, 256, 65535) for seq in (0, 1, 300)]
    assert len({data[-12:] for data in sealed}) == len(sealed)
    for data in sealed:
        header = frame.parse(data)
        assert (header.space, header.epoch) == (frame.GROUP, 1)
        assert key.open(data, header) == b"wave"
    assert refuses(key.seal, 2, 3, b"") == "too long"
    assert len(key.seal(417, 300, b"wave")) == 13 + 4
    assert refuses(GroupKey(bytes(16), 1).open, sealed[0], frame.parse(sealed[0])) == UNSEALED
    assert repr(key) == "<GroupKey 1>"
    up = seal.uplink_key(SECRET, 1, LIFE).seal(frame.UP, 1, 1, 0, b"wave")  # a key of each space for itself
    assert refuses(key.open, up, frame.parse(up)) == UNSEALED


def test_law_8_a_member_number_is_given_once():
    members = Members()
    assert [members.give(7, LIFE), members.give(8, LIFE), members.give(7, LIFE)] == [1, 2, 1]
    assert members.give(7, b"newlife!") == 3  # a new life counts from 0 again
    again = Members(members.next_member, dict(members.given))
    assert again.give(9, LIFE) == 4
    last = Members(MAX_MEMBER)
    assert last.give(1, LIFE) == MAX_MEMBER
    assert refuses(last.give, 2, LIFE) == "range"


def test_law_8_a_message_is_obeyed_once():
    receiver = Receiver(0)
    assert [receiver.judge(5, seq, 0) for seq in (10, 10, 12, 11, 11)] == [RAISE, DUPLICATE, RAISE, RAISE, DUPLICATE]
    assert receiver.judge(6, 10, 0) == RAISE  # each member has a window of its own
    assert receiver.judge(5, 1000, 0) == RAISE and receiver.judge(5, 12, 0) == DUPLICATE  # below the window


def test_law_8_a_jump_is_obeyed_and_does_not_move_the_window():
    receiver = Receiver(0)
    receiver.judge(5, 100, 0)
    assert receiver.judge(5, 101 + MAX_JUMP, 0) == RAISE
    assert receiver.judge(5, 101, 0) == RAISE and receiver.judge(5, 100, 0) == DUPLICATE
    assert receiver.judge(5, 101 + MAX_JUMP, 0) == RAISE  # exactly at the edge: this one moves it
    assert receiver.judge(5, 102, 0) == DUPLICATE
    assert MAX_JUMP == 4096


def test_law_8_a_window_that_nothing_fell_into_is_forgotten():
    receiver = Receiver(0)
    receiver.judge(5, 0, 0)
    for day in range(1, 4):  # the sender went on where this lamp did not hear it
        receiver.judge(5, 10**6, day * FORGET_S // 4)
    assert receiver.judge(5, 10**6 + 1, FORGET_S) == RAISE
    assert receiver.judge(5, 10**6 + 1, FORGET_S) == DUPLICATE


def test_law_8_after_a_reboot_a_replay_costs_light_and_is_limited():
    receiver = Receiver(0)
    obeyed = [receiver.judge(1 + i, 10**6, 0) for i in range(40)]
    assert obeyed == [RAISE] * MAX_UNPROVEN + [LIMITED] * (40 - MAX_UNPROVEN)
    for _ in range(100):
        receiver.judge(1, 10**9, 0)  # jumps cost from the same allowance
    assert receiver.refused[LIMITED] == 40 - MAX_UNPROVEN + 100
    assert receiver.judge(1, 10**6 + 1, 0) == RAISE  # what is proven new is never limited
    assert receiver.judge(40, 1, UNPROVEN_EVERY_S - 1) == LIMITED
    assert receiver.judge(40, 1, UNPROVEN_EVERY_S) == RAISE
    assert receiver.judge(41, 1, UNPROVEN_EVERY_S) == LIMITED
    assert [receiver.judge(50 + i, 1, 10**6) for i in range(17)] == [RAISE] * 16 + [LIMITED]


def test_law_8_senders_are_bounded():
    receiver = Receiver(0)
    for member in range(1, 200):
        receiver.judge(member, 5, member * UNPROVEN_EVERY_S)
    assert len(receiver._windows) == len(receiver._last_s) == MAX_SENDERS
    assert receiver.judge(199, 5, 200 * UNPROVEN_EVERY_S) == DUPLICATE


def test_law_8_light_is_only_raised_and_only_for_a_time():
    held = Raised()
    held.add(60, 120, 0)
    held.add(30, 600, 0)
    assert [held.level(20, now) for now in (0, 119, 120, 599, 600)] == [60, 60, 30, 30, 20]
    assert held.level(80, 0) == 80  # never lower
    held.add(1, 1, 0)
    assert held.level(20, 0) == 60
    held.add(100, 10**9, 0)
    assert held.level(0, MAX_RAISE_S - 1) == 100 and held.level(0, MAX_RAISE_S) == 0


def test_law_8_order_makes_no_difference_to_what_was_asked_for():
    state = 4711
    for _ in range(60):
        asked = []
        for _ in range(7):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            asked.append(((state >> 8) % 100 + 1, (state >> 16) % 900 + 1))
        for order in (asked, asked[::-1], sorted(asked), sorted(asked)[::-1]):
            held = Raised()
            for level, seconds in order:
                held.add(level, seconds, 0)
            assert len(held._held) <= MAX_RAISES
            for now in (0, 50, 300, 600, 899, 900):
                least = max([0] + [level for level, seconds in asked if now < seconds])
                most = max([level for level, _ in asked]) if now < max([seconds for _, seconds in asked]) else 0
                assert least <= held.level(0, now) <= most


# Law 10


def test_law_10_strangers_end_the_listen_window():
    ends = Ends()
    ends.up()
    ends.end.listen()
    for count in range(MAX_BAD_FRAMES):
        assert ends.end.bad_frames == count
        ends.end.receive(bytes([0x64]) + bytes(40))
    assert MAX_BAD_FRAMES == 8 == ends.end.bad_frames
    assert ends.end.receive(ends.down(3))  # and none of them locks the gateway out
