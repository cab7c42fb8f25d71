"""Ding 2018: shapes of the runs, the statistics in the notes, and the finding's shape on a small cohort."""

import numpy as np
import pytest
from scipy import stats as sps

from myograph.datasets.simulated import Simulated
from myograph.errors import ConfigError
from myograph.evaluation.recipe import RECIPES
from myograph.evaluation.reproduction import Context, Row
from myograph.evaluation.run import evaluate, prepare, read
from myograph.preprocessing.resampling import Resample
from myograph.protocols import CrossSession
from myograph.recipes import ding2018
from myograph.recipes.ding2018 import FEW, PROPOSED, VARIANTS, judged, recipe
from myograph.recording import Recording

TINY = Simulated(preset="ninapro_db2_b", n_subjects=1, n_gestures=4, hold_s=1.2, rest_s=0.8)


def test_windows_are_the_papers_and_rest_is_out():
    run = recipe(dataset=TINY)
    windows = prepare(run, read(run))
    assert windows.shape[1:] == (12, 200)
    assert "rest" not in set(windows.y)
    fold = next(run.protocol.folds(windows))
    assert set(windows.table["repetition"].iloc[fold.train]) == {1, 3, 4, 6}
    assert set(windows.table["repetition"].iloc[fold.test]) == {2, 5}


def test_recipes_carry_the_second_hand_figures_as_such():
    of_b, of_all = RECIPES.create("ding2018"), RECIPES.create("ding2018_all")
    assert (of_b.published[0].value, of_b.published[0].status) == (83.79, "derived")
    assert (of_all.published[0].value, of_all.published[0].status) == (78.86, "secondary")
    assert dict(of_b.dataset_options) == {"exercises": (1,)}


def test_every_variant_is_a_run_of_its_own():
    assert len({recipe(v).identity({}) for v in VARIANTS}) == 6


def test_notes_hold_the_paired_statistics():
    def row(name, *values):
        return Row(name, values, metrics={"balanced_accuracy": values}, note="note")

    rows = {
        PROPOSED: row(PROPOSED, 0.8, 0.7, 0.9, 0.85, 0.75, 0.65),
        "C-SK": row("C-SK", 0.70, 0.62, 0.78, 0.76, 0.71, 0.60),
        "C-2B1": row("C-2B1", 0.81, 0.69, 0.93, 0.81, 0.80, 0.59),
    }
    proposed, worse, other = judged(rows)
    # All six are lower: p = 2 / 2^6, doubled by Holm because it is the smaller of two.
    assert "8.0 points below C-B1PB2, Wilcoxon p = 0.0625 (Holm), r = 1.00, n = 6" in worse.note
    p = sps.wilcoxon(rows[PROPOSED].values, rows["C-2B1"].values).pvalue
    assert f"p = {max(p, 0.0625):.3g} (Holm)" in other.note
    overall = sps.friedmanchisquare(*[r.values for r in rows.values()]).pvalue
    assert f"Friedman over all: p = {overall:.3g}" in proposed.note
    assert proposed.note.startswith("note; class-balanced 77.5")


def test_one_subject_gives_rows_without_statistics():
    rows = {v: Row(v, (0.5,), metrics={"balanced_accuracy": (0.5,)}) for v in (PROPOSED, "C-SK", "C-SK2")}
    assert not any("p =" in row.note for row in judged(rows))


def cohort_of(monkeypatch, tmp_path, rate_hz: float):
    """The cohort of a data set of another rate, whose files need not be here."""
    recording = Recording(np.zeros((10, 100)), rate_hz, np.zeros(100, int), "1")
    monkeypatch.setattr(ding2018, "load", lambda name, subjects: [recording])
    monkeypatch.setattr(ding2018, "locate", lambda dataset: tmp_path)
    monkeypatch.setattr("myograph.datasets.three_dc.ThreeDC.subjects", lambda self, path: list("123456"))
    (cohort,) = ding2018._cohorts(Context("ding2018", tmp_path, dataset="3dc"))
    return cohort


def test_other_recordings_are_resampled_and_split_as_usual_for_them(monkeypatch, tmp_path):
    cohort = cohort_of(monkeypatch, tmp_path, 1000.0)
    run = cohort.recipe(PROPOSED, Context("ding2018", tmp_path))
    assert run.filters == (Resample(2000.0),)
    assert run.protocol == CrossSession(train_sessions=("train",), test_sessions=("test",))
    assert run.subjects == tuple("1234")
    assert cohort.published is None
    assert cohort_of(monkeypatch, tmp_path, 2000.0).recipe(PROPOSED, Context("ding2018", tmp_path)).filters == ()


def test_recordings_that_are_too_slow_are_refused(monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match="3dc has 200 Hz"):
        cohort_of(monkeypatch, tmp_path, 200.0)


@pytest.mark.nightly
def test_the_proposed_network_learns_and_beats_small_kernels_that_mix_electrodes():
    recordings = read(recipe(dataset=TINY))
    found = {}
    for variant in (PROPOSED, "C-SK"):
        run = recipe(variant, TINY, 200.0, **{**FEW, "epochs": 5})
        found[variant] = float(evaluate(run, recordings).subjects["accuracy"].iloc[0])
    assert found[PROPOSED] > 0.5  # chance is 0.25
    assert found[PROPOSED] > found["C-SK"] - 0.05
