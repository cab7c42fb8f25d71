"""The class of a feature, the registry of features, and the checks that every feature applies to its input."""

from __future__ import annotations

import functools
import inspect
import numbers
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from myograph._common.registry import Registry
from myograph.errors import ConfigError, ShapeError, SignalError, UnknownNameError, unknown_name

EPS = float(np.finfo(np.float64).eps)
"""Smallest argument of a logarithm: 2.2e-16, far below any nonzero sum of samples in µV or adc counts."""

EXP_FLOOR = -708.0
"""Exponentials of this value or less count as 0: a float64 holds them with few digits or not at all."""

Sizes = int | Callable[[Mapping[str, Any], int], int]


@dataclass(frozen=True, eq=False)
class Feature:
    """One feature: a checked pure function, and its properties.

    Features are compared by identity, so that they can be keys of the plan cache (`_fast.plan.plan_of`).

    Attributes
    ----------
    name, aliases : names of the feature in `FEATURES`.
    function : `function(x, **parameters)` takes `(..., time)`, or `(..., channel, time)` if `axes` is "channel".
    parameters : the keyword arguments with their defaults; `inspect.Parameter.empty` for `rate_hz`, which has none.
    outputs, shortest : number of outputs and smallest number of samples, or functions of (parameters, channels).
    axes : "time", or "channel" for a feature of several channels at once.

    Examples
    --------
    >>> ar = FEATURES["AR"]
    >>> ar.n_outputs(order=6), ar.shortest_window(order=6), ar.vector, ar.needs_rate
    (6, 7, True, False)
    >>> ar.filled({"order": 6})
    {'order': 6, 'method': 'burg'}
    >>> FEATURES["MAV"].title
    'Mean absolute value: (1/N) sum |x_i|.'
    >>> FEATURES["MAV"].source, FEATURES["MAV"].deviation
    ('Hudgins, Parker & Scott 1993, IEEE Trans. Biomed. Eng. 40(1).', '')
    """

    name: str
    function: Callable[..., np.ndarray]
    parameters: Mapping[str, Any]
    outputs: Sizes
    shortest: Sizes
    axes: str
    aliases: tuple[str, ...]

    def __call__(self, x: Any, **parameters: Any) -> np.ndarray:
        return self.function(x, **parameters)

    def __reduce__(self) -> tuple[Callable[..., Feature], tuple[str]]:
        return _lookup, (self.name,)

    @property
    def needs_rate(self) -> bool:
        """Whether `rate_hz` must be given."""
        return self.parameters.get("rate_hz", 0) is inspect.Parameter.empty

    @property
    def vector(self) -> bool:
        """Whether the result has a last axis of outputs, `(..., k)`, instead of `(...,)`."""
        return callable(self.outputs)

    def n_outputs(self, n_channels: int = 1, **parameters: Any) -> int:
        """Return the number of values per window and channel or, if `axes` is "channel", per window."""
        count = self.outputs(self.filled(parameters), n_channels) if callable(self.outputs) else self.outputs
        if count != int(count):
            raise ConfigError(f"{self.name}: {dict(parameters)} would give {count} outputs; use a whole number")
        return int(count)

    def shortest_window(self, n_channels: int = 1, **parameters: Any) -> int:
        """Return the least number of samples that a window must have."""
        return self.shortest(self.filled(parameters), n_channels) if callable(self.shortest) else self.shortest

    def filled(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return `parameters` completed with defaults; an error for an unknown or missing one."""
        for given in parameters:
            if given not in self.parameters:
                raise unknown_name(f"parameter of feature {self.name}", given, self.parameters)
            if type(self.parameters[given]) is int and not isinstance(parameters[given], numbers.Real):
                raise ConfigError(f"{self.name}: {given} must be a number, got {parameters[given]!r}")
        filled = {**self.parameters, **parameters}
        if filled.get("rate_hz", 0) is inspect.Parameter.empty:
            raise ConfigError(f"feature {self.name} needs rate_hz, the sampling rate in Hz; pass rate_hz=...")
        return filled

    @property
    def title(self) -> str:
        """The docstring's first line."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def source(self) -> str:
        """The docstring's "Source:" paragraph."""
        return self._paragraph("Source:")

    @property
    def deviation(self) -> str:
        """The docstring's "Deviation:" paragraph; empty if there is none."""
        return self._paragraph("Deviation:")

    def _paragraph(self, start: str) -> str:
        for paragraph in (inspect.getdoc(self.function) or "").split("\n\n"):
            if paragraph.startswith(start):
                return " ".join(paragraph.removeprefix(start).split())
        return ""


class FeatureRegistry(Registry):
    """Maps names and aliases to `Feature`s; case does not matter."""

    def __getitem__(self, name: str) -> Feature:
        self.load()
        found = self._entries.get(str(name).upper())
        if found is None:
            groups = " Use resolve() for groups such as 'HTD'." if str(name).upper() in GROUPS else ""
            error = unknown_name("feature", name, self._entries)
            raise type(error)(f"{error}{groups}")
        return found  # type: ignore[return-value]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.upper())

    def __iter__(self):
        """Iterate over the names of the features, without aliases."""
        self.load()
        return iter(sorted({entry.name for entry in self._entries.values()}))  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(list(iter(self)))


FEATURES = FeatureRegistry("feature", "myograph.features", mark="@feature(")

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "HTD": ("MAV", "ZC", "SSC", "WL"),
        "TSTD": ("MAVFD", "DASDV", "WAMP", "ZC", "MFL", "SAMPEN", "M0", "M2", "M4", "SPARSI", "IRF", "WLF"),
        "DFTR": ("DFTR",),
        "ITD": ("ISD", "COR", "MDIFF", "MLK"),
        "HJORTH": ("ACT", "MOB", "COMP"),
        "LS4": ("LS", "MFL", "MSR", "WAMP"),
        "LS9": ("LS", "MFL", "MSR", "WAMP", "ZC", "RMS", "IAV", "DASDV", "VAR"),
        "TDPSD": ("M0", "M2", "M4", "SPARSI", "IRF", "WLF"),
        "TDAR": ("MAV", "ZC", "SSC", "WL", "AR"),
        "COMB": ("WL", "SSC", "LD", "AR9"),
        "MSWT": ("WENG", "WV", "WWL", "WENT"),
        "FIN": ("RMS", "VAR", "SSI", "ENT"),
    }
)
"""Feature sets by their usual names: those of LibEMG 2.0.3, and FIN, the four features of arXiv 2405.19356."""


