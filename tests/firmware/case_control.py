"""The state table of a lamp: each row walked, and no way to dark by night or to light by day that is not a policy."""

from kerbnode.lamp import control
from kerbnode.lamp.control import (
    BLIND,
    BURN,
    DARK,
    DAY,
    EMERGENCY,
    HOLD,
    IDLE,
    OPERATOR,
    PRESENT,
    STATES,
    WAVE,
    Facts,
    Ramp,
    decide,
    shown,
)  # fmt: skip
from kerbwire.channels import BY_COMMAND, BY_FAULT, BY_PHOTOCELL, BY_PRESENCE, BY_SCHEDULE, BY_WAVE, HOLD_OVER

FLOOR = 20


def facts(**given):
    made = Facts()
    made.has_sensor = made.sensor_works = made.knows_time = made.by_sun = True
    made.high, made.low = 100, FLOOR
    for name in given:
        setattr(made, name, given[name])
    return made


WALK = (
    # state, level, cause, what leads to it
    (EMERGENCY, 100, BY_COMMAND, {"emergency": 100, "operator": 30}),
    (EMERGENCY, 100, BY_COMMAND, {"emergency": 100, "is_night": False}),
    (OPERATOR, 30, BY_COMMAND, {"operator": 30, "burning": True}),
    (OPERATOR, 0, BY_COMMAND, {"operator": 0}),
    (BURN, 100, BY_COMMAND, {"burning": True, "is_night": False}),
    (DAY, 0, BY_SCHEDULE, {"is_night": False, "is_present": True, "wave": 100, "scheduled": 50}),
    (DAY, 0, BY_PHOTOCELL, {"is_night": False, "by_sun": False}),
    (DARK, 0, BY_SCHEDULE, {"high": 0, "low": 0, "is_present": True}),
    (BLIND, 100, BY_FAULT, {"sensor_works": False}),
    (PRESENT, 100, BY_PRESENCE, {"is_present": True, "holds": True}),
    (HOLD, 100, HOLD_OVER, {"holds": True, "wave": 60}),
    (WAVE, 60, BY_WAVE, {"wave": 60}),
    (WAVE, 70, BY_WAVE, {"wave": 60, "low": 70}),
    (IDLE, FLOOR, BY_SCHEDULE, {}),
    (IDLE, 45, BY_SCHEDULE, {"scheduled": 45}),
    (IDLE, FLOOR, BY_SCHEDULE, {"scheduled": 0}),
    (IDLE, FLOOR, BY_SCHEDULE, {"has_sensor": False, "sensor_works": False}),
)


def test_every_row_is_walked():
    reached = set()
    for state, level, cause, given in WALK:
        assert decide(facts(**given), FLOOR) == (state, level, cause), (STATES[state], given)
        reached.add(state)
    assert reached == set(range(len(STATES))) == {row[0] for row in control.ROWS}


def test_dark_by_policy_takes_a_clock_and_no_exemption():
    dark = {"high": 0, "low": 0}
    assert decide(facts(**dark), FLOOR)[0] == DARK
    assert decide(facts(knows_time=False, **dark), FLOOR)[1] >= FLOOR
    assert decide(facts(exempt=True, **dark), FLOOR)[1] >= FLOOR


def test_group_messages_raise_and_never_lower():
    assert decide(facts(raised=80), FLOOR) == (IDLE, 80, BY_WAVE)
    assert decide(facts(raised=10), FLOOR) == (IDLE, FLOOR, BY_SCHEDULE)
    assert decide(facts(raised=100, high=0, low=0), FLOOR) == (DARK, 100, BY_WAVE)
    assert decide(facts(raised=100, is_night=False), FLOOR)[1] == 0  # the sun is up
    assert decide(facts(raised=100, is_night=False, by_sun=False), FLOOR)[1] == 100


def test_a_lit_lamp_stays_lit_through_age_and_heat():
    assert shown(0, FLOOR, 80, 100) == 0
    assert shown(100, FLOOR, 80, 100) == 80
    assert shown(100, FLOOR, 100, 50) == 50
    assert shown(20, FLOOR, 80, 10) == FLOOR
    assert shown(5, FLOOR, 100, 100) == 5  # what a person asked for


def test_ramps_rise_fast_and_fall_slowly():
    ramp = Ramp(500, 8000)
    assert ramp.level == 100  # as a driver shines until it is told
    ramp.jump(0)
    assert [ramp.toward(100, now_ms) for now_ms in (0, 100, 250, 500, 600)] == [0, 20, 50, 100, 100]
    assert [ramp.toward(20, now_ms) for now_ms in (1000, 1800, 4000, 7400, 9000)] == [100, 90, 63, 20, 20]
    assert ramp.toward(100, 9100) == 20
    assert ramp.toward(100, 9200) == 40
    assert [ramp.toward(20, now_ms) for now_ms in (9300, 10100, 10900)] == [60, 50, 40]  # turned round half way


def test_no_state_is_dark_at_night_but_by_a_person_or_a_policy():
    """Every combination of what can be known, seen, told or broken: the whole table, exhaustively."""
    levels, few = (None, 0, 60), (0, 100)
    count = dark = lit = 0
    made = Facts()
    for bits in range(1 << 8):
        made.is_night, made.by_sun, made.knows_time, made.exempt = [bool(bits >> i & 1) for i in range(4)]
        made.has_sensor, made.sensor_works, made.is_present, made.holds = [bool(bits >> i & 1) for i in range(4, 8)]
        for code in range(2 * 3 * 3 * 2 * 2 * 2 * 2):
            rest = code
            rest, made.emergency = rest // 2, (None, 0)[rest % 2]
            rest, made.operator = rest // 3, levels[rest % 3]
            rest, made.scheduled = rest // 3, levels[rest % 3]
            rest, made.high = rest // 2, few[rest % 2]
            rest, made.low = rest // 2, few[rest % 2]
            rest, made.wave = rest // 2, (None, 60)[rest % 2]
            made.raised = (None, 80)[rest]
            state, level, _ = decide(made, FLOOR)
            count += 1
            if made.is_night and not level:
                dark += 1
                by_policy = made.knows_time and not made.exempt and not made.high and not made.low
                by_person = made.emergency == 0 or made.operator == 0
                assert by_person or (by_policy and not made.scheduled), (STATES[state], bits, code)
                assert state == (EMERGENCY if made.emergency == 0 else OPERATOR if by_person else DARK), (bits, code)
            if not made.is_night and level:
                lit += 1
                assert made.operator or (made.raised and not made.by_sun), (STATES[state], bits, code)
    assert count == 73728 and dark and lit
