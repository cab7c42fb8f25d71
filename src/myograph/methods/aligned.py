"""A linear discriminant that adapts to new days and new people, with or without labelled windows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from myograph._common.fitted import need_two_classes
from myograph._common.seen import no_leakage_warning, remember
from myograph.features.transformer import Features
from myograph.methods._discriminant import class_means, shrunk_discriminant
from myograph.methods._mixture import Prior, limited, moved, pays, whitening
from myograph.methods._rolls import align_groups, columns_of, common_layout, rolls_of, sizes_of
from myograph.methods._sameness import log_variances
from myograph.methods._target import codes_of, not_adapted, overlap_in, source_share, spread, too_few_classes
from myograph.methods.registry import METHODS

# The priors were chosen on people 0-2 of electrode_shift, people 1 and 2 of longterm_myo, and, for training on several
# people, on 3DC and MyoArmband.
FREE = Prior(common=5.0, own=0.5)
RIGID = Prior(common=5.0, own=np.inf)
CALIBRATED = Prior(common=20.0, own=5.0)
# Penalty on the rotation of a new person's armband, in nats per window for each electrode of rotation; chosen on the six
# people of 3DC (0.5, 1, 2, 3: 48.9, 56.1, 65.0, 53.9 % without labels). On MyoArmband 1, 2 and 3 are equal.
STEP = 2.0
# For a known person, a large shift or a rotation is accepted only if it gains more than this many nats per window.
FAR = TURN = 3.0
# In `calibrate`, the covariance of the training people weighs as much as this many non-overlapping windows per class, and so
# do the class means of a known person; the second was chosen on the six people of 3DC.
HELD = 20.0
# For each class: the distance of its new mean from its old mean, divided by the distance of its new mean from the nearest
# old mean of another class. Above this limit the class has probably taken windows of the other class. The second limit is
# used if one class makes up more than 60 % of the windows. Chosen on seeds 2-13 of the simulator and the people above.
DISPLACED, DISPLACED_UNEQUAL = 1.5, 0.87
# If fewer classes are seen, a rotation is still accepted if it gains more than this many nats per window. Chosen on people
# 0-2 of electrode_shift and people 1 and 2 of longterm_myo.
SURE_TURN = 10.0
# With more columns than this, LOGCOV is reduced to at most KEPT principal components of training: 192 channels have 18,528
# columns, whose covariance would take 2.7 GB and a quarter of an hour to whiten.
WIDE, KEPT = 2500, 500
# A channel whose variance in training is below this share of the median channel's is taken for dead. Then no rotation is searched,
# because a rotation would be the likeliest explanation of a channel that is alive later.
DEAD = 0.003
SEARCHED, SEEN = 500, 4000  # largest number of windows used to search for the rotation, and in all of `adapt`


class AlignedLDA(ClassifierMixin, BaseEstimator):
    """Linear discriminant analysis of log-covariances that adapts to a new person or day.

    Each window is represented by the matrix logarithm of its channel covariance (feature LOGCOV). In these coordinates, a
    different gain or skin thickness, or a slight shift of the electrodes, moves all windows by about the same vector. With 71
    channels or more, the first 500 principal components of training are used.

    `fit` on several people rotates each person's armband or grid so that the class means agree best, removes each person's
    mean, and fits a discriminant with shrinkage. The windows of a single person are used unchanged.

    `adapt` learns from unlabelled windows of a new person or day. It first chooses the rotation of the armband or grid under
    which the windows are most probable. It then shifts the class means, by one common vector and by one vector per class,
    so that the windows become most probable (see `_mixture`). The proportions of the classes are estimated as well. On a
    new day of a known person, a class that makes up most of the windows gets less weight. Each call starts from the state
    that `fit` or `calibrate` left.

    In three cases `adapt` gives a NotAdaptedWarning and changes nothing:

    * The windows show too few classes for long enough. At least 70 % of the classes (35 % for a new person) must each be
      seen for about four windows' length, because unseen classes would get only the common shift. For a known person, a
      rotation with strong evidence is accepted nevertheless.
    * What is learnt from one half of the windows does not make the other half more probable.
    * The person is known, and a class would end where another class was. That class was probably not seen, and would take
      the windows of the other.

    `calibrate` learns from some labelled windows of a new person or day. The class means are those of the labelled windows.
    The covariance is a mixture of theirs and of that within the training people; the more labelled windows there are, the
    more theirs counts.

    Parameters
    ----------
    roll : whether armbands and grids may be rotated. They are not if a channel has no signal in training.
    overlap : average number of windows that cover the same sample. It is used for arrays only; for Windows it is computed.
    feature_options : further arguments of `Features`.

    Attributes
    ----------
    classes_ : (class,) labels.
    means_, covariance_, within_ : estimated by `fit`. (class, column) means; (column, column) covariance; and (column,
        column) covariance within the training people. A column is one of LOGCOV, or a component if `basis_` is set.
    basis_ : (column of LOGCOV, component), or None.
    coef_, intercept_ : (class, column) and (class,), of the current discriminant.
    turns_ : (person,) number of the rotation of each training person, in order of appearance.
    roll_ : number of the rotation that `adapt` or `calibrate` chose; 0 leaves the channels as they are.
    adapted_ : whether the last `adapt` or `calibrate` changed anything.

    Raises
    ------
    ConfigError : `y` holds one class (`fit`), or a class that training did not have (`calibrate`).
    ShapeError, SignalError : the windows do not have the format of those in `fit`.

    Sources: log-Euclidean covariance as in LOGCOV; recentring as in Zanini et al. 2018, doi:10.1109/TBME.2017.2742541, but in
    the tangent space; adaptation as in `_mixture`. The combination, and the choice of the rotation by its likelihood, are
    our own.

    Examples
    --------
    >>> import numpy as np
    >>> from myograph.methods import AlignedLDA
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.standard_normal((40, 2, 100)) * np.where(y, [[1.0], [9.0]], [[9.0], [1.0]]).T[:, :, None]
    >>> method = AlignedLDA(overlap=1.0).fit(X, y)
    >>> louder = X * [[10.0], [1.0]]
    >>> float((method.predict(louder) == y).mean()), float((method.adapt(louder).predict(louder) == y).mean())
    (0.8, 1.0)
    >>> method.calibrate(louder[:8], y[:8]).predict_proba(louder).argmax(axis=1)[:4]
    array([0, 1, 0, 1])
    """

    basis_: np.ndarray | None = None  # a decoder saved by an earlier version has none

    def __init__(self, roll: bool = True, overlap: float = 5.0, feature_options: dict[str, Any] | None = None):
        self.roll = roll
        self.overlap = overlap
        self.feature_options = feature_options

    def fit(self, X: Any, y: Any = None) -> AlignedLDA:
        """Learn from labelled windows of one person or of several."""
        y = np.asarray(X.y if y is None else y)
        need_two_classes(y)
        self.features_ = Features(["LOGCOV"], **(self.feature_options or {})).fit(X, y)
        layout = common_layout(X) if self.roll and not _dead_channel(X) else None
        rolls = rolls_of(layout, self.features_.n_features_in_)
        self.rolls_, self.sizes_ = np.stack([columns_of(roll) for roll in rolls]), sizes_of(rolls)
        self.classes_, code = np.unique(y, return_inverse=True)
        with no_leakage_warning():
            v = self._vectors(X)
        person = np.asarray(X.column("subject")) if hasattr(X, "recordings") else np.zeros(len(v), int)
        people = list(dict.fromkeys(person.tolist()))
        centre, self.turns_ = np.zeros(v.shape[1]), np.zeros(1, int)
        if len(people) > 1:
            v, centre = self._one_frame(v, code, [person == name for name in people])
        self.basis_ = _components(v) if v.shape[1] > WIDE else None
        if self.basis_ is not None:
            v, centre = v @ self.basis_, centre @ self.basis_
        residual = v.copy()
        for name in people:
            for k in range(len(self.classes_)):
                rows = (person == name) & (code == k)
                residual[rows] -= v[rows].mean(axis=0) if rows.any() else 0.0
        model = shrunk_discriminant(v, code)
        self.means_, self.covariance_, self.priors_ = model.means_ + centre, model.covariance_, model.priors_
        self.within_ = self.covariance_
        if len(people) > 1:
            self.within_ = shrunk_discriminant(residual + model.means_[code], code).covariance_
        self.n_people_ = len(people)
        self._begin_from(self.means_, self.covariance_, 0, calibrated=False)
        return self

    def adapt(self, X: Any) -> AlignedLDA:
        """Learn from unlabelled windows of a new person or day. X : Windows, or (window, channel, sample) array."""
        if why := self.learn_from(X):
            not_adapted(why)
        return self

    def learn_from(self, X: Any) -> str | None:
        """Do what `adapt` does, and return why it changed nothing, or None, instead of a warning.

        >>> from myograph.testing import make_windows
        >>> windows = make_windows(n_classes=3)
        >>> AlignedLDA().fit(windows, windows.y).learn_from(windows[:3].without_labels())
        'the windows cover less signal than the length of two windows'
        """
        check_is_fitted(self, "means_")
        with no_leakage_warning():  # these windows are used to learn, not scored
            v = self._vectors(X)
        few = spread(len(v), SEEN)
        overlap = max(self._overlap(X) * len(few) / max(len(v), 1), 1.0)
        v, means, roll = v[few], self.base_means_, self.base_roll_
        self.forget()
        if len(v) < 2 * overlap:
            return "the windows cover less signal than the length of two windows"
        white = whitening(self.base_covariance_)
        whitened, gain = means @ white, 0.0
        if not self.calibrated_:
            roll, gain = self._likely_roll(v, white, overlap)
        before, after = (self._turned(v, r) @ white for r in (self.base_roll_, roll))
        together = moved(after, whitened, overlap, RIGID, margin=self._margin)
        few_classes = too_few_classes(together.counts, self._same_person)
        if few_classes and not (self._same_person and gain > SURE_TURN):
            return few_classes
        if few_classes:
            self._decide_by(means, self.base_covariance_, roll)
        else:
            prior, weight = CALIBRATED if self.calibrated_ else FREE, np.ones(len(v))
            if self._same_person:  # for a new person, too few windows are recognised to know which class is frequent
                weight = limited(after, whitened, together)
            if not pays(before, after, whitened, overlap, prior, self._margin, weight):
                return "the adaptation to one half of the windows did not make the other half more probable"
            offsets = moved(after, whitened, overlap, prior, margin=self._margin, weight=weight).offsets
            most = DISPLACED_UNEQUAL if together.counts.max() > 0.6 * together.counts.sum() else DISPLACED
            if self._same_person and _displaced(whitened + offsets, whitened + together.offsets) > most:
                return "the mean of a class would move to where that of another class was"
            self._decide_by(means + offsets @ np.linalg.inv(white), self.base_covariance_, roll)
        self.adapted_ = True
        return None

    def forget(self) -> AlignedLDA:
        """Return to the state that `fit` or `calibrate` left, as each call of `adapt` does first.

        >>> from myograph.testing import make_windows
        >>> windows = make_windows(n_sessions=2, n_classes=4)
        >>> method = AlignedLDA().fit(monday := windows.where(session=1), monday.y)
        >>> method.calibrate(tuesday := windows.where(session=2), tuesday.y).forget().adapted_
        False
        """
        check_is_fitted(self, "means_")
        self._decide_by(self.base_means_, self.base_covariance_, self.base_roll_)
        self.adapted_ = False
        return self

    def calibrate(self, X: Any, y: Any = None) -> AlignedLDA:
        """Learn from some labelled windows of a new person or day.

        The class means become those of the labelled windows. If `fit` saw a single person, they are mixed with the means of
        `fit`, which are first shifted by the mean difference; the more labelled windows there are, the less these count.

        X : as in `adapt`. y : (window,) labels; by default those of the Windows.
        """
        check_is_fitted(self, "means_")
        y = np.asarray(X.y if y is None else y)
        code = codes_of(y, self.classes_)
        with no_leakage_warning():
            v = self._vectors(X)
        remember(self.features_, X, more=True)
        known = np.unique(code)
        there, ours = np.stack([v[code == k].mean(axis=0) for k in known]), self.means_[known]
        away = [np.square(_centred(self._turned(there, r)) - _centred(ours)).sum() for r in range(len(self.rolls_))]
        roll = int(np.argmin(away)) if len(known) > 1 else 0
        v, there = self._turned(v, roll), self._turned(there, roll)
        means, covariance = self.means_ + (there - ours).mean(axis=0), self.within_
        share = 0.0
        if self.n_people_ == 1:
            share = source_share(HELD, np.bincount(code)[known] / self._overlap(X))[:, None]
        means[known] = share * means[known] + (1 - share) * there
        if len(known) > 1:
            weight = source_share(HELD, len(v) / self._overlap(X) / len(known))
            covariance = weight * covariance + (1 - weight) * shrunk_discriminant(v, code).covariance_
        self._begin_from(means, covariance, roll, calibrated=True)
        self.adapted_ = True
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(window, class) probabilities."""
        check_is_fitted(self, "means_")
        return self.of_vectors(self._vectors(X))

    def of_vectors(self, v: np.ndarray) -> np.ndarray:
        """Return the (window, class) probabilities, given the (window, column) output of `features_`.

        >>> from myograph.testing import make_windows
        >>> windows = make_windows(n_sessions=2, n_classes=4)
        >>> method = AlignedLDA().fit(monday := windows.where(session=1), monday.y)
        >>> tuesday = windows.where(session=2)
        >>> bool((method.of_vectors(method.features_.transform(tuesday)) == method.predict_proba(tuesday)).all())
        True
        """
        return softmax(self._turned(v, self.roll_) @ self.coef_.T + self.intercept_, axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """(window,) labels."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _vectors(self, X: Any) -> np.ndarray:
        return self.features_.transform(X)

    def _turned(self, v: np.ndarray, roll: int) -> np.ndarray:
        """Return the windows after the rotation of this number, in the coordinates of the class means."""
        v = v[:, self.rolls_[roll]]
        return v if self.basis_ is None else v @ self.basis_

    def _without_gain(self, vector: np.ndarray) -> np.ndarray:
        """Remove from a vector the part that depends on the common gain of all channels."""
        a, b = np.triu_indices(self.features_.n_features_in_)
        gain = (a == b).astype(float)
        gain = gain if self.basis_ is None else gain @ self.basis_
        return vector - gain * (vector @ gain) / (gain @ gain)

    def _overlap(self, X: Any) -> float:
        """Return the average number of windows that cover the same sample."""
        return overlap_in(X, self.overlap)

    def _one_frame(self, v: np.ndarray, code: np.ndarray, people: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows without each person's rotation and mean, and the average of these means."""
        n_classes = len(self.classes_)
        means = [class_means(v[rows], code[rows], n_classes) for rows in people]
        self.turns_ = np.array(align_groups(means, self.rolls_, self.sizes_))
        v, centres = v.copy(), []
        for rows, mean, turn in zip(people, means, self.turns_):
            centres.append(np.nanmean(mean, axis=0)[self.rolls_[turn]])
            v[rows] = v[rows][:, self.rolls_[turn]] - centres[-1]
        return v, np.mean(centres, axis=0)

    def _likely_roll(self, v: np.ndarray, white: np.ndarray, overlap: float) -> tuple[int, float]:
        """Return the rotation under which the windows are most probable if all classes are shifted by the same vector, and
        its gain over no rotation in nats per window."""
        if len(self.rolls_) == 1:
            return 0, 0.0
        few = spread(len(v), SEARCHED)
        overlap = max(overlap * len(few) / len(v), 1.0)
        found = []
        for roll in range(len(self.rolls_)):
            turned = self._turned(v[few], roll)
            score = moved(turned @ white, self.base_means_ @ white, overlap, RIGID, 10, self._margin).evidence
            if self.n_people_ > 1:  # all classes differ between people, but the positions of muscles are similar
                score -= float(np.linalg.norm(self._without_gain(turned.mean(axis=0) - self.base_means_.mean(axis=0))))
                score -= STEP * float(self.sizes_[roll])
            found.append(score)
        best = int(np.argmax(found))
        gain = found[best] - found[0]
        return (best, gain) if self.n_people_ > 1 or gain > TURN else (0, 0.0)

    @property
    def _same_person(self) -> bool:
        return self.n_people_ == 1 or self.calibrated_

    @property
    def _margin(self) -> float:
        """How much more evidence a search that starts at the mean of the windows must have.

        A new person may be far from the training people, so it needs no more. A known person is near, and the mean of the
        windows is misleading if the classes are not equally frequent."""
        return FAR if self._same_person else 0.0

    def _begin_from(self, means: np.ndarray, covariance: np.ndarray, roll: int, calibrated: bool) -> None:
        """Set the state from which `adapt` starts. It decides until `adapt` is called."""
        self.base_means_, self.base_covariance_, self.base_roll_ = means, covariance, roll
        self.calibrated_, self.adapted_ = calibrated, False
        self._decide_by(means, covariance, roll)

    def _decide_by(self, means: np.ndarray, covariance: np.ndarray, roll: int) -> None:
        self.roll_ = roll
        self.coef_ = np.linalg.solve(covariance, means.T).T
        self.intercept_ = np.log(self.priors_) - 0.5 * np.einsum("kf,kf->k", means, self.coef_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


@METHODS.register
def aligned_lda(roll: bool = True, overlap: float = 5.0, feature_options: dict[str, Any] | None = None) -> AlignedLDA:
    """Linear discriminant on log-covariances that adapts to new days and new people: see `AlignedLDA`.

    Parameters
    ----------
    roll : whether armbands and grids may be rotated.
    overlap : average number of windows that cover the same sample. It is used for arrays only; for Windows it is computed.
    feature_options : further arguments of `Features`.

    Examples
    --------
    >>> from myograph.methods import aligned_lda
    >>> hasattr(aligned_lda(), "adapt"), hasattr(aligned_lda(), "calibrate")
    (True, True)
    """
    return AlignedLDA(roll, overlap, feature_options)


def _displaced(after: np.ndarray, before: np.ndarray) -> float:
    """Return the largest ratio over classes: distance of a class's new mean from its old mean, divided by its distance from
    the nearest old mean of another class."""
    away = np.linalg.norm(after[:, None] - before, axis=2)
    own = np.diag(away).copy()
    np.fill_diagonal(away, np.inf)
    return float((own / away.min(axis=1)).max())


def _centred(means: np.ndarray) -> np.ndarray:
    return means - means.mean(axis=0)


def _dead_channel(X: Any) -> bool:
    """Whether a channel has next to no signal."""
    level = log_variances(X).mean(axis=0)
    return bool((level < np.median(level) + np.log(DEAD)).any())


def _components(v: np.ndarray) -> np.ndarray:
    """Return the (column, component) principal components of up to SEEN windows that have any variance, at most KEPT."""
    some = v[spread(len(v), SEEN)]
    _, size, components = np.linalg.svd(some - some.mean(axis=0), full_matrices=False)
    return components[: min(KEPT, int((size > 1e-6 * size[0]).sum()))].T.copy()
