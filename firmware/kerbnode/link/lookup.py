"""A broker's name: its address, asked of the network's name servers in steps that never wait (RFC 1035, over UDP).

lwIP's own getaddrinfo may hang for ever (micropython#18797), and nothing can end it. What counts here as an answer has
the number and the question of what was asked last, and came from who was asked; the rest is noise, and is passed over.
A name server is believed for as long as the connection that follows stands or falls by it: TLS checks the name, and
frames are sealed whatever carries them.

The address at which the broker last took the node lies in FOLDER/name.cbor, written when it is another one than before:
where nobody answers, nobody knows the name, or nobody is where the answer points, that one is tried.
"""

from errno import EAGAIN

from kerbnode import flash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "/name.cbor"  # [name, address]
PORT = 53
MAX_SERVERS = 2  # the network's own, and its router, which mostly is one
TRIES = 2  # of each
TRY_MS = 1500
MOST_MS = MAX_SERVERS * TRIES * (TRY_MS + 500)  # until `step` is through, with steps up to half a second apart
MAX_MESSAGE = 512  # of UDP without extensions (RFC 1035, section 4.2.1)
MAX_NAME = 253
MAX_LABEL = 63
MAX_RECORDS = 32  # of one answer; what lies behind is not read
MAX_ALIASES = 8  # CNAMEs one after the other
MAX_NOISE = 64  # messages that are passed over in one try
_A, _CNAME, _IN = 1, 5, 1
_HEAD = 12
_LOWEST_PORT = 49152  # of those for any use (RFC 6335)
_REFUSED = {1: "calls the question malformed", 2: "failed", 3: "knows no such name", 5: "refuses to answer"}


class NoAnswer(Exception):
    """What came is no answer to the question. Its text: what the server said instead of one; "": it is not for us."""


def is_name(host):
    """Whether it is written as a name is (RFC 1123, section 2.1), and not as an address."""
    labels = host.split(".")
    known = "abcdefghijklmnopqrstuvwxyz0123456789-_"
    for label in labels:
        if not 1 <= len(label) <= MAX_LABEL or label[0] == "-" or label[-1] == "-":
            return False
        if [letter for letter in label.lower() if letter not in known]:
            return False
    return len(host) <= MAX_NAME and not labels[-1].isdigit()


def question(ident, name):
    """The message that asks for a name's IPv4 address. ident: two bytes. name: of `is_name`."""
    return ident + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + _wire(name) + b"\x00\x01\x00\x01"


def parse(data, ident, name):
    """(address, seconds for which it holds) of the answer to that question.

    NoAnswer, with a text where the server has answered, and nobody need wait on.
    """
    if not _HEAD <= len(data) <= MAX_MESSAGE or data[:2] != ident:
        raise NoAnswer("")
    asked = _wire(name.lower())
    at = _HEAD + len(asked) + 4
    # An answer to a plain query, with its one question as it was asked: letters may be of the other case.
    if data[2] & 0xF8 != 0x80 or data[4:6] != b"\x00\x01" or data[_HEAD : at - 4].lower() != asked:
        raise NoAnswer("")
    if data[at - 4 : at] != b"\x00\x01\x00\x01":
        raise NoAnswer("")
    code = data[3] & 0x0F
    if code:
        raise NoAnswer(_REFUSED.get(code, "answers with code %d" % code))
    try:
        return _follow(_records(data, at), name.lower())
    except NoAnswer:
        if data[2] & 2:
            raise NoAnswer("has an answer that is too long for a node")
        raise


def _follow(records, name):
    """From alias to alias, in whatever order they are told, to an address."""
    least_s = 0x7FFFFFFF
    for _ in range(MAX_ALIASES + 1):
        found = [record for record in records if record[0] == name]
        addresses = [record for record in found if record[1] == _A]
        if addresses:
            _, _, ttl_s, address = addresses[0]
            if address[0] in (0, 127) or address[0] >= 224:  # some that block names say so
                raise NoAnswer("gives an address that is none")
            return ".".join([str(byte) for byte in address]), min(least_s, ttl_s)
        aliases = [record for record in found if record[1] == _CNAME]
        if not aliases:
            break
        least_s = min(least_s, aliases[0][2])
        name = aliases[0][3]
    raise NoAnswer("knows no address of it")


def _records(data, at):
    """[(name, kind, seconds, address or alias)] of the answer section, as far as it is of use here."""
    found = []
    for _ in range(min(int.from_bytes(data[6:8], "big"), MAX_RECORDS)):
        name, at = _name(data, at)
        if at + 10 > len(data):
            raise NoAnswer("answers with half a record")
        kind, group = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
        # Four bytes, of which the first bit says nothing (RFC 2181, section 8).
        ttl_s = 0 if data[at + 4] & 0x80 else int.from_bytes(data[at + 4 : at + 8], "big")
        start = at + 10
        at = start + int.from_bytes(data[at + 8 : at + 10], "big")
        if at > len(data):
            raise NoAnswer("answers with half a record")
        if group == _IN and kind == _A:
            if at - start != 4:
                raise NoAnswer("answers with an address of another length")
            found.append((name, kind, ttl_s, data[start:at]))
        elif group == _IN and kind == _CNAME:
            alias, end = _name(data, start)
            if end != at:
                raise NoAnswer("answers with a name of another length")
            found.append((name, kind, ttl_s, alias))
    return found


