"""What a node keeps over a reset: the log on flash, bounded, and the last crash."""

import os

from rig import exists, folder, read

from kerbnode import log
from kerbnode.journal import MAX_KEPT, MAX_LINE, Journal


def place(name):
    path = folder() + "/" + name
    os.mkdir(path)
    return path


def journal():
    lines = []
    return Journal(lines.append), lines


def kept(path):
    lines = []
    for name in log.NAMES:
        if exists(path + "/" + name):
            lines += log.lines(read(path + "/" + name))
    return lines


def test_a_wake_without_a_note_writes_nothing():
    node = place("quiet")
    writer, lines = journal()
    writer.line("boot", "of a wake")
    writer.line("taken", 1)
    writer.save(node, 1767225600)
    assert lines == ["boot of a wake", "taken 1"] and os.listdir(node) == []


def test_notes_of_a_wake_are_one_append_with_its_moment():
    node = place("noted")
    writer, _ = journal()
    writer.note("unknown setting", "x")
    writer.keep("boot", "ab")
    writer.save(node, "+17")
    writer.save(node, "+18")  # nothing new
    writer.note("second")
    writer.save(node, 1767225600)
    assert kept(node) == ["@ +17", "note unknown setting x", "boot ab", "@ 1767225600", "note second"]


def test_a_line_is_printable_and_short_however_it_came():
    writer, lines = journal()
    writer.note("a\nb\x1b[31m" + chr(233) + "x" * 500)
    assert len(lines) == 1 and len(lines[0]) <= MAX_LINE
    assert lines[0].startswith("note a?b?[31m?x")


def test_a_wake_that_never_stops_noting_keeps_its_first_lines_and_a_count():
    node = place("chatty")
    writer, _ = journal()
    for number in range(MAX_KEPT + 9):
        writer.note(number)
    writer.save(node, "-")
    assert kept(node) == ["@ -"] + [f"note {number}" for number in range(MAX_KEPT)] + ["note 9 lines more"]


def test_the_log_is_bounded_and_keeps_the_newest():
    node = place("long")
    for number in range(500):
        log.append(node, number, [f"note number {number}"])
    sizes = [os.stat(node + "/" + name)[6] for name in log.NAMES]
    assert max(sizes) <= log.SEGMENT and min(sizes) > 0
    lines = kept(node)
    assert lines[-1] == "note number 499"
    numbers = [int(line.split()[2]) for line in lines if line[0] == "n"]
    assert numbers == list(range(numbers[0], 500)) and len(numbers) > 60


def test_the_last_crash_is_kept_once_and_whole():
    node = place("crashed")

    def crash(text):
        try:
            raise ValueError(text)
        except ValueError as error:
            return error

    log.keep_crash(node, "+1", "note crash 1 ValueError a", crash("a"))
    first = read(node + "/" + log.CRASH)
    lines = log.lines(first)
    assert lines[:2] == ["@ +1", "note crash 1 ValueError a"]
    assert lines[2].startswith("Traceback") and lines[-1] == "ValueError: a"
    log.keep_crash(node, "+60", "note crash 2 ValueError a", crash("a"))  # the same again: no write
    assert read(node + "/" + log.CRASH) == first
    log.keep_crash(node, "+90", "note crash 1 ValueError b", crash("b" * 5000))
    assert log.lines(read(node + "/" + log.CRASH))[0] == "@ +90"
    assert os.stat(node + "/" + log.CRASH)[6] < log.MAX_CRASH + 200


def test_what_a_torn_write_leaves_is_shown_safely():
    assert log.lines(b"note a\n\xff\x00\x1b[2J\n\nnote b") == ["note a", "???[2J", "note b"]


def test_a_flash_that_refuses_costs_the_lines_only():
    writer, lines = journal()
    writer.note("x")
    writer.save("/nowhere/at/all", "-")
    assert lines[0] == "note x" and lines[1].startswith("note log ")
    writer.save(place("later"), "-")


def test_no_heap_for_the_log_costs_the_lines_only():
    node = place("starved")
    writer, lines = journal()
    writer.note("x")
    append = log.append

    def refuse(*_):
        raise MemoryError("allocating 1168 bytes")

    log.append = refuse
    try:
        writer.save(node, "-", ValueError("y"))
    finally:
        log.append = append
    assert lines[-1].startswith("note log MemoryError")
