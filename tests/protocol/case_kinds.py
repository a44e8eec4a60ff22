"""Events, results, logs, updates, commands, configurations, waves: round trips, refusals, caps, and the worked messages."""

import json
import os

from kerbwire import cbor, errors, frame, messages, seal
from kerbwire import channels as c
from kerbwire import controls as k
from kerbwire import events as e
from kerbwire import updates as u
from kerbwire import waves as w
from kerbwire.errors import WireError
from kerbwire.frame import DOWN, GROUP, UP
from kerbwire.messages import Unknown, decode, encode

START = 1765454400
ECHO = 20533
TOP = (1 << 32) - 1
SEQ = (1 << 40) - 1


def code(call, *args):
    try:
        call(*args)
    except WireError as error:
        return error.code
    return None


def alarm(**changes):
    fields = {
        "index": 41228, "time": START + 125, "code": e.FIRE, "severity": e.CRITICAL, "state": e.RAISED,
        "values": {c.TEMPERATURE: 156},
    }  # fmt: skip
    fields.update(changes)
    return e.Event(**fields)


def command(**changes):
    fields = {
        "echo": ECHO, "ident": 0x5BA0F2C1, "operation": k.DIM, "arguments": [60, 10, 7200], "expiry": START + 7200,
        "remaining": 7200, "priority": k.OPERATOR,
    }  # fmt: skip
    fields.update(changes)
    return k.Command(**fields)


def config(**changes):
    fields = {"echo": ECHO, "ident": 9, "version": 4, "patch": {0: 1800, 12: None}, "digest": b"digest.."}
    fields.update(changes)
    return k.Config(**fields)


def offer(**changes):
    fields = {"echo": ECHO, "manifest": bytes(range(32)), "size": 27500, "blocks": 144, "signer": b"key1"}
    fields.update(changes)
    return u.UpdateOffer(**fields)


def test_every_message_round_trips():
    for message, space in (
        (alarm(), UP), (alarm(values={}), UP), (alarm(index=0, time=0, values={c.TEMPERATURE: c.FAULT}), UP),
        (alarm(index=TOP, time=TOP, values={c.TEMPERATURE: 250, c.FILL: 100, c.FAULTS: 65535}), UP),
        (alarm(values={c.FILL: c.NO_ECHO, c.ENERGY: (1 << 31) - 8}, boot=3, uptime_now=START + 125), UP),
        (alarm(boot=TOP, uptime_now=TOP), UP), (alarm(code=e.CLOCK_STEP, severity=e.NOTICE, values={}), UP),
        (alarm(code=e.LID_OPEN, state=e.CLEARED, values={c.FILL: 0}), UP),
        (alarm(values=dict.fromkeys((0, 1, 2, 3, 4, 5, 16, 18), c.NOT_FITTED)), UP),
        (k.Result(0, k.APPLIED), UP), (k.Result(TOP, 255, -(1 << 31)), UP), (k.Result(7, k.REFUSED, (1 << 31) - 1), UP),
        (k.Log(1, 0, b"x"), UP), (k.Log(TOP, TOP, b"\xff" * k.MAX_LOG, TOP), UP),
        (u.UpdateState(b"abcd", u.RECEIVING), UP), (u.UpdateState(b"abcd", u.REFUSED, 32768, bytes(32), 255), UP),
        (u.UpdateState(b"abcd", u.RECEIVING, 0, b"\x01"), UP),
        (command(), DOWN), (command(operation=k.RELEASE, arguments=[]), DOWN),
        (command(operation=63, arguments=[-(1 << 31), (1 << 31) - 1, 0, 24]), DOWN),
        (command(echo=SEQ, ident=TOP, expiry=TOP, remaining=k.MAX_REMAINING_S, priority=k.SCHEDULE), DOWN),
        (command(echo=0, ident=0, expiry=0, remaining=1, priority=k.EMERGENCY, arguments=[0, 0, 1]), DOWN),
        (config(), DOWN), (config(digest=None, patch={255: -(1 << 31)}), DOWN),
        (config(patch=dict.fromkeys(range(k.MAX_PATCH), (1 << 31) - 1)), DOWN),
        (offer(), DOWN), (offer(size=1, blocks=1), DOWN), (offer(size=1 << 20, blocks=1 << 13), DOWN),
        (u.UpdateBlock(ECHO, b"abcd", 0, b"x"), DOWN), (u.UpdateBlock(SEQ, b"abcd", 32767, bytes(192)), DOWN),
        (w.Wave(100, 0, w.BOTH, 0, 1), GROUP), (w.Wave(1, 15, w.DOWNWARDS, 600, 600), GROUP),
        (w.Brighten(100, 14400), GROUP), (w.Brighten(1, 1, 65535), GROUP),
    ):  # fmt: skip
        data = encode(message)
        again = decode(data, space)
        assert again == message and again.skipped == 0, (message, again)
        assert encode(again) == data
        for other in (UP, DOWN, GROUP):
            if other != space:
                assert decode(data, other) == Unknown(message.KIND)
        for size in range(len(data)):
            assert code(decode, data[:size], space) is not None, (message, size)
        assert code(decode, data + b"\x00", space) is not None


