"""The links that are on a board, each opened once there: kerbnode.selftest.links runs, its rows come back."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from kerbtools.device.errors import printable
from kerbtools.device.selftest import Row
from kerbtools.provision.found import BoardPort

TIMEOUT_S = 200.0  # four links, of which one over TLS waits 40 s at most
_PROGRAM = "import kerbnode.selftest\nkerbnode.selftest.main(False)"


def run(device: BoardPort) -> list[Row]:
    """A row for each link but the UART, in the node's order. The board is at its REPL before and after, with a fresh
    heap. DeviceError."""
    device.soft_reset()
    rows = device.ask(_PROGRAM, TIMEOUT_S)
    device.soft_reset()
    return numbered(
        [Row(**{key: printable(str(row.get(key, ""))) for key in Row.__dataclass_fields__}) for row in rows]
    )


def numbered(rows: Sequence[Row]) -> list[Row]:
    """Rows whose names tell links of one kind apart: link:mqtt (1 of 2)."""
    all_of, so_far = Counter(row.check for row in rows), Counter[str]()
    named: list[Row] = []
    for row in rows:
        so_far[row.check] += 1
        place = f" ({so_far[row.check]} of {all_of[row.check]})" if all_of[row.check] > 1 else ""
        named.append(replace(row, check=row.check + place))
    return named


def told(row: Row) -> str:
    """One line of a row."""
    return f"{row.check} {row.verdict}: {row.value}" + (f": {row.cause}" if row.cause else "")
