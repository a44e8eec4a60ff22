"""A lamp's control: from what it senses and is told to the level it shows. Pure: time and readings are handed in.

sense      once a second: the light at the photocell
judge      once a minute, on whole minutes: night or day, and the levels of the calendar
tick       ten times a second: presence, and from all of it the level to show
light_up   for a neighbour's wave; raised.add for a group's brighten; command for a level with an end
next_ms    when the next tick can change anything, if nothing new is sensed or heard
"""

from kerbnode.lamp import control, schedule
from kerbnode.lamp.control import Facts, Ramp
from kerbnode.lamp.night import SUN, Night
from kerbnode.lamp.photocell import Photocell
from kerbnode.lamp.presence import WORKS, Presence
from kerbwire.channels import BY_COMMAND, BY_SCHEDULE
from kerbwire.commands import EMERGENCY, OPERATOR, SCHEDULE, Holders
from kerbwire.compat import const
from kerbwire.group import Raised

NO_HEAT_CAP = const(100)
MINUTE_S = const(60)
TICK_MS = const(100)
TRAFFIC_MINUTES = const(15)
# State and cause in which a command's level is shown, by its class.
_SHOWS = {
    EMERGENCY: (control.EMERGENCY, BY_COMMAND),
    OPERATOR: (control.OPERATOR, BY_COMMAND),
    SCHEDULE: (control.IDLE, BY_SCHEDULE),
}


