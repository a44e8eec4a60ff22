"""The outbox: torn tails, a full ring, acknowledged ranges, reports in flight."""

import os

from rig import LIFE, exists, folder, read, write

from kerbnode import flash
from kerbnode.outbox import SEGMENT_RECORDS, Outbox
from kerbwire.flights import MAX_IN_FLIGHT

HOME = "/outbox/6c6966656c696665/"


class Gaps:
    def __init__(self):
        self.declared = []

    def __call__(self, first, count):
        self.declared.append((first, count))


def opened(capacity=64, gaps=None, life=LIFE):
    outbox = Outbox(folder() + "/outbox", capacity, gaps or Gaps())
    outbox.end = outbox.open(life)
    return outbox


def fill(outbox, first, count, boot=0):
    for index in range(first, first + count):
        outbox.append(index, [1000 + index, boot, {0: index % 101, 2: 40, 5: 0}])


def indices(run):
    return [record[0] for record in run]


def test_what_was_appended_is_there_after_a_restart():
    outbox = opened()
    assert outbox.end == 0 and outbox.next_run(48) == []
    fill(outbox, 0, 3)
    again = opened()
    assert again.end == 3 and again.pending(100) == 3
    assert again.next_run(48) == [(i, 1000 + i, 0, {0: i, 2: 40, 5: 0}) for i in range(3)]


def test_segments_hold_32_records_and_are_named_by_their_first():
    fill(opened(), 5, 70)
    assert sorted(os.listdir(folder() + HOME)) == ["00000005", "00000025", "00000045"]
    outbox = opened()
    assert outbox.end == 75 and outbox.pending(1000) == 70
    assert indices(outbox.next_run(48)) == list(range(5, 53))
    fill(outbox, 75, 1)
    assert opened().pending(1000) == 71


def test_a_tail_torn_at_every_byte_loses_that_record_only():
    fill(opened(), 0, 4)
    path = folder() + HOME + "00000000"
    whole = read(path)
    size = len(whole) // 4
    for cut in range(len(whole)):
        write(path, whole[:cut])
        outbox = opened()
        assert outbox.end == cut // size
        assert outbox.pending(100) == cut // size
    for tail in (b"\x00" * 40, b"\xff" * 40, b"\x00\x05abcdefghi"):
        write(path, whole + tail)
        assert opened().end == 4


def test_after_a_torn_tail_records_go_to_a_new_segment():
    fill(opened(), 0, 3)
    path = folder() + HOME + "00000000"
    write(path, read(path)[:-1])
    outbox = opened()
    fill(outbox, 32, 2)
    again = opened()
    assert again.end == 34
    assert indices(again.next_run(48)) == [0, 1]
    again.sent(1, 0, 2)
    assert indices(again.next_run(48)) == [32, 33]


def test_after_a_write_that_failed_records_go_to_a_new_segment():
    outbox = opened()
    fill(outbox, 0, 3)
    path = folder() + HOME + "00000000"
    whole = read(path)
    os.remove(path)
    os.mkdir(path)  # refuses to be written
    try:
        fill(outbox, 3, 1)
        assert False
    except OSError:
        pass
    os.rmdir(path)
    write(path, whole + b"\x00\x09half")
    fill(outbox, 4, 1)
    assert opened().end == 5
    assert indices(opened().next_run(48)) == [0, 1, 2]
    assert opened().pending(100) == 4


def test_a_flipped_byte_ends_its_segment():
    fill(opened(), 0, 40)
    path = folder() + HOME + "00000000"
    data = read(path)
    write(path, data[:-4] + b"\x55" + data[-3:])
    assert opened().pending(100) == 31 + 8


def test_a_run_is_consecutive_of_one_clock_and_its_times_do_not_fall():
    outbox = opened()
    fill(outbox, 0, 2, boot=1)
    fill(outbox, 2, 2, boot=2)
    fill(outbox, 4, 2)
    outbox.append(6, [900, 0, {0: 1}])
    outbox.append(8, [950, 0, {0: 1}])
    for expected in ([0, 1], [2, 3], [4, 5], [6], [8]):
        run = outbox.next_run(48)
        assert indices(run) == expected
        outbox.sent(expected[0], expected[0], len(expected))
        assert outbox.settle([expected[0]], expected[0]) == [expected[0]]
    assert outbox.next_run(48) == []


def test_acknowledged_records_are_not_sent_again_but_stay_on_flash():
    outbox = opened()
    fill(outbox, 0, 50)
    outbox.sent(9, 0, 48)
    assert outbox.settle([9], 9) == [9]
    assert indices(outbox.next_run(48)) == [48, 49]
    outbox.save()
    again = opened()
    assert again.pending(100) == 2 and again.end == 50
    assert exists(folder() + HOME + "00000000")


def test_an_ack_that_was_not_saved_costs_a_resend_and_no_record():
    outbox = opened()
    fill(outbox, 0, 10)
    outbox.sent(9, 0, 10)
    outbox.settle([9], 9)
    assert opened().pending(100) == 10


