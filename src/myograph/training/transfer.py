"""Transfer learning: layer-wise pretraining, fine-tuning, embeddings, and batch norm statistics of the target.

A new head on a pretrained body needs no separate function: `NeuralClassifier(pretrained=path, layers={...})` copies all
weights that fit and initialises the rest. `layers` freezes layers or sets their learning rates.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from myograph._common.origin import joined_origin, origin_of
from myograph.errors import ConfigError, ShapeError
from myograph.training.batches import Batches, as_source, gather
from myograph.training.loop import Trainer
from myograph.training.objectives import Objective
from myograph.training.plan import Plan
from myograph.windows import Windows

_CONV = (nn.Conv1d, nn.Conv2d)
_TRANSPOSED = {nn.Conv1d: nn.ConvTranspose1d, nn.Conv2d: nn.ConvTranspose2d}
_MAX_POOL = {nn.Conv1d: nn.functional.max_pool1d, nn.Conv2d: nn.functional.max_pool2d}


# Greedy layer-wise autoencoders


@dataclass(frozen=True)
class LayerwiseAutoencoder:
    """Pretrain convolutions one after another, each as the encoder of an autoencoder that reconstructs the layer's
    input.

    Encoder: the convolution, leaky ReLU, max pooling. Decoder: a transposed convolution with the same kernel, whose
    stride undoes the pooling, and leaky ReLU. The input is that of the layer in the network, with the earlier
    layers frozen and dropout off. The trained weights remain in the network.
    `NeuralClassifier(pretrain=LayerwiseAutoencoder(), layers={"conv1": 0})` then freezes the first convolution;
    without `layers`, pretraining is only an initialisation.

    Source: Velasquez Rendon et al. 2023 (hybrid CNN-LSTM for muscle classification), which has two such autoencoders.
    The loss (mean squared error), Adam at 1e-3 and the number of epochs are our choice.

    Parameters
    ----------
    layers : names of the convolutions in the module, in order; None takes all, in the order in which they run.
    epochs, lr, batch_size : for each autoencoder.
    pool : size of the max pooling, on every axis longer than that; 1 for none.
    negative_slope : slope of the leaky ReLUs.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 8, 2))
    >>> x = np.random.default_rng(0).normal(size=(8, 2, 10)).astype(np.float32)
    >>> batches = Batches(x, np.arange(8), None, nn.Identity(), torch.device("cpu"))
    >>> histories = LayerwiseAutoencoder(epochs=2)(net, batches, seed=0)
    >>> {name: len(rows) for name, rows in histories.items()}
    {'0': 2}
    """

    layers: Sequence[str] | None = None
    epochs: int = 20
    lr: float = 1e-3
    batch_size: int = 256
    pool: int = 2
    negative_slope: float = 0.3

    def __call__(self, module: nn.Module, batches: Batches, seed: int) -> dict[str, list[dict[str, Any]]]:
        """Train the module's convolutions in place on the batches' windows; return the history of each layer."""
        names = list(self.layers) if self.layers is not None else convolutions(module, batches)
        found = dict(module.named_modules())
        if wrong := [n for n in names if not isinstance(found.get(n), _CONV)]:
            known = ", ".join(n for n, m in found.items() if isinstance(m, _CONV)) or "none"
            raise ConfigError(f"{wrong} in layers are not convolutions of this network; its convolutions are {known}")
        if not names:
            raise ConfigError("this network has no convolution to pretrain; leave out pretrain")
        frozen = [p for p in module.parameters() if not p.requires_grad]
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            optimizer="adam",
            schedule="constant",
            weight_decay=0.0,
            seed=seed,
        )
        histories = {}
        for name in names:
            inputs = _Inputs(module, name, batches)
            example = next(inputs.take([torch.arange(min(2, len(batches)))]))[0]
            coder = _Autoencoder(found[name], example, self.pool, self.negative_slope).to(batches.device)
            trainer = Trainer(coder, plan, _Reconstruction(), batches.device)
            for _ in trainer.run(inputs):
                pass
            histories[name] = trainer.history
        for parameter in module.parameters():
            parameter.requires_grad_(True)
            parameter.grad = None
        for parameter in frozen:
            parameter.requires_grad_(False)
        return histories


def convolutions(module: nn.Module, batches: Batches) -> list[str]:
    """Return the names of a module's convolutions, in the order in which they run on one batch.

    >>> net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Conv1d(3, 4, 3))
    >>> batches = Batches(np.zeros((2, 2, 10)), np.arange(2), None, nn.Identity(), torch.device("cpu"))
    >>> convolutions(net, batches)
    ['0', '2']
    """
    order: list[str] = []
    hooks = [
        m.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, m in module.named_modules()
        if isinstance(m, _CONV)
    ]
    x, _ = next(batches.take([torch.arange(min(2, len(batches)))]))
    training = module.training
    with torch.no_grad():
        module.eval()(x)
    module.train(training)
    for hook in hooks:
        hook.remove()
    return list(dict.fromkeys(order))


class _Stop(Exception):
    """Raised by a hook to leave a forward pass early."""


class _Inputs(Batches):
    """Batches whose x and target are both the input of one layer of a network."""

    def __init__(self, module: nn.Module, layer: str, batches: Batches):
        self.module, self.layer, self.batches = module, dict(module.named_modules())[layer], batches
        self.device = batches.device

    def __len__(self) -> int:
        return len(self.batches)

    def take(self, parts: list[torch.Tensor]) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        for x, _ in self.batches.take(parts):
            h = self._input_of(x)
            yield h, h

    def _input_of(self, x: torch.Tensor) -> torch.Tensor:
        caught: list[torch.Tensor] = []

        def catch(_: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            caught.append(args[0])
            raise _Stop

        hook = self.layer.register_forward_pre_hook(catch)
        training = self.module.training
        self.module.eval()
        try:
            with torch.no_grad():
                self.module(x)
        except _Stop:
            pass
        finally:
            hook.remove()
            self.module.train(training)
        if not caught:
            raise ConfigError(f"{self.layer} does not run in the forward pass, so it cannot be pretrained")
        return caught[0]


class _Autoencoder(nn.Module):
    def __init__(self, conv: Any, example: torch.Tensor, pool: int, negative_slope: float):
        super().__init__()
        kind = next(k for k in _CONV if isinstance(conv, k))
        self.encoder, self.slope, self.max_pool = conv, negative_slope, _MAX_POOL[kind]
        with torch.no_grad():
            size = conv(example).shape[2:]
        self.pool = tuple(pool if n >= pool else 1 for n in size)
        stride, padding, extra = [], [], []
        for n, p, before, kernel, step in zip(size, self.pool, example.shape[2:], conv.kernel_size, conv.stride):
            s, latent = p * step, n // p
            reached = (latent - 1) * s + kernel
            pad = max(0, math.ceil((reached - before) / 2))
            stride.append(s)
            padding.append(pad)
            extra.append(max(0, min(before - reached + 2 * pad, s - 1)))
        self.decoder = _TRANSPOSED[kind](
            conv.out_channels,
            conv.in_channels,
            conv.kernel_size,
            stride=tuple(stride),
            padding=tuple(padding),
            output_padding=tuple(extra),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        latent = self.max_pool(nn.functional.leaky_relu(self.encoder(x), self.slope), self.pool)
        return nn.functional.leaky_relu(self.decoder(latent), self.slope)


class _Reconstruction(Objective):
    """Mean squared error over the part that the decoder reconstructs; pooling drops samples that do not fill a pool."""

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(output, target[tuple(slice(n) for n in output.shape)])


# Fine-tuning


def layerwise_lr(module: nn.Module, decay: float = 0.5, freeze: int = 0) -> dict[str, float]:
    """Return `layers` for fine-tuning: the last layer has the full learning rate, and each earlier layer `decay` times the
    rate of the next one.

    Parameters
    ----------
    module : the network. A layer is a module with its own parameters.
    decay : factor from one layer to the one before.
    freeze : number of first layers to freeze.

    >>> layerwise_lr(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)), decay=0.5, freeze=1)
    {'0': 0.0, '1': 0.5, '2': 1.0}
    """
    names = [n for n, m in module.named_modules() if n and any(True for _ in m.parameters(recurse=False))]
    if not 0 <= freeze < len(names):
        raise ConfigError(
            f"freeze must be between 0 and {len(names) - 1} of this network's {len(names)} layers, got {freeze}"
        )
    return {n: 0.0 if i < freeze else decay ** (len(names) - 1 - i) for i, n in enumerate(names)}


def fine_tune(fitted: Any, X: Any, y: Any = None, groups: Any = None, **changes: Any) -> Any:
    """Return a new estimator that starts from the weights of a fitted one and is trained on other windows.

    Parameters
    ----------
    fitted : a fitted NeuralClassifier or NeuralRegressor; it is not changed.
    X, y, groups : as for `fit`. If the labels differ from those of `fitted`, the network gets a new head.
        Normalisation is learnt again.
    changes : parameters to change, such as `epochs=10, lr=1e-4, layers={"conv1": 0}` or `layers=layerwise_lr(...)`.

    Raises
    ------
    ConfigError : `fitted` is not a fitted network.

    Examples
    --------
    >>> from myograph.training import NeuralClassifier
    >>> x = np.random.default_rng(0).normal(size=(8, 4, 64)).astype(np.float32)
    >>> network = NeuralClassifier("m5", epochs=1, device="cpu").fit(x, np.arange(8) % 2)
    >>> fine_tune(network, x, np.arange(8) % 3, epochs=1).classes_.tolist()
    [0, 1, 2]
    """
    _need_network(fitted, "fine_tune")
    state = {k: v.detach().cpu().clone() for k, v in fitted.module_.state_dict().items()}
    tuned = cast(Any, clone(fitted)).set_params(
        **{"pretrain": None, "checkpoint": None, "pretrained": state, **changes}
    )
    tuned.fit(X, y, groups)
    tuned.trained_on_ = joined_origin(fitted.trained_on_, origin_of(as_source(X)))
    return tuned


def last_layer(fitted: Any, X: Any) -> str:
    """Return the name of the linear or convolutional layer that a fitted network runs last.

    X : one or more windows.

    >>> from myograph.training import NeuralClassifier
    >>> x = np.random.default_rng(0).normal(size=(8, 4, 64)).astype(np.float32)
    >>> options = {"bands": 1, "combinations": 2, "hidden": 4}
    >>> last_layer(NeuralClassifier("myonet", options, epochs=1, device="cpu").fit(x, np.arange(8) % 2), x)
    'head'
    """
    _need_network(fitted, "last_layer")
    order: list[str] = []
    layers = {n: m for n, m in fitted.module_.named_modules() if isinstance(m, (nn.Linear, *_CONV))}
    hooks = [m.register_forward_hook(lambda *_, name=name: order.append(name)) for name, m in layers.items()]
    try:
        fitted._outputs(as_source(X)[:1])
    finally:
        for hook in hooks:
            hook.remove()
    if not order:
        raise ConfigError(f"model {fitted.model!r} has no linear or convolutional layer")
    return order[-1]


def embeddings(fitted: Any, X: Any) -> np.ndarray:
    """Return the (window, unit) input of the last layer of a fitted network, with several axes flattened.

    Raises
    ------
    ConfigError : the network is not fitted, or has no such layer.

    >>> from myograph.training import NeuralClassifier
    >>> x = np.random.default_rng(0).normal(size=(8, 4, 64)).astype(np.float32)
    >>> options = {"bands": 1, "combinations": 2, "hidden": 4}
    >>> embeddings(NeuralClassifier("myonet", options, epochs=1, device="cpu").fit(x, np.arange(8) % 2), x).shape
    (8, 4)
    """
    name = last_layer(fitted, X)
    layer = fitted.module_.get_submodule(name)
    caught: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, args: caught.append(args[0].flatten(1).double().cpu()))
    try:
        fitted._outputs(X)
    finally:
        hook.remove()
    return torch.cat(caught).numpy()


def train_last_layer(fitted: Any, X: Any, y: Any, epochs: int = 20, lr: float | None = None) -> Any:
    """Return a copy of a fitted classifier whose last layer is trained further on other windows.

    The other weights and the statistics of batch norm stay as they are; augmentation and dropout after the last frozen layer
    are those of training.

    Parameters
    ----------
    fitted : a fitted NeuralClassifier; it is not changed.
    X, y : windows and labels; all labels must be among the classes of `fitted`, which the copy keeps.
    epochs : passes over the windows.
    lr : learning rate, constant; None takes that of `fitted`.

    Raises
    ------
    ConfigError : the network is not fitted, or an invalid number of epochs.

    >>> from myograph.training import NeuralClassifier
    >>> x = np.random.default_rng(0).normal(size=(8, 4, 64)).astype(np.float32)
    >>> network = NeuralClassifier("m5", epochs=1, device="cpu").fit(x, np.arange(8) % 2)
    >>> tuned = train_last_layer(network, 3 * x, np.arange(8) % 2, epochs=1)
    >>> changed = [n for n, p in tuned.module_.named_parameters() if (p != network.module_.get_parameter(n)).any()]
    >>> {name.rpartition(".")[0] for name in changed} == {last_layer(network, x)}
    True
    """
    if not isinstance(epochs, (int, np.integer)) or epochs < 1:
        raise ConfigError(f"epochs must be a whole number of at least 1, got {epochs!r}")
    head = last_layer(fitted, X)
    tuned = copy.deepcopy(fitted)
    frozen = {n: 0.0 for n, _ in tuned.module_.named_parameters() if n.rpartition(".")[0] != head}
    tuned.set_params(layers=frozen or None, lr=fitted.lr if lr is None else lr, checkpoint=None)
    tuned.__dict__.pop("_trainer", None)
    for _ in range(epochs):
        tuned.partial_fit(X, y)
    tuned.__dict__.pop("_trainer")  # a later partial_fit trains all layers again
    return tuned.set_params(layers=fitted.layers, lr=fitted.lr, checkpoint=fitted.checkpoint)


def _need_network(fitted: Any, asker: str) -> None:
    if hasattr(fitted, "module_"):
        return
    advice = "give the pipeline's last step" if hasattr(fitted, "steps") else "fit it"
    raise ConfigError(
        f"{asker} needs a fitted NeuralClassifier or NeuralRegressor, got {type(fitted).__name__}; {advice}"
    )


def progressive(windows: Windows, counts: Sequence[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (k, rows) for k in `counts` (by default 1, 2, ... all), with the rows of the first k repetitions of each subject
    and session.

    For learning curves on a target: `for k, rows in progressive(target): fine_tune(source, target[rows])`.

    >>> from myograph.testing import make_windows
    >>> [(k, len(rows)) for k, rows in progressive(make_windows(n_repetitions=3))]
    [(1, 14), (2, 28), (3, 42)]
    """
    table = windows.table
    groups = table.groupby(["subject", "session"], sort=False, observed=True)["repetition"]
    rank = groups.rank("dense").to_numpy().astype(int)
    most = int(rank.max())
    for k in range(1, most + 1) if counts is None else counts:
        if not 1 <= k <= most:
            raise ConfigError(f"counts must be between 1 and {most}, the number of repetitions, got {k}")
        yield k, np.flatnonzero(rank <= k)


