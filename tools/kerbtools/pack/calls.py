"""Calls by position: a name in a call costs two bytes on the board each time, and keeps the parameter's long name.

Rewritten is a call whose function is known: one of the house's, named as such, or a method that only one class has and
whose word nothing from outside has. What is evaluated stays in its order.
"""

import ast
import copy
from collections.abc import Iterator, Mapping, Sequence

from kerbtools.pack.merge import Part
from kerbtools.pack.walking import walk

_AT_HAND = (ast.Name, ast.Attribute, ast.Constant, ast.expr_context)


def by_position(parts: Sequence[Part], outside: frozenset[str]) -> None:
    """Rewrite merged trees, in place."""
    known = _functions(parts, outside)
    calls = [(node, name) for part in parts for node, name in _calls(part.tree) if name in known]
    for name in sorted({name for _, name in calls}):
        function, skipped = known[name]
        own = [node for node, of in calls if of == name]
        if function.args.kwonlyargs and not _open(function, own, skipped, _mentions(parts, name)):
            continue
        for node in own:
            _place(node, function, skipped)


def _functions(parts: Sequence[Part], outside: frozenset[str]) -> dict[str, tuple[ast.FunctionDef, int]]:
    """Functions by qualified name, classes by __init__, methods as .NAME; with how many parameters no call gives."""
    found: dict[str, tuple[ast.FunctionDef, int]] = {}
    methods: dict[str, list[ast.FunctionDef]] = {}
    for part in parts:
        for statement in part.tree.body:
            if isinstance(statement, ast.FunctionDef) and not statement.decorator_list:
                found[statement.name] = statement, 0
            elif isinstance(statement, ast.ClassDef):
                for inner in statement.body:
                    if isinstance(inner, ast.FunctionDef):
                        if inner.name == ".__init__":
                            found[statement.name] = inner, 1
                        methods.setdefault(inner.name, []).append(inner)
    for name, defined in methods.items():
        if len(defined) == 1 and not defined[0].decorator_list and name[1:] not in outside and name[1:3] != "__":
            found[name] = defined[0], 1
    return found


def _calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Each call, and what it calls."""
    for node in walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and ":" in node.func.id:
                yield node, node.func.id.removeprefix("@")
            elif isinstance(node.func, ast.Attribute):
                yield node, "." + node.func.attr


def _mentions(parts: Sequence[Part], name: str) -> int:
    return sum(
        (isinstance(node, ast.Name) and node.id.removeprefix("@") == name)
        or (isinstance(node, ast.Attribute) and "." + node.attr == name)
        for part in parts
        for node in walk(part.tree)
    )


def _open(function: ast.FunctionDef, calls: list[ast.Call], skipped: int, mentions: int) -> bool:
    """Make parameters that only a name can give ordinary ones, if every call can then do without names."""
    given = function.args
    defaults = [*([None] * (len(given.args) - len(given.defaults))), *given.defaults, *given.kw_defaults]
    first = next((i for i, default in enumerate(defaults) if default is not None), len(defaults))
    if given.vararg or given.kwarg or any(default is None for default in defaults[first:]) or mentions != len(calls):
        return False
    trial = copy.deepcopy(function)
    _ordinary(trial)
    if not all(_placed(call, trial, skipped) for call in calls):
        return False
    _ordinary(function)
    return True


def _ordinary(function: ast.FunctionDef) -> None:
    given = function.args
    given.args += given.kwonlyargs
    given.defaults += [default for default in given.kw_defaults if default is not None]
    given.kwonlyargs, given.kw_defaults = [], []


def _place(call: ast.Call, function: ast.FunctionDef, skipped: int) -> None:
    placed = _placed(call, function, skipped)
    if placed:
        call.args, call.keywords = placed, []


def _placed(call: ast.Call, function: ast.FunctionDef, skipped: int) -> list[ast.expr]:
    """All arguments of a call in the order of the parameters; nothing where that cannot be."""
    given = function.args
    names = [argument.arg[1:] for argument in given.args][skipped:]
    defaults: Mapping[str, ast.expr] = dict(zip(reversed(names), reversed(given.defaults), strict=False))
    by_name = {each.arg: each.value for each in call.keywords}
    if None in by_name or any(isinstance(each, ast.Starred) for each in call.args) or given.vararg or given.kwarg:
        return []
    if not by_name or not set(by_name) <= set(names[len(call.args) :]) or given.kwonlyargs:
        return list(call.args) if not by_name and not given.kwonlyargs else []
    last = max(names.index(name or "") for name in by_name)
    found = list(call.args)
    for name in names[len(call.args) : last + 1]:
        value = by_name.get(name, defaults.get(name))
        if value is None or (name not in by_name and not isinstance(value, ast.Constant)):
            return []
        found.append(value)
    order = [names.index(each.arg or "") for each in call.keywords]
    if order != sorted(order) and not all(isinstance(node, _AT_HAND) for each in found for node in walk(each)):
        return []
    return found
