"""Chores that fail are tried again at intervals: a store whose folder is gone does not cost a core."""

import shutil
import time
from pathlib import Path

from gateway_harness import Rig, until

from kerbgate.store.store import AGAIN_S


def test_chores_that_fail_for_ever_do_not_spin(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    rig = Rig(folder)
    try:
        rig.store.chores._quota = None  # type: ignore[assignment]  # whatever fails first: then the connection is made anew
        until(lambda: rig.store.health.failed_chores, "the chores fail")
        shutil.rmtree(folder)
        until(lambda: "unable to open" in str(rig.store.health.last_failed_chore), "no connection can be made")
        first, began = rig.store.health.failed_chores, time.monotonic()
        until(lambda: rig.store.health.failed_chores >= first + 4, "and are tried again")
        assert time.monotonic() - began >= 3 * AGAIN_S
        assert rig.store.alive
    finally:
        rig.store.stop()
