"""A name's address: what is an answer and what is none, whom a node asks, how long, and what it does when nobody knows."""

import rig
from rig import Time

from kerbnode import flash
from kerbnode.link import lookup
from kerbnode.link.lookup import Lookup, NoAnswer, is_name, parse, question

IDENT = b"\x12\x34"
NAME = "broker.example"
WIRE = b"\x06broker\x07example\x00"
ASKED = WIRE + b"\x00\x01\x00\x01"
HERE = b"\xc0\x0c"  # the name of the question


def head(answers=1, flags=b"\x81\x80", ident=IDENT):
    return ident + flags + b"\x00\x01" + bytes((answers >> 8, answers & 255)) + bytes(4) + ASKED


def record(name, kind, data, ttl_s=300, group=1):
    return name + bytes((0, kind, 0, group)) + ttl_s.to_bytes(4, "big") + len(data).to_bytes(2, "big") + data


def address(text="10.0.0.2", name=HERE, ttl_s=300):
    return record(name, 1, bytes([int(part) for part in text.split(".")]), ttl_s)


def said(data):
    """What a node is told of a message that gives no address; None: it is not for it."""
    try:
        found = parse(data, IDENT, NAME)
    except NoAnswer as error:
        return str(error) or None
    raise ValueError(found)


def test_the_question_is_the_one_of_the_rfc():
    assert question(IDENT, NAME) == IDENT + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + ASKED


def test_names_are_told_from_addresses_and_from_what_is_neither():
    for name in ("broker", "broker.example", "a-1.b_c.d2", "BROKER.example", "x" * 63 + ".de"):
        assert is_name(name), name
    for name in ("", "10.0.0.2", "a..b", ".a", "a.", "-a.b", "a-.b", "a b", "\xe4.de", "x" * 64, "ab." * 85, "1.2.3"):
        assert not is_name(name), name


def test_an_answer_is_read():
    assert parse(head() + address(), IDENT, NAME) == ("10.0.0.2", 300)
    assert parse(head() + address(name=WIRE), IDENT, "BROKER.example") == ("10.0.0.2", 300)
    upper = (head() + address()).replace(b"broker", b"BrOkEr")
    assert parse(upper, IDENT, NAME) == ("10.0.0.2", 300)
    both = head(2) + address("10.0.0.3") + address()
    assert parse(both, IDENT, NAME)[0] == "10.0.0.3"
    assert parse(head() + address(ttl_s=0x80000001) + b"what lies behind", IDENT, NAME) == ("10.0.0.2", 0)


def test_aliases_are_followed_in_any_order_and_hold_as_long_as_the_shortest():
    alias = b"\x04mail\xc0\x13"
    first = record(HERE, 5, alias, 60)
    second = record(b"\x04mail\x07example\x00", 5, b"\x02ns\xc0\x13", 900)
    last = address(name=b"\x02NS\x07example\x00")
    for records in (first + second + last, last + second + first, second + first + last):
        assert parse(head(3) + records, IDENT, NAME) == ("10.0.0.2", 60)
    assert said(head(2) + first + second) == "knows no address of it"
    circle = record(b"\x04mail\x07example\x00", 5, HERE)
    assert said(head(2) + first + circle) == "knows no address of it"
    links = b"".join(
        [record(b"\x01" + bytes((96 + at,)) + b"\x00", 5, b"\x01" + bytes((97 + at,)) + b"\x00") for at in range(1, 12)]
    )
    start = record(HERE, 5, b"\x01a\x00")
    assert said(head(13) + start + links + address(name=b"\x01l\x00")) == "knows no address of it"


def test_what_is_not_ours_is_passed_over():
    whole = head() + address()
    for data in (
        b"",
        whole[:11],
        whole[:20],
        head(ident=b"\x12\x35") + address(),
        head(flags=b"\x01\x00") + address(),  # a question
        head(flags=b"\x89\x80") + address(),  # an answer to another kind of one
        whole.replace(b"broker", b"brokes"),
        whole.replace(ASKED, WIRE + b"\x00\x1c\x00\x01"),
        IDENT + b"\x81\x80" + bytes(8) + ASKED,
        whole + bytes(512),
    ):
        assert said(data) is None, data


