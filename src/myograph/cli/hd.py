"""`myograph hd-train` and `hd-test`: networks on single samples of a high-density grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from myograph.cli.terminal import Json, out, print_json, print_path, print_rows


def train_network(
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="An option of HDOptions: epochs=5, width=0.4, model_save=net …")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train MobileNetV2 on single samples of a high-density grid, and save it (model_save=FILE)."""
    from myograph.evaluation.settings import change
    from myograph.recipes import hd_mobilenet as hd

    options = change(hd.HDOptions(), settings or ())
    _, accuracy = hd.train(options)
    # With folds=1 test samples are neighbours of train samples: no score without the honest one beside it.
    leaky = options.folds == 1
    if as_json:
        print_json({"accuracy": None if leaky else accuracy, "leaky": leaky, "saved": str(options.model_save or "")})
        return
    if leaky:
        out.print(
            "The network was trained on randomly chosen samples, as published. Its test score would be "
            "[bold red]LEAKY[/bold red] and is not shown. [bold]myograph reproduce hd_mobilenet[/bold] shows it beside "
            "the honest one; --set folds=5 trains honestly."
        )
    else:
        out.print(f"accuracy on the held-out repetitions: {accuracy:.3f}")
    if options.model_save:
        print_path("saved", options.model_save)


def try_label(
    model: Annotated[Path, typer.Argument(help="A network saved by hd-train.")],
    label: Annotated[str, typer.Option(help="The label whose recordings are tested.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="As for hd-train: dataset, path, …")] = None,
    as_json: Json = False,
) -> None:
    """Test a saved high-density network on the recordings of one label."""
    from myograph.evaluation.settings import change
    from myograph.recipes import hd_mobilenet as hd

    found = hd.try_label(model, label, change(hd.HDOptions(), settings or ()))
    if as_json:
        print_json(found)
        return
    out.print(escape(f"{found['label']}: {found['accuracy']:.3f} of {found['n']:,} samples are classified correctly"))
    out.print("[bold red]LEAKY[/bold red] if the network was trained on any repetition of these recordings")
    print_rows([{"predicted": name, "samples": n} for name, n in found["predicted"].items()])
