"""A file system in memory whose power fails at a chosen change, as unkind as flash can be without LittleFS's help.

A write that the cut interrupts leaves nothing, a part, a part and garbage, or all of it, in place; a rename or a removal
has happened or has not.
"""

import io

NOTHING, PART, GARBAGE, ALL = "nothing", "part", "garbage", "all"
TEARS = (NOTHING, PART, GARBAGE, ALL)


class PowerCut(BaseException):
    """No firmware catches this."""


class CutFlash:
    """Stands in for `open` and `os` in kerbnode.flash. changes: how many there were."""

    def __init__(self):
        self.files = {}
        self.folders = {""}
        self.changes = 0
        self._left = None
        self._tear = ALL

    def cut_at(self, changes, tear):
        self._left, self._tear = changes, tear

    def restore(self):
        self._left = None

    def _change(self):
        """Counts a change; gives the tear if the power fails at this one."""
        self.changes += 1
        if self._left is None:
            return None
        self._left -= 1
        if self._left > 0:
            return None
        if self._left < 0:
            raise PowerCut
        return self._tear

    def open(self, path, mode):
        if mode == "rb":
            if path not in self.files:
                raise OSError(2, path)
            return io.BytesIO(self.files[path])
        if path.rpartition("/")[0] not in self.folders:
            raise OSError(2, path)
        return _Writing(self, path, self.files.get(path, b"") if mode == "ab" else b"")

    def close(self, path, before, added):
        tear = self._change()
        if tear == NOTHING:
            raise PowerCut
        kept = added if tear in (None, ALL) else added[: len(added) // 2]
        if tear == GARBAGE:
            kept += b"\xa5" * (len(added) - len(kept))
        self.files[path] = before + kept
        if tear:
            raise PowerCut

    def _apply(self, action):
        tear = self._change()
        if tear not in (NOTHING, PART):
            action()
        if tear:
            raise PowerCut

    def rename(self, old, new):
        self._apply(lambda: self.files.update({new: self.files.pop(old)}))

    def remove(self, path):
        if path not in self.files:
            raise OSError(2, path)
        self._apply(lambda: self.files.pop(path))

    def mkdir(self, path):
        if path in self.folders:
            raise OSError(17, path)
        self._apply(lambda: self.folders.add(path))

    def rmdir(self, path):
        self._apply(lambda: self.folders.discard(path))

    def listdir(self, path):
        if path not in self.folders:
            raise OSError(2, path)
        return [p[len(path) + 1 :] for p in [*self.files, *self.folders] if p.rpartition("/")[0] == path and p]

    def stat(self, path):
        if path in self.folders:
            return (0x4000, 0, 0, 0, 0, 0, 0)
        if path in self.files:
            return (0x8000, 0, 0, 0, 0, 0, len(self.files[path]))
        raise OSError(2, path)


class _Writing:
    def __init__(self, flash, path, before):
        self._flash, self._path, self._before, self._added = flash, path, before, b""

    def __enter__(self):
        return self

    def write(self, data):
        self._added += data

    def __exit__(self, kind, *_):
        if kind is None:
            self._flash.close(self._path, self._before, self._added)
