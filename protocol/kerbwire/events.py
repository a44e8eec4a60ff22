"""Events: an alarm at once, small enough for any link, and understood without anything that came before.

The body is a bit string, most significant bit first:

    clock 1     0: `time` is UTC seconds; 1: uptime seconds of a boot, because the clock was unset
    index       number*, from the same counter as the records
    time 32
    boot, age   numbers*, only with clock 1: the boot count; seconds from the event to the writing of this message
    code 6, severity 2, state 2
    first 1     1: a value follows, of the channel that CODES names for this code
    others      channel 5 and value, each for one further channel, ascending, up to the end
    zeros       to a whole byte: fewer than 8 bits

    number*     2 bits: its bytes, less one; then that many bytes, as few as can hold it
    value       value - low + 3 in the bits that the channel's range needs; 0 "not fitted", 1 "no echo", 2 "fault"
"""

from kerbwire.channels import (
    BATTERY,
    CHANNELS,
    FAULT,
    FAULTS,
    FILL,
    LUX,
    MAX_CHANNEL,
    NO_ECHO,
    NOT_FITTED,
    POWER,
    SUPPLY,
    TEMPERATURE,
    TILT,
)
from kerbwire.columns import MAX_NUMBER
from kerbwire.errors import NOT_CANONICAL, RANGE, TOO_LONG, TRUNCATED, TYPE, WireError
from kerbwire.messages import EVENT, UINT, Message, check

MAX_CODE = 63
MAX_VALUES = 8  # of evidence; bounds the message to 64 bytes
MAX_BODY = 64

NOTICE, WARNING, CRITICAL, EMERGENCY = 0, 1, 2, 3
SEVERITIES = ("notice", "warning", "critical", "emergency")
RAISED, HELD, CLEARED = 0, 1, 2
STATES = ("raised", "held", "cleared")

FIRE, FULL, EMPTIED, TILTED, LID_OPEN, SENSOR_FAULT, BATTERY_LOW = 0, 1, 2, 3, 4, 5, 6
LAMP_FAILURE, DAY_BURNER, CYCLING, GEAR_FAULT, SUPPLY_LOW, SUPPLY_HIGH, RELAY_FAULT, TOO_HOT, PHOTOCELL_FAULT = (
    16, 17, 18, 19, 20, 21, 22, 23, 24,
)  # fmt: skip
CLOCK_STEP, CRASH, SAFE_MODE, FLASH_FAULT, DOOR_OPEN = 32, 33, 34, 35, 36

# Code -> the channel whose value travels without its number, or -1. A row never changes once it was released.
CODES = {
    FIRE: TEMPERATURE, FULL: FILL, EMPTIED: FILL, TILTED: TILT, LID_OPEN: -1, SENSOR_FAULT: -1, BATTERY_LOW: BATTERY,
    LAMP_FAILURE: POWER, DAY_BURNER: LUX, CYCLING: POWER, GEAR_FAULT: FAULTS, SUPPLY_LOW: SUPPLY, SUPPLY_HIGH: SUPPLY,
    RELAY_FAULT: POWER, TOO_HOT: TEMPERATURE, PHOTOCELL_FAULT: LUX,
    CLOCK_STEP: -1, CRASH: -1, SAFE_MODE: -1, FLASH_FAULT: -1, DOOR_OPEN: -1,
}  # fmt: skip

_SPECIALS = (NOT_FITTED, NO_ECHO, FAULT)
_OFFSET = len(_SPECIALS)


