"""One gateway a store: a lock that the kernel drops with the process, however it ends."""

import fcntl
import os
from pathlib import Path

from kerbgate.errors import StoreBusy, StoreError


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
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise StoreBusy(
                f"the store {store} is in use by process {holder}", "stop that gateway first; one store has one gateway"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        os.close(self._descriptor)
