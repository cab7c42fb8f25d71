"""The training loop of every network.

It does not subclass `skorch.NeuralNet` for three reasons. skorch copies the loss of each batch from the device to the
host. It fetches items individually through a DataLoader. Its checkpoints are pickles without the states of the random
generators and the averaged weights, so a resumed run would not give the weights of an uninterrupted run.
"""

from __future__ import annotations

import contextlib
import copy
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import nn

from myograph.errors import ConfigError
from myograph.training.batches import Batches
from myograph.training.graphed import Graphed, graphable
from myograph.training.objectives import Objective
from myograph.training.plan import Plan, lr_factor, make_optimizer

_drawing = threading.RLock()


def uniform_order(n: int) -> Callable[[torch.Generator], torch.Tensor]:
    """Return f(generator) -> a random permutation of range(n).

    >>> sorted(uniform_order(3)(torch.Generator().manual_seed(0)).tolist())
    [0, 1, 2]
    """
    return lambda generator: torch.randperm(n, generator=generator)


def balanced_order(codes: torch.Tensor) -> Callable[[torch.Generator], torch.Tensor]:
    """Return f(generator) -> len(codes) rows, drawn with replacement so that every class is equally likely.

    >>> codes = torch.tensor([0] * 99 + [1])
    >>> drawn = balanced_order(codes)(torch.Generator().manual_seed(0))
    >>> 30 < int(codes[drawn].sum()) < 70
    True
    """
    codes = codes.cpu()
    rows = [torch.nonzero(codes == c).flatten() for c in codes.unique()]

    def order(generator: torch.Generator) -> torch.Tensor:
        which = torch.randint(len(rows), (len(codes),), generator=generator)
        drawn = torch.empty(len(codes), dtype=torch.long)
        for c, members in enumerate(rows):
            here = torch.nonzero(which == c).flatten()
            drawn[here] = members[torch.randint(len(members), (len(here),), generator=generator)]
        return drawn

    return order


def batches_of(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Split into consecutive parts of at most `size`; a last part of one row joins the previous part (batch norm needs
    two).

    >>> [part.tolist() for part in batches_of(torch.arange(5), 2)]
    [[0, 1], [2, 3, 4]]
    """
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's own generators (initialisation, dropout) with `seed` inside the context, and restore them on exit.

    The generators belong to the whole process, so a lock admits one thread at a time.

    >>> with seeded(0, torch.device("cpu")):
    ...     first = torch.rand(1)
    >>> with seeded(0, torch.device("cpu")):
    ...     print(bool(torch.rand(1) == first))
    True
    """
    devices = [device.index or 0] if device.type == "cuda" else []
    with _drawing, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def training_settings() -> Iterator[None]:
    """Treat denormal numbers as 0 on this thread inside the context.

    Gradients through hundreds of LSTM steps underflow, and some processors multiply denormal numbers many times more
    slowly. The flag belongs to the thread; new threads inherit it, and the backward pass of a CPU graph runs on the
    caller's thread.

    >>> tiny = torch.ones(1) * 1e-30
    >>> with training_settings():
    ...     print((tiny * 1e-10).item())
    0.0
    """
    flushed = torch.ones(1).mul_(1e-30).mul_(1e-10).item() == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)


def channels_last(module: nn.Module) -> nn.Module:
    """Set 2-D convolutions to channels-last memory, which is 1.4 to 2.4 times faster on a CPU; return the same module.

    >>> channels_last(nn.Conv2d(1, 2, 3)).weight.is_contiguous(memory_format=torch.channels_last)
    True
    """
    if any(isinstance(m, nn.Conv2d) for m in module.modules()):
        cast(Any, module).to(memory_format=torch.channels_last)
    return module


