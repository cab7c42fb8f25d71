"""The CNN-HD-sEMG-Classifier (MIC Laboratory): one instant of a high-density grid as an image, MobileNetV2 or M5.

`HDOptions` are the options of the published configuration, under its names and with its values; `system(options)` is
the recipe they stand for, `train(options)` fits and saves a network, `try_label` tests a saved one on one gesture.
On the command line: `myograph hd-train --set width=0.2 --set model_save=net.safetensors`, then
`myograph hd-test net.safetensors --label "gesture 1"`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from myograph.datasets.simulated import Simulated
from myograph.errors import ConfigError, unknown_name
from myograph.evaluation.recipe import RECIPES, Published, Recipe
from myograph.evaluation.reproduction import REPRODUCTIONS, Context, Row, need_data
from myograph.evaluation.run import check, evaluate, prepare, read
from myograph.evaluation.scores import Scores
from myograph.preprocessing.channels import FirstChannels, FirstRepetitions, KeepMiddle
from myograph.preprocessing.cutters import SampleBySample
from myograph.protocols import CrossSession, KFoldRepetitions, LeakyShuffledWindows, Protocol
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


@RECIPES.register("hd_mobilenet")
def ice_lab_mobilenet() -> Recipe:
    """MobileNetV2 on single samples of a simulated 8 x 24 grid; random half tests (LEAKY), a repetition left out beside it."""
    return replace(system(QUICK, filters=(KeepMiddle(QUICK_MS),), rest="drop"), published=(PUBLISHED[1.0],))


CODE = "README of the authors' code"
PUBLISHED = {
    w: Published(f"MobileNetV2, width {w:g}, random samples", accuracy, None, CODE)
    for w, accuracy in ((1.0, 99.197), (0.7, 98.856), (0.4, 97.924), (0.2, 97.252))
}
SIZES = {  # width: parameters and multiply-accumulates, both millions (the README prints 0.8K for 0.8 M parameters)
    1.0: (2.314, 18.303),
    0.7: (1.712, 12.967),
    0.4: (1.110, 7.632),
    0.2: (0.8, 4.964),
}
COUNTS = {
    "parameters": "",
    "macs": "ours: convolutions and linear layers alone; the authors' counter adds 4 for each value that a batch norm gives",
}
M5_PAPER = Published("M5, random windows", 95.946, None, "the authors' saved network, best epoch on test")
CSL_PAPER = {
    "accuracy": Published("one sample, within session (Geng's network)", 55.8, None, "Geng et al. 2016"),
    "trial_vote_accuracy": Published("vote over a trial (Geng's network)", 96.8, None, "Geng et al. 2016"),
}
QUICK_MS = 60.0
QUICK = HDOptions(
    dataset=Simulated("ice", n_gestures=5, n_repetitions=4, hold_s=1.0, rest_s=0.5),
    epochs=8,
    T_max=8,
    batch=32,
    lr=4e-3,
)
QUICK_CSL = replace(
    QUICK,
    dataset=Simulated("csl", n_subjects=1, n_sessions=2, n_gestures=5, n_repetitions=4, hold_s=1.0, rest_s=0.5),
    epochs=5,
    T_max=5,
    width=0.2,
)


@REPRODUCTIONS.register
def hd_mobilenet(context: Context) -> Iterator[Row]:
    """CNN-HD-sEMG-Classifier (MIC Laboratory, public code): MobileNetV2 and M5 on a high-density grid

    **Task.** A sample is one instant (0.39 ms) of 192 channels as an 8 x 24 image, z-scored over its own channels. M5 takes
    20 instants, unscaled. One decision per sample; on CSL-HDEMG also a vote over the trial. Rest is left out of the simulated
    recordings; the real ICE Lab set has 8 gesture files, and CSL-HDEMG keeps its idle gesture.

    **From the authors' code.** Repetitions 1 to 5 (M5: 1 to 7), the networks, AdamW at 3e-4 with decay 3e-4, a cosine
    schedule over 5 epochs, batches of 1000, label smoothing 0.1; M5 with 0.01 over 100 epochs.

    **The published split is LEAKY.** It deals single samples to train and test at random, so nearly every test sample has a
    near copy in training, 0.4 to 1.6 ms away. The honest figure beside it leaves one repetition out at a time. The authors
    also keep the epoch that is best on the test samples; ours is the last epoch.

    **CSL-HDEMG.** Folds of trials within a session; the reader drops the channels that carry no data.

    **Size.** Our multiply-accumulate counts are those of convolutions and linear layers alone.

    **flexemg** (`--dataset flexemg`) is a real 16 x 4 grid on one person at 1 kHz, which the authors did not use: the
    published random split LEAKY, repetitions left out within a session beside it, and the array put on anew.

    **A small run** takes the middle 60 ms of each repetition, so that samples are few and as close together as published:
    one simulated person with five gestures and four repetitions (or flexemg's), 8 epochs in batches of 32 from a rate of
    0.004, two folds of repetitions for the honest figure (five on flexemg). CSL-HDEMG's shape: 5 epochs.

    **Chosen while looking at scores.** The small run's training was set while watching the LEAKY score on seven simulated
    gestures.
    """
    yield from sizes()
    ice, csl = cohorts(context)
    # The papers' figures are the ICE Lab's; on another data set the same systems stand alone.
    as_published = context.dataset in (None, "simulated", "ice_lab")
    section = "ICE Lab" if as_published else f"{context.dataset}, random samples"

    def filters(repetitions: int) -> tuple[Any, ...]:
        if context.quick:
            return (KeepMiddle(QUICK_MS),)
        return (FirstRepetitions(repetitions),) if as_published else ()

    if context.dataset == "flexemg":
        yield from another_grid(context, ice)
        return
    for width, paper in PUBLISHED.items():
        chosen = system(replace(ice, width=width), _split(context, ice), filters(5), "drop")
        known = paper if as_published else None
        yield context.evaluate(f"MobileNetV2, width {width:g}", chosen, known, "accuracy", section=section)
    chosen = m5(ice, *context.choose((60, 4), (100, 1)), filters=filters(7))
    chosen = replace(chosen, protocol=replace(chosen.protocol, honest=_split(context, ice).honest))
    known = M5_PAPER if as_published else None
    yield context.evaluate("M5, 20 samples", chosen, known, "accuracy", section=section)
    if csl is None:
        return
    folds = KFoldRepetitions(context.choose(2, 10), within="session")
    chosen = system(csl, folds, (KeepMiddle(QUICK_MS),) if context.quick else (), context.choose("drop", "keep"))
    setting = f"MobileNetV2, width {csl.width:g}"
    one = context.evaluate(
        f"{setting}, one sample",
        chosen,
        CSL_PAPER["accuracy"],
        "accuracy",
        "paper's: another network",
        section="CSL-HDEMG",
    )
    yield one
    yield replace(
        one,
        setting=f"{setting}, vote over the trial",
        published=CSL_PAPER["trial_vote_accuracy"],
        values=one.metrics["trial_vote_accuracy"],
        metric="trial_vote_accuracy",
        note="paper's: another network, batch norm from test samples",
    )


def cohorts(context: Context) -> tuple[HDOptions, HDOptions | None]:
    """The options for the ICE Lab's shape and for CSL-HDEMG's: simulated, real, or the one data set asked for."""
    columns = {"channel": 168, "image_height": 24, "image_width": 7}
    published = HDOptions()
    if context.dataset not in (None, "simulated"):
        if context.dataset == "flexemg":
            trained = replace(QUICK, dataset="flexemg") if context.quick else replace(published, dataset="flexemg")
            return replace(trained, channel=64, image_height=16, image_width=4), None
        is_csl = context.dataset == "csl_hdemg"
        chosen = replace(published, dataset=context.dataset, **(columns if is_csl else {}))
        return chosen, (chosen if is_csl else None)
    if context.quick:
        return QUICK, QUICK_CSL
    if context.dataset == "simulated":
        return replace(published, dataset=Simulated("ice")), replace(published, dataset=Simulated("csl"))
    need_data("hd_mobilenet", ["ice_lab", "csl_hdemg"])
    return published, replace(published, dataset="csl_hdemg", **columns)


def another_grid(context: Context, options: HDOptions) -> Iterator[Row]:
    """A real grid of another size, four gestures: the published random split LEAKY, one repetition of a session left out
    beside it, and the array put on anew."""
    section = f"{options.dataset}, {options.image_height} x {options.image_width} grid"
    whole = KFoldRepetitions(context.choose(5, None), within="session")
    kept = f"the middle {QUICK_MS:g} ms of each gesture of each repetition" if context.quick else ""
    for width in context.choose((0.2,), PUBLISHED):
        random = LeakyShuffledWindows(0.5, "pooled", seed=options.seed, honest=whole)
        for setting, protocol in (("random half of the samples", random), ("array put on anew", CrossSession())):
            chosen = system(
                replace(options, width=width), protocol, (KeepMiddle(QUICK_MS),) if context.quick else (), "drop"
            )
            name = f"MobileNetV2, width {width:g}, {setting}"
            honest = "honest: repetitions left out within each session" if protocol is random else ""
            note = "; ".join(filter(None, [honest, kept]))
            yield context.evaluate(name, chosen, None, "accuracy", note, section)


def sizes() -> Iterator[Row]:
    """Parameters and multiply-accumulates of each width with the 8 outputs of the published networks, in millions."""
    from myograph.models.cost import count

    for width, published in SIZES.items():
        found = count("mobilenet_v2", 192, 1, 8, latency=False, width=width, grid=(8, 24))
        for key, unit, paper in zip(("parameters", "macs"), ("M parameters", "M MACs"), published):
            yield Row(
                setting=f"MobileNetV2, width {width:g}: {unit[2:]}",
                values=(found[key] / 1e6,),
                published=Published(unit, paper, None, CODE),
                note=COUNTS[key],
                data="no data: counted",
                over="networks",
                metric=key,
                unit=unit,
                section="size",
            )


def _split(context: Context, options: HDOptions) -> LeakyShuffledWindows:
    whole = KFoldRepetitions(2 if context.quick else None)
    return LeakyShuffledWindows(0.5, "pooled", seed=options.seed, honest=whole)
