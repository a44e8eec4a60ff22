"""A lamp's control whole: commands and their ends, burn, age and heat, exemption, traffic, waves; every state has an exit."""

from kerbnode.lamp import control
from kerbnode.lamp.control import BLIND, BURN, DARK, DAY, EMERGENCY, HOLD, IDLE, OPERATOR, PRESENT, STATES, WAVE, Facts
from kerbnode.lamp.lamp import Lamp
from kerbwire import commands

NOON = 1772366400  # 2026-03-01 12:00 UTC
MIDNIGHT = NOON + 12 * 3600
FLOOR = 20
SETTINGS = {
    "dusk_lux": 70, "dawn_lux": 35, "latitude": 514500, "longitude": -25900, "dusk_sun": -20, "dawn_sun": -30,
    "supply_switched": 0, "hold_ms": 30000, "ramp_up_ms": 500, "ramp_down_ms": 8000, "floor": FLOOR, "high": 100,
    "low": FLOOR, "exempt": 0, "middle": 75, "some_percent": 20, "busy_percent": 48,
}  # fmt: skip
ALWAYS_DARK = [[127, 101, 1231, 0, 1440, 0, 0]]
SIXTY = [[127, 101, 1231, 0, 1440, 60, FLOOR]]


class Night:
    """A lamp at midnight, or at noon; `after` goes on some seconds and gives the target."""

    def __init__(self, rules=None, has_sensor=True, utc_s=MIDNIGHT, **changes):
        settings = dict(SETTINGS)
        settings.update(changes)
        self.lamp = Lamp(settings, rules or [], [0], has_sensor)
        self.now_s = 0
        self.utc_s = utc_s
        self.active = False
        self.after(0)

    def after(self, seconds):
        end_s = self.now_s + seconds
        while True:
            if self.now_s % 60 == 0:
                self.lamp.judge(self.now_s, None if self.utc_s is None else self.utc_s + self.now_s)
            self.lamp.tick(self.active, self.now_s * 1000)
            if self.now_s >= end_s:
                return self.lamp.target
            self.now_s += 1


def test_a_command_ends_at_its_expiry_and_the_table_goes_on():
    night = Night()
    assert night.lamp.command(commands.OPERATOR, 1, 11, 70, 100)
    assert (night.after(1), night.lamp.state) == (70, OPERATOR)
    assert (night.after(98), night.lamp.state) == (70, OPERATOR)  # second 99
    assert (night.after(1), night.lamp.state) == (FLOOR, IDLE)


def test_a_command_fades_to_its_level_in_the_time_that_it_says_and_what_follows_does_not():
    night = Night()
    night.after(60)
    lamp = night.lamp
    lamp.command(commands.OPERATOR, 1, 11, 100, 1000, 300)
    shown = [(night.after(60), lamp.ramp.level, lamp.ramp.is_slow)[1:] for _ in range(5)]
    assert shown == [(36, True), (52, True), (68, True), (84, True), (100, True)], shown
    lamp.command(commands.OPERATOR, 2, 12, 20, 1000)
    assert night.after(1) == 20 and not lamp.ramp.is_slow
    assert lamp.ramp.level == 88  # eight seconds from full to nothing
    night.after(10)
    lamp.command(commands.OPERATOR, 3, 13, 60, 1000, 4)
    night.after(1)
    lamp.command(commands.EMERGENCY, 4, 14, 100, 1000)  # it does not wait for the end of a fade
    night.after(1)
    assert lamp.ramp.toward(100, 1000 * night.now_s + 500) == 100


def test_what_asks_for_the_level_that_is_faded_to_gets_it_at_once():
    for asks in ("emergency", "somebody", "brighten", "its end"):
        night = Night()
        night.after(60)
        lamp = night.lamp
        priority = commands.SCHEDULE if asks in ("somebody", "brighten") else commands.OPERATOR
        lamp.command(priority, 1, 11, 100, night.now_s + 3600, 3600)
        night.after(30)
        assert lamp.ramp.level <= 22, asks
        if asks == "emergency":
            lamp.command(commands.EMERGENCY, 2, 12, 100, night.now_s + 1000)
        elif asks == "somebody":
            night.active = True
        elif asks == "brighten":
            lamp.raised.add(100, 600, night.now_s)
        else:
            lamp.command(commands.OPERATOR, 2, 12, 100, night.now_s + 60)
        night.after(2)
        assert lamp.ramp.level == 100, (asks, lamp.ramp.level)


