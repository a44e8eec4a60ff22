"""Lines for people: the rows of a self-test, and named values."""

from collections.abc import Mapping, Sequence

from kerbtools.device.selftest import Row


def table(rows: Sequence[Row]) -> list[str]:
    """One line a check, and under one that did not pass its likely cause."""
    lines: list[str] = []
    for row in rows:
        limit = f" (limit: {row.limit})" if row.limit else ""
        lines.append(f"      {row.verdict:4} {row.check:12} {row.value}{limit}")
        if row.cause:
            lines.append(f"           {row.cause}")
    return lines


def field_lines(values: Mapping[str, object]) -> list[str]:
    """One line a value; None is a dash."""
    width = max((len(name) for name in values), default=0)
    return [f"{name:{width}}  {'-' if value is None else value}" for name, value in values.items()]
