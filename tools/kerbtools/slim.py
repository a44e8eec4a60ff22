"""Sources without what a board of one role does not use: its heap pays for each name and each line of code.

Removed are type hints, `if TYPE_CHECKING`, __slots__ and __repr__; what only CPython runs; the rows of the channel
table that the role does not measure; and every function, method, constant and attribute that nothing refers to. Whole
numbers and short texts that a module names at its top stand where they are used, also in other modules. What is left
does the same, by the same code.

A function, class or value of a module counts as used where its module is named with it or it is imported; a method or
an attribute, and all of a module that others take as a value, wherever the same word stands for what may be ours.
"""

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, cast

from kerbtools.pack.walking import walk

MAX_TEXT = 10  # characters of a text that takes a name's place: MicroPython keeps those once, wherever they stand
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*$")
_FOLDED = (
    ast.BinOp, ast.UnaryOp, ast.Constant, ast.Name, ast.Tuple, ast.operator, ast.unaryop, ast.expr_context, ast.Call,
)  # fmt: skip
# Only people and tests print and compare objects of ours; a board writes them and reads them, field by field.
_NOT_ON_BOARDS = ("__slots__", "__all__", "__repr__", "__eq__", "TYPE_CHECKING")
_HARMLESS = (*_FOLDED, ast.Dict, ast.List)  # of these is a value whose making does nothing else
_AT_HAND = (ast.Name, ast.Attribute, ast.Constant, ast.BinOp, ast.operator, ast.expr_context)
_DETAILED = ("WireError",)  # errors that say what happened in their first argument, and for people where in the others
_PURE = ("bytes", "const", "len", "range")

Value = int | str | tuple[Any, ...]


def slim(
    sources: Mapping[str, str],
    role: str,
    roots: Mapping[str, tuple[str, ...]],
    terse: bool = False,
    values: Collection[str] = (),
) -> dict[str, str]:
    """Sources by module name ("kerbwire.cbor"). roots: what of a module is used from outside these sources. terse: an
    error of the wire keeps its code, and loses the words for people behind it. values: modules that others take as
    values."""
    trees = {name: ast.parse(source) for name, source in sources.items()}
    for tree in trees.values():
        _Plain(terse).visit(tree)
    names = {name: set(_bound(tree)) for name, tree in trees.items()}
    for name, tree in trees.items():
        _Absent(names).visit(tree)
        if name == "kerbwire.channels":
            _Rows(role, terse).visit(tree)
    _inline(trees)
    _Uses(trees, roots, values).cut()
    return {name: ast.unparse(ast.fix_missing_locations(tree)) + "\n" for name, tree in trees.items()}


def _is_at_hand(values: list[ast.expr]) -> bool:
    return all(isinstance(node, _AT_HAND) for value in values for node in walk(value))


def reached(sources: Mapping[str, str], wanted: Iterable[str], left_out: Iterable[str]) -> set[str]:
    """The modules that some of them import, at their tops or below, themselves among them; never what is left out."""
    trees = {name: _Plain(False).visit(ast.parse(source)) for name, source in sources.items()}
    found: set[str] = set()
    todo = [name for name in wanted if name in sources]
    while todo:
        name = todo.pop()
        if name in found or name in left_out or name not in trees:
            continue
        found.add(name)
        for node in walk(trees[name]):
            if isinstance(node, ast.ImportFrom) and node.module:
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


