"""A lamp's loop over real parts: what it polls, and when."""

from case_dali import BANK202, BANK205, BANK206, Gear

from kerbnode.lamp.loop import Loop
from kerbnode.lamp.parts import Parts


class Clock:
    """Virtual: it goes on by what is waited for."""

    def __init__(self):
        self.now_ms = 0

    def uptime_ms(self):
        return self.now_ms

    def local_ms(self):
        return self.now_ms

    def utc(self):
        return None


class Hal:
    """Of a board with a DALI driver and nothing else."""

    watchdog_ms = 8000
    ticks_ms = ticks_add = ticks_diff = None

    def __init__(self, gear):
        self._gear = gear

    def dali(self, facts):
        return self._gear

    def chip_celsius(self):
        return 20

    def feed(self):
        """Nothing bites here."""


class Bell:
    def __init__(self, clock):
        self._clock = clock

    def ring(self):
        """Nobody rings."""

    def wait(self, ms):
        self._clock.now_ms += ms
        return False, False


class Cell:
    is_dark = None


class Ramp:
    level = target = 100


class Lamp:
    """A control that has nothing to do."""

    cell, ramp = Cell(), Ramp()
    cause = 0

    def sense(self, lux, now_s):
        """No cell is fitted."""

    def judge(self, now_s, utc_s):
        """Night for ever."""

    def tick(self, active, now_ms):
        return 100

    def next_ms(self, now_ms):
        return now_ms + 60000


class Changes:
    level = 100
    waiting = ()

    def show(self, level, now_ms):
        """Not of interest here."""

    def settle(self, level, cause, now_ms):
        """Not of interest here."""


def run(look_s, seconds):
    gear, clock = Gear({202: BANK202, 205: BANK205, 206: BANK206}), Clock()
    hal = Hal(gear)
    parts = Parts(hal, {"dimmer": {"driver": "dali"}, "meter": {"driver": "d4i"}})
    loop = Loop(hal, clock, parts, Lamp(), Changes(), look_s)
    loop.listen(Bell(clock))
    loop.sleep_ms(1000 * seconds)
    return gear, parts


def test_memory_banks_are_read_however_seldom_the_lamp_looks():
    for look_s in (2, 10, 60):
        _, parts = run(look_s, 1000)
        assert parts.power_mw > 0 and parts.energy_wh > 0 and parts.supply_mv > 0, look_s
    assert parts.troubles == []


class Flood:
    """A link on which there is always one more frame for this node."""

    speaks = True
    waiting = 1

    def __init__(self, clock):
        self._clock = clock

    def turn(self):
        self._clock.now_ms += 20


def test_frames_that_never_end_do_not_hold_up_the_light():
    clock = Clock()
    fed = []
    hal = Hal(Gear({202: BANK202, 205: BANK205, 206: BANK206}))
    hal.feed = lambda: fed.append(clock.now_ms)
    loop = Loop(hal, clock, Parts(hal, {"dimmer": {"driver": "dali"}}), Lamp(), Changes(), 2)
    loop.listen(Bell(clock))
    loop.link = Flood(clock)
    for _ in range(1000):
        loop.idle(1000)
        loop.rest(1000)
    assert clock.now_ms >= 40000
    assert max(fed[at + 1] - fed[at] for at in range(len(fed) - 1)) < hal.watchdog_ms


def test_between_two_readings_the_bus_is_quiet():
    gear, _ = run(60, 1000)
    busy = len(gear.frames)
    gear, _ = run(2, 1000)
    assert busy < len(gear.frames) / 2
