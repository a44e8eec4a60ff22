"""Clock, schedule and pace."""

from rig import UTC, Time

from kerbnode import clock
from kerbnode.bin import pace
from kerbnode.clock import Clock, next_due_ms, next_wake_s, sleep_ms
from kerbnode.retained import CHECK, SAMPLE

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
    for _ in range(pace.MAX_FRAMES_A_DAY - pace.FOR_EVENTS):
        assert budget.may_send() and budget.may_exchange()
        budget.sent()
        budget.answered()
    assert not budget.may_send() and not budget.may_exchange()
    for _ in range(pace.FOR_EVENTS):  # which no report spends
        assert budget.may_send(False, True) and budget.may_exchange(True)
        budget.sent()
    assert not budget.may_send(False, True) and not budget.may_exchange(True)
    assert budget.may_send(is_boot_hello=True)
    budget.begin(6, True)
    assert budget.may_send() and budget.may_exchange()


def test_silence_costs_no_more_listening_a_day_however_long_a_window_is():
    for timeout_ms in (100, 3000, 6000, 10000):
        budget = pace.Pace(timeout_ms=timeout_ms)
        sent = 0
        while budget.may_send(False, True):
            budget.sent()
            sent += 1
        assert sent <= pace.MAX_FRAMES_A_DAY and (sent * timeout_ms <= pace.LISTEN_MS_A_DAY or sent == 5)


def test_an_event_is_tried_at_once_thrice_and_then_waits_as_reports_do():
    budget = pace.Pace()
    for _ in range(pace.URGENT_LEVEL):
        assert budget.may_exchange(True)
        budget.silent()
    assert not budget.may_exchange(True)
    for _ in range(pace.WAITS[pace.URGENT_LEVEL]):
        budget.begin(0, True)
    assert budget.may_exchange(True)


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


def test_the_error_of_the_sleeping_clock_is_learnt_from_acks_and_slept_away():
    for error_ppm in (0, 9000, -12000):
        time = Time()
        true_ms = 1767225600 * 1000
        utc_s, ppm, synced_s, late_s = true_ms // 1000, 0, 0, []
        for _ in range(14):
            clock = Clock(time.ticks_ms, time.ticks_diff, 0, utc_s, ppm)
            clock.synced_s = synced_s
            late_s.append(true_ms // 1000 - clock.utc())
            assert clock.offer(true_ms // 1000, 40)
            ppm, synced_s = clock.ppm, clock.synced_s
            utc_s = clock.utc() + 86400
            asked_ms = sleep_ms(86400 * 1000, ppm)
            true_ms += asked_ms + asked_ms * error_ppm // 1000000
        assert abs(ppm - error_ppm) < 150 and abs(late_s[-1]) <= 12
        assert not error_ppm or abs(late_s[1]) > 700


def test_an_ack_an_hour_after_the_last_teaches_nothing():
    time = Time()
    clock = Clock(time.ticks_ms, time.ticks_diff, 0, 1767225600)
    assert clock.offer(1767225600, 40)
    time.sleep_ms(3600 * 1000)
    assert clock.offer(1767225600 + 3700, 40)
    assert clock.ppm == 0 and clock.synced_s == 1767225600


def test_the_next_wake_is_the_first_of_what_is_due():
    def span(ms):
        return min(ms, 4294966)

    noon = 1767268800
    for now_s, heat_s, check_ms, wanted in (
        (noon, 0, None, (noon + 3600, SAMPLE)),
        (noon, 120, None, (noon + 120, 0)),
        (noon + 121, 120, None, (noon + 240, 0)),
        (noon + 230, 120, None, (noon + 360, 0)),  # it was a little early, and has just looked
        (noon + 3361, 120, None, (noon + 3480, 0)),
        (noon + 3482, 120, None, (noon + 3600, SAMPLE)),
        (noon + 3410, 500, None, (noon + 3600, SAMPLE)),  # a look right before the sample would tell nothing new
        (noon, 0, noon * 1000 + 120400, (noon + 120, CHECK)),
        (noon + 3550, 0, noon * 1000 + 3670000, (noon + 3600, SAMPLE)),
    ):  # fmt: skip
        assert next_wake_s(span, now_s * 1000, (noon + 3600) * 1000, heat_s, check_ms) == wanted
    assert next_wake_s(span, noon * 1000, (noon + 6 * 3600) * 1000, 0) == (noon + 4294, 0)
