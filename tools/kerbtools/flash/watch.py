"""Ports as they come: each board that is plugged in, once."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kerbtools.device import ports

LOOK_S = 0.3
# A board that resets leaves its port for a second or two: one that comes back within this time was not plugged in anew.
GONE_S = 5.0


def arrivals(named: Sequence[str], until: float | None = None) -> Iterator[str | None]:
    """Each port that appears: of the named ones, or of those that may carry a board. None: nothing new at a look.

    until: monotonic seconds at which to stop; None: never.
    """
    seen: dict[object, float] = {}
    while until is None or time.monotonic() < until:
        now = time.monotonic()
        here = _present(named)
        for key in [key for key, last in seen.items() if now - last > GONE_S]:
            del seen[key]
        fresh = [path for key, path in here.items() if key not in seen]
        seen.update(dict.fromkeys(here, now))
        yield from fresh
        if not fresh:
            yield None
            time.sleep(LOOK_S)


def _present(named: Sequence[str]) -> dict[object, str]:
    """Port by what tells one board from another: on the same port the next board has another serial number."""
    if named:
        return {path: path for path in named if Path(path).exists()}
    return {(port.path, port.serial): port.path for port in ports.find()}
