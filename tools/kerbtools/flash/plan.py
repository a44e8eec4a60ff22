"""What a flash has to do, from what the bundle holds and what lies on the board. Pure; FLASH.md has the reasoning."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from kerbtools.bundle import MANIFEST

STAGE = "/update"
GO = "/update.go"  # in the root: the stage may not show all that it holds after a power cut (FLASH.md)
GO_FORM = "kerb-update 1"
HOLD = b"kerb-update 0"  # a form that no boot.py carries out: main.py runs nothing while it lies there
BOOT, MAIN = "/boot.py", "/main.py"
ROOT_FILES = (BOOT, MAIN, "/board.json", "/" + MANIFEST)
FOLDERS = ("/lib/kerbwire", "/lib/kerbnode")
TEMPORARY = ".tmp"  # what a write that was cut leaves behind
OWNED = (*ROOT_FILES, *(path + TEMPORARY for path in (*ROOT_FILES, GO)), *FOLDERS, STAGE, GO)

Digests = Mapping[str, str]  # SHA-256 in hex, by absolute path


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The files that differ, and what is in the way. All paths absolute.

    changes: new content by path. staged: where the content of a change lies already, by path; where it is to be put if
    it does not lie there. missing: the changes that have to be sent. remove: files, then folders, that are no longer
    in the bundle. litter: files under /update that serve nothing. idle: nothing of ours runs on this board: it has no
    main.py, or an update lies there that boot.py could not finish (`stuck`).
    """

    changes: Mapping[str, bytes]
    staged: Mapping[str, str]
    missing: tuple[str, ...]
    remove: tuple[str, ...]
    litter: tuple[str, ...]
    idle: bool
    stuck: bool

    @property
    def is_empty(self) -> bool:
        return not (self.changes or self.remove or self.stuck)

    @property
    def files(self) -> tuple[str, ...]:
        """The changes, but for the list of the bundle's files, which changes with each."""
        return tuple(path for path in sorted(self.changes) if path != "/" + MANIFEST)

    @property
    def bytes_to_send(self) -> int:
        return sum(len(self.changes[path]) for path in self.missing)

    def go(self) -> bytes:
        """The file that makes boot.py finish the update."""
        steps = [GO_FORM]
        steps += [
            f"> {self.staged[path].removeprefix(STAGE + '/')} {path}" for path in sorted(self.changes) if path != BOOT
        ]
        steps += [f"- {path}" for path in self.remove]
        return "\n".join(steps).encode()

    def room(self, block_bytes: int) -> int:
        """Bytes of flash that it takes while old and new lie side by side, in blocks as LittleFS gives them out."""
        if self.is_empty:
            return 0
        blocks = sum(-(-len(self.changes[path]) // block_bytes) for path in self.missing)
        folders = {str(PurePosixPath(path).parent) for path in self.changes}
        return (blocks + 2 * len(folders) + 4) * block_bytes  # a folder is a pair of blocks; so are the stage, and go


def plan(contents: Mapping[str, bytes], found: Digests) -> Plan:
    """contents: the bundle, by path below the root. found: digests of everything at and below OWNED."""
    wanted = {"/" + path: data for path, data in contents.items()}
    changes = {path: data for path, data in wanted.items() if found.get(path) != digest(data)}
    stuck = GO in found
    idle = stuck or MAIN not in found
    staged = {path: path if idle else f"{STAGE}/{_stage_name(path, data)}" for path, data in changes.items()}
    missing = tuple(path for path in sorted(changes) if found.get(staged[path]) != digest(changes[path]))
    stale = sorted(path for path in found if path not in (*wanted, GO) and not path.startswith(STAGE + "/"))
    return Plan(
        changes=changes,
        staged=staged,
        missing=missing,
        remove=(*stale, *_emptied(stale, wanted)),
        litter=tuple(sorted(p for p in found if p.startswith(STAGE + "/") and p not in staged.values())),
        idle=idle,
        stuck=stuck,
    )


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _stage_name(path: str, data: bytes) -> str:
    """A name for this content on its way to this path: what an earlier run has left there is known by it."""
    return hashlib.sha256(path.encode() + b"\0" + data).hexdigest()[:16]


def _emptied(removed: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Folders that hold nothing once these files are gone, deepest first: an empty one would hide a module."""
    kept = {str(parent) for path in wanted for parent in PurePosixPath(path).parents}
    kept |= {"/lib"}
    gone = {str(parent) for path in removed for parent in PurePosixPath(path).parents} - kept
    return sorted(gone, key=lambda folder: (-folder.count("/"), folder))