def _with_targets(batches: Batches, parts: list[torch.Tensor]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for x, target in batches.take(parts):
        if target is None:
            raise ConfigError("training needs a target for each window, but these batches have none; give targets")
        yield x, target


_PROGRESS: dict[str, tuple[type, ...]] = {
    "epoch": (int,),
    "step": (int,),
    "plateau": (float, int),
    "best": (float, int),
    "best_epoch": (int,),
    "stopped": (bool,),
    "history": (list,),
}


class Trainer:
    """Train a module. `for row in trainer.run(train, valid): ...` yields one history row per epoch.

    The caller shows progress, writes checkpoints, or stops early by leaving the loop. Afterwards `trainer.result()` is
    the trained module. `state()` holds everything that determines the next step.

    Parameters
    ----------
    module : the network.
    plan : how to train.
    objective : the loss.
    device : where to train.
    augment : f(x, target, generator) -> (x, target) on whole batches on the device, or None.
    order : f(generator) -> positions of one epoch; by default a permutation.
    accelerator : an `accelerate.Accelerator` if several processes train together; each takes its part of every batch.

    Examples
    --------
    >>> import numpy as np
    >>> x, cpu = np.random.default_rng(0).normal(size=(32, 1, 4)).astype(np.float32), torch.device("cpu")
    >>> batches = Batches(x, np.arange(32), torch.from_numpy(x[:, 0, :1]), nn.Identity(), cpu)
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    >>> trainer = Trainer(network, Plan(epochs=2, batch_size=8), Objective(), cpu)
    >>> [row["epoch"] for row in trainer.run(batches)]
    [1, 2]
    >>> trainer.result().training, list(trainer.evaluate(batches))
    (False, ['loss'])
    >>> tensors, values = trainer.state()
    >>> trainer.restore(tensors, values)
    >>> values["epoch"]
    2
    """

    def __init__(
        self,
        module: nn.Module,
        plan: Plan,
        objective: Objective,
        device: torch.device,
        augment: Callable[..., Any] | None = None,
        order: Callable[[torch.Generator], torch.Tensor] | None = None,
        accelerator: Any = None,
    ):
        self.plan, self.objective, self.device, self.augment, self.order = plan, objective, device, augment, order
        self.module = module.to(device)
        self.optimizer = make_optimizer(module, plan)
        self.averaged = copy.deepcopy(module) if plan.ema else None
        self.accelerator: Any = accelerator
        self.wrapped = Graphed(module) if accelerator is None and graphable(module, device) else module
        if accelerator is not None:
            self.wrapped, self.optimizer = accelerator.prepare(module, self.optimizer)
        self.shuffling = torch.Generator().manual_seed(plan.seed)
        self.noise = torch.Generator(device).manual_seed(plan.seed + 1)
        self.autocast = plan.precision == "bf16" or (plan.precision == "auto" and device.type == "cuda")
        self.epoch, self.step, self.plateau = 0, 0, 1.0
        self.best, self.best_epoch, self.best_state = math.inf, -1, None
        self.stopped = False
        self.history: list[dict[str, Any]] = []

    def run(self, train: Batches, valid: Batches | None = None) -> Iterator[dict[str, Any]]:
        """Train, and yield one history row per epoch.

        Raises
        ------
        ConfigError : the loss became NaN, or a batch has too few windows for batch norm.
        """
        plan = self.plan
        order = self.order or uniform_order(len(train))
        while self.epoch < plan.epochs and not self.stopped:
            started = time.perf_counter()
            row: dict[str, Any] = {"epoch": self.epoch + 1}
            row |= self._train_epoch(train, order)
            if math.isnan(row["train_loss"]):
                raise ConfigError(
                    f"training diverged: the train loss of epoch {self.epoch + 1} is NaN; use a lower lr (now {plan.lr:g}), "
                    "a clip_norm, or a normalise that scales the windows to about unit variance"
                )
            self.epoch += 1
            if valid is not None:
                row |= {f"valid_{k}": v for k, v in self.evaluate(valid).items()}
            row |= {"lr": self.optimizer.param_groups[0]["lr"], "seconds": time.perf_counter() - started}
            self.history.append(row)
            self._judge(row, valid is not None)
            yield row

    def _train_epoch(self, train: Batches, order: Callable[[torch.Generator], torch.Tensor]) -> dict[str, float]:
        plan = self.plan
        self._train_mode()
        n = len(train)
        positions = order(self.shuffling)
        if plan.augment_copies:
            # Position p + k * n is the k-th augmented copy of row p; the first n stay as they are.
            extra = [order(self.shuffling) + n * (k + 1) for k in range(plan.augment_copies)]
            positions = torch.cat([positions, *extra])
            positions = positions[torch.randperm(len(positions), generator=self.shuffling)]
        parts = batches_of(positions, plan.batch_size)
        shares = self._shares(parts)
        loss_sum = torch.zeros((), device=self.device)
        correct: Any = 0.0
        steps = plan.epochs * len(parts)
        done = self.epoch * len(parts)
        for i, (x, target) in enumerate(_with_targets(train, [p % n for p in shares])):
            if self.augment is not None:
                x, target = self._augmented(x, target, shares[i] >= n if plan.augment_copies else None)
            factor = self.plateau * lr_factor(plan, self.epoch, (done + i) / steps)
            for group in self.optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
                try:
                    output = self.wrapped(x)
                except ValueError as error:
                    if len(x) > 1 or "more than 1 value per channel" not in str(error):
                        raise
                    raise ConfigError(
                        "batch norm cannot train on a batch of one window; give at least two windows and a batch_size of at least 2"
                    ) from error
                loss = self.objective.loss(output, target)
            self.optimizer.zero_grad(set_to_none=True)
            if self.accelerator is None:
                loss.backward()
            else:
                # Gradients are averaged over processes, whose parts of a batch may differ by one row.
                world = self.accelerator.num_processes
                self.accelerator.backward(loss * (len(x) * world / len(parts[i])))
            if plan.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.module.parameters(), plan.clip_norm)
            self.optimizer.step()
            self.step += 1
            self._average()
            with torch.no_grad():
                loss_sum += loss.detach() * len(x)
                correct = correct + self.objective.correct(output, target)
        return self._means("train_", loss_sum, correct, sum(map(len, shares)))

    def _augmented(self, x: torch.Tensor, target: Any, copies: torch.Tensor | None) -> tuple[torch.Tensor, Any]:
        assert self.augment is not None
        if copies is None:
            return self.augment(x, target, self.noise)
        copies = copies.to(self.device)
        if copies.any():
            x[copies], _ = self.augment(x[copies], target[copies], self.noise)
        return x, target

    @torch.no_grad()
    def evaluate(self, batches: Batches, size: int = 1024) -> dict[str, float]:
        """Return the mean loss, and for a classifier the accuracy, of the averaged weights, or else of the module."""
        module = self.averaged or self.module
        if self.accelerator is not None and self.accelerator.num_processes > 1:
            for buffer in module.buffers():  # running statistics differ between processes until they are shared
                torch.distributed.broadcast(buffer, 0)
        module.eval()
        loss_sum = torch.zeros((), device=self.device)
        correct: Any = 0.0
        for x, target in _with_targets(batches, list(torch.arange(len(batches)).split(size))):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
                output = module(x)
            loss_sum += self.objective.loss(output.float(), target) * len(x)
            correct = correct + self.objective.correct(output, target)
        return self._means("", loss_sum, correct, len(batches))

    def _means(self, prefix: str, loss_sum: torch.Tensor, correct: Any, n: int) -> dict[str, float]:
        if self.accelerator is not None and prefix:
            total = torch.stack([loss_sum.double(), torch.as_tensor(correct, device=self.device).double()])
            total = torch.cat([total, torch.tensor([n], dtype=torch.float64, device=self.device)])
            loss_sum, correct, n = self.accelerator.reduce(total, "sum")
        means = {f"{prefix}loss": float(loss_sum) / float(n)}
        if self.objective.counts:
            means[f"{prefix}accuracy"] = float(correct) / float(n)
        return means

    def _train_mode(self) -> None:
        """Set training mode, except for modules whose parameters are all frozen, so that their batch statistics stay
        fixed.
        """
        self.wrapped.train()
        for m in self.module.modules():
            own = list(m.parameters())
            if own and not any(p.requires_grad for p in own):
                m.eval()

    @torch.no_grad()
    def _average(self) -> None:
        if self.averaged is None:
            return
        # The decay grows from 0.1 to its value, so that short runs are not dominated by early weights.
        decay = min(float(self.plan.ema or 0), (1 + self.step) / (10 + self.step))
        for mean, parameter in zip(self.averaged.parameters(), self.module.parameters()):
            mean.lerp_(parameter, 1 - decay)
        for mean, buffer in zip(self.averaged.buffers(), self.module.buffers()):
            mean.copy_(buffer)

    def _judge(self, row: dict[str, Any], validated: bool) -> None:
        """Keep the best epoch's weights, lower the learning rate on a plateau, and stop when patience runs out."""
        key = "valid_" + self.plan.monitor if validated else "train_loss"
        value = -row[key] if key.endswith("accuracy") else row[key]
        if value < self.best:
            self.best, self.best_epoch = value, self.epoch
            if validated and self.plan.restore_best:
                self.best_state = {
                    k: v.detach().clone() for k, v in (self.averaged or self.module).state_dict().items()
                }
        waited = self.epoch - self.best_epoch
        if self.plan.schedule == "plateau":
            options = self.plan.schedule_options or {}
            if waited and waited % options.get("wait", 5) == 0:
                self.plateau *= options.get("factor", 0.5)
        if validated and self.plan.patience is not None and waited >= self.plan.patience:
            self.stopped = True

    def result(self) -> nn.Module:
        """Return the trained module in evaluation mode, with the weights of the best epoch, the averaged ones, or the
        last ones.
        """
        module = self.averaged or self.module
        if self.best_state is not None:
            module.load_state_dict(self.best_state)
        for parameter in module.parameters():
            parameter.grad = None
        return module.eval()

    def _shares(self, parts: list[torch.Tensor]) -> list[torch.Tensor]:
        if self.accelerator is None or self.accelerator.num_processes == 1:
            return parts
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        shares = [p[rank::world] for p in parts if len(p) >= world]
        parts[:] = [p for p in parts if len(p) >= world]
        return shares

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return (tensors, plain values) from which a new Trainer resumes without any difference."""
        tensors = {f"module.{k}": v for k, v in self.module.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"averaged.{k}": v for k, v in self.averaged.state_dict().items()}
        if self.best_state is not None:
            tensors |= {f"best.{k}": v for k, v in self.best_state.items()}
        packed = self.optimizer.state_dict()
        values: dict[str, Any] = {"optimizer": {}}
        for index, entries in packed["state"].items():
            for key, value in entries.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer.{index}.{key}"] = value
                else:
                    values["optimizer"][f"{index}.{key}"] = value
        tensors |= {"rng.shuffling": self.shuffling.get_state(), "rng.noise": self.noise.get_state()}
        tensors["rng.torch"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors, values | {name: getattr(self, name) for name in _PROGRESS}

    def restore(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        """Resume from a `state()`; module, plan and data must be those of the run that wrote it.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError, RuntimeError : values that `state()` did not produce.
        """
        for name, kinds in _PROGRESS.items():
            if not isinstance(values[name], kinds):
                raise TypeError(f"{name} is {values[name]!r}")
        part = lambda prefix: {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}  # noqa: E731
        self.module.load_state_dict(part("module."))
        if self.averaged is not None:
            self.averaged.load_state_dict(part("averaged."))
        best = part("best.")
        self.best_state = {k: v.to(self.device) for k, v in best.items()} or None
        packed = self.optimizer.state_dict()
        state: dict[int, dict[str, Any]] = {}
        for entries in (part("optimizer."), values["optimizer"]):
            for name, value in entries.items():
                index, key = name.split(".", 1)
                state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": packed["param_groups"]})
        for parameter, entries in self.optimizer.state.items():
            for key, value in entries.items():
                # Fused optimisers read memory in order, so moments must have the (channels-last) layout of their
                # parameter.
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    entries[key] = torch.empty_like(parameter).copy_(value)
        self.shuffling.set_state(tensors["rng.shuffling"])
        self.noise.set_state(tensors["rng.noise"])
        torch.set_rng_state(tensors["rng.torch"])
        if self.device.type == "cuda" and "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"], self.device)
        for name in _PROGRESS:
            setattr(self, name, values[name])
