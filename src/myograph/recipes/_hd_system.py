"""The options of the CNN-HD-sEMG-Classifier and its steps: evaluate, train and save, test on one label."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from myograph._common.progress import Progress
from myograph.datasets.csl_hdemg import N_ROWS
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


DATASETS = {"ICE": "ice_lab", "CSL": "csl_hdemg"}  # the published names of the data sets


@dataclass(frozen=True)
class HDOptions:
    """The options of the published configuration, under its names and with its values; each changes the run.

    Parameters
    ----------
    Epoch, learning_rate, batch_size, weight_decay, label_smoothing : of AdamW.
    T_max : epochs from the highest to the lowest rate of the cosine schedule.
    input_width, input_height : rows and columns of the image that one instant becomes, row by row; the published
        configuration calls the 8 rows its width. As many channels are read, the first ones.
    channel : planes of the image. 1 for sEMG; 3 repeats the image, for a network that was made for RGB.
    num_workers : read from the file and used by `run` alone, as the number of folds that run at once. The published
        workers load batches; here the recordings are in memory, so `train` needs none.
    data_path : folder of the recordings; None looks where every data set is looked for.
    dataset : "ICE" or "CSL", any data set's name, or a Dataset.
    fold : 1 tests on a random half of all samples (as published, LEAKY) with one repetition left out at a time
        beside it; k > 1 deals whole repetitions to k folds. (The published program deals single samples, never tests
        the last part, and continues with the network of the fold before.)
    model_save : file that `train` writes the network to, or a folder for it.
    finetune : train from pretrain_model_path with the first convolution, its norm and the first block held fixed.
    pretrain_model_path : the saved network that finetune begins with; its classes may be others. Without finetune it is
        not read, as in the published program, whose config.json then has ".".
    model_width : sets the expansion of MobileNetV2 to int(6 model_width); the channel counts stay the same.
    subjects, seed : ours; which people, and of everything random.

    >>> HDOptions(model_width=0.2).Epoch
    5
    """

    Epoch: int = 5
    learning_rate: float = 3e-4
    T_max: int = 5
    input_width: int = 8
    input_height: int = 24
    channel: int = 1
    batch_size: int = 1000
    num_workers: int = 0
    data_path: str | Path | None = None
    dataset: Any = "ice_lab"
    fold: int = 1
    weight_decay: float = 3e-4
    model_save: str | Path | None = None
    finetune: bool = False
    pretrain_model_path: str | Path | None = None
    label_smoothing: float = 0.1
    model_width: float = 1.0
    subjects: tuple[str, ...] | None = None
    seed: int = 0

    @classmethod
    def from_config(cls, path: str | Path) -> HDOptions:
        """Read the authors' `config.json`: one JSON object with the names above; those left out keep their values.

        Empty paths stand for None.

        Raises
        ------
        ConfigError : the file is not such an object, names an option that does not exist, or a value has another type.
        """
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as JSON: {error}; give the program's config.json") from error
        if not isinstance(found, dict):
            raise ConfigError(f"{path} holds a {type(found).__name__}; one JSON object of options was expected")
        known = {f.name: f.default for f in fields(cls)}
        for name, value in found.items():
            if name not in known:
                raise unknown_name(f"option of {path}", name, known)
            default = known[name]
            wanted = (int, float) if isinstance(default, float) else type(default)
            if default is not None and (
                not isinstance(value, wanted) or isinstance(value, bool) != isinstance(default, bool)
            ):
                raise ConfigError(f"{name} of {path} is {value!r}, and a value such as {default!r} was expected")
        given: dict[str, Any] = {
            k: None if v == "" else tuple(v) if isinstance(v, list) else v for k, v in found.items()
        }
        return cls(**given)

    @property
    def electrodes(self) -> int:
        """How many channels are read."""
        return self.input_width * self.input_height

    def check(self) -> None:
        """Raise ConfigError where options do not go together (not before: they may be set one after another)."""
        if self.channel not in (1, 3):
            raise ConfigError(f"channel must be the number of planes of the image, 1 or 3, got {self.channel}")
        if self.input_width < 1 or self.input_height < 1:
            raise ConfigError(f"an image must have rows and columns, got {self.input_width} x {self.input_height}")
        if self.fold < 1 or self.num_workers < 0:
            raise ConfigError(
                f"fold must be 1 or more and num_workers 0 or more, got {self.fold} and {self.num_workers}"
            )
        if self.finetune and self.pretrain_model_path is None:
            raise ConfigError("finetune starts from a saved network; give its file as pretrain_model_path")


def system(
    options: HDOptions = HDOptions(), protocol: Protocol | None = None, filters: Sequence[Any] = (), rest: Any = "keep"
) -> Recipe:
    """The recipe that the options stand for: MobileNetV2 on single samples, each z-scored over its channels."""
    options.check()
    if protocol is None:
        whole = KFoldRepetitions(None if options.fold == 1 else options.fold)
        random_half = LeakyShuffledWindows(0.5, "pooled", seed=options.seed, honest=whole)
        protocol = random_half if options.fold == 1 else whole
    network: dict[str, Any] = {"width": options.model_width, "grid": (options.input_width, options.input_height)}
    if options.channel != 1:
        network["planes"] = options.channel
    method: dict[str, Any] = {
        "model_options": network,
        "epochs": options.Epoch,
        "batch_size": options.batch_size,
        "lr": options.learning_rate,
        "schedule": "cosine",
        "schedule_options": {"period": options.T_max},
        "weight_decay": options.weight_decay,
        "label_smoothing": options.label_smoothing,
        "normalise": "window",
    }
    if options.finetune:
        method["pretrained"] = str(options.pretrain_model_path)
        method["layers"] = dict.fromkeys(STEM, 0)
    return Recipe(
        name=f"hd-mobilenet-{options.model_width:g}",
        dataset=_dataset(options),
        dataset_options=_dataset_options(options),
        subjects=options.subjects,
        filters=(FirstChannels(options.electrodes), *filters),
        windowing=SampleBySample(),
        rest=rest,
        protocol=protocol,
        method="mobilenet_v2",
        method_options=method,
        seed=options.seed,
    )


def _dataset(options: HDOptions) -> Any:
    return DATASETS.get(options.dataset, options.dataset) if isinstance(options.dataset, str) else options.dataset


def _dataset_options(options: HDOptions) -> dict[str, Any]:
    """An image of all 192 rows of CSL-HDEMG holds those that carry no data; they are zeros."""
    return {"dead_rows": True} if _dataset(options) == "csl_hdemg" and options.electrodes == N_ROWS else {}


def recordings(options: HDOptions) -> list[Recording]:
    """What the options say to read: from `data_path` where it is given, else from where the data set is."""
    if options.data_path is None:
        return read(system(options))
    from myograph.datasets.base import get

    if not Path(options.data_path).is_dir():
        raise ConfigError(f"there is no folder {options.data_path}; data_path is the folder that holds the recordings")
    return list(get(_dataset(options), **_dataset_options(options)).read(Path(options.data_path), options.subjects))


def run(options: HDOptions, out: str | Path | None = None, progress: Progress | None = None) -> Scores:
    """Evaluate the options' recipe; with one fold the scores are LEAKY, with `honest` scores next to them."""
    return evaluate(system(options), recordings(options), out, jobs=max(options.num_workers, 1), progress=progress)


