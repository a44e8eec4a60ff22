"""Presence: hold, passages, and sensors that are stuck."""

from kerbnode.lamp import presence
from kerbnode.lamp.presence import BROKEN, STUCK_OFF, STUCK_ON, WORKS, Presence

HOLD_MS = 30000


def seen(sensor, start_ms, for_ms, step_ms=100):
    for now_ms in range(start_ms, start_ms + for_ms, step_ms):
        sensor.tick(True, now_ms)
    sensor.tick(False, start_ms + for_ms)


def test_light_holds_after_the_last_sight():
    sensor = Presence(HOLD_MS)
    assert not sensor.holds(0)
    seen(sensor, 1000, 5000)
    assert not sensor.is_present
    assert sensor.holds(5900 + HOLD_MS) and not sensor.holds(5901 + HOLD_MS)


def test_a_passage_with_pauses_counts_once():
    sensor = Presence(HOLD_MS)
    seen(sensor, 0, 3000)
    seen(sensor, 4000, 3000)
    assert sensor.passages == 1
    seen(sensor, 20000, 100)
    assert sensor.passages == 2


def test_a_branch_before_the_sensor_is_no_presence():
    sensor = Presence(HOLD_MS)
    seen(sensor, 0, presence.STUCK_ON_MS + 100)
    assert sensor.verdict == STUCK_ON
    sensor.tick(False, presence.STUCK_ON_MS + 10000)
    assert sensor.verdict == WORKS


def test_a_sensor_that_no_longer_sees_anybody():
    sensor = Presence(HOLD_MS)
    for night in range(3):
        for passage in range(10):
            seen(sensor, night * 86400000 + passage * 600000, 1000)
        sensor.night_over()
    for _ in range(presence.STUCK_OFF_NIGHTS - 1):
        sensor.night_over()
    assert sensor.verdict == WORKS
    sensor.night_over()
    assert sensor.verdict == STUCK_OFF
    seen(sensor, 10 * 86400000, 100)
    assert sensor.verdict == WORKS


def test_a_path_that_few_use_is_no_fault():
    sensor = Presence(HOLD_MS)
    seen(sensor, 0, 100)
    for _ in range(30):
        sensor.night_over()
    assert sensor.verdict == WORKS


def test_a_silent_sensor_is_broken_until_it_speaks():
    sensor = Presence(HOLD_MS)
    sensor.tick(None, 0)
    assert sensor.verdict == BROKEN
    sensor.tick(False, 100)
    assert sensor.verdict == WORKS
