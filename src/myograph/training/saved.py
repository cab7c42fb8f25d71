"""Writing fitted networks to files and reading them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from myograph._common.origin import UNKNOWN, checked_origin
from myograph.errors import ConfigError, DataError, MyographError
from myograph.recording import Layout
from myograph.training import checkpoint
from myograph.training.batches import Normalise, pick_device
from myograph.training.build import make_module
from myograph.training.loop import channels_last, seeded
from myograph.training.values import Yours, decode, encode

if TYPE_CHECKING:
    from myograph.training._base import NeuralEstimator

    E = TypeVar("E", bound=NeuralEstimator)

_FITTED: dict[str, tuple[type, ...]] = {
    "n_channels_": (int,),
    "n_samples_": (int,),
    "rate_hz_": (int, float, type(None)),
    "units_": (tuple,),
    "layout_": (Layout, type(None)),
    "best_epoch_": (int,),
    "_rows": (list,),
    "trained_on_": (dict,),
    "classes_": (np.ndarray,),
    "flat_targets_": (bool,),
    "target_mean_": (np.ndarray,),
    "target_scale_": (np.ndarray,),
}

_LACKING = {"units_": encode(()), "trained_on_": encode({})}  # attributes that files of version 0.1.0 lack


def save(estimator: NeuralEstimator, path: str | os.PathLike[str]) -> Path:
    """Write a fitted estimator; see `NeuralClassifier.save`.

    >>> from myograph.training import NeuralClassifier
    >>> x = np.zeros((4, 4, 64), np.float32)
    >>> network = NeuralClassifier("m5", epochs=1, device="cpu").fit(x, np.array([0, 1, 0, 1]))
    >>> import tempfile
    >>> path = network.save(Path(tempfile.mkdtemp()) / "network.safetensors")
    >>> load(NeuralClassifier, path, "cpu", {}).classes_.tolist()
    [0, 1]
    """
    tensors = {f"network.{k}": v for k, v in estimator.network_.state_dict().items()}
    params = estimator.get_params(deep=False) | {"checkpoint": None}  # belongs to a run, not to its result
    if isinstance(params.get("pretrained"), Mapping):
        params["pretrained"] = None  # its weights are already part of this network
    values = {
        "class": type(estimator).__name__,
        "params": {k: encode(v, k) for k, v in params.items()},
        "fitted": {k: encode(getattr(estimator, k), k) for k in estimator._fitted()},
    }
    return checkpoint.write(path, "network", tensors, values)


def load(cls: type[E], path: str | os.PathLike[str], device: str, yours: Mapping[str, Any]) -> E:
    """Return the estimator of a file; see `NeuralClassifier.load`.

    >>> from myograph.training import NeuralClassifier
    >>> load(NeuralClassifier, "missing.safetensors", "cpu", {})
    Traceback (most recent call last):
    myograph.errors.DataError: there is no file missing.safetensors; save one with save(path), or correct the path
    """
    tensors, values = checkpoint.read(path, "network")
    if values.get("class") != cls.__name__:
        raise ConfigError(f"{path} holds a {values.get('class')}, not a {cls.__name__}; use {values.get('class')}.load")
    known = cls().get_params(deep=False)
    if unknown := [name for name in yours if name not in known]:
        raise ConfigError(f"{cls.__name__} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")
    try:
        new = cls(**(_params(values["params"], yours) | {"checkpoint": None, "device": device}))
        for name in new._fitted():
            stored = values["fitted"].get(name, _LACKING.get(name)) if name in _LACKING else values["fitted"][name]
            setattr(new, name, _fitted(name, stored))
        _fill(new, {k.removeprefix("network."): v for k, v in tensors.items()}, pick_device(device))
    except MyographError as error:
        raise type(error)(f"cannot load {path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError, IndexError) as error:
        raise DataError(f"{path} was not written by {cls.__name__}.save ({error}); save the network again") from error
    return new


def origin_of_weights(pretrained: Any) -> dict[str, Any]:
    """Return which data the initial weights of a network were fitted on, if their file records it; otherwise {}.

    Parameters
    ----------
    pretrained : the path of a saved network, a state dictionary, or None.

    Raises
    ------
    DataError : the file does not exist or is damaged.

    >>> origin_of_weights(None), origin_of_weights({"head.bias": torch.zeros(2)})["windows"]
    ({}, 0)
    """
    if pretrained is None:
        return {}
    unknown: dict[str, Any] = {"data": [UNKNOWN], "people": [], "sessions": 0, "windows": 0}
    if not isinstance(pretrained, (str, os.PathLike)):
        return unknown
    _, values = checkpoint.read(pretrained, "network")
    try:
        return checked_origin(decode(values["fitted"]["trained_on_"])) or unknown
    except (KeyError, TypeError, ValueError):
        return unknown


def _params(stored: Mapping[str, Any], yours: Mapping[str, Any]) -> dict[str, Any]:
    params = dict(yours)
    for name, value in stored.items():
        if name in yours:
            continue
        try:
            params[name] = decode(value)
        except Yours as error:
            short = error.name.rpartition(":")[2]
            raise DataError(
                f"its {name} is {error.name!r}, which is not part of myograph; names in a file are never imported, so "
                f"pass the object yourself: load(path, {name}={short})"
            ) from error
    return params


def _fitted(name: str, stored: Any) -> Any:
    value = decode(stored)
    if not isinstance(value, _FITTED[name]):
        raise DataError(
            f"{name} is of type {type(value).__name__}; expected {' or '.join(t.__name__ for t in _FITTED[name])}"
        )
    if name in ("n_channels_", "n_samples_") and value < 1:
        raise DataError(f"{name} is {value}; expected at least 1")
    if name == "units_" and not all(isinstance(unit, str) for unit in value):
        raise DataError(f"units_ is {value!r}; expected names of units")
    if name == "trained_on_":
        return checked_origin(value)
    if name == "_rows" and not all(isinstance(row, dict) for row in value):
        raise DataError("the history does not hold one dictionary per epoch")
    return value


def _fill(new: NeuralEstimator, weights: Mapping[str, torch.Tensor], place: torch.device) -> None:
    """Build the network of the estimator and copy the weights.

    The network is first built on torch's "meta" device, which takes no memory, so that sizes that do not match the file's
    weights are refused early. A user's model whose constructor needs real tensors is compared after it is built.
    """
    expected = None
    computes = () if isinstance(new.model, str) else (NotImplementedError, RuntimeError, TypeError)
    with contextlib.suppress(*computes), torch.device("meta"):
        expected = new._make_network(make_module).state_dict()
    if expected is not None:
        _compare(expected, weights)
    with seeded(new.seed, torch.device("cpu")):
        network = new._make_network(make_module)
    _compare(network.state_dict(), weights)
    network.load_state_dict(dict(weights))
    normalise, module = network
    assert isinstance(normalise, Normalise)
    new.normalise_ = normalise.to(place).eval()
    new.module_ = channels_last(module).to(place).eval()


def _compare(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> None:
    if expected.keys() != found.keys():
        different = sorted(expected.keys() ^ found.keys())
        raise DataError(
            f"the file's weights and the model's differ in name: {', '.join(different[:4])}; is it the same model?"
        )
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape or tensor.dtype != found[name].dtype:
            raise DataError(
                f"{name} is {tuple(found[name].shape)} of {found[name].dtype} in the file and {tuple(tensor.shape)} of "
                f"{tensor.dtype} in the model; is it the same model, with the same options?"
            )
