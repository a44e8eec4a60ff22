"""What must not be in the gateway's source, read from its syntax trees; and the modes of every file that it makes."""

import ast
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_harness import DEADLINE_S, ENVIRONMENT, ROOT, START, GatewayProcess, Street, closing_all

SOURCES = sorted((ROOT / "gateway" / "kerbgate").rglob("*.py")) + sorted((ROOT / "protocol" / "kerbwire").glob("*.py"))
# No program is started, nothing is unpickled, evaluated or fetched; XML and YAML readers have bombs of their own.
FORBIDDEN_MODULES = {
    "pickle", "marshal", "shelve", "dill", "yaml", "subprocess", "pty", "code", "codeop", "runpy", "imp", "xml", "plistlib",
    "urllib.request", "http.client", "http.server", "ftplib", "smtplib", "telnetlib", "xmlrpc", "requests", "tempfile",
    "multiprocessing", "random.SystemRandom",
}  # fmt: skip
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "input", "os.system", "os.popen", "os.fork", "pty.spawn", "os.startfile",
    "importlib.import_module", "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "asyncio.start_server",
    "asyncio.start_unix_server", "asyncio.open_connection", "asyncio.open_unix_connection",
}  # fmt: skip
# What may stand in SQL beside constants of a module: none of it is what a peer said.
SQL_PARTS = {
    "settings.synchronous", "settings.checkpoint_pages", "limit_pages", "step", "number", "number + 1", "name", "column",
    "table", "where", "round(_BUSY_TIMEOUT_S * 1000)", "rows.SELECT", "table.UNANSWERED", "schema.version()",
}  # fmt: skip
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*(\.[A-Z_]+)?")
ALLOWED = {"messages.py: __import__()"}  # of a module of ours, by the number of a message's kind, from a fixed table
WAITS_ON_PEERS = {"read", "readline", "readuntil", "readexactly", "writer.drain", "writer.wait_closed"}
# Waits of a caller's connection have one limit of time around all of them, in door.py.
UNDER_THE_DOOR = {("control.py", "drain"), ("pages.py", "drain")}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    assert len(SOURCES) > 60
    for path in SOURCES:
        yield path, ast.parse(path.read_text(), str(path))


def parents(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}


def above(node: ast.AST, up: dict[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    while node in up:
        node = up[node]
        yield node


def faults_of(text: str) -> list[str]:
    return list(found(Path("x.py"), ast.parse(text)))


def found(path: Path, tree: ast.Module) -> Iterator[str]:
    """Everything in one module that is forbidden."""
    for node in ast.walk(tree):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        for name in names:
            if name in FORBIDDEN_MODULES or name.split(".")[0] in FORBIDDEN_MODULES:
                yield f"{where}: import {name}"
        if isinstance(node, ast.Call):
            yield from in_call(node, where)


def in_call(node: ast.Call, where: str) -> Iterator[str]:
    called = ast.unparse(node.func)
    if called in FORBIDDEN_CALLS or re.match(r"os\.(exec|spawn|posix_spawn)", called):
        yield f"{where}: {called}()"
    if any(word.arg == "shell" for word in node.keywords):
        yield f"{where}: shell="
    if called in ("asyncio.Queue", "queue.Queue", "asyncio.LifoQueue") and not (node.args or node.keywords):
        yield f"{where}: {called} without a bound"
    if called.endswith(".SimpleQueue") or called == "SimpleQueue":
        yield f"{where}: a SimpleQueue has no bound"
    if called.endswith("StreamReader") and "limit" not in {word.arg for word in node.keywords}:
        yield f"{where}: a StreamReader without a limit"
    if called.rpartition(".")[2] in ("execute", "executemany", "executescript") and node.args:
        yield from in_sql(node.args[0], where)
    if called.rpartition(".")[2] == "chmod" and any(
        isinstance(word, ast.Constant) and isinstance(word.value, int) and word.value & 0o022 for word in node.args
    ):
        yield f"{where}: chmod for others to write"


def in_sql(query: ast.expr, where: str) -> Iterator[str]:
    if isinstance(query, ast.BinOp):
        yield from in_sql(query.left, where)
        yield from in_sql(query.right, where)
    for part in query.values if isinstance(query, ast.JoinedStr) else ():
        if isinstance(part, ast.FormattedValue):
            text = ast.unparse(part.value)
            if not CONSTANT.fullmatch(text) and text not in SQL_PARTS:
                yield f"{where}: SQL with {{{text}}}"


def test_nothing_forbidden_is_in_the_source() -> None:
    faults = [fault for path, tree in trees() for fault in found(path, tree)]
    assert [fault for fault in faults if re.sub(r":\d+", "", fault) not in ALLOWED] == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from subprocess import run", "import xml.etree.ElementTree", "from urllib import request",
        "eval(x)", "import os\nos.system('x')", "os.execv('a', [])", "run(x, shell=True)", "asyncio.Queue()",
        "asyncio.StreamReader()", "db.execute(f'SELECT {given}')", "db.execute('SELECT ' + f'{given}')", "queue.SimpleQueue()",
        "path.chmod(0o666)", "asyncio.start_server(x)",
    ],
)  # fmt: skip
def test_the_reader_of_source_sees_each_of_these(text: str) -> None:
    assert len(faults_of(text)) >= 1


