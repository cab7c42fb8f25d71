"""Every adapter on new people, after an armband was moved, and on later days.

    MYOGRAPH_DATA=... python benchmarks/adapters.py [SET [ROW ...]]   # measures the rows, writes the tables in docs/adaptation.md
    python benchmarks/adapters.py --table                             # writes the tables from benchmarks/results/adapters.json

The sets are 3dc (leave-one-subject-out, without labels and with one labelled repetition), electrode_shift and longterm_myo (trained
before or on the first day, tested afterwards, without labels). Constants of the methods were chosen on the people CHOSEN_ON. The
networks are trained for few epochs, once per fold.
"""

from __future__ import annotations

import copy
import json
import sys
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

from myograph import CrossSession, LeaveOneSubjectOut
from myograph.datasets import load
from myograph.errors import NotAdaptedWarning
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.evaluation.transfer import Transfer
from myograph.methods import METHODS, AdaBN, Prototypes
from myograph.training import NeuralClassifier
from new_days import WINDOWING, later_sessions, mean, of, one_movement, summary_of

HERE = Path(__file__).parent
STORED, PAGE = HERE / "results" / "adapters.json", HERE.parent / "docs" / "adaptation.md"
BEGIN, END = "<!-- written by benchmarks/adapters.py: {} -->\n", "<!-- end of the table -->"
CHOSEN_ON = {"3dc": ("1", "2", "3"), "electrode_shift": ("0", "1", "2"), "longterm_myo": ("1", "2")}
TARGET_ONLY = ("lda", "aligned_lda")  # a network learns nothing in few epochs of one repetition
SETTINGS = {
    "unlabelled": LeaveOneSubjectOut(),
    "calibrated": LeaveOneSubjectOut(calibration_repetitions=1, calibration_sessions="first"),
}
DAYS = tuple(f"day{day:02d}" for day in range(2, 31, 4))
# Set -> options of the data set, session of training, and tested sessions (None: all others).
LATER: dict[str, tuple[dict[str, Any], str, tuple[str, ...] | None]] = {
    "electrode_shift": ({}, "training", None),
    "longterm_myo": ({"motions": 8}, "day01", DAYS),
}
WAYS = {"nothing": Transfer(), "adapt": Transfer("adapt"), "first 10 s": Transfer("adapt", adapt_seconds=10.0)}
_trained: dict[Any, dict[str, Any]] = {}


class TrainedOnce(NeuralClassifier):
    """A network that is trained once on the same windows, so that all rows share it."""

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        key = (len(X), *sorted(set(X.column("subject"))), *sorted(set(X.column("session"))))
        if key not in _trained:
            super().fit(X, y, groups)
            _trained[key] = copy.deepcopy(self.__dict__)
        self.__dict__.update(copy.deepcopy(_trained[key]))
        return self


def rows_of(name: str) -> dict[str, tuple[Any, bool]]:
    """Row -> method, and whether it adapts; a method that does not is fitted on everything, with equal weights."""
    few, size = (4, 256) if name == "3dc" else (20, 64)
    network = TrainedOnce("myonet", epochs=few, batch_size=size, device="cpu")
    return {
        "lda": ("lda", False),
        "aligned_lda": ("aligned_lda", True),
        "recentred(lda)": (METHODS.create("recentred", classifier="lda"), True),
        "smoothed": ("smoothed", False),
        "recentred(smoothed)": ("recentred", True),
        "coral": ("coral", True),
        "prior_weighted_lda": ("prior_weighted_lda", True),
        "person_experts": ("person_experts", True),
        "myonet": (network, False),
        "adabn": (AdaBN(network), True),
        "prototypes": (Prototypes(network), True),
    }


def measure(row: str, recordings: Any) -> dict[str, Any]:
    """Accuracy of each new person without labels, with one labelled repetition, and of this repetition alone."""
    method, adapts = rows_of("3dc")[row]
    found: dict[str, Any] = {}
    for name, protocol in SETTINGS.items():
        transfer = "adapt" if adapts else "pool"
        scores = evaluate(
            Recipe(f"adapters-{row}", "3dc", protocol, method, windowing=WINDOWING, transfer=transfer), recordings
        )
        found[name] = of(scores)["people"]
        if scores.target_only and row in TARGET_ONLY:
            found["target only"] = of(scores.target_only)["people"]
    return found


