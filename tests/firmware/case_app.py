"""Whole wakes on a board's hardware, over real flash files and a gateway's end: the way a bin lives."""

import os
import sys

from rig import (
    BOARD,
    NODE,
    PICO,
    SECRET,
    UTC,
    AsleepError,
    Gateway,
    Machine,
    Random,
    Time,
    exists,
    folder,
    write,
)  # fmt: skip

from kerbnode import app, config, flash, hal, retained
from kerbnode.counters import Counters
from kerbnode.identity import IdentityError
from kerbnode.identity import read as read_identity
from kerbnode.journal import Journal
from kerbwire import cbor
from kerbwire.channels import BATTERY, FAULT

RANDOM = Random()


class Board:
    """A board with its flash in a folder. wakes: [first word of each console line, ...] of the last start."""

    def __init__(self, facts=BOARD, gateway=None, name="node", settings=None):
        self.facts = facts
        self.gateway = gateway or Gateway(UTC)
        self.folder = folder() + "/" + name
        os.mkdir(self.folder)
        write(self.folder + "/identity.cbor", cbor.encode({1: NODE, 2: SECRET, 3: 1, 4: "depot"}))
        if settings:
            write(self.folder + "/config.json", settings.encode())
        self.time = Time()
        self.machine = Machine(facts, self.time, self.gateway)
        self.lines = []
        self.true_ms = UTC * 1000

    def start(self):
        """One start to its deep sleep; returns the console lines as lists of words."""
        self.lines = []
        self.machine.slept_ms = None
        try:  # noqa: SIM105  contextlib is not on boards
            app.run(
                hal.Hal(self.machine, self.time, RANDOM, self.facts), self.facts,
                Journal(lambda line: self.lines.append(line.split())), self.folder,
            )  # fmt: skip
        except AsleepError:
            pass
        self.gateway.utc_s = self.gateway.utc_s and self.true_ms // 1000
        self.true_ms += self.time.now_ms + (self.machine.slept_ms or 0)
        if self.gateway.utc_s:
            self.gateway.utc_s = self.true_ms // 1000
        self.machine.wake()
        return self.lines

    def power_cut(self):
        self.machine.power_off()
        self.machine.cause = 1

    def said(self, word):
        return [line for line in self.lines if line[0] == word]


def test_first_boot_says_hello_then_samples_and_sleeps_to_the_hour():
    for facts in (BOARD, PICO):
        board = Board(facts, name=facts["port"])
        board.start()
        assert [line[0] for line in board.lines] == ["note", "boot", "sent", "sent", "confirmed", "taken"]
        assert board.said("boot")[0][2:] == ["0", "0", "power_on"]
        taken = board.said("taken")[0]
        assert taken[2] == "0" and int(taken[3]) >= UTC
        assert 3550000 < board.machine.slept_ms < 3600000


def test_law_2_a_day_of_wakes_is_one_report_and_no_further_hello():
    for facts in (BOARD, PICO):
        board = Board(facts, name=facts["port"])
        board.start()
        sent = []
        for wake in range(23):
            board.start()
            assert board.said("boot")[0][4] == "deep_sleep"
            sent += board.said("sent")
            assert int(board.said("taken")[0][3]) == UTC + 3600 * (wake + 1)
        assert [words[1] for words in sent] == ["report"]
        assert len(board.gateway.records) == 24 and board.gateway.trouble == []


def test_a_wake_that_does_not_speak_loads_no_radio_and_writes_one_record():
    board = Board()
    board.start()
    life = board.lines[1][1]
    outbox = board.folder + "/outbox/" + life
    state = os.stat(outbox + "/state") if exists(outbox + "/state") else None
    size = os.stat(outbox + "/00000000")[6]
    board.start()
    assert os.stat(outbox + "/00000000")[6] > size
    assert (os.stat(outbox + "/state") if exists(outbox + "/state") else None) == state


def test_law_1_a_reset_in_mid_wake_reuses_nothing():
    board = Board()
    board.start()
    for start in range(40):
        board.start()
        boot = board.said("boot")[0]
        if start % 3 == 0:  # the wake is cut short: whatever it had retained was wiped at its beginning
            board.machine.power_off()
            board.machine.cause = 1
    indices = [index for _, index in board.gateway.records]
    assert len(set(indices)) == len(indices) and board.gateway.trouble == []
    assert boot[1] == board.said("taken")[0][1]


