"""Sizes, selections and measures of `fin2025`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myograph.errors import ConfigError
from myograph.evaluation.prepared import rest_label, settle_rest
from myograph.evaluation.recipe import Published, Recipe
from myograph.evaluation.reproduction import Context, Row
from myograph.recording import Recording
from myograph.windows import Windowing, Windows

FEATURES = ("ent", "rms", "var", "ssi")
TEST, CHOOSES, IMITATORS = (2, 5), (4,), (1, 3, 4)  # repetitions that test, choose the epoch, and teach the imitators
LEARNS = {"seen": (6,), "unseen": (1, 3, 6)}  # repetitions that a person's classifier learns from
N_SEEN = 25
SCALE = (1, 3, 4, 6)  # repetitions whose windows the channels are scaled by
SHARES = (0.005, 0.203, 0.401, 0.599, 0.797, 0.995)


@dataclass(frozen=True)
class Sizes:
    """What differs between a quick and a full run; the defaults are the full run, as published."""

    n_seen: int | None = N_SEEN  # None: each half of the people is seen in turn
    n_channels: int | None = None  # the first so many channels; None takes all
    step_ms: float = 10.0
    imitation: dict[str, Any] = field(default_factory=dict)
    ahead_imitation: dict[str, Any] | None = None  # None trains the future's imitators from the start
    gains: tuple[float, ...] = (1.0,)  # imitators also learn from the same recordings this much louder
    shadow: dict[str, Any] = field(default_factory=dict)
    joint_epochs: int = 10
    joint_batch: int = 250
    joint_schedule: str = "constant"
    shares: tuple[float, ...] = SHARES
    random_shares: tuple[float, ...] = SHARES
    control_shares: tuple[float, ...] = (0.203, 0.995)
    ahead: tuple[int, ...] = (0, 5, 10, 20, 30)  # p, steps of 10 ms into the future
    ahead_share: float = 0.995
    share_channels: bool = False
    cnn_epochs: int = 30


def rows_of(windows: Windows, subjects: Sequence[str], repetitions: Sequence[int]) -> np.ndarray:
    table = windows.table
    wanted = table["subject"].astype(str).isin(list(subjects)) & table["repetition"].isin(list(repetitions))
    return np.flatnonzero(wanted.to_numpy())


def first_share(windows: Windows, rows: np.ndarray, share: float) -> np.ndarray:
    """The first `share` of the windows of each movement's repetition (at least one), in time."""
    table = windows.table.iloc[rows]
    trial = table.groupby(["recording", "subject", "session", "repetition", "label"], observed=True, sort=False)
    size = trial["start"].transform("size")
    return rows[(trial["start"].rank(method="first") <= np.maximum(np.round(share * size), 1)).to_numpy()]


def louder(windows: Windows, gains: Sequence[float]) -> Windows:
    """The windows once for each gain, which their recordings are multiplied by."""
    return Windows.concatenate(
        [
            windows
            if gain == 1
            else Windows([dataclasses.replace(r, signal=gain * r.signal) for r in windows.recordings], windows.table)
            for gain in gains
        ]
    )


def apart(net: Any) -> Any:
    """The same network with an imitator of its own for every channel, all starting from the shared one."""
    from myograph.training.imitation import FeatureImitatingNet

    n_channels, n_classes = net.imitators[0][0].n_channels, net.classifier.head[0].out_channels
    new: Any = FeatureImitatingNet(
        n_channels, n_classes, net.imitators[0][0].n_samples, net.n_features, net.copies, share_channels=False
    )
    for own, shared in zip(new.imitators, net.imitators):
        for one in own:
            one.load_state_dict(shared[0].state_dict())
    new.classifier.load_state_dict(net.classifier.state_dict())
    new.feature_mean.copy_(net.feature_mean)
    new.feature_scale.copy_(net.feature_scale)
    return new.to(net.feature_mean.device)


def accuracy(net: Any, batches: Any) -> float:
    import torch

    net.eval()
    with torch.inference_mode():
        hits = [(net(x).argmax(1) == y) for x, y in batches.take(list(torch.arange(len(batches)).split(256)))]
    return torch.cat(hits).double().mean().item()


