"""One gateway a store: a lock that the kernel drops with the process, however it ends."""

import fcntl
import os
import time
from pathlib import Path

from kerbgate.errors import StoreBusy, StoreError

_TRIES = 5  # with _PAUSE_S between them: `holder` may have the lock for a moment
_PAUSE_S = 0.02


def holder(store: Path) -> str | None:
    """The process that works on this store, as a number, or None."""
    try:
        descriptor = os.open(store.with_name(store.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


class StoreLock:
    """Held from construction to `release`. StoreBusy if another process holds it."""

    def __init__(self, store: Path):
        self._path = store.with_name(store.name + ".lock")
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"the store's lock {self._path} cannot be opened: {error.strerror}",
                "check owner and mode of the state folder",
            ) from error
        if not self._locked():
            other = _read(self._descriptor)
            os.close(self._descriptor)
            raise StoreBusy(
                f"the store {store} is in use by process {other}", "stop that gateway first; one store has one gateway"
            )
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def _locked(self) -> bool:
        for number in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:
                if number < _TRIES - 1:
                    time.sleep(_PAUSE_S)
        return False

    def release(self) -> None:
        os.close(self._descriptor)


def _read(descriptor: int) -> str:
    return os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
