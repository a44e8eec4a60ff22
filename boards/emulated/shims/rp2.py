"""`rp2` of an emulated board, as far as the bench needs it: the flash under the file system. No PIO, no DMA."""

from kerb_flash import Blocks as _Blocks


class Flash(_Blocks):
    pass
