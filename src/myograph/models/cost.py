"""The cost of a network: parameters, multiply-accumulates, activation memory, and latency of one window.

`count("m5", 192, 20, 7)` returns the figures of one network as a dict. `table()` returns those of every network, for
its published input size or for one that you give.
"""

from __future__ import annotations

import copy
import functools
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from myograph.errors import ConfigError, ShapeError
from myograph.models import MODELS, USUAL


def parameters(model: nn.Module) -> int:
    """Return the number of weights, trainable or frozen; running statistics are not counted.

    >>> parameters(nn.Linear(8, 2))
    18
    """
    return sum(p.numel() for p in model.parameters())


def macs(model: nn.Module, n_channels: int, n_samples: int) -> int:
    """Return the multiply-accumulates of one window's forward pass (1, channel, time).

    Convolutions, linear layers, matrix products and attention are counted by torch's own counter on the meta device,
    where nothing is computed. LSTMs and GRUs are counted by formula: gates x hidden x (inputs + hidden) for each step,
    layer and direction. Biases, normalisations, activations and pools are not counted.

    >>> macs(nn.Sequential(nn.Flatten(), nn.Linear(8 * 50, 2)), n_channels=8, n_samples=50)
    800
    """
    from torch.utils.flop_counter import FlopCounterMode

    ghost, recurrent = _ghost(model)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        ghost(torch.empty(1, n_channels, n_samples, device="meta"))
    return counter.get_total_flops() // 2 + sum(recurrent)


def _ghost(model: nn.Module) -> tuple[nn.Module, list[int]]:
    """Return a copy of the model on the meta device, and a list to which its recurrent layers add their counts when
    called.

    The recurrent layers return empty results of the right shape, since on the meta device torch would run every step.
    """
    ghost, recurrent = copy.deepcopy(model).to("meta").eval(), []
    for layer in ghost.modules():
        if isinstance(layer, nn.RNNBase):
            layer.forward = functools.partial(_recurrent, layer, recurrent)
    return ghost, recurrent


def _recurrent(layer: nn.RNNBase, recurrent: list[int], x: torch.Tensor, state: Any = None) -> tuple[Any, Any]:
    gates, ways = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1), 2 if layer.bidirectional else 1
    # With a projection, the output and the recurrent input are the projected state.
    written = layer.proj_size or layer.hidden_size
    each = 0
    for i in range(layer.num_layers):
        read = layer.input_size if i == 0 else written * ways
        each += gates * layer.hidden_size * (read + written) + layer.hidden_size * layer.proj_size
    recurrent.append(x.shape[:-1].numel() * ways * each)
    batch = x.shape[0 if layer.batch_first else 1]
    hidden = x.new_empty(layer.num_layers * ways, batch, written)
    cell = x.new_empty(layer.num_layers * ways, batch, layer.hidden_size)
    return x.new_empty(*x.shape[:-1], written * ways), (hidden, cell) if layer.mode == "LSTM" else hidden


def activation_bytes(model: nn.Module, n_channels: int, n_samples: int) -> int:
    """Return the largest number of bytes that one layer of the network reads and writes for one float32 window.

    This is the largest sum of a leaf layer's inputs and outputs. A runtime that frees tensors as soon as possible needs
    this much memory besides the weights, plus the tensors that are kept for skip connections.

    >>> activation_bytes(nn.Sequential(nn.Flatten(), nn.Linear(8 * 50, 2)), n_channels=8, n_samples=50)
    3200
    """
    peak = 4 * n_channels * n_samples

    def size(tensors: Any) -> int:
        if isinstance(tensors, torch.Tensor):
            return tensors.numel() * tensors.element_size()
        return sum(map(size, tensors)) if isinstance(tensors, (tuple, list)) else 0

    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal peak
        peak = max(peak, size(inputs) + size(output))

    ghost, _ = _ghost(model)
    for layer in ghost.modules():
        if not list(layer.children()):
            layer.register_forward_hook(note)
    with torch.no_grad():
        ghost(torch.empty(1, n_channels, n_samples, device="meta"))
    return peak


