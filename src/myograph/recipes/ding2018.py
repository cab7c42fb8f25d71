"""Ding, Yang, Tian, Li, Li and Li 2018, sEMG-based gesture recognition with convolution neural networks, Sustainability
10:1865: parallel blocks of large kernels on raw windows of NinaPro DB2, and five variants that take them apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from myograph.datasets.base import get
from myograph.datasets.load import load, locate
from myograph.datasets.simulated import Simulated
from myograph.errors import ConfigError
from myograph.evaluation.recipe import RECIPES, Published, Recipe
from myograph.evaluation.reproduction import REPRODUCTIONS, Context, Row, differs
from myograph.evaluation.run import read
from myograph.evaluation.stats import Comparison, compare, friedman
from myograph.preprocessing.resampling import Resample
from myograph.protocols import Protocol, WithinSubject
from myograph.recipes._differences import DING2018
from myograph.recipes._report import REPORT_SEEDS
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
RATE_HZ, LEAST_RATE_HZ = 2000.0, 800.0  # the paper's rate, and the lowest that holds most of the spectrum of EMG
NINAPRO_SPLIT = WithinSubject(test_repetitions=(2, 5))
CLASSICAL = {"LDA, time-domain features": "lda", "SVM, time-domain features": "svm"}
EXERCISE_B = Published(
    "DB2 exercise B, 17 gestures", 83.79, None, "TraHGR's abstract: its 88.91 is 5.12 above the best before", "derived"
)
ALL_DB2 = Published("DB2 exercises B, C and D", 78.86, None, "public notes on the paper", "secondary")
QUICK = Simulated("ninapro_db2_b", n_subjects=5, n_gestures=4, hold_s=1.5, rest_s=1.0, seed=REPORT_SEEDS)


def recipe(variant: str = PROPOSED, dataset: Any = "ninapro_db2", step_ms: float = STEP_MS, **training: Any) -> Recipe:
    """One of `VARIANTS` on 100 ms windows; `training` replaces settings of `TRAINING`."""
    return Recipe(
        name=f"ding2018-{VARIANTS[variant]}",
        dataset=dataset,
        protocol=NINAPRO_SPLIT,
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
@differs(*DING2018)
def reproduce(context: Context) -> Iterator[Row]:
    """Ding, Yang, Tian, Li, Li & Li 2018: two parallel blocks of large kernels and five ablations, NinaPro DB2 (Sustainability 10:1865)

    **Task.** One network per subject on raw windows of 12 electrodes x 100 ms (200 samples at 2 kHz), z-scored per channel
    over the training windows. Rest is left out. The score is the share of correct windows; the class-balanced accuracy is
    in the notes. Repetitions 2 and 5 test, 1, 3, 4 and 6 train: this is NinaPro's own split and our choice, because the
    paper's was not found.

    **Published results.** C-B1PB2 on exercise B of DB2 (40 people): 83.79 %, derived from another paper's abstract, which
    says by how much it is better than the best before; that this best is C-B1PB2 is recalled, not read. On all exercises:
    78.86 %, from public notes on the paper. Both are second-hand. Its tables of variants and classical methods were not
    found.

    **From the paper.** The kernels, feature maps, batch normalisation and dropout of C-B1PB2, the 520 values before its
    classifier, and the 17 gestures of exercise B. Derived from these: pools of stride 2, no padding, and final kernels
    whose heights sum to 13.

    **Our choice.** ReLU, heights 6 and 7, the layers of all variants (only their purpose is known), a window every 50 ms,
    Adam at 0.001 and a tenth of it after 30 of 50 epochs, batches of 128. With fewer than 12 electrodes the last two
    kernels are lower, so that they still span all electrodes (3DC: 10).

    **Statistics.** Each variant is compared with C-B1PB2 over subjects: Wilcoxon's signed-rank test, Holm's correction over
    the five comparisons, rank-biserial correlation r (positive: C-B1PB2 is better), and Friedman's test over all six. With
    fewer than six subjects Wilcoxon's test cannot reach p = 0.05 (with 3 pairs the smallest p is 0.25, with 4 it is 0.125),
    so a small run shows differences and cannot confirm one. Friedman's p is the chi-squared approximation, which is rough
    for so few subjects; it says that not all six networks are equal, not which ones differ.

    **Other recordings** (`--dataset`) are split by their own usual protocol, resampled to 2 kHz if they are slower so that
    the kernels span the paper's durations, and compared with two classical methods.

    **Cannot be confirmed here.** The paper's figures, which are second-hand, and its comparison of variants, whose layers
    are our reading of their names. DB2 was not at hand.

    **A small run** trains for 7 epochs in batches of 16: on five simulated people with 4 gestures and a window every 200 ms,
    or on the first four people of another data set with a window every 500 ms. The simulated people are one of each of the
    simulator's seeds 101 to 105; a gesture is held for 1.5 s, with 1 s of rest. Each network there fits its 130 or so
    training windows, and the layers of the variants are our choice, so the order of the variants there says nothing about
    the paper's finding.

    **Chosen while looking at scores.** Nothing on real recordings. The program was written, and the training of the small run
    set, on simulated people of seed 0, who are not in the small run; nothing was chosen on those who are.
    """
    for cohort in _cohorts(context):
        recordings = read(cohort.recipe(PROPOSED, context), context.progress)
        rows = {}
        for variant in VARIANTS:
            run = cohort.recipe(variant, context)
            paper = cohort.published if variant == PROPOSED else None
            note = ASKS.get(variant, "proposed")
            rows[variant] = context.evaluate(
                variant, run, paper, "accuracy", note, cohort.section, recordings=recordings, matrix=variant == PROPOSED
            )
        yield from judged(rows)
        if cohort.published is None:
            for title, method in CLASSICAL.items():
                run = dataclasses.replace(
                    cohort.recipe(PROPOSED, context), name=f"ding2018-{method}", filters=(), method=method,
                    method_options={"features": "HTD", "log": False},
                )  # fmt: skip
                note = "classical, same windows, our choice of features"
                yield context.evaluate(title, run, None, "accuracy", note, cohort.section, recordings=recordings)
        context.curves(PROPOSED, cohort.recipe(PROPOSED, context), f"{PROPOSED}, {cohort.section}", recordings)


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
    return (
        f"{points:.1f} points {which} {PROPOSED}, Wilcoxon p = {found.p_holm:.3g} (Holm), r = {found.effect:.2f}, "
        f"n = {found.n}"
    )


@dataclass(frozen=True)
class Cohort:
    """Whose recordings, how they are split, and the paper's figure for them.

    upsampled : the recordings have a lower rate than the paper's 2 kHz and are resampled to it.
    """

    section: str
    dataset: Any
    published: Published | None = None
    options: tuple[tuple[str, Any], ...] = ()
    subjects: tuple[str, ...] | None = None
    protocol: Protocol = NINAPRO_SPLIT
    upsampled: bool = False
    step_ms: float = STEP_MS

    def recipe(self, variant: str, context: Context) -> Recipe:
        return dataclasses.replace(
            recipe(variant, self.dataset, self.step_ms, **context.choose(FEW, {})),
            dataset_options=dict(self.options),
            subjects=self.subjects,
            protocol=self.protocol,
            filters=(Resample(RATE_HZ),) if self.upsampled else (),
        )


def _cohorts(context: Context) -> Iterator[Cohort]:
    if context.dataset is None and context.quick:
        yield Cohort("simulated in the shape of exercise B", QUICK, step_ms=200.0)
    elif context.dataset in (None, "ninapro_db2"):
        some = ("1", "2", "3") if context.quick else None
        step_ms = context.choose(200.0, STEP_MS)
        exercise = (("exercises", (1,)),)
        yield Cohort("exercise B", "ninapro_db2", EXERCISE_B, exercise, some, step_ms=step_ms)
        if not context.quick:
            yield Cohort("all exercises", "ninapro_db2", ALL_DB2)
    else:
        yield _other(context, context.dataset)


def _other(context: Context, name: str) -> Cohort:
    """Another data set, split by its own usual protocol; a small run takes its first four people."""
    chosen = get(name)
    subjects = tuple(chosen.subjects(locate(chosen)))
    some = subjects[:4] if context.quick else None
    (first, *_) = load(name, [subjects[0]])
    if first.rate_hz < LEAST_RATE_HZ:
        raise ConfigError(
            f"ding2018 reads 200 samples per 100 ms; {name} has {first.rate_hz:g} Hz, and below {LEAST_RATE_HZ:g} Hz "
            "most of what its kernels were made for is missing. Choose a set of faster recordings, such as 3dc"
        )
    rate = f"{first.rate_hz:g} Hz" + (", resampled to 2 kHz" if first.rate_hz < RATE_HZ else "")
    return Cohort(
        f"{name} ({rate}), which the paper did not use",
        name,
        subjects=some,
        protocol=chosen.protocol,
        upsampled=first.rate_hz < RATE_HZ,
        step_ms=context.choose(500.0, STEP_MS),
    )
