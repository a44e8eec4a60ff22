"""The firmware fits each board's own port, which its type stubs cannot prove: they give ports names that those lack.

The port is played by the shims of an emulated board, which are held to it: what is missing there is missing on the port.
"""

import ast
from pathlib import Path

import pytest

import kerbnode
from kerbtools import boards

FIRMWARE = [*Path(kerbnode.__file__).parent.rglob("*.py"), *boards.rootfs_folder().glob("*.py")]
PORT_MODULES = ("machine", "network", "esp32", "rp2", "bluetooth")
REAL = [name for name in boards.names() if name != "emulated"]

# Names of MicroPython that only one of the ports has (docs.micropython.org, ports' mpconfigport.h and machine_*.c).
ONLY = {
    "esp32": {
        "machine.ADC.ATTN_11DB", "machine.ADC.atten", "machine.ADC.read_uv", "machine.DEEPSLEEP_RESET",
        "machine.HARD_RESET", "machine.RTC.memory", "machine.SOFT_RESET", "esp32", "esp32.WAKEUP_ANY_HIGH",
        "esp32.wake_on_gpio", "esp32.RMT", "esp32.mcu_temperature",
    },
    "rp2": {
        "machine.Pin.high", "machine.Pin.low", "machine.mem_backup", "rp2", "rp2.PIO", "rp2.StateMachine", "rp2.asm_pio",
    },
}  # fmt: skip
# What the firmware names although a port lacks it, and why that is no error: the branch that comes before it.
GUARDED = {
    "machine.ADC.ATTN_11DB": "hal.adc_mv returns before it on rp2",
    "esp32": "hal.wake_on and hal.deep_sleep ask for the port before they import it",
    "esp32.WAKEUP_ANY_HIGH": "as esp32",
    "esp32.wake_on_gpio": "as esp32",
    "esp32.mcu_temperature": "hal.chip_celsius returns before it on rp2",
    "esp32.RMT": "hal.dali asks for the port before it loads drivers.dali_rmt",
    "rp2": "hal.dali asks for the port before it loads drivers.dali_pio",
    "rp2.PIO": "as rp2",
    "rp2.StateMachine": "as rp2",
    "rp2.asm_pio": "as rp2",
    "machine.mem_backup": "hal asks retained.kind first, which is mem_backup on rp2 only",
}

# What shims need to reach the host, beside the port's names.
HELPERS = {"call", "fetch", "ioctl", "poll_key"}

SHOW = """
import gc
for module in ("machine", "network", "esp32", "rp2", "bluetooth"):
    try:
        found = __import__(module)
    except ImportError:
        continue
    print("has", module)
    for name in dir(found):
        value = getattr(found, name)
        if type(value) is not type(gc):
            print("has", module + "." + name)
        if isinstance(value, type):
            for inner in dir(value):
                print("has", module + "." + name + "." + inner)
"""


@pytest.fixture
def port(emulated_board):
    """The names that a board's shims have."""

    def names(board, role="bin"):
        node = emulated_board(board, files={"main.py": SHOW.encode()})
        node.start()
        node.world.advance(1)
        assert not any("Error" in line for line in node.console), node.console
        return {line.split()[1] for line in node.console if line.startswith("has ")}

    return names


