"""PROTOCOL.md says what the code does: its frames, its channel table, its caps."""

import json
from pathlib import Path

from kerbwire import columns, frame, line, messages
from kerbwire.channels import CHANNELS, QUALITY_FLAGS, ROLES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "protocol" / "PROTOCOL.md").read_text()


def test_every_worked_frame_stands_in_the_document() -> None:
    rows = json.loads((ROOT / "tests" / "vectors" / "frames.json").read_text())["vectors"]
    for row in rows:
        block = "\n".join(f"{name:8} {row[name]}" for name in ("key", "iv", "nonce", "header", "message", "frame"))
        assert block in TEXT, row["name"]
    assert TEXT.count("\nframe ") == len(rows) == 12


def test_the_channel_table_stands_in_the_document() -> None:
    for ident, row in CHANNELS.items():
        resolution = "1" if row.denominator == 1 else f"1/{row.denominator}"
        roles = ", ".join(ROLES[role] for role in row.roles)
        assert f"| {ident} | {row.name} | {row.unit} | {resolution} | {row.low}..{row.high} | {roles} |" in TEXT
    for bit, name in QUALITY_FLAGS.items():
        assert f"{bit} {name}" in TEXT


def test_the_caps_stand_in_the_document() -> None:
    assert f"at most {frame.MAX_FRAME} bytes" in TEXT and f"at most {frame.MAX_MESSAGE}." in TEXT
    assert f"of records, 1 to {columns.MAX_RECORDS}" in TEXT
    assert f"chunk over {line.MAX_CHUNK} bytes" in TEXT
    assert f"at most {messages.MAX_ACKED} numbers" in TEXT
