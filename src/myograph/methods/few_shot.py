"""Few-shot prototypes on the last hidden layer of a network that was trained on many people."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.utils.validation import check_is_fitted

from myograph._common.seen import no_leakage_warning
from myograph.errors import ConfigError
from myograph.methods._adapter import Adapter
from myograph.methods._discriminant import class_means
from myograph.methods._sameness import Sameness
from myograph.methods._target import codes_of, groups_of, not_adapted, overlap_in, source_share, too_few_classes
from myograph.methods.calibrated import fit_temperature
from myograph.methods.registry import METHODS


class Prototypes(Adapter):
    """Classify by the nearest class prototype in the last hidden layer of a network.

    `fit` trains the network with its usual loss, not in few-shot episodes as in the paper. The prototype of a class is the
    mean of the inputs of the last layer over the training windows of the class. Probabilities are a softmax of the negative
    squared Euclidean distances, divided by a temperature. The temperature is fitted to the training windows. The network was
    trained on them, so its confidence on other windows is too high.

    `calibrate` learns from a few labelled windows of a new person or session. The prototype of a class with n non-overlapping
    labelled windows is the mean of these windows, with weight n / (`strength` + n), mixed with the prototype of training.
    The prototypes of training are first moved by their mean difference from the labelled windows, so that a class without
    labelled windows moves with the others.

    `adapt` learns from unlabelled windows by one step of soft k-means (Ren et al. 2018): each prototype is mixed in the same
    way with the mean of the windows, weighted by their probability of its class. It changes nothing and gives a
    NotAdaptedWarning if fewer than 70 % of the classes (35 % for a new person) are recognised, each for about four windows'
    length, or if one movement makes up most of a new person's windows (see `_sameness`). There is no other guard. Each call
    starts from the state that `fit` or `calibrate` left.

    Sources: Snell, Swersky & Zemel 2017, "Prototypical networks for few-shot learning", arXiv:1703.05175; Ren et al. 2018,
    arXiv:1803.00676.

    Parameters
    ----------
    estimator : a `NeuralClassifier`, or a pipeline that ends in one.
    strength : number of non-overlapping windows of a class that its prototype of training weighs as much as; chosen among 0,
        3, 10 and 30 on people 1 to 3 of 3DC.
    overlap : average number of windows that cover the same sample. It is used for arrays only; for Windows it is computed.

    Attributes
    ----------
    prototypes_ : (class, unit) of the current state.
    temperature_ : of the squared distances.
    adapted_ : whether the last `adapt` or `calibrate` changed anything.

    Raises
    ------
    ConfigError : an invalid strength, an estimator that is not a network, or windows of a class that training did not
        have (`calibrate`).

    Examples
    --------
    >>> from myograph.methods import Prototypes
    >>> from myograph.testing import make_windows
    >>> from myograph.training import NeuralClassifier
    >>> windows = make_windows(n_sessions=2)
    >>> monday, tuesday = windows.where(session=1), windows.where(session=2)
    >>> options = {"bands": 1, "combinations": 2, "hidden": 4}
    >>> method = Prototypes(NeuralClassifier("myonet", options, epochs=5, device="cpu")).fit(monday, monday.y)
    >>> labelled, later = tuesday.where(repetition=1), tuesday.where(repetition=(2, 3, 4))
    >>> method.prototypes_.shape, bool(method.calibrate(labelled, labelled.y).score(later, later.y) > 0.9)
    ((2, 4), True)
    """

    def __init__(self, estimator: Any = None, strength: float = 10.0, overlap: float = 5.0):
        self.estimator = estimator
        self.strength = strength
        self.overlap = overlap

    def fit(self, X: Any, y: Any = None) -> Prototypes:
        """Train the network, and take the prototypes from the same windows."""
        if not self.strength >= 0:
            raise ConfigError(f"strength must be a number of windows of at least 0, got {self.strength!r}")
        y = np.asarray(X.y if y is None else y)
        super().fit(X, y)
        if not hasattr(self._last, "module_"):
            raise ConfigError(f"Prototypes needs a NeuralClassifier, got {type(self._last).__name__}")
        code = np.searchsorted(self.classes_, y)
        with no_leakage_warning():
            hidden = self._hidden(X)
        self.source_ = self.base_ = self.prototypes_ = class_means(hidden, code, len(self.classes_))
        self.temperature_ = fit_temperature(-_distances(hidden, self.prototypes_), code)
        self.known_person_ = len(np.unique(groups_of(X))) == 1
        self.sameness_ = Sameness.of(X, y)
        self.adapted_ = False
        return self

    def adapt(self, X: Any) -> Prototypes:
        """Learn from unlabelled windows of a new person or session."""
        check_is_fitted(self, "prototypes_")
        self.prototypes_, self.adapted_ = self.base_, False
        with no_leakage_warning():
            hidden = self._hidden(X)
        share = softmax(-_distances(hidden, self.base_) / self.temperature_, axis=1)
        count = share.sum(axis=0) / overlap_in(X, self.overlap)
        why = too_few_classes(count, self.known_person_)
        if not self.known_person_:
            why = why or self.sameness_.one_movement(X)
        if why:
            not_adapted(why)
            return self
        mean = share.T @ hidden / np.maximum(share.sum(axis=0), 1e-9)[:, None]
        self.prototypes_, self.adapted_ = self._mixed(self.base_, mean, count), True
        return self

    def calibrate(self, X: Any, y: Any = None) -> Prototypes:
        """Learn from some labelled windows of a new person or session.

        y : (window,) labels; by default those of the Windows."""
        check_is_fitted(self, "prototypes_")
        code = codes_of(X.y if y is None else y, self.classes_)
        with no_leakage_warning():
            mean = class_means(self._hidden(X), code, len(self.classes_))
        count = np.bincount(code, minlength=len(mean)) / overlap_in(X, self.overlap)
        known = count > 0
        prototypes = self.source_ + (mean - self.source_)[known].mean(axis=0)
        prototypes[known] = self._mixed(prototypes[known], mean[known], count[known])
        self._remember(X)
        self.prototypes_ = self.base_ = prototypes
        self.known_person_ = self.adapted_ = True
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (window, class) probabilities."""
        check_is_fitted(self, "prototypes_")
        return softmax(-_distances(self._hidden(X), self.prototypes_) / self.temperature_, axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return (window,) labels."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _hidden(self, X: Any) -> np.ndarray:
        """Return the (window, unit) input of the network's last layer."""
        from myograph._common.pipelines import before_last
        from myograph.training.transfer import embeddings

        return embeddings(self._last, before_last(self.estimator_, X))

    def _mixed(self, prototypes: np.ndarray, means: np.ndarray, count: np.ndarray) -> np.ndarray:
        share = source_share(self.strength, count)[:, None]
        return share * prototypes + (1 - share) * means


def _distances(rows: np.ndarray, prototypes: np.ndarray) -> np.ndarray:
    """Return (window, class) squared Euclidean distances."""
    squares = np.square(rows).sum(axis=1)[:, None] + np.square(prototypes).sum(axis=1)
    return np.maximum(squares - 2 * rows @ prototypes.T, 0.0)


@METHODS.register
def prototypes(model: str = "myonet", strength: float = 10.0, seed: int = 0, **options: Any) -> Prototypes:
    """A network whose last layer is replaced by class prototypes, of other people and of a new one: see `Prototypes`.

    Parameters
    ----------
    model : a network, by name.
    strength : as in `Prototypes`.
    seed, options : further parameters of the `NeuralClassifier`.

    Examples
    --------
    >>> prototypes(epochs=5).estimator.epochs
    5
    """
    return Prototypes(METHODS.create(model, seed=seed, **options), strength)
