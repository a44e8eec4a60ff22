"""What the gateway's packages offer by name, and the tree of its errors."""

import inspect

from kerbgate import alarms, errors, inlets, outlets, registry, store


def test_public_names_are_these() -> None:
    assert alarms.__all__ == ["AlarmBook", "AlarmLetters", "AlarmService"]
    assert inlets.__all__ == ["Counters", "Inlet", "Route", "Take", "open_inlet"]
    assert outlets.__all__ == ["Link", "Outlet", "check_url", "open_outlet"]
    assert registry.__all__ == [
        "Asset", "Binding", "Card", "HEARD", "KEYED", "MAX_ADDRESS", "Node", "ROLES", "Registry", "SECRET_SIZE", "STATES",
        "TRANSITIONS",
    ]  # fmt: skip
    assert store.__all__ == [
        "CLOSED_LIFE", "COMMITTED", "DUPLICATE", "FAILED", "REPLAYED", "UNKNOWN_LIFE",
        "Arrival", "Fold", "HelloFacts", "Layer", "NewReport", "Outcome", "Reader", "Store", "StoredReport",
    ]  # fmt: skip


def test_the_tree_of_errors_is_the_one_in_the_docstring() -> None:
    drawn = [row for row in (errors.__doc__ or "").splitlines() if "Error" in row or "+--" in row]
    for name, cls in inspect.getmembers(errors, inspect.isclass):
        assert issubclass(cls, errors.GatewayError), name
        depth = len(cls.__mro__) - len(errors.GatewayError.__mro__)
        assert any(f"{row} ".find(f" {name} ") == 3 + 4 * depth for row in drawn), name
