"""The level-change log: the light of its steps is that of the lamp, whatever ramps and interruptions there were."""

from kerbnode.clock import Clock
from kerbnode.lamp.changes import MAX_WAITING, Changes
from kerbnode.lamp.control import Ramp
from kerbwire.channels import BY_FAULT, BY_PRESENCE, BY_SCHEDULE, CAUSE, LEVEL

UP_MS, DOWN_MS = 500, 8000


class Night:
    """A lamp that is told levels, followed each 100 ms as the board's loop does; the sums of lamp and log."""

    def __init__(self):
        self.changes, self.ramp, self.now_ms = Changes(), Ramp(UP_MS, DOWN_MS), 7300
        self.ramp.jump(0)
        self.changes.start(0, BY_SCHEDULE, self.now_ms)
        self.lamp_sum = 0
        self._cause = BY_SCHEDULE

    def ask(self, level, cause, for_ms):
        end_ms = self.now_ms + for_ms
        while self.now_ms < end_ms:
            ramp, before, shown = self.ramp, self.ramp.target, self.ramp.level
            ramp.toward(level, self.now_ms)
            if ramp.target != before and shown != before:
                self.changes.settle(before, self._cause, self.now_ms)
            self._cause = cause
            self.changes.show(ramp.level, self.now_ms)
            if ramp.level == ramp.target:
                self.changes.settle(level, cause, self.now_ms)
            self.lamp_sum += ramp.level * 100
            self.now_ms += 100

    def log_sum(self):
        total, steps = 0, list(self.changes.waiting)
        steps.append((self.now_ms // 1000, 0, 0))
        for at in range(len(steps) - 1):
            total += steps[at][1] * (steps[at + 1][0] - steps[at][0]) * 1000
        return total


def test_a_passage_is_two_steps_with_the_light_of_its_ramps():
    night = Night()
    night.ask(20, BY_SCHEDULE, 60000)
    night.ask(100, BY_PRESENCE, 45000)
    night.ask(20, BY_SCHEDULE, 60700)
    levels = [(level, cause) for _, level, cause in night.changes.waiting]
    assert levels == [(0, BY_SCHEDULE), (20, BY_SCHEDULE), (100, BY_PRESENCE), (20, BY_SCHEDULE)], levels
    assert abs(night.lamp_sum - night.log_sum()) <= 100 * 1000, (night.lamp_sum, night.log_sum())


def test_the_sum_stays_true_over_a_busy_night():
    night, seed = Night(), 7
    for _ in range(30):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        night.ask((20, 60, 75, 100)[seed >> 8 & 3], seed >> 10 & 3, 300 + (seed >> 12) % 20000)
    assert abs(night.lamp_sum - night.log_sum()) <= 100 * 1000, (night.lamp_sum, night.log_sum())
    assert not night.changes.dropped


def test_a_ramp_that_is_broken_off_is_told_too():
    night = Night()
    night.ask(100, BY_PRESENCE, 10000)
    night.ask(20, BY_SCHEDULE, 3000)  # the ramp down takes more than twice as long
    night.ask(100, BY_PRESENCE, 10000)
    assert [level for _, level, _ in night.changes.waiting] == [0, 100, 20, 100]
    times = [second for second, _, _ in night.changes.waiting]
    assert times == sorted(times)
    assert abs(night.lamp_sum - night.log_sum()) <= 100 * 1000


def test_what_the_meter_says_stands_until_it_agrees_again():
    night = Night()
    night.ask(100, BY_PRESENCE, 10000)
    night.changes.measure(0, BY_FAULT, night.now_ms)
    night.changes.measure(0, BY_FAULT, night.now_ms)  # once is enough
    night.ask(20, BY_SCHEDULE, 20000)
    assert night.changes.level == 0
    night.changes.measure(None, BY_SCHEDULE, night.now_ms)
    assert [row[1:] for row in night.changes.waiting[-2:]] == [(0, BY_FAULT), (20, BY_SCHEDULE)]


def test_times_are_utc_once_the_clock_is_set_and_uptime_with_the_boot_before():
    night = Night()
    night.ask(20, BY_SCHEDULE, 20000)
    ticks = [night.now_ms]
    clock = Clock(lambda: ticks[0], lambda end, start: end - start)
    items = night.changes.take(clock, 9)
    assert [item[:2] for item in items] == [[7, 9], [7, 9]] and items[1][2] == {LEVEL: 20, CAUSE: BY_SCHEDULE}
    assert night.changes.waiting == [] and night.changes.take(clock, 9) == []
    night.ask(100, BY_PRESENCE, 5000)
    ticks[0] = night.now_ms
    assert clock.offer(1800000000, 100)
    (item,) = night.changes.take(clock, 9)
    assert item[1] == 0 and abs(item[0] - (1800000000 - 5)) <= 1, item


def test_steps_that_nobody_takes_are_counted():
    changes = Changes()
    for second in range(MAX_WAITING + 5):
        changes.start(second % 2, BY_SCHEDULE, second * 1000)
    assert len(changes.waiting) == MAX_WAITING and changes.dropped == 5


def test_a_cause_of_its_own_is_a_step_though_the_level_stays():
    changes = Changes()
    changes.start(100, BY_SCHEDULE, 1000)
    changes.jump(100, BY_FAULT, 4200, True)
    changes.jump(100, BY_FAULT, 5200)
    changes.jump(0, BY_FAULT, 9000)
    assert changes.waiting == [(1, 100, BY_SCHEDULE), (4, 100, BY_FAULT), (9, 0, BY_FAULT)], changes.waiting
