"""A board wiped: keys, counters, records, configuration and firmware together, and the flash under them.

LittleFS never overwrites: a removed or rewritten file stays in its old blocks until they are used again, and keys with
it. So the file system is taken away and each of its blocks erased and read back; then an empty one is made. Cut in
between, the board's own start makes an empty file system over what is left, and `erase` has to be run again.
"""

from pathlib import Path

from kerbtools.device.device import Device, Progress

BLOCKS_A_CALL = 8  # an erase takes 45 ms, 400 at most: 3.2 s a call
_CALL_S = 10.0
_MAKE_S = 30.0


def erase(device: Device, progress: Progress | None = None) -> int:
    """Wipe the board; return the bytes erased. It is at its REPL after that, with an empty file system. DeviceError."""
    device.load(Path(__file__).with_name("erase_on_board.py"))
    count, size = device.call("kerb_erase_begin")
    for first in range(0, count, BLOCKS_A_CALL):
        part = min(BLOCKS_A_CALL, count - first)
        device.call("kerb_erase_blocks", first, part, size, timeout_s=_CALL_S)
        if progress:
            progress((first + part) * size, count * size)
    device.call("kerb_erase_end", timeout_s=_MAKE_S)
    return count * size