class _Plain(ast.NodeTransformer):
    """Without what a board never runs; terse: nor says."""

    def __init__(self, terse: bool) -> None:
        self._terse = terse

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        test = ast.unparse(node.test)
        if test == "TYPE_CHECKING":
            return node.orelse
        if test == "sys.implementation.name == 'micropython'":
            return node.body
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if self._terse and isinstance(node.func, ast.Name) and node.func.id in _DETAILED and _is_at_hand(node.args[1:]):
            del node.args[1:]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return self.visit(ast.Assign([node.target], node.value))

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        first = node.targets[0]
        return None if isinstance(first, ast.Name) and first.id in _NOT_ON_BOARDS else self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._with_body(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._with_body(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        if node.name in _NOT_ON_BOARDS:
            return None
        node.returns = None
        for argument in walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self._with_body(node)

    def _with_body(self, node: ast.FunctionDef | ast.ClassDef | ast.Module) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        self.generic_visit(node)
        if not isinstance(node, ast.Module):
            node.body = node.body or [ast.Pass()]
        return node


class _Absent(ast.NodeTransformer):
    """Where a module is imported that is not among these, stands `raise ImportError`, and nothing that comes after."""

    def __init__(self, names: Mapping[str, set[str]]) -> None:
        self._names = names  # of each module
        self._ours = {name.partition(".")[0] for name in names}

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list):
                setattr(node, name, list(_reached(cast(list[ast.stmt], body))))
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        module = node.module or ""
        if module.partition(".")[0] not in self._ours or all(
            f"{module}.{alias.name}" in self._names or alias.name in self._names.get(module, ()) for alias in node.names
        ):
            return node
        return ast.Raise(ast.Name("ImportError", ast.Load()))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        was_generator = _yields(node)
        self.generic_visit(node)
        if was_generator and not _yields(node):
            node.body.append(ast.Expr(ast.Yield()))  # it returned an iterator, and still does
        return node

    def visit_Try(self, node: ast.Try) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        first = node.body[0]
        if isinstance(first, ast.Raise) and ast.unparse(first) == "raise ImportError" and not node.finalbody:
            for handler in node.handlers:
                caught = [] if handler.type is None else [ast.unparse(part) for part in walk(handler.type)]
                if "ImportError" in caught and handler.name is None and not _raises_again(handler):
                    return handler.body
        return node


def _bound(tree: ast.Module) -> Iterator[str]:
    """Every name that a module binds, at its top or below."""
    yield from _stored(tree)
    for node in walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)


def _reached(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, (ast.Raise, ast.Return, ast.Continue, ast.Break)):
            return


def _yields(function: ast.FunctionDef) -> bool:
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in walk(function))


def _raises_again(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) and node.exc is None for node in walk(handler))


class _Rows(ast.NodeTransformer):
    """The channel table with the role's rows only. A row names its roles last but one; terse: and no name and unit."""

    def __init__(self, role: str, terse: bool) -> None:
        self._role = role.upper()  # kerbwire.channels has a constant of that name
        self._terse = terse

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        rows = node.generators[0].iter
        if isinstance(rows, ast.Tuple):
            rows.elts = [row for row in rows.elts if isinstance(row, ast.Tuple) and self._measures(row.elts[-2])]
            for row in rows.elts if self._terse else ():
                row.elts[1:3] = [ast.Constant(0), ast.Constant(0)]  # type: ignore[attr-defined]
        return node

    def _measures(self, roles: ast.expr) -> bool:
        return any(isinstance(name, ast.Name) and name.id == self._role for name in walk(roles))


def _inline(trees: Mapping[str, ast.Module]) -> None:
    """Put the value of each constant in its place, in its own module and wherever that module's name reaches."""
    values: dict[str, dict[str, Value]] = {name: {} for name in trees}
    stored = {name: Counter(_stored(tree)) for name, tree in trees.items()}
    for _ in range(4):  # imports of imports
        for name, tree in trees.items():
            for statement in tree.body:
                found = _defined(statement, values[name], values)
                values[name] |= {key: value for key, value in found.items() if stored[name][key] <= 1}
    for name, tree in trees.items():
        modules = _modules(tree)
        lazy = dict(values[name])
        for node in walk(tree):
            if isinstance(node, ast.ImportFrom):
                lazy.update(_defined(node, lazy, values))
        _Constants(lazy, {alias: values[module] for alias, module in modules.items() if module in values}).visit(tree)