def saved_as(options: HDOptions) -> Path | None:
    """Return the file that the network of `train` is written to: `model_save`, or a file in it if it is a folder.

    >>> saved_as(HDOptions(model_save="pretrain_model")).as_posix()
    'pretrain_model/mobilenet_v2.safetensors'
    """
    if options.model_save is None:
        return None
    path = Path(options.model_save)
    return path if path.suffix and not path.is_dir() else path / "mobilenet_v2.safetensors"


def train(options: HDOptions) -> Iterator[tuple[Any, float | None, Path | None]]:
    """Fit a network per fold; (fitted NeuralClassifier, accuracy on the fold's repetitions, file) of each fold in turn.

    With one fold, whose test samples are neighbours of its train samples, there is no accuracy: it would be LEAKY.
    The last epoch is kept (the published program keeps the one that does best on the test samples). With `model_save`
    each network is written: to this file, or into this folder as `mobilenet_v2.safetensors`; of several folds the
    files end in `-fold1` and so on.
    """
    from myograph.evaluation.prepared import make_method

    recipe = system(options)
    windows = prepare(recipe, recordings(options))
    folds = list(recipe.protocol.folds(windows))
    check(windows, folds, recipe.protocol)
    for number, fold in enumerate(folds, 1):
        fitted: Any = make_method(recipe)
        fitted.fit(windows[fold.train])
        path = saved_as(options)
        if path is not None:
            path = path if len(folds) == 1 else path.with_stem(f"{path.stem}-fold{number}")
            path.parent.mkdir(parents=True, exist_ok=True)
            fitted.save(path)
        yield fitted, None if recipe.protocol.leaky else fitted.score(windows[fold.test]), path


