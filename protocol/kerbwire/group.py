"""Group space (law 8): one key for all members, a number for each, and what a receiver believes.

In a group frame the header's node is the sender's member number, 1..65535, and the sequence number is the sender's own,
from the same counter as its uplinks. The epoch's two bits tell a group secret from the one before it. One key seals for
all members; the member number is the sender id in the nonce, so no two members make the same nonce. A member can speak
in another's name: there is no proof of the sender inside a group, and so a group message can only raise light.
"""

from kerbwire import frame as frames
from kerbwire import kdf, seal
from kerbwire.compat import aead
from kerbwire.errors import RANGE, TOO_LONG, WireError
from kerbwire.frame import Header
from kerbwire.window import NEW, Window

MAX_MEMBER = frames.MAX_NODE
MAX_JUMP = 4096  # days of a busy street; a power cut skips 128 at most. Beyond it a number is obeyed, not remembered
MAX_SENDERS = 32  # windows kept; a lamp hears its neighbours and some beyond. The one heard longest ago is forgotten
FORGET_S = 86400  # a window that nothing fell into for so long is forgotten: its sender may have gone on unheard
MAX_UNPROVEN = 16  # messages obeyed without a window that proves them new: each neighbour's first, after a power cut
UNPROVEN_EVERY_S = 60  # one more is allowed after each such span
MAX_RAISE_S = 4 * 3600  # the longest that one message holds light: of `brighten`
MAX_RAISES = 4  # levels held at the same time; two that lie nearest to each other become one, never lower or shorter
_CONTEXT = b"kerb group"  # ten bytes: no life (8) and no life with instance (16) is as long

RAISE, DUPLICATE, LIMITED = 0, 1, 2


class GroupKey:
    """Seals and opens for one group secret. epoch: 0..3. Never shows its bytes."""

    __slots__ = ("_aead", "_iv", "epoch")

    def __init__(self, secret: bytes, epoch: int):
        if len(secret) != seal.SECRET_SIZE:
            raise WireError(RANGE, "group secret")
        self._aead = aead(kdf.oscore(secret, b"", b"", _CONTEXT, "Key", seal.KEY_SIZE))
        self._iv = kdf.oscore(secret, b"", b"", _CONTEXT, "IV", seal.NONCE_SIZE)
        self.epoch = epoch

    def __repr__(self) -> str:
        return "<GroupKey {}>".format(self.epoch)

    def seal(self, member: int, seq: int, message: bytes) -> bytes:
        """A whole frame. seq: of the sender's own reserved numbers. WireError for a number or a size out of range."""
        header = frames.pack(frames.GROUP, self.epoch, member, seq)
        if not message or len(header) + len(message) + frames.TAG_SIZE > frames.MAX_FRAME:
            raise WireError(TOO_LONG, "message")
        return header + self._aead.encrypt(self._nonce(member, seq), message, seal.aad(header))

    def open(self, frame: bytes, header: Header) -> bytes:
        """The message of a group frame whose header was parsed. WireError("unsealed"), also for another space."""
        size = header.size
        return self._aead.decrypt(self._nonce(header.node, header.seq), frame[size:], seal.aad(frame[:size]))

    def _nonce(self, member: int, seq: int) -> bytes:
        return seal.nonce(self._iv, seal.node_ident(member), seq)


class Receiver:
    """What one boot has heard under one group key. Starts empty, and keeps nothing over a reboot.

    refused: counts of duplicates and of messages over the limit.
    """

    def __init__(self, now_s: int):
        self._windows: "dict[int, Window]" = {}
        self._last_s: "dict[int, int]" = {}
        self._allowed = MAX_UNPROVEN
        self._since_s = now_s
        self.refused = [0, 0, 0]

    def judge(self, member: int, seq: int, now_s: int) -> int:
        """RAISE, DUPLICATE (it was obeyed, or lies below the window) or LIMITED, of a message that opened."""
        window = self._windows.get(member)
        if window is not None and now_s - self._last_s[member] >= FORGET_S:
            window = None
        proven = window is not None and seq - window.top <= MAX_JUMP
        if window is not None and proven:
            if window.check(seq) != NEW:
                return self._refuse(DUPLICATE)
        elif not self._allow(now_s):
            return self._refuse(LIMITED)
        if window is None:
            window = Window()
            self._make_room(member)
            self._windows[member] = window
            proven = True
        if proven:
            window.accept(seq)
            self._last_s[member] = now_s
        return RAISE

    def _refuse(self, verdict: int) -> int:
        self.refused[verdict] += 1
        return verdict

    def _allow(self, now_s: int) -> bool:
        back = (now_s - self._since_s) // UNPROVEN_EVERY_S
        if back > 0:
            self._allowed = min(MAX_UNPROVEN, self._allowed + back)
            self._since_s += back * UNPROVEN_EVERY_S
        if not self._allowed:
            return False
        self._allowed -= 1
        return True

    def _make_room(self, member: int) -> None:
        if member not in self._windows and len(self._windows) >= MAX_SENDERS:
            oldest = min(self._last_s, key=lambda known: self._last_s[known])
            self._windows.pop(oldest)
            self._last_s.pop(oldest)


class Raised:
    """Light that group messages hold up. In whatever order they come, none takes away what another has raised."""

    def __init__(self) -> None:
        self._held: "list[list[int]]" = []  # [level, until], levels falling, ends rising

    def add(self, level: int, seconds: int, now_s: int) -> None:
        """At least this level for so long, at most MAX_RAISE_S."""
        pairs = self._held + [[level, now_s + min(seconds, MAX_RAISE_S)]]
        pairs.sort(key=lambda pair: (-pair[0], -pair[1]))
        held: "list[list[int]]" = []
        for pair in pairs:
            if pair[1] > now_s and (not held or pair[1] > held[-1][1]):
                held.append(pair)
        while len(held) > MAX_RAISES:
            nearest = min(range(1, len(held)), key=lambda i: held[i - 1][0] - held[i][0])
            held[nearest - 1] = [held[nearest - 1][0], held.pop(nearest)[1]]
        self._held = held

    def level(self, base: int, now_s: int) -> int:
        """The level to show where schedule, sensors and commands ask for `base`: never lower."""
        for level, until in self._held:
            if now_s < until:
                return max(base, level)
        return base


class Members:
    """The gateway's allocator of member numbers under one group key: none is ever given twice.

    A number belongs to (node, life): a new life counts from 0 again, so it must not speak as the old one did. The owner
    commits `next_member` with what it hands out, and draws a new group secret when the numbers are used up.
    """

    def __init__(self, next_member: int = 1, given: "dict[tuple[int, bytes], int] | None" = None):
        self.next_member = next_member
        self.given = given or {}

    def give(self, node: int, life: bytes) -> int:
        """The member number of one life of a node. WireError("range") when all are used up."""
        member = self.given.get((node, life))
        if member is None:
            if self.next_member > MAX_MEMBER:
                raise WireError(RANGE, "member numbers are used up: draw a new group key")
            member = self.given[node, life] = self.next_member
            self.next_member += 1
        return member
