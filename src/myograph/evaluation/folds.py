"""Fit and predict fold by fold: in parallel, stored when finished, and without showing a test label to a method."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from myograph._common.files import sha256, write_bytes, write_json
from myograph._common.origin import in_words, origin_of_fitted
from myograph._common.pipelines import before_last
from myograph._common.progress import Progress
from myograph._common.seen import Seen
from myograph.errors import ConfigError, DataError, LeakageError
from myograph.evaluation.apart import each_apart
from myograph.evaluation.identity import is_fitted_name
from myograph.evaluation.sealed import sealer
from myograph.evaluation.tables import ONE_FOLD, PLACE, from_parquet, to_parquet
from myograph.evaluation.transfer import Transfer
from myograph.methods import Smoothed
from myograph.protocols import Fold
from myograph.recording import Recording
from myograph.windows import Windows

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

CHECKSUMS = "checksums.json"
POOL = Transfer()


class KeptFolds:
    """The finished folds of one run: one Parquet file per fold, and one file with their checksums.

    Parameters
    ----------
    folder : the run's folder; files are kept in its subfolder `folds`.
    identity : identity of the run; checksums of another run are not used.
    resume : use existing folds; False computes every fold again.

    >>> import tempfile
    >>> from myograph.methods import lda
    >>> from myograph.protocols import WithinSubject
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=6)
    >>> [fold] = WithinSubject((2, 5)).folds(windows)
    >>> kept = KeptFolds(Path(tempfile.mkdtemp()), identity="0123", resume=True)
    >>> kept.put(0, predict_stream(lda(), windows, [fold])[0])
    >>> len(kept.get(0, fold)) == len(fold.test)
    True
    """

    def __init__(self, folder: Path, identity: str, resume: bool = True):
        self.folder, self.identity = folder / "folds", identity
        self.sha256_of: dict[str, str] = self._read_checksums() if resume else {}

    def _read_checksums(self) -> dict[str, str]:
        try:
            found = json.loads((self.folder / CHECKSUMS).read_bytes())
            return dict(found["sha256_of"]) if found["identity"] == self.identity else {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}  # without checksums every fold is computed again

    def get(self, i: int, fold: Fold) -> pd.DataFrame | None:
        """Return the table that `put` stored for the i-th fold; None if there is none, or if it is damaged."""
        try:
            content = self._file(i).read_bytes()
            if self.sha256_of.get(self._file(i).name) != sha256(content):
                return None
            table = from_parquet(content, ONE_FOLD)
        except (OSError, ValueError):
            return None
        same = np.array_equal(table["row"].to_numpy(), fold.test) and (table["fold"] == fold.name).all()
        return table if same else None

    def put(self, i: int, table: pd.DataFrame) -> None:
        """Store the table of the i-th fold.

        Raises
        ------
        ResultsError : it cannot be written.
        """
        content = to_parquet(table)
        write_bytes(self._file(i), content)
        self.sha256_of[self._file(i).name] = sha256(content)
        write_json(self.folder / CHECKSUMS, {"identity": self.identity, "sha256_of": self.sha256_of})

    def _file(self, i: int) -> Path:
        return self.folder / f"{i:04d}.parquet"


def run_folds(
    estimator: BaseEstimator,
    windows: Windows,
    folds: Sequence[Fold],
    sequential: bool,
    kept: KeptFolds | None,
    jobs: int,
    progress: Progress,
    transfer: Transfer = POOL,
) -> list[pd.DataFrame]:
    """Return one table of predictions per fold, in the folds' order; stored folds are not computed again.

    Parameters
    ----------
    estimator, windows, folds : the method, the windows and their splits.
    sequential : whether neighbouring folds that share their train rows are steps of one stream, see `streams`.
    kept : finished folds, or None.
    jobs : number of parallel processes; -1 for one per core.
    progress : called as progress(message, done, total).
    transfer : how windows of the tested person or session are used.

    >>> from myograph.methods import lda
    >>> from myograph.protocols import WithinSubject
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=6)
    >>> folds = list(WithinSubject((2, 5)).folds(windows))
    >>> [table] = run_folds(lda(), windows, folds, False, None, 1, lambda message, done, total: None)
    >>> table["y_pred"].tolist() == table["y_true"].tolist()
    True
    """
    from myograph.evaluation._warm import warm

    parts: dict[int, pd.DataFrame] = {}
    if kept is not None:
        parts = {i: part for i, fold in enumerate(folds) if (part := kept.get(i, fold)) is not None}
    todo = [group for group in streams(folds, sequential) if any(i not in parts for i in group)]
    if todo:
        warm(estimator, windows)
    progress("folds", len(parts), len(folds))
    calls = [(windows, [folds[i] for i in group], transfer) for group in todo]
    for number, tables in each_apart(predict_stream, estimator, calls, jobs):
        for i, part in zip(todo[number], cast(list[pd.DataFrame], tables)):
            if kept is not None:
                kept.put(i, part)
            parts[i] = part
        progress("folds", len(parts), len(folds))
    return [parts[i] for i in range(len(folds))]


def streams(folds: Sequence[Fold], sequential: bool) -> list[list[int]]:
    """Return groups of positions of folds with a common fit: each fold alone, or neighbours that share their train
    rows.

    >>> rows = np.arange(3)
    >>> streams([Fold("a", rows, rows), Fold("b", rows, rows)], sequential=True)
    [[0, 1]]
    """
    groups: list[list[int]] = []
    for i, fold in enumerate(folds):
        if sequential and groups and np.array_equal(folds[groups[-1][0]].train, fold.train):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def predict_stream(
    estimator: BaseEstimator, windows: Windows, folds: Sequence[Fold], transfer: Transfer = POOL
) -> list[pd.DataFrame]:
    """Fit on the train rows that these folds share, then predict each fold's test rows in order.

    Between folds, an estimator with `adapt` learns from the windows just scored. After `fit`, all windows are without
    labels, and in `fit` the recordings are labelled only inside the train rows. A method with the user's own code gets
    copies of the recordings in which all other samples are NaN.

    Returns
    -------
    One table per fold, with one row per test window.

    >>> from myograph.methods import lda
    >>> from myograph.protocols import SessionStream
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_sessions=3)
    >>> [len(table) for table in predict_stream(lda(), windows, list(SessionStream().folds(windows)))]
    [56, 56]
    """
    started = time.perf_counter()
    seal = sealer(estimator)
    model = transfer.fit(estimator, folds[0], lambda rows: seal(labelled_in(windows, rows)))
    unlabelled, truth = windows.without_labels(), windows.y
    tables = []
    for i, fold in enumerate(folds):
        test = seal(unlabelled[fold.test])
        predicted, confidence = np.empty(len(test), object), np.empty(len(test))
        for adapted, rows in transfer.parts(model, test):
            predicted[rows], confidence[rows] = predictions_of(adapted, test[rows])
        table = pd.DataFrame(
            {
                "fold": fold.name,
                "row": fold.test,
                **{name: test.column(name) for name in PLACE},
                "y_true": truth[fold.test],
                "y_pred": predicted.astype(str),
                "confidence": confidence,
            }
        )
        if i + 1 < len(folds) and hasattr(model, "adapt"):
            model.adapt(test)
        table["seconds"] = time.perf_counter() - started
        started = time.perf_counter()
        tables.append(table)
    return tables


def labelled_in(windows: Windows, rows: np.ndarray) -> Windows:
    """Return these rows with their labels; all samples of their recordings outside these rows are unlabelled (-1).

    >>> from myograph.testing import make_windows
    >>> some = labelled_in(make_windows(), np.array([0]))
    >>> int((some.recordings[0].label >= 0).sum())
    200
    """
    of, start, stop = (windows.column(name)[rows] for name in ("recording", "start", "stop"))
    recordings: list[Recording] = []
    for i, (known, bare) in enumerate(zip(windows.recordings, windows.without_labels().recordings)):
        mine = of == i
        if mine.any():
            bare, label = copy.copy(bare), np.full(known.n_samples, -1, np.int32)
            for first, last in _merged(start[mine], stop[mine]):
                label[first:last] = known.label[first:last]
            object.__setattr__(bare, "label", label)
        bare.__dict__.pop("content_hash", None)  # it belongs to other labels
        recordings.append(bare)
    return windows[rows]._with({}, tuple(recordings))


def _merged(start: np.ndarray, stop: np.ndarray) -> list[tuple[int, int]]:
    """Return the union of intervals as disjoint intervals.

    >>> _merged(np.array([5, 0, 2]), np.array([9, 3, 4]))
    [(0, 4), (5, 9)]
    """
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(stop[order])
    opens = np.flatnonzero(np.append(True, start[1:] > reach[:-1]))
    closes = np.append(opens[1:], len(start)) - 1
    return list(zip(start[opens].tolist(), reach[closes].tolist()))


def predictions_of(model: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the (window,) labels from `predict`, and the probability of each, NaN if the model has none.

    Raises
    ------
    ConfigError : `predict` does not return one label per window.

    >>> from sklearn.dummy import DummyClassifier
    >>> model = DummyClassifier().fit([[0], [0], [0]], ["rest", "rest", "fist"])
    >>> labels, confidence = predictions_of(model, np.zeros((1, 1)))
    >>> labels.tolist(), confidence.round(3)
    (['rest'], array([0.667]))
    """
    from sklearn.pipeline import Pipeline

    n = len(test)
    while isinstance(model, Pipeline):  # so that features are computed once for both
        test, model = before_last(model, test), model[-1]
    predicted, confidence = _answers(model, test)
    if predicted.shape != (n,):
        raise ConfigError(
            f"{type(model).__name__}.predict gave an array of shape {predicted.shape} for {n} windows; it must give one "
            "label per window"
        )
    return predicted.astype(str), confidence


