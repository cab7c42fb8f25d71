"""Class means and covariances of training people and of a new person, and how strongly to mix them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from myograph.methods._discriminant import class_means, shrunk_discriminant, solve
from myograph.methods._target import source_share, spread

# Candidates for the strengths, in non-overlapping windows per class. Infinity keeps the covariance of the training people.
OF_MEANS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
OF_COVARIANCE = (0.0, 3.0, 10.0, 30.0, 100.0, np.inf)
SIZES = (1, 2)  # numbers of repetitions with which the strengths are chosen
TESTED = 1000  # largest number of windows of each person on which they are chosen


@dataclass(frozen=True)
class Labelled:
    """Moments of labelled windows.

    means : (class, column); NaN for a class without windows.
    count : (class,) number of non-overlapping windows.
    covariance : (column, column) within the classes; None if there are windows of one class only.
    """

    means: np.ndarray
    count: np.ndarray
    covariance: np.ndarray | None

    @classmethod
    def of(cls, rows: np.ndarray, code: np.ndarray, overlap: float, n_classes: int) -> Labelled:
        """Estimate them from (window, column) rows and their (window,) classes.

        >>> Labelled.of(np.array([[1.0], [3.0]]), np.array([0, 0]), overlap=1.0, n_classes=2).means.ravel().tolist()
        [2.0, nan]
        """
        count = np.bincount(code, minlength=n_classes) / overlap
        covariance = shrunk_discriminant(rows, code).covariance_ if (count > 0).sum() > 1 else None
        return cls(class_means(rows, code, n_classes), count, covariance)


@dataclass(frozen=True)
class Source:
    """Moments of labelled windows of several groups, such as people.

    offsets : (class, column) class means minus the mean over classes, averaged over groups.
    within : (column, column) covariance within class and group.
    """

    offsets: np.ndarray
    within: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, code: np.ndarray, group: np.ndarray, n_classes: int) -> Source:
        """Estimate both from (window, column) rows with their (window,) classes and groups.

        >>> rows, code = np.array([[0.0], [2.0], [9.0], [13.0]]), np.array([0, 1, 0, 1])
        >>> Source.of(rows, code, np.array([0, 0, 1, 1]), n_classes=2).offsets.ravel().tolist()
        [-1.5, 1.5]
        """
        names, group = np.unique(group, return_inverse=True)
        means = np.stack([class_means(rows[group == g], code[group == g], n_classes) for g in range(len(names))])
        offsets = np.nanmean(means - np.nanmean(means, axis=1, keepdims=True), axis=0)
        return cls(offsets, shrunk_discriminant(rows - means[group, code], code).covariance_)

    def mixed(self, target: Labelled, strengths: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        """Return (class, column) means and (column, column) covariance, mixed with the target's; see `PriorWeightedLDA`."""
        known = target.count > 0
        means = self.offsets + (target.means - self.offsets)[known].mean(axis=0)
        share = source_share(strengths[0], target.count[known])[:, None]
        means[known] = share * means[known] + (1 - share) * target.means[known]
        if target.covariance is None:
            return means, self.within
        weight = source_share(strengths[1], target.count[known].mean())
        return means, weight * self.within + (1 - weight) * target.covariance


@dataclass(frozen=True)
class HeldOut:
    """A training person treated as a new one: the others, labelled windows, and (window, column) tested rows with classes."""

    others: Source
    labelled: Labelled
    rows: np.ndarray
    code: np.ndarray

    def scores(self, strengths: tuple[float, float]) -> np.ndarray:
        """Return (window, class) log probabilities of the tested windows, up to a constant, with equally frequent classes."""
        means, covariance = self.others.mixed(self.labelled, strengths)
        weights = solve(covariance, means.T)
        return self.rows @ weights - 0.5 * np.einsum("kc,ck->k", means, weights)

    def accuracy(self, strengths: tuple[float, float]) -> float:
        """Return the share of tested windows that are classified correctly."""
        return float((self.scores(strengths).argmax(axis=1) == self.code).mean())


def held_out_groups(
    X: Any, rows: np.ndarray, code: np.ndarray, group: np.ndarray, overlap: float, n_classes: int
) -> Iterator[HeldOut]:
    """Yield each group, held out from the others, with its first one and two repetitions as labelled windows.

    Groups are left out if the others do not contain all classes, or if no windows are left to test.

    >>> from myograph.methods._target import groups_of
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_subjects=3, n_classes=3)
    >>> rows, code = windows.batch().std(axis=2), np.searchsorted(np.unique(windows.y), windows.y)
    >>> [len(held.rows) for held in held_out_groups(windows, rows, code, groups_of(windows), overlap=3.0, n_classes=3)]
    [63, 42, 63, 42, 63, 42]
    """
    for g in np.unique(group):
        others, mine = group != g, np.flatnonzero(group == g)
        if len(np.unique(code[others])) < n_classes:
            continue
        source = Source.of(rows[others], code[others], group[others], n_classes)
        session, repetition = (X.column(name)[mine] for name in ("session", "repetition"))
        first = session == session[0]
        numbers = np.unique(repetition[first])
        for size in SIZES:
            known = first & np.isin(repetition, numbers[:size])
            if known.all():
                continue
            tested = mine[~known][spread(int((~known).sum()), TESTED)]
            labelled = Labelled.of(rows[mine[known]], code[mine[known]], overlap, n_classes)
            yield HeldOut(source, labelled, rows[tested], code[tested])


def best_strengths(held_out: list[HeldOut]) -> tuple[float, float]:
    """Return the strengths of means and covariance with the highest mean accuracy; the smallest of equally good ones."""
    pairs = list(itertools.product(OF_MEANS, OF_COVARIANCE))
    return pairs[int(np.argmax([np.mean([h.accuracy(pair) for h in held_out]) for pair in pairs]))]
