"""Modules merged into few files, every name of a module in a form that says whose it is.

What comes out is no program yet: kerbtools.pack.names gives the names that are written. In it stands

    MODULE:NAME    for a name of one of the merged modules, wherever it is used
    @NAME          for a parameter or a variable of a function
    NAME           for what comes from outside: builtins, and modules that the board's MicroPython has

An import of a module in the same file is gone: its names are at hand. Of an earlier file names are imported at the top,
of a later one where the source says so, since that file is loaded no sooner. An import of a module that no file holds
becomes `raise ImportError`, which is what it would do.
"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from kerbtools.pack import scopes
from kerbtools.pack.walking import walk

Target = tuple[str, str | None]  # module, and a name in it; None: the module itself


class MergeError(Exception):
    """Sources that cannot be merged without a change of what they do."""


@dataclass
class Part:
    """One file of the board. module: its name there. tree: as this module's text says."""

    module: str
    modules: list[str]
    tree: ast.Module = field(default_factory=lambda: ast.Module([], []))
    borrowed: set[str] = field(default_factory=set[str])  # names of earlier parts
    is_open: bool = False  # other code takes this module as a value, and asks for its names

    def owned(self) -> set[str]:
        """The qualified names that it binds, at its top or by `global`."""
        found: set[str] = set()
        for node in walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Global):
                found.update(node.names)
        return {name for name in found if ":" in name and name[0] not in "@."}

    def names(self) -> set[str]:
        """What its modules bind at their tops, without modules' names."""
        return {name.partition(":")[2] for name in scopes.bound(self.tree) if ":" in name}


def merge(trees: Mapping[str, ast.Module], parts: Mapping[str, Iterable[str]], values: set[str]) -> list[Part]:
    """parts: for each file, by its module's name, the modules that it is made for; those that they import come along.

    A file's modules are those that it reaches, without what an earlier file holds or a later one is made for. values:
    parts whose module others take as a value. MergeError.
    """
    needs = {name: _needed(name, tree, trees) for name, tree in trees.items()}
    found = _shared(trees, parts, needs)
    for part in found:
        part.is_open = part.module in values
    part_of = {module: part.module for part in found for module in part.modules}
    order = [part.module for part in found]
    tops = {name: _imported(tree, trees) for name, tree in trees.items()}
    for part in found:
        for module in part.modules:
            writer = _Qualified(module, trees, tops, part_of, order)
            tree = writer.visit(trees[module])
            part.tree.body += tree.body
            part.borrowed |= writer.borrowed
    for part in found:
        part.tree.body = list(_once(part.tree.body))
    return found


def _shared(
    trees: Mapping[str, ast.Module], parts: Mapping[str, Iterable[str]], needs: Mapping[str, tuple[set[str], set[str]]]
) -> list[Part]:
    roots = {root for made_for in parts.values() for root in made_for}
    held: set[str] = set()
    found: list[Part] = []
    for name, made_for in parts.items():
        own = [root for root in made_for if root in trees]
        todo = list(own)
        seen = set(todo)
        while todo:
            module = todo.pop()
            at_top, later = needs[module]
            if early := at_top & (roots - held - set(own)):
                raise MergeError(f"{module} imports {min(early)} at its top, which a later file holds")
            todo += sorted((at_top | later) - roots - held - seen)
            seen |= at_top | later
        modules = seen - held - (roots - set(own))
        graph = {module: sorted(needs[module][0] & modules) for module in sorted(modules)}
        found.append(Part(name, list(TopologicalSorter(graph).static_order())))
        held |= modules
    return found


def _needed(name: str, tree: ast.Module, trees: Mapping[str, ast.Module]) -> tuple[set[str], set[str]]:
    """The merged modules that a module imports at its top, and those that it imports later."""
    at_top: set[str] = set()
    all_of_it: set[str] = set()
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom):
            found = {module for module, _ in _targets(node, trees).values() if module in trees} - {name}
            all_of_it |= found
            if node in tree.body:
                at_top |= found
    return at_top, all_of_it - at_top