def _answers(model: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    if not hasattr(model, "predict_proba"):
        predicted = np.asarray(model.predict(test))
        return predicted, np.full(len(predicted), np.nan)
    proba, classes = np.asarray(model.predict_proba(test)), np.asarray(model.classes_)
    best = proba.argmax(axis=1)
    # These predict the most probable class; other methods, such as a tuned threshold, need not.
    if hasattr(model, "module_") or getattr(model, "voting", None) == "soft" or isinstance(model, Smoothed):
        return classes[best], proba.max(axis=1)
    predicted = np.asarray(model.predict(test))
    if predicted.shape != best.shape:
        return predicted, np.full(len(proba), np.nan)
    of_predicted = np.where(predicted[:, None] == classes, proba, -1.0).max(axis=1)
    return predicted, np.where(of_predicted < 0, np.nan, of_predicted)


def fitted_before(estimator: Any, people: Iterable[str] = ()) -> list[str]:
    """Return the parts of an estimator that were fitted before this run, with their training data as far as known.

    These are the parts that `clone` leaves fitted (scikit-learn's `FrozenEstimator`), a network's `pretrained` weights,
    and torch modules with weights. The training data are known for myograph's own estimators and for networks that
    myograph saved. A user's class that reads weights by itself cannot be detected.

    Parameters
    ----------
    people : the subjects of this run; a part that was fitted on subjects with these names is marked.

    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import LogisticRegression
    >>> fitted_before(LogisticRegression())
    []
    >>> fitted_before(FrozenEstimator(LogisticRegression().fit([[0], [1]], [0, 1])))
    ['LogisticRegression: fitted before this run, on unknown data']
    """
    found: list[str] = []
    for part, how in _fitted_parts(estimator):
        name, known = type(part).__name__, origin_of_fitted(part)
        if how == "module":
            found.append(f"{name}: a network with weights of its own, fitted on unknown data if at all")
            continue
        if how == "pretrained":
            weights = part.pretrained
            is_file = isinstance(weights, (str, os.PathLike))
            where = f"the file {weights}" if is_file else "the weights given"
            name, known = f"{name}: begins with {where},", _origin_of_file(weights) if is_file else {}
        else:
            name += ":"
        again = sorted({*known.get("people", ())} & {*people})
        mark = f"; people of the same names are in this run: {', '.join(again)}" if again else ""
        comma = "" if how == "pretrained" else ","
        found.append(f"{name} fitted before this run{comma} on {in_words(known)}{mark}")
    return list(dict.fromkeys(found))


def _origin_of_file(path: Any) -> dict[str, Any]:
    from myograph.training.saved import origin_of_weights

    try:
        return origin_of_weights(path)
    except DataError:
        return {}  # `fit` raises the error about the file


def refuse_fitted_on(estimator: Any, windows: Windows, test: np.ndarray) -> None:
    """Refuse an estimator with a part that was fitted, before this run, on windows that share samples or a repetition
    with the test windows, as far as the part remembers them.

    Raises
    ------
    LeakageError : the estimator has such a part.

    >>> from sklearn.frozen import FrozenEstimator
    >>> from myograph.features.transformer import Features
    >>> from myograph.testing import make_windows
    >>> windows = make_windows()
    >>> fitted = FrozenEstimator(Features("MAV").fit(windows, windows.y))
    >>> refuse_fitted_on(fitted, windows, np.array([0]))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    myograph.errors.LeakageError: ...
    """
    for part, _ in _fitted_parts(estimator):
        seen = getattr(part, "_seen", None)
        if isinstance(seen, Seen):
            samples, repetition = (int(shared.sum()) for shared in seen.shared_by(windows[test]))
            if samples or repetition:
                raise LeakageError(
                    f"{type(part).__name__} was fitted before this run on windows that {samples} of {len(test)} test "
                    f"windows share samples with, and {repetition} share a repetition with; give it unfitted, so that "
                    "each fold fits it "
                    "on its own train windows, or fit it on other recordings"
                )


def _fitted_parts(estimator: Any) -> list[tuple[Any, str]]:
    """Return the parts that were fitted before, each as "fitted", "pretrained", or a torch "module"."""
    from sklearn.base import clone

    found: list[tuple[Any, str]] = []
    _collect_fitted(clone(estimator), found, set())
    return found


def _collect_fitted(part: Any, found: list[tuple[Any, str]], seen: set[int]) -> None:
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, (list, tuple, dict)):
        for inner in part.values() if isinstance(part, dict) else part:
            _collect_fitted(inner, found, seen)
        return
    if hasattr(part, "state_dict") and hasattr(part, "parameters"):
        found.append((part, "module"))
    if not hasattr(part, "get_params") or isinstance(part, type):
        return
    parameters = part.get_params(deep=False)
    if parameters.pop("pretrained", None) is not None:
        found.append((part, "pretrained"))
    if hasattr(part, "fit") and any(is_fitted_name(k) and v is not None for k, v in vars(part).items()):
        found.append((part, "fitted"))
    for inner in parameters.values():
        _collect_fitted(inner, found, seen)
