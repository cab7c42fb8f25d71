"""`myograph compare`: finished runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from myograph.cli.terminal import Json, out, print_json, print_path

if TYPE_CHECKING:
    from myograph.evaluation.comparison import RunComparison


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of two or more finished runs.")],
    reference: Annotated[
        str | None, typer.Option(help="Method that the others are compared with [default: that of the first run]")
    ] = None,
    metric: Annotated[str, typer.Option(help="accuracy, balanced_accuracy, macro_f1 …")] = "accuracy",
    latex: Annotated[Path | None, typer.Option(help="Write the table for a paper to this .tex file.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write one row per person and one column per run here.")] = None,
    page: Annotated[Path, typer.Option("--out", help="File of the HTML page.")] = Path("comparison.html"),
    as_json: Json = False,
) -> None:
    """Compare finished runs of the same data, windows and protocol: paired statistics over people.

    Runs that differ in any of these are refused. With fewer than six people there is no ranking and no interval.
    """
    from myograph._common.files import write_bytes
    from myograph.evaluation.comparison import compare_runs, name_runs
    from myograph.evaluation.report.compared import write_comparison
    from myograph.evaluation.scores import Scores

    found = compare_runs(name_runs([Scores.load(folder) for folder in runs]), reference, metric)
    if latex:
        write_bytes(latex, found.to_latex().encode())
    if csv:
        write_bytes(csv, found.values.to_csv(index_label=found.over).encode())
    write_comparison(found, page)
    if as_json:
        print_json({**found.as_dict(), "report": str(page)})
        return
    show_comparison(found)
    print_path("\nreport", page)


def show_comparison(found: RunComparison) -> None:
    """Print the comparison as a table, with its notes."""
    from myograph.evaluation.metrics import TITLES

    out.print(escape(f"{found.dataset}, {found.protocol}, n = {len(found.values)} {found.over}s"), highlight=False)
    out.print(escape(f"question: {found.question}"), highlight=False)
    columns = ["95 % interval"] if found.ranked else []
    if found.tests:
        columns += [f"difference from {escape(found.reference)}", "effect", "p (Holm)"]
    table = Table("run", TITLES[found.metric], *columns)
    for row in found.table.to_dict("records"):
        cells = [escape(str(row["run"])), f"{row['mean']:.3f}" + (f" ± {row['std']:.3f}" if row["n"] > 1 else "")]
        if found.ranked:
            cells.append(f"{row['low']:.3f} to {row['high']:.3f}")
        if row["run"] in found.tests:
            cells += [f"{row['difference']:+.3f}", f"{row['effect']:+.2f}", f"{row['p_holm']:.3g}"]
        table.add_row(*cells)
    out.print(table)
    for note in found.notes:
        out.print(f"[yellow]note[/yellow]: {escape(note)}", highlight=False)
