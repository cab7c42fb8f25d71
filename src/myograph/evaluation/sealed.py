"""Windows for methods that contain the user's own code: samples outside the windows are hidden.

Methods of myograph and of installed packages read only the samples of the windows that they are given. The user's code may
read more without any bad intent, for example if it filters a whole recording inside `transform`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from myograph._common.pipelines import past_ms
from myograph._common.runs import stretch_starts
from myograph.evaluation.identity import Description
from myograph.recording import Recording
from myograph.windows import Windows


def has_own_code(estimator: Any) -> bool:
    """Return whether a method contains the user's own code.

    >>> from sklearn.preprocessing import FunctionTransformer
    >>> has_own_code(FunctionTransformer(np.abs)), has_own_code(FunctionTransformer(lambda X: X))
    (False, True)
    """
    description = Description()
    description.of(estimator)
    return description.own


def sealed(windows: Windows, past_ms: float = 0.0) -> Windows:
    """Return the same windows on copies of their recordings in which every sample outside these windows is NaN.

    The samples of the last `past_ms` before each window are not hidden, but those before a break are. The copies have the
    fields of `Recording` and no other attributes. They share no memory with the originals.

    >>> from myograph import Windowing
    >>> recording = Recording(np.ones((1, 6)), 1000, np.zeros(6, int), subject="1")
    >>> windows = Windows.cut(recording, Windowing(length_ms=2, step_ms=2))
    >>> sealed(windows[[0, 2]]).recordings[0].signal
    array([[ 1.,  1., nan, nan,  1.,  1.]])
    """
    of, start, stop = (windows.column(name) for name in ("recording", "start", "stop"))
    recordings = []
    for i, recording in enumerate(windows.recordings):
        signal = np.full(recording.signal.shape, np.nan, recording.signal.dtype)
        mine = np.flatnonzero(of == i)
        edges = np.zeros(recording.n_samples + 1, np.int64)
        begin = stretch_starts(recording.breaks, start[mine])
        past = math.ceil(past_ms * recording.rate_hz / 1000)
        np.add.at(edges, np.maximum(start[mine] - past, begin), 1)
        np.add.at(edges, stop[mine], -1)
        inside = np.cumsum(edges[:-1]) > 0
        stretches = np.flatnonzero(np.diff(inside, prepend=False, append=False)).reshape(-1, 2)
        for first, last in stretches.tolist():
            signal[:, first:last] = recording.signal[:, first:last]
        signal.flags.writeable = False
        made = object.__new__(Recording)
        for field in dataclasses.fields(Recording):
            value = signal if field.name == "signal" else getattr(recording, field.name)
            object.__setattr__(made, field.name, value.copy() if field.name in ("label", "repetition") else value)
        recordings.append(made)
    return windows._with({}, tuple(recordings))


def sealer(estimator: Any) -> Callable[[Windows], Windows]:
    """Return `sealed` for a method that contains the user's own code, and a function that changes nothing for any other.

    >>> from sklearn.preprocessing import FunctionTransformer
    >>> sealer(FunctionTransformer(lambda X: X)).func is sealed
    True
    """
    return partial(sealed, past_ms=past_ms(estimator)) if has_own_code(estimator) else lambda windows: windows