def _targets(node: ast.ImportFrom, trees: Mapping[str, ast.Module]) -> dict[str, Target]:
    """What each name of an import is, by the name that it gets."""
    module = node.module or ""
    return {
        alias.asname or alias.name: (
            (f"{module}.{alias.name}", None) if f"{module}.{alias.name}" in trees else (module, alias.name)
        )
        for alias in node.names
    }


def _imported(tree: ast.Module, trees: Mapping[str, ast.Module]) -> dict[str, Target]:
    """What a module imports of others at its top, by the name that it has here."""
    found: dict[str, Target] = {}
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and is_ours(statement, trees):
            found |= _targets(statement, trees)
    return found


def _one_meaning(module: str, scope: ast.Module | scopes.Scope, trees: Mapping[str, ast.Module]) -> dict[str, Target]:
    """What a scope imports of the house, by name. MergeError for a name that something else in it binds too: all its
    uses would be taken for uses of one."""
    imports = [node for node in scopes.own(scope) if isinstance(node, ast.ImportFrom) and is_ours(node, trees)]
    found: dict[str, Target] = {}
    for node in imports:
        for name, target in _targets(node, trees).items():
            if found.setdefault(name, target) != target:
                raise MergeError(f"{module} imports two things as {name} in one scope; give one another name (as)")
    if both := found.keys() & scopes.bound(scope, besides=imports):
        raise MergeError(f"{module} imports {min(both)} and binds it in another way in the same scope")
    return found


def is_ours(node: ast.ImportFrom, trees: Mapping[str, ast.Module]) -> bool:
    """Whether an import asks for one of the house's packages, be the module there or not."""
    return (node.module or "").partition(".")[0] in {name.partition(".")[0] for name in trees}


