"""LoRa as our links use it: settings by one rule on both ends, air time, sub-bands, and the budget of an hour.

A street has one frequency for what nodes say and one for what the gateway answers. The second lies in a band where
more may be sent, and an answer there spoils no node's report. Frequencies in kHz, bandwidth 125 kHz, coding rate 4/5,
explicit header, CRC on.
"""

UP_KHZ = 868100
DOWN_KHZ = 869525
SPREADING_FACTOR = 9
POWER_DBM = 14
BANDWIDTH_HZ = 125000
PREAMBLE = 8  # symbols
CODING = 1  # 4/5
# EN 300 220-2 V3.2.1, annex B, and ERC/REC 70-03, annex 1: (from kHz, to kHz, duty cycle in 1/1000, most dBm e.r.p.).
BANDS = (
    (865000, 868000, 10, 14),
    (868000, 868600, 10, 14),
    (868700, 869200, 1, 14),
    (869400, 869650, 100, 27),
    (869700, 870000, 10, 14),
)
HALF_KHZ = 63  # of a channel: it lies in its band whole
MOST_DBM = 22  # that an SX1262 does
SLICE_S = 300
SLICES = 13  # the hour before now, and the slice that it began in


class Settings:
    """up_khz, down_khz: what nodes and what the gateway sends on. factor: spreading factor 7..12. power_dbm: of who
    reads them."""

    def __init__(self, up_khz: int, down_khz: int, factor: int, power_dbm: int):
        self.up_khz = up_khz
        self.down_khz = down_khz
        self.factor = factor
        self.power_dbm = power_dbm


def settings(mhz: str, options: "dict[str, str]") -> Settings:
    """Settings of texts: mhz, and of options down (MHz), sf, power (dBm). ValueError says which is not right."""
    up = khz(mhz) if mhz else UP_KHZ
    down = khz(options["down"]) if options.get("down") else DOWN_KHZ
    factor = _number(options.get("sf"), SPREADING_FACTOR, 7, 12, "sf")
    power = _number(options.get("power"), POWER_DBM, 0, MOST_DBM, "power")
    band(up)
    band(down)
    return Settings(up, down, factor, power)


def khz(text: str) -> int:
    """ "868.1" as kHz. ValueError."""
    whole, _, part = text.partition(".")
    if not whole.isdigit() or len(whole) != 3 or (part and not part.isdigit()) or len(part) > 3:
        raise ValueError("write a frequency in MHz, such as 868.1, not %s" % text)
    return int(whole) * 1000 + int((part + "000")[:3])


def band(frequency_khz: int) -> "tuple[int, int]":
    """(duty cycle in 1/1000, most dBm e.r.p.) of a channel here. ValueError where nothing may be sent."""
    for low, high, permille, power in BANDS:
        if low + HALF_KHZ <= frequency_khz <= high - HALF_KHZ:
            return permille, power
    raise ValueError("no band for us at %d kHz: choose 868.1 to 868.5, or 869.525" % frequency_khz)


def air_us(size: int, factor: int, preamble: int = PREAMBLE) -> int:
    """Microseconds that a packet of so many bytes takes: SX1261/2 data sheet DS.SX1261-2, section 6.1.4."""
    symbol_us = (1000000 << factor) // BANDWIDTH_HZ
    slow = 2 if factor >= 11 else 0  # low data rate optimisation, from symbols of 16.38 ms on
    bits = 8 * size + 16 - 4 * factor + 8 + 20
    groups = max(0, -(-bits // (4 * (factor - slow))))
    return (4 * preamble + 17 + 4 * (8 + groups * (CODING + 4))) * symbol_us // 4


class Budget:
    """What may still be sent on one band. It counts in slices of five minutes: so the hour before any moment is
    covered whole, and no clock is needed but one that counts seconds. permille: of the band."""

    def __init__(self, permille: int):
        self._most_ms = 3600 * permille
        self._slices = [0] * SLICES  # ms, the newest first
        self._slice = 0

    def left_ms(self, now_s: int) -> int:
        """now_s: seconds that never go back; where they do, no time counts as passed."""
        self._turn(now_s)
        return self._most_ms - sum(self._slices)

    def spend(self, ms: int, now_s: int) -> None:
        """Count what is sent now; a negative number gives back what was not."""
        self._turn(now_s)
        self._slices[0] = max(0, self._slices[0] + ms)

    def spent_ms(self, now_s: int) -> int:
        self._turn(now_s)
        return sum(self._slices)

    def wait_s(self, ms: int, now_s: int) -> int:
        """Seconds until so much may be sent: 0 for now, at most an hour and a slice."""
        self._turn(now_s)
        left, at = self._most_ms - sum(self._slices), SLICES - 1
        while left < ms and at >= 0:
            left += self._slices[at]
            at -= 1
        passed = SLICES - 1 - at  # slices that have to go
        return 0 if not passed else passed * SLICE_S - now_s % SLICE_S

    def pack(self) -> "list[int]":
        """A list of whole numbers for `unpack`."""
        return [self._slice] + self._slices

    def unpack(self, numbers: "object", now_s: int) -> bool:
        """Go on from what was packed; where the seconds began anew meanwhile, no time counts as passed. False for
        anything else."""
        found: "list[int]" = []
        if isinstance(numbers, (list, tuple)):
            for number in numbers:  # type: ignore
                if isinstance(number, int) and number >= 0:
                    found.append(number)
        if len(found) != SLICES + 1:
            return False
        self._slice, self._slices = found[0], found[1:]
        self._turn(now_s)
        return True

    def _turn(self, now_s: int) -> None:
        now = now_s // SLICE_S
        passed = min(now - self._slice, SLICES)
        if passed > 0:
            self._slices = ([0] * passed + self._slices)[:SLICES]
        self._slice = now


def _number(text: "str | None", default: int, low: int, high: int, name: str) -> int:
    if text is None:
        return default
    if not text.isdigit() or len(text) > 2 or not low <= int(text) <= high:
        raise ValueError("%s is a number from %d to %d, not %s" % (name, low, high, text))
    return int(text)
