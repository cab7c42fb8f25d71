"""How a network is trained: the plan, its learning-rate schedules and its optimiser."""

from __future__ import annotations

import fnmatch
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn

from myograph._common.fields import ADDED
from myograph.errors import ConfigError

OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop", "nadam", "adagrad")
SCHEDULES = ("constant", "cosine", "step", "onecycle", "plateau")
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


@dataclass(frozen=True)
class Plan:
    """Settings of a training; `NeuralClassifier` documents each field. An invalid value raises ConfigError.

    >>> Plan(epochs=10, schedule="onecycle").schedule
    'onecycle'
    """

    epochs: int = 50
    batch_size: int = 256
    lr: float = 1e-3
    optimizer: str | type = "adamw"
    optimizer_options: Mapping[str, Any] | None = None
    schedule: str = "cosine"
    schedule_options: Mapping[str, Any] | None = None
    weight_decay: float = 1e-2
    layers: Mapping[str, Any] | None = None
    clip_norm: float | None = None
    precision: str = "float32"
    ema: float | None = None
    patience: int | None = None
    restore_best: bool = True
    monitor: str = "loss"
    augment_copies: int = 0
    seed: int = 0
    spare_biases_and_norms: bool = field(default=False, metadata=ADDED)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not _number(value) or value < 1 or int(value) != value:
                raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
        for name, least in (("lr", 0), ("clip_norm", 0), ("patience", 1), ("weight_decay", 0)):
            value = getattr(self, name)
            if value is None and name in ("clip_norm", "patience"):
                continue
            above = name in ("lr", "clip_norm")
            if not _number(value) or not (value > least if above else value >= least):
                raise ConfigError(
                    f"{name} must be a number {'above' if above else 'of at least'} {least}, got {value!r}"
                )
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        known = _SCHEDULE_OPTIONS[self.schedule] | {"warmup"}
        if unknown := set(self.schedule_options or {}) - known:
            raise ConfigError(
                f"schedule {self.schedule!r} has the options {', '.join(sorted(known))}; got {sorted(unknown)}"
            )
        for name, value in (self.schedule_options or {}).items():
            least, above = _SCHEDULE_LEAST.get(name, (0, False))
            for one in value if name == "milestones" and isinstance(value, (tuple, list)) else (value,):
                if not _number(one) or not (one > least if above else one >= least):
                    raise ConfigError(
                        f"schedule option {name!r} must be {'above' if above else 'at least'} {least}, got {one!r}"
                    )
        if self.precision not in ("float32", "bf16", "auto"):
            raise ConfigError(f"precision must be 'float32', 'bf16' or 'auto' (bf16 on a GPU), got {self.precision!r}")
        if self.monitor not in ("loss", "accuracy"):
            raise ConfigError(f"monitor must be 'loss' or 'accuracy' of the validation windows, got {self.monitor!r}")
        if not isinstance(self.spare_biases_and_norms, bool):
            raise ConfigError(f"spare_biases_and_norms must be True or False, got {self.spare_biases_and_norms!r}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ConfigError(
                f"ema must be the decay of the averaged weights, between 0 and 1, or None; got {self.ema!r}"
            )


_SCHEDULE_OPTIONS = {
    "constant": set(),
    "cosine": {"period", "final"},
    "step": {"every", "factor", "milestones"},
    "onecycle": {"rise", "start", "final"},
    "plateau": {"factor", "wait"},
}
_SCHEDULE_LEAST = {"period": (0, True), "every": (1, False), "wait": (1, False), "factor": (0, True)}


def lr_factor(plan: Plan, epoch: int, progress: float) -> float:
    """Return the factor of `lr` at a step. It is a pure function, so that a resumed run needs no scheduler state.

    Parameters
    ----------
    plan : the schedule and its options. "plateau" gives 1 here, since it depends on losses, which `Trainer` tracks.
    epoch : the epoch of this step, counted from 0.
    progress : steps done divided by all steps of the run, in [0, 1).

    >>> lr_factor(Plan(schedule="cosine"), epoch=25, progress=0.5)
    0.5
    """
    o = dict(plan.schedule_options or {})
    now = progress * plan.epochs
    if plan.schedule == "cosine":
        # Without a period: half a cosine over the run. With one: the periodic cosine of CosineAnnealingLR(T_max).
        period, final = o.get("period", plan.epochs), o.get("final", 0.0)
        at = epoch if "period" in o else now
        factor = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * at / period))
    elif plan.schedule == "step":
        drops = sum(epoch >= m for m in o["milestones"]) if "milestones" in o else epoch // o.get("every", 10)
        factor = o.get("factor", 0.1) ** drops
    elif plan.schedule == "onecycle":
        # Smith and Topin 2019, doi:10.1117/12.2520589, with cosine flanks.
        rise, start, final = o.get("rise", 0.3), o.get("start", 0.04), o.get("final", 1e-4)
        if progress < rise:
            factor = start + (1 - start) * 0.5 * (1 - math.cos(math.pi * progress / rise))
        else:
            factor = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * (progress - rise) / (1 - rise)))
    else:
        factor = 1.0
    warmup = o.get("warmup", 0)
    return factor * min(1.0, (now + 1e-3) / warmup) if warmup else factor


