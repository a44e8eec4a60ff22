"""What a long wake does once, at its start: finding counters and outbox on flash. Loaded for that, and let go of before
what samples and what speaks: the heap need not bear both.

node: a kerbnode.bin.node.Node; counters: a kerbnode.counters.Counters; box: a kerbnode.outbox.Outbox, whose insides
these functions share. No class is defined here: what is made of it would keep all of this in the heap.
"""

from kerbnode import flash, hal, retained
from kerbnode.chunks import SEGMENT_RECORDS, scan, shown
from kerbnode.counters import BOOT_COUNT, CONFIRMED, GAPS, GENERATION, HALF, INDEX_LIMIT, INTACT, LIFE, LOST, SEQ_LIMIT
from kerbnode.outbox import STATE, segment_names
from kerbwire.flights import Flights

LIFE_SIZE = 8
MAX_BLOCK = 64  # the most that settings let a block be; the skip has to cover any earlier setting
MAX_READ_ERRORS = 8  # wakes in a row that slots may refuse to be read, about 3 hours of retries; then they are lost


def begin(node, state, crashes, sample) -> "tuple[retained.State, bool, int]":
    """(state, whether this is a reboot, failed starts before this one): open counters and outbox, and say so on the
    console."""
    failures = crashes
    if state is None:
        failures = max(crashes, _failures(node, crashes))
        if failures and node.on_trial():
            node._roll_back()
    counters, outbox, journal = node.counters, node.outbox, node._journal
    counters.open(crashes)
    is_boot = state is None or not counters.resume(state)
    if is_boot:
        for complaint in node._complaints:
            journal.note(complaint)
        if counters.state in (LOST, HALF):
            journal.note("counters:", "new life" if counters.state == LOST else "one slot lost")
        counters.reboot(node._hal.random, outbox.open)
        state = retained.State()
        state.flags = retained.HELLO | retained.SAMPLE
    else:
        outbox.open(counters.life)
    if outbox.stale:
        journal.note("removed", outbox.stale, "records of an earlier life")
    journal.boot = counters.boot_count
    node._cause = hal.DEEP_SLEEP
    if is_boot:
        node._cause = hal.SOFT if crashes else node._hal.reset_cause()
    say = journal.keep if is_boot else journal.line
    if is_boot or not sample:  # else it is said already
        say("boot", shown(counters.life), counters.next_seq, counters.next_index, hal.CAUSES[node._cause])
    return state, is_boot, failures  # pyright: ignore[reportReturnType]  # without one it is a reboot


def _failures(node, crashes):
    """Boots since the last that got as far as its sleep; 0 before the first."""
    good = flash.load(node._folder + "/good")
    if not isinstance(good, int):
        return 0
    node.counters.open(crashes)
    return max(0, node.counters.boot_count - good)


def slots(counters, crashes):
    """As Counters.open."""
    found = []
    failed = None
    for path in counters._paths:
        try:
            slot = flash.load(path, True)
        except OSError as error:
            failed = error
            continue
        if _is_slot(slot):
            found.append(slot)
    if not found:
        if failed and crashes < MAX_READ_ERRORS:
            raise failed
        return
    found.sort(key=lambda slot: slot[GENERATION])
    newest = found[-1]
    counters.generation = newest[GENERATION]
    counters.life = newest[LIFE]
    counters.seq_limit = newest[SEQ_LIMIT]
    counters.index_limit = newest[INDEX_LIMIT]
    counters.boot_count = newest[BOOT_COUNT]
    counters.gaps = newest[GAPS]
    counters.confirmed = newest[CONFIRMED]
    older = found[0]
    follow = older[LIFE] == counters.life and older[GENERATION] == counters.generation - 1
    counters.state = INTACT if follow else HALF


def resume(counters, state):
    """As Counters.resume."""
    if counters.state != INTACT or state.generation != counters.generation & 0xFFFF:
        return False
    if state.life_tag != retained.life_tag(counters.life):
        return False
    counters.next_seq = counters.seq_limit - state.seq_left
    counters.next_index = counters.index_limit - state.index_left
    return counters.next_seq >= 0 and counters.next_index >= 0


def reboot(counters, random, open_records):
    """As Counters.reboot."""
    if counters.state == LOST:
        counters.life = random(LIFE_SIZE)
    skip = 2 * MAX_BLOCK if counters.state == HALF else 0
    counters.next_seq = counters.seq_limit + skip
    counters.next_index = counters.index_limit + skip
    counters.boot_count += 2 if counters.state == HALF else 1  # a lost slot may have counted one boot more
    if counters.state == LOST:
        counters._reserve()  # before open_records removes what other lives have left
    counters._note_gap(open_records(counters.life), counters.next_index)
    counters._reserve()
    if counters.state == HALF:
        counters._rewrite()
    counters.state = INTACT


def _is_slot(slot):
    if not isinstance(slot, dict) or sorted(slot) != list(range(7)):
        return False
    for key in (GENERATION, SEQ_LIMIT, INDEX_LIMIT, BOOT_COUNT):
        if not isinstance(slot[key], int):
            return False
    return isinstance(slot[LIFE], bytes) and len(slot[LIFE]) == LIFE_SIZE and isinstance(slot[GAPS], list)


def records(box, life):
    """As Outbox.open."""
    flash.make_folder(box._root)
    name = shown(life)
    for other in flash.names(box._root):
        if other != name:
            from kerbnode import upkeep

            box.stale += upkeep.remove_other(box._root + "/" + other)
    box._folder = box._root + "/" + name
    flash.make_folder(box._folder)
    box._segments = segment_names(box._folder)
    state = flash.load(box._folder + "/" + STATE)
    if isinstance(state, dict) and sorted(state) == [0, 1, 2, 3, 4, 5, 6]:
        box._acked, box.dropped, box.aside = state[0], state[2], state[4]
        box._flights = Flights(state[1], state[3])
        box.near, box.told = state[5], state[6]
    end = box._acked[-1][1] if box._acked else 0
    if box._segments:
        first = box._segments[-1]
        data = flash.read(box._path(first))
        count, size = scan(data or b"")
        if data is not None:
            box._sizes[first] = count
            box._tail_end = first + count if size == len(data) and count < SEGMENT_RECORDS else None
        end = max(end, first + count)
    return end