class _Qualified(ast.NodeTransformer):
    """A module's tree with its names qualified."""

    def __init__(
        self,
        module: str,
        trees: Mapping[str, ast.Module],
        tops: Mapping[str, Mapping[str, Target]],
        part_of: Mapping[str, str],
        order: list[str],
    ):
        self._module = module
        self._tops = tops
        self._trees = trees
        self._part_of = part_of
        self._order = order
        self._at_top = tops[module]
        _one_meaning(module, trees[module], trees)
        self._globals = scopes.bound(trees[module]) | {
            name for node in walk(trees[module]) if isinstance(node, ast.Global) for name in node.names
        }
        self._outside: dict[str, str] = {}  # imported at the top from outside: the name that it gets here
        self._scopes: list[tuple[set[str], dict[str, Target]]] = []
        self._class: set[str] = set()  # what the class binds whose body this is
        self._done: set[ast.stmt] = set()  # imports that are as they are to be
        self.borrowed: set[str] = set()

    # Names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._named(node.id)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [f"{self._module}:{name}" for name in node.names]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name):
            target = self._target(node.value.id)
            if target is not None and target[1] is None:
                return ast.Name(self._of(target[0], node.attr), node.ctx)
        return self.generic_visit(node)

    def _target(self, name: str) -> Target | None:
        """What an imported name stands for, where it is not another's."""
        for names, targets in reversed(self._scopes):
            if name in targets:
                return targets[name]
            if name in names:
                return None
        return self._at_top.get(name)

    def _named(self, name: str) -> str:
        if self._class and name in self._class and not self._scopes:
            return f".{name}"
        target = self._target(name)
        if target is not None:
            if target[1] is None:
                raise MergeError(f"{self._module} uses the module {target[0]} as a value")
            return self._of(target[0], target[1])
        if any(name in names for names, _ in self._scopes):
            return "@" + name
        if name in self._globals:
            return self._outside.get(name, f"{self._module}:{name}")
        return name

    def _of(self, module: str, name: str) -> str:
        """The name in the form of this package; a name that its module has imported itself is another module's."""
        while (found := self._tops.get(module, {}).get(name)) is not None:
            if found[1] is None:
                raise MergeError(f"{self._module} asks {module} for the module {found[0]}")
            module, name = found[0], found[1]
        here, there = self._order.index(self._part_of[self._module]), self._order.index(self._part_of[module])
        if there > here:
            return f"@{module}:{name}"  # a variable of the function that imports it
        if there < here:
            self.borrowed.add(f"{module}:{name}")
        return f"{module}:{name}"

    # Imports

    def visit_Import(self, node: ast.Import) -> ast.AST:
        for alias in node.names:
            name = alias.asname or alias.name
            if self._scopes:
                alias.asname = "@" + name
            else:
                self._outside[name] = alias.name
                alias.asname = None
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if node in self._done:
            return node
        if not is_ours(node, self._trees):
            for alias in node.names:
                name = alias.asname or alias.name
                if self._scopes:
                    alias.asname = "@" + name
                else:
                    self._outside[name] = alias.name
                    alias.asname = None
            return node
        targets = _targets(node, self._trees)
        if any(module not in self._part_of for module, _ in targets.values()):
            return ast.Raise(ast.Name("ImportError", ast.Load()))
        return None  # what of a later part is needed is imported at the head of the function

    # Scopes

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        node.name = self._named(node.name)
        return self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._function(node)

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name:
            node.name = self._named(node.name)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._named(node.name)
        node.bases = [self.visit(base) for base in node.bases]
        self._class = scopes.members(node)
        node.body = [self.visit(statement) for statement in node.body]
        self._class = set()
        return node

    def _function(self, node: ast.FunctionDef | ast.Lambda) -> ast.AST:
        node.args.defaults = [self.visit(each) for each in node.args.defaults]
        node.args.kw_defaults = [each and self.visit(each) for each in node.args.kw_defaults]
        imports = [each for each in scopes.own(node) if isinstance(each, ast.ImportFrom) and is_ours(each, self._trees)]
        targets = _one_meaning(self._module, node, self._trees)
        self._scopes.append((scopes.bound(node), targets))
        for argument in scopes.parameters(node):
            argument.arg = "@" + argument.arg
        if isinstance(node, ast.Lambda):
            node.body = self.visit(node.body)
        else:
            for each in imports:
                _replace(node, each, self._late(node, each))
            body: list[ast.stmt] = []
            for statement in node.body:
                done = self.visit(statement)
                body += [done] if done is not None else []
            node.body = body or [ast.Pass()]
        self._scopes.pop()
        _fill(node)
        return node

    def _late(self, scope: ast.AST, node: ast.ImportFrom) -> list[ast.stmt]:
        """What stands for an import in a function: nothing, or one of the names that are used of a later part."""
        targets = _targets(node, self._trees)
        if any(module not in self._part_of for module, _ in targets.values()):
            return [ast.Raise(ast.Name("ImportError", ast.Load()))]
        wanted: dict[str, set[str]] = {}
        for name, (module, of_it) in targets.items():
            if of_it is not None:
                names = {self._of(module, of_it)}
            else:
                names = {
                    self._of(module, part.attr)
                    for part in walk(scope)
                    if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == name
                }
            for each in names:
                if each[0] == "@":
                    wanted.setdefault(self._part_of[each[1:].partition(":")[0]], set()).add(each)
        done: list[ast.stmt] = []
        for part, names in sorted(wanted.items()):
            done.append(ast.ImportFrom(part, [ast.alias(name[1:], name) for name in sorted(names)], 0))
        self._done.update(done)
        return done

    def _comprehension(self, node: scopes.Scope) -> ast.AST:
        self._scopes.append((scopes.bound(node), {}))
        self.generic_visit(node)
        self._scopes.pop()
        return node


def _replace(scope: ast.AST, old: ast.stmt, new: list[ast.stmt]) -> None:
    for node in ast.walk(scope):
        for name in ("body", "orelse", "finalbody"):
            body: list[ast.stmt] | None = getattr(node, name, None)
            if isinstance(body, list) and old in body:
                at = body.index(old)
                body[at : at + 1] = new


def _fill(scope: ast.AST) -> None:
    """`pass` where an import was all that there was."""
    for node in walk(scope):
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]


def _once(body: list[ast.stmt]) -> Iterable[ast.stmt]:
    """Without an import that stands there before."""
    seen: set[str] = set()
    for statement in body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            aliases = [
                alias for alias in statement.names if ast.unparse(statement).split("import")[0] + alias.name not in seen
            ]
            seen |= {ast.unparse(statement).split("import")[0] + alias.name for alias in statement.names}
            if not aliases:
                continue
            statement.names = aliases
        yield statement
