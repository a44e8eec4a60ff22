"""`kerb decode`: the worked frames as snapshots, captures, standard input, keys, and mistakes with a hint.

After a change that is meant, write the snapshots anew and read the difference: KERB_SNAPSHOTS=write pytest tests/decode
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerbgate.registry import Registry
from kerbtools.decode.annotate import annotate, annotate_message
from kerbtools.decode.cli import as_json, as_text
from kerbtools.decode.keyring import Keyring
from kerbtools.decode.source import Item
from kerbwire import frame, messages, seal
from kerbwire.capture import DOWN, UP, Writer
from kerbwire.channels import FILL, NO_ECHO, TEMPERATURE
from kerbwire.events import EMERGENCY, FIRE, RAISED, Event
from kerbwire.messages import Record, Report

FOLDER = Path(__file__).parent
ROWS = json.loads((FOLDER.parent / "vectors" / "frames.json").read_text())["vectors"]
SECRET = bytes(range(16))
LIFE = bytes.fromhex("a0a1a2a3a4a5a6a7")


def kerb(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "kerbtools", "decode", *words], input=stdin, capture_output=True, timeout=60, check=False
    )


def lines(done: subprocess.CompletedProcess[bytes]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET.hex() + "\n")
    path.chmod(0o600)
    return path


def capture_of_all() -> bytes:
    writer = Writer("serial:/dev/ttyACM0?baud=115200", 1765454400123, "kerb 0.1.0")
    data = writer.start()
    for i, row in enumerate(ROWS):
        data += writer.record(250_000 * i, UP if row["space"] == "up" else DOWN, 0, bytes.fromhex(row["frame"]))
    return data


@pytest.mark.parametrize("number", range(1, 13))
def test_worked_frame(number: int) -> None:
    row = ROWS[number - 1]
    data = bytes.fromhex(row["frame"])
    without = "\n".join(as_text(Item(data), annotate(data, Keyring())))
    opened = annotate(data, Keyring(secret=SECRET, life=bytes.fromhex(row["life"])))
    assert opened.message is not None and opened.message.hex() == row["message"]
    text = f"{without}\n\n" + "\n".join(as_text(Item(data), opened)) + "\n"
    path = FOLDER / "snapshots" / f"{number:02}.txt"
    if os.environ.get("KERB_SNAPSHOTS") == "write":
        path.write_text(text)
    assert text == path.read_text()
    for part, whole in (("frame", data), ("message", opened.message)):
        rows = [r for r in opened.ranges if r.part == part]
        assert b"".join(opened.bytes_of(r) for r in rows) == whole, "every byte stands in one range"


def test_a_capture_tells_its_lives(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "bench.kcap"
    path.write_bytes(capture_of_all())
    text = lines(kerb(str(path), "--secret-file", str(secret)))
    assert text.startswith("capture of serial:/dev/ttyACM0?baud=115200, from 2025-12-11T12:00:00Z, by kerb 0.1.0\n")
    assert text.count("\nmessage of") == 12 and "sealed:" not in text
    assert "+0.250000 s, link 0: frame of 36 bytes, down, node 417, number 0" in text
    assert lines(kerb("-", "--secret-file", str(secret), stdin=path.read_bytes())) == text
    objects = [json.loads(line) for line in lines(kerb(str(path), "--secret-file", str(secret), "--json")).splitlines()]
    assert [o["hex"] for o in objects] == [row["frame"] for row in ROWS]
    assert [o["message"]["hex"] for o in objects] == [row["message"] for row in ROWS]
    day = objects[5]["message"]["fields"]["records"]
    assert len(day) == 24 and day[0] == {
        "index": 41203, "time": 1765432800, "fill": 31, "temperature": 7.0, "battery": 3.59, "quality": [],
    }  # fmt: skip


def test_torn_and_damaged_captures(tmp_path: Path) -> None:
    data = bytearray(capture_of_all()[:-9])
    data[200] ^= 1
    done = kerb("-", stdin=bytes(data))
    assert done.returncode == 0 and done.stdout.count(b"frame of") == 10
    assert b"1 damaged records were skipped" in done.stderr and b"never finished" in done.stderr


def test_a_registry_opens_its_own_nodes(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry.db", create=True)
    registry.add(address=417, site="depot", role="bin", board="esp32_c3", secret=SECRET)
    registry.close()
    text = lines(kerb("-", "--registry", str(tmp_path / "registry.db"), stdin=capture_of_all()))
    assert text.count("\nmessage of") == 10 and text.count("sealed: node 9 is not in this registry") == 2


def test_lines_of_digits(secret: Path) -> None:
    frames = "\n".join(["# from a bench", ROWS[0]["frame"], "", "0x" + ROWS[4]["frame"].upper() + "  # one record"])
    text = lines(kerb("-", "--secret-file", str(secret), stdin=frames.encode()))
    assert text.count("\nmessage of") == 2
    spaced = " ".join(ROWS[4]["frame"][i : i + 2] for i in range(0, len(ROWS[4]["frame"]), 2))
    assert "frame of 35 bytes" in lines(kerb(spaced))


def test_what_does_not_open_says_why(secret: Path) -> None:
    report = ROWS[4]["frame"]
    assert "sealed: no key" in lines(kerb(report))
    assert "sealed: the life is not known" in lines(kerb(report, "--secret-file", str(secret)))
    wrong = lines(kerb(report, "--secret-file", str(secret), "--life", "00" * 8))
    assert "sealed: it does not open" in wrong
    downlink = seal.downlink_key(SECRET, LIFE, bytes(8)).seal(frame.DOWN, 0, 417, 3, b"\x82\x17\xf6")
    words = (downlink.hex(), "--secret-file", str(secret), "--life", LIFE.hex())
    assert "sealed: the instance is not known" in lines(kerb(*words))
    assert "message of 3 bytes, kind 23" in lines(kerb(*words, "--instance", "00" * 8))
    assert "bytes that are no frame" in lines(kerb("ff0011"))
    assert "refused: " in lines(kerb("--message", "up", "820158020000"))


def test_an_opened_message() -> None:
    event = messages.encode(Event(7, 1765454400, FIRE, EMERGENCY, RAISED, {TEMPERATURE: 180, FILL: NO_ECHO}))
    text = lines(kerb("--message", "up", event.hex()))
    assert "event" in text and "90.0 degC" in text and "no echo" in text and "3 emergency" in text
    fields = json.loads(lines(kerb("--message", "up", "--json", event.hex())))["message"]["fields"]
    assert fields["values"] == {"fill": "no echo", "temperature": 90.0}


def test_mistakes_have_a_cause_and_a_hint(tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.write_text(SECRET.hex())
    loose.chmod(0o644)
    short = tmp_path / "short"
    short.write_text("00")
    short.chmod(0o600)
    later = tmp_path / "later.kcap"
    later.write_bytes(b"KCAP\n\x1a\x00")
    empty = tmp_path / "empty"
    empty.touch()
    for words, cause, hint in (
        (("zz",), b"neither hexadecimal digits", b"give a frame"),
        (("",), b"neither hexadecimal digits", b"give a frame"),
        ((str(empty),), b"is empty", b".kcap"),
        ((str(later),), b"not a capture file", b"binary mode"),
        (("00", "--secret-file", str(loose)), b"others may read", b"chmod 600"),
        (("00", "--secret-file", str(short)), b"holds no secret", b"32 hexadecimal digits"),
        (("00", "--secret-file", str(tmp_path)), b"no plain file", b"0600"),
        (("00", "--secret-file", str(tmp_path / "none")), b"cannot be read", b"check"),
        (("00", "--registry", str(tmp_path / "none")), b"no registry", b"registry"),
        (("00", "--life", "abc"), b"--life takes 8 bytes", b"16 hexadecimal digits"),
    ):
        done = kerb(*words)
        first, _, second = done.stderr.partition(b"\n      ")
        assert done.returncode == 1 and cause in first and hint in second, (words, done.stderr)
        assert b"Traceback" not in done.stderr and done.stdout == b""
    done = kerb("-", stdin=b"0011\nnot hex\n")
    assert done.returncode == 1 and b"line 2" in done.stderr
    assert kerb("-", stdin=b"# nothing\n").returncode == 1


def test_no_secret_in_any_output(secret: Path) -> None:
    done = kerb("-", "--secret-file", str(secret), "--json", stdin=capture_of_all())
    for row in ROWS:
        for word in (row["secret"], row["key"], row["iv"]):
            assert word.encode() not in done.stdout + done.stderr
    assert SECRET.hex() not in repr(Keyring(secret=SECRET))


@given(st.binary(max_size=260), st.sampled_from((frame.UP, frame.DOWN, frame.GROUP)))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_shown(data: bytes, space: int) -> None:
    for found in (annotate(data, Keyring(secret=SECRET, life=LIFE)), annotate_message(data, space)):
        json.dumps(as_json(Item(data), found))
        text = "\n".join(as_text(Item(data), found))
        assert text.isascii() and all(c.isprintable() or c == "\n" for c in text)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_changed_message_is_shown(data: st.DataObject) -> None:
    sent = bytearray(bytes.fromhex(data.draw(st.sampled_from(ROWS))["message"]))
    for _ in range(data.draw(st.integers(1, 3))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    for space in (frame.UP, frame.DOWN, frame.GROUP):
        found = annotate_message(bytes(sent), space)
        json.dumps(as_json(Item(bytes(sent)), found))
        text = "\n".join(as_text(Item(bytes(sent)), found))
        assert text.isascii()
        assert b"".join(found.bytes_of(r) for r in found.ranges) == sent


def test_a_near_report_is_resolved_from_an_earlier_one(secret: Path) -> None:
    key = seal.uplink_key(SECRET, 417, LIFE)
    reports = [Report([Record(70000 + i, 1765454400 + 3600 * i, {FILL: 30, TEMPERATURE: 9})]) for i in range(2)]
    first = messages.encode(reports[0], coder=0)
    second = messages.encode(reports[1], near=(70000, 1765454400))
    frames = [key.seal(frame.UP, 0, 417, i, data).hex() for i, data in enumerate((first, second))]
    words = ("--secret-file", str(secret), "--life", LIFE.hex())
    text = lines(kerb("-", *words, stdin="\n".join(frames).encode()))
    assert "  70001  2025-12-11T13:00:00Z" in text and "packed, 1 record" in text
    assert "refused: unresolved" in lines(kerb(frames[1], *words)) and "--near" in lines(kerb(frames[1], *words))
    assert "  70001  2025-12-11T13:00:00Z" in lines(kerb(frames[1], *words, "--near", "69000:1765000000"))
    assert "70001" in lines(kerb("--message", "up", second.hex(), "--near", "69000:1765000000"))
    assert kerb(frames[1], "--near", "x").returncode == 1


def test_unset_clock_and_special_values_in_a_table() -> None:
    report = Report([Record(5, 60, {FILL: NO_ECHO}), Record(6, 3660, {FILL: 7, TEMPERATURE: 15})], 4, 4000)
    text = "\n".join(as_text(Item(b""), annotate_message(messages.encode(report), frame.UP)))
    assert "uptimes of boot 4, reported at 4000 s" in text
    assert text.splitlines()[-3:] == [
        "  index    time   fill %  temperature degC",
        "      5    60 s  no echo",
        "      6  3660 s        7               7.5",
    ]
