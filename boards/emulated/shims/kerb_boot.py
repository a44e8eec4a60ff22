"""What a board does before user code: mount the flash, put the port's names in place, run boot.py and main.py.

`main` returns where a board shows its REPL; the interpreter's own REPL takes over there.
"""

# ruff: noqa: E402  the heap is set up before anything else takes of it
import gc

gc.threshold(4096)  # what the shims leave behind is reused at once, so that the firmware finds its heap in one piece

import os
import sys
import time  # noqa: F401  loaded before the host's file system goes away, as are the next
from collections import namedtuple

import ds18x20  # noqa: F401
import kerb_rpc
import machine  # noqa: F401
import micropython
import onewire  # noqa: F401
import vfs
from kerb_flash import Flash

CTRL_C = 3

# What only the unix port has: a program that uses it would not run on a board.
_NOT_ON_BOARDS = "system", "getenv", "putenv", "unsetenv", "errno"
_Uname = namedtuple("uname", ("sysname", "nodename", "release", "version", "machine"))


class _Copy:
    """A built-in object with other contents: such an object cannot be changed, only replaced."""

    def __init__(self, original, left_out=()):
        for name in dir(original):
            if name not in left_out and name not in ("__class__", "__dict__"):
                setattr(self, name, getattr(original, name))


def _name_the_port():
    port = os.getenv("KERB_PORT")
    text = os.getenv("KERB_MACHINE")
    release = ".".join([str(part) for part in sys.implementation.version[:3]])
    build = "v" + release + sys.version[sys.version.find(" on ") :]
    system = sys.modules["sys"] = _Copy(sys)
    system.platform = port
    system.version = sys.version[: sys.version.find(";")] + "; MicroPython " + build
    system.implementation = _Copy(sys.implementation)
    system.implementation._machine = text
    sys.modules["os"] = _Copy(os, _NOT_ON_BOARDS)
    sys.modules["os"].uname = lambda: _Uname(port, port, release, build, text)
    sys.modules["micropython"] = _Copy(micropython)
    sys.modules["micropython"].kbd_intr = _kbd_intr


def _kbd_intr(character):
    kerb_rpc.call(kerb_rpc.KBD_INTR, character)
    micropython.kbd_intr(character)


def _run(path, scope):
    """Run a script as boards do: a missing file is no error, a traceback goes to the console."""
    try:
        os.stat(path)
    except OSError:
        return
    try:
        micropython.kbd_intr(CTRL_C)
        execfile(path, scope)  # noqa: F821  a MicroPython builtin
        micropython.kbd_intr(-1)
    except SystemExit:
        kerb_rpc.call(kerb_rpc.SOFT_RESET)
    except BaseException as error:
        micropython.kbd_intr(-1)
        sys.print_exception(error)


def _run_safely(path, scope):
    """A second Ctrl-C may come while the first is told."""
    try:
        _run(path, scope)
    except KeyboardInterrupt:
        micropython.kbd_intr(-1)


def main(scope):
    """Start the board; scripts run in `scope`, which the REPL then has too."""
    micropython.kbd_intr(-1)
    _name_the_port()
    image = os.getenv("KERB_FLASH")
    raw = os.getenv("KERB_RAW_REPL") == "1"
    gc.threshold(-1)
    gc.collect()
    kerb_rpc.call(kerb_rpc.BOOTED, gc.mem_alloc(), gc.mem_free())
    if image:
        flash = Flash(image, 4096)
        vfs.umount("/")
        vfs.mount(vfs.VfsLfs2(flash, readsize=32, progsize=int(os.getenv("KERB_PROGRAM_BYTES")), lookahead=32), "/")
        os.chdir("/")
        sys.path[:] = ["", ".frozen", "/lib"]
        gc.collect()
        _run_safely("boot.py", scope)
        if not raw:
            _run_safely("main.py", scope)
    kerb_rpc.call(kerb_rpc.IDLE, raw)
    kerb_rpc.always_ask()