# Adapted batch norm


def adapt_batch_norm(fitted: Any, X: Any, batch_size: int = 4096) -> Any:
    """Return a copy of a fitted estimator with the batch norm statistics of the given unlabelled windows.

    All given windows are used together. If the same windows are then scored, the result is transductive; to stay causal,
    give the target's calibration windows. Source: Li et al. 2016, arXiv:1603.04779.

    Raises
    ------
    ConfigError : the network has no batch norm, or is not fitted.

    Examples
    --------
    >>> from myograph.training import NeuralClassifier
    >>> x = np.random.default_rng(0).normal(size=(8, 4, 50)).astype(np.float32)
    >>> options = {"bands": 1, "combinations": 2, "hidden": 4}
    >>> network = NeuralClassifier("myonet", options, epochs=1, device="cpu").fit(x, np.arange(8) % 2)
    >>> adapted = adapt_batch_norm(network, 3 * x)
    >>> bool(torch.equal(adapted.module_.mlp[0].running_mean, network.module_.mlp[0].running_mean))
    False
    """
    _need_network(fitted, "adapt_batch_norm")
    adapted = copy.deepcopy(fitted)
    norms = [m for m in adapted.module_.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    norms = [m for m in norms if m.track_running_stats]
    if not norms:
        raise ConfigError(f"model {fitted.model!r} has no batch norm, so there are no statistics to adapt")
    source = as_source(X)
    adapted._check_windows(source)
    if len(source) < 2:
        raise ShapeError("statistics need at least two windows")
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # an unweighted mean over batches
        m.train()
    device = adapted.normalise_.mean.device
    # Batches of nearly equal size, so that all windows have the same weight in that mean.
    edges = np.linspace(0, len(source), math.ceil(len(source) / batch_size) + 1).astype(int)
    with torch.no_grad():
        for first, last in itertools.pairwise(edges):
            x = torch.from_numpy(gather(source, slice(first, last))).to(device)
            adapted.module_(adapted.normalise_(x))
    for m, momentum in zip(norms, momenta):
        m.momentum = momentum
    adapted.module_.eval()
    return adapted
