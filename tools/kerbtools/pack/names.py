"""Short names for a whole role: of what is the house's own, and of nothing else.

    a module's name       is its file's; it may be short, unless something outside asks for it or it is an exception's
    an attribute          has one short name in the whole role, unless the same word may name something from outside;
                          those that only `self` is asked for share theirs (kerbtools.pack.private)
    a parameter           whatever no name that its function uses is; unless it is named in a call
    a variable            costs nothing on a board, and is only kept apart from all these

One pool serves all three: a name that is both a function of one file and an attribute is interned once. Texts stay what
they are; a word that stands as a text anywhere is no short name's, since getattr may ask for it. The texts that name a
message's fields (ROWS, second in a row) are names themselves.
"""

import ast
import keyword
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kerbtools.pack import private, scopes
from kerbtools.pack.merge import MergeError, Part
from kerbtools.pack.walking import walk

TABLES = ("ROWS",)  # of rows whose second text names an attribute


@dataclass
class Named:
    """What was named how. names: for each file, the functions and classes that a short name may stand for there.

    attributes: by short name. public: by MODULE:NAME, the name in its file.
    """

    names: dict[str, dict[str, list[str]]] = field(default_factory=dict[str, dict[str, list[str]]])
    attributes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    public: dict[str, str] = field(default_factory=dict[str, str])
    rebound: set[str] = field(default_factory=set[str])  # MODULE:NAME of what functions give other values


def shorten(parts: Sequence[Part], outside: frozenset[str], roots: Mapping[str, tuple[str, ...]]) -> Named:
    """Give every name its short form, in place. roots: names of modules, and of attributes, that others ask for.

    MergeError: two names that one file uses would have to be the same.
    """
    trees = [part.tree for part in parts]
    keep = set(outside) | {name for names in roots.values() for name in names} | set(_texts(trees)) | _foreign(trees)
    named = _named_in_calls(trees)
    keep |= set(keyword.kwlist) | named
    keep |= {name for part in parts if part.is_open for name in part.names()}
    own = _defined(trees) - keep
    own = {name for name in own if name[:2] != "__"}
    pool = list(_pool(keep, len(own) + sum(len(part.tree.body) for part in parts) + 100))
    alone = private.of_self_alone(trees, own)
    public = sorted(own - alone.keys())
    # By name alone: a line that asks more often changes no other.
    attributes = dict(zip(public, pool, strict=False)) | private.shared_out(alone, pool[len(public) :])
    found = Named(rebound=_rebound(trees))
    finals: dict[str, str] = {}
    for part in parts:
        finals |= _globals(part, finals, pool, keep, roots, set(attributes.values()), _beside(part, parts, finals))
    for part in parts:
        _apart(part, finals)
    told = {part.module: _told(part) for part in parts}
    owners = [(part, part.owned()) for part in parts]
    for part in parts:
        _Written(finals, attributes, pool, named).visit(part.tree)
        if part.borrowed:
            _borrow(part, owners, finals)
        found.names[part.module] = _table(told[part.module])
        ast.fix_missing_locations(part.tree)
    found.public = finals
    for name, short in sorted(attributes.items()):
        found.attributes.setdefault(short, []).append(name)
    return found


def _pool(keep: set[str], count: int) -> Iterator[str]:
    """One letter, then two, and so on, without the words that mean something."""
    letters = string.ascii_lowercase + string.ascii_uppercase
    words = list(letters)
    while count > 0:
        for word in words:
            if word not in keep:
                yield word
                count -= 1
        words = [word + more for word in words for more in letters + string.digits]


def _texts(trees: Sequence[ast.Module]) -> Iterator[str]:
    """Texts that could be a name, without those that are."""
    for tree in trees:
        names = set(_field_names(tree))
        for node in walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in names:
                yield node.value


def _field_names(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).rpartition(".")[2] in TABLES:
            for row in getattr(node.value, "elts", ()):
                if isinstance(row, ast.Tuple) and len(row.elts) > 1 and isinstance(row.elts[1], ast.Constant):
                    yield row.elts[1]