def test_the_newest_committed_record_is_remembered_if_it_is_dated():
    outbox = opened()
    fill(outbox, 0, 10)
    fill(outbox, 10, 10, boot=3)
    outbox.sent(5, 0, 10)
    outbox.sent(6, 10, 10)
    outbox.settle([6, 5], 6)
    assert tuple(outbox.near) == (9, 1009)
    outbox.save()
    outbox = opened()
    assert tuple(outbox.near) == (9, 1009)
    outbox.forget_near()
    outbox.save()
    assert opened().near is None


def test_law_3_an_ack_one_report_late_triggers_no_resend():
    outbox = opened()
    fill(outbox, 0, 24)
    outbox.sent(5, 0, 24)  # no answer, and the node sleeps
    outbox.save()
    outbox = opened()
    fill(outbox, 24, 24)
    assert indices(outbox.next_run(48)) == list(range(24, 48))
    outbox.sent(6, 24, 24)
    assert outbox.settle([6, 5], 6) == [5, 6]
    assert outbox.pending(100) == 0


def test_what_an_ack_passed_over_is_sent_again():
    outbox = opened()
    fill(outbox, 0, 48)
    outbox.sent(5, 0, 24)
    outbox.sent(6, 24, 24)
    assert outbox.settle([6], 6) == [6]
    assert indices(outbox.next_run(48)) == list(range(24))
    outbox.save()
    assert indices(opened().next_run(48)) == list(range(24))


def test_law_3_an_ack_does_not_touch_reports_sent_after_it():
    outbox = opened()
    fill(outbox, 0, 4)
    outbox.sent(5, 0, 2)
    outbox.sent(6, 2, 2)
    assert outbox.settle([5], 5) == [5]
    assert indices(outbox.next_run(48)) == [2, 3]  # in flight, and nothing else waits
    fill(outbox, 4, 1)
    assert indices(outbox.next_run(48)) == [4]
    assert outbox.settle([99], 5) == []


def test_reports_in_flight_are_bounded():
    outbox = opened()
    fill(outbox, 0, 20)
    for i in range(20):
        outbox.sent(i, i, 1)
    assert indices(outbox.next_run(48)) == list(range(20 - MAX_IN_FLIGHT))


def test_a_full_ring_gives_up_acknowledged_segments_first():
    gaps = Gaps()
    outbox = opened(4, gaps)
    fill(outbox, 0, 4 * SEGMENT_RECORDS)
    outbox.sent(1, 32, 32)
    outbox.settle([1], 1)
    fill(outbox, 128, 1)
    assert sorted(os.listdir(folder() + HOME)) == ["00000000", "00000040", "00000060", "00000080"]
    assert gaps.declared == [] and outbox.dropped == 0
    assert outbox.pending(1000) == 97


def test_a_full_ring_drops_the_oldest_counts_it_and_declares_it():
    gaps = Gaps()
    outbox = opened(4, gaps)
    fill(outbox, 0, 128)
    outbox.sent(1, 0, 10)
    outbox.settle([1], 1)
    fill(outbox, 128, 33)
    assert gaps.declared == [(10, 22), (32, 32)]
    assert outbox.dropped == 54
    assert outbox.pending(1000) == 97 and indices(outbox.next_run(1)) == [64]
    outbox.save()
    again = opened(4)
    assert again.dropped == 54 and again.pending(1000) == 97


def test_a_segment_all_acknowledged_but_for_a_gap_behind_it_is_not_read_again():
    outbox = opened()
    fill(outbox, 0, 3)
    fill(outbox, 32, 3)
    outbox.sent(1, 0, 3)
    outbox.settle([1], 1)
    assert outbox.pending(100) == 3
    outbox.save()
    os.remove(folder() + HOME + "00000000")
    write(folder() + HOME + "00000000", b"")  # would show, were it read
    assert opened().pending(100) == 3


def test_acknowledged_ranges_are_bounded_by_forgetting_the_newest():
    outbox = opened()
    fill(outbox, 0, 80)
    for i in range(40):
        outbox.sent(i, 2 * i, 1)
        outbox.settle([i], i)
    outbox.save()
    again = opened()
    assert again.pending(1000) == 80 - 16
    assert indices(again.next_run(48)) == [1]


def test_records_of_another_life_are_removed_and_counted():
    fill(opened(), 0, 40)
    write(folder() + "/outbox/stray", b"x")
    outbox = opened(life=b"newlife!")
    assert outbox.end == 0 and outbox.stale == 40
    assert os.listdir(folder() + "/outbox") == ["6e65776c69666521"]
    assert opened(life=b"newlife!").stale == 0


def test_a_damaged_state_costs_resends_only():
    outbox = opened()
    fill(outbox, 0, 5)
    outbox.sent(1, 0, 5)
    outbox.settle([1], 1)
    outbox.save()
    path = folder() + HOME + "state"
    data = read(path)
    for damaged in (b"", data[:-1], b"\x00" + data[1:]):
        write(path, damaged)
        assert opened().pending(100) == 5
    write(folder() + HOME + "notes.txt", b"not ours")
    assert opened().pending(100) == 5


