"""Riemannian re-centring: the channels of a later session are rotated and mixed so that its mean covariance is that of training."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from myograph._common.seen import no_leakage_warning, remember, warn_of_leakage
from myograph.errors import ConfigError
from myograph.features.channels import shrunk_covariance, symmetric_function, symmetric_log
from myograph.methods._adapter import Adapter, has_probabilities
from myograph.methods._rolls import common_layout, rolls_of
from myograph.methods._sameness import Sameness
from myograph.methods._target import codes_of, groups_of, not_adapted, overlap_in, too_few_classes
from myograph.methods.aligned import AlignedLDA
from myograph.methods.registry import METHODS
from myograph.windows import Windows

SHRINKAGE = 1e-6  # of the covariances, so that every one has a logarithm
EARLIER = "this %(name)s is not fitted, or was fitted by an earlier version of myograph; fit it again"


class Recentred(Adapter):
    """Any classifier whose input is re-centred: the samples of each person and session are multiplied by one matrix, so
    that their mean channel covariance is the same.

    A moved electrode, another gain or another skin thickness changes all movements in a similar way, and most of this
    change is in the mean covariance. The mean is that of the matrix logarithms, over classes that count equally. An armband or
    grid that was rotated changes the order of the channels, so the matrix also rotates them. Only the samples change, so the
    classifier may be any method, including a network.

    `fit` rotates the channels of the training people so that their movements agree best, and re-centres each of their
    sessions to the mean over all of them. `adapt` estimates the matrix of a new session or person from unlabelled windows,
    `calibrate` from labelled ones. The rotation, and the classes of unlabelled windows, are those that an `AlignedLDA` finds
    after it has adapted to the same windows. Only the classes that are seen are compared with training, so a class that is
    seen more often than others, or is missing, does no harm as long as most windows are recognised. Each call of `adapt`
    starts from the state that `fit` or `calibrate` left.

    `adapt` gives a NotAdaptedWarning and changes nothing if the `AlignedLDA` does not adapt, for example because the windows
    show too few classes, or if the person is new and one movement makes up most of the windows (see `_sameness`).

    Source: Zanini et al. 2018, doi:10.1109/TBME.2017.2742541 (Riemannian alignment), with the mean of the log-Euclidean metric
    (Arsigny et al. 2006, doi:10.1002/mrm.20965). The balanced mean, the rotation and the checks are ours.

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
                [_of_classes(logs[session == s], code[session == s], len(classes)) for s in range(len(turn))]
            )
            means = turn[:, None] @ means @ turn[:, None].transpose(0, 1, 3, 2)  # (session, class, channel, channel)
            centre, seen = np.nanmean(means, axis=0), np.isfinite(means[..., 0, 0])
            matrices = [_matrix(centre[k].mean(axis=0), m[k].mean(axis=0)) @ t for m, k, t in zip(means, seen, turn)]
            turned = _multiplied(X, np.stack(matrices), session)
            logs = log_covariances(turned)
        with no_leakage_warning():
            super().fit(turned, y)
        remember(self, X)
        self.means_ = _of_classes(logs, code, len(classes))
        self.sameness_ = Sameness.of(X, y)
        self.n_people_ = int(person.max()) + 1
        self.matrix_ = self.base_matrix_ = np.eye(logs.shape[1])
        self.calibrated_ = False
        return self

    def adapt(self, X: Any) -> Recentred:
        """Learn from unlabelled windows of a new person or session. X : Windows, or (window, channel, sample) array."""
        check_is_fitted(self, "aligner_", msg=EARLIER)
        known, self.matrix_ = self.n_people_ == 1 or self.calibrated_, self.base_matrix_
        with no_leakage_warning():  # these windows are used to learn, not scored
            why = None if known else self.sameness_.one_movement(X)
            if why := why or self.aligner_.learn_from(X):
                not_adapted(why)
                return self
            code = codes_of(self.aligner_.predict(X), self.classes_)
        logs, turn = self._rotated(X)
        counts = np.bincount(code, minlength=len(self.classes_)) / overlap_in(X, self.overlap)
        few = too_few_classes(counts, known)
        if not few:
            self.matrix_ = self._matrix_to(logs, code, np.flatnonzero(counts >= 1)) @ turn
        elif known and not self.calibrated_ and self.aligner_.roll_:  # few classes, but strong evidence for a rotation
            self.matrix_ = turn
        else:
            not_adapted(few)
        return self

    def calibrate(self, X: Any, y: Any = None) -> Recentred:
        """Learn the matrix, and nothing else, from some labelled windows of a new person or session.

        y : (window,) labels, by default those of the Windows.

        Raises
        ------
        ConfigError : a class that training did not have.
        """
        check_is_fitted(self, "aligner_", msg=EARLIER)
        y = np.asarray(X.y if y is None else y)
        code = codes_of(y, self.classes_)
        remember(self, X, more=True)
        self.aligner_.calibrate(X, y)
        logs, turn = self._rotated(X)
        self.matrix_ = self._matrix_to(logs, code, np.unique(code)) @ turn
        self.base_matrix_, self.calibrated_ = self.matrix_, True
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return (window,) labels."""
        check_is_fitted(self, "means_")
        warn_of_leakage(self, X)
        with no_leakage_warning():
            return super().predict(_multiplied(X, self.matrix_[None]))

    @available_if(has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (window, class) probabilities."""
        check_is_fitted(self, "means_")
        warn_of_leakage(self, X)
        with no_leakage_warning():
            return super().predict_proba(_multiplied(X, self.matrix_[None]))

    def _rotated(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return (window, channel, channel) logarithms of the covariances after the rotation that the aligner found, and the
        matrix of this rotation."""
        turn = self.turns_[self.aligner_.roll_]
        return turn @ log_covariances(X) @ turn.T, turn

    def _matrix_to(self, logs: np.ndarray, code: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The matrix that gives the windows of the classes `seen` the mean covariance that these have in training."""
        there = np.stack([logs[code == k].mean(axis=0) for k in seen])
        return _matrix(self.means_[seen].mean(axis=0), there.mean(axis=0))


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


def _of_classes(logs: np.ndarray, code: np.ndarray, n_classes: int) -> np.ndarray:
    """The (class, channel, channel) mean of each class; NaN if it is missing."""
    means = np.full((n_classes, *logs.shape[1:]), np.nan)
    for k in np.unique(code):
        means[k] = logs[code == k].mean(axis=0)
    return means


def _matrix(to: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The matrix that turns samples of one mean logarithm into samples of another."""
    return _exp(to / 2) @ _exp(-of / 2)


def _exp(symmetric: np.ndarray) -> np.ndarray:
    return symmetric_function(symmetric, np.exp, floor=-np.inf)
