"""Bundles that were built before, in the user's cache folder: to pack one takes seconds, to read one a few hundredths.

    $XDG_CACHE_HOME/kerbstone/bundles/KEY    KEY: SHA-256 of all that the files come from

A file begins with the SHA-256 of the rest; one that is not whole is as if it were not there, and a folder that cannot
be written keeps nothing. Nobody but its user writes there: what lies in it goes onto boards.
"""

import base64
import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

MOST = 32  # kept: each board and role of a few versions; the oldest go


def key(words: Collection[str], files: Mapping[str, Path]) -> str:
    """What is built of these words and of these files, by name. OSError for one that cannot be read."""
    found = hashlib.sha256(b"%d words and %d files\n" % (len(words), len(files)))
    parts = [word.encode() for word in words]
    for name, path in sorted(files.items()):
        parts += name.encode(), path.read_bytes()
    for part in parts:
        found.update(b"%d:" % len(part))
        found.update(part)
    return found.hexdigest()


def read(name: str) -> dict[str, bytes] | None:
    """The files of this key, or None."""
    folder = _folder()
    try:
        if folder is None:
            return None
        digest, _, text = (folder / name).read_bytes().partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            return None
        return {path: base64.b64decode(data) for path, data in json.loads(text).items()}
    except (OSError, ValueError, TypeError, AttributeError):  # of a file that somebody else made
        return None


def write(name: str, files: Mapping[str, bytes]) -> None:
    """Keep the files of this key, all of them or none, whoever else builds the same."""
    folder = _folder()
    if folder is not None:
        with contextlib.suppress(OSError):
            _write(folder / name, files)


def _folder() -> Path | None:
    """None: there is nowhere to keep anything."""
    named = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        folder = Path(named or Path("~/.cache").expanduser())
    except RuntimeError:  # no home
        return None
    return folder / "kerbstone" / "bundles" if folder.is_absolute() else None


def _write(place: Path, files: Mapping[str, bytes]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps({path: base64.b64encode(data).decode() for path, data in files.items()}).encode()
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as folder:
        made = Path(folder) / place.name
        made.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        made.replace(place)
    for old in sorted(place.parent.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime)[:-MOST]:
        old.unlink(missing_ok=True)
