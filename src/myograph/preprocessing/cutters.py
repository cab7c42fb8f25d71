"""Further windowings besides `myograph.Windowing`: in samples, of selected movements, of single channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myograph.errors import WindowError
from myograph.recording import Recording
from myograph.windows import Cutter, Windowing


@dataclass(frozen=True)
class SampleBySample:
    """Windows of `length` samples every `step` samples, at any sampling rate.

    >>> recording = Recording(np.zeros((1, 5)), 2560.0, np.zeros(5, int), "anna")
    >>> SampleBySample(length=2, step=2).intervals(recording)["start"]
    array([0, 2])
    """

    length: int = 1
    step: int = 1

    def intervals(self, recording: Recording) -> dict[str, np.ndarray]:
        """Return the windows of one recording, one entry per window in each column; see `Windowing.intervals`."""
        ms = 1000 / recording.rate_hz
        return Windowing(self.length * ms, self.step * ms).intervals(recording)


@dataclass(frozen=True)
class Trials(Windowing):
    """Windows inside selected movements, with as many trials of rest as of one movement.

    Parameters
    ----------
    movements : names of the labels to keep; None keeps all.
    rest_after : keep only the rest that follows this movement; None keeps all rest.

    >>> label = np.repeat([0, 1, 0, 2, 0], 100)
    >>> names = ("rest", "fist", "pinch")
    >>> recording = Recording(np.zeros((1, 500)), 1000.0, label, "anna", label_names=names)
    >>> Trials(100.0, 100.0, rest_after="fist").intervals(recording)["start"]
    array([100, 200, 300])
    """

    length_ms: float = 200.0
    step_ms: float = 100.0
    movements: tuple[str, ...] | None = None
    rest_after: str | None = None

    def intervals(self, recording: Recording) -> dict[str, np.ndarray]:
        """Return the windows of one recording, one entry per window in each column; see `Windowing.intervals`."""
        found = super().intervals(recording)
        names = np.array([*recording.label_names, ""])
        name, is_rest = names[found["label"]], names[found["label"]] == "rest"
        keep = np.ones(len(name), bool) if self.movements is None else np.isin(name, self.movements)
        if self.rest_after is not None:
            moving = (recording.label >= 0) & (names[recording.label] != "rest")
            last = np.maximum.accumulate(np.where(moving, np.arange(recording.n_samples), -1))[found["start"]]
            before = np.where(last >= 0, names[recording.label[np.maximum(last, 0)]], "")
            keep = np.where(is_rest, before == self.rest_after, keep)
        return {key: column[keep] for key, column in found.items()}


@dataclass(frozen=True)
class EachChannel:
    """Turns each channel of each window of another windowing into a separate row of shape (1, time).

    The rows of one window cover the same samples, so no honest protocol separates them.

    Parameters
    ----------
    windowing : the windowing that cuts the windows.
    every : keep every n-th channel; 1 keeps all.

    >>> recording = Recording(np.zeros((4, 600)), 1000, np.zeros(600, int), subject="1")
    >>> EachChannel(Windowing(), every=2).intervals(recording)["channel"][:4]
    array([0, 2, 0, 2])
    """

    windowing: Cutter
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise WindowError(f"every must be 1 (all channels) or more, got {self.every}")

    def intervals(self, recording: Recording) -> dict[str, np.ndarray]:
        """Return the windows of one recording, one entry per window and kept channel."""
        channels = np.arange(0, recording.n_channels, self.every)
        found = self.windowing.intervals(recording)
        n = len(found["start"])
        return {k: np.repeat(v, len(channels)) for k, v in found.items()} | {"channel": np.tile(channels, n)}
