"""The registry's key file: 32 random bytes, mode 0600, made once and never overwritten."""

import os
from pathlib import Path

from kerbgate.errors import RegistryError

KEY_SIZE = 32
RESTORE = "restore registry and key file together from a backup"


def make(path: Path) -> None:
    """Write a new key file, whole or not at all; an existing one is never touched."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".key.new")
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(KEY_SIZE))
            file.flush()
            os.fsync(descriptor)
        path.hardlink_to(draft)  # fails where a key exists, unlike a rename
        draft.unlink()
        if os.name == "posix":  # elsewhere a folder cannot be opened, and needs no sync
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    except FileExistsError as error:
        raise RegistryError(
            f"a key file without its registry lies at {path}",
            "restore the registry from a backup, or move the key file away",
        ) from error
    except OSError as error:
        raise RegistryError(
            f"the key file {path} cannot be made: {error}", "check the folder and free space"
        ) from error


def read(path: Path) -> bytes:
    """The key. RegistryError if it is missing, of another size, or open to others."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read(KEY_SIZE + 1)
    except OSError as error:
        raise RegistryError(f"the registry's key file {path} cannot be read: {error.strerror}", RESTORE) from error
    if os.name == "posix" and mode & 0o077:  # elsewhere the bits say nothing about who may read
        raise RegistryError(f"the key file {path} can be read by others", f"run: chmod 600 {path}")
    if len(key) != KEY_SIZE:
        raise RegistryError(f"the key file {path} is not {KEY_SIZE} bytes long", "restore it from a backup")
    return key
