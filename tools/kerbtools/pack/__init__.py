"""Sources of one role packed into few small files: what a board gets. PACK.md has the passes and their rules."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kerbtools.pack import calls, merge, names, outside
from kerbtools.pack.merge import MergeError

__all__ = ["MergeError", "Packed", "pack"]


@dataclass(frozen=True, slots=True)
class Packed:
    """texts: sources to compile, by module. names: by module, the functions and classes that a short name stands for.
    attributes: by short name, in all of them."""

    texts: Mapping[str, str]
    names: Mapping[str, Mapping[str, list[str]]]
    attributes: Mapping[str, str]


def pack(
    sources: Mapping[str, str],
    parts: Mapping[str, Iterable[str]],
    values: Iterable[str],
    roots: Mapping[str, tuple[str, ...]],
) -> Packed:
    """Sources by module name, cut to what is used (kerbtools.slim).

    parts: for each file, by its module, the modules that it is made for, the first file loaded first. values: modules
    that others take as values, each a file of its own whose names stay. roots: names that something else asks for, by
    module; a module that is no file any more becomes a file with these names only. MergeError.
    """
    trees = {name: ast.parse(text) for name, text in sources.items()}
    alone = {name: (name,) for name in values if name in trees}
    merged = merge.merge(trees, {**parts, **alone}, set(alone))
    calls.by_position(merged, outside.ATTRIBUTES)
    named = names.shorten(merged, outside.ATTRIBUTES, roots)
    texts = {part.module: ast.unparse(part.tree) + "\n" for part in merged}
    for module, asked in roots.items():
        if module not in texts and any(module in part.modules for part in merged):
            texts[module] = _door(module, asked, merged, named)
    return Packed({name: text for name, text in texts.items() if text}, named.names, named.attributes)


def _door(module: str, asked: tuple[str, ...], merged: Iterable[merge.Part], named: names.Named) -> str:
    """A module that has only what something else asks of it, under the names that it asks for."""
    (part,) = (part.module for part in merged if module in part.modules)
    found = [
        (named.public[f"{module}:{name}"], name)
        for name in asked
        if f"{module}:{name}" in named.public and f"{module}:{name}" not in named.rebound
    ]
    imports = ", ".join(short if short == name else f"{short} as {name}" for short, name in found)
    return f"from {part} import {imports}\n" if imports else ""
