"""The verbs for a connected board, as a technician types them."""

import json

import pytest
from device_helpers import SECRET

from kerbtools.device import Device, settings


def rows_of(out):
    return {row["check"]: row for row in json.loads(out)["rows"]}


@pytest.mark.parametrize("name", ["pico_w", "pico2_w", "esp32_c3", "esp32_s3"])
def test_a_sound_board_passes_its_self_test(node, kerb, name):
    status, out, _ = kerb("selftest", "--json", "--port", node(name).usb_path)
    rows = rows_of(out)
    assert (status, {row["verdict"] for row in rows.values()}) == (0, {"pass"}), rows
    assert set(rows) == {
        "firmware", "flash", "identity", "clock", "distance", "temperature", "tilt", "battery", "link", "radio",
    }  # fmt: skip
    assert all(row["value"] and row["limit"] and not row["cause"] for row in rows.values())
    assert rows["identity"]["value"] == "node 417 at depot"


@pytest.mark.parametrize(
    ("slot", "fault", "value", "cause"),
    [
        ("distance", None, "silent, raw 0", "TX and RX swapped"),
        ("distance", "silent", "silent, raw 0", "TX and RX swapped"),
        ("distance", "brown_out", "silent, raw 0", "no power"),
        ("distance", "garbled", "garbled, raw ", "TX and RX swapped"),
        ("distance", "no_echo", "0 echoes", "point it at a wall"),
        ("distance", "covered", "covered", "a bag, water or frost"),
        ("distance", "wet", "covered", "a bag, water or frost"),
        ("distance", "noisy", "spread", "flat wall"),
        ("temperature", None, "silent, raw 0", "no pull-up"),
        ("temperature", "garbled", "garbled, raw 9", "a weak pull-up"),
        ("temperature", "stuck", "lost power in between, raw 1360", "its supply"),
        ("temperature", "brown_out", "lost power in between, raw 1360", "its supply"),
        ("temperature", "out_of_range", "out of range, raw 2400", "damaged"),
        ("tilt", None, "nothing answers", "not wired, no pull-ups"),
        ("tilt", "wrong_id", "another part, raw 68", "than board.json names"),
        ("tilt", "stuck", "stuck, raw 0", "replace it"),
        ("tilt", "noisy", "out of range, raw ", "let it lie still"),
        ("tilt", "out_of_range", "out of range, raw 0", "damaged"),
        ("battery", None, "silent, raw 0", "a broken wire"),
        ("battery", "open", "silent, raw 0", "a broken wire"),
        ("battery", "saturated", "out of range, raw ", "damaged"),
        ("battery", "worn", "2.", "cells empty"),
    ],
)
def test_a_broken_part_fails_with_its_name_and_likely_cause_and_hides_no_other(node, kerb, slot, fault, value, cause):
    board = node()
    part = board.hardware.parts[slot]
    part.present, part.fault = fault is not None, fault
    status, out, _ = kerb("selftest", "--json", "--port", board.usb_path)
    rows = rows_of(out)
    assert status == 1
    assert [row["check"] for row in rows.values() if row["verdict"] == "fail"] == [slot]
    assert value in rows[slot]["value"] and cause in rows[slot]["cause"] and rows[slot]["limit"]


def test_changed_firmware_and_a_crowded_flash_fail(node, kerb):
    board = node()
    with Device.open(board.usb_path) as device:
        device.write("/lib/kerbnode/log.mpy", b"of another version")
        device.write("/music.wav", bytes(500_000))
        device.reset()
    status, out, _ = kerb("selftest", "--port", board.usb_path)
    assert status == 1
    assert "fail firmware     lib/kerbnode/log.mpy differs" in out and "run kerb flash" in out
    assert "fail flash" in out and "kerb erase" in out


def test_info_tells_who_and_what_and_never_a_key(node, kerb):
    board = node()
    status, out, _ = kerb("info", "--json", "--port", board.usb_path)
    told = json.loads(out)
    assert status == 0
    assert (told["node"], told["site"], told["key_epoch"], told["board"], told["role"]) == (
        417, "depot", 1, "pico_w", "bin",
    )  # fmt: skip
    assert told["flash_total_bytes"] == board.facts.filesystem_bytes and told["boots"] == 0
    status, text, _ = kerb("info", "--port", board.usb_path)
    assert "node" in text and SECRET.hex() not in (out + text).lower() and repr(SECRET) not in out + text


def test_info_of_a_blank_board(bench, kerb):
    status, out, _ = kerb("info", "--json", "--port", bench().usb_path)
    assert (status, json.loads(out)["firmware"], json.loads(out)["micropython"]) == (0, None, "1.29.0")


