"""Looks at a running gateway: what is asked of its control socket, at which pace, and what came of it.

A look asks what is due. The process is asked each second. What reads the store is asked again only after REST times the
span that its answer took, so that a gateway of any size gives but a few percent of its time to those who watch it.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerbgate import asking
from kerbgate.errors import ControlError, NoAnswer

EVERY_S = 1.0
REST = 60  # spans of an answer until it is asked again: under 2 % of the gateway's time for each question
MAX_REST_S = 30.0  # what is on the screen is never older
FACTS_S = 3.0  # who needs longer to say how it is does not answer
STORE_S = 10.0
MAX_NODES = 500  # rows of one answer; a filter finds the others
MAX_ALARMS = 200

FACTS, NODES, QUEUES, ALARMS, STORY = "facts", "nodes", "queue", "alarms", "story"
Ask = Callable[[str, float, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question came to. found: None where it was refused; then cause and hint say why. at_s: steady clock."""

    at_s: float
    took_s: float
    fields: Mapping[str, Any]
    found: dict[str, Any] | None
    cause: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """The newest answer to each question. away_s: since when, by the steady clock, the gateway does not answer."""

    at_s: float
    answers: Mapping[str, Answer]
    away_s: float | None = None
    cause: str = ""
    hint: str = ""

    def found(self, question: str) -> dict[str, Any] | None:
        """The newest answer to a question; None where there is none, or it was refused."""
        answer = self.answers.get(question)
        return None if answer is None else answer.found


def due(answer: Answer | None, fields: Mapping[str, Any], now_s: float) -> bool:
    """Whether a question is to be asked now: never asked, another question, or rested enough."""
    if answer is None or answer.fields != fields:
        return True
    return now_s - answer.at_s >= min(max(EVERY_S, REST * answer.took_s), MAX_REST_S) - EVERY_S / 10


@dataclass(slots=True)
class Looker:
    """Asks one gateway. wanted: fields by question, as the screen has need of them; another thread may set them."""

    ask: Ask
    steady: Callable[[], float] = time.monotonic
    wanted: dict[str, Mapping[str, Any]] = field(
        default_factory=lambda: {
            FACTS: {}, NODES: {"sort": "state", "limit": MAX_NODES}, QUEUES: {}, ALARMS: {"limit": MAX_ALARMS},
        }
    )  # fmt: skip
    _answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    _away_s: float | None = None

    def look(self) -> Look:
        """Ask what is due. A gateway that is away is asked one thing only, whether it is back."""
        wanted = dict(self.wanted)
        cause = hint = ""
        was_away = self._away_s is not None
        for question, fields in wanted.items():
            began, before = self.steady(), self._answers.get(question)
            if not was_away and not due(before, fields, began):
                continue
            found: dict[str, Any] | None = None
            told = ("", "")
            try:
                found = self.ask(question, FACTS_S if question == FACTS else STORE_S, fields)
            except NoAnswer as error:
                if question == FACTS:
                    self._away_s = began if self._away_s is None else self._away_s
                    cause, hint = error.cause, error.hint
                    break
                found, told = None if before is None else before.found, (error.cause, error.hint)
            except ControlError as error:
                told = (error.cause, error.hint)
            if question == FACTS:
                self._away_s = None
            now = self.steady()
            self._answers[question] = Answer(now, now - began, fields, found, *told)
        for question in set(self._answers) - set(wanted):
            del self._answers[question]
        return Look(self.steady(), dict(self._answers), self._away_s, cause, hint)


class Watch(threading.Thread):
    """Looks at a gateway until it is stopped, and hands each look on.

    A daemon: who leaves while a gateway is stuck does not wait for its answer.
    """

    def __init__(self, looker: Looker, post: Callable[[Look], object]):
        super().__init__(name="watch", daemon=True)
        self._looker, self._post = looker, post
        self._soon, self._over = threading.Event(), threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            self._soon.clear()
            self._post(self._looker.look())
            self._soon.wait(EVERY_S)

    def hurry(self) -> None:
        """Look now: something else is wanted."""
        self._soon.set()

    def stop(self) -> None:
        """No look begins any more."""
        self._over.set()
        self._soon.set()


def of_socket(state: Path) -> Ask:
    """Asks the gateway that runs on a state folder. NoAnswer, ControlError."""

    def ask(question: str, timeout_s: float, fields: Mapping[str, Any]) -> dict[str, Any]:
        return asking.ask(state, question, timeout_s=timeout_s, **fields)

    return ask
