"""`myograph report`: show a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from myograph.cli.terminal import Json, print_json, print_path


def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")], as_json: Json = False
) -> None:
    """Show a finished run again, and write its report again."""
    from myograph.cli.scores import show_scores
    from myograph.evaluation.report.page import write_report
    from myograph.evaluation.scores import Scores

    scores = Scores.load(run_folder)
    page = write_report(scores)
    if as_json:
        print_json({**scores.as_dict(), "report": str(page)})
        return
    show_scores(scores)
    print_path("\nreport", page)