def test_a_server_that_gives_no_address_says_why():
    for code, text in ((3, "knows no such name"), (2, "failed"), (5, "refuses to answer"), (9, "answers with code 9")):
        assert said(head(0, bytes((0x81, 0x80 | code)))) == text
    assert said(head(0)) == "knows no address of it"
    assert said(head(0, b"\x83\x80")) == "has an answer that is too long for a node"
    assert parse(head(flags=b"\x83\x80") + address(), IDENT, NAME)[0] == "10.0.0.2"
    for text in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"):
        assert said(head() + address(text)) == "gives an address that is none"
    assert said(head() + record(HERE, 1, b"\x0a\x00\x00\x02", group=3)) == "knows no address of it"
    assert said(head() + address(name=b"\x05other\x00")) == "knows no address of it"


def test_what_is_no_message_ends_and_says_so():
    here = lookup._HEAD + len(ASKED)
    for records, text in (
        (b"", "half a name"),
        (b"\xc0", "half a name"),
        (b"\x3fx", "half a name"),
        (HERE + b"\x00\x01", "half a record"),
        (record(HERE, 1, b"\x0a\x00\x00\x02")[:-1], "half a record"),
        (record(HERE, 1, b"\x0a\x00\x00"), "an address of another length"),
        (record(HERE, 5, b"\x01a\x00\x00"), "a name of another length"),
        (b"\x40abc", "a name of another kind"),
        (bytes((0xC0, here)), "a name in a circle"),
        (bytes((0xC0, here + 2)) + b"\x01a\x00", "a name in a circle"),
        (b"\xc0\x00", "a name in a circle"),
        (b"\x01a" + bytes((0xC0, here)), "a name in a circle"),
        ((b"\x3f" + b"y" * 63) * 4 + b"\x00", "half a name"),
    ):
        assert said(head() + records) == "answers with " + text, records
    many = head(lookup.MAX_RECORDS + 1) + record(HERE, 16, b"") * lookup.MAX_RECORDS + address()
    assert said(many[: lookup.MAX_MESSAGE]) == "knows no address of it"


class Net(Time):
    """A board's time and its UDP: `servers` answer a question by their address; None: nothing comes."""

    AF_INET, SOCK_DGRAM = 2, 2

    def __init__(self, **servers):
        super().__init__()
        self.servers = {name.replace("_", ".")[1:]: answer for name, answer in servers.items()}
        self.asked = []
        self.ports = set()
        self.open = 0
        self.taken = 0  # ports that somebody has
        self.queue = []
        self.peer = None
        self.drawn = 0

    def random(self, count):
        self.drawn += 77
        return bytes([self.drawn * (at + 3) & 255 for at in range(count)])

    def socket(self, family, kind):
        assert (family, kind) == (2, 2)
        self.open += 1
        self.queue = []
        return self

    def setblocking(self, flag):
        assert not flag

    def bind(self, place):
        if self.taken:
            self.taken -= 1
            raise OSError(98, "in use")
        self.ports.add(place[1])

    def connect(self, place):
        assert place[1] == lookup.PORT
        self.peer = place[0]

    def send(self, data):
        self.asked.append((self.peer, data))
        answer = self.servers.get(self.peer)
        if isinstance(answer, OSError):
            raise answer
        if answer:
            self.queue += [each.replace(IDENT, data[:2]) for each in answer]

    def recv(self, count):
        if not self.queue:
            raise OSError(11, "nothing yet")
        return self.queue.pop(0)[:count]

    def close(self):
        self.open -= 1


def a_lookup(net, known=None):
    flash.replace(rig.folder() + lookup.FILE, known)
    return Lookup(NAME, net, net, rig.folder())


def result(net, made, servers=("10.0.0.1",)):
    """The address, or the text of what is the matter."""
    begin = net.ticks_ms()
    made.begin(servers)
    try:
        while True:
            found = made.step()
            assert net.ticks_diff(net.ticks_ms(), begin) <= lookup.MOST_MS
            if found:
                return found
            net.sleep_ms(10)
    except OSError as error:
        return str(error)
    finally:
        made.end()
        assert net.open == 0


GOOD = (head() + address(),)


def test_a_name_is_asked_for_and_kept_once_the_broker_was_there():
    net = Net(_10_0_0_1=GOOD)
    made = a_lookup(net)
    assert result(net, made) == "10.0.0.2" and len(net.asked) == 1 and made.trouble == ""
    assert flash.load(rig.folder() + lookup.FILE) is None  # nobody knows yet whether it is right
    made.proven("10.0.0.2")
    assert flash.load(rig.folder() + lookup.FILE) == [NAME, "10.0.0.2"]
    assert result(net, made) == "10.0.0.2" and len(net.asked) == 1  # for 300 s
    net.now_ms += 301000
    assert result(net, made) == "10.0.0.2" and len(net.asked) == 2
    assert net.asked[0][1] != net.asked[1][1] and len(net.ports) == 2
    assert min(net.ports) >= 49152 and max(net.ports) < 65536


