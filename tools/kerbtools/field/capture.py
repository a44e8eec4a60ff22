"""`kerb capture FILE`: the frames of a running gateway's links, sealed as they are, in a capture file.

kerb capture street.kcap --for 10min           all links, for ten minutes or until Ctrl-C
kerb capture s.kcap --inlet serial:/dev/ttyACM0 --max-mb 5 --files 3
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import kerbwire
from kerbgate import asking
from kerbgate.errors import ControlError
from kerbtools.field import words
from kerbtools.field.subject import Subject
from kerbwire import capture, frame
from kerbwire.errors import WireError

EVERY_S = 0.5
MB = 1024 * 1024
MAX_FILES = 100


def main(arguments: Sequence[str]) -> int:
    """Returns 0 when it ended in time or by Ctrl-C; 1 where nothing can be recorded."""
    parser = words.parser("capture", "Record a gateway's frames, sealed, for kerb decode and kerb replay.")
    parser.add_argument("file", type=Path, help="never overwritten; a full one is renamed FILE.1, FILE.2, ...")
    parser.add_argument("--inlet", help="only this link, by the name that kerb doctor shows")
    parser.add_argument("--node", type=int, help="only this node's frames, and those to it")
    parser.add_argument("--for", dest="span", type=words.span_of, metavar="SPAN", help="then end (default: at Ctrl-C)")
    parser.add_argument("--max-mb", type=float, default=10, help="of one file (default: 10)")
    parser.add_argument("--files", type=int, default=4, help="that are kept, the oldest goes (default: 4)")
    options = parser.parse_args(list(arguments))
    if not 0.01 <= options.max_mb <= 4096 or not 1 <= options.files <= MAX_FILES:
        parser.error(f"--max-mb: 0.01 to 4096; --files: 1 to {MAX_FILES}")
    return words.run(_capture, options)


def _capture(options: argparse.Namespace) -> int:
    recorded = 0
    files = Files(options.file, round(options.max_mb * MB), options.files)
    try:
        for answer in answers(Subject(options.config).state, options.span):
            link = None
            if options.inlet is not None:
                if options.inlet not in answer["links"]:
                    raise ControlError(
                        f"no inlet is called {options.inlet!r}", "there are: " + ", ".join(answer["links"])
                    )
                link = answer["links"].index(options.inlet)
            files.begin(answer["links"][link or 0] if answer["links"] else "", answer["start_ms"])
            for offset, way, number, text in answer["frames"]:
                data = bytes.fromhex(text)
                if link in (None, number) and options.node in (None, node_of(data)):
                    files.put(offset, way, number, data)
                    recorded += 1
            files.flush()
            if answer["lost"]:
                print(f"kerb: {answer['lost']} frames came faster than they were fetched", file=sys.stderr)
    except KeyboardInterrupt:
        pass
    finally:
        files.close()
    print(f"{recorded} frames in {options.file}; take them apart: kerb decode {options.file}")
    return 0


def answers(state: Path, span_s: float | None) -> Iterator[dict[str, Any]]:
    """What the recorder of a gateway answers, again and again, for so long. ControlError."""
    end = None if span_s is None else time.monotonic() + span_s
    after: int | None = None
    while True:
        answer: dict[str, Any] = asking.ask(state, "capture", **({} if after is None else {"after": after}))["capture"]
        yield answer
        after = answer["next"]
        if end is not None and time.monotonic() >= end:
            return
        time.sleep(EVERY_S)


def node_of(data: bytes) -> int:
    """Whose frame it is; 0 where its head does not say."""
    try:
        return frame.parse(data).node
    except WireError:
        return 0


class Files:
    """A capture in files of a bounded size: FILE is the newest, FILE.1 the one before it, and so on."""

    def __init__(self, path: Path, most: int, count: int):
        """ControlError if one of the files is there already."""
        self._path = path
        self._most = most
        self._count = count
        for there in filter(os.path.lexists, map(self._numbered, range(count))):
            raise ControlError(f"{there} exists already", "name another file: a capture is never written over")
        self._about: tuple[str, int | None] | None = None
        self._file: BinaryIO | None = None
        self._writer: capture.Writer | None = None

    def begin(self, url: str, start_ms: int | None) -> None:
        """The first time: make the file."""
        if self._about is None:
            self._about = (url, start_ms)
            self._open()

    def _open(self) -> None:
        assert self._about is not None
        url = "".join(char for char in self._about[0] if 32 <= ord(char) < 127)[: capture.MAX_URL]
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ControlError(f"{self._path} cannot be written: {error.strerror}", "name another file") from error
        self._file = os.fdopen(descriptor, "wb")
        self._writer = capture.Writer(url, self._about[1], f"kerb {kerbwire.__version__}")
        self._file.write(self._writer.start())

    def put(self, offset_us: int, way: int, link: int, data: bytes) -> None:
        """One frame; what is no frame by its length is left out."""
        if not 0 < len(data) <= frame.MAX_FRAME or self._writer is None or self._file is None:
            return
        if self._writer.size + capture.MAX_CHUNK > self._most:
            self._rotate()
        self._file.write(self._writer.record(offset_us, way, link, data))

    def _rotate(self) -> None:
        self.close()
        for number in range(self._count - 1, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        if self._count == 1:
            self._path.unlink()
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
