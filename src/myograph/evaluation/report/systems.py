"""Pages about the published systems: one HTML page per run, and the documentation's page per system from stored results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from myograph._common.files import write_atomically
from myograph._common.svg import lines
from myograph.errors import ResultsError
from myograph.evaluation.metrics import MIN_FOR_INTERVAL, summarise
from myograph.evaluation.report import charts
from myograph.evaluation.stats import paired

FEWEST_DOTS = 2  # a chart of single values says no more than its table
COUNTED = "no data: counted"
LEAKY = '<strong class="leaky">LEAKY</strong>'  # red on the site, bold elsewhere

INTRODUCTION = """\
Every page is written by `myograph reproduce --docs` from the results that are stored with the project. *Ours* is the mean ±
the standard deviation over people (or what the row says), followed by a bootstrap 95 % interval of the mean where there
are at least six. A score marked <strong class="leaky">LEAKY</strong> shares samples between train and test, or was selected on test data; the honest
score stands beside it. Simulated recordings check the code. They cannot confirm a figure of a paper, so no such figure
stands beside them.

"Paper" is the published figure. Nobody here has the people of the papers: unless a column says otherwise, the paper's
recordings are others than ours. "Holds for" counts for how many people the claim holds on our recordings; p is that of Wilcoxon's
signed-rank test over them, which needs six people to reach 0.05.
"""


def write_page(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Write one HTML page with the tables and figures of one or several reproductions."""
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "shown": shown,
        "counted": counted,
        "finished_on": finished_on,
        "paper": paper_of,
        "figure": lambda figure: Markup(draw(figure)),
        "dots": lambda rows: Markup(dots_of(rows)),
    }
    folder = files("myograph.evaluation.report")
    template = environment.from_string(folder.joinpath("reproduction.html.j2").read_text(encoding="utf-8"))
    style = folder.joinpath("report.html.j2").read_text(encoding="utf-8")
    style = style[style.index("<style>") : style.index("</style>") + 8]
    page = template.render(results=results, style=Markup(style))
    write_atomically(path, lambda to: Path(to).write_text(page, encoding="utf-8"))


def write_docs(results: Mapping[str, dict[str, Any]], claims: Path, folder: Path) -> list[Path]:
    """Write `index.md` and one page per system.

    Parameters
    ----------
    results : stored results by the name of their file, such as "ding2018-3dc".
    claims : JSON file with one object per line of the index; see docs/claims.json.
    folder : where the pages go.

    Returns
    -------
    The files that were written.

    Raises
    ------
    ResultsError : a claim names a result or a row that is not stored.
    """
    pages = {folder / "index.md": index(results, json.loads(claims.read_text(encoding="utf-8")))}
    for name in sorted({result["name"] for result in results.values()}):
        pages[folder / f"{name}.md"] = page_of([r for r in results.values() if r["name"] == name])
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda to, text=text: Path(to).write_text(text, encoding="utf-8"))
    return list(pages)


def index(results: Mapping[str, dict[str, Any]], claims: Sequence[Mapping[str, Any]]) -> str:
    """The front page: what each paper found, and what our recordings say about it."""
    head = ["system", "finding", "paper", "ours", "compared with", "holds for", "recordings"]
    text = ["# Published systems", "", INTRODUCTION, "", _line(head), _line(["---"] * len(head))]
    for claim in claims:
        link = f"[{claim['system']}]({claim['system']}.md)"
        text.append(_line([link, claim["finding"], claim["paper"], *_verdict(results, claim)]))
    return "\n".join(text) + "\n"


