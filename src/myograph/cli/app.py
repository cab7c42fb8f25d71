"""The command line: `myograph run`, `datasets`, `methods`, `features`, `models`, `recipes`, `report`."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from myograph.errors import MyographError, ResultsError, unknown_name

if TYPE_CHECKING:
    from myograph.evaluation.run import Report
    from myograph.evaluation.scores import Scores

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Surface EMG from raw recordings to an honest, reproducible classifier.",
)
datasets_app = typer.Typer(no_args_is_help=True, help="Where recordings come from, and whether yours are whole.")
features_app = typer.Typer(no_args_is_help=True, help="Features of a window.")
models_app = typer.Typer(no_args_is_help=True, help="The networks: sizes, arithmetic, latency.")
app.add_typer(datasets_app, name="datasets")
app.add_typer(features_app, name="features")
app.add_typer(models_app, name="models")

INTERRUPTED = 130
out = Console()
err = Console(stderr=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]


@app.command()
def run(
    recipe: Annotated[str | None, typer.Argument(help="A recipe's name; see `myograph recipes`.")] = None,
    dataset: Annotated[str | None, typer.Option(help="A data set's name; see `myograph datasets list`.")] = None,
    subjects: Annotated[str | None, typer.Option(help="Which subjects: 1-6, or 1,3,5, or names.")] = None,
    method: Annotated[str | None, typer.Option(help="A method's name; see `myograph methods`.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change anything: key=value, e.g. windowing.length_ms=250.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    jobs: Annotated[int, typer.Option(help="Folds at work at once; -1 is one a core.")] = -1,
    folder: Annotated[Path | None, typer.Option("--out", help="The run's folder [default: runs/NAME-IDENTITY]")] = None,
    as_json: Json = False,
) -> None:
    """Evaluate a method on a data set under a protocol, and write predictions, scores and a report.

    Interrupted, the same command goes on where it stopped. Without arguments: the built-in simulator.
    """
    from myograph.evaluation.recipe import DEFAULT_METHOD, RECIPES, Recipe, baseline
    from myograph.evaluation.report.page import write_report
    from myograph.evaluation.run import evaluate
    from myograph.evaluation.settings import change

    chosen: Recipe = RECIPES.create(recipe) if recipe else baseline(dataset or "simulated", method or DEFAULT_METHOD)
    if dataset and recipe:
        chosen = dataclasses.replace(chosen, dataset=dataset, name=f"{chosen.name}-{dataset}")
    if method and recipe:
        chosen = dataclasses.replace(chosen, method=method, method_options={}, name=f"{chosen.name}-{method}")
    if subjects:
        chosen = dataclasses.replace(chosen, subjects=tuple(part.strip() for part in subjects.split(",")))
    chosen = change(chosen, settings or ())
    if seed is not None:
        chosen = dataclasses.replace(chosen, seed=seed)
    with progress_bar() as say:
        scores = evaluate(chosen, out=folder, root="runs", jobs=jobs, progress=say, command=_command())
        report = write_report(scores)
    if as_json:
        print(json.dumps({**scores.as_dict(), "report": str(report)}, indent=1))
    else:
        show_scores(scores)
        out.print(f"\nreport  [bold]{report}[/bold]", soft_wrap=True)


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")], as_json: Json = False
) -> None:
    """Show a finished run again, and write its report anew."""
    from myograph.evaluation.report.page import write_report
    from myograph.evaluation.scores import Scores

    scores = Scores.load(run_folder)
    page = write_report(scores)
    if as_json:
        print(json.dumps({**scores.as_dict(), "report": str(page)}, indent=1))
        return
    show_scores(scores)
    out.print(f"\nreport  [bold]{page}[/bold]", soft_wrap=True)


@app.command()
def reproduce(
    name: Annotated[str | None, typer.Argument(help="A published system; see --list.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every published system, and one page of all.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the published systems.")] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full/--quick",
            help="As published; or small (the default): simulated people, or a few of --dataset, and fewer epochs.",
        ),
    ] = False,
    dataset: Annotated[str | None, typer.Option(help="Run on this data set instead.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds to average over.")] = 1,
    jobs: Annotated[int, typer.Option(help="Folds at work at once; -1 is one a core.")] = -1,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results [default: runs/reproduce-…]")
    ] = None,
    docs: Annotated[
        bool, typer.Option("--docs", help="Write docs/reproductions.md from the results stored in it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a published system whole: the paper's figure, ours, and the honest one where the paper's leaks."""
    from myograph.evaluation import reproduction as rep

    if listing or not (name or everything or docs):
        _print_rows([{"name": n, "what": _first_line(rep.REPRODUCTIONS[n])} for n in rep.REPRODUCTIONS], as_json)
        return
    if docs:
        stored = [rep.load_result(path) for path in sorted(Path("docs/results").glob("*.json"))]
        if not stored:
            raise ResultsError(
                f"{Path('docs/results').absolute()} holds no results; run this where the project's docs are"
            )
        rep.write_markdown(stored, Path("docs/reproductions.md"))
        out.print("wrote docs/reproductions.md from", ", ".join(f"{r['name']} ({r['kind']})" for r in stored))
        return
    results = []
    for each in rep.REPRODUCTIONS if everything else [name]:
        place = folder / str(each) if folder and everything else folder
        with progress_bar() as say:
            results.append(rep.reproduce(str(each), not full, dataset, seeds, place, jobs, say))
        if not as_json:
            show_reproduction(results[-1])
    if everything:
        page = (folder or Path("runs")) / "reproductions.html"
        rep.write_page(results, page)
        results_page = str(page)
    else:
        results_page = results[0]["report"]
    if as_json:
        print(json.dumps(results if everything else results[0], indent=1))
    else:
        out.print(f"\nreport  [bold]{results_page}[/bold]", soft_wrap=True)


