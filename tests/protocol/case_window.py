"""The replay window against the plain definition: a set of accepted numbers."""

from kerbwire.window import DUPLICATE, NEW, REPLAY, WIDTH, Window


def test_first_numbers():
    window = Window()
    assert window.check(0) == NEW
    window.accept(0)
    assert (window.top, window.bits) == (0, 1)
    assert window.check(0) == DUPLICATE
    assert window.check(1) == NEW


def test_law_4_late_duplicate_and_replay():
    window = Window()
    for seq in (5, 9, 100):
        window.accept(seq)
    assert window.check(100) == DUPLICATE
    assert window.check(99) == NEW
    assert window.check(100 - WIDTH + 1) == NEW
    assert window.check(100 - WIDTH) == REPLAY
    assert window.check(9) == REPLAY
    window.accept(99)
    assert window.check(99) == DUPLICATE
    assert window.newest(8) == [100, 99]


def test_law_4_below_its_floor_everything_is_a_replay():
    window = Window(floor=100)
    window.accept(100)
    assert [window.check(seq) for seq in (101, 100, 99, 50)] == [NEW, DUPLICATE, REPLAY, REPLAY]
    window.accept(101)
    assert window.newest(8) == [101, 100]


def test_law_4_a_number_below_the_window_is_never_marked():
    window = Window()
    window.accept(1000)
    before = window.bits
    window.accept(3)
    assert window.bits == before


def test_against_a_set():
    state = 12345
    window, accepted = Window(), set()
    for _ in range(3000):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        seq = max(0, window.top - 80 + (state >> 8) % 120)
        expected = REPLAY if seq <= window.top - WIDTH else DUPLICATE if seq in accepted else NEW
        assert window.check(seq) == expected
        if expected == NEW:
            window.accept(seq)
            accepted.add(seq)
        assert window.bits < 1 << WIDTH
    newest = sorted((s for s in accepted if s > window.top - WIDTH), reverse=True)
    assert window.newest(8) == newest[:8]
    assert window.newest(WIDTH) == newest
