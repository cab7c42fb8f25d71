"""Which features are requested, and how each is computed: from sums over a window's samples or from the samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from myograph.errors import ConfigError, ShapeError, unknown_name
from myograph.features import FEATURES, Feature, resolve
from myograph.features._base import check_level
from myograph.features._fast import merges
from myograph.features._fast.shared import SPECTRAL, WAVELET, spectral_features, wavelet_features
from myograph.features._fast.sums import Sums, SumTable, formula_of

ALL = np.empty(0, np.int64)  # the `channel` argument of `merges.write` if each row holds all channels


@dataclass(frozen=True)
class Request:
    """One feature and its parameters, except `rate_hz`, which the windows provide."""

    feature: Feature
    parameters: Mapping[str, Any]

    def at(self, rate_hz: float | None) -> dict[str, Any]:
        """Return all parameters of the feature at a sampling rate."""
        given = self.parameters
        if self.feature.needs_rate and "rate_hz" not in given:
            if rate_hz is None:
                raise ConfigError(
                    f"feature {self.feature.name} needs the sampling rate, which an array does not have: "
                    "Features(..., rate_hz=...)"
                )
            given = {**given, "rate_hz": rate_hz}
        return self.feature.filled(given)

    def columns(self, n_channels: int, rate_hz: float | None) -> list[str]:
        """Return the names of the columns: `MAV_ch0`, `AR.1_ch0` for the second output, `COV.1` for features of all
        channels.
        """
        k = self.feature.n_outputs(n_channels, **self.at(rate_hz))
        outputs = [f"{self.feature.name}.{i}" for i in range(k)] if self.feature.vector else [self.feature.name]
        if self.feature.axes == "channel":
            return outputs
        return [f"{output}_ch{c}" for output in outputs for c in range(n_channels)]


def requests(names: Any, options: Mapping[str, Mapping[str, Any]] | None, threshold: float | None) -> list[Request]:
    """Return the features and parameters of `Features(names, options, threshold)`.

    Raises
    ------
    UnknownNameError : a name or an option that does not exist.
    ConfigError : `names` is empty.
    """
    features = resolve(names)
    if not features:
        raise ConfigError("Features has no names: give at least one feature or group")
    options = {_owner(name).name: dict(given) for name, given in (options or {}).items()}
    chosen = {f.name for f in features}
    for name in options:
        if name not in chosen:
            raise unknown_name("feature among the chosen ones (options)", name, chosen)
    made = []
    for feature in features:
        parameters = {"threshold": threshold} if threshold is not None and "threshold" in feature.parameters else {}
        parameters.update(options.get(feature.name, {}))
        for given in parameters:
            if given not in feature.parameters:
                raise unknown_name(f"parameter of feature {feature.name}", given, feature.parameters)
        made.append(Request(feature, parameters))
    return made


def _owner(name: str) -> Feature:
    return FEATURES[name]


class FeaturePlan:
    """How the features of windows of one kind are computed, and which columns of a row they fill.

    Parameters
    ----------
    n_channels : channels per window, or 1 if `one_channel`.
    length : samples per window.
    one_channel : each row is one channel of a recording; sums are computed for all channels.

    Attributes
    ----------
    places : the slice of a row for each feature.
    n_columns : number of columns of a row.
    table : the sums that features are computed from, or None if no feature is computed from sums.
    by_samples : whether any feature needs the windows' samples.

    Raises
    ------
    ShapeError : a feature needs longer windows.
    ConfigError : a parameter does not fit, or a feature needs a rate and none is known.
    """

    def __init__(
        self,
        wanted: Sequence[Request],
        n_channels: int,
        length: int,
        rate_hz: float | None = None,
        one_channel: bool = False,
    ):
        self.length, self.n_columns = length, 0
        self.places: list[slice] = []
        summed, slow, levels = [], [], [0.0] * 4
        for request in wanted:
            feature, filled = request.feature, request.at(rate_hz)
            least = feature.shortest_window(n_channels, **filled)
            if length < least:
                raise ShapeError(
                    f"{feature.name} needs windows of at least {least} samples, these have {length}; "
                    "lengthen the windows, or leave the feature out"
                )
            width = feature.n_outputs(n_channels, **filled) * (n_channels if feature.axes == "time" else 1)
            place = slice(self.n_columns, self.n_columns + width)
            self.places.append(place)
            self.n_columns += width
            formula = None if one_channel and feature.axes == "channel" else formula_of(feature.name, filled)
            if formula is None:
                slow.append((feature, filled, place))
                continue
            if formula.level is not None:
                levels[formula.level] = check_level(feature.name, "threshold", filled["threshold"])
            summed.append((formula, place))
        table = SumTable([formula for formula, _ in summed], levels) if summed else None
        self.table = table
        self._values = [(formula.value, place) for formula, place in summed if not isinstance(formula.value, int)]
        forms = [(table.place[r.rows[0]], r.value, p.start) for r, p in summed if table and isinstance(r.value, int)]
        self._forms = tuple(np.array(forms, np.int64).reshape(-1, 3).T.copy())  # the form arguments of `merges.write`
        self._from_samples = _together(slow)
        self.by_samples = bool(slow)

    def put_sums(
        self,
        out: np.ndarray,
        rows: slice | np.ndarray,
        values: np.ndarray,
        window: np.ndarray | None = None,
        channel: np.ndarray | None = None,
    ) -> None:
        """Write the features that are computed from sums into rows of `out`; values : (kept row, window, channel).

        window : (row,) the window that each row belongs to, or None if window i is row i.
        channel : (row,) the single channel of each row, or None if rows hold all channels.
        """
        assert self.table is not None
        if len(self._forms[0]):
            to = np.arange(rows.start or 0, rows.stop) if isinstance(rows, slice) else rows
            of = np.arange(len(to)) if window is None else window
            merges.write(values, of, ALL if channel is None else channel, self.length, *self._forms, out, to)
        if self._values:
            sums = Sums(values if window is None else values[:, window], self.table, self.length)
            for value, place in self._values:
                found = value(sums)
                out[rows, place] = found if channel is None else found[np.arange(len(channel)), channel][:, None]

    def put_samples(self, out: np.ndarray, rows: slice | np.ndarray, samples: np.ndarray) -> None:
        """Write the features that are computed from samples into rows of `out`.

        samples : (window, channel, time) float64.
        """
        for compute, places in self._from_samples:
            for place, values in zip(places, compute(samples)):
                out[rows, place] = values


def plan_of(
    wanted: Sequence[Request],
    n_channels: int,
    length: int,
    rate_hz: float | None = None,
    one_channel: bool = False,
) -> FeaturePlan:
    """Return the `FeaturePlan` for windows of one kind; plans are cached."""
    # The type is part of the key: 1, 1.0 and True are equal, but only 1 is a valid number of coefficients.
    what = tuple((r.feature, *((name, type(v), v) for name, v in r.parameters.items())) for r in wanted)
    try:
        hash(what)
    except TypeError:  # an option is not hashable, for example a list
        return FeaturePlan(wanted, n_channels, length, rate_hz, one_channel)
    return _kept_plan(what, n_channels, length, rate_hz, one_channel)


@lru_cache(maxsize=64)
def _kept_plan(what: tuple, n_channels: int, length: int, rate_hz: float | None, one_channel: bool) -> FeaturePlan:
    wanted = [Request(feature, {name: value for name, _, value in parameters}) for feature, *parameters in what]
    return FeaturePlan(wanted, n_channels, length, rate_hz, one_channel)


def _together(
    wanted: Sequence[tuple[Feature, Mapping[str, Any], slice]],
) -> list[tuple[Callable[[np.ndarray], list[np.ndarray]], list[slice]]]:
    """Group features that share a transform: samples -> one (window, column) array per feature, and their places."""
    groups: dict[Any, list] = {}
    for i, (feature, filled, place) in enumerate(wanted):
        key: Any = i
        if feature.name in SPECTRAL:
            key = "spectral"
        elif feature.name in WAVELET:
            key = ("wavelet", *(repr(filled[p]) for p in ("rate_hz", "wavelet", "level")))
        groups.setdefault(key, []).append((feature, filled, place))
    found = []
    for group in groups.values():
        features, filled, places = zip(*group)
        found.append((partial(_compute, features, filled), list(places)))
    return found


def _compute(features: Sequence[Feature], filled: Sequence[Mapping[str, Any]], samples: np.ndarray) -> list[np.ndarray]:
    names = [f.name for f in features]
    if names[0] in SPECTRAL and len(names) > 1:
        return spectral_features(samples, names, filled)
    if names[0] in WAVELET and len(names) > 1:
        return [np.moveaxis(v, -1, 1).reshape(len(samples), -1) for v in wavelet_features(samples, names, filled[0])]
    return [pure(feature, parameters, samples) for feature, parameters in zip(features, filled)]


def pure(feature: Feature, parameters: Mapping[str, Any], samples: np.ndarray) -> np.ndarray:
    """Return (window, column) of one feature by its pure function; samples are (window, channel, time)."""
    values = feature(samples, **parameters)
    if feature.axes == "time" and feature.vector:
        values = np.moveaxis(values, -1, 1)
    return values.reshape(len(samples), -1)
