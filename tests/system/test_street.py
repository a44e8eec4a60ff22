"""The whole way with real firmware, a real gateway process and a real broker, one misfortune at a time."""

import pytest
from street_harness import DEADLINE_S, wait_for

from kerbtools.demo.street import Street

pytestmark = pytest.mark.timeout(4 * DEADLINE_S)


def lives_at_council(street: Street, node: int) -> set[str]:
    return {ident.split("/")[2] for ident in street.council.record_ids() if ident.split("/")[1] == str(node)}


def test_a_wiped_flash_draws_a_new_life_and_loses_no_new_record(street: Street) -> None:
    board = street.nodes[417]
    wait_for(lambda: len(lives_at_council(street, 417)) == 1, "the first life reports")
    board.cut_power()
    before = street.ledger.taken()
    board.wipe_flash()
    board.restore_power()
    wait_for(lambda: len(lives_at_council(street, 417)) == 2, "the second life reports")
    fresh = {i for i in street.ledger.taken() - before if i.split("/")[1] == "417"}
    street.settle(fresh, DEADLINE_S)
    verdict = street.verdict(fresh)
    assert verdict.lost == 0 and verdict.doubled == 0 and verdict.taken >= 24
    # The new life counts from 0 again; had life not been part of a record's id, these would have been dropped.
    assert any(ident.endswith("/0") for ident in fresh)


def test_a_day_without_gateway_and_broker_is_made_up_for(street: Street) -> None:
    wait_for(lambda: len(street.council.counts()) == 3, "all nodes have reported")
    street.gateway.kill()
    street.broker.cut(0.1)
    start = street.virtual_hours()
    wait_for(lambda: street.virtual_hours() > start + 30, "thirty virtual hours pass")
    taken = street.ledger.taken()
    assert taken - street.council.record_ids()
    street.gateway.start()
    street.settle(taken, DEADLINE_S)
    verdict = street.verdict(taken)
    assert verdict.lost == 0 and verdict.doubled == 0, verdict
