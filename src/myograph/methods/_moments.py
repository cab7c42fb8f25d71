"""Mean and covariance of features, and the recolouring of rows from one covariance to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of rows. mean : (column,). covariance : (column, column)."""

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, weight: np.ndarray) -> Moments:
        """Estimate them from (window, column) rows with (window,) weights.

        >>> Moments.of(np.array([[0.0], [2.0], [9.0]]), np.array([1.0, 1.0, 0.0])).covariance
        array([[1.]])
        """
        mean = np.average(rows, axis=0, weights=weight)
        centred = rows - mean
        return cls(mean, (centred * (weight / weight.sum())[:, None]).T @ centred)

    def mixed(self, other: Moments, share: float) -> Moments:
        """Return the moments with a share, 0 to 1, of the other's."""
        return Moments(
            (1 - share) * self.mean + share * other.mean, (1 - share) * self.covariance + share * other.covariance
        )

    def moved(self, rows: np.ndarray, to: Moments, ridge: float) -> np.ndarray:
        """Whiten rows that have these moments, and colour them with the other moments (Algorithm 1 of Sun et al. 2016).

        ridge : added to the diagonal of both covariances.

        >>> one, other = Moments(np.zeros(1), np.eye(1)), Moments(np.ones(1), 4 * np.eye(1))
        >>> one.moved(np.array([[-1.0], [1.0]]), other, ridge=1e-9).round(3)
        array([[-1.],
               [ 3.]])
        """
        white, colour = _power(self.covariance, -0.5, ridge), _power(to.covariance, 0.5, ridge)
        return (rows - self.mean) @ white @ colour + to.mean

    def evidence(self, rows: np.ndarray, ridge: float) -> float:
        """Return the mean log density of rows under a normal distribution with these moments, up to a constant.

        >>> Moments(np.zeros(1), np.eye(1)).evidence(np.array([[-1.0], [1.0]]), ridge=0.0)
        -0.5
        """
        values, vectors = np.linalg.eigh(self.covariance)
        values = values.clip(0) + ridge
        return -0.5 * float(
            (np.square((rows - self.mean) @ vectors) / values).sum(axis=1).mean() + np.log(values).sum()
        )


def _power(covariance: np.ndarray, power: float, ridge: float) -> np.ndarray:
    """Return the symmetric matrix (covariance + ridge * identity) ** power."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * (values.clip(0) + ridge) ** power) @ vectors.T
