"""`myograph bids`: write data sets as BIDS-EMG folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from myograph.cli.terminal import Json, print_json, print_path, progress_bar

app = typer.Typer(no_args_is_help=True, help="Write data sets in the Brain Imaging Data Structure (BIDS-EMG).")


@app.callback()
def group() -> None:
    """Keep `export` as a subcommand, although it is the only one."""


@app.command()
def export(
    dataset: Annotated[str, typer.Argument(help="Name of a data set, or the path of a dataset.toml.")],
    out: Annotated[Path, typer.Argument(help="Folder to create.")],
    subjects: Annotated[str | None, typer.Option(help="Subjects to write: 1-6, or 1,3,5, or names.")] = None,
    bits: Annotated[int, typer.Option(help="24 writes BDF+, 16 writes EDF+.")] = 24,
    task: Annotated[str | None, typer.Option(help="Name of the task [default: the data set's name]")] = None,
    as_json: Json = False,
) -> None:
    """Write a data set as BIDS-EMG: signals, channels, electrodes, and events with labels and repetitions.

    To read the folder back, use `--dataset bids --set dataset.path=OUT`.
    """
    from myograph.datasets import export_bids as write

    with progress_bar() as progress:
        folder = write(dataset, out, subjects, bits, task, progress=progress)
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    if as_json:
        print_json({"folder": str(folder), "files": files})
        return
    print_path(f"{len(files)} files in", folder)
