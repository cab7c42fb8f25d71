"""Building a module from a model's name, class or factory, and copying weights from one module to another."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from myograph.errors import ConfigError, MyographError, ShapeError
from myograph.models import MODELS
from myograph.training import checkpoint


def build_model(
    model: Any,
    options: Mapping[str, Any] | None,
    n_channels: int,
    n_outputs: int,
    n_samples: int,
    rate_hz: float | None = None,
    layout: Any = None,
) -> nn.Module:
    """Build a module from (batch, channel, time) to (batch, n_outputs), and run it on two windows of zeros.

    Parameters
    ----------
    model : a name in `myograph.models.MODELS`, or a class or function that is called with `n_channels`, `n_classes`,
        `n_samples` and, if its signature names them, `rate_hz` and `layout`.
    options : further arguments of the model.
    n_channels, n_outputs, n_samples : size of a window, and number of outputs.
    rate_hz, layout : sampling rate and electrode layout, if known.

    Raises
    ------
    UnknownNameError : an unknown name or option.
    ConfigError : the model cannot be called with these arguments, or does not return a module.
    ShapeError : the model cannot take such windows, or its output has another shape.

    Examples
    --------
    >>> build_model("atzori", {"dropout": 0.1}, n_channels=10, n_outputs=53, n_samples=15)(torch.zeros(2, 10, 15)).shape
    torch.Size([2, 53])
    """
    module = make_module(model, options, n_channels, n_outputs, n_samples, rate_hz, layout)
    name, shape = _name(model), f"{n_channels} channels x {n_samples} samples"
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


def make_module(
    model: Any,
    options: Mapping[str, Any] | None,
    n_channels: int,
    n_outputs: int,
    n_samples: int,
    rate_hz: float | None = None,
    layout: Any = None,
) -> nn.Module:
    """Build the module of `build_model` without running it; parameters and errors as in `build_model`.

    >>> make_module("m5", None, n_channels=8, n_outputs=7, n_samples=50).head.out_features
    7
    """
    if not isinstance(model, str) and (isinstance(model, nn.Module) or not callable(model)):
        raise ConfigError(
            f"model must be a name, a class or a function that makes the network, got {type(model).__name__}; pass the "
            "class "
            "of the network, since an instance would carry its weights from fold to fold"
        )
    factory = MODELS[model] if isinstance(model, str) else model
    given: dict[str, Any] = {"n_channels": n_channels, "n_classes": n_outputs, "n_samples": n_samples}
    signature = inspect.signature(factory)
    extra = {"rate_hz": rate_hz, "layout": layout}
    given |= {k: v for k, v in extra.items() if k in signature.parameters and v is not None}
    given |= dict(options or {})
    if isinstance(model, str):
        module = MODELS.create(model, **given)
    else:
        try:
            signature.bind(**given)
        except TypeError as error:
            raise ConfigError(f"model {_name(model)} cannot be called with {', '.join(given)}: {error}") from error
        module = factory(**given)
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model {_name(model)} made a {type(module).__name__}, not a torch.nn.Module")
    return module


def _name(model: Any) -> str:
    return repr(model) if isinstance(model, str) else getattr(model, "__qualname__", repr(model))


def load_matching(module: nn.Module, pretrained: Any) -> list[str]:
    """Copy every entry that `module` has under the same name and shape; the rest, such as a new head, stays unchanged.

    Parameters
    ----------
    module : the module to fill.
    pretrained : the path of a saved estimator, or a state dictionary (name to tensor or array). Only the weights of a
        file are used.

    Returns
    -------
    The names that were copied.

    Raises
    ------
    DataError : the file does not exist or is damaged.
    ConfigError : no weight with two or more axes fits (a bias alone can fit by coincidence).

    Examples
    --------
    >>> old, new = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 5))
    >>> load_matching(new, old.state_dict())
    ['0.weight', '0.bias']
    """
    if isinstance(pretrained, (str, os.PathLike)):
        tensors, _ = checkpoint.read(pretrained, "network")
        pretrained = {k.removeprefix("network.1."): v for k, v in tensors.items() if k.startswith("network.1.")}
    if not isinstance(pretrained, Mapping):
        raise ConfigError(
            f"pretrained must be a saved file's path or a state dictionary, got {type(pretrained).__name__}; for "
            "a fitted estimator pass estimator.module_.state_dict()"
        )
    own = module.state_dict()
    given = {k: torch.as_tensor(v) for k, v in pretrained.items() if k in own}
    fits = {
        k: v
        for k, v in given.items()
        if own[k].shape == v.shape and own[k].is_floating_point() == v.is_floating_point()
    }
    if not any(name in fits for name, p in module.named_parameters() if p.ndim > 1):
        raise ConfigError(
            f"no weight in pretrained fits this model: it holds {', '.join(list(pretrained)[:5])} …, the model has "
            f"{', '.join(list(own)[:5])} …; is it the same architecture and channel count?"
        )
    module.load_state_dict(fits, strict=False)
    return list(fits)
