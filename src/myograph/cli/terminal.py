"""Shared by all commands: the consoles, the progress bar, common options, and tables of rows."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from myograph._common.progress import Progress

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else.")]
RecipeName = Annotated[str | None, typer.Argument(help="Name of a recipe; see `myograph recipes`.")]
DatasetName = Annotated[
    str | None, typer.Option(help="Name of a data set, see `myograph datasets list`, or the path of a dataset.toml.")
]
Subjects = Annotated[str | None, typer.Option(help="Subjects to use: 1-6, or 1,3,5, or names.")]
MethodName = Annotated[str | None, typer.Option(help="Name of a method; see `myograph methods`.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change any setting: key=value, for example windowing.length_ms=250."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of every random choice.")]
Jobs = Annotated[int, typer.Option(help="Folds to run at the same time; -1 uses every processor core.")]


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a progress bar on stderr with the current step and the remaining time; yield the function that updates it."""
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=err, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total, visible=True)

        yield progress


def print_json(value: Any) -> None:
    """Print the result of a command as one JSON object."""
    print(json.dumps(value, indent=1, default=str))


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool = False, title: str | None = None) -> None:
    """Print dictionaries with the same keys as a table, or as JSON."""
    if as_json:
        print_json(rows)
        return
    table = Table(*(rows[0] if rows else ()), title=title)
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row.values()))
    out.print(table)


def print_curve(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print at most ten rows of a training curve, evenly spread, with the first and the last."""
    n = min(len(rows), 10)
    few = [rows[round(i * (len(rows) - 1) / max(n - 1, 1))] for i in range(n)]
    print_rows([{k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()} for row in few], title=title)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print the properties of one object, one per line."""
    grid = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        grid.add_row(f"[bold]{escape(key)}[/bold]", escape(_cell(value)))
    out.print(grid)


def print_path(what: str, path: Any) -> None:
    """Print the path of a file that was written, always on one line."""
    out.print(f"{escape(what)}  [bold]{escape(str(path))}[/bold]", soft_wrap=True, highlight=False)


def command_line() -> str:
    """Return the command as the user typed it, for the report."""
    return shlex.join(["myograph", *sys.argv[1:]])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float)):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
