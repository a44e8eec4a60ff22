"""Which alarms of single nodes are one alarm of a place: by feeder, else by position, else by group, else by site.

Pure: what is planned here, `book` does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kerbgate.alarms.places import Place, Places, clusters

TOGETHER_S = 1200  # causes that began no further apart belong together: more than the interval of a lamp's reports
MIN_FEEDER, MIN_PLACE, MIN_GROUP, MIN_SITE = 3, 4, 4, 10  # fewer are so many single faults
FEEDER, AROUND, GROUP, SITE = "feeder", "around", "group", "site"


@dataclass(frozen=True, slots=True)
class Single:
    """An alarm of one node that may be part of a larger one. since: UTC seconds; parent_kind: what that would be."""

    alarm_id: int
    node: int
    since: int
    parent_kind: str


@dataclass(frozen=True, slots=True)
class Parent:
    """A larger alarm that is open."""

    kind: str
    subject: str
    since: int
    nodes: frozenset[int] = frozenset()  # of those that are AROUND a node


@dataclass(slots=True)
class Plan:
    """Which singles go to which larger alarm, one that is open or a new one."""

    kind: str
    subject: str
    since: int
    alarms: list[int] = field(default_factory=list[int])
    nodes: list[int] = field(default_factory=list[int])


def plan(singles: Iterable[Single], parents: Iterable[Parent], places: Places) -> list[Plan]:
    """Bounded by the number of singles, times its logarithm."""
    known = {(parent.kind, parent.subject): parent for parent in parents}
    buckets: dict[tuple[str, str], list[Single]] = {}
    around: dict[str, list[Single]] = {}
    for single in singles:
        place = places.get(single.node)
        if place.feeder:
            buckets.setdefault((single.parent_kind, f"{FEEDER}:{place.feeder}"), []).append(single)
        elif place.latitude is not None:
            around.setdefault(single.parent_kind, []).append(single)
        else:
            subject = f"{GROUP}:{place.groups[0]}" if place.groups else f"{SITE}:{places.site}"
            buckets.setdefault((single.parent_kind, subject), []).append(single)
    for kind, found in around.items():
        for subject, some in _by_position(kind, found, known, places):
            buckets.setdefault((kind, subject), []).extend(some)
    plans: list[Plan] = []
    for (kind, subject), found in sorted(buckets.items()):
        parent = known.get((kind, subject))
        if parent is not None:
            joining = [single for single in found if single.since >= parent.since - TOGETHER_S]
            if joining:
                plans.append(_plan(kind, subject, parent.since, joining))
            continue
        for run in _runs(found):
            if len(run) >= _enough(subject, places):
                plans.append(_plan(kind, subject, run[0].since, run))
                break  # one larger alarm a place: what is left joins it, or is single
    return plans


def _by_position(
    kind: str, found: list[Single], known: Mapping[tuple[str, str], Parent], places: Places
) -> Iterable[tuple[str, list[Single]]]:
    """Singles that hang together with each other and with the members of open alarms."""
    by_node = {single.node: single for single in found}
    members = {
        node: subject
        for (parent_kind, subject), parent in known.items()
        if parent_kind == kind
        for node in parent.nodes
    }
    standing: list[Place] = [places.get(node) for node in by_node.keys() | members.keys()]
    for cluster in clusters([place for place in standing if place.latitude is not None]):
        nodes = sorted(place.node for place in cluster)
        subject = next((members[node] for node in nodes if node in members), f"{AROUND}:{nodes[0]}")
        some = [by_node[node] for node in nodes if node in by_node]
        if some:
            yield subject, some


def _runs(found: list[Single]) -> list[list[Single]]:
    """Cut where two begins are too far apart in time; the largest first."""
    runs: list[list[Single]] = []
    for single in sorted(found, key=lambda one: one.since):
        if runs and single.since - runs[-1][-1].since <= TOGETHER_S:
            runs[-1].append(single)
        else:
            runs.append([single])
    return sorted(runs, key=len, reverse=True)


def _enough(subject: str, places: Places) -> int:
    scope, _, name = subject.partition(":")
    if scope == FEEDER:
        return max(MIN_FEEDER, -(-places.feeders[name] // 2))
    return {AROUND: MIN_PLACE, GROUP: MIN_GROUP}.get(scope, MIN_SITE)


def _plan(kind: str, subject: str, since: int, singles: list[Single]) -> Plan:
    return Plan(kind, subject, since, [one.alarm_id for one in singles], [one.node for one in singles])