def test_a_fade_that_is_commanded_by_day_is_not_the_dusk_s():
    night = Night()
    night.lamp.judge(0, None)
    night.lamp.command(commands.SCHEDULE, 1, 11, 80, 60, 3600)
    night.after(1)
    night.lamp.ramp.jump(0)
    assert night.lamp.ramp.ends_ms() <= 1000 * night.now_s + 1000


def test_the_higher_class_holds_and_when_it_ends_the_lower_one_does():
    night = Night()
    night.lamp.command(commands.SCHEDULE, 1, 1, 45, 300)
    assert (night.after(1), night.lamp.state) == (45, IDLE)
    night.lamp.command(commands.OPERATOR, 2, 2, 0, 200)
    assert (night.after(1), night.lamp.state) == (0, OPERATOR)  # a person's word, until its end
    night.lamp.command(commands.EMERGENCY, 3, 3, 100, 100)
    assert (night.after(1), night.lamp.state) == (100, EMERGENCY)
    night.lamp.command(commands.OPERATOR, 4, 4, 30, 200)
    assert night.after(1) == 100
    assert (night.after(100), night.lamp.state) == (30, OPERATOR)
    assert night.after(100) == 45
    assert night.after(100) == FLOOR


def test_of_one_class_the_newest_holds_whatever_its_level_and_an_older_one_that_comes_late_does_not():
    night = Night()
    assert night.lamp.command(commands.OPERATOR, 5, 50, 80, 1000)
    assert night.lamp.command(commands.OPERATOR, 7, 70, 40, 1000)
    assert not night.lamp.command(commands.OPERATOR, 6, 60, 100, 1000)
    assert night.after(1) == 40


def test_emergency_and_operator_light_by_day_and_it_is_day_after_them():
    for priority in (commands.EMERGENCY, commands.OPERATOR):
        noon = Night(utc_s=NOON)
        assert (noon.lamp.target, noon.lamp.state) == (0, DAY)
        noon.lamp.command(priority, 1, 1, 100, 600)
        assert noon.after(1) == 100
        assert noon.after(600) == 0
    noon = Night(utc_s=NOON)
    noon.lamp.command(commands.SCHEDULE, 1, 1, 100, 600)
    assert noon.after(1) == 0  # a schedule lights no day


def test_a_commissioning_burn_is_full_by_day_and_ends():
    noon = Night(utc_s=NOON)
    noon.lamp.burn_until_s = 500
    assert (noon.after(1), noon.lamp.state) == (100, BURN)
    assert (noon.after(498), noon.after(1)) == (100, 0)


def test_constant_light_output_scales_and_heat_caps_and_neither_puts_out():
    night = Night()
    night.active = True
    assert night.after(1) == 100
    night.lamp.lumen_percent = 82
    assert night.after(1) == 82
    night.lamp.heat_cap = 50
    assert night.after(1) == 50
    night.lamp.heat_cap = 0
    assert night.after(1) == FLOOR
    night.lamp.heat_cap = 100
    night.active = False
    assert night.after(60) == FLOOR  # the floor is not scaled below itself


def test_dark_by_policy_is_for_lamps_that_take_part_while_they_know_the_time():
    assert (Night(ALWAYS_DARK).lamp.target, Night(ALWAYS_DARK).lamp.state) == (0, DARK)
    exempt = Night(ALWAYS_DARK, exempt=1)
    assert (exempt.lamp.target, exempt.lamp.state) == (FLOOR, IDLE)
    exempt.active = True
    assert exempt.after(1) == 100
    lost = Night(ALWAYS_DARK)
    lost.utc_s = None
    assert lost.after(60) == FLOOR
    called = Night(ALWAYS_DARK)
    called.lamp.command(commands.SCHEDULE, 1, 1, 60, 100)
    assert (called.after(1), called.after(100)) == (60, 0)


def test_dark_by_policy_is_not_lit_by_traffic_or_waves_but_by_an_emergency():
    night = Night(ALWAYS_DARK)
    night.active = True
    night.lamp.light_up(100, 600, 0)
    assert night.after(1200) == 0
    night.lamp.raised.add(100, 600, night.now_s)
    assert night.after(1) == 100


