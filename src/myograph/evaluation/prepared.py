"""Preparation of a run, before anything is fitted: recordings, filtered windows, and the audited folds of the protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from inspect import signature
from typing import Any, cast

import numpy as np
from sklearn.base import BaseEstimator, clone

from myograph._common.files import plain
from myograph._common.pipelines import past_ms
from myograph._common.progress import Progress
from myograph.audit import Audit, audit
from myograph.errors import ConfigError, ProtocolError
from myograph.evaluation.filtering import check_own_filters
from myograph.evaluation.info import glimpse
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.telling import check_channels
from myograph.methods.registry import METHODS
from myograph.preprocessing.filters import apply_all
from myograph.protocols import Fold, Protocol
from myograph.recording import Recording
from myograph.windows import Windows


@dataclass(frozen=True)
class Split:
    """Windows and the folds of a protocol, which recipes share if they differ only in method and seed. It cannot be
    created without the audit of every fold.

    Attributes
    ----------
    windows, folds, audits : the windows, the protocol's folds, and the audit of each fold.
    rest : the recipe's setting for rest, its label, and the numbers of rest windows found and kept.

    >>> recipe = Recipe("example", "simulated", subjects=("1",))
    >>> found = split(recipe, read(recipe))
    >>> type(found).__name__, [fold.name for fold in found.folds], found.audits[0].passed
    ('Split', ['subject 1'], True)
    >>> found.people, "rest" in found.labels, found.facts["missing_classes"], found.glimpse is found.glimpse
    (['1'], True, [], True)
    """

    windows: Windows
    rest: dict[str, Any]
    folds: list[Fold]
    protocol: InitVar[Protocol]
    audits: list[Audit] = field(init=False)

    def __post_init__(self, protocol: Protocol) -> None:
        object.__setattr__(self, "audits", check(self.windows, self.folds, protocol))

    @cached_property
    def people(self) -> list[str]:
        """Names of the people, sorted."""
        return [str(name) for name in self.windows.table["subject"].cat.categories]

    @cached_property
    def labels(self) -> list[str]:
        """Names of the labels, sorted."""
        return [str(name) for name in self.windows.table["label"].cat.categories]

    @cached_property
    def glimpse(self) -> dict[str, Any]:
        """The signals around the first window as plain values; see `myograph.evaluation.info.glimpse`."""
        return plain(glimpse(self.windows))

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The facts about windows and folds in a run's info."""
        table = self.windows.table
        people, session = (table[name].cat.codes.to_numpy() for name in ("subject", "session"))
        sessions = np.unique(np.unique([people, session], axis=1)[0], return_counts=True)[1]
        train_people = [len(np.unique(people[fold.train])) for fold in self.folds]
        return {
            "rest": self.rest,
            "sessions_per_person": [int(sessions.min()), int(sessions.max())],
            "train_people": [min(train_people), max(train_people)],
            "missing_classes": _missing_classes(self.windows, self.folds),
        }


Splitter = Callable[[Recipe, Sequence[Recording], Progress], Split]


def split(
    recipe: Recipe,
    recordings: Sequence[Recording],
    progress: Progress | None = None,
    prepared: tuple[Windows, dict[str, Any]] | None = None,
) -> Split:
    """Return the windows of a recipe and its audited folds.

    Parameters
    ----------
    prepared : the result of `prepare_with_rest` for the recipe and these recordings, if it is known.

    Raises
    ------
    LeakageError, ProtocolError, WindowError, ConfigError : as in `evaluate`.

    >>> recipe = Recipe("example", "simulated", subjects=("1",))
    >>> len(split(recipe, read(recipe)).folds)
    1
    """
    windows, rest = prepared or prepare_with_rest(recipe, recordings, progress)
    windows = with_past(windows, past_ms(make_method(recipe)))
    folds = recipe.how_to_transfer().settle(list(recipe.protocol.folds(windows)))
    if len({f.name for f in folds}) < max(len(folds), 1):
        what = "two folds with the same name; give each its own name" if folds else "no folds for these windows"
        raise ProtocolError(f"{recipe.protocol} gives {what}")
    return Split(windows, rest, folds, recipe.protocol)


def make_method(recipe: Recipe) -> BaseEstimator:
    """Return the recipe's unfitted estimator, with the recipe's seed if it takes one.

    >>> type(make_method(Recipe("example", "simulated", method="lda"))).__name__
    'Pipeline'
    """
    if not isinstance(recipe.method, str):
        if recipe.method_options:
            raise ConfigError("method_options need a method given by name; set the parameters on the estimator itself")
        if not hasattr(recipe.method, "get_params") or not hasattr(recipe.method, "fit"):
            raise ConfigError(
                "method must be a name of `myograph methods` or a scikit-learn estimator over windows, got "
                f"{recipe.method!r}"
            )
        return cast(BaseEstimator, clone(recipe.method))
    options = dict(recipe.method_options)
    if "seed" in signature(METHODS[recipe.method]).parameters:
        options.setdefault("seed", recipe.seed)
    return METHODS.create(recipe.method, **options)


def with_past(windows: Windows, past_ms: float) -> Windows:
    """Return the windows of a method that also reads the samples of the last `past_ms` before each window.

    For protocols and audits this is the same as a filter with that reach.

    >>> from myograph.testing import make_windows
    >>> with_past(make_windows(), 250.0).recordings[0].reach_samples
    250
    """
    if not past_ms:
        return windows
    more = [math.ceil(past_ms * r.rate_hz / 1000) for r in windows.recordings]
    found = [replace(r, reach_samples=r.reach_samples + n) for r, n in zip(windows.recordings, more)]
    return windows._with({}, tuple(found))


