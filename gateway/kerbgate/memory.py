"""Memory of a process that runs for years on a small computer: how it is asked for, and when it is looked through."""

import ctypes
import gc
import sys

GARBAGE = 50_000  # objects made and not yet gone at which cycles among the newest are looked for: a few thousand frames
_BLOCK = 128 * 1024  # bytes of a block, and of what lies free at the end of the heap, from which on it is given back
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # mallopt(3)


def lean() -> None:
    """One heap for all threads, whose large blocks go back to the system: call it before the first thread begins.

    glibc would give each thread an arena of its own and raise both thresholds as blocks come and go. Nothing is done
    where the C library is another one.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for setting, value in ((_ARENA_MAX, 1), (_TRIM_THRESHOLD, _BLOCK), (_MMAP_THRESHOLD, _BLOCK)):
            library.mallopt(setting, value)


def settle() -> None:
    """What was made at the start stays for ever: the collector of cycles need not look at it again and again.

    A frame's objects go by their reference counts. Cycles are few, so they may wait for a burst to pass.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 10, 20)
