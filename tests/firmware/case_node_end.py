"""The node's end of the seal (law 2): what counts as the gateway's answer."""

from rig import LIFE, NODE, SECRET, UTC, Gateway

from kerbwire import frame, messages, node_end, seal
from kerbwire.epochs import Epochs
from kerbwire.messages import Ack, Challenge
from kerbwire.node_end import NodeEnd


def started(first_seq=100):
    numbers = list(range(first_seq + 50, first_seq - 1, -1))
    return NodeEnd(NODE, Epochs(1, SECRET), LIFE, numbers.pop)


def spoken(first_seq=100):
    """A session that has sent one frame, number first_seq."""
    node = started(first_seq)
    node.seal(b"\x00")
    node.listen()
    return node


def test_uplinks_carry_the_life_in_hello_only():
    node = started()
    seq, plain = node.seal(b"report")
    header = frame.parse(plain)
    assert (seq, header.seq, header.node, header.epoch, header.space, header.context) == (
        100,
        100,
        NODE,
        1,
        frame.UP,
        b"",
    )
    assert seal.uplink_key(SECRET, NODE, LIFE).open(plain, header) == b"report"
    seq, hello = node.seal(b"hello", with_life=True)
    assert seq == 101 and frame.parse(hello).context == LIFE


def test_an_answer_to_a_frame_of_this_wake_counts():
    node, gateway = spoken(), Gateway()
    answer = node.receive(gateway.seal(LIFE, Ack(100, [100], UTC)))
    assert answer == Ack(100, [100], UTC)
    assert node.instance == b"instance" and node.refused == {}
    assert node.receive(gateway.seal(LIFE, Challenge(100, b"8 bytes!"))) == Challenge(100, b"8 bytes!")


def test_law_2_an_answer_to_an_earlier_wake_is_stale():
    node, gateway = spoken(), Gateway()
    for echo in (0, 99, 101):
        assert node.receive(gateway.seal(LIFE, Ack(echo, []))) is None
    assert node.refused == {node_end.STALE: 3}
    assert node.instance != b"instance"  # a stale answer does not even change the instance


def test_law_2_nothing_counts_before_the_first_frame():
    assert started().receive(Gateway().seal(LIFE, Ack(100, [100]))) is None


def test_law_2_a_replayed_downlink_is_refused():
    node, gateway = spoken(), Gateway()
    answer = gateway.seal(LIFE, Ack(100, [100]))
    assert node.receive(answer)
    assert node.receive(answer) is None
    assert node.refused == {node_end.REPLAYED: 1}


def test_downlinks_may_come_out_of_order_within_the_window():
    node, gateway = spoken(), Gateway()
    assert node.receive(gateway.seal(LIFE, Ack(100, [100]), seq=70))
    assert node.receive(gateway.seal(LIFE, Ack(100, [100]), seq=20))
    assert node.receive(gateway.seal(LIFE, Ack(100, [100]), seq=6)) is None


def test_law_9_frames_for_others_are_no_bad_frames():
    node, gateway = spoken(), Gateway()
    assert node.receive(gateway.seal(LIFE, Ack(100, []), node=NODE + 1)) is None
    assert node.receive(node.seal(b"echo of our own")[1]) is None
    assert node.refused == {node_end.FOREIGN: 2} and node.bad_frames == 0


def test_other_keys_epochs_and_any_flipped_bit_are_refused():
    node, gateway = spoken(), Gateway()
    other_life = gateway.seal(b"LIFELIFE", Ack(100, []))
    assert node.receive(other_life) is None
    assert node.receive(gateway.seal(LIFE, Ack(100, []), epoch=2)) is None
    answer = gateway.seal(LIFE, Ack(100, [100], UTC))
    for bit in range(8 * len(answer)):
        flipped = bytearray(answer)
        flipped[bit // 8] ^= 1 << bit % 8
        assert node.receive(bytes(flipped)) is None
    for size in range(len(answer)):
        assert node.receive(answer[:size]) is None
    assert node.receive(answer)


def test_law_2_another_instance_needs_a_newer_echo():
    node, gateway = spoken(), Gateway()
    assert node.receive(gateway.seal(LIFE, Ack(100, [100])))
    gateway.restart(b"restored")
    assert node.receive(gateway.seal(LIFE, Ack(100, [100]))) is None
    assert node.refused == {node_end.STALE: 1} and node.instance == b"instance"
    node.seal(b"\x00")
    assert node.receive(gateway.seal(LIFE, Ack(101, [100, 101])))
    assert node.instance == b"restored"
    old = Gateway()
    old.next_seq = 40
    assert node.receive(old.seal(LIFE, Ack(101, [101]))) is None


def test_an_instance_that_is_known_may_stay_unsaid():
    node = NodeEnd(NODE, Epochs(1, SECRET), LIFE, [100].pop, b"instance")
    node.seal(b"\x00")
    assert node.receive(Gateway().seal(LIFE, Ack(100, [100]), context=b""))


def test_an_unknown_kind_is_counted_and_not_bad():
    node, gateway = spoken(), Gateway()
    assert node.receive(gateway.seal(LIFE, b"\x82\x16\xa0")) is None
    assert node.refused == {node_end.UNKNOWN: 1} and node.bad_frames == 0
    assert node.receive(gateway.seal(LIFE, b"\x82\x08\xa0")) is None
    assert node.refused[node_end.DAMAGED] == 1


def test_law_10_bad_frames_are_counted_by_window():
    node = spoken()
    for _ in range(node_end.MAX_BAD_FRAMES):
        node.receive(b"noise of enough length")
    assert node.bad_frames == node_end.MAX_BAD_FRAMES
    node.listen()
    assert node.bad_frames == 0


def test_no_bytes_make_it_raise():
    node = spoken()
    for size in range(0, 260, 3):
        for fill in (0, 0x20, 0x64, 0xFF):
            assert node.receive(bytes([fill]) * size) is None


def test_messages_of_the_other_direction_are_not_taken():
    node, gateway = spoken(), Gateway()
    report = messages.encode(messages.Report([messages.Record(0, UTC, {0: 1})]))
    assert node.receive(gateway.seal(LIFE, report)) is None
