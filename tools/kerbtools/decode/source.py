"""Where frames come from: a word of hexadecimal digits, a capture file, or standard input with either."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kerbtools.decode.errors import DecodeError
from kerbwire import capture, frame
from kerbwire.errors import WireError

CHUNK = 65536
MAX_LINE = 4096  # characters: a frame of 243 bytes with a colon between them has 729, and a line of notes has some

_SPACING = re.compile(rb"[\s:]|0x")


@dataclass(frozen=True, slots=True)
class Item:
    """One frame (or message), and where it came from."""

    data: bytes
    offset_us: int | None = None
    direction: int | None = None
    link: int | None = None


class Source:
    """Items of one input. After the last, `notes` says what else the input was and held."""

    def __init__(self, word: str):
        self._word = word
        self.notes: list[str] = []
        self.head: capture.Head | None = None

    def __iter__(self) -> Iterator[Item]:
        """DecodeError for an input that is neither."""
        if self._word == "-":
            yield from self._stream(sys.stdin.buffer, "standard input")
            return
        data = _hex(self._word.encode())
        if data is not None:
            yield Item(data)
            return
        try:
            with Path(self._word).open("rb") as file:
                yield from self._stream(file, self._word)
        except (OSError, ValueError) as error:
            raise DecodeError(
                f"{_short(self._word)} is neither hexadecimal digits nor a file that can be read",
                "give a frame as digits, the path of a .kcap file, or - for standard input",
            ) from error

    def _stream(self, file: BinaryIO, name: str) -> Iterator[Item]:
        start = file.read(len(capture.MAGIC))
        if start[:4] == capture.MAGIC[:4]:
            yield from self._capture(file, name, start)
        elif start:
            yield from _lines(file, name, start)
        else:
            raise DecodeError(f"{name} is empty", "give a frame as digits, or a .kcap file")

    def _capture(self, file: BinaryIO, name: str, data: bytes) -> Iterator[Item]:
        reader = capture.Reader()
        try:
            while data:
                for record in reader.feed(data):
                    self.head = reader.head
                    yield Item(record.frame, record.offset_us, record.direction, record.link)
                data = file.read(CHUNK)
        except WireError as error:
            raise DecodeError(
                f"{name}: {error.detail}", "copy it in binary mode, or decode it with the kerb that wrote it"
            ) from error
        self.head = reader.head
        if reader.head is None:
            self.notes.append("the head of the capture file is damaged")
        if reader.damaged:
            self.notes.append(f"{reader.damaged} damaged records were skipped")
        if reader.torn:
            self.notes.append(f"the last {reader.torn} bytes are of a record that was never finished")


def _lines(file: BinaryIO, name: str, start: bytes) -> Iterator[Item]:
    number = 0
    line = start
    if b"\n" in start:
        lines = start.split(b"\n")
        for line in lines[:-1]:
            number += 1
            yield from _line(line, name, number)
        line = lines[-1]
    while more := file.readline(MAX_LINE):
        number += 1
        line += more
        if len(line) > MAX_LINE:
            raise DecodeError(f"{name}, line {number}: too long", "give one frame a line, as hexadecimal digits")
        yield from _line(line, name, number)
        line = b""
    if line:
        yield from _line(line, name, number + 1)


def _line(line: bytes, name: str, number: int) -> Iterator[Item]:
    text = line.partition(b"#")[0].strip()
    if text:
        data = _hex(text)
        if data is None:
            raise DecodeError(
                f"{name}, line {number}: not hexadecimal digits", "give one frame a line; # begins a remark"
            )
        yield Item(data)


def _hex(text: bytes) -> bytes | None:
    try:
        data = bytes.fromhex(_SPACING.sub(b"", text).decode("ascii"))
    except ValueError:
        return None
    return data[: 4 * frame.MAX_FRAME] or None  # anything over a frame is refused as too long further on


def _short(word: str) -> str:
    return ascii(word if len(word) <= 60 else word[:57] + "...")
