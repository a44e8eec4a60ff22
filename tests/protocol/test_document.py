"""PROTOCOL.md says what the code does: its frames, its channel table, its caps."""

import json
import re
from pathlib import Path

from kerbwire import columns, controls, council, events, frame, line, messages, updates, waves
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


def test_every_worked_message_stands_in_the_document_and_its_parts_make_it_up() -> None:
    rows = json.loads((ROOT / "tests" / "vectors" / "messages.json").read_text())["vectors"]
    for letter, row in zip("ABCDEFGHIJKL", rows, strict=True):
        data = bytes.fromhex(row["message"])
        head = f"**{letter}. {row['name']}** ({len(data)} bytes)\n\n```\nmessage  {row['message']}\n"
        assert head in TEXT
        lines = TEXT.split(head)[1].split("\n```\n")[0].splitlines()
        whole = "".join(line.split("  ")[0].replace(" ", "") for line in lines if not line.startswith("  "))
        bits = "".join(line.split()[0] for line in lines if line.startswith("  "))
        whole += f"{int(bits, 2):0{len(bits) // 4}x}" if bits else ""
        assert bytes.fromhex(whole) == data


def test_every_kind_stands_in_the_document() -> None:
    for kind in (messages.HELLO, messages.REPORT, messages.ACK, messages.CHALLENGE, *messages.MODULES):
        cls = messages.Report if kind == messages.REPORT else messages.class_of(kind)
        name = re.sub("(?<=.)(?=[A-Z])", "-", cls.__name__).lower()
        way = "up" if kind < 8 else "down" if kind < 16 else "group"
        assert f"| {kind} | {name} | {way} | {'map' if cls.ROWS else 'byte string'}" in TEXT
        assert f"| {messages.MODULES.get(kind, 'messages')} |\n" in TEXT
    for names in (
        messages.RESET_CAUSES, controls.PRIORITIES, controls.STATUSES, updates.STATES, events.SEVERITIES, events.STATES,
    ):  # fmt: skip
        for number, name in enumerate(names):
            assert re.search(rf"{number}\s+{name}", TEXT), name


def test_events_and_the_councils_columns_stand_in_the_document() -> None:
    for code, channel in events.CODES.items():
        flag = council.EVENTS[code]
        own = CHANNELS[channel].name if channel >= 0 else "none"
        assert f"| {code} | {flag.name} | {own} | {flag.lwm2m or 'none'} |" in TEXT
    for ident, row in council.CHANNELS.items():
        lwm2m = f"{row.lwm2m.path} {row.lwm2m.unit}".strip() if row.lwm2m else "none"
        models = ", ".join(dict.fromkeys(target.path for target in row.sdm))
        talq = row.talq.path if row.talq else "none"
        assert f"| {CHANNELS[ident].name} | {lwm2m} | {models} | {talq} |" in TEXT


def test_the_caps_of_messages_stand_in_the_document() -> None:
    assert f"at most {messages.MAX_FIELDS} fields" in TEXT
    assert f"1..{controls.MAX_REMAINING_S} | seconds" in TEXT and f"0..{controls.MAX_OPERATION} | operation" in TEXT
    assert f"3 bytes, 1 to {controls.MAX_LOG}: lines" in TEXT and f"1 to {controls.MAX_PATCH} settings" in TEXT
    assert f"1..{updates.MAX_UPDATE} bytes; 3 blocks, 1..{updates.MAX_BLOCKS}" in TEXT
    assert f"3 bytes, 1 to {updates.MAX_BLOCK}." in TEXT and f"1 to {updates.MAX_MISSING} bytes: bit i" in TEXT
    assert f"2 hop 0..{waves.MAX_HOPS}" in TEXT and f"4 speed 0..{waves.MAX_SPEED}" in TEXT
    assert f"5 lifetime 1..{waves.MAX_LIFETIME_S}" in TEXT and f"2 seconds 1..{waves.MAX_BRIGHTEN_S}" in TEXT
    assert f"at most {events.MAX_VALUES} values" in TEXT
