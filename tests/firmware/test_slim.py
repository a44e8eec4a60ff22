"""A bundle's cut sources: they do what the whole ones do, and hold only what the role uses."""

import subprocess

import pytest

from kerbtools import bundle, slim
from kerbtools.emulator import interpreter
from kerbwire.frame import DOWN, MAX_MESSAGE

# Reports of all forms that a bin writes: usual days, masks, faults, gaps in time, uptimes, one record, too many bytes.
ENCODE = """
from kerbwire import cbor, line, messages, seal
from kerbwire.node_end import NodeEnd
from kerbnode.identity import Identity
fault, no_echo, not_fitted = 2 - (1 << 29), 1 - (1 << 29), -(1 << 29)
def show(label, make):
    try:
        print(label, make())
    except Exception as error:
        print(label, type(error).__name__, getattr(error, "code", error))
def record(i, k, step):
    values = {0: (i * 3 + k) % 101, 2: 40 + (i * k) % 9 - 20 * (k & 1), 5: k % 3}
    if k & 1 and i == 0:
        values[3] = 360
    if k & 2:
        values[1] = 300 + 7 * i
    if k == 5:
        values[0] = fault if i % 4 else no_echo
    if k == 6 and i % 3:
        del values[2]
    if k == 7:
        values[4] = i % 180
    return messages.Record(1000 + i, 1767571200 + step * i, values)
for k in range(8):
    for step in (3600, 900, 600, 61):
        for count in (1, 2, 24, 40):
            records = [record(i, k, step) for i in range(count)]
            near = 998, 1767571000
            show((k, step, count), lambda: messages.fit(records, MAX_MESSAGE, None, None, None))
            show((k, step, count, "near"), lambda: messages.fit(records, MAX_MESSAGE, None, None, near))
            late = records[-1].time + 7
            show((k, step, count, "boot"), lambda: messages.fit(records, MAX_MESSAGE, 3, late, None))
            show((k, step, count, "split"), lambda: messages.fit(records, 60, None, None, near))
hello = messages.Hello(0, "pico_w", "0.2.0", bytes(8), 3, 12, bytes(8), 41203, [(40100, 16)], b"12345678")
show("hello", lambda: messages.encode_fields(hello))
show("long", lambda: messages.encode_fields(messages.Hello(0, "x" * 25, "0.2.0", bytes(8), 3, 12, bytes(8), 1)))
ack = messages.encode_fields(messages.Ack(20533, [20531, 20532, 20533], 1765540800, True))
for cut in range(len(ack) + 1):
    show(("ack", cut), lambda: messages.decode_down(ack[:cut]).committed)
challenge = messages.encode_fields(messages.Challenge(5, bytes(8)))
show("challenge", lambda: messages.decode_down(challenge).challenge)
for kind in range(8, 16):
    show(("kind", kind), lambda: type(messages.decode_down(cbor.encode([kind, {}]))).__name__)
end = NodeEnd(7, Identity(7, bytes(16), 1, "depot"), b"lifelife", iter(range(100, 200)).__next__, b"instance")
for body in (messages.encode_fields(hello), b"\\x82\\x01\\x41\\x00"):
    seq, sealed = end.seal(body, True)
    show(seq, lambda: line.encode(sealed))
key = seal.downlink_key(bytes(16), b"lifelife", b"instance")
for seq in range(3):
    down = key.seal(DOWN, 1, 7, seq, messages.encode_fields(messages.Ack(100 + seq, [100])), b"instance")
    show(("heard", seq), lambda: end.receive(down).committed)
    show(("again", seq), lambda: (end.receive(down), sorted(end.refused.items())))
"""


def compiled(folder, sources):
    packages = {name.rpartition(".")[0] for name in sources}
    for name, text in {**dict.fromkeys(packages - {""}, ""), **sources}.items():
        name = (f"{name}/__init__" if name in packages else name).replace(".", "/")
        place = folder / f"{name}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.with_suffix(".mpy").write_bytes(bundle.compile_module(place, f"{name}.py"))
        place.unlink()
    return folder