def _verdict(results: Mapping[str, dict[str, Any]], claim: Mapping[str, Any]) -> list[str]:
    """Ours, what it is compared with, for how many people the claim holds, and on which recordings."""
    if "result" not in claim:
        return ["not yet", "", "", claim["why"]]
    if claim["result"] not in results:
        raise ResultsError(
            f"the claim of {claim['system']} names the result {claim['result']!r}; stored are {', '.join(results)}"
        )
    result = results[claim["result"]]
    section = claim.get("section", "")
    row = find(result, section, claim["setting"])
    values = np.array(row["values"])
    ours = (LEAKY + " " if row["leaky"] else "") + shown(summarise(values), row["unit"])
    if row["leaky"]:
        other = np.array(row["honest"])
        against = "honest: " + shown(summarise(other), row["unit"])
    elif "against" in claim:
        other = np.array(find(result, section, claim["against"])["values"])
        against = f"{claim['against']}: {shown(summarise(other), row['unit'])}"
    else:
        other, against = np.zeros(len(values)), "no change"
    if row["leaky"]:  # a leaky score supports no claim
        return [ours, against, "", row["data"]]
    people = f"{(values > other).sum()} of {len(values)} {row['over']}"
    if len(values) >= MIN_FOR_INTERVAL:
        people += f", p = {paired(values.tolist(), other.tolist()).p:.2g}"
    return [ours, against, people, row["data"]]


def find(result: Mapping[str, Any], section: str, setting: str) -> dict[str, Any]:
    """The row of a result; raises ResultsError where there is none, or several."""
    rows = [r for r in result["rows"] if r["setting"] == setting and (not section or r["section"] == section)]
    if len(rows) != 1:
        there = "; ".join(f"{r['section']}: {r['setting']}" for r in result["rows"])
        raise ResultsError(f"{len(rows)} rows of {result['name']} are {section!r}, {setting!r}; there are {there}")
    return rows[0]


def page_of(results: Sequence[dict[str, Any]]) -> str:
    """One system: what was published and what differs, real recordings, then the simulated check of the code."""
    first = results[0]
    text = [f"# {first['title']}", "", "\n".join(first["about"].split("\n")[1:]).strip(), ""]
    kinds = [
        ("Real recordings", lambda row: not is_simulated(row) and row["data"] != COUNTED),
        ("Sizes of the networks", lambda row: row["data"] == COUNTED),
        ("Check of the code on simulated recordings", is_simulated),
    ]
    for heading, belongs in kinds:
        simulated = belongs is is_simulated
        chosen = [(r, [row for row in r["rows"] if belongs(row)]) for r in results]
        chosen = [(r, rows) for r, rows in chosen if rows]
        if not chosen:
            continue
        if heading.startswith("Sizes"):  # the same in every run
            text += [f"## {heading}", "", *table(chosen[0][1], False), ""]
            continue
        text += [f"## {heading}", ""]
        if simulated:
            text += ["These rows check that the code runs and learns. They say nothing about the paper's figures.", ""]
        for result, rows in chosen:
            text += _run(result, rows, simulated)
    return "\n".join(text) + "\n"


def _run(result: Mapping[str, Any], rows: Sequence[dict[str, Any]], simulated: bool) -> list[str]:
    on = f" --dataset {result['dataset']}" if result["dataset"] else ""
    text = [
        f"`myograph reproduce {result['name']}{on} --{result['kind']}`, {finished_on(result)}, "
        f"{result['wall_s'] / 60:.1f} minutes, seeds {result['n_seeds']}.",
        "",
    ]
    for section in dict.fromkeys(row["section"] for row in rows):
        inside = [row for row in rows if row["section"] == section]
        text += [f"### {section}", ""] if section else []
        text += [*table(inside, simulated), ""]
        if chart := dots_of(inside):
            text += [f'<div class="figure">{chart}</div>', ""]
    for figure in result["figures"]:
        text += [f"**{figure['title']}**", ""]
        text += [figure["note"], ""] if figure.get("note") else []
        text += [f'<div class="figure">{draw(figure)}</div>', ""]
    return text


