# What `kerb erase` runs in a board's raw REPL, beside on_board.py: the whole file system's flash, block by block.
# pyright: basic, reportAttributeAccessIssue=false, reportMissingImports=false, reportOptionalMemberAccess=false, reportUndefinedVariable=false
import os
import sys

import vfs

kerb_device = None


def kerb_erase_begin():
    global kerb_device
    if sys.platform == "rp2":
        import rp2

        kerb_device = rp2.Flash()
    else:
        import esp32

        kerb_device = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="vfs")[0]
    try:
        os.chdir("/")
        vfs.umount("/")
    except OSError:
        pass  # nothing is mounted: the file system is what is broken
    return [kerb_device.ioctl(4, 0), kerb_device.ioctl(5, 0)]


def kerb_erase_blocks(first, count, size):
    # Erased, and looked at: a block that does not read as erased may still hold a key.
    block = bytearray(size)
    for number in range(first, first + count):
        kerb_feed_dog()  # noqa: F821  of on_board.py
        kerb_device.ioctl(6, number)
        kerb_device.readblocks(number, block)
        if block.count(b"\xff") != size:
            raise OSError(5, "block %d keeps its content" % number)


def kerb_erase_end():
    options = {"progsize": 256} if sys.platform == "rp2" else {}
    vfs.VfsLfs2.mkfs(kerb_device, **options)
    vfs.mount(vfs.VfsLfs2(kerb_device, **options), "/")
