"""Clock, schedule and pace."""

from rig import UTC, Time

from kerbnode import clock, pace
from kerbnode.clock import Clock, next_due_ms

HOUR_MS = 3600000


def made(time, uptime_s=0, utc_s=None):
    return Clock(time.ticks_ms, time.ticks_diff, uptime_s, utc_s)


def test_uptime_runs_on_over_a_wrap_of_the_ticks():
    time = Time()
    ticking = made(time, 100)
    for _ in range(9):
        time.sleep_ms(1 << 28)
        ticking.uptime_ms()
    assert ticking.uptime_ms() == 100000 + 9 * (1 << 28)
    assert ticking.utc() is None and not ticking.is_set()
    assert ticking.local_ms() == ticking.uptime_ms()


def test_the_time_between_start_and_first_reading_counts():
    time = Time()
    time.sleep_ms(1500)
    assert made(time, 10, UTC).utc_ms() == UTC * 1000 + 1500


def test_law_2_time_is_taken_from_a_prompt_answer_only():
    time = Time()
    ticking = made(time)
    assert not ticking.offer(UTC, clock.MAX_ACK_AGE_MS + 1)
    assert not ticking.offer(UTC, -1)
    assert not ticking.is_set()
    assert ticking.offer(UTC, clock.MAX_ACK_AGE_MS)
    time.sleep_ms(2500)
    assert ticking.utc() == UTC + 2 and ticking.uptime() == 2


def test_a_time_that_cannot_be_is_refused():
    ticking = made(Time(), 0, UTC)
    for utc_s in (0, clock.EARLIEST_UTC_S - 1, 1 << 32):
        assert not ticking.offer(utc_s, 100)
    assert ticking.utc() == UTC


def test_samples_fall_on_multiples_of_the_interval():
    noon_ms = UTC * 1000 + 12 * HOUR_MS
    assert next_due_ms(noon_ms, HOUR_MS) == noon_ms + HOUR_MS
    assert next_due_ms(noon_ms - 1, HOUR_MS) == noon_ms
    assert next_due_ms(noon_ms + 5000, HOUR_MS, noon_ms) == noon_ms + HOUR_MS


def test_a_clock_set_back_does_not_bring_a_slot_twice():
    noon_ms = UTC * 1000 + 12 * HOUR_MS
    assert next_due_ms(noon_ms - 12000, HOUR_MS, noon_ms - 15000) == noon_ms + HOUR_MS
    assert next_due_ms(noon_ms - 1200000, HOUR_MS, noon_ms - 1203000) == noon_ms


def test_law_1_a_day_has_sixteen_frames_and_the_boots_own_hello():
    budget = pace.Pace()
    budget.begin(5, True)
    for _ in range(pace.MAX_FRAMES_A_DAY):
        assert budget.may_send() and budget.may_exchange()
        budget.sent()
        budget.answered()
    assert not budget.may_send() and not budget.may_exchange()
    assert budget.may_send(is_boot_hello=True)
    budget.begin(6, True)
    assert budget.may_send() and budget.may_exchange()


def test_silence_backs_off_over_wakes_up_to_a_day():
    budget = pace.Pace()
    waited = []
    for _ in range(9):
        budget.silent()
        intervals = 0
        while not budget.may_exchange():
            budget.begin(0, False)  # a hop is no interval
            budget.begin(0, True)
            intervals += 1
        waited.append(intervals)
    assert waited == [1, 2, 4, 8, 16, 24, 24, 24, 24]
    budget.answered()
    assert budget.may_exchange() and budget.level == 0


def test_three_frames_without_an_answer_ask_for_hello():
    budget = pace.Pace()
    for expected in (False, False, True, True):
        budget.sent()
        assert budget.needs_hello() == expected
    budget.answered()
    assert not budget.needs_hello()