class Lamp:
    """settings: by name, of SETTINGS of a lamp. rules and zone: kerbnode.lamp.schedule. has_sensor: of presence."""

    def __init__(self, settings, rules, zone, has_sensor):
        self._settings = settings
        self._rules = rules
        self._zone = zone
        self.cell = Photocell(settings["dusk_lux"], settings["dawn_lux"])
        self.night = Night(
            self.cell,
            settings["latitude"],
            settings["longitude"],
            settings["dusk_sun"],
            settings["dawn_sun"],
            bool(settings["supply_switched"]),
        )
        self.presence = Presence(settings["hold_ms"])
        self.raised = Raised()
        self.holders = Holders()
        self.ramp = Ramp(settings["ramp_up_ms"], settings["ramp_down_ms"])
        self.heat_cap = NO_HEAT_CAP
        self.lumen_percent = 100
        self.state = control.IDLE
        self.cause = 0
        self.target = 0  # percent, before the ramp
        self.burn_until_s = 0
        self._levels = [0, 0, 0]  # of the command that holds each class
        self._fade = None  # (class, ms) of the command that came just now
        self._fading = None  # whose level is faded to: state, cause, and what was raised then
        self._wave = None  # [level, until ms]
        self._busy = 0  # share of time with somebody there, in 1 / 1000, over about TRAFFIC_MINUTES
        self._facts = Facts()
        self._facts.has_sensor = has_sensor

    @property
    def high(self):
        """Percent while somebody is there: of the calendar, and of the traffic. What a wave asks of neighbours."""
        return self._facts.high

    def sense(self, lux, now_s):
        """lux: at the photocell, or a special value. now_s: monotonic."""
        self.cell.sample(lux, self.ramp.level, now_s)

    def judge(self, now_s, utc_s):
        """now_s: monotonic. utc_s: None while the clock is unset."""
        facts, settings = self._facts, self._settings
        was_night = facts.is_night
        facts.is_night = self.night.decide(now_s, utc_s)
        facts.by_sun = self.night.source == SUN
        # What is dark by the calendar is so by a clock that a dusk has borne out, where a cell could do so.
        facts.knows_time = utc_s is not None and not (self.night.doubts and self.cell.is_dark is not None)
        facts.exempt = bool(settings["exempt"])
        facts.high, facts.low = settings["high"], settings["low"]
        if utc_s is not None:
            facts.high, facts.low = schedule.levels(self._rules, self._zone, utc_s, facts.high, facts.low)
            if facts.exempt and not facts.high and not facts.low:
                facts.high, facts.low = settings["high"], settings["low"]
        if was_night and not facts.is_night:
            self.presence.night_over()
        self._follow_traffic(facts)

    def tick(self, active, now_ms):
        """The level to show now. active: what the presence sensor says, None where it says nothing."""
        facts, presence, floor = self._facts, self.presence, self._settings["floor"]
        if facts.has_sensor:
            presence.tick(active, now_ms)
        facts.sensor_works = presence.verdict == WORKS
        facts.is_present = presence.is_present
        facts.holds = presence.holds(now_ms)
        if self._wave is not None and now_ms >= self._wave[1]:
            self._wave = None
        facts.wave = None if self._wave is None else self._wave[0]
        now_s = now_ms // 1000
        facts.emergency = self._commanded(EMERGENCY, now_s)
        facts.operator = self._commanded(OPERATOR, now_s)
        facts.scheduled = self._commanded(SCHEDULE, now_s)
        facts.burning = now_s < self.burn_until_s
        facts.raised = self.raised.level(0, now_s) or None
        self.state, level, self.cause = control.decide(facts, floor)
        self.target = control.shown(level, floor, self.lumen_percent, self.heat_cap)
        fade, self._fade = self._fade, None
        ramp = self.ramp
        if self.state == control.DAY and not self.target:
            return ramp.jump(0)
        decides = (self.state, self.cause, facts.raised)
        if fade and _SHOWS[fade[0]] == decides[:2]:
            self._fading = decides
            return ramp.begin(self.target, now_ms, fade[1])
        if ramp.fade_ms and decides != self._fading:  # what else asks for light asks for it at once
            return ramp.begin(self.target, now_ms)
        return ramp.toward(self.target, now_ms)

    def next_ms(self, now_ms):
        """When something changes by itself: the ramp, the end of a hold or of a wave; at the latest in a minute.

        While a command, a burn or a group message holds, that is every second.
        """
        facts = self._facts
        for held in (facts.emergency, facts.operator, facts.scheduled, facts.raised):
            if held is not None:
                return now_ms + 1000
        if facts.burning:
            return now_ms + 1000
        soonest = now_ms + 1000 * MINUTE_S
        if self.ramp.level != self.target:
            soonest = min(soonest, self.ramp.ends_ms())
        if self._wave is not None:
            soonest = min(soonest, self._wave[1])
        ends_ms = self.presence.ends_ms()
        if ends_ms is not None and ends_ms > now_ms:
            soonest = min(soonest, ends_ms)
        return soonest

    def light_up(self, level, lifetime_s, now_ms):
        """A neighbour's wave asks for at least this level for so long."""
        until_ms = now_ms + 1000 * lifetime_s
        if self._wave is not None:
            level, until_ms = max(level, self._wave[0]), max(until_ms, self._wave[1])
        self._wave = [level, until_ms]

    def command(self, priority, order, ident, level, until_s, fade_s=0):
        """A level that holds until a monotonic second, and is come to over fade_s, where the lamp shows it at once.
        False: superseded by a newer command of its class."""
        if not self.holders.place(priority, order, ident, until_s):
            return False
        self._levels[priority] = level
        self._fade = (priority, 1000 * fade_s)
        return True

    def _follow_traffic(self, facts):
        """More people than the calendar expects raise its level, up to that of the settings. Called once a minute."""
        settings = self._settings
        self._busy += (self.presence.take_ms() // MINUTE_S - self._busy) // TRAFFIC_MINUTES
        wanted = 0
        if self._busy >= 10 * settings["busy_percent"]:
            wanted = settings["high"]
        elif self._busy >= 10 * settings["some_percent"]:
            wanted = settings["middle"]
        if facts.high and facts.high < wanted:  # what is dark by policy stays so
            facts.high = wanted

    def _commanded(self, priority, now_s):
        return None if self.holders.of(priority, now_s) is None else self._levels[priority]
