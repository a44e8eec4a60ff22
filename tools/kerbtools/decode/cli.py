"""`kerb decode INPUT`: annotated frames for people, or with --json one object a frame."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kerbtools.decode.annotate import (
    SPACES,
    Annotation,
    annotate,
    annotate_message,
    fields,
    name_of,
    text_of,
    utc,
    value_of,
)
from kerbtools.decode.errors import DecodeError
from kerbtools.decode.keyring import Keyring, open_registry, read_context, read_near, read_secret
from kerbtools.decode.source import Item, Source
from kerbwire import cbor
from kerbwire.channels import CHANNELS
from kerbwire.messages import Message, Report

BYTES_SHOWN = 8  # of a range in one line


def main(arguments: Sequence[str]) -> int:
    """Decodes one input. Exit status 1 if the input is none, 0 even where frames stay sealed."""
    parser = argparse.ArgumentParser(
        prog="kerb decode",
        description="Take frames apart, byte by byte. Without a key: the header. With it: the message too.",
        epilog="A secret is never given on the command line, where other users of the machine can read it.",
    )
    parser.add_argument("input", help="a frame as hexadecimal digits, a .kcap file, or - for either on standard input")
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--registry", type=Path, help="a gateway's registry file, its key file beside it")
    keys.add_argument("--secret-file", type=Path, help="a file of mode 0600 with the node's master secret")
    parser.add_argument("--life", help="the node's life, 16 digits, where no hello in the input tells it")
    parser.add_argument("--instance", help="the gateway's instance, 16 digits, for downlinks that leave it out")
    parser.add_argument("--near", help="INDEX:SECONDS of a record near a report that says only the low bits of its own")
    parser.add_argument("--message", choices=SPACES, help="the input is not a frame but an opened message of this way")
    parser.add_argument("--json", action="store_true", help="one JSON object a frame")
    options = parser.parse_args(arguments)
    try:
        _run(options)
        sys.stdout.flush()
    except DecodeError as error:
        print(f"kerb: {error.cause}\n      {error.hint}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    keyring = Keyring(
        None if options.registry is None else open_registry(options.registry),
        None if options.secret_file is None else read_secret(options.secret_file),
        b"" if options.life is None else read_context(options.life, "--life"),
        b"" if options.instance is None else read_context(options.instance, "--instance"),
        None if options.near is None else read_near(options.near),
    )
    source = Source(options.input)
    frames = 0
    for item in source:
        if frames == 0 and source.head is not None and not options.json:
            start = "not known" if source.head.start_ms is None else utc(source.head.start_ms // 1000)
            print(f"capture of {source.head.url or 'no link'}, from {start}, by {source.head.program}\n")
        if options.message is None:
            found = annotate(item.data, keyring)
        else:
            found = annotate_message(item.data, SPACES.index(options.message), keyring.near())
        if options.json:
            print(json.dumps(as_json(item, found)))
        else:
            print("\n".join(as_text(item, found)) + "\n")
        frames += 1
    for note in source.notes:
        print(f"kerb: {note}", file=sys.stderr)
    if frames == 0:
        raise DecodeError("there is no frame in this input", "check the file's size, or record it again")


def as_text(item: Item, found: Annotation) -> Iterator[str]:
    """The lines for one frame."""
    when = "" if item.offset_us is None else f"+{item.offset_us / 1e6:.6f} s, link {item.link}: "
    header = found.header
    if header is not None:
        way = SPACES[header.space]
        yield f"{when}frame of {len(found.data)} bytes, {way}, node {header.node}, number {header.seq}"
    elif found.message is not None:
        yield f"{when}message of {len(found.data)} bytes"
    else:
        yield f"{when}{len(found.data)} bytes that are no frame"
    part = ""
    for row in found.ranges:
        if row.part != part:
            part = row.part
            if part == "message" and header is not None:
                yield f"message of {len(found.message or b'')} bytes, {found.kind}"
        place = f"{row.start}" if row.end == row.start + 1 else f"{row.start}..{row.end - 1}"
        data = found.bytes_of(row)
        digits = data[:BYTES_SHOWN].hex(" ") + (" ..." if len(data) > BYTES_SHOWN else "")
        yield f"  {place:9} {digits:28} {row.name:13} {row.value}".rstrip()
    if found.sealed is not None:
        yield f"sealed: {found.sealed}"
    elif found.refused is not None and found.message is not None:
        yield f"refused: {found.refused}"
    if found.decoded is not None:
        yield from _body(found.decoded)
        if found.decoded.skipped:
            yield f"unknown here and skipped: {found.decoded.skipped}"


def _body(message: Message) -> Iterator[str]:
    """A message whose body is a byte string: its fields, or its records as a table."""
    if isinstance(message, Report):
        if message.boot is not None:
            yield f"clock unset: times are uptimes of boot {message.boot}, reported at {message.uptime_now} s"
        yield from _table(message)
        return
    for name in message.NAMES:
        value: Any = getattr(message, name)
        if name == "values":
            for ident in sorted(value):
                yield f"  {name_of(ident):39} {_value(ident, value[ident])} {_unit(ident)}".rstrip()
        else:
            yield f"  {name:39} {text_of(message, name, value)}"


def _table(report: Report) -> Iterator[str]:
    idents = sorted({ident for record in report.records for ident in record.values})
    rows = [["index", "time", *(f"{name_of(ident)} {_unit(ident)}".strip() for ident in idents)]]
    for record in report.records:
        values = (_value(ident, record.values[ident]) if ident in record.values else "" for ident in idents)
        time = utc(record.time) if report.boot is None else f"{record.time} s"
        rows.append([str(record.index), time, *values])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(word.rjust(width) for word, width in zip(row, widths, strict=True)).rstrip()


def _value(ident: int, raw: int) -> str:
    value = value_of(ident, raw)
    return ", ".join(value) or "none" if cbor.is_array(value) else str(value)


def _unit(ident: int) -> str:
    unit = CHANNELS[ident].unit if ident in CHANNELS else ""
    return "" if unit == "flags" else unit


def as_json(item: Item, found: Annotation) -> dict[str, Any]:
    """One frame as an object."""
    out: dict[str, Any] = {"bytes": len(found.data), "hex": found.data.hex()}
    if item.offset_us is not None:
        out.update(offset_us=item.offset_us, direction=item.direction, link=item.link)
    header = found.header
    if header is not None:
        out["header"] = {
            "space": SPACES[header.space],
            "epoch": header.epoch,
            "node": header.node,
            "number": header.seq,
            "context": header.context.hex() or None,
        }
    out["sealed"] = found.sealed
    out["refused"] = found.refused
    if found.message is not None:
        message: dict[str, Any] = {"bytes": len(found.message), "hex": found.message.hex(), "kind": found.kind}
        if found.decoded is not None:
            message["fields"] = fields(found.decoded)
        out["message"] = message
    out["ranges"] = [
        {"part": row.part, "start": row.start, "end": row.end, "name": row.name, "value": row.value}
        for row in found.ranges
    ]
    return out