def _foreign(trees: Sequence[ast.Module]) -> set[str]:
    """Names that come from outside: builtins and modules, and the attributes that are asked of these by name."""
    found: set[str] = set()
    for tree in trees:
        modules = {
            "@" + alias.asname[1:]
            for node in walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
            if alias.asname
        }
        for node in walk(tree):
            if isinstance(node, ast.Name) and not _is_ours(node.id):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id in modules or not _is_ours(node.value.id):
                    found.add(node.attr)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                found.update(alias.name for alias in node.names)
    return found


def _is_ours(name: str) -> bool:
    return ":" in name or name[0] in "@."


def _named_in_calls(trees: Sequence[ast.Module]) -> set[str]:
    return {node.arg for tree in trees for node in walk(tree) if isinstance(node, ast.keyword) and node.arg}


def _defined(trees: Sequence[ast.Module]) -> set[str]:
    """The attributes that the house's classes give themselves and others."""
    found: set[str] = set()
    for tree in trees:
        found.update(str(node.value) for node in _field_names(tree))
        for node in walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.Name) and node.id[0] == ".":
                found.add(node.id[1:])
            elif isinstance(node, ast.FunctionDef) and node.name[0] == ".":
                found.add(node.name[1:])
    return found


def _globals(
    part: Part,
    known: Mapping[str, str],
    pool: Sequence[str],
    keep: set[str],
    roots: Mapping[str, tuple[str, ...]],
    attributes: set[str],
    beside: Mapping[str, set[str]],
) -> dict[str, str]:
    """The names of a file's own, by their qualified form. attributes: short names that a class may bind in its body.

    beside: of a name that later files import, the short names that they import with it.
    """
    owned = part.owned()
    exceptions = _exceptions(part.tree)
    rebound = _rebound([part.tree])
    found: dict[str, str] = {}
    for name in sorted(owned):
        module, _, plain = name.partition(":")
        asked = plain in roots.get(module, ()) and (module == part.module or name in rebound)
        if asked or (part.is_open and plain[0] != "_") or name in exceptions or plain[:2] == "__":
            found[name] = plain
    if len(set(found.values())) < len(found):
        clash = [name for name, count in Counter(found.values()).items() if count > 1]
        raise MergeError(f"{part.module}: two modules have a public {clash[0]}")
    in_bodies = _of_class_bodies(part.tree)
    taken = {known[name] for name in part.borrowed} | set(found.values()) | keep
    for name in sorted(owned - set(found)):
        barred = (attributes if name in in_bodies else set[str]()) | beside.get(name, set())
        found[name] = next(short for short in pool if short not in taken and short not in barred)
        taken.add(found[name])
    return found


def _beside(part: Part, parts: Sequence[Part], known: Mapping[str, str]) -> dict[str, set[str]]:
    """Of each name of a part that later ones import, the short names that they import of other parts."""
    found: dict[str, set[str]] = {}
    owned = part.owned()
    for later in parts:
        others = {known[name] for name in later.borrowed if name in known}
        for name in later.borrowed:
            if name in owned:
                found.setdefault(name, set()).update(others)
    return found


def _apart(part: Part, finals: Mapping[str, str]) -> None:
    """Refuse a file in which one name would stand for two things, of its own or of earlier files."""
    meant: dict[str, str] = {}
    for name in sorted(part.owned() | part.borrowed):
        other = meant.setdefault(finals[name], name)
        if other != name:
            raise MergeError(f"{part.module}: {other} and {name} would both be called {finals[name]}")


def _of_class_bodies(tree: ast.Module) -> set[str]:
    """The names of modules that a class asks for while it is made, when what it has bound so far stands before them."""
    return {
        node.id
        for statement in walk(tree)
        if isinstance(statement, ast.ClassDef)
        for part in statement.body
        for node in ([*scopes.outside(part)] if isinstance(part, ast.FunctionDef) else walk(part))
        if isinstance(node, ast.Name) and ":" in node.id
    }


