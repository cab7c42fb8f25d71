"""Features computed from sums over a window: one pass over the signal in blocks of one step, merged into windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from myograph._common.simd import WIDTH
from myograph.features._base import EPS, floored_log, ratio
from myograph.features._fast import kernels as k
from myograph.features._fast import merges
from myograph.features.channels import phasor_distances


class Sums:
    """Sums of windows by row of `kernels`: `s(k.ABS)` is (window, channel). `n` is the number of samples per window."""

    def __init__(self, values: np.ndarray, table: SumTable, n: int):
        self._values, self._place, self.n = values, table.place, n

    def __call__(self, row: int) -> np.ndarray:
        return self._values[self._place[row]]

    @cached_property
    def roots(self) -> tuple[np.ndarray, ...]:
        """R_0, R_2, R_4 of the window and of its log-scaled copy, see `features.moments.m0`."""
        found = []
        for power, step, bend in (
            (k.SQUARE, k.STEP_SQUARE, k.BEND_SQUARE),
            (k.LOG + k.SQUARE, k.LOG + k.STEP_SQUARE, k.LOG + k.BEND_SQUARE),
        ):
            found.append((np.sqrt(self(power)) / (self.n - 1)) ** 0.1 / 0.1)
            found.extend(np.sqrt(self(row) / (self.n - 1)) ** 0.1 / 0.1 for row in (step, bend))
        return tuple(found)

    def orientation(self, value: Callable[..., np.ndarray]) -> np.ndarray:
        """Return the orientation of `value(R_0, R_2, R_4)`, see `features.moments.m0`."""
        return _orientation(value(*self.roots[:3]), value(*self.roots[3:]))


def _orientation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b = floored_log(np.abs(x)), floored_log(np.abs(y))
    return ratio(-2 * a * b, a * a + b * b)


@dataclass(frozen=True)
class Formula:
    """The rows that a feature needs, the threshold that it sets, and how it is computed from them.

    value : a function of the sums or, if the feature is computed from the first row alone, one of the forms of
        `merges`.
    """

    rows: tuple[int, ...]
    value: Callable[[Sums], np.ndarray] | int
    level: int | None = None
    only: Mapping[str, Any] | None = None  # the parameters for which the formula holds, if not for all


_ROOTS = (k.SQUARE, k.STEP_SQUARE, k.BEND_SQUARE, k.LOG + k.SQUARE, k.LOG + k.STEP_SQUARE, k.LOG + k.BEND_SQUARE)

FORMULAS: dict[str, Formula] = {
    "MAV": Formula((k.ABS,), merges.MEAN),
    "IAV": Formula((k.ABS,), merges.SUM),
    "MLK": Formula((k.ABS,), lambda s: np.log(s(k.ABS) + EPS) / s.n),
    "MEAN": Formula((k.TOTAL,), merges.MEAN),
    "RMS": Formula((k.SQUARE,), merges.ROOT_MEAN),
    "SSI": Formula((k.SQUARE,), merges.SUM),
    "ACT": Formula((k.SQUARE,), merges.MEAN),
    "VAR": Formula((k.DEVIATION, k.MEAN), merges.MEAN),
    "TM": Formula((k.CUBE,), merges.MEAN, only={"order": 3}),
    "LD": Formula((k.LOG_1P,), lambda s: np.exp(s(k.LOG_1P) / s.n)),
    "LOG": Formula((k.LOG_ABS,), lambda s: np.exp(s(k.LOG_ABS) / s.n)),
    "MSR": Formula(
        (k.ROOT_POSITIVE, k.ROOT_NEGATIVE), lambda s: np.hypot(s(k.ROOT_POSITIVE), s(k.ROOT_NEGATIVE)) / s.n
    ),
    "MYOP": Formula((k.ABOVE,), merges.MEAN, level=3),
    "MPK": Formula((k.PEAK,), merges.SUM),
    "ENT": Formula(
        (k.SOFT_PEAK, k.SOFT_OTHERS, k.SOFT_WEIGHTED),
        lambda s: np.log1p(s(k.SOFT_OTHERS)) - s(k.SOFT_WEIGHTED) / (1 + s(k.SOFT_OTHERS)),
    ),
    "ZC": Formula((k.CROSSINGS, k.CROSSINGS_FIRST, k.CROSSINGS_LAST), merges.SUM, level=0),
    "SSC": Formula((k.TURNS, k.TURNS_FIRST, k.TURNS_LAST), merges.SUM, level=1),
    "WAMP": Formula((k.STEP_ABOVE,), merges.SUM, level=2),
    "WL": Formula((k.STEP,), merges.SUM),
    "MFL": Formula((k.STEP,), lambda s: np.log10(np.maximum(s(k.STEP), EPS))),
    "MAVFD": Formula((k.STEP,), merges.MEAN_OF_STEPS),
    "DASDV": Formula((k.STEP_SQUARE,), merges.ROOT_MEAN_OF_STEPS),
    "MDIFF": Formula((k.STEP_SQUARE,), merges.MEAN),
    "MZP": Formula((k.STEP_SQUARE,), merges.ROOT_MEAN),
    "MOB": Formula((k.SQUARE, k.STEP_SQUARE), lambda s: np.sqrt(ratio(s(k.STEP_SQUARE), s(k.SQUARE)))),
    "COMP": Formula(
        (k.SQUARE, k.STEP_SQUARE, k.BEND_SQUARE),
        lambda s: ratio(np.sqrt(s(k.BEND_SQUARE)) * np.sqrt(s(k.SQUARE)), s(k.STEP_SQUARE)),
    ),
    "COR": Formula(
        (k.SQUARE, k.STEP_SQUARE, k.BEND_SQUARE),
        lambda s: ratio(s(k.STEP_SQUARE), s(k.BEND_SQUARE) * s(k.SQUARE)),
    ),
    "PAP": Formula(
        (k.SQUARE, k.STEP_SQUARE, k.BEND_SQUARE),
        lambda s: ratio(np.sqrt(s(k.SQUARE)) * np.sqrt(s(k.STEP_SQUARE)), np.sqrt(s(k.BEND_SQUARE))),
    ),
    "M0": Formula(_ROOTS, lambda s: s.orientation(lambda r0, r2, r4: r0)),
    "M2": Formula(_ROOTS, lambda s: s.orientation(lambda r0, r2, r4: r0 - r2)),
    "M4": Formula(_ROOTS, lambda s: s.orientation(lambda r0, r2, r4: r0 - r4)),
    "SPARSI": Formula(
        _ROOTS, lambda s: s.orientation(lambda r0, r2, r4: ratio(np.sqrt(np.abs((r0 - r2) * (r0 - r4))), r0))
    ),
    "IRF": Formula(_ROOTS, lambda s: s.orientation(lambda r0, r2, r4: ratio(r2, np.sqrt(r0 * r4)))),
    "WLF": Formula(
        (k.STEP, k.BEND, k.LOG + k.SQUARE, k.LOG + k.STEP, k.LOG + k.BEND),
        lambda s: _orientation(
            np.sqrt(ratio(s(k.STEP), s(k.BEND))), np.sqrt(ratio(s(k.LOG + k.STEP), s(k.LOG + k.BEND)))
        ),
    ),
    "RMSPHASOR": Formula(
        (k.SQUARE, k.STEP_SQUARE),
        lambda s: phasor_distances("RMSPHASOR", np.sqrt(s(k.SQUARE) / s.n), np.sqrt(s(k.STEP_SQUARE) / (s.n - 1))),
    ),
    "WLPHASOR": Formula((k.STEP, k.BEND), lambda s: phasor_distances("WLPHASOR", s(k.STEP), s(k.BEND))),
}
"""The features that this module computes, by their registered names."""


def formula_of(name: str, parameters: Mapping[str, Any]) -> Formula | None:
    """Return the formula for a feature with all its parameters, or None if sums do not suffice."""
    formula = FORMULAS.get(name)
    if formula is None or (formula.only and any(parameters[key] != value for key, value in formula.only.items())):
        return None
    return formula


class SumTable:
    """The rows that a list of formulas needs, and the place where each is kept."""

    def __init__(self, formulas: Sequence[Formula], levels: Sequence[float]):
        rows = sorted({row for formula in formulas for row in formula.rows}, key=lambda row: (not k.ADDS[row], row))
        self.kept = np.array(rows, np.int64)
        self.place = {row: i for i, row in enumerate(rows)}
        self.want = np.zeros(k.N_ROWS, np.bool_)
        self.want[rows] = True
        self.everything = bool(self.want[k.OTHERS].any())
        self.level = np.array(levels, np.float64)
        heads = {
            k.CROSSINGS: merges.CROSSED, k.TURNS: merges.TURNED, k.MEAN: merges.DEVIATE, k.PEAK: merges.LARGER, k.SOFT_PEAK: merges.SOFTEN
        }  # fmt: skip
        kind = lambda row: merges.REACH if k.EDGES[row] == k.ADDED else merges.ADD  # noqa: E731
        groups = [(heads.get(row, kind(row)), i) for row, i in self.place.items() if k.ADDS[row] or row in heads]
        self.edges = k.EDGES[rows]
        self.alone = np.flatnonzero(self.edges == k.ALONE)
        self.kinds, self.rows = np.array(groups, np.int64).T.copy()


class SlidingSums:
    """Sums of windows at a fixed step over one signal, computed for several windows at a time. Each sample is read
    once.

    Sums that the next windows share with the last ones are kept, so that offline and streaming use the same calls.

    Parameters
    ----------
    size : the largest number of windows per call.
    """

    def __init__(self, table: SumTable, n_channels: int, length: int, step: int, size: int):
        self.table, self.n_channels, self.length, self.step, self.size = table, n_channels, length, step, size
        blocks, tail = divmod(length, step)
        # A second difference reaches two samples back, so the parts of a block cannot be shorter.
        self.whole = blocks == 0 or step < 2 or (tail > 0 and min(tail, step - tail) < 2)
        self.blocks, self.tail = (1, 0) if self.whole else (blocks, tail)
        # Uninitialised memory is read only in lanes whose results are discarded.
        held = lambda blocks: np.empty((len(table.kept), (blocks + WIDTH) * n_channels))  # noqa: E731
        self._out = held(size)
        self._work: dict[int, tuple] = {}  # arrays of `block_sums`, by the length of the blocks
        if self.whole:
            self._spare = held(size)
        else:
            self._inner, self._full = held(size + blocks), held(size + blocks)
            self._runs = merges.workspace(n_channels, size, blocks)
        if self.tail:
            self._head_inner, self._head_full = held(size + blocks + 1), held(size + blocks + 1)
            self._rest, self._rest_inner = held(size + blocks), held(size + blocks)

    def advance(self, signal: np.ndarray, start: int, m: int, fresh: bool) -> np.ndarray:
        """Return the (row, m, channel) sums of the windows at start, start + step, ...; a view that the next call
        overwrites.

        fresh : the windows do not continue those of the last call, so no sums can be reused.
        """
        table = self.table
        first = 0 if fresh else self.blocks - 1
        if self.whole:
            self._blocks(signal, start + np.arange(m) * self.step, self.length, 0, self._out, self._spare)
        else:
            self._read(signal, start, first, m + self.blocks - 1 - first, fresh)
            merges.window_sums[table.everything](
                table.kinds, table.rows, table.edges, self._inner, self._full,
                self._head_full if self.tail else self._full, first, m, self.n_channels, self.blocks, self.step, self.tail,
                table.level, self._out, self._runs,
            )  # fmt: skip
            if self.tail:
                n, keep = self.n_channels, (self.blocks - 1) * self.n_channels
                for held in (self._head_inner, self._head_full):
                    held[:, keep : keep + n] = held[:, keep + m * n : keep + (m + 1) * n]
        return self._out.reshape(len(table.kept), -1, self.n_channels)[:, :m]

    def _read(self, signal: np.ndarray, start: int, first: int, m: int, fresh: bool) -> None:
        """Compute the sums of the blocks first .. first + m - 1, counted from `start`, for windows with a tail.

        A window then ends in the head of a block, so each block is read as a head and a rest. The head of the block
        after these is read too, since the last of the windows ends in it. With `fresh`, the first block's head is read
        first; `first` does not show this if a window has only one block.
        """
        table = self.table
        begin = start + np.arange(first, first + m) * self.step
        if not self.tail:
            self._blocks(signal, begin, self.step, first, self._inner, self._full)
            return
        ahead = first if fresh else first + 1
        heads = start + np.arange(ahead, first + m + 1) * self.step
        self._blocks(signal, heads, self.tail, ahead, self._head_inner, self._head_full)
        self._blocks(signal, begin + self.tail, self.step - self.tail, 0, self._rest_inner, self._rest)
        for inner, full in ((self._head_inner, self._head_full), (self._rest_inner, self._rest)):
            full[table.alone] = inner[table.alone]
        n = self.n_channels
        for block, head in ((self._inner, self._head_inner), (self._full, self._head_full)):
            block[:, first * n : (first + m) * n] = head[:, first * n : (first + m) * n]
            merges.append(
                table.kinds, table.rows, block, first, self.tail, self._rest, self.step - self.tail, m, n, table.level
            )

    def _blocks(self, signal, begin, length, first, inner, full) -> None:
        if length not in self._work:
            self._work[length] = k.workspace(length, (self.size + self.blocks + 1) * self.n_channels, self.table.want)
        _sum_blocks(self.table, signal, begin, length, first, inner, full, self._work[length])


def _sum_blocks(table, signal, begin, length, first, inner, full, work) -> None:
    k.block_sums[table.everything](
        signal.reshape(-1), signal.shape[1], signal.shape[0], begin, length, table.want, table.kept, k.EDGES, table.level,
        first, inner, full, *work,
    )  # fmt: skip


def segments(start: np.ndarray, length: int) -> tuple[int, list[slice]]:
    """Return the common step of sorted, distinct window starts, and their stretches that lie on one grid.

    A stretch ends where the next window does not overlap or is off the grid.
    """
    gaps = np.diff(start)
    if len(gaps) and gaps[0] < length and (gaps == gaps[0]).all():
        return int(gaps[0]), [slice(0, len(start))]
    near = gaps[gaps < length]
    if not len(near):
        return length, [slice(i, i + 1) for i in range(len(start))]
    if (near == near[0]).all():
        step = int(near[0])
    else:
        values, counts = np.unique(near, return_counts=True)
        step = int(values[np.argmax(counts)])
    cut = np.flatnonzero((gaps >= length) | (gaps % step != 0)) + 1
    edges = np.concatenate([[0], cut, [len(start)]]).tolist()
    return step, [slice(a, b) for a, b in itertools.pairwise(edges)]


def scattered(table: SumTable, signal: np.ndarray, start: np.ndarray, length: int, size: int) -> Iterator:
    """Like `walk`, for windows that overlap little: each is summed separately, at any start."""
    n_channels, most = signal.shape[0], min(size, len(start))
    out, spare = (np.empty((len(table.kept), (most + WIDTH) * n_channels)) for _ in range(2))
    work = k.workspace(length, most * n_channels, table.want)
    for first in range(0, len(start), size):
        here = slice(first, min(first + size, len(start)))
        _sum_blocks(table, signal, start[here], length, 0, out, spare, work)
        yield here, out.reshape(len(table.kept), -1, n_channels)[:, : here.stop - here.start]


def walk(
    table: SumTable, signal: np.ndarray, start: np.ndarray, length: int, step: int, size: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """For windows on one grid (sorted, distinct starts), yield slices of them and their sums (row, window, channel)."""
    grid = SlidingSums(table, signal.shape[0], length, step, min(size, (start[-1] - start[0]) // step + 1))
    place = (start - start[0]) // step
    n, at = int(place[-1]) + 1, int(start[0])
    for first in range(0, n, size):
        m = min(size, n - first)
        sums = grid.advance(signal, at + first * step, m, fresh=first == 0)
        if n == len(start):
            yield slice(first, first + m), sums
            continue
        here = slice(*np.searchsorted(place, (first, first + m)))
        if here.start < here.stop:
            yield here, sums if here.stop - here.start == m else sums[:, place[here] - first]