def test_an_alarm_fits_25_bytes():
    """As kerbtools.bench.days has it: fire, severity 2, raised, with its temperature; 2-byte node and number."""
    key = seal.uplink_key(bytes(16), 417, bytes(8))
    assert len(key.seal(frame.UP, 0, 417, 20534, encode(alarm()))) == 25


def test_a_node_decodes_a_command_within_1_kb_of_heap():
    """As allocated in one call, nothing collected, on 64 bits; the module that holds commands is loaded already."""
    import gc

    if not hasattr(gc, "mem_alloc"):
        return
    data = encode(command())
    decode(data, DOWN)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    decode(data, DOWN)
    taken = gc.mem_alloc() - before
    gc.enable()
    assert taken <= 1024, taken


def test_the_largest_downlinks_fit_a_frame_that_carries_the_instance():
    largest = frame.MAX_FRAME - 8 - 17  # tag; control, other, node, five bytes of number, instance
    assert len(encode(u.UpdateBlock(SEQ, b"abcd", 32767, bytes(u.MAX_BLOCK)))) <= largest
    assert len(encode(config(echo=SEQ, patch={255 - n: -(1 << 31) for n in range(k.MAX_PATCH)}))) <= largest
    assert len(encode(k.Log(TOP, TOP, bytes(k.MAX_LOG), TOP))) <= largest


def test_fields_out_of_range_are_not_written():
    wide, low = errors.RANGE, errors.TYPE
    for bad, expected in (
        (alarm(index=-1), wide), (alarm(index=1 << 32), wide), (alarm(time=1 << 32), wide), (alarm(code=64), wide),
        (alarm(severity=4), wide), (alarm(state=3), wide), (alarm(values={c.FILL: 101}), wide),
        (alarm(values={6: 1}), wide), (alarm(values={32: 1}), wide), (alarm(values={c.TEMPERATURE: 251}), wide),
        (alarm(code=9), wide), (alarm(boot=1), low), (alarm(uptime_now=5), low), (alarm(boot=1, uptime_now=5), wide),
        (alarm(values=dict.fromkeys((0, 1, 2, 3, 4, 5, 16, 17, 18), c.FAULT)), errors.TOO_LONG),
        (alarm(time=None), low), (alarm(index=True), low),
        (k.Result(-1, 0), wide), (k.Result(0, 256), wide), (k.Result(0, 0, 1 << 31), wide), (k.Result(None, 0), low),
        (k.Log(0, 0, b""), wide), (k.Log(0, 0, bytes(193)), errors.TOO_LONG), (k.Log(0, 0, "text"), low),
        (k.Log(0, 0, b"x", 0), wide),
        (u.UpdateState(b"abc", 0), wide), (u.UpdateState(b"abcd", 0, 32769), wide),
        (u.UpdateState(b"abcd", 0, 0, b""), wide), (u.UpdateState(b"abcd", 0, 0, bytes(33)), errors.TOO_LONG),
        (command(operation=64), wide), (command(ident=1 << 32), wide), (command(remaining=0), wide),
        (command(remaining=k.MAX_REMAINING_S + 1), wide), (command(priority=3), wide), (command(arguments=[]), wide),
        (command(arguments=[101, 0, 1]), wide), (command(arguments=[60, 10, 0]), wide), (command(arguments=[60]), wide),
        (command(arguments=[60, 10, 1, 0, 0]), errors.TOO_LONG), (command(arguments=["60", 10, 1]), low),
        (command(operation=k.RELEASE, arguments=[1]), wide), (command(operation=63, arguments=[1 << 31]), wide),
        (config(version=0), wide), (config(patch={256: 1}), wide), (config(patch={1: 1 << 31}), wide),
        (config(patch={1: "x"}), low), (config(patch=dict.fromkeys(range(17), 0)), errors.TOO_LONG),
        (config(digest=b"short"), wide), (config(patch=[]), low),
        (offer(manifest=bytes(31)), wide), (offer(size=0), wide), (offer(blocks=0), wide), (offer(blocks=143), wide),
        (offer(size=10, blocks=7), wide), (offer(size=(1 << 20) + 1), wide), (offer(signer=b"keys!"), errors.TOO_LONG),
        (u.UpdateBlock(0, b"abcd", 32768, b"x"), wide), (u.UpdateBlock(0, b"abcd", 0, b""), wide),
        (u.UpdateBlock(0, b"abcd", 0, bytes(193)), errors.TOO_LONG),
        (w.Wave(0, 0, 0, 0, 1), wide), (w.Wave(101, 0, 0, 0, 1), wide), (w.Wave(1, 16, 0, 0, 1), wide),
        (w.Wave(1, 0, 3, 0, 1), wide), (w.Wave(1, 0, 0, 601, 1), wide), (w.Wave(1, 0, 0, 0, 0), wide),
        (w.Wave(1, 0, 0, 0, 601), wide), (w.Brighten(0, 1), wide), (w.Brighten(1, 14401), wide), (w.Brighten(1, 0), wide),
        (w.Brighten(1, 1, 65536), wide), (Unknown(7), errors.TYPE), (None, errors.TYPE), (messages.Message(), errors.TYPE),
    ):  # fmt: skip
        assert code(encode, bad) == expected, (bad, code(encode, bad))