def used(source):
    """Names of port modules in a source, two deep: machine.Pin.OUT. self._machine and a parameter machine count."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            parts = ast.unparse(node).replace("self._machine.", "machine.").split(".")
            if parts[0] in PORT_MODULES and all(part.isidentifier() for part in parts):
                found.add(".".join(parts[:3]))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            found |= {name for name in names if name in PORT_MODULES and name != "machine"}
    return found


def test_names_of_port_modules_are_found():
    source = "import network\nclass A:\n    def f(self, machine):\n        self._machine.Pin(4, self._machine.Pin.OUT).value(1)\n        machine.reset()\n"
    assert used(source) == {"network", "machine.Pin", "machine.Pin.OUT", "machine.reset"}


@pytest.mark.parametrize("name", boards.names())
def test_every_name_that_the_firmware_uses_is_there_or_guarded(port, name):
    has = port(name)
    missing = {each for path in FIRMWARE for each in used(path.read_text()) if each not in has}
    kind = boards.load(name).port
    assert {each for each in missing if each in GUARDED} == {each for each in GUARDED if each not in has}
    assert missing - set(GUARDED) == set(), f"not on {kind}"


@pytest.mark.parametrize("name", REAL)
def test_a_port_has_its_own_names_and_not_those_of_the_other(port, name):
    has, kind = port(name), boards.load(name).port
    other = next(each for each in ONLY if each != kind)
    assert ONLY[kind] <= has
    assert ONLY[other] & has == set()
    assert ("esp32" in has) == (kind == "esp32")


def in_stubs(folder):
    """The names of a board's stubs, two deep; None where they are not installed."""
    names = set()
    for module in PORT_MODULES:
        path = folder / f"{module}.pyi" if (folder / f"{module}.pyi").exists() else folder / module / "__init__.pyi"
        if not path.exists():
            continue
        names.add(module)
        for node in ast.parse(path.read_text()).body:
            for name in declared(node):
                names.add(f"{module}.{name}")
                if isinstance(node, ast.ClassDef):
                    names |= {f"{module}.{name}.{inner}" for each in node.body for inner in declared(each)}
    return names


def declared(node):
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [ast.unparse(node.target)]
    return [ast.unparse(each) for each in node.targets] if isinstance(node, ast.Assign) else []


@pytest.mark.parametrize("name", REAL)
def test_shims_have_no_name_that_the_stubs_of_their_board_do_not_have(port, name):
    folder = Path(boards.boards_folder()).parent / ".venv-stubs" / boards.load(name).stubs
    if not folder.exists():
        pytest.skip("no stubs: run make lint")
    known = in_stubs(folder)
    public = {name for name in port(name) if not any(part.startswith("_") for part in name.split("."))}
    assert len(known) > 200
    assert {name for name in public - known if name.rpartition(".")[2] not in HELPERS} == set()


def test_guards_are_needed():
    """A guard that no port needs any more, or that the firmware does not use, is to go."""
    names = {each for path in FIRMWARE for each in used(path.read_text())}
    assert set(GUARDED) <= names & set.union(*ONLY.values())


HAL = """
import json, machine, os, time
from kerbnode import hal
board = json.load(open("/board.json"))
one = hal.Hal(machine, time, os.urandom, board)
print(hal.CAUSES[one.reset_cause()], one.may_be_wake(), len(one.take_retained()), one.sleep_span_ms(10**9))
one.keep_retained(bytes(range(28)))
print(list(one.take_retained())[:28] == list(range(28)), any(one.take_retained()))
uart = one.uart(board["link"], 1024)
print(uart.any(), uart.write(b"x"), one.adc_mv(board["sensors"]["battery"])() > 1000)
one.power(board["sensors"]["distance"])(True)
print(one.pin(board["sensors"]["temperature"]["pin"]) is not None, len(one.random(8)))
"""


@pytest.mark.parametrize("name", boards.names())
def test_the_hal_runs_on_every_boards_port(emulated_board, tmp_path, name):
    from kerbtools import bundle

    folder = bundle.build(name, "bin", tmp_path / "bundle", readable=True)  # it asks for a module that is packed
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    board = emulated_board(name, files=files | {"main.py": HAL.encode()})
    board.start()
    board.world.advance(5)
    facts = board.facts
    span = facts.longest_sleep_ms or 86_400_000
    said = [line for line in board.console if line]
    assert said[0].split()[:2] == ["power_on", "False"]
    assert said[0].split()[3] == str(min(span, 10**9))
    assert said[1:] == ["True False", "0 1 True", "True 8"]
