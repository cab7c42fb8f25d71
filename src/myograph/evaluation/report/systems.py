"""Pages about the published systems: one HTML page per run, and the documentation's page per system from stored results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from myograph._common.files import write_atomically
from myograph._common.svg import lines
from myograph.errors import ResultsError
from myograph.evaluation.metrics import MIN_FOR_INTERVAL, summarise
from myograph.evaluation.report import charts
from myograph.evaluation.stats import holm, paired

FEWEST_DOTS = 2  # a chart of single values says no more than its table
COUNTED = "no data: counted"
SIGNIFICANT = 0.05
CUT = "Every training was cut short by --epochs. This shows that the run reaches its end; its scores mean nothing."
MATRICES = (
    "Confusion matrices of the test windows of all people: one row per true class, one column per predicted class, each cell in "
    "percent of its row."
)
LEAKY = '<strong class="leaky">LEAKY</strong>'  # red on the site, bold elsewhere

FRONT = """\
---
hide: [navigation, toc]
---
"""  # the table needs the width
INTRODUCTION = """\
What each paper found, and whether our recordings confirm it.
"""
EXPLANATION = """\
*Paper* is the published figure. Our recordings are of other people than those of the papers. *Ours* is the mean ± the
standard deviation over people, of the setting of the finding and of the setting it is compared with. *Honest* is
"as ours" if train and test share nothing. A score marked <strong class="leaky">LEAKY</strong> shares samples between train
and test, or was selected on test data; its honest counterpart is shown next to it, and it supports no finding. *Verdict* counts
for how many people the finding holds. p is from Wilcoxon's signed-rank test over people, corrected for the number of tests
in this table (Holm). With fewer than six people p cannot reach 0.05, so these findings are not tested.

`myograph reproduce --docs` writes these pages from the results that are stored with the project. Each page has the table of
what differs from the paper, the command, seeds and duration of every run, and an interval (bootstrap, 95 %) for six or more
people. Simulated recordings check the code. They cannot confirm a figure of a paper, so no such figure is shown next to them.
"""


def write_page(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Write one HTML page with the tables and figures of one or several reproductions.

    Raises
    ------
    ResultsError : the page cannot be written.
    """
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "shown": shown,
        "counted": counted,
        "finished_on": finished_on,
        "command": command_of,
        "paper": paper_of,
        "figure": lambda figure: Markup(draw(figure)),
        "dots": lambda rows: Markup(dots_of(rows)),
        "bars": lambda rows: Markup(bars_of(rows)),
    }
    folder = files("myograph.evaluation.report")
    template = environment.from_string(folder.joinpath("reproduction.html.j2").read_text(encoding="utf-8"))
    style = folder.joinpath("report.html.j2").read_text(encoding="utf-8")
    style = style[style.index("<style>") : style.index("</style>") + 8]
    page = template.render(results=results, cut=CUT, style=Markup(style))
    write_atomically(path, lambda to: Path(to).write_text(page, encoding="utf-8"))


def write_docs(
    results: Mapping[str, dict[str, Any]],
    claims: Path,
    folder: Path,
    describe: Callable[[str], Mapping[str, Any]] = lambda name: {},
) -> list[Path]:
    """Write `index.md` and one page per system.

    Parameters
    ----------
    results : stored results by the name of their file, such as "ding2018-3dc".
    claims : JSON file with one object per line of the index; see docs/claims.json.
    folder : where the pages go.
    describe : a system's name to its title, text and differences, which replace the stored ones.

    Returns
    -------
    The files that were written.

    Raises
    ------
    ResultsError : a claim names a result or a row that is not stored.
    """
    stated = json.loads(claims.read_text(encoding="utf-8"))
    pages = {folder / "index.md": index(results, stated)}
    for name in sorted({result["name"] for result in results.values()}):
        own = {key: {**result, **describe(name)} for key, result in results.items() if result["name"] == name}
        pages[folder / f"{name}.md"] = page_of(list(own.values()), pairs(own, stated))
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda to, text=text: Path(to).write_text(text, encoding="utf-8"))
    return list(pages)


