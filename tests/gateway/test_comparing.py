"""Comparing with another system: pairs by time, what only one side has, what differs, and files that are not right."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from forward_harness import fill
from gateway_harness import SITE, START, Rig, add_node, secret_of
from hypothesis import given
from hypothesis import strategies as st

from kerbgate import cli, comparing, decoding, shape
from kerbgate.comparing import Compared, compare, pair
from kerbgate.errors import ComparisonError
from kerbgate.store import Reader
from kerbgate.views import View
from kerbtools.simulate import SimulatedNode
from kerbwire import channels
from kerbwire.channels import CAUSE, FILL, LEVEL, NO_ECHO, TEMPERATURE

HOUR = 3600


@given(
    ours=st.lists(st.integers(0, 400), max_size=12),
    theirs=st.lists(st.integers(0, 400), max_size=12),
    window=st.integers(0, 60),
)
def test_pairs_are_near_and_each_reading_is_in_one_at_most(ours: list[int], theirs: list[int], window: int) -> None:
    ours, theirs = sorted(ours), sorted(theirs)
    pairs = pair(ours, theirs, window)
    assert all(abs(ours[mine] - theirs[other]) <= window for mine, other in pairs)
    assert len({mine for mine, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)
    free_ours = set(range(len(ours))) - {mine for mine, _ in pairs}
    free_theirs = set(range(len(theirs))) - {other for _, other in pairs}
    assert not any(abs(ours[mine] - theirs[other]) <= window for mine in free_ours for other in free_theirs)
    nearest = min((abs(a - b) for a in ours for b in theirs), default=window + 1)
    assert nearest > window or nearest in {abs(ours[mine] - theirs[other]) for mine, other in pairs}


def test_what_both_have_what_one_has_and_what_differs() -> None:
    ours = {
        1: [(START + HOUR * n, {"fill_percent": 50.0 + n, "temperature_c": 10.0}) for n in range(4)],
        2: [(START, {"fill_percent": None})],
        3: [(START, {"fill_percent": 1.0})],
    }
    theirs = {
        1: [
            (START + 20, {"fill_percent": 50.0}),
            (START + HOUR - 40, {"fill_percent": 54.0, "temperature_c": 10.5}),
            (START + 2 * HOUR + 61, {"fill_percent": 52.0}),
            (START + 3 * HOUR, {"fill_percent": 43.0}),
        ],
        2: [(START, {"fill_percent": 0.0})],
        4: [(START, {"fill_percent": 1.0})],
    }
    found = compare(ours, theirs, 60, {"fill_percent": 2, "temperature_c": 0.5})
    one, two, three, four = found
    assert (one.both, one.only_ours, one.only_theirs) == (3, 1, 1)
    assert (one.differ["fill_percent"].count, one.differ["fill_percent"].most) == (2, 10.0)
    assert one.differ["fill_percent"].first == "2026-03-01T01:00:00Z" and "temperature_c" not in one.differ
    assert (two.differ["fill_percent"].count, two.differ["fill_percent"].missing) == (1, 1)
    assert three == Compared(3, 0, 1, 0) and four == Compared(4, 0, 0, 1)
    text = comparing.plain(found, START, START + HOUR)
    assert text.splitlines()[0].endswith("4 nodes: 4 readings of both, 2 only ours, 2 only theirs")
    assert text.splitlines()[1].startswith("node      1: ")
    assert "fill_percent: 2 differ, by 10 at most; the first at 2026-03-01T01:00:00Z" in text


def store_with_readings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration over a store with a bin's hourly readings: 20 %, 21 %, ... and one without an echo."""
    (folder / "state").mkdir(mode=0o700)
    rig = Rig(folder / "state")
    node = rig.node(17, batch=4)
    rig.confirm(node)
    values = iter(
        [
            {FILL: 20, TEMPERATURE: 23},
            {FILL: 21},
            {FILL: NO_ECHO},
            {FILL: 23},
            {FILL: 24},
            {FILL: 25},
            {FILL: 26},
            {FILL: 27},
        ]
    )
    monkeypatch.setattr(node, "_values", lambda: next(values))
    for turn in range(2):
        node.take(4, START + 4 * HOUR * turn)
        rig.exchange(node)
    rig.close()
    rig.registry.close()
    config = folder / "gateway.toml"
    config.write_text(f'[gateway]\nsite = "{SITE}"\nshadow = true\n')
    return config


