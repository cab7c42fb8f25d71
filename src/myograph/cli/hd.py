"""`myograph hd train` and `hd test`: networks on single samples of a high-density grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from myograph.cli.terminal import Json, out, print_json, print_path, print_rows
from myograph.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True, help="The published high-density system, step by step: train a network, test it on a file."
)

Config = Annotated[
    Path | None, typer.Option("--config", help="The authors' config.json, or a JSON file with the same names.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="One option of the published configuration: Epoch=5, model_width=0.4, fold=5 …"),
]


@app.command("train")
def train(config: Config = None, settings: Settings = None, as_json: Json = False) -> None:
    """Train MobileNetV2 on single samples of a high-density grid, one network per fold; model_save=FILE saves it."""
    from myograph.recipes import hd_mobilenet as hd

    options = _options(config, settings)
    # With one fold, test samples are neighbours of training samples, so the score is never shown alone.
    leaky = options.fold == 1
    folds: list[dict[str, Any]] = []
    for _, accuracy, path in hd.train(options):
        folds.append({"fold": len(folds) + 1, "accuracy": accuracy, "saved": str(path or "")})
        if not as_json:
            if accuracy is not None:
                out.print(f"fold {len(folds)} of {options.fold}: accuracy on its test repetitions {accuracy:.3f}")
            if path:
                print_path("saved", path)
    mean = None if leaky else sum(fold["accuracy"] for fold in folds) / len(folds)
    if as_json:
        print_json({"accuracy": mean, "leaky": leaky, "folds": folds})
    elif leaky:
        out.print(
            "The network was trained on randomly chosen samples, as published, so its test score would be "
            "[bold red]LEAKY[/bold red] and is not shown here. [bold]myograph reproduce hd_mobilenet[/bold] shows it "
            "beside the honest score; --set fold=5 keeps whole repetitions for the test."
        )
    else:
        out.print(f"mean over {len(folds)} folds: {mean:.3f}")


@app.command("test")
def try_on_file(
    file: Annotated[Path, typer.Argument(help="A recording of one label, such as 001-002-005.mat.")],
    label: Annotated[
        str, typer.Option(help="The class of all samples in the file: its name, or its index from 0.")
    ] = "0",
    model: Annotated[
        Path | None, typer.Option(help="A network saved by hd train [default: the one that model_save names].")
    ] = None,
    config: Config = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Test a saved network on one file whose samples all have the same label."""
    from myograph.recipes import hd_mobilenet as hd

    options = _options(config, settings)
    network = model or hd.saved_as(options)
    if network is None:
        raise ConfigError("no network is given; give --model FILE, or --config with the model_save that hd train used")
    found = hd.try_label(network, file, label, options)
    if as_json:
        print_json(found)
        return
    out.print(escape(f"{found['label']}: {found['accuracy']:.3f} of {found['n']:,} samples are classified correctly"))
    out.print("[bold red]LEAKY[/bold red] if the network was trained on any sample of this file's repetition")
    print_rows([{"predicted": name, "samples": n} for name, n in found["predicted"].items()])


def _options(config: Path | None, settings: list[str] | None) -> Any:
    from myograph.evaluation.settings import change
    from myograph.recipes.hd_mobilenet import HDOptions

    return change(HDOptions.from_config(config) if config else HDOptions(), settings or ())
