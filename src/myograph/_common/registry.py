"""Registries: objects by name, found in the modules of a folder, so that a new file is the only change needed to add
one.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myograph.errors import ConfigError, unknown_name

Factory = Callable[..., Any]


@dataclass(frozen=True)
class Entry:
    """A registration read from the source: its module, and the first line of its docstring."""

    module: str
    summary: str


class Registry:
    """Names to factories.

    `@REGISTRY.register` registers a function or class under its own name (or its `name` attribute), and
    `@REGISTRY.register("other")` under another name. Two objects with the same name are an error.

    Parameters
    ----------
    kind : what the objects are called in error messages, for example "data set".
    package : the package whose modules register them, except modules whose name starts with an underscore.
    variable : name of the registry in these modules, for example "DATASETS". If it is given, names are read from the
        modules' source, and a module is imported when one of its objects is first requested. Otherwise all modules are
        imported when the first name is requested.
    mark : text that every module with a registration contains; other modules are not imported.
    """

    def __init__(self, kind: str, package: str, variable: str | None = None, mark: str = ""):
        self.kind, self.package, self.variable, self.mark = kind, package, variable, mark
        self._entries: dict[str, Factory] = {}
        self._found: dict[str, Entry] | None = None
        self._loaded = self._loading = False
        self._lock = threading.RLock()

    def register(self, given: str | Factory) -> Any:
        """Decorator that adds a function or class, under its own name or the one given."""
        if isinstance(given, str):
            return lambda factory: self.add(given, factory)
        return self.add(getattr(given, "name", None) or getattr(given, "__name__", str(given)), given)

    def add(self, name: str, factory: Factory) -> Factory:
        """Add a factory under a name; ConfigError if another one has it."""
        known = self._entries.get(name)
        if known is not None and known is not factory:
            raise ConfigError(
                f"two {self.kind}s are named {name!r}: {known.__module__} and {factory.__module__}; rename one"
            )
        self._entries[name] = factory
        return factory

    def load(self) -> None:
        """Import every module of the package that may register something."""
        if self._loaded:
            return
        with self._lock:  # other threads wait until all modules are imported
            if self._loaded or self._loading:  # a module that is being imported requests an entry of another module
                return
            self._loading = True
            try:
                package = importlib.import_module(self.package)
                for folder in getattr(package, "__path__", []):
                    for path in sorted(Path(folder).glob("[!_]*.py")):
                        if self.mark in path.read_text(encoding="utf-8"):
                            importlib.import_module(f"{self.package}.{path.stem}")
                self._loaded = True
            finally:
                self._loading = False

    def summaries(self) -> dict[str, str]:
        """Return each name with the first line of its docstring, sorted, with as few imports as possible."""
        # a docstring that is not in the source may be assigned when the module is imported
        known = {name: entry.summary or first_line(self[name]) for name, entry in self._index().items()}
        known.update({name: first_line(factory) for name, factory in self._entries.items() if name not in known})
        return dict(sorted(known.items()))

    def create(self, name: str, /, **options: Any) -> Any:
        """Call the factory; an unknown option is an error that names the known ones."""
        factory = self[name]
        parameters = inspect.signature(factory).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            for option in options:
                if option not in parameters:
                    raise unknown_name(f"option of {self.kind} {name!r}", option, parameters)
        return factory(**options)

    def __getitem__(self, name: str) -> Factory:
        if name not in self._entries and name in (index := self._index()):
            importlib.import_module(index[name].module)
        if name not in self._entries:
            self.load()
        try:
            return self._entries[name]
        except KeyError:
            raise unknown_name(self.kind, name, sorted({*self._entries, *self._index()})) from None

    def __contains__(self, name: object) -> bool:
        return name in self._index() or name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._index(), *self._entries}))

    def __len__(self) -> int:
        return len({*self._index(), *self._entries})

    def _index(self) -> dict[str, Entry]:
        """Return the registrations in the source. A module with other registrations, for example in a loop, is
        imported.
        """
        if self.variable is None:
            self.load()
            return {}
        if self._found is None:
            spec = importlib.util.find_spec(self.package)
            found: dict[str, Entry] = {}
            for folder in (spec and spec.submodule_search_locations) or ():
                for path in sorted(Path(folder).glob("[!_]*.py")):
                    module = f"{self.package}.{path.stem}"
                    entries, complete = read_registrations(path.read_text(encoding="utf-8"), self.variable)
                    found.update({name: Entry(module, summary) for name, summary in entries.items()})
                    if not complete:
                        importlib.import_module(module)
            self._found = found
        return self._found


def read_registrations(source: str, variable: str) -> tuple[dict[str, str], bool]:
    """Return the registrations of a module, read from its source without importing it.

    Parameters
    ----------
    source : text of the module.
    variable : name of the registry in it.

    Returns
    -------
    names : each registered name with the first line of its docstring.
    complete : False if the module also registers objects without a decorator at its top level, so that it must be
        imported to find their names.

    >>> read_registrations('@THINGS.register("a")\\ndef f():\\n    "A thing."', "THINGS")
    ({'a': 'A thing.'}, True)
    """
    if f"{variable}.register" not in source and f"{variable}.add" not in source:
        return {}, True
    names: dict[str, str] = {}
    tree = ast.parse(source)
    of_module = {target for node in tree.body if (target := _takes_the_docstring_of_the_module(node))}
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        for decorator in node.decorator_list:
            if (name := _registered_name(node, decorator, variable)) is not None:
                text = ast.get_docstring(tree if node.name in of_module else node)
                names[name] = (text or "").partition("\n")[0]
    mentions = sum(_is_registration(node, variable) for node in ast.walk(tree))
    return names, mentions == len(names)


def first_line(thing: Any) -> str:
    """Return the first line of a docstring, or an empty text."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _is_registration(node: ast.AST, variable: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("register", "add")
        and isinstance(node.value, ast.Name)
        and node.value.id == variable
    )


def _takes_the_docstring_of_the_module(node: ast.stmt) -> str | None:
    """Return the name in `name.__doc__ = __doc__`, or None for any other statement."""
    match node:
        case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=name), attr="__doc__")], value=ast.Name(id="__doc__")):
            return name
    return None


def _registered_name(node: ast.FunctionDef | ast.ClassDef, decorator: ast.expr, variable: str) -> str | None:
    """Return the name that a decorator registers; None for another decorator, or if the name is not a plain string."""
    if isinstance(decorator, ast.Call) and not decorator.args and isinstance(node, ast.FunctionDef):
        return node.name if _is_registration(decorator.func, variable) else None  # keywords alone
    if isinstance(decorator, ast.Call):
        given = decorator.args[0] if decorator.args else None
        plain = isinstance(given, ast.Constant) and isinstance(given.value, str)
        return given.value if _is_registration(decorator.func, variable) and plain else None  # type: ignore[union-attr]
    if not _is_registration(decorator, variable):
        return None
    if isinstance(node, ast.FunctionDef):
        return node.name
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "name" for target in targets):
            value = getattr(statement, "value", None)
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
    # an inherited `name` is not visible here, so a class with bases must be imported
    return None if node.bases else node.name
