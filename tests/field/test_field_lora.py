"""What the doctor says of a radio modem: not there, and there but no modem."""

import os
import tty
from pathlib import Path

from field_harness import World, problems, until

from kerbtools.field.findings import FAIL


def test_a_modem_that_is_unplugged_and_a_board_that_is_none(tmp_path: Path) -> None:
    world = World(tmp_path, bins=(1,), lamps=())
    device = tmp_path / "modem"
    text = world.config.read_text()
    world.config.write_text(f'{text}\n[[inlet]]\nurl = "lora:{device}?mhz=868.1&sf=9"\n')
    end, port = os.openpty()
    tty.setraw(port)
    world.start()
    try:
        first = problems(world.config)[0]
        assert first.check == "serial" and first.verdict == FAIL and f"{device} is not there" in first.evidence
        assert "plug the cable in" in first.next[0]
        device.symlink_to(os.ttyname(port))
        until(lambda: "no radio modem answers" in problems(world.config)[0].evidence, "what it is not")
        first = problems(world.config)[0]
        assert first.check == "serial" and "another firmware" in first.causes[0]
        assert any("kerb flash --role modem" in step for step in first.next)
    finally:
        world.close()
        os.close(port)
        os.close(end)
