"""Bytes of kerbwire's code as a board runs it: .mpy by module, and in sum."""

from collections.abc import Iterator
from pathlib import Path

import kerbwire
from kerbtools import bundle


def rows() -> Iterator[dict[str, object]]:
    """One row a module, then the sum."""
    total = lines = 0
    for source in sorted(Path(kerbwire.__file__).parent.glob("*.py")):
        try:
            size = len(bundle.compile_module(source, f"kerbwire/{source.name}"))
        except bundle.BundleError as error:
            yield {"skipped": str(error), "hint": error.hint}
            return
        count = len(source.read_text().splitlines())
        total, lines = total + size, lines + count
        yield _row(source.stem, size, count)
    yield _row("all of kerbwire", total, lines)


def _row(module: str, size: int, lines: int) -> dict[str, object]:
    return {"module": module, "mpy_bytes": size, "source_lines": lines}
