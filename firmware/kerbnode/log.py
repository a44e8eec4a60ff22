"""The log on flash: what was worth keeping, over resets, in two files of a bounded size; and the last crash.

    FOLDER/log.0    the newer lines; when they would exceed SEGMENT bytes it becomes log.1, and a new one begins
    FOLDER/log.1    the older ones
    FOLDER/crash    the error that ended a wake: when, the console's line, and the traceback

One append a wake that has something to say, never one a line. Each append begins with a line "@ WHEN BOOT LINE": UTC
seconds, "+SECONDS" of uptime, or "-" where neither was known; the boot that wrote it; the number of its first line
among that boot's. The last two are left out where the boot was not known.
"""

import io
import os
import sys

from kerbnode import flash

SEGMENT = 2048  # bytes: two of them fit a block and a half; some 40 lines each
MAX_CRASH = 768  # bytes of the crash record: a dozen lines of traceback
NAMES = ("log.1", "log.0")  # older first
CRASH = "crash"


def append(folder, when, lines, boot=None):
    """Add lines. OSError if flash refuses."""
    older, newer = [folder + "/" + name for name in NAMES]
    if boot is not None:
        count = 0
        for known, number, _ in _numbered(folder):
            if known == boot:
                count = number + 1
        when = "%s %d %d" % (when, boot, count)
    data = ("@ %s\n%s\n" % (when, "\n".join(lines))).encode()
    try:
        if os.stat(newer)[6] + len(data) > SEGMENT:
            os.rename(newer, older)
    except OSError:
        flash.make_folder(folder)
    flash.append(newer, data[-SEGMENT:])


def keep_crash(folder, when, line, error):
    """Keep an error as the last crash. One that is the same as the last, but for the moment, is not written again."""
    traceback = _traceback(error).encode()[:MAX_CRASH]
    known = flash.read(folder + "/" + CRASH)
    if known is None or known.split(b"\n", 2)[2:] != [traceback]:
        with open(folder + "/" + CRASH, "wb") as file:
            file.write(("@ %s\n%s\n" % (when, line)).encode() + traceback)


def pieces(folder, boot, first, size):
    """[(number of the first line, its lines as bytes of at most `size`)] of what is held of a boot, from `first` on."""
    found = []
    for known, number, line in _numbered(folder):
        if known == boot and number >= first:
            piece = line[: size - 1] + b"\n"
            if found and len(found[-1][1]) + len(piece) <= size:
                found[-1] = (found[-1][0], found[-1][1] + piece)
            else:
                found.append((number, piece))
    return found


def _numbered(folder):
    """(boot, number, line) of each line whose boot is known."""
    boot, number = None, 0
    for name in NAMES:
        for line in (flash.read(folder + "/" + name) or b"").split(b"\n"):
            if line[:2] == b"@ ":
                words = line.split()
                try:
                    boot, number = int(words[2]), int(words[3])
                except (IndexError, ValueError):
                    boot = None
            elif line and boot is not None:
                yield boot, number, line
                number += 1


def lines(data):
    """The lines of one of these files. What a torn write leaves is no text: it is made safe."""
    return [_printable(line) for line in data.split(b"\n") if line]


def _printable(line):
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in line])


def _traceback(error):
    text = io.StringIO()
    if hasattr(sys, "print_exception"):  # MicroPython's own
        sys.print_exception(error, text)  # pyright: ignore  # the stubs know no stream but a file
    else:
        import traceback

        traceback.print_exception(error, file=text)
    return text.getvalue()  # pyright: ignore
