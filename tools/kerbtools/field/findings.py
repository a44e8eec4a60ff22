"""What a check found, and which of many findings comes first.

    ok         nothing to do
    skipped    does not apply here, and says why
    unknown    could not be found out: cut off, or not permitted
    warn       look at it
    fail       something does not work

A finding that follows from another names it, and stands behind it: a full disk comes before the frames that are not
stored, and those before the nodes that are not answered.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

OK, SKIPPED, UNKNOWN, WARN, FAIL = "ok", "skipped", "unknown", "warn", "fail"
STATUS = {OK: 0, SKIPPED: 0, WARN: 1, FAIL: 2, UNKNOWN: 3}  # exit status, as monitoring plug-ins have it
_GRAVITY = {FAIL: 0, WARN: 1, UNKNOWN: 2, OK: 3, SKIPPED: 4}


@dataclass(frozen=True, slots=True)
class Finding:
    """causes: the likeliest first. next: commands, or what hands must do. explains: checks whose findings follow.

    subject: what it is about, such as `node 17`; nodes: by address, for `kerb show`. weight: of two findings of one
    check and verdict the heavier comes first.
    """

    check: str
    verdict: str
    evidence: str
    causes: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    subject: str = ""
    nodes: tuple[int, ...] = ()
    explains: tuple[str, ...] = ()
    weight: int = 0
    follows: str = field(default="", compare=False)

    def document(self) -> dict[str, Any]:
        """For --json."""
        return {
            "check": self.check,
            "subject": self.subject,
            "verdict": self.verdict,
            "evidence": self.evidence,
            "causes": list(self.causes),
            "next": list(self.next),
            "nodes": list(self.nodes),
            "follows": self.follows,
        }


def ranked(findings: Iterable[Finding], order: dict[str, int]) -> list[Finding]:
    """The findings, the one to begin with first. order: the place of each check in the table, roots before symptoms."""
    given = list(findings)
    causes = [row for row in given if row.verdict in (FAIL, WARN) and row.explains]
    marked = [_follows(row, causes) for row in given]
    return sorted(
        marked,
        key=lambda row: (
            _GRAVITY[row.verdict] > _GRAVITY[UNKNOWN],
            bool(row.follows),
            _GRAVITY[row.verdict],
            order.get(row.check, len(order)),
            -row.weight,
            row.subject,
        ),
    )


def worst(findings: Iterable[Finding]) -> str:
    """The worst verdict: fail, warn, unknown, then ok."""
    found = {row.verdict for row in findings}
    return next((verdict for verdict in (FAIL, WARN, UNKNOWN) if verdict in found), OK)


def _follows(row: Finding, causes: list[Finding]) -> Finding:
    """The same finding, with what it follows from. `explains` names a check, or `check/subject` for one of many."""
    if row.verdict in (OK, SKIPPED) or row.follows:
        return row
    for cause in causes:
        if (
            cause is not row
            and cause.check != row.check
            and (row.check in cause.explains or f"{row.check}/{row.subject}" in cause.explains)
        ):
            return replace(row, follows=cause.check)
    return row
