"""`myograph fin`: one command for each step of the published feature-imitating system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from myograph.cli.steps import Dataset, Full, say_first
from myograph.cli.terminal import Json, out, print_curve, print_json, print_path, print_rows, progress_bar

app = typer.Typer(
    no_args_is_help=True,
    help="The published feature-imitating system (fin2025), step by step: train and validate the imitators, train the CNN on "
    "true features, and fine-tune both together. Each step stores its results in the folder of the run, from which the next "
    "step and `myograph reproduce fin2025` read them.",
)

FeatureOption = Annotated[
    list[str] | None, typer.Option("--feature", help="Feature to imitate: rms, var, ssi or ent [default: all four].")
]
Prediction = Annotated[int, typer.Option(help="Imitate and classify the window this many steps of 10 ms later.")]
Folder = Annotated[
    Path | None, typer.Option("--out", help="Folder of the run [default: that of `myograph reproduce fin2025`]")
]


@app.command("train")
def train(
    feature: FeatureOption = None,
    prediction: Prediction = 0,
    dataset: Dataset = None,
    full: Full = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Step 1: train the imitators of a feature on the seen people, and print loss and R² per epoch."""
    with _opened(dataset, full, folder) as people:
        found = []
        for name in _features(feature):
            for system in people.runs[0]:
                found.append({"feature": name, "seen": system.people("seen"), "epochs": system.train(name, prediction)})
    if as_json:
        print_json({"folder": str(people.context.folder), "prediction": prediction, "imitators": found})
        return
    for one in found:
        curve = [{"epoch": e["epoch"], "loss": e["train_loss"], "R²": e["r2"]} for e in one["epochs"]]
        title = f"imitators of {one['feature'].upper()}, trained on people {', '.join(one['seen'])}"
        print_curve(curve, title)
    print_path("stored in", people.context.folder)


@app.command("validate")
def validate(
    feature: FeatureOption = None,
    prediction: Prediction = 0,
    dataset: Dataset = None,
    full: Full = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Step 2: print R² of the imitated feature on repetitions 2 and 5 of each seen and new person. Needs `fin train`."""
    with _opened(dataset, full, folder) as people:
        rows = []
        for name in _features(feature):
            _need_imitators(people, [name], prediction)
            for system, person, group in _everyone(people):
                measured = system.validate(name, prediction, person)
                rows.append({"feature": name, "person": person, "group": group, **_plain(measured)})
    _show(people, rows, prediction, as_json)


@app.command("cnn")
def cnn(
    prediction: Prediction = 0,
    dataset: Dataset = None,
    full: Full = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Step 3: train one CNN per person on true features, and print its accuracy on repetitions 2 and 5."""
    with _opened(dataset, full, folder) as people:
        rows = []
        for system, person, group in _everyone(people):
            found = system.cnn(person, prediction)
            last = found["history"][-1] if found["history"] else {}
            rows.append(
                {
                    "person": person,
                    "group": group,
                    "epochs": len(found["history"]),
                    "train_loss": last.get("train_loss"),
                    "train_accuracy": last.get("train_accuracy"),
                    "accuracy": found["true_features"],
                }
            )
    _show(people, rows, prediction, as_json)


@app.command("finetune")
def finetune(
    percentage: Annotated[
        float, typer.Option(help="Percentage of each person's training windows, computed as in the published program.")
    ] = 100.0,
    draw: Annotated[
        str,
        typer.Option(help="first: the first part of each repetition; random: windows drawn at random, as published."),
    ] = "first",
    imitators: Annotated[
        str, typer.Option(help="trained; or random: the control, whose imitators start with random weights.")
    ] = "trained",
    prediction: Prediction = 0,
    dataset: Dataset = None,
    full: Full = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Step 4: fine-tune imitators and CNN together for each person. Needs `fin train` for all features, and `fin cnn`."""
    from myograph.recipes.fin2025 import FEATURES, share_of

    share = share_of(percentage)
    _one_of("--draw", draw, ("first", "random"))
    _one_of("--imitators", imitators, ("trained", "random"))
    with _opened(dataset, full, folder) as people:
        if imitators == "trained":
            _need_imitators(people, FEATURES, prediction)
        _need_cnn(people, prediction)
        rows, curves = [], []
        for system, person, group in _everyone(people):
            found = system.finetune(person, prediction, share, draw, imitators)
            rows.append({"person": person, "group": group, **_plain(found)})
            curves.append(found["curve"])
    if as_json:
        for row, curve in zip(rows, curves):
            row["curve"] = curve
    else:
        epochs = [row["epoch"] for row in curves[0]]
        mean = [sum(curve[i]["on repetition 4"] for curve in curves) / len(curves) for i in range(len(epochs))]
        curve = [{"epoch": e, "accuracy on repetition 4": m} for e, m in zip(epochs, mean)]
        print_curve(curve, "mean over people, per epoch")
    _show(people, rows, prediction, as_json, share)


@contextmanager
def _opened(dataset: str | None, full: bool, folder: Path | None) -> Iterator[Any]:
    """Open the people of a run. Its folder is locked while they are in use."""
    from myograph.evaluation.reproduction import context_of
    from myograph.recipes import fin2025 as fin

    with progress_bar() as progress, context_of("fin2025", not full, dataset, 1, folder, 1, progress) as context:
        yield fin.People(context, *fin.settle(context))


def _features(given: Sequence[str] | None) -> list[str]:
    from myograph.recipes.fin2025 import FEATURES

    for name in given or ():
        _one_of("--feature", name, FEATURES)
    return list(given or FEATURES)


def _one_of(option: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        from myograph.errors import unknown_name

        raise unknown_name(f"value of {option}", given, known)


def _everyone(people: Any) -> Iterator[tuple[Any, str, str]]:
    """Yield (system, person, group) for the seen and the new people of each system."""
    for system in people.runs[0]:
        for group in ("seen", "unseen"):
            for person in system.people(group):
                yield system, person, "seen" if group == "seen" else "new"


def _need_imitators(people: Any, names: Sequence[str], p: int) -> None:
    missing = [n for n in names if not all(system.is_trained(n, p) for system in people.runs[0])]
    if missing:
        features = " ".join(f"--feature {name}" for name in missing)
        what = f"the imitators of {', '.join(missing)} for p = {p}"
        say_first(people.context, what, f"fin train {features}", *_ahead(p))


def _need_cnn(people: Any, p: int) -> None:
    if not all(system.has_cnn(person, p) for system, person, _ in _everyone(people)):
        say_first(people.context, f"the CNNs on true features for p = {p}", "fin cnn", *_ahead(p))


def _ahead(p: int) -> list[str]:
    return [f"--prediction {p}"] if p else []


def _show(
    people: Any, rows: Sequence[Mapping[str, Any]], prediction: int, as_json: bool, share: float | None = None
) -> None:
    """Print one row per person, and the means over seen and over new people."""
    if as_json:
        shares = {} if share is None else {"share": share}
        print_json({"folder": str(people.context.folder), "prediction": prediction, **shares, "people": rows})
        return
    print_rows([_rounded(row) for row in rows])
    measure = next(name for name in ("r2", "chosen", "accuracy") if name in rows[0])
    for group in dict.fromkeys(row["group"] for row in rows):
        values = [row[measure] for row in rows if row["group"] == group]
        n = len({row["person"] for row in rows if row["group"] == group})
        out.print(f"{group} people: mean {measure} {sum(values) / len(values):.3f} (n = {n})")
    print_path("stored in", people.context.folder)


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if not isinstance(value, list)}


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in row.items()}