def index(results: Mapping[str, dict[str, Any]], claims: Sequence[Mapping[str, Any]]) -> str:
    """Return the front page as Markdown: what each paper found, and what our recordings say about it.

    Parameters
    ----------
    results : stored results by name.
    claims : the lines of the table. Each has `system`, `finding`, `paper`, and either `why` (there is no result) or
        `result` and `setting`, the row that holds our figure. `section` tells rows of one setting apart. The row is
        compared with the row `against`, with the number `at_least`, or, as a change, with 0. `remark` is printed last.

    Raises
    ------
    ResultsError : a claim names a result or a row that is not stored.

    >>> index({}, [{"system": "a", "finding": "b", "paper": "90 %", "why": "no recordings"}]).count("no recordings")
    1
    """
    head = ["system", "finding", "paper", "ours, real data", "honest", "n", "verdict"]
    text = [FRONT, "# Published systems", "", INTRODUCTION, '<div class="front"></div>', ""]
    text += [_line(head), _line(["---"] * len(head))]
    tested = [_Tested.of(results, claim) if "result" in claim else None for claim in claims]
    raw = [t.p for t in tested if t and t.p is not None]
    corrected = iter(holm(raw).tolist() if raw else [])
    for claim, found in zip(claims, tested):
        link = f"[{claim['system']}]({claim['system']}.md)"
        if found is None:
            cells = ["none", "", "", claim["why"]]
        else:
            cells = found.cells(next(corrected) if found.p is not None else None)
            cells[-1] += f"; {claim['remark']}" if "remark" in claim else ""
        text.append(_line([link, claim["finding"], claim["paper"], *cells]))
    return "\n".join([*text, "", EXPLANATION])


@dataclass(frozen=True)
class _Tested:
    """A claim on stored values: the row it names, and the values that the row's are compared with.

    is_change : the row holds changes, which are compared with 0.
    p : of Wilcoxon's test, before Holm's correction; None for a leaky row, for fewer than six values, and for values that
        are not people's.
    """

    row: Mapping[str, Any]
    other: np.ndarray
    against: str
    is_change: bool
    p: float | None

    @classmethod
    def of(cls, results: Mapping[str, dict[str, Any]], claim: Mapping[str, Any]) -> _Tested:
        if claim["result"] not in results:
            raise ResultsError(
                f"the claim of {claim['system']} names the result {claim['result']!r}; stored are {', '.join(results)}"
            )
        result, section = results[claim["result"]], claim.get("section", "")
        row = find(result, section, claim["setting"])
        n = len(row["values"])
        other, against = np.zeros(n), ""
        if "against" in claim:
            other = np.array(find(result, section, claim["against"])["values"])
            against = f" against {shown(_short(other), row['unit'])}"
        elif "at_least" in claim:
            other = np.full(n, float(claim["at_least"]))
        testable = not row["leaky"] and n >= MIN_FOR_INTERVAL and row["over"] == "subjects"
        is_change = not row["leaky"] and "against" not in claim and "at_least" not in claim
        return cls(row, other, against, is_change, paired(row["values"], other.tolist()).p if testable else None)

    def cells(self, p: float | None) -> list[str]:
        """Ours, honest, n and the verdict; p is corrected."""
        row = self.row
        ours = shown(_short(np.array(row["values"])), row["unit"]) + self.against
        if self.is_change:
            ours = f"{'+' if np.mean(row['values']) > 0 else ''}{ours} points"
        n = counted(row).replace("subjects", "people").replace("subject", "person")
        n += f", {row['data'].split(' (')[0]}"
        if row["leaky"]:  # a leaky score supports no finding
            honest = shown(_short(np.array(row["honest"])), row["unit"])
            return [f"{LEAKY} {ours}", honest, n, "the score is the split's; the honest one counts"]
        difference = np.array(row["values"]) - self.other
        count = f"{(difference > 0).sum()} of {len(difference)}"
        if p is None:
            why = "too few to test" if row["over"] == "subjects" else "one person"
            return [ours, "as ours", n, f"{count}; {why}"]
        word = "not shown"
        if p < SIGNIFICANT:
            word = "holds" if difference.mean() > 0 else "the opposite"
        return [ours, "as ours", n, f"{word}: {count}, p = {p:.2g}"]


