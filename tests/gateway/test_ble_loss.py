"""The bench of the Bluetooth link: a little of it always, all of it in `make soak`. It prints what it measured."""

import json

import pytest

from kerbtools.bench import ble


def hold(row: dict[str, object]) -> None:
    print(json.dumps(row))
    assert row["lost"] == row["doubled"] == 0
    assert row["records"] == row["reports"] * ble.RECORDS  # type: ignore[operator]
    assert 190 <= float(str(row["bytes_a_report"])) <= 210


def test_some_reports_with_a_tenth_of_the_fragments_lost() -> None:
    row = ble.measure(20, 0.1, 0.02)
    hold(row)
    assert int(str(row["of_them_lost"])) > 0


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("loss", "cut"), [(0.1, 0.005), (0.3, 0.02)])
def test_a_thousand_reports_of_200_bytes_all_once(loss: float, cut: float) -> None:
    row = ble.measure(1000, loss, cut)
    hold(row)
    assert int(str(row["cut_off"])) >= 5
