"""`kerb flash` as a technician uses it, on emulated boards through the real raw REPL."""

import json
import threading

import pytest
from flash_helpers import runs

from kerbtools import boards, bundle
from kerbtools.device import Device
from kerbtools.emulator import Identity
from kerbtools.flash import plan as planning

NAMES = [name for name in boards.names() if name != "emulated"]
IDENTITY = Identity(node=7, secret=bytes(range(16)), site="depot")


def firmware(board):
    """What of a bundle lies on a board that is off."""
    return {path: board.read_file(path) for path in board.list_files() if not path.startswith(("/node", "/update"))}


def wanted(name, role="bin"):
    return {"/" + path: data for path, data in bundle.contents(name, role).items()}


def changed(name="pico_w", path="lib/kerbnode/log.mpy", data=b"M\x06\x1f\x1f not the same"):
    """A bundle in which one file is another."""
    files = dict(bundle.contents(name, "bin"))
    manifest = json.loads(files[bundle.MANIFEST])
    files[path] = data
    manifest["files"][path] = planning.digest(data)
    files[bundle.MANIFEST] = json.dumps(manifest).encode()
    return files


@pytest.mark.parametrize("name", NAMES)
def test_a_blank_board_is_known_and_gets_the_whole_bundle(bench, flash, name):
    board = bench(name)
    status, [told] = flash("--port", board.usb_path)
    assert (status, told["status"], told["board"], told["role"]) == (0, "flashed", name, "bin")
    assert told["unique_id"] == board.hardware.unique_id.hex()
    runs(board, "note IdentityError")  # and says what is next
    board.cut_power()
    assert firmware(board) == wanted(name)


def files_of(name):
    """How many files a flash of a blank board sends; the list of them, bundle.json, is not counted."""
    return len(bundle.contents(name, "bin")) - 1


def test_a_flash_ends_with_the_self_test_and_shows_it(bench, kerb):
    board = bench("esp32_c3")
    status, out, err = kerb("flash", "--role", "bin", "--port", board.usb_path)
    assert (status, out) == (0, "")
    assert f"flashed: {files_of('esp32_c3')} files sent, 0 removed" in err
    assert "pass distance" in err and "skip identity" in err


def test_an_unchanged_board_is_sent_nothing_and_not_written_to(bench, flash):
    board = bench(files=None, identity=IDENTITY)
    runs(board, "boot ")
    before = None
    for _ in range(2):
        status, [told] = flash("--port", board.usb_path)
        assert (status, told["status"], told["files"], told["removed"]) == (0, "unchanged", [], [])
        assert told["sent_bytes"] == 0
        with Device.open(board.usb_path):  # the reset is over, and the program is stopped
            if before is not None:
                assert board.flash.programs - before < 30  # of a boot's own counters; a file would be more
            before = board.flash.programs


def test_a_change_of_one_file_sends_one_file_and_the_list(bench, flash, monkeypatch):
    board = bench(files=None)
    files = changed()
    monkeypatch.setattr(bundle, "contents", lambda name, role: files)
    status, [told] = flash("--port", board.usb_path)
    assert (status, told["files"]) == (0, ["/lib/kerbnode/log.mpy"])
    assert told["sent_bytes"] == sum(len(files[path]) for path in ("lib/kerbnode/log.mpy", "bundle.json"))
    board.cut_power()
    assert firmware(board) == {"/" + path: data for path, data in files.items()} | {
        "/package.json": board.read_file("/package.json")
    }
    assert not [path for path in board.list_files() if path.startswith("/update")]


def test_what_left_the_bundle_leaves_the_board_and_nothing_else_does(bench, flash):
    strays = {
        "/lib/kerbnode/old/__init__.mpy": b"M",
        "/lib/kerbnode/old/deep/x.mpy": b"M",
        "/lib/kerbnode/log.py": b"raise ValueError",  # would be found before log.mpy
        "/main.py.tmp": b"half",
        "/update/0123456789abcdef": b"half a module",
    }
    kept = {"/lib/kerbnode_local.py": b"1", "/lib/other/x.py": b"1", "/notes.txt": b"ours", "/node/config.json": b"{}"}
    board = bench(files={**wanted("pico_w"), **strays, **kept})
    status, [told] = flash("--port", board.usb_path)
    assert status == 0
    assert told["removed"] == [
        *sorted(path for path in strays if not path.startswith("/update")),
        "/lib/kerbnode/old/deep",
        "/lib/kerbnode/old",
    ]
    board.cut_power()
    assert {path: board.read_file(path) for path in board.list_files()} == wanted("pico_w") | kept


