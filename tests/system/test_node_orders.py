"""The real gateway commands the real firmware on an emulated board, and its events are committed."""

from street_harness import DEADLINE_S, wait_for

from kerbgate import config, control
from kerbtools import send
from kerbtools.demo.street import Street

NODE = 417


def test_a_sleeping_node_obeys_with_its_next_report_and_is_believed_when_it_says_so(street: Street) -> None:
    path = street.gateway.folder / "gateway.toml"
    state = config.load(path).gateway.state

    def ended(count: int) -> bool:
        rows = control.ask(state, "commands", limit=10)["commands"]
        return sum(row["counts"].get("applied", 0) for row in rows) == count

    wait_for(lambda: street.council.counts().get(NODE, 0) > 0, "the node has reported")
    for count, operation in enumerate(("sample", "restart"), 1):
        assert send.main([operation, "--node", str(NODE), "--valid", "7d", "--config", str(path)]) == 0
        wait_for(lambda: ended(count), f"{operation} was obeyed: {control.ask(state, 'commands', limit=10)}")  # noqa: B023
    assert not [line for line in street.nodes[NODE].console if line.startswith("note crash")]
    fresh = street.ledger.taken()
    street.settle(fresh, DEADLINE_S)
    verdict = street.verdict(fresh)
    assert verdict.lost == 0 and verdict.doubled == 0
