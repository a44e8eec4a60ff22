"""The wire's figures: bytes beside peers and floor, air time, operations, recorded data, code. Printed only."""

from collections.abc import Iterator, Sequence

from kerbtools.bench import footprint, workload


def rows(seeds: Sequence[int] = workload.SEEDS) -> Iterator[dict[str, object]]:
    """Rows of one table have the same keys. Where something is absent, a row says what, and what to do."""
    try:
        from kerbtools.bench import airtime, ed25519, operations, recorded, sizes
    except ModuleNotFoundError as absent:
        yield {"skipped": f"the package {absent.name!r} is not installed", "hint": "pip install 'kerbstone[dev]'"}
    else:
        days = workload.load()
        yield from sizes.rows(days, seeds)
        yield from airtime.rows(days, seeds)
        yield from operations.rows(days)
        yield from recorded.rows()
        yield from ed25519.rows()
    yield from footprint.rows()
