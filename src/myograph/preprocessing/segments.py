"""The active part of each repetition, found by its amplitude."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from myograph.preprocessing.base import FILTERS, check_whole
from myograph.preprocessing.channels import LabelFilter
from myograph.preprocessing.spatial import median_of_rows, neighbourhoods
from myograph.recording import Layout, Recording, run_starts


@FILTERS.register("active_segment")
@dataclass(frozen=True)
class ActiveSegment(LabelFilter):
    """Keep labels only in the longest active stretch of each repetition of each label; other samples become unlabelled.

    A repetition is cut into windows. Their RMS per electrode is replaced by the median over the electrode and its
    neighbours (if the recording has a layout) and averaged over the electrodes. Windows above the mean over the
    repetition are active, and so is a single window between two active ones. A repetition of less than a window, or of
    one constant amplitude, stays whole.

    The stretch depends on all samples of the repetition, so a live decoder cannot find it.

    Source: Amma et al. 2015, doi:10.1145/2702123.2702501, with the steps of the program of Geng et al. 2016.

    Parameters
    ----------
    length : samples per window; the published 150 are 73 ms at 2048 Hz.

    >>> signal = np.array([[1.0, -1.0, 9.0, -9.0, 9.0, -9.0, 1.0, -1.0]])
    >>> ActiveSegment(2).apply(Recording(signal, 2048.0, np.zeros(8, int), "anna")).label
    array([-1, -1,  0,  0,  0,  0, -1, -1], dtype=int32)
    """

    length: int = 150

    def __post_init__(self) -> None:
        check_whole(self, length=self.length)

    def _apply(self, recording: Recording) -> Recording:
        starts = run_starts(recording.label, recording.repetition)
        stops = np.append(starts[1:], recording.n_samples)
        label = np.full_like(recording.label, -1)
        for start, stop in zip(starts, stops):
            level = levels(recording.signal[:, start:stop], recording.layout, self.length)
            first, last = longest_active(level)
            if first < last:
                start, stop = start + first * self.length, start + last * self.length
            label[start:stop] = recording.label[start]
        return replace(recording, label=label)


def levels(signal: np.ndarray, layout: Layout | None, length: int) -> np.ndarray:
    """Return (window,) the mean amplitude of successive windows of `length` samples.

    >>> levels(np.array([[3.0, -3.0, 4.0, 4.0, 9.0]]), None, 2).tolist()
    [3.0, 4.0]
    """
    n = signal.shape[1] // length
    pieces = np.asarray(signal[:, : n * length], np.float64).reshape(len(signal), n, length)
    rms = np.sqrt((pieces**2).mean(axis=2))
    smooth = rms.copy()
    for channels, members in neighbourhoods(layout) if layout is not None else []:
        smooth[channels] = median_of_rows(rms[members.T])
    return smooth.mean(axis=0)


def longest_active(level: np.ndarray) -> tuple[int, int]:
    """Return the first window of the longest active stretch, and the one after its last; (0, 0) if none is active.

    >>> longest_active(np.array([1.0, 9.0, 1.0, 9.0, 9.0, 1.0, 1.0, 9.0]))
    (1, 5)
    """
    active = level > level.mean() if len(level) else np.zeros(0, bool)
    if len(active) > 2:
        active[1:-1] |= active[:-2] & active[2:]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]])))
    if not len(edges):
        return 0, 0
    begins, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - begins))
    return int(begins[longest]), int(ends[longest])