def show_reproduction(result: dict[str, Any]) -> None:
    """A reproduction's rows as a table."""
    from myograph.evaluation.reproduction import counted, shown

    table = Table("setting", "paper", "ours", "honest", "n", title=result["title"])
    for row in result["rows"]:
        paper = row["published"] or {}
        ours = shown(row["ours"], row["unit"])
        table.add_row(
            f"{row['section']}: {row['setting']}" if row["section"] else row["setting"],
            f"{paper['value']}" if paper else "",
            f"[bold red]LEAKY[/bold red] {ours}" if row["leaky"] else ours,
            f"[green]{shown(row['honest_summary'], row['unit'])}[/green]" if row["honest_summary"] else "",
            counted(row),
        )
    out.print(table)
    out.print("ran on:", "; ".join(dict.fromkeys(row["data"] for row in result["rows"])), highlight=False)


@app.command("hd-train")
def hd_train(
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
    found = {"accuracy": None if leaky else accuracy, "leaky": leaky, "saved": str(options.model_save or "")}
    if as_json:
        print(json.dumps(found, indent=1))
        return
    if leaky:
        out.print(
            "trained on random samples as published, so its test score would be [bold red]LEAKY[/bold red] and is not "
            "shown; [bold]myograph reproduce hd_mobilenet[/bold] shows it beside the honest one, --set folds=5 trains honestly"
        )
    else:
        out.print(f"accuracy on the repetitions left out: {accuracy:.3f}")
    if options.model_save:
        out.print(f"saved [bold]{options.model_save}[/bold]", soft_wrap=True)


@app.command("hd-test")
def hd_test(
    model: Annotated[Path, typer.Argument(help="A network saved by hd-train.")],
    label: Annotated[str, typer.Option(help="Which label's recordings to test.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="As for hd-train: dataset, path, …")] = None,
    as_json: Json = False,
) -> None:
    """Test a saved high-density network on the recordings of one label."""
    from myograph.evaluation.settings import change
    from myograph.recipes import hd_mobilenet as hd

    found = hd.try_label(model, label, change(hd.HDOptions(), settings or ()))
    if as_json:
        print(json.dumps(found, indent=1))
        return
    out.print(f"{found['label']}: {found['accuracy']:.3f} of {found['n']:,} samples right")
    out.print("[bold red]LEAKY[/bold red] if the network was trained on any repetition of these recordings")
    _print_rows([{"predicted": name, "samples": n} for name, n in found["predicted"].items()], False)


@app.command()
def methods(as_json: Json = False) -> None:
    """List the methods: classical ones, then every network of the model zoo."""
    from myograph.methods import METHODS

    rows = [{"name": name, "what": _first_line(METHODS[name])} for name in METHODS]
    _print_rows(rows, as_json)


@app.command()
def recipes(as_json: Json = False) -> None:
    """List the recipes: data set, method and protocol of each."""
    from myograph.evaluation.recipe import RECIPES, describe

    rows = []
    for name in RECIPES:
        value = RECIPES.create(name)
        protocol = describe(value.protocol)
        rows.append(
            {
                "name": name,
                "dataset": str(value.dataset),
                "method": str(value.method),
                "protocol": protocol["type"] + (" (LEAKY)" if value.protocol.leaky else ""),
            }
        )
    _print_rows(rows, as_json)


@datasets_app.command("list")
def datasets_list(as_json: Json = False) -> None:
    """Every data set that myograph reads, and whether its files are here."""
    from myograph.datasets.base import DATASETS
    from myograph.datasets.load import is_here

    rows = []
    for name in DATASETS:
        dataset = DATASETS[name]
        here = "built in" if not dataset.needs_files else "yes" if is_here(name) else "no"
        rows.append({"name": name, "here": here, "title": dataset.title, "licence": dataset.licence})
    _print_rows(rows, as_json)


@datasets_app.command("info")
def datasets_info(name: str, as_json: Json = False) -> None:
    """Source, licence, citation, files and options of one data set."""
    from myograph.datasets.base import DATASETS, get
    from myograph.datasets.load import is_here

    # A description says what it is of; a data set's defaults are shown without making one.
    cls = get(name) if name.endswith(".toml") else DATASETS[name]
    options = {f.name: f.default for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}
    facts = {
        "name": name,
        "title": cls.title,
        "licence": cls.licence,
        "citation": cls.citation,
        "doi": cls.doi,
        "homepage": cls.homepage,
        "here": is_here(name),
        "files": [f.name for f in cls.files],
        "options": {k: v if isinstance(v, (int, float, str, bool, type(None))) else str(v) for k, v in options.items()},
        "protocol": str(cls.protocol),
        "windowing": str(cls.windowing),
    }
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    grid = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        grid.add_row(f"[bold]{key}[/bold]", shown)
    out.print(grid)


@datasets_app.command("fetch")
def datasets_fetch(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence without being asked.")] = False,
) -> None:
    """Download a data set, resuming what was begun; its licence is shown first."""
    from myograph.datasets.load import fetch

    def confirm(licence: str) -> bool:
        err.print(licence)
        return yes or typer.confirm("Go on?", err=True)

    with progress_bar() as say:
        folder = fetch(name, confirm=confirm, progress=say)
    out.print(f"{name} is in {folder}", soft_wrap=True)


@datasets_app.command("check")
def datasets_check(name: str, as_json: Json = False) -> None:
    """Read all of a data set and say what is missing, damaged or odd. Exit status 1 where there are errors."""
    from myograph.datasets.base import get
    from myograph.datasets.load import locate

    dataset = get(name)
    with progress_bar() as say:
        findings = dataset.check(locate(dataset), progress=say)
    rows = [dataclasses.asdict(f) for f in findings]
    if as_json:
        print(json.dumps({"dataset": name, "findings": rows}, indent=1))
    elif rows:
        _print_rows(rows, False)
    else:
        out.print(f"{name}: [green]nothing missing, damaged or odd[/green]")
    if any(row["level"] == "error" for row in rows):
        raise typer.Exit(1)


@features_app.command("list")
def features_list(as_json: Json = False) -> None:
    """Every feature: name, outputs for one channel, source; then the named groups."""
    from myograph.features import FEATURES, GROUPS

    rows = []
    for name in FEATURES:
        entry = FEATURES[name]
        lines = [line.strip() for line in (entry.function.__doc__ or "").split("\n")]
        tagged = lambda tag: next((t[len(tag) :].strip() for t in lines if t.startswith(tag)), "")  # noqa: E731, B023
        rows.append({"name": entry.name, "what": lines[0], "shape": tagged("Shape:"), "source": tagged("Source:")})
    groups = [{"group": name, "features": ", ".join(members)} for name, members in GROUPS.items()]
    if as_json:
        print(json.dumps({"features": rows, "groups": groups}, indent=1))
        return
    _print_rows(rows, False)
    _print_rows(groups, False)


@models_app.command("list")
def models_list(
    channels: Annotated[int, typer.Option(help="Electrodes.")] = 12,
    samples: Annotated[int, typer.Option(help="Samples in a window.")] = 300,
    classes: Annotated[int, typer.Option(help="Classes.")] = 17,
    as_json: Json = False,
) -> None:
    """Every network with its parameters and multiply-accumulates for one input size."""
    from myograph.models.cost import table

    _print_rows(table(n_channels=channels, n_samples=samples, n_classes=classes), as_json)


@models_app.command("info")
def models_info(
    name: str,
    channels: Annotated[int, typer.Option(help="Electrodes.")] = 12,
    samples: Annotated[int, typer.Option(help="Samples in a window.")] = 300,
    classes: Annotated[int, typer.Option(help="Classes.")] = 17,
    rate: Annotated[float | None, typer.Option(help="Samples a second, to state the window in milliseconds.")] = None,
    as_json: Json = False,
) -> None:
    """One network: parameters, multiply-accumulates, activation memory, latency of one window."""
    from myograph.models import MODELS
    from myograph.models.cost import count

    facts: dict[str, Any] = {"model": name, "what": _first_line(MODELS[name])}
    facts.update(count(name, n_channels=channels, n_samples=samples, n_classes=classes))
    if rate:
        facts["window_ms"] = 1000 * samples / rate
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    grid = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        grid.add_row(f"[bold]{key}[/bold]", f"{value:,}" if isinstance(value, (int, float)) else str(value))
    out.print(grid)


@contextmanager
def progress_bar() -> Iterator[Report]:
    """A bar on stderr with what is being done and the time that remains; yields the function that moves it."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def say(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total, visible=True)

        yield say


def show_scores(scores: Scores) -> None:
    """The scores as tables; a LEAKY run in red with the honest figure in the next column."""
    from myograph.evaluation.metrics import TITLES

    info, honest = scores.info, scores.honest
    out.print(
        f"[bold]{info['recipe']}[/bold]: {info['method']} on {info['dataset']}, {info['protocol']}, "
        f"{len(scores.subjects)} subjects, {len(scores.labels)} classes, {len(scores.predictions)} test windows"
    )
    if scores.leaky:
        out.print("[bold red]LEAKY[/bold red]: train and test share samples; the honest figures stand beside.")
    else:
        out.print("[green]audit passed[/green]: no shared sample, no shared repetition in any fold")
    over = f"over {scores.unit}s"
    table = Table("metric", f"mean ± sd {over}", "95 % interval")
    if honest:
        table = Table("metric", "[red]LEAKY[/red]", "95 % interval", f"honest ({honest.info['protocol']})")
    for name, title in TITLES.items():
        found = scores.summary[name]
        if not found["n"]:
            continue
        row = [title, _plus_minus(found), f"{found['low']:.3f} to {found['high']:.3f}" if found["low"] == found["low"] else ""]
        table.add_row(*row, *([_plus_minus(honest.summary[name])] if honest else []))
    out.print(table)
    subjects = Table("subject", "accuracy", "balanced", "windows")
    for row in scores.subjects.to_dict("records"):
        subjects.add_row(row["subject"], f"{row['accuracy']:.3f}", f"{row['balanced_accuracy']:.3f}", f"{row['n']}")
    out.print(subjects)
    for paper in info["published"]:
        value = f"{paper['value']}" + (f" ± {paper['std']}" if paper["std"] is not None else "")
        out.print(f"published: {paper['setting']} {value} ({paper['source']}, {paper['status']})")


def _command() -> str:
    return shlex.join(["myograph", *sys.argv[1:]])


def _plus_minus(found: dict[str, Any]) -> str:
    return f"{found['mean']:.3f}" + (f" ± {found['std']:.3f}" if found["n"] > 1 else "")


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1, default=str))
        return
    table = Table(*(rows[0] if rows else ()))
    for row in rows:
        table.add_row(*(f"{v:,}" if isinstance(v, int) else "" if v is None else str(v) for v in row.values()))
    out.print(table)


def _first_line(thing: Any) -> str:
    if hasattr(thing, "keywords"):  # a network's method: say what the network is
        from myograph.models import MODELS

        thing = MODELS[thing.keywords["model"]]
    return (thing.__doc__ or "").strip().split("\n")[0]


def main() -> None:
    """Run the command line: a named error is one message and exit status 1, an interrupt 130."""
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # typer's own answer to Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except MyographError as error:
        _say_error(str(error))
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted; finished folds are kept: start the same command again to go on")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "exit_code"):
            _usage(error)
        raise


def _usage(error: Any) -> None:
    """A wrong command or option: click's message, and the nearest command."""
    command = getattr(error, "cmd_name", None) or ""
    message = error.format_message()
    if not message:  # a group of commands alone: its help has been printed
        sys.exit(error.exit_code)
    if message.startswith("No such command"):
        given = message.split("'")[1] if "'" in message else command
        group = error.ctx.command if error.ctx else typer.main.get_command(app)
        names = list(group.commands)  # type: ignore[attr-defined]
        message = str(unknown_name("command", given, names))
    _say_error(message)
    sys.exit(error.exit_code)


def _say_error(message: str) -> None:
    err.print("[bold red]error[/bold red]", end=" ")
    err.print(message, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
