"""The pytest plugin as another project uses it."""

import pytest

from kerbtools.emulator import Board, World

pytest_plugins = ["pytester"]

PROJECT = """
def test_a_board_of_ones_own(world, emulated_board):
    board = emulated_board("pico_w", files={"main.py": b"import time\\ntime.sleep(60)\\nprint(time.ticks_ms())"})
    board.start()
    assert board.world is world
    world.advance(61)
    assert list(board.console)[0].startswith("6000")


def test_a_street_of_nodes(street):
    nodes = street(3, "esp32_c3", config={"interval_s": 600})
    nodes[0].world.advance(1300)
    assert [node.wakes >= 2 for node in nodes] == [True] * 3
    assert len({node.link_path for node in nodes}) == 3
    lives = [next(line.split()[1] for line in node.console if line.startswith("boot")) for node in nodes]
    assert len(set(lives)) == 3


def test_a_failing_emulator_fails_the_test(emulated_board):
    board = emulated_board("esp32_c3", files={"main.py": b"import time\\ntime.sleep(5)"})
    board.start()
    board.hardware.next_event_us = lambda now_us: 1 / 0
    board.world.advance(1)
"""


def test_another_project_uses_the_fixtures_by_naming_the_plugin(pytester):
    pytester.makepyfile(PROJECT)
    done = pytester.runpytest_subprocess("-p", "kerbtools.emulator.pytest_plugin", timeout=90)
    done.assert_outcomes(passed=3, errors=1, warnings=0)
    done.stdout.fnmatch_lines(["*ERROR at teardown of test_a_failing_emulator_fails_the_test*", "E*ZeroDivisionError*"])


def test_a_failing_emulator_is_told_when_the_world_ends_and_hides_no_other_error():
    def fail(world):
        board = Board(world, "esp32_c3", files={"main.py": b"import time\ntime.sleep(5)"})
        board.start()
        board.hardware.next_event_us = lambda now_us: 1 / 0
        world.advance(1)
        board.wait_off()
        assert isinstance(board.failure, ZeroDivisionError)

    with pytest.raises(ZeroDivisionError), World(seed=1, paused=True) as world:
        fail(world)
    with pytest.raises(KeyError), World(seed=1, paused=True) as world:
        fail(world)
        raise KeyError