def test_more_people_than_the_calendar_expects_raise_its_level():
    night = Night(SIXTY)
    night.active = True
    assert night.after(1) == 60
    assert night.after(4 * 60) == 75
    assert night.after(10 * 60) == 100
    night.active = False
    night.after(60 * 60)
    night.active = True
    assert night.after(1) == 60


def test_a_wave_that_is_higher_than_the_own_level_is_followed():
    night = Night(SIXTY)
    night.lamp.light_up(100, 40, 0)
    assert (night.after(1), night.lamp.state) == (100, WAVE)
    night.active = True
    assert (night.after(1), night.lamp.state) == (100, PRESENT)
    assert night.after(60) == 60
    night.lamp.light_up(30, 40, night.now_s * 1000)
    assert night.after(1) == 60


def test_a_sensor_that_is_not_believed_is_light_by_night_and_dark_by_day():
    night = Night()
    night.active = None
    assert (night.after(1), night.lamp.state) == (100, BLIND)
    night.active = False
    assert (night.after(1), night.lamp.state) == (FLOOR, IDLE)
    noon = Night(utc_s=NOON)
    noon.active = None
    assert noon.after(1) == 0


CONDITIONS = (  # what the table looks at, each off and on
    ("emergency", (None, 60)),
    ("operator", (None, 60)),
    ("burning", (False, True)),
    ("is_night", (False, True)),
    ("knows_time", (False, True)),
    ("high", (0, 100)),
    ("low", (0, 20)),
    ("exempt", (False, True)),
    ("scheduled", (None, 40)),
    ("has_sensor", (False, True)),
    ("sensor_works", (False, True)),
    ("is_present", (False, True)),
    ("holds", (False, True)),
    ("wave", (None, 60)),
)
# One change of a fact leads from the first state to the second; these are the ends that LAMP.md names.
EXITS = (
    (EMERGENCY, "emergency", OPERATOR), (EMERGENCY, "emergency", IDLE), (OPERATOR, "operator", BURN),
    (OPERATOR, "operator", IDLE), (BURN, "burning", DAY), (BURN, "burning", IDLE), (DAY, "is_night", IDLE),
    (DAY, "is_night", DARK), (DARK, "high", IDLE), (DARK, "knows_time", IDLE), (DARK, "knows_time", BLIND),
    (DARK, "exempt", IDLE), (DARK, "scheduled", IDLE), (BLIND, "sensor_works", IDLE), (BLIND, "sensor_works", PRESENT),
    (PRESENT, "is_present", HOLD), (HOLD, "holds", IDLE), (HOLD, "holds", WAVE), (WAVE, "wave", IDLE),
    (IDLE, "is_present", PRESENT), (IDLE, "wave", WAVE), (IDLE, "is_night", DAY), (IDLE, "sensor_works", BLIND),
    (IDLE, "emergency", EMERGENCY), (IDLE, "operator", OPERATOR), (IDLE, "burning", BURN),
)  # fmt: skip


def test_every_state_is_reached_and_left_by_single_changes_and_none_is_a_trap():
    made = Facts()
    made.by_sun = True
    states = []
    for code in range(1 << len(CONDITIONS)):
        for place, (name, values) in enumerate(CONDITIONS):
            setattr(made, name, values[code >> place & 1])
        states.append(control.decide(made, FLOOR)[0])
    moves = set()
    stuck = 0
    for code, state in enumerate(states):
        leaves = False
        for place, (name, _) in enumerate(CONDITIONS):
            other = states[code ^ 1 << place]
            if other != state:
                leaves = True
                moves.add((state, name, other))
        stuck += not leaves
    assert set(states) == set(range(len(STATES)))
    assert stuck == 0  # from every situation one change leads to another state
    for row in EXITS:
        assert row in moves, (STATES[row[0]], row[1], STATES[row[2]])
    reached, edge = {IDLE}, [IDLE]
    while edge:
        state = edge.pop()
        for first, _, second in moves:
            if first == state and second not in reached:
                reached.add(second)
                edge.append(second)
    assert reached == set(range(len(STATES)))
