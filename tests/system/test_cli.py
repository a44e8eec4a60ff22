"""The `kerb` command: verbs load lazily, mistakes get a sentence and a hint."""

import subprocess
import sys


def kerb(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kerbtools", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_lists_every_verb() -> None:
    from kerbtools.cli import VERBS

    done = kerb("--help")
    assert done.returncode == 0
    assert all(f"  {verb}" in done.stdout for verb in VERBS)


def test_an_unknown_verb_says_what_to_do() -> None:
    done = kerb("lamps")
    assert done.returncode == 2
    assert "no verb 'lamps'" in done.stderr and "kerb --help" in done.stderr


def test_a_verb_loads_only_its_own_modules() -> None:
    program = (
        "import sys; from kerbtools.cli import main; main(['--version']);"
        "print([m for m in sys.modules if m.startswith(('kerbgate', 'kerbnode', 'rich', 'paho', 'cryptography'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_a_missing_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['rich'] = None\nimport kerbtools.cli as cli\nsys.exit(cli.main(['bench', 'wire']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "kerbstone[tools]" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_verb_explains_itself() -> None:
    from kerbtools.cli import VERBS

    for verb in VERBS:
        done = kerb(verb, "--help")
        assert done.returncode == 0 and "usage: kerb" in done.stdout, verb
