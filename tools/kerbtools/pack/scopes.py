"""Which names a scope binds: Python's rules, as far as the firmware uses them (no class in a function, no nonlocal)."""

import ast
from collections.abc import Collection, Iterator

from kerbtools.pack.walking import walk

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.Lambda, *COMPREHENSIONS)
Scope = ast.FunctionDef | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def parameters(scope: ast.AST) -> list[ast.arg]:
    """The parameters of a function in the order of a call; none of a comprehension."""
    if not isinstance(scope, (ast.FunctionDef, ast.Lambda)):
        return []
    given = scope.args
    rest = [each for each in (given.vararg, given.kwarg) if each is not None]
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *rest]


def bound(scope: ast.Module | Scope, besides: Collection[ast.AST] = ()) -> set[str]:
    """The names that a scope binds itself: parameters, variables, imports, definitions; not those declared global.

    besides: nodes that do not count.
    """
    found = {argument.arg for argument in parameters(scope)}
    declared: set[str] = set()
    for node in own(scope):
        if isinstance(node, ast.Global):
            declared.update(node.names)
        elif node not in besides:
            found.update(_binds(node))
    return found - declared


def own(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope, without what lies in scopes within it; these themselves are among them."""
    todo = list(_body(scope))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)


def within(scope: ast.AST) -> Iterator[ast.AST]:
    """The scopes directly within a scope."""
    return (node for node in own(scope) if isinstance(node, FUNCTIONS))


def outside(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function that belong to where it is defined: decorators and defaults."""
    defaults = [*function.args.defaults, *(each for each in function.args.kw_defaults if each is not None)]
    for part in (*defaults, *function.decorator_list):
        yield from walk(part)


def members(node: ast.ClassDef) -> set[str]:
    """The names that a class binds in its body."""
    return {name for statement in node.body for part in walk(statement) for name in _binds_member(statement, part)}


def _binds_member(statement: ast.stmt, part: ast.AST) -> Iterator[str]:
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        if part is statement:
            yield statement.name
    else:
        yield from _binds(part)


def _body(scope: ast.AST) -> Iterator[ast.AST]:
    if isinstance(scope, COMPREHENSIONS):
        yield from ast.iter_child_nodes(scope)
    elif isinstance(scope, ast.Lambda):
        yield scope.body
    else:
        yield from getattr(scope, "body", ())


def _binds(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
        yield node.id
    elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler)):
        if node.name:
            yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