def _short(values: np.ndarray) -> dict[str, Any]:
    """A summary without an interval, for a table that fits a screen."""
    return summarise(values) | {"low": None, "high": None}


def pairs(results: Mapping[str, dict[str, Any]], claims: Sequence[Mapping[str, Any]]) -> dict[str, list[list[str]]]:
    """Return the settings that a page compares person by person, by section, as the claims name them.

    >>> row = {"section": "DB1", "setting": "RF"}
    >>> claim = {"result": "kept", "setting": "RF", "against": "CNN"}
    >>> pairs({"kept": {"name": "a", "rows": [row]}}, [claim])
    {'DB1': [['CNN', 'RF']]}
    """
    found: dict[str, list[list[str]]] = {}
    for claim in claims:
        if claim.get("result") in results and "against" in claim:
            row = find(results[claim["result"]], claim.get("section", ""), claim["setting"])
            found.setdefault(row["section"], []).append([claim["against"], claim["setting"]])
    return found


def find(result: Mapping[str, Any], section: str, setting: str) -> dict[str, Any]:
    """Return the row of a result with this section ("" for any) and setting.

    Raises
    ------
    ResultsError : there is none, or there are several.

    >>> find({"name": "a", "rows": [{"section": "", "setting": "CNN"}]}, "", "CNN")["setting"]
    'CNN'
    """
    rows = [r for r in result["rows"] if r["setting"] == setting and (not section or r["section"] == section)]
    if len(rows) != 1:
        there = "; ".join(f"{r['section']}: {r['setting']}" for r in result["rows"])
        raise ResultsError(f"{len(rows)} rows of {result['name']} are {section!r}, {setting!r}; there are {there}")
    return rows[0]


def page_of(results: Sequence[dict[str, Any]], compared: Mapping[str, list[list[str]]] | None = None) -> str:
    """Return the page of a system as Markdown.

    It says what was published and what differs, then has the rows of real recordings and the simulated check of the code.

    Parameters
    ----------
    results : the stored results of one system; those with most people come first.
    compared : section to settings that are drawn with one line per person, see `pairs`.
    """
    first = results[0]
    text = [f"# {first['title']}", "", "\n".join(first["about"].split("\n")[1:]).strip(), ""]
    if first.get("differences"):
        text += ["## What differs from the paper, and why", "", '<div class="differences"></div>', ""]
        text += [*differences(first["differences"]), ""]
    kinds = [
        ("Real recordings", lambda row: not is_simulated(row) and row["data"] != COUNTED),
        ("Sizes of the networks", lambda row: row["data"] == COUNTED),
        ("Check of the code on simulated recordings", is_simulated),
    ]
    for heading, belongs in kinds:
        simulated = belongs is is_simulated
        chosen = [(r, [row for row in r["rows"] if belongs(row)]) for r in results]
        chosen = sorted(((r, rows) for r, rows in chosen if rows), key=lambda found: -_people(found[1]))
        if not chosen:
            continue
        if heading.startswith("Sizes"):  # the same in every run
            text += [f"## {heading}", "", *table(chosen[0][1], False), ""]
            continue
        text += [f"## {heading}", ""]
        if simulated:
            text += ["These rows check that the code runs and learns. They say nothing about the paper's figures.", ""]
        for result, rows in chosen:
            text += _run(result, rows, simulated, compared or {})
    return "\n".join(text) + "\n"


def _people(rows: Sequence[dict[str, Any]]) -> int:
    """The number of people of a run; 0 where values are of folds or days, so that these runs come last."""
    return max((len(row["values"]) for row in rows if row["over"] == "subjects"), default=0)


