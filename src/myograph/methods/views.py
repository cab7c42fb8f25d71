"""The default method: several classifiers with separate features, combined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from myograph._common.fitted import need_two_classes
from myograph._common.seen import no_leakage_warning
from myograph.methods._discriminant import FastLDA
from myograph.methods._held_out import every_nth, held_out_folds, held_out_proba, overlap_of
from myograph.methods._pipeline import TIME_DOMAIN, LogScale, features_of
from myograph.methods.calibrated import fit_temperature_and_power, softened
from myograph.methods.kernel import SoftSVC
from myograph.methods.registry import METHODS

SHAPE = ("MOB", "COMP", "SKEW", "AR")


class ProductOfViews(VotingClassifier):
    """Several classifiers, each with its own features, whose class probabilities are multiplied, and then calibrated.

    In a product, a classifier that gives a class a low probability has more weight than in a mean. `floor` is first
    added to each probability, so that no single classifier can exclude a class.

    The product treats the classifiers as independent, which they are not, so without calibration it is far too
    confident. A temperature and a power are therefore fitted on held-out repetitions, as in `Calibrated`: the features
    are computed once, held-out predictions of linear discriminants are computed in closed form, and other classifiers
    are fitted once more per fold.

    A `SoftSVC` learns from every n-th window of each class. n is half of the number of windows that cover the same
    samples, rounded up: 3 for windows of 250 ms every 50 ms. Windows that overlap by 80 % contain nearly the same
    information; on NinaPro DB5 the fit then took a third of the time, with 45 % of the support vectors. For arrays, whose
    overlap is unknown, it learns from all windows.

    Attributes
    ----------
    temperature_, power_ : see `Calibrated`.

    Examples
    --------
    >>> import numpy as np
    >>> from myograph.methods import ProductOfViews, lda
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.standard_normal((40, 2, 100)) * np.where(y, [[1.0], [9.0]], [[9.0], [1.0]]).T[:, :, None]
    >>> method = ProductOfViews([("size", lda("MAV")), ("length", lda("WL"))], voting="soft").fit(X, y)
    >>> method.predict(X[:4])
    array([0, 1, 0, 1])
    >>> int(method.log_product([np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]])]).argmax())
    0
    """

    floor = 1e-3

    def fit(self, X: Any, y: Any) -> ProductOfViews:
        """Fit each view on labelled windows, and calibrate; ConfigError if y holds only one class."""
        need_two_classes(y)
        names, views = zip(*((name, view) for name, view in zip(*self._validate_estimators()) if view != "drop"))
        self.le_ = LabelEncoder().fit(y)
        self.classes_ = classes = np.asarray(self.le_.classes_)
        code = np.asarray(self.le_.transform(y))
        every = math.ceil(overlap_of(X) / 2) if hasattr(X, "recordings") else 1
        fold = held_out_folds(X, code)
        self.estimators_, held_out = [], []
        with no_leakage_warning():
            for view in views:
                *before, last = view.steps if isinstance(view, Pipeline) else [("classify", view)]
                table, fitted = X, cast(Any, clone(last[1]))
                pipeline = cast(Pipeline, clone(Pipeline(before))) if before else None
                if pipeline is not None:
                    table = cast(np.ndarray, pipeline.fit_transform(X, code))
                learnt = every_nth(code, every if isinstance(fitted, SoftSVC) else 1)
                fitted.fit(table[learnt], code[learnt])
                held_out.append(held_out_proba(fitted, table, code, fold, len(classes), learnt))
                self.estimators_.append(
                    Pipeline([*pipeline.steps, (last[0], fitted)]) if pipeline is not None else fitted
                )
        self.named_estimators_ = Bunch(**dict(zip(names, self.estimators_)))
        self.temperature_, self.power_ = fit_temperature_and_power(self._sum_of_logs(held_out), code)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (window, class) probabilities."""
        check_is_fitted(self)
        return softmax(self.log_product([view.predict_proba(X) for view in cast(list, self.estimators_)]), axis=1)

    def log_product(self, probabilities: Sequence[np.ndarray]) -> np.ndarray:
        """Return the (window, class) logarithm of the calibrated product, not normalised, of one (window, class) array per
        classifier.
        """
        total = self._sum_of_logs(probabilities)
        if not hasattr(self, "temperature_"):  # a decoder saved by an earlier version
            return total
        return softened(total, self.temperature_, self.power_)

    def _sum_of_logs(self, probabilities: Sequence[np.ndarray]) -> np.ndarray:
        return np.sum([np.log(p + self.floor) for p in probabilities], axis=0)


@METHODS.register
def lda_svm(
    C: float = 10.0, gamma: str | float = "scale", feature_options: dict[str, Any] | None = None
) -> ProductOfViews:
    """The default: product of two linear discriminants on covariance features and two support vector machines.

    The discriminants use logarithmic time-domain features with shape and LOGCOV, and with LOGLAGCOV. The
    support vector machines, with RBF kernels, use logarithmic time-domain features, one alone and one with the
    amplitudes of the window's halves. This combination was chosen among 70 by cross-validation over repetitions inside
    the train parts of four data sets; docs/default-method.md has the table.

    Parameters
    ----------
    C, gamma : penalty and kernel width, as in scikit-learn's `SVC`.
    feature_options : further arguments of `Features`.

    Examples
    --------
    >>> import numpy as np
    >>> from myograph.methods import lda_svm
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.standard_normal((40, 2, 100)) * np.where(y, [[1.0], [9.0]], [[9.0], [1.0]]).T[:, :, None]
    >>> lda_svm(feature_options={"rate_hz": 1000.0}).fit(X, y).predict(X[:4])
    array([0, 1, 0, 1])
    """

    def view(classifier: BaseEstimator, others: Sequence[str], more: Sequence[str] = ()) -> Pipeline:
        amplitudes = Pipeline([("features", features_of((*TIME_DOMAIN, *more), feature_options)), ("log", LogScale())])
        parts: list[tuple[str, Any]] = [("amplitudes", amplitudes)]
        if others:
            parts.append(("others", features_of(others, feature_options)))
        return Pipeline([("features", FeatureUnion(parts)), ("scale", StandardScaler()), ("classify", classifier)])

    linear = FastLDA(solver="lsqr", shrinkage="auto")
    kernel = SoftSVC(C=C, gamma=cast(Any, gamma))
    views = [
        ("covariance", view(linear, (*SHAPE, "LOGCOV"))),
        ("lagged", view(linear, ("LOGLAGCOV",))),
        ("kernel", view(kernel, ())),
        ("halves", view(kernel, (), more=("MAVS",))),
    ]
    return ProductOfViews(views, voting="soft")
