"""`run.json`: the facts about a run, with a checksum and the exact shape that report and command line rely on."""

from __future__ import annotations

import contextlib
import functools
import json
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from myograph._common.files import read_identity, sha256, write_json
from myograph.windows import Windows

RUN = "run.json"
VERSIONED = ("myograph", "numpy", "scipy", "scikit-learn", "numba", "torch", "pandas")
_SHARING = {f"n_sharing_{what}": int for what in ("samples", "repetition", "subject", "session")}
# [shape]: a list of any number of values of this shape. A tuple lists the allowed types; None allows null.
SHAPE: dict[str, Any] = {
    **dict.fromkeys(("recipe", "identity", "dataset", "method", "protocol", "finished"), str),
    **dict.fromkeys(("seed", "n_windows", "n_recordings"), int),
    "leaky": bool,
    "command": (str, None),
    "wall_s": float,
    "peak_memory_bytes": (int, None),
    "settings": {"protocol": {"type": str}},
    "labels": [str],
    "data_hashes": {},
    "versions": {},
    "audit": [{"fold": str, "passed": bool, "n_train": int, "n_test": int, **_SHARING}],
    "facts": {
        "rest": {"found": int, "kept": int},
        "sessions_per_person": [int],
        "train_people": [int],
        "missing_classes": [{"fold": str, "labels": [str]}],
        "fitted_before": [str],
        "not_resumable": [str],
    },
    "published": [{"setting": str, "value": float, "std": (float, None), "source": str, "status": str}],
    "glimpse": {
        **dict.fromkeys(("recording", "unit"), str),
        **dict.fromkeys(("rate_hz", "begin_s", "step_s"), float),
        "n_channels": int,
        "low": [[float]],
        "high": [[float]],
        "windows": [{"start_s": float, "stop_s": float, "label": str}],
    },
    "files": {"predictions.parquet": str, "scores.parquet": str},
    "honest": (str, None),
    "target_only": (str, None),
}


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Write `run.json` with its checksum, as a whole or not at all; ResultsError if it cannot be written."""
    write_json(folder / RUN, {**info, "sha256": sha256_of(info)})


def read_info(folder: Path) -> dict[str, Any]:
    """Return the content of `run.json`, after checking that all values are there and of the right type.

    Raises
    ------
    OSError, ValueError, RecursionError : it cannot be read, is damaged, or belongs to another run.
    """
    info = json.loads((folder / RUN).read_bytes())
    if not isinstance(info, dict) or "sha256" not in info:
        raise ValueError(f"{RUN} has no checksum: a version without checksums may have written it")
    if info.pop("sha256") != sha256_of(info):
        raise ValueError(f"the content of {RUN} does not match its checksum")
    info.setdefault("target_only", None)  # earlier versions did not have it
    check_shape(info, SHAPE, RUN)
    if (there := read_identity(folder)) not in (None, info["identity"]):
        raise ValueError(f"{RUN} is another run's: identity {info['identity'][:12]}, the folder's is {str(there)[:12]}")
    return info


def sha256_of(info: dict[str, Any]) -> str:
    """Return the checksum of an info: of its JSON text with sorted keys, so that spaces make no difference.

    >>> sha256_of({"a": 1, "b": 2}) == sha256_of({"b": 2, "a": 1})
    True
    """
    return sha256(json.dumps(info, sort_keys=True, allow_nan=False).encode())


def check_shape(value: Any, shape: Any, where: str) -> None:
    """Raise ValueError if a JSON value does not have the shape; the message names the place.

    >>> check_shape({"n": 3, "labels": ["a", "b"], "more": None}, {"n": int, "labels": [str]}, "it")
    >>> check_shape({"n": 3, "labels": ["a", 7]}, {"n": int, "labels": [str]}, "it")
    Traceback (most recent call last):
    ValueError: it, labels, 1 is int; expected str
    """
    if isinstance(shape, dict) and isinstance(value, dict):
        for name, inner in shape.items():
            if name not in value:
                raise ValueError(f"{where} lacks {name}")
            check_shape(value[name], inner, f"{where}, {name}")
    elif isinstance(shape, list) and isinstance(value, list):
        for i, item in enumerate(value):
            check_shape(item, shape[0], f"{where}, {i}")
    elif not _is_one_of(value, shape if isinstance(shape, tuple) else (shape,)):
        kinds = [getattr(k, "__name__", type(k).__name__) for k in (shape if isinstance(shape, tuple) else (shape,))]
        raise ValueError(f"{where} is {type(value).__name__}; expected {' or '.join(kinds)}")


def _is_one_of(value: Any, kinds: tuple[Any, ...]) -> bool:
    return any(value is None if k is None else type(value) in ((float, int) if k is float else (k,)) for k in kinds)


def taken(started: float) -> dict[str, Any]:
    """Return the duration and the peak memory of a run that started at this `time.perf_counter()`, and the time now.

    >>> sorted(taken(time.perf_counter()))
    ['finished', 'peak_memory_bytes', 'wall_s']
    """
    took = {"wall_s": time.perf_counter() - started, "peak_memory_bytes": peak_memory_bytes()}
    return {**took, "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")}


def versions() -> dict[str, str]:
    """Return the versions of Python, the platform and the installed packages that results depend on.

    >>> "numpy" in versions()
    True
    """
    return dict(_versions())


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in VERSIONED:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return tuple(found.items())


def peak_memory_bytes() -> int | None:
    """Return the largest resident set of this process or of a finished worker; None if the system does not say.

    >>> peak = peak_memory_bytes()
    >>> peak is None or peak > 1e6
    True
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    n_bytes = 1 if sys.platform == "darwin" else 1024
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) * n_bytes


def glimpse(windows: Windows, seconds: float = 8.0, points: int = 900) -> dict[str, Any]:
    """Return the signals around the first window, for the report: minimum and maximum of each of at most `points`
    blocks.

    >>> from myograph.testing import make_windows
    >>> sorted(glimpse(make_windows(), seconds=1.0))
    ['begin_s', 'high', 'low', 'n_channels', 'rate_hz', 'recording', 'step_s', 'unit', 'windows']
    """
    first = windows.table.iloc[0]
    recording = windows.recordings[first["recording"]]
    length = int(first["stop"] - first["start"])
    begin = max(int(first["start"]) - length // 2, 0)
    end = min(begin + max(int(seconds * recording.rate_hz), 2 * length), recording.n_samples)
    part = recording.signal[:16, begin:end].astype(np.float64)
    size = max(part.shape[1] // points, 1)
    n = part.shape[1] // size
    blocks = part[:, : n * size].reshape(len(part), n, size)
    here = windows.where(recording=int(first["recording"])).table
    here = here[(here["start"] >= begin) & (here["stop"] <= end)].head(200)
    return {
        "recording": recording.name,
        "unit": recording.unit,
        "rate_hz": recording.rate_hz,
        "n_channels": recording.n_channels,
        "begin_s": begin / recording.rate_hz,
        "step_s": size / recording.rate_hz,
        "low": blocks.min(axis=2).round(4).tolist(),
        "high": blocks.max(axis=2).round(4).tolist(),
        "windows": [
            {"start_s": s / recording.rate_hz, "stop_s": e / recording.rate_hz, "label": str(name)}
            for s, e, name in zip(here["start"], here["stop"], here["label"])
        ],
    }
