"""Definitions where they are used first: what a file holds and only later files use goes to the first of these.

So a wake loads what it runs, though a module has more in it. Moved are functions, classes and values that are made of
nothing but values, or are a table of rows that a class of ours takes; never what is given another value later, what
stands beside an import that may fail, or what is imported inside a function.

Of several files that use a thing one gets it that is loaded whenever one of the others is (`loads`); else it stays
where it is. So letting go of a file lets go of all that is in it, and none is loaded for what another needs.
"""

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from kerbtools.pack.merge import MergeError, Part
from kerbtools.pack.walking import walk

_HARMLESS = (
    ast.Constant, ast.Name, ast.Tuple, ast.List, ast.Dict, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop,
    ast.expr_context,
)  # fmt: skip

_OF_TABLES = (*_HARMLESS, ast.DictComp, ast.comprehension, ast.Call, ast.Starred, ast.Subscript)

Loads = Mapping[str, Collection[str]]


@dataclass
class _Statement:
    """names: that it defines, if it does nothing else. uses: names in it, those marked that a function imports."""

    tree: ast.stmt
    names: set[str]
    uses: set[str]
    users: set[str] = field(default_factory=set[str])  # later files, by their modules


def spread(parts: Sequence[Part], loads: Loads, roots: Mapping[str, Collection[str]]) -> None:
    """Move definitions between merged trees, in place, and import from outside what each then uses. loads: for a file
    those that are loaded whenever it is. roots: what something else asks a file for. MergeError."""
    outside = _outside(parts)
    held = {part.module: [_Statement(s, set(_defined(s)), _names(s)) for s in part.tree.body] for part in parts}
    pinned: set[str] = set()
    for part in parts:
        pinned |= {f"{part.module}:{name}" for name in roots.get(part.module, ())} | _rebound(part.tree)
    for at, part in enumerate(parts):
        if not part.is_open:
            _pass_on(part, [later for later in parts[at + 1 :] if not later.is_open], held, loads, outside, pinned)
    for part in parts:
        part.tree.body = [statement.tree for statement in held[part.module]]
    owner = {name: part.module for part in parts for name in part.owned()}
    order = [part.module for part in parts]
    for part in parts:
        _at_hand(part, owner, order)
        used = _names(part.tree)
        part.borrowed = {name for name in used if ":" in name and name[0] != "@" and owner[name] != part.module}
        part.tree.body = [s for s in part.tree.body if not _is_plain(s)]
        part.tree.body[:0] = [outside[name] for name in sorted(used & outside.keys())]


def _pass_on(
    part: Part,
    later: Sequence[Part],
    held: dict[str, list[_Statement]],
    loads: Loads,
    outside: Mapping[str, ast.stmt],
    pinned: Collection[str],
) -> None:
    odd = {n for s in held[part.module] if not _is_plain(s.tree) for n in _bound_outside(s.tree)} - outside.keys()
    found: list[_Statement] = []
    live: set[str] = set()
    for one in held[part.module]:
        if one.names and not one.names & set(pinned) and not one.uses & odd and not _declares_global(one.tree):
            found.append(one)
        else:
            live |= one.uses | one.names
    while True:
        while more := [one for one in found if one.names & live]:
            found = [one for one in found if one not in more]
            for one in more:
                live |= one.uses | one.names
        _find_users(found, {other.module: set[str]().union(*(s.uses for s in held[other.module])) for other in later})
        unused = [one for one in found if not one.users]
        if not unused:
            break
        for one in unused:  # something from outside asks for it
            live |= one.names
    order = [other.module for other in later]
    for target in order:
        moved = [one for one in found if _home(one.users, order, loads) == target]
        held[part.module] = [s for s in held[part.module] if all(s is not one for one in moved)]
        held[target][:0] = moved


def _find_users(found: list[_Statement], used: Mapping[str, set[str]]) -> None:
    for one in found:
        one.users = {module for module, names in used.items() if one.names & names}
    changed = True
    while changed:
        changed = False
        for one in found:
            before = len(one.users)
            for user in found:
                if user is not one and user.uses & one.names:
                    one.users |= user.users
            changed |= len(one.users) != before


