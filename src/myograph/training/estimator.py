"""`NeuralClassifier` and `NeuralRegressor`: any network as a scikit-learn estimator over windows.

Both train with `loop.Trainer` on `batches.Batches`. If other processes use the same cores, set `OMP_WAIT_POLICY=PASSIVE`
before torch is imported: otherwise OpenMP's threads wait actively, which made a training step with two threads up to 20
times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin

from myograph._common.fitted import need_two_classes
from myograph.errors import ConfigError, ShapeError
from myograph.training._base import NeuralEstimator
from myograph.training.loop import balanced_order
from myograph.training.objectives import CrossEntropy, Huber, Objective
from myograph.training.plan import Plan


@dataclass(eq=False, repr=False)
class NeuralClassifier(ClassifierMixin, NeuralEstimator):
    """Any network of `MODELS`, or your own, as a scikit-learn classifier over windows.

    Parameters
    ----------
    model : name, class or function that returns a module from (batch, channel, time) to logits. It is called with
        `n_channels`, `n_classes`, `n_samples` and `model_options`, and with `rate_hz` and `layout` if its signature has
        them.
    epochs, batch_size, lr : passes over the windows, windows per step, and the highest rate of the schedule.
    optimizer, optimizer_options : "adamw", "adam", "sgd" (momentum 0.9), "rmsprop", "nadam", "adagrad", or a class.
    schedule, schedule_options : "constant"; "cosine" (period in epochs, final as a fraction of lr); "step" (every or
        milestones in epochs, factor); "onecycle" (rise, start, final); "plateau" (factor, wait in epochs). All take
        warmup, in epochs.
    weight_decay, spare_biases_and_norms : weight decay of all parameters, as in torch and in published programs; with
        `spare_biases_and_norms=True` it does not apply to biases and norm layers.
    layers : {pattern: value}, where the pattern is a prefix or glob of parameter names and the value a factor of `lr`
        (0 freezes) or {"lr": …, "weight_decay": …}.
    label_smoothing, class_weight, sampling : `class_weight` is None, "balanced" or {label: weight}; sampling="balanced"
        draws every class equally often.
    clip_norm : the largest norm of the gradient; larger gradients are scaled down to it. None does not clip.
    precision : "float32", "bf16" (autocast), or "auto": bf16 on a GPU, float32 on a CPU. On a CPU, bf16 is
        faster (1.3 to 1.6 times, measured) if the processor has bf16 instructions, such as AVX512-BF16, and slower
        otherwise.
    ema : decay of the exponential moving average of the weights, which is then used to validate and predict; None: off.
    validation : fraction, or numbers, of the repetitions of each subject and session that are held out of training; None
        holds out none. Arrays need `fit(..., groups=)`. Single windows are never held out at random.
    patience, monitor, restore_best : stop after `patience` epochs without a better validation "loss" or "accuracy";
        keep the best epoch's weights.
    normalise : "channel", "global", "window", "window_channel", "window_minmax" or "none"; statistics are learnt
        from the training windows only and are part of the fitted network.
    augment : augmentations of training batches, applied after normalisation: each a name, (name, strength) or f(x, rng);
        see `myograph.training.augment`.
    augment_copies : 0 replaces windows by augmented ones; k > 0 adds k augmented copies of the set to the originals.
    pretrained : path of a saved network, or a state dictionary. Entries with the same name and shape are copied; a head
        for other classes starts from new random weights.
    pretrain : f(module, batches, seed) run before training, such as `myograph.training.transfer.LayerwiseAutoencoder`.
    seed : determines all random choices; equal seed, data, machine and thread count give identical weights on a CPU.
    device : "auto" is the GPU if there is one, else the CPU.
    checkpoint : file written after every epoch; if it exists, `fit` resumes from it and gives the weights of an
        uninterrupted run.
    distributed : whether to divide each batch among the processes that `accelerate launch` started.
    verbose : 1 shows a progress bar.

    Attributes
    ----------
    classes_, module_, network_ (normalisation and module), history_, best_epoch_, n_channels_, n_samples_, rate_hz_,
    units_ (units of the samples; empty if unknown), trained_on_ (names of data sets and people, and numbers of sessions
    and windows; saved with the network).

    Examples
    --------
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_classes=3)
    >>> train, test = windows.where(repetition=(1, 2, 3)), windows.where(repetition=4)
    >>> network = NeuralClassifier("m5", epochs=8, batch_size=32, lr=0.02, device="cpu").fit(train)
    >>> network.predict_proba(test[:5]).shape
    (5, 3)
    >>> network.score(test) > 0.9
    True
    >>> network.predict(test[:2]).tolist()
    ['rest', 'rest']
    """

    _counts = True

    label_smoothing: float = 0.0
    class_weight: str | Mapping[Any, float] | None = None
    sampling: str | None = None
    monitor: str = Plan.monitor

    def _learn_targets(self, y: np.ndarray, train: np.ndarray) -> tuple[torch.Tensor, int]:
        if y.ndim != 1:
            raise ShapeError(f"y must hold one label per window, got shape {y.shape}")
        if y.dtype.kind == "f" and np.isnan(y).any():
            raise ShapeError(f"y holds {int(np.isnan(y).sum())} NaN labels; leave those windows out")
        if y.dtype.kind == "f" and not np.equal(y, np.floor(y)).all():
            raise ShapeError("y holds fractions, which are not class labels; use NeuralRegressor for numbers")
        need_two_classes(y)
        try:
            self.classes_ = np.unique(y)
        except TypeError as error:
            raise ShapeError(f"y holds labels of types that cannot be sorted together: {error}") from error
        return self._encode_targets(y), len(self.classes_)

    def _encode_targets(self, y: np.ndarray) -> torch.Tensor:
        codes = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        unknown = self.classes_[codes] != y
        if unknown.any():
            raise ShapeError(
                f"y holds the label {y[unknown].tolist()[0]!r}, which the first call did not have; in the first call "
                "pass all classes: "
                "partial_fit(X, y, classes=...)"
            )
        return torch.from_numpy(codes.astype(np.int64))

    def _objective(self, targets: torch.Tensor, device: torch.device) -> Objective:
        if not 0 <= self.label_smoothing <= 1:
            raise ConfigError(f"label_smoothing must be a share between 0 and 1, got {self.label_smoothing!r}")
        weight = None
        k = len(self.classes_)
        if isinstance(self.class_weight, Mapping):
            if unknown := set(self.class_weight) - set(self.classes_.tolist()):
                raise ConfigError(
                    f"class_weight names {unknown}, which are not classes of y; the classes are {self.classes_}"
                )
            weight = torch.tensor([float(self.class_weight.get(c, 1.0)) for c in self.classes_.tolist()])
            if not (weight >= 0).all():
                raise ConfigError(f"class_weight must be {{label: weight of at least 0}}, got {self.class_weight!r}")
        elif self.class_weight == "balanced":
            counts = torch.bincount(targets, minlength=k).clamp_min(1)
            weight = len(targets) / (k * counts.float())
        elif self.class_weight is not None:
            raise ConfigError(f"class_weight must be None, 'balanced' or {{label: weight}}, got {self.class_weight!r}")
        return CrossEntropy(None if weight is None else weight.to(device), self.label_smoothing)

    def _order(self, targets: torch.Tensor) -> Callable[..., Any] | None:
        if self.sampling not in (None, "balanced"):
            raise ConfigError(f"sampling must be None or 'balanced', got {self.sampling!r}")
        return balanced_order(targets) if self.sampling == "balanced" else None

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (window, class) probabilities, with columns in the order of `classes_`."""
        return torch.softmax(self._outputs(X), 1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return (window,) labels."""
        codes = self._outputs(X).argmax(1).numpy()
        return self.classes_[codes]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy, the fraction of correct windows; `y` None takes the labels of the Windows."""
        return super().score(X, self._check_targets(X, y), sample_weight)

    def _fitted(self) -> tuple[str, ...]:
        return (*super()._fitted(), "classes_")

    def _n_outputs(self) -> int:
        return len(self.classes_)


@dataclass(eq=False, repr=False)
class NeuralRegressor(RegressorMixin, NeuralEstimator):
    """A network that predicts numbers, with the parameters of `NeuralClassifier` except those about classes.

    Parameters
    ----------
    loss : "mse" or "huber".
    scale_targets : whether to standardise targets by the mean and standard deviation of the train rows.
    model : as in `NeuralClassifier`; its `n_classes` is the number of target columns.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(64, 4, 64)).astype(np.float32)
    >>> network = NeuralRegressor("m5", epochs=1, device="cpu").fit(x, x[:, 0, 0])
    >>> network.predict(x).shape
    (64,)
    """

    loss: str = "mse"
    scale_targets: bool = True

    def _learn_targets(self, y: np.ndarray, train: np.ndarray) -> tuple[torch.Tensor, int]:
        if y.dtype.kind not in "iufb" or y.ndim > 2:
            raise ShapeError(
                f"y must hold one number or one row of numbers per window, got {y.dtype} of shape {y.shape}"
            )
        self.flat_targets_ = y.ndim == 1
        values = y.reshape(len(y), -1).astype(np.float64)
        deviation = values[train].std(0)
        scale = self.scale_targets
        self.target_mean_ = values[train].mean(0) if scale else np.zeros(values.shape[1])
        self.target_scale_ = np.where(deviation > 0, deviation, 1.0) if scale else np.ones(values.shape[1])
        return self._encode_targets(y), values.shape[1]

    def _encode_targets(self, y: np.ndarray) -> torch.Tensor:
        values = y.reshape(len(y), -1).astype(np.float64)
        if values.shape[1] != len(self.target_mean_):
            raise ShapeError(
                f"this network was fitted on {len(self.target_mean_)} targets per window, got {values.shape[1]}"
            )
        if not np.isfinite(values).all():
            raise ShapeError("y holds NaN or infinite targets; leave those windows out")
        return torch.from_numpy(((values - self.target_mean_) / self.target_scale_).astype(np.float32))

    def _objective(self, targets: torch.Tensor, device: torch.device) -> Objective:
        if self.loss not in ("mse", "huber"):
            raise ConfigError(f"loss must be 'mse' or 'huber', got {self.loss!r}")
        return Objective() if self.loss == "mse" else Huber()

    def predict(self, X: Any) -> np.ndarray:
        """Return (window,) or (window, target) numbers in the unit of the targets."""
        numbers = self._outputs(X).double().numpy()
        numbers = numbers * self.target_scale_ + self.target_mean_
        return numbers[:, 0] if self.flat_targets_ else numbers

    def _fitted(self) -> tuple[str, ...]:
        return (*super()._fitted(), "flat_targets_", "target_mean_", "target_scale_")

    def _n_outputs(self) -> int:
        return len(self.target_mean_)
