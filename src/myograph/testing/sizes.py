"""Find Python files and functions that are too long."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LONGEST_FILE = 500
LONGEST_FUNCTION = 70
# Compiled kernels: numba cannot split a loop over functions at no cost.
KERNELS = ("features/_fast", "models/_cpu")


@dataclass(frozen=True)
class Sizes:
    """What exceeds the limits.

    Parameters
    ----------
    files : (path, number of lines).
    functions : (path, name, number of lines), the docstring included.

    >>> found = Sizes(files=[("long.py", 600)], functions=[])
    >>> found.ok, found.lines()
    (False, ['1 files over 500 lines', '  long.py: 600', '0 functions over 70 lines'])
    """

    files: list[tuple[str, int]]
    functions: list[tuple[str, str, int]]

    @property
    def ok(self) -> bool:
        """Whether nothing exceeds a limit."""
        return not (self.files or self.functions)

    def lines(self) -> list[str]:
        """Return the findings as text: one count per kind, each followed by what it counts."""
        return [
            f"{len(self.files)} files over {LONGEST_FILE} lines",
            *(f"  {path}: {n}" for path, n in self.files),
            f"{len(self.functions)} functions over {LONGEST_FUNCTION} lines",
            *(f"  {path}: {name}, {n}" for path, name, n in self.functions),
        ]


def check_sizes(*folders: Path, exempt: Sequence[str] = KERNELS) -> Sizes:
    """Measure every Python file below the folders.

    Parameters
    ----------
    folders : by default that of the installed package.
    exempt : parts of paths that are left out.

    >>> from pathlib import Path
    >>> from myograph.testing.sizes import check_sizes
    >>> _ = Path("long.py").write_text("def f():\\n" + "    pass\\n" * 80)
    >>> check_sizes(Path("."))
    Sizes(files=[], functions=[('long.py', 'f', 81)])
    """
    files, functions = [], []
    for folder in folders or (Path(__file__).parents[1],):
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder).as_posix()
            if any(f"{part}/" in path.as_posix() for part in exempt):
                continue
            text = path.read_text(encoding="utf-8")
            if (n := len(text.splitlines())) > LONGEST_FILE:
                files.append((name, n))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    n = (node.end_lineno or node.lineno) - node.lineno + 1
                    if n > LONGEST_FUNCTION:
                        functions.append((name, node.name, n))
    return Sizes(files, functions)
