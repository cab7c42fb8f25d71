"""New days and new people: what is lost without adaptation, and what each way of using their windows gives back.

    MYOGRAPH_DATA=... python benchmarks/new_days.py [SET ...]   # scores the sets, stores results/new_days.json, writes the page
    python benchmarks/new_days.py --page                        # writes docs/new-days-new-people.md from the stored results

Data sets that are not in $MYOGRAPH_DATA keep the results that are stored.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from myograph import CrossSession, LeaveOneSubjectOut, Windowing, Windows
from myograph.datasets import load
from myograph.errors import NotAdaptedWarning
from myograph.evaluation.prepared import make_method, prepare
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.evaluation.stats import paired

HERE = Path(__file__).parent
STORED, PAGE = HERE / "results" / "new_days.json", HERE.parent / "docs" / "new-days-new-people.md"
WINDOWING = Windowing(250, 50)
LATER = ("trial_1", "trial_2", "trial_3", "trial_4")
SHARE = 0.8  # of the windows that one movement makes up
DOMINATED = "adapt, one movement makes up 80 % of each day"

# Set -> title, options of the data set, people on whom choices were made, whether rest is a class, and its rows.
SETS: dict[str, dict[str, Any]] = {
    "electrode_shift": {
        "title": "An armband that was shifted: trained before, tested after",
        "chosen_on": ["0", "1", "2"],
        "rows": {
            "nothing": (CrossSession(("training",)), {}),
            "adapt, all later windows": (CrossSession(("training",)), {"transfer": "adapt", "adapt_on": "everything"}),
            "adapt, first trial alone": (
                CrossSession(("training",)),
                {"transfer": "adapt", "adapt_on": "first session"},
            ),
            "adapt, first 10 s of each trial": (
                CrossSession(("training",)),
                {"transfer": "adapt", "adapt_seconds": 10.0},
            ),
            "calibrate 1, then adapt": (CrossSession(("training",), LATER, 1), {"transfer": "adapt"}),
        },
    },
    "flexemg": {
        "title": "A grid of 64 electrodes that was put on again: session 1 to session 3",
        "chosen_on": [],
        "rest": "keep",
        "rows": {
            "nothing": (CrossSession(("Session1Train",), ("Session3Test",)), {}),
            "adapt": (CrossSession(("Session1Train",), ("Session3Test",)), {"transfer": "adapt"}),
        },
    },
    "longterm_myo": {
        "title": "Thirty days: trained on the first, tested on the 29 later ones, 8 motions",
        "options": {"motions": 8},
        "chosen_on": ["1", "2"],
        "rows": {
            "nothing": (CrossSession(("day01",)), {}),
            "adapt, each whole day": (CrossSession(("day01",)), {"transfer": "adapt"}),
            "adapt, first 30 s of each day": (CrossSession(("day01",)), {"transfer": "adapt", "adapt_seconds": 30.0}),
            "adapt, first 10 s of each day": (CrossSession(("day01",)), {"transfer": "adapt", "adapt_seconds": 10.0}),
        },
    },
    "3dc sessions": {
        "title": "A second session: 3DC, 11 gestures, trained on the first",
        "dataset": "3dc",
        "chosen_on": ["1", "2", "3", "4", "5", "6"],
        "rows": {
            "nothing": (CrossSession(("train",)), {}),
            "adapt": (CrossSession(("train",)), {"transfer": "adapt"}),
            "pool with 1": (CrossSession(("train",), calibration_repetitions=1), {"transfer": "pool"}),
            "calibrate 1, then adapt": (CrossSession(("train",), calibration_repetitions=1), {"transfer": "adapt"}),
        },
    },
    "3dc": {
        "title": "New people: 3DC, 11 gestures, two sessions, leave-one-subject-out",
        "chosen_on": ["1", "2", "3", "4", "5", "6"],
        "rows": {
            "nothing": (LeaveOneSubjectOut(), {}),
            "adapt": (LeaveOneSubjectOut(), {"transfer": "adapt"}),
            "calibrate 1, then adapt": (
                LeaveOneSubjectOut(calibration_repetitions=1, calibration_sessions="first"),
                {"transfer": "adapt"},
            ),
        },
    },
}


def measure(name: str) -> dict[str, Any]:
    """Accuracy of each person, and of each session, in every row of a set."""
    setting = SETS[name]
    dataset = setting.get("dataset", name)
    recordings = load(dataset, **setting.get("options", {}))
    rows: dict[str, Any] = {}
    for row, (protocol, options) in setting["rows"].items():
        recipe = Recipe(
            f"new-days-{name.replace(' ', '-')}",
            dataset,
            protocol,
            "aligned_lda",
            dataset_options=setting.get("options", {}),
            windowing=WINDOWING,
            rest=setting.get("rest", "drop"),
        )
        scores = evaluate(dataclasses.replace(recipe, **options), recordings)
        rows[row] = of(scores)
        if scores.target_only and row.startswith("calibrate"):
            rows[f"target only ({row.split(',')[0].replace('calibrate ', '')} repetition)"] = of(scores.target_only)
        print(name, row, f"{scores.summary['accuracy']['mean']:.3f}", flush=True)
    if name == "longterm_myo":
        rows[DOMINATED] = summary_of(
            {
                (person, str(test.column("session")[0])): (len(test), one_movement(fitted, test, turn))
                for person, fitted, tests in later_sessions(recipe, recordings, "day01")
                for turn, test in enumerate(tests)
            }
        )
    return {"title": setting["title"], "chosen_on": setting["chosen_on"], "rows": rows}


def later_sessions(
    recipe: Recipe, recordings: list[Any], first: str, later: tuple[str, ...] | None = None
) -> Iterator[tuple[str, Any, list[Windows]]]:
    """Yield each person, the method fitted on the first session, and the windows of each later session (None: all)."""
    windows = prepare(recipe, recordings)
    for person in dict.fromkeys(windows.column("subject").tolist()):
        mine = windows.where(subject=person)
        train = mine.where(session=first)
        days = [d for d in dict.fromkeys(mine.column("session").tolist()) if d != first and (not later or d in later)]
        yield str(person), cast(Any, make_method(recipe)).fit(train, train.y), [mine.where(session=d) for d in days]


def one_movement(fitted: Any, test: Windows, turn: int) -> list[float]:
    """Accuracies on a session if the method adapts to its windows, those of one movement repeated until they are 80 % of all.

    turn : number of the session: one in four movements is repeated, other ones in the next session.
    """
    found = []
    for movement in np.unique(test.y)[turn % 4 :: 4]:
        adapted = copy.deepcopy(fitted)
        adapted.adapt(test[_repeated(test.y, movement)].without_labels())
        found.append(float((adapted.predict(test.without_labels()) == test.y).mean()))
    return found


def summary_of(sessions: dict[tuple[str, str], tuple[int, list[float]]]) -> dict[str, Any]:
    """Accuracy of each person, and the lowest of each session, from the number of windows and the accuracies of each session."""
    people = {}
    for person in dict.fromkeys(person for person, _ in sessions):
        mine = [(n, np.mean(values)) for (who, _), (n, values) in sessions.items() if who == person]
        people[person] = float(np.average([v for _, v in mine], weights=[n for n, _ in mine]))
    return {"people": people, "sessions": {"/".join(key): min(values) for key, (_, values) in sessions.items()}}


def _repeated(y: np.ndarray, movement: Any) -> np.ndarray:
    """Positions of all windows, those of one movement repeated until they are 80 % of all."""
    mine = np.flatnonzero(y == movement)
    times = round(SHARE / (1 - SHARE) * (len(y) - len(mine)) / len(mine))
    return np.concatenate([np.arange(len(y)), np.tile(mine, max(times - 1, 0))])


def of(scores: Any) -> dict[str, Any]:
    """Accuracy by person, and by person and session."""
    table = scores.predictions.assign(hit=scores.predictions["y_true"] == scores.predictions["y_pred"])
    people = {str(k): float(v) for k, v in table.groupby("subject", sort=False)["hit"].mean().items()}
    sessions = {"/".join(map(str, k)): float(v) for k, v in table.groupby(["subject", "session"])["hit"].mean().items()}
    return {"people": people, "sessions": sessions}


def page(stored: dict[str, Any]) -> str:
    """The page, from stored results."""
    lines = [
        "# New days and new people",
        "",
        "Accuracy in percent of the method `aligned_lda` with 250 ms windows every 50 ms. `python benchmarks/new_days.py`",
        "measures it and writes this page. People marked * were used to choose the method's constants. Scores of the others",
        "decided nothing, but they were seen while the method was developed, so they are no blind test: that needs people",
        'who were not there. "Worst session" is the smallest gain of any person\'s session over "nothing".',
        "",
        "`recentred`, which lets the default method, behind a matrix that rotates and mixes the channels, decide together with",
        "`aligned_lda`, is better for new people and for the second session of 3DC, with labels or without: [adaptation](adaptation.md)",
        "has its figures.",
        "",
        'The rows "adapt" see the unlabelled windows that they are scored on, unless they say otherwise. Rows with calibration',
        'do not test the repetitions that calibrate, so their test windows are fewer than those of "nothing". "Target only" fits',
        'the same method on the calibration repetitions alone and does not adapt: the difference from "calibrate, then adapt" is',
        "that of the other people's data and of the unlabelled windows together.",
        "",
        'In the row "one movement makes up 80 %" a whole day is seen, and the windows of one movement are repeated until they are',
        '80 % of all: two movements each day, which alternate. Its "worst session" is the worst movement of the worst day.',
    ]
    for found in stored.values():
        lines += ["", f"## {found['title']}", "", *table_of(found)]
    return "\n".join(lines) + "\n"


def table_of(found: dict[str, Any]) -> list[str]:
    """One row per way, one column per person, and the paired comparison with the first row."""
    rows, chosen = found["rows"], found["chosen_on"]
    people = list(next(iter(rows.values()))["people"])
    head = ["way", *(f"{p}*" if p in chosen else p for p in people), "mean", "mean without *", "gain", "worst session"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    base = next(iter(rows.values()))
    notes = []
    for name, row in rows.items():
        values = [row["people"][p] for p in people]
        apart = [row["people"][p] for p in people if p not in chosen]
        gain = mean(values) - mean(list(base["people"].values()))
        loss = min(v - base["sessions"][k] for k, v in row["sessions"].items() if k in base["sessions"])
        cells = [
            *(f"{100 * v:.1f}" for v in values),
            f"{100 * mean(values):.1f}",
            f"{100 * mean(apart):.1f}" if apart else "",
        ]
        cells += ["", ""] if row is base else [f"{100 * gain:+.1f}", f"{100 * loss:+.1f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        if row is not base and len(people) > 2:
            notes.append(f"* {name}: {paired(values, [base['people'][p] for p in people], names=(name, 'nothing'))}")
    alone = next((r for n, r in rows.items() if n.startswith("target only")), None)
    calibrated = next((r for n, r in rows.items() if n.startswith("calibrate")), None)
    if alone and calibrated and len(people) > 2:
        pairs = [[row["people"][p] for p in people] for row in (calibrated, alone)]
        notes.append(f"* calibrate: {paired(*pairs, names=('calibrate', 'target only'))}")
    return [*lines, "", *notes] if notes else lines


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main(words: list[str]) -> None:
    stored = json.loads(STORED.read_text()) if STORED.is_file() else {}
    if "--page" not in words:
        warnings.simplefilter("ignore", NotAdaptedWarning)
        for name in words or SETS:
            stored[name] = measure(name)
            STORED.write_text(json.dumps({k: stored[k] for k in SETS if k in stored}, indent=1) + "\n")
    PAGE.write_text(page({k: stored[k] for k in SETS if k in stored}))


if __name__ == "__main__":
    main(sys.argv[1:])
