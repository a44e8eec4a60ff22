"""Runs in a board's process before MicroPython does, as a script: gives it the Ctrl-C of a board.

    python -I -S inside.py FOLDER ARGUMENTS...    FOLDER holds micropython_run, the arguments are MicroPython's own

As it comes, MicroPython's signal handler throws KeyboardInterrupt from wherever the signal finds it. In the middle of
an allocation that leaves the heap locked for good. A board's interrupt only notes that the exception is due, and the
next jump of the bytecode raises it; `mp_sched_keyboard_interrupt` is that, and here it is the signal handler itself.
MicroPython puts in its own handler in `mp_hal_set_interrupt_char`, each time it starts and ends a program of the REPL.
So that function is overwritten with a jump to ours, which tells the host by a shared page what a board's USB driver
knows: byte 0 the character that interrupts, 0xFF for none; byte 1 whether the REPL is raw. The host sends SIGINT.
"""

import ctypes
import mmap
import os
import sys

_SIGINT = 2
_SIGKILL = 9
_PR_SET_PDEATHSIG = 1
_RWX = 7
_RX = 5


def main(folder: str, arguments: list[str]) -> int:
    """Run MicroPython; returns its exit status."""
    sys.path.insert(0, folder)
    # A plain import: importlib and typing would take as long to load as all the rest.
    micropython = __import__("micropython_run")
    library = ctypes.CDLL(str(micropython.__file__))
    libc = ctypes.CDLL(None)
    page = mmap.mmap(int(os.environ["KERB_PAGE"]), mmap.PAGESIZE)
    raw_repl = ctypes.c_int.in_dll(library, "pyexec_mode_kind")
    raw_repl.value = int(os.environ["KERB_RAW_REPL"])

    def tell(character: int) -> None:
        page[0] = character & 0xFF
        page[1] = raw_repl.value

    told = ctypes.CFUNCTYPE(None, ctypes.c_int)(tell)
    _overwrite(libc, _address(library.mp_hal_set_interrupt_char), _address(told))
    # libc's signal() makes system calls go on after the handler: no call to the host is broken off.
    libc.signal(_SIGINT, library.mp_sched_keyboard_interrupt)
    libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)  # no board outlives its host, even one that never calls it
    status = int(micropython.run_main(["micropython", *arguments]))
    page[1] = raw_repl.value
    return status


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # pyright: ignore[reportArgumentType]


def _overwrite(libc: ctypes.CDLL, function: int, other: int) -> None:
    """Make `function` jump to `other`. OSError where the machine does not let its code be changed."""
    code = b"\x48\xb8" + other.to_bytes(8, "little") + b"\xff\xe0"  # x86-64: movabs rax, other; jmp rax
    begin = ctypes.c_void_p(function & -mmap.PAGESIZE)
    length = ctypes.c_size_t(2 * mmap.PAGESIZE)
    if libc.mprotect(begin, length, _RWX):
        raise OSError("this system does not allow a program to change its own code: no emulated board runs here")
    ctypes.memmove(function, code, len(code))
    libc.mprotect(begin, length, _RX)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