def test_settings_are_checked_written_and_shown(node, kerb):
    board = node()
    path = board.usb_path
    assert kerb("config", "--port", path, "diff")[:2] == (0, "No difference.\n")
    assert kerb("config", "--port", path, "set", "interval_s=600", "full_mm=300")[0] == 0
    status, out, _ = kerb("config", "--port", path, "--json", "get", "interval_s", "tries")
    assert (status, json.loads(out)) == (0, {"interval_s": 600, "tries": 2, "complaints": []})
    assert kerb("config", "--port", path, "diff")[:2] == (1, "interval_s: 3600 -> 600\nfull_mm: 250 -> 300\n")
    assert kerb("config", "--port", path, "set", "interval_s=")[0] == 0
    board.cut_power()
    assert json.loads(board.read_file(settings.PATH)) == {"full_mm": 300}


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["interval=5"], "No setting is called 'interval'"),
        (["interval_s=5"], "interval_s=5 is no whole number from 450 to 86400"),
        (["interval_s=-600"], "is no whole number"),
        (["interval_s"], "is no NAME=VALUE"),
        (["full_mm=1200", "empty_mm=1200"], "full_mm is not less than empty_mm"),
    ],
)
def test_a_setting_that_would_not_hold_is_not_written(node, kerb, words, cause):
    board = node(config={"tries": 3})
    status, out, err = kerb("config", "--port", board.usb_path, "set", *words)
    assert (status, out, len(err.splitlines())) == (1, "", 2) and cause in err
    board.cut_power()
    assert json.loads(board.read_file(settings.PATH)) == {"tries": 3}


def test_a_difference_from_a_file(node, kerb, tmp_path):
    board = node(config={"tries": 3})
    wanted = tmp_path / "wanted.json"
    wanted.write_text('{"tries": 4}')
    status, out, _ = kerb("config", "--port", board.usb_path, "--json", "diff", "--file", wanted)
    assert (status, json.loads(out)) == (1, {"tries": [4, 3]})
    status, _, err = kerb("config", "--port", board.usb_path, "diff", "--file", tmp_path / "none")
    assert status == 1 and "cannot be read" in err


def test_logs_outlast_resets_and_show_the_last_crash(node, kerb):
    board = node("esp32_c3", config={"unheard_of": 1})
    board.world.advance(60)
    (life,) = {line.split()[1] for line in board.console if line.startswith("boot ")}
    board.cut_power()
    board.write_file("/board.json", board.read_file("/board.json").replace(b'"a02yyuw"', b'"unheard"'))
    board.start()
    board.world.advance(4000)
    board.cut_power()
    board.start()
    status, out, _ = kerb("logs", "--json", "--port", board.usb_path)
    told = json.loads(out)
    assert status == 0
    assert "note unknown setting unheard_of" in told["log"]
    assert [line for line in told["log"] if line.startswith(f"boot {life} 0 0 power_on")]
    crashes = [line for line in told["log"] if line.startswith("note crash ")]
    assert len(crashes) > 3 and "ValueError" in crashes[0]
    assert told["crash"][1].startswith("note crash 1 ValueError")
    assert told["crash"][2].startswith("Traceback") and told["crash"][-1].startswith("ValueError: board.json")
    frames = [line for line in told["crash"] if 'File "kerbnode/' in line]
    assert frames and all(": kerbnode." in line for line in frames)  # the short names are told back
    assert any("kerbnode.app.run" in line for line in frames)
    status, out, _ = kerb("logs", "--port", board.usb_path)
    assert "The last crash:" in out and "kerbnode.app.run" in out


def test_logs_take_the_names_of_another_bundle_from_a_file(node, kerb, tmp_path):
    board = node("esp32_c3")
    board.cut_power()
    manifest = board.read_file("/bundle.json").replace(b'"firmware":"', b'"firmware":"other ')
    crash = b'@ -\nnote crash 1 ValueError\nTraceback (most recent call last):\n  File "kerbnode/app.py", line 1, in zz\nValueError: x\n'
    board.write_file("/bundle.json", manifest)
    board.write_file("/node/crash", crash)
    board.start()
    status, out, err = kerb("logs", "--port", board.usb_path)
    assert status == 0 and "in zz\n" in out and "--names" in err
    names = tmp_path / "bundle.names.json"
    names.write_text(json.dumps({"kerbnode/app.py": {"zz": ["kerbnode.app.elsewhere"]}}))
    status, out, err = kerb("logs", "--port", board.usb_path, "--names", str(names))
    assert (status, err) == (0, "") and "in zz: kerbnode.app.elsewhere\n" in out
    status, out, err = kerb("logs", "--port", board.usb_path, "--names", str(tmp_path / "none"))
    assert (status, out) == (1, "") and "names.json" in err


def test_a_reset_runs_the_program_anew(node, kerb):
    board = node()
    board.world.resume()
    board.wait_line("^boot ")
    after = board.lines
    assert kerb("reset", "--port", board.usb_path)[:2] == (0, f"{board.usb_path}: reset\n")
    board.wait_line("^boot ", after=after)


def test_errors_as_json(kerb):
    status, out, err = kerb("info", "--json", "--port", "/dev/no-such-port")
    assert (status, json.loads(out)["error"]["kind"]) == (1, "NoPort")
    assert err


def test_which_board_where_several_are_plugged_in(kerb, monkeypatch):
    from kerbtools.device.ports import Port

    two = [Port("/dev/ttyACM0", (0x2E8A, 5), "1", "Pico"), Port("/dev/ttyACM1", (0x2E8A, 5), "2", "Pico")]
    monkeypatch.setattr("kerbtools.device.ports.find", lambda: two)
    status, _, err = kerb("info")
    assert status == 1 and "Several boards" in err and "Name one with --port" in err
    monkeypatch.setattr("kerbtools.device.ports.find", list)
    status, _, err = kerb("info")
    assert status == 1 and "No board is plugged in" in err
