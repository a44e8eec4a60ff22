"""The kernel's lock on an open file: it ends with the process, however that ends."""

import os
import sys

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None

_PLACE = 1 << 30  # the byte that Windows locks, which has no locks on whole files: far behind what the file holds


def lock(descriptor: int, *, shared: bool) -> None:
    """Lock without waiting; OSError if another process has it. On Windows, never tried, a shared lock is exclusive."""
    if fcntl is not None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    elif sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _PLACE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        raise OSError(f"{sys.platform} has no lock on files that we know")