class Event(Message):
    """Up, at once: something that a person should know.

    index: of this life, shared with the records. time, boot, uptime_now: as of a Report. values: evidence, raw value by
    channel id. skipped: 1 if the evidence, or its end, is of a code or a channel unknown here.
    """

    KIND = EVENT
    NAMES = ("index", "time", "code", "severity", "state", "values", "boot", "uptime_now")

    def __init__(
        self,
        index: int,
        time: int,
        code: int,
        severity: int,
        state: int,
        values: "dict[int, int] | None" = None,
        boot: "int | None" = None,
        uptime_now: "int | None" = None,
    ):
        self.index = index
        self.time = time
        self.code = code
        self.severity = severity
        self.state = state
        self.values = values or {}
        self.boot = boot
        self.uptime_now = uptime_now

    def pack(self) -> bytes:
        """The body. WireError for a field out of range."""
        check(self.time, UINT, 0, MAX_NUMBER, "time")
        if (self.boot is None) != (self.uptime_now is None):
            raise WireError(TYPE, "boot and uptime_now go together")
        out = _Bits()
        out.put(0 if self.boot is None else 1, 1)
        out.number(self.index, "index")
        out.put(self.time, 32)
        if self.boot is not None and self.uptime_now is not None:
            out.number(self.boot, "boot")
            check(self.uptime_now, UINT, self.time, MAX_NUMBER, "uptime_now")
            out.number(self.uptime_now - self.time, "age")
        out.put(check(self.code, UINT, 0, MAX_CODE, "code"), 6)
        out.put(check(self.severity, UINT, 0, EMERGENCY, "severity"), 2)
        out.put(check(self.state, UINT, 0, CLEARED, "state"), 2)
        if len(self.values) > MAX_VALUES:
            raise WireError(TOO_LONG, "evidence")
        first = CODES.get(self.code)
        if first is None and self.values:
            raise WireError(RANGE, "evidence of an unknown code")
        out.put(1 if first in self.values else 0, 1)
        if first in self.values:
            out.value(first, self.values[first])
        for ident in sorted(self.values):
            if ident != first:
                out.put(check(ident, UINT, 0, MAX_CHANNEL, "channel"), 5)
                out.value(ident, self.values[ident])
        return out.to_bytes()

    @classmethod
    def from_body(cls, body: bytes) -> "Event":
        """The event of a body. WireError."""
        if len(body) > MAX_BODY:
            raise WireError(TOO_LONG, "event")
        bits = _Bits(body)
        uptime = bits.take(1)
        event = cls(bits.take_number(), bits.take(32), 0, 0, 0)
        if uptime:
            event.boot = bits.take_number()
            event.uptime_now = check(event.time + bits.take_number(), UINT, 0, MAX_NUMBER, "age")
        event.code, event.severity, event.state = bits.take(6), bits.take(2), bits.take(2)
        check(event.state, UINT, 0, CLEARED, "state")
        ident = CODES.get(event.code)
        if ident is None:
            event.skipped = 1
            return event
        if bits.take(1):
            if ident < 0:
                raise WireError(NOT_CANONICAL, "evidence")
            event.values[ident] = bits.take_value(ident)
        before = -1
        while bits.left >= 8:
            other = bits.take(5)
            if other <= before or other == ident:
                raise WireError(NOT_CANONICAL, "evidence")
            if other not in CHANNELS:
                event.skipped = 1
                return event
            if len(event.values) == MAX_VALUES:
                raise WireError(TOO_LONG, "evidence")
            before = other
            event.values[other] = bits.take_value(other)
        if bits.take(bits.left):
            raise WireError(NOT_CANONICAL, "padding")
        return event


class _Bits:
    """A short bit string, written or read from its first bit. left: bits not yet read."""

    def __init__(self, body: bytes = b""):
        self._bits = int.from_bytes(body, "big")
        self.left = 8 * len(body)

    def put(self, value: int, count: int) -> None:
        self._bits = self._bits << count | value
        self.left += count

    def number(self, value: int, name: str) -> None:
        check(value, UINT, 0, MAX_NUMBER, name)
        size = 1 if value < 1 << 8 else 2 if value < 1 << 16 else 3 if value < 1 << 24 else 4
        self.put(size - 1, 2)
        self.put(value, 8 * size)

    def value(self, ident: int, raw: int) -> None:
        row = CHANNELS.get(ident)
        if row is None:
            raise WireError(RANGE, "channel")
        if raw in _SPECIALS:
            code = _SPECIALS.index(raw)
        else:
            code = check(raw, UINT, row.low, row.high, row.name) - row.low + _OFFSET
        self.put(code, row.width)

    def to_bytes(self) -> bytes:
        pad = -self.left & 7
        return (self._bits << pad).to_bytes((self.left + pad) // 8, "big")

    def take(self, count: int) -> int:
        if count > self.left:
            raise WireError(TRUNCATED, "event")
        self.left -= count
        value = self._bits >> self.left
        self._bits -= value << self.left
        return value

    def take_number(self) -> int:
        size = self.take(2) + 1
        value = self.take(8 * size)
        if size > 1 and value >> 8 * (size - 1) == 0:
            raise WireError(NOT_CANONICAL, "number")
        return value

    def take_value(self, ident: int) -> int:
        row = CHANNELS[ident]
        code = self.take(row.width)
        if code < _OFFSET:
            return _SPECIALS[code]
        if code - _OFFSET > row.high - row.low:
            raise WireError(RANGE, row.name)
        return row.low + code - _OFFSET


MESSAGES = (Event,)
