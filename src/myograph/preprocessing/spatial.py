"""Which electrodes are neighbours: the index arithmetic behind the spatial filters."""

from __future__ import annotations

import numpy as np

from myograph.errors import ConfigError
from myograph.recording import Layout


def check_layout(layout: Layout | None, n_channels: int, asker: str) -> Layout:
    """The layout, if it is there and places every channel."""
    if layout is None:
        raise ConfigError(
            f"{asker} needs to know where the electrodes sit, but the recording has no layout; give it "
            f"layout=Layout.ring({n_channels}) or Layout.grid(rows, columns)"
        )
    if len(layout) != n_channels:
        raise ConfigError(f"{asker}: the layout places {len(layout)} channels, the signal has {n_channels}")
    return layout


def next_channel(layout: Layout, along: str) -> np.ndarray:
    """(channel,) number of the electrode in the next column ("columns") or row ("rows"), -1 where there is none."""
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
    """Electrodes of each 3x3 patch, grouped by how many there are.

    Each entry is (channels, members): (n,) channel numbers and the (n, k) channels of their patches, themselves
    included. Patches end at the pattern's edge, or go round it where the layout wraps.
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
    """Median over axis 0 of (k, ...): an odd-even sorting network, several times np.median for the few rows of a patch.

    An even k takes the mean of the two middle values.
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
