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
from collections.abc import Callable, Iterable
from pathlib import Path

MOST = 32  # kept: each board and role of a few versions; the oldest go


def key(words: Iterable[str], files: Iterable[Path]) -> str:
    """What is built of these words and of what is in these files. OSError for one that cannot be read."""
    found = hashlib.sha256()
    for part in (*(word.encode() for word in words), *(path.read_bytes() for path in files)):
        found.update(b"%d:" % len(part))
        found.update(part)
    return found.hexdigest()


def kept(name: str, build: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    """The files of this key, built where they are not kept yet."""
    place = _folder() / name
    found = _read(place)
    if found is None:
        found = build()
        with contextlib.suppress(OSError):
            _write(place, found)
    return found


def _folder() -> Path:
    named = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return Path(named or Path("~/.cache").expanduser()) / "kerbstone" / "bundles"


def _read(place: Path) -> dict[str, bytes] | None:
    try:
        digest, _, text = place.read_bytes().partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            return None
        return {path: base64.b64decode(data) for path, data in json.loads(text).items()}
    except OSError:
        return None


def _write(place: Path, files: dict[str, bytes]) -> None:
    """All of it or nothing, whoever else builds the same."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps({path: base64.b64encode(data).decode() for path, data in files.items()}).encode()
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as folder:
        made = Path(folder) / place.name
        made.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        made.replace(place)
    for old in sorted(place.parent.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime)[:-MOST]:
        old.unlink(missing_ok=True)