def test_a_dead_server_is_asked_twice_then_another_and_then_the_last_address_serves():
    net = Net()
    made = a_lookup(net, [NAME, "10.0.0.7"])
    assert result(net, made, ("10.0.0.1", "0.0.0.0", "10.0.0.1", "10.0.0.3", "10.0.0.4")) == "10.0.0.7"
    assert [server for server, _ in net.asked] == ["10.0.0.1"] * 2 + ["10.0.0.3"] * 2
    assert len({data[:2] for _, data in net.asked}) == 2 and 6000 <= net.now_ms <= lookup.MOST_MS
    assert made.trouble == "name server 10.0.0.1 does not answer"
    assert result(net, a_lookup(net)) == (
        "name server 10.0.0.1 does not answer: check the name, or give an address: kerb links --link"
    )
    assert result(net, a_lookup(net, ["another.example", "10.0.0.7"])).startswith("name server 10.0.0.1 does not")
    assert result(net, a_lookup(net, [NAME, "10.0.0.7"]), ()) == "10.0.0.7"
    assert result(net, a_lookup(net), ()).startswith("the network names no name server: check")
    net.servers["10.0.0.3"] = GOOD
    assert result(net, a_lookup(net), ("10.0.0.1", "10.0.0.3")) == "10.0.0.2"


def test_a_server_that_lies_is_not_the_last_word():
    net = Net(_10_0_0_1=(head(0, b"\x81\x83"),), _10_0_0_3=OSError(113, "no way"))
    made = a_lookup(net, [NAME, "10.0.0.7"])
    assert result(net, made, ("10.0.0.1", "10.0.0.3")) == "10.0.0.7" and len(net.asked) == 2 and net.now_ms < 100
    assert made.trouble == "name server 10.0.0.1 knows no such name"
    assert result(net, a_lookup(net), ("10.0.0.3",)).startswith("name server 10.0.0.3 is not there: check")


def test_an_answer_to_the_first_try_is_not_too_late_in_the_second():
    net = Net()
    made = a_lookup(net)
    made.begin(("10.0.0.1",))
    while len(net.asked) < 2:
        assert made.step() is None
        net.sleep_ms(10)
    net.queue.append(GOOD[0].replace(IDENT, net.asked[0][1][:2]))
    assert made.step() == "10.0.0.2"


def test_a_network_that_goes_between_two_tries_is_no_error_of_the_link():
    net = Net()
    made = a_lookup(net, [NAME, "10.0.0.7"])
    made.begin(("10.0.0.1",))
    assert made.step() is None
    net.servers["10.0.0.1"] = OSError(118, "no network")
    found = None
    while found is None:
        net.sleep_ms(100)
        found = made.step()
    assert found == "10.0.0.7" and made.trouble == "name server 10.0.0.1 is not there" and net.open == 0


def test_strangers_messages_are_passed_over_and_counted_and_end():
    stranger = (head(ident=b"\x00\x00") + address("10.6.6.6"), b"", b"noise")
    net = Net(_10_0_0_1=stranger + GOOD)
    made = a_lookup(net)
    assert result(net, made) == "10.0.0.2" and made.noise == 3
    net.servers["10.0.0.1"] = stranger * 200
    assert result(net, a_lookup(net, [NAME, "10.0.0.7"])) == "10.0.0.7"


def test_where_nobody_is_another_address_is_tried_in_turn():
    net = Net(_10_0_0_1=GOOD)
    made = a_lookup(net, [NAME, "10.0.0.7"])
    seen = []
    for _ in range(4):
        seen.append(result(net, made))
        made.failed(seen[-1])
    assert seen == ["10.0.0.2", "10.0.0.7", "10.0.0.2", "10.0.0.7"]
    made.proven("10.0.0.7")
    assert flash.load(rig.folder() + lookup.FILE) == [NAME, "10.0.0.7"]
    lone = a_lookup(net)
    for _ in range(3):
        assert result(net, lone) == "10.0.0.2"
        lone.failed("10.0.0.2")


def test_a_port_that_somebody_has_is_no_reason_to_stop():
    net = Net(_10_0_0_1=GOOD)
    net.taken = 1
    assert result(net, a_lookup(net)) == "10.0.0.2" and not net.ports
