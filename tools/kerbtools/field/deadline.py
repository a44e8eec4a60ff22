"""Checks side by side, each in a thread of its own with a deadline. One that hangs is cut off, and says so.

A thread cannot be ended from outside; a daemon can be left behind, and the process ends without it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from kerbgate.errors import ConfigError, GatewayError
from kerbtools.field.findings import SKIPPED, UNKNOWN, Finding
from kerbtools.field.subject import Subject

Check = Callable[[Subject], Iterable[Finding]]


class Row:
    """One row of the table: its name, what it looks at, how long it may take, in seconds."""

    __slots__ = ("about", "limit_s", "name", "run")

    def __init__(self, name: str, about: str, run: Check, limit_s: float = 5.0):
        self.name = name
        self.about = about
        self.run = run
        self.limit_s = limit_s


def run(rows: Sequence[Row], subject: Subject) -> list[Finding]:
    """The findings of all checks, in the table's order. Takes as long as the slowest, and never more than its limit."""
    works = [_Work(row, subject) for row in rows]
    return [finding for work in works for finding in work.findings()]


class _Work:
    """One check under way."""

    def __init__(self, row: Row, subject: Subject):
        self._row = row
        self._found: list[Finding] | None = None
        self._done = threading.Event()
        self._end = time.monotonic() + row.limit_s
        threading.Thread(target=self._run, args=(subject,), name=f"check {row.name}", daemon=True).start()

    def _run(self, subject: Subject) -> None:
        name = self._row.name
        try:
            self._found = list(self._row.run(subject))
        except ConfigError:  # the row of the configuration says which
            self._found = [Finding(name, SKIPPED, "without a configuration it cannot be looked at")]
        except GatewayError as error:
            self._found = [Finding(name, UNKNOWN, error.cause, (), (error.hint,))]
        except Exception as error:  # the edge of one check: the others are told
            causes = ("what it looks at cannot be read", "a fault of this program")
            said = f"the check failed: {type(error).__name__}: {error}"
            self._found = [Finding(name, UNKNOWN, said, causes, ("kerb gateway status",))]
        finally:
            self._done.set()

    def findings(self) -> list[Finding]:
        self._done.wait(max(self._end - time.monotonic(), 0))
        found = self._found
        if found is None:
            return [
                Finding(
                    self._row.name,
                    UNKNOWN,
                    f"cut off: no answer within {self._row.limit_s:.0f} s",
                    ("a disk or a network that does not answer", "a machine that is too busy"),
                    (f"kerb doctor --only {self._row.name}", "dmesg | tail"),
                )
            ]
        return found
