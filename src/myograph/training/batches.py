"""Batches of windows selected by index. Windows are gathered once if they fit in memory, and otherwise read from the
recordings for each batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn

from myograph._common.fitted import as_windows
from myograph.errors import ConfigError, ShapeError
from myograph.windows import Windows

NORMALISE = ("channel", "global", "window", "window_channel", "window_minmax", "none")
GATHER_BYTES = 1 << 30  # a float32 set up to this size is gathered once on a CPU; on a GPU, half of its free memory


def as_source(X: Any) -> Windows | np.ndarray:
    """Like `as_windows`, for networks: X may be a tensor, and (window, channel) frames become windows of one sample.

    Raises
    ------
    ShapeError : other axes, or no windows.
    SignalError : not real numbers, or NaN or infinite samples in an array (a Recording checks its own).

    >>> as_source(np.zeros((5, 8))).shape
    (5, 8, 1)
    """
    if not isinstance(X, Windows):
        X = X.detach().cpu().numpy() if isinstance(X, torch.Tensor) else np.asarray(X)
        X = as_windows(X[:, :, None] if X.ndim == 2 else X)
    if not len(X):
        raise ShapeError("there are no windows: X is empty; does the split or the selection leave any?")
    return X


def gather(source: Windows | np.ndarray, rows: Any = None) -> np.ndarray:
    """Return the (window, channel, time) float32 array of the given rows (all if None).

    >>> gather(np.zeros((5, 8, 20)), [0, 2]).shape
    (2, 8, 20)
    """
    if isinstance(source, Windows):
        return source.batch(rows).astype(np.float32, copy=False)
    found = np.ascontiguousarray(source if rows is None else source[rows], dtype=np.float32)
    return found.copy() if min(found.strides) < 0 else found  # one window of a reversed array, which torch refuses


def pick_device(device: str | torch.device) -> torch.device:
    """Return a torch device: "auto" is the GPU if there is one, otherwise the CPU; other names are torch's own.

    ConfigError for an unknown name, or for a GPU if torch finds none.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"device must be 'auto', 'cpu', 'cuda' or another device name of torch, got {device!r}"
        ) from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device={str(device)!r}, but torch sees no GPU here; use device='auto' or 'cpu'")
    return chosen


class Normalise(nn.Module):
    """The first layer of the network: scales raw windows (window, channel, time) as in training.

    Parameters
    ----------
    kind : "channel" and "global" subtract a mean and divide by a standard deviation learnt from the training windows, per channel
        or over all channels (which keeps their relative amplitudes). "window" z-scores each window over all of its
        channels and samples, "window_channel" each channel of each window, and "window_minmax" maps each window to [0,
        1] (Tsinganos et al. 2018). "none" leaves the samples unchanged. A constant channel becomes 0.
    n_channels : number of channels.

    >>> x = np.array([[[1.0, 3.0], [10.0, 30.0]]], np.float32)
    >>> normalise = Normalise("channel", n_channels=2).learn(x, rows=np.array([0]))
    >>> normalise(torch.from_numpy(x)).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """

    mean: torch.Tensor
    gain: torch.Tensor

    def __init__(self, kind: str, n_channels: int):
        super().__init__()
        if kind not in NORMALISE:
            raise ConfigError(f"normalise must be one of {', '.join(NORMALISE)}, got {kind!r}")
        self.kind = kind
        self.register_buffer("mean", torch.zeros(n_channels, 1))
        self.register_buffer("gain", torch.ones(n_channels, 1))

    @torch.no_grad()
    def learn(self, source: Windows | np.ndarray, rows: np.ndarray, size: int = 64) -> Normalise:
        """Learn mean and standard deviation from the given rows, `size` at a time (few enough for the cache)."""
        if self.kind not in ("channel", "global"):
            return self
        axes = (0, 2) if self.kind == "channel" else (0, 1, 2)
        count, mean, squares = 0, np.zeros(1), np.zeros(1)
        for first in range(0, len(rows), size):
            x = gather(source, rows[first : first + size]).astype(np.float64)
            n = x.size // (x.shape[1] if self.kind == "channel" else 1)
            m = x.mean(axes)
            s = np.square(x - (m[:, None] if self.kind == "channel" else m)).sum(axes)
            step = m - mean
            squares = squares + s + step**2 * count * n / (count + n)
            mean = mean + step * n / (count + n)
            count += n
        deviation = np.sqrt(squares / count)
        self.mean.copy_(torch.as_tensor(mean).reshape(-1, 1).expand_as(self.mean))
        gain = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 1.0)
        self.gain.copy_(torch.as_tensor(gain).reshape(-1, 1).expand_as(self.gain))
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "none":
            return x
        if self.kind in ("channel", "global"):
            return (x - self.mean) * self.gain
        if self.kind == "window_minmax":
            low, high = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
            return (x - low) / (high - low).clamp_min(1e-12)
        axes = (1, 2) if self.kind == "window" else (2,)
        centred = x - x.mean(axes, keepdim=True)
        return centred / centred.square().mean(axes, keepdim=True).sqrt().clamp_min(1e-12)


