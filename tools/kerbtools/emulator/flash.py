"""The flash of an emulated board: a LittleFS2 image in a host file, and the power that may fail at any write."""

import errno
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Literal, cast

from littlefs import LittleFS

from kerbtools import boards

Tear = Literal["all", "half", "garbage"]
_PAGE = 256
_READ = 32


class PowerFailed(Exception):
    """The power went at this write."""


class BrownedOut(PowerFailed):
    """The voltage fell too low at this write, and came back."""


class Flash:
    """The image file. The running board programs and erases; `read_file` and others are for a board that is off."""

    def __init__(self, path: Path, facts: boards.Board) -> None:
        self.path = path
        self.programs = 0
        self.erases = 0
        self._facts = facts
        self._fd: int | None = None
        self._cut: tuple[int, Tear] | None = None  # writes left, what the last one leaves
        self._comes_back = False

    def exists(self) -> bool:
        return self.path.exists()

    def format(self, files: Mapping[str, bytes]) -> None:
        """An empty file system, then these files, by absolute or root-relative path."""
        image = self._image(None)
        self._store(image, files)
        self._save(image)

    def read_file(self, path: str) -> bytes:
        """FileNotFoundError where it is not there."""
        image = self._load()  # must outlive the file
        with _open(image, path, "rb") as file:
            return file.read()

    def write_file(self, path: str, data: bytes) -> None:
        image = self._load()
        self._store(image, {path: data})
        self._save(image)

    def remove_file(self, path: str) -> None:
        image = self._load()
        image.remove(path)
        self._save(image)

    def list_files(self) -> list[str]:
        """All files, as absolute paths, sorted."""
        image = self._load()
        return sorted(f"{folder.rstrip('/')}/{name}" for folder, _, names in image.walk("/") for name in names)

    def files(self) -> dict[str, bytes]:
        """What all files hold, by absolute path."""
        image = self._load()
        paths = [f"{folder.rstrip('/')}/{name}" for folder, _, names in image.walk("/") for name in names]
        found: dict[str, bytes] = {}
        for path in paths:
            with _open(image, path, "rb") as file:
                found[path] = file.read()
        return found

    # The running board.

    def open(self) -> None:
        self._fd = os.open(self.path, os.O_RDWR)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def cut_at(self, writes: int, tear: Tear, *, comes_back: bool = False) -> None:
        """Let the power fail at the n-th program or erase from now; all, half, or half and garbage of it is done.

        comes_back: it was a brown-out.
        """
        self._cut = (writes, tear)
        self._comes_back = comes_back

    def restore(self) -> None:
        self._cut = None

    def program(self, block: int, offset: int, data: bytes) -> int:
        """Write; return the microseconds that it takes. PowerFailed, OSError."""
        self.programs += 1
        self._write(block * self._facts.block_bytes + offset, data)
        return self._facts.page_program_us * -(-len(data) // _PAGE)

    def erase(self, block: int) -> int:
        """Erase a block; return the microseconds that it takes. PowerFailed, OSError."""
        self.erases += 1
        self._write(block * self._facts.block_bytes, b"\xff" * self._facts.block_bytes)
        return self._facts.sector_erase_us

    def _write(self, position: int, data: bytes) -> None:
        if self._fd is None:
            raise ValueError("the flash is not open")
        if position < 0 or position + len(data) > self._facts.filesystem_bytes:
            raise OSError(errno.EINVAL, f"write of {len(data)} bytes at {position} is beyond the flash")
        if self._cut is None:
            os.pwrite(self._fd, data, position)
            return
        left, tear = self._cut
        if left > 1:
            self._cut = (left - 1, tear)
            os.pwrite(self._fd, data, position)
            return
        self._cut = None
        half = len(data) // 2
        if tear == "garbage":
            data = data[:half] + random.Random(position).randbytes(len(data) - half)  # noqa: S311
        os.pwrite(self._fd, data[:half] if tear == "half" else data, position)
        raise BrownedOut if self._comes_back else PowerFailed

    # The image.

    def _image(self, data: bytes | None) -> LittleFS:
        image = LittleFS(
            block_size=self._facts.block_bytes,
            block_count=self._facts.filesystem_bytes // self._facts.block_bytes,
            read_size=_READ,
            prog_size=self._facts.program_bytes,
            # As MicroPython chooses it. With a smaller one, files that a board has stored inline are read as corrupt.
            cache_size=min(self._facts.block_bytes, 4 * max(_READ, self._facts.program_bytes)),
            lookahead_size=32,
            mount=False,
        )
        if data is None:
            image.format()
        else:
            image.context.buffer = bytearray(data)
        image.mount()
        return image

    def _load(self) -> LittleFS:
        return self._image(self.path.read_bytes())

    def _save(self, image: LittleFS) -> None:
        temporary = self.path.with_suffix(".new")
        temporary.write_bytes(image.context.buffer)
        temporary.replace(self.path)

    def _store(self, image: LittleFS, files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            folder = str(Path(path).parent)
            if folder not in (".", "/"):
                image.makedirs(folder, exist_ok=True)
            with _open(image, path, "wb") as file:
                file.write(data)


def _open(image: LittleFS, path: str, mode: str) -> IO[bytes]:
    """`LittleFS.open` with the type that its stub leaves open."""
    return cast("Callable[[str, str], IO[bytes]]", image.open)(path, mode)  # pyright: ignore[reportUnknownMemberType]
