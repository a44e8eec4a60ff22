"""What a lamp has to account for: nothing is lost that is not counted, and each thing has its number."""

from kerbnode.lamp.changes import Changes
from kerbnode.lamp.evidence import APPENDED, MAX_EVENTS, Evidence
from kerbwire.channels import BY_FAULT, BY_PRESENCE, CAUSE, LEVEL


class Clock:
    utc_s = None

    def utc(self):
        return self.utc_s

    def uptime(self):
        return 500


class Counters:
    boot_count, life, next_index = 9, b"\x01" * 8, 40

    def take_index(self, count):
        self.next_index += count
        return self.next_index - count


class Outbox:
    dropped = 0

    def __init__(self):
        self.runs = []

    def append(self, index, *items):
        self.runs.append((index, list(items)))


class Journal:
    def __init__(self):
        self.notes, self.lines = [], []

    def note(self, *words):
        self.notes.append(words)

    def line(self, *words):
        self.lines.append(words)

    keep = line


def make():
    outbox, journal, changes, breaths = Outbox(), Journal(), Changes(), []
    evidence = Evidence(Clock(), Counters(), outbox, changes, None, journal, lambda: breaths.append(1))
    return evidence, outbox, journal, changes, breaths


def test_events_that_find_no_room_are_counted_and_told():
    evidence, outbox, journal, _, _ = make()
    evidence.tell([(code, 1, 0, {}) for code in range(MAX_EVENTS - 2)])
    evidence.tell([(code, 1, 0, {}) for code in range(5)])
    assert len(evidence.events) == MAX_EVENTS and evidence.lost == 3
    assert evidence.keep() and not evidence.waits
    assert journal.notes == [("events lost:", 3)] and evidence.lost == 0
    assert sum([len(items) for _, items in outbox.runs]) == MAX_EVENTS
    assert not evidence.keep() and len(journal.notes) == 1


def test_what_is_kept_is_numbered_in_runs_that_a_segment_holds_and_dated_by_the_boot_until_the_clock_is_set():
    evidence, outbox, journal, changes, breaths = make()
    changes.start(20, BY_PRESENCE, 1000)
    for second in range(2, 22):
        changes.jump(100 if second & 1 else 20, BY_FAULT, 1000 * second)
    evidence.tell([(34, 2, 0, {})])
    assert evidence.keep()
    assert [(index, len(items)) for index, items in outbox.runs] == [(40, APPENDED), (40 + APPENDED, 5)]
    first, last = outbox.runs[0][1][0], outbox.runs[1][1][-1]
    assert first == [1, 9, {LEVEL: 20, CAUSE: BY_PRESENCE}, b""] and last == [500, 9, {}, 34, 2, 0, b""]
    assert journal.lines[0] == ("changed", "01" * 8, 40) and journal.lines[-1][0] == "event" and len(breaths) == 2


def test_what_flash_refuses_is_not_lost():
    evidence, outbox, _, changes, _ = make()
    changes.start(100, BY_PRESENCE, 1000)
    evidence.tell([(7, 1, 0, {})])

    def refuse(index, *items):
        raise OSError(28)

    outbox.append = refuse
    try:
        evidence.keep()
    except OSError:
        pass
    else:
        raise AssertionError("it has no place")
    assert evidence.events == [] and len(changes.unkept) == 2
    held = changes.take(Clock(), 9)  # for the next start
    assert [len(item) for item in held] == [4, 7] and changes.unkept == []
