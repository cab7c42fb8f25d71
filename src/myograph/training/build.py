"""From a model's name, class or factory to a module that fits the windows; and weights from one module to another."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from myograph.errors import ConfigError, MyographError, ShapeError
from myograph.training import checkpoint as _weights


def build_model(
    model: Any,
    options: Mapping[str, Any] | None,
    n_channels: int,
    n_outputs: int,
    n_samples: int,
    rate_hz: float | None = None,
    layout: Any = None,
) -> nn.Module:
    """A new module taking (batch, channel, time) to (batch, n_outputs), tried on two windows of zeros.

    Parameters
    ----------
    model : a name in `myograph.models.MODELS`, or a class or function called with `n_channels`, `n_classes`,
        `n_samples` and, where its signature names them, `rate_hz` and `layout`.

    Raises
    ------
    UnknownNameError : a name or an option that nobody knows.
    ShapeError : the model cannot take such windows, or answers in another shape.
    """
    given: dict[str, Any] = {"n_channels": n_channels, "n_classes": n_outputs, "n_samples": n_samples}
    if isinstance(model, str):
        from myograph.models import MODELS

        name, factory = repr(model), MODELS[model]
    elif isinstance(model, nn.Module) or not callable(model):
        raise ConfigError(
            f"model is a name, a class or a function that makes the network, got {type(model).__name__}; a network "
            "itself would carry weights from fold to fold, pass its class"
        )
    else:
        name, factory = getattr(model, "__qualname__", repr(model)), model
    parameters = inspect.signature(factory).parameters
    extra = {"rate_hz": rate_hz, "layout": layout}
    given |= {k: v for k, v in extra.items() if k in parameters and v is not None}
    given |= dict(options or {})
    if isinstance(model, str):
        module = MODELS.create(model, **given)
    else:
        try:
            inspect.signature(factory).bind(**given)
        except TypeError as error:
            raise ConfigError(f"model {name} cannot be called with {', '.join(given)}: {error}") from error
        module = factory(**given)
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model {name} made a {type(module).__name__}, not a torch.nn.Module")
    shape = f"{n_channels} channels x {n_samples} samples"
    try:
        with torch.no_grad():
            out = module.eval()(torch.zeros(2, n_channels, n_samples))
    except MyographError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        raise ShapeError(f"model {name} cannot take windows of {shape}: {error}") from error
    if tuple(out.shape) != (2, n_outputs):
        raise ShapeError(f"model {name} on 2 windows of {shape} gives {tuple(out.shape)}, expected (2, {n_outputs})")
    return module.train()


def load_matching(module: nn.Module, pretrained: Any) -> list[str]:
    """Copy the entries that `module` has under the same name and shape; the rest (a new head) keeps its initialisation.

    Parameters
    ----------
    pretrained : the path of a saved estimator, or a state dictionary (name to tensor or array).

    Returns
    -------
    The names copied.

    Raises
    ------
    ConfigError : not one weight fits (a bias alone is a coincidence).
    """
    if isinstance(pretrained, (str, os.PathLike)):
        tensors, _ = _weights.read(pretrained, "network")
        pretrained = {k.removeprefix("network.1."): v for k, v in tensors.items() if k.startswith("network.1.")}
    if not isinstance(pretrained, Mapping):
        raise ConfigError(
            f"pretrained is a saved file's path or a state dictionary, got {type(pretrained).__name__}; of a fitted "
            "estimator pass estimator.module_.state_dict()"
        )
    own = module.state_dict()
    fits = {
        k: torch.as_tensor(v) for k, v in pretrained.items() if k in own and own[k].shape == torch.as_tensor(v).shape
    }
    if not any(name in fits for name, p in module.named_parameters() if p.ndim > 1):
        raise ConfigError(
            f"nothing in pretrained fits this model: it holds {', '.join(list(pretrained)[:5])} …, the model has "
            f"{', '.join(list(own)[:5])} …; is it the same architecture and channel count?"
        )
    module.load_state_dict(fits, strict=False)
    return list(fits)