def measure_later(name: str, row: str, recordings: Any) -> dict[str, Any]:
    """Accuracy of each person, and of each later session, in every way of adapting without labels."""
    options, first, later = LATER[name]
    method, adapts = rows_of(name)[row]
    recipe = Recipe(
        f"adapters-{row}", name, CrossSession((first,)), method, dataset_options=options, windowing=WINDOWING
    )
    found: dict[str, dict[tuple[str, str], tuple[int, list[float]]]] = defaultdict(dict)
    for person, fitted, tests in later_sessions(recipe, recordings, first, later):
        for turn, test in enumerate(tests):
            key, hidden = (person, str(test.column("session")[0])), test.without_labels()
            for way, transfer in WAYS.items():
                if adapts or way == "nothing":
                    ((model, rows),) = transfer.parts(fitted, hidden)
                    hits = model.predict(hidden[rows]) == test.y[rows]
                    found[way][key] = len(test), [float(hits.mean())]
            if adapts:
                found["one movement"][key] = len(test), one_movement(fitted, test, turn)
    return {way: summary_of(sessions) for way, sessions in found.items()}


def table(stored: dict[str, Any]) -> str:
    """One row per method: mean accuracy over the people on whom constants were chosen, over the others, and the smallest gain of
    these others."""
    lines = [
        "| method | no labels: 1–3 | 4–6 | worst of 4–6 minus `lda` | one repetition: 1–3 | 4–6 | worst of 4–6 minus `lda`, target only |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    nothing, alone = stored["lda"]["unlabelled"], stored["lda"]["target only"]
    rows = [(f"`{name}`", found.get("unlabelled"), found["calibrated"]) for name, found in stored.items()]
    rows += [
        (f"`{name}`, target only", None, found["target only"])
        for name, found in stored.items()
        if "target only" in found
    ]
    for name, unlabelled, calibrated in rows:
        cells = [*_cells(unlabelled, nothing), *_cells(calibrated, alone)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cells(people: dict[str, float] | None, base: dict[str, float]) -> list[str]:
    if people is None:
        return ["", "", ""]
    others = [p for p in people if p not in CHOSEN_ON["3dc"]]
    least = min(people[p] - base[p] for p in others)
    return [
        *(f"{100 * mean([people[p] for p in some]):.1f}" for some in (CHOSEN_ON["3dc"], others)),
        f"{100 * least:+.1f}",
    ]


def table_of_later(name: str, stored: dict[str, Any]) -> str:
    """One row per method: its own accuracy without adaptation, and in every way the mean gain over the people on whom constants were
    chosen, over the others, and the smallest gain of anyone's session."""
    chosen, ways = (
        CHOSEN_ON[name],
        {"adapt": "all windows", "first 10 s": "first 10 s", "one movement": "one movement 80 %"},
    )
    people = list(next(iter(stored.values()))["nothing"]["people"])
    groups = [", ".join(p for p in people if (p in chosen) == mine) for mine in (True, False)]
    head = ["method", "nothing", *(f"{text}: {groups[0]} | {groups[1]} | worst session" for text in ways.values())]
    lines = ["| " + " | ".join(head) + " |", "|---" * (2 + 3 * len(ways)) + "|"]
    for row, found in stored.items():
        base = found["nothing"]
        cells = [f"{100 * mean(list(base['people'].values())):.1f}"]
        for way in ways:
            if way not in found:
                cells += ["", "", ""]
                continue
            gain = {p: found[way]["people"][p] - base["people"][p] for p in people}
            worst = min(value - base["sessions"][key] for key, value in found[way]["sessions"].items())
            parts = [mean([gain[p] for p in people if (p in chosen) == mine]) for mine in (True, False)]
            cells += [f"{100 * value:+.1f}" for value in (*parts, worst)]
        lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(stored: dict[str, Any]) -> None:
    """Write the tables into the page, between their marks."""
    page = PAGE.read_text(encoding="utf-8")
    for name, found in stored.items():
        ordered = {row: found[row] for row in rows_of(name) if row in found}
        text = table(ordered) if name == "3dc" else table_of_later(name, ordered)
        before, mark, rest = page.partition(BEGIN.format(name))
        page = before + mark + text + END + rest.partition(END)[2]
    PAGE.write_text(page, encoding="utf-8")


def main(words: list[str]) -> None:
    stored = json.loads(STORED.read_text()) if STORED.is_file() else {}
    if "--table" not in words:
        warnings.simplefilter("ignore", NotAdaptedWarning)
        for name in words[:1] or CHOSEN_ON:
            recordings = load(name, **(LATER[name][0] if name in LATER else {}))
            for row in words[1:] or rows_of(name):
                begun = time.perf_counter()
                found = measure(row, recordings) if name == "3dc" else measure_later(name, row, recordings)
                stored.setdefault(name, {})[row] = found
                STORED.write_text(json.dumps(stored, indent=1) + "\n")
                print(name, row, f"{time.perf_counter() - begun:.0f} s", flush=True)
    write(stored)


if __name__ == "__main__":
    main(sys.argv[1:])
