"""Robustness: methods that are trained on undisturbed signals and tested on disturbed ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.metaestimators import available_if

from myograph.errors import ConfigError
from myograph.recording import Recording
from myograph.windows import Windows

LEVELS: dict[str, tuple[float, ...]] = {
    "dropout": (0, 1, 2, 4),
    "rotation": (0, 1, 2, 3),
    "noise": (0, 0.25, 0.5, 1),
    "mains": (0, 0.5, 1, 2),
    "saturation": (0, 0.25, 0.5, 0.75),
    "effort": (0, 0.25, 0.5, 0.75),
}
"""Kinds of disturbance and the levels in the suite `robustness`; level 0 is no disturbance."""
MAINS_HZ = 50.0


class Disturbed(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """An estimator that predicts from disturbed windows.

    Disturbances are scaled by what is learnt in `fit`: the RMS of each channel over the train windows.

    Parameters
    ----------
    estimator : a classifier of Windows.
    kind, level : "dropout": this number of random channels is 0. "rotation": channels are shifted by this number of
        places, like a rotated ring of electrodes. "noise": white noise of level x RMS. "mains": a sine of 50 Hz
        with an amplitude of level x RMS. "saturation": samples are limited to (1 - level) x 3 x RMS. "effort": signals
        are (1 - level) times as large.
    seed : seed of the noise, the phase and the choice of channels.

    Raises
    ------
    ConfigError : an unknown kind, or a level that is not allowed for it (from `fit`).

    >>> from myograph.methods import lda
    >>> from myograph.testing import make_windows
    >>> windows = make_windows()
    >>> even = windows.column("repetition") % 2 == 0
    >>> train, test = windows[~even], windows[even]
    >>> method = Disturbed(lda(), "noise", 20.0).fit(train, train.y)
    >>> method.estimator_.score(test, test.y) > method.score(test, test.y)
    True
    >>> len(method.disturb(test)) == len(method.predict(test)) == len(method.predict_proba(test)) == len(test)
    True
    """

    def __init__(self, estimator: Any, kind: str = "dropout", level: float = 0, seed: int = 0):
        self.estimator, self.kind, self.level, self.seed = estimator, kind, level, seed

    def fit(self, X: Windows, y: Any) -> Disturbed:
        """Fit the estimator on undisturbed windows."""
        if self.kind not in LEVELS:
            raise ConfigError(f"kind must be one of {', '.join(LEVELS)}, got {self.kind!r}")
        if not self.level >= 0 or (self.kind in ("saturation", "effort") and not self.level < 1):
            raise ConfigError(f"level must be 0 or more, and below 1 for saturation and effort, got {self.level!r}")
        self.rms_ = channel_rms(X)
        if self.kind == "dropout" and self.level >= len(self.rms_):
            raise ConfigError(f"dropout of {self.level:g} channels leaves none of {len(self.rms_)}")
        self.estimator_ = cast(Any, clone(self.estimator)).fit(X, y)
        self.classes_ = getattr(self.estimator_, "classes_", np.unique(np.asarray(y)))
        return self

    def predict(self, X: Windows) -> np.ndarray:
        """Return (window,) predictions from disturbed windows."""
        return self.estimator_.predict(self.disturb(X))

    @available_if(lambda self: hasattr(self.estimator, "predict_proba"))
    def predict_proba(self, X: Windows) -> np.ndarray:
        """Return (window, class) probabilities from disturbed windows, if the estimator gives any."""
        return self.estimator_.predict_proba(self.disturb(X))

    def disturb(self, X: Windows) -> Windows:
        """Return the windows with disturbed recordings; recordings without windows here are not changed."""
        if not self.level:
            return X
        used = set(X.column("recording").tolist())
        return Windows([self._recording(r) if i in used else r for i, r in enumerate(X.recordings)], X.table)

    def _recording(self, recording: Recording) -> Recording:
        # the disturbance of a recording does not depend on which windows are predicted
        rng = np.random.default_rng([self.seed, recording.n_samples])
        x = np.array(recording.signal, np.float32)
        rms = self.rms_[:, None].astype(np.float32)
        if self.kind == "dropout":
            x[rng.permutation(len(x))[: int(self.level)]] = 0
        elif self.kind == "rotation":
            x = np.roll(x, int(self.level), axis=0)
        elif self.kind == "noise":
            x += np.float32(self.level) * rms * rng.standard_normal(x.shape, np.float32)
        elif self.kind == "mains":
            phase = 2 * np.pi * (MAINS_HZ / recording.rate_hz * np.arange(x.shape[1]) + rng.random())
            x += np.float32(self.level) * rms * np.sin(phase).astype(np.float32)
        elif self.kind == "saturation":
            most = np.float32(3 * (1 - self.level)) * rms
            x = np.clip(x, -most, most)
        else:
            x *= np.float32(1 - self.level)
        return replace(recording, signal=x)


def channel_rms(windows: Windows) -> np.ndarray:
    """Return (channel,) the root mean square over the samples of these windows, computed recording by recording.

    >>> from myograph.testing import make_windows
    >>> channel_rms(make_windows()).shape
    (4,)
    """
    total, n = 0.0, 0
    of, start, stop = (windows.column(name) for name in ("recording", "start", "stop"))
    for i in np.unique(of):
        signal = windows.recordings[i].signal
        inside = np.zeros(signal.shape[1], bool)
        for first, last in zip(start[of == i], stop[of == i]):
            inside[first:last] = True
        total = total + (signal[:, inside].astype(np.float64) ** 2).sum(axis=1)
        n += int(inside.sum())
    return np.sqrt(total / n)