def resolve(names: str | Iterable[str]) -> list[Feature]:
    """Return the features with these names, aliases or groups, in order and without duplicates.

    Raises
    ------
    UnknownNameError : a name that is neither a feature nor a group.

    Examples
    --------
    >>> [entry.name for entry in resolve(["HTD", "mav", "RMS"])]
    ['MAV', 'ZC', 'SSC', 'WL', 'RMS']
    """
    found: dict[str, Feature] = {}
    for name in [names] if isinstance(names, str) else names:
        for member in GROUPS.get(str(name).upper(), (name,)):
            try:
                entry = FEATURES[member]
            except UnknownNameError:
                raise unknown_name("feature or group", str(member), [*FEATURES, *GROUPS]) from None
            found.setdefault(entry.name, entry)
    return list(found.values())


def feature(
    name: str, *, outputs: Sizes = 1, shortest: Sizes = 1, axes: str = "time", aliases: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., np.ndarray]]:
    """Register a function of `(..., time)` as the feature `name`, with checks of its input.

    The registered function accepts anything array-like. The decorated function receives `x` as contiguous, finite
    float64 with at least `shortest` samples.

    Parameters
    ----------
    name, aliases : names in `FEATURES`; case does not matter.
    outputs : 1 for one value `(...,)`, or a function of (parameters, number of channels) for the length of a last axis.
    shortest : smallest number of samples, or a function of (parameters, number of channels).
    axes : "channel" if the function takes `(..., channel, time)`.

    `Feature` describes the result; `docs/contributing.md` shows a complete example.
    """

    def register(raw: Callable[..., Any]) -> Callable[..., np.ndarray]:
        signature = inspect.signature(raw)
        parameters = {p.name: p.default for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}

        @functools.wraps(raw)
        def checked(x: Any, **given: Any) -> np.ndarray:
            filled = entry.filled(given)
            if "rate_hz" in filled and not (np.isfinite(filled["rate_hz"]) and filled["rate_hz"] > 0):
                raise ConfigError(f"{name}: rate_hz must be a positive number of Hz, got {filled['rate_hz']!r}")
            return np.asarray(raw(_checked_windows(entry, x, filled), **filled))

        entry = Feature(name, checked, MappingProxyType(parameters), outputs, shortest, axes, aliases)
        for known_as in (name, *aliases):
            FEATURES.add(known_as.upper(), entry)
        return checked

    return register


def _lookup(name: str) -> Feature:
    return FEATURES[name]


def _checked_windows(entry: Feature, given: Any, filled: Mapping[str, Any]) -> np.ndarray:
    x = np.asarray(given)
    if x.dtype.kind not in "fiub":
        raise SignalError(f"{entry.name}: samples must be real numbers, got an array of {x.dtype}")
    shape = "(..., channel, time)" if entry.axes == "channel" else "(..., time)"
    if x.ndim < (2 if entry.axes == "channel" else 1):
        raise ShapeError(f"{entry.name}: windows must be {shape}, got an array of shape {x.shape}")
    # A fixed memory layout, because the order of NumPy's sums, and so the last bit of a result, depends on it.
    x = np.ascontiguousarray(x, dtype=np.float64)
    n_channels = x.shape[-2] if x.ndim > 1 else 1
    least = entry.shortest(filled, n_channels) if callable(entry.shortest) else entry.shortest
    if x.shape[-1] < least:
        raise ShapeError(
            f"{entry.name}: a window needs at least {least} samples, got {x.shape[-1]} in {shape} = {x.shape}; "
            f"lengthen the windows, and check that time is the last axis"
        )
    if not np.isfinite(x).all():
        raise SignalError(
            f"{entry.name}: {np.count_nonzero(~np.isfinite(x))} of {x.size} samples are NaN or infinite; "
            f"repair or drop these windows first"
        )
    return x


def check_count(name: str, what: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int of at least `least`; a `ConfigError` names the option `what` of the feature `name`."""
    if isinstance(value, bool) or int(value) != value or value < least:
        raise ConfigError(f"{name}: {what} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def check_level(name: str, what: str, value: Any, *, above: float | None = None) -> float:
    """Return `value`, a finite number that is not negative or, if given, greater than `above`; otherwise ConfigError."""
    scalar = bool(np.isscalar(value))
    fine = scalar and np.isfinite(value) and (value >= 0 if above is None else value > above)
    if not fine:
        bound = "not negative" if above is None else f"greater than {above}"
        raise ConfigError(f"{name}: {what} must be a finite number, {bound}, got {value!r}")
    return float(value)


def centred(x: np.ndarray) -> np.ndarray:
    """Return `x` minus its mean: exactly zero for a constant window, and accurate for a large offset."""
    shifted = x - x[..., :1]
    return shifted - shifted.mean(-1, keepdims=True)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return `numerator / denominator`, and 0 where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator != 0)


def floored_log(x: np.ndarray) -> np.ndarray:
    """Return `ln(max(x, EPS))`."""
    return np.log(np.maximum(x, EPS))
