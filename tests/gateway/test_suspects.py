"""Suspects against a simulated broker: exactly what it does not take is set aside, and nothing for the broker's sake."""

from collections.abc import Iterable

import pytest

from kerbgate.suspects import STRIKES, Suspects


def connect(suspects: Suspects, waiting: list[int], refused: Iterable[int], window: int = 4) -> int | None:
    """One connection to a broker that ends it at a document of `refused`; takes from `waiting` what was delivered."""
    suspects.begin()
    if suspects.doubted:
        for report_id in suspects.order(list(waiting)):
            suspects.publishes(report_id)
            if report_id in refused:
                return suspects.ended({report_id})
            suspects.taken()
            waiting.remove(report_id)
        suspects.cleared()
    while waiting:
        under_way = waiting[:window]
        if set(under_way) & set(refused):  # it ends before any of them is acknowledged
            return suspects.ended(set(under_way))
        del waiting[:window]
    return None


@pytest.mark.parametrize("refused", [{1}, {3}, {5}, {1, 2}, {4, 5, 6}, {2, 9}, {20}])
def test_exactly_what_is_refused_is_set_aside(refused: set[int]) -> None:
    suspects, waiting, aside = Suspects(), list(range(1, 21)), set[int]()
    for _ in range(60):
        found = connect(suspects, waiting, refused)
        if found is not None:
            aside.add(found)
            waiting.remove(found)
        if not waiting:
            break
        if waiting == sorted(refused - aside):
            waiting.append(max(waiting) + 100)  # another document comes, a witness
    assert aside == refused and not set(waiting) & refused


def test_a_broker_that_takes_nothing_condemns_nothing() -> None:
    suspects, waiting = Suspects(), list(range(1, 21))
    for _ in range(200):
        assert connect(suspects, waiting, refused=range(1000)) is None
    assert connect(suspects, waiting, refused=()) is None and waiting == []


def test_one_end_after_a_witness_is_chance() -> None:
    suspects, waiting = Suspects(), list(range(1, 9))
    for _ in range(STRIKES):
        assert connect(suspects, waiting, refused=range(1000)) is None
    assert connect(suspects, waiting, refused={2}) is None  # 1 was taken, and 2 ended it
    for _ in range(50):  # then the broker is away
        suspects.begin()
        assert suspects.ended(set()) is None
    assert connect(suspects, waiting, refused=()) is None and waiting == []


def test_the_only_document_is_tried_for_ever() -> None:
    suspects, waiting = Suspects(), [7]
    for _ in range(50):
        assert connect(suspects, waiting, refused={7}) is None
