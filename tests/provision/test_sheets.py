"""CSV files: what is wrong is named by its line, and nothing of such a file is taken in."""

from pathlib import Path

import pytest

from kerbgate.registry import Asset, Registry, inventory
from kerbtools.provision import sheet
from kerbtools.provision.errors import OrderError, SheetError
from kerbtools.provision.order import read_settings

HEAD = "asset,site,role,latitude,longitude,usrn,supply,wattage_w,luminaire\n"
ROW = "column 17,harbour,lamp,51.5,-0.12,12345678,switched,42.5,Kaos 2\n"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry.sqlite", create=True)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_an_inventory_is_read(tmp_path: Path) -> None:
    found = sheet.read_inventory(written(tmp_path, "\ufeff" + HEAD + ROW + "\n , ,,,,,,,\nbin 4, harbour ,bin,,,,,,\n"))
    assert found == [
        Asset(
            asset="column 17", site="harbour", role="lamp", latitude=51.5, longitude=-0.12, usrn="12345678",
            supply="switched", wattage_w=42.5, luminaire="Kaos 2", inventory=True,
        ),
        Asset(asset="bin 4", site="harbour", role="bin", inventory=True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'asset'"),
        ("asset,site\na,b\n", "no column 'role'"),
        (HEAD, "no rows"),
        ("asset,site,role,colour\n", "line 1: unknown or doubled column 'colour'"),
        ("asset,site,role,role\n", "line 1: unknown or doubled"),
        (HEAD + "a,harbour,lamp\n", "line 2: 3 fields where the first line has 9"),
        (HEAD + '"a,harbour', "no CSV"),
        (HEAD.encode() + b"\xff\xfe", "not UTF-8"),
        (HEAD + ROW + "a,harbour,cat,,,,,,\n" + ROW + "b,harbour,lamp,x,,,,,\n", "line 3: role 'cat'"),
        (HEAD + ROW + ROW, "line 3: asset column 17 is on line 2 too"),
        (HEAD + "a,harbour,lamp,91,0,,,,\n", "line 2: latitude 91.0 is out of range"),
        (HEAD + "a,harbour,lamp,nan,0,,,,\n", "line 2: latitude 'nan' is no number"),
        (HEAD + "a,harbour,lamp,,,,,1e999,\n", "line 2: wattage_w"),
        (HEAD + ",harbour,lamp,,,,,,\n", "line 2: asset is missing"),
        (HEAD + "a" * 1001 + ",harbour,lamp,,,,,,\n", "line 2: a field of more than"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(SheetError) as caught:
        sheet.read_inventory(written(tmp_path, text))
    assert said in caught.value.cause and caught.value.hint


def test_every_wrong_line_is_told_up_to_a_bound(tmp_path: Path) -> None:
    with pytest.raises(SheetError) as caught:
        sheet.read_inventory(written(tmp_path, HEAD + "a,harbour,cat,,,,,,\n" * 50))
    assert [line for line, _ in caught.value.problems] == list(range(2, 52))
    assert "50 lines are wrong" in caught.value.cause and "and 30 more" in caught.value.cause
    assert caught.value.cause.count("\n") == sheet.MAX_PROBLEMS + 1


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SheetError, match="cannot be read"):
        sheet.read_inventory(tmp_path / "none.csv")
    monkeypatch.setattr(sheet, "MAX_BYTES", 10)
    with pytest.raises(SheetError, match="larger than"):
        sheet.read_inventory(written(tmp_path, HEAD + ROW))


ORDERS = "address,asset,site,role,settings,unique_id,replace,lamp_hours\n"


def test_orders_are_read(tmp_path: Path, registry: Registry) -> None:
    inventory.take(registry, [Asset(asset="c1", site="harbour", role="lamp", wattage_w=40.0, inventory=True)])
    text = ORDERS + "17,bin 4,harbour,bin,interval_s=600; echoes=9,AB01,,\n,,hill,,,,,\n,c1,,,,,,1200\n"
    one, two, three = sheet.read_orders(written(tmp_path, text), registry)
    assert (one.address, one.role, one.unique_id, one.settings) == (17, "bin", "ab01", {"interval_s": 600, "echoes": 9})
    assert one.asset == Asset(asset="bin 4", site="harbour", role="bin")
    assert (two.site, two.role, two.asset, two.line) == ("hill", None, None, 3)
    assert three.asset == inventory.asset(registry, "c1") and three.start_hours == 1200  # the registry's own facts


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("0x11,,harbour,,,,,\n", "line 2: address '0x11' is no whole number"),
        ("70000,,harbour,,,,,\n", "line 2: address '70000'"),
        ("1,,harbour,,,,,\n1,,harbour,,,,,\n", "line 3: address 1 is on line 2 too"),
        (",,harbour,,,ab,,\n,,harbour,,,AB,,\n", "line 3: unique_id ab is on line 2 too"),
        (",,,,,,,\n,,,bin,,,,\n", "line 3: site is missing"),
        (",,harbour,,speed=9,,,\n", "line 2: settings: unknown setting speed"),
        (",,harbour,,echoes=99,,,\n", "line 2: settings: echoes is no integer in 1..15"),
        (",,harbour,,echoes,,,\n", "line 2: setting 'echoes' is no name=value"),
        (",,harbour,,,,17,\n", "line 2: node 17 never had an asset"),
    ],
)
def test_what_is_wrong_with_an_order(tmp_path: Path, registry: Registry, rows: str, said: str) -> None:
    with pytest.raises(SheetError) as caught:
        sheet.read_orders(written(tmp_path, ORDERS + rows), registry)
    assert said in caught.value.cause


def test_a_place_without_an_asset_is_refused(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(SheetError, match="latitude and usrn say where a node is"):
        sheet.read_orders(written(tmp_path, "site,latitude,usrn\nharbour,51.5,17\n"), registry)


def test_settings_are_the_firmwares_own() -> None:
    assert read_settings(" interval_s=900;full_mm=100 ") == {"interval_s": 900, "full_mm": 100}
    with pytest.raises(OrderError, match="full_mm is not less"):
        read_settings("full_mm=1300")
    with pytest.raises(OrderError, match="twice"):
        read_settings("echoes=3 echoes=3")
