"""The log: one bounded line an event, whatever the fields hold, and a reader that takes nothing costs no wait."""

import json
import os
import pty
import re
from pathlib import Path
from typing import Any

import pytest

from kerbgate.service import log as logs
from kerbgate.service.log import EVENTS, MAX_LINE, MAX_TEXT, PER_MINUTE, Log

PAGE = (Path(__file__).parents[2] / "gateway" / "SERVICE.md").read_text()


class Paper:
    """A pipe to log into, and a clock that the test sets."""

    def __init__(self, **options: Any):
        self.now = 1000.0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self.log = Log(self._write, monotonic=lambda: self.now, utc=lambda: 1_772_323_200.25, **options)

    def lines(self) -> list[str]:
        out = b""
        while True:
            try:
                out += os.read(self._read, 1 << 20)
            except BlockingIOError:
                return out.decode().splitlines()

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@pytest.fixture
def paper() -> Any:
    made = Paper()
    yield made
    made.close()


def test_an_event_is_one_line_of_json(paper: Paper) -> None:
    paper.log.event("link_down", link="inlet", name="serial:/dev/x", cause="gone", hint="look", times=3)
    assert paper.rows() == [
        {
            "time": "2026-03-01T00:00:00.250000Z", "level": "warning", "event": "link_down",
            "link": "inlet", "name": "serial:/dev/x", "cause": "gone", "hint": "look", "times": 3,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"\x01" * 16, "(16 bytes)"),
        (bytearray(3), "(3 bytes)"),
        ("a\nb\x1b[31m\udcff", "a?b?[31m?"),
        ("x" * 70_000, "x" * (MAX_TEXT - 1) + "…"),
        (float("nan"), "nan"),
        (1.23456, 1.235),
        ({"a\n": b"k", "b": {"deep": 1}}, {"a?": "(1 bytes)", "b": "(more)"}),
        ([1, "\r", [2]], [1, "?", "(more)"]),
        (None, None),
        (True, True),
    ],
)
def test_what_a_peer_says_is_stripped_and_cut_and_bytes_are_never_shown(
    paper: Paper, value: object, shown: object
) -> None:
    paper.log.event("problem", cause=value)
    (row,) = paper.rows()
    assert row["cause"] == shown


def test_a_line_is_never_longer_than_a_pipe_takes_at_once(paper: Paper) -> None:
    paper.log.event("refused", counts={f"{number}" + "ü" * 300: "ß" * 300 for number in range(100)})
    (line,) = paper.lines()
    assert json.loads(line)["cut"] is True and len(line) < MAX_LINE


def test_each_kind_is_limited_in_a_minute_and_the_rest_is_counted(paper: Paper) -> None:
    for number in range(PER_MINUTE + 7):
        paper.log.event("link_up", name=str(number))
    paper.log.event("link_down")
    rows = paper.rows()
    assert [row["event"] for row in rows] == ["link_up"] * PER_MINUTE + ["link_down"]
    paper.now += 59
    paper.log.tick()
    assert paper.lines() == []
    paper.now += 1
    paper.log.tick()
    assert [(row["event"], row["more"]) for row in paper.rows()] == [("link_up", 7)]
    paper.log.event("link_up")
    for _ in range(PER_MINUTE + 1):
        paper.log.event("link_up")
    paper.log.close()
    assert paper.rows()[-1]["more"] == 2


def test_a_reader_that_takes_nothing_costs_lines_and_no_wait(paper: Paper) -> None:
    for _ in range(2000):
        paper.now += 60
        paper.log.event("problem", cause="x" * 250)
    assert paper.log.lost > 1000  # and this came to an end
    read = paper.lines()
    lost = paper.log.lost
    assert len(read) == 2000 - lost
    paper.log.event("solved")
    said, solved = paper.rows()
    assert (said["event"], said["lines"], solved["event"]) == ("log_lost", lost, "solved")
    os.close(os.dup(paper._read))
    paper.log.event("solved")
    assert paper.log.lost == lost


def test_a_terminal_gets_words_and_a_journal_its_level(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    try:
        Log(slave, utc=lambda: 1_772_323_200).event("link_down", name="a b", times=2)
        assert os.read(master, 1000).decode().rstrip() == '00:00:00 warning link down  name="a b"  times=2'
    finally:
        os.close(master)
        os.close(slave)
    found = os.fstat(paper._write)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    Log(paper._write).event("problem_grave")
    assert paper.lines()[0].startswith('<3>{"time"')
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
    Log(paper._write).event("problem_grave")
    assert paper.lines()[0].startswith('{"time"')


def test_a_log_that_goes_nowhere_and_one_whose_reader_has_gone() -> None:
    Log().event("start", version="1")
    paper = Paper()
    os.close(paper._read)
    paper.log.event("start")
    assert paper.log.lost == 1
    os.close(paper._write)
    with pytest.raises(KeyError):
        Log().event("not in the table")


def test_the_page_lists_the_events() -> None:
    said = re.findall(r"^\| `(\w+)` \| (error|warning|notice|info) \| (.+) \|$", PAGE, re.M)
    names = {logs.ERROR: "error", logs.WARNING: "warning", logs.NOTICE: "notice", logs.INFO: "info"}
    assert said == [(kind, names[level], text) for kind, (level, text) in EVENTS.items()]
