"""Every driver of a bin times every fault of its emulated part: named at the gateway with its raw value, and on the bench."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from kerbtools.bench import faults

# (driver, fault) -> what the gateway decodes, its raw value (None: some number), what the self-test says on the bench.
NAMED = {
    ("a02yyuw", "absent"): ("distance: silent", 0, "fail: silent, raw 0"),
    ("a02yyuw", "silent"): ("distance: silent", 0, "fail: silent, raw 0"),
    ("a02yyuw", "brown_out"): ("distance: silent", 0, "fail: silent, raw 0"),
    ("a02yyuw", "garbled"): ("distance: garbled", None, "fail: garbled, raw"),
    ("a02yyuw", "stuck"): ("distance: stuck", 777, "skip: stuck, or very still, raw 777"),
    ("jsn_sr04t", "absent"): ("distance: silent", 0, "fail: silent, raw 0"),
    ("jsn_sr04t", "silent"): ("distance: silent", 0, "fail: silent, raw 0"),
    ("jsn_sr04t", "brown_out"): ("distance: silent", 0, "fail: silent, raw 0"),
    ("jsn_sr04t", "stuck"): ("distance: stuck", 1, "fail: stuck, raw 1"),
    ("vl53l1x", "absent"): ("distance: silent", 19, "fail: silent, raw 19"),
    ("vl53l1x", "wrong_id"): ("distance: another part", 64220, "fail: another part, raw 64220"),
    ("vl53l1x", "stuck"): ("distance: no result in time", 0, "fail: no result in time, raw 0"),
    ("vl53l1x", "brown_out"): ("distance: no result in time", 0, "fail: no result in time, raw 0"),
    ("vl53l1x", "hardware"): ("distance: garbled", 3, "fail: garbled, raw 3"),
    ("vl53l1x", "sigma"): ("spread echoes", "", "fail: 0 echoes"),
    ("vl53l1x", "signal"): ("weak echo", "", "fail: weak echo"),
    ("vl53l1x", "wrapped"): ("wrapped echo", "", "fail: wrapped echo"),
    ("ds18b20", "absent"): ("temperature: silent", 0, "fail: silent, raw 0"),
    ("ds18b20", "stuck"): ("temperature: stuck", None, "fail: stuck, raw"),
    ("ds18b20", "garbled"): ("temperature: garbled", 9, "fail: garbled, raw 9"),
    ("ds18b20", "brown_out"): ("temperature: lost power in between", 1360, "fail: lost power in between, raw 1360"),
    ("ds18b20", "out_of_range"): ("temperature: out of range", 2400, "fail: out of range, raw 2400"),
    ("lis3dh", "absent"): ("tilt: silent", 19, "fail: nothing answers"),
    ("lis3dh", "stuck"): ("tilt: stuck", 0, "fail: stuck, raw 0"),
    ("lis3dh", "wrong_id"): ("tilt: another part", 0x44, "fail: another part, raw 68"),
    ("lis3dh", "noisy"): ("tilt: out of range", None, "fail: out of range, raw"),
    ("lis3dh", "out_of_range"): ("tilt: out of range", 0, "fail: out of range, raw 0"),
    ("lis3dh", "brown_out"): ("tilt: stuck", 0, "fail: stuck, raw 0"),
    ("divider", "absent"): ("battery: silent", 0, "fail: 0.00 V, silent, raw 0"),
    ("divider", "open"): ("battery: silent", 0, "fail: 0.00 V, silent, raw 0"),
    ("divider", "saturated"): ("battery: out of range", 5000, "fail: 5.00 V, out of range, raw 5000"),
    ("divider", "passivated"): ("battery: passivated cells", None, "skip: "),
    ("divider", "worn"): ("battery low, ", "", "fail: "),
}  # fmt: skip
SHOWN = {"no_echo": "no echo", "covered": "covered sensor", "wet": "covered sensor", "noisy": "few echoes"}
TESTED = {"no_echo": "0 echoes", "covered": "covered, ", "wet": "covered, ", "noisy": "spread "}
SOON = {"stuck": 51, "worn": 24, "noisy": 50}  # samples until it is told, where that is long


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as made:
        yield made


@pytest.fixture(scope="module")
def walked(pool):
    return [row for rows in pool.map(faults.walk, faults.RANGERS) for row in rows]


def test_every_fault_is_walked(walked):
    from kerbtools.emulator import parts

    known = {
        ("a02yyuw", parts.A02yyuw), ("jsn_sr04t", parts.JsnSr04t), ("vl53l1x", parts.Vl53l1x), ("ds18b20", parts.Ds18b20),
        ("lis3dh", parts.Lis3dh), ("divider", parts.Cells),
    }  # fmt: skip
    wanted = {(driver, fault) for driver, part in known for fault in ("absent", *part.FAULTS)}
    assert {(row["driver"], row["fault"]) for row in walked} == wanted and len(walked) == len(wanted)


def test_each_reaches_the_gateway_by_its_name_and_with_its_raw_value(walked):
    for row in walked:
        fault = row["fault"]
        name, raw, _ = NAMED.get((row["driver"], fault)) or (SHOWN[fault], "", "")
        assert name in row["event"] + row["flags"], row  # a wet face hears nothing now and then: its records tell it
        assert row["raw"] == raw if raw is not None else row["raw"] > 20, row
        assert row["samples"] <= SOON.get(fault, 16) and row["cleared"], row


def test_the_self_test_names_each_on_the_bench_and_says_what_to_do(walked):
    for row in walked:
        said = row["self_test"]
        _, _, wanted = NAMED.get((row["driver"], row["fault"])) or ("", "", "fail: ")
        assert said.startswith(wanted) and row["advice"], row
        if (row["driver"], row["fault"]) not in NAMED:
            assert TESTED[row["fault"]] in said, row


@pytest.mark.parametrize(("board", "fires"), [("esp32_c3", 12), ("pico_w", 3)])
def test_a_smoulder_of_5_kelvin_a_minute_is_told_by_the_whole_firmware_within_five_minutes(pool, board, fires):
    took_s = pool.submit(faults.smoulder, board, 5.0, fires).result()
    assert len(set(took_s)) == fires and min(took_s) > 60 and max(took_s) <= 300
