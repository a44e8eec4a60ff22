"""CSV files of people: every line that is wrong is named with its number, and nothing is taken from such a file."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kerbgate.errors import RegistryError
from kerbgate.registry import Asset, Registry
from kerbtools.provision import order as orders
from kerbtools.provision.errors import OrderError, SheetError
from kerbtools.provision.order import ASSET_COLUMNS, NODE_COLUMNS, Order

MAX_BYTES = 64 << 20  # of a file: the assets of a large city take a third of it
MAX_PROBLEMS = 20  # that are told; the others are counted

T = TypeVar("T")


def read_inventory(path: Path) -> list[Asset]:
    """The assets of an inventory. SheetError."""
    rows = _rows(path, ASSET_COLUMNS, required=("asset", "site", "role"))
    return _each(path, rows, lambda _, fields: orders.asset_from(fields, inventory=True))


def read_orders(path: Path, registry: Registry) -> list[Order]:
    """The nodes that a list for provisioning asks for. SheetError."""
    rows = _rows(path, ASSET_COLUMNS + NODE_COLUMNS, required=())
    found = _each(path, rows, lambda line, fields: orders.order_from(registry, fields, line=line))
    for what, of in (("address", "address"), ("unique_id", "unique_id"), ("replace", "replaces")):
        seen: dict[object, int] = {}
        twice: list[tuple[int, str]] = []
        for item in found:
            value: object = getattr(item, of)
            if value is not None and seen.setdefault(value, item.line) != item.line:
                twice.append((item.line, f"{what} {value} is on line {seen[value]} too"))
        _raise_if(path, twice)
    return found


def _each(path: Path, rows: list[tuple[int, dict[str, str]]], make: Callable[[int, dict[str, str]], T]) -> list[T]:
    """Make something of each row; SheetError with every row that failed, or whose asset another row has."""
    found: list[T] = []
    problems: list[tuple[int, str]] = []
    names: dict[str, int] = {}
    for line, fields in rows:
        try:
            item = make(line, fields)
        except (OrderError, RegistryError) as error:
            problems.append((line, error.cause))
            continue
        name = fields.get("asset")
        if name and names.setdefault(name, line) != line:
            problems.append((line, f"asset {name} is on line {names[name]} too"))
        found.append(item)
    _raise_if(path, problems)
    return found


def _rows(path: Path, columns: tuple[str, ...], required: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """(line number, fields without blanks around them) of each row that is not empty. SheetError."""
    names = "columns may be: " + ", ".join(columns)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SheetError(f"{path} is larger than {MAX_BYTES >> 20} MB", "split the file")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, list[str]())]
            unknown = [name for name in header if name not in columns]
            if unknown or len(set(header)) != len(header):
                raise SheetError(f"{path}, line 1: unknown or doubled column {(unknown or header)[0][:80]!r}", names)
            if missing := [name for name in required if name not in header]:
                raise SheetError(f"{path}, line 1: no column {missing[0]!r}", names)
            found: list[tuple[int, dict[str, str]]] = []
            for cells in reader:
                line = reader.line_num
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    _raise_if(path, [(line, f"{len(cells)} fields where the first line has {len(header)}")])
                if any(len(cell) > orders.MAX_TEXT for cell in cells):
                    _raise_if(path, [(line, f"a field of more than {orders.MAX_TEXT} characters")])
                found.append((line, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}))
    except OSError as error:
        raise SheetError(f"{path} cannot be read: {error.strerror}", "check the file's name") from error
    except UnicodeDecodeError as error:
        raise SheetError(f"{path} is not UTF-8 text", "save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise SheetError(f"{path} is no CSV: {error}", "save it as CSV, separated by commas") from error
    if not found:
        raise SheetError(f"{path} has no rows", names)
    return found


def _raise_if(path: Path, problems: list[tuple[int, str]]) -> None:
    if problems:
        count = f"{len(problems)} lines are wrong" if len(problems) > 1 else "a line is wrong"
        told = "".join(f"\n  line {line}: {what}" for line, what in problems[:MAX_PROBLEMS])
        more = f"\n  and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise SheetError(
            f"{path}: {count}, so nothing was taken in{told}{more}", "correct the file, then run again", problems
        )
