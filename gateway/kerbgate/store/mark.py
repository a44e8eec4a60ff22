"""The store's mark: a line beside it that says which store it is and how far it had come.

A file that was copied back, from a backup or from another card, is behind its mark, or has none, or another's. The
line is written after each commit and left to the page cache, so it is never ahead of a store that kept what it
committed.
"""

import contextlib
import os
from pathlib import Path

from kerbgate.errors import StoreError

_SIZE = 64


class Mark:
    """The open mark of a store at `path`."""

    def __init__(self, path: Path):
        self.path = path.with_name(path.name + ".mark")
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"the store's mark {self.path} cannot be opened: {error.strerror}",
                "check owner and mode of the state folder",
            ) from error
        self._written: tuple[str, int] | None = None

    def read(self) -> tuple[str, int] | None:
        """(store id, highest report id committed), or None where there is no such line."""
        parts = os.pread(self._descriptor, _SIZE, 0).decode("ascii", "replace").split()
        return (parts[0], int(parts[1])) if len(parts) == 2 and parts[1].isdecimal() else None

    def write(self, store_id: str, report_id: int) -> None:
        """Say that the store has committed so far. An error is left to the next start, which sees an older mark."""
        if self._written != (store_id, report_id):
            try:
                os.pwrite(self._descriptor, f"{store_id} {report_id:020}\n".encode(), 0)
            except OSError:
                return
            self._written = (store_id, report_id)

    def keep(self) -> None:
        """The line and its name onto the disk, if it can be; where they are lost, nodes are challenged for nothing."""
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
                os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        os.close(self._descriptor)
