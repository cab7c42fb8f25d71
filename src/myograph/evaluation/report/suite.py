"""The page of a suite: comparison of methods with effect sizes, cost and significance."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from myograph._common import svg
from myograph._common.files import write_bytes, write_text
from myograph.errors import MyographError, ResultsError
from myograph.evaluation import metrics
from myograph.evaluation.comparison import RunComparison
from myograph.evaluation.metrics import TITLES
from myograph.evaluation.report import charts, suite_charts
from myograph.evaluation.scores import Scores
from myograph.evaluation.stats import Friedman, compare, friedman, nemenyi
from myograph.evaluation.store import Store, in_short

GROUP = ["data", "dataset", "data_options", "protocol", "transfer", "windowing", "filters", "rest", "leaky"]
MOST_MATRICES = 6


@dataclass(frozen=True)
class Figure:
    """A chart and its data."""

    title: str
    svg: str
    data: pd.DataFrame
    file: str = ""


@dataclass(eq=False)
class Group:
    """Methods that were tested on the same windows under the same protocol.

    values : one row per person and one column per method, means over seeds.
    seeds : number of seeds of each method. left_out : methods that were not tested on all people.
    """

    key: dict[str, Any]
    rows: pd.DataFrame
    values: pd.DataFrame
    seeds: dict[str, int]
    left_out: list[str]
    metric: str
    figures: list[Figure] = field(default_factory=list)

    @property
    def leaky(self) -> bool:
        return bool(self.key["leaky"])

    @property
    def title(self) -> str:
        return ", ".join(filter(None, (self.key["data"], self.key["protocol"], self.key["transfer"])))

    @cached_property
    def comparison(self) -> RunComparison | None:
        """The comparison of the methods; None if there is only one, or if the scores are LEAKY and are not compared."""
        if self.leaky or self.values.shape[1] < 2:
            return None
        reference = str(self.values.columns[0])
        columns = {str(name): self.values[name].tolist() for name in self.values}
        tests = compare(columns, reference) if len(self.values) > 1 else {}
        unit = "subject" if len(self.values) > 1 else "fold"
        question, dataset = str(self.rows["question"].iloc[0]), self.key["data"]
        return RunComparison(self.metric, reference, self.values, unit, tests, question, self.key["protocol"], dataset)

    @cached_property
    def friedman(self) -> Friedman | None:
        """Friedman's test over people, if there are at least three methods and six people."""
        found = self.comparison
        if found is None or not found.ranked or self.values.shape[1] < 3:
            return None
        return friedman({str(name): self.values[name].tolist() for name in self.values})


