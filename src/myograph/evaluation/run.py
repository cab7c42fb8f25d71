"""`evaluate(recipe)`: recordings to audited scores, fold by fold, in a folder from which an interrupted run goes on."""

from __future__ import annotations

import dataclasses
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import joblib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from myograph._common.files import only_run_in, plain, write_atomically
from myograph.audit import Audit, audit
from myograph.errors import ConfigError, ProtocolError
from myograph.evaluation.metrics import score
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.scores import Scores
from myograph.preprocessing.filters import apply_all
from myograph.protocols import Fold, KFoldRepetitions, Protocol
from myograph.recording import Recording
from myograph.windows import Windows

Report = Callable[[str, int, int], None]
VERSIONED = ("myograph", "numpy", "scipy", "scikit-learn", "numba", "torch", "pandas")


def evaluate(
    recipe: Recipe,
    recordings: Sequence[Recording] | None = None,
    out: str | Path | None = None,
    root: str | Path | None = None,
    jobs: int = 1,
    progress: Report | None = None,
    command: str | None = None,
) -> Scores:
    """Run a recipe: read, filter, cut, split, audit, fit, predict, score.

    Parameters
    ----------
    recordings : used instead of the recipe's data set, which then may be any name; all of them, whatever the recipe's
        `subjects` say.
    out : the run's folder; finished folds are kept there, and the same recipe started again goes on after them.
        None keeps results in memory only, unless `root` is given.
    root : the folder in which a run makes its own, named after the recipe and its identity.
    jobs : folds at work at once (processes); -1 is one a core.
    progress : called with (what is being done, done, of how many).
    command : how the run was started, for its report.

    Raises
    ------
    LeakageError : train and test of a fold share samples or a repetition. There is no switch.
    ProtocolError, DataError, WindowError, ResultsError : see their messages.
    """
    started = time.perf_counter()
    say = progress or (lambda what, done, total: None)
    if recordings is None:
        recordings = read(recipe, say)
    else:
        recordings = [recordings] if isinstance(recordings, Recording) else list(recordings)
        if strange := [type(r).__name__ for r in recordings if not isinstance(r, Recording)]:
            raise ConfigError(
                f"recordings are Recording objects, got {strange[0]}; make one with Recording(signal, ...)"
            )
    hashes = {f"{r.subject}/{r.session}/{i}": r.content_hash for i, r in enumerate(recordings)}
    identity = recipe.identity(hashes)
    windows = prepare(recipe, recordings, say)
    folds = list(recipe.protocol.folds(windows))
    if len({f.name for f in folds}) < max(len(folds), 1):
        what = "two folds of one name; give each its own" if folds else "no folds for these windows"
        raise ProtocolError(f"{recipe.protocol} gives {what}")
    audits = check(windows, folds, recipe.protocol)
    estimator = make_method(recipe)

    folder = Path(out) if out is not None else None
    if folder is None and root is not None:
        folder = Path(root) / f"{recipe.name}-{identity[:10]}"
    with nullcontext() if folder is None else only_run_in(folder, identity):
        groups = streams(folds, recipe.protocol.sequential)
        parts = _run_folds(estimator, windows, folds, groups, folder, jobs, say)
        predictions = pd.concat([p.drop(columns="seconds") for p in parts], ignore_index=True)
        seconds = [float(p["seconds"].iloc[0]) for p in parts]
        info = {
            "recipe": recipe.name,
            "settings": recipe.as_dict(),
            "identity": identity,
            "dataset": name_of(recipe.dataset),
            "method": name_of(recipe.method),
            "protocol": type(recipe.protocol).__name__,
            "leaky": bool(recipe.protocol.leaky),
            "seed": recipe.seed,
            "command": command,
            "labels": [str(n) for n in windows.table["label"].cat.categories],
            "n_windows": len(windows),
            "n_recordings": len(recordings),
            "data_hashes": hashes,
            "audit": [{"fold": f.name, **a.as_dict()} for f, a in zip(folds, audits)],
            "versions": versions(),
            "published": [dataclasses.asdict(p) for p in recipe.published],
            "glimpse": glimpse(windows),
            "wall_s": 0.0,
            "peak_memory_bytes": peak_memory_bytes(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        table = _fold_table(predictions, folds, audits, seconds)
        honest = None
        if recipe.protocol.leaky:
            say("the honest counterpart", 0, 1)
            fair = dataclasses.replace(recipe, protocol=getattr(recipe.protocol, "honest", None) or KFoldRepetitions(2))
            honest = evaluate(fair, recordings, None if folder is None else folder / "honest", None, jobs, progress)
        info["wall_s"] = time.perf_counter() - started
        scores = Scores(predictions, table, plain(info), folder, honest)
        if folder is not None:
            scores.save(folder)
    return scores


def read(recipe: Recipe, say: Report | None = None) -> list[Recording]:
    """The recipe's recordings, unfiltered."""
    from myograph.datasets.load import load

    options = dict(recipe.dataset_options)
    return load(recipe.dataset, subjects=recipe.subjects, progress=say, **options)


def prepare(recipe: Recipe, recordings: Sequence[Recording], say: Report | None = None) -> Windows:
    """Filter, cut, and settle what becomes of rest."""
    filtered = []
    for i, recording in enumerate(recordings):
        if say and recipe.filters:
            say("filtering", i, len(recordings))
        filtered.append(apply_all(recipe.filters, recording))
    if say:
        say("cutting windows", 0, 1)
    windows = settle_rest(Windows.cut(filtered, recipe.windowing), recipe.rest, rest_label(recipe), recipe.seed)
    if windows.table["label"].nunique() < 2:
        only = ", ".join(map(str, windows.table["label"].unique()))
        raise ConfigError(
            f"these windows have one label ({only}), so there is nothing to tell apart; choose other subjects or "
            "exercises, or rest='keep' to tell movement from rest"
        )
    return windows


def rest_label(recipe: Recipe) -> str | None:
    """The name that the recipe's data set gives to rest; "rest" for recordings of one's own."""
    from myograph.datasets.base import DATASETS

    if not isinstance(recipe.dataset, str):
        return getattr(recipe.dataset, "rest", "rest")
    return DATASETS[recipe.dataset].rest if recipe.dataset in DATASETS else "rest"


def settle_rest(windows: Windows, rest: str, label: str | None, seed: int) -> Windows:
    """Drop, keep or balance the windows labelled as rest (see `Recipe.rest`)."""
    is_rest = windows.table["label"].astype(str).to_numpy() == label
    if rest == "keep" or not is_rest.any() or is_rest.all():
        return windows
    keep = ~is_rest
    if rest == "balance":
        rng = np.random.default_rng(seed)
        subject = windows.table["subject"].cat.codes.to_numpy()
        for code in np.unique(subject):
            of = subject == code
            n = round((of & ~is_rest).sum() / max(windows.table["label"][of & ~is_rest].nunique(), 1))
            candidates = np.flatnonzero(of & is_rest)
            keep[rng.permutation(candidates)[:n]] = True
    return windows[keep]


def check(windows: Windows, folds: Iterable[Fold], protocol: Protocol) -> list[Audit]:
    """Audit every fold, before anything is fitted."""
    return [
        audit(windows, f.train, f.test, protocol.disjoint, protocol.leaky, f"{type(protocol).__name__}, {f.name}")
        for f in folds
    ]


def make_method(recipe: Recipe) -> BaseEstimator:
    """The recipe's unfitted estimator, with the recipe's seed where it takes one."""
    if not isinstance(recipe.method, str):
        if recipe.method_options:
            raise ConfigError("method_options go with a method given by name; set them on the estimator itself")
        if not hasattr(recipe.method, "get_params") or not hasattr(recipe.method, "fit"):
            raise ConfigError(
                f"method is a name of `myograph methods` or a scikit-learn estimator over windows, got {recipe.method!r}"
            )
        return cast(BaseEstimator, clone(recipe.method))
    from inspect import signature

    from myograph.methods import METHODS

    options = dict(recipe.method_options)
    if "seed" in signature(METHODS[recipe.method]).parameters:
        options.setdefault("seed", recipe.seed)
    return METHODS.create(recipe.method, **options)


def predict_stream(estimator: BaseEstimator, windows: Windows, folds: Sequence[Fold]) -> list[pd.DataFrame]:
    """Fit on the train rows that these folds share, then predict each fold's test rows in turn: a table a fold, a row
    a window. Between folds an estimator with `adapt` learns from the windows just scored, without their labels."""
    started = time.perf_counter()
    train = windows[folds[0].train]
    y = train.y
    if len(np.unique(y)) < 2:
        raise ConfigError(f"{folds[0].name}: the train windows have one label ({y[0]}), so nothing can be learnt")
    model: Any = clone(estimator).fit(train, y)
    unlabelled = windows.without_labels() if hasattr(model, "adapt") and len(folds) > 1 else None
    tables = []
    for i, fold in enumerate(folds):
        test = windows[fold.test]
        table = _predict(model, test)
        table.insert(0, "fold", fold.name)
        table.insert(1, "row", fold.test)
        if i + 1 < len(folds) and unlabelled is not None:
            model.adapt(unlabelled[fold.test])
        table["seconds"] = time.perf_counter() - started
        started = time.perf_counter()
        tables.append(table)
    return tables


def _predict(model: Any, test: Windows) -> pd.DataFrame:
    predicted, confidence = _answers(model, test)
    table = test.table[["recording", "start", "stop", "subject", "session", "repetition"]].copy()
    table[["subject", "session"]] = table[["subject", "session"]].astype(str)
    table["y_true"], table["y_pred"], table["confidence"] = test.y, np.asarray(predicted, str), confidence
    return table


def _answers(model: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    """(window,) labels as `predict` gives them, and each one's probability, NaN where the model has none."""
    if isinstance(model, Pipeline) and len(model) > 1:  # features are made once for both
        return _answers(model[-1], model[:-1].transform(test))
    if not hasattr(model, "predict_proba"):
        predicted = np.asarray(model.predict(test))
        return predicted, np.full(len(predicted), np.nan)
    proba, classes = model.predict_proba(test), np.asarray(model.classes_)
    best = proba.argmax(axis=1)
    # Networks and soft votes predict the most probable class; others, such as a tuned threshold, need not.
    if hasattr(model, "module_") or getattr(model, "voting", None) == "soft":
        return classes[best], proba.max(axis=1)
    predicted = np.asarray(model.predict(test))
    of_predicted = np.where(predicted[:, None] == classes, proba, -1.0).max(axis=1)
    return predicted, np.where(of_predicted < 0, np.nan, of_predicted)


def streams(folds: Sequence[Fold], sequential: bool) -> list[list[int]]:
    """Positions of the folds that are fitted as one: each alone, or neighbours that share their train rows."""
    groups: list[list[int]] = []
    for i, fold in enumerate(folds):
        if sequential and groups and np.array_equal(folds[groups[-1][0]].train, fold.train):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _run_folds(
    estimator: BaseEstimator,
    windows: Windows,
    folds: list[Fold],
    groups: list[list[int]],
    folder: Path | None,
    jobs: int,
    say: Report,
) -> list[pd.DataFrame]:
    parts: dict[int, pd.DataFrame] = {}
    if folder is not None:
        parts = {i: part for i in range(len(folds)) if (part := _stored(_fold_file(folder, i))) is not None}
    todo = [group for group in groups if any(i not in parts for i in group)]
    say("folds", len(parts), len(folds))
    jobs = min(os.cpu_count() or 1 if jobs < 0 else max(jobs, 1), max(len(todo), 1))
    work = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes="1M")(
        joblib.delayed(_one_stream)(group, estimator, windows, [folds[i] for i in group]) for group in todo
    )
    for group, tables in work:
        for i, part in zip(group, tables):
            if folder is not None:
                write_atomically(_fold_file(folder, i), lambda path, part=part: part.to_parquet(path, index=False))
            parts[i] = part
        say("folds", len(parts), len(folds))
    return [parts[i] for i in range(len(folds))]


def _one_stream(
    group: list[int], estimator: BaseEstimator, windows: Windows, folds: list[Fold]
) -> tuple[list[int], list[pd.DataFrame]]:
    return group, predict_stream(estimator, windows, folds)


def _fold_file(folder: Path, i: int) -> Path:
    return folder / "folds" / f"{i:04d}.parquet"


def _stored(path: Path) -> pd.DataFrame | None:
    """A fold finished earlier, or None; a damaged file counts as unfinished."""
    try:
        return pd.read_parquet(path) if path.is_file() else None
    except (OSError, ValueError):
        return None


def _fold_table(
    predictions: pd.DataFrame, folds: list[Fold], audits: list[Audit], seconds: list[float]
) -> pd.DataFrame:
    by_fold = dict(iter(predictions.groupby("fold", sort=False)))
    rows = []
    for fold, found, spent in zip(folds, audits, seconds):
        part = by_fold[fold.name]
        subjects = part["subject"].unique()
        rows.append(
            {
                "fold": fold.name,
                "subject": subjects[0] if len(subjects) == 1 else None,
                **score(part),
                "n_train": found.n_train,
                "n_test": found.n_test,
                "seconds": spent,
                "sharing_samples": found.n_sharing_samples,
                "sharing_repetition": found.n_sharing_repetition,
            }
        )
    return pd.DataFrame(rows)


def glimpse(windows: Windows, seconds: float = 8.0, points: int = 900) -> dict[str, Any]:
    """A stretch of the first windows' recording, thinned to an envelope of minima and maxima, for the report."""
    first = windows.table.iloc[0]
    recording = windows.recordings[first["recording"]]
    length = int(first["stop"] - first["start"])
    begin = max(int(first["start"]) - length // 2, 0)
    end = min(begin + max(int(seconds * recording.rate_hz), 2 * length), recording.n_samples)
    part = recording.signal[:16, begin:end].astype(np.float64)
    size = max(part.shape[1] // points, 1)
    n = part.shape[1] // size
    blocks = part[:, : n * size].reshape(len(part), n, size)
    here = windows.where(recording=int(first["recording"])).table
    here = here[(here["start"] >= begin) & (here["stop"] <= end)].head(200)
    return {
        "recording": recording.name,
        "unit": recording.unit,
        "rate_hz": recording.rate_hz,
        "n_channels": recording.n_channels,
        "begin_s": begin / recording.rate_hz,
        "step_s": size / recording.rate_hz,
        "low": blocks.min(axis=2).round(4).tolist(),
        "high": blocks.max(axis=2).round(4).tolist(),
        "windows": [
            {"start_s": s / recording.rate_hz, "stop_s": e / recording.rate_hz, "label": str(name)}
            for s, e, name in zip(here["start"], here["stop"], here["label"])
        ],
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_memory_bytes() -> int:
    """Largest resident set of this process or of one of its finished workers."""
    unit = 1 if sys.platform == "darwin" else 1024
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) * unit


def name_of(thing: Any) -> str:
    """What to call a data set or a method in tables: its registered name, or its type."""
    return thing if isinstance(thing, str) else str(getattr(thing, "name", None) or type(thing).__name__)
