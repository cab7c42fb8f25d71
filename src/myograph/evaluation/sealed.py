"""What a method with code of the user's own is given: its windows without anything around them, in a process in which no
other fold has left anything.

myograph's own methods and those of installed packages read the samples of the windows that they are given and keep what
they learn in themselves. The user's code may do otherwise without any bad intent: filter a whole recording inside
`transform`, or collect windows in a class attribute.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from myograph.errors import ConfigError, LeakageError
from myograph.evaluation.identity import Description
from myograph.recording import Recording
from myograph.windows import Windows

RANDOM = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)


def has_own_code(estimator: Any) -> bool:
    """Return whether a method has code of the user's own in it.

    >>> from sklearn.preprocessing import FunctionTransformer
    >>> has_own_code(FunctionTransformer(np.abs)), has_own_code(FunctionTransformer(lambda X: X))
    (False, True)
    """
    description = Description()
    description.of(estimator)
    return description.own


class _Lasting(Description):
    """A description without the states of random generators, which move on and hold nothing of the windows."""

    def _of(self, value: Any) -> Any:
        if isinstance(value, RANDOM) or f"{type(value).__module__}.{type(value).__name__}" == "torch._C.Generator":
            return type(value).__name__
        return super()._of(value)


def state_of(estimator: Any) -> str | None:
    """Return a hash of all that the user's code in a method can keep from call to call: global variables, class
    attributes, closures, default values. None if the method contains no code that the user wrote.

    >>> from sklearn.preprocessing import FunctionTransformer
    >>> kept = []
    >>> method = FunctionTransformer(lambda X: kept.append(len(X)) or X)
    >>> before = state_of(method)
    >>> _ = method.transform(np.zeros((3, 2)))
    >>> state_of(method) == before
    False
    """
    description = _Lasting()
    found = description.of(estimator)
    if not description.own:
        return None
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()


def sealed(windows: Windows) -> Windows:
    """Return the same windows over copies of their recordings in which every sample outside these windows is NaN.

    The copies hold the fields of `Recording` alone, and no memory is shared with the originals.

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
        np.add.at(edges, start[mine], 1)
        np.add.at(edges, stop[mine], -1)
        inside = np.cumsum(edges[:-1]) > 0
        borders = np.flatnonzero(np.diff(inside, prepend=False, append=False)).reshape(-1, 2)
        for first, last in borders.tolist():
            signal[:, first:last] = recording.signal[:, first:last]
        signal.flags.writeable = False
        made = object.__new__(Recording)
        for field in dataclasses.fields(Recording):
            value = signal if field.name == "signal" else getattr(recording, field.name)
            object.__setattr__(made, field.name, value.copy() if field.name in ("label", "repetition") else value)
        recordings.append(made)
    return windows._with({}, tuple(recordings))


def sealer(estimator: Any) -> Callable[[Windows], Windows]:
    """Return `sealed` for a method with code of the user's own, and for any other what leaves windows as they are.

    >>> from sklearn.preprocessing import FunctionTransformer
    >>> sealer(FunctionTransformer(lambda X: X)) is sealed
    True
    """
    return sealed if has_own_code(estimator) else lambda windows: windows


def pickled(estimator: Any) -> bytes | None:
    """Return the method with the user's code as it is now, None if it cannot be pickled.

    >>> pickled(i for i in range(3)) is None
    True
    """
    from joblib.externals.loky.cloudpickle_wrapper import dumps

    try:
        return dumps(estimator)
    except Exception:  # the user's code may raise anything here
        return None


def alone(method: bytes | None, work: Callable[..., Any], *arguments: Any) -> Any:
    """Return `work(estimator, *arguments)` from a process of its own, for a method from `pickled`.

    Raises
    ------
    LeakageError : the method could not be pickled, so the process cannot be given it.
    ConfigError : the process cannot load the method.

    >>> alone(pickled([3, 4]), sum, 10)
    17
    """
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    why = (
        "the method changed something outside itself while a fold ran (a global variable, a class attribute or what a "
        "closure holds), which could reach the test windows of another fold; keep it in attributes of the estimator"
    )
    if method is None:
        raise LeakageError(f"{why}. Each fold would run in a process of its own, but the method cannot be pickled")
    with ProcessPoolExecutor(max_workers=1) as pool:
        loads = pool.submit(_load, method)
        if (error := loads.exception()) is not None:
            raise ConfigError(
                f"{why}. Each fold runs in a process of its own, and that one cannot load it: {error}"
            ) from error
        return pool.submit(_work, method, work, arguments).result()


def _load(method: bytes) -> None:
    from joblib.externals.loky.cloudpickle_wrapper import loads

    loads(method)


def _work(method: bytes, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    from joblib.externals.loky.cloudpickle_wrapper import loads

    return work(loads(method), *arguments)
