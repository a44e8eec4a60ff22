"""Packed sources: they do what the modules do, under other names, in fewer and smaller files."""

import json
import os
import subprocess
import sys

import pytest

from kerbtools import boards, bundle, pack
from kerbtools.emulator import interpreter
from kerbtools.pack import mpy, outside, trace

ROOTS = {"house.main": ("run",), "house.part": ("VALUE", "Kept")}
MAIN = """
import os as system
from binascii import crc32
from house import part, values
from house.part import Kept, VALUE as v, error_of
_counter = 0
def run(log):
    global _counter
    _counter += 1
    from house import late
    from house.late import Shape, twice as double
    shape = Shape(3, sides=4)
    log(shape.area(), shape.described(), double(v), late.LIMIT, late.shared(5))
    log([part.scale(n, factor=_counter + 1) for n in range(3)], {k: w for k, w in part.TABLE.items()}.get("a"))
    log(getattr(shape, "open_name"), getattr(shape, "missing", "none"), shape.length, shape.rows())
    kept = Kept(2)
    kept.hidden_value += 1
    log(kept.hidden_value, kept.add(4, 5), crc32(b"house") & 0xFFFF, system.getcwd() != "")
    for name in ("one", "two"):
        driver = __import__("house.values." + name, None, None, (name,))
        log(driver.measure(7), driver.NAME)
    try:
        error_of(3)
    except part.HouseError as error:
        log(type(error).__name__, error.args, error.detail)
    closure = part.counter(10)
    log(closure(), closure(), sorted([3, 1, 2], key=lambda item: -item))
    log(part.steps([1, 2, 3]))
"""
PART = """
VALUE = [1]
TABLE = {"a": 1, "open_name": 2}
class HouseError(Exception):
    def __init__(self, code, detail):
        super().__init__(code)
        self.detail = detail
class Kept:
    BASE = 10
    LIMIT = BASE * 2
    def __init__(self, hidden_value):
        self.hidden_value = hidden_value + self.LIMIT
    def add(self, first, second=1):
        return self._inner(first) + second
    def _inner(self, value):
        return value * self.BASE
def scale(value, factor=1, offset=0):
    return value * factor + offset
def error_of(code):
    raise HouseError(code, "because")
def counter(start):
    count = start
    def step():
        nonlocal_value[0] += 1
        return count + nonlocal_value[0]
    nonlocal_value = [0]
    return step
def steps(items):
    found = []
    for index, item in enumerate(items):
        try:
            if item == 2:
                continue
            found.append((index, item))
        finally:
            found.append("done")
    else:
        found.append("else")
    return found
"""
LATE = """
from house import part
from house.part import Kept
LIMIT = (4, 5)
class Shape(Kept):
    ROWS = ((1, "sides_of", 0), (2, "size_of", 1))
    def __init__(self, size, *, sides, open_name=9):
        super().__init__(size)
        self.size_of = size
        self.sides_of = sides
        self.open_name = open_name
    def area(self):
        return self.add(self.size_of, second=self.sides_of)
    def described(self):
        return "%s" % self.hidden_value
    @property
    def length(self):
        return self.size_of
    def rows(self):
        return [getattr(self, name) for _, name, _ in self.ROWS]
def twice(value):
    return value + value
def shared(n):
    return part.scale(n, offset=part.VALUE[0])
"""
SOURCES = {
    "house": "", "house.main": MAIN, "house.part": PART, "house.late": LATE, "house.values": "",
    "house.values.one": "NAME = 'first'\n_unit = 2\ndef measure(raw):\n    return raw * _unit\n",
    "house.values.two": "from house.part import scale\nNAME = 'second'\n"
    "def measure(raw):\n    return scale(raw, offset=1)\n",
}  # fmt: skip
PARTS = {
    "house": ("house",), "house.values": ("house.values",), "house.main": ("house.main",), "house.later": ("house.late",),
}  # fmt: skip
VALUES = ("house.values.one", "house.values.two")


def packed(sources=SOURCES, parts=PARTS, values=VALUES, roots=ROOTS):
    return pack.pack(sources, parts, values, roots)


def files(texts):
    return bundle._compiled(texts)


