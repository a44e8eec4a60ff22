"""What is wrong with a lamp: looks in, events out. Pure: no clock, no file, integers only. Table: firmware/FAULTS.md.

Each row of ROWS is a latch. A look says yes, no or nothing of it, and so long, or for so many nights in a row, as the
row asks for, yes raises it and no clears it:

    clear      yes: count up, at `raise_at` raised    nothing: stay    no: count from 0
    raised     yes: count from 0                      nothing: stay    no: count up, at `clear_at` cleared

Seconds count from the first look that said it; a row that counts nights is told once a night, when it is over.
"""

from kerbnode.lamp.meter import Baseline, Energy
from kerbwire.channels import (
    AT_DIMMER,
    AT_LIGHT,
    AT_METER,
    AT_PRESENCE,
    CHANNELS,
    FAULTS,
    GARBLED,
    LEVEL,
    POWER,
    RAW,
    SILENT,
    STUCK,
    SUPPLY,
    TEMPERATURE,
    TROUBLE,
)  # fmt: skip
from kerbwire.compat import const

RAISED, CLEARED = const(0), const(2)
NOTICE, WARNING = const(0), const(1)
# Codes as in kerbwire.events.
SENSOR_FAULT, LAMP_FAILURE, DAY_BURNER, CYCLING, GEAR_FAULT = const(5), const(16), const(17), const(18), const(19)
SUPPLY_LOW, SUPPLY_HIGH, RELAY_FAULT, TOO_HOT, PHOTOCELL_FAULT = const(20), const(21), const(22), const(23), const(24)

DEAD_MW = const(500)  # no driver with mains on it takes less
DARK_MW = const(3000)  # a driver in standby, its DALI supply and the node take less
FAILED_PERCENT = const(40)  # of what the level usually takes: its light source is not among it
PARTIAL_PERCENT = const(88)  # a string or a module in eight; what dirt, cold and the mains do is within 5 %
HIGH_PERCENT = const(130)
BRIGHT = const(70)  # percent of light: above it a lamp that does not follow its level cannot be told
BACK_PERCENT = const(70)  # of light that comes back
SETTLE_S = const(5)  # after a change of level, until the power is that of the new one
STALE_S = const(120)
LOW_MV, HIGH_MV = const(207000), const(253000)  # EN 50160: 230 V and a tenth
LIT_MV = const(180000)  # below, drivers may go dark, and it is the supply's fault
LOST_MV = const(100000)
SHORT_S = const(1800)  # an extinction that lasts longer is a failure
CYCLES, MANY_CYCLES = const(4), const(20)  # extinctions of a night
DIPS = const(30)  # of a night
SHORTEST_NIGHT_S = const(10800)  # a storm's dark hour is no night
HOT_C, COOL_C = const(75), const(71)
LEAST_CAP, CAP_STEP, CAP_S = const(30), const(5), const(60)  # percent: it never goes dark by heat
LONGEST_LOOK_S = const(300)  # a longer gap between two looks counts as so much
KEEP_S = const(3600)
BURN = const(2)  # of kerbnode.lamp.control: commissioning
STUCK_OFF = const(2)  # of kerbnode.lamp.presence, as is 1, stuck on
SUN = const(0)  # of kerbnode.lamp.night: clock and position decide, and not the cell
STATUS_GEAR, STATUS_LAMP = const(1), const(2)  # of QUERY STATUS
D4I_GEAR, D4I_LAMP = const(33), const(14)  # bits of kerbnode.drivers.d4i: failure, shut down; failure, open, short

(OUT, GEAR, MUTE, DEAF, PARTIAL, BURNS, CYCLES_ROW, DIM, HIGH, DIPPED, LOST, RELAY, HOT, CELL, EYE, PART) = range(16)

