"""A mixture of experts: one classifier per training person, weighted by how well it serves a new person."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from myograph._common.fitted import need_two_classes
from myograph._common.seen import no_leakage_warning
from myograph.errors import ConfigError
from myograph.methods._held_out import held_out_folds, held_out_proba
from myograph.methods._target import codes_of, groups_of, not_adapted, overlap_in
from myograph.methods.registry import METHODS

FLOOR = 0.01  # share of the uniform distribution in each expert's probabilities: no expert excludes a class
POWERS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
COMPARED = 500  # largest number of windows of each training person on which the power is chosen
STEPS = 200
LOSABLE = 0.01  # accuracy that `adapt` may cost a training person, who was left out, for it to be used at all


def mixture_weights(likelihood: np.ndarray, overlap: float = 1.0, prior: float = 1.0) -> np.ndarray:
    """Return the (expert,) weights of a mixture with the least log loss, by expectation-maximisation.

    Parameters
    ----------
    likelihood : (expert, window) probability that each expert gives to the true class.
    overlap : average number of windows that cover the same sample; this many count as one.
    prior : number of windows, for each expert, that the prior of equal weights weighs as much as.

    >>> mixture_weights(np.array([[0.9, 0.9], [0.1, 0.1]]), prior=1e-9).round(3)
    array([1., 0.])
    >>> mixture_weights(np.ones((2, 0)))
    array([0.5, 0.5])
    """
    n_experts, n = likelihood.shape
    weights = np.full(n_experts, 1 / n_experts)
    for _ in range(STEPS):
        joint = weights[:, None] * likelihood
        weights = ((joint / joint.sum(axis=0)).sum(axis=1) / overlap + prior) / (n / overlap + prior * n_experts)
    return weights


def agreement(proba: np.ndarray) -> np.ndarray:
    """Return the (expert,) mean probability that an expert, and another one drawn at random, choose the same class.

    proba : (expert, window, class), of two experts or more.

    >>> agreement(np.array([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])).tolist()
    [0.5, 0.5, 0.0]
    """
    others = (proba.sum(axis=0) - proba) / (len(proba) - 1)
    return (proba * others).sum(axis=2).mean(axis=1)


class PersonExperts(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A mixture of experts, each of them a classifier of one training person.

    `fit` fits one expert per person, or per session if there is only one person. The probability of a class is the weighted
    mean of the experts' probabilities, of which 1 % is replaced by a uniform distribution. All weights are equal at first.

    `adapt` learns from unlabelled windows of a new person: an expert's weight is its agreement with the other experts on
    these windows (see `agreement`), to a power. The power is chosen in `fit` by leave-one-out over the training people: it
    is the one with the least mean log loss on the windows of the person that is left out, among those that cost none of them
    more than 1 % of accuracy. The power 0, which keeps equal weights, is the guard: if agreement does not tell which
    expert to trust for the training people, `adapt` changes nothing and gives a NotAdaptedWarning. The same happens if there
    are fewer than three experts, and after `calibrate`, because labels are better evidence. Each call starts from the experts, not from earlier weights.

    `calibrate` learns from a few labelled windows. One more expert is fitted on them. The weights are those with the least
    log loss on these windows, with a prior of one window per expert on equal weights (see `mixture_weights`). The new
    expert is judged by its predictions for windows that were held out of its training. If none can be held out, because
    each class has fewer than four windows, only the other experts are weighted. If there is only one repetition, the
    held-out windows are neighbours of those in training, so that the weight of the new expert is somewhat too high.

    Sources: mixtures of experts, Jacobs et al. 1991, doi:10.1162/neco.1991.3.1.79; weighted models of other people for
    hand prostheses, Tommasi et al. 2013, IEEE Transactions on Robotics 29(1), there with support vector machines. Weights from
    agreement are our own.

    Parameters
    ----------
    estimator : a classifier over windows with `predict_proba`.
    prior : see `mixture_weights`.
    overlap : average number of windows that cover the same sample. It is used for arrays only; for Windows it is computed.

    Attributes
    ----------
    classes_ : (class,) labels.
    experts_ : the fitted classifiers; after `calibrate`, the last one is that of the labelled windows.
    weights_ : (expert,) weights, whose sum is 1.
    power_ : the power of the agreement.

    Raises
    ------
    ConfigError : a classifier without `predict_proba`, labels of one class, or windows of a class that training did not
        have (`calibrate`).

    Examples
    --------
    >>> from myograph.methods import PersonExperts, lda
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_subjects=4, n_classes=3)
    >>> others, anna = windows.where(subject=("2", "3", "4")), windows.where(subject="1")
    >>> labelled, later = anna.where(repetition=1), anna.where(repetition=(2, 3, 4))
    >>> method = PersonExperts(lda()).fit(others, others.y).calibrate(labelled, labelled.y)
    >>> len(method.experts_), bool((method.predict(later) == later.y).mean() > 0.9), method.predict_proba(later).shape
    (4, True, (63, 3))
    >>> method = PersonExperts(lda()).fit(others, others.y)
    >>> method.power_, method.adapt(later).weights_.round(2)  # these people are alike: equal weights stay, with a warning
    (0.0, array([0.33, 0.33, 0.33]))
    """

    def __init__(self, estimator: Any = None, prior: float = 1.0, overlap: float = 5.0):
        self.estimator = estimator
        self.prior = prior
        self.overlap = overlap

    def fit(self, X: Any, y: Any = None) -> PersonExperts:
        """Fit one expert per training person, and choose the power of the agreement."""
        if not self.prior > 0:
            raise ConfigError(f"prior must be a number of windows above 0, got {self.prior!r}")
        y = np.asarray(X.y if y is None else y)
        need_two_classes(y)
        self.classes_, code = np.unique(y, return_inverse=True)
        group = groups_of(X)
        if group.max(initial=0) == 0:
            group = groups_of(X, ("session",))
        parts = [np.flatnonzero(group == g) for g in np.unique(group)]
        parts = [rows for rows in parts if len(np.unique(y[rows])) > 1] or [np.arange(len(y))]
        self.experts_ = [self._expert(X[rows], y[rows]) for rows in parts]
        self.others_ = self.experts_
        self.power_ = self._chosen_power(X, code, parts) if len(parts) > 2 else 0.0
        self.weights_ = np.full(len(parts), 1 / len(parts))
        self.calibrated_ = False
        return self

    def adapt(self, X: Any) -> PersonExperts:
        """Weight the experts by their agreement on unlabelled windows of a new person."""
        check_is_fitted(self, "experts_")
        if self.calibrated_:
            not_adapted("the weights were chosen with labelled windows")
        elif self.power_ == 0:
            not_adapted("agreement between experts did not help any training person, or there were fewer than three")
        else:
            self.weights_ = _powers(agreement(self._each(self.experts_, X)), self.power_)
        return self

    def calibrate(self, X: Any, y: Any = None) -> PersonExperts:
        """Add an expert, and weight all of them, with labelled windows of a new person. y : (window,) labels; by default those
        of the Windows."""
        check_is_fitted(self, "experts_")
        y = np.asarray(X.y if y is None else y)
        code, n_classes = codes_of(y, self.classes_), len(self.classes_)
        with no_leakage_warning():
            proba, overlap = self._each(self.others_, X), overlap_in(X, self.overlap)
            likelihood, experts = proba[:, np.arange(len(y)), code], self.others_
            known = np.unique(code)
            if len(known) > 1:
                own = self._expert(X, y)
                folds = held_out_folds(X, code)
                held_out = held_out_proba(own, X, np.searchsorted(known, code), folds, len(known))
                rows = np.flatnonzero(np.isfinite(held_out).all(axis=1))
                if len(rows):
                    mine = _floored(held_out[rows, np.searchsorted(known, code[rows])], n_classes)
                    likelihood, experts = np.concatenate([likelihood[:, rows], mine[None]]), [*self.others_, own]
        self.experts_, self.weights_ = experts, mixture_weights(likelihood, overlap, self.prior)
        self.calibrated_ = True
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (window, class) probabilities."""
        check_is_fitted(self, "experts_")
        return np.tensordot(self.weights_, self._each(self.experts_, X), axes=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return (window,) labels."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _expert(self, X: Any, y: np.ndarray) -> Any:
        expert = cast(Any, clone(self.estimator)).fit(X, y)
        if not hasattr(expert, "predict_proba"):
            last = expert[-1] if isinstance(expert, Pipeline) else expert
            raise ConfigError(
                f"PersonExperts needs class probabilities, but {type(last).__name__} has no predict_proba; use another "
                "classifier"
            )
        return expert

    def _each(self, experts: list[Any], X: Any) -> np.ndarray:
        """Return the (expert, window, class) probabilities; 0, before the floor, for classes that an expert does not know."""
        found = np.zeros((len(experts), len(X), len(self.classes_)))
        for proba, expert in zip(found, experts):
            proba[:, np.searchsorted(self.classes_, expert.classes_)] = expert.predict_proba(X)
        return _floored(found, len(self.classes_))

    def _chosen_power(self, X: Any, code: np.ndarray, parts: list[np.ndarray]) -> float:
        """Return the power with the least mean log loss over the people, each predicted by the experts of the others, among
        the powers that cost nobody accuracy."""
        loss, hits = np.empty((2, len(parts), len(POWERS)))
        for left_out, rows in enumerate(parts):
            few = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), COMPARED)).astype(int))]
            with no_leakage_warning():
                proba = self._each([e for i, e in enumerate(self.experts_) if i != left_out], X[few])
            agreed = agreement(proba)
            for p, power in enumerate(POWERS):
                mixed = np.tensordot(_powers(agreed, power), proba, axes=1)
                loss[left_out, p] = -np.log(mixed[np.arange(len(few)), code[few]]).mean()
                hits[left_out, p] = (mixed.argmax(axis=1) == code[few]).mean()
        harmless = (hits >= hits[:, :1] - LOSABLE).all(axis=0)
        return POWERS[int(np.argmin(np.where(harmless, loss.mean(axis=0), np.inf)))]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def _floored(proba: np.ndarray, n_classes: int) -> np.ndarray:
    return (1 - FLOOR) * proba + FLOOR / n_classes


def _powers(agreed: np.ndarray, power: float) -> np.ndarray:
    weights = (agreed / agreed.max()) ** power
    return weights / weights.sum()


@METHODS.register
def person_experts(classifier: str = "lda", prior: float = 1.0, **options: Any) -> PersonExperts:
    """Mixture of one classifier per training person, weighted for a new person: see `PersonExperts`.

    Parameters
    ----------
    classifier : name of the method of each expert.
    prior : as in `PersonExperts`.
    options : further options of that method.

    Examples
    --------
    >>> person_experts("knn", k=3).estimator["classify"].n_neighbors
    3
    """
    return PersonExperts(METHODS.create(classifier, **options), prior)
