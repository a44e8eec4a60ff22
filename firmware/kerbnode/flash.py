"""Files on the board's flash: every file operation of the firmware goes through here.

A checked file is the CBOR of one value and its CRC-32, big-endian. On LittleFS a file stays what it was until it is
closed.
"""

import hashlib
import os
from binascii import crc32
from errno import ENOENT

from kerbwire import cbor
from kerbwire.errors import WireError

CRC_SIZE = 4
ENOTDIR = 20  # which MicroPython's errno does not name
PIECE = 128  # bytes of a file that is read in pieces
MAX_FILE = 4096  # bytes of a file that is read whole: one flash block, and what a board's heap bears


def read(path, strict=False):
    """The file's bytes, at most MAX_FILE; None if it cannot be read. strict: OSError if it is there and cannot be."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)  # a read of MAX_FILE would ask the heap for that much in one piece
            file.seek(0)
            return file.read(min(size, MAX_FILE))
    except OSError as error:
        if strict and error.errno != ENOENT:
            raise
        return None


def digest(path):
    """The SHA-256 of a file of any length; 32 zero bytes if it cannot be read."""
    running = hashlib.sha256()
    piece = memoryview(bytearray(PIECE))
    try:
        with open(path, "rb") as file:
            while True:
                count = file.readinto(piece)
                if not count:
                    return running.digest()
                running.update(piece[:count])
    except OSError:
        return bytes(32)


def load(path, strict=False):
    """The value of a checked file; None if it is absent, torn or damaged. strict: as of `read`."""
    data = read(path, strict)
    if data is None or len(data) <= CRC_SIZE:
        return None
    body = data[:-CRC_SIZE]
    if crc32(body) != int.from_bytes(data[-CRC_SIZE:], "big"):
        return None
    try:
        return cbor.decode(body)
    except WireError:
        return None


def store(path, value):
    """Write a checked file in place: for slots, of which another is intact. OSError if flash refuses."""
    body = cbor.encode(value)
    with open(path, "wb") as file:
        file.write(body + crc32(body).to_bytes(CRC_SIZE, "big"))


def replace(path, value):
    """Write a checked file under a temporary name, then rename it: the file is the old one or the new one."""
    store(path + ".tmp", value)
    os.rename(path + ".tmp", path)


def write(path, data):
    """Write bytes under a temporary name, then rename: the file is the old one or the new one."""
    with open(path + ".tmp", "wb") as file:
        file.write(data)
    os.rename(path + ".tmp", path)


def append(path, data, fresh=False):
    """Add bytes at the end of a file and commit them. fresh: the file starts anew."""
    with open(path, "wb" if fresh else "ab") as file:
        file.write(data)


def names(path):
    """What a folder holds, sorted; nothing if there is no such folder. OSError if it cannot be read."""
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        if error.errno not in (ENOENT, ENOTDIR):
            raise
        return []


def make_folder(path):
    """Make the folder if it is not there; OSError if its parent is not either."""
    try:
        os.mkdir(path)
    except OSError:
        os.stat(path)


def remove(path):
    os.remove(path)


def remove_tree(path):
    """Remove a file, or a folder and the files in it."""
    if os.stat(path)[0] & 0x4000:  # a folder, on LittleFS and POSIX alike
        for name in names(path):
            os.remove(path + "/" + name)
        os.rmdir(path)
    else:
        os.remove(path)
