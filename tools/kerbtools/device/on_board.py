# Helper functions of kerbtools.device for a board's raw REPL. They use nothing of ours that lies on its flash.
# Each call is `kerb(function, arguments...)`, which prints rows of JSON and at last [errno, value], errno 0 for done.
# pyright: basic, reportAttributeAccessIssue=false, reportMissingImports=false, reportOptionalMemberAccess=false
import binascii
import hashlib
import io
import json
import os
import sys

try:
    import deflate
except ImportError:
    deflate = None

kerb_dog = None
kerb_sink = None


def kerb_feed_dog():
    if kerb_dog:
        kerb_dog.feed()


def kerb(function, *arguments):
    kerb_feed_dog()
    try:
        answer = [0, function(*arguments)]
    except OSError as error:
        answer = [error.errno or 5, str(error)]
    print(json.dumps(answer))


def kerb_arm():
    # A watchdog cannot be stopped; one that is armed already is given its longest time, and fed by each call.
    global kerb_dog
    import machine

    kerb_dog = machine.WDT(timeout=8388 if sys.platform == "rp2" else 120000)


def kerb_facts():
    import machine

    room = os.statvfs("/")
    free = room[3] if room[3] <= room[2] else 0  # littlefs counts shared blocks twice: full, it wraps below zero
    mpy = getattr(sys.implementation, "_mpy", 0)
    machine_text = os.uname().machine if hasattr(os, "uname") else getattr(sys.implementation, "_machine", "")
    return {
        "platform": sys.platform,
        "machine": machine_text,
        "version": [part for part in sys.implementation.version if isinstance(part, int)],
        "mpy": "%d.%d" % (mpy & 0xFF, mpy >> 8 & 3),
        "unique_id": binascii.hexlify(machine.unique_id()).decode(),
        "free_bytes": room[1] * free,
        "total_bytes": room[1] * room[2],
        "block_bytes": room[0],
        "deflate": deflate is not None,
    }


def kerb_walk(places):
    # (path, size) of all files at and below these paths; one that is not there has none.
    todo = list(places)
    while todo:
        place = todo.pop()
        try:
            found = os.stat(place)
        except OSError as error:
            if error.errno not in (2, 20):
                raise
            continue
        if found[0] & 0x4000:
            todo += [place.rstrip("/") + "/" + name for name in os.listdir(place)]
        else:
            yield place, found[6]


def kerb_list(places):
    for place in kerb_walk(places):
        print(json.dumps(place))


def kerb_digests(places):
    block = bytearray(1024)
    view = memoryview(block)
    for path, _ in kerb_walk(places):
        kerb_feed_dog()
        running = hashlib.sha256()
        with open(path, "rb") as file:
            while True:
                count = file.readinto(block)
                if not count:
                    break
                running.update(view[:count])
        print(json.dumps([path, binascii.hexlify(running.digest()).decode()]))


def kerb_make(folder):
    at = ""
    for name in folder.strip("/").split("/"):
        at += "/" + name
        try:
            os.mkdir(at)
        except OSError:
            if not os.stat(at)[0] & 0x4000:
                raise


def kerb_remove(path):
    try:
        if os.stat(path)[0] & 0x4000:
            os.rmdir(path)
        else:
            os.remove(path)
    except OSError as error:
        if error.errno != 2:
            raise


def kerb_send(path):
    with open(path, "rb") as file:
        while True:
            data = file.read(768)
            if not data:
                return
            print(json.dumps(binascii.b2a_base64(data).decode().strip()))


class KerbSink:
    # files: [path, size] of what comes, one after the other, in one stream.
    def __init__(self, files):
        self.files = files
        self.file = None
        self.left = 0
        self.next()

    def next(self):
        while not self.left:
            self.close()
            if not self.files:
                return
            path, self.left = self.files.pop(0)
            self.file = open(path, "wb")

    def feed(self, data):
        view = memoryview(data)
        while len(view) and self.file:
            part = view[: self.left]
            self.file.write(part)
            self.left -= len(part)
            view = view[len(part) :]
            self.next()

    def close(self):
        file, self.file = self.file, None
        if file:
            file.close()


def kerb_begin(files):
    global kerb_sink
    kerb_sink = KerbSink(files)


def kerb_feed(text, is_packed):
    data = binascii.a2b_base64(text)
    if is_packed:
        data = deflate.DeflateIO(io.BytesIO(data), deflate.RAW, 12).read()
    try:
        kerb_sink.feed(data)
    except OSError:
        kerb_sink.close()
        raise
