"""The report of a live session: one self-contained HTML page, made from the session's log."""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from myograph._common.files import write_text
from myograph.errors import DataError
from myograph.evaluation.report import charts
from myograph.evaluation.report import decision_charts as drawn
from myograph.live.fitts import Trial, fitts_summary
from myograph.live.log import LoggedSession


def write_live_report(session: LoggedSession, path: str | Path, rest: str = "rest") -> Path:
    """Write the page of a live session.

    Raises
    ------
    ResultsError : the page cannot be written. DataError : a trial in the log is damaged.
    """
    write_text(path, render_live(session, rest))
    return Path(path)


def render_live(session: LoggedSession, rest: str = "rest") -> str:
    """Return the page as text, without external links, scripts or styles."""
    folder = files("myograph.evaluation.report")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(folder.joinpath("live.html.j2").read_text(encoding="utf-8"))
    shared = folder.joinpath("report.html.j2").read_text(encoding="utf-8")
    decided, truth, made = session.decisions.output(rest), session.truth, session.decisions
    known = truth != ""
    summary = session.summary(rest)
    marks = {f"p{q}": summary["latency"][f"p{q}_ms"] for q in (50, 99) if summary["latency"][f"p{q}_ms"] > 0}
    counts, names = drawn.counts_matrix(truth[known], decided[known])
    trials = fitts_trials(session)
    fitts, fitts_rows = fitts_summary(trials), [t.metrics() for t in trials]
    return template.render(
        start=session.start,
        when=time.strftime("%Y-%m-%d %H:%M", time.localtime(float(session.start["at"]))),
        summary=summary,
        tiles=drawn.decision_tiles(summary["metrics"]) if "metrics" in summary else [],
        timeline=Markup(drawn.timeline(truth.tolist(), decided.tolist(), made.time_s.tolist(), session.step_s, rest)),
        latency=Markup(drawn.histogram(made.latency_ms.tolist(), "ms", marks)),
        classes=drawn.class_rows(truth[known], decided[known]),
        confusion=Markup(charts.matrix(counts, names) if known.any() else ""),
        gaps=[event for event in session.events if event["kind"] == "gap"],
        trials=trials,
        fitts=fitts,
        fitts_rows=fitts_rows,
        fitts_chart=Markup(drawn.movement_times(fitts_rows, fitts["regression"])),
        style=Markup(_between(shared, "<style>", "</style>")),
        script=Markup(_between(shared, "<script>", "</script>")),
    )


def fitts_trials(session: LoggedSession) -> list[Trial]:
    """Return the trials of Fitts' law tests in a log.

    Raises
    ------
    DataError : a trial is damaged.
    """
    found = [event for event in session.events if event["kind"] == "fitts"]
    try:
        return [Trial.from_dict(event["trial"]) for event in found]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a trial of the log is damaged: {error}") from error


def _between(text: str, start: str, stop: str) -> Any:
    return text[text.index(start) : text.index(stop) + len(stop)]
