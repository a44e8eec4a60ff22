"""One gateway a store: a lock that the kernel drops with the process, however it ends."""

import os
import time
from pathlib import Path

from kerbgate.errors import StoreBusy, StoreError
from kerbgate.store import filelock

_TRIES = 5  # with _PAUSE_S between them: `holder` may have the lock for a moment
_PAUSE_S = 0.02


def holder(store: Path) -> str | None:
    """The process that works on this store, as a number, or None."""
    try:
        descriptor = os.open(store.with_name(store.name + ".lock"), os.O_RDONLY)
    except OSError:
        return None
    try:
        filelock.lock(descriptor, shared=True)
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
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
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
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, b"%d\n" % os.getpid())

    def _locked(self) -> bool:
        for number in range(_TRIES):
            try:
                filelock.lock(self._descriptor, shared=False)
                return True
            except OSError:
                if number < _TRIES - 1:
                    time.sleep(_PAUSE_S)
        return False

    def release(self) -> None:
        os.close(self._descriptor)


def _read(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