def at_least(form, low):
    if form == messages.BYTES:
        return bytes(low)
    if form == messages.TEXT:
        return "x" * low
    return {1: 1} if form == messages.PATCH else [0] * low


def wrong(form, low, high):
    """Values that no field of a form takes: beyond its ends, and of other types."""
    if form == messages.UINT:
        return low - 1, high + 1, None, True, b"", "", []
    if form == messages.TRUE:
        return False, None, 1
    if form == messages.BYTES:
        return (bytes(high + 1), 5, "") + ((bytes(low - 1),) if low else ())
    if form == messages.TEXT:
        return "x" * (high + 1), b"x", "\n"
    if form == messages.SEQS:
        return [0] * (high + 1), [-1], [1 << 40], [True], 5
    if form == messages.INTS:
        return [], [0] * (high + 1), [1 << 31], [-(1 << 31) - 1], [None], [b""], 5
    if form == messages.RANGES:
        return [], [0], [0, 0], [0, 1] * (high + 1), [1 << 32, 1], 5
    return {}, {1: 1 << 31}, {1: ""}, {256: 1}, 5


def test_every_field_of_every_table_is_refused_out_of_range_and_when_missing():
    for cls in (messages.Hello, messages.Ack, messages.Challenge) + k.MESSAGES + u.MESSAGES + w.MESSAGES:  # noqa: RUF005
        space = UP if cls.KIND < 8 else DOWN if cls.KIND < 16 else GROUP
        base = {}
        for number, _, form, low, _, optional in cls.ROWS:
            if not optional:
                base[number] = low if form == messages.UINT else at_least(form, low)
        if cls is k.Command:
            base[2] = k.MAX_OPERATION
        assert code(decode, cbor.encode([cls.KIND, base]), space) is None, cls
        for number, name, form, low, high, optional in cls.ROWS:
            for value in wrong(form, low, high):
                body = dict(base)
                body[number] = value
                assert code(decode, cbor.encode([cls.KIND, body]), space) is not None, (cls, name, value)
            if not optional:
                body = dict(base)
                del body[number]
                assert code(decode, cbor.encode([cls.KIND, body]), space) == errors.TYPE, (cls, name)