def write_suite_page(
    store: Store,
    cells: Sequence[str],
    name: str,
    folder: str | Path,
    metric: str = "accuracy",
    missing: Iterable[str] = (),
) -> Path:
    """Write the page of a suite, `index.html`, and each figure as SVG with its data as CSV.

    Parameters
    ----------
    cells : identities of the cells to show.
    metric : a key of `myograph.evaluation.metrics.TITLES`.
    missing : messages about cells without scores, one sentence each.

    Raises
    ------
    ResultsError : a cell is damaged, or a file cannot be written.
    """
    folder = Path(folder)
    beside = [other for identity in cells for other in store.cell(identity)["beside"].values() if other]
    cells = list(dict.fromkeys([*cells, *beside]))
    groups = grouped(store, cells, metric)
    if not groups:
        raise ResultsError(f"suite {name} has no finished cell to show")
    scores = {identity: store.scores(identity) for identity in cells}
    every = [*curves(groups, scores, metric)]
    for group in groups:
        if not group.leaky:
            group.figures += figures_of(group, scores)
    whole = _written(every, folder)
    for i, group in enumerate(groups, 1):
        group.figures = _written(group.figures, folder, f"{i} {group.key['data']}")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    source = files("myograph.evaluation.report")
    style = source.joinpath("report.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(source.joinpath("suite.html.j2").read_text(encoding="utf-8")).render(
        name=name,
        title=TITLES[metric],
        honest=[g for g in groups if not g.leaky],
        leaky=[g for g in groups if g.leaky],
        overviews=overviews([g for g in groups if not g.leaky]),
        curves=whole,
        missing=list(missing),
        n_cells=len(cells),
        versions=next(iter(scores.values())).info["versions"],
        Markup=Markup,
        style=Markup(style[style.index("<style>") : style.index("</style>")]),
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def grouped(store: Store, cells: Sequence[str], metric: str = "accuracy") -> list[Group]:
    """Return the cells in groups of the same data, windows and protocol, in the order of the cells."""
    order = {identity: i for i, identity in enumerate(cells)}
    rows = store.results()
    rows = rows[rows["cell"].isin(order)].assign(order=rows["cell"].map(order)).sort_values("order", kind="stable")
    rows["data"], rows["label"] = (
        zip(*map(_labels, rows["recipe"], rows["dataset"], rows["method"])) if len(rows) else ((), ())
    )
    rows["data_options"] = [json.dumps(json.loads(o)["dataset"], sort_keys=True) for o in rows["options"]]
    found = []
    for key, part in rows.groupby(GROUP, sort=False):
        values = part.pivot_table(index="person", columns="label", values=metric, aggfunc="mean", sort=False)
        whole = values.notna().all()
        seeds = part.groupby("label")["seed"].nunique().to_dict()
        left_out = [str(n) for n in values.columns[~whole]]
        named = dict(zip(GROUP, cast(tuple, key)))
        found.append(Group(named, part, cast(pd.DataFrame, values.loc[:, whole]), seeds, left_out, metric))
    return found


def overviews(groups: Sequence[Group]) -> list[pd.DataFrame]:
    """Return tables of the mean over people of each method in each group; groups that share most methods share a table.

    Rows are methods and columns are groups, or the other way round if there are more groups than methods.
    """
    tables: list[pd.DataFrame] = []
    for group in groups:
        means = group.values.mean().rename(group.title).to_frame()
        like = (i for i, t in enumerate(tables) if _in_common(t.index, means.index) > 0.5)
        place = next(like, None)
        if place is None:
            tables.append(means)
        else:
            tables[place] = tables[place].join(means, how="outer")
    tables = [t.rename_axis("method") for t in tables]
    return [t.T.rename_axis("data, protocol") if t.shape[1] > t.shape[0] else t for t in tables]


def _in_common(a: pd.Index, b: pd.Index) -> float:
    """Return the share of the methods of both that are in each."""
    return len(a.intersection(b)) / max(len(a.union(b)), 1)


def figures_of(group: Group, scores: Mapping[str, Scores]) -> list[Figure]:
    """Return the charts of one group."""
    values, found = group.values, []
    if values.shape[1] > 1:
        found.append(Figure("Each person", charts.paired(values), values.reset_index()))
    if group.friedman is not None:
        ranks = nemenyi({str(name): values[name].tolist() for name in values})
        table = pd.DataFrame({"method": list(ranks.mean_rank), "mean_rank": list(ranks.mean_rank.values())})
        table["critical_difference"] = ranks.critical_difference
        found.append(Figure("Critical differences", suite_charts.critical_difference(ranks), table))
    of_method = {
        str(name): [scores[c] for c in group.rows.loc[group.rows["label"] == name, "cell"].unique()] for name in values
    }
    costs = cost_table(of_method, values.mean().to_dict())
    for cost in ("seconds per fold", "parameters", "MACs per window", "latency in ms"):
        table = cast(pd.DataFrame, costs[["method", cost, "score"]].dropna())
        if len(table) > 1 and (table[cost] > 0).all():
            found.append(Figure(f"Score against {cost}", suite_charts.against_cost(table, cost, "score"), table))
    reliable = {name: curve for name, runs in of_method.items() if (curve := reliability(runs)) is not None}
    if reliable:
        table = pd.concat([curve.assign(method=name) for name, curve in reliable.items()], ignore_index=True)
        found.append(Figure("Calibration", suite_charts.calibration(reliable), table))
    best = sorted(of_method, key=lambda name: -values[name].mean())[:MOST_MATRICES]
    for name in best if group.comparison is not None and group.comparison.ranked else list(of_method)[:MOST_MATRICES]:
        labels = of_method[name][0].labels
        counts = sum(_confusion(run, labels) for run in of_method[name])
        table = pd.DataFrame(counts, columns=labels, index=pd.Index(labels, name="true")).reset_index()
        found.append(Figure(f"Confusion matrix of {name}", charts.matrix(np.asarray(counts), labels), table))
    return found


def cost_table(of_method: Mapping[str, Sequence[Scores]], score: Mapping[Any, float]) -> pd.DataFrame:
    """Return one row per method: mean seconds per fold (fit and predict), and for networks also parameters,
    multiply-accumulates and latency of one window; see `myograph.models.cost`."""
    from myograph.models import MODELS

    rows = []
    for name, runs in of_method.items():
        info = runs[0].info
        row = {"method": name, "score": score[name]}
        row["seconds per fold"] = float(np.mean([run.folds["seconds"].mean() for run in runs]))
        if info["method"] in MODELS:
            row.update(_network_cost(info, runs[0]))
        rows.append(row)
    return pd.DataFrame(
        rows, columns=["method", "score", "seconds per fold", "parameters", "MACs per window", "latency in ms"]
    )


def _network_cost(info: dict[str, Any], run: Scores) -> dict[str, float]:
    from myograph.models.cost import count

    options = dict(info["settings"]["method_options"].get("model_options") or {})
    n_samples = int((run.predictions["stop"] - run.predictions["start"]).iloc[0])
    try:
        found = count(info["method"], info.get("n_channels", 0), n_samples, len(run.labels), **options)
    except MyographError:
        return {}
    return {
        "parameters": found["parameters"],
        "MACs per window": found["macs"],
        "latency in ms": found["latency_ms"],
    }


def reliability(runs: Sequence[Scores], n_bins: int = 10) -> pd.DataFrame | None:
    """Return mean confidence, accuracy and number of windows in bins of equal width over the confidence; None if a
    method gives no confidence.
    """
    table = pd.concat([cast(pd.DataFrame, run.predictions[["y_true", "y_pred", "confidence"]]) for run in runs])
    if np.isnan(np.asarray(table["confidence"], float)).any():
        return None
    right = (table["y_true"] == table["y_pred"]).to_numpy()
    return metrics.reliability(right, table["confidence"].to_numpy(float), n_bins).rename(columns={"n": "windows"})


def curves(groups: Sequence[Group], scores: Mapping[str, Scores], metric: str) -> Iterable[Figure]:
    """Yield line charts over what was varied: the single number in which protocols of one type differ (training data),
    and the level of each disturbance at test time.
    """
    honest = [group for group in groups if not group.leaky]
    kinds: dict[tuple[str, str], list[tuple[float, Group]]] = {}
    protocols = [scores[group.rows["cell"].iloc[0]].info["settings"]["protocol"] for group in honest]
    numbers = {k for p in protocols for k, v in p.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    for group, protocol in zip(honest, protocols):
        for name in numbers - {"seed"}:  # a field with its default value may be missing
            rest = in_short({k: v for k, v in protocol.items() if k != name})
            what = ", ".join(filter(None, (group.key["data"], rest, group.key["transfer"])))
            kinds.setdefault((what, name), []).append((float(protocol.get(name) or 0), group))
    for (what, name), members in kinds.items():
        if len({value for value, _ in members}) > 1:
            members.sort(key=lambda member: member[0])
            table = pd.DataFrame({value: group.values.mean() for value, group in members}).T
            yield _curve(f"{what}: score over {name.replace('_', ' ')}", table, name, metric)
    for group in honest:
        found: dict[str, dict[str, dict[float, float]]] = {}
        for label in group.values:
            cell = group.rows.loc[group.rows["label"] == label, "cell"].iloc[0]
            method = scores[cell].info["settings"]["method"]
            if isinstance(method, dict) and method.get("type") == "Disturbed":
                series = found.setdefault(method["kind"], {}).setdefault(str(label).rpartition(", ")[0], {})
                series[float(method["level"])] = float(group.values[label].mean())
        for kind, series in found.items():
            table = pd.DataFrame(series).sort_index()
            yield _curve(f"{group.title}: {kind} at test time", table, "level", metric)


def _curve(title: str, table: pd.DataFrame, x: str, metric: str) -> Figure:
    series = {str(name): [None if v != v else float(v) for v in table[name]] for name in table}
    chart = svg.lines([f"{v:g}" for v in table.index], series, f"{TITLES[metric]}, over {x.replace('_', ' ')}")
    return Figure(title, chart, table.rename_axis(x).reset_index())


def _confusion(run: Scores, labels: list[str]) -> np.ndarray:
    from myograph.evaluation.metrics import confusion

    return confusion(run.predictions["y_true"].to_numpy(str), run.predictions["y_pred"].to_numpy(str), labels)


def _labels(recipe: str, dataset: str, method: str) -> tuple[str, str]:
    """Return the labels of data and method of a recipe of a suite, whose name is DATA-METHOD."""
    if recipe.startswith(f"{dataset}-"):
        return dataset, recipe[len(dataset) + 1 :]
    if recipe.endswith(f"-{method}"):
        return recipe[: -len(method) - 1], method
    return dataset, recipe


def _written(figures: Sequence[Figure], folder: Path, prefix: str = "") -> list[Figure]:
    done = []
    for figure in figures:
        stem = re.sub(r"[^a-z0-9]+", "-", f"{prefix} {figure.title}".lower()).strip("-")[:80]
        write_text(folder / "figures" / f"{stem}.svg", suite_charts.standalone(figure.svg))
        write_bytes(folder / "figures" / f"{stem}.csv", figure.data.to_csv(index=False).encode())
        done.append(replace(figure, file=stem))
    return done