def differences(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the lines of a Markdown table: what is set, the paper's value, ours, and the reason.

    >>> differences([{"setting": "epoch", "paper": "best on test", "ours": "last", "reason": "honest"}])[-1]
    '| epoch | best on test | last | honest |'
    """
    head = ["setting", "paper", "ours", "reason"]
    return [_line(head), _line(["---"] * 4), *(_line([row[name] for name in head]) for row in rows)]


def _run(
    result: Mapping[str, Any],
    rows: Sequence[dict[str, Any]],
    simulated: bool,
    compared: Mapping[str, list[list[str]]],
) -> list[str]:
    seeds = f"{result['n_seeds']} seed{'s' if result['n_seeds'] > 1 else ''}"
    text = [f"`{command_of(result)}`, {finished_on(result)}, {result['wall_s'] / 60:.1f} minutes, {seeds}.", ""]
    text += [CUT, ""] if result.get("epochs") else []
    for section in dict.fromkeys(row["section"] for row in rows):
        inside = [row for row in rows if row["section"] == section]
        text += [f"### {section}", ""] if section else []
        text += [*table(inside, simulated), ""]
        here = [] if simulated else compared.get(section, [])
        for chart in (dots_of(inside), bars_of(inside), *(lines_of(inside, names) for names in here)):
            text += [f'<div class="figure">{chart}</div>', ""] if chart else []
    for is_matrix, group in groupby(result["figures"], lambda figure: "matrix" in figure):
        text += (beside if is_matrix else _one_by_one)(list(group))
    return text


def _one_by_one(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    text = []
    for figure in figures:
        note = [figure["note"], ""] if figure.get("note") else []
        text += [f"**{figure['title']}**", "", *note, f'<div class="figure">{draw(figure)}</div>', ""]
    return text


def beside(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of confusion matrices side by side, if the page is wide enough and they have few labels.

    >>> one = {"title": "CNN", "matrix": [[3, 1], [0, 4]], "labels": ["rest", "fist"]}
    >>> beside([one, {**one, "title": "SVM"}])[-2].count("<figure")
    2
    """
    kind = lambda figure: ' class="many"' if len(figure["labels"]) > charts.FEW_LABELS else ""  # noqa: E731
    shown = (f"<figure{kind(f)}><figcaption>{escape(f['title'])}</figcaption>{draw(f)}</figure>" for f in figures)
    return [MATRICES, "", f'<div class="beside">{"".join(shown)}</div>', ""]


def table(rows: Sequence[dict[str, Any]], simulated: bool) -> list[str]:
    """Return the lines of a Markdown table: setting, the paper's figure, ours, honest, n.

    The paper's figure is not shown next to simulated recordings.
    """
    papers = not simulated and any(row["published"] for row in rows)
    leaks = any(row["honest"] for row in rows)
    data = list(dict.fromkeys(row["data"] for row in rows))
    paper = "published" if all(row["data"] == COUNTED for row in rows) else "published, other recordings"
    head = ["setting", *([paper] if papers else []), "ours", *(["honest"] if leaks else []), "n"]
    text = [f"Recordings: {data[0]}.", ""] if len(data) == 1 and data[0] not in ("", COUNTED) else []
    head += ["recordings"] if len(data) > 1 else []
    text += ['<div class="measured"></div>', "", _line(head), _line(["---"] * len(head))]
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
    """Return whether a row was measured on simulated recordings.

    >>> is_simulated({"data": "simulated (preset myo)"})
    True
    """
    return row["data"].startswith("simulated")


def dots_of(rows: Sequence[dict[str, Any]]) -> str:
    """Return a chart with one dot per person for the rows in percent; "" if every row has one value."""
    rows = [r for r in rows if r["unit"] == "%" and len(_known(r["values"])) >= FEWEST_DOTS]
    if not rows:
        return ""
    names = [("LEAKY " if r["leaky"] else "") + r["setting"] for r in rows]
    values, honest = ([_known(r[key] or ()) for r in rows] for key in ("values", "honest"))
    return charts.dots(names, values, honest, [r["leaky"] for r in rows])


def _known(values: Sequence[float | None]) -> list[float]:
    """The values without those that could not be computed, such as the recall of a class that a person lacks."""
    return [v for v in values if v is not None]


def bars_of(rows: Sequence[dict[str, Any]]) -> str:
    """Return bars of the leaky scores, each above the bar of its honest one; "" if no row is leaky."""
    rows = [r for r in rows if r["unit"] == "%" and r["leaky"] and _known(r["values"]) and _known(r["honest"])]
    if not rows:
        return ""
    mean = lambda values: float(np.mean(_known(values)))  # noqa: E731
    return charts.twins([r["setting"] for r in rows], [(mean(r["values"]), mean(r["honest"])) for r in rows])


def lines_of(rows: Sequence[dict[str, Any]], settings: Sequence[str]) -> str:
    """Return a chart with one line per person across these settings; "" if one is missing or has other people."""
    found = [next((r["values"] for r in rows if r["setting"] == name), []) for name in settings]
    if len({len(values) for values in found}) != 1 or len(found[0]) < FEWEST_DOTS:
        return ""
    people = [f"person {i + 1}" for i in range(len(found[0]))]
    return charts.paired(pd.DataFrame(dict(zip(settings, found)), index=people))


def draw(figure: Mapping[str, Any]) -> str:
    """Return a stored figure as SVG: a confusion matrix, a stretch of a signal, distributions, or a line chart.

    >>> draw({"x": [1, 2], "series": {"loss": [0.5, 0.25]}, "y": "loss"}).startswith("<svg")
    True
    """
    if "matrix" in figure:
        return charts.matrix(np.array(figure["matrix"]), figure["labels"])
    if "glimpse" in figure:
        return charts.signals(figure["glimpse"])
    if "ecdf" in figure:
        return charts.ecdf(figure["ecdf"], figure["x"], figure["least"])
    return lines(figure["x"], figure["series"], figure["y"], dotted=figure.get("dotted", ()))


def command_of(result: Mapping[str, Any]) -> str:
    """Return the command of a run.

    >>> command_of({"name": "ding2018", "dataset": "3dc", "kind": "full", "epochs": 1})
    'myograph reproduce ding2018 --dataset 3dc --full --epochs 1'
    """
    on = f" --dataset {result['dataset']}" if result["dataset"] else ""
    cut = f" --epochs {result['epochs']}" if result.get("epochs") else ""
    return f"myograph reproduce {result['name']}{on} --{result['kind']}{cut}"


def finished_on(result: Mapping[str, Any]) -> str:
    """Return the day on which a run finished, or a note that rows are missing.

    >>> finished_on({"finished": None})
    'not finished: the rows so far'
    """
    return result["finished"] or "not finished: the rows so far"


def shown(found: Mapping[str, Any], unit: str) -> str:
    """Return a summary such as `81.2 ± 3.0 (79.0 to 83.4)`, in percent if the unit is "%".

    >>> shown({"mean": 0.812, "std": 0.03, "low": None, "high": None, "n": 4}, "%")
    '81.2 ± 3.0'
    """
    scale = 100 if unit == "%" else 1
    digits = 1 if unit == "%" else 3
    if not found["n"] or found["mean"] is None:
        return "no value"
    text = f"{scale * found['mean']:.{digits}f}"
    if found["n"] > 1:
        text += f" ± {scale * found['std']:.{digits}f}"
    # Results that were stored before intervals needed six people may hold one of fewer.
    if found["n"] >= MIN_FOR_INTERVAL and found["low"] is not None and np.isfinite(found["low"]):
        text += f" ({scale * found['low']:.{digits}f} to {scale * found['high']:.{digits}f})"
    return text + (f" {unit}" if unit not in ("%", "") else "")


def counted(row: Mapping[str, Any]) -> str:
    """Return of how many values a row's figure is the mean.

    >>> counted({"ours": {"n": 1}, "over": "folds"}), counted({"ours": {"n": 1}, "over": "folds", "honest": [0.8, 0.9]})
    ('1 fold', '1 fold (honest: 2)')
    """
    n, over, honest = row["ours"]["n"], row["over"], row.get("honest") or ()
    text = f"{n} {over.removesuffix('s') if n == 1 else over}"
    return text + (f" (honest: {len(honest)})" if len(honest) not in (0, n) else "")


def paper_of(row: Mapping[str, Any]) -> str:
    """Return the paper's figure with its source; "" beside simulated recordings, which cannot confirm it.

    >>> paper = {"value": 66.6, "std": None, "status": "verified", "source": "Table 2"}
    >>> paper_of({"published": paper, "data": "ninapro_db1"})
    '66.6 (verified: Table 2)'
    """
    paper = row["published"]
    if not paper or is_simulated(row):
        return ""
    spread = f" ± {paper['std']}" if paper["std"] is not None else ""
    return f"{paper['value']}{spread} ({paper['status']}: {paper['source']})"