def printed(folder, texts, program):
    for path, data in files(texts).items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    done = subprocess.run(
        [*interpreter.command(), "-X", "heapsize=1M", "-c", program],
        env={"MICROPYPATH": f"{folder}/lib:.frozen"}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_packed_sources_do_the_same(tmp_path):
    program = (
        "from house.main import run\nrun(print)\nrun(print)\nfrom house.part import Kept, VALUE\nprint(Kept, VALUE)"
    )
    whole = printed(tmp_path / "whole", SOURCES, program)
    found = packed()
    assert set(found.texts) == {*PARTS, *VALUES, "house.part"}  # part is in main's file; what others ask for is a door
    other = printed(tmp_path / "packed", found.texts, program)
    assert len(whole) == 19 and other[:-1] == whole[:-1]
    assert other[-1] != whole[-1] and other[-1].endswith(" [1]")  # the class has another name


SPREAD = {
    "house": "", "house.main": "def run(log):\n    from house.first import one\n    from house.second import two\n"
    "    log(one(3), two(4))\n    from house.third import three\n    log(three())\n",
    "house.tools": "import struct\nfrom binascii import crc32\n_TABLE = (3, 5, 7)\n_state = 0\n"
    "def first_only(n):\n    return _helper(n) + len(struct.pack('>H', n))\n"
    "def _helper(n):\n    return _TABLE[n % 3]\n"
    "def both(n):\n    return crc32(bytes(n)) & 255\n"
    "def counted():\n    global _state\n    _state += 1\n    return _state\n"
    "class Base:\n    START = 20\n    def __init__(self, n):\n        self.n = n + self.START\n",
    "house.always": "from house import tools\ndef always():\n    return tools.both(1)\n",
    "house.first": "from house import tools, always\ndef one(n):\n    return tools.first_only(n), tools.both(n), always.always()\n",
    "house.second": "from house import tools\nclass Under(tools.Base):\n    pass\n"
    "def two(n):\n    return tools.both(n), tools.counted(), Under(n).n\n",
    "house.third": "from house import tools\ndef three():\n    from house.second import Under\n"
    "    return tools.counted(), Under(0).n\n",
}  # fmt: skip
SPREAD_PARTS = {
    "house": ("house",), "house.main": ("house.main", "house.tools"), "house.always": ("house.always",),
    "house.first": ("house.first",), "house.second": ("house.second",), "house.third": ("house.third",),
}  # fmt: skip


def test_definitions_go_to_the_first_file_that_uses_them(tmp_path):
    roots = {"house.main": ("run",)}
    program = "from house.main import run\nrun(print)\nrun(print)"
    whole = printed(tmp_path / "whole", SPREAD, program)
    loads = dict.fromkeys(("house.first", "house.second"), ("house.main", "house.always"))
    found = pack.pack(SPREAD, SPREAD_PARTS, (), roots, loads)
    assert printed(tmp_path / "packed", found.texts, program) == whole and len(whole) == 4
    held = {file: {name for names in table.values() for name in names} for file, table in found.names.items()}
    assert {"house.tools.first_only", "house.tools._helper"} <= held["house.first"]
    assert "house.tools.Base" in held["house.second"] and "house.tools.both" in held["house.always"]
    assert "house.tools.counted" in held["house.main"]  # it binds a name of its module anew
    assert "_state" not in found.texts["house.main"] and "struct" in found.texts["house.first"]
    assert "struct" not in found.texts["house.main"] and "crc32" not in found.texts["house.main"]
    apart = pack.pack(SPREAD, SPREAD_PARTS, (), roots)
    assert printed(tmp_path / "apart", apart.texts, program) == whole
    assert "house.tools.both" in {
        name for names in apart.names["house.main"].values() for name in names
    }  # none of its users loads another


def test_a_name_of_two_things_from_outside_is_refused():
    sources = {**SPREAD, "house.always": "from struct import pack as crc32\ndef always():\n    return crc32('>H', 1)\n"}
    assert pack.pack(sources, SPREAD_PARTS, (), {"house.main": ("run",)})
    sources["house.always"] = "from zlib import crc32\ndef always():\n    return crc32(b'')\n"
    with pytest.raises(pack.MergeError, match="give one name"):
        pack.pack(sources, SPREAD_PARTS, (), {"house.main": ("run",)})


def test_a_value_that_is_fitted_lies_in_a_file_that_puts_it_among_the_modules(tmp_path):
    program = "from house.main import run\nrun(print)"
    whole = printed(tmp_path / "whole", SOURCES, program)
    found = pack.pack(SOURCES, PARTS, VALUES, ROOTS, None, {VALUES[0]: "house.main"})
    assert VALUES[0] not in found.texts and VALUES[1] in found.texts
    text = found.texts["house.main"]
    assert "sys.modules['house.values.one']" in text and "_unit" not in text
    again = "import sys\nimport house.main\nprint(sys.modules['house.values.one'].measure(3))\n" + program
    assert printed(tmp_path / "packed", found.texts, again) == ["6", *whole]


def test_what_may_be_asked_for_by_name_keeps_it():
    text = "\n".join(packed().texts.values())
    for kept in ("def run(", "class HouseError(", "open_name", "measure", "NAME", "'a'", "__init__", "crc32"):
        assert kept in text, kept
    for gone in (
        "hidden_value",
        "_inner",
        "scale(",
        "_counter",
        "class Kept",
        "sides_of",
        "size_of",
        "factor",
        "system",
    ):
        assert gone not in text, gone


def test_calls_are_by_position_where_the_function_is_known():
    text = "\n".join(packed().texts.values())
    assert "=4)" not in text and "offset=" not in text and "*," not in text
    open_ended = {
        "house": "", "house.main": "def run(make):\n    return make(size=1) + _two(1, more=2)\n"
        "def _two(size, more=0):\n    return size + more\n",
    }  # fmt: skip
    kept = packed(open_ended, {"house": ("house",), "house.main": ("house.main",)}, (), {"house.main": ("run",)})
    assert "(size=1)" in kept.texts["house.main"] and "more=2" not in kept.texts["house.main"]


def test_a_module_as_a_value_and_an_import_of_a_later_file_at_the_top_are_refused():
    with pytest.raises(pack.MergeError, match=r"house\.main uses the module house\.part as a value"):
        packed({**SOURCES, "house.main": "from house import part\ndef run(log):\n    log(part)\n"})
    with pytest.raises(pack.MergeError, match=r"imports house\.late at its top, which a later file holds"):
        packed({**SOURCES, "house.main": "from house import late\ndef run(log):\n    log(late.LIMIT)\n"})


def two_of_one_name(last):
    """A file that takes one name of each of two earlier ones, which know nothing of each other."""
    sources = {
        "house": "", "house.main": "def run(log):\n    from house import last\n    log(last.both(5))\n",
        "house.left": "def twice(value):\n    return value + value\n",
        "house.right": "def grown(value):\n    return value + 1\n", "house.last": last,
    }  # fmt: skip
    parts = {name: (name,) for name in sources}
    return sources, packed(sources, parts, (), {"house.main": ("run",)})


def test_what_a_file_takes_of_two_others_has_two_names_there(tmp_path):
    sources, found = two_of_one_name(
        "from house.left import twice\nfrom house.right import grown\n"
        "def both(value):\n    return twice(value), grown(value)\n"
    )
    program = "from house.main import run\nrun(print)"
    assert printed(tmp_path / "whole", sources, program) == ["(10, 6)"]
    assert printed(tmp_path / "packed", found.texts, program) == ["(10, 6)"]


def test_two_public_names_that_would_meet_in_one_file_are_refused():
    with pytest.raises(pack.MergeError, match=r"house\.last: two modules have a public Odd"):
        packed(
            {
                "house": "", "house.main": "def run():\n    from house.last import both\n    return both()\n",
                "house.left": "class Odd(Exception):\n    pass\n", "house.right": "class Odd(Exception):\n    pass\n",
                "house.last": "from house.left import Odd\nfrom house.right import Odd as Other\n"
                "def both():\n    return Odd, Other\n",
            },
            {f"house{rest}": (f"house{rest}",) for rest in ("", ".main", ".left", ".right", ".last")},
            (), {"house.main": ("run",)},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("    if log:\n        from house.part import VALUE as it\n    else:\n        from house.late import LIMIT as it\n",
         "house.main imports two things as it in one scope"),
        ("    from house.part import VALUE as it\n    it = 3\n", "house.main imports it and binds it in another way"),
    ],
)  # fmt: skip
def test_a_name_that_means_two_things_in_one_scope_is_refused(body, told):
    with pytest.raises(pack.MergeError, match=told):
        packed({**SOURCES, "house.main": f"def run(log):\n{body}    return it\n"})