def _name(data, at):
    """(the name at that place in small letters, the place behind it). It ends, since each jump goes to before where the
    last one led."""
    labels = []
    size = 0
    begin, end = at, None
    while True:
        if at >= len(data):
            raise NoAnswer("answers with half a name")
        length = data[at]
        if length & 0xC0 == 0xC0:
            if at + 2 > len(data):
                raise NoAnswer("answers with half a name")
            end = at + 2 if end is None else end
            to = (length & 0x3F) << 8 | data[at + 1]
            if not _HEAD <= to < begin:
                raise NoAnswer("answers with a name in a circle")
            begin = at = to
        elif length > MAX_LABEL:
            raise NoAnswer("answers with a name of another kind")
        elif not length:
            return ".".join(labels), at + 1 if end is None else end
        else:
            size += length + 1
            label = data[at + 1 : at + 1 + length]
            if len(label) < length or size > MAX_NAME + 1:
                raise NoAnswer("answers with half a name")
            labels.append("".join([chr(byte) for byte in label]).lower())
            at += 1 + length


def _wire(name):
    return b"".join([bytes((len(label),)) + label.encode() for label in name.split(".")]) + b"\x00"


class Lookup:
    """hal: of the board. socket: the module. `begin` asks, `step` tells; one after the other, as often as one likes.

    trouble: what the look-up came to, where it came to nothing; "" where it did. noise: messages that were passed over.
    """

    def __init__(self, name, hal, socket, folder, port=PORT):
        self._name = name
        self._hal = hal
        self._module = socket
        self._path = folder + FILE
        self._port = port
        found = flash.load(self._path)
        self._known = None  # where the broker took the node last
        if isinstance(found, list) and len(found) == 2 and found[0] == name and isinstance(found[1], str):
            self._known = found[1]
        self._answer = None  # of the servers, until the ticks of _until
        self._until = 0
        self._wrong = None  # an address at which nobody was
        self._servers = []
        self._tries = 0
        self._socket: "Any" = None
        self._ident = b""
        self._since = 0
        self._noise = 0
        self.trouble = ""
        self.noise = 0

    def begin(self, servers):
        """Ask these, one after the other. What was answered before, and holds still, is not asked for again."""
        self.end()
        hal = self._hal
        if self._answer and (self._answer == self._wrong or hal.ticks_diff(self._until, hal.ticks_ms()) <= 0):
            self._answer = None
        self._servers = []
        for server in servers:
            if server not in self._servers and not server.startswith("0.") and len(self._servers) < MAX_SERVERS:
                self._servers.append(server)
        self._tries = 0
        self.trouble = "" if self._servers else "the network names no name server"

    def step(self):
        """The address to try; None: not yet. OSError, with what to check, where nothing is known."""
        if self._answer is None and self._servers:
            self._ask()
            if self._answer is None and self._servers:
                return None
        self.end()
        for address in (self._answer, self._known):
            if address and address != self._wrong:
                return address
        found, self._wrong = self._answer or self._known, None
        if not found:
            raise OSError("%s: check the name, or give an address: kerb links --link" % self.trouble)
        return found

    def failed(self, address):
        """Nobody, or a stranger, was at that address: another one is tried next, if there is one."""
        self._wrong = address

    def proven(self, address):
        """The broker took the node there."""
        self._wrong = None
        if address != self._known:
            self._known = address
            try:
                flash.replace(self._path, [self._name, address])
            except OSError:  # then it is asked for again
                pass

    def end(self):
        """Ask no more."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _ask(self):
        """One look, at the server whose turn it is. What it says, or does not, may make it another's turn."""
        hal = self._hal
        try:
            if not self._socket:
                self._open()
            while True:
                data = self._heard()
                if data is None:
                    break
                try:
                    self._answer, ttl_s = parse(data, self._ident, self._name)
                except NoAnswer as error:
                    if str(error):
                        self._next("name server %s %s" % (self._servers[0], error))
                        return
                    self.noise += 1
                    self._noise += 1
                    if self._noise > MAX_NOISE:
                        break
                else:
                    self._until = hal.ticks_add(hal.ticks_ms(), min(ttl_s, 86400) * 1000)
                    self.trouble = ""
                    return
            if hal.ticks_diff(hal.ticks_ms(), self._since) >= TRY_MS:
                if self._tries < TRIES:
                    self._say()
                else:
                    self._next("name server %s does not answer" % self._servers[0])
        except OSError:  # nobody is there, says its machine
            self._next("name server %s is not there" % self._servers[0])

    def _open(self):
        """A socket with a port of chance for each server, as the question's number is: who does not see it must guess
        both. The second try is the same question, so that an answer to the first one is not too late."""
        made = self._socket = self._module.socket(self._module.AF_INET, self._module.SOCK_DGRAM)
        made.setblocking(False)
        chance = self._hal.random(2)
        try:
            made.bind(("", _LOWEST_PORT + (chance[0] << 8 | chance[1]) % (65536 - _LOWEST_PORT)))
        except OSError:  # somebody has it: the stack gives another
            pass
        made.connect((self._servers[0], self._port))
        self._tries = 0
        self._ident = self._hal.random(2)
        self._say()

    def _say(self):
        self._tries += 1
        self._noise = 0
        self._since = self._hal.ticks_ms()
        try:
            self._socket.send(question(self._ident, self._name))
        except OSError as error:
            if error.errno != EAGAIN:
                raise

    def _heard(self):
        try:
            return self._socket.recv(MAX_MESSAGE)
        except OSError as error:
            if error.errno == EAGAIN:
                return None
            raise

    def _next(self, trouble):
        self.end()
        self._servers.pop(0)
        self.trouble = self.trouble or trouble
