"""The bench of a lamp's faults: scripted ones are found in time, a sound lamp costs no job, and it is one world a seed."""

from kerbtools.bench import lampfaults as bench


def lamp(fault, seed=1):
    return bench.Lamp(seed, fault, (bench.LEARN_DAYS + 0.5) * bench.DAY_S, 12).run()


def test_scripted_faults_are_found_in_their_time():
    for fault in ("light source dead", "one string of four dark", "supply lost"):
        row = bench.found_row(fault, bench.FAULTS[fault][1], [lamp(fault)])
        assert (row["found"], row["late"]) == (1, 0), row


def test_every_fault_has_a_time_that_the_table_can_hold_it_to():
    for _, stated, _ in bench.FAULTS.values():
        assert stated.endswith("nights") or any(stated.startswith(key) for key in bench._SECONDS), stated


def test_a_sound_lamp_in_storms_is_told_as_it_is_and_always_the_same():
    found = bench.Lamp(4, days=8).run()
    assert found.spells and found.told == bench.Lamp(4, days=8).run().told
    rows = list(bench.false_rows("as in WORLD", [found]))
    assert rows[-1]["false_jobs"] == 0 and rows[-1]["lamp_months"] == 1
    assert 1000 * bench._upper(0) / 1000 < 3.01 < 3.1 < bench._upper(1) < 4.75
