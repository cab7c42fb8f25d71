"""The base class of `NeuralClassifier` and `NeuralRegressor`: parameters, fitting, checkpoints, files, history."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import nn

from myograph._common.fields import ADDED
from myograph._common.fitted import Kind
from myograph._common.origin import joined_origin, origin_of
from myograph._common.seen import remember, warn_of_leakage
from myograph.errors import ConfigError, DataError, ShapeError
from myograph.training import checkpoint as _files
from myograph.training import saved
from myograph.training.batches import Batches, Normalise, as_source, gather, pick_device, split_by_repetition
from myograph.training.build import build_model, load_matching
from myograph.training.history import EpochBar, plot_history
from myograph.training.loop import Trainer, channels_last, seeded, training_settings
from myograph.training.objectives import Objective
from myograph.training.plan import Plan
from myograph.training.values import encode
from myograph.windows import Windows

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self

_PLAN = [f.name for f in dataclasses.fields(Plan)]


@dataclass(eq=False, repr=False)
class NeuralEstimator(BaseEstimator):
    """The base class of the classifier and the regressor: parameters, model building, fitting, files, history."""

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
    spare_biases_and_norms: bool = dataclasses.field(default=Plan.spare_biases_and_norms, metadata=ADDED)

    # Subclasses define the targets as a tensor, the loss, and the number of outputs.
    def _learn_targets(self, y: np.ndarray, train: np.ndarray) -> tuple[torch.Tensor, int]:
        raise TypeError(f"{type(self).__name__} is an abstract class; use NeuralClassifier or NeuralRegressor")

    def _objective(self, targets: torch.Tensor, device: torch.device) -> Objective:
        return Objective()

    def _order(self, targets: torch.Tensor) -> Callable[..., Any] | None:
        return None

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        """Train from scratch, or from `pretrained`.

        Parameters
        ----------
        X : a Windows, or a (window, channel, time) array in the same unit as the windows to predict.
        y : (window,) targets; None takes the labels of the Windows.
        groups : (window,) repetition of each row of an array, which `validation` needs.

        Raises
        ------
        ShapeError, SignalError : windows that are invalid, or that this network cannot process.
        ConfigError : invalid parameters, or a checkpoint of another run.
        """
        source, y = as_source(X), self._check_targets(X, y)
        if self.patience is not None and self.validation is None:
            raise ConfigError(
                f"patience={self.patience!r} needs a validation score, but validation is None; give "
                "validation, for example 0.2, or leave out patience"
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
            if self.pretrain is not None and not begun:  # a checkpoint replaces all weights
                self._pretrain(batches, plan.seed)
            trainer = self._trainer_of(source, targets[train], device, plan, accelerator)
            if accelerator is not None:
                torch.manual_seed(plan.seed + 1000 * (accelerator.process_index + 1))
            identity = self._resume(trainer, source, y, train, self.checkpoint) if self.checkpoint is not None else None
            self._drive(trainer, batches, held, identity)
        self._finish(trainer)
        self.trained_on_ = joined_origin(saved.origin_of_weights(self.pretrained), origin_of(source))
        remember(self, source)
        return self

    def fit_pretraining(self, X: Any, y: Any = None) -> Any:
        """Run only the first steps of `fit`: build the network, learn the normalisation, and run `pretrain`.

        `save` writes the result. A later `fit` with `pretrained=` that file, without `pretrain` and with otherwise equal
        parameters, gives the same weights as a single `fit` with `pretrain`.

        Parameters
        ----------
        X, y : as for `fit`.

        Raises
        ------
        ConfigError : `pretrain` is None, or `validation` is set, which pretraining does not support.
        """
        if self.pretrain is None or self.validation is not None:
            raise ConfigError("fit_pretraining needs `pretrain` and no `validation`; use fit")
        source, y = as_source(X), self._check_targets(X, y)
        plan = self._plan()
        device, _ = self._place()
        with training_settings(), seeded(plan.seed, device):
            rows = np.arange(len(y))
            targets = self._begin(source, y, rows, device)
            self._pretrain(Batches(source, rows, targets, self.normalise_, device), plan.seed)
        self.module_.eval()
        self._rows, self.best_epoch_ = [], 0
        self.trained_on_ = joined_origin(saved.origin_of_weights(self.pretrained), origin_of(source))
        remember(self, source)
        return self

    def _pretrain(self, batches: Batches, seed: int) -> None:
        # Pretraining does not change the random numbers of training, so that each step can also run alone.
        with seeded(seed, batches.device):
            self.pretrain_history_ = cast(Any, self.pretrain)(self.module_, batches, seed)

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Any:
        """Train one more epoch on these windows at the constant `lr`; the first call sets model and normalisation.

        Parameters
        ----------
        X, y : as for `fit`.
        classes : all labels that may occur in later calls (classifier, first call only); by default those in `y`.
        """
        source, y = as_source(X), self._check_targets(X, y)
        device, _ = self._place()
        begun = hasattr(self, "module_")
        with training_settings():
            plan = dataclasses.replace(self._plan(), schedule="constant", schedule_options=None)
            if not begun:
                with seeded(plan.seed, device):
                    if classes is not None:
                        self.classes_ = np.unique(np.asarray(classes))
                    targets = self._begin(source, y, np.arange(len(y)), device, classes is not None)
                trainer = self._trainer_of(source, targets, device, plan)
            else:
                self._check_windows(source)
                if self._counts and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                    raise ConfigError(
                        f"the first call set classes to {self.classes_.tolist()}, got {list(classes)}; name all "
                        "classes of "
                        "later calls there, or use clone(estimator) to start again"
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
        before = self.trained_on_ if begun else saved.origin_of_weights(self.pretrained)
        self.trained_on_ = joined_origin(before, origin_of(source))
        remember(self, source, more=begun)
        self._trainer = trainer
        return self

    def _begin(
        self, source: Windows | np.ndarray, y: np.ndarray, train: np.ndarray, device: torch.device, known: bool = False
    ) -> torch.Tensor:
        """Learn the normalisation from the training rows only and build the module; return the targets of all rows."""
        targets, _ = (self._encode_targets(y), len(self.classes_)) if known else self._learn_targets(y, train)
        _, channels, samples = source.shape
        self.n_channels_, self.n_samples_ = int(channels), int(samples)
        self.rate_hz_ = float(source.rate_hz) if isinstance(source, Windows) else None
        self.units_ = Kind.of(source).units
        self.normalise_ = Normalise(self.normalise, channels).learn(source, train).to(device)
        self.layout_ = _common_layout(source)
        model = self._make_network(build_model)[1]
        self.module_ = channels_last(model)
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
            raise ConfigError(f"augment_copies must be a whole number of at least 0, got {plan.augment_copies!r}")
        if augment is None and plan.augment_copies:
            raise ConfigError(f"augment_copies={plan.augment_copies} needs augmentations, but augment is empty")
        objective, order = self._objective(targets, device), self._order(targets)
        return Trainer(self.module_, plan, objective, device, augment, order, accelerator)

    def _drive(self, trainer: Trainer, batches: Batches, held: Batches | None, identity: str | None) -> None:
        main = trainer.accelerator is None or trainer.accelerator.is_main_process
        with EpochBar(trainer.plan.epochs, trainer.epoch, enabled=bool(self.verbose) and main) as progress:
            for row in trainer.run(batches, held):
                progress.show(row)
                if self.checkpoint is not None and main:
                    tensors, values = trainer.state()
                    _files.write(self.checkpoint, "checkpoint", tensors, values | {"identity": identity})

    def _finish(self, trainer: Trainer) -> None:
        self.module_ = trainer.result()
        self._rows = [dict(r) for r in trainer.history]
        self.best_epoch_ = trainer.best_epoch if trainer.best_state is not None else trainer.epoch

    def _resume(
        self,
        trainer: Trainer,
        source: Windows | np.ndarray,
        y: np.ndarray,
        train: np.ndarray,
        path: str | os.PathLike[str],
    ) -> str:
        """Return the identity of this run; if its checkpoint exists, the trainer continues from there."""
        left_out = ("verbose", "checkpoint", "device")
        params = {k: v for k, v in self.get_params(deep=False).items() if k not in left_out}
        if isinstance(params.get("pretrained"), Mapping):
            tensors = {k: torch.as_tensor(v).detach().cpu() for k, v in params["pretrained"].items()}
            params["pretrained"] = _files.digest(tensors, "pretrained", "")
        digest = hashlib.sha256(json.dumps(encode(params, "parameter")).encode())
        digest.update(f"{y.tolist()} {train.tolist()}".encode())
        if isinstance(source, Windows):
            columns = source.table[["recording", "start", "stop", "channel", "repetition"]]
            digest.update(np.ascontiguousarray(columns.to_numpy(np.int64)).data)
            digest.update("".join(r.content_hash for r in source.recordings).encode())
        else:
            digest.update(np.ascontiguousarray(source).data)
        identity = digest.hexdigest()
        if Path(path).exists():
            tensors, values = _files.read(path, "checkpoint")
            if values.get("identity") != identity:
                raise ConfigError(
                    f"the checkpoint {path} was written by a run with other parameters or other data; delete "
                    "it to start again, or give this run its own path"
                )
            try:
                trainer.restore(tensors, values)
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise DataError(
                    f"the checkpoint {path} does not continue this run ({error}); delete it to start again"
                ) from error
        return identity

    def _plan(self) -> Plan:
        if not isinstance(self.seed, numbers.Integral) or self.seed < 0:
            raise ConfigError(
                f"seed must be a whole number of at least 0, got {self.seed!r}; it determines all random choices"
            )
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
                raise ShapeError("y is missing: only Windows contain labels; call fit(X, y)")
            y = X.y
        y = np.asarray(y)
        if len(y) != len(X):
            raise ShapeError(f"X has {len(X)} windows and y {len(y)} targets; give one target per window")
        return y

    def _encode_targets(self, y: np.ndarray) -> torch.Tensor:
        raise NotImplementedError

    def _check_windows(self, source: Windows | np.ndarray) -> None:
        rates = (self.rate_hz_,) if self.rate_hz_ else ()
        known = Kind(self.n_channels_, self.n_samples_, rates, getattr(self, "units_", ()))
        known.refuse_other(Kind.of(source), "this network")

    @torch.inference_mode()
    def _outputs(self, X: Any, size: int = 1024) -> torch.Tensor:
        """Return (window, output) float32 on the CPU."""
        if not hasattr(self, "module_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit(X, y) or load(path)")
        source = as_source(X)
        self._check_windows(source)
        warn_of_leakage(self, source)
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
        """One row per epoch: epoch, train_loss, train_accuracy, valid_loss, valid_accuracy (if any), lr, seconds."""
        import pandas as pd

        if not hasattr(self, "_rows"):
            raise AttributeError("there is no history before fit")
        return pd.DataFrame(self._rows)

    def plot_history(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return loss and accuracy by epoch as an HTML page; with `path`, also write it to that file."""
        return plot_history(self.history_, self.best_epoch_, path)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write weights, normalisation, parameters and labels as one safetensors file with a JSON header.

        Returns
        -------
        The path.

        Raises
        ------
        NotFittedError : there is nothing to save before `fit`.
        ConfigError : a parameter cannot be stored by name, such as a lambda for `model`.
        ResultsError : the file cannot be written there.
        """
        return saved.save(self, path)

    def _fitted(self) -> tuple[str, ...]:
        """Return the names of the fitted attributes that are saved in addition to the weights."""
        return ("n_channels_", "n_samples_", "rate_hz_", "units_", "layout_", "best_epoch_", "_rows", "trained_on_")

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = "auto", **yours: Any) -> Self:
        """Return the fitted estimator that `save` wrote.

        Opening a file runs no code that it names. Registered networks, layouts, optimisers and the pretraining steps of myograph are created by name. Your own
        classes or functions must be passed here.

        Parameters
        ----------
        path : the file.
        device : where the network runs, as in the constructor.
        yours : your own classes and functions, such as `model=MyNet`; they replace the parameters in the file.

        Raises
        ------
        DataError : the file does not exist, is damaged, was not written by `save`, or needs a class that was not
            passed.
        ConfigError : the file holds another kind of estimator, or `yours` names an unknown parameter.
        """
        return saved.load(cls, path, device, yours)

    def _make_network(self, make: Callable[..., nn.Module]) -> nn.Sequential:
        """Return normalisation and model as in `network_`, both unfitted; `make` is `build_model` or `make_module`."""
        shape = (self.n_channels_, self._n_outputs(), self.n_samples_)
        model = make(self.model, self.model_options, *shape, self.rate_hz_, self.layout_)
        return nn.Sequential(Normalise(self.normalise, self.n_channels_), model)

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


def _plain(value: Any) -> Any:
    """Convert NumPy scalars, such as those of a grid search over `numpy.logspace`, to Python scalars, since torch accepts
    only these.
    """
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _common_layout(source: Windows | np.ndarray) -> Any:
    """Return the electrode layout that all recordings share, or None."""
    layouts = {r.layout for r in source.recordings} if isinstance(source, Windows) else set()
    return layouts.pop() if len(layouts) == 1 else None
