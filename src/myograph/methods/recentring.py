"""Riemannian re-centring: the channels of a later session are rotated and mixed so that its mean covariance is that of training."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
from scipy.special import softmax
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from myograph._common.seen import no_leakage_warning, remember, warn_of_leakage
from myograph.errors import ConfigError
from myograph.features.channels import shrunk_covariance, symmetric_function, symmetric_log
from myograph.methods._adapter import Adapter, has_probabilities
from myograph.methods._discriminant import class_means
from myograph.methods._rolls import common_layout, rolls_of
from myograph.methods._sameness import Sameness
from myograph.methods._target import codes_of, groups_of, not_adapted, overlap_in, too_few_classes
from myograph.methods.aligned import AlignedLDA
from myograph.methods.registry import METHODS
from myograph.windows import Windows

SHRINKAGE = 1e-6  # of the covariances, so that every one has a logarithm
# Weights of the `AlignedLDA` in the decision, relative to the classifier, after `adapt` and after `calibrate`. The classifier of the
# labelled windows has the weight n / HELD, where n is the number of labelled windows per class that do not overlap. Chosen on 3DC,
# electrode_shift and longterm_myo, and checked on people who did not decide (docs/adaptation.md).
UNLABELLED, LABELLED, HELD = 0.1, 0.5, 20.0
# After `calibrate`, `adapt` changes nothing if the `AlignedLDA` recognises less than this share of the labelled windows beyond chance.
RECOGNISED = 0.5
ALONE = np.array([1.0, 0.0, 0.0])
LEAST = 1e-6  # added to probabilities, so that none of the classifiers can exclude a class
EARLIER = "this %(name)s is not fitted, or was fitted by an earlier version of myograph; fit it again"


class Recentred(Adapter):
    """Any classifier whose input is re-centred: the samples of each person and session are multiplied by one matrix, so
    that their mean channel covariance is the same.

    A moved electrode, another gain or another skin thickness changes all movements in a similar way, and most of this
    change is in the mean covariance. The mean is that of the matrix logarithms, over classes that count equally. An armband or
    grid that was rotated changes the order of the channels, so the matrix also rotates them. The classifier's input stays samples, so
    it may be any method, including a network.

    `fit` rotates the channels of the training people so that their movements agree best, and re-centres each of their
    sessions to the mean over all of them. `adapt` estimates the matrix of a new session or person from unlabelled windows,
    `calibrate` from labelled ones. The rotation, and the classes of unlabelled windows, are those that an `AlignedLDA` finds
    after it has adapted to the same windows. Only the classes that are seen are compared with training, so a class that is
    seen more often than others, or is missing, does no harm as long as most windows are recognised. Each call of `adapt`
    starts from the state that `fit` or `calibrate` left.

    If the classifier has `predict_proba`, up to three classifiers decide together, by the weighted mean of their log probabilities:
    the classifier; after `adapt` or `calibrate` the `AlignedLDA`, which also shifts each class; and after `calibrate` a clone of the
    classifier that is fitted on the labelled windows alone, if these show every class. The more labelled windows there are, the
    more the clone counts, and the fewer of them the other two recognise, the less these count.

    `adapt` gives a NotAdaptedWarning and changes nothing if the `AlignedLDA` does not adapt, for example because the windows
    show too few classes; if the `AlignedLDA` did not recognise the windows of `calibrate`; or if the person is new and one
    movement makes up most of the windows (see `_sameness`).

    Source: Zanini et al. 2018, doi:10.1109/TBME.2017.2742541 (Riemannian alignment), with the mean of the log-Euclidean metric
    (Arsigny et al. 2006, doi:10.1002/mrm.20965). The balanced mean, the rotation, the common decision and the checks are ours.

    Parameters
    ----------
    estimator : a classifier over windows.
    overlap : average number of windows that cover the same sample. It is used for arrays only; for Windows it is computed.
    roll : whether armbands and grids may be rotated.

    Attributes
    ----------
    estimator_ : the fitted classifier.
    aligner_ : the fitted `AlignedLDA`.
    means_ : (class, channel, channel) mean logarithms of the covariances of training.
    matrix_ : (channel, channel), by which samples are multiplied before they are classified.
    own_ : the classifier that `calibrate` fitted on the labelled windows, or None.
    weights_ : (3,) weights of `estimator_`, `aligner_` and `own_`; their sum is 1.

    Examples
    --------
    >>> from myograph.methods import lda
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_sessions=2, n_classes=4, n_channels=3)
    >>> monday, tuesday = windows.where(session=1), windows.where(session=2)
    >>> gains = np.array([[3.0], [0.5], [1.0]])
    >>> moved = Windows([r.with_signal(gains * r.signal) for r in tuesday.recordings], tuesday.table)
    >>> method = Recentred(lda()).fit(monday, monday.y)
    >>> before = (method.predict(moved) == tuesday.y).mean()
    >>> after = (method.adapt(moved.without_labels()).predict(moved) == tuesday.y).mean()
    >>> float(before), float(after)
    (0.75, 1.0)
    >>> method.calibrate(moved[:40], moved.y[:40]).matrix_.shape
    (3, 3)
    """

    own_: Any = None  # a decoder saved by an earlier version has none of these
    weights_ = base_weights_ = ALONE
    recognised_: float = 1.0

    def __init__(self, estimator: Any = None, overlap: float = 5.0, roll: bool = True):
        self.estimator = estimator
        self.overlap = overlap
        self.roll = roll

    def fit(self, X: Any, y: Any = None) -> Recentred:
        """Learn from labelled windows of one or more people and sessions.

        Raises
        ------
        ConfigError : windows of single channels, which have no covariance between channels, or labels of one class.
        """
        y = np.asarray(X.y if y is None else y)
        classes, code = np.unique(y, return_inverse=True)
        logs, person, session = log_covariances(X), groups_of(X), groups_of(X, ("subject", "session"))
        self.aligner_ = AlignedLDA(self.roll, self.overlap).fit(X, y)
        layout = common_layout(X) if self.roll else None
        self.turns_ = np.eye(logs.shape[1])[rolls_of(layout, logs.shape[1])]
        first = np.unique(session, return_index=True)[1]
        turn = self.turns_[self.aligner_.turns_[person[first]]]  # (session, channel, channel)
        turned = X
        if len(turn) > 1:
            means = np.stack(
                [class_means(logs[session == s], code[session == s], len(classes)) for s in range(len(turn))]
            )
            means = turn[:, None] @ means @ turn[:, None].transpose(0, 1, 3, 2)  # (session, class, channel, channel)
            centre, seen = np.nanmean(means, axis=0), np.isfinite(means[..., 0, 0])
            matrices = [_matrix(centre[k].mean(axis=0), m[k].mean(axis=0)) @ t for m, k, t in zip(means, seen, turn)]
            turned = _multiplied(X, np.stack(matrices), session)
            logs = log_covariances(turned)
        with no_leakage_warning():
            super().fit(turned, y)
        remember(self, X)
        self.means_ = class_means(logs, code, len(classes))
        self.sameness_ = Sameness.of(X, y)
        self.n_people_ = int(person.max()) + 1
        self.matrix_ = self.base_matrix_ = np.eye(logs.shape[1])
        self.weights_ = self.base_weights_ = ALONE
        self.calibrated_, self.own_, self.recognised_ = False, None, 1.0
        return self

    def adapt(self, X: Any) -> Recentred:
        """Learn from unlabelled windows of a new person or session. X : Windows, or (window, channel, sample) array."""
        check_is_fitted(self, "aligner_", msg=EARLIER)
        self.matrix_, self.weights_ = self.base_matrix_, self.base_weights_
        known, aligner = self.n_people_ == 1 or self.calibrated_, copy.copy(self.aligner_.forget())
        with no_leakage_warning():  # these windows are used to learn, not scored
            if self.recognised_ < RECOGNISED:
                why = "the AlignedLDA that recognises the classes does not recognise those of the labelled windows"
            else:
                why = None if known else self.sameness_.one_movement(X)
            if why := why or aligner.learn_from(X):
                not_adapted(why)
                return self
            code = codes_of(aligner.predict(X), self.classes_)
        counts = np.bincount(code, minlength=len(self.classes_)) / overlap_in(X, self.overlap)
        if not (few := too_few_classes(counts, known)):
            self.matrix_, self.aligner_ = self._matrix_to(X, code, np.flatnonzero(counts >= 1), aligner.roll_), aligner
            if not self.calibrated_ and has_probabilities(self):
                self.weights_ = np.array([1.0, UNLABELLED, 0.0]) / (1 + UNLABELLED)
        elif known and not self.calibrated_ and aligner.roll_:  # few classes, but strong evidence for a rotation
            self.matrix_ = self.turns_[aligner.roll_]
        else:
            not_adapted(few)
        return self

    def calibrate(self, X: Any, y: Any = None) -> Recentred:
        """Learn from some labelled windows of a new person or session: the matrix, the classes of the `AlignedLDA`, and the
        clone of the classifier.

        y : (window,) labels, by default those of the Windows.

        Raises
        ------
        ConfigError : a class that training did not have.
        """
        check_is_fitted(self, "aligner_", msg=EARLIER)
        y = np.asarray(X.y if y is None else y)
        code = codes_of(y, self.classes_)
        seen, aligner = np.unique(code), copy.copy(self.aligner_).calibrate(X, y)
        matrix = self._matrix_to(X, code, seen, aligner.roll_)
        mixed, own, weights = _multiplied(X, matrix[None]), None, ALONE
        with no_leakage_warning():  # these windows are used to learn, not scored
            skill, of_aligner = (_skill(c.predict(x), y) for c, x in ((self.estimator_, mixed), (aligner, X)))
            if has_probabilities(self) and len(seen) == len(self.classes_):
                own = cast(Any, clone(self.estimator)).fit(mixed, y)
        if has_probabilities(self):
            share = 0.0 if own is None else len(y) / overlap_in(X, self.overlap) / len(seen) / HELD
            weights = np.array([skill**2, LABELLED * of_aligner**2, share])
            weights = weights / weights.sum() if weights.any() else ALONE
        remember(self, X, more=True)
        self.matrix_ = self.base_matrix_ = matrix
        self.weights_ = self.base_weights_ = weights
        self.aligner_, self.own_, self.calibrated_, self.recognised_ = aligner, own, True, of_aligner
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return (window,) labels."""
        check_is_fitted(self, "means_")
        if self.weights_[0] < 1:
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        warn_of_leakage(self, X)
        with no_leakage_warning():
            return super().predict(_multiplied(X, self.matrix_[None]))

    @available_if(has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (window, class) probabilities."""
        check_is_fitted(self, "means_")
        warn_of_leakage(self, X)
        with no_leakage_warning():
            mixed = _multiplied(X, self.matrix_[None])
            return self.together(
                [np.asarray(c.predict_proba(mixed if mixes else X)) for c, mixes in self.classifiers()]
            )

    def classifiers(self) -> list[tuple[Any, bool]]:
        """Return the fitted classifiers that decide, and whether the samples are multiplied by `matrix_` for them.

        >>> from myograph.methods import lda
        >>> from myograph.testing import make_windows
        >>> windows = make_windows(n_sessions=2, n_classes=4, n_channels=3)
        >>> method = Recentred(lda()).fit(monday := windows.where(session=1), monday.y)
        >>> len(method.classifiers()), len(method.calibrate(tuesday := windows.where(session=2), tuesday.y).classifiers())
        (1, 3)
        """
        found = [(self.estimator_, True), (self.aligner_, False), (self.own_, True)]
        return [pair for pair, weight in zip(found, self.weights_) if weight > 0]

    def together(self, proba: list[np.ndarray]) -> np.ndarray:
        """Return the (window, class) probabilities of all `classifiers`, given those of each.

        >>> method = Recentred()
        >>> method.weights_ = np.array([0.5, 0.0, 0.5])
        >>> method.together([np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])]).round(2)
        array([[0.75, 0.25]])
        """
        if len(proba) == 1:
            return proba[0]
        return softmax(
            np.average(np.log(np.add(proba, LEAST)), axis=0, weights=self.weights_[self.weights_ > 0]), axis=1
        )

    def _matrix_to(self, X: Any, code: np.ndarray, seen: np.ndarray, roll: int) -> np.ndarray:
        """The matrix that rotates the channels of the windows and gives those of the classes `seen` the mean covariance that
        these classes have in training."""
        turn = self.turns_[roll]
        there = class_means(turn @ log_covariances(X) @ turn.T, code, len(self.classes_))[seen]
        return _matrix(self.means_[seen].mean(axis=0), there.mean(axis=0)) @ turn


@METHODS.register
def recentred(classifier: str = "smoothed", overlap: float = 5.0, roll: bool = True, **options: Any) -> Recentred:
    """Another method, by default the default method, whose samples are re-centred for each person and session: see
    `Recentred`.

    Parameters
    ----------
    classifier : name of the method.
    overlap : average number of windows that cover the same sample, for arrays.
    roll : whether armbands and grids may be rotated.
    options : of the method.

    Examples
    --------
    >>> from myograph.methods import recentred
    >>> recentred("knn").estimator["classify"]
    KNeighborsClassifier()
    """
    return Recentred(METHODS.create(classifier, **options), overlap, roll)


def log_covariances(X: Any) -> np.ndarray:
    """Return the (window, channel, channel) logarithms of the channels' covariances.

    >>> logs = log_covariances(np.array([[[1.0, -1.0, 1.0, -1.0], [2.0, 2.0, -2.0, -2.0]]]))
    >>> np.exp(np.diag(logs[0])).round(3)
    array([1., 4.])
    """
    if X.shape[1] < 2:
        raise ConfigError("re-centring needs windows of two or more channels, got windows of single channels")
    parts = X.batches() if isinstance(X, Windows) else [np.asarray(X)]
    return np.concatenate([symmetric_log(shrunk_covariance(part, SHRINKAGE)) for part in parts])


def _multiplied(X: Any, matrices: np.ndarray, group: np.ndarray | None = None) -> Any:
    """The same windows after multiplication of their samples, each by the matrix of its group."""
    if len(matrices) == 1 and np.array_equal(matrices[0], np.eye(len(matrices[0]))):
        return X
    if not isinstance(X, Windows):
        return (matrices[0] @ np.asarray(X)).astype(np.asarray(X).dtype)
    of = np.zeros(len(X.recordings), int)
    if group is not None:  # a recording is of one person and session
        of[X.column("recording")] = group
    changed = []
    for recording, g in zip(X.recordings, of):
        signal = (matrices[g] @ recording.signal).astype(np.result_type(recording.signal, np.float32))
        mixed = copy.copy(recording)  # not checked again: samples that are hidden from the user's own code are NaN
        object.__setattr__(mixed, "signal", signal)
        changed.append(mixed)
    return Windows(changed, X.table)


def _skill(found: np.ndarray, y: np.ndarray) -> float:
    """The accuracy beyond that of chance, as a share of what is possible; 0 for chance or less."""
    by_chance = 1 / max(len(np.unique(y)), 2)
    return max(float(np.mean(found == y)) - by_chance, 0.0) / (1 - by_chance)


def _matrix(to: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The matrix that turns samples of one mean logarithm into samples of another."""
    return _exp(to / 2) @ _exp(-of / 2)


def _exp(symmetric: np.ndarray) -> np.ndarray:
    return symmetric_function(symmetric, np.exp, floor=-np.inf)
