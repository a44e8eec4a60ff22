"""The log on flash: what was worth keeping, over resets, in two files of a bounded size; and the last crash.

    FOLDER/log.0    the newer lines; when they would exceed SEGMENT bytes it becomes log.1, and a new one begins
    FOLDER/log.1    the older ones
    FOLDER/crash    the error that ended a wake: when, the console's line, and the traceback

One append a wake that has something to say, never one a line: firmware/LOG.md has the wear. Each append begins with a
line "@ WHEN": UTC seconds, "+SECONDS" of uptime, or "-" where neither was known.
"""

import io
import os
import sys

from kerbnode import flash

SEGMENT = 2048  # bytes: two of them fit a block and a half; some 40 lines each
MAX_CRASH = 768  # bytes of the crash record: a dozen lines of traceback
NAMES = ("log.1", "log.0")  # older first
CRASH = "crash"


def append(folder, when, lines):
    """Add lines. OSError if flash refuses."""
    older, newer = [folder + "/" + name for name in NAMES]
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