def run(config: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    status = cli.main(["compare", "--config", str(config), *options])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_csv_of_an_old_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = store_with_readings(tmp_path, monkeypatch)
    table = tmp_path / "export.csv"
    table.write_text(
        "bin,when,level,note\n"
        '17,2026-03-01 00:00:30,20,"a, b"\n17,2026-03-01 01:00:00,29,\n17,2026-03-01 02:00:10,,\n'
        f"17,{START + 3 * HOUR},23,\n\n17,2026-03-01T04:00:00+00:00,24,\n99,2026-03-01 04:00:00,5,\n"
    )
    options = ["--with", str(table), "--column", "bin=node", "--column", "when=time", "--column", "level=fill_percent"]
    status, out, err = run(config, capsys, *options, "--zone", "UTC", "--json")
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    assert (found["from"], found["to"]) == ("2026-03-01T00:00:30Z", "2026-03-01T04:00:00Z")
    # Their first reading is 30 s after ours, which lies before their time.
    ours, other = found["nodes"]
    assert (ours["node"], ours["both"], ours["only_ours"], ours["only_theirs"]) == (17, 4, 0, 1)
    assert ours["differ"] == {"fill_percent": {"count": 1, "most": 8.0, "missing": 0, "first": "2026-03-01T01:00:00Z"}}
    assert (other["node"], other["only_theirs"]) == (99, 1)
    _, out, _ = run(
        config, capsys, *options, "--zone", "Europe/London", "--from", "2026-03-01T00:00:00Z", "--tolerance", "9"
    )
    assert "5 readings of both, 0 only ours, 1 only theirs" in out and "differ" not in out
    status, _, err = run(config, capsys, *options)
    assert status == 1 and "says no zone" in err and "--zone Europe/London" in err


def test_documents_that_another_gateway_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = store_with_readings(tmp_path, monkeypatch)
    reader = Reader(tmp_path / "state" / "store.sqlite")
    documents = []
    for row in reader.forwards():
        report = decoding.read(row.message, row.near)
        documents.append(shape.document(row, report))  # type: ignore[arg-type]
    reader.close()
    documents[0]["records"][1]["fill_percent"] = 99
    del documents[0]["records"][3]
    lines = tmp_path / "seen.jsonl"
    batch = {"schema": "kerbstone/batch/1", "site": SITE, "documents": documents}
    lines.write_text(json.dumps(batch) + "\n\n" + json.dumps({"schema": "kerbstone/rollup/1", "id": "x"}) + "\n")
    status, out, err = run(config, capsys, "--with", str(lines), "--node", "17")
    assert status == 0, err
    assert "1 nodes: 7 readings of both, 1 only ours, 0 only theirs" in out
    assert "fill_percent: 1 differ, by 78 at most; the first at 2026-03-01T01:00:00Z" in out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ":1: the columns  are not"),
        ("node,time,fill_percent\n1,2026-03-01T00:00:00Z,nan\n", ":2: nan is no value"),
        (
            '{"schema": "kerbstone/readings/1", "node": 1, "records": [{"time": "2026-03-01T00:00:00Z", "fill_percent": "5"}]}',
            ":1: this is no document",
        ),
        ("node,time,fill_percent\n", "has no readings"),
        ("node,time\n1,2\n", ":1: the columns node, time are not"),
        ("node,time,node,fill_percent\n", ":1: the columns"),
        ("node,time,fill_percent\n1,yesterday,3\n", ":2: 'yesterday' is no time"),
        ("node,time,fill_percent\n1,1772391600000,3\n", ":2: '1772391600000' is no time"),  # milliseconds
        ("node,time,fill_percent\n1,1960-01-01T00:00:00Z,3\n", ":2: '1960-01-01T00:00:00Z' is no time"),
        (
            '{"schema": "kerbstone/readings/1", "node": 1, "records": [{"time": "soon", "fill_percent": 5}]}',
            ":1: 'soon' is no time",
        ),
        ("node,time,fill_percent\nx,2026-03-01T00:00:00Z,3\n", ":2: invalid literal"),
        ("node,time,fill_percent\n1\n", ":2: the line is too short"),
        ("{nonsense\n", ":1: this is no document"),
        ('{"schema": "kerbstone/readings/1"}\n', ":1: this is no document"),
        ("{" * 100_000, ":1: this is no document"),
        ("\x00,\x00\n", "columns"),
    ],
)
def test_a_file_that_is_not_right_is_our_own_error(tmp_path: Path, text: str, words: str) -> None:
    fill(tmp_path, reports=1, nodes=1)
    (tmp_path / "gateway.toml").write_text('[gateway]\nsite = "s"\n')
    path = tmp_path / "file"
    path.write_text(text)
    given = comparing.arguments(cli._parser("compare", "")).parse_args(
        ["--with", str(path), "--config", str(tmp_path / "gateway.toml")]
    )
    with pytest.raises(ComparisonError) as caught:
        comparing.command(given)
    assert words in caught.value.cause and caught.value.hint


