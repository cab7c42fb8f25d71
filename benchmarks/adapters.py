"""Every adapter on new people: 3DC, leave-one-subject-out, without labels and with one labelled repetition.

    MYOGRAPH_DATA=... python benchmarks/adapters.py [ROW ...]    # measures the rows, and writes the table in docs/adaptation.md
    python benchmarks/adapters.py --table                        # writes the table from benchmarks/results/adapters.json

Constants of the methods were chosen on people 1 to 3. The networks are trained for few epochs, once per tested person.
"""

from __future__ import annotations

import copy
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from myograph import LeaveOneSubjectOut
from myograph.datasets import load
from myograph.errors import NotAdaptedWarning
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.methods import METHODS, AdaBN, Prototypes
from myograph.training import NeuralClassifier
from new_days import WINDOWING, mean, of

HERE = Path(__file__).parent
STORED, PAGE = HERE / "results" / "adapters.json", HERE.parent / "docs" / "adaptation.md"
BEGIN, END = "<!-- written by benchmarks/adapters.py -->\n", "<!-- end of the table -->"
CHOSEN_ON = ("1", "2", "3")
TARGET_ONLY = ("lda", "aligned_lda")  # a network learns nothing in few epochs of one repetition
EPOCHS = 4
SETTINGS = {
    "unlabelled": LeaveOneSubjectOut(),
    "calibrated": LeaveOneSubjectOut(calibration_repetitions=1, calibration_sessions="first"),
}
_trained: dict[Any, dict[str, Any]] = {}


class TrainedOnce(NeuralClassifier):
    """A network that is trained once on the same windows, so that all rows share it."""

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        key = (len(X), *sorted(set(X.column("subject"))))
        if key not in _trained:
            super().fit(X, y, groups)
            _trained[key] = copy.deepcopy(self.__dict__)
        self.__dict__.update(copy.deepcopy(_trained[key]))
        return self


def network() -> NeuralClassifier:
    """The network of all rows."""
    return TrainedOnce("myonet", epochs=EPOCHS, batch_size=256, device="cpu")


# Row -> method, and whether it adapts; a method that does not is fitted on everything, with equal weights.
ROWS: dict[str, tuple[Any, bool]] = {
    "lda": ("lda", False),
    "aligned_lda": ("aligned_lda", True),
    "recentred": (METHODS.create("recentred", classifier="lda"), True),
    "coral": ("coral", True),
    "prior_weighted_lda": ("prior_weighted_lda", True),
    "person_experts": ("person_experts", True),
    "myonet": (network(), False),
    "adabn": (AdaBN(network()), True),
    "prototypes": (Prototypes(network()), True),
}


def measure(row: str, recordings: Any) -> dict[str, Any]:
    """Accuracy of each person without labels, with one labelled repetition, and of this repetition alone."""
    method, adapts = ROWS[row]
    found: dict[str, Any] = {}
    for name, protocol in SETTINGS.items():
        begun = time.perf_counter()
        transfer = "adapt" if adapts else "pool"
        scores = evaluate(
            Recipe(f"adapters-{row}", "3dc", protocol, method, windowing=WINDOWING, transfer=transfer), recordings
        )
        found[name] = of(scores)["people"]
        if scores.target_only and row in TARGET_ONLY:
            found["target only"] = of(scores.target_only)["people"]
        print(
            row,
            name,
            {k: round(100 * v, 1) for k, v in found[name].items()},
            f"{time.perf_counter() - begun:.0f} s",
            flush=True,
        )
    return found


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
    others = [p for p in people if p not in CHOSEN_ON]
    least = min(people[p] - base[p] for p in others)
    return [*(f"{100 * mean([people[p] for p in some]):.1f}" for some in (CHOSEN_ON, others)), f"{100 * least:+.1f}"]


def main(words: list[str]) -> None:
    stored = json.loads(STORED.read_text()) if STORED.is_file() else {}
    if "--table" not in words:
        warnings.simplefilter("ignore", NotAdaptedWarning)
        recordings = load("3dc")
        for row in words or ROWS:
            stored[row] = measure(row, recordings)
            STORED.write_text(json.dumps({k: stored[k] for k in ROWS if k in stored}, indent=1) + "\n")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(
        before + BEGIN + table({k: stored[k] for k in ROWS if k in stored}) + END + rest.partition(END)[2],
        encoding="utf-8",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
