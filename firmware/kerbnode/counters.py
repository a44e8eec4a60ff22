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
GENERATION, LIFE, SEQ_LIMIT, INDEX_LIMIT, BOOT_COUNT, GAPS, CONFIRMED = 0, 1, 2, 3, 4, 5, 6  # of a slot


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
        self._changed = False  # by what is not on flash yet

    def open(self, crashes=0):
        """Read both slots. Writes nothing. OSError if no slot counts and one cannot be read, for so many crashes."""
        from kerbnode import opening

        opening.slots(self, crashes)

    def resume(self, state):
        """Go on where a clean sleep stopped. False if retained memory and slots do not belong together."""
        from kerbnode import opening

        return opening.resume(self, state)

    def reboot(self, random, open_records):
        """Start anew beyond everything that may have been used, in the same life if any slot knows it.

        random(n): n random bytes. open_records(life): opens the outbox and returns the number after its newest record;
        from there up to the first new one is a gap.
        """
        from kerbnode import opening

        opening.reboot(self, random, open_records)

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
        """The gateway has committed a hello that carried these gaps. `save` puts that on flash, when what speaks has
        left the heap: losing it costs one more hello."""
        left = [gap for gap in self.gaps if gap not in gaps]
        if not self.confirmed or len(left) != len(self.gaps):
            self.confirmed = True
            self.gaps = left
            self._changed = True

    def save(self):
        """Put on flash what is not there yet."""
        if self._changed:
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
                GENERATION: generation,
                LIFE: self.life,
                SEQ_LIMIT: seq_limit,
                INDEX_LIMIT: index_limit,
                BOOT_COUNT: self.boot_count,
                GAPS: self.gaps,
                CONFIRMED: self.confirmed,
            },
        )
        self._changed = False
        self.generation = generation
        self.seq_limit = seq_limit
        self.index_limit = index_limit

    def _rewrite(self):
        self._write(self.seq_limit, self.index_limit)

    def _note_gap(self, first, end):
        if first < end:
            from kerbnode import gaps

            self.gaps = gaps.joined(self.gaps, first, end)
