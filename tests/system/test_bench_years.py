"""Years of a bin by re-entering its wake: beside real restarts, over power cuts, and beside the budget of POWER.md."""

import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from kerbtools import boards
from kerbtools.bench import cells, power, reentry, years
from kerbwire.events import BATTERY_LOW, EMPTIED, FIRE, SENSOR_FAULT, TILTED

POWER = Path(__file__).parents[2] / "firmware" / "POWER.md"
TEARS = ("all", "half", "garbage")
STRIDE = 128  # of the thinned sweep: about 30 cuts


@pytest.fixture(scope="module")
def pool():
    """The firmware's modules are bound to one board a process."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as made:
        yield made


@pytest.mark.parametrize("board", years.BOARDS)
def test_both_ways_to_live_a_day_cost_the_same(pool, board):
    entered = pool.submit(years.entered, board, years.CONFIG, 1.0)
    restarted = pool.submit(years.restarted, board, years.CONFIG, 1.0)
    one, other = restarted.result(), entered.result()
    assert one["trouble"] == other["trouble"] == [] and one["notes"] == []
    total, again = sum(one["charge_uah"].values()), sum(other["charge_uah"].values())
    assert again == pytest.approx(total, rel=0.01)
    for cause, charge in one["charge_uah"].items():
        assert other["charge_uah"][cause] == pytest.approx(charge, rel=0.01, abs=1.0), cause
    assert other["taken"] == one["taken"] >= 24


@pytest.mark.parametrize("board", years.BOARDS)
def test_a_month_loses_nothing_and_wears_no_block_out(pool, board):
    figures = pool.submit(years.entered, board, {"heat_s": 0}, 30.0).result()
    assert figures["trouble"] == [] and figures["taken"] >= 30 * 24
    assert figures["waiting"] < 24 + 8
    assert figures["hottest"] * 365 / 30 < 1000
    assert figures["frames"] / 30 <= 16
    assert not {FIRE, SENSOR_FAULT, BATTERY_LOW, TILTED} & set(figures["raised"]) and figures["raised"][EMPTIED] > 4


def test_a_week_of_power_cuts_thinned(pool):
    _sweep(pool, "esp32_c3", STRIDE, 7)
    _sweep(pool, "pico_w", STRIDE // 2, 5)


@pytest.mark.soak
@pytest.mark.timeout(2 * 3600)
@pytest.mark.parametrize("board", years.BOARDS)
def test_a_power_cut_at_every_flash_write_of_a_week(pool, board):
    _sweep(pool, board, 1, 1)


def _sweep(pool, board, stride, first):
    whole = pool.submit(reentry.cut_week, board, 0, "all").result()
    assert whole["lost"] == [] and whole["taken"] > 190 and whole["writes"] > 400
    weeks = {
        at: pool.submit(reentry.cut_week, board, at, TEARS[at % 3]) for at in range(first, whole["writes"], stride)
    }
    for at, week in weeks.items():
        found = week.result()
        assert (found["lost"], found["trouble"], found["crashes"], found["lives"]) == ([], [], [], 1), at
        assert found["taken"] > 180, at


def test_the_budget_of_each_board_stands_in_the_page():
    text = POWER.read_text()
    table = {row[0]: row[1:] for row in re.findall(r"^\| ([a-z0-9_]+) \| ([\d.]+) \| ([\d.]+) \|", text, re.M)}
    assert set(table) == set(boards.names())
    for name, (mah, lasts) in table.items():
        drawn = cells.budget(name)["all"]
        assert float(mah) == pytest.approx(drawn, abs=0.05)
        assert float(lasts) == pytest.approx(cells.CELLS.years(drawn), abs=0.05)
    for cause, mah in cells.budget("esp32_c3").items():
        assert f"| {cause} | {mah:.2f} |" in text
    assert f"{cells.CELLS.may_draw(10):.1f} mAh" in text
    for row in cells.SOURCES:
        assert "| " + " | ".join(row) + " |" in text
    printed = list(power.rows())
    assert {row["board"] for row in printed if "years_on_two_d_cells" in row} == set(boards.names())
    assert [row["cause"] for row in printed if "cause" in row] == list(cells.budget("esp32_c3"))


def test_a_c3_class_board_lasts_ten_years_and_a_pico_does_not():
    assert cells.CELLS.years(cells.budget("esp32_c3")["all"]) >= 10
    assert cells.CELLS.years(cells.budget("pico_w")["all"]) < 3
    assert cells.CELLS.may_draw(10) == pytest.approx(6.4, abs=0.05)
    assert cells.CELLS.years(cells.CELLS.may_draw(10)) == pytest.approx(10)


def test_silence_costs_no_more_than_its_stated_share():
    from kerbnode.bin.pace import LISTEN_MS_A_DAY

    ua = boards.load("esp32_c3").currents
    silence = LISTEN_MS_A_DAY / 1000 * (ua["active"] + ua["radio_rx"]) / 3_600_000
    assert silence <= cells.SILENCE_SHARE * cells.CELLS.may_draw(10)