def printed(library, program):
    done = subprocess.run(
        [*interpreter.command(), "-X", "heapsize=4M", "-c", f"DOWN, MAX_MESSAGE = {DOWN}, {MAX_MESSAGE}\n{program}"],
        env={"MICROPYPATH": f"{library}:.frozen"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def whole(names):
    paths = bundle._modules("bin")
    return {name: paths[name].read_text() for name in names}


@pytest.mark.parametrize("terse", [False, True])
def test_a_cut_bundle_writes_and_reads_the_same_bytes(tmp_path, terse):
    cut = bundle.sources("bin", terse=terse)
    lines = printed(compiled(tmp_path / "cut", cut), ENCODE)
    assert lines == printed(compiled(tmp_path / "whole", whole(cut)), ENCODE)
    assert len(lines) > 500 and sum("Error" in line for line in lines) < 60


def test_a_readable_bundle_leaves_the_sources_as_they_are(tmp_path):
    before = set(bundle.sources("bin"))
    bundle.build("pico_w", "bin", tmp_path / "bundle", readable=True)
    assert set(bundle.sources("bin")) == before


def test_a_cut_bundle_is_smaller_by_a_sixth():
    cut = bundle.sources("bin")
    assert sum(len(text) for text in cut.values()) < 5 / 6 * sum(len(text) for text in whole(cut).values())


def test_a_role_gets_the_channels_that_it_measures():
    channels = bundle.sources("bin")["kerbwire.channels"]
    assert "'fill'" in channels and "'tilt'" in channels and "'lux'" not in channels


def cut(**modules):
    roots = {"kerbnode.app": ("main",)}
    return slim.slim({name.replace("_", "."): text for name, text in modules.items()}, "bin", roots)


def test_constants_stand_where_they_are_used_and_nowhere_else():
    modules = cut(
        kerbnode_app="from kerbnode import facts as f\nfrom kerbnode.facts import SIZE as s\n"
        "def main():\n    return s + f.LIMIT + f.LONG\n",
        kerbnode_facts="SIZE, OTHER = 4, 1 << 3\nLIMIT = const(2 * OTHER)\nLONG = 'a text of many words'\n",
    )
    assert modules["kerbnode.app"] == "from kerbnode import facts as f\n\ndef main():\n    return 4 + 16 + f.LONG\n"
    assert modules["kerbnode.facts"] == "LONG = 'a text of many words'\n"


def test_what_nothing_refers_to_is_gone_and_all_else_stays():
    modules = cut(
        kerbnode_app='''
"""About."""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
from kerbnode.part import Part, helper, unused

class Lone:
    pass

def main(part: "Part | None" = None) -> int:
    """Doc."""
    part = Part(1, 2)
    return part.used(helper()) + getattr(part, "named")()
''',
        kerbnode_part="""
import sys
_table = {}
_table["made"] = print("runs")
def helper(): return _deep()
def _deep(): return 1
def unused(): return _only_there()
def _only_there(): return 2
class Part:
    __slots__ = ("a", "b")
    def __init__(self, a, b):
        self.a = a
        self.b = b
        self.c = sys.exit()
        if a:
            self.d = 1
    def used(self, n): return self.a + n
    def named(self): return 0
    def lonely(self): return self.b
    def __len__(self): return 1
    def __eq__(self, other): return True
    def __repr__(self): return ""
""",
    )
    app, part = modules["kerbnode.app"], modules["kerbnode.part"]
    assert "Lone" not in app and "typing" not in app and "unused" not in app and "Doc" not in app
    for kept in ("_table['made'] = print('runs')", "def _deep", "self.a = a", "sys.exit()", "def named", "__len__"):
        assert kept in part, kept
    for gone in ("unused", "_only_there", "lonely", "self.b", "self.d", "__slots__", "__repr__", "__eq__"):
        assert gone not in part, gone
    assert "if a:\n            pass" in part


@pytest.mark.parametrize("name", ["armed", "ARMED"])
def test_a_name_that_a_function_assigns_is_no_constant(name):
    text = f"{name} = 1\n\ndef main():\n    global {name}\n    {name} = 2\n    return {name}\n"
    assert cut(kerbnode_app=text)["kerbnode.app"] == text


def test_an_import_of_what_is_not_there_raises_and_nothing_after_it_stays():
    modules = cut(
        kerbnode_app="""
from kerbnode.part import lazy, steps, tried
def main():
    return tried(), lazy(), steps()
""",
        kerbnode_part="""
def tried():
    try:
        from kerbnode import absent
        return absent.made()
    except (ImportError, ValueError):
        return 1
def lazy():
    from kerbnode.absent import made
    return made()
def steps():
    from kerbnode import absent
    yield from absent.steps()
""",
    )
    part = modules["kerbnode.part"]
    assert part.count("raise ImportError") == 2 and "absent" not in part and "made" not in part
    assert "def tried():\n    return 1\n" in part
    assert part.endswith("def steps():\n    raise ImportError\n    yield\n")


def test_an_error_of_the_wire_keeps_its_code():
    text = "def main(n):\n    raise WireError('range', 'field ' + n.name)\n"
    terse = slim.slim({"kerbnode.app": text}, "bin", {"kerbnode.app": ("main",)}, terse=True)
    assert terse["kerbnode.app"] == "def main(n):\n    raise WireError('range')\n"
    made = "def main(n):\n    raise WireError('range', n.called())\n"  # what does something is done
    assert slim.slim({"kerbnode.app": made}, "bin", {"kerbnode.app": ("main",)}, terse=True)["kerbnode.app"] == made


@pytest.mark.parametrize("role", bundle.ROLES)
def test_a_role_has_what_it_comes_to_and_nothing_else(role):
    names = set(bundle.sources(role))
    needed = {"kerbnode.exchange", "kerbnode.selftest", "kerbwire.seal", "kerbwire.packed"}
    assert {"kerbnode.app", *({"kerbnode.drivers.sx126x"} if role == "modem" else needed)} <= names
    assert role != "modem" or not needed & names
    assert not {"kerbwire.bitreader", "kerbwire.capture", "kerbwire.council", "kerbwire.gateway_end"} & names
    assert not set(bundle.LEFT_OUT[role]) & names
    paths = {f"lib/{name.replace('.', '/')}.mpy" for name in names}
    board = bundle.ANY_PARTS if role in bundle.ONLY_FITTED else "pico_w"
    readable = {path.replace("/__init__", "") for path in bundle.contents(board, role, readable=True)}
    assert paths <= readable
    if board == bundle.ANY_PARTS:  # a real board has the drivers of what is wired to it
        fitted = {path for path in bundle.contents("pico_w", role) if path.startswith("lib/kerbnode/drivers/")}
        names = {"__init__", "bh1750", "bl0942", "level", "pwm", "relay"}
        assert fitted == {f"lib/kerbnode/drivers/{name}.mpy" for name in names}
