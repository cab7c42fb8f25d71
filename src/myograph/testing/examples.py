"""Small made-up recordings and windows, for examples and tests that need no files."""

from __future__ import annotations

from typing import Any

import numpy as np

from myograph.recording import Recording
from myograph.windows import Cutter, Windows


def make_recording(
    subject: str = "1",
    session: str = "1",
    n_classes: int = 2,
    n_repetitions: int = 4,
    n_channels: int = 4,
    seconds: float = 0.5,
    rate_hz: float = 1000.0,
    seed: int = 0,
    **fields: Any,
) -> Recording:
    """Make a recording of white noise whose amplitude on each channel depends on the class.

    The repetitions follow each other; each contains every class once. Class 0 is called "rest" and is weak everywhere;
    class k is strong on every channel whose number is k modulo the number of classes. The same arguments give the
    same samples.

    Parameters
    ----------
    subject, session : names. They do not change the samples; give another `seed` for that.
    n_classes, n_repetitions, n_channels : numbers of classes, repetitions and channels.
    seconds : duration of one repetition of one class, in seconds.
    rate_hz : samples per second.
    seed : seed of the noise.
    fields : further fields of the `Recording`, such as `unit` or `layout`.

    Returns
    -------
    Recording of shape (n_channels, n_classes * n_repetitions * seconds * rate_hz), float32, in microvolts.

    Examples
    --------
    >>> make_recording(n_classes=3, n_channels=2)
    <Recording subject 1, session 1: 2 channels x 6.0 s @ 1000 Hz, uV, 3 labels>
    """
    n = round(seconds * rate_hz)
    label = np.tile(np.repeat(np.arange(n_classes), n), n_repetitions)
    strong = (label > 0) & (label == (np.arange(n_channels) % n_classes)[:, None])
    amplitude = np.where(strong, 50.0, np.where(label > 0, 15.0, 5.0))
    signal = amplitude * np.random.default_rng(seed).normal(size=(n_channels, len(label)))
    names = ("rest", "fist", "open", "pinch", *(f"class {k}" for k in range(4, n_classes)))[:n_classes]
    made: dict[str, Any] = {"label_names": names, **fields}
    return Recording(signal.astype(np.float32), rate_hz, label, subject, session=session, **made)


def make_windows(
    n_subjects: int = 1, n_sessions: int = 1, windowing: Cutter | None = None, seed: int = 0, **settings: Any
) -> Windows:
    """Cut one recording of `make_recording` per session of each subject into windows.

    Parameters
    ----------
    n_subjects, n_sessions : numbers of subjects, and of sessions per subject. They are named "1", "2" and so on.
    windowing : how to cut; by default windows of 200 ms every 50 ms.
    seed : seed of the noise of the first recording; every later one has the next number.
    settings : further arguments of `make_recording`.

    Examples
    --------
    >>> make_windows(n_subjects=2, n_classes=3).shape
    (168, 4, 200)
    """
    places = [(s, t) for s in range(n_subjects) for t in range(n_sessions)]
    recordings = [make_recording(str(s + 1), str(t + 1), seed=seed + i, **settings) for i, (s, t) in enumerate(places)]
    return Windows.cut(recordings, windowing)
