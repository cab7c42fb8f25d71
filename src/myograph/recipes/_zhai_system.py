"""The system of Zhai et al. 2017 (spectrogram, 25 components per channel, a network or an SVM, recalibration), and how a
cohort is run, each subject separately."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from myograph.datasets.base import get
from myograph.datasets.load import load, locate
from myograph.evaluation.apart import keep_worker
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.reproduction import Context
from myograph.evaluation.run import evaluate
from myograph.evaluation.scores import Scores
from myograph.features.images import ChannelPCA, Spectrogram
from myograph.methods.adapt import SelfRecalibrating
from myograph.preprocessing.cutters import Trials
from myograph.protocols import Protocol
from myograph.recording import Recording

RANKS = 25  # components per channel that the network places in its image
HALF_WIDTH = 10  # windows on each side over which the classifier's own predictions are smoothed

Make = Callable[[int], Any]
"""A seed to an unfitted estimator."""
T = TypeVar("T")


def network(units: int = 800, planes: int = 800, epochs: int = 30, seed: int = 0, components: int = RANKS) -> Pipeline:
    """Return the network of the paper on the spectrogram: 25 scores per channel, in order of rank.

    With fewer `components`, the other places of the image are zero. Our choice, where the paper says only gradient descent: AdamW, rate 0.001 with a cosine, batches of 64, 30 epochs;
    fine-tuning continues at a constant 0.001. Scores are not normalised further.
    """
    from myograph.training.estimator import NeuralClassifier

    classifier = NeuralClassifier(
        "zhai", {"planes": planes, "units": units}, epochs=epochs, batch_size=64, lr=1e-3, normalise="none", seed=seed
    )
    return _on_scores("ranks", classifier, components)


def support_vectors(search: bool = True, components: int = RANKS) -> Pipeline:
    """Return a support vector machine with an RBF kernel on the same scores.

    `search` chooses C and gamma by 4-fold cross-validation on the training windows, as in the paper. The grid is our choice.
    """
    if not search:
        return _on_scores("flat", SVC(C=10.0), components)
    grid = {"C": [1.0, 10.0, 100.0], "gamma": ["scale", 0.01, 0.1]}
    return _on_scores("flat", GridSearchCV(SVC(), grid, cv=4), components)


def _on_scores(placement: Any, classifier: Any, components: int) -> Pipeline:
    steps = [("spectrogram", Spectrogram()), ("pca", ChannelPCA(components, placement)), ("classify", classifier)]
    if components < RANKS and placement == "ranks":
        steps.insert(2, ("missing", FunctionTransformer(fill_ranks)))
    return Pipeline(steps)


def fill_ranks(scores: np.ndarray) -> np.ndarray:
    """Return (window, channel, component) scores with zeros for the ranks up to 25 that are missing.

    >>> fill_ranks(np.ones((4, 2, 14))).sum(axis=2).shape, fill_ranks(np.ones((4, 2, 14))).shape
    ((4, 2), (4, 2, 25))
    """
    return np.pad(scores, ((0, 0), (0, 0), (0, RANKS - scores.shape[2])))


def components_at(rate_hz: float, window_ms: float) -> int:
    """Return the number of components per channel: 25, or as many as a spectrogram at this rate has values.

    >>> components_at(2000, 200), components_at(100, 200)
    (25, 14)
    """
    window = np.zeros((1, 1, round(window_ms * rate_hz / 1000)))
    values = Spectrogram(rate_hz).fit_transform(window)[0, 0].size
    return min(RANKS, values)


def recalibrating(estimator: Any, policy: Any) -> SelfRecalibrating:
    """Return the estimator made to recalibrate itself.

    Its predictions are smoothed over ±10 windows: the median of the probabilities, or the mode of the labels of a support
    vector machine. Fine-tuning takes 10 epochs (our choice).
    """
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    correction = "mode" if isinstance(last, (SVC, GridSearchCV)) else "median"
    return SelfRecalibrating(estimator, policy, correction, HALF_WIDTH, epochs=10)


def following(make: Make, policy: str) -> Make:
    """Return a function that makes the estimators of `make`, recalibrating themselves."""
    return lambda seed: recalibrating(make(seed), policy)


@dataclass(frozen=True)
class Cohort:
    """The people of one table: their recordings, and which windows are cut.

    sessions : use only this many sessions, from the first on; None uses all.
    components : principal components per channel.
    """

    key: str
    title: str
    dataset: str
    windowing: Trials
    options: dict[str, Any] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    sessions: int | None = None
    components: int = RANKS

    def subjects(self) -> list[str]:
        chosen = get(self.dataset, **self.options)
        return [s for s in chosen.subjects(locate(chosen)) if s not in self.leave_out]

    def recordings(self, subject: str) -> list[Recording]:
        found = load(self.dataset, [subject], **self.options)
        names = list(dict.fromkeys(r.session for r in found))[: self.sessions]
        return [r for r in found if r.session in names]

    def recipe(self, name: str, protocol: Protocol, method: Any) -> Recipe:
        return Recipe(
            f"{self.key}-{name}", self.dataset, protocol, method, self.options, None, (), self.windowing, rest="keep"
        )


def methods(small: bool, components: int = RANKS) -> dict[str, Make]:
    """Return the network and the support vector machine by name, as published or small.

    400 units are "nearly as good" in the paper.
    """
    size = {"units": 400, "planes": 32} if small else {"units": 800, "planes": 800}
    return {
        "CNN": lambda seed: network(**size, seed=seed, components=components),
        "SVM": lambda seed: support_vectors(search=not small, components=components),
    }


def run(context: Context, cohort: Cohort, name: str, protocol: Protocol, make: Make) -> dict[str, list[Scores]]:
    """Return the scores of each subject, one per seed.

    Subjects are evaluated separately, because their electrodes may differ, in `context.jobs` processes.
    """
    recipe = context.shorten(cohort.recipe(name, protocol, None))
    methods = {seed: context.shorten(make(seed)) for seed in context.seeds}
    recipes = [dataclasses.replace(recipe, method=method, seed=seed) for seed, method in methods.items()]
    work = partial(_scores_of, cohort, context.folder / "runs", recipes)
    return each_subject(context, f"{cohort.title}, {name}", cohort.subjects(), work)


def _scores_of(cohort: Cohort, root: Path, recipes: Sequence[Recipe], subject: str) -> list[Scores]:
    recordings = cohort.recordings(subject)
    return [evaluate(dataclasses.replace(r, subjects=(subject,)), recordings, root=root) for r in recipes]


def each_subject(context: Context, what: str, subjects: Sequence[str], work: Callable[[str], T]) -> dict[str, T]:
    """Return `work(subject)` of each subject, in `context.jobs` processes; `what` is shown as the progress.

    >>> each_subject(Context("zhai2017", Path("runs")), "doubling", ["1", "2"], lambda subject: 2 * subject)
    {'1': '11', '2': '22'}
    """
    import joblib

    calls = (joblib.delayed(_of_subject)(work, subject) for subject in subjects)
    done = joblib.Parallel(context.jobs, return_as="generator")(calls)
    found: dict[str, T] = {}
    context.progress(what, 0, len(subjects))
    for subject, result in zip(subjects, cast(Iterable[T], done)):
        found[subject] = result
        context.progress(what, len(found), len(subjects))
    return found


def _of_subject(work: Callable[[str], T], subject: str) -> T:
    keep_worker()
    return work(subject)


def by_session(runs: dict[str, list[Scores]]) -> np.ndarray:
    """Return (subject, session) class-balanced accuracies, averaged over seeds; NaN if a subject has fewer sessions."""
    rows = [np.mean([s.folds["balanced_accuracy"] for s in seeds], axis=0) for seeds in runs.values()]
    longest = max(map(len, rows))
    return np.array([np.pad(row, (0, longest - len(row)), constant_values=np.nan) for row in rows])
