"""Counters (law 1): every state of the two slots, the reservation, and the gaps."""

import os

from rig import Random, exists, folder, read, write

from kerbnode import flash
from kerbnode.counters import HALF, INTACT, LOST, Counters
from kerbnode.gaps import MAX_GAPS
from kerbnode.opening import MAX_BLOCK, MAX_READ_ERRORS
from kerbnode.retained import State

SLOTS = ("/counters.0", "/counters.1")


def opened(seq_block=16, index_block=32):
    counters = Counters(folder(), seq_block, index_block)
    counters.open()
    return counters


def started(random, records_end=0):
    counters = opened()
    counters.reboot(random, lambda life: records_end)
    return counters


def slept(counters):
    state = State()
    counters.save_to(state)
    return state


def test_a_fresh_board_draws_a_life_and_writes_both_slots():
    random = Random()
    counters = opened()
    assert counters.state == LOST
    counters.reboot(random, lambda life: 0)
    assert counters.life == bytes(7) + b"\x01" and not counters.confirmed
    assert (counters.next_seq, counters.next_index, counters.boot_count, counters.gaps) == (0, 0, 1, [])
    assert all(exists(folder() + slot) for slot in SLOTS)
    assert opened().state == INTACT


def test_law_1_a_reboot_starts_at_the_reserved_limits_and_declares_what_it_skips():
    random = Random()
    counters = started(random)
    assert [counters.take_index() for _ in range(5)] == [0, 1, 2, 3, 4]
    assert [counters.take_seq() for _ in range(3)] == [0, 1, 2]
    again = started(random, records_end=5)
    assert again.life == counters.life and again.boot_count == 2
    assert (again.next_seq, again.next_index) == (16, 32)
    assert again.gaps == [[5, 27]]
    assert random.drawn == 1


def test_a_wake_goes_on_where_the_sleep_stopped_and_writes_nothing():
    counters = started(Random())
    counters.take_seq()
    for _ in range(2):
        counters.take_index()
    before = [read(folder() + slot) for slot in SLOTS]
    woken = opened()
    assert woken.resume(slept(counters))
    assert (woken.take_seq(), woken.take_index()) == (1, 2)
    assert [read(folder() + slot) for slot in SLOTS] == before


def test_retained_memory_of_another_generation_or_life_is_refused():
    random = Random()
    counters = started(random)
    state = slept(counters)
    other = slept(counters)
    other.life_tag ^= 1
    assert not opened().resume(other)
    started(random)  # a reboot in between: the state is of a generation before
    assert not opened().resume(state)


def test_law_1_numbers_are_on_flash_before_they_are_handed_out():
    counters = started(Random())
    for taken in range(100):
        assert counters.take_seq() == taken
        assert opened().seq_limit > taken
    for taken in range(100):
        assert counters.take_index() == taken
        assert opened().index_limit > taken


def test_law_1_a_reservation_that_cannot_be_written_hands_out_nothing():
    counters = started(Random())
    for _ in range(16):
        counters.take_seq()
    older = folder() + SLOTS[(counters.generation + 1) & 1]
    os.remove(older)
    os.mkdir(older)  # a slot that refuses to be written
    for _ in range(3):
        try:
            counters.take_seq()
            assert False
        except OSError:
            pass
    os.rmdir(older)
    assert counters.take_seq() == 16
    assert opened().state == INTACT


def test_law_1_one_slot_unreadable_skips_what_it_may_have_reserved():
    for lost in (0, 1):
        for damage in ("gone", "empty", "torn", "flipped", "foreign"):
            path = folder() + SLOTS[lost]
            for slot in SLOTS:
                if exists(folder() + slot):
                    os.remove(folder() + slot)
            counters = started(Random())
            while counters.generation & 1 != lost:  # the newer slot is the one to be lost
                counters.take_seq()
            used_seq = [counters.take_seq() for _ in range(20)][-1]
            used_index = [counters.take_index() for _ in range(40)][-1]
            state = slept(counters)
            data = read(path)
            if damage == "gone":
                os.remove(path)
            elif damage == "foreign":
                flash.store(path, {1: 2})
            else:
                write(path, {"empty": b"", "torn": data[:-3], "flipped": data[:9] + b"?" + data[10:]}[damage])
            again = opened()
            assert again.state == HALF, damage
            assert not again.resume(state)
            again.reboot(Random(), lambda life, end=used_index + 1: end)
            assert again.life == counters.life
            assert again.next_seq > used_seq and again.next_index > used_index
            assert again.boot_count > counters.boot_count
            assert opened().state == INTACT


