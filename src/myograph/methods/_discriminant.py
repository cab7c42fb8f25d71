"""Linear discriminant analysis of thousands of columns: one pass over the windows and a Cholesky factorization.

scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr")` computes a singular value decomposition of the covariance. For the
8,256 columns of LOGLAGCOV on 64 electrodes, this takes many minutes, whereas a Cholesky factorization takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy.linalg import get_lapack_funcs, lstsq
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from myograph.errors import ConfigError

MANY = 1000  # with more columns than this, avoiding their covariance is worthwhile; for 1000 columns it takes 8 MB


class FastLDA(LinearDiscriminantAnalysis):
    """`LinearDiscriminantAnalysis` whose solver "lsqr" uses a Cholesky factorization.

    Results equal those of scikit-learn up to rounding. If a covariance estimator is given, scikit-learn's own code runs. If
    there are more than 1000 columns, and more columns than rows, `covariance_` is not computed unless `store_covariance` is
    true: LOGLAGCOV of 192 electrodes has 73,920 columns, whose covariance would take 43 GB.

    Examples
    --------
    >>> import numpy as np
    >>> from myograph.methods import FastLDA
    >>> x = np.random.default_rng(0).normal(size=(40, 3)) + np.repeat([[0.0], [3.0]], 20, axis=0)
    >>> model = FastLDA(solver="lsqr", shrinkage="auto").fit(x, np.repeat(["rest", "fist"], 20))
    >>> model.predict(np.array([[0.0, 0.0, 0.0], [3.0, 3.0, 3.0]])).tolist()
    ['rest', 'fist']
    """

    def _solve_lstsq(self, X: Any, y: Any, shrinkage: Any, covariance_estimator: Any = None) -> None:
        # scikit-learn's `fit` calls this method. If a later version calls another one, scikit-learn's own code runs, which
        # gives the same result more slowly.
        if covariance_estimator is not None:
            super()._solve_lstsq(X, y, shrinkage, covariance_estimator)
            return
        code = np.searchsorted(self.classes_, y)
        classes = ClassRows.of(np.asarray(X, float), code, len(self.classes_), shrinkage)
        pooled = classes.pooled(self.priors_)
        self.means_ = classes.means
        if pooled.wide and not self.store_covariance:
            vars(self).pop("covariance_", None)
            self.coef_ = pooled.solve(self.means_.T).T
        else:
            self.covariance_ = pooled.matrix()
            self.coef_ = solve(self.covariance_, self.means_.T).T
        self.intercept_ = -0.5 * np.einsum("kc,kc->k", self.means_, self.coef_) + np.log(self.priors_)


@dataclass(frozen=True)
class ClassRows:
    """Rows minus the mean of their class, and the shrinkage target of their covariance.

    rows : (window, column).
    code : (window,) index of the class.
    means : (class, column).
    count : (class,) number of rows.
    kind : as in `of`.
    shrinkage : (class,) weight of the target, 0 to 1. The target is a diagonal matrix. If `kind` is "auto", it holds the
        variances times `factor` of the class, and `factor` in constant columns; otherwise the mean variance.
    factor : (class,).
    constant : (class, column) whether the column is constant within the class.
    """

    rows: np.ndarray
    code: np.ndarray
    means: np.ndarray
    count: np.ndarray
    kind: Any
    shrinkage: np.ndarray
    factor: np.ndarray
    constant: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, code: np.ndarray, n_classes: int, kind: Any) -> ClassRows:
        """Prepare the rows x. kind : shrinkage as in scikit-learn: "auto" (Ledoit-Wolf after scaling each column to variance
        1), a number, or None."""
        means, count = np.zeros((n_classes, x.shape[1])), np.bincount(code, minlength=n_classes)
        shrinkage, factor = (
            np.full(n_classes, 0.0 if kind is None or kind == "auto" else float(kind)),
            np.ones(n_classes),
        )
        constant = np.zeros(means.shape, bool)
        rows = np.empty_like(x)
        for k in np.flatnonzero(count):
            mine = x[code == k]
            scaler = StandardScaler().fit(mine) if kind == "auto" else None
            means[k] = mine.mean(axis=0)
            mine -= means[k]
            rows[code == k] = mine
            if scaler is not None:
                scale = cast(np.ndarray, scaler.scale_)
                constant[k] = cast(np.ndarray, scaler.var_) < scale**2 * 0.5
                mine /= scale
                shrinkage[k], factor[k] = ledoit_wolf(mine), (mine**2).sum() / mine.size
        return cls(rows, code, means, count, kind, shrinkage, factor, constant)

    def pooled(self, priors: np.ndarray) -> Pooled:
        """Return the pooled covariance: the sum over classes of the prior times the shrunk covariance."""
        return self._pooled(self.rows, self.code, self.count, priors)

    def without(self, out: np.ndarray) -> tuple[np.ndarray, np.ndarray, Pooled]:
        """Return (class,) counts, (class, column) means and the pooled covariance of the rows that are not in `out`.

        The shrinkage is that of all rows. out : row positions.
        """
        kept = np.delete(np.arange(len(self.code)), out)
        code, count = self.code[kept], np.bincount(self.code[kept], minlength=len(self.count))
        moved = _sums(self.rows[kept], code, len(count)) / np.maximum(count, 1)[:, None]
        return count, self.means + moved, self._pooled(self.rows[kept] - moved[code], code, count, count / count.sum())

    def _pooled(self, rows: np.ndarray, code: np.ndarray, count: np.ndarray, priors: np.ndarray) -> Pooled:
        each = np.where(count > 0, priors, 0.0) / np.maximum(count, 1)
        squares = _sums(rows**2, code, len(count))
        if self.kind == "auto":
            target = self.factor[:, None] * np.where(self.constant, count[:, None], squares)
        else:
            target = np.broadcast_to(squares.mean(axis=1, keepdims=True), squares.shape)
        return Pooled(rows * np.sqrt(each * (1 - self.shrinkage))[code, None], (each * self.shrinkage) @ target)


def shrunk_discriminant(v: np.ndarray, code: np.ndarray) -> FastLDA:
    """Fit a discriminant with Ledoit-Wolf shrinkage on (row, column) values and their (row,) classes; it stores its covariance.

    >>> shrunk_discriminant(np.array([[0.0], [2.0], [8.0], [10.0]]), np.array([0, 0, 1, 1])).covariance_
    array([[1.]])
    """
    return FastLDA(solver="lsqr", shrinkage="auto", store_covariance=True).fit(v, code)


def class_means(v: np.ndarray, code: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the (class, ...) means of the (window, ...) values; NaN for a class without windows.

    >>> class_means(np.array([[0.0], [2.0]]), np.array([1, 1]), n_classes=2).ravel().tolist()
    [nan, 1.0]
    """
    nothing = np.full(v.shape[1:], np.nan)
    return np.stack([v[code == k].mean(axis=0) if (code == k).any() else nothing for k in range(n_classes)])