def make_optimizer(module: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Return the optimiser, with one parameter group per (lr, weight decay).

    Weight decay applies to every parameter, as in torch and in the published programs. With
    `plan.spare_biases_and_norms` it does not apply to biases and norm layers. Layers set to 0 in `plan.layers` are frozen.

    Raises
    ------
    ConfigError : an unknown optimiser or option, a pattern of `layers` that matches nothing, or all layers frozen.

    >>> sparing = Plan(lr=0.1, weight_decay=0.01, spare_biases_and_norms=True)
    >>> optimizer = make_optimizer(nn.Linear(4, 2), sparing)
    >>> [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    [(0.1, 0.01), (0.1, 0.0)]
    """
    if not isinstance(plan.layers, (Mapping, type(None))):
        raise ConfigError(f"layers must map patterns of parameter names to learning rates, got {plan.layers!r}")
    layers = {pattern: _rates(pattern, how, plan) for pattern, how in (plan.layers or {}).items()}
    unused = set(layers)
    in_norm = {
        f"{prefix}.{name}" if prefix else name
        for prefix, m in module.named_modules()
        if isinstance(m, _NORMS)
        for name, _ in m.named_parameters(recurse=False)
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        lr, decay = plan.lr, plan.weight_decay
        for pattern, how in layers.items():
            if fnmatch.fnmatchcase(name, pattern) or name.startswith(pattern + "."):
                unused.discard(pattern)
                lr, decay = how.get("lr", lr), how.get("weight_decay", decay)
        parameter.requires_grad_(bool(lr > 0))
        if lr > 0:
            spared = plan.spare_biases_and_norms and (parameter.ndim <= 1 or name in in_norm)
            decay = 0.0 if spared else decay
            groups.setdefault((lr, decay), []).append(parameter)
    if unused:
        names = ", ".join(n for n, _ in module.named_parameters())
        raise ConfigError(f"the patterns {sorted(unused)} of layers match no parameter; the parameters are {names}")
    if not groups:
        raise ConfigError("layers freezes every parameter, so there is nothing to train")
    options = dict(plan.optimizer_options or {})
    if isinstance(plan.optimizer, str):
        if plan.optimizer not in OPTIMIZERS:
            raise ConfigError(
                f"optimizer must be one of {', '.join(OPTIMIZERS)} or a torch.optim class, got {plan.optimizer!r}"
            )
        cls = {
            "adamw": torch.optim.AdamW,
            "adam": torch.optim.Adam,
            "sgd": torch.optim.SGD,
            "rmsprop": torch.optim.RMSprop,
            "nadam": torch.optim.NAdam,
            "adagrad": torch.optim.Adagrad,
        }[plan.optimizer]
        if plan.optimizer == "sgd":
            options.setdefault("momentum", 0.9)
        if plan.optimizer in ("adamw", "adam", "sgd"):
            options.setdefault("fused", True)
    else:
        cls = plan.optimizer
    try:
        return cls(
            [{"params": p, "lr": lr, "base_lr": lr, "weight_decay": decay} for (lr, decay), p in groups.items()],
            lr=plan.lr,
            **options,
        )
    except TypeError as error:
        raise ConfigError(f"optimizer {plan.optimizer!r} does not take {options}: {error}") from error


def _rates(pattern: str, how: Any, plan: Plan) -> Mapping[str, float]:
    """Return the "lr" and "weight_decay" that one entry of `layers` sets; a number is a factor of `lr`."""
    found = how if isinstance(how, Mapping) else {"lr": how * plan.lr if _number(how) else how}
    for name, value in found.items():
        if name not in ("lr", "weight_decay") or not _number(value) or not value >= 0:
            raise ConfigError(
                f"layers[{pattern!r}] must be a factor of lr of at least 0 (0 freezes), or a mapping with lr and "
                "weight_decay, "
                f"each at least 0; got {how!r}"
            )
    return found
