"""A lamp's place in its street: the group's key, its neighbours, and what is heard from them and told to them (law 8).

/node/street.cbor, written at provisioning: {1: secret of 16 bytes, 2: epoch, 3: member number, 4: scope, 5: places
below, 6: places above, the nearest first, 7: life}. A member number belongs to one life of the node; its low bits are
its place, which stays. The first life that finds the file writes itself into it; a later one hears, and tells nothing
until it is provisioned again, because its numbers begin anew under the same key.
"""

from kerbnode import flash
from kerbnode.lamp.wave import Waves
from kerbwire import cbor, messages
from kerbwire import frame as frames
from kerbwire.errors import WireError
from kerbwire.group import RAISE, GroupKey, Receiver
from kerbwire.messages import BRIGHTEN, WAVE
from kerbwire.waves import EVERYONE, MAX_SCOPE

PLACES = 0x0FFF  # of a member number: its place in the street, by which neighbours know it; above it a generation
_SECRET, _EPOCH, _MEMBER, _SCOPE, _BELOW, _ABOVE, _LIFE = 1, 2, 3, 4, 5, 6, 7


class Street:
    """fields: of the file. take_seq() gives a sequence number; send(frame) puts it on the link.

    told, heard, lit, brightened: counts. refused: frames that did not open, or are none of this group's.
    """

    def __init__(self, fields, settings, lamp, take_seq, send):
        self._key = GroupKey(fields[_SECRET], fields[_EPOCH])
        self._member = fields[_MEMBER]
        self._scope = fields[_SCOPE]
        self._waves = Waves(
            fields[_BELOW], fields[_ABOVE], settings["spacing_dm"], settings["high"], settings["wave_s"],
            settings["hops"], settings["ahead"],
        )  # fmt: skip
        self._lamp = lamp
        self._take_seq = take_seq
        self._send = send
        self._receiver = None
        self.may_speak = False
        self.told = self.heard = self.lit = self.brightened = self.refused = 0

    def seen(self, now_ms, was_seen_ms):
        """Somebody is at this column. was_seen_ms: when there was somebody before, or None. Times are monotonic."""
        waves = self._waves
        if was_seen_ms is not None:
            waves.seen_ms = was_seen_ms
        waves.level = max(1, self._lamp.high)
        wave = waves.seen(now_ms)
        if wave is not None:
            self._tell(wave)

    def again_ms(self):
        """When a presence that lasts is told again; None before it was told once."""
        return self._waves.again_ms()

    def hear(self, frame, header, now_ms):
        """A group frame. True: the lamp may have something else to show."""
        if header.epoch != self._key.epoch or header.node == self._member:
            self.refused += 1
            return False
        try:
            message = messages.decode(self._key.open(frame, header), frames.GROUP)
        except WireError:
            self.refused += 1
            return False
        now_s = now_ms // 1000
        if self._receiver is None:
            self._receiver = Receiver(now_s)
        if self._receiver.judge(header.node, header.seq, now_s) != RAISE:
            return False
        self.heard += 1
        if message.KIND == WAVE:
            lit, onward = self._waves.heard(header.node & PLACES, message, now_ms)
            if onward is not None:
                self._tell(onward)
            if lit:
                self.lit += 1
                self._lamp.light_up(message.level, message.lifetime, now_ms)
            return lit
        if message.KIND == BRIGHTEN and message.scope in (EVERYONE, self._scope):
            self.brightened += 1
            self._lamp.raised.add(message.level, message.seconds, now_s)
            return True
        return False

    def _tell(self, wave):
        if self.may_speak:
            self.told += 1
            self._send(self._key.seal(self._member, self._take_seq(), messages.encode(wave)))


def read(path):
    """The fields of the file, or None: this lamp stands in no street, or the file is damaged."""
    data = flash.read(path)
    try:
        fields = None if data is None else cbor.decode(data)
    except WireError:
        return None
    return fields if _is_whole(fields) else None


def join(path, fields, life):
    """Whether this life may speak as the member. OSError where the flash refuses to note the first."""
    if _LIFE not in fields:
        fields[_LIFE] = life
        flash.write(path, cbor.encode(fields))
    return fields[_LIFE] == life


def _is_whole(fields):
    if not isinstance(fields, dict) or not all(key in fields for key in range(_SECRET, _ABOVE + 1)):
        return False
    if not isinstance(fields[_SECRET], bytes) or len(fields[_SECRET]) != 16:
        return False
    if not (_is_number(fields[_EPOCH], 0, 3) and _is_number(fields[_SCOPE], 0, MAX_SCOPE)):
        return False
    if not (isinstance(fields[_BELOW], list) and isinstance(fields[_ABOVE], list)):
        return False
    return all(_is_number(member, 1, frames.MAX_NODE) for member in [fields[_MEMBER]] + fields[_BELOW] + fields[_ABOVE])


def _is_number(value, low, high):
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
