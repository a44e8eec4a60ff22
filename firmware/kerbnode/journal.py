"""The node's console: one bounded line an event, first word first, for people and for machines.

boot LIFE SEQ INDEX CAUSE    at each start, wake or reboot: the next numbers
taken LIFE INDEX TIME        a record is safely on flash
sent KIND SEQ                a frame has left
committed SEQ                the gateway has committed the records of that report
confirmed SEQ                the gateway has committed that hello
note WORD ...                anything else: a complaint, a count, a crash
note refused WORD COUNT ...  of a wake that spoke, what is not 0: frames refused by reason, unknown fields skipped,
                             chunks of line noise, bytes of ranger noise
"""

MAX_LINE = 120  # characters: a terminal's width and a half; a longer line is cut


class Journal:
    def __init__(self, write=print):
        self._write = write

    def line(self, *words):
        """One line of printable ASCII: what a file or an error text brings along cannot forge a second one."""
        text = " ".join([str(word) for word in words])[:MAX_LINE]
        self._write("".join([c if " " <= c <= "~" else "?" for c in text]))

    def note(self, *words):
        self.line("note", *words)
