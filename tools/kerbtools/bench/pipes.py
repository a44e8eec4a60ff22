"""Messages over a pair of pipes: their count, then byte strings, each after its length; all numbers in four bytes."""

from typing import IO

_SIZE = 4


def write(pipe: IO[bytes] | None, parts: list[bytes]) -> None:
    """One message."""
    if pipe is None:
        raise RuntimeError("the process has no such pipe")
    out = [len(parts).to_bytes(_SIZE, "big")]
    for part in parts:
        out += [len(part).to_bytes(_SIZE, "big"), part]
    pipe.write(b"".join(out))
    pipe.flush()


def read(pipe: IO[bytes] | None) -> list[bytes] | None:
    """One message; None: the other end has closed."""
    if pipe is None:
        raise RuntimeError("the process has no such pipe")
    head = pipe.read(_SIZE)
    if len(head) < _SIZE:
        return None
    return [pipe.read(int.from_bytes(pipe.read(_SIZE), "big")) for _ in range(int.from_bytes(head, "big"))]
