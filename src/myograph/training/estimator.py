"""`NeuralClassifier` and `NeuralRegressor`: any network as a scikit-learn estimator over windows.

The loop beneath is `_loop.Trainer` (which says why it is not skorch's), batches come by index from `_batches.Batches`.
Where cores are shared with other processes, set `OMP_WAIT_POLICY=PASSIVE` before torch is imported: OpenMP's spinning
threads made a contended two-thread training step up to 20 times slower.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import NotFittedError
from torch import nn

from myograph.errors import ConfigError, ShapeError
from myograph.training import checkpoint as _weights
from myograph.training._memory import training_settings
from myograph.training.batches import Batches, Normalise, as_source, gather, pick_device, split_by_repetition
from myograph.training.build import build_model, load_matching
from myograph.training.history import Progress, plot_history
from myograph.training.loop import CrossEntropy, Objective, Plan, Trainer, balanced_order, channels_last, seeded
from myograph.windows import Windows

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

_PLAN = [f.name for f in dataclasses.fields(Plan)]


@dataclass(eq=False, repr=False)
class _NeuralEstimator(BaseEstimator):
    """What classifier and regressor share: parameters, model building, fitting, files, history."""

    _counts = False
    model: Any = "atzori"
    model_options: Mapping[str, Any] | None = None
    epochs: int = Plan.epochs
    batch_size: int = Plan.batch_size
    lr: float = Plan.lr
    optimizer: str | type = Plan.optimizer
    optimizer_options: Mapping[str, Any] | None = Plan.optimizer_options
    schedule: str = Plan.schedule
    schedule_options: Mapping[str, Any] | None = Plan.schedule_options
    weight_decay: float = Plan.weight_decay
    layers: Mapping[str, Any] | None = Plan.layers
    clip_norm: float | None = Plan.clip_norm
    precision: str = Plan.precision
    ema: float | None = Plan.ema
    validation: float | tuple[int, ...] | None = None
    patience: int | None = Plan.patience
    restore_best: bool = Plan.restore_best
    normalise: str = "channel"
    augment: Sequence[Any] = ()
    augment_copies: int = Plan.augment_copies
    pretrained: Any = None
    pretrain: Callable[..., Any] | None = None
    seed: int = Plan.seed
    device: str = "auto"
    checkpoint: str | os.PathLike[str] | None = None
    distributed: bool = False
    verbose: int = 0

    # What the subclasses say: targets as a tensor, the loss, and how many outputs the model has.
    def _learn_targets(self, y: np.ndarray, train: np.ndarray) -> tuple[torch.Tensor, int]:
        raise TypeError(f"{type(self).__name__} is no estimator of its own")

    def _objective(self, targets: torch.Tensor, device: torch.device) -> Objective:
        return Objective()

    def _order(self, targets: torch.Tensor) -> Callable[..., Any] | None:
        return None

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        """Train from scratch (or from `pretrained`).

        Parameters
        ----------
        X : a Windows, or a (window, channel, time) array in the unit that predictions will come in.
        y : (window,) targets; None takes the Windows' own labels.
        groups : (window,) repetition of each row of an array, where `validation` needs one.

        Raises
        ------
        ShapeError, SignalError : windows that no network can take, or that this one cannot.
        ConfigError : parameters that do not fit, or a checkpoint that another run wrote.
        """
        source, y = as_source(X), self._check_targets(X, y)
        if self.patience is not None and self.validation is None:
            raise ConfigError(
                f"patience={self.patience!r} waits for a better validation score, and validation is None; give "
                "validation=0.2, say, or no patience"
            )
        plan = self._plan()
        device, accelerator = self._place()
        self.__dict__.pop("_trainer", None)
        if self.validation is None:
            train, valid = np.arange(len(y)), np.array([], int)
        else:
            labels = y if self._counts else np.zeros(len(y), int)
            train, valid = split_by_repetition(source, labels, self.validation, groups, plan.seed)
        with training_settings(), seeded(plan.seed, device):
            targets = self._begin(source, y, train, device)
            batches = Batches(source, train, targets[train], self.normalise_, device)
            held = Batches(source, valid, targets[valid], self.normalise_, device) if len(valid) else None
            begun = self.checkpoint is not None and Path(self.checkpoint).exists()
            if self.pretrain is not None and not begun:  # a checkpoint replaces every weight
                self.pretrain_history_ = self.pretrain(self.module_, batches, plan.seed)
            trainer = self._trainer_of(source, targets[train], device, plan, accelerator)
            if accelerator is not None:
                torch.manual_seed(plan.seed + 1000 * (accelerator.process_index + 1))
            identity = self._resume(trainer, source, y, train) if self.checkpoint is not None else None
            self._drive(trainer, batches, held, identity)
        self._finish(trainer)
        return self

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Any:
        """One more epoch over these windows at the constant `lr`; the first call sets model and normalisation.

        classes : every label that may ever come (classifier, first call only); by default those in `y`.
        """
        source, y = as_source(X), self._check_targets(X, y)
        device, _ = self._place()
        with training_settings():
            plan = dataclasses.replace(self._plan(), schedule="constant", schedule_options=None)
            if not hasattr(self, "module_"):
                with seeded(plan.seed, device):
                    if classes is not None:
                        self.classes_ = np.unique(np.asarray(classes))
                    targets = self._begin(source, y, np.arange(len(y)), device, classes is not None)
                trainer = self._trainer_of(source, targets, device, plan)
            else:
                self._check_windows(source)
                if self._counts and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                    raise ConfigError(
                        f"classes are set by the first call as {self.classes_.tolist()}, got {list(classes)}; name all that "
                        "may come then, or clone(estimator) to start anew"
                    )
                targets = self._encode_targets(y)
                trainer = getattr(self, "_trainer", None)
                if trainer is None:
                    trainer = self._trainer_of(source, targets, device, plan)
                    trainer.history, trainer.epoch = list(self._rows), len(self._rows)
            trainer.plan = dataclasses.replace(trainer.plan, epochs=trainer.epoch + 1)
            trainer.objective, trainer.order = self._objective(targets, device), self._order(targets)
            with seeded(plan.seed + trainer.epoch, device):
                batches = Batches(source, np.arange(len(y)), targets, self.normalise_, device)
                for _ in trainer.run(batches):
                    pass
        self._finish(trainer)
        self._trainer = trainer
        return self

    def _begin(
        self, source: Windows | np.ndarray, y: np.ndarray, train: np.ndarray, device: torch.device, known: bool = False
    ) -> torch.Tensor:
        """Normalisation learnt from train rows alone, and the module; returns the targets of all rows."""
        targets, n_outputs = (self._encode_targets(y), len(self.classes_)) if known else self._learn_targets(y, train)
        _, channels, samples = source.shape
        self.n_channels_, self.n_samples_ = int(channels), int(samples)
        self.rate_hz_ = float(source.rate_hz) if isinstance(source, Windows) else None
        self.normalise_ = Normalise(self.normalise, channels).learn(source, train).to(device)
        self.layout_ = _common_layout(source)
        self.module_ = channels_last(self._build(n_outputs))
        if self.pretrained is not None:
            self.pretrained_names_ = load_matching(self.module_, self.pretrained)
        self.module_.to(device)
        return targets

    def _trainer_of(
        self,
        source: Windows | np.ndarray,
        targets: torch.Tensor,
        device: torch.device,
        plan: Plan,
        accelerator: Any = None,
    ) -> Trainer:
        augment = self._augmentation(source)
        if not isinstance(plan.augment_copies, numbers.Integral) or plan.augment_copies < 0:
            raise ConfigError(f"augment_copies is a whole number of at least 0, got {plan.augment_copies!r}")
        if augment is None and plan.augment_copies:
            raise ConfigError(f"augment_copies={plan.augment_copies} makes augmented copies, but augment names nothing")
        objective, order = self._objective(targets, device), self._order(targets)
        return Trainer(self.module_, plan, objective, device, augment, order, accelerator)

    def _drive(self, trainer: Trainer, batches: Batches, held: Batches | None, identity: str | None) -> None:
        main = trainer.accelerator is None or trainer.accelerator.is_main_process
        with Progress(trainer.plan.epochs, trainer.epoch, enabled=bool(self.verbose) and main) as progress:
            for row in trainer.run(batches, held):
                progress.show(row)
                if identity is not None and main:
                    tensors, values = trainer.state()
                    _weights.write(self.checkpoint, "checkpoint", tensors, values | {"identity": identity})

    def _finish(self, trainer: Trainer) -> None:
        self.module_ = trainer.result()
        self._rows = [dict(r) for r in trainer.history]
        self.best_epoch_ = trainer.best_epoch if trainer.best_state is not None else trainer.epoch

    def _resume(self, trainer: Trainer, source: Windows | np.ndarray, y: np.ndarray, train: np.ndarray) -> str:
        """The identity of this run; where its checkpoint exists, the trainer is put to where that was written."""
        left_out = ("verbose", "checkpoint", "device")
        params = {k: v for k, v in self.get_params(deep=False).items() if k not in left_out}
        if isinstance(params.get("pretrained"), Mapping):
            tensors = {k: torch.as_tensor(v).detach().cpu() for k, v in params["pretrained"].items()}
            params["pretrained"] = _weights._digest(tensors, "pretrained", "")
        digest = hashlib.sha256(json.dumps(_weights.encode(params, "parameter")).encode())
        digest.update(f"{y.tolist()} {train.tolist()}".encode())
        if isinstance(source, Windows):
            columns = source.table[["recording", "start", "stop", "channel", "repetition"]]
            digest.update(np.ascontiguousarray(columns.to_numpy(np.int64)))
            digest.update("".join(r.content_hash for r in source.recordings).encode())
        else:
            digest.update(np.ascontiguousarray(source))
        identity = digest.hexdigest()
        if Path(self.checkpoint).exists():
            tensors, values = _weights.read(self.checkpoint, "checkpoint")
            if values.pop("identity") != identity:
                raise ConfigError(
                    f"the checkpoint {self.checkpoint} was written by a run with other parameters or other data; delete "
                    "it to start anew, or give this run a path of its own"
                )
            trainer.restore(tensors, values)
        return identity

    def _build(self, n_outputs: int) -> nn.Module:
        shape = (self.n_channels_, n_outputs, self.n_samples_)
        return build_model(self.model, self.model_options, *shape, self.rate_hz_, self.layout_)

    def _plan(self) -> Plan:
        if not isinstance(self.seed, numbers.Integral) or self.seed < 0:
            raise ConfigError(f"seed is a whole number of at least 0, got {self.seed!r}; it decides everything random")
        return Plan(**{name: _plain(getattr(self, name)) for name in _PLAN if hasattr(self, name)})

    def _place(self) -> tuple[torch.device, Any]:
        if not self.distributed:
            return pick_device(self.device), None
        from myograph.training.distributed import accelerator

        shared = accelerator(self.device)
        return shared.device, shared

    def _augmentation(self, source: Windows | np.ndarray) -> Callable[..., Any] | None:
        if not self.augment:
            return None
        from myograph.training.augment import compose

        return compose(
            self.augment,
            layout=_common_layout(source),
            rate_hz=self.rate_hz_,
            n_classes=len(self.classes_) if self._counts else None,
            copies=self.augment_copies,
        )

    def _check_targets(self, X: Any, y: Any) -> np.ndarray:
        if y is None:
            if not isinstance(X, Windows):
                raise ShapeError("y is missing: only a Windows brings its own labels, give fit(X, y)")
            y = X.y
        y = np.asarray(y)
        if len(y) != len(X):
            raise ShapeError(f"X has {len(X)} windows and y {len(y)} targets; they go together row by row")
        return y

    def _encode_targets(self, y: np.ndarray) -> torch.Tensor:
        raise NotImplementedError

    def _check_windows(self, source: Windows | np.ndarray) -> None:
        if tuple(source.shape[1:]) != (self.n_channels_, self.n_samples_):
            raise ShapeError(
                f"this network was fitted on windows of {self.n_channels_} channels x {self.n_samples_} samples, got "
                f"{source.shape[1]} x {source.shape[2]}; cut and select channels as for fitting"
            )
        if isinstance(source, Windows) and self.rate_hz_ and source.rate_hz != self.rate_hz_:
            raise ShapeError(f"this network was fitted at {self.rate_hz_:g} Hz, got {source.rate_hz:g} Hz; resample")

    @torch.inference_mode()
    def _outputs(self, X: Any, size: int = 1024) -> torch.Tensor:
        """(window, output) float32 on the CPU."""
        if not hasattr(self, "module_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit(X, y) or load(path)")
        source = as_source(X)
        self._check_windows(source)
        device, parts = self.normalise_.mean.device, []
        for first in range(0, len(source), size):
            rows = slice(first, first + size)
            x = torch.from_numpy(gather(source, rows)).to(device)
            parts.append(self.module_(self.normalise_(x)).float().cpu())
        return torch.cat(parts)

    @property
    def network_(self) -> nn.Module:
        """Normalisation and model in one module: raw windows (window, channel, time) to outputs, as for export."""
        if not hasattr(self, "module_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit(X, y) or load(path)")
        return nn.Sequential(self.normalise_, self.module_).eval()

    @property
    def history_(self) -> pd.DataFrame:
        """One row an epoch: epoch, train_loss, train_accuracy, valid_loss, valid_accuracy (as they apply), lr, seconds."""
        import pandas as pd

        if not hasattr(self, "_rows"):
            raise AttributeError("there is no history before fit")
        return pd.DataFrame(self._rows)

    def plot_history(self, path: str | os.PathLike[str] | None = None) -> go.Figure:
        """Loss and accuracy by epoch; with `path`, also written as one self-contained HTML file."""
        return plot_history(self.history_, self.best_epoch_, path)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write weights, normalisation, parameters and labels as one safetensors file with a JSON header.

        Raises
        ------
        ConfigError : a parameter (such as a lambda for `model`) that another process could not find again.
        """
        tensors = {f"network.{k}": v for k, v in self.network_.state_dict().items()}
        params = self.get_params(deep=False)
        if isinstance(params.get("pretrained"), Mapping):
            params["pretrained"] = None  # its weights have become this network's
        values = {
            "class": type(self).__name__,
            "params": {k: _weights.encode(v, k) for k, v in params.items()},
            "fitted": {k: _weights.encode(v, k) for k, v in self._fitted().items()},
        }
        return _weights.write(path, "network", tensors, values)

    def _fitted(self) -> dict[str, Any]:
        names = ("n_channels_", "n_samples_", "rate_hz_", "layout_", "best_epoch_", "_rows")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = "auto") -> Any:
        """The fitted estimator that `save` wrote, on `device`. A model given as a class is imported by its path.

        Raises
        ------
        DataError : no such file, damaged, or written by something else.
        """
        tensors, values = _weights.read(path, "network")
        if values["class"] != cls.__name__:
            raise ConfigError(f"{path} holds a {values['class']}, not a {cls.__name__}; use {values['class']}.load")
        new = cls(**{k: _weights.decode(v) for k, v in values["params"].items()})
        new.set_params(device=device)
        for name, value in values["fitted"].items():
            setattr(new, name, _weights.decode(value))
        place = pick_device(device)
        new.normalise_ = Normalise(new.normalise, new.n_channels_)
        with seeded(new.seed, torch.device("cpu")):
            new.module_ = new._build(new._n_outputs())
        new.network_.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items()})
        new.normalise_.to(place).eval()
        new.module_ = channels_last(new.module_).to(place).eval()
        return new

    def _n_outputs(self) -> int:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k != "_trainer"}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags


@dataclass(eq=False, repr=False)
class NeuralClassifier(ClassifierMixin, _NeuralEstimator):
    """Any network of `MODELS`, or one of yours, as a scikit-learn classifier over windows.

    Parameters
    ----------
    model : name, class or function; called with `n_channels`, `n_classes`, `n_samples` (and `rate_hz`, `layout` where
        its signature names them) plus `model_options`, it makes a module from (batch, channel, time) to logits.
    epochs, batch_size, lr : as they say; `lr` is the highest that the schedule reaches.
    optimizer, optimizer_options : "adamw", "adam", "sgd" (momentum 0.9), "rmsprop", "nadam", "adagrad", or a class.
    schedule, schedule_options : "constant"; "cosine" (period in epochs, final as a fraction of lr); "step" (every or
        milestones in epochs, factor); "onecycle" (rise, start, final); "plateau" (factor, wait in epochs). All take
        warmup, in epochs.
    weight_decay : of weights; norms and biases never decay.
    layers : {pattern: how} by parameter name (a prefix or a glob): 0 freezes, a number scales `lr`, {"lr": …,
        "weight_decay": …} sets them.
    label_smoothing, class_weight, sampling : `class_weight` is None, "balanced" or {label: weight}; sampling="balanced"
        draws every class equally often.
    clip_norm : the largest norm of the gradient.
    precision : "float32", "bf16" (autocast), or "auto": bf16 on a GPU, float32 on a CPU. There bf16 is faster (1.3 to 1.6
        times measured) where the processor multiplies it natively, such as with AVX512-BF16, and slower elsewhere.
    ema : decay of averaged weights, which then validate and predict; None for none.
    validation : fraction of the repetitions of each subject and session, or their numbers, held out of train; None for
        none. Arrays need `fit(..., groups=)`. Never random windows.
    patience, monitor, restore_best : stop after so many epochs without a better validation "loss" or "accuracy"; keep
        the best epoch's weights.
    normalise : "channel", "global", "window", "window_channel", "window_minmax" or "none"; statistics are learnt on
        train rows alone and are part of the fitted network.
    augment : sequence of augmentations for train batches, after normalisation: a name, (name, strength), or f(x, rng);
        see `myograph.training.augment`.
    augment_copies : 0 augments each batch in place; k adds k augmented copies of the set to the originals.
    pretrained : a saved file's path or a state dictionary; entries of the same name and shape are copied, a head for
        other classes starts anew.
    pretrain : f(module, batches, seed) run before training, such as `myograph.training.transfer.LayerwiseAutoencoder`.
    seed : decides everything random; same seed, data, machine and thread count give identical weights on a CPU.
    device : "auto" is the GPU where there is one.
    checkpoint : file written after every epoch; where it exists, `fit` goes on from it and ends in the weights of an
        uninterrupted run.
    distributed : share each batch among the processes that `accelerate launch` started.
    verbose : 1 shows a progress bar.

    Attributes
    ----------
    classes_, module_, network_ (normalisation and module), history_, best_epoch_, n_channels_, n_samples_, rate_hz_.
    """

    _counts = True

    label_smoothing: float = 0.0
    class_weight: str | Mapping[Any, float] | None = None
    sampling: str | None = None
    monitor: str = Plan.monitor

    def _learn_targets(self, y: np.ndarray, train: np.ndarray) -> tuple[torch.Tensor, int]:
        if y.ndim != 1:
            raise ShapeError(f"y holds one label a window, got shape {y.shape}")
        if y.dtype.kind == "f" and np.isnan(y).any():
            raise ShapeError(f"y holds {int(np.isnan(y).sum())} NaN labels; leave those windows out")
        if y.dtype.kind == "f" and not np.equal(y, np.floor(y)).all():
            raise ShapeError("y holds fractions, so it is no label; NeuralRegressor learns numbers")
        try:
            self.classes_ = np.unique(y)
        except TypeError as error:
            raise ShapeError(f"y holds labels of kinds that have no common order: {error}") from error
        if len(self.classes_) < 2:
            raise ShapeError(f"y holds the one class {self.classes_.tolist()[0]!r}; a classifier needs at least two")
        return self._encode_targets(y), len(self.classes_)

    def _encode_targets(self, y: np.ndarray) -> torch.Tensor:
        codes = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        unknown = self.classes_[codes] != y
        if unknown.any():
            raise ShapeError(
                f"y holds the label {y[unknown].tolist()[0]!r}, which was not among the classes of the first call; name all with "
                "partial_fit(X, y, classes=...)"
            )
        return torch.from_numpy(codes.astype(np.int64))

    def _objective(self, targets: torch.Tensor, device: torch.device) -> Objective:
        if not 0 <= self.label_smoothing <= 1:
            raise ConfigError(f"label_smoothing is a share between 0 and 1, got {self.label_smoothing!r}")
        weight = None
        k = len(self.classes_)
        if isinstance(self.class_weight, Mapping):
            if unknown := set(self.class_weight) - set(self.classes_.tolist()):
                raise ConfigError(f"class_weight names {unknown}, which are no classes; there are {self.classes_}")
            weight = torch.tensor([float(self.class_weight.get(c, 1.0)) for c in self.classes_.tolist()])
            if not (weight >= 0).all():
                raise ConfigError(f"class_weight is {{label: weight of at least 0}}, got {self.class_weight!r}")
        elif self.class_weight == "balanced":
            counts = torch.bincount(targets, minlength=k).clamp_min(1)
            weight = len(targets) / (k * counts.float())
        elif self.class_weight is not None:
            raise ConfigError(f"class_weight is None, 'balanced' or {{label: weight}}, got {self.class_weight!r}")
        return CrossEntropy(None if weight is None else weight.to(device), self.label_smoothing)

    def _order(self, targets: torch.Tensor) -> Callable[..., Any] | None:
        if self.sampling not in (None, "balanced"):
            raise ConfigError(f"sampling is None or 'balanced', got {self.sampling!r}")
        return balanced_order(targets) if self.sampling == "balanced" else None

    def predict_proba(self, X: Any) -> np.ndarray:
        """(window, class) probabilities, columns in the order of `classes_`."""
        return torch.softmax(self._outputs(X), 1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """(window,) labels."""
        codes = self._outputs(X).argmax(1).numpy()
        return self.classes_[codes]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Share of windows whose label is right; `y` None takes the Windows' own labels."""
        return super().score(X, self._check_targets(X, y), sample_weight)

    def _fitted(self) -> dict[str, Any]:
        return super()._fitted() | {"classes_": self.classes_}

    def _n_outputs(self) -> int:
        return len(self.classes_)


@dataclass(eq=False, repr=False)
class NeuralRegressor(RegressorMixin, _NeuralEstimator):
    """A network that predicts numbers: the parameters of `NeuralClassifier`, less those about classes.

    Parameters
    ----------
    loss : "mse" or "huber", over targets standardised by train's mean and standard deviation where `scale_targets`.
    model : as in `NeuralClassifier`; its `n_classes` is the number of target columns.
    """

    loss: str = "mse"
    scale_targets: bool = True

    def _learn_targets(self, y: np.ndarray, train: np.ndarray) -> tuple[torch.Tensor, int]:
        if y.dtype.kind not in "iufb" or y.ndim > 2:
            raise ShapeError(f"y holds one number or one row of numbers a window, got {y.dtype} of shape {y.shape}")
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
                f"this network was fitted on {len(self.target_mean_)} targets a window, got {values.shape[1]}"
            )
        if not np.isfinite(values).all():
            raise ShapeError("y holds NaN or infinite targets; leave those windows out")
        return torch.from_numpy(((values - self.target_mean_) / self.target_scale_).astype(np.float32))

    def _objective(self, targets: torch.Tensor, device: torch.device) -> Objective:
        if self.loss not in ("mse", "huber"):
            raise ConfigError(f"loss is 'mse' or 'huber', got {self.loss!r}")
        return Objective() if self.loss == "mse" else Huber()

    def predict(self, X: Any) -> np.ndarray:
        """(window,) or (window, target) numbers in the targets' own unit."""
        numbers = self._outputs(X).double().numpy()
        numbers = numbers * self.target_scale_ + self.target_mean_
        return numbers[:, 0] if self.flat_targets_ else numbers

    def _fitted(self) -> dict[str, Any]:
        names = ("flat_targets_", "target_mean_", "target_scale_")
        return super()._fitted() | {name: getattr(self, name) for name in names}

    def _n_outputs(self) -> int:
        return len(self.target_mean_)


class Huber(Objective):
    """Squared error up to one standard deviation, absolute beyond."""

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.smooth_l1_loss(output, target)


def _plain(value: Any) -> Any:
    """NumPy's scalars, such as a grid search over `numpy.logspace` sets, as Python's: torch takes no others."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _common_layout(source: Windows | np.ndarray) -> Any:
    """The electrode layout that all recordings share, or None."""
    layouts = {r.layout for r in source.recordings} if isinstance(source, Windows) else set()
    return layouts.pop() if len(layouts) == 1 else None
