"""Check that the package's imports run downwards, and that folders keep their private modules to themselves.

Imports are read from the source, including those inside functions.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "myograph"
SPINE = ("__init__", "errors", "recording", "windows", "audit", "protocols")
# From the bottom to the top: a module imports only what stands before its own entry, or its own folder.
LAYERS = (
    "errors",
    "_common",
    "recording",
    "windows",
    "audit",
    "protocols",
    "preprocessing",
    "features",
    "datasets",
    "models",
    "training",
    "methods",
    "live",
    "evaluation",
    "recipes",
    "cli",
    "testing",
)
MOST_ENTRIES = 12
SHARED = "_common"  # every folder may import its modules


@dataclass(frozen=True)
class Imports:
    """The rules that the imports of the package break.

    Parameters
    ----------
    circles : groups of modules that import each other.
    upward : (importing module, imported module) if the second lies above the first.
    private : (importing module, imported name) if a part of that name is private to another folder or module.
    unknown : entries at the top of the package that have no layer.
    entries : files and folders at the top of the package, besides those of the spine.

    >>> found = check_imports()
    >>> found.ok, found.lines()[0]
    (True, '0 circles')
    """

    circles: list[list[str]]
    upward: list[tuple[str, str]]
    private: list[tuple[str, str]]
    unknown: list[str]
    entries: list[str]

    @property
    def ok(self) -> bool:
        """Whether no rule is broken."""
        return not (self.circles or self.upward or self.private or self.unknown) and len(self.entries) <= MOST_ENTRIES

    def lines(self) -> list[str]:
        """Return the findings as text, one count per line, each followed by what it counts."""
        return [
            f"{len(self.circles)} circles",
            *(f"  {' -> '.join(circle)}" for circle in self.circles),
            f"{len(self.upward)} upward imports",
            *(f"  {importer} imports {imported}" for importer, imported in self.upward),
            f"{len(self.private)} imports of what is private to another folder or module",
            *(f"  {importer} imports {imported}" for importer, imported in self.private),
            f"{len(self.entries)} entries at the top beside the spine (at most {MOST_ENTRIES}): {', '.join(self.entries)}",
            *(f"  {name} has no layer in myograph.testing.imports.LAYERS" for name in self.unknown),
        ]


def check_imports(folder: Path | None = None) -> Imports:
    """Check every module of the package.

    Parameters
    ----------
    folder : the package's folder; by default that of the installed package.

    >>> check_imports().circles
    []
    """
    folder = Path(__file__).parents[1] if folder is None else folder
    names = _names(folder)
    edges = _edges(names)
    entries = sorted(
        p.name if p.is_dir() else p.stem
        for p in folder.iterdir()
        if (p.is_dir() and (p / "__init__.py").exists()) or p.suffix == ".py"
    )
    upward = [
        (importer, imported)
        for importer, targets in sorted(edges.items())
        for imported in sorted(targets)
        if _layer(importer) < _layer(imported)
    ]
    return Imports(
        circles=_circles(edges),
        upward=upward,
        private=_private(names),
        unknown=[name for name in entries if name not in (*LAYERS, "__init__")],
        entries=[name for name in entries if name not in SPINE],
    )


def imports_of(folder: Path) -> dict[str, set[str]]:
    """Return each module below `folder` and the modules of the same package that it imports, at its top or in
    functions.

    Imports for type checkers alone (`if TYPE_CHECKING:`) do not run and are not counted. A package's `__init__`, which
    Python imports before the package's modules, is not counted either.

    >>> import myograph
    >>> "myograph.windows" in imports_of(Path(myograph.__file__).parent)["myograph.protocols"]
    True
    """
    return _edges(_names(folder))


def _edges(names: dict[str, list[str]]) -> dict[str, set[str]]:
    return {
        importer: {target for given in found if (target := _module(given, names)) is not None and target != importer}
        for importer, found in names.items()
    }


def _private(names: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Return (importing module, imported name) for imports of what is private to another folder or module.

    A name that starts with `_` is private. A private module belongs to the folder that it lies in, with the folders
    below it; any other private name belongs to its module. The modules of `_common` are for all folders.

    >>> _private({"myograph.training.loop": ["myograph.training._memory"], "myograph.live.log": ["myograph.training._memory"]})
    [('myograph.live.log', 'myograph.training._memory')]
    """
    return sorted(
        {
            (importer, given)
            for importer, found in names.items()
            for given in found
            if any(not f"{importer}.".startswith(f"{owner}.") for owner in _owners(given))
        }
    )


def _owners(given: str) -> Iterator[str]:
    """Yield the folder or module of each private part of a dotted name of the package."""
    parts = given.split(".")
    if parts[0] == PACKAGE:
        for i, part in enumerate(parts):
            if part.startswith("_") and not part.startswith("__") and (i, part) != (1, SHARED):
                yield ".".join(parts[:i])


def _names(folder: Path) -> dict[str, list[str]]:
    """Return each module below `folder` and the dotted names that it imports, of any package."""
    found = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        package = ".".join([PACKAGE, *parts[:-1]])
        name = package if parts[-1] == "__init__" else f"{package}.{parts[-1]}"
        found[name] = list(_imported(ast.parse(path.read_text(encoding="utf-8")), package))
    return found


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted names that are imported in a part of a module of `package`; relative imports are resolved."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: 1 - node.level or None] if node.level else []
        yield from (".".join([*above, *([node.module] if node.module else []), alias.name]) for alias in node.names)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):  # expressions hold no imports
            yield from _imported(child, package)


def _module(given: str, names: Container[str]) -> str | None:
    """Return the module that holds what an import names: itself, or the package before its last part."""
    return given if given in names else parent if (parent := given.rpartition(".")[0]) in names else None


def _layer(module: str) -> int:
    part = module.split(".")[1] if "." in module else ""
    return LAYERS.index(part) if part in LAYERS else len(LAYERS)


def _circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected groups of more than one module (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(edges[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(edges):
        if name not in index:
            visit(name)
    return found
