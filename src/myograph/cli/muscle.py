"""`myograph muscle`: the steps of the published muscle system, one command each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from myograph.cli.steps import Dataset, Full, say_first
from myograph.cli.terminal import Json, out, print_curve, print_json, print_path, print_rows, progress_bar

app = typer.Typer(
    no_args_is_help=True,
    help="The published muscle system (muscle_cnn_lstm), step by step: pretrain the convolutions as autoencoders, train the "
    "network, validate it on the held-out bursts. Each step stores its results in the run's folder, where the next step "
    "reads them.",
)

Network = Annotated[
    str, typer.Option(help="hybrid-pretrained, hybrid-random, cnn or lstm; only the first is pretrained.")
]
Split = Annotated[
    str, typer.Option(help="intrapersonal: test on 20 % of each person's bursts; loso: leave one subject out.")
]
Folder = Annotated[
    Path | None, typer.Option("--out", help="Folder of the run [default: that of `myograph reproduce muscle_cnn_lstm`]")
]
NAMES = {
    "hybrid-pretrained": "hybrid, pretrained",
    "hybrid-random": "hybrid, random",
    "cnn": "CNN only",
    "lstm": "LSTM only",
}


@app.command("pretrain")
def pretrain(
    split: Split = "intrapersonal",
    dataset: Dataset = None,
    full: Full = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Step 1: pretrain each convolutional layer of the hybrid in turn as an autoencoder; print the loss per epoch."""
    with _opened("hybrid-pretrained", split, dataset, full, folder) as muscles:
        histories = list(muscles.pretrain())
    if as_json:
        print_json({"folder": str(muscles.context.folder), "folds": histories})
        return
    for number, layers in enumerate(histories, 1):
        for layer, rows in layers.items():
            curve = [{"epoch": row["epoch"], "loss": row["train_loss"]} for row in rows]
            print_curve(curve, f"fold {number}, autoencoder of layer {layer}")
    print_path("stored in", muscles.context.folder)


@app.command("train")
def train(
    network: Network = "hybrid-pretrained",
    split: Split = "intrapersonal",
    dataset: Dataset = None,
    full: Full = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Step 2: train the network; print loss and accuracy per epoch. hybrid-pretrained needs `muscle pretrain`."""
    with _opened(network, split, dataset, full, folder) as muscles:
        if muscles.pretrains and muscles.missing("pretrained"):
            say_first(muscles.context, "the pretrained weights", "muscle pretrain", f"--split {split}")
        found = [
            {
                "fold": number,
                "epochs": fitted.history_.to_dict("records"),
                "saved": str(muscles.path("network", number)),
            }
            for number, fitted in muscles.train()
        ]
    if as_json:
        print_json({"folder": str(muscles.context.folder), "folds": found})
        return
    for one in found:
        keys = {"epoch": "epoch", "train_loss": "loss", "train_accuracy": "accuracy"}
        curve = [{words: row[key] for key, words in keys.items()} for row in one["epochs"]]
        print_curve(curve, f"fold {one['fold']}, training bursts")
        print_path("saved", one["saved"])


@app.command("validate")
def validate(
    network: Network = "hybrid-pretrained",
    split: Split = "intrapersonal",
    dataset: Dataset = None,
    full: Full = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Step 3: print loss per epoch, accuracy and confusion matrix on the held-out bursts. Needs `muscle train`."""
    with _opened(network, split, dataset, full, folder) as muscles:
        if muscles.missing("network"):
            train_it = ("muscle train", f"--network {network}", f"--split {split}")
            say_first(muscles.context, "the trained networks", *train_it)
        found = list(muscles.validate())
    mean = sum(one["accuracy"] for one in found) / len(found)
    if as_json:
        print_json({"folder": str(muscles.context.folder), "accuracy": mean, "folds": found})
        return
    for one in found:
        print_curve(one["epochs"], f"fold {one['fold']}, held-out bursts")
        out.print(f"fold {one['fold']}: accuracy {one['accuracy']:.3f} of {one['n']:,} samples")
    labels = found[0]["labels"]
    counts = [[sum(one["confusion"][i][j] for one in found) for j in range(len(labels))] for i in range(len(labels))]
    rows: list[Mapping[str, Any]] = [{"true": a, **dict(zip(labels, line))} for a, line in zip(labels, counts)]
    print_rows(rows, title="confusion matrix (one row per true class, one column per predicted class)")
    out.print(f"mean over {len(found)} fold{'s' if len(found) != 1 else ''}: {mean:.3f}")


@contextmanager
def _opened(network: str, split: str, dataset: str | None, full: bool, folder: Path | None) -> Iterator[Any]:
    """Open the steps of a run; its folder is locked while they are in use."""
    from myograph.errors import unknown_name
    from myograph.evaluation.reproduction import context_of
    from myograph.recipes.muscle_steps import SPLITS, Muscles

    if network not in NAMES:
        raise unknown_name("value of --network", network, NAMES)
    if split not in SPLITS:
        raise unknown_name("value of --split", split, SPLITS)
    with (
        progress_bar() as progress,
        context_of("muscle_cnn_lstm", not full, dataset, 1, folder, 1, progress) as context,
    ):
        yield Muscles(context, NAMES[network], split)
