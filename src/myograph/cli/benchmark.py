"""`myograph benchmark`, `results` and `runs`: suites of runs, and the store that keeps their results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from myograph.cli.terminal import Json, command_line, err, out, print_json, print_path, print_rows, progress_bar
from myograph.errors import ConfigError

if TYPE_CHECKING:
    from myograph.evaluation.benchmark import Summary
    from myograph.evaluation.suite import Suite

STORE = Path("results")
StoreFolder = Annotated[Path, typer.Option("--out", help="Folder of the results store.")]


def benchmark(
    suite: Annotated[str, typer.Argument(help="A TOML file, or the name of a built-in suite; see docs/suites.md.")],
    jobs: Annotated[int, typer.Option(help="Cells to run at the same time; -1 uses every processor core.")] = 1,
    cluster: Annotated[
        str, typer.Option(help="local, slurm, or the address of a Dask scheduler, such as tcp://host:8786.")
    ] = "local",
    modules: Annotated[
        list[Path] | None,
        typer.Option("--module", help="Your own Python file that registers methods; its code is run."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells without running them.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also run the cells that failed before.")
    ] = False,
    folder: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Run a suite (methods, data sets and protocols), and write a page that compares the results.

    A cell is one combination of method, data set and protocol. Finished cells are kept in the store: if the command
    is interrupted, repeat it, and only the remaining cells are computed. A cell that fails is recorded with its
    traceback, and the other cells are still run.
    """
    from myograph.evaluation.benchmark import benchmark as run_suite
    from myograph.evaluation.engines import make_engine
    from myograph.evaluation.store import Store
    from myograph.evaluation.suite import SUITES, load_modules, read_suite

    load_modules(modules or [])
    chosen: Suite = SUITES.create(suite) if suite in SUITES else read_suite(suite)
    if dry_run:
        _show_plan(chosen, cluster, as_json)
        return
    engine = make_engine(cluster, jobs, chosen.cluster)
    try:
        with progress_bar() as say:
            found = run_suite(
                chosen, folder, engine, modules or [], say, retry_failed=retry_failed, command=command_line()
            )
    finally:
        engine.close()
    report = _write_page(Store(folder), found, chosen, folder)
    if as_json:
        print_json({"suite": chosen.name, "store": str(folder), **found.as_dict(), "report": str(report or "")})
    else:
        _show(chosen, found)
        print_path("store", folder)
        if report:
            print_path("report", report)
    if found.failed:
        raise typer.Exit(1)


def results(
    query: Annotated[
        str | None,
        typer.Argument(help="SQL over the tables results and runs, or a condition such as 'accuracy > 0.9'."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the rows to this file.")] = None,
    folder: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Show the scores in a store, with one row per run and person, or the result of a query."""
    from myograph._common.files import write_bytes

    store = _existing(folder)
    rows = store.results() if query is None else store.query(query)
    if csv is not None:
        write_bytes(csv, rows.to_csv(index=False).encode())
        if not as_json:
            print_path("rows", csv)
            return
    if query is None and not as_json:
        rows = rows[["dataset", "method", "protocol", "seed", "leaky", "person", "windows", "accuracy"]]
    print_rows(_plain(rows), as_json)


def runs(
    folder: StoreFolder = STORE,
    others: Annotated[
        list[Path] | None, typer.Option("--import", help="Import every run of this other store first.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the finished and failed runs in a store."""
    from myograph.evaluation.store import Store, merged

    if others:
        for other, n in merged(Store(folder), [_existing(o).folder for o in others]).items():
            err.print(f"imported {n} runs from {escape(other)}", highlight=False)
    store = _existing(folder)
    done = _plain(store.runs())
    failures = store.failures()
    if as_json:
        print_json({"runs": done, "failures": failures})
        return
    names = ("recipe", "protocol", "question", "seed", "leaky", "people", "accuracy", "wall_s")
    print_rows([{"cell": row["cell"][:10], **{k: row[k] for k in names}} for row in done])
    for failure in failures:
        what = f"{failure['identity'][:10]} {failure['state']}: {failure['message']}"
        out.print(f"[yellow]note[/yellow]: {escape(what)}", highlight=False)


def _existing(folder: Path) -> Any:
    from myograph.evaluation.store import Store

    if not folder.is_dir():
        raise ConfigError(f"there is no store in {folder}; `myograph benchmark` creates one, --out selects another")
    return Store(folder)


def _plain(rows: Any) -> list[dict[str, Any]]:
    from myograph._common.files import plain

    return [
        plain({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
        for row in rows.to_dict("records")
    ]


def _show_plan(suite: Suite, cluster: str, as_json: bool) -> None:
    from myograph.evaluation.engines import slurm_cluster
    from myograph.evaluation.store import in_short

    rows = []
    for recipe in suite.cells():
        settings = recipe.as_dict()
        rows.append(
            {
                "recipe": recipe.name,
                "subjects": "all" if recipe.subjects is None else ", ".join(recipe.subjects),
                "protocol": in_short(settings["protocol"]),
                "seed": recipe.seed,
            }
        )
    script = None
    if cluster == "slurm":
        started = slurm_cluster(suite.cluster)
        script = started.job_script()
        started.close()
    if as_json:
        print_json({"suite": suite.name, "cells": rows, "job_script": script})
        return
    print_rows(rows, title=f"{len(rows)} cells of suite {suite.name}")
    if script:
        out.print(script, markup=False, highlight=False, soft_wrap=True)


def _show(suite: Suite, found: Summary) -> None:
    out.print(
        f"suite [bold]{escape(suite.name)}[/bold]: {len(found.done)} cells computed, {len(found.found)} found, "
        f"{len(found.failed)} failed, {len(found.not_applicable)} do not apply",
        highlight=False,
    )
    for what, messages in (("failed", found.failed), ("does not apply", found.not_applicable)):
        for message in by_reason(messages.values()):
            out.print(f"[yellow]{what}[/yellow]: {escape(message)}", highlight=False)


def by_reason(messages: Iterable[str]) -> list[str]:
    """Return one line per reason, from messages "recipe: reason", with the first three recipes that it is given for.

    >>> by_reason(["a-lda: no labels", "b-lda: one person", "a-svm: no labels"])
    ['2 cells: no labels (a-lda, a-svm)', 'b-lda: one person']
    """
    recipes: dict[str, list[str]] = {}
    for message in messages:
        recipe, _, reason = message.partition(": ")
        recipes.setdefault(reason, []).append(recipe)
    lines = []
    for reason, names in recipes.items():
        different = list(dict.fromkeys(names))
        more = f", and {len(different) - 3} more recipes" if len(different) > 3 else ""
        where = ", ".join(different[:3]) + more
        lines.append(f"{names[0]}: {reason}" if len(names) == 1 else f"{len(names)} cells: {reason} ({where})")
    return lines


def _write_page(store: Any, found: Summary, suite: Suite, folder: Path) -> Path | None:
    done = [identity for identity in found.cells if identity in store]
    if not done:
        return None
    from myograph.evaluation.report.suite import write_suite_page

    missing = [*by_reason(found.failed.values()), *by_reason(found.not_applicable.values())]
    return write_suite_page(store, done, suite.name, folder / "reports" / suite.name, missing=missing)
