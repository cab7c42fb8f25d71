"""Selection of channels and labels: steps of a recipe that do not change the values of samples.

They are filters, so they are part of a recipe's `filters` and also run on live samples. Live samples have no labels, so
steps that select labels have no effect on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from myograph.errors import ConfigError, ShapeError
from myograph.preprocessing.base import FILTERS, Push, SampleFilter, check_positive, check_whole
from myograph.recording import Layout, Recording, run_starts


@FILTERS.register("first_channels")
@dataclass(frozen=True)
class FirstChannels(SampleFilter):
    """Keep the first `n` channels and their places in the layout.

    Raises
    ------
    ShapeError : the recording has fewer channels.

    >>> recording = Recording(np.eye(3), 100.0, None, "anna")
    >>> FirstChannels(2).apply(recording).signal
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """

    n: int

    def __post_init__(self) -> None:
        check_whole(self, n=self.n)

    def _output(self, rate_hz: float, n_channels: int, layout: Layout | None) -> tuple[float, int, Layout | None]:
        if n_channels < self.n:
            raise ShapeError(
                f"the signal has {n_channels} channels, fewer than the {self.n} to keep; lower n to the "
                "number of channels (for an image of a grid: rows x columns)"
            )
        if layout is not None and n_channels > self.n:
            layout = layout.take(np.arange(self.n))
        return rate_hz, self.n, layout

    def _apply(self, recording: Recording) -> Recording:
        layout = self._output(recording.rate_hz, recording.n_channels, recording.layout)[2]
        return recording.with_signal(recording.signal[: self.n], layout=layout)  # a view, not a copy

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        return lambda x: x[: self.n]


class LabelFilter(SampleFilter):
    """Base class of filters that change labels and leave the samples unchanged.

    >>> class Unlabelled(LabelFilter):
    ...     def _apply(self, recording):
    ...         return replace(recording, label=np.full_like(recording.label, -1))
    >>> Unlabelled().apply(Recording(np.zeros((1, 2)), 100.0, np.array([0, 1]), "anna")).label
    array([-1, -1], dtype=int32)
    """

    def _apply(self, recording: Recording) -> Recording:
        raise NotImplementedError

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        return lambda x: x


@FILTERS.register("keep_middle")
@dataclass(frozen=True)
class KeepMiddle(LabelFilter):
    """Keep labels only in the middle `length_ms` of each repetition of each label; the other samples become unlabelled.

    This reduces the amount of data without changing the sampling rate.

    >>> recording = Recording(np.zeros((1, 6)), 1000.0, np.array([0, 0, 0, 0, 0, 1]), "anna")
    >>> KeepMiddle(3.0).apply(recording).label
    array([-1,  0,  0,  0, -1,  1], dtype=int32)
    """

    length_ms: float

    def __post_init__(self) -> None:
        check_positive(self, length_ms=self.length_ms)

    def _apply(self, recording: Recording) -> Recording:
        starts = run_starts(recording.label, recording.repetition)
        stops = np.append(starts[1:], recording.n_samples)
        n = round(self.length_ms * recording.rate_hz / 1000)
        label = np.full_like(recording.label, -1)
        for start, stop in zip(starts, stops):
            first = max((start + stop - n) // 2, start)
            label[first : min(first + n, stop)] = recording.label[start]
        return replace(recording, label=label)


@FILTERS.register("first_repetitions")
@dataclass(frozen=True)
class FirstRepetitions(LabelFilter):
    """Keep labels only in repetitions 1 to `n`; the samples of later ones become unlabelled.

    >>> recording = Recording(np.zeros((1, 3)), 100.0, np.zeros(3, int), "anna", repetition=np.array([1, 2, 3]))
    >>> FirstRepetitions(2).apply(recording).label
    array([ 0,  0, -1], dtype=int32)
    """

    n: int

    def __post_init__(self) -> None:
        check_whole(self, n=self.n)

    def _apply(self, recording: Recording) -> Recording:
        return replace(recording, label=np.where(recording.repetition <= self.n, recording.label, -1))


@FILTERS.register("merge_labels")
@dataclass(frozen=True)
class MergeLabels(LabelFilter):
    """Give several labels one name, for an easier classification of the same recordings.

    Parameters
    ----------
    groups : pairs of a new name and the labels that get it, or a mapping. Labels in no group keep their names.

    Raises
    ------
    ConfigError : a label is in two groups, or (from `apply`) the recording has none of the labels.

    >>> recording = Recording(np.zeros((1, 3)), 100.0, np.array([0, 1, 2]), "anna", label_names=("fist", "pinch", "rest"))
    >>> merged = MergeLabels({"closed": ("fist", "pinch")}).apply(recording)
    >>> merged.label_names, merged.label.tolist()
    (('closed', 'rest'), [0, 0, 1])
    """

    groups: tuple[tuple[str, tuple[str, ...]], ...]

    def __post_init__(self) -> None:
        pairs: Iterable = self.groups.items() if isinstance(self.groups, dict) else self.groups
        groups = tuple((str(name), tuple(map(str, labels))) for name, labels in pairs)
        every = [label for _, labels in groups for label in labels]
        twice = sorted({label for label in every if every.count(label) > 1})
        if twice:
            raise ConfigError(f"MergeLabels: a label can be in one group only, got {', '.join(twice)} in several")
        object.__setattr__(self, "groups", groups)

    def _apply(self, recording: Recording) -> Recording:
        new_name = {label: name for name, labels in self.groups for label in labels}
        if not new_name.keys() & set(recording.label_names):
            raise ConfigError(
                f"MergeLabels: {recording.name} has none of the labels {', '.join(new_name)}; it has "
                f"{', '.join(recording.label_names)}"
            )
        joined = [new_name.get(name, name) for name in recording.label_names]
        names = tuple(dict.fromkeys(joined))
        code = np.array([*(names.index(n) for n in joined), -1], np.int32)  # the last entry is for -1, unlabelled
        return replace(recording, label=code[recording.label], label_names=names)
