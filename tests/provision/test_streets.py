"""A street of lamps is commissioned: places, member numbers that are given once, and the file on a board."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from provision_harness import Kerb, shows

from kerbgate.audit import write_private
from kerbgate.errors import GatewayError
from kerbgate.registry import Registry
from kerbnode.lamp import street as streets
from kerbtools.emulator import Board
from kerbtools.provision import cli
from kerbtools.provision.errors import OrderError
from kerbtools.provision.found import CONFIG
from kerbtools.provision.street import MEMBERS, REACH, STREET, Streets
from kerbwire import cbor

SECRET = bytes(range(40, 56))
GROUPS = """
[[group]]
name = "river-street"
scope = 7
nodes = ["815-820", "801-803"]

[[group]]
name = "all"
nodes = ["801-820"]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "groups.toml").write_text(GROUPS)
    write_private(tmp_path / "group.key", b"\x02" + SECRET)
    return tmp_path


def load(place: Path, key: str = "group.key", spacing_m: float | None = None) -> Streets:
    return Streets.load(place / "groups.toml", place / key, place / "registry.sqlite", spacing_m)


def fields(made: Streets, node: int) -> dict[int, Any]:
    found = cbor.decode(made.file_of(node))
    assert isinstance(found, dict)
    return found


def test_lamps_stand_as_the_file_names_them_and_know_who_is_beside_them(place: Path) -> None:
    made = load(place)
    assert fields(made, 815) == {1: SECRET, 2: 2, 3: 2, 4: 7, 5: [], 6: [3, 4, 5, 6][:REACH]}
    assert fields(made, 820) == {1: SECRET, 2: 2, 3: 7, 4: 7, 5: [6, 5, 4, 3][:REACH], 6: [8, 9, 10]}
    assert fields(made, 803)[6] == [] and load(place, spacing_m=28.5).settings() == {"spacing_dm": 285}
    assert streets._is_whole(fields(made, 801))  # type: ignore[attr-defined]


def test_a_number_is_given_once_and_the_place_stays(place: Path) -> None:
    made = load(place)
    seen: set[int] = set()
    for _ in range(16):
        member = fields(made, 802)[3]
        assert member & streets.PLACES == 9 and member not in seen and fields(load(place), 802)[3] == member
        made.begin(802)
        seen.add(member)
    with pytest.raises(OrderError, match="16 times"):
        made.file_of(802)
    assert fields(made, 801)[5][0] == 7 and fields(made, 801)[6][0] == 9  # its neighbours need not be told
    (place / "groups.toml").write_text(GROUPS.replace('"815-820"', '"830", "815-820"'))
    assert (
        fields(load(place), 815)[5] == [11] and fields(load(place), 815)[3] == 2
    )  # a new lamp at the end of the street
    write_private(place / "next.key", b"\x03" + SECRET[::-1])
    assert fields(load(place, "next.key"), 802)[3] < 4096  # another key: numbers begin anew


def test_two_boards_at_once_never_get_one_number(place: Path) -> None:
    one, other = load(place), load(place)
    given: list[int] = []
    for made, node in ((one, 815), (other, 816), (one, 817), (other, 815)):
        given.append(fields(made, node)[3])
        made.begin(node)
    assert len(set(given)) == 4
    with sqlite3.connect(place / ("registry.sqlite" + MEMBERS)) as book:
        assert SECRET.hex() not in "".join(str(row) for row in book.execute("SELECT * FROM member"))


def test_what_cannot_be_is_told(place: Path) -> None:
    with pytest.raises(OrderError, match="no streets"):
        load(place).file_of(99)
    (place / "groups.toml").write_text(GROUPS + '[[group]]\nname = "x"\nscope = 8\nnodes = ["802"]\n')
    with pytest.raises(OrderError, match="2 streets"):
        load(place).file_of(802)
    with pytest.raises(OrderError, match="apart"):
        load(place, spacing_m=2.0)
    (place / "group.key").chmod(0o644)
    with pytest.raises(GatewayError, match="read by others"):
        load(place)


def test_a_lamp_gets_its_street_with_its_identity(
    emulated_board: Callable[..., Board], kerb: Kerb, registry: Registry, place: Path
) -> None:
    board = emulated_board("pico_w", role="lamp")
    board.start()
    board.world.advance(1)
    words = ("--port", board.usb_path, "--no-selftest", "--site", "harbour", "--address", "816")
    street = ("--street", place / "groups.toml", "--group-key", place / "group.key", "--spacing", "30")
    status, out, err = kerb(cli.provision, *words, *street)
    assert status == 0 and registry.card(816).settings == {"spacing_dm": 300}, err
    assert not shows((out + err).encode(), [SECRET])
    status, _, err = kerb(cli.provision, *words, *street[:2])
    assert status == 1 and "--group-key" in err
    board.world.advance(10)  # it runs: its life has joined the street
    board.cut_power()
    found = cbor.decode(board.read_file(STREET))
    assert isinstance(found, dict) and len(found.pop(7)) == 8
    assert found == {1: SECRET, 2: 2, 3: 3, 4: 7, 5: [2], 6: [4, 5, 6, 7][:REACH]}
    assert json.loads(board.read_file(CONFIG)) == {"spacing_dm": 300}
    assert fields(load(place), 816)[3] == 3 + 4096  # the next time it speaks under another
