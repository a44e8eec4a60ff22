"""What the verbs of the field have in common: which gateway, how an error is told, spans of time."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from kerbgate.errors import GatewayError

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\d{1,7})(s|min|h|d)", re.ASCII)


def parser(verb: str, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """A parser with what every verb takes."""
    made = argparse.ArgumentParser(
        prog=f"kerb {verb}", description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--config", type=Path, help="default: gateway.toml here, else /etc/kerbstone/gateway.toml")
    return made


def run(work: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """The verb's exit status; an error is one sentence of cause and one of what to do."""
    try:
        status = work(options)
        sys.stdout.flush()
        return status
    except GatewayError as error:
        print(f"kerb: {error.cause}\n      {error.hint}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def span_of(text: str) -> int:
    """Seconds, from 90s, 15min, 2h or 1d."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("write a span as 90s, 15min, 2h or 1d")
    return int(match[1]) * _UNITS[match[2]]