def waits(tree: ast.Module, name: str) -> Iterator[str]:
    """Waits on a peer that no limit of time is around."""
    up = parents(tree)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        what = node.func.attr
        awaited = any(isinstance(parent, ast.Await) for parent in above(node, up))
        peer = what in WAITS_ON_PEERS or ast.unparse(node.func) in WAITS_ON_PEERS
        if not peer or not awaited or (name, what) in UNDER_THE_DOOR:
            continue
        limited = any(
            (isinstance(parent, ast.AsyncWith) and any("timeout(" in ast.unparse(item) for item in parent.items))
            or (isinstance(parent, ast.Call) and ast.unparse(parent.func).endswith("wait_for"))
            for parent in above(node, up)
        )
        if not limited:
            yield f"{name}:{node.lineno}: await {ast.unparse(node.func)}"


def test_every_wait_on_a_peer_has_a_limit() -> None:
    assert [wait for path, tree in trees() for wait in waits(tree, path.name)] == []
    assert list(waits(ast.parse("async def f():\n await reader.readline()"), "x.py"))
    assert not list(waits(ast.parse("async def f():\n await asyncio.wait_for(reader.readline(), 1)"), "x.py"))
    door = (ROOT / "gateway" / "kerbgate" / "door.py").read_text()
    assert "async with asyncio.timeout(self._timeout_s):\n                await self._serve(reader, writer)" in door


def kerb(*words: str, cwd: Path) -> str:
    """A kerb command under a mask that hides nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "kerbtools", *words], umask=0,
        env=ENVIRONMENT, cwd=cwd, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def open_to_others(folder: Path) -> list[str]:
    """Files and folders that somebody else could read or write."""
    found = [folder, *folder.rglob("*")]
    return [f"{path.relative_to(folder.parent)} {stat.S_IMODE(path.lstat().st_mode):o}" for path in found
            if path.lstat().st_mode & 0o077 and not path.is_symlink()]  # fmt: skip


def test_every_file_of_a_gateway_is_its_users_own_under_a_lax_mask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        gateway = GatewayProcess(tmp_path, inlets=[], broker_port=None)
        gateway.state.rmdir()
        config = gateway.config.read_text()
        kerb("gateway", "init", "--force", "--config", str(gateway.config), "--site", "harbour", cwd=tmp_path)
        assert stat.S_IMODE(gateway.config.stat().st_mode) == 0o600
        gateway.config.write_text(config)
        bench = tmp_path / "bench"
        bench.mkdir(mode=0o700)
        kerb("registry", "init", cwd=bench)
        kerb(
            "registry",
            "public-key",
            "--registry",
            str(gateway.state / "registry.sqlite"),
            "--out",
            "cabinet.pub",
            cwd=bench,
        )
        street = Street(gateway.register(range(1, 3)))
        gateway.config.write_text(config + f'[[inlet]]\nurl = "serial:{street.path}"\n')
        with closing_all(gateway, street):
            gateway.start()
            node = street.nodes[1]
            node.take(8, START)
            assert street.run(lambda: node.confirmed and not node.waiting)
            kerb("backup", "--config", str(gateway.config), "copy.backup", cwd=bench)
            running = open_to_others(gateway.state)
            assert (gateway.state / "store.sqlite-wal").exists() and (gateway.state / "control.sock").exists()
            gateway.kill()
        gateway.start()  # over what the killed one left
        assert gateway.stop() == 0
    finally:
        os.umask(before)
    secret = [path for path in bench.rglob("*") if path.suffix != ".pub"]
    assert running == [] and open_to_others(gateway.state) == []
    assert len(list(gateway.state.iterdir())) >= 6 and len(secret) >= 3
    assert [str(path) for path in secret if path.stat().st_mode & 0o077] == []
