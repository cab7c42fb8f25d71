"""The terminal view of `myograph live`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from myograph.cli.live import LiveRun

BAR = 32


def panel(run: LiveRun) -> Panel:
    """Return the view of a session: the decision, the probabilities, latency, and gaps."""
    made, info = run.last, run.session.info
    title = "waiting for samples" if info is None else escape(info.name)
    lines: list[Any] = []
    if not run.session.connected:
        lines.append(Text("connection lost, trying again", style="bold red"))
    if run.asked:
        lines.append(Text.assemble("asked   ", (run.asked, "bold")))
    if made is None:
        lines.append(Text("no decision yet", style="dim"))
        return Panel(Group(*lines), title=title, subtitle="Ctrl-C ends")
    rejected = bool(made.rejected[-1])
    decided = f"{made.names[-1]}" + (" (rejected)" if rejected else "")
    lines += [Text.assemble("decided ", (decided, "dim" if rejected else "bold green")), _bars(run)]
    spent = np.array(run.latencies)
    p50, p99 = np.percentile(spent, [50, 99]) if len(spent) else (float("nan"),) * 2
    counts = run.session.counts
    lines.append(
        Text(
            f"{run.made} decisions, latency p50 {p50:.2f} ms, p99 {p99:.2f} ms; {counts.get('samples', 0)} samples, "
            f"{counts.get('filled', 0)} filled, {counts.get('lost', 0)} lost, {counts.get('restarts', 0)} restarts",
            style="dim",
        )
    )
    return Panel(Group(*lines), title=title, subtitle="Ctrl-C ends")


def _bars(run: LiveRun) -> Table:
    made = run.last
    grid = Table.grid(padding=(0, 2))
    if made is None:
        return grid
    for i, name in enumerate(made.classes):
        share = made.proba[-1, i]
        known = bool(np.isfinite(share))
        length = round(BAR * share) if known else BAR * int(i == made.raw[-1])
        style = "green" if i == made.label[-1] else "cyan"
        bar = Text("█" * length, style=style) + Text("·" * (BAR - length), style="dim")
        grid.add_row(escape(name), bar, f"{share:.2f}" if known else "")
    return grid