def test_retained_memory_is_gone_while_the_node_is_awake():
    board = Board()
    board.start()
    seen = []

    def deaf(data):
        seen.append(retained.unpack(board.machine.memory()))
        return []

    board.gateway.hear = deaf
    for _ in range(24):
        board.start()
    assert seen and all(state == (None, 0) for state in seen)


def test_without_a_gateway_records_wait_and_the_radio_backs_off():
    board = Board(gateway=Gateway(None), settings='{"report_records": 1}')
    board.gateway.deaf = 10**6
    frames = []
    for wake in range(200):
        board.start()
        frames.append(len(board.said("sent")))
        assert board.said("taken")
        if wake:
            assert 3550000 < board.machine.slept_ms <= 3600000
    day = [sum(frames[at : at + 24]) for at in range(0, 192, 24)]
    assert max(day) <= 16 and day[-1] == 2
    board.gateway.deaf = 0
    for _ in range(60):
        board.start()
    assert sorted([index for _, index in board.gateway.records])[:200] == list(range(200))
    assert board.gateway.trouble == []


def test_records_without_a_clock_carry_boot_and_uptime():
    board = Board(gateway=Gateway(None), settings='{"report_records": 4}')
    for _ in range(4):
        board.start()
    report = [m for m in board.gateway.messages if hasattr(m, "records")][-1]
    assert report.boot == 1
    assert [record.time // 60 for record in report.records] == [0, 60, 120, 180]
    assert report.uptime_now >= report.records[-1].time


def test_the_clock_set_in_the_field_takes_over_from_uptime():
    board = Board(gateway=Gateway(None), settings='{"report_records": 3}')
    board.start()
    board.start()
    board.gateway.utc_s = board.true_ms // 1000
    board.start()  # reports under uptime, and is told the time
    board.start()
    taken = int(board.said("taken")[0][3])
    assert taken > UTC and taken % 3600 == 0


def test_a_pico_hops_through_a_long_sleep():
    board = Board(PICO, settings='{"interval_s": 21600}')
    board.start()
    starts = 0
    while True:
        board.start()
        starts += 1
        if board.said("taken"):
            break
        assert not board.said("sent")
    assert starts > 4
    assert int(board.said("taken")[0][3]) % 21600 == 0


def test_battery_comes_once_a_day():
    board = Board(settings='{"report_records": 1}')
    for _ in range(50):
        board.start()
    days = [record.time // 86400 for record in board.gateway.records.values() if 3 in record.values]
    assert len(days) >= 3 and len(days) - len(set(days)) <= 1  # the boot's own, and one a day
    assert next(r.values[3] for r in board.gateway.records.values() if 3 in r.values) == 360


def test_a_crash_is_told_counted_and_ends_in_a_bounded_sleep():
    board = Board()
    board.start()
    board.facts = dict(BOARD)
    board.facts["sensors"] = {"distance": {"driver": "unheard_of"}}
    slept = []
    for crashes in range(1, 10):
        board.start()
        assert board.said("note")[-1][1:4] == ["crash", str(crashes), "ValueError"]
        slept.append(board.machine.slept_ms // 1000)
    assert slept == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    board.facts = BOARD
    board.start()
    assert board.said("boot")[0][4] == "soft" and board.said("taken")
    board.start()
    assert board.said("boot")[0][4] == "deep_sleep"
    assert board.gateway.trouble == []


def test_an_unprovisioned_board_says_what_to_do():
    board = Board()
    os.remove(board.folder + "/identity.cbor")
    board.start()
    assert board.lines[0][:2] == ["note", "IdentityError"] and "kerb provision" in " ".join(board.lines[0])
    assert board.machine.slept_ms is None and board.machine.watchdog_ms is None  # it waits at the REPL


def test_identity_files_of_any_other_form_are_refused():
    good = {1: 7, 2: SECRET, 3: 1, 4: "depot"}
    path = folder() + "/identity.cbor"
    write(path, cbor.encode(good))
    identity = read_identity(path)
    assert (identity.node, identity.secret, identity.epoch, identity.site) == (7, SECRET, 1, "depot")
    damaged = [cbor.encode(good)[:-1], b"", b"\xff", cbor.encode([1])]
    for key, value in ((1, 0), (1, 65536), (1, b"7"), (2, b"short"), (2, 5), (3, 4), (4, 7), (5, 1)):
        changed = dict(good)
        changed[key] = value
        damaged.append(cbor.encode(changed))
    for data in damaged:
        write(path, data)
        try:
            read_identity(path)
            assert False
        except IdentityError as error:
            assert error.hint and "0, 1, 2" not in str(error)


def test_a_wiped_flash_is_a_new_life():
    board = Board(settings='{"report_records": 1}')
    board.start()
    first = board.lines[1][1]
    for slot in ("/counters.0", "/counters.1", "/plan"):
        os.remove(board.folder + slot)
    board.start()
    assert "records of an earlier life" in " ".join(board.lines[1])
    board.start()
    second = board.said("boot")[0][1]
    assert second != first
    lives = [life for life, _ in board.gateway.records]
    assert len(set(lives)) == 2 and board.gateway.trouble == []


def test_complaints_about_settings_are_told_at_boot_only():
    board = Board(settings='{"nonsense": 1}')
    board.start()
    assert ["note", "unknown", "setting", "nonsense"] in board.lines
    board.start()
    assert not board.said("note")
    assert config.read(board.folder + "/config.json")[0]["interval_s"] == 3600


def test_only_the_end_of_a_deep_sleep_is_a_wake():
    for facts, causes in ((BOARD, (1, 3, 5)), (PICO, (1,))):
        for cause in causes:
            board = Board(facts, name=facts["port"] + str(cause))
            board.start()
            board.start()
            limits = Counters(board.folder, 16, 32)
            limits.open()
            board.machine.cause = cause  # and the retained bytes are still there
            board.start()
            assert board.said("boot")[0][2:4] == [str(limits.seq_limit), str(limits.index_limit)]
            assert board.said("boot")[0][4] != "deep_sleep"
            assert board.gateway.trouble == []


def test_a_port_without_retained_memory_sleeps_an_hour_and_says_why():
    board = Board(PICO)
    del board.machine.mem_backup  # as before MicroPython 1.29
    for _ in range(3):
        board.start()
        assert board.lines[0][:4] == ["note", "crash", "1", "AttributeError"]
        assert board.machine.slept_ms == 3600000


class Stub:
    def __init__(self):
        self.slept_ms = None

    def deepsleep(self, ms):
        self.slept_ms = ms
        raise AsleepError


def test_whatever_reading_the_board_raises_ends_in_a_sleep():
    for error in (OSError(5), ValueError("json"), AttributeError("name"), MemoryError()):

        def refuse(path, error=error):
            raise error

        before = sys.modules.get("machine")
        stub = sys.modules["machine"] = Stub()
        app.open = refuse
        app.print = print
        try:
            app.main()
            assert False
        except AsleepError:
            assert stub.slept_ms == 3600000
        finally:
            del app.open, app.print
            if before:
                sys.modules["machine"] = before
            else:
                del sys.modules["machine"]


def test_a_value_out_of_its_range_is_a_fault_and_costs_no_record():
    facts = dict(BOARD)
    facts["sensors"] = dict(BOARD["sensors"])
    facts["sensors"]["battery"] = dict(BOARD["sensors"]["battery"], divider_bottom_ohm=50000)
    board = Board(facts, settings='{"report_records": 1}')
    board.start()
    board.start()
    records = board.gateway.records
    assert len(records) == 2 and not [line for line in board.lines if line[:2] == ["note", "unsendable"]]
    assert [record.values[BATTERY] for record in records.values() if record.index == 0] == [FAULT]
    assert [record.values[0] for record in records.values()] == [40, 40]


def test_the_rangers_power_is_off_after_a_sample_that_failed_too():
    board = Board()
    board.start()
    assert board.machine.Pin.levels[6] == 0
    sleep_ms = board.time.sleep_ms

    def fail(ms):
        if ms == 300:
            assert board.machine.Pin.levels[6] == 1
            raise OSError(5)
        sleep_ms(ms)

    board.time.sleep_ms = fail
    board.start()
    assert board.said("note")[-1][1] == "crash" and board.machine.Pin.levels[6] == 0


def test_the_thermometer_has_the_time_of_a_conversion():
    called = []
    board = Board()

    class Bus:
        def __init__(self, wire):
            self.ow = self

        def readbyte(self):
            return 0

        def convert_temp(self):
            called.append(board.time.now_ms)

        def scan(self):
            called.append(board.time.now_ms)
            return [b"part one"]

        def read_temp(self, rom):
            return 21.5

    class Modules:
        def __init__(self):
            self.OneWire = lambda pin: pin
            self.DS18X20 = Bus

    board.facts = dict(BOARD)
    board.facts["sensors"] = {"temperature": {"driver": "ds18b20", "pin": 7}}
    before = {name: sys.modules.get(name) for name in ("ds18x20", "onewire")}
    for name in before:
        sys.modules[name] = Modules()
    try:
        board.start()
    finally:
        for name in before:
            del sys.modules[name]
            if before[name]:
                sys.modules[name] = before[name]
    assert board.said("taken") and called[1] - called[0] == 750


def test_the_watchdog_is_fed_at_least_once_a_listen_window_or_sample():
    slow = '{"ack_timeout_ms": 10000, "tries": 4, "echoes": 15, "echo_timeout_ms": 10000, "report_records": 1}'
    board = Board(settings=slow)
    board.gateway.deaf = 10**6
    board.machine._echoes = lambda: b""
    for _ in range(6):
        board.start()
        assert board.said("boot") and not [line for line in board.said("note") if line[1] == "crash"]
    assert board.machine.watchdog_ms == hal.WATCHDOG_MS
    assert 10000 <= board.machine.longest_unfed_ms <= 11000


def test_a_watchdog_that_is_short_and_counts_in_sleep_is_fed_in_waits_and_between_light_sleeps():
    board = Board(PICO, settings='{"echo_timeout_ms": 10000, "ack_timeout_ms": 10000}')
    board.gateway.deaf = 10**6
    board.machine._echoes = lambda: b""
    for _ in range(3):
        board.start()
        assert board.said("boot") and not [line for line in board.said("note") if line[1] == "crash"]
        assert 110000 < board.machine.slept_ms <= 3600000  # a part at fault is looked at again soon
    assert board.machine.watchdog_ms == 8388
    assert 7388 <= board.machine.longest_unfed_ms < 8388


def test_waits_feed_a_short_watchdog_for_so_long_only_as_a_long_one_would_take():
    time = Time()
    machine = Machine(PICO, time, Gateway())
    board_hal = hal.Hal(machine, time, None, PICO)
    board_hal.start_watchdog()
    for _ in range(100):
        board_hal.sleep_ms(1000)
    machine.feed()
    assert 100000 - hal.WATCHDOG_MS <= machine.longest_unfed_ms <= 100000 - hal.WATCHDOG_MS + 1000


def test_a_full_outbox_is_told():
    board = Board(settings='{"outbox_segments": 4}')
    board.gateway.deaf = 10**6
    told = []
    for _ in range(129):
        board.start()
        told += [line[1:] for line in board.said("note") if line[1] == "outbox"]
    assert told == [["outbox", "full:", "dropped", "32", "records"]]


def test_a_boot_begins_the_days_frames_anew_and_spends_its_tries_only():
    board = Board(settings='{"report_records": 1}')
    for _ in range(20):
        board.start()
    assert not board.said("sent")  # 16 are spent
    board.gateway.deaf = 10**6
    for _ in range(5):
        board.power_cut()
        board.start()
        assert [line[1] for line in board.said("sent")] == ["hello", "hello"]


def test_slots_that_cannot_be_read_for_a_while_cost_no_life_and_no_record():
    board = Board(settings='{"report_records": 1}')
    board.gateway.deaf = 10**6
    for _ in range(20):
        board.start()
    life = board.said("boot")[0][1]

    def refuse(path, mode):
        if mode == "rb" and "/counters." in path:
            raise OSError(5, "input or output")
        return open(path, mode)

    flash.open = refuse
    try:
        for crashes in range(1, 4):
            board.start()
            assert board.said("note")[-1][1:4] == ["crash", str(crashes), "OSError"]
    finally:
        del flash.open
    board.gateway.deaf = 0
    for _ in range(3):
        board.start()
    assert board.said("boot")[0][1] == life
    assert {index for _, index in board.gateway.records} >= set(range(20))
    assert board.gateway.trouble == []


def test_noise_of_a_wake_is_told_after_its_exchange():
    board = Board()
    board.gateway.hear = lambda data: [b"x" * 20]
    board.start()
    assert board.said("note")[-1][1:4] == ["refused", "damaged", "2"]
