"""`kerb erase`: nothing of a key is left on the flash, and the registry knows that the node is back."""

import io
import json
import threading

import pytest
from device_helpers import SECRET

from kerbgate.registry import Registry, provisioning, states
from kerbtools.device import Device
from kerbtools.emulator import Board


@pytest.fixture(autouse=True)
def no_registry(monkeypatch):
    monkeypatch.delenv("KERB_REGISTRY", raising=False)


@pytest.fixture
def registry(tmp_path):
    registry = Registry(tmp_path / "bench.sqlite", create=True)
    yield registry
    registry.close()


def add(registry, board, address=417):
    """A node in stock: that of a board that was provisioned here, or of one whose unique id nobody noted (None)."""
    if board is None:
        registry.add(address=address, site="depot", role="bin", board="pico_w", secret=SECRET)
        return
    unique_id = board.hardware.unique_id.hex()
    held = provisioning.reserve(
        registry, unique_id=unique_id, site="depot", role="bin", board="pico_w", address=address
    )
    provisioning.commit(registry, held, SECRET, site="depot", role="bin", board="pico_w", settings={})


@pytest.mark.parametrize("name", ["pico_w", "pico2_w", "esp32_c3", "esp32_s3"])
def test_erase_leaves_no_key_anywhere_on_the_flash(node, kerb, name):
    """Also none in blocks that LittleFS let go of."""
    board = node(name)
    board.world.advance(60)
    board.cut_power()
    board.start()  # it slept
    with Device.open(board.usb_path) as device:
        assert SECRET in device.read("/node/identity.cbor")
        device.write("/node/identity.cbor", device.read("/node/identity.cbor") + b"again")
    assert board.flash.path.read_bytes().count(SECRET) > 1
    status, out, _ = kerb("erase", "--yes", "--json", "--port", board.usb_path)
    assert (status, json.loads(out)["erased_bytes"]) == (0, board.facts.filesystem_bytes)
    board.cut_power()
    assert board.list_files() == []
    left = board.flash.path.read_bytes()
    assert SECRET not in left and b"depot" not in left
    assert not any(SECRET[at : at + 4] in left for at in range(13))
    assert len(left) - left.count(b"\xff") < 2000  # an empty file system


@pytest.mark.parametrize("at_write", [1, 2, 3, 100, -1])
@pytest.mark.parametrize("tear", ["all", "half", "garbage"])
def test_an_erase_that_is_cut_leaves_a_board_that_can_be_erased(node, kerb, at_write, tear):
    board = node()
    with Device.open(board.usb_path):
        pass
    blocks = board.facts.filesystem_bytes // board.facts.block_bytes
    board.cut_power(at_write=at_write if at_write > 0 else blocks + 1, tear=tear)  # then: of the new file system
    gone = threading.Thread(target=lambda: (board.wait_off(100), board.stop()))
    gone.start()
    status, _, err = kerb("erase", "--yes", "--port", board.usb_path)
    gone.join()
    assert status == 1 and "went away" in err
    again = Board(board.world, "pico_w", directory=board.flash.path.parent, name="again")
    assert again.usb_path
    again.start()
    assert kerb("erase", "--yes", "--port", again.usb_path)[0] == 0
    again.cut_power()
    assert again.list_files() == [] and SECRET not in again.flash.path.read_bytes()


def test_erase_asks_first(node, kerb, monkeypatch):
    board = node()
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    status, _, err = kerb("erase", "--port", board.usb_path)
    assert status == 1 and "Nothing was erased." in err and "Type `erase`" in err
    board.cut_power()
    assert "/node/identity.cbor" in board.list_files()


@pytest.mark.parametrize("is_known", [True, False])
def test_the_registry_knows_that_the_node_is_back(node, kerb, registry, is_known):
    board = node()
    add(registry, board if is_known else None)
    assert registry.secret(registry.get(417)) == SECRET
    status, out, err = kerb("erase", "--yes", "--json", "--port", board.usb_path, "--registry", registry.path)
    told = json.loads(out)
    assert (status, told["node"], told["state"]) == (0, 417, "returned") and "Node 417 is returned." in err
    registry.refresh()
    assert registry.card(417).state == states.RETURNED
    board.cut_power()
    assert SECRET not in board.flash.path.read_bytes()


def test_a_wiped_board_is_known_by_its_unique_id(node, kerb, registry, monkeypatch):
    """The first erase told no registry; the second finds the node all the same."""
    board = node()
    add(registry, board)
    status, _, err = kerb("erase", "--yes", "--port", board.usb_path)
    assert status == 0 and "run: kerb registry mark 417 return" in err
    assert registry.card(417).state == states.STOCK
    monkeypatch.setenv("KERB_REGISTRY", str(registry.path))
    status, _, err = kerb("erase", "--yes", "--port", board.usb_path)
    assert status == 0 and "Node 417 is returned." in err
    status, _, err = kerb("erase", "--yes", "--port", board.usb_path)
    assert status == 0 and "Node 417 is returned, as before." in err


def test_a_stolen_node_stays_stolen(node, kerb, registry):
    board = node()
    add(registry, board)
    registry.mark(417, states.STEAL)
    status, out, err = kerb("erase", "--yes", "--port", board.usb_path, "--registry", registry.path)
    assert status == 0 and "kerb registry mark 417 find" in err and "stolen" in out


def test_a_registry_that_is_of_others_is_left_alone(node, kerb, registry):
    board = node()
    provisioning.reserve(registry, unique_id="00", site="depot", role="bin", board="pico_w", address=417)
    status, _, err = kerb("erase", "--yes", "--port", board.usb_path, "--registry", registry.path)
    assert status == 0 and "No node in" in err
    assert registry.card(417).state == states.PENDING


def test_nothing_is_erased_where_the_registry_cannot_be_told(node, kerb, tmp_path):
    board = node()
    status, _, err = kerb("erase", "--yes", "--port", board.usb_path, "--registry", tmp_path / "none.sqlite")
    assert status == 1 and len(err.splitlines()) == 2 and "Nothing was erased" in err
    status, _, err = kerb("erase", "--yes", "--port", board.usb_path, "--config", tmp_path / "none.toml")
    assert status == 1 and len(err.splitlines()) == 2 and "Nothing was erased" in err
    board.cut_power()
    assert "/node/identity.cbor" in board.list_files()


def test_a_registry_that_breaks_meanwhile_is_told_of(node, kerb, registry, monkeypatch):
    """The board is wiped by then, and the second run says what the first could not."""
    board = node()
    add(registry, board)
    registry._db.execute("CREATE TRIGGER stuck BEFORE UPDATE ON node BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    status, _, err = kerb("erase", "--yes", "--port", board.usb_path, "--registry", registry.path)
    assert status == 1 and "The board is wiped, but the registry was not told: " in err and "same command again" in err
    registry._db.execute("DROP TRIGGER stuck")
    assert kerb("erase", "--yes", "--port", board.usb_path, "--registry", registry.path)[0] == 0
    assert registry.card(417).state == states.RETURNED


def test_a_board_that_finds_no_file_system_makes_one(node, kerb):
    board = node()
    board.cut_power()
    board.flash.path.write_bytes(bytes(board.facts.filesystem_bytes))
    board.start()
    status, out, _ = kerb("info", "--json", "--port", board.usb_path)
    assert status == 0 and json.loads(out)["flash_free_bytes"] > board.facts.filesystem_bytes - 20000
    board.cut_power()
    assert board.list_files() == []
