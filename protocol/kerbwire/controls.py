"""What is asked of one node, and what it answers: command and config down, result and log up.

A command is obeyed once, before its expiry, and answered with a result that carries its id (law 6).
"""

from kerbwire.columns import MAX_NUMBER
from kerbwire.errors import RANGE, WireError
from kerbwire.frame import MAX_SEQ
from kerbwire.messages import (
    BYTES,
    COMMAND,
    CONFIG,
    HASH_SIZE,
    INT_HIGH,
    INT_LOW,
    INTS,
    LOG,
    OPTIONAL,
    PATCH,
    REQUIRED,
    RESULT,
    UINT,
    Message,
)

MAX_ID = MAX_NUMBER  # drawn at random by the gateway's store: two stores never mean two commands by one id
MAX_ARGUMENTS = 4
MAX_REMAINING_S = 7 * 86400  # what waits longer than a week is decided anew
MAX_PATCH = 16  # settings in one message; a longer patch is sent as two
MAX_LOG = 192  # bytes of log in one message, so that it fits the longest header

EMERGENCY, OPERATOR, SCHEDULE = 0, 1, 2
PRIORITIES = ("emergency", "operator", "schedule")

DIM, RELEASE, RESTART, IDENTIFY, SAMPLE, RESEND, SELF_TEST, SEND_LOG = 0, 1, 2, 3, 4, 5, 6, 7
MAX_OPERATION = 63
# Operation -> lowest and highest of each argument; a node answers one that is not here with UNSUPPORTED.
OPERATIONS: "dict[int, tuple[tuple[int, int], ...]]" = {
    DIM: ((0, 100), (0, 3600), (1, MAX_REMAINING_S)),  # level percent, fade seconds, hold seconds
    RELEASE: (),  # back to schedule and sensors
    RESTART: (),
    IDENTIFY: ((1, 600),),  # seconds of blinking
    SAMPLE: (),  # one record now, reported at once
    RESEND: ((0, INT_HIGH), (1, 65535)),  # first index, count: records that the node still holds
    SELF_TEST: (),
    SEND_LOG: ((0, INT_HIGH), (0, INT_HIGH)),  # boot, first line
}

# What a self-test tries: the bits of the detail of its result, set where a check has failed. A row keeps its place.
CHECKS = (
    "firmware", "flash", "identity", "clock", "battery", "distance", "temperature", "tilt", "link", "radio",
    "presence", "light", "meter", "dimmer", "relay",
)  # fmt: skip
CHECK_OF_ELSE = 30  # the bit of a check that has no row here

APPLIED, REFUSED, EXPIRED, INTERRUPTED, UNSUPPORTED, FAILED, SUPERSEDED = 0, 1, 2, 3, 4, 5, 6
STATUSES = ("applied", "refused", "expired", "interrupted", "unsupported", "failed", "superseded")


def failed_checks(detail: int) -> "list[str]":
    """The checks of a self-test that have failed, in words."""
    names = [name for bit, name in enumerate(CHECKS) if detail >> bit & 1]
    return names + ["another"] * (detail >> CHECK_OF_ELSE & 1)


class Command(Message):
    """Down: do this once.

    ident: of this command, for ever. arguments: integers, by OPERATIONS. expiry: UTC seconds; remaining: seconds from
    the sending, for a node whose clock is unset. priority: newest wins within a class.
    """

    KIND = COMMAND
    ROWS = (
        (0, "echo", UINT, 0, MAX_SEQ, REQUIRED),
        (1, "ident", UINT, 0, MAX_ID, REQUIRED),
        (2, "operation", UINT, 0, MAX_OPERATION, REQUIRED),
        (3, "arguments", INTS, 1, MAX_ARGUMENTS, OPTIONAL),
        (4, "expiry", UINT, 0, MAX_NUMBER, REQUIRED),
        (5, "remaining", UINT, 1, MAX_REMAINING_S, REQUIRED),
        (6, "priority", UINT, EMERGENCY, SCHEDULE, REQUIRED),
    )

    def __init__(
        self,
        echo: int,
        ident: int,
        operation: int,
        arguments: "list[int]",
        expiry: int,
        remaining: int,
        priority: int = OPERATOR,
    ):
        self.echo = echo
        self.ident = ident
        self.operation = operation
        self.arguments = arguments
        self.expiry = expiry
        self.remaining = remaining
        self.priority = priority

    def check(self) -> None:
        """A known operation has its own arguments; those of an unknown one are not judged."""
        rows = OPERATIONS.get(self.operation)
        if rows is None:
            return
        if len(self.arguments) != len(rows):
            raise WireError(RANGE, "arguments")
        i = 0
        for low, high in rows:
            if not low <= self.arguments[i] <= high:
                raise WireError(RANGE, "argument {}".format(i))
            i += 1  # noqa: SIM113 - enumerate() makes a tuple a turn


class Config(Message):
    """Down: change these settings.

    ident: answered by a result, as a command's is. version: of the whole configuration; a node ignores one that is not
    above its own. patch: setting number -> integer, or None for the default. digest: of the configuration after the
    patch, as in hello; a node that arrives at another refuses.
    """

    KIND = CONFIG
    ROWS = (
        (0, "echo", UINT, 0, MAX_SEQ, REQUIRED),
        (1, "ident", UINT, 0, MAX_ID, REQUIRED),
        (2, "version", UINT, 1, MAX_NUMBER, REQUIRED),
        (3, "patch", PATCH, 1, MAX_PATCH, REQUIRED),
        (4, "digest", BYTES, HASH_SIZE, HASH_SIZE, OPTIONAL),
    )

    def __init__(
        self, echo: int, ident: int, version: int, patch: "dict[int, int | None]", digest: "bytes | None" = None
    ):
        self.echo = echo
        self.ident = ident
        self.version = version
        self.patch = patch
        self.digest = digest


class Result(Message):
    """Up: what became of a command or a config. detail: a number whose meaning the operation gives."""

    KIND = RESULT
    ROWS = (
        (1, "ident", UINT, 0, MAX_ID, REQUIRED),
        (2, "status", UINT, 0, 255, REQUIRED),
        (3, "detail", UINT, INT_LOW, INT_HIGH, OPTIONAL),
    )

    def __init__(self, ident: int, status: int, detail: "int | None" = None):
        self.ident = ident
        self.status = status
        self.detail = detail


class Log(Message):
    """Up: a piece of the ring log.

    boot: the boot count that wrote it. line: number of its first line within that boot. data: lines, each with its
    newline, as bytes: the ring may have cut a character; strip and cap before a terminal sees them. dropped: lines of
    this boot before `line` that the ring has overwritten.
    """

    KIND = LOG
    ROWS = (
        (1, "boot", UINT, 0, MAX_NUMBER, REQUIRED),
        (2, "line", UINT, 0, MAX_NUMBER, REQUIRED),
        (3, "data", BYTES, 1, MAX_LOG, REQUIRED),
        (4, "dropped", UINT, 1, MAX_NUMBER, OPTIONAL),
    )

    def __init__(self, boot: int, line: int, data: bytes, dropped: "int | None" = None):
        self.boot = boot
        self.line = line
        self.data = data
        self.dropped = dropped


UP = (Result, Log)
DOWN = (Command, Config)
MESSAGES = UP + DOWN
