"""The page of a comparison: its table, and a chart with one line per person across the runs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup

from myograph._common.files import write_bytes
from myograph.evaluation.comparison import RunComparison
from myograph.evaluation.metrics import TITLES
from myograph.evaluation.report import charts


def write_comparison(found: RunComparison, path: str | Path) -> Path:
    """Write the page of a comparison.

    Raises
    ------
    ResultsError : the file cannot be written.
    """
    folder = files("myograph.evaluation.report")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(folder.joinpath("comparison.html.j2").read_text(encoding="utf-8"))
    style = folder.joinpath("report.html.j2").read_text(encoding="utf-8")
    page = template.render(
        found=found,
        title=TITLES[found.metric],
        rows=found.table.to_dict("records"),
        chart=Markup(charts.paired(found.values)),
        style=Markup(style[style.index("<style>") : style.index("</style>") + 8]),
    )
    write_bytes(Path(path), page.encode())
    return Path(path)
