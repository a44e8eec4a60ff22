"""`kerb demo [--for 60s] [--json] [--chaos] [--link KIND] [--seed N]`."""

import argparse
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live

from kerbtools.boards import BoardError
from kerbtools.bundle import BundleError
from kerbtools.demo import links, screen
from kerbtools.demo.broker import BrokerError
from kerbtools.demo.chaos import Chaos
from kerbtools.demo.gateway import GatewayFailed
from kerbtools.demo.street import Street
from kerbtools.emulator.world import START_UTC

RECORDS_WANTED = 24  # of each node at the council, for exit status 0
LAMPS, MAX_LAMPS = 6, 12  # each is a process of its own
BEGIN_UTC = START_UTC + 18 * 3600  # dusk is near, and the night goes by fast
CONFIG = {"heat_s": 0, "interval_s": 900}  # of bins: a night is as many records as four days are else
SETTLE_SHARE = 0.1  # of the time, at the end: no new misfortune, and what was taken until then must arrive
SETTLE_HOURS = 26.0  # virtual: a bin that has said all that it may in a day says the rest on the next one
SETTLE_MORE_S = 240.0  # how long a slow machine may take for that
_PICTURE_S = 0.1
_UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def main(arguments: Sequence[str]) -> int:
    """Runs the demo; exit status 0 only if nothing was lost or doubled and each node got its records through."""
    parser = argparse.ArgumentParser(
        prog="kerb demo",
        description="A street in a box, from bin to council.",
        epilog=f"Exit status 0: nothing was lost or doubled, and {RECORDS_WANTED} records of each node arrived.",
    )
    parser.add_argument("--for", dest="seconds", type=_duration, metavar="TIME", help="end by itself, e.g. after 60s")
    parser.add_argument("--json", action="store_true", help="no table; one JSON line at the end")
    parser.add_argument("--chaos", action="store_true", help="reset nodes, kill gateway and broker, at random")
    parser.add_argument("--seed", type=int, default=1, help="of the world and of the chaos (default 1)")
    parser.add_argument(
        "--broker", choices=["auto", "mosquitto", "amqtt"], default="auto", help="who plays the council (default auto)"
    )
    kinds = [*links.names(), links.MIXED]
    parser.add_argument(
        "--link", choices=kinds, default="serial", help="how nodes reach the gateway; mixed: each in another way"
    )
    parser.add_argument("--lamps", type=_lamps, default=LAMPS, metavar="N", help=f"in a row (default {LAMPS})")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with Street(
            options.seed,
            broker=options.broker,
            lamps=options.lamps,
            start_utc=BEGIN_UTC,
            config=CONFIG,
            link=options.link,
        ) as street:
            chaos = Chaos(street, options.seed) if options.chaos else None
            report = _watch(street, chaos, options)
    except (BrokerError, GatewayFailed, BoardError, BundleError) as error:
        print(f"kerb demo: {error}\n{error.hint}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(report), flush=True)
    else:
        _conclude(report)
    if report["waiting"]:
        print(
            f"kerb demo: {report['waiting']} records wait on a node or in the gateway still: the machine is too busy\n"
            "give it more time, or fewer lamps: --for 120s --lamps 2",
            file=sys.stderr,
        )
    elif not (report["ok"] or report["lost"] or report["doubled"]):
        print(
            f"kerb demo: nothing was lost or doubled, but fewer than {RECORDS_WANTED} records of a node arrived\n"
            "give it more time: --for 60s",
            file=sys.stderr,
        )
    return 0 if report["ok"] else 1


def _watch(street: Street, chaos: Chaos | None, options: argparse.Namespace) -> dict[str, Any]:
    """Look on until the time is over or Ctrl-C; then account for every record that was taken until then."""
    end = None if options.seconds is None else street.started + options.seconds
    cut = None if options.seconds is None else street.started + options.seconds * (1 - SETTLE_SHARE)
    if chaos:
        chaos.start()
    interrupted = False
    try:
        if options.json:
            _wait(street, cut, chaos is not None)
        else:
            with Live(console=Console(), refresh_per_second=1 / _PICTURE_S) as live:

                def look() -> None:
                    street.pace_for_eyes()
                    live.update(screen.draw(street, chaos))

                _wait(street, cut, chaos is not None, look, _PICTURE_S)
    except KeyboardInterrupt:
        interrupted = True
    if chaos:
        chaos.stop()
    taken, changed = street.ledger.taken(), street.ledger.changed()
    is_over = False  # what has not arrived now never will
    if not interrupted:
        most_s = max(0.0, (end or 0) - time.monotonic()) + SETTLE_MORE_S
        is_over = street.settle(taken, most_s, changed, SETTLE_HOURS)
    verdict = street.verdict(taken)
    waiting = 0 if is_over or interrupted else verdict.lost
    enough = all(count >= RECORDS_WANTED for count in verdict.council_by_node.values())
    report: dict[str, Any] = {
        "nodes": len(street.nodes),
        "bins": sum(board.role == "bin" for board in street.boards),
        "lamps": sum(board.role == "lamp" for board in street.boards),
        "taken": verdict.taken,
        "committed": verdict.committed,
        "council": verdict.council,
        "lost": verdict.lost - waiting,
        "waiting": waiting,
        "doubled": verdict.doubled,
        "broker": street.broker.name,
        "links": {str(node): kind for node, kind in street.links.kinds.items()},
        "council_by_node": verdict.council_by_node,
        "level_changes": len(changed),
        "unsettled": len(street.unsettled(changed)),
        "redelivered": street.council.redelivered(),
        "virtual_hours": round(street.virtual_hours(), 1),
        "seconds": round(time.monotonic() - street.started, 1),
        "seed": options.seed,
    }
    if chaos:
        report["chaos"] = {**asdict(chaos.tally), "broker_cut_means": street.broker.chaos_word}
    report["interrupted"] = interrupted
    # After Ctrl-C nobody waited for what was under way, so only doubling is held against it.
    report["ok"] = verdict.doubled == 0 and (interrupted or (verdict.lost == 0 and not report["unsettled"] and enough))
    return report


def _wait(
    street: Street, until: float | None, chaotic: bool, look: Callable[[], None] = lambda: None, every_s: float = 0.25
) -> None:
    while until is None or time.monotonic() < until:
        look()
        if not chaotic:
            street.check()
        time.sleep(every_s)


def _conclude(report: dict[str, Any]) -> None:
    print(
        f"{report['taken']} records taken, {report['committed']} committed, {report['council']} at the council, "
        f"{report['doubled']} doubled, in {report['virtual_hours']} virtual hours."
    )
    if report["interrupted"]:
        print("What is not at the council yet was still waiting on a node or in the gateway when you ended the demo.")
    elif report["lost"]:
        print(f"{report['lost']} records did not arrive: a defect. Please report it, with seed {report['seed']}.")


def _lamps(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_LAMPS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to {MAX_LAMPS}")
    return int(text)


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|)", text)
    if match is None or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 60s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
