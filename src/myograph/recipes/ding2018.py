"""Ding, Yang, Tian, Li, Li and Li 2018, sEMG-based gesture recognition with convolution neural networks, Sustainability
10:1865: parallel blocks of large kernels on raw windows of NinaPro DB2, and five variants that take them apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from myograph.datasets.simulated import Simulated
from myograph.errors import ConfigError
from myograph.evaluation.recipe import RECIPES, Published, Recipe
from myograph.evaluation.reproduction import REPRODUCTIONS, Context, Row
from myograph.evaluation.run import read
from myograph.evaluation.stats import Comparison, compare, friedman
from myograph.protocols import WithinSubject
from myograph.windows import Windowing

PROPOSED = "C-B1PB2"
VARIANTS = {
    PROPOSED: "c_b1pb2",
    "C-2B1": "c_2b1",
    "C-2B2": "c_2b2",
    "C-SK2": "c_sk2",
    "C-SK": "c_sk",
    "C-DK": "c_dk",
}
ASKS = {
    "C-2B1": "block 1 twice: is the large kernel needed?",
    "C-2B2": "block 2 twice: is the smaller kernel needed?",
    "C-SK2": "1 x 3 along time: does the kernel's size matter?",
    "C-SK": "3 x 3: as C-SK2, electrodes mixed from the first layer",
    "C-DK": "3 x 13 and 3 x 57: the proposed net, electrodes mixed from the first layer",
}
TRAINING = {
    "epochs": 50,
    "batch_size": 128,
    "lr": 1e-3,
    "optimizer": "adam",
    "schedule": "step",
    "schedule_options": {"every": 30, "factor": 0.1},
    "weight_decay": 0.0,
}
FEW = {"epochs": 7, "batch_size": 16, "schedule": "cosine", "schedule_options": None}
STEP_MS = 50.0
EXERCISE_B = Published(
    "DB2 exercise B, 17 gestures", 83.79, None, "TraHGR's abstract: its 88.91 is 5.12 above the best before", "derived"
)
ALL_DB2 = Published("DB2 exercises B, C and D", 78.86, None, "public notes on the paper", "secondary")
QUICK = Simulated(preset="ninapro_db2_b", n_subjects=3, n_gestures=6, hold_s=1.5, rest_s=1.0)


def recipe(variant: str = PROPOSED, dataset: Any = "ninapro_db2", step_ms: float = STEP_MS, **training: Any) -> Recipe:
    """One of `VARIANTS` on 100 ms windows; `training` replaces settings of `TRAINING`."""
    return Recipe(
        name=f"ding2018-{VARIANTS[variant]}",
        dataset=dataset,
        protocol=WithinSubject(test_repetitions=(2, 5)),
        windowing=Windowing(100.0, step_ms),
        rest="drop",
        method="ding",
        method_options={"model_options": {"variant": VARIANTS[variant]}, **TRAINING, **training},
    )


@RECIPES.register
def ding2018() -> Recipe:
    """Ding 2018, C-B1PB2, on exercise B of NinaPro DB2: 17 gestures without rest, 100 ms windows."""
    return dataclasses.replace(recipe(), dataset_options={"exercises": (1,)}, published=(EXERCISE_B,))


@RECIPES.register
def ding2018_all() -> Recipe:
    """Ding 2018, C-B1PB2, on all exercises of NinaPro DB2: 49 gestures without rest, 100 ms windows."""
    return dataclasses.replace(recipe(), published=(ALL_DB2,))


@REPRODUCTIONS.register("ding2018")
def reproduce(context: Context) -> Iterator[Row]:
    """Ding, Yang, Tian, Li, Li & Li 2018: two parallel blocks of large kernels and five ablations, NinaPro DB2 (Sustainability 10:1865)

    One network a subject on raw windows of 12 electrodes x 100 ms (200 samples at 2 kHz), z-scored a channel over train.
    Rest is out; scores are the share of right windows, the class-balanced figure stands in the notes. Repetitions 2 and
    5 test, 1, 3, 4 and 6 train (our choice, NinaPro's own split: the paper's was not found).

    The paper's: C-B1PB2's kernels, planes, batch normalisation, dropout, the 520 values before its classifier, 17
    gestures of exercise B. Derived from these: pools of stride 2, no padding, final kernels whose heights sum to 13. Our
    choice: ReLU, heights 6 and 7, the layers of all variants (only their purpose is known), a window every 50 ms, Adam
    at 0.001, a tenth of it after 30 of 50 epochs, batches of 128. The paper's table of variants was not found, so only
    the proposed network has a figure beside it, and both figures are second-hand.

    Each variant is compared with C-B1PB2 over subjects: Wilcoxon's signed-rank test, Holm's correction over the five
    comparisons, rank-biserial correlation r (positive: C-B1PB2 is better), and Friedman's test over all six.

    Quick: 3 simulated subjects with 6 gestures, a window every 200 ms, 7 epochs in batches of 16; with 3 pairs the
    smallest p that Wilcoxon's test can give is 0.25, so it shows differences and cannot confirm one. There the kernels
    that mix electrodes from the first layer (C-SK) fall behind, as in the paper, but small kernels along time (C-SK2)
    do not: both networks fit their 200 or so train windows, and what the large kernels learnt carries over less,
    perhaps for want of more windows; C-SK2's layers are our choice as well, so this says nothing about the paper's.
    """
    for section, dataset, published in _cohorts(context):
        subjects = ("1", "2", "3") if context.quick and isinstance(dataset, str) else None
        options = {} if not isinstance(dataset, str) or section != "exercise B" else {"exercises": (1,)}
        source = Recipe(name="read", dataset=dataset, dataset_options=options, subjects=subjects)
        recordings = read(source, context.say)
        step_ms = context.choose(200.0, STEP_MS)
        training = context.choose(FEW, {})
        rows = {}
        for variant in VARIANTS:
            run = dataclasses.replace(
                recipe(variant, dataset, step_ms, **training), dataset_options=options, subjects=subjects
            )
            paper = published if variant == PROPOSED else None
            rows[variant] = context.evaluate(
                variant, run, paper, "accuracy", ASKS.get(variant, "proposed"), section, recordings=recordings
            )
        yield from judged(rows)


def judged(rows: dict[str, Row]) -> Iterator[Row]:
    """The rows with the statistics of their differences in the notes. rows : by variant, the proposed one among them."""
    values = {name: row.values for name, row in rows.items()}
    enough = min(map(len, values.values())) > 1
    against = compare(values, PROPOSED) if enough else {}
    overall = friedman(values) if enough and len(values) > 2 else None
    for name, row in rows.items():
        notes = [row.note, f"class-balanced {100 * np.mean(row.metrics['balanced_accuracy']):.1f}"]
        if name in against:
            notes.append(_in_words(against[name]))
        elif overall is not None:
            ranks = ", ".join(f"{v} {r:.1f}" for v, r in sorted(overall.mean_rank.items(), key=lambda i: i[1]))
            notes.append(f"Friedman over all: p = {overall.p:.3g}, W = {overall.kendall_w:.2f}, mean ranks {ranks}")
        yield dataclasses.replace(row, note="; ".join(notes))


def _in_words(found: Comparison) -> str:
    points = 100 * abs(found.difference)
    which = "below" if found.difference > 0 else "above"
    unlike = "" if found.difference > 0 or "SK" not in found.b else "; unlike the paper's finding, see above the table"
    return (
        f"{points:.1f} points {which} {PROPOSED}, Wilcoxon p = {found.p_holm:.3g} (Holm), r = {found.effect:.2f}, "
        f"n = {found.n}{unlike}"
    )


def _cohorts(context: Context) -> Iterator[tuple[str, Any, Published]]:
    """(section, data set, the paper's figure) of this run."""
    if context.dataset not in (None, "ninapro_db2"):
        raise ConfigError(
            f"ding2018 ran on ninapro_db2, got dataset {context.dataset!r}; for other data give its networks a recipe: "
            "`method='ding'` with the window's length that you have"
        )
    if context.quick and context.dataset is None:
        yield "simulated in the shape of exercise B", QUICK, EXERCISE_B
    else:
        yield "exercise B", "ninapro_db2", EXERCISE_B
        if not context.quick:
            yield "all exercises", "ninapro_db2", ALL_DB2
