"""The steps of `muscle_cnn_lstm`: autoencoders, training and validation, each kept in the run's folder.

`myograph muscle` runs them one at a time. Together they do what `reproduce muscle_cnn_lstm` does for one row of its table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from myograph.errors import ConfigError, DataError
from myograph.evaluation.metrics import confusion
from myograph.evaluation.prepared import make_method, read, split
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.reproduction import Context
from myograph.protocols import LeaveOneSubjectOut, PooledSubjects, Protocol
from myograph.recipes.muscle_cnn_lstm import NETWORKS, muscles, setting, walking_settings
from myograph.windows import Windows

SPLITS: dict[str, Protocol] = {"intrapersonal": PooledSubjects(0.2), "loso": LeaveOneSubjectOut()}


@dataclass
class Muscles:
    """One network of the paper on one split.

    Parameters
    ----------
    context : where outcomes are kept, and how large to run.
    network : a key of `NETWORKS`, such as "hybrid, pretrained".
    split : "intrapersonal" (20 % of each person's bursts test) or "loso" (one person is left out at a time).
    """

    context: Context
    network: str = "hybrid, pretrained"
    split: str = "intrapersonal"

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of this network and split in the size of the run.

        `leg_muscles` is one person's walk of few bursts: there the n-th burst of every muscle is left out at a time.
        """
        if self.context.dataset == "leg_muscles":
            if self.split != "intrapersonal":
                raise ConfigError("leg_muscles holds one person; choose --split intrapersonal")
            model, pretrained = NETWORKS[self.network]
            return muscles(model, pretrained, **walking_settings(self.context))
        return setting(self.context, self.network, SPLITS[self.split])

    @cached_property
    def _prepared(self) -> tuple[Windows, list[Any]]:
        parts = split(self.recipe, read(self.recipe, self.context.progress))
        return parts.windows, parts.folds

    @property
    def windows(self) -> Windows:
        """One row per channel and burst."""
        return self._prepared[0]

    @property
    def folds(self) -> list[Any]:
        """The audited folds."""
        return self._prepared[1]

    @property
    def pretrains(self) -> bool:
        """Whether autoencoders come before training."""
        return NETWORKS[self.network][1]

    def pretrain(self) -> Iterator[dict[str, list[dict[str, Any]]]]:
        """Train the autoencoders of each fold; the history of each layer, fold by fold."""
        for number, fold in enumerate(self.folds, 1):
            path = self.path("pretrained", number)
            if not self._is_whole(path):
                self.context.progress(f"autoencoders of fold {number}", number - 1, len(self.folds))
                fitted: Any = make_method(self.recipe)
                fitted.fit_pretraining(self.windows[fold.train])
                fitted.save(path)
                self._write_history(path, fitted.pretrain_history_)
            yield json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))

    def train(self) -> Iterator[tuple[int, Any]]:
        """Train a network on each fold, from its pretrained weights if there are some; (fold, fitted network).

        Training resumes after its last finished epoch. The held-out bursts are scored after each epoch, for the curve of
        `validate`; nothing is learnt from them, and the last epoch is kept.
        """
        for number, fold in enumerate(self.folds, 1):
            path = self.path("network", number)
            if not self._is_whole(path):
                self.context.progress(f"network of fold {number}", number - 1, len(self.folds))
                halfway = path.with_suffix(".half")
                fitted: Any = make_method(self.recipe)
                fitted.set_params(checkpoint=halfway, validation=(1,), restore_best=False)
                if self.pretrains:
                    fitted.set_params(pretrain=None, pretrained=self.path("pretrained", number))
                rows = np.sort(np.concatenate([fold.train, fold.test]))
                fitted.fit(self.windows[rows], groups=np.isin(rows, fold.test).astype(int))
                fitted.save(path)
                halfway.unlink(missing_ok=True)
            yield number, self.load(number)

    def validate(self) -> Iterator[dict[str, Any]]:
        """Test the network of each fold on the fold's other bursts.

        Returns
        -------
        Per fold: fold, n (samples), accuracy, labels, confusion (true labels down, predictions across), and epochs (loss and
        accuracy on these bursts after each epoch of training).
        """
        for number, fold in enumerate(self.folds, 1):
            network, test = self.load(number), self.windows[fold.test]
            labels = sorted(set(self.windows.y.astype(str)))
            predicted, true = network.predict(test).astype(str), test.y.astype(str)
            counts = confusion(true, predicted, labels).tolist()
            found = {"fold": number, "n": len(test), "accuracy": float((predicted == true).mean())}
            history = network.history_[["epoch", "valid_loss", "valid_accuracy"]]
            epochs = history.rename(columns={"valid_loss": "loss", "valid_accuracy": "accuracy"}).to_dict("records")
            yield found | {"labels": labels, "confusion": counts, "epochs": epochs}

    def missing(self, kind: str) -> bool:
        """Whether the outcome of a step, "pretrained" or "network", is missing for a fold."""
        return not all(self._is_whole(self.path(kind, number + 1)) for number in range(len(self.folds)))

    def load(self, number: int) -> Any:
        """The trained network of a fold, by its number from 1."""
        from myograph.training.estimator import NeuralClassifier

        return NeuralClassifier.load(self.path("network", number))

    def path(self, kind: str, number: int) -> Path:
        """File of a fold's "pretrained" weights or "network"; its name depends on the recipe and the data."""
        hashes = {str(i): r.content_hash for i, r in enumerate(self.windows.recordings)}
        fold = self.folds[number - 1]
        key = hashlib.sha256(
            f"{self.recipe.identity(hashes)} {np.sort(fold.train).tolist()} {np.sort(fold.test).tolist()}".encode()
        )
        name = f"{kind}-{self.network.replace(', ', '-').replace(' ', '-')}-{self.split}-fold{number}"
        return self.context.folder / "kept" / f"{name}-{key.hexdigest()[:12]}.safetensors"

    def _write_history(self, path: Path, history: dict[str, list[dict[str, Any]]]) -> None:
        from myograph._common.files import plain, write_json

        write_json(path.with_suffix(".json"), plain(history))

    def _is_whole(self, path: Path) -> bool:
        from myograph.training import checkpoint

        needs_history = path.name.startswith("pretrained")
        if needs_history and not path.with_suffix(".json").is_file():
            return False
        try:
            checkpoint.read(path, "network")
        except DataError:
            return False
        return True
