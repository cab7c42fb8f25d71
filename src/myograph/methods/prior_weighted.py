"""A linear discriminant whose means and covariance are mixed from other people and a few labelled windows of a new one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from myograph.errors import ConfigError
from myograph.methods._adapter import Adapter
from myograph.methods._discriminant import decide_by, need_means_and_covariance
from myograph.methods._mixture import limited, moved, pays, whitening
from myograph.methods._prior import Labelled, Source, best_strengths, held_out_groups
from myograph.methods._sameness import Sameness
from myograph.methods._target import codes_of, groups_of, not_adapted, overlap_in, spread, too_few_classes
from myograph.methods.aligned import FAR, RIGID, SEEN
from myograph.methods.calibrated import fit_temperature
from myograph.methods.registry import METHODS

UNCHOSEN = (3.0, 30.0)  # if fewer than two groups were seen in training


class PriorWeightedLDA(Adapter):
    """Linear discriminant analysis whose class means and covariance are mixtures of the training people's and the target's.

    `fit` fits the estimator on all training windows. Until `adapt` or `calibrate` is called, the predictions are its own.

    `calibrate` learns from a few labelled windows of a new person or session. With n non-overlapping windows of a class,
    and the strength s of the means, the mean of that class is

        s / (s + n) * (centre + offset of the class) + n / (s + n) * mean of the labelled windows

    where an offset is the difference of a class's mean from the mean of all classes, averaged over the training people, and
    the centre is that with which the offsets fit the labelled windows best. The covariance is mixed in the same way: that
    within the training people, and that of the labelled windows, with the average n of the classes and a strength of its own. A
    class without labelled windows keeps its offset.

    Both strengths are chosen in `fit`, by leave-one-out over the training people: the first one or two repetitions of a
    person's first session are labelled windows, and the accuracy on the person's other windows decides. If there is only one
    person, sessions take the place of people. The new person is never used for this. The temperature of the probabilities
    is fitted to the same held-out predictions. With one person and one session, the strengths are 3 and 30 windows.

    `adapt` learns from unlabelled windows: all class means are shifted by the vector that makes the windows most
    probable (see `_mixture`); few windows cause only a small shift. It changes nothing and gives a NotAdaptedWarning if too few
    classes are seen, if one movement makes up most of a new person's windows (see `_sameness`), or if the shift that is learnt
    from one half of the windows does not make the other half more probable. On the later days of a known person these checks
    do not always suffice: a single day of `longterm_myo` lost 16 points.

    Source: mixing of means and covariances as in Vidovic et al. 2016, doi:10.1109/TNSRE.2015.2492619. The choice of the
    weights, the offsets from the person's own mean, and `adapt` are our own.

    Parameters
    ----------
    estimator : a pipeline that ends in `LinearDiscriminantAnalysis(solver="lsqr")`, such as `lda`.
    strengths : of the means and of the covariance, in non-overlapping windows per class; None chooses them.
    overlap : average number of windows that cover the same sample. It is used for arrays only; for Windows it is computed.

    Attributes
    ----------
    estimator_ : the current pipeline.
    strengths_ : the strengths that `calibrate` uses.
    adapted_ : whether the last `adapt` or `calibrate` changed anything.

    Raises
    ------
    ConfigError : an estimator that does not end in such a discriminant, invalid strengths, or windows of a class that
        training did not have (`calibrate`).

    Examples
    --------
    >>> from myograph.methods import PriorWeightedLDA, lda
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_subjects=4, n_classes=3)
    >>> others, anna = windows.where(subject=("2", "3", "4")), windows.where(subject="1")
    >>> labelled, later = anna.where(repetition=1), anna.where(repetition=(2, 3, 4))
    >>> method = PriorWeightedLDA(lda()).fit(others, others.y).calibrate(labelled, labelled.y)
    >>> method.strengths_, bool(method.score(later, later.y) > 0.9)
    ((0.0, 0.0), True)
    """

    def __init__(self, estimator: Any = None, strengths: tuple[float, float] | None = None, overlap: float = 5.0):
        self.estimator = estimator
        self.strengths = strengths
        self.overlap = overlap

    def fit(self, X: Any, y: Any = None) -> PriorWeightedLDA:
        """Learn from labelled windows of one or several people, and choose the strengths."""
        if self.strengths is not None and (len(self.strengths) != 2 or not min(self.strengths) >= 0):
            raise ConfigError(f"strengths must be two numbers of at least 0, got {self.strengths!r}")
        y = np.asarray(X.y if y is None else y)
        super().fit(X, y)
        last, rows = need_means_and_covariance(self._last, "PriorWeightedLDA"), self._table(X)
        n_classes, overlap = len(self.classes_), overlap_in(X, self.overlap)
        code, group = np.searchsorted(self.classes_, y), groups_of(X)
        self.known_person_ = len(np.unique(group)) == 1
        if self.known_person_:
            group = groups_of(X, ("session",))
        self.source_ = Source.of(rows, code, group, n_classes)
        self.strengths_ = UNCHOSEN if self.strengths is None else (float(self.strengths[0]), float(self.strengths[1]))
        self.temperature_ = getattr(last, "temperature_", 1.0)
        if held_out := list(held_out_groups(X, rows, code, group, overlap, n_classes)):
            if self.strengths is None:
                self.strengths_ = best_strengths(held_out)
            scores = [held.scores(self.strengths_) for held in held_out]
            self.temperature_ = fit_temperature(
                np.concatenate(scores), np.concatenate([held.code for held in held_out])
            )
        self.sameness_ = Sameness.of(X, y)
        self.base_, self.adapted_ = self.estimator_, False
        return self

    def adapt(self, X: Any) -> PriorWeightedLDA:
        """Learn from unlabelled windows of a new person or session."""
        self.estimator_, self.adapted_ = self.base_, False
        last, rows = self._last, self._table(X)
        few = spread(len(rows), SEEN)
        overlap = max(overlap_in(X, self.overlap) * len(few) / max(len(rows), 1), 1.0)
        if len(rows) < 2 * overlap:
            not_adapted("the windows cover less signal than the length of two windows")
            return self
        try:
            white = whitening(last.covariance_)
        except np.linalg.LinAlgError:
            not_adapted("the covariance of the features is singular; use shrinkage='auto'")
            return self
        z, means = rows[few] @ white, last.means_ @ white
        margin = FAR if self.known_person_ else 0.0
        together = moved(z, means, overlap, RIGID, margin=margin)
        weight = limited(z, means, together) if self.known_person_ else np.ones(len(z))
        why = too_few_classes(together.counts, self.known_person_)
        if not self.known_person_:  # otherwise `limited` knows the frequent class
            why = why or self.sameness_.one_movement(X)
        if why:
            not_adapted(why)
        elif not pays(z, z, means, overlap, RIGID, margin, weight):
            not_adapted(
                "the shift that was learnt from one half of the windows did not make the other half more probable"
            )
        else:
            offsets = moved(z, means, overlap, RIGID, margin=margin, weight=weight).offsets
            temperature = getattr(last, "temperature_", 1.0)
            self._decide(last.means_ + offsets @ np.linalg.inv(white), last.covariance_, temperature)
        return self

    def calibrate(self, X: Any, y: Any = None) -> PriorWeightedLDA:
        """Learn from some labelled windows of a new person or session.

        y : (window,) labels; by default those of the Windows."""
        code, rows = codes_of(X.y if y is None else y, self.classes_), self._table(X)
        target = Labelled.of(rows, code, overlap_in(X, self.overlap), len(self.classes_))
        self._decide(*self.source_.mixed(target, self.strengths_), self.temperature_)
        self._remember(X)
        self.base_, self.known_person_ = self.estimator_, True
        return self

    def _decide(self, means: np.ndarray, covariance: np.ndarray, temperature: float) -> None:
        """Replace the discriminant by one with other means and another covariance."""
        last = copy.deepcopy(self._last)
        decide_by(last, means, covariance, temperature)
        last.temperature_ = temperature
        self._replace_last(last)
        self.adapted_ = True


@METHODS.register
def prior_weighted_lda(
    strengths: tuple[float, float] | None = None, classifier: str = "lda", **options: Any
) -> PriorWeightedLDA:
    """Linear discriminant that mixes means and covariance of other people and of a new one: see `PriorWeightedLDA`.

    Parameters
    ----------
    strengths : as in `PriorWeightedLDA`; None chooses them on the training people.
    classifier : name of a method that is a pipeline with a linear discriminant.
    options : further options of that method.

    Examples
    --------
    >>> prior_weighted_lda(features="MAV").estimator["features"].names
    ['MAV']
    """
    return PriorWeightedLDA(METHODS.create(classifier, **options), strengths)
