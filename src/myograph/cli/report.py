"""`myograph report`: print and rewrite the report of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from myograph.cli.terminal import Json, print_json, print_path


def report(
    run_folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a finished run, or log of a live session.")
    ],
    as_json: Json = False,
) -> None:
    """Print the scores of a finished run or a live session, and rewrite its report."""
    from myograph.cli.scores import show_scores
    from myograph.evaluation.report.page import write_report
    from myograph.evaluation.scores import Scores

    if run_folder.is_file():
        _live_report(run_folder, as_json)
        return
    scores = Scores.load(run_folder)
    page = write_report(scores)
    if as_json:
        print_json({**scores.as_dict(), "report": str(page)})
        return
    show_scores(scores)
    print_path("\nreport", page)


def _live_report(log: Path, as_json: bool) -> None:
    from myograph._common.files import plain
    from myograph.cli.live import show_summary
    from myograph.evaluation.report.live import write_live_report
    from myograph.live.log import read_log

    session = read_log(log)
    rest = str(session.start.get("rest", "rest"))
    page = write_live_report(session, log.with_suffix(".html"), rest)
    summary = session.summary(rest)
    if as_json:
        print_json(plain({**summary, "log": str(log), "report": str(page)}))
        return
    show_summary(summary)
    print_path("\nreport", page)