_NIGHTS = const(1 << 14)  # in a limit: nights, not seconds
# latch: code, severity, bit of FAULTS, raise_at, clear_at
ROWS = (
    (LAMP_FAILURE, WARNING, 1, 600, 600),
    (GEAR_FAULT, WARNING, 2, 600, 600),
    (GEAR_FAULT, WARNING, 32, 900, 300),
    (GEAR_FAULT, WARNING, 64, 900, 600),
    (LAMP_FAILURE, WARNING, 128, 3 | _NIGHTS, 2 | _NIGHTS),
    (DAY_BURNER, WARNING, 4, 1800, 600),
    (CYCLING, WARNING, 8, 2 | _NIGHTS, 3 | _NIGHTS),
    (SUPPLY_LOW, WARNING, 256, 600, 600),
    (SUPPLY_HIGH, WARNING, 512, 600, 600),
    (SUPPLY_LOW, NOTICE, 256, 3 | _NIGHTS, 2 | _NIGHTS),
    (SUPPLY_LOW, NOTICE, 256, 30, 30),
    (RELAY_FAULT, WARNING, 16, 300, 300),
    (TOO_HOT, WARNING, 1024, 900, 3600),
    (PHOTOCELL_FAULT, WARNING, 0, 15 | _NIGHTS, 1 | _NIGHTS),
    (SENSOR_FAULT, WARNING, 0, 7 | _NIGHTS, 1 | _NIGHTS),
    (SENSOR_FAULT, WARNING, 0, 3600, 600),
)
_HEAD = const(6)  # bytes of a packed judge ahead of its latches
_MOST = const(0x7FFF)


