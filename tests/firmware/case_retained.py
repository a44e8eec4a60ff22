"""Retained memory, the port's way to it, and the console."""

from rig import BOARD, PICO, Gateway, Machine, Random, Time

from kerbnode import hal, retained
from kerbnode.journal import MAX_LINE, Journal
from kerbnode.retained import State
from kerbwire import messages


def some_state():
    state = State()
    state.flags = retained.HELLO | retained.SAMPLE
    state.unanswered, state.level, state.wait_intervals = 3, 6, 24
    state.generation, state.life_tag, state.seq_left, state.index_left = 0xFFFE, 0xABCD, 16, 64
    state.utc_s, state.uptime_s, state.spent, state.day = 0xFFFFFFFF, 86400 * 365, 16, 0xE1
    state.checks, state.silences, state.ppm, state.heat = 3, 3, -32767, b"\x81heat"
    return state


def fields(state):
    return [getattr(state, name) for name in State.__slots__]


def test_a_state_comes_back_whole():
    packed = some_state().pack()
    assert len(packed) == retained.SIZE
    state, crashes = retained.unpack(packed)
    assert crashes == 0 and fields(state) == fields(some_state())
    assert fields(retained.unpack(State().pack())[0]) == fields(State())


def test_anything_else_is_nothing():
    packed = some_state().pack()
    for data in (b"", bytes(28), b"\xff" * 28, packed[:-1], packed + b"\x00"):
        assert retained.unpack(data) == (None, 0)
    for bit in range(8 * len(packed)):
        flipped = bytearray(packed)
        flipped[bit // 8] ^= 1 << bit % 8
        assert retained.unpack(flipped) == (None, 0)


def test_crashes_are_counted_and_are_no_state():
    for crashes in (1, 2, 255):
        assert retained.unpack(retained.pack_crash(crashes)) == (None, crashes)
    assert retained.unpack(retained.pack_crash(1000)) == (None, 255)


def board_hal(board):
    time = Time()
    machine = Machine(board, time, Gateway())
    return hal.Hal(machine, time, Random(), board), machine


def test_what_was_kept_is_taken_once():
    for board in (BOARD, PICO):
        board_side, _ = board_hal(board)
        packed = some_state().pack()
        board_side.keep_retained(packed)
        assert board_side.take_retained() == packed
        assert retained.unpack(board_side.take_retained()) == (None, 0)


def test_register_files_of_words_are_written_word_by_word():
    board_side, machine = board_hal(PICO)
    files = [0] * 4, [0] * 3

    class View:
        """A memoryview of 32-bit items: len counts items, bytes() gives their bytes."""

        def __init__(self, words):
            self._words = words

        def __len__(self):
            return len(self._words)

        def __setitem__(self, place, value):
            self._words[place] = value

        def __iter__(self):
            return iter(b"".join([word.to_bytes(4, "little") for word in self._words]))

    machine.mem_backup = lambda region: [View(words) for words in files]
    packed = some_state().pack()
    board_side.keep_retained(packed)
    assert b"".join([word.to_bytes(4, "little") for words in files for word in words]) == packed
    assert board_side.take_retained() == packed
    assert files == ([0] * 4, [0] * 3)


def test_reset_causes_of_both_ports():
    board_side, machine = board_hal(BOARD)
    for cause, expected, wake in (
        (1, messages.POWER_ON, False), (2, messages.HARD, False), (3, messages.WATCHDOG, False),
        (4, messages.DEEP_SLEEP, True), (5, messages.SOFT, False), (99, messages.HARD, False),
    ):  # fmt: skip
        machine.cause = cause
        assert (board_side.reset_cause(), board_side.may_be_wake()) == (expected, wake)
    board_side, machine = board_hal(PICO)
    for cause, expected, wake in ((1, messages.POWER_ON, False), (3, messages.WATCHDOG, True)):
        machine.cause = cause
        assert (board_side.reset_cause(), board_side.may_be_wake()) == (expected, wake)


def test_causes_are_the_protocols():
    for number, name in enumerate(hal.CAUSES):
        assert messages.RESET_CAUSES[number].replace(" ", "_") == name
    assert tuple(range(5)) == (hal.POWER_ON, hal.HARD, hal.WATCHDOG, hal.DEEP_SLEEP, hal.SOFT)


def test_a_sleep_is_no_longer_than_the_port_can():
    assert board_hal(PICO)[0].sleep_span_ms(7200000) == 4294966
    assert board_hal(PICO)[0].sleep_span_ms(-5) == 1
    assert board_hal(BOARD)[0].sleep_span_ms(7200000) == 7200000


def test_a_console_line_is_one_bounded_line_of_ascii():
    lines = []
    journal = Journal(lines.append)
    journal.line("taken", "00ff", 7, 1767225600)
    journal.note("bad\nboot 00 1 2 power_on", "caf\u00e9")
    journal.note("x" * 500)
    assert lines[0] == "taken 00ff 7 1767225600"
    assert lines[1] == "note bad?boot 00 1 2 power_on caf?"
    assert len(lines[2]) == MAX_LINE
