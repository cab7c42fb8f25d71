"""Watching a training run: the progress bar, and the plot of its history."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myograph.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


class Progress:
    """A bar over epochs with the last row's losses and accuracies; nothing at all where not enabled."""

    def __init__(self, epochs: int, done: int = 0, enabled: bool = True):
        self.bar: Any = None
        if enabled:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self.bar = Bar(
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[row]}"),
                TimeRemainingColumn(),
            )
            self.task = self.bar.add_task("epoch", total=epochs, completed=done, row="")

    def __enter__(self) -> Progress:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, row: dict[str, Any]) -> None:
        if self.bar is None:
            return
        text = f"loss {row['train_loss']:.4f}"
        text += f" acc {row['train_accuracy']:.3f}" if "train_accuracy" in row else ""
        text += f" | valid loss {row['valid_loss']:.4f}" if "valid_loss" in row else ""
        text += f" acc {row['valid_accuracy']:.3f}" if "valid_accuracy" in row else ""
        self.bar.update(self.task, completed=row["epoch"], row=text)


def plot_history(history: pd.DataFrame, best_epoch: int, path: str | os.PathLike[str] | None = None) -> go.Figure:
    """Losses on the left and, where there are any, accuracies on the right, by epoch; the kept epoch is marked."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    what = [w for w in ("loss", "accuracy") if f"train_{w}" in history]
    figure = make_subplots(rows=1, cols=len(what), subplot_titles=what)
    for column, name in enumerate(what, start=1):
        for part, colour in (("train", "#4c78a8"), ("valid", "#f58518")):
            if f"{part}_{name}" in history:
                line = go.Scatter(
                    x=history["epoch"],
                    y=history[f"{part}_{name}"],
                    name=part,
                    legendgroup=part,
                    showlegend=column == 1,
                    line={"color": colour},
                )
                figure.add_trace(line, row=1, col=column)
        figure.add_vline(x=best_epoch, line_dash="dot", line_color="#888", row=1, col=column)
        figure.update_xaxes(title_text="epoch", row=1, col=column)
    if path is not None:
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(
                f"the history is plotted into an .html file, got {path}; use the returned figure for others"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.write_html(path, include_plotlyjs=True)
    return figure