def hashes_of(recordings: Sequence[Recording]) -> dict[str, str]:
    """Return the hash of each recording's content by name, for `Recipe.identity`.

    >>> list(hashes_of(read(Recipe("example", "simulated", subjects=("1",)))))
    ['1/1/0', '1/2/1']
    """
    return {f"{r.subject}/{r.session}/{i}": r.content_hash for i, r in enumerate(recordings)}


def read(recipe: Recipe, progress: Progress | None = None) -> list[Recording]:
    """Return the recipe's recordings, unfiltered.

    >>> small = {"n_sessions": 1, "n_gestures": 2, "n_repetitions": 2, "hold_s": 0.5, "rest_s": 0.5}
    >>> len(read(Recipe("example", "simulated", dataset_options=small, subjects=("1",))))
    1
    """
    from myograph.datasets.load import load

    options = dict(recipe.dataset_options)
    return load(recipe.dataset, subjects=recipe.subjects, progress=progress, **options)


def prepare(recipe: Recipe, recordings: Sequence[Recording], progress: Progress | None = None) -> Windows:
    """Filter the recordings, cut windows, and drop, keep or balance rest according to the recipe.

    Raises
    ------
    WindowError : the windowing does not fit the recordings.
    ConfigError : the windows have only one label.

    >>> from myograph.testing import make_recording
    >>> len(prepare(Recipe("example", "mine", rest="keep"), [make_recording()]))
    48
    """
    return prepare_with_rest(recipe, recordings, progress)[0]


def prepare_with_rest(
    recipe: Recipe, recordings: Sequence[Recording], progress: Progress | None = None
) -> tuple[Windows, dict[str, Any]]:
    """Return the result of `prepare`, and the setting for rest, its label, and the numbers of rest windows found and
    kept.

    >>> recipe = Recipe("example", "simulated", subjects=("1",))
    >>> prepare_with_rest(recipe, read(recipe))[1]["kept"]
    0
    """
    if recordings:  # if there are none, `Windows.cut` raises the error
        check_channels(recipe.filters, recordings)
        check_own_filters(recipe.filters, recordings)
    filtered = []
    for i, recording in enumerate(recordings):
        if progress and recipe.filters:
            progress("filtering", i, len(recordings))
        filtered.append(apply_all(recipe.filters, recording))
    if progress:
        progress("cutting windows", 0, 1)
    whole, rest = Windows.cut(filtered, recipe.windowing), rest_label(recipe)
    windows = settle_rest(whole, recipe.rest, rest, recipe.seed)
    if len(labels := np.unique(windows.y)) < 2:
        only = ", ".join(labels)
        raise ConfigError(
            f"these windows have only one label ({only}), but a classifier needs two or more; choose other subjects or "
            "exercises, or rest='keep' to classify movement against rest"
        )
    n_found, n_kept = (int((w.y == rest).sum()) for w in (whole, windows))
    return windows, {"setting": recipe.rest, "label": rest, "found": n_found, "kept": n_kept}


def rest_label(recipe: Recipe) -> str | None:
    """Return the name of rest in the recipe's data set: "rest" for the user's own recordings, None if it has none.

    >>> rest_label(Recipe("example", "simulated"))
    'rest'
    """
    from myograph.datasets.base import DATASETS

    if not isinstance(recipe.dataset, str):
        return getattr(recipe.dataset, "rest", "rest")
    return DATASETS[recipe.dataset].rest if recipe.dataset in DATASETS else "rest"


def settle_rest(windows: Windows, rest: str, label: str | None, seed: int) -> Windows:
    """Drop, keep or balance the windows of rest; see `Recipe.rest`.

    Parameters
    ----------
    windows : the windows.
    rest : "drop", "keep", or "balance": as many windows of rest per subject as the average gesture has.
    label : the name of rest; None if the data set has none.
    seed : seed of the random choice under "balance".

    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_classes=3)
    >>> set(settle_rest(windows, "drop", "rest", seed=0).y.tolist()) == {"fist", "open"}
    True
    """
    labels = windows.y
    is_rest = labels == label
    if rest == "keep" or not is_rest.any() or is_rest.all():
        return windows
    keep = ~is_rest
    if rest == "balance":
        rng = np.random.default_rng(seed)
        subject = windows.table["subject"].cat.codes.to_numpy()
        for code in np.unique(subject):
            of = subject == code
            n = round((of & ~is_rest).sum() / max(len(np.unique(labels[of & ~is_rest])), 1))
            candidates = np.flatnonzero(of & is_rest)
            keep[rng.permutation(candidates)[:n]] = True
    return windows[keep]


def check(windows: Windows, folds: Iterable[Fold], protocol: Protocol) -> list[Audit]:
    """Audit every fold, before anything is fitted.

    >>> from myograph.protocols import WithinSubject
    >>> from myograph.testing import make_windows
    >>> windows, protocol = make_windows(n_repetitions=6), WithinSubject((2, 5))
    >>> [audit.passed for audit in check(windows, protocol.folds(windows), protocol)]
    [True]
    """
    return [
        audit(windows, f.train, f.test, protocol.disjoint, protocol.leaky, f"{type(protocol).__name__}, {f.name}")
        for f in folds
    ]


def _missing_classes(windows: Windows, folds: Sequence[Fold]) -> list[dict[str, Any]]:
    """Return the folds whose test part has labels that are missing in training, and those labels."""
    labels = windows.table["label"].cat
    code, names = labels.codes.to_numpy(), [str(n) for n in labels.categories]
    found = []
    for fold in folds:
        if missing := np.setdiff1d(code[fold.test], code[fold.train]).tolist():
            found.append({"fold": fold.name, "labels": [names[i] for i in missing]})
    return found