def _home(users: set[str], order: list[str], loads: Loads) -> str | None:
    """The last file that is there whenever one of the users is."""
    found = [name for name in order if all(name == user or name in loads.get(user, ()) for user in users)]
    return found[-1] if found else None


def _at_hand(part: Part, owner: Mapping[str, str], order: list[str]) -> None:
    """Late imports of what lies elsewhere now: from there, or not at all where it is at hand."""
    for function in ast.walk(part.tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            for name in ("body", "orelse", "finalbody"):
                body: Any = getattr(node, name, None)
                if isinstance(body, list):
                    _relocate(part, function, cast(list[ast.stmt], body), owner, order)


def _relocate(
    part: Part, function: ast.FunctionDef, body: list[ast.stmt], owner: Mapping[str, str], order: list[str]
) -> None:
    for at, statement in reversed(list(enumerate(body))):
        if not isinstance(statement, ast.ImportFrom) or not any(":" in alias.name for alias in statement.names):
            continue
        wanted: dict[str, list[ast.alias]] = {}
        for alias in statement.names:
            there = owner[alias.name]
            if order.index(there) <= order.index(part.module):
                for node in ast.walk(function):
                    if isinstance(node, ast.Name) and node.id == alias.asname:
                        node.id = alias.name
                if there != part.module:
                    part.borrowed.add(alias.name)
            else:
                wanted.setdefault(there, []).append(alias)
        body[at : at + 1] = [ast.ImportFrom(module, names, 0) for module, names in sorted(wanted.items())]
        if not body:
            body.append(ast.Pass())


def _outside(parts: Sequence[Part]) -> dict[str, ast.stmt]:
    """Imports at the tops of files from outside, one name each, by that name. MergeError for a name of two things."""
    found: dict[str, ast.stmt] = {}
    for part in parts:
        for statement in part.tree.body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                for alias in statement.names:
                    is_module = isinstance(statement, ast.Import)
                    one = ast.Import([alias]) if is_module else ast.ImportFrom(statement.module, [alias], 0)
                    other = found.setdefault(alias.asname or alias.name, one)
                    if ast.unparse(other) != ast.unparse(one):
                        raise MergeError(f"{part.module}: {ast.unparse(one)} and {ast.unparse(other)} give one name")
    return found


def _is_plain(statement: ast.stmt) -> bool:
    return isinstance(statement, (ast.Import, ast.ImportFrom))


def _bound_outside(statement: ast.stmt) -> Iterator[str]:
    """Names that an import within a statement at the top binds, functions apart."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return
    for node in walk(statement):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)


def _defined(statement: ast.stmt) -> Iterator[str]:
    """What a statement defines, if it does nothing else."""
    if isinstance(statement, ast.FunctionDef):
        if not statement.decorator_list:
            yield statement.name
    elif isinstance(statement, ast.ClassDef):
        if all(isinstance(s, (ast.FunctionDef, ast.Pass)) or _is_value(s) for s in statement.body):
            yield statement.name
    elif isinstance(statement, ast.Assign) and (_is_harmless(statement.value) or _is_table(statement.value)):
        names = [node.id for target in statement.targets for node in walk(target) if isinstance(node, ast.Name)]
        if all(":" in name for name in names):
            yield from names


def _is_value(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and _is_harmless(statement.value)


def _is_harmless(value: ast.expr) -> bool:
    return all(isinstance(node, _HARMLESS) for node in walk(value))


def _is_table(value: ast.expr) -> bool:
    """{row[0]: Row(*row) for row in ROWS}, of a class of ours."""
    if not isinstance(value, ast.DictComp):
        return False
    calls = [node.func for node in walk(value) if isinstance(node, ast.Call)]
    ours = all(isinstance(called, ast.Name) and ":" in called.id for called in calls)
    return ours and all(isinstance(node, _OF_TABLES) for node in walk(value))


def _rebound(tree: ast.AST) -> set[str]:
    return {name for node in walk(tree) if isinstance(node, ast.Global) for name in node.names}


def _declares_global(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Global) for node in walk(statement))


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in walk(tree) if isinstance(node, ast.Name)}
