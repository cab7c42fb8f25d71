"""The scores of a run as tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from myograph.cli.terminal import out

if TYPE_CHECKING:
    from myograph.evaluation.run import SideBySide
    from myograph.evaluation.scores import Scores


def show_scores(scores: Scores) -> None:
    """Print the scores as tables; those of a LEAKY run in red, with the honest scores in the next column."""
    info = scores.info
    out.print(
        f"[bold]{escape(info['recipe'])}[/bold]: "
        + escape(
            f"{info['method']} on {info['dataset']}, {info['protocol']}, {len(scores.subjects)} subjects, "
            f"{len(scores.labels)} classes, {len(scores.predictions)} test windows"
        )
    )
    if scores.leaky:
        out.print("[bold red]LEAKY[/bold red]: train and test share samples; the honest scores are shown beside.")
    else:
        out.print("[green]audit passed[/green]: no shared sample, no shared repetition in any fold")
    out.print(escape(f"question: {scores.question}"), highlight=False)
    for note in scores.notes:
        out.print(f"[yellow]note[/yellow]: {escape(note)}", highlight=False)
    out.print(_metrics(scores))
    out.print(escape(scores.interval), highlight=False)
    if scores.target_only:
        out.print("target only: the same method, fitted on the calibration repetitions of the tested person alone")
    if every := info.get("continuous"):
        out.print(_every_decision(every))
    alone = scores.target_only.subjects.set_index("subject")["accuracy"] if scores.target_only else None
    subjects = Table("subject", "accuracy", "balanced", "windows", *([] if alone is None else ["target only"]))
    for row in scores.subjects.to_dict("records"):
        cells = [escape(row["subject"]), f"{row['accuracy']:.3f}", f"{row['balanced_accuracy']:.3f}", f"{row['n']}"]
        subjects.add_row(*cells, *([] if alone is None else [f"{alone[row['subject']]:.3f}"]))
    out.print(subjects)
    for paper in info["published"]:
        value = f"{paper['value']}" + (f" ± {paper['std']}" if paper["std"] is not None else "")
        out.print(escape(f"published: {paper['setting']} {value} ({paper['source']}, {paper['status']})"))


def show_side_by_side(found: SideBySide) -> None:
    """Print the scores of one recipe under several honest protocols, one row per question."""
    table = Table("question", "protocol", "accuracy", "balanced accuracy", "chance", "n")
    for question, scores in found.scores.items():
        accuracy, balanced = scores.summary["accuracy"], scores.summary["balanced_accuracy"]
        table.add_row(
            escape(question),
            escape(scores.info["protocol"]),
            mean_and_spread(accuracy),
            mean_and_spread(balanced),
            f"{scores.chance:.3f}",
            f"{accuracy['n']} {scores.over}s",
        )
    for question, why in found.skipped.items():
        table.add_row(escape(question), escape(f"not run: {why}"), "", "", "", "")
    out.print(table)


def _metrics(scores: Scores) -> Table:
    from myograph.evaluation.metrics import TITLES

    honest = scores.honest
    mean = f"mean ± sd over {scores.over}s"
    columns = ["[red]LEAKY[/red]" if honest else mean, "95 % interval"]
    if honest:
        columns.append(f"honest ({escape(honest.info['protocol'])})")
    if scores.target_only:
        columns.append("target only")
    table = Table("metric", *columns)
    for name, title in TITLES.items():
        found = scores.summary[name]
        if not found["n"]:
            continue
        row = [title, mean_and_spread(found), interval(found)]
        table.add_row(*row, *(mean_and_spread(other.summary[name]) for other in (honest, scores.target_only) if other))
    return table


def _every_decision(found: dict[str, Any]) -> Table:
    from myograph.evaluation.report.decision_charts import decision_tiles

    minutes = 60 * found["hours"]
    table = Table("every decision, rest included", f"{found['decisions']} in {minutes:.1f} min", "")
    for tile in decision_tiles(found["metrics"]):
        table.add_row(tile["title"], tile["value"], tile["note"])
    return table


def mean_and_spread(found: dict[str, Any]) -> str:
    """Return `0.812 ± 0.030`, or the value alone if there is only one."""
    return f"{found['mean']:.3f}" + (f" ± {found['std']:.3f}" if found["n"] > 1 else "")


def interval(found: dict[str, Any]) -> str:
    """Return `0.790 to 0.834`, or an empty text if there is no interval."""
    low, high = found["low"], found["high"]
    return "" if low is None or low != low else f"{low:.3f} to {high:.3f}"
