"""A lamp whose parts can fail, as its judge sees it, and the check of one row of FAULTS.md."""

from kerbnode.lamp import control
from kerbnode.lamp.faults import CLEARED, RAISED, ROWS, Judge
from kerbnode.lamp.meter import NIGHTS
from kerbwire.channels import ENERGY, FAULTS, NOT_FITTED, POWER, SUPPLY
from kerbwire.events import Event

HOUR_S = 3600
WATTS = 60


class Thing:
    def __init__(self, **values):
        for name in values:
            setattr(self, name, values[name])


class Lamp:
    """A luminaire, its parts and its control, as Judge.look sees them; run() lets time pass."""

    def __init__(self, switched=False):
        self.judge = Judge({"supply_switched": int(switched)})
        self.now_s = 1000
        self.level = 0
        self.share = 100  # percent of its light sources that work
        self.dead = False
        self.closed = True
        self.power_mw = None  # a value that a test puts there
        self.supply_mv = 231000
        self.celsius = NOT_FITTED
        self.gear = self.status = 0
        self.troubles = []
        self.energy_wh = NOT_FITTED
        self.lamp = Thing(
            ramp=Thing(level=0),
            state=control.DAY,
            night=Thing(is_night=False, faults=0, source=2, doubts=False),
            presence=Thing(verdict=0),
        )
        self.told = []

    @property
    def is_closed(self):
        return self.closed

    @property
    def power_s(self):
        return self.now_s

    def watts(self):
        if self.power_mw is not None:
            return self.power_mw
        if self.dead or not self.closed or self.supply_mv < 100000:
            return 0
        light = self.level * self.share
        return 500 + (WATTS * 50 + WATTS * 95 * light // 1000 if light else 0)

    def look(self):
        self.lamp.ramp.level = self.level
        here = Thing(
            power_mw=self.watts(), power_s=self.now_s, supply_mv=self.supply_mv, energy_wh=self.energy_wh,
            celsius=self.celsius, gear=self.gear, status=self.status, troubles=self.troubles, is_closed=self.closed,
            values=self.values,
        )  # fmt: skip
        found = self.judge.look(self.now_s, here, self.lamp)
        self.told += found
        return found

    def values(self):
        return {POWER: (self.watts() + 50) // 100, ENERGY: self.energy_wh, SUPPLY: (self.supply_mv + 500) // 1000}

    def run(self, seconds, step_s=10):
        """Seconds until the first event, or None; all of them pass."""
        first = None
        start_s = self.now_s
        while self.now_s < start_s + seconds:
            if self.look() and first is None:
                first = self.now_s - start_s
            self.now_s += step_s
        return first

    def dusk(self):
        self.lamp.night.is_night, self.lamp.state, self.level = True, control.IDLE, 30

    def dawn(self):
        self.lamp.night.is_night, self.lamp.state, self.level = False, control.DAY, 0

    def night(self, hours=4, step_s=240):
        self.dusk()
        for level in (30, 100) * (hours // 2):
            self.level = level
            self.run(HOUR_S, step_s)
        self.dawn()
        self.run(600, step_s)

    def learnt(self):
        for _ in range(NIGHTS):
            self.night()
        assert self.told == []
        return self

    def lit(self, level=100):
        self.dusk()
        self.level = level
        self.run(600)
        return self

    def codes(self):
        return [(event[0], event[3][FAULTS], event[2]) for event in self.told]


def check(lamp, row, within_s, mend, clear_s=None, step_s=10):
    """A row is raised within its time, as an event that the wire takes, and cleared within its time."""
    del lamp.told[:]
    code, severity, bit, _, clear_at = ROWS[row]
    lamp.run(within_s, step_s)
    found = [event for event in lamp.told if event[0] == code]
    assert found and found[0][2] == RAISED and found[0][1] == severity, (row, lamp.told)
    assert lamp.judge.is_raised(row)
    assert lamp.judge.flags & bit == bit
    evidence = found[0][3]
    Event(1, 2, code, severity, RAISED, evidence).pack()
    mend()
    del lamp.told[:]
    lamp.run(clear_s or 2 * clear_at, step_s)
    assert not lamp.judge.is_raised(row) and [event[2] for event in lamp.told if event[0] == code] == [CLEARED]
    assert lamp.judge.flags & bit == 0
    return evidence
