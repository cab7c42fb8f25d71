"""CORAL: training windows whose mean and covariance become those of a new person or session."""

from __future__ import annotations

from typing import Any

import numpy as np

from myograph.errors import ConfigError
from myograph.methods._adapter import Adapter
from myograph.methods._discriminant import MANY
from myograph.methods._moments import Moments
from myograph.methods._sameness import Sameness
from myograph.methods._target import codes_of, groups_of, halves, not_adapted, overlap_in, source_share, too_few_classes
from myograph.methods.registry import METHODS


class CORAL(Adapter):
    """Correlation alignment: training windows get the mean and covariance of the target, and the classifier is fitted again.

    `fit` fits the classifier on all training windows, and stores their features. Until `adapt` or `calibrate` is called, the
    predictions are those of this classifier.

    `adapt` learns from unlabelled windows of a new person or session. The features of each training session are whitened,
    coloured with the covariance of the new windows, and moved to their mean. The classifier is then fitted on the result.
    If there are n non-overlapping new windows, the moments of all training windows have the weight `strength` / (`strength` +
    n) in the moments of each training session and of the target. Therefore few windows cause only a small change. Each call
    starts from the state that `fit` or `calibrate` left.

    `calibrate` does the same with labelled windows, in which all classes count equally, and adds the labelled windows to the
    training windows, repeated so that both have about the same total weight.

    CORAL takes the classes to be about as frequent in the target as in training. `adapt` therefore changes nothing and gives a
    NotAdaptedWarning if

    * fewer than 70 % of the classes (35 % for a new person) are predicted, each for about four windows' length,
    * one movement makes up most of the windows (see `_sameness`), or
    * the moments that are learnt from one half of the windows do not make the other half more probable.

    Source: Sun, Feng & Saenko 2016, "Return of frustratingly easy domain adaptation", arXiv:1511.05547, which has no
    means (its features are centred) and adds 1 to the diagonal of the covariances. That each training session is aligned
    separately, the shrinkage and the guards are our own.

    Parameters
    ----------
    estimator : a pipeline of features and a classifier.
    strength : number of non-overlapping windows that the moments of the training windows weigh as much as.
    ridge : added to the diagonal of the covariances; columns are expected to have a variance of about 1. Both were chosen on
        people 1 to 3 of 3DC, where values of 2 to 20 and of 0.1 to 1 differed by less than 2 points.
    overlap : average number of windows that cover the same sample. It is used for arrays only; for Windows it is computed.

    Attributes
    ----------
    estimator_ : the current pipeline.
    adapted_ : whether the last `adapt` or `calibrate` changed anything.

    Raises
    ------
    ConfigError : an invalid parameter, an estimator that is not a pipeline of features and a classifier, more than 1000
        columns, or windows of a class that training did not have (`calibrate`).

    Examples
    --------
    >>> from myograph.methods import CORAL, lda
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_subjects=3, n_classes=3)
    >>> others, anna = windows.where(subject=("2", "3")), windows.where(subject="1")
    >>> method, x = CORAL(lda()).fit(others, others.y), 3 * anna.batch()  # her signal is three times as strong
    >>> float((method.predict(x) == anna.y).mean().round(2)), float((method.adapt(x).predict(x) == anna.y).mean().round(2))
    (0.67, 1.0)
    >>> method = method.calibrate(x[::2], anna.y[::2])
    >>> float((method.predict(x) == anna.y).mean().round(2))
    1.0
    """

    def __init__(self, estimator: Any = None, strength: float = 5.0, ridge: float = 1.0, overlap: float = 5.0):
        self.estimator = estimator
        self.strength = strength
        self.ridge = ridge
        self.overlap = overlap

    def fit(self, X: Any, y: Any = None) -> CORAL:
        """Learn from labelled windows of one or several people and sessions."""
        if not self.strength >= 0 or not self.ridge > 0:
            raise ConfigError(
                f"strength must be at least 0 and ridge above 0, got {self.strength!r} and {self.ridge!r}"
            )
        y = np.asarray(X.y if y is None else y)
        super().fit(X, y)
        self.rows_, self.y_, self.domain_ = self._table(X), y, groups_of(X, ("subject", "session"))
        if self.rows_.shape[1] > MANY:
            raise ConfigError(
                f"CORAL needs the square root of the covariance of {self.rows_.shape[1]} columns; choose features of at most "
                f"{MANY} columns"
            )
        self.sameness_ = Sameness.of(X, y)
        self.known_person_ = len(np.unique(groups_of(X))) == 1
        self.labelled_: tuple[np.ndarray, np.ndarray] | None = None
        self.reference_, self.base_, self.adapted_ = self._source(self.classes_), self.estimator_, False
        return self

    def adapt(self, X: Any) -> CORAL:
        """Learn from unlabelled windows of a new person or session."""
        self.estimator_, self.adapted_ = self.base_, False
        rows, overlap = self._table(X), overlap_in(X, self.overlap)
        counts = self._shares(rows).sum(axis=0) / overlap
        why = too_few_classes(counts, self.known_person_) or self.sameness_.one_movement(X)
        if why or not self._pays(rows, overlap):
            not_adapted(why or "the covariance of one half of the windows did not make the other half more probable")
            return self
        share = float(source_share(self.strength, len(rows) / overlap))
        self._align(Moments.of(rows, np.ones(len(rows))).mixed(self.reference_, share), share, self.classes_)
        return self

    def calibrate(self, X: Any, y: Any = None) -> CORAL:
        """Learn from some labelled windows of a new person or session.

        y : (window,) labels; by default those of the Windows."""
        y = np.asarray(X.y if y is None else y)
        codes_of(y, self.classes_)
        rows, known = self._table(X), np.unique(y)
        share = float(source_share(self.strength, len(rows) / overlap_in(X, self.overlap)))
        self.labelled_, self.known_person_ = (rows, y), True
        moved, labels = self._align(Moments.of(rows, _equal(y)).mixed(self._source(known), share), share, known)
        self._remember(X)
        self.reference_, self.base_ = Moments.of(moved, _equal(labels)), self.estimator_
        return self

    def _source(self, known: np.ndarray) -> Moments:
        """Return the moments of the training windows of some classes, which count equally."""
        mine = np.isin(self.y_, known)
        return Moments.of(self.rows_[mine], _equal(self.y_[mine]))

    def _align(self, to: Moments, share: float, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fit the classifier on training windows with other moments; return them and their labels.

        share : of the moments of all training windows in those of each training session.
        known : classes that the moments describe; their windows determine how all windows are moved."""
        source, moved, y = self._source(known), self.rows_.copy(), self.y_
        for d in np.unique(self.domain_):
            here = self.domain_ == d
            if (mine := here & np.isin(self.y_, known)).any():
                own = Moments.of(self.rows_[mine], _equal(self.y_[mine])).mixed(source, share)
                moved[here] = own.moved(self.rows_[here], to, self.ridge)
        if self.labelled_ is not None:
            rows, labels = self.labelled_
            if np.isin(known, labels).all():  # otherwise their moments describe other classes
                own = Moments.of(rows, _equal(labels)).mixed(source, share)
                rows = own.moved(rows, to, self.ridge)
            times = max(round(len(moved) / len(rows)), 1)
            moved, y = np.concatenate([moved, *[rows] * times]), np.concatenate([y, *[labels] * times])
        self._refit_last(moved, y)
        self.adapted_ = True
        return moved, y

    def _pays(self, rows: np.ndarray, overlap: float) -> bool:
        """Return whether the moments of one half of the windows make the other half more probable."""
        half, gain = halves(len(rows), overlap), 0.0
        for held in (0, 1):
            learnt, out = half != held, half == held
            if not (learnt.any() and out.any()):
                return False
            share = float(source_share(self.strength, learnt.sum() / overlap))
            target = Moments.of(rows[learnt], np.ones(learnt.sum())).mixed(self.reference_, share)
            gain += target.evidence(rows[out], self.ridge) - self.reference_.evidence(rows[out], self.ridge)
        return gain > 0

    def _shares(self, rows: np.ndarray) -> np.ndarray:
        """Return (window, class) probabilities, or predictions as 0 and 1 if the classifier has no probabilities."""
        if hasattr(self._last, "predict_proba"):
            return np.asarray(self._last.predict_proba(rows))
        return (self._last.predict(rows)[:, None] == self.classes_).astype(float)


def _equal(y: np.ndarray) -> np.ndarray:
    """Return (row,) weights with which all classes have the same total weight."""
    _, code, count = np.unique(y, return_inverse=True, return_counts=True)
    return 1.0 / count[code]


@METHODS.register
def coral(classifier: str = "lda", strength: float = 5.0, ridge: float = 1.0, **options: Any) -> CORAL:
    """Correlation alignment of another method's training windows to a new person or session: see `CORAL`.

    Parameters
    ----------
    classifier : name of a method that is a pipeline of features and a classifier, such as lda, svm or knn.
    strength, ridge : as in `CORAL`.
    options : further options of that method.

    Examples
    --------
    >>> coral("svm", C=1.0).estimator["classify"].C
    1.0
    """
    return CORAL(METHODS.create(classifier, **options), strength, ridge)
