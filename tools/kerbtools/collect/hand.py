"""Files of rounds to the running gateway, over its control socket."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kerbgate import asking
from kerbgate.errors import ControlError
from kerbgate.handed import MAX_FRAMES
from kerbwire import capture
from kerbwire.errors import WireError

CHUNK = 65536
TRIES = 10  # for frames that the store has no room for at once


@dataclass(slots=True)
class Total:
    """What became of the frames. damaged: pieces of the files that were none."""

    frames: int = 0
    committed: int = 0
    known: int = 0
    damaged: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"refused": dict(self.refused)}


def hand(state: Path, files: Sequence[Path]) -> Total:
    """Hand every uplink frame of the files to the gateway that runs on a state folder, the oldest file first, since its
    frames would be behind the replay window of later ones. ControlError."""
    total = Total()
    for path in sorted(files, key=_began_ms):
        batch: list[list[Any]] = []
        for row in _frames(path, total):
            batch.append(row)
            if len(batch) == MAX_FRAMES:
                _send(state, batch, total)
                batch = []
        if batch:
            _send(state, batch, total)
    return total


def _send(state: Path, batch: list[list[Any]], total: Total) -> None:
    total.frames += len(batch)
    for _ in range(TRIES):
        answer: dict[str, Any] = asking.ask(state, "hand", frames=batch)["hand"]
        if answer["again"]:  # which of them: it knows those that it has
            continue
        total.committed += answer["committed"]
        total.known += answer["known"]
        total.refused.update(answer["refused"])
        return
    raise ControlError("the gateway's store has no room", "see: kerb doctor; then hand the file again: nothing is lost")


def _frames(path: Path, total: Total) -> Iterator[list[Any]]:
    """[when it was heard in Unix milliseconds, hexadecimal digits] of each uplink frame. ControlError."""
    reader = capture.Reader()
    try:
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                for record in reader.feed(data):
                    if record.direction == capture.UP:
                        yield [_start_ms(path, reader.head) + record.offset_us // 1000, record.frame.hex()]
    except OSError as error:
        raise ControlError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except WireError as error:
        raise ControlError(f"{path}: {error.detail}", "give a file that kerb collect gather wrote") from error
    total.damaged += reader.damaged + bool(reader.torn)


def _began_ms(path: Path) -> int:
    """When a file was begun. ControlError."""
    reader = capture.Reader()
    try:
        with path.open("rb") as file:
            reader.feed(file.read(CHUNK))
    except OSError as error:
        raise ControlError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except WireError as error:
        raise ControlError(f"{path}: {error.detail}", "give a file that kerb collect gather wrote") from error
    return _start_ms(path, reader.head)


def _start_ms(path: Path, head: capture.Head | None) -> int:
    if head is None or head.start_ms is None:
        raise ControlError(
            f"{path} does not say when it began, and records without a clock of their own would be dated wrongly",
            "give a file that kerb collect gather wrote",
        )
    return head.start_ms
