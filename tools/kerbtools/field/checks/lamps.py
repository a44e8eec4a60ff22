"""Lamps, several at once: the supply of a street, and lamps that are bound to the wrong column."""

from collections.abc import Iterator
from typing import Any

from kerbtools.field.findings import FAIL, OK, SKIPPED, WARN, Finding
from kerbtools.field.screen import clean, listed, when
from kerbtools.field.subject import Subject

MORE, LESS = 1.25, 0.6  # of what the luminaire takes: a driver keeps the light constant between 0.7 and 1
LIKE = 0.15  # apart, and still the same luminaire
LEAST_W = 5.0  # apart: a small lamp's measurement is no finer
_QUIET = ("pending", "suppressed", "quiet")


def supply(subject: Subject) -> Iterator[Finding]:
    """Cuts and dips, and what looks like one and is a cabinet that switches."""
    if not subject.store.exists():
        yield Finding("supply", SKIPPED, "no node was heard yet")
        return
    found = subject.condition
    told = [row for row in found["alarms"] if row["state"] not in _QUIET and not row["grouped"]]
    out = [finding for row in found["switched"] for finding in _switched(row)]
    switched = {finding.subject for finding in out}
    low = [row for row in found["alarms"] if row["kind"] == "supply too low" and row["state"] not in _QUIET]
    out += _dip(low, [row for row in told if row["kind"] == "power cut" and clean(row["subject"]) not in switched])
    high = [row for row in told if row["kind"] == "supply too high"]
    if high:
        nodes = [row["node"] for row in high]
        out.append(
            Finding(
                "supply",
                FAIL,
                f"the supply is too high at node {listed(nodes)} ({_said(high[0])})",
                ("a lost neutral or a transformer: a fault of the network operator, and dangerous",),
                ("call the network operator now", "kerb alarms --route 'network operator'"),
                nodes=tuple(nodes),
                subject=f"node {nodes[0]}",
                weight=5,
            )
        )
    yield from out or [Finding("supply", OK, "no cut and no dip")]


def _switched(row: dict[str, Any]) -> Iterator[Finding]:
    if not row["same_pause"] or row["same_pause"] < row["looked_at"]:
        return
    subject = clean(row["subject"])
    says = f"the inventory says {', '.join(row['supplies'])}" if row["supplies"] else "the inventory does not say"
    yield Finding(
        "supply",
        WARN,
        f"{row['kind']} at {subject}: its lamps fell silent at this time of day on each of {row['days']}"
        f" days before, too, and came back; {says}",
        (
            "its cabinet switches the feeder by day, and the inventory does not know: this is no fault",
            "a fault that comes at the same time each day",
        ),
        (
            "kerb bind NODE --asset ASSET --supply switched, for each lamp of it",
            "or the inventory again, with supply = switched: kerb inventory import FILE",
        ),
        subject=subject,
        nodes=tuple(row["members"]),
        explains=tuple(f"nodes/node {node}" for node in row["members"]),
        weight=9,
    )


def _dip(low: list[dict[str, Any]], cuts: list[dict[str, Any]]) -> Iterator[Finding]:
    nodes = [row["node"] for row in low if row["node"] is not None]
    step = ("call the network operator, with these times", "kerb alarms --route 'network operator'")
    explains = tuple(f"nodes/node {node}" for node in nodes)
    for row in cuts:
        members = row.get("members", [])
        explained = (*explains, *(f"nodes/node {node}" for node in members))
        if set(members) & set(nodes):
            yield Finding(
                "supply",
                FAIL,
                f"a supply dip at {clean(row['subject'])} since {when(row['since_s'])}: lamps report a low"
                f" supply ({_said(low[0])})",
                ("a dip or a cut at the network operator", "a neutral that is loose"),
                step,
                subject=clean(row["subject"]),
                nodes=tuple(members),
                explains=explained,
                weight=8,
            )
        else:
            yield Finding(
                "supply",
                FAIL,
                f"a power cut at {clean(row['subject'])} since {when(row['since_s'])}:"
                f" lamps of it fell silent together ({listed(members)})",
                (
                    "its fuse or its feeder has gone, or the network operator has cut it",
                    "the cabinet switches it by day",
                ),
                ("look at the cabinet's fuse; else call the network operator", "kerb nodes --state silent"),
                subject=clean(row["subject"]),
                nodes=tuple(members),
                explains=explained,
                weight=7,
            )
    if nodes and not any(set(row.get("members", [])) & set(nodes) for row in cuts):
        many = len(nodes) > 1
        yield Finding(
            "supply",
            WARN,
            f"the supply is too low at node {listed(nodes)} since {when(low[0]['since_s'])} ({_said(low[0])})",
            ("a dip at the network operator: several lamps have it at once", "a cabinet with a loose neutral")
            if many
            else ("a dip at the network operator", "a loose contact in this column"),
            step if many else (*step, f"kerb show {nodes[0]}"),
            subject=f"node {nodes[0]}",
            nodes=tuple(nodes),
            weight=6,
            explains=explains,
        )


