"""`myograph models`: parameters, multiply-accumulates and latency of the networks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from myograph.cli.listings import SIZE, rows_of_models
from myograph.cli.terminal import Json, print_facts, print_json, print_rows

app = typer.Typer(no_args_is_help=True, help="The networks: parameters, multiply-accumulates, latency.")

Channels = Annotated[int, typer.Option(help="Number of electrodes.")]
Samples = Annotated[int, typer.Option(help="Samples per window.")]
Classes = Annotated[int, typer.Option(help="Number of classes.")]


@app.command("list")
def list_all(
    channels: Channels = SIZE["n_channels"],
    samples: Samples = SIZE["n_samples"],
    classes: Classes = SIZE["n_classes"],
    as_json: Json = False,
) -> None:
    """List every network with its parameters and multiply-accumulates for one input size."""
    rows = rows_of_models(channels, samples, classes)
    shown = ("name", "channels", "samples", "classes", "parameters", "macs", "activation_bytes", "summary")
    print_rows(rows if as_json else [{key: row.get(key) for key in shown} for row in rows], as_json)


@app.command()
def info(
    name: str,
    channels: Channels = SIZE["n_channels"],
    samples: Samples = SIZE["n_samples"],
    classes: Classes = SIZE["n_classes"],
    rate: Annotated[float | None, typer.Option(help="Sampling rate in Hz, to show the window length in ms.")] = None,
    as_json: Json = False,
) -> None:
    """Show one network: parameters, multiply-accumulates, activation memory, latency of one window."""
    from myograph._common.registry import first_line
    from myograph.models import MODELS
    from myograph.models.cost import count

    facts: dict[str, Any] = {"model": name, "what": first_line(MODELS[name])}
    facts.update(count(name, n_channels=channels, n_samples=samples, n_classes=classes))
    if rate:
        facts["window_ms"] = 1000 * samples / rate
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)
