"""Every message of every test against protocol/kerbwire.cddl, by a validator that is not ours (pycddl).

`watch()` puts itself before messages.encode and messages.decode, for all code on CPython: the shared cases, the property
tests, the gateway's and the tools' own calls. What encode returns, and what decode took without an error, must be valid
CDDL; a fault is kept and fails the test during which it came up (tests/conftest.py). Fields that the reader skipped are
taken out before the check, since the schema describes what version 1 writes; kinds unknown to it are passed over.
Boards and MicroPython cases run in processes of their own: what they send is checked where CPython reads it.
"""

import functools
import re
from pathlib import Path

import pycddl

from kerbwire import cbor, messages

SCHEMA = Path(__file__).parents[1] / "protocol" / "kerbwire.cddl"
MAX_FAULTS = 20  # kept for one report
MAX_SEEN = 100_000  # distinct messages remembered, so that none is checked twice

faults: list[str] = []
checked: dict[int, int] = {}  # kind -> distinct messages
_seen: set[bytes] = set()


@functools.cache
def schema(kind: int | None = None) -> pycddl.Schema:
    """Of every message, or of one kind: ten times as fast, since the validator words a refusal for each alternative."""
    text = SCHEMA.read_text()
    rule = re.search(rf"^([a-z-]+) += \[{kind},", text, re.MULTILINE)
    return pycddl.Schema(f"this = {rule[1]}\n{text}" if rule else text)


def check(data: bytes, skipped: int = 0) -> None:
    """Note a fault if an encoded message, less its unknown fields, is not what the schema describes."""
    if data in _seen:
        return
    if len(_seen) < MAX_SEEN:
        _seen.add(data)
    if skipped:
        data = without_unknown_fields(data)
    try:
        schema(data[1]).validate_cbor(data)
    except pycddl.ValidationError as error:
        if len(faults) < MAX_FAULTS:
            faults.append(f"{data.hex()}: {error}")
    checked[data[1]] = checked.get(data[1], 0) + 1


def without_unknown_fields(data: bytes) -> bytes:
    kind, body = cbor.decode(data)
    if isinstance(body, dict):
        known = {row[0] for row in messages.class_of(kind).ROWS}
        body = {number: value for number, value in body.items() if number in known}
    return cbor.encode([kind, body])


def watch() -> None:
    encode, decode = messages.encode, messages.decode

    @functools.wraps(encode)
    def checked_encode(message, *args, **kwargs):
        data = encode(message, *args, **kwargs)
        check(data)
        return data

    @functools.wraps(decode)
    def checked_decode(data, *args, **kwargs):
        message = decode(data, *args, **kwargs)
        if not isinstance(message, messages.Unknown):
            check(bytes(data), message.skipped)
        return message

    messages.encode, messages.decode = checked_encode, checked_decode
