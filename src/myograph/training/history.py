"""The progress bar of a training run, and the plot of its history."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myograph._common.svg import STYLE, lines
from myograph.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


class EpochBar:
    """A progress bar over epochs with the latest losses and accuracies; hidden unless `enabled`.

    >>> with EpochBar(epochs=2, enabled=False) as bar:
    ...     bar.show({"epoch": 1, "train_loss": 0.5})
    """

    def __init__(self, epochs: int, done: int = 0, enabled: bool = True):
        self.bar: Any = None
        if enabled:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self.bar = Progress(
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[row]}"),
                TimeRemainingColumn(),
            )
            self.task = self.bar.add_task("epoch", total=epochs, completed=done, row="")

    def __enter__(self) -> EpochBar:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, row: dict[str, Any]) -> None:
        """Show one row of the history."""
        if self.bar is None:
            return
        text = f"loss {row['train_loss']:.4f}"
        text += f" acc {row['train_accuracy']:.3f}" if "train_accuracy" in row else ""
        text += f" | valid loss {row['valid_loss']:.4f}" if "valid_loss" in row else ""
        text += f" acc {row['valid_accuracy']:.3f}" if "valid_accuracy" in row else ""
        self.bar.update(self.task, completed=row["epoch"], row=text)


def plot_history(history: pd.DataFrame, best_epoch: int, path: str | os.PathLike[str] | None = None) -> str:
    """Draw losses and, if available, accuracies per epoch; a dotted line marks the epoch whose weights are kept.

    Parameters
    ----------
    history : one row per epoch, as `history_` of an estimator.
    best_epoch : the epoch whose weights are kept, counted as in the column "epoch".
    path : an .html file to write; None writes none.

    Returns
    -------
    The page as HTML text; each chart in it is an <svg> element.

    Raises
    ------
    ConfigError : the path does not end in .html.

    Examples
    --------
    >>> import pandas as pd
    >>> page = plot_history(pd.DataFrame({"epoch": [1, 2], "train_loss": [0.9, 0.5]}), best_epoch=2)
    >>> page.count("<svg")
    1
    """
    epochs = history["epoch"].tolist()
    charts = [
        lines(
            epochs,
            {part: history[f"{part}_{w}"].tolist() for part in ("train", "valid") if f"{part}_{w}" in history},
            f"{w} per epoch",
            epochs.index(best_epoch) if best_epoch in epochs else None,
        )
        for w in ("loss", "accuracy")
        if f"train_{w}" in history
    ]
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Training</title>{STYLE}</head>'
    page = f"{head}<body>{''.join(charts)}</body></html>"
    if path is not None:
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"path must end in .html, got {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    return page