def _stored(tree: ast.Module) -> Iterator[str]:
    """Each name that gets a value anywhere in a module, each time."""
    for node in walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def _modules(tree: ast.Module) -> dict[str, str]:
    """What a module imports of others, by the name that it has here: modules among it."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _modules_outside(tree: ast.Module) -> set[str]:
    """Names that stand for modules from outside, and for nothing else in this module."""
    names = {a.asname or a.name for node in walk(tree) if isinstance(node, ast.Import) for a in node.names}
    return names - set(_stored(tree))


def _is_harmless(value: ast.expr) -> bool:
    return all(
        isinstance(node, _HARMLESS)
        and not (isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in _PURE))
        for node in walk(value)
    )


def _defined(
    statement: ast.stmt, known: Mapping[str, Value], values: Mapping[str, Mapping[str, Value]]
) -> dict[str, Value]:
    """The constants that a statement makes known."""
    if isinstance(statement, ast.ImportFrom):
        there = values.get(statement.module or "", {})
        return {a.asname or a.name: there[a.name] for a in statement.names if a.name in there}
    if not isinstance(statement, ast.Assign) or not all(_constant_names(t) for t in statement.targets):
        return {}
    value = _folded(statement.value, known)
    if value is None:
        return {}
    found: dict[str, Value] = {}
    for target in statement.targets:
        if isinstance(target, ast.Tuple) and isinstance(value, tuple):
            found |= dict(zip(_constant_names(target), value, strict=True))
        elif isinstance(target, ast.Name):
            found[target.id] = value
    return found


def _constant_names(target: ast.expr) -> list[str]:
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    names = [part.id for part in parts if isinstance(part, ast.Name) and _CONSTANT.match(part.id)]
    return names if len(names) == len(parts) else []


def _folded(expression: ast.expr, known: Mapping[str, Value]) -> Value | None:
    """The value of an expression of constants; None if it is anything else."""
    for node in walk(expression):
        if not isinstance(node, _FOLDED) or (isinstance(node, ast.Name) and node.id not in (*known, *_PURE)):
            return None
    try:
        value: Any = eval(  # noqa: S307  of the house's own source, and of its arithmetic only
            compile(ast.fix_missing_locations(ast.Expression(expression)), "constant", "eval"),
            {"__builtins__": {}, "bytes": bytes, "const": int, "len": len, "range": range, **known},
        )
    except (TypeError, ValueError):
        return None
    value = tuple(value) if isinstance(value, range) else value
    return None if isinstance(value, bool) or not isinstance(value, (int, str, tuple)) else cast(Value, value)


class _Constants(ast.NodeTransformer):
    def __init__(self, own: Mapping[str, Value], modules: Mapping[str, Mapping[str, Value]]) -> None:
        self._own = own
        self._modules = modules

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._value(node, self._own, node.id) if isinstance(node.ctx, ast.Load) else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            return self._value(node, self._modules[node.value.id], node.attr)
        return self.generic_visit(node)

    def _value(self, node: ast.expr, values: Mapping[str, Value], name: str) -> ast.expr:
        value = values.get(name)
        if isinstance(value, tuple) or value is None or (isinstance(value, str) and len(value) > MAX_TEXT):
            return node
        return ast.Constant(value)


class _Uses:
    """What is used, found from the statements that always run; the rest is cut."""

    def __init__(
        self, trees: Mapping[str, ast.Module], roots: Mapping[str, tuple[str, ...]], values: Collection[str]
    ) -> None:
        self._trees = trees
        self._values = values
        self._outside = {name: _modules_outside(tree) for name, tree in trees.items()}
        self._names: dict[str, set[str]] = {name: set(roots.get(name, ())) for name in trees}  # by module
        self._modules = {name: _modules(tree) for name, tree in trees.items()}
        # Attributes, and texts that could name one, of all modules.
        self._words = {name for names in roots.values() for name in names}
        self._seen: set[int] = set()
        self._lazy: dict[int, list[ast.ImportFrom]] = {}  # imports in a statement that is used

    def cut(self) -> None:
        before = -1
        while before != len(self._seen):
            before = len(self._seen)
            for module, tree in self._trees.items():
                self._follow(module, tree.body)
        for module, tree in self._trees.items():
            tree.body = list(self._left(module, tree.body))

    def _follow(self, module: str, body: list[ast.stmt]) -> None:
        for statement in body:
            if id(statement) in self._seen and not isinstance(statement, (ast.ClassDef, ast.ImportFrom)):
                for node in self._lazy[id(statement)]:
                    self._import(module, node)
                continue
            if isinstance(statement, ast.ImportFrom):
                self._import(module, statement)
            elif self._is_used(module, statement, body is self._trees[module].body):
                if isinstance(statement, ast.ClassDef):
                    self._follow(module, statement.body)
                    for part in (*statement.bases, *statement.decorator_list):
                        self._note(module, part)
                else:
                    self._note(module, statement)
                self._seen.add(id(statement))
                self._lazy[id(statement)] = [node for node in walk(statement) if isinstance(node, ast.ImportFrom)]

    def _import(self, module: str, statement: ast.ImportFrom) -> None:
        for alias in statement.names:
            if self._is_word(module, alias.asname or alias.name):
                self._names.get(statement.module or "", set()).add(alias.name)
                self._seen.add(id(alias))

    def _note(self, module: str, part: ast.AST) -> None:
        for node in walk(part):
            if isinstance(node, ast.ImportFrom):
                self._import(module, node)
            elif isinstance(node, ast.Name):
                self._names[module].add(node.id)
            elif isinstance(node, ast.Global):
                self._names[module].update(node.names)
            elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Store):
                of = self._modules[module].get(node.value.id) if isinstance(node.value, ast.Name) else None
                if not isinstance(node.value, ast.Name) or node.value.id not in self._outside[module]:
                    self._names.get(of or "", self._words).add(node.attr)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute):
                self._words.add(node.target.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                self._words.add(node.value)

    def _is_word(self, module: str, name: str, is_top: bool = False) -> bool:
        return name in self._names[module] or (name in self._words and (not is_top or module in self._values))

    def _is_used(self, module: str, statement: ast.stmt, is_top: bool) -> bool:
        """Whether a statement counts: a definition if its name does, any other always."""
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            name = statement.name
            return (name[:2] == "__" and name[-2:] == "__") or self._is_word(module, name, is_top)
        if isinstance(statement, ast.Assign) and _is_harmless(statement.value):
            names = [n.id for t in statement.targets for n in walk(t) if isinstance(n, ast.Name)]
            return not names or any(self._is_word(module, name, is_top) for name in names)
        return True

    def _left(self, module: str, body: list[ast.stmt]) -> Iterator[ast.stmt]:
        for statement in body:
            if isinstance(statement, ast.ClassDef) and id(statement) in self._seen:
                statement.body = list(self._left(module, statement.body)) or [ast.Pass()]
                yield statement
            elif isinstance(statement, ast.ImportFrom) or id(statement) in self._seen:
                left = _Unused(self._seen, self._words).visit(statement)
                if left is not None:
                    yield left


class _Unused(ast.NodeTransformer):
    """Without imports that nothing uses, and `self.name = value` where nobody reads it and the value is at hand."""

    def __init__(self, seen: set[int], words: set[str]) -> None:
        self._seen = seen
        self._words = words

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        node.names = [alias for alias in node.names if id(alias) in self._seen]
        return node if node.names else None

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        target = node.targets[0]
        if (
            len(node.targets) == 1
            and isinstance(target, ast.Attribute)
            and ast.unparse(target.value) == "self"
            and target.attr not in self._words
            and _is_harmless(node.value)
        ):
            return None
        return node
