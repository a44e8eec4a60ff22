"""What the tests of commissioning share: a registry, and verbs run on it whose outputs are searched for secrets."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kerbgate.registry import Registry

Kerb = Callable[..., tuple[int, str, str]]


def forms(secret: bytes) -> list[bytes]:
    """How a secret might show: raw, hex, base64 at each alignment, as a list of numbers, escaped."""
    shown = [secret, secret.hex().encode(), secret.hex(" ").encode(), repr(secret).encode(), str(list(secret)).encode()]
    for lead in range(3):  # without the characters that its neighbours would change
        text = base64.b64encode(bytes(lead) + secret).decode()
        shown.append(text[(4 if lead else 0) : 20].encode())
    return shown + [form.upper() for form in shown[1:3]]


def shows(data: bytes, secrets: list[bytes]) -> bool:
    return any(form in data for secret in secrets for form in forms(secret))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    made = Registry(tmp_path / "registry.sqlite", create=True)
    yield made
    made.close()


@pytest.fixture
def kerb(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Kerb]:
    """Run a verb with this test's registry; (exit status, output, errors). No output and no file may show a secret."""
    secrets: list[bytes] = []

    def run(verb: Callable[[list[str]], int], *words: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        status = verb([*map(str, words), "--registry", str(registry.path)])
        out, err = capsys.readouterr()
        registry.refresh()
        secrets.extend(registry.secret(node) for node in registry.list() if node.sealed)
        assert "Traceback" not in out + err
        assert not shows((out + err).encode(), secrets)
        return status, out, err

    yield run
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".img":  # a board's flash is where they belong
            assert not shows(path.read_bytes(), secrets), path
