"""`myograph run`: evaluate a method on a data set."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from myograph.cli.terminal import (
    DatasetName,
    Jobs,
    Json,
    MethodName,
    RecipeName,
    Seed,
    Settings,
    Subjects,
    command_line,
    out,
    print_json,
    print_path,
    progress_bar,
)
from myograph.errors import ConfigError

if TYPE_CHECKING:
    from myograph._common.progress import Progress
    from myograph.datasets.quality import Finding
    from myograph.evaluation.recipe import Recipe


def run(
    recipe: RecipeName = None,
    dataset: DatasetName = None,
    subjects: Subjects = None,
    method: MethodName = None,
    settings: Settings = None,
    seed: Seed = None,
    protocols: Annotated[
        str | None,
        typer.Option(help="all: run every honest protocol that the data allow, and print the scores side by side."),
    ] = None,
    jobs: Jobs = -1,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run [default: runs/NAME-IDENTITY]")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Afterwards fit the method on all recordings, and save the decoder here.")
    ] = None,
    continuous: Annotated[
        bool | None,
        typer.Option(
            help="Also score the decisions over whole recordings, including rest and transitions; needs one more fit per "
            "fold. Enabled by --save if the recipe allows it."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Evaluate a method on a data set under a protocol; write predictions, scores and a report.

    Without arguments, the simulated data set is used. If a run is interrupted, repeat the command: it resumes after
    the last finished fold.
    """
    chosen = choose(recipe, dataset, subjects, method, settings or (), seed)
    if protocols is not None:
        if continuous:
            raise ConfigError("--continuous needs a single protocol; leave out --protocols or --continuous")
        run_all(chosen, protocols, folder, jobs, as_json)
        return
    from myograph.cli.scores import show_scores
    from myograph.evaluation.report.page import write_report
    from myograph.evaluation.run import evaluate

    every = save is not None and _can_decide_continuously(chosen) if continuous is None else continuous
    with progress_bar() as progress:
        scores = evaluate(chosen, None, folder, "runs", jobs, progress, command_line(), every)
        report = write_report(scores)
        decoder = None
        if save is not None:
            from myograph.evaluation.deploy import fit_decoder

            decoder = fit_decoder(chosen, scores=scores, progress=progress).save(save)
        checked = None if as_json else signal_checks(chosen, progress)
    if as_json:
        print_json(
            {**scores.as_dict(), "report": str(report), **({} if decoder is None else {"decoder": str(decoder)})}
        )
        return
    show_scores(scores)
    print_checks(checked)
    print_path("\nreport", report)
    if decoder is not None:
        print_path("decoder", decoder)


def _can_decide_continuously(recipe: Recipe) -> bool:
    from myograph.evaluation.continuous import check_continuous

    try:
        check_continuous(recipe)
    except ConfigError:
        return False
    return True


def run_all(recipe: Recipe, protocols: str, folder: Path | None, jobs: int, as_json: bool) -> None:
    """Evaluate a recipe under every honest protocol that the data allow; each run has a folder and a report."""
    from myograph.cli.scores import show_side_by_side
    from myograph.evaluation.report.page import write_report
    from myograph.evaluation.run import evaluate_all

    if protocols != "all":
        raise ConfigError(
            f"--protocols must be all, got {protocols!r}; to choose one protocol use --set protocol=LeaveOneSubjectOut"
        )
    with progress_bar() as progress:
        found = evaluate_all(recipe, root=folder or "runs", jobs=jobs, progress=progress, command=command_line())
        reports = {question: str(write_report(scores)) for question, scores in found.scores.items()}
        checked = None if as_json else signal_checks(recipe, progress)
    if as_json:
        print_json({**found.as_dict(), "reports": reports})
        return
    show_side_by_side(found)
    print_checks(checked)
    for question, report in reports.items():
        print_path(f"report, {question}", report)


def signal_checks(recipe: Recipe, progress: Progress) -> tuple[list[Finding], str] | None:
    """Return the findings of the signal checks on a recipe's recordings and the command that shows them, or None if the
    data set has no files."""
    from myograph.datasets.base import get
    from myograph.datasets.checks import check_run
    from myograph.datasets.load import locate
    from myograph.evaluation.run import read

    dataset = get(recipe.dataset, **dict(recipe.dataset_options))
    if not dataset.needs_files:
        return None
    findings = check_run(dataset, locate(dataset), read(recipe, progress), progress)
    name = recipe.dataset if isinstance(recipe.dataset, str) else dataset.name
    options = [w for k, v in recipe.dataset_options.items() for w in ("--set", f"dataset.{k}={v}")]
    return findings, shlex.join(["myograph", "datasets", "check", name, *options])


def print_checks(checked: tuple[list[Finding], str] | None) -> None:
    """Print how many findings the signal checks gave, and how to see them."""
    if checked is None:
        return
    findings, command = checked
    if not findings:
        out.print("signal checks: [green]no findings[/green]", highlight=False)
        return
    counts = ", ".join(
        f"{n} {level}{'s' if n > 1 else ''}"
        for level in ("error", "warning", "note")
        if (n := sum(f.level == level for f in findings))
    )
    out.print(f"signal checks: {counts}; to see them: [bold]{escape(command)}[/bold]", highlight=False, soft_wrap=True)


def choose(
    recipe: str | None,
    dataset: str | None,
    subjects: str | None,
    method: str | None,
    settings: list[str] | tuple[str, ...],
    seed: int | None,
) -> Recipe:
    """Return the recipe that the options of `myograph run` describe."""
    from myograph.evaluation.recipe import DEFAULT_METHOD, RECIPES, baseline
    from myograph.evaluation.settings import change

    chosen: Recipe
    if recipe and dataset and "dataset" in inspect.signature(RECIPES[recipe]).parameters:
        chosen = RECIPES.create(recipe, dataset=dataset)  # this recipe has other settings for other data sets
    else:
        chosen = RECIPES.create(recipe) if recipe else baseline(dataset or "simulated", method or DEFAULT_METHOD)
    if dataset and recipe:
        chosen = dataclasses.replace(chosen, dataset=dataset, name=f"{chosen.name}-{dataset}")
    if method and recipe:
        chosen = dataclasses.replace(chosen, method=method, method_options={}, name=f"{chosen.name}-{method}")
    if subjects:
        chosen = dataclasses.replace(chosen, subjects=tuple(part.strip() for part in subjects.split(",")))
    chosen = change(chosen, settings)
    return chosen if seed is None else dataclasses.replace(chosen, seed=seed)