def _said(row: dict[str, Any]) -> str:
    return "; ".join(f"{name} {clean(value)}" for name, value in row["evidence"].items()) or "no value"


def columns(subject: Subject) -> Iterator[Finding]:
    """Lamps whose power at full level is not that of the luminaire that their column has."""
    if not subject.store.exists():
        yield Finding("columns", SKIPPED, "no node was heard yet")
        return
    lamps: list[dict[str, Any]] = subject.condition["lamps"]
    if not lamps:
        yield Finding(
            "columns", SKIPPED, "of no lamp both the luminaire's wattage and its power at full level are known"
        )
        return
    wrong = [row for row in lamps if not _fits(row, row)]
    out: list[Finding] = []
    paired: set[int] = set()
    for row in wrong:
        if row["node"] in paired:
            continue
        others = [other for other in wrong if other is not row and _alike(row, other) and _alike(other, row)]
        if others:
            paired |= {row["node"], others[0]["node"]}
            out.append(_swapped(row, others[0]))
        else:
            out.append(_misfit(row))
    yield from out or [Finding("columns", OK, f"{len(lamps)} lamps take what their luminaires should")]


def _fits(row: dict[str, Any], asset: dict[str, Any]) -> bool:
    """Whether a lamp takes what the luminaire of an asset takes."""
    measured, watts = row["measured_w"], asset["wattage_w"]
    return abs(measured - watts) < LEAST_W or LESS * watts <= measured <= MORE * watts


def _alike(row: dict[str, Any], asset: dict[str, Any]) -> bool:
    measured, watts = row["measured_w"], asset["wattage_w"]
    return abs(measured - watts) <= max(LIKE * watts, 1.0)


def _swapped(one: dict[str, Any], other: dict[str, Any]) -> Finding:
    a, b = one["node"], other["node"]
    return Finding(
        "columns",
        WARN,
        f"{_bound(one)}; {_bound(other)}",
        ("the two are bound to each other's column", "both luminaires were exchanged"),
        (
            f"kerb send identify --node {a}: which column blinks?",
            f"kerb bind {b} --unbind; kerb bind {a} --asset '{other['asset']}'; kerb bind {b} --asset '{one['asset']}'",
        ),
        subject=f"node {a}",
        nodes=(a, b),
        explains=(f"nodes/node {a}", f"nodes/node {b}"),
        weight=3,
    )


def _bound(row: dict[str, Any]) -> str:
    where = f"is bound to {row['asset']} with {row['wattage_w']:.0f} W"
    return f"node {row['node']} takes {row['measured_w']:.0f} W at full level and {where}"


def _misfit(row: dict[str, Any]) -> Finding:
    node = row["node"]
    return Finding(
        "columns",
        WARN,
        f"node {node} takes {row['measured_w']:.0f} W at full level, and its column {row['asset']} has"
        f" {row['wattage_w']:.0f} W",
        ("it is bound to the wrong column", "another luminaire was fitted", "a part of its LEDs is out"),
        (f"kerb send identify --node {node}: which column blinks?", f"kerb bind {node} --asset RIGHT-ONE"),
        subject=f"node {node}",
        nodes=(node,),
        explains=(f"nodes/node {node}",),
    )
