"""Dimming over DALI-2: one control gear on a bus of its own, addressed by broadcast, so that it needs no commissioning.

One frame a poll at most: a level as soon as it changes, and again each REFRESH_MS since a gear that lost its supply
begins at full light; in between what is asked: its status, its level, and what others read out of its memory banks. IEC
62386-102: DAPC, QUERY STATUS, QUERY ACTUAL LEVEL, DTR0, DTR1, READ MEMORY LOCATION; section 9.3: its dimming curve.
"""

from array import array

from kerbnode.drivers import dali_frames
from kerbwire.channels import GARBLED, SILENT, STUCK
from kerbwire.compat import const

REFRESH_MS = const(10000)
SETTLE_MS = const(35)  # a forward frame and the pause after it
TRIES = const(3)  # of a question without a good answer
MISSED = const(6)  # questions in a row, from which on it counts as silent
ANSWER_MS = const(20)  # the longest pause before an answer, and its last half bit
STUCK_AFTER = const(3)  # answers in a row with another level than it was told

# Bits of QUERY STATUS.
GEAR_FAILURE, LAMP_FAILURE, LAMP_ON, LIMIT_ERROR, FADING, RESET_STATE, NO_ADDRESS, POWER_CYCLED = (
    1, 2, 4, 8, 16, 32, 64, 128,
)  # fmt: skip
DAPC, STATUS, ACTUAL, READ, DTR0, DTR1 = 0xFE00, 0xFF90, 0xFFA0, 0xFFC5, 0xA300, 0xC300
MASK = const(0xFF)
_AT_BANK, _AT_PLACE, _AT_BYTE = const(0), const(1), const(2)

# Arc power level by percent of light: 1 + 253 / 3 * (log10(percent) + 1), rounded.
ARC = (
    b"\x00\x55\x6f\x7e\x88\x90\x97\x9d\xa1\xa6\xaa\xad\xb0\xb3\xb6\xb9\xbb\xbd\xbf\xc1\xc3\xc5\xc7\xc8\xca\xcb\xcd\xce"
    b"\xcf\xd1\xd2\xd3\xd4\xd5\xd6\xd8\xd9\xda\xdb\xdc\xdc\xdd\xde\xdf\xe0\xe1\xe2\xe2\xe3\xe4\xe5\xe5\xe6\xe7\xe7\xe8"
    b"\xe9\xe9\xea\xeb\xeb\xec\xec\xed\xee\xee\xef\xef\xf0\xf0\xf1\xf1\xf2\xf2\xf3\xf3\xf4\xf4\xf5\xf5\xf6\xf6\xf7\xf7"
    b"\xf8\xf8\xf8\xf9\xf9\xfa\xfa\xfb\xfb\xfb\xfc\xfc\xfd\xfd\xfd\xfe\xfe"
)


def percent_of(arc):
    """The percent of light of an arc power level."""
    percent = 0
    while percent < 100 and ARC[percent] < arc:
        percent += 1
    return percent


class Driver:
    """status: the newest QUERY STATUS, or None. arc: the level that the gear says it shows, or None.

    raw: questions in a row without an answer or with a bad one; of a gear that is stuck, the level that it says.
    """

    goes_out = True

    def __init__(self, hal, facts, fitted):
        self._line = hal.dali(facts)
        self._spans = array("H", bytes(40))
        self._wanted = ARC[100]  # what a gear shows when it gets its supply
        self._sent = None
        self._free_ms = 0
        self._told_ms = 0
        self._asked = 0  # the question whose answer is due
        self._turn = 0
        self._tried = self._missed = self._other = 0
        self._job = []  # done, bank, offset, bytes of a reading
        self._phase = self._step = 0
        self._data = bytearray(32)
        self.status = self.arc = None
        self.reason = self.raw = 0

    @property
    def is_busy(self):
        """Whether a reading goes on, which wants a poll every 100 ms."""
        return bool(self._job)

    def set(self, percent):
        """Show a level: sent at the next poll."""
        self._wanted = ARC[percent]

    def read(self, bank, offset, count, done):
        """Read up to 32 bytes of a memory bank, then done(bytes, how many came). False: another reading goes on."""
        if self._job:
            return False
        self._job = [done, bank, offset, count]
        self._step = self._tried = 0
        self._phase = _AT_BANK
        return True

    def poll(self, now_ms):
        """Take the answer that has come, and send the next frame."""
        if now_ms < self._free_ms:
            return
        if self._asked:
            asked, self._asked = self._asked, 0
            self._hear(asked, dali_frames.answer(self._spans, self._line.take(self._spans)))
        if self._sent != self._wanted or now_ms - self._told_ms >= REFRESH_MS:
            if self._sent != self._wanted:
                self._other = 0
            self._sent, self._told_ms = self._wanted, now_ms
            self._turn = 0
            self._send(DAPC | self._wanted, now_ms, 0)
        elif self._turn < 2:  # once after each level, and so each REFRESH_MS
            self._ask((STATUS, ACTUAL)[self._turn], now_ms)
        elif self._job:
            self._go_on(now_ms)

    def _go_on(self, now_ms):
        """The next frame of a reading: its bank, its place, then byte by byte: the gear counts the place up itself."""
        _, bank, offset, count = self._job
        if self._phase == _AT_BANK:
            self._phase = _AT_PLACE
            self._send(DTR1 | bank, now_ms, 0)
        elif self._phase == _AT_PLACE:
            self._phase = _AT_BYTE
            self._send(DTR0 | offset + self._step, now_ms, 0)
        elif self._step < count:
            self._ask(READ, now_ms)
        else:
            self._end_job()

    def _end_job(self):
        done, self._job = self._job[0], []
        done(self._data, self._step)

    def _ask(self, question, now_ms):
        self._asked = question
        self._send(question, now_ms, ANSWER_MS)

    def _send(self, frame, now_ms, answer_ms):
        self._free_ms = now_ms + SETTLE_MS + answer_ms
        self._line.send(frame)

    def _hear(self, question, answer):
        if answer < 0:
            self._bad(question, answer)
            return
        self._missed = self._tried = 0
        if self.reason != STUCK:
            self.reason = self.raw = 0
        if question == READ:
            self._data[self._step] = answer
            self._step += 1
            return
        self._turn += 1
        if question == STATUS:
            self.status = answer
        else:
            self._judge_level(answer)

    def _judge_level(self, arc):
        """Whether the gear shows what it was told. Its least level stands for all below, and a limit was met then."""
        self.arc = arc
        status = self.status or 0
        if arc == MASK or status & (FADING | LAMP_FAILURE):  # it starts its lamp, or the lamp has failed
            return
        same = arc == self._sent or (status & LIMIT_ERROR and self._sent)
        self._other = 0 if same else self._other + 1
        if self._other >= STUCK_AFTER:
            self.reason, self.raw = STUCK, arc
        elif same and self.reason == STUCK:
            self.reason = self.raw = 0

    def _bad(self, question, answer):
        self._tried += 1
        self._missed = min(self._missed + 1, 65535)
        if self._missed >= MISSED:
            self.reason, self.raw = GARBLED if answer == dali_frames.GARBLED else SILENT, self._missed
            self.status = self.arc = None
        if question != READ:
            if self._tried >= TRIES:
                self._turn += 1
                self._tried = 0
        elif self._tried < TRIES:
            self._phase = _AT_BANK  # whether it counted up is not known
        else:
            self._end_job()
