"""`Decoder`: all processing from raw samples to decisions, in one file, with the same decisions live and offline."""

from __future__ import annotations

import copy
import os
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from myograph.errors import ConfigError, DataError, NotAdaptedWarning, ShapeError, SignalError
from myograph.live import _file
from myograph.live._codec import Decoded, Encoder
from myograph.live._predict import check_past
from myograph.live.decisions import Decisions
from myograph.live.postprocess import PostProcessor, ProportionalVelocity, run_all
from myograph.live.stream import DecoderStream
from myograph.methods import METHODS
from myograph.preprocessing.filters import Filter, apply_all, stream_all
from myograph.recording import Layout, Recording
from myograph.windows import Windowing, Windows

FIELDS = (
    "method",
    "classes",
    "n_channels",
    "rate_hz",
    "unit",
    "filters",
    "windowing",
    "post",
    "layout",
    "dtype",
    "trained_on",
    "scores",
    "version",
)


@dataclass(frozen=True, eq=False)
class Decoder:
    """Turns raw samples into decisions; created by `Decoder.fit` or `Decoder.load`.

    Attributes
    ----------
    method : the fitted scikit-learn estimator.
    classes : names of the classes, in the order of the probabilities.
    n_channels, rate_hz, unit, layout : properties of the raw samples; other samples are refused.
    filters : causal filters, applied to the raw samples in order.
    windowing : a `Windowing`; its grid starts at the first sample.
    post : post-processors, applied to the decisions in order.
    dtype : dtype of the samples in training; live samples are converted to it.
    trained_on : facts about the training as plain values: recordings with their hashes, the recipe, the date.
    scores : the scores of the method's evaluation, as plain values; None if there was no evaluation.
    version : version of myograph that fitted the decoder.

    Examples
    --------
    >>> import numpy as np
    >>> from myograph import Recording, Windowing
    >>> rng = np.random.default_rng(0)
    >>> label = np.repeat([0, 1, 0, 1], 500)
    >>> signal = rng.normal(size=(2, 2000)) * (1 + 4 * label)
    >>> recording = Recording(signal.astype("float32"), 500.0, label, "1", label_names=("rest", "fist"))
    >>> decoder = Decoder.fit([recording], "lda", windowing=Windowing(200, 50))
    >>> stream = decoder.stream()
    >>> parts = [stream.push(recording.signal[:, i : i + 33]) for i in range(0, 2000, 33)]
    >>> Decisions.concatenate(parts) == decoder.decide(recording)
    True
    >>> decoder.filtered, decoder.info["classes"]
    ((500.0, 2), ['fist', 'rest'])
    >>> from myograph.live.postprocess import MajorityVote
    >>> decoder.with_post(MajorityVote(5)).info["post"]
    ['MajorityVote(n=5)']
    >>> import tempfile
    >>> path = decoder.save(Path(tempfile.mkdtemp()) / "fist.decoder")
    >>> loaded = Decoder.load(path)
    >>> loaded.decide(recording) == decoder.decide(recording), len(loaded.sha256)
    (True, 64)
    """

    method: Any
    classes: tuple[str, ...]
    n_channels: int
    rate_hz: float
    unit: str
    filters: tuple[Filter, ...] = ()
    windowing: Windowing = field(default_factory=Windowing)
    post: tuple[PostProcessor, ...] = ()
    layout: Layout | None = None
    dtype: str = "float32"
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] | None = None
    version: str = field(default_factory=lambda: version("myograph"))

    def __post_init__(self) -> None:
        if not isinstance(self.windowing, Windowing):
            raise ConfigError(
                f"windowing of a decoder must be a Windowing(...), with one length and step, got {self.windowing!r}"
            )
        if strange := [f for f in self.filters if not getattr(f, "causal", False)]:
            raise ConfigError(f"{strange[0]!r} is not causal, so it cannot run live; use a causal filter in a decoder")
        if not hasattr(self.method, "predict_proba") and any(p.needs_proba for p in self.post):
            raise ConfigError(
                f"{type(self.method).__name__} gives no probabilities, which {self.post} needs; choose a method with "
                "predict_proba"
            )
        check_past(self.method)
        run_all(self.post, self.classes)  # raises if settings name unknown classes

    @classmethod
    def fit(
        cls,
        recordings: Recording | Iterable[Recording],
        method: Any = "smoothed",
        filters: Filter | Sequence[Filter] = (),
        windowing: Windowing | None = None,
        post: PostProcessor | Sequence[PostProcessor] = (),
        leave_out: Sequence[str] = (),
        scores: Mapping[str, Any] | None = None,
        trained_on: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Decoder:
        """Fit a method on all windows of the recordings.

        Parameters
        ----------
        recordings : one or several recordings of equal rate, unit and number of channels.
        method : a name of `METHODS`, or any scikit-learn classifier over windows, unfitted.
        leave_out : names of labels whose windows are not used, such as "rest".
        scores, trained_on : plain values stored in the decoder.
        options : options of a method given by name.

        Raises
        ------
        ConfigError : recordings that differ in rate, unit or channels; fewer than two classes; a non-causal filter.
        """
        recordings = [recordings] if isinstance(recordings, Recording) else list(recordings)
        filters = (filters,) if isinstance(filters, Filter) else tuple(filters)
        post = (post,) if isinstance(post, PostProcessor) else tuple(post)
        _common_kind(recordings)
        windows = Windows.cut([apply_all(filters, r) for r in recordings], windowing)
        windows = windows[~np.isin(windows.y, list(leave_out))]
        estimator = METHODS.create(method, **options) if isinstance(method, str) else clone(method)
        origin = {"method": method if isinstance(method, str) else type(method).__name__, **(trained_on or {})}
        return cls.learn(estimator, windows, recordings, filters, windowing or Windowing(), post, origin, scores)

    @classmethod
    def learn(
        cls,
        estimator: Any,
        windows: Windows,
        recordings: Sequence[Recording],
        filters: tuple[Filter, ...],
        windowing: Windowing,
        post: tuple[PostProcessor, ...] = (),
        trained_on: Mapping[str, Any] | None = None,
        scores: Mapping[str, Any] | None = None,
    ) -> Decoder:
        """Fit an estimator on windows that were cut from `recordings` after `filters`.

        `Decoder.fit` cuts the windows itself; this method is for windows that were selected in another way.

        Raises
        ------
        ConfigError : recordings that differ in rate, unit or channels; fewer than two classes; a non-causal filter.

        >>> from myograph.methods import lda
        >>> from myograph.testing import make_recording
        >>> recording = make_recording(n_classes=3)
        >>> windows = Windows.cut(recording).where(label=("fist", "open"))
        >>> Decoder.learn(lda(), windows, [recording], filters=(), windowing=Windowing()).classes
        ('fist', 'open')
        """
        kind = _common_kind(recordings)
        if len(found := np.unique(windows.y)) < 2:
            raise ConfigError(f"a decoder needs two or more classes, these windows have {', '.join(found) or 'none'}")
        fitted = estimator.fit(windows, windows.y)
        fitted = getattr(fitted, "best_estimator_", fitted)  # the result of a hyperparameter search
        return cls(
            fitted,
            tuple(str(c) for c in fitted.classes_),
            filters=filters,
            windowing=windowing,
            post=tuple(_learn(p, windows) if isinstance(p, ProportionalVelocity) else p for p in post),
            trained_on={**_provenance(recordings, len(windows)), **(trained_on or {})},
            scores=scores,
            **kind,
        )

    def decide(self, recording: Recording) -> Decisions:
        """Return the decisions of a whole recording; they equal those of `stream` for the same samples.

        Filters, windows and post-processing restart at each break of the recording.

        Raises
        ------
        ShapeError, SignalError : another number of channels, rate or unit than in training.
        """
        self._check(recording)
        stream = self.stream()
        parts = []
        for start, stop in recording.stretches():
            stream.reset(start)
            parts.append(stream.push(recording.signal[:, start:stop]))
        return Decisions.concatenate(parts)

    def stream(self) -> DecoderStream:
        """Return a new stream for live samples: `push(chunk)` with (channel, time) samples returns the decisions that
        they complete.
        """
        return DecoderStream(self)

    def with_post(self, *post: PostProcessor) -> Decoder:
        """Return the same decoder with other post-processors."""
        return replace(self, post=tuple(post))

    def adapted(self, recordings: Recording | Iterable[Recording], leave_out: Sequence[str] = ()) -> Decoder:
        """Return a decoder whose method has also learnt from unlabelled recordings of a new day or a new person.

        All recordings must be of one session of one person. Every window of them is used, also those of rest and transitions, so the
        method should know rest as a class if rest was recorded. The new decoder has no scores, because those of this one do
        not hold for it. If the method changes nothing, it gives a NotAdaptedWarning, and this decoder is returned. Methods such as
        recentred and aligned_lda start from their training or last calibration each time, so unlabelled recordings that they
        were adapted to before no longer count.

        Parameters
        ----------
        recordings : one or several recordings; their labels are not used.
        leave_out : names of labels, such as "rest"; windows with a sample that has one are left out. This needs labels, for
            example those of prompts.

        Raises
        ------
        ConfigError : the method cannot adapt, the recordings are of several people or sessions, or have no label to leave out.
        ShapeError, SignalError : another number of channels, rate or unit than in training.

        Examples
        --------
        >>> from myograph.testing import make_recording
        >>> monday = make_recording(n_classes=4, n_channels=3, seconds=1.5, session="monday")
        >>> tuesday = make_recording(n_classes=4, n_channels=3, seconds=1.5, session="tuesday", seed=1)
        >>> moved = tuesday.with_signal(tuesday.signal * [[3.0], [0.5], [1.0]])
        >>> decoder = Decoder.fit(monday, "aligned_lda")
        >>> errors = [d.decide(moved).metrics(moved, "rest")["total_error"] for d in (decoder, decoder.adapted(moved))]
        >>> errors[0] > 0.2, errors[1] < 0.1
        (True, True)
        """
        return self._learnt("adapt", recordings, leave_out)

    def calibrated(self, recordings: Recording | Iterable[Recording], leave_out: Sequence[str] = ()) -> Decoder:
        """Return a decoder whose method has also learnt from labelled recordings of a new day or a new person.

        One repetition of each movement is usually enough. The new decoder has no scores, because those of this one do not
        hold for it.

        Parameters
        ----------
        recordings : one or several labelled recordings of one session.
        leave_out : names of labels whose windows are left out, such as "rest".

        Raises
        ------
        ConfigError : as in `adapted`, or the recordings have a label that the method does not know.
        ShapeError, SignalError : another number of channels, rate or unit than in training.

        Examples
        --------
        >>> from myograph.testing import make_recording
        >>> decoder = Decoder.fit(make_recording(n_classes=3, n_channels=3), "aligned_lda")
        >>> new = decoder.calibrated(make_recording(n_classes=3, n_channels=3, subject="2"))
        >>> new.scores, [learnt["labels"] for learnt in new.trained_on["adapted_to"]]
        (None, [True])
        """
        return self._learnt("calibrate", recordings, leave_out)

    def _learnt(self, how: str, recordings: Recording | Iterable[Recording], leave_out: Sequence[str]) -> Decoder:
        recordings = [recordings] if isinstance(recordings, Recording) else list(recordings)
        if not hasattr(self.method, how):
            raise ConfigError(
                f"{type(self.method).__name__} has no {how}, so this decoder stays as it is; train one with a method that "
                "has it, such as recentred or aligned_lda"
            )
        if not recordings:
            raise ConfigError(f"{how} needs at least one recording")
        for recording in recordings:
            self._check(recording)
        if len(of := sorted({(r.subject, r.session) for r in recordings})) > 1:
            listed = "; ".join(f"subject {subject}, session {session}" for subject, session in of[:6])
            raise ConfigError(
                f"{how} needs recordings of one session of one person, got {len(of)}: {listed}; select one"
            )
        known = sorted({name for r in recordings for name in r.label_names})
        if unknown := [name for name in leave_out if name not in known]:
            raise ConfigError(
                f"there is no label {', '.join(unknown)} to leave out; the recordings have {known or 'none'}"
            )
        labelled = how == "calibrate"
        filtered = [apply_all(self.filters, r) for r in recordings]
        bare = filtered if labelled else [replace(r, label=None, label_names=(), repetition=None) for r in filtered]
        windows = Windows.cut(bare, self.windowing)
        windows = windows[~_touching(windows, filtered, leave_out)]
        if not len(windows):
            raise ConfigError(f"{how} has no windows of {self.windowing.length_ms:g} ms to learn from")
        method = copy.deepcopy(self.method)
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            getattr(method, how)(windows, *([windows.y] if labelled else []))
        for warning in given:
            warnings.warn(warning.message, stacklevel=3)
        if any(issubclass(warning.category, NotAdaptedWarning) for warning in given):
            return self
        origin = {**_provenance(recordings, len(windows)), "labels": labelled}
        return replace(
            self,
            method=method,
            classes=tuple(str(c) for c in method.classes_),
            trained_on={**self.trained_on, "adapted_to": [*self.trained_on.get("adapted_to", []), origin]},
            scores=None,
        )

    def save(self, path: str | os.PathLike[str], classes: Sequence[type] = ()) -> Path:
        """Write the decoder to one file; an existing file is replaced only when the new one is complete.

        Parameters
        ----------
        path : the file.
        classes : your own classes that the method contains; pass them to `load` as well.

        Raises
        ------
        ConfigError : a part of the method cannot be written as plain values and arrays.
        ResultsError : the file cannot be written there.
        """
        encoder = Encoder(classes)
        values = {name: encoder.encode(getattr(self, name), name) for name in FIELDS}
        _file.write(path, encoder.arrays, values)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], classes: Sequence[type] = ()) -> Decoder:
        """Return the decoder that `save` wrote. Reading it runs no code from the file.

        Parameters
        ----------
        path : the file.
        classes : your own classes that the method contains.

        Raises
        ------
        DataError : the file does not exist, is not a decoder, is damaged, of another version, or has an unknown class.
        """
        arrays, values, digest = _file.read(path)
        try:
            decoded = Decoded(arrays, classes)
            fields = {name: decoded.decode(values[name]) for name in FIELDS}
            made = cls(**fields)
        except (DataError, RecursionError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DataError(f"{path} is not a decoder that this version of myograph can use: {error}") from error
        made.__dict__["sha256"] = digest
        return made

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's content, set by `load`; empty if the decoder was not loaded from a file."""
        return ""

    @cached_property
    def filtered(self) -> tuple[float, int]:
        """Rate in Hz and number of channels after the filters."""
        stream = stream_all(self.filters, self.rate_hz, self.n_channels, self.layout)
        return stream.rate_hz, stream.n_channels

    @property
    def info(self) -> dict[str, Any]:
        """The properties of the decoder, as plain values."""
        return {
            "method": type(self.method).__name__,
            "classes": list(self.classes),
            "n_channels": self.n_channels,
            "rate_hz": self.rate_hz,
            "unit": self.unit,
            "filters": [repr(f) for f in self.filters],
            "windowing": repr(self.windowing),
            "post": [repr(p) for p in self.post],
            "trained_on": dict(self.trained_on),
            "scores": None if self.scores is None else dict(self.scores),
            "version": self.version,
            "sha256": self.sha256,
        }

    def _check(self, recording: Recording) -> None:
        if recording.n_channels != self.n_channels:
            raise ShapeError(
                f"{recording.name} has {recording.n_channels} channels, the decoder was fitted on {self.n_channels}; "
                "select the same channels in the same order"
            )
        if recording.rate_hz != self.rate_hz:
            raise SignalError(
                f"{recording.name} has {recording.rate_hz:g} Hz, the decoder was fitted at {self.rate_hz:g} Hz; resample "
                "the recording, or fit the decoder at its rate"
            )
        if recording.unit != self.unit:
            raise SignalError(
                f"{recording.name} is in {recording.unit!r}, the decoder was fitted in {self.unit!r}; convert the recording"
            )

    def __repr__(self) -> str:
        return (
            f"<Decoder: {type(self.method).__name__}, {len(self.classes)} classes, {self.n_channels} channels @ "
            f"{self.rate_hz:g} Hz, {self.unit}, every {self.windowing.step_ms:g} ms>"
        )


def _common_kind(recordings: Sequence[Recording]) -> dict[str, Any]:
    if not recordings:
        raise ConfigError("a decoder needs at least one recording")
    kinds = {(r.n_channels, r.rate_hz, r.unit) for r in recordings}
    if len(kinds) > 1:
        listed = "; ".join(f"{n} channels, {rate:g} Hz, {unit}" for n, rate, unit in sorted(kinds))
        raise ConfigError(
            f"recordings must have equal channels, rate and unit, got {listed}; resample or select them first"
        )
    ((n_channels, rate_hz, unit),) = kinds
    layouts = {r.layout for r in recordings}
    wide = any(r.signal.dtype == np.float64 for r in recordings)
    return {
        "n_channels": n_channels,
        "rate_hz": rate_hz,
        "unit": unit,
        "layout": layouts.pop() if len(layouts) == 1 else None,
        "dtype": "float64" if wide else "float32",
    }


def _learn(post: ProportionalVelocity, windows: Windows) -> ProportionalVelocity:
    if post.ranges:
        return post
    amplitude = np.concatenate([np.abs(batch).mean(axis=(1, 2), dtype=np.float64) for batch in windows.batches()])
    return post.learn(amplitude, windows.y)


def _touching(windows: Windows, recordings: Sequence[Recording], names: Sequence[str]) -> np.ndarray:
    """(window,) whether a sample of the window has one of these labels."""
    of, start, stop = (windows.column(name) for name in ("recording", "start", "stop"))
    touching = np.zeros(len(of), bool)
    for k, recording in enumerate(recordings):
        code = [i for i, name in enumerate(recording.label_names) if name in names]
        before = np.concatenate([[0], np.cumsum(np.isin(recording.label, code))])
        mine = of == k
        touching[mine] = before[stop[mine]] > before[start[mine]]
    return touching


def _provenance(recordings: Sequence[Recording], n_windows: int) -> dict[str, Any]:
    return {
        "recordings": [
            {"name": r.name, "subject": r.subject, "session": r.session, "sha256": r.content_hash} for r in recordings
        ],
        "n_windows": n_windows,
        "date": time.strftime("%Y-%m-%d"),
    }
