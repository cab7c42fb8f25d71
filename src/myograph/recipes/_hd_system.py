"""The options of the CNN-HD-sEMG-Classifier and its steps: evaluate, train and save, test on one label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myograph.errors import ConfigError, unknown_name
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import check, evaluate, prepare, read
from myograph.evaluation.scores import Scores
from myograph.preprocessing.channels import FirstChannels
from myograph.preprocessing.cutters import SampleBySample
from myograph.protocols import KFoldRepetitions, LeakyShuffledWindows, Protocol
from myograph.recording import Recording
from myograph.windows import Windows

STEM = ("1", "3")  # the first convolution with its norm, and the first block


@dataclass(frozen=True)
class HDOptions:
    """Options of the published configuration; every one changes the run.

    Parameters
    ----------
    epochs, lr, batch, weight_decay, label_smoothing : of AdamW, as they say.
    T_max : epochs from the highest to the lowest rate of the cosine schedule.
    image_width, image_height : columns and rows of the image that one instant becomes, row by row.
    channel : how many channels are read, the first ones; image_width x image_height of them.
    workers : processes at work on folds, 0 for none but this one (the published program's load batches; here they
        come from memory).
    path : folder of the recordings; None looks where every data set is looked for.
    dataset : a data set's name, or a Dataset.
    folds : 1 tests on a random half of all samples (as published, LEAKY) with one repetition left out at a time
        beside it; k > 1 deals the repetitions to k folds. (The published k folds deal samples, and leave the last part
        untested.)
    model_save : file that `train` writes the network to.
    fine_tune : train from pretrained_path with the first convolution, its norm and the first block held fixed.
    pretrained_path : a saved network to begin with; its classes may be others.
    width : of MobileNetV2: its expansion is int(6 width).
    subjects, seed : ours; which people, and of everything random.
    """

    epochs: int = 5
    lr: float = 3e-4
    T_max: int = 5
    image_width: int = 24
    image_height: int = 8
    channel: int = 192
    batch: int = 1000
    workers: int = 0
    path: str | Path | None = None
    dataset: Any = "ice_lab"
    folds: int = 1
    weight_decay: float = 3e-4
    model_save: str | Path | None = None
    fine_tune: bool = False
    pretrained_path: str | Path | None = None
    label_smoothing: float = 0.1
    width: float = 1.0
    subjects: tuple[str, ...] | None = None
    seed: int = 0

    def check(self) -> None:
        """Raise ConfigError where options do not go together (not before: they may be set one after another)."""
        if self.image_width * self.image_height != self.channel:
            raise ConfigError(
                f"an image of {self.image_height} x {self.image_width} holds {self.image_height * self.image_width} "
                f"channels, channel is {self.channel}; the ICE Lab's are 8 x 24 = 192, CSL-HDEMG's 24 x 7 = 168"
            )
        if self.folds < 1 or self.workers < 0:
            raise ConfigError(f"folds is 1 or more and workers 0 or more, got {self.folds} and {self.workers}")
        if self.fine_tune and self.pretrained_path is None:
            raise ConfigError("fine_tune starts from a saved network; give its file as pretrained_path")


def system(
    options: HDOptions = HDOptions(), protocol: Protocol | None = None, filters: Sequence[Any] = (), rest: Any = "keep"
) -> Recipe:
    """The recipe that the options stand for: MobileNetV2 on single samples, each z-scored over its channels."""
    options.check()
    if protocol is None:
        whole = KFoldRepetitions(None if options.folds == 1 else options.folds)
        random_half = LeakyShuffledWindows(0.5, "pooled", seed=options.seed, honest=whole)
        protocol = random_half if options.folds == 1 else whole
    method: dict[str, Any] = {
        "model_options": {"width": options.width, "grid": (options.image_height, options.image_width)},
        "epochs": options.epochs,
        "batch_size": options.batch,
        "lr": options.lr,
        "schedule": "cosine",
        "schedule_options": {"period": options.T_max},
        "weight_decay": options.weight_decay,
        "label_smoothing": options.label_smoothing,
        "normalise": "window",
    }
    if options.pretrained_path is not None:
        method["pretrained"] = str(options.pretrained_path)
    if options.fine_tune:
        method["layers"] = dict.fromkeys(STEM, 0)
    return Recipe(
        name=f"hd-mobilenet-{options.width:g}",
        dataset=options.dataset,
        subjects=options.subjects,
        filters=(FirstChannels(options.channel), *filters),
        windowing=SampleBySample(),
        rest=rest,
        protocol=protocol,
        method="mobilenet_v2",
        method_options=method,
        seed=options.seed,
    )


def recordings(options: HDOptions) -> list[Recording]:
    """What the options say to read: from `path` where it is given, else from where the data set is."""
    if options.path is None:
        return read(system(options))
    from myograph.datasets.base import get

    if not Path(options.path).is_dir():
        raise ConfigError(f"there is no folder {options.path}; path is the folder that holds the recordings")
    return list(get(options.dataset).read(Path(options.path), options.subjects))


def run(options: HDOptions, out: str | Path | None = None, say: Callable[..., None] | None = None) -> Scores:
    """Evaluate the options' recipe; with one fold the scores are LEAKY and `honest` stands beside them."""
    return evaluate(system(options), recordings(options), out, jobs=max(options.workers, 1), progress=say)


