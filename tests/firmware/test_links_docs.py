"""gateway/LINKS.md quotes what firmware, gateway and tools say, and names what every link counts."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import kerbgate
import kerbnode
import kerbtools
import kerbwire
from kerbnode.link import fallback
from kerbtools.cli import VERBS
from kerbtools.provision.links import SCHEMES

FIRMWARE, GATEWAY, TOOLS, WIRE = (
    Path(package.__file__ or "").parent for package in (kerbnode, kerbgate, kerbtools, kerbwire)
)
TEXT = (FIRMWARE.parents[1] / "gateway" / "LINKS.md").read_text()
# Who prints what an engineer reads of links; each quote has to be in one of them.
SOURCES = (
    *(FIRMWARE / "link").glob("*.py"),
    FIRMWARE / "lamp" / "node.py",
    FIRMWARE / "drivers" / "sx126x.py",
    WIRE / "lora.py",
    WIRE / "modem.py",
    *(GATEWAY / "inlets").glob("*.py"),
    *(TOOLS / "field" / "checks").glob("*.py"),
    *(TOOLS / "collect").glob("*.py"),
)
FEWEST = {
    "A cable": 1,
    "Wi-Fi and MQTT": 9,
    "Bluetooth Low Energy": 6,
    "LoRa": 8,
    "Lamps": 6,
}  # quotes of a link's tables
FOREIGN = ("Denied PUBLISH", "The certificate validity has expired")  # what mosquitto and mbedTLS say
_TOKEN = re.compile(r"[\w'/.-]*\w|\S")
_VALUE = re.compile(r"[\d.]+|/dev/\w+|hci\d|street")  # what a program puts into a message, in the page's examples
_COUNTED = re.compile(rf"link (\w+)(( \.\.\.)? ({'|'.join(fallback.COUNTS)})( \d+)?)+")
_REFUSED = re.compile(r"note refused (noise|REASON)( COUNT)?")


def quotes(link: str) -> list[str]:
    """What stands in backticks in a link's tables and is a message, not a name or an option."""
    part = TEXT.split(f"\n## {link}\n")[1].split("\n## ")[0]
    rows = [row for row in part.splitlines() if row.startswith("|")]
    return [text for row in rows for text in row.split("`")[1::2] if " " in text]


def texts(path: Path) -> Iterator[str]:
    """Each stretch of text of a source, as it stands between the values that are put into it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.split("%[a-z]", node.value)


@cache
def said() -> str:
    """All stretches, token by token, a line each."""
    found = {" ".join(_TOKEN.findall(text)) for path in SOURCES for text in texts(path)}
    return "\n".join(f" {text} " for text in sorted(found))


def is_said(quote: str) -> bool:
    """Whether the quote consists of stretches of at least two tokens that a source has, or whole ones, and values."""
    for words in FOREIGN:
        quote = quote.replace(words, "")
    if any(verb not in VERBS for verb in re.findall(r"kerb (\w+)", quote)):
        return False
    tokens = _TOKEN.findall(re.sub(r"kerb \w+|note link \w+|\.\.\.$", "", quote))
    reached = {0}
    for at in range(len(tokens)):
        if at not in reached:
            continue
        if _VALUE.fullmatch(tokens[at]) or tokens[at] in ":;,":
            reached.add(at + 1)
        for end in range(at + 1, len(tokens) + 1):
            stretch = f" {' '.join(tokens[at:end])} "
            if stretch in said() and (end > at + 1 or f"\n{stretch}\n" in said()):
                reached.add(end)
    return len(tokens) in reached


@pytest.mark.parametrize("link", FEWEST)
def test_each_line_that_an_engineer_reads_is_one_that_something_writes(link: str) -> None:
    messages = [text for text in quotes(link) if not re.fullmatch(r"kerb (\w+)( (--\w+( \w+)?|NODE))*", text)]
    assert len(messages) >= FEWEST[link]
    for text in messages:
        counted = _COUNTED.fullmatch(text)
        if counted is not None:
            assert counted[1] in SCHEMES
        elif not _REFUSED.fullmatch(text):
            assert is_said(text), text


def test_a_quote_that_nobody_says_is_found() -> None:
    """The check itself: a word changed, a verb that is not there, a half that is invented."""
    assert is_said("no air time left: the next frame may go in 240 s")
    for wrong in (
        "no air time left: the next frame may leave in 240 s",
        "no radio modem answers on /dev/ttyACM0; if the board there has another firmware: kerb flsh --role modem",
        "hci0 is not there any more: throw the adapter in",
        "the broker sleeps and wants to be left alone",
    ):
        assert not is_said(wrong), wrong


def test_every_command_that_is_named_is_one() -> None:
    for verb in re.findall(r"`kerb ([a-z]+)", TEXT):
        assert verb in VERBS, verb


def test_every_count_and_every_scheme_is_named() -> None:
    table = TEXT.split("\n## What every link tells\n")[1].split("\n## ")[0]
    named = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named == set(fallback.COUNTS)
    strings = TEXT.split("\n## ")[0]
    assert [scheme for scheme in SCHEMES if f"`{scheme}:" not in strings] == []