def need_means_and_covariance(model: Any, who: str) -> LinearDiscriminantAnalysis:
    """Return the fitted discriminant if its means and covariance can be replaced.

    Raises
    ------
    ConfigError : it is not a LinearDiscriminantAnalysis(solver="lsqr"), or its covariance was not stored.

    >>> need_means_and_covariance("a tree", who="this method")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    myograph.errors.ConfigError: this method needs a pipeline that ends in LinearDiscriminantAnalysis(solver='lsqr'), got ...
    """
    if not isinstance(model, LinearDiscriminantAnalysis) or model.solver != "lsqr":
        raise ConfigError(
            f"{who} needs a pipeline that ends in LinearDiscriminantAnalysis(solver='lsqr'), got {model!r}"
        )
    if not hasattr(model, "covariance_"):
        raise ConfigError(
            f"{who} needs the covariance, which was left out for {model.means_.shape[1]} columns; give the discriminant "
            "store_covariance=True, or choose fewer features"
        )
    return model


def decide_by(model: Any, means: np.ndarray, covariance: np.ndarray, temperature: float = 1.0) -> None:
    """Replace the class means and the covariance of a fitted discriminant, and compute its coefficients from them.

    Parameters
    ----------
    model : LinearDiscriminantAnalysis(solver="lsqr"); it is changed.
    means : (class, column).
    covariance : (column, column).
    temperature : the coefficients are divided by it, see `CalibratedLDA`.

    >>> x = np.array([[0.0], [2.0], [8.0], [10.0]])
    >>> model = FastLDA(solver="lsqr").fit(x, [0, 0, 1, 1])
    >>> decide_by(model, np.array([[1.0], [19.0]]), model.covariance_)
    >>> model.predict(x).tolist()
    [0, 0, 0, 0]
    """
    weights = solve(covariance, means.T).T
    offset = -0.5 * np.einsum("kf,kf->k", means, weights) + np.log(model.priors_)
    weights, offset = weights / temperature, offset / temperature
    if len(means) == 2:
        weights, offset = weights[1:] - weights[:1], offset[1:] - offset[:1]
    model.means_, model.covariance_, model.coef_, model.intercept_ = means, covariance, weights, offset


