"""Filters across electrodes: common average, differences of neighbours, 3 x 3 median; neighbours in a layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from myograph.errors import ConfigError
from myograph.preprocessing.base import FILTERS, Push, SampleFilter
from myograph.recording import Layout


@FILTERS.register("common_average")
@dataclass(frozen=True)
class CommonAverage(SampleFilter):
    """Subtract the mean over all channels from each channel.

    Parameters
    ----------
    per_row : subtract the mean over the channel's row of the layout instead (one of several rings, or one row of a
        grid). Electrodes outside the layout's pattern then form a separate row.

    Raises
    ------
    ConfigError : `per_row` is set, but there is no layout or it does not fit the channels.

    >>> CommonAverage().stream(rate_hz=1000.0, n_channels=2).push(np.array([[1.0], [3.0]]))
    array([[-1.],
           [ 1.]])
    """

    per_row: bool = False

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        rows = np.zeros(n_channels, np.intp)
        if self.per_row:
            rows = np.array(check_layout(layout, n_channels, "CommonAverage(per_row=True)").row)
        groups = [np.flatnonzero(rows == row) for row in np.unique(rows)]

        def push(x: np.ndarray) -> np.ndarray:
            y = x.astype(np.float64)
            for group in groups:
                # Summed channel by channel, because the order of np.sum depends on the length of the chunk.
                mean = y[group[0]].copy()
                for channel in group[1:]:
                    mean += y[channel]
                y[group] -= mean / len(group)
            return y

        return push


@FILTERS.register("differential")
@dataclass(frozen=True)
class Differential(SampleFilter):
    """Subtract each electrode's signal from that of its next neighbour.

    An electrode without a next neighbour is left out, which does not occur on a ring. An electrode outside the layout's
    pattern is not changed.

    Parameters
    ----------
    along : "columns" for the neighbour in the next column (around the arm for a ring), "rows" for the neighbour in the
        next row.

    Raises
    ------
    ConfigError : an invalid `along`, no layout, or no electrode with a neighbour in that direction.

    >>> stream = Differential().stream(1000.0, 3, Layout.grid(1, 3))
    >>> stream.push(np.array([[1.0], [3.0], [7.0]]))
    array([[2.],
           [4.]])
    """

    along: Literal["columns", "rows"] = "columns"

    def __post_init__(self) -> None:
        if self.along not in ("columns", "rows"):
            raise ConfigError(f"Differential: along must be 'columns' or 'rows', got {self.along!r}")

    def _kept(self, n_channels: int, layout: Layout | None) -> tuple[Layout, np.ndarray, np.ndarray]:
        layout = check_layout(layout, n_channels, str(self))
        following = next_channel(layout, self.along)
        if not (following >= 0).any():
            raise ConfigError(
                f"{self}: no electrode has a next neighbour along {self.along} in a {layout.shape[0]} x "
                f"{layout.shape[1]} "
                f"layout; use along={'rows' if self.along == 'columns' else 'columns'!r}"
            )
        kept = np.flatnonzero((following >= 0) | (np.array(layout.row) < 0))
        return layout, kept, following[kept]

    def _output(self, rate_hz: float, n_channels: int, layout: Layout | None) -> tuple[float, int, Layout | None]:
        layout, kept, _ = self._kept(n_channels, layout)
        return rate_hz, len(kept), layout.take(kept)

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        _, kept, following = self._kept(n_channels, layout)
        paired = following >= 0

        def push(x: np.ndarray) -> np.ndarray:
            y = x[kept]
            y[paired] = x[following[paired]] - y[paired]
            return y

        return push


@FILTERS.register("spatial_median_3x3")
@dataclass(frozen=True)
class SpatialMedian3x3(SampleFilter):
    """Median over each electrode and its neighbours (8, fewer at an edge), for every sample.

    It replaces the signal of single dead electrodes of a grid. Electrodes outside the layout's pattern are not changed.
    Source: Amma et al. 2015, doi:10.1145/2702123.2702501.

    Raises
    ------
    ConfigError : there is no layout, or it does not fit the channels.

    >>> SpatialMedian3x3().stream(1000.0, 3, Layout.grid(1, 3)).push(np.array([[1.0], [90.0], [3.0]]))
    array([[45.5],
           [ 3. ],
           [46.5]])
    """

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        patches = neighbourhoods(check_layout(layout, n_channels, "SpatialMedian3x3"))

        def push(x: np.ndarray) -> np.ndarray:
            y = x.copy()
            for channels, members in patches:
                y[channels] = median_of_rows(x[members.T])
            return y

        return push


def check_layout(layout: Layout | None, n_channels: int, asker: str) -> Layout:
    """Return the layout; ConfigError if there is none or it does not place every channel.

    >>> len(check_layout(Layout.ring(8), n_channels=8, asker="Differential"))
    8
    """
    if layout is None:
        raise ConfigError(
            f"{asker} needs the positions of the electrodes, but the recording has no layout; give it "
            f"layout=Layout.ring({n_channels}) or Layout.grid(rows, columns)"
        )
    if len(layout) != n_channels:
        raise ConfigError(f"{asker}: the layout places {len(layout)} channels, the signal has {n_channels}")
    return layout


def next_channel(layout: Layout, along: str) -> np.ndarray:
    """Return the (channel,) number of the electrode in the next column ("columns") or row ("rows"); -1 if there is
    none.

    >>> next_channel(Layout.grid(1, 3), "columns"), next_channel(Layout.ring(3), "columns")
    (array([ 1,  2, -1]), array([1, 2, 0]))
    """
    image = layout.index()
    if along == "rows":
        image = image.T
    following = np.full_like(image, -1)
    following[:, :-1] = image[:, 1:]
    if layout.wraps and along == "columns" and image.shape[1] > 2:
        following[:, -1] = image[:, 0]
    result = np.full(len(layout), -1, np.intp)
    placed = image >= 0
    result[image[placed]] = following[placed]
    return result


def neighbourhoods(layout: Layout) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the 3 x 3 patch around each electrode, grouped by the number of electrodes in it.

    Each entry is (channels, members): (n,) channel numbers, and (n, k) channel numbers of their patches, which include
    the centre. A patch ends at the pattern's edge, or continues on the other side if the layout wraps.

    >>> [(channels.tolist(), members.tolist()) for channels, members in neighbourhoods(Layout.grid(1, 3))]
    [([0, 2], [[0, 1], [1, 2]]), ([1], [[0, 1, 2]])]
    """
    image = layout.index()
    rows, columns = image.shape
    patches: dict[int, list[tuple[int, list[int]]]] = {}
    for channel, (r, c) in enumerate(zip(layout.row, layout.column)):
        if r < 0:
            continue
        members = set()
        for dr in (-1, 0, 1):
            for dc in (-1, 0, 1):
                row, column = r + dr, c + dc
                if layout.wraps:
                    column %= columns
                if 0 <= row < rows and 0 <= column < columns and image[row, column] >= 0:
                    members.add(int(image[row, column]))
        patches.setdefault(len(members), []).append((channel, sorted(members)))
    return [
        (np.array([channel for channel, _ in group]), np.array([members for _, members in group]))
        for _, group in sorted(patches.items())
    ]


def median_of_rows(rows: np.ndarray) -> np.ndarray:
    """Return the median over axis 0 of (k, ...); for an even k, the mean of the two middle values.

    It uses an odd-even sorting network, which is several times faster than np.median for the few rows of a patch.

    >>> median_of_rows(np.array([[1.0, 5.0], [9.0, 2.0], [3.0, 4.0]]))
    array([3., 4.])
    """
    sorted_rows = list(rows)
    k = len(sorted_rows)
    for i in range(k):
        for j in range(i % 2, k - 1, 2):
            low = np.minimum(sorted_rows[j], sorted_rows[j + 1])
            sorted_rows[j + 1] = np.maximum(sorted_rows[j], sorted_rows[j + 1])
            sorted_rows[j] = low
    if k % 2:
        return sorted_rows[k // 2]
    return (sorted_rows[k // 2 - 1] + sorted_rows[k // 2]) / 2
