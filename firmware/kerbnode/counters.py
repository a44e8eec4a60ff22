"""Life, sequence numbers and record numbers (law 1): reserved ahead together, in two slots on flash.

    open     both slots readable       INTACT   a wake may resume; a reboot starts at the reserved limits
             one readable              HALF     a reboot starts two of the largest blocks beyond its limits
             none                      LOST     a reboot draws a new life

A slot counts as lost if it is absent or damaged. Where none counts and one is there but cannot be read, `open` raises:
the error may pass, and a new life would cost every record that waits.

Two slots' limits differ by one block at most, because a skip is written to both: so a start from either one is safe.
firmware/OUTBOX.md has the reasoning.
"""

from kerbnode import flash
from kerbnode.retained import life_tag

LOST, HALF, INTACT = 0, 1, 2
LIFE_SIZE = 8
MAX_BLOCK = 64  # the most that settings let a block be; the skip has to cover any earlier setting
MAX_READ_ERRORS = 8  # wakes in a row that slots may refuse to be read, about 3 hours of retries; then they are lost

_GENERATION, _LIFE, _SEQ_LIMIT, _INDEX_LIMIT, _BOOT_COUNT, _GAPS, _CONFIRMED = 0, 1, 2, 3, 4, 5, 6


class Counters:
    """The numbers of one life. Call `resume` or else `reboot` before anything is taken.

    seq_limit, index_limit: numbers below them are reserved. gaps: [first, count] of record numbers that will never
    come, kept until a hello that carried them was acknowledged.
    """

    def __init__(self, folder, seq_block, index_block):
        self._paths = (folder + "/counters.0", folder + "/counters.1")
        self._seq_block = seq_block
        self._index_block = index_block
        self.state = LOST
        self.generation = -1
        self.life = b""
        self.next_seq = self.seq_limit = 0
        self.next_index = self.index_limit = 0
        self.boot_count = 0
        self.gaps = []
        self.confirmed = False

    def open(self, crashes=0):
        """Read both slots. Writes nothing. OSError if no slot counts and one cannot be read, for so many crashes."""
        slots = []
        failed = None
        for path in self._paths:
            try:
                slot = flash.load(path, True)
            except OSError as error:
                failed = error
                continue
            if _is_slot(slot):
                slots.append(slot)
        if not slots:
            if failed and crashes < MAX_READ_ERRORS:
                raise failed
            return
        slots.sort(key=lambda slot: slot[_GENERATION])
        newest = slots[-1]
        self.generation = newest[_GENERATION]
        self.life = newest[_LIFE]
        self.seq_limit = newest[_SEQ_LIMIT]
        self.index_limit = newest[_INDEX_LIMIT]
        self.boot_count = newest[_BOOT_COUNT]
        self.gaps = newest[_GAPS]
        self.confirmed = newest[_CONFIRMED]
        older = slots[0]
        follow = older[_LIFE] == self.life and older[_GENERATION] == self.generation - 1
        self.state = INTACT if follow else HALF

    def resume(self, state):
        """Go on where a clean sleep stopped. False if retained memory and slots do not belong together."""
        if self.state != INTACT or state.generation != self.generation & 0xFFFF:
            return False
        if state.life_tag != life_tag(self.life):
            return False
        self.next_seq = self.seq_limit - state.seq_left
        self.next_index = self.index_limit - state.index_left
        return self.next_seq >= 0 and self.next_index >= 0

    def reboot(self, random, open_records):
        """Start anew beyond everything that may have been used, in the same life if any slot knows it.

        random(n): n random bytes. open_records(life): opens the outbox and returns the number after its newest record;
        from there up to the first new one is a gap.
        """
        if self.state == LOST:
            self.life = random(LIFE_SIZE)
        skip = 2 * MAX_BLOCK if self.state == HALF else 0
        self.next_seq = self.seq_limit + skip
        self.next_index = self.index_limit + skip
        self.boot_count += 2 if self.state == HALF else 1  # a lost slot may have counted one boot more
        if self.state == LOST:
            self._reserve()  # before open_records removes what other lives have left
        self._note_gap(open_records(self.life), self.next_index)
        self._reserve()
        if self.state == HALF:
            self._rewrite()
        self.state = INTACT

    def take_seq(self):
        """A sequence number that was never used before, reserved on flash by the time this returns."""
        if self.next_seq >= self.seq_limit:
            self._reserve()
        self.next_seq += 1
        return self.next_seq - 1

    def take_index(self, count=1):
        """The first of so many record numbers in a row, likewise."""
        if self.next_index + count > self.index_limit:
            self._reserve(count)
        self.next_index += count
        return self.next_index - count

    def reserve_ahead(self, count):
        """Have so many sequence numbers in hand: taking them then needs no flash."""
        if self.seq_limit - self.next_seq < count:
            self._reserve()

    def declare_gap(self, first, count):
        """Note on flash that these records will never come. Call it before they are removed."""
        self._note_gap(first, first + count)
        self._rewrite()

    def confirm(self, gaps):
        """The gateway has committed a hello that carried these gaps."""
        left = [gap for gap in self.gaps if gap not in gaps]
        if not self.confirmed or len(left) != len(self.gaps):
            self.confirmed = True
            self.gaps = left
            self._rewrite()

    def save_to(self, state):
        """Fill in a retained State."""
        state.generation = self.generation
        state.life_tag = life_tag(self.life)
        state.seq_left = self.seq_limit - self.next_seq
        state.index_left = self.index_limit - self.next_index

    def _reserve(self, count=0):
        self._write(self.next_seq + self._seq_block, self.next_index + max(count, self._index_block))

    def _write(self, seq_limit, index_limit):
        """Write the next generation over the older slot. A write that fails changes nothing here."""
        generation = self.generation + 1
        flash.store(
            self._paths[generation & 1],
            {
                _GENERATION: generation,
                _LIFE: self.life,
                _SEQ_LIMIT: seq_limit,
                _INDEX_LIMIT: index_limit,
                _BOOT_COUNT: self.boot_count,
                _GAPS: self.gaps,
                _CONFIRMED: self.confirmed,
            },
        )
        self.generation = generation
        self.seq_limit = seq_limit
        self.index_limit = index_limit

    def _rewrite(self):
        self._write(self.seq_limit, self.index_limit)

    def _note_gap(self, first, end):
        if first < end:
            from kerbnode import gaps

            self.gaps = gaps.joined(self.gaps, first, end)


def _is_slot(slot):
    if not isinstance(slot, dict) or sorted(slot) != list(range(7)):
        return False
    for key in (_GENERATION, _SEQ_LIMIT, _INDEX_LIMIT, _BOOT_COUNT):
        if not isinstance(slot[key], int):
            return False
    return isinstance(slot[_LIFE], bytes) and len(slot[_LIFE]) == LIFE_SIZE and isinstance(slot[_GAPS], list)