def test_numbers_and_maps_have_one_form():
    # [9, {0: echo, ...}]: each head written longer than it must be, keys twice or out of order, maps of other heads.
    good = encode(command())
    assert decode(good, DOWN) == command()
    for old, new, expected in (
        ("00195035", "0019500035", None), ("00195035", "001800", errors.NOT_CANONICAL),
        ("00195035", "00190017", errors.NOT_CANONICAL), ("00195035", "001a00005035", errors.NOT_CANONICAL),
        ("00195035", "001b0000000000005035", errors.NOT_CANONICAL), ("00195035", "1800195035", None),
        ("a7", "b807", errors.TYPE), ("a7", "bf", errors.TYPE), ("a7", "a6", None), ("a7", "a8", None),
        ("0200", "0100", errors.NOT_CANONICAL), ("0200", "0201", None), ("0601", "0501", errors.NOT_CANONICAL),
        ("8209", "9f09", errors.UNSUPPORTED), ("8209", "821809", errors.NOT_CANONICAL), ("8209", "8309", None),
    ):  # fmt: skip
        text = good.hex()
        at = text.find(old)
        assert at >= 0 and at % 2 == 0, old
        found = code(decode, bytes.fromhex(text[:at] + new + text[at + len(old) :]), DOWN)
        assert found is not None and (expected is None or found == expected), (old, new, found)


def test_refused_event_bodies():
    def refused(bits):
        pad = -len(bits) % 8
        text = bits + "0" * pad
        body = bytes([int(text[i : i + 8], 2) for i in range(0, len(text), 8)])
        return code(decode, cbor.encode([messages.EVENT, body]), UP)

    def bits(value, count):
        return "".join(["1" if value >> i & 1 else "0" for i in range(count - 1, -1, -1)])

    head = "0" + "00" + bits(5, 8) + bits(START, 32)
    fire = head + bits(e.FIRE, 6) + "10" + "00"
    assert refused(fire + "0") is None
    assert refused(fire + "1" + bits(3, 9)) is None
    assert refused(head + bits(e.FIRE, 6) + "10" + "11" + "0") == errors.RANGE  # state 3
    assert refused("0" + "01" + bits(5, 16) + bits(START, 32) + bits(0, 6) + "1000" + "0") == errors.NOT_CANONICAL
    assert refused(fire + "1" + bits(511, 9)) == errors.RANGE  # a temperature over its range
    assert refused(head + bits(e.CRASH, 6) + "10" + "00" + "1") == errors.NOT_CANONICAL  # a value of no channel
    assert refused(fire + "0" + "00101" + bits(3, 17) + "00000" + bits(3, 7)) == errors.NOT_CANONICAL  # not ascending
    assert refused(fire + "0" + "00010" + bits(3, 9)) == errors.NOT_CANONICAL  # its own channel, by number
    assert refused(fire + "0" + "00000" + bits(3, 7) + "00000000") is not None  # padding of a byte
    assert refused(fire + "0" + "1") == errors.NOT_CANONICAL  # padding that is not zero
    late = "1" + "00" + bits(5, 8) + bits((1 << 32) - 1, 32) + "00" + bits(1, 8) + "00" + bits(1, 8) + "0" * 11
    assert refused(late) == errors.RANGE  # an uptime beyond 32 bits
    assert code(decode, cbor.encode([messages.EVENT, bytes(65)]), UP) == errors.TOO_LONG
    assert code(decode, cbor.encode([messages.EVENT, {}]), UP) == errors.TYPE
    assert code(decode, cbor.encode([messages.EVENT, b""]), UP) == errors.TRUNCATED
    data = cbor.decode(encode(alarm(boot=1, uptime_now=START + 125)))[1]
    for size in range(len(data)):
        assert code(decode, cbor.encode([messages.EVENT, data[:size]]), UP) is not None, size


def test_worked_messages():
    """The examples of PROTOCOL.md: one of each kind that the worked frames do not show."""
    with open(os.getenv("KERB_VECTORS") + "/messages.json") as file:
        rows = json.load(file)["vectors"]
    kinds = set()
    for row in rows:
        data = bytes.fromhex(row["message"])
        message = decode(data, {"up": UP, "down": DOWN, "group": GROUP}[row["space"]])
        assert type(message).__name__ == row["class"]
        for name in row["fields"]:
            value = getattr(message, name)
            if isinstance(value, bytes):
                value = value.hex()
            if isinstance(value, dict):
                value = {str(key): value[key] for key in value}
            assert value == row["fields"][name], (row["name"], name, value)
        assert encode(message) == data, row["name"]
        kinds.add(message.KIND)
    assert kinds == set(messages.MODULES)