def test_level_changes_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An outlet that does not settle has them as counts, so they would all be only ours."""
    (tmp_path / "state").mkdir(mode=0o700)
    rig = Rig(tmp_path / "state")
    add_node(rig.registry, 802, role="lamp")
    node = SimulatedNode(802, secret_of(802), seed=802, role=channels.LAMP, batch=8)
    rig.confirm(node)
    for values, times in (({LEVEL: 30}, (0, 900)), ({LEVEL: 80, CAUSE: 1}, (910, 940, 990))):
        monkeypatch.setattr(node, "_values", lambda values=values: dict(values))
        for at_s in times:
            node.take(1, START + at_s)
        rig.exchange(node)
    rig.close()
    rig.registry.close()
    (tmp_path / "gateway.toml").write_text(f'[gateway]\nsite = "{SITE}"\n')
    with contextlib.closing(Reader(tmp_path / "state" / "store.sqlite")) as reader:
        rows = [(row, decoding.read(row.message, row.near)) for row in reader.forwards()]
    for settlement in (False, True):
        lines = [View("kerbstone/1", settlement).see(row, report).payload for row, report in rows]  # type: ignore[arg-type]
        path = tmp_path / "seen.jsonl"
        path.write_bytes(b"\n".join(line for line in lines if line) + b"\n")
        status, out, err = run(tmp_path / "gateway.toml", capsys, "--with", str(path), "--to", "2026-03-01T01:00:00Z")
        assert status == 0, err
        assert "1 nodes: 2 readings of both, 0 only ours, 0 only theirs" in out


def test_what_may_be_near_is_bounded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(comparing, "MAX_NEAR", 100)
    assert len(pair(list(range(10)), list(range(10)), 60)) == 10
    with pytest.raises(ComparisonError) as caught:
        pair(list(range(11)), list(range(10)), 60)
    assert "--window" in caught.value.hint
    for bad in ("-1", "3601", "a minute"):
        with pytest.raises(SystemExit):
            comparing.arguments(cli._parser("compare", "")).parse_args(["--with", "x", "--window", bad])
        assert "from 0 to 3600" in capsys.readouterr().err


def test_options_that_are_not_understood_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, reports=1, nodes=1)
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\nsite = "s"\n')
    path = tmp_path / "file"
    path.write_text("node,time,fill_percent\n1,2026-03-01T00:00:00Z,3\n")
    for options, words in (
        (["--column", "level"], "names no field of ours"),
        (["--zone", "Mars/Olympus"], "is not known here"),
        (["--tolerance", "a lot"], "cannot be used"),
        (["--from", "1"], "is no time"),
        (["--with", str(tmp_path / "absent")], "cannot be read"),
    ):
        status, _, err = run(config, capsys, "--with", str(path), *options)
        assert status == 1 and words in err, err
