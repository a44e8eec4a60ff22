"""Many rows by few statements: all of them, in their order, whatever their number."""

import sqlite3
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbgate.store.bulk import Bulk, runs

INSERT = Bulk("INSERT INTO t (a, b)", 2, "ON CONFLICT DO UPDATE SET b=excluded.b WHERE a < ?")


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 200])
def test_all_rows_are_written_and_counted(count: int) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    assert INSERT.run(db, [(n, n) for n in range(count)], 50) == count
    assert INSERT.run(db, [(n, -n) for n in range(count)], 50) == min(count, 50)
    assert db.execute("SELECT a, b FROM t ORDER BY a").fetchall() == [(n, -n if n < 50 else n) for n in range(count)]
    db.close()


@given(st.sets(st.integers(0, 60)))
def test_runs_hold_the_numbers_and_no_other(numbers: set[int]) -> None:
    found = runs(list(numbers))
    assert [number for first, last in found for number in range(first, last + 1)] == sorted(numbers)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(found))
