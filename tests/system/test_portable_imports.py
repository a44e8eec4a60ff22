"""The gateway and the tools load where the POSIX-only modules are missing, as on Windows. Nobody has tried them there.

Each module of kerbwire, kerbgate and kerbtools is imported in a process in which those modules cannot be imported. Third-party
packages that choose by platform are loaded before that: on this machine they would choose the POSIX way.
"""

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import kerbgate
import kerbtools
import kerbwire

POSIX_ONLY = (
    "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty",
)  # fmt: skip
# Emulated boards live on ptys and signals of a POSIX host; the demo, the years of a bin, and lamps in their world need them.
APART = (
    "kerbtools.emulator", "kerbtools.demo", "kerbtools.bench.reentry", "kerbtools.bench.native",
    "kerbtools.bench.restore", "kerbtools.bench.lora", "kerbtools.bench.lampheap", "kerbtools.bench.lighting.boards",
    "kerbtools.bench.lighting.board_lamp", "kerbtools.bench.lighting.firmware",
)  # fmt: skip
# Programs, no modules: what CPython runs with -m, and what MicroPython runs.
PROGRAMS = ("__main__", "on_board", "operations_board", "node_board", "slices_board", "wake_board")
# Third-party packages that have a Windows branch of their own.
CHOOSE_BY_PLATFORM = ("asyncio", "subprocess", "shutil", "tempfile", "serial", "serial_asyncio_fast", "mpremote.main")
# Names of the standard library that Windows does not have; evaluated at import they end the import.
NAMES = {
    "os": {
        "fork", "getuid", "geteuid", "getgid", "getpgid", "getpgrp", "killpg", "openpty", "setsid", "uname", "mkfifo",
        "O_NOCTTY", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "sched_getaffinity", "statvfs", "chown", "WNOHANG",
    },
    "signal": {"SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGCONT", "SIGUSR1", "SIGUSR2"},
    "select": {"poll", "epoll", "kqueue"},
    "socket": {"AF_UNIX"},
    "time": {"clock_settime", "tzset"},
}  # fmt: skip

SCRIPT = """
import importlib, json, sys

blocked, before, modules = map(tuple, json.loads(sys.argv[1]))
for name in before:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        pass


class Block:
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"{name} is POSIX-only", name=name)


for name in blocked:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Block())
failed = {}
for name in modules:
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = repr(error)
print(json.dumps(failed))
"""


def modules():
    found = []
    for package in (kerbwire, kerbgate, kerbtools):
        found.append(package.__name__)
        found += [each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=print)]
    return sorted(name for name in found if not name.startswith(APART) and not name.endswith(PROGRAMS))


def imported(names, blocked=POSIX_ONLY):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([blocked, CHOOSE_BY_PLATFORM, names])],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_every_module_loads_without_the_posix_only_ones():
    names = modules()
    assert {"kerbwire.cbor", "kerbgate.cli", "kerbtools.cli", "kerbtools.boards", "kerbtools.bundle"} <= set(names)
    assert len(names) > 90
    assert imported(names) == {}


@pytest.mark.parametrize("name", POSIX_ONLY)
def test_a_blocked_module_cannot_be_loaded(name):
    assert list(imported([name])) == [name]


def test_the_emulator_is_what_needs_a_posix_host():
    """If this fails, the exception above is not needed any more."""
    assert "POSIX-only" in imported(["kerbtools.emulator"])["kerbtools.emulator"]


def at_import(tree):
    """Nodes that are evaluated when a module is imported: not the bodies of functions."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            todo += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)]
        elif not isinstance(node, ast.Lambda) and not (
            isinstance(node, ast.If) and "platform" in ast.unparse(node.test)
        ):
            yield node
            todo += list(ast.iter_child_nodes(node))


def posix_names(tree):
    for node in at_import(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in NAMES.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{a.name}" for a in node.names if a.name in NAMES.get(node.module or "", ()))


def test_no_module_needs_a_posix_only_name_when_it_is_imported():
    found = {}
    for package in (kerbwire, kerbgate, kerbtools):
        folder = Path(package.__path__[0])
        for path in folder.rglob("*.py"):
            name = ".".join((package.__name__, *path.relative_to(folder).with_suffix("").parts))
            if not name.startswith(APART) and (names := sorted(posix_names(ast.parse(path.read_text())))):
                found[name] = names
    assert found == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import signal\nENDS = (signal.SIGTERM, signal.SIGHUP)", ["signal.SIGHUP"]),
        ("import os\ndef f(flags=os.O_NOCTTY): pass", ["os.O_NOCTTY"]),
        ("import os\ndef f(): return os.fork()", []),
        ("from socket import AF_UNIX", ["socket.AF_UNIX"]),
        ("import select, sys\nif sys.platform != 'win32':\n    P = select.poll", []),
        ("class A:\n    import os\n    who = os.getuid()", ["os.getuid"]),
    ],
)
def test_the_search_for_posix_only_names_finds_them(source, names):
    assert list(posix_names(ast.parse(source))) == names