def accuracy_on_true_features(imitation: Any, net: Any, batches: Any) -> float:
    import torch

    true, _, kept = imitation.compare(net, batches)
    net.eval()
    with torch.inference_mode():
        image = torch.from_numpy(true).to(batches.device).transpose(1, 2)[..., None]
        predicted = net.classify(image.expand(-1, -1, -1, net.copies)).argmax(1)
        return (predicted == batches.targets[torch.from_numpy(kept)]).double().mean().item()


def r_squared(true: np.ndarray, imitated: np.ndarray) -> float:
    """1 - sum of squared errors / sum of squared deviations from the mean, over all values."""
    return float(1 - ((true - imitated) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def as_published(true: np.ndarray, imitated: np.ndarray) -> float:
    """What the published code prints as R²: 1 - error² / (value - mean)² of each value, at least 0, averaged."""
    each = 1 - (true - imitated) ** 2 / np.maximum((true - true.mean()) ** 2, 1e-12)
    return float(np.maximum(each, 0).mean())


def gather(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join dictionaries of numbers, one per person, into one dictionary of lists.

    >>> gather([{"r2": 0.5}, {"r2": 1.0}])
    {'r2': [0.5, 1.0]}
    """
    return {name: [one[name] for one in each] for name in each[0]}


def mean_over_seeds(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Average the entries of dictionaries of lists, one dictionary per seed.

    >>> mean_over_seeds([{"r2": [0.0, 1.0]}, {"r2": [1.0, 1.0]}])
    {'r2': [0.5, 1.0]}
    """
    return {name: np.mean([run[name] for run in runs], 0).tolist() for name in runs[0]}


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def row(
    setting: str,
    values: Any,
    data: str,
    context: Context,
    published: Published | None = None,
    section: str = "",
    note: str = "",
    metric: str = "accuracy",
    unit: str = "%",
) -> Row:
    return Row(
        setting=setting,
        values=tuple(float(v) for v in values),
        published=published,
        data=data,
        metric=metric,
        unit=unit,
        n_seeds=len(context.seeds),
        note=note,
        section=section,
    )


def in_one_count(recordings: Sequence[Recording]) -> list[Recording]:
    """Number each person's repetitions on from session to session, as the system knows repetitions alone.

    Raises
    ------
    ConfigError : someone has fewer than the six repetitions that the system divides.
    """
    found, last = [], {}
    for recording in recordings:
        sessions = last.setdefault(recording.subject, {})
        if recording.session not in sessions:
            sessions[recording.session] = max((end for _, end in sessions.values()), default=0), 0
        offset, end = sessions[recording.session]
        highest = offset + int(recording.repetition.max(initial=0))
        sessions[recording.session] = offset, max(end, highest)
        repetition = np.where(recording.repetition > 0, recording.repetition + offset, recording.repetition)
        found.append(dataclasses.replace(recording, repetition=repetition) if offset else recording)
    for subject, sessions in last.items():
        n = max(end for _, end in sessions.values())
        if n < max(*TEST, *SCALE):
            raise ConfigError(
                f"fin2025 divides repetitions 1 to 6 (imitators learn from 1, 3, 4; tests are 2 and 5), and person "
                f"{subject} has {n}; choose a data set with six repetitions"
            )
    return found


def scaled(recording: Recording, base: Recipe) -> Recording:
    """Each channel less its mean, over its deviation, both of the windows of repetitions 1, 3, 4 and 6."""
    from myograph.training.batches import Normalise

    windows = cut([recording], base, Windowing(300.0, 100.0)).where(repetition=SCALE)
    scale = Normalise("channel", recording.n_channels).learn(windows, np.arange(len(windows)))
    signal = (np.asarray(recording.signal, np.float32) - scale.mean.numpy()) * scale.gain.numpy()
    return dataclasses.replace(recording, signal=signal, unit="normalised")


def cut(recordings: Sequence[Recording], base: Recipe, windowing: Windowing) -> Windows:
    """Windows of the recordings without rest."""
    return settle_rest(Windows.cut(recordings, windowing), "drop", rest_label(base), 0)