def test_a_dry_run_says_what_would_go_and_writes_nothing(bench, kerb):
    board = bench()
    status, out, err = kerb("flash", "--dry-run", "--role", "bin", "--port", board.usb_path)
    assert (status, out) == (0, "")
    assert f"planned: {files_of('pico_w')} files to send" in err and "+ /lib/kerbnode/app.mpy" in err
    board.cut_power()
    assert board.list_files() == [] and board.flash.programs == 0


def test_several_boards_at_once(bench, flash):
    named = [bench(name) for name in NAMES]
    words = [word for board in named for word in ("--port", board.usb_path)]
    status, told = flash(*words)
    assert status == 0
    assert {row["port"]: (row["board"], row["status"]) for row in told} == {
        board.usb_path: (board.facts.name, "flashed") for board in named
    }


def test_one_board_of_several_that_fails_costs_the_others_nothing(bench, flash):
    good = bench()
    status, told = flash("--port", good.usb_path, "--port", "/dev/no-such-port")
    assert (status, [row["status"] for row in told]) == (1, ["flashed", "failed"])
    assert told[1]["error"]["kind"] == "NoPort"


def test_watch_flashes_each_board_that_comes(bench, flash, tmp_path):
    """Ports are links here, so that a test can plug them in one after the other."""
    plugs = [tmp_path / "first", tmp_path / "second"]
    named = [bench(), bench("esp32_s3")]
    plugs[0].symlink_to(named[0].usb_path)
    done = threading.Event()

    def plug():
        named[0].wait_line("raw REPL", timeout_s=30)
        plugs[1].symlink_to(named[1].usb_path)
        done.set()

    threading.Thread(target=plug, daemon=True).start()
    words = [word for path in plugs for word in ("--port", str(path))]
    status, told = flash("--watch", "--count", "2", *words)
    assert done.is_set()
    assert (status, [row["board"] for row in told]) == (0, ["pico_w", "esp32_s3"])


def test_a_program_that_is_no_node_is_replaced(bench, flash):
    board = bench(files={"/main.py": b"import time\nwhile True:\n    time.sleep(1)", "/boot.py": b"print('mine')"})
    status, [told] = flash("--port", board.usb_path)
    assert (status, told["status"]) == (0, "flashed")
    board.cut_power()
    assert firmware(board) == wanted("pico_w")


@pytest.mark.parametrize("name", ["pico_w", "esp32_c3"])
def test_a_node_at_work_is_interrupted_flashed_and_goes_on(bench, flash, name):
    board = bench(name, files=changed(name), identity=IDENTITY, config={"interval_s": 450})
    # Its program is broken, so it sleeps and tries again; a reset gives the window.
    status, [told] = flash("--port", board.usb_path, "--wait", "20")
    assert (status, told["status"], told["files"]) == (0, "flashed", ["/lib/kerbnode/log.mpy"])
    runs(board, "taken ", 30)


def test_a_stuck_update_is_mended_in_place_and_runs_only_then(bench, flash):
    """A go file that boot.py cannot carry out: main.py runs nothing, and a flash puts all in order."""
    files = {
        **wanted("pico_w"),
        "/lib/kerbnode/log.mpy": b"of another version",
        "/update.go": b"kerb-update 9\n> x /y",
    }
    board = bench(files=files)
    runs(board, "unfinished update: run kerb flash")
    status, [told] = flash("--port", board.usb_path)
    assert (status, told["files"]) == (0, ["/lib/kerbnode/log.mpy"])
    runs(board, "note IdentityError")
    board.cut_power()
    assert {path: board.read_file(path) for path in board.list_files() if path[:5] != "/node"} == wanted("pico_w")


def test_the_bundle_can_be_written_to_a_folder(tmp_path, kerb):
    status, out, _ = kerb("flash", "--bundle-to", tmp_path / "bundle", "--board", "pico_w")
    assert (status, out.strip()) == (0, str(tmp_path / "bundle"))
    found = {p.relative_to(tmp_path / "bundle").as_posix() for p in (tmp_path / "bundle").rglob("*") if p.is_file()}
    assert found == {*bundle.contents("pico_w", "bin"), bundle.PACKAGE}


def test_a_bundle_from_a_folder_goes_as_it_is_and_only_onto_its_board(tmp_path, bench, flash, kerb):
    folder = tmp_path / "bundle"
    kerb("flash", "--bundle-to", folder, "--board", "pico_w")
    board, other = bench("pico_w"), bench("esp32_c3")
    status, [told] = flash("--bundle", folder, "--port", board.usb_path)
    assert (status, told["status"]) == (0, "flashed")
    status, [told] = flash("--bundle", folder, "--port", other.usb_path)
    assert status == 1 and "is for a bin on a pico_w" in told["error"]["cause"]
    (folder / "main.py").write_text("changed by hand")
    status, [told] = flash("--bundle", folder, "--port", board.usb_path)
    assert status == 1 and "is not what bundle.json says" in told["error"]["cause"]
