"""Attributes that no object is asked for but `self`: one short name may stand for several of them.

Such a name begins with one underscore. It is asked of objects of those families of classes only in whose methods it
stands; two that no family shares may have the same short name. A family is all classes that inherit from one another.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kerbtools.pack import scopes
from kerbtools.pack.walking import walk


def of_self_alone(trees: Sequence[ast.AST], names: Iterable[str]) -> dict[str, set[str]]:
    """Those of the names, each with the families that ask for it."""
    families = _families(trees)
    found = {name: set[str]() for name in names if name[0] == "_" and name[:2] != "__"}
    asked: dict[str, int] = {}
    for tree in trees:
        for node in walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in found:
                asked[node.attr] = asked.get(node.attr, 0) + 1
        for owner in walk(tree):
            if isinstance(owner, ast.ClassDef):
                for name in _of_self(owner):
                    asked[name] = asked.get(name, 0) - 1
                    found.get(name, set[str]()).add(families[owner.name])
                for name in _bound(owner):
                    found.get(name, set[str]()).add(families[owner.name])
    return {name: where for name, where in found.items() if where and not asked.get(name)}


def shared_out(private: Mapping[str, set[str]], pool: Iterable[str]) -> dict[str, str]:
    """A short name for each; no family has one twice."""
    pool = list(pool)
    taken: dict[str, set[str]] = {}
    found: dict[str, str] = {}
    for name in sorted(private):
        barred = set[str]().union(*(taken.setdefault(family, set[str]()) for family in private[name]))
        found[name] = next(short for short in pool if short not in barred)
        for family in private[name]:
            taken[family].add(found[name])
    return found


def _of_self(owner: ast.ClassDef) -> Iterator[str]:
    """The attributes that a class's methods ask of their first parameter, and functions within them."""
    for method in owner.body:
        if isinstance(method, ast.FunctionDef) and scopes.parameters(method):
            me = scopes.parameters(method)[0].arg
            for node in walk(method):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == me:
                    yield node.attr


def _bound(owner: ast.ClassDef) -> Iterator[str]:
    """What a class binds in its body; names there begin with a dot."""
    for statement in owner.body:
        if isinstance(statement, ast.FunctionDef):
            yield statement.name[1:]
        else:
            yield from (node.id[1:] for node in walk(statement) if isinstance(node, ast.Name) and node.id[0] == ".")


def _families(trees: Sequence[ast.AST]) -> dict[str, str]:
    """By class, one of its family."""
    classes = [node for tree in trees for node in walk(tree) if isinstance(node, ast.ClassDef)]
    family = {one.name: one.name for one in classes}
    for one in classes:
        for base in one.bases:
            if isinstance(base, ast.Name) and base.id in family:
                old, new = family[base.id], family[one.name]
                family = {name: new if known == old else known for name, known in family.items()}
    return family
