"""How things look on a terminal: width, colours, columns, spans of time, a line of bars. It knows nothing of data."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from kerbgate import plain
from kerbgate.plain import size

__all__ = ["Screen", "clean", "cut", "listed", "signal_of", "size", "span", "when"]

PIPED_WIDTH = 160  # columns where nothing says how wide the reader's page is
MIN_WIDTH = 40
BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.-=+*%#"  # where the terminal has no such letters
_CODES = {"red": "31", "yellow": "33", "green": "32", "dim": "2", "bold": "1"}


class Screen:
    """What is written to. colour: None to find out; NO_COLOR and a pipe switch it off. utf: None to find out."""

    def __init__(self, colour: bool | None = None, width: int | None = None, utf: bool | None = None):
        terminal = sys.stdout.isatty()
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        self.colour = (terminal and not plain) if colour is None else colour
        self.terminal = terminal
        found = shutil.get_terminal_size((PIPED_WIDTH, 24)).columns if terminal or "COLUMNS" in os.environ else 0
        self.width = max(width or found or PIPED_WIDTH, MIN_WIDTH)
        if utf is None:
            utf = (sys.stdout.encoding or "").lower().startswith("utf")
        self.bars = BARS if utf else PLAIN_BARS

    def paint(self, text: str, colour: str) -> str:
        """Text in a colour, where there are colours."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colour and text else text

    def table(self, rows: Iterable[Sequence[str]], heads: Sequence[str], right: Iterable[int] = ()) -> list[str]:
        """Lines of columns as wide as they need to be; what is wider than the screen is cut, the last column first."""
        given = [list(heads), *map(list, rows)]
        rights = set(right)
        widths = [max(len(row[place]) for row in given) for place in range(len(heads))]
        spare = self.width - sum(widths) - 2 * (len(widths) - 1)
        for place in range(len(widths) - 1, 0, -1):
            if spare >= 0:
                break
            taken = min(-spare, max(widths[place] - max(len(heads[place]), 6), 0))
            widths[place] -= taken
            spare += taken
        out: list[str] = []
        for row in given:
            cells = [
                cut(cell, width).rjust(width) if place in rights else cut(cell, width).ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            out.append("  ".join(cells).rstrip()[: self.width])
        return out

    def spark(self, values: Sequence[float | None], low: float | None = None, high: float | None = None) -> str:
        """One bar a value, a space for none. low, high: of the scale; None: of the values."""
        known = [value for value in values if value is not None]
        if not known:
            return ""
        least, most = min(known) if low is None else low, max(known) if high is None else high
        span = (most - least) or 1
        top = len(self.bars) - 1
        return "".join(
            " " if value is None else self.bars[max(0, min(top, round((value - least) / span * top)))]
            for value in values
        )

    def wrap(self, text: str, indent: str, first: str | None = None) -> list[str]:
        """A text in lines of the screen's width, indented; `first` stands before it."""
        lines: list[str] = []
        line = indent if first is None else first
        empty = True
        for word in text.split(" "):
            if not empty and len(line) + 1 + len(word) > self.width:
                lines.append(line)
                line, empty = indent, True
            line += word if empty else " " + word
            empty = False
        return [*lines, line]


def cut(text: str, width: int) -> str:
    """Text of at most so many characters; a point says that there was more."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def clean(value: object) -> str:
    """A value without anything that a terminal obeys: some of it are a peer's words."""
    return "".join(char if char.isprintable() else "?" for char in str(value))


def span(seconds: float | None) -> str:
    """A duration in its largest fitting unit; a dash for none."""
    return "-" if seconds is None else plain.span(seconds)


def signal_of(found: "dict[str, Any] | None") -> str:
    """How a radio heard a node, or nothing."""
    if found is None:
        return ""
    parts = [f"{found['rssi_dbm']} dBm"] if found["rssi_dbm"] is not None else []
    parts += [f"SNR {found['snr_db']:g} dB"] if found["snr_db"] is not None else []
    return ", ".join([*parts, ""])


def when(utc_s: float | None) -> str:
    """A UTC time to the minute, as people write it; a dash for none."""
    if utc_s is None:
        return "-"
    try:
        return f"{datetime.fromtimestamp(utc_s, UTC):%Y-%m-%d %H:%M}Z"
    except (OverflowError, ValueError, OSError):
        return "?"


def listed(nodes: Sequence[int], most: int = 8) -> str:
    """Some nodes by number, and how many more there are."""
    more = len(nodes) - most
    return " ".join(map(str, nodes[:most])) + (f" and {more} more" if more > 0 else "")