def train(options: HDOptions) -> tuple[Any, float]:
    """Fit on the train samples of the first fold; (fitted NeuralClassifier, accuracy on its test samples).

    The last epoch is kept (the published program keeps the one that does best on the test samples), and written to
    `model_save` where that is given.
    """
    from myograph.evaluation.run import make_method

    recipe = system(options)
    windows = prepare(recipe, recordings(options))
    fold = next(iter(recipe.protocol.folds(windows)))
    check(windows, [fold], recipe.protocol)
    fitted: Any = make_method(recipe)
    fitted.fit(windows[fold.train])
    if options.model_save is not None:
        fitted.save(options.model_save)
    return fitted, fitted.score(windows[fold.test])


def try_label(model: str | Path, label: str, options: HDOptions = HDOptions()) -> dict[str, Any]:
    """Try a saved network on the recordings of one label.

    Returns
    -------
    label, n (samples), accuracy, and predicted: how many samples were given each label.

    Raises
    ------
    UnknownNameError : the data have no such label.
    """
    from myograph.training.estimator import NeuralClassifier

    network = NeuralClassifier.load(model)
    found = recordings(options)
    names = list(dict.fromkeys(n for r in found for n in r.label_names))
    if label not in names:
        raise unknown_name("label of these recordings", label, names)
    only = [FirstChannels(options.channel).apply(r) for r in found if label in r.label_names]
    only = [r for r in only if (r.label == r.label_names.index(label)).any()]
    if not only:
        raise ConfigError(f"no sample is labelled {label!r}; choose another label or other subjects")
    windows = Windows.cut(only, SampleBySample(network.n_samples_)).where(label=label)
    predicted, counts = np.unique(network.predict(windows).astype(str), return_counts=True)
    hits = dict(zip(predicted.tolist(), counts.tolist()))
    return {"label": label, "n": len(windows), "accuracy": hits.get(label, 0) / len(windows), "predicted": hits}


def m5(options: HDOptions = HDOptions(), epochs: int = 100, step: int = 1, filters: Sequence[Any] = ()) -> Recipe:
    """M5 on 20 samples at a time, raw: AdamW 0.01, cosine over 100 epochs, label smoothing, 33 % of the windows test."""
    whole = KFoldRepetitions(None if options.folds == 1 else options.folds)
    return Recipe(
        name="hd-m5",
        dataset=options.dataset,
        subjects=options.subjects,
        filters=(FirstChannels(options.channel), *filters),
        windowing=SampleBySample(20, step),
        rest="drop",
        protocol=LeakyShuffledWindows(0.33, "pooled", seed=options.seed, honest=whole),
        method="m5",
        method_options={
            "epochs": epochs,
            "batch_size": options.batch,
            "lr": 0.01,
            "schedule": "cosine",
            "schedule_options": {"period": epochs},
            "weight_decay": 0.01,
            "label_smoothing": options.label_smoothing,
            "normalise": "none",
        },
        seed=options.seed,
    )
