"""`myograph datasets`: list, describe, download and verify data sets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, cast

import typer
from rich.markup import escape

from myograph.cli.terminal import Json, err, out, print_facts, print_json, print_rows, progress_bar

app = typer.Typer(no_args_is_help=True, help="List and download data sets, and verify your files (missing or damaged).")


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List every data set that myograph reads, and whether its files are present."""
    from myograph.datasets.base import DATASETS
    from myograph.datasets.load import is_here

    rows = []
    for name in DATASETS:
        dataset = DATASETS[name]
        here = "built in" if not dataset.needs_files else "yes" if is_here(name) else "no"
        rows.append({"name": name, "here": here, "title": dataset.title, "licence": dataset.licence})
    print_rows(rows, as_json)


@app.command()
def info(name: str, as_json: Json = False) -> None:
    """Show the source, licence, citation, files and options of one data set."""
    from myograph.datasets.base import DATASETS, get
    from myograph.datasets.load import is_here

    # The facts of a TOML description are read from the file, those of a registered data set from its class.
    found = get(name) if name.endswith(".toml") else DATASETS[name]
    options = {f.name: f.default for f in dataclasses.fields(cast(Any, found)) if f.default is not dataclasses.MISSING}
    facts = {
        "name": name,
        "title": found.title,
        "licence": found.licence,
        "citation": found.citation,
        "doi": found.doi,
        "homepage": found.homepage,
        "here": is_here(name),
        "files": [f.name for f in found.files],
        "options": {k: v if isinstance(v, (int, float, str, bool, type(None))) else str(v) for k, v in options.items()},
        "protocol": str(found.protocol),
        "windowing": str(found.windowing),
        "known_defects": list(found.known_defects),
    }
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@app.command()
def fetch(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence without being asked.")] = False,
) -> None:
    """Download a data set, or resume its download. The licence is shown first."""
    from myograph.datasets.load import fetch

    def confirm(licence: str) -> bool:
        err.print(licence, markup=False)
        return yes or typer.confirm("Continue?", err=True)

    with progress_bar() as progress:
        folder = fetch(name, confirm=confirm, progress=progress)
    out.print(f"{name} is in {folder}", soft_wrap=True, markup=False)


@app.command()
def check(
    name: str,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change an option of the data set: path=FOLDER, for example.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a whole data set and report what is missing, damaged or unusual. The exit status is 1 if there are errors."""
    from myograph.datasets.base import get
    from myograph.datasets.load import locate
    from myograph.evaluation.recipe import Recipe
    from myograph.evaluation.settings import change

    chosen = change(Recipe("check", name), [f"dataset.{s.removeprefix('dataset.')}" for s in settings or ()])
    dataset = get(name, **dict(chosen.dataset_options))
    with progress_bar() as progress:
        findings = dataset.check(locate(dataset), progress=progress)
    rows = [dataclasses.asdict(f) for f in findings]
    if as_json:
        print_json({"dataset": name, "findings": rows})
    elif rows:
        print_rows(rows)
    else:
        out.print(f"{escape(name)}: [green]nothing missing, damaged or unusual[/green]")
    if any(row["level"] == "error" for row in rows):
        raise typer.Exit(1)