class Judge:
    """settings: supply_switched: the cabinet takes the mains away by day.

    flags: bits of FAULTS. heat_cap: percent for the control. baseline, energy: what it has learnt and counted. dirty:
    there is something to keep.
    """

    def __init__(self, settings):
        self._switched = bool(settings["supply_switched"])
        self.baseline = Baseline()
        self.energy = Energy()
        self.flags = 0
        self.heat_cap = 100
        self.dirty = False
        self._counts = [0] * len(ROWS)
        self._raised = [False] * len(ROWS)
        self._out = []
        self._parts = None
        self._last_s = None
        self._level = -1
        self._since_s = 0  # of the level
        self._night_s = None  # since when it is night
        self._gone_s = None  # since when it is dark against its level
        self._gone_low = self._low = False  # the supply was low meanwhile; is low
        self._cycles = self._dips = 0  # of tonight
        self._blind_s = 0  # of tonight: with a presence sensor that is stuck
        self._shortfall = (0, 0)  # level and tenths of a watt of the night that is over
        self._counted = 0  # what a row that is told has counted
        self._clean = True  # nothing was wrong tonight
        self._cap_s = self._kept_s = 0
        self._burns_in = False
        self._trouble = self._mute = (0, 0)  # TROUBLE and RAW of a sensor or the meter, of the dimmer

    def start(self, now_s, lost_supply=False, off_s=None):
        """After a start of the chip; the events of that. off_s: how long it had no supply, None where nobody knows."""
        self._kept_s = now_s
        if lost_supply and not self._switched:
            self._tell(LOST, True, _MOST)
        elif lost_supply and (off_s is None or off_s >= SHORTEST_NIGHT_S):
            self._night_over()
        return self._take()

    def look(self, now_s, parts, lamp):
        """Judge what is now; [(code, severity, state, evidence by channel)], the gravest first.

        now_s: monotonic. parts: kerbnode.lamp.parts.Parts. lamp: kerbnode.lamp.lamp.Lamp.
        """
        span_s = 0 if self._last_s is None else min(now_s - self._last_s, LONGEST_LOOK_S)
        self._last_s = now_s
        self._parts = parts
        level, power_mw, supply_mv = lamp.ramp.level, parts.power_mw, parts.supply_mv
        self._follow_level(level, now_s, lamp)
        measured_s = parts.power_s
        sure = power_mw >= 0 and measured_s >= self._since_s + SETTLE_S and now_s - measured_s <= STALE_S
        healthy = supply_mv < 0 or supply_mv >= LIT_MV  # what is not known is taken for good
        known_mw = self.baseline.expected_mw(level) if level else 0
        self.energy.take(now_s, level, power_mw, parts.energy_wh)
        self._follow_supply(supply_mv)
        self._follow_light(now_s, level, power_mw, known_mw, sure, healthy)
        dead = lit = out = high = None
        if sure and healthy and level:
            dead = parts.is_closed and power_mw < DEAD_MW
            # Before a level is known, no luminaire at half its light takes less than a driver in standby.
            least_mw = known_mw * FAILED_PERCENT // 100 or (DARK_MW if level >= 50 else 0)
            out = not dead and power_mw < least_mw
            high = known_mw > 0 and 100 * power_mw > HIGH_PERCENT * known_mw
            if not high and level >= BRIGHT and not parts.status:  # and no driver says its level
                high = None
            if dead or out or high:
                self._clean = False
            else:
                self.baseline.learn(level, power_mw)
        elif sure and healthy:
            lit = power_mw > max(DARK_MW, self.baseline.least_mw() * FAILED_PERCENT // 100)
        gear, status = parts.gear, parts.status
        self._tell(OUT, True if level and (status & STATUS_LAMP or gear & D4I_LAMP) else out, span_s)
        self._tell(GEAR, True if level and (status & STATUS_GEAR or gear & D4I_GEAR) else dead, span_s)
        self._judge_troubles(parts, high, span_s)
        self._tell(RELAY, None if lit is None else lit and not parts.is_closed, span_s)
        self._tell(BURNS, None if lit is None else lit and parts.is_closed, span_s)
        self._tell(DIM, None if supply_mv < 0 else LOST_MV <= supply_mv < LOW_MV, span_s)
        self._tell(HIGH, None if supply_mv < 0 else supply_mv > HIGH_MV, span_s)
        self._tell(LOST, 0 <= supply_mv < LOST_MV and not self._switched, span_s)
        self._judge_heat(now_s, parts.celsius, span_s)
        self._follow_night(now_s, lamp, span_s)
        if now_s - self._kept_s >= KEEP_S:
            self._kept_s, self.dirty = now_s, True
        return self._take()

    def pack(self):
        """What survives a restart: at most 94 bytes."""
        self.dirty = False
        data = self.energy.total_wh.to_bytes(4, "big") + bytes((min(self._cycles, 255), min(self._dips, 255)))
        for row in range(len(ROWS)):
            count = min(self._counts[row], _MOST) | (0x8000 if self._raised[row] else 0)
            data += bytes((count >> 8, count & 255))
        return data + self.baseline.pack()

    def unpack(self, data):
        """Go on from what was kept. Anything else than `pack` gives is ignored."""
        size = _HEAD + 2 * len(ROWS)
        if len(data) < size:
            return
        self.energy.total_wh = int.from_bytes(data[:4], "big")
        self._cycles, self._dips = data[4], data[5]
        for row in range(len(ROWS)):
            count = data[_HEAD + 2 * row] << 8 | data[_HEAD + 1 + 2 * row]
            self._counts[row], self._raised[row] = count & _MOST, count > _MOST
        self.baseline.unpack(data[size:])
        self._flag()

    def is_raised(self, row):
        """Whether a latch stands."""
        return self._raised[row]

    # What goes on.

    def _follow_level(self, level, now_s, lamp):
        burns_in = lamp.state == BURN
        if burns_in and not self._burns_in:  # what hangs there now is what counts
            self.baseline.forget()
            for row in (OUT, GEAR, DEAF, PARTIAL, CYCLES_ROW):
                if self._raised[row]:
                    self._tell(row, False, _MOST)
                self._counts[row] = 0
        self._burns_in = burns_in
        if level != self._level:
            self._level, self._since_s = level, now_s

    def _follow_supply(self, supply_mv):
        """Count dips as the looks see them: what is shorter than a second, a meter does not show."""
        if supply_mv >= 0:
            low = supply_mv < LOW_MV
            if low and not self._low:
                self._dips += 1
            self._low = low

    def _follow_light(self, now_s, level, power_mw, known_mw, sure, healthy):
        """Count extinctions: light that goes, and comes back by itself, at a level that is known and with mains."""
        if not level or not known_mw or power_mw < 0:
            self._gone_s = None
        elif self._gone_s is None:
            if sure and 100 * power_mw < FAILED_PERCENT * known_mw:
                self._gone_s, self._gone_low = now_s, not healthy
        elif not healthy:
            self._gone_low = True
        elif 100 * power_mw > BACK_PERCENT * known_mw:
            if not self._gone_low and now_s - self._gone_s < SHORT_S:
                self._cycles += 1
            self._gone_s = None

    def _judge_troubles(self, parts, high, span_s):
        """What the parts say of themselves, and a light that does not follow its level."""
        mute = deaf = part = False
        for trouble in parts.troubles:
            at, reason = trouble[0] & 0xF0, trouble[0] & 15
            if at == AT_DIMMER:
                self._mute = trouble
                mute = mute or reason in (SILENT, GARBLED)
                deaf = deaf or reason == STUCK
            elif at in (AT_PRESENCE, AT_LIGHT, AT_METER):
                if not part:
                    self._trouble = trouble
                part = True
        self._tell(MUTE, mute, span_s)
        self._tell(DEAF, True if deaf else high, span_s)
        self._tell(PART, part, span_s)

    def _judge_heat(self, now_s, celsius, span_s):
        if celsius < -100:  # nobody says
            self.heat_cap = 100
            return
        if now_s - self._cap_s >= CAP_S:
            self._cap_s = now_s
            if celsius >= HOT_C:
                self.heat_cap = max(LEAST_CAP, self.heat_cap - CAP_STEP)
            elif celsius <= COOL_C:
                self.heat_cap = min(100, self.heat_cap + CAP_STEP)
        # A light that is kept down to keep it cool is neither.
        self._tell(HOT, True if celsius >= HOT_C else None if self.heat_cap < 100 else False, span_s)

    def _follow_night(self, now_s, lamp, span_s):
        if lamp.night.is_night:
            if self._night_s is None:
                self._night_s = now_s
            if lamp.presence.verdict in (1, STUCK_OFF):
                self._blind_s += span_s
            if self._cycles >= MANY_CYCLES and not self._raised[CYCLES_ROW]:
                self._counted = self._cycles
                self._tell(CYCLES_ROW, True, 2)
        elif self._night_s is not None:
            length_s, self._night_s = now_s - self._night_s, None
            if length_s >= SHORTEST_NIGHT_S:
                self._tell(EYE, 2 * self._blind_s > length_s, 7 if lamp.presence.verdict == STUCK_OFF else 1)
                self._tell(CELL, lamp.night.faults > 0, 1 if lamp.night.source == SUN or lamp.night.doubts else 5)
                self._night_over()

    def _night_over(self):
        share, level, tenths = self.baseline.tonight()
        self._shortfall = level, tenths
        if self._raised[OUT] or self._raised[GEAR]:
            share = 100  # told already, by a row that says more
        self._tell(PARTIAL, share < PARTIAL_PERCENT if share else None, 1)
        self._counted = self._cycles
        self._tell(CYCLES_ROW, self._cycles >= CYCLES, 1)
        self._counted = self._dips
        self._tell(DIPPED, self._dips >= DIPS, 1)
        self.baseline.night_over(self._clean and not self._counts[PARTIAL] and not self._raised[PARTIAL])
        self._cycles = self._dips = self._blind_s = 0
        self._clean, self.dirty = True, True

    # Latches.

    def _tell(self, row, yes, step):
        """yes: True, False, or None for nothing. step: seconds or nights; _MOST: at once."""
        if yes is None:
            return
        raised = self._raised[row]
        if bool(yes) == raised:
            self._counts[row] = 0
            return
        code, severity, _, raise_at, clear_at = ROWS[row]
        limit = clear_at if raised else raise_at
        count = self._counts[row]
        # Of two looks that say the same, the time between them counts; a night counts by itself.
        counts = count or limit > _NIGHTS or step == _MOST
        count = min(count + step, _MOST) if counts else 1
        if count >= limit & ~_NIGHTS:
            count = 0
            self._raised[row] = not raised
            self._flag()
            self.dirty = True
            if not raised:
                self._out.append((row, code, severity, RAISED, self._counted))
            elif not self._stands(code):
                self._out.append((row, code, severity, CLEARED, self._counted))
        self._counts[row] = count

    def _stands(self, code):
        """Whether another row keeps this code raised."""
        return any(ROWS[row][0] == code and self._raised[row] for row in range(len(ROWS)))

    def _flag(self):
        self.flags = 0
        for row in range(len(ROWS)):
            if self._raised[row]:
                self.flags |= ROWS[row][2]

    def _take(self):
        """The events of this look, the gravest first."""
        if not self._out:
            return []
        out, self._out = self._out, []
        return sorted([self._event(*told) for told in out], key=lambda event: -event[1])

    def _event(self, row, code, severity, state, counted):
        """An event, with what was measured."""
        evidence = {FAULTS: self.flags}
        if self._parts is None:  # nothing is measured yet: it had no mains
            evidence[SUPPLY] = 0
            return code, severity, state, evidence
        values = self._parts.values()
        evidence[LEVEL], evidence[POWER], evidence[SUPPLY] = self._level, values[POWER], values[SUPPLY]
        if row == PARTIAL:
            evidence[LEVEL], evidence[POWER] = self._shortfall
        elif row == HOT:
            evidence[TEMPERATURE] = min(2 * self._parts.celsius, CHANNELS[TEMPERATURE].high)
        elif row in (CYCLES_ROW, DIPPED):
            evidence[RAW] = counted
        elif row == EYE:
            evidence[TROUBLE], evidence[RAW] = AT_PRESENCE | STUCK, 0
        elif row in (PART, MUTE) or (row == DEAF and self._parts.troubles):
            evidence[TROUBLE], evidence[RAW] = self._trouble if row == PART else self._mute
        return code, severity, state, evidence
