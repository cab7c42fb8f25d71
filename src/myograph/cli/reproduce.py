"""`myograph reproduce`: run a published system and compare its scores with the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from myograph.cli.terminal import Jobs, Json, out, print_json, print_path, print_rows, progress_bar
from myograph.errors import ResultsError


def reproduce(
    name: Annotated[str | None, typer.Argument(help="Name of a published system; see --list.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Run all published systems, with one report for all.")
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the published systems.")] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full/--quick",
            help="Run at the published size, or small (the default): with simulated people, or a few people of --dataset, and "
            "fewer epochs.",
        ),
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="Data set to run on instead; see `myograph datasets list`.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Limit each training to this many epochs, to test whether a run completes. Its scores mean nothing."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of random seeds; scores are averaged over them.")] = 1,
    jobs: Jobs = -1,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results [default: runs/reproduce-…]")
    ] = None,
    docs: Annotated[
        bool, typer.Option("--docs", help="Write docs/systems/ from the results stored in docs/results/.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a published system. Prints the paper's score, ours, and an honest one if the paper's protocol is leaky."""
    from myograph.evaluation.registry import REPRODUCTIONS

    if docs:
        write_docs()
        return
    if listing or not (name or everything):
        print_rows([{"name": system, "what": what} for system, what in REPRODUCTIONS.summaries().items()], as_json)
        return
    from myograph.evaluation import reproduction as rep
    from myograph.evaluation.report.systems import write_page

    results = []
    for system in list(REPRODUCTIONS) if everything else [str(name)]:
        place = folder / system if folder and everything else folder
        with progress_bar() as progress:
            results.append(rep.reproduce(system, not full, dataset, seeds, place, jobs, progress, epochs))
        if not as_json:
            show_reproduction(results[-1])
    page = results[0]["report"]
    if everything:
        page = (folder or Path("runs")) / "reproductions.html"
        write_page(results, page)
    if as_json:
        print_json(results if everything else results[0])
    else:
        print_path("\nreport", page)


def write_docs() -> None:
    """Write `docs/systems/` below the current folder from the results stored in `docs/results`."""
    from myograph.evaluation import reproduction as rep
    from myograph.evaluation.report import systems

    stored = {path.stem: rep.load_result(path) for path in sorted(Path("docs/results").glob("*.json"))}
    if not stored:
        raise ResultsError(
            f"{Path('docs/results').absolute()} contains no results; run this command in the folder that contains docs/"
        )
    for path in systems.write_docs(stored, Path("docs/claims.json"), Path("docs/systems"), rep.describe_system):
        print_path("wrote", path)


def show_reproduction(result: dict[str, Any]) -> None:
    """Print the rows of a reproduction as a table."""
    from myograph.evaluation.report.systems import counted, is_simulated, shown

    table = Table("setting", "paper", "ours", "honest", "n", title=escape(result["title"]))
    for row in result["rows"]:
        paper = {} if is_simulated(row) else row["published"] or {}
        ours = escape(shown(row["ours"], row["unit"]))
        table.add_row(
            escape(f"{row['section']}: {row['setting']}" if row["section"] else row["setting"]),
            f"{paper['value']}" if paper else "",
            f"[bold red]LEAKY[/bold red] {ours}" if row["leaky"] else ours,
            f"[green]{escape(shown(row['honest_summary'], row['unit']))}[/green]" if row["honest_summary"] else "",
            escape(counted(row)),
        )
    out.print(table)
    out.print("ran on:", "; ".join(dict.fromkeys(row["data"] for row in result["rows"])), highlight=False, markup=False)
