"""Augmentations: functions of (x, strength, rng) on whole batches, with independent random changes for each window.

`x` is (window, channel, time), a torch tensor on any device or a NumPy array; the result is a new one of the same kind.
`rng` is a `torch.Generator` on the tensor's device, or a `numpy.random.Generator`. In training, augmentations are applied
to normalised windows: `NeuralClassifier(augment=["noise", ("scale", 0.3)])`.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from myograph.errors import ConfigError, ShapeError, unknown_name
from myograph.recording import Layout

AUGMENTATIONS: dict[str, tuple[Callable[..., Any], float]] = {}


def _augmentation(name: str, strength: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function under a name with a default strength; NumPy arrays are converted to tensors and back."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def on_either(x: Any, *args: Any, **kwargs: Any) -> Any:
            if x.ndim != 3:
                raise ShapeError(f"augmentations take (window, channel, time) batches, got shape {tuple(x.shape)}")
            if isinstance(x, torch.Tensor):
                return function(x, *args, **kwargs)
            result = function(torch.from_numpy(np.ascontiguousarray(x)), *args, **kwargs)
            return tuple(r.numpy() for r in result) if isinstance(result, tuple) else result.numpy()

        AUGMENTATIONS[name] = (on_either, strength)
        return on_either

    return wrap


@_augmentation("noise", 25.0)
def gaussian_noise(x: Any, strength: float, rng: Any) -> Any:
    """Add white Gaussian noise at a signal-to-noise ratio of `strength` dB.

    The signal's power is the mean square of each channel of each window.

    Source: Atzori et al. 2016, doi:10.3389/fnbot.2016.00009 (train set doubled by a noisy copy); 25 dB as in
    Tsinganos et al. 2018, doi:10.5220/0006960201070114.

    >>> x = np.ones((1, 1, 10_000))
    >>> noise = gaussian_noise(x, 20.0, np.random.default_rng(0)) - x
    >>> round(10 * np.log10(1 / np.square(noise).mean()))
    20
    """
    level = x.square().mean(2, keepdim=True).sqrt() * 10 ** (-strength / 20)
    return x + level * _normal(rng, x.shape, x)


@_augmentation("scale", 0.2)
def scale_amplitude(x: Any, strength: float, rng: Any) -> Any:
    """Multiply each channel of each window by a gain drawn uniformly from [1 - strength, 1 + strength].

    This simulates changes of electrode contact and effort.

    >>> scale_amplitude(np.ones((1, 2, 3)), 0.2, np.random.default_rng(0)).round(3)
    array([[[1.055, 1.055, 1.055],
            [0.908, 0.908, 0.908]]])
    """
    return x * (1 + strength * (2 * _uniform(rng, (*x.shape[:2], 1), x) - 1))


@_augmentation("shift_electrodes", 1)
def shift_electrodes(x: Any, strength: float, rng: Any, layout: Layout | None = None) -> Any:
    """Shift the electrodes by up to `strength` whole positions, as when an armband is put on in another rotation.

    If the layout wraps, every ring is rotated by the same number of columns. On a grid, rows and columns are shifted
    and the border is repeated. Electrodes outside the ring or grid do not move. Without a layout, the channels are
    taken as one ring, in order.

    >>> x = np.arange(4.0)[None, :, None]
    >>> shift_electrodes(x, 1, np.random.default_rng(0))[0, :, 0]
    array([1., 2., 3., 0.])
    """
    layout = Layout.ring(x.shape[1]) if layout is None else layout
    if len(layout) != x.shape[1]:
        raise ShapeError(f"the layout places {len(layout)} electrodes, the windows have {x.shape[1]} channels")
    table = torch.from_numpy(_displaced(layout, int(strength))).to(x.device)
    which = _integers(rng, len(table), (len(x),), x)
    return x[torch.arange(len(x), device=x.device)[:, None], table[which]]


@functools.lru_cache(maxsize=32)
def _displaced(layout: Layout, most: int) -> np.ndarray:
    """Return (displacement, channel): for all displacements of at most `most`, the channel from which each channel
    reads.
    """
    image = layout.index()
    rows, columns = image.shape
    steps = range(-most, most + 1)
    table = []
    for down in (0,) if layout.wraps else steps:
        for right in steps:
            source = np.arange(len(layout))
            for channel, (r, c) in enumerate(zip(layout.row, layout.column)):
                if r >= 0:
                    other = (c + right) % columns if layout.wraps else min(max(c + right, 0), columns - 1)
                    found = image[min(max(r + down, 0), rows - 1), other]
                    source[channel] = found if found >= 0 else channel
            table.append(source)
    return np.array(table)


@_augmentation("channel_dropout", 0.1)
def channel_dropout(x: Any, strength: float, rng: Any) -> Any:
    """Set each channel of each window to 0 with probability `strength`; at least one channel of each window is kept.

    >>> channel_dropout(np.ones((1, 8, 1)), 0.5, np.random.default_rng(0))[0, :, 0]
    array([1., 0., 0., 0., 1., 1., 1., 1.])
    """
    keep = _uniform(rng, (*x.shape[:2], 1), x) >= strength
    keep = keep | ~keep.any(1, keepdim=True)
    return x * keep


@_augmentation("time_shift", 0.1)
def time_shift(x: Any, strength: float, rng: Any) -> Any:
    """Shift each window by up to `strength` of its length in either direction; missing samples are mirrored at the
    edge.

    >>> time_shift(np.arange(5.0)[None, None], 0.4, np.random.default_rng(0))
    array([[[2., 1., 0., 1., 2.]]])
    """
    samples = x.shape[2]
    most = round(strength * samples)
    shift = _integers(rng, 2 * most + 1, (len(x), 1), x) - most
    at = torch.arange(samples, device=x.device) - shift
    period = max(2 * (samples - 1), 1)
    at = at.remainder(period)
    at = torch.where(at >= samples, period - at, at)
    return x.gather(2, at[:, None].expand_as(x))


@_augmentation("time_mask", 0.2)
def time_mask(x: Any, strength: float, rng: Any) -> Any:
    """Set one stretch of each window to 0 in all channels; its length is drawn uniformly up to `strength` of the
    window.

    Source: SpecAugment, Park et al. 2019, doi:10.21437/Interspeech.2019-2680, on samples instead of frames.

    >>> time_mask(np.ones((1, 1, 10)), 0.5, np.random.default_rng(1))
    array([[[1., 1., 1., 1., 1., 1., 1., 0., 0., 0.]]])
    """
    samples = x.shape[2]
    length = (_uniform(rng, (len(x), 1, 1), x) * (strength * samples + 1)).floor()
    start = (_uniform(rng, (len(x), 1, 1), x) * (samples - length + 1)).floor()
    at = torch.arange(samples, device=x.device)
    return x * ((at < start) | (at >= start + length))


@_augmentation("mains", 0.2)
def mains(x: Any, strength: float, rng: Any, rate_hz: float | None = None, mains_hz: float = 50.0) -> Any:
    """Add mains interference: a sine of random phase, the same phase in every channel of a window.

    Its RMS in each channel is drawn uniformly up to `strength` times the RMS of the channel. ConfigError without
    `rate_hz`.

    >>> mains(np.ones((1, 2, 20)), 0.2, np.random.default_rng(0), rate_hz=1000.0).shape
    (1, 2, 20)
    """
    rate_hz = _known_rate(rate_hz, "mains")
    phase = 2 * math.pi * _uniform(rng, (len(x), 1, 1), x)
    time = torch.arange(x.shape[2], device=x.device) / rate_hz
    level = strength * _uniform(rng, (*x.shape[:2], 1), x) * x.square().mean(2, keepdim=True).sqrt()
    return x + math.sqrt(2) * level * torch.sin(2 * math.pi * mains_hz * time + phase)


@_augmentation("baseline", 0.3)
def baseline_wander(x: Any, strength: float, rng: Any, rate_hz: float | None = None, highest_hz: float = 2.0) -> Any:
    """Add slow drift: in each channel a sine of random frequency (up to `highest_hz`, our choice) and phase.

    Its amplitude is drawn uniformly up to `strength` times the RMS of the channel. ConfigError without `rate_hz`.

    >>> baseline_wander(np.ones((1, 2, 20)), 0.3, np.random.default_rng(0), rate_hz=1000.0).shape
    (1, 2, 20)
    """
    rate_hz = _known_rate(rate_hz, "baseline")
    shape = (*x.shape[:2], 1)
    frequency, phase = highest_hz * _uniform(rng, shape, x), 2 * math.pi * _uniform(rng, shape, x)
    time = torch.arange(x.shape[2], device=x.device) / rate_hz
    level = strength * _uniform(rng, shape, x) * x.square().mean(2, keepdim=True).sqrt()
    return x + level * torch.sin(2 * math.pi * frequency * time + phase)


@_augmentation("mixup", 0.2)
def mixup(x: Any, strength: float, rng: Any, y: Any = None, n_classes: int | None = None) -> Any:
    """Mix each window with another of the batch, with a share drawn from Beta(strength, strength).

    At strength 0 nothing is mixed, which is the limit of the Beta distribution.

    Source: Zhang et al. 2018, arXiv:1710.09412.

    Parameters
    ----------
    y : (window,) class indices, or (window, class) soft labels.
    n_classes : number of classes, for indices.

    Returns
    -------
    (x, soft labels of shape (window, class)).

    >>> x, y = mixup(np.ones((2, 1, 3)), 0.2, np.random.default_rng(0), y=np.array([0, 1]), n_classes=2)
    >>> y.sum(1)
    array([1., 1.])
    """
    y = torch.as_tensor(y, device=x.device)
    if y.ndim == 1:
        y = torch.nn.functional.one_hot(y.long(), n_classes or -1)
    y = y.to(x.dtype)
    if strength == 0:
        return x.clone(), y
    # Torch cannot draw from a Beta distribution with a given generator, so NumPy does, seeded by that generator.
    draw = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(int(_integers(rng, 2**31, (1,), x)))
    share = torch.from_numpy(draw.beta(strength, strength, (len(x), 1))).to(x)
    partner = torch.argsort(_uniform(rng, (len(x),), x))
    return share[:, :, None] * x + (1 - share[:, :, None]) * x[partner], share * y + (1 - share) * y[partner]


def compose(
    augmentations: Sequence[Any],
    layout: Layout | None = None,
    rate_hz: float | None = None,
    n_classes: int | None = None,
    copies: int = 0,
) -> Callable[[torch.Tensor, Any, torch.Generator], tuple[torch.Tensor, Any]]:
    """Return f(x, target, generator) -> (x, target) that applies all augmentations in order, in float32.

    Parameters
    ----------
    augmentations : names, (name, strength), (name, strength, options) or functions f(x, rng) -> x.
    layout, rate_hz, n_classes : passed to the augmentations that take them.
    copies : number of augmented copies added to the originals; mixup requires 0.

    Raises
    ------
    UnknownNameError : an unknown name or option.
    ConfigError : an invalid entry, or mixup without classes or with copies.

    Examples
    --------
    >>> augment = compose(["noise", ("scale", 0.3)])
    >>> x, target = augment(torch.ones(2, 4, 10), torch.tensor([0, 1]), torch.Generator().manual_seed(0))
    >>> x.shape, target.tolist()
    (torch.Size([2, 4, 10]), [0, 1])
    """
    if isinstance(augmentations, str):
        augmentations = (augmentations,)
    context = {"layout": layout, "rate_hz": rate_hz}
    steps: list[Callable[..., Any]] = []
    mixing: float | None = None
    for entry in augmentations:
        if callable(entry):
            steps.append(entry)
            continue
        name, *rest = (entry,) if isinstance(entry, str) else tuple(entry)
        if name not in AUGMENTATIONS:
            raise unknown_name("augmentation", name, AUGMENTATIONS)
        function, default = AUGMENTATIONS[name]
        if len(rest) > 2 or (len(rest) == 2 and not isinstance(rest[1], Mapping)):
            raise ConfigError(
                f"an augmentation must be a name, (name, strength) or (name, strength, options), got {entry!r}"
            )
        strength = default if not rest else rest[0]
        known = inspect.signature(function).parameters
        options = {k: v for k, v in context.items() if k in known} | dict(rest[1] if len(rest) == 2 else {})
        for option in options:
            if option not in known:
                raise unknown_name(f"option of augmentation {name!r}", option, list(known)[3:])
        if name == "mixup":
            if n_classes is None or copies:
                raise ConfigError("mixup produces soft labels: use it for classification with augment_copies=0")
            mixing = strength
        else:
            if "rate_hz" in known:
                _known_rate(options["rate_hz"], name)
            steps.append(functools.partial(_apply, function, strength, options))

    def augment(x: torch.Tensor, target: Any, generator: torch.Generator) -> tuple[torch.Tensor, Any]:
        for step in steps:
            x = step(x, generator)
        if mixing is not None:
            x, target = mixup(x, mixing, generator, target, n_classes)
        return x, target

    return augment


def _apply(function: Callable[..., Any], strength: float, options: Mapping[str, Any], x: Any, rng: Any) -> Any:
    return function(x, strength, rng, **options)


def _known_rate(rate_hz: float | None, name: str) -> float:
    if rate_hz is None:
        raise ConfigError(
            f"augmentation {name!r} needs rate_hz: fit on Windows, or give (name, strength, {{'rate_hz': …}})"
        )
    return rate_hz


def _uniform(rng: Any, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    if isinstance(rng, np.random.Generator):
        return torch.from_numpy(rng.random(shape)).to(like)
    return torch.rand(shape, generator=rng, device=like.device, dtype=like.dtype)


def _normal(rng: Any, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    if isinstance(rng, np.random.Generator):
        return torch.from_numpy(rng.standard_normal(tuple(shape))).to(like)
    return torch.randn(shape, generator=rng, device=like.device, dtype=like.dtype)


def _integers(rng: Any, below: int, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    if isinstance(rng, np.random.Generator):
        return torch.from_numpy(rng.integers(below, size=shape)).to(like.device)
    return torch.randint(below, shape, generator=rng, device=like.device)