def _rebound(trees: Sequence[ast.Module]) -> set[str]:
    return {name for tree in trees for node in walk(tree) if isinstance(node, ast.Global) for name in node.names}


def _exceptions(tree: ast.Module) -> set[str]:
    """Classes whose names a person sees."""
    found = {"Exception"}
    for node in walk(tree):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(base, ast.Name) and base.id in found for base in node.bases
        ):
            found.add(node.name)
    return found


class _Written(ast.NodeTransformer):
    """A tree with the names that are written."""

    def __init__(
        self, finals: Mapping[str, str], attributes: Mapping[str, str], pool: Sequence[str], named: set[str]
    ) -> None:
        self._finals = finals
        self._attributes = attributes
        self._pool = pool
        self._kept = named  # what calls name
        self._local: dict[str, str] = {}
        self._depth = 0

    def _name(self, name: str) -> str:
        if name[0] == "@":
            return self._local[name]
        if name[0] == ".":
            return self._attributes.get(name[1:], name[1:])
        return self._finals.get(name, name)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        for constant in _field_names(node):
            constant.value = self._attributes.get(str(constant.value), constant.value)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._name(node.id)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._name(name) for name in node.names]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self._attributes.get(node.attr, node.attr)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self._name(node.arg)
        return node

    def visit_alias(self, node: ast.alias) -> ast.AST:
        node.name = self._finals.get(node.name, node.name)
        if node.asname:
            node.asname = self._name(node.asname)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name:
            node.name = self._name(node.name)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._name(node.name)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._name(node.name)
        return self._scope(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._scope(node)

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._scope(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._scope(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._scope(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._scope(node)

    def _scope(self, node: ast.AST) -> ast.AST:
        if not self._depth:
            self._local = self._locals(node)
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    def _locals(self, function: ast.AST) -> dict[str, str]:
        """Names for all parameters and variables of a function and of those within it."""
        parameters: dict[str, None] = {}
        variables: dict[str, None] = {}
        inner = {
            node.id for scope in scopes.within(function) for node in walk(scope) if isinstance(node, ast.Name)
        }  # what it shares with another is a parameter of that
        used: set[str] = set()
        for node in walk(function):
            for name in scopes.parameters(node):
                parameters[name.arg] = None
            for name in (getattr(node, "id", None), getattr(node, "name", None), getattr(node, "asname", None)):
                if isinstance(name, str) and name[0] == "@":
                    variables[name] = None
                elif isinstance(name, str):
                    used.add(self._name(name))
        named = {name: name[1:] for name in parameters if name[1:] in self._kept}
        free = (name for name in self._pool if name not in used)
        parameters |= {name: None for name in variables if name in inner}
        found = named | {name: next(free) for name in parameters if name not in named}
        others = [name for name in variables if name not in found]
        return found | {name: f"_{number}" for number, name in enumerate(others)}


def _borrow(part: Part, owners: Sequence[tuple[Part, set[str]]], finals: Mapping[str, str]) -> None:
    """Imports, at a file's top, of the names that it takes from earlier ones."""
    for other, owned in owners:
        names = sorted(finals[name] for name in part.borrowed & owned)
        if names:
            part.tree.body.insert(0, ast.ImportFrom(other.module, [ast.alias(name) for name in names], 0))


def _told(part: Part) -> list[tuple[ast.AST, str]]:
    """What a traceback may name: functions and classes, with the names of the sources."""
    found: list[tuple[ast.AST, str]] = []

    def look(node: ast.AST, before: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                name = child.name.replace(":", ".") if ":" in child.name else before + "." + child.name[1:]
                found.append((child, name))
                look(child, name)
            else:
                look(child, before)

    look(part.tree, part.module)
    return found


def _table(told: list[tuple[ast.AST, str]]) -> dict[str, list[str]]:
    table: dict[str, set[str]] = {}
    for node, name in told:
        table.setdefault(getattr(node, "name", ""), set()).add(name)
    return {short: sorted(names) for short, names in sorted(table.items())}