def latency_ms(model: nn.Module, n_channels: int, n_samples: int, repeats: int = 50) -> float:
    """Return the median wall time, in ms, of one window through the network on its device, in eager mode without
    gradients.

    >>> latency_ms(nn.Sequential(nn.Flatten(), nn.Linear(8 * 50, 2)), n_channels=8, n_samples=50, repeats=3) > 0
    True
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    x = torch.zeros(1, n_channels, n_samples, device=device)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    times = []
    with _evaluating(model), torch.inference_mode():
        for _ in range(repeats + 5):
            wait()
            start = time.perf_counter()
            model(x)
            wait()
            times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[5:])


def count(
    model: str | nn.Module, n_channels: int, n_samples: int, n_classes: int = 7, latency: bool = True, **options: Any
) -> dict[str, Any]:
    """Return the figures of one network for one window.

    Parameters
    ----------
    model : a name in `MODELS`, built with `options`, or a network that takes (batch, n_channels, n_samples).
    n_channels, n_samples, n_classes : size of the window, and number of classes.
    latency : False skips the latency, the only figure that takes time to measure and depends on the machine.

    Returns
    -------
    dict of name, channels, samples, classes, parameters, macs, activation_bytes and, if requested, latency_ms.

    Raises
    ------
    UnknownNameError : an unknown model or option.
    ShapeError : a window that the network cannot take.
    ConfigError : options for a network that is already built.

    Examples
    --------
    >>> row = count("m5", n_channels=192, n_samples=20, latency=False)
    >>> row["parameters"], row["macs"]
    (2855, 239840)
    """
    if isinstance(model, str):
        sizes = {"n_channels": n_channels, "n_classes": n_classes, "n_samples": n_samples}
        name, network = model, MODELS.create(model, **sizes, **options)
    elif options:
        raise ConfigError(f"options {sorted(options)} are for a model given by name; this network is already built")
    else:
        name, network = type(model).__name__, model
    row = {
        "name": name,
        "channels": n_channels,
        "samples": n_samples,
        "classes": n_classes,
        "parameters": parameters(network),
        "macs": macs(network, n_channels, n_samples),
        "activation_bytes": activation_bytes(network, n_channels, n_samples),
    }
    return row | ({"latency_ms": latency_ms(network, n_channels, n_samples)} if latency else {})


def info(name: str, n_channels: int | None = None, n_samples: int | None = None, **more: Any) -> dict[str, Any]:
    """Return `count` of a registered model, with its description and its figures at its published size.

    Parameters
    ----------
    name : a name in `MODELS`.
    n_channels, n_samples : size of the window; a missing one is taken from the published size.
    more : further arguments of `count`.

    Returns
    -------
    The keys of `count`, and summary, source (of the family), and published (see `published`, or None).

    Raises
    ------
    UnknownNameError : an unknown model or option.
    ShapeError : a window that the network cannot take.

    Examples
    --------
    >>> row = info("m5", n_channels=64, latency=False)
    >>> row["samples"], row["published"]["channels"], row["published"]["macs"]
    (20, 192, 239840)
    """
    return _described(name, n_channels, n_samples, **more) | {"published": published(name)}


def _described(name: str, n_channels: int | None, n_samples: int | None, **more: Any) -> dict[str, Any]:
    factory = MODELS[name]
    size = MODELS.published(name) or USUAL
    if n_channels is None and n_samples is None:
        more = {**size.options, **more}
    more.setdefault("n_classes", size.classes)
    n_channels = size.channels if n_channels is None else n_channels
    row = count(name, n_channels, size.samples if n_samples is None else n_samples, **more)
    return row | _description(factory)


@functools.cache
def published(name: str) -> dict[str, Any] | None:
    """Return the cost of a model at its published size, and what its source states; None without a published size.

    Returns
    -------
    dict of channels, samples, classes, parameters and macs (counted here), stated_parameters (by the source, or None),
    source and note.

    Examples
    --------
    >>> row = published("muscle_cnn")
    >>> row["channels"], row["samples"], row["parameters"], row["stated_parameters"]
    (1, 500, 26111, 26111)
    """
    size = MODELS.published(name)
    if size is None:
        return None
    row = count(name, size.channels, size.samples, size.classes, latency=False, **size.options)
    kept = {k: row[k] for k in ("channels", "samples", "classes", "parameters", "macs")}
    return kept | {"stated_parameters": size.parameters, "source": size.source, "note": size.note}


def table(
    names: Iterable[str] | None = None,
    n_channels: int | None = None,
    n_samples: int | None = None,
    n_classes: int | None = None,
    latency: bool = False,
    at_published_size: bool = True,
) -> list[dict[str, Any]]:
    """Return one row per network, as `info` returns it, in the order of their names.

    Parameters
    ----------
    names : names of networks; None takes all.
    n_channels, n_samples, n_classes : as for `info`.
    latency : whether to measure the latency.
    at_published_size : whether to add the key `published`, which doubles the time.

    Returns
    -------
    list of dicts. A network that cannot take the window has None for its figures and the error's text under `why`.

    Examples
    --------
    >>> rows = table(["m5", "zhai"], n_channels=8, n_samples=50, at_published_size=False)
    >>> [row["parameters"] for row in rows]
    [2855, None]
    """
    rows: list[dict[str, Any]] = []
    for name in MODELS if names is None else names:
        more = {} if n_classes is None else {"n_classes": n_classes}
        try:
            row = _described(name, n_channels, n_samples, latency=latency, **more)
        except ShapeError as error:
            figures = dict.fromkeys(("parameters", "macs", "activation_bytes"))
            row = {"name": name, "channels": n_channels, "samples": n_samples, **figures, "why": str(error)}
            row |= _description(MODELS[name])
        rows.append(row | ({"published": published(name)} if at_published_size else {}))
    return rows


def _description(factory: Any) -> dict[str, str]:
    summary = (factory.__doc__ or "").strip().partition("\n")[0]
    return {"summary": summary, "source": (sys.modules[factory.__module__].__doc__ or "").strip().partition("\n\n")[0]}


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)
