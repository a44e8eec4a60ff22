"""Suspects against a simulated broker: exactly what it does not take is set aside, and nothing for the broker's sake."""

from collections.abc import Callable, Iterable

import pytest

from kerbgate.suspects import STRIKES, Suspects


def connect(
    suspects: Suspects,
    waiting: list[int],
    refused: Iterable[int],
    window: int = 4,
    node: Callable[[int], int] = lambda number: number,
) -> int | None:
    """One connection to a broker that ends it at a document of `refused`; takes from `waiting` what was delivered."""
    suspects.begin()
    if suspects.doubted:
        for (number,) in suspects.order({(number,): node(number) for number in waiting}):
            suspects.publishes((number,))
            if number in refused:
                return _number(suspects.ended({(number,)}))
            suspects.taken()
            waiting.remove(number)
        suspects.cleared()
    while waiting:
        under_way = waiting[:window]
        if set(under_way) & set(refused):  # it ends before any of them is acknowledged
            return _number(suspects.ended([(number,) for number in under_way]))
        del waiting[:window]
    return None


def _number(ident: "tuple[int, ...] | None") -> int | None:
    return ident[0] if ident else None


@pytest.mark.parametrize("nodes", [1, 3, 100])
@pytest.mark.parametrize("refused", [{1}, {3}, {5}, {1, 2}, {4, 5, 6}, {2, 9}, {20}])
def test_exactly_what_is_refused_is_set_aside(refused: set[int], nodes: int) -> None:
    suspects, waiting, aside = Suspects(), list(range(1, 21)), set[int]()
    for _ in range(60):
        found = connect(suspects, waiting, refused, node=lambda number: number % nodes)
        if found is not None:
            aside.add(found)
            waiting.remove(found)
        if not waiting:
            break
        if waiting == sorted(refused - aside):
            waiting.append(max(waiting) + 100)  # another document comes, a witness
    assert aside == refused and not set(waiting) & refused


def test_a_witness_is_the_oldest_document_of_another_node() -> None:
    """So nothing of a node overtakes, neither of the suspect's nor of the witness's."""
    suspects = Suspects()
    waiting = {(1,): "a", (2,): "a", (3,): "b", (4,): "b", (5,): "c"}
    for _ in range(STRIKES):
        suspects.begin()
        assert suspects.ended(waiting) is None
    for witness in (3, 5, 2, 4, 3):  # then, if none of them is taken, others, and in the end the first again
        suspects.begin()
        order = suspects.order(waiting)
        if order[0] == (1,):  # nothing is suspected yet
            suspects.publishes((1,))
            assert suspects.ended([(1,)]) is None
            suspects.begin()
            order = suspects.order(waiting)
        assert order[:2] == [(witness,), (1,)]
        suspects.publishes((witness,))  # and the broker takes that one no more than the other
        assert suspects.ended([(witness,)]) is None
    assert Suspects().order(waiting) == []


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
