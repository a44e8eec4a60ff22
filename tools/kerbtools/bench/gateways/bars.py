"""The bars of the design, from the rows of one run: ours beside the faster of the peers that store each reading.

A peer that gathers what it has acknowledged in memory before it stores it has a row in the table, and no part in these.
"""

from collections.abc import Iterator, Sequence

OURS, OURS_24 = "kerbstone", "kerbstone, 24 a message"
PEERS = ("thingsboard-gateway, SQLite", "Node-RED, SQLite queue")

Row = dict[str, object]


def rows(measured: Sequence[Row]) -> Iterator[Row]:
    """A row for each bar that this run can say something about: what it asks for, what was found."""

    def value(scenario: str, gateway: str, column: str) -> float | None:
        for row in measured:
            if row["scenario"] == scenario and row["gateway"] == gateway:
                found = row.get(column)
                return float(found) if isinstance(found, int | float) else None
        return None

    def bar(what: str, needs: str, found: float | None, met: bool) -> Iterator[Row]:
        if found is not None:
            yield {"bar": what, "needs": needs, "found": found, "met": "yes" if met else "no"}

    speeds = {peer: value("speed", peer, "messages_per_second") for peer in PEERS}
    known = {peer: speed for peer, speed in speeds.items() if speed}
    if known:
        fastest = max(known, key=lambda peer: known[peer])
        cost = value("speed", fastest, "cpu_s_per_1000_messages") or 0.0
        for what, least, gateway, column in (
            (f"messages a second, times {fastest}", 2.0, OURS, "messages_per_second"),
            (f"readings a second, 24 a message, times {fastest}", 10.0, OURS_24, "readings_per_second"),
        ):
            ours = value("speed", gateway, column)
            ratio = ours / known[fastest] if ours is not None else None
            yield from bar(what, f"at least {least:g}", ratio, ratio is not None and ratio >= least)
        for what, most, gateway, column in (
            (f"CPU a message, times {fastest}", 1.0, OURS, "cpu_s_per_1000_messages"),
            (f"CPU a reading, 24 a message, times {fastest}", 0.1, OURS_24, "cpu_s_per_1000_readings"),
        ):
            ours = value("speed", gateway, column)
            ratio = ours / cost if ours is not None and cost else None
            yield from bar(what, f"at most {most:g}", ratio, ratio is not None and ratio <= most)
    for what, most, scenario, gateway, column in (
        ("p99 at 200 messages a second, ms", 30.0, "latency", OURS, "p99_ms"),
        ("first reading after start, s", 1.0, "start", OURS, "first_reading_after_s"),
        ("peak memory over a million readings, MB", 80.0, "million", OURS_24, "peak_memory_mb"),
    ):
        found = value(scenario, gateway, column)
        yield from bar(what, f"at most {most:g}", found, found is not None and found <= most)
    tenth = value("million", OURS_24, "memory_mb_at_a_tenth")
    end = value("million", OURS_24, "memory_mb_at_the_end")
    if tenth and end:
        yield from bar("memory at the end, times that after a tenth", "at most 1.1", end / tenth, end <= 1.1 * tenth)
    for uplink in ("up", "down", "frozen"):
        for gateway in (OURS, OURS_24, "kerbstone, serial"):
            lost = value(f"kill {uplink}", gateway, f"lost_{uplink}")
            yield from bar(f"{gateway}: lost in a kill -9, uplink {uplink}", "0", lost, lost == 0)