def table(rows: Sequence[dict[str, Any]], simulated: bool) -> list[str]:
    """Markdown lines: setting, the paper's figure (not beside simulated recordings), ours, honest, n."""
    papers = not simulated and any(row["published"] for row in rows)
    leaks = any(row["honest"] for row in rows)
    data = list(dict.fromkeys(row["data"] for row in rows))
    paper = "published" if all(row["data"] == COUNTED for row in rows) else "published, other recordings"
    head = ["setting", *([paper] if papers else []), "ours", *(["honest"] if leaks else []), "n"]
    text = [f"Recordings: {data[0]}.", ""] if len(data) == 1 and data[0] not in ("", COUNTED) else []
    head += ["recordings"] if len(data) > 1 else []
    text += [_line(head), _line(["---"] * len(head))]
    for row in rows:
        note = f" ({row['note']})" if row["note"] else ""
        cells = [row["setting"] + note, *([paper_of(row)] if papers else [])]
        leaky = f"{LEAKY} ({row['why_leaky']}) " if row["leaky"] else ""
        cells.append(leaky + shown(summarise(np.array(row["values"])), row["unit"]))
        cells += [shown(summarise(np.array(row["honest"])), row["unit"]) if row["honest"] else ""] if leaks else []
        cells += [counted(row), *([row["data"]] if len(data) > 1 else [])]
        text.append(_line(cells))
    return text


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def is_simulated(row: Mapping[str, Any]) -> bool:
    """Whether a row was measured on simulated recordings."""
    return row["data"].startswith("simulated")


def dots_of(rows: Sequence[dict[str, Any]]) -> str:
    """A chart with one dot per person for the rows in percent; empty where there is nothing to see."""
    rows = [r for r in rows if r["unit"] == "%" and len(r["values"]) >= FEWEST_DOTS]
    if not rows:
        return ""
    names = [("LEAKY " if r["leaky"] else "") + r["setting"] for r in rows]
    return charts.dots(names, [r["values"] for r in rows], [r["honest"] for r in rows], [r["leaky"] for r in rows])


def draw(figure: Mapping[str, Any]) -> str:
    """A stored figure as SVG: a confusion matrix or a line chart."""
    if "matrix" in figure:
        return charts.matrix(np.array(figure["matrix"]), figure["labels"])
    return lines(figure["x"], figure["series"], figure["y"])


def finished_on(result: Mapping[str, Any]) -> str:
    """The day on which a run finished, or that rows are missing."""
    return result["finished"] or "not finished: the rows so far"


def shown(found: Mapping[str, Any], unit: str) -> str:
    """`81.2 ± 3.0 (79.0 to 83.4)`, in percent for fractions.

    >>> shown({"mean": 0.812, "std": 0.03, "low": None, "high": None, "n": 4}, "%")
    '81.2 ± 3.0'
    """
    scale = 100 if unit == "%" else 1
    digits = 1 if unit == "%" else 3
    if found["mean"] is None:
        return "no value"
    text = f"{scale * found['mean']:.{digits}f}"
    if found["n"] > 1:
        text += f" ± {scale * found['std']:.{digits}f}"
    # Results that were stored before intervals needed six people may hold one of fewer.
    if found["n"] >= MIN_FOR_INTERVAL and found["low"] is not None and np.isfinite(found["low"]):
        text += f" ({scale * found['low']:.{digits}f} to {scale * found['high']:.{digits}f})"
    return text + (f" {unit}" if unit not in ("%", "") else "")


def counted(row: Mapping[str, Any]) -> str:
    """`4 folds`, `1 fold`: of how many values a row's figure is the mean."""
    n, over = row["ours"]["n"], row["over"]
    return f"{n} {over.removesuffix('s') if n == 1 else over}"


def paper_of(row: Mapping[str, Any]) -> str:
    """The paper's figure with its source; empty beside simulated recordings, which cannot confirm it."""
    paper = row["published"]
    if not paper or is_simulated(row):
        return ""
    spread = f" ± {paper['std']}" if paper["std"] is not None else ""
    return f"{paper['value']}{spread} ({paper['status']}: {paper['source']})"
