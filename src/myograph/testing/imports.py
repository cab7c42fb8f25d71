"""Check that the package's imports run downwards. They are read from the source, including imports inside functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
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
    "export",
    "cli",
    "testing",
)
MOST_ENTRIES = 12


@dataclass(frozen=True)
class Imports:
    """The rules that the imports of the package break.

    Parameters
    ----------
    circles : groups of modules that import each other.
    upward : (importing module, imported module) if the second lies above the first.
    unknown : entries at the top of the package that have no layer.
    entries : files and folders at the top of the package, besides those of the spine.

    >>> found = check_imports()
    >>> found.ok, found.lines()[0]
    (True, '0 circles')
    """

    circles: list[list[str]]
    upward: list[tuple[str, str]]
    unknown: list[str]
    entries: list[str]

    @property
    def ok(self) -> bool:
        """Whether no rule is broken."""
        return not (self.circles or self.upward or self.unknown) and len(self.entries) <= MOST_ENTRIES

    def lines(self) -> list[str]:
        """Return the findings as text, one count per line, each followed by what it counts."""
        return [
            f"{len(self.circles)} circles",
            *(f"  {' -> '.join(circle)}" for circle in self.circles),
            f"{len(self.upward)} upward imports",
            *(f"  {importer} imports {imported}" for importer, imported in self.upward),
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
    edges = imports_of(folder)
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
    paths = {_name(path, folder): path for path in folder.rglob("*.py")}
    return {
        name: {
            target
            for given in _imported(ast.parse(path.read_text(encoding="utf-8")))
            if (target := _module(given, paths)) is not None and target != name
        }
        for name, path in paths.items()
    }


def _name(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join([PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imported(child)


def _module(given: str, paths: dict[str, Path]) -> str | None:
    """Return the module that holds what an import names: itself, or the package before its last part."""
    return given if given in paths else parent if (parent := given.rpartition(".")[0]) in paths else None


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