def test_the_words_of_micropython_and_of_the_boards_are_no_names_for_ours(tmp_path):
    """Every attribute of the interpreter's types and modules, and of the modules that emulated boards add."""
    program = (
        "import sys, hashlib, io\n"
        "for name in 'machine time os select socket json hashlib struct binascii asyncio cryptolib io gc sys vfs'.split():\n"
        "    for word in dir(__import__(name)): print(word)\n"
        "for thing in ('', b'', [], {}, set(), (), 1, bytearray(1), memoryview(b''), range(1), OSError(1),\n"
        "              hashlib.sha256(), io.BytesIO(), open('/dev/null'), (i for i in ())):\n"
        "    for word in dir(thing): print(word)\n"
    )
    words = {word for word in printed(tmp_path, {"house": ""}, program) if word[0] != "_"}
    assert len(words) > 200
    assert words <= outside.ATTRIBUTES
    for shim in ("machine", "network", "onewire", "ds18x20", "esp32", "rp2"):
        text = (boards.boards_folder() / "emulated" / "shims" / f"{shim}.py").read_text()
        names = {line.split("def ")[1].split("(")[0] for line in text.splitlines() if line.strip().startswith("def ")}
        assert {name for name in names if name[0] != "_"} <= outside.ATTRIBUTES, shim


