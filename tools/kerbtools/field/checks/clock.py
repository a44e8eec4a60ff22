"""The gateway's clock, held against all that knows the time: the kernel, the board, and the nodes' own clocks."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from kerbtools.field.checks import host
from kerbtools.field.findings import FAIL, OK, WARN, Finding
from kerbtools.field.screen import span, when
from kerbtools.field.subject import Subject

ENOUGH = 3  # nodes that must agree
APART_S = 600  # seconds that they may be apart, and agree
OFF_S = 900  # that their records may be late or early
EARLY_S = 120  # records from the future: no node can be late with those
AGREE = 0.8  # of the nodes
RTC_OFF_S = 300
_RTC = "sys/class/rtc/rtc0/since_epoch"
_STEPS = ("timedatectl status", "sudo timedatectl set-ntp true", "chronyc tracking", "sudo chronyc makestep")
_FOLLOWS = ("tls", "nodes", "queues", "broker", "problems", "supply")


def clock(subject: Subject) -> Iterator[Finding]:
    """Whether the time is right, trusted, and was not set."""
    facts = subject.facts
    step_s = None if facts is None else facts["clock_step_s"]
    off_s = None
    if subject.store.exists():
        off_s = offset_s([lag for _, lag in subject.condition["lags"]])
    if off_s is not None:
        way = "ahead" if off_s > 0 else "behind"
        stepped = f"; it was set by {step_s:+.0f} s while the gateway ran" if step_s is not None else ""
        yield Finding(
            "clock",
            FAIL,
            f"the clock is {span(abs(off_s))} {way} of what the nodes' own clocks say{stepped}",
            (
                "the host's clock is wrong: no time source, or a wrong one",
                "somebody set it by hand",
                "nodes send old records that had waited",
            ),
            _STEPS,
            explains=_FOLLOWS,
        )
        return
    newest = None
    if subject.store.exists():
        newest = subject.condition["newest_received_ms"]
    if newest is not None and newest / 1000 > subject.now_s + EARLY_S:
        ahead_s = newest / 1000 - subject.now_s
        yield Finding(
            "clock",
            FAIL,
            f"the store has frames from {span(ahead_s)} in the future: the clock went back",
            ("the host has lost its time: no battery in its clock, no time source", "it was ahead before"),
            _STEPS,
            explains=_FOLLOWS,
        )
        return
    rtc_s = _rtc_off_s() if subject.config.clock.source == "system" else None
    if rtc_s is not None and abs(rtc_s) > RTC_OFF_S:
        yield Finding(
            "clock",
            WARN,
            f"the clock and the board's own differ by {span(abs(rtc_s))}",
            ("one of them is wrong: the next start without a network begins with the board's",),
            (*_STEPS[:2], "sudo hwclock --systohc"),
        )
        return
    source = subject.config.clock.source
    synchronised = facts["synchronised"] if facts is not None else _synchronised(subject)
    if not synchronised:
        yield Finding(
            "clock",
            WARN,
            f"the clock is not synchronised (source {source}): nodes get no time from this gateway",
            ("no time source is reached", "no time service runs"),
            _STEPS,
            explains=("problems",),
        )
    elif step_s is not None:
        yield Finding(
            "clock",
            WARN,
            f"the clock was set by {step_s:+.0f} s while the gateway ran",
            ("a time source came back", "somebody set it by hand"),
            _STEPS[:1],
            explains=("problems",),
        )
    else:
        trusted = "trusted on the operator's word" if source == "trusted" else "synchronised"
        yield Finding("clock", OK, f"{when(subject.now_s)}, {trusted}")


def offset_s(lags: list[int]) -> float | None:
    """By how many seconds the clock is ahead of the nodes' own, if enough of them agree; negative: behind.

    lags: from a node's newest record to its arrival. Nodes that are late with old records are late by different times;
    those that all are by the same are not late.
    """
    early = [lag for lag in lags if lag < -EARLY_S]
    if len(early) >= ENOUGH:
        return statistics.median(early)
    if len(lags) < ENOUGH:
        return None
    middle = statistics.median(lags)
    agree = [lag for lag in lags if abs(lag - middle) <= APART_S / 2]
    if middle > OFF_S and len(agree) >= max(ENOUGH, AGREE * len(lags)):
        return statistics.median(agree)
    return None


def _synchronised(subject: Subject) -> bool:
    from kerbgate.clock import open_clock

    return open_clock(subject.config.clock.source).synchronised()


def _rtc_off_s() -> float | None:
    try:
        return time.time() - int((Path(host.ROOT) / _RTC).read_text("ascii"))
    except (OSError, ValueError):
        return None
