"""What a board does before user code: mount the flash, put the port's names in place, run boot.py and main.py."""

import gc
import os
import sys
import time  # noqa: F401  loaded before the host's file system goes away, as are the next

import ds18x20  # noqa: F401
import kerb_rpc
import machine  # noqa: F401
import onewire  # noqa: F401
import vfs
from kerb_flash import Flash


class _Sys:
    """`sys` with the port's platform name."""


def _run(path):
    """Run a script as boards do: a missing file is no error, a traceback goes to the console."""
    try:
        os.stat(path)
    except OSError:
        return
    try:
        execfile(path, {"__name__": "__main__"})  # noqa: F821  a MicroPython builtin
    except SystemExit:
        kerb_rpc.call(kerb_rpc.SOFT_RESET)
    except BaseException as error:
        sys.print_exception(error)


def _main():
    proxy = _Sys()
    for name in dir(sys):
        setattr(proxy, name, getattr(sys, name))
    proxy.platform = os.getenv("KERB_PORT")
    sys.modules["sys"] = proxy
    image = os.getenv("KERB_FLASH")
    gc.collect()
    kerb_rpc.call(kerb_rpc.BOOTED, gc.mem_alloc(), gc.mem_free())
    if image:
        flash = Flash(image, 4096)
        vfs.umount("/")
        vfs.mount(vfs.VfsLfs2(flash, readsize=32, progsize=int(os.getenv("KERB_PROGRAM_BYTES")), lookahead=32), "/")
        os.chdir("/")
        sys.path[:] = ["", ".frozen", "/lib"]
        gc.collect()
        _run("boot.py")
        _run("main.py")
    kerb_rpc.call(kerb_rpc.IDLE)


_main()
