"""`myograph curve`: accuracy over the number of labelled repetitions of a new person or session."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from myograph.cli.run import choose
from myograph.cli.terminal import (
    DatasetName,
    Jobs,
    Json,
    MethodName,
    RecipeName,
    Seed,
    Settings,
    Subjects,
    out,
    print_json,
    print_path,
    progress_bar,
)


def curve(
    recipe: RecipeName = None,
    dataset: DatasetName = None,
    subjects: Subjects = None,
    method: MethodName = None,
    settings: Settings = None,
    seed: Seed = None,
    repetitions: Annotated[
        str | None,
        typer.Option(
            help="Numbers of labelled repetitions, separated by commas [default: those of 0,1,2,4 that leave everybody a "
            "repetition to test]"
        ),
    ] = None,
    transfers: Annotated[
        str | None, typer.Option(help="pool, weight, adapt or target only [default: all that the method allows]")
    ] = None,
    jobs: Jobs = -1,
    figure: Annotated[Path, typer.Option("--out", help="File of the figure, an SVG.")] = Path("curve.svg"),
    as_json: Json = False,
) -> None:
    """Draw the learning curve of calibration: how accuracy grows with labelled repetitions of a new person or session.

    The protocol is LeaveOneSubjectOut unless the recipe or a setting selects CrossSession. All scores are computed on
    the same test windows.
    """
    from rich.table import Table

    from myograph.errors import ConfigError
    from myograph.evaluation.curve import USUAL, learning_curve
    from myograph.protocols import CrossSession, LeaveOneSubjectOut

    try:
        numbers = None if repetitions is None else tuple(int(part) for part in repetitions.split(","))
    except ValueError:
        raise ConfigError(f"--repetitions must be whole numbers separated by commas, got {repetitions!r}") from None
    chosen = choose(recipe, dataset, subjects, method, (), seed)
    if not isinstance(chosen.protocol, (LeaveOneSubjectOut, CrossSession)):
        chosen = dataclasses.replace(chosen, protocol=LeaveOneSubjectOut())
    from myograph.evaluation.settings import change

    chosen = change(chosen, settings or ())
    wanted = None if transfers is None else tuple(part.strip() for part in transfers.split(","))
    with progress_bar() as progress:
        found = learning_curve(chosen, numbers, wanted, root="runs", jobs=jobs, progress=progress)
    found.save_svg(figure)
    if as_json:
        print_json({**found.as_dict(), "figure": str(figure)})
        return
    out.print(f"{found.recipe}, {type(chosen.protocol).__name__}: mean accuracy over people", highlight=False)
    means = found.means
    table = Table("repetitions", *map(str, means.columns))
    for n, row in zip(means.index, means.to_numpy()):
        table.add_row(str(n), *("" if v != v else f"{v:.3f}" for v in row))
    out.print(table)
    if numbers is None and (more := [n for n in USUAL if n not in means.index]):
        listed = ", ".join(map(str, more))
        out.print(f"Not {listed}: somebody would have no repetition left to test.", highlight=False)
    print_path("figure", figure)
