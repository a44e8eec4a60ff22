"""Labels, read back as a phone reads them."""

import io
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from kerbgate.registry import Card
from kerbtools.provision import label
from kerbtools.provision.errors import ProvisionError

FACTS = {
    "address": 417, "site": "harbour", "role": "lamp", "board": "pico_w", "state": "bound", "epoch": 0,
    "unique_id": "e6614c311b7e6f35", "settings": {}, "provisions": 1, "changed_ms": 0, "rekey_since_ms": None,
    "unfinished": False, "asset": "column 17",
}  # fmt: skip


def card(**facts: object) -> Card:
    return Card(**FACTS | facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"asset": None, "unique_id": None},
        {"asset": "x" * 64, "site": "s" * 32, "address": 65535, "unique_id": "f" * 64},
    ],
)
def test_the_picture_is_read_as_what_it_says(facts: dict[str, object]) -> None:
    image = Image.open(io.BytesIO(label.picture(card(**facts))))
    assert image.format == "PNG" and image.size == label.SIZE_PX
    (found,) = zxingcpp.read_barcodes(image.convert("L"))
    assert found.text == label.payload(card(**facts))
    border = [image.getpixel((x, y)) for x in range(image.width) for y in (0, image.height - 1)]
    border += [image.getpixel((x, y)) for y in range(image.height) for x in (0, image.width - 1)]
    assert all(border)  # nothing is cut off


def test_the_text_says_who_and_where_and_shows_the_same_code() -> None:
    text = label.text(card())
    assert text.splitlines()[:5] == ["NODE 417", "site harbour", "lamp column 17", "pico_w", "e6614c311b7e6f35"]
    rows = [line for line in text.splitlines()[5:] if line]
    picture = Image.new("L", (len(rows[0]), len(rows) * 2), 0)
    for y, row in enumerate(rows):
        for x, half in enumerate(row):  # light modules are drawn: a terminal's ground is dark
            picture.putpixel((x, 2 * y), 255 * (half in "█▀"))
            picture.putpixel((x, 2 * y + 1), 255 * (half in "█▄"))
    (found,) = zxingcpp.read_barcodes(picture.resize((picture.width * 6, picture.height * 6), Image.Resampling.NEAREST))
    assert found.text == "kerb:1/harbour/417/e6614c311b7e6f35"
    assert "in stock" in label.text(card(asset=None))


def test_files_are_written_whole_and_a_refusal_says_how_to_print_it_later(tmp_path: Path) -> None:
    paths = label.write(card(), tmp_path / "labels")
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["harbour-417.png", "harbour-417.txt"]
    assert [path.suffix for path in paths] == [".txt", ".png"]
    (tmp_path / "file").touch()
    with pytest.raises(ProvisionError) as caught:
        label.write(card(), tmp_path / "file")
    assert "kerb registry label 417" in caught.value.hint
