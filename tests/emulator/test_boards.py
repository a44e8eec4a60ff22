"""What both halves of the emulator have to agree on."""

import ast

from kerbtools import boards
from kerbtools.emulator.rpc import EVENTS_DUE, MAX_SPENT_US, Op


def test_both_halves_of_the_emulator_count_the_calls_alike():
    tree = ast.parse((boards.shims_folder() / "kerb_rpc.py").read_text())
    numbers = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, int)
    }
    own = {"READING_US", "BROKEN_OFF", "_due", "_sequence", "_uptime_us", "_spent_us"}
    assert numbers.pop("MAX_SPENT_US") == MAX_SPENT_US
    assert numbers.pop("EVENTS_DUE") == EVENTS_DUE
    assert {name: value for name, value in numbers.items() if name not in own} == {op.name: op.value for op in Op}