def test_law_1_losing_one_slot_after_the_other_never_repeats_a_number():
    counters = started(Random())
    used = -1
    for lost in (0, 1, 1, 0, 0, 1, 0, 1, 1):
        for _ in range(21):
            seq = counters.take_seq()
            assert seq > used
            used = seq
        os.remove(folder() + SLOTS[lost])
        counters = opened(MAX_BLOCK, MAX_BLOCK)
        counters.reboot(Random(), lambda life: 0)
        assert counters.next_seq > used


def test_every_torn_slot_leaves_one_that_counts():
    counters = started(Random())
    for _ in range(17):
        counters.take_seq()
    newer = folder() + SLOTS[counters.generation & 1]
    data = read(newer)
    for size in range(len(data)):
        write(newer, data[:size])
        again = opened()
        assert again.state == HALF and again.life == counters.life and again.seq_limit == 16
    write(newer, data + b"x")
    assert opened().state == HALF


def test_law_1_both_slots_gone_is_a_new_life_from_zero():
    random = Random()
    counters = started(random)
    counters.take_seq()
    counters.confirm([])
    for slot in SLOTS:
        write(folder() + slot, b"\xff" * 60)
    again = opened()
    assert again.state == LOST
    again.reboot(random, lambda life: 0)
    assert again.life != counters.life and not again.confirmed
    assert (again.next_seq, again.next_index, again.boot_count) == (0, 0, 1)


def test_law_1_a_gap_stays_until_a_hello_that_carried_it_was_acknowledged():
    random = Random()
    started(random)
    counters = started(random, records_end=5)
    carried = list(counters.gaps)
    counters.declare_gap(2, 1)
    counters.confirm(carried)
    assert counters.confirmed and counters.gaps == [[2, 1]]
    assert not opened().confirmed, "what speaks fills the heap: no file is written now"
    counters.save()
    files = [read(folder() + slot) for slot in SLOTS]
    counters.save()
    assert [read(folder() + slot) for slot in SLOTS] == files, "once"
    again = opened()
    assert again.confirmed and again.gaps == [[2, 1]]
    again.reboot(random, lambda life: again.index_limit)  # nothing skipped
    assert again.gaps == [[2, 1]]
    again.confirm([[2, 1]])
    again.take_index(again.index_limit - again.next_index + 1)  # any other write takes it along
    assert opened().gaps == []


def test_gaps_join_where_they_touch_and_the_nearest_join_when_there_are_too_many():
    counters = started(Random())
    counters.declare_gap(10, 5)
    counters.declare_gap(15, 5)
    counters.declare_gap(8, 3)
    assert counters.gaps == [[8, 12]]
    for i in range(1, MAX_GAPS):
        counters.declare_gap(100 * i, 1)
    counters.declare_gap(203, 2)
    assert len(counters.gaps) == MAX_GAPS
    assert [200, 5] in counters.gaps
    assert opened().gaps == counters.gaps


def refusing(*paths):
    """Slots that are there and cannot be read."""

    def refuse(path, mode):
        if mode == "rb" and path[-len(SLOTS[0]) :] in paths:
            raise OSError(5, "input or output")
        return open(path, mode)

    flash.open = refuse


def test_slots_that_cannot_be_read_are_waited_for_and_not_replaced():
    counters = started(Random())
    for paths, gone in ((SLOTS, None), (SLOTS[:1], SLOTS[1]), (SLOTS[1:], SLOTS[0])):
        kept = read(folder() + gone) if gone else None
        if gone:
            os.remove(folder() + gone)
        for crashes in range(MAX_READ_ERRORS + 1):
            again = Counters(folder(), 16, 32)
            try:
                refusing(*paths)
                again.open(crashes)
                assert crashes == MAX_READ_ERRORS and again.state == LOST
            except OSError as error:
                assert crashes < MAX_READ_ERRORS and error.errno == 5
            finally:
                del flash.open
        if gone:
            write(folder() + gone, kept)
    assert opened().life == counters.life and opened().state == INTACT


def test_one_slot_that_cannot_be_read_is_as_good_as_lost():
    started(Random())
    for slot in SLOTS:
        try:
            refusing(slot)
            assert opened().state == HALF
        finally:
            del flash.open


def test_a_new_life_is_on_flash_before_the_outbox_removes_another():
    counters = opened()
    seen = []
    counters.reboot(Random(), lambda life: seen.append(opened().life == life) or 0)
    assert seen == [True]


def test_a_reboot_from_one_slot_counts_a_boot_that_the_other_may_have_counted():
    started(Random())
    counters = started(Random())
    assert counters.boot_count == 2
    os.remove(folder() + SLOTS[counters.generation & 1])
    assert started(Random()).boot_count >= 3
    counters = opened()
    os.remove(folder() + SLOTS[0])
    again = opened()
    again.reboot(Random(), lambda life: 0)
    assert again.boot_count == counters.boot_count + 2
