"""The node's console: one bounded line an event, first word first, for people and for machines.

boot LIFE SEQ INDEX CAUSE    at each start, wake or reboot: the next numbers
taken LIFE INDEX TIME        a record is safely on flash
changed LIFE INDEX           a lamp's level change is, without its moment: that is for the settlement alone
event LIFE INDEX CODE STATE  an event is, as kerbwire.events numbers them
sent KIND SEQ                a frame has left
committed SEQ                the gateway has committed the records of that report
obeyed ID STATUS             a command or a configuration, as kerbwire.controls numbers them
confirmed SEQ                the gateway has committed that hello
note WORD ...                anything else: a complaint, a count, a crash
note refused WORD COUNT ...  of a wake that spoke, what is not 0: frames refused by reason, unknown fields skipped,
                             chunks of line noise, bytes of ranger noise

What is worth keeping over a reset, every note and the line of a reboot, waits in memory until `save` puts it on flash:
a wake without any writes nothing.
"""

MAX_LINE = 120  # characters: a terminal's width and a half; a longer line is cut
MAX_KEPT = 16  # lines of one wake that are kept; what comes after them is counted


class Journal:
    def __init__(self, write=print):
        self._write = write
        self._kept = []
        self._unkept = 0
        self.boot = None  # whose lines these are, once it is known

    def line(self, *words):
        """One line of printable ASCII: what a file or an error text brings along cannot forge a second one."""
        text = " ".join([str(word) for word in words])[:MAX_LINE]
        data = bytearray(len(text))  # no list: an error may be told where hardly any heap is left
        for at in range(len(text)):
            code = ord(text[at])
            data[at] = code if 32 <= code < 127 else 63
        text = data.decode()
        self._write(text)
        return text

    def keep(self, *words):
        """A line that outlasts a reset."""
        text = self.line(*words)
        if len(self._kept) < MAX_KEPT:
            self._kept.append(text)
        else:
            self._unkept += 1

    def note(self, *words):
        self.keep("note", *words)

    def save(self, folder, when, error=None):
        """Put the kept lines on flash, and the error that ended a wake. A flash that refuses costs the lines only."""
        if not self._kept and error is None:
            return
        kept, self._kept = self._kept, []
        if self._unkept:
            kept.append("note %d lines more" % self._unkept)
            self._unkept = 0
        try:
            from kerbnode import log

            log.append(folder, when, kept, self.boot)
            if error is not None:
                log.keep_crash(folder, when, kept[-1] if kept else "", error)
        except (OSError, MemoryError) as refusal:
            self.line("note log", type(refusal).__name__, refusal)