class Batches:
    """Normalised float32 windows on a device, taken by index, with their targets.

    Parameters
    ----------
    source : a Windows or a (window, channel, time) array.
    rows : positions in `source` to use; batches are selected by position in `rows`.
    targets : (len(rows), ...) tensor, or None.
    normalise : applied once if the windows are gathered, otherwise to each batch.
    device : device of the batches.
    gather_bytes : largest size of a set that is gathered; None takes 1 GiB on a CPU, and half of the free memory of a
        GPU.

    >>> x = np.arange(6, dtype=np.float32).reshape(3, 1, 2)
    >>> batches = Batches(x, np.arange(3), torch.tensor([0, 1, 0]), nn.Identity(), torch.device("cpu"))
    >>> [(part.shape[0], target.tolist()) for part, target in batches.take([torch.tensor([2]), torch.tensor([0, 1])])]
    [(1, [0]), (2, [0, 1])]
    """

    def __init__(
        self,
        source: Windows | np.ndarray,
        rows: np.ndarray,
        targets: torch.Tensor | None,
        normalise: nn.Module,
        device: torch.device,
        gather_bytes: int | None = None,
    ):
        self.source, self.rows, self.device, self.normalise = source, rows, device, normalise
        self.targets = None if targets is None else targets.to(device)
        self.data: torch.Tensor | None = None
        _, channels, samples = source.shape
        if 4 * len(rows) * channels * samples <= _room(device, gather_bytes):
            data = torch.empty((len(rows), channels, samples), dtype=torch.float32, device=device)
            with torch.no_grad():
                for first in range(0, len(rows), 4096):
                    x = torch.from_numpy(gather(source, rows[first : first + 4096]))
                    data[first : first + 4096] = normalise(x.to(device))
            self.data = data

    def __len__(self) -> int:
        return len(self.rows)

    def _host(self, positions: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(gather(self.source, self.rows[positions.numpy()]))

    def take(self, parts: list[torch.Tensor]) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Yield (x, targets) for each tensor of positions in turn; if windows are not gathered, the next batch is
        prefetched.
        """
        if self.data is not None:
            for positions in parts:
                positions = positions.to(self.device, non_blocking=True)
                yield self.data.index_select(0, positions), self._target(positions)
            return
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self._host, parts[0]) if parts else None
            for i, positions in enumerate(parts):
                assert ahead is not None
                x = ahead.result()
                ahead = reader.submit(self._host, parts[i + 1]) if i + 1 < len(parts) else None
                with torch.no_grad():
                    x = self.normalise(x.to(self.device, non_blocking=True))
                yield x, self._target(positions.to(self.device))

    def _target(self, positions: torch.Tensor) -> torch.Tensor | None:
        return None if self.targets is None else self.targets.index_select(0, positions)


def _room(device: torch.device, gather_bytes: int | None) -> int:
    if gather_bytes is not None:
        return gather_bytes
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else GATHER_BYTES


def split_by_repetition(
    source: Windows | np.ndarray,
    y: np.ndarray,
    validation: float | tuple[int, ...],
    groups: Any,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (train, validation) rows: whole repetitions of each subject and session, never single windows.

    Parameters
    ----------
    source, seed : a Windows or a (window, channel, time) array; seed of the random choice.
    y : (window,) labels; some repetition of each class stays in train. For a regression, give equal numbers.
    validation : fraction of the repetitions of each (subject, session), at least one; or the repetitions' numbers.
    groups : (window,) repetition of each row if `source` is an array; None takes that of the Windows.

    Raises
    ------
    ConfigError : the repetition of each window is unknown, or there are too few repetitions to hold one out.

    >>> x, repetition = np.zeros((4, 1, 9)), np.array([1, 1, 2, 2])
    >>> split_by_repetition(x, np.zeros(4), validation=(2,), groups=repetition, seed=0)
    (array([0, 1]), array([2, 3]))
    """
    from myograph.audit import overlapping, widened

    rng = np.random.default_rng(seed)
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (len(y),):
            raise ShapeError(f"groups must hold the repetition of all {len(y)} windows, got shape {groups.shape}")
        session, repetition = np.zeros(len(y), int), np.unique(groups, return_inverse=True)[1]
        named = groups
    elif isinstance(source, Windows):
        table = source.table
        session = table.groupby(["subject", "session"], sort=False, observed=True).ngroup().to_numpy()
        named = repetition = table["repetition"].to_numpy()
    else:
        raise ConfigError(
            f"validation={validation!r} holds out repetitions, but an array does not say which windows "
            "belong to one; pass a Windows, or fit(X, y, groups=repetition_of_each_window), or validation=None"
        )
    held = np.zeros(len(y), bool)
    if isinstance(validation, (tuple, list, np.ndarray)):
        held = np.isin(named, validation)
    else:
        if not 0 < validation < 1:
            raise ConfigError(f"validation must be between 0 and 1, or repetition numbers; got {validation!r}")
        code = np.unique(y, return_inverse=True)[1] if y.ndim == 1 else np.zeros(len(y), int)
        for one in np.unique(session):
            inside = session == one
            present = np.unique(repetition[inside])
            wanted = min(max(1, round(validation * len(present))), len(present) - 1)
            for r in rng.permutation(present):
                if wanted <= 0:
                    break
                some = inside & (repetition == r)
                # No class may lose its last training repetition in this subject and session.
                if np.isin(code[some], code[inside & ~held & ~some]).all():
                    held |= some
                    wanted -= 1
    train, valid = np.flatnonzero(~held), np.flatnonzero(held)
    if isinstance(source, Windows) and len(train) and len(valid):
        train = train[~overlapping(source.table, train, valid, wide=widened(source))]
    if not len(train) or not len(valid):
        raise ConfigError(
            f"validation={validation!r} leaves {len(train)} train and {len(valid)} validation windows: a repetition can "
            "be held out only if every class of that subject and session has another; record more, or validation=None"
        )
    return train, valid
