"""Sources of one role packed into few small files: what a board gets. PACK.md has the passes and their rules."""

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from kerbtools.pack import calls, merge, names, outside, spread
from kerbtools.pack.merge import MergeError

__all__ = ["MergeError", "Packed", "pack"]


@dataclass(frozen=True, slots=True)
class Packed:
    """texts: sources to compile, by module. names: by module, the functions and classes that a short name stands for.
    attributes: by short name, in all of them."""

    texts: Mapping[str, str]
    names: Mapping[str, Mapping[str, list[str]]]
    attributes: Mapping[str, list[str]]


def pack(
    sources: Mapping[str, str],
    parts: Mapping[str, Iterable[str]],
    values: Iterable[str],
    roots: Mapping[str, tuple[str, ...]],
    loads: Mapping[str, Collection[str]] | None = None,
    fitted: Mapping[str, str] | None = None,
) -> Packed:
    """Sources by module name, cut to what is used (kerbtools.slim).

    parts: for each file, by its module, the modules that it is made for, the first file loaded first. values: modules
    that others take as values, each a file of its own whose names stay. roots: names that something else asks for, by
    module; a module that is no file any more becomes a file with these names only. loads: for a file those that are
    loaded whenever it is. fitted: values that lie in one of the other files instead, which puts them into sys.modules.
    MergeError.
    """
    fitted = fitted or {}
    trees = {name: ast.parse(text) for name, text in sources.items()}
    with_fitted = {
        name: (*made_for, *sorted(value for value, part in fitted.items() if part == name and value in trees))
        for name, made_for in parts.items()
    }
    alone = {name: (name,) for name in values if name in trees and name not in fitted}
    merged = merge.merge(trees, {**with_fitted, **alone}, set(alone))
    for part in merged:
        for value in sorted(fitted.keys() & set(part.modules)):
            _put_in(part, value)
    spread.spread(merged, loads or {}, roots)
    calls.by_position(merged, outside.ATTRIBUTES)
    owner = {name: part.module for part in merged for name in part.owned()}
    named = names.shorten(merged, outside.ATTRIBUTES, roots)
    texts = {part.module: ast.unparse(part.tree) + "\n" for part in merged}
    for module, asked in roots.items():
        if module not in texts and any(module in part.modules for part in merged):
            texts[module] = _door(module, asked, owner, named)
    return Packed({name: text for name, text in texts.items() if text}, named.names, named.attributes)


def _put_in(part: merge.Part, value: str) -> None:
    """A module as a value without a file of its own: a class with its public names, among the modules that are
    loaded."""
    names = sorted(name for name in part.owned() if name.startswith(f"{value}:") and name[len(value) + 1] != "_")
    body = [
        ast.Assign([ast.Name("." + name.partition(":")[2], ast.Store())], ast.Name(name, ast.Load())) for name in names
    ]
    stand_in = f"{value}:{value.rpartition('.')[2]}"
    modules = ast.Attribute(ast.Name("sys", ast.Load()), "modules", ast.Load())
    part.tree.body += [
        ast.Import([ast.alias("sys")]),
        ast.ClassDef(stand_in, [], [], cast(list[ast.stmt], body), []),
        ast.Assign([ast.Subscript(modules, ast.Constant(value), ast.Store())], ast.Name(stand_in, ast.Load())),
    ]


def _door(module: str, asked: tuple[str, ...], owner: Mapping[str, str], named: names.Named) -> str:
    """A module that has only what something else asks of it, under the names that it asks for."""
    found: dict[str, list[str]] = {}
    for name in asked:
        qualified = f"{module}:{name}"
        if qualified in named.public and qualified not in named.rebound:
            short = named.public[qualified]
            found.setdefault(owner[qualified], []).append(short if short == name else f"{short} as {name}")
    return "".join(f"from {part} import {', '.join(names)}\n" for part, names in sorted(found.items()))