def _sums(rows: np.ndarray, code: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the (class, column) sums of rows, as a matrix product: 5 to 12 times as fast as `np.add.at`."""
    return np.eye(n_classes)[code].T @ rows


@dataclass(frozen=True)
class Pooled:
    """The covariance matrix rows.T @ rows + diag(diagonal). rows : (window, column). diagonal : (column,)."""

    rows: np.ndarray
    diagonal: np.ndarray

    @property
    def wide(self) -> bool:
        """Whether `solve` avoids the (column, column) matrix, because there are fewer rows than columns."""
        return max(MANY, len(self.rows)) < len(self.diagonal) and bool((self.diagonal > 0).all())

    def matrix(self) -> np.ndarray:
        """Return the (column, column) covariance matrix."""
        found = self.rows.T @ self.rows
        found.flat[:: len(found) + 1] += self.diagonal
        return found

    def solve(self, values: np.ndarray) -> np.ndarray:
        """Return covariance^-1 @ values. If `wide`, a (window, window) system is solved instead (Woodbury's identity).

        >>> rng = np.random.default_rng(0)
        >>> pooled, values = Pooled(rng.normal(size=(3, 1001)), rng.uniform(1, 2, 1001)), rng.normal(size=(1001, 2))
        >>> pooled.wide, bool(np.allclose(pooled.matrix() @ pooled.solve(values), values))
        (True, True)
        """
        if not self.wide:
            return solve(self.matrix(), values)
        small = self.rows / self.diagonal
        inner = small @ self.rows.T
        inner.flat[:: len(inner) + 1] += 1
        return values / self.diagonal[:, None] - small.T @ solve(inner, small @ values)


def ledoit_wolf(z: np.ndarray) -> float:
    """Return the shrinkage of Ledoit and Wolf (2004, doi:10.1016/S0047-259X(03)00096-4) for (row, column) centred values.

    The norm of the covariance is computed from z @ z.T or z.T @ z, whichever is smaller.

    >>> from sklearn.covariance import ledoit_wolf_shrinkage
    >>> z = np.random.default_rng(0).normal(size=(20, 50))
    >>> z -= z.mean(axis=0)
    >>> bool(np.isclose(ledoit_wolf(z), ledoit_wolf_shrinkage(z)))
    True
    """
    n, columns = z.shape
    product = z @ z.T if n < columns else z.T @ z
    norm = float((product**2).sum()) / n**2
    trace = float((z**2).sum()) / n
    fourth = float(((z**2).sum(axis=1) ** 2).sum()) / n
    delta = (norm - trace**2 / columns) / columns
    beta = min((fourth - norm) / (columns * n), delta)
    return 0.0 if beta == 0 else beta / delta


def solve(covariance: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return covariance^-1 @ values, or the minimum-norm solution if the covariance is singular.

    >>> [solve(np.diag(d), np.array([[2.0], [2.0]])).round(12).tolist() for d in ([2.0, 4.0], [2.0, 0.0])]
    [[[1.0], [0.5]], [[1.0], [0.0]]]
    """
    size = float(np.abs(covariance).sum(axis=0).max())
    potrf, pocon, potrs = get_lapack_funcs(("potrf", "pocon", "potrs"), (covariance,))
    factor, failed = potrf(covariance.T, lower=1, clean=0)  # symmetric; LAPACK uses the transpose without a copy
    if not failed:
        reciprocal, _ = pocon(factor, size, uplo="L")
        if reciprocal > len(covariance) * np.finfo(float).eps:
            return potrs(factor, values, lower=1)[0]
    return cast(Any, lstsq(covariance, values, cond=len(covariance) * np.finfo(float).eps))[0]
