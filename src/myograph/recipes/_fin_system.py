"""The steps of `fin2025`: imitators, their validation, classifiers on true features, and the joint step.

Each step keeps its outcome in the run's folder, and a later step, or the same step in another process, reads it there.
`myograph fin` runs them one at a time, and `myograph reproduce fin2025` all of them.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from myograph.audit import audit
from myograph.evaluation.recipe import Recipe, describe
from myograph.evaluation.reproduction import Context
from myograph.recipes._fin2025 import (
    CHOOSES,
    FEATURES,
    IMITATORS,
    LEARNS,
    SHARES,
    TEST,
    Sizes,
    accuracy,
    accuracy_on_true_features,
    apart,
    as_published,
    cut,
    first_share,
    louder,
    r_squared,
    rows_of,
)
from myograph.recording import Recording
from myograph.windows import Windows


@dataclass
class System:
    """The networks of one seed and one division of people into seen and unseen ones.

    context, sizes, base : where outcomes are kept, how large to run, and the recipe that names the data.
    recordings : with the scale of `scaled`.
    group_of : "seen" or "unseen" for each person.
    windows_of : windows by p, shared by systems that run on the same recordings.
    """

    context: Context
    sizes: Sizes
    base: Recipe
    recordings: list[Recording]
    group_of: dict[str, str]
    seed: int = 0
    windows_of: dict[int, Windows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        hashes = [r.content_hash for r in self.recordings]
        s = self.sizes
        # What decides the imitators; classifiers depend on more.
        self.settings: list[Any] = [hashes, self.group_of, describe(self.base.windowing), self.seed, s.gains]
        self.settings += [s.imitation, s.ahead_imitation]

    def people(self, group: str) -> list[str]:
        """The people of a group, "seen" or "unseen"."""
        return [name for name, own in self.group_of.items() if own == group]

    def train(self, feature: str, p: int) -> list[dict[str, Any]]:
        """Train the imitators of one feature for all channels and keep them; return one row per epoch."""
        return self._imitators(feature, p)[1]["history"]

    def is_trained(self, feature: str, p: int) -> bool:
        """Whether the imitators of a feature are kept, whole."""
        return self._read(f"imitator {feature} {p}", self.settings) is not None

    def validate(self, feature: str, p: int, person: str) -> dict[str, Any]:
        """How well a feature of repetitions 2 and 5 of one person is imitated: r2 and as_published (numbers), and by_channel
        (R² of each channel)."""
        return self.context.remember(
            f"validate {feature} {p} {person}", self.settings, lambda: self._validate(feature, p, person)
        )

    def cnn(self, person: str, p: int) -> dict[str, Any]:
        """Train one person's classifier on true features and keep it: true_features (accuracy on test), history."""
        return self._classifier(person, p)[1]

    def has_cnn(self, person: str, p: int) -> bool:
        """Whether a person's classifier is kept, whole."""
        return self._read(f"cnn {person} {p}", self._of_cnn()) is not None

    def finetune(
        self, person: str, p: int, share: float, draw: str = "first", imitators: str = "trained"
    ) -> dict[str, Any]:
        """Train imitators and classifier together on a share of one person's windows.

        draw : "first" takes the first part of every repetition, "random" any windows.
        imitators : "trained", or "random" for weights that never learnt a feature; nothing else differs.

        Returns
        -------
        untouched (accuracy on test before), chosen (of the epoch that is best on repetition 4), last, curve (one row
        per epoch) and, for the largest share of windows at p = 0, best_on_test.
        """
        s = self.sizes
        what = [*self._of_cnn(), s.joint_epochs, s.joint_batch, s.joint_schedule, s.share_channels]
        what += [share, draw, imitators]
        return self.context.remember(
            f"finetune {person} {p} {share} {draw} {imitators}",
            what,
            lambda: self._finetune(person, p, share, draw, imitators),
        )

    def windows(self, p: int) -> Windows:
        """Windows of everyone whose label and features lie p steps of 10 ms ahead."""
        if p not in self.windows_of:
            ahead = dataclasses.replace(self.base.windowing, future_ms=10.0 * p)  # type: ignore[type-var]
            self.windows_of[p] = cut(self.recordings, self.base, ahead)
        return self.windows_of[p]

    def _path(self, key: str, settings: Any) -> Path:
        text = json.dumps([key, settings], sort_keys=True, default=str)
        name = f"{key.replace(' ', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.safetensors"
        return self.context.folder / "kept" / name

    def _read(self, key: str, settings: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The kept tensors and values; None if they were not made yet, or their file is damaged."""
        from myograph.errors import DataError
        from myograph.training import checkpoint

        try:
            return checkpoint.read(self._path(key, settings), "imitators")
        except DataError:
            return None

    def _keep(self, key: str, settings: Any, tensors: dict[str, Any], values: dict[str, Any]) -> None:
        from myograph.training import checkpoint

        checkpoint.write(self._path(key, settings), "imitators", tensors, values)

    def _imitators(self, feature: str, p: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The weights of a feature's network and its history; trained if they are not kept yet."""
        key = f"imitator {feature} {p}"
        kept = self._read(key, self.settings)
        if kept is not None:
            return kept
        from myograph.training.loop import seeded, training_settings

        options, start = self.sizes.imitation, None
        if p and self.sizes.ahead_imitation is not None:
            options, start = self.sizes.ahead_imitation, self._imitators(feature, 0)[0]
        windows, batches = self.windows(p), self._lesson(p)
        what = f"imitators of {feature.upper()}, p = {p}, {len(batches)} windows"
        halfway = self._path(key, self.settings).with_suffix(".half")
        with training_settings(), seeded(self.seed, batches.device):
            net = self._net(windows, batches.device, 1)
            if start is not None:
                net.load_state_dict(start)
            history = self._imitation(p, (feature,), **options).train_imitators(
                net, batches, self.seed, halfway, lambda done, total: self.context.progress(what, done, total)
            )
        self._keep(key, self.settings, net.state_dict(), {"history": history})
        halfway.unlink(missing_ok=True)
        return net.state_dict(), {"history": history}

    def _lesson(self, p: int) -> Any:
        """Batches of the windows that imitators learn from."""
        windows = self.windows(p)
        learnt = louder(windows[rows_of(windows, self.people("seen"), IMITATORS)], self.sizes.gains)
        return self._batches(learnt, np.arange(len(learnt)))

    def _validate(self, feature: str, p: int, person: str) -> dict[str, Any]:
        windows = self.windows(p)
        batches = self._batches(windows, rows_of(windows, [person], TEST))
        net = self._net(windows, batches.device, 1)
        net.load_state_dict(self._imitators(feature, p)[0])
        true, imitated, _ = self._imitation(p, (feature,)).compare(net, batches)
        t, e = true[..., 0].astype(float), imitated[..., 0].astype(float)
        return {
            "r2": r_squared(t, e),
            "as_published": as_published(t, e),
            "by_channel": [r_squared(t[:, c], e[:, c]) for c in range(t.shape[1])],
        }

    def _scale(self, p: int) -> dict[str, list[float]]:
        """Mean and deviation of each feature of the windows that imitators learn from."""

        def measure() -> dict[str, list[float]]:
            batches = self._lesson(p)
            net = self._net(self.windows(p), batches.device)
            self._imitation(p).learn_scale(net, batches)
            return {"mean": net.feature_mean.tolist(), "scale": net.feature_scale.tolist()}

        return self.context.remember(f"scale {p}", self.settings, measure)

    def _of_cnn(self) -> list[Any]:
        return [self.settings, self.sizes.shadow]

    def _classifier(self, person: str, p: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The weights of one person's classifier, with its history and accuracy; trained if they are not kept yet."""
        key = f"cnn {person} {p}"
        kept = self._read(key, self._of_cnn())
        if kept is not None:
            return kept
        import torch

        from myograph.training.loop import seeded, training_settings

        windows, rows = self._split(person, p)
        train, test = self._batches(windows, rows["train"]), self._batches(windows, rows["test"])
        scale = self._scale(p)
        with training_settings(), seeded(self.seed, train.device):
            net = self._net(windows, train.device)
            net.feature_mean.copy_(torch.tensor(scale["mean"]))
            net.feature_scale.copy_(torch.tensor(scale["scale"]))
            imitation = self._imitation(p, **self.sizes.shadow)
            history = imitation.train_classifier(net, train, self.seed)
            found = {"true_features": accuracy_on_true_features(imitation, net, test), "history": history}
        tensors = {k: v for k, v in net.state_dict().items() if not k.startswith("imitators.")}
        self._keep(key, self._of_cnn(), tensors, found)
        return tensors, found

    def _finetune(self, person: str, p: int, share: float, draw: str, imitators: str) -> dict[str, Any]:
        from myograph.training.loop import seeded, training_settings

        windows, rows = self._split(person, p)
        part = rows["train"]
        if draw == "random":
            drawn = np.random.default_rng(self.seed).permutation(part)
            part = np.sort(drawn[: max(round(share * len(part)), 2)])
        else:
            part = first_share(windows, part, share)
        train, choose, test = (self._batches(windows, r) for r in (part, rows["choose"], rows["test"]))
        weights = [self._imitators(feature, p)[0] for feature in FEATURES] if imitators == "trained" else []
        classifier = self._classifier(person, p)[0]
        self.context.progress(
            f"joint step of person {person}, p = {p}, {len(train)} windows", 0, self.sizes.joint_epochs
        )
        with training_settings(), seeded(self.seed, train.device):
            net = self._net(windows, train.device)
            net.load_state_dict(classifier, strict=False)
            for i, one in enumerate(weights):
                own = {k.removeprefix("imitators.0."): v for k, v in one.items() if k.startswith("imitators.")}
                net.imitators[i].load_state_dict(own)
            watch = p == 0 and (share, draw, imitators) == (SHARES[-1], "first", "trained")
            return self._joint(net, train, choose, test, watch)

    def _joint(self, net: Any, train: Any, choose: Any, test: Any, watch: bool = False) -> dict[str, Any]:
        """Train imitators and classifier together; accuracy on test before, after the last epoch, after the epoch that is
        best on `choose` (the latest of equals, epoch 0 is the network untouched) and, where `watch`, after the epoch that
        is best on test."""
        from myograph.training.loop import Trainer
        from myograph.training.objectives import CrossEntropy
        from myograph.training.plan import Plan

        highest, on_test = accuracy(net, choose), [accuracy(net, test)]
        net = copy.deepcopy(net) if self.sizes.share_channels else apart(net)
        plan = Plan(
            epochs=self.sizes.joint_epochs,
            batch_size=self.sizes.joint_batch,
            lr=1e-2,
            optimizer="adam",
            schedule=self.sizes.joint_schedule,
            weight_decay=2e-4,
            layers={"imitators": {"lr": 1e-3, "weight_decay": 2e-5}},
            seed=self.seed,
        )
        found: dict[str, Any] = {"untouched": on_test[0], "chosen": on_test[0], "chosen_epoch": 0}
        curve = [{"epoch": 0, "on repetition 4": highest}]
        for epoch in Trainer(net, plan, CrossEntropy(), train.device).run(train):
            on_choose = accuracy(net, choose)
            best = on_choose >= highest
            if watch or best or epoch["epoch"] == plan.epochs:
                on_test.append(accuracy(net, test))
            if best:
                highest, found["chosen"], found["chosen_epoch"] = on_choose, on_test[-1], epoch["epoch"]
            row = {"epoch": epoch["epoch"], "on repetition 4": on_choose, "train_loss": epoch["train_loss"]}
            curve.append(row | {"train_accuracy": epoch["train_accuracy"]})
        found |= {"last": on_test[-1], "curve": curve}
        return found | {"best_on_test": max(on_test)} if watch else found

    def _split(self, person: str, p: int) -> tuple[Windows, dict[str, np.ndarray]]:
        """Windows, and the positions of one person's that train, choose the epoch and test; audited."""
        windows = self.windows(p)
        learns = LEARNS[self.group_of[person]]
        parts = {"train": learns, "choose": CHOOSES, "test": TEST}
        rows = {part: rows_of(windows, [person], repetitions) for part, repetitions in parts.items()}
        audit(windows, np.concatenate([rows["train"], rows["choose"]]), rows["test"], name=f"subject {person}")
        audit(windows, rows["train"], rows["choose"], name=f"subject {person}, choice of the epoch")
        return windows, rows

    def _imitation(self, p: int, features: Sequence[str] = FEATURES, **options: Any) -> Any:
        from myograph.training.imitation import FeatureImitation

        return self.context.shorten(FeatureImitation(features=tuple(features), ahead_ms=10.0 * p, **options))

    def _net(self, windows: Windows, device: Any, n_features: int = len(FEATURES)) -> Any:
        from myograph.training.imitation import FeatureImitatingNet

        n_classes = windows.table["label"].nunique()
        return FeatureImitatingNet(windows.n_channels, n_classes, windows.n_samples, n_features).to(device)

    def _batches(self, windows: Windows, rows: np.ndarray) -> Any:
        """Batches of these rows, with class numbers as targets."""
        import torch

        from myograph.training.batches import Batches, Normalise, pick_device

        y = np.unique(windows.y, return_inverse=True)[1][rows]
        return Batches(windows, rows, torch.from_numpy(y), Normalise("none", windows.n_channels), pick_device("auto"))


def rounds_of(context: Context, sizes: Sizes, base: Recipe, recordings: list[Recording], seed: int) -> Iterator[System]:
    """One system per division of the people into seen and unseen ones.

    As published the first `sizes.n_seen` people are seen. Where that is None there are few people: the first half is
    seen, then the other half, so that everyone is unseen once; a person alone is seen.
    """
    names = list(dict.fromkeys(r.subject for r in recordings))
    windows: dict[int, Windows] = {}
    if sizes.n_seen is None:
        half = max(len(names) // 2, 1)
        divisions = [names[:half], names[half:]] if len(names) > 1 else [names]
    else:
        divisions = [names[: sizes.n_seen]]
    for seen in divisions:
        group_of = {name: "seen" if name in seen else "unseen" for name in names}
        yield System(context, sizes, base, recordings, group_of, seed, windows)