def test_a_bundle_is_the_same_whatever_the_order_of_sets(tmp_path):
    program = (
        "import hashlib; from kerbtools import bundle\n"
        "for p, d in sorted(bundle.contents('pico_w', 'bin').items()): print(p, hashlib.sha256(d).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "XDG_CACHE_HOME": str(tmp_path / seed)},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(seen) == 1 and "lib/kerbnode/report.mpy" in seen.pop()


def test_a_changed_line_changes_one_file():
    before = packed().texts
    changed = LATE.replace("return value + value", "value += part.VALUE[0] * 0\n    return value + value")
    after = packed({**SOURCES, "house.late": changed}).texts
    assert [name for name in after if after[name] != before[name]] == ["house.later"]


def test_names_are_told_back():
    names = {"kerbnode/app.py": {"c": ["kerbnode.app.run"], "d": ["kerbnode.hal.Hal.d1", "kerbnode.clock.now"]}}
    names[trace.ATTRIBUTES] = {"bT": ["next_index"]}
    lines = [
        "Traceback (most recent call last):",
        '  File "main.py", line 14, in <module>',
        '  File "kerbnode/app.py", line 1, in c',
        '  File "kerbnode/app.py", line 1, in d',
        '  File "kerbnode/app.py", line 1, in kept',
        "AttributeError: 'Counters' object has no attribute 'bT'",
        "ValueError: 'bT'",
    ]
    assert list(trace.explained(lines, names)) == [
        *lines[:2], lines[2] + ": kerbnode.app.run", lines[3] + ": kerbnode.hal.Hal.d1 or kerbnode.clock.now", lines[4],
        lines[5] + " (bT: next_index)", lines[6],
    ]  # fmt: skip


def test_every_function_of_a_bundle_can_be_told_back():
    names = bundle.names("bin", "pico_w")
    told = {name for table in names.values() for found in table.values() for name in found}
    assert {"kerbnode.app.run", "kerbwire.cbor.encode"} <= told
    assert any(name.startswith("kerbnode.outbox.Outbox.") for name in told)
    assert len(json.dumps(names)) < 64_000


def test_tightened_files_do_the_same_and_are_no_larger(tmp_path):
    texts = bundle._packed("bin", boards.load("pico_w")).texts
    before = after = 0
    for name, text in texts.items():
        source = tmp_path / "module.py"
        source.write_text(text)
        data = bundle._compile(bundle.mpy_cross(), source, f"{name}.py")
        tight = mpy.tighten(data)
        assert len(tight) <= len(data) and mpy.tighten(tight) == tight
        before, after = before + len(data), after + len(tight)
    assert after < 0.988 * before


def test_a_jump_of_any_length_arrives(tmp_path):
    """Loops and branches around the lengths that one byte and two can say, with many names so that all of them shrink."""
    lines = [f"name{i} = {i}" for i in range(200)]
    for size in range(8, 40):
        body = "".join(f"        total += name{i} * {i}\n" for i in range(size))
        lines.append(f"def f{size}(n, total=0):\n    while n:\n{body}        n -= 1\n        if n == 3: break\n"
                     f"    else:\n        total = -total\n    for i in range(2):\n{body}    return total")  # fmt: skip
    program = "\n".join(f"from long import f{size}\nprint(f{size}(5), f{size}(2))" for size in range(8, 40))
    loose, tight = tmp_path / "loose", tmp_path / "tight"
    source = tmp_path / "long.py"
    source.write_text("\n".join(lines) + "\n")
    data = bundle._compile(bundle.mpy_cross(), source, "long.py")
    shown = []
    for folder, content in ((loose, data), (tight, mpy.tighten(data))):
        folder.mkdir()
        (folder / "long.mpy").write_bytes(content)
        done = subprocess.run(
            [*interpreter.command(), "-c", program], env={"MICROPYPATH": f"{folder}:.frozen"}, capture_output=True,
            text=True, timeout=30, check=True,
        )  # fmt: skip
        shown.append(done.stdout)
    assert shown[0] == shown[1] and shown[0].count("\n") == 32
    assert len(mpy.tighten(data)) < len(data)


@pytest.mark.parametrize(
    "data", [b"", b"M\x06", b"M\x05\x00\x1f\x00\x00", b"M\x06\x04\x1f\x00\x00", b"M\x06\x00\x1f\x01\x00\x0fnames"]
)
def test_a_file_of_another_form_is_refused(data):
    with pytest.raises(mpy.MpyError):
        mpy.tighten(data)
