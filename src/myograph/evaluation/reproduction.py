"""Reproductions of published systems: each is a function that yields the rows of its table.

Each finished row is stored, so that an interrupted reproduction can resume.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from myograph._common.files import only_run_in, plain, write_json
from myograph._common.progress import Progress, silent
from myograph.errors import ConfigError, DataError, ResultsError
from myograph.evaluation.info import versions
from myograph.evaluation.metrics import TITLES, confusion, summarise
from myograph.evaluation.prepared import hashes_of
from myograph.evaluation.recipe import Published, Recipe
from myograph.evaluation.registry import REPRODUCTIONS
from myograph.evaluation.report.systems import write_page
from myograph.evaluation.run import check, evaluate, name_of, prepare, read
from myograph.evaluation.scores import Scores
from myograph.evaluation.shortened import shortened

RESULT = "result.json"
_DIFFERENCES = "differences"
Measure = TypeVar("Measure", bound=Callable[..., Any])
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One line of a reproduction's table.

    Parameters
    ----------
    setting : what was measured, in the paper's words if the paper has it.
    values : one value per subject (or per fold, see `over`), averaged over seeds.
    published : the paper's figure; None if it gives none.
    honest : values of the honest counterpart if this row is LEAKY.
    leaky, why_leaky : whether the protocol shares samples or something was selected on test data, and which of the two.
    data : name of the data set and its options; names of simulated recordings begin with "simulated".
    over : what each value belongs to: "subjects", "folds", "later days", ...
    metric : name of the metric of `values`.
    metrics : values of every metric by name, if several were computed.
    unit : "%" for fractions that are shown in percent, otherwise the unit of the values.
    n_seeds, seconds : number of seeds, and duration of the measurement.
    note, section : text beside the setting, and heading above the rows.

    Raises
    ------
    ConfigError : a leaky row without a reason or an honest score, or a row that is not leaky with either.

    >>> Row("CNN", (0.5, 0.7)).as_dict()["ours"]["n"]
    2
    """

    setting: str
    values: tuple[float, ...]
    published: Published | None = None
    honest: tuple[float, ...] | None = None
    leaky: bool = False
    why_leaky: str = ""
    data: str = ""
    over: str = "subjects"
    metric: str = "balanced_accuracy"
    metrics: dict[str, tuple[float, ...]] = field(default_factory=dict)
    unit: str = "%"
    n_seeds: int = 1
    seconds: float = 0.0
    note: str = ""
    section: str = ""

    def __post_init__(self) -> None:
        if self.leaky != (self.honest is not None) or self.leaky != bool(self.why_leaky):
            raise ConfigError(
                f"row {self.setting!r}: a leaky score needs a reason and an honest score, and other rows must not have "
                f"either; got leaky={self.leaky}, why_leaky={self.why_leaky!r}, honest={self.honest}"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, with summaries of the values (`ours`) and of the honest ones (`honest_summary`)."""
        found = dataclasses.asdict(self)
        found["ours"] = summarise(np.array(self.values))
        found["honest_summary"] = summarise(np.array(self.honest)) if self.honest is not None else None
        return plain(found)


@dataclass(frozen=True)
class Difference:
    """One line of a system's table "what differs from the paper, and why".

    Parameters
    ----------
    setting : what is compared, such as "window step".
    paper : the paper's value; "not found" if no source states it.
    ours : the value of the recipe.
    reason : why it differs, or the source of the value.

    >>> Difference("epoch", "best on test", "last", "a choice on test samples is no test").ours
    'last'
    """

    setting: str
    paper: str
    ours: str
    reason: str


def differs(*rows: Difference) -> Callable[[Measure], Measure]:
    """Return a decorator that attaches the table of differences to a reproduction's function.

    >>> measure = differs(Difference("epoch", "best on test", "last", "honest"))(lambda context: iter(()))
    >>> [row.setting for row in differences_of(measure)]
    ['epoch']
    """

    def attach(measure: Measure) -> Measure:
        setattr(measure, _DIFFERENCES, rows)
        return measure

    return attach


def differences_of(measure: Callable[..., Any]) -> tuple[Difference, ...]:
    """Return the rows that `differs` attached; none if there are none.

    >>> differences_of(len)
    ()
    """
    return getattr(measure, _DIFFERENCES, ())


@dataclass
class Context:
    """The argument of a reproduction's function: the size of the run, and methods that measure and store its rows.

    Parameters
    ----------
    name, folder : name of the system, and folder of its results.
    quick : a small run of minutes instead of the published size.
    dataset : data set to run on; None chooses by the size of the run.
    seeds, jobs, progress : seeds to average over, number of parallel folds, and a function that reports progress.
    epochs : limit of the epochs of every training; None trains as the system defines.
    figures : the figures stored so far.

    >>> context = Context("example", Path("runs"))
    >>> context.choose("small", "large"), context.shorten({"epochs": 30})
    ('small', {'epochs': 30})
    >>> context.figure("Loss by epoch", {"train": [0.5, 0.25]}, [1, 2], "loss")
    >>> context.figures[0]["series"]
    {'train': [0.5, 0.25]}
    """

    name: str
    folder: Path
    quick: bool = True
    dataset: str | None = None
    seeds: tuple[int, ...] = (0,)
    jobs: int = 1
    progress: Progress = silent
    epochs: int | None = None
    figures: list[dict[str, Any]] = field(default_factory=list)

    def choose(self, quick: Any, full: Any) -> Any:
        """Return one of two values, by the size of this run."""
        return quick if self.quick else full

    def shorten(self, thing: T) -> T:
        """Return settings with the epochs of this run: unchanged, or limited by `shortened`."""
        return thing if self.epochs is None else shortened(thing, self.epochs)

    def evaluate(
        self,
        setting: str,
        recipe: Recipe,
        published: Published | None = None,
        metric: str = "balanced_accuracy",
        note: str = "",
        section: str = "",
        data: str = "",
        recordings: Sequence[Any] | None = None,
        matrix: bool = False,
    ) -> Row:
        """Evaluate a recipe with every seed and return a row: one value per subject, averaged over the seeds.

        Parameters
        ----------
        setting, published, note, section : as in `Row`.
        recipe : what to evaluate.
        metric : name of the metric of the row's values.
        data : name of the recordings; by default the data set and its options.
        recordings : the recipe's recordings; None reads them.
        matrix : whether to store the confusion matrix, summed over folds and seeds, as a figure.
        """
        started = time.perf_counter()
        recipe = self.shorten(recipe)
        runs = []
        for seed in self.seeds:
            seeded = dataclasses.replace(recipe, seed=seed)
            progress = lambda what, done, total: self.progress(f"{setting}: {what}", done, total)  # noqa: E731
            runs.append(evaluate(seeded, recordings, root=self.folder / "runs", jobs=self.jobs, progress=progress))
        over = runs[0].over
        if matrix:
            self.matrix(", ".join(filter(None, [section, setting])), runs)
        metrics = {m: tuple(np.mean([_values(run, m, over) for run in runs], axis=0).tolist()) for m in TITLES}
        honest = None
        if runs[0].honest is not None:
            honest = tuple(np.mean([_values(run.honest, metric, run.honest.over) for run in runs], axis=0).tolist())
        return Row(
            setting=setting,
            values=metrics[metric],
            published=published,
            honest=honest,
            leaky=runs[0].leaky,
            why_leaky="train and test windows share samples" if runs[0].leaky else "",
            data=data or describe_data(recipe),
            over=f"{over}s",
            metric=metric,
            metrics=metrics,
            n_seeds=len(self.seeds),
            seconds=time.perf_counter() - started,
            note=note,
            section=section,
        )

    def matrix(self, title: str, runs: Sequence[Scores]) -> None:
        """Store the confusion matrix of all windows of these runs as a figure."""
        answers = pd.concat([run.predictions for run in runs])
        labels = list(dict.fromkeys(name for run in runs for name in run.labels))
        counts = confusion(answers["y_true"].to_numpy(str), answers["y_pred"].to_numpy(str), labels)
        self.figures.append(plain({"title": title, "matrix": counts.tolist(), "labels": labels}))

    def remember(self, key: str, settings: Any, compute: Callable[[], Any]) -> Any:
        """Return `compute()`, or the value stored for the same key and settings; values are plain JSON."""
        digest = hashlib.sha256(json.dumps([key, settings], sort_keys=True, default=str).encode()).hexdigest()[:12]
        path = self.folder / "kept" / f"{slug(key)}-{digest}.json"
        try:
            kept = json.loads(path.read_text())
            if kept["sha256"] == _sha256(kept["value"]):
                return kept["value"]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # missing or damaged: measure it again
        value = plain(compute())
        write_json(path, {"sha256": _sha256(value), "value": value})
        return value

    def curves(self, name: str, recipe: Recipe, title: str, recordings: Sequence[Any] | None = None) -> None:
        """Store loss and accuracy per epoch of the recipe's first fold, one chart each; see `watch`.

        The network is trained once more for this, with the last epoch as its result.
        """
        found = self.watched(name, recipe, recordings)
        for kind in ("loss", "accuracy"):
            series = {"train": found[f"train_{kind}"], "test": found[f"valid_{kind}"]}
            epochs = range(1, len(series["train"]) + 1)
            self.figure(f"{kind.capitalize()} by epoch: {title}", series, epochs, kind, CURVES)

    def watched(self, name: str, recipe: Recipe, recordings: Sequence[Any] | None = None) -> dict[str, list[float]]:
        """Return the result of `watch`, which is stored for the same recipe and recordings."""
        recipe = self.shorten(recipe)
        given = read(recipe, self.progress) if recordings is None else recordings
        return self.remember(f"curves of {name}", recipe.identity(hashes_of(given)), lambda: watch(recipe, given))

    def figure(
        self,
        title: str,
        series: Mapping[str, Any],
        x: Sequence[Any],
        y: str,
        note: str = "",
        dotted: Mapping[str, Any] | None = None,
    ) -> None:
        """Store a line chart for the report: each series has one value per x. The paper's series are `dotted`."""
        every = {k: list(v) for k, v in {**series, **(dotted or {})}.items()}
        self.figures.append(
            plain({"title": title, "series": every, "x": list(x), "y": y, "note": note, "dotted": list(dotted or ())})
        )


CURVES = "First fold. Train: during the epoch, with dropout; test: after it. Nothing is chosen by these curves."


def watch(recipe: Recipe, recordings: Sequence[Any] | None = None) -> dict[str, list[float]]:
    """Return training and test loss and accuracy after every epoch of the recipe's first fold, by column.

    Parameters
    ----------
    recipe : its method is the name of a network.
    recordings : the recipe's recordings; None reads them.
    """
    from myograph.training.estimator import NeuralClassifier

    windows = prepare(recipe, read(recipe) if recordings is None else recordings)
    fold = next(iter(recipe.protocol.folds(windows)))
    check(windows, [fold], recipe.protocol)
    is_test = np.zeros(len(windows), int)
    is_test[fold.test] = 1
    rows = np.sort(np.concatenate([fold.train, fold.test]))
    # Held-out rows are only scored after each epoch; nothing is learnt from them, and the last epoch is kept.
    network = NeuralClassifier(
        recipe.method, seed=recipe.seed, validation=(1,), restore_best=False, **recipe.method_options
    )
    return network.fit(windows[rows], groups=is_test[rows]).history_.to_dict("list")


def _values(run: Any, metric: str, over: str) -> list[float]:
    return (run.subjects if over == "subject" else run.folds)[metric].tolist()


def describe_data(recipe: Recipe) -> str:
    """Return the name of the recipe's data set with the options that were set.

    >>> describe_data(Recipe("example", "ninapro_db5", dataset_options={"exercises": (1,)}))
    'ninapro_db5 (exercises (1,))'
    """
    dataset, options = recipe.dataset, dict(recipe.dataset_options)
    if not isinstance(dataset, str):
        fields = ((f.name, getattr(dataset, f.name), f.default) for f in dataclasses.fields(dataset))
        options = {name: value for name, value, default in fields if value != default}
    text = ", ".join(f"{k} {v}" for k, v in options.items())
    return name_of(dataset) + (f" ({text})" if text else "")


@contextlib.contextmanager
def context_of(
    name: str,
    quick: bool = True,
    dataset: str | None = None,
    n_seeds: int = 1,
    out: str | Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    epochs: int | None = None,
) -> Iterator[Context]:
    """Lock the folder of a run of `reproduce`, with the same arguments, and yield its `Context`.

    Single steps of a system use the same folder, so that they and `reproduce` share finished results.

    Raises
    ------
    ConfigError : n_seeds or epochs is below 1.
    ResultsError : the folder holds another run, or is used by another process.
    """
    if n_seeds < 1 or (epochs is not None and epochs < 1):
        raise ConfigError(f"n_seeds and epochs must be at least 1, got n_seeds={n_seeds} and epochs={epochs}")
    kind = "quick" if quick else "full"
    cut = "" if epochs is None else f"{epochs}-epochs"
    folder = Path(out) if out else Path("runs") / "-".join(filter(None, ["reproduce", name, kind, dataset, cut]))
    with only_run_in(folder, " ".join(filter(None, ["reproduce", name, kind, str(dataset), str(n_seeds), cut]))):
        yield Context(name, folder, quick, dataset, tuple(range(n_seeds)), jobs, progress or silent, epochs)


def reproduce(
    name: str,
    quick: bool = True,
    dataset: str | None = None,
    n_seeds: int = 1,
    out: str | Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Run a published system and write `result.json` and `report.html` into its folder.

    If it is interrupted, `unfinished.json` and the report hold the rows so far, and the same call resumes.

    Parameters
    ----------
    name : name of a published system.
    quick : a small run of minutes, on simulated recordings unless `dataset` is given; otherwise the published size.
    dataset : data set to run on; None chooses by the size of the run.
    n_seeds : number of seeds to average over.
    out : folder; by default `runs/reproduce-NAME-quick` (or -full, -DATASET).
    jobs, progress : as in `myograph.evaluate`.
    epochs : cut every training to this many epochs. This shows that a run reaches its end; its scores mean nothing.

    Returns
    -------
    The result as plain values (rows, figures, versions, duration), with its `folder` and `report`.

    Raises
    ------
    UnknownNameError, ConfigError, DataError, ResultsError : see their messages.
    """
    measure = REPRODUCTIONS[name]
    kind = "quick" if quick else "full"
    progress = progress or silent
    started = time.perf_counter()
    with context_of(name, quick, dataset, n_seeds, out, jobs, progress, epochs) as context:
        folder = context.folder
        rows: list[dict[str, Any]] = []
        finished = False
        try:
            for row in measure(context):
                rows.append(row.as_dict())
                progress(f"{name}: {len(rows)} rows measured", len(rows), len(rows))
            finished = True
        finally:  # an interrupted run shows its rows so far, and the durations of all its parts are added
            result = plain(
                {
                    "name": name,
                    **describe_system(name),
                    "kind": kind,
                    "dataset": dataset,
                    "n_seeds": n_seeds,
                    "epochs": epochs,
                    "rows": rows,
                    "figures": context.figures,
                    "versions": versions(),
                    "finished": time.strftime("%Y-%m-%d") if finished else None,
                    "wall_s": _add_time(folder / "wall_s.json", time.perf_counter() - started),
                }
            )
            if finished or rows:
                write_json(folder / (RESULT if finished else "unfinished.json"), result)
            if finished or (rows and not (folder / RESULT).exists()):
                write_page([result], folder / "report.html")
        (folder / "unfinished.json").unlink(missing_ok=True)
    return {**result, "folder": str(folder), "report": str(folder / "report.html")}


def need_data(system: str, names: Sequence[str]) -> None:
    """Raise DataError if the files of one of these data sets are missing, before hours are spent on the others.

    >>> need_data("atzori2016", ["simulated"])
    """
    from myograph.datasets.load import is_here, locate

    missing = [name for name in names if not is_here(name)]
    if not missing:
        return
    try:
        locate(missing[0])
    except DataError as error:
        here = " or ".join(f"`myograph reproduce {system} --full --dataset {n}`" for n in names if n not in missing)
        instead = f"; {here} uses the data that are present" if here else ""
        raise DataError(f"{system} --full needs {', '.join(names)}. {error}{instead}") from error


def _add_time(path: Path, seconds: float) -> float:
    """Add these seconds to those in the file, and return the sum; a damaged file counts as 0."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        seconds += float(json.loads(path.read_text()))
    write_json(path, seconds)
    return seconds


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def describe_system(name: str) -> dict[str, Any]:
    """Return the current title, text and differences of a published system; empty for an unknown name.

    >>> sorted(describe_system("ding2018")), describe_system("unknown")
    (['about', 'differences', 'title'], {})
    """
    if name not in REPRODUCTIONS:
        return {}
    about = inspect.getdoc(REPRODUCTIONS[name]) or name
    rows = [dataclasses.asdict(row) for row in differences_of(REPRODUCTIONS[name])]
    return {"title": about.split("\n")[0], "about": about, "differences": rows}


def load_result(folder: str | Path) -> dict[str, Any]:
    """Return the result of a finished reproduction, given its folder or its file.

    Raises
    ------
    ResultsError : there is no finished result.
    """
    path = Path(folder) / RESULT if Path(folder).is_dir() else Path(folder)
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict) or not isinstance(found.get("rows"), list):
            raise ValueError("it holds no rows")
        return found
    except (OSError, ValueError) as error:
        raise ResultsError(f"{folder} holds no finished reproduction; run `myograph reproduce NAME` first") from error


def slug(text: str) -> str:
    """Return the text as part of a file's name.

    >>> slug("CNN, 10 ms step")
    'cnn-10-ms-step'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]
