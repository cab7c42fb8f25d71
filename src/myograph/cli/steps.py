"""Shared by the commands for single steps of a published system: options, and the error for a missing earlier step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from myograph.evaluation.reproduction import Context

Dataset = Annotated[str | None, typer.Option(help="Data set to run on instead; see `myograph datasets list`.")]
Full = Annotated[bool, typer.Option("--full/--quick", help="Run at the published size, or small (the default).")]


def say_first(context: Context, what: str, *command: str) -> NoReturn:
    """Raise ResultsError because the run's folder lacks the results of an earlier step.

    Parameters
    ----------
    context : of the run.
    what : the results that are missing.
    command : the `myograph` command that computes them; the options that identify the run are added.
    """
    from myograph.errors import ResultsError

    words = ["myograph", *command]
    words += [f"--dataset {context.dataset}"] if context.dataset else []
    words += [] if context.quick else ["--full"]
    words.append(f"--out {context.folder}")
    raise ResultsError(f"{context.folder} does not hold {what}; run this first: {' '.join(words)}")
