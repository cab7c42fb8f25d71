"""What the commands for single steps of a published system share: options, and the error where a step comes too early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from myograph.evaluation.reproduction import Context

Dataset = Annotated[str | None, typer.Option(help="Run on this data set instead; see `myograph datasets list`.")]
Full = Annotated[bool, typer.Option("--full/--quick", help="At the published size, or small (the default).")]


def say_first(context: Context, what: str, *command: str) -> NoReturn:
    """Raise ResultsError: the folder lacks the outcome of an earlier step, which this command of `myograph` computes.

    Parameters
    ----------
    context : of the run.
    what : the outcome that is missing.
    command : the step and its options; those that say which run it is are added.
    """
    from myograph.errors import ResultsError

    words = ["myograph", *command]
    words += [f"--dataset {context.dataset}"] if context.dataset else []
    words += [] if context.quick else ["--full"]
    words.append(f"--out {context.folder}")
    raise ResultsError(f"{context.folder} does not hold {what}; run this first: {' '.join(words)}")
