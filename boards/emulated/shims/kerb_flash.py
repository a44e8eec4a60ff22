"""The flash of an emulated board: reads go straight to the image, programs and erases through the host.

The host performs each program and erase as one step, counts it, and may cut the power there.
"""

from kerb_rpc import FLASH_ERASE, FLASH_PROGRAM, call


class Flash:
    def __init__(self, path, block_size):
        self._image = open(path, "rb")
        self._size = block_size
        self._count = self._image.seek(0, 2) // block_size

    def readblocks(self, block, buffer, offset=0):
        self._image.seek(block * self._size + offset)
        self._image.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        call(FLASH_PROGRAM, block, offset, payload=buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._count
        if operation == 5:
            return self._size
        if operation == 6:
            call(FLASH_ERASE, argument)
        return 0
