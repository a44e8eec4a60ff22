"""The flash of an emulated board: reads go straight to the image, programs and erases through the host.

The host performs each program and erase as one step, counts it, and may cut the power there. Nothing here holds a jump,
so that a Ctrl-C never breaks off the file system in the middle (kerb_rpc says why).
"""

import os

import vfs
from kerb_rpc import FLASH_ERASE, FLASH_PROGRAM, store

_PROGRAM_BYTES = int(os.getenv("KERB_PROGRAM_BYTES") or 0)  # by what the port mounts with; 0: there is no flash


class Blocks:
    """The part of the flash that holds the file system, as a port gives it to programs; all of them are the same."""

    _image = None
    _size = 0
    _count = 0

    def readblocks(self, block, buffer, offset=0):
        self._image.seek(block * self._size + offset)
        self._image.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        return _WRITE[offset is None](block, buffer, offset)

    def ioctl(self, operation, argument):
        """4: the number of blocks, 5: their size, 6: erase one; mount, unmount and flush have nothing to do."""
        return _IOCTL[operation](argument)


def _done(argument):
    return 0


def _rewrite(block, buffer, offset):
    """Whole blocks, which the port erases first."""
    list(map(_erase, range(block, block + len(buffer) // Blocks._size)))
    return store(FLASH_PROGRAM, block, 0, buffer)


def _erase(block):
    return store(FLASH_ERASE, block)


_WRITE = lambda block, buffer, offset: store(FLASH_PROGRAM, block, offset, buffer), _rewrite

_IOCTL = (
    _done,
    _done,
    _done,
    _done,
    lambda _: Blocks._count,
    lambda _: Blocks._size,
    _erase,
)


class Flash(Blocks):
    """The flash as the board finds it at its start: what holds no file system gets an empty one, as each port does."""

    def __init__(self, path, block_size):
        Blocks._image = open(path, "rb")
        Blocks._size = block_size
        Blocks._count = Blocks._image.seek(0, 2) // block_size
        try:
            vfs.VfsLfs2(self, readsize=32, progsize=_PROGRAM_BYTES, lookahead=32)
        except OSError:
            vfs.VfsLfs2.mkfs(self, readsize=32, progsize=_PROGRAM_BYTES, lookahead=32)
