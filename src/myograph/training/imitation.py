"""Feature-imitating networks: recurrent networks learn known features, then a classifier on them is trained jointly.

Source: Wu, Atashzar, Ghassemi and Alhanai, arXiv:2405.19356 (ICASSP 2025). The steps are theirs: (1) each imitator is
regressed on one standardised feature of single channels, (2) the classifier is trained on the true features instead of
the imitators' outputs, (3) both are trained jointly with two learning rates. The following differs on purpose:

- Dropout is off and batch norm uses its running statistics at test; the published code evaluates in training mode.
- Nothing is chosen on test windows: each step runs all its epochs, or stops on the training loss or on repetitions held
  out of the training set.
- `ahead_ms` shifts the feature targets too, within one repetition. The published shift moves only the labels, across
  movement and repetition boundaries.
- All steps use the same normalisation of the windows.
- Imitators share their weights among the channels in the joint step as well: 4 recurrent networks process the channels
  as a batch, the published loop runs 48 in sequence. With `share_channels=False` every channel has its own networks.

Of the four published features, VAR and SSI are equivalent: for windows of T samples SSI = T (VAR + mean²), which is the
same number after standardising if the mean is near zero. Both are kept for the reproduction; `features=("rms", "ent")`
loses little.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from myograph.errors import ConfigError, ShapeError, unknown_name
from myograph.models import MODELS
from myograph.recording import run_starts
from myograph.training import checkpoint as _files
from myograph.training.batches import Batches, gather
from myograph.training.estimator import NeuralClassifier
from myograph.training.loop import Trainer
from myograph.training.objectives import CrossEntropy, Objective
from myograph.training.plan import Plan
from myograph.windows import Windows

FEATURES = ("rms", "var", "ssi", "ent")
_SMALLEST = 12  # channels that the classifier's three convolutions need
Found = tuple[torch.Tensor, torch.Tensor]  # positions of windows, and their features


def true_features(x: torch.Tensor, names: Sequence[str] = FEATURES) -> torch.Tensor:
    """Compute the true features of (window, channel, time) samples.

    Parameters
    ----------
    x : (window, channel, time) tensor.
    names : any of "rms" (root mean square), "var" (variance about the mean), "ssi" (sum of squares) and "ent" (entropy,
        in nats, of the softmax over the window's samples).

    Returns
    -------
    (window, channel, feature) tensor.

    Raises
    ------
    UnknownNameError : another name.

    >>> true_features(torch.tensor([[[3.0, -3.0]]]), ["rms", "var", "ssi"]).tolist()
    [[[3.0, 9.0, 18.0]]]
    """
    columns = []
    for name in names:
        if name == "rms":
            columns.append(x.square().mean(2).sqrt())
        elif name == "var":
            columns.append(x.var(2, correction=0))
        elif name == "ssi":
            columns.append(x.square().sum(2))
        elif name == "ent":
            columns.append(-(torch.softmax(x, 2) * torch.log_softmax(x, 2)).sum(2))
        else:
            raise unknown_name("feature to imitate", name, FEATURES)
    return torch.stack(columns, 2)


class FeatureImitatingNet(nn.Module):
    """Imitators (one `fin_lstm` per feature) whose outputs form the input image of a classifier (`fin_cnn`).

    The network turns (batch, channel, time) into logits. If there are fewer than 12 channels, they are repeated in
    order to fill the classifier's image.

    Parameters
    ----------
    n_channels, n_classes, n_samples : size of a window, and number of classes.
    n_features : number of imitators.
    copies : number of outputs of each imitator.
    share_channels : whether all channels share the weights of an imitator.

    Examples
    --------
    >>> net = FeatureImitatingNet(n_channels=2, n_classes=7, n_samples=20, n_features=1)
    >>> features = net.imitate(torch.zeros(3, 2, 20))
    >>> features.shape, net.classify(features).shape
    (torch.Size([3, 1, 2, 12]), torch.Size([3, 7]))
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        n_samples: int,
        n_features: int = 4,
        copies: int = 12,
        share_channels: bool = True,
    ):
        super().__init__()
        self.n_features, self.copies = n_features, copies
        each = 1 if share_channels else n_channels
        wide = n_channels if share_channels else 1
        firsts = [
            MODELS.create("fin_lstm", n_channels=wide, n_classes=copies, n_samples=n_samples) for _ in range(n_features)
        ]
        # The imitators of all channels start from the same weights.
        self.imitators = nn.ModuleList(
            nn.ModuleList([first, *(copy.deepcopy(first) for _ in range(each - 1))]) for first in firsts
        )
        rows = max(n_channels, _SMALLEST)
        self.classifier = MODELS.create(
            "fin_cnn", n_channels=rows, n_classes=n_classes, n_samples=n_features * copies, n_features=n_features
        )
        self.register_buffer("rows", torch.arange(rows) % n_channels, persistent=False)
        self.register_buffer("feature_mean", torch.zeros(n_features))
        self.register_buffer("feature_scale", torch.ones(n_features))

    rows: torch.Tensor
    feature_mean: torch.Tensor
    feature_scale: torch.Tensor

    def imitate(self, x: torch.Tensor) -> torch.Tensor:
        """Return the imitated features, (batch, feature, channel, copy), standardised as in training."""
        imitators: Any = self.imitators  # ModuleList hides that each item is a list of imitators
        if len(imitators[0]) == 1:
            return torch.stack([same[0].imitate(x) for same in imitators], 1)
        parts = x.split(1, dim=1)
        return torch.stack(
            [torch.cat([one.imitate(part) for one, part in zip(same, parts)], 1) for same in imitators], 1
        )

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits of (batch, feature, channel, copy) features."""
        image = features.transpose(1, 2).flatten(2)  # (batch, channel, feature * copy), the classifier's input
        return self.classifier(image[:, self.rows])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.imitate(x))


@dataclass(frozen=True)
class FeatureImitation:
    """Steps 1 and 2, run by `NeuralClassifier(FeatureImitatingNet, pretrain=FeatureImitation())`.

    Parameters
    ----------
    features : names of `true_features`.
    targets : f(array of (row, 1, time) normalised samples) -> (row, feature) numbers, such as the `fit_transform` of a
        `Features`; None computes `features`.
    ahead_ms : imitate the features of the window this much later. Windows whose later window would leave their repetition
        are skipped. Cut labels with `Windowing(future_ms=...)` to shift the class in the same way.
    epochs, batch_size, lr, weight_decay : for the imitators (Adam); batch_size counts single channels. With 0 epochs
        the imitators are not trained (they may come from `pretrained`), and only step 2 runs.
    schedule, clip_norm : for the imitators, as in `NeuralClassifier`; the published training has neither.
    settle : step 1 ends after this number of epochs with a change of the loss of at most 0.005 and R² above 0.5.
    target_noise : standard deviation of the Gaussian noise on each copy of a target, as a fraction of its value.
    shadow_epochs, shadow_batch_size, shadow_lr, shadow_weight_decay : for the classifier on true features (AdamW).

    Examples
    --------
    >>> from myograph.training.batches import Normalise
    >>> x = np.random.default_rng(0).normal(size=(8, 1, 20)).astype(np.float32)
    >>> net = FeatureImitatingNet(n_channels=1, n_classes=2, n_samples=20, n_features=1, copies=12)
    >>> batches = Batches(x, np.arange(8), torch.arange(8) % 2, Normalise("none", 1), torch.device("cpu"))
    >>> imitation = FeatureImitation(features=("rms",), epochs=1, shadow_epochs=1)
    >>> histories = imitation(net, batches, seed=0)
    >>> len(histories["imitators"]), len(histories["classifier"])
    (1, 1)
    >>> true, imitated, kept = imitation.compare(net, batches)
    >>> true.shape, imitated.shape, len(kept)
    ((8, 1, 1), (8, 1, 1), 8)

    Each step alone:

    >>> imitation.learn_scale(net, batches)
    >>> rows = imitation.train_imitators(net, batches, seed=0)
    >>> sorted(rows[0]), len(imitation.train_classifier(net, batches, seed=0))
    (['epoch', 'lr', 'r2', 'seconds', 'train_loss'], 1)
    """

    features: tuple[str, ...] = FEATURES
    targets: Callable[[np.ndarray], np.ndarray] | None = None
    ahead_ms: float = 0.0
    epochs: int = 60
    batch_size: int = 4000
    lr: float = 1e-3
    weight_decay: float = 2e-5
    schedule: str = "constant"
    clip_norm: float | None = None
    settle: int = 15
    target_noise: float = 0.01
    shadow_epochs: int = 30
    shadow_batch_size: int = 300
    shadow_lr: float = 0.01
    shadow_weight_decay: float = 3e-5

    def __call__(self, module: Any, batches: Batches, seed: int) -> dict[str, list[dict[str, Any]]]:
        """Train the parts of a FeatureImitatingNet on training windows; return both histories, "imitators" with R²."""
        found = self._true(module, batches)
        classifies = self.shadow_epochs and batches.targets is not None
        return {
            "imitators": self.train_imitators(module, batches, seed, found=found) if self.epochs else [],
            "classifier": self.train_classifier(module, batches, seed, found) if classifies else [],
        }

    def train_imitators(
        self,
        module: FeatureImitatingNet,
        batches: Batches,
        seed: int,
        checkpoint: Path | None = None,
        report: Callable[[int, int], None] | None = None,
        found: Found | None = None,
    ) -> list[dict[str, Any]]:
        """Step 1: learn the scale of the features from these windows, and train the imitators.

        Parameters
        ----------
        module, batches, seed : the network, its train windows, and the seed of the order and of the target's noise.
        checkpoint : file written after every epoch; if it exists, training resumes from it.
        report : f(epochs done, epochs) called after every epoch.
        found : true features of these windows, if they are computed already.

        Returns
        -------
        One row per epoch with "epoch", "train_loss" and "r2".

        Raises
        ------
        ShapeError : the network has another number of imitators than there are features.
        DataError : the checkpoint is damaged.
        """
        kept, target = found or self._true(module, batches)
        self._set_scale(module, target)
        trainer = self._imitators_trainer(module, target.shape[1], batches.device, seed)
        if checkpoint is not None and checkpoint.exists():
            trainer.restore(*_files.read(checkpoint, "checkpoint"))
        if self._settled(trainer.history):
            return trainer.history
        target = (target - module.feature_mean) / module.feature_scale
        for row in trainer.run(_Chosen(batches, kept, target)):
            row["r2"] = 1 - row["train_loss"] / module.n_features  # targets have unit variance
            if checkpoint is not None:
                _files.write(checkpoint, "checkpoint", *trainer.state())
            if report is not None:
                report(row["epoch"], self.epochs)
            if self._settled(trainer.history):
                break
        return trainer.history

    def train_classifier(
        self, module: FeatureImitatingNet, batches: Batches, seed: int, found: Found | None = None
    ) -> list[dict[str, Any]]:
        """Step 2: train the classifier on the true features, scaled as set in the network; return its history."""
        if batches.targets is None:
            raise ConfigError("the classifier needs class labels, but these batches have no targets; give targets")
        kept, target = found or self._true(module, batches)
        target = (target - module.feature_mean) / module.feature_scale
        plan = Plan(
            epochs=self.shadow_epochs,
            batch_size=self.shadow_batch_size,
            lr=self.shadow_lr,
            schedule="constant",
            weight_decay=self.shadow_weight_decay,
            seed=seed,
        )
        shadow = Trainer(_Shadow(module), plan, CrossEntropy(), batches.device)
        for _ in shadow.run(_Chosen(None, kept, batches.targets[kept], target)):
            pass
        return shadow.history

    def learn_scale(self, module: FeatureImitatingNet, batches: Batches) -> None:
        """Set the mean and the standard deviation with which the network's features are standardised."""
        self._set_scale(module, self._true(module, batches)[1])

    def _set_scale(self, module: FeatureImitatingNet, target: torch.Tensor) -> None:
        module.feature_mean.copy_(target.mean((0, 1)))
        module.feature_scale.copy_(target.std((0, 1)).clamp_min(1e-12))

    def _true(self, module: FeatureImitatingNet, batches: Batches) -> Found:
        """Return the positions of windows with a window `ahead_ms` later, and the unscaled features of the latter."""
        self._check(module)
        kept, later = self._later(batches)
        target = self._targets(batches, later)
        if target.shape[2] != module.n_features:
            raise ShapeError(
                f"there are {target.shape[2]} features to imitate and {module.n_features} imitators; set "
                f"model_options={{'n_features': {target.shape[2]}}}"
            )
        return kept, target

    def _check(self, module: Any) -> None:
        if not isinstance(module, FeatureImitatingNet):
            raise ConfigError(f"FeatureImitation needs a FeatureImitatingNet, got {type(module).__name__}")

    def _imitators_trainer(
        self, module: FeatureImitatingNet, n_channels: int, device: torch.device, seed: int
    ) -> Trainer:
        def spread(x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            y = y.transpose(1, 2)[..., None].expand(-1, -1, -1, module.copies)
            noise = torch.randn(y.shape, generator=generator, device=y.device)
            return x, y + self.target_noise * y.abs() * noise

        plan = Plan(
            epochs=self.epochs,
            batch_size=max(1, self.batch_size // n_channels),
            lr=self.lr,
            optimizer="adam",
            schedule=self.schedule,
            clip_norm=self.clip_norm,
            weight_decay=self.weight_decay,
            seed=seed,
        )
        return Trainer(_Imitation(module), plan, _SumOverFeatures(), device, spread)

    def _settled(self, history: list[dict[str, Any]]) -> bool:
        """Return whether enough epochs, over all of training, changed the loss by at most 0.005 at R² > 0.5."""
        losses = [row["train_loss"] for row in history]
        still = [abs(b - a) <= 0.005 and row["r2"] > 0.5 for a, b, row in zip(losses, losses[1:], history[1:])]
        return sum(still) >= self.settle

    @torch.no_grad()
    def compare(self, module: FeatureImitatingNet, batches: Batches) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the features of windows and the imitated features, both standardised as in training.

        Returns
        -------
        true, imitated : (window, channel, feature) of the windows that have one `ahead_ms` later; imitated is the mean
            over copies.
        kept : (window,) positions of these windows among all of `batches`.
        """
        kept, later = self._later(batches)
        true = (self._targets(batches, later) - module.feature_mean) / module.feature_scale
        module.eval()
        imitated = [module.imitate(x).mean(3).transpose(1, 2) for x, _ in batches.take(list(kept.split(256)))]
        return true.cpu().numpy(), torch.cat(imitated).cpu().numpy(), kept.numpy()

    def _later(self, batches: Batches) -> tuple[torch.Tensor, Windows | None]:
        """Return the positions that have a window `ahead_ms` later in their repetition, and these later windows (None:
        the same).
        """
        everything = torch.arange(len(batches))
        if not self.ahead_ms:
            return everything, None
        if not isinstance(batches.source, Windows):
            raise ConfigError("ahead_ms needs Windows, since an array does not hold the samples after each window")
        windows = batches.source[batches.rows]
        shift = round(self.ahead_ms * windows.rate_hz / 1000)
        kept = np.zeros(len(windows), bool)
        length = windows.n_samples
        for recording, where, start in windows.by_recording():
            stretch = np.zeros(recording.n_samples, np.int32)
            stretch[run_starts(recording.repetition)[1:]] = 1
            stretch = np.cumsum(stretch)
            last = start + length - 1 + shift
            inside = last < recording.n_samples
            kept[where] = inside & (stretch[np.minimum(last, recording.n_samples - 1)] == stretch[start])
        if kept.sum() < 2:
            raise ConfigError(
                f"ahead_ms={self.ahead_ms:g} leaves {kept.sum()} windows: repetitions end earlier; use a smaller value"
            )
        earlier = windows[kept]
        later = earlier.with_columns(start=earlier.column("start") + shift, stop=earlier.column("stop") + shift)
        return torch.from_numpy(np.flatnonzero(kept)), later

    @torch.no_grad()
    def _targets(self, batches: Batches, later: Windows | None, size: int = 4096) -> torch.Tensor:
        """Return the (window, channel, feature) targets of windows, which are normalised like the network's input."""
        if later is None:
            chunks: Iterator[torch.Tensor] = (x for x, _ in batches.take(list(torch.arange(len(batches)).split(size))))
        else:
            place = batches.device
            chunks = (
                batches.normalise(torch.from_numpy(gather(later, slice(i, i + size))).to(place))
                for i in range(0, len(later), size)
            )
        return torch.cat([self._features_of(x) for x in chunks])

    def _features_of(self, x: torch.Tensor) -> torch.Tensor:
        if self.targets is None:
            return true_features(x, self.features)
        flat = np.asarray(self.targets(x.flatten(0, 1)[:, None].cpu().numpy()), np.float32)
        if flat.ndim != 2 or len(flat) != x.shape[0] * x.shape[1] or not np.isfinite(flat).all():
            raise ShapeError(
                f"targets must give finite (row, feature) numbers for {x.shape[0] * x.shape[1]} rows, got {flat.shape}"
            )
        return torch.from_numpy(flat).to(x.device).unflatten(0, x.shape[:2])


class _Imitation(nn.Module):
    """The imitators alone, for step 1."""

    def __init__(self, net: FeatureImitatingNet):
        super().__init__()
        self.imitators, self._net = net.imitators, [net]  # in a list: not a submodule, so not trained

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._net[0].imitate(x)


class _Shadow(nn.Module):
    """The classifier alone, on true features (batch, channel, feature), each repeated once per output of an imitator."""

    def __init__(self, net: FeatureImitatingNet):
        super().__init__()
        self.classifier, self._net = net.classifier, [net]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        image = features.transpose(1, 2)[..., None].expand(-1, -1, -1, self._net[0].copies)
        return self._net[0].classify(image)


class _SumOverFeatures(Objective):
    """Sum of the imitators' mean squared errors; its gradients equal those of separate trainings."""

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (output - target).square().mean((0, 2, 3)).sum()


class _Chosen(Batches):
    """Rows of other batches (or of a tensor of inputs) with separate targets."""

    def __init__(
        self, batches: Batches | None, kept: torch.Tensor, targets: torch.Tensor, inputs: torch.Tensor | None = None
    ):
        self.batches, self.kept, self.targets, self.inputs = batches, kept, targets, inputs

    def __len__(self) -> int:
        return len(self.kept)

    def take(self, parts: list[torch.Tensor]) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        assert self.targets is not None
        if self.inputs is not None:
            for p in parts:
                p = p.to(self.inputs.device)
                yield self.inputs[p], self.targets[p]
            return
        assert self.batches is not None
        for p, (x, _) in zip(parts, self.batches.take([self.kept[p] for p in parts])):
            yield x, self.targets[p.to(self.targets.device)]


def feature_imitating_classifier(
    imitation: FeatureImitation | None = None,
    share_channels: bool = True,
    epochs: int = 10,
    batch_size: int = 250,
    imitator_lr: float = 1e-3,
    classifier_lr: float = 1e-2,
    **options: Any,
) -> NeuralClassifier:
    """Return the whole system as one estimator: imitators, classifier, and the joint step with two learning rates
    (Adam).

    Parameters
    ----------
    imitation : steps 1 and 2; None takes the published settings.
    share_channels : as in `FeatureImitatingNet`.
    epochs, batch_size, imitator_lr, classifier_lr : for the joint step.
    options : further parameters of `NeuralClassifier`, such as `validation`, `seed` or `checkpoint`.

    >>> network = feature_imitating_classifier(FeatureImitation(features=("rms", "ent")), epochs=5)
    >>> network.model_options["n_features"], network.epochs
    (2, 5)
    """
    imitation = FeatureImitation() if imitation is None else imitation
    model_options = {"n_features": len(imitation.features), "share_channels": share_channels}
    given = {
        "model": FeatureImitatingNet,
        "model_options": model_options | dict(options.pop("model_options", {})),
        "pretrain": imitation,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": classifier_lr,
        "optimizer": "adam",
        "schedule": "constant",
        "weight_decay": 2e-4,
        "layers": {"imitators": {"lr": imitator_lr, "weight_decay": 2e-5}},
    }
    return NeuralClassifier(**(given | options))