def try_label(model: str | Path, file: str | Path, label: str, options: HDOptions = HDOptions()) -> dict[str, Any]:
    """Test a saved network on one file, all of whose samples have one label.

    Parameters
    ----------
    model : a network that `train` saved.
    file : a recording in the format of the options' data set ("ICE" or "CSL"), such as `001-002-005.mat`.
    label : the label's name, or its number among the network's classes as in the published program.

    Returns
    -------
    label, n (samples), accuracy, and predicted: how many samples were given each label.

    Raises
    ------
    UnknownNameError : the network does not know the label.
    ConfigError : single files of this data set cannot be read.
    """
    from myograph.training.estimator import NeuralClassifier

    network = NeuralClassifier.load(model)
    names = [str(name) for name in network.classes_]
    if label not in names and label.isdecimal() and int(label) < len(names):
        label = names[int(label)]
    if label not in names:
        raise unknown_name("label of this network", label, names)
    recording = FirstChannels(options.electrodes).apply(_one_file(options, Path(file)))
    windows = Windows.cut([recording], SampleBySample(network.n_samples_))
    predicted, counts = np.unique(network.predict(windows).astype(str), return_counts=True)
    hits = dict(zip(predicted.tolist(), counts.tolist()))
    return {"label": label, "n": len(windows), "accuracy": hits.get(label, 0) / len(windows), "predicted": hits}


def _one_file(options: HDOptions, path: Path) -> Recording:
    """One file as a recording without labels."""
    from myograph.datasets.base import get
    from myograph.datasets.file_per_trial import FilePerTrial

    dataset: Any = get(_dataset(options), **_dataset_options(options))
    if not path.is_file():
        raise ConfigError(f"there is no file {path}; give a recording of the data set {dataset.name}")
    if isinstance(dataset, FilePerTrial):
        signal = dataset.parse(path)
        about: dict[str, Any] = {"subject": "", "unit": dataset.unit, "layout": dataset.layout, "name": path.name}
        return Recording(signal, dataset.rate_hz, np.full(signal.shape[1], -1, np.int32), **about)
    if dataset.name == "csl_hdemg":
        from myograph.datasets.file_per_recording import File

        found = dataset.record(File(path, "", "", 0))
        return replace(found, label=np.full(found.n_samples, -1, np.int32), label_names=())
    raise ConfigError(f"single files of {dataset.name} cannot be read; choose dataset=ICE or dataset=CSL")


def m5(options: HDOptions = HDOptions(), epochs: int = 100, step: int = 1, filters: Sequence[Any] = ()) -> Recipe:
    """M5 on 20 samples at a time, raw: AdamW 0.01, cosine over 100 epochs, label smoothing, 33 % of the windows test."""
    whole = KFoldRepetitions(None if options.fold == 1 else options.fold)
    return Recipe(
        name="hd-m5",
        dataset=options.dataset,
        subjects=options.subjects,
        filters=(FirstChannels(options.electrodes), *filters),
        windowing=SampleBySample(20, step),
        rest="drop",
        protocol=LeakyShuffledWindows(0.33, "pooled", seed=options.seed, honest=whole),
        method="m5",
        method_options={
            "epochs": epochs,
            "batch_size": options.batch_size,
            "lr": 0.01,
            "schedule": "cosine",
            "schedule_options": {"period": epochs},
            "weight_decay": 0.01,
            "label_smoothing": options.label_smoothing,
            "normalise": "none",
        },
        seed=options.seed,
    )
