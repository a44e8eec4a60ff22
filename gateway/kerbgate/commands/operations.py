"""What can be asked for, as a table: the council's words on the left, the wire's codes on the right.

A row says which arguments a document has, with unit and range, who may ask, and which nodes it is for.
"""

from dataclasses import dataclass
from typing import Final

from kerbwire import controls
from kerbwire.controls import EMERGENCY, MAX_REMAINING_S, OPERATOR, SCHEDULE
from kerbwire.messages import INT_HIGH, INT_LOW
from kerbwire.waves import MAX_BRIGHTEN_S

NO_ISOLATION: Final = (
    "This is no electrical isolation: a luminaire at 0 % stays live. Isolate and prove dead before work on it."
)
DARK = "dim"
MAX_SETTING = 65535


@dataclass(frozen=True, slots=True)
class Argument:
    """An integer of a document. default None: it must be given."""

    name: str
    low: int
    high: int
    default: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """code: of kerbwire.controls, None for configuration. lowest: the class from which on upwards one may ask.

    roles: of the nodes that it is for; the others of a group or a site are passed over. light: it asks for a level, so
    that a newer one of its class takes its place. timed: `until` says how long it holds. settings: a patch is given.
    grouped: one group message carries it; the order to each node then asks for a record, which is its answer.
    """

    name: str
    code: int | None
    help: str
    arguments: tuple[Argument, ...] = ()
    lowest: int = SCHEDULE
    roles: tuple[str, ...] = ("bin", "lamp")
    light: bool = False
    timed: bool = False
    settings: bool = False
    grouped: bool = False
    notice: str | None = None


_TABLE = (
    Operation(
        "dim", controls.DIM, "hold a dimming level until a time; level_percent 0 is off",
        (Argument("level_percent", 0, 100), Argument("fade_s", 0, 3600, 2)),
        roles=("lamp",), light=True, timed=True, notice=NO_ISOLATION,
    ),
    Operation("release", controls.RELEASE, "back to schedule and sensors", roles=("lamp",), light=True),
    Operation(
        "brighten", controls.SAMPLE, "light for an emergency, at least this level, as one group message",
        (Argument("level_percent", 1, 100, 100), Argument("for_s", 1, MAX_BRIGHTEN_S)),
        lowest=OPERATOR, roles=("lamp",), grouped=True,
    ),
    Operation("restart", controls.RESTART, "restart the node's program", lowest=OPERATOR),
    Operation("identify", controls.IDENTIFY, "blink, to be found", (Argument("for_s", 1, 600, 60),), lowest=OPERATOR),
    Operation("sample", controls.SAMPLE, "take one record now and report it"),
    Operation("self_test", controls.SELF_TEST, "run the self-test", lowest=OPERATOR),
    Operation(
        "send_log", controls.SEND_LOG, "send the log of a boot, from a line on",
        (Argument("boot", 0, INT_HIGH, 0), Argument("line", 0, INT_HIGH, 0)), lowest=OPERATOR,
    ),
    Operation("configure", None, "change settings; null is the default", lowest=OPERATOR, settings=True),
)  # fmt: skip
OPERATIONS: dict[str, Operation] = {row.name: row for row in _TABLE}

SETTING_VALUES = (INT_LOW, INT_HIGH)
MAX_SETTINGS = controls.MAX_PATCH
MAX_WAIT_S = MAX_REMAINING_S  # what waits longer than a week is decided anew
PRIORITIES = {"emergency": EMERGENCY, "operator": OPERATOR, "schedule": SCHEDULE}
PRIORITY_NAMES = tuple(PRIORITIES)
