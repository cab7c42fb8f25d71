"""The main job on the built-in simulator: what `make demo` runs."""

from __future__ import annotations

from myograph.evaluation.recipe import RECIPES, Recipe
from myograph.protocols import WithinSubject
from myograph.windows import Windowing


@RECIPES.register
def demo() -> Recipe:
    """Six simulated forearms, 17 gestures, time-domain features, linear discriminants, repetitions 2 and 5 test."""
    return Recipe(
        name="demo",
        dataset="simulated",
        dataset_options={"preset": "ninapro_db2_b", "n_subjects": 6, "hold_s": 3.0},
        windowing=Windowing(length_ms=250.0, step_ms=50.0),
        protocol=WithinSubject(test_repetitions=(2, 5)),
        method="lda",
    )
