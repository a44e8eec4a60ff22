"""A node's label: text, a QR code for the terminal, and a picture of both for a label printer. Never a secret.

kerb:1/SITE/NODE/UNIQUE-ID      what the QR code says; the last part is missing where it is not known
"""

import io
from pathlib import Path

import segno
from PIL import Image, ImageDraw, ImageFont

from kerbgate.registry import Card
from kerbtools.provision.errors import ProvisionError

DPI = 300
SIZE_PX = (732, 342)  # 62 mm x 29 mm, a common die-cut address label
MARGIN_PX = 18
_ADDRESS_PX = 64
_FONT_PX = (32, 26, 20, 15)  # of the lines below: the largest at which all fit


def payload(card: Card) -> str:
    """What the QR code says."""
    tail = f"/{card.unique_id}" if card.unique_id else ""
    return f"kerb:1/{card.site}/{card.address}{tail}"


def lines(card: Card) -> list[str]:
    """The label's text, the address first."""
    words = [f"NODE {card.address}", f"site {card.site}", f"{card.role} {card.asset or 'in stock'}", card.board]
    return words + ([card.unique_id] if card.unique_id else [])


def text(card: Card) -> str:
    """The label for a terminal or a text file: lines, then the QR code in half blocks."""
    out = io.StringIO()
    _code(card).terminal(out, compact=True)
    return "\n".join(lines(card)) + "\n" + out.getvalue()


def picture(card: Card) -> bytes:
    """The label as PNG."""
    code = _code(card)
    scale = (SIZE_PX[1] - 2 * MARGIN_PX) // code.symbol_size(border=2)[1]
    out = io.BytesIO()
    code.save(out, kind="png", scale=scale, border=2)
    square = Image.open(io.BytesIO(out.getvalue())).convert("1")
    image = Image.new("1", SIZE_PX, 1)
    image.paste(square, (MARGIN_PX, (SIZE_PX[1] - square.height) // 2))
    draw = ImageDraw.Draw(image)
    left = MARGIN_PX * 2 + square.width
    width, height = SIZE_PX[0] - left - MARGIN_PX, SIZE_PX[1] - 2 * MARGIN_PX
    address, *others = lines(card)
    draw.text((left, MARGIN_PX), address, font=ImageFont.load_default(_ADDRESS_PX), fill=0)
    size, pieces = _FONT_PX[-1], list[str]()
    for size in _FONT_PX:  # the last that was tried is used
        pieces = [piece for line in others for piece in _wrap(draw, line, size, width)]
        if _ADDRESS_PX + _pitch(size) * len(pieces) <= height:
            break
    for number, piece in enumerate(pieces):
        top = MARGIN_PX + _ADDRESS_PX + _pitch(size) * number + size // 4
        draw.text((left, top), piece, font=ImageFont.load_default(size), fill=0)
    result = io.BytesIO()
    image.save(result, format="PNG", dpi=(DPI, DPI))
    return result.getvalue()


def write(card: Card, folder: Path) -> list[Path]:
    """Write SITE-NODE.txt and SITE-NODE.png into a folder. ProvisionError."""
    paths = [folder / f"{card.site}-{card.address}.txt", folder / f"{card.site}-{card.address}.png"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in zip(paths, (text(card).encode(), picture(card)), strict=True):
            draft = path.with_name(path.name + ".new")
            draft.write_bytes(data)
            draft.replace(path)
    except OSError as error:
        raise ProvisionError(
            f"labels cannot be written to {folder}: {error.strerror}",
            f"the node is provisioned; print its label with: kerb registry label {card.address} --out FOLDER",
        ) from error
    return paths


def _code(card: Card) -> segno.QRCode:
    return segno.make_qr(payload(card), error="m")


def _pitch(size: int) -> int:
    return size + size // 4


def _wrap(draw: ImageDraw.ImageDraw, line: str, size: int, width: int) -> list[str]:
    """A line in pieces that are no wider than this, in pixels."""
    font = ImageFont.load_default(size)
    pieces: list[str] = []
    while line:
        count = len(line)
        while count > 1 and draw.textlength(line[:count], font=font) > width:
            count -= 1
        pieces.append(line[:count])
        line = line[count:].lstrip()
    return pieces