def test_a_record_that_cannot_be_sent_is_declared_and_out_of_the_way():
    gaps = Gaps()
    outbox = opened(gaps=gaps)
    fill(outbox, 0, 3)
    outbox.give_up(0)
    assert gaps.declared == [(0, 1)] and outbox.dropped == 1
    assert indices(outbox.next_run(48)) == [1, 2]


def test_a_record_too_long_for_a_segment_is_refused():
    try:
        opened().append(0, [0, 0, dict.fromkeys(range(12), 1 << 40)])
        assert False
    except ValueError:
        pass


class Refusing:
    """Stands in for `open` in kerbnode.flash: a file refuses to be read as often as `times` says."""

    def __init__(self, name, times):
        self._name = name
        self.times = times

    def __call__(self, path, mode):
        if mode == "rb" and self.times and path.endswith(self._name):
            self.times -= 1
            raise OSError(5, "input or output")
        return open(path, mode)


def refusing(name, times):
    flash.open = Refusing(name, times)
    return flash.open


def sent_and_committed(outbox):
    """Every record that goes when all reports are committed at once."""
    gone = []
    for seq in range(20):
        run = outbox.next_run(48)
        if not run:
            break
        outbox.sent(seq, run[0][0], len(run))
        outbox.settle([seq], seq)
        gone += indices(run)
    return gone


def test_a_segment_that_cannot_be_read_once_is_sent_in_a_later_wake():
    fill(opened(), 0, 70)
    for name, times in (("00000000", 1), ("00000000", 99), ("00000020", 1), ("00000020", 99), ("00000040", 2)):
        gaps = Gaps()
        try:
            refusing(name, times)
            outbox = opened(gaps=gaps)
            first = sent_and_committed(outbox)
            outbox.save()
        finally:
            del flash.open
        outbox = opened(gaps=gaps)
        assert sorted(first + sent_and_committed(outbox)) == list(range(70)), name
        assert gaps.declared == [] and outbox.dropped == 0
        os.remove(folder() + HOME + "state") if exists(folder() + HOME + "state") else None


def test_damage_in_a_segment_is_declared_before_the_segment_is_settled():
    fill(opened(), 0, 70)
    path = folder() + HOME + "00000000"
    whole = read(path)
    size = len(whole) // SEGMENT_RECORDS
    for data, left in ((whole[: 3 * size + 8] + b"?" + whole[3 * size + 9 :], 3), (whole[:40], 40 // size), (b"", 0)):
        gaps = Gaps()
        write(path, data)
        outbox = opened(gaps=gaps)
        assert sent_and_committed(outbox) == list(range(left)) + list(range(32, 70))
        assert gaps.declared == [(left, 32 - left)] and outbox.dropped == 1
        assert outbox.pending(100) == 0 and len(gaps.declared) == 1
        outbox.save()
        assert opened(gaps=gaps).pending(100) == 0 and len(gaps.declared) == 1
        os.remove(folder() + HOME + "state")


def test_what_a_full_ring_cannot_read_is_declared_whole():
    for damage in ("unreadable", "rot"):
        gaps = Gaps()
        life, name = (b"unreadab", "756e726561646162") if damage == "unreadable" else (b"rotrotro", "726f74726f74726f")
        fill(opened(4, gaps, life), 0, 128)
        home = "/outbox/" + name + "/00000000"
        data = read(folder() + home)
        if damage == "rot":
            write(folder() + home, data[:60] + b"?" + data[61:])
        outbox = opened(4, gaps, life)
        outbox.sent(1, 0, 1)
        outbox.settle([1], 1)
        try:
            refusing("00000000", 99 if damage == "unreadable" else 0)
            fill(outbox, 128, 1)
        finally:
            del flash.open
        assert gaps.declared == [(1, 31)] and outbox.dropped == 31
        assert not exists(folder() + home)


class Unlisted:
    """Stands in for `os` in kerbnode.flash: the folder of a life refuses to be listed."""

    def mkdir(self, path):
        os.mkdir(path)

    def stat(self, path):
        return os.stat(path)

    def listdir(self, path):
        if path.endswith("/outbox"):
            return os.listdir(path)
        raise OSError(5, "input or output")


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one():
    fill(opened(), 0, 3)
    flash.os = Unlisted()
    try:
        opened()
        assert False
    except OSError as error:
        assert error.errno == 5
    finally:
        flash.os = os
    assert opened().pending(100) == 3


def test_the_newest_time_of_a_boot_counts_acknowledged_records_and_other_segments():
    outbox = opened()
    fill(outbox, 0, 40, boot=3)
    fill(outbox, 64, 5, boot=4)
    fill(outbox, 69, 5)
    outbox.sent(1, 39, 1)
    outbox.settle([1], 1)
    assert outbox.newest_time(3, 0) == outbox.newest_time(3, 39) == 1039
    assert outbox.newest_time(4, 64) == 1068


def test_a_segment_that_the_power_left_empty_hides_neither_the_newest_record_nor_its_judge():
    opened().append(0, [1000, 0, {0: 1}, b"judge"])
    write(folder() + HOME + "00000020", b"")
    again = opened()
    assert again.judge() == b"judge" and again.newest()[0] == 1000
