"""The self-test of a board on a port: kerbnode.selftest runs there, its rows come back."""

from dataclasses import dataclass

from kerbtools.boards import MODEM
from kerbtools.device.device import Device
from kerbtools.device.errors import printable

TIMEOUT_S = 220.0  # with every part silent: 10 s of echoes at most, a second each for others, 40 s for each of 4 links
_PROGRAM = "import kerbnode.selftest\nkerbnode.selftest.main()"
_OF_A_MODEM = "import kerbnode.modem\nkerbnode.modem.test()"  # which has no sensors, no identity and no link of its own


@dataclass(frozen=True, kw_only=True)
class Row:
    """One check. verdict: "pass", "fail" or "skip". cause: the likely one, of a check that did not pass."""

    check: str
    verdict: str
    value: str
    limit: str
    cause: str


def run(device: Device, role: str = "") -> list[Row]:
    """Test the board; it is at its REPL before and after, with a fresh heap. DeviceError."""
    device.soft_reset()
    rows = device.ask(_OF_A_MODEM if role == MODEM else _PROGRAM, timeout_s=TIMEOUT_S)
    device.soft_reset()
    return [Row(**{key: printable(str(row.get(key, ""))) for key in Row.__dataclass_fields__}) for row in rows]


def passed(rows: list[Row]) -> bool:
    return all(row.verdict != "fail" for row in rows)
