from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from myograph.evaluation.metrics import calibration_error, per_class_recall, reliability, score, summarise, trial_votes


def _predictions(true, pred, confidence=None, repetition=None):
    n = len(true)
    return pd.DataFrame(
        {
            "fold": "f",
            "subject": "1",
            "recording": 0,
            "repetition": [1] * n if repetition is None else repetition,
            "y_true": list(true),
            "y_pred": list(pred),
            "confidence": [np.nan] * n if confidence is None else confidence,
        }
    )


def test_scores_by_hand():
    # a: 3 of 4 right, b: 1 of 2 right, one a is taken for c, which is never true.
    found = score(_predictions("aaaabb", "aaacbb"[:5] + "a", repetition=[1, 1, 1, 1, 1, 1]))
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    # F1 of a: precision 3/4, recall 3/4; of b: precision 1, recall 1/2.
    assert found["macro_f1"] == pytest.approx((0.75 + 2 / 3) / 2)
    # Chance agreement: a 4/6 * 4/6 + b 2/6 * 1/6.
    chance = (16 + 2) / 36
    assert found["kappa"] == pytest.approx((4 / 6 - chance) / (1 - chance))
    assert np.isnan(found["calibration_error"])


def test_recall_by_hand():
    table = per_class_recall(np.array(list("aab")), np.array(list("abb")))
    assert table.to_dict("list") == {"label": ["a", "b"], "recall": [0.5, 1.0], "n": [2, 1]}


def test_calibration_error_by_hand():
    # Ten bins: two windows in the bin of 0.95, one right: gap 0.45; one in that of 0.55, right: gap 0.45.
    correct = np.array([True, False, True])
    assert calibration_error(correct, np.array([0.95, 0.95, 0.55]), 10) == pytest.approx((0.9 + 0.45) / 3)
    assert calibration_error(np.array([True]), np.array([1.0])) == 0


def test_votes_by_hand():
    table = _predictions("aaaabb", "abbbba", [0.9] * 6, [1, 1, 1, 2, 1, 1])
    votes = trial_votes(table)
    found = {(r.y_true, r.repetition): r.y_pred for r in votes.itertuples()}
    assert found[("a", 1)] == "b"  # one a, two b
    assert found[("a", 2)] == "b"
    assert found[("b", 1)] == "a"  # a tie of equal sureness goes to the first by name
    surer = trial_votes(_predictions("bb", "ab", [0.5, 0.6]))
    assert surer["y_pred"].tolist() == ["b"]


def test_f1_and_kappa_are_those_of_scikit_learn():
    from sklearn.metrics import cohen_kappa_score, f1_score

    rng = np.random.default_rng(0)
    for n_labels in (2, 3, 12):
        true, pred = rng.choice([f"gesture {i}" for i in range(n_labels)], (2, 200))
        pred[true == "gesture 1"] = "none of them"  # a label that is only predicted, and one that is never right
        found = score(_predictions(true, pred))
        assert found["macro_f1"] == pytest.approx(
            f1_score(true, pred, average="macro", labels=np.unique(true), zero_division=0), abs=1e-12
        )
        assert found["kappa"] == pytest.approx(cohen_kappa_score(true, pred), abs=1e-12)
    assert score(_predictions("aaa", "aaa"))["kappa"] == 1


def test_votes_are_those_of_counting_trial_by_trial():
    rng = np.random.default_rng(1)
    n = 300
    table = _predictions(rng.choice(list("abc"), n), rng.choice(list("abcd"), n), rng.random(n), rng.integers(1, 4, n))
    table["subject"], table["fold"] = rng.choice(["10", "9"], n), rng.choice(["f2", "f1"], n)
    table.loc[::7, "confidence"] = np.nan
    expected = {}
    for _, row in table.iterrows():
        trial = (row["fold"], row["subject"], row["recording"], row["repetition"], row["y_true"])
        sure = 1.0 if np.isnan(row["confidence"]) else row["confidence"]
        votes = expected.setdefault(trial, {})
        size, total = votes.get(row["y_pred"], (0, 0.0))
        votes[row["y_pred"]] = (size + 1, total + sure)
    winners = [(*t, min(v, key=lambda k: (-v[k][0], -v[k][1], k))) for t, v in sorted(expected.items())]
    assert list(trial_votes(table).itertuples(index=False, name=None)) == winners


def test_votes_do_not_cross_folds_or_recordings():
    table = _predictions("aa", "ab")
    table["fold"] = ["f", "g"]
    assert len(trial_votes(table)) == 2


def test_mean_deviation_and_interval():
    values = np.array([0.5, 0.6, 0.7, 0.7, 0.8, 0.9])
    found = summarise(values)
    assert found["mean"] == pytest.approx(0.7)
    assert found["std"] == pytest.approx(np.sqrt((0.04 + 0.01 + 0.01 + 0.04) / 5))
    assert found["n"] == 6
    # Of a mean of six draws the exact bootstrap distribution is known: all 6^6 samples are counted.
    means = np.sort(np.mean(np.meshgrid(*[values] * 6), axis=0).ravel())
    exact = means[[round(0.025 * len(means)), round(0.975 * len(means))]]
    np.testing.assert_allclose([found["low"], found["high"]], exact, atol=0.005)
    assert summarise(values) == found


def test_fewer_than_six_values_give_no_interval_and_one_no_deviation():
    five = summarise(np.arange(5.0))
    assert (five["mean"], five["n"]) == (2.0, 5)
    assert np.isnan(five["low"])
    assert np.isnan(five["high"])
    one = summarise(np.array([0.4]))
    assert one["mean"] == 0.4
    assert np.isnan(one["std"])
    assert summarise(np.array([np.nan, *range(5)]))["n"] == 5
    assert np.isnan(summarise(np.array([np.nan, *range(5)]))["low"])
    assert np.isnan(summarise(np.array([]))["mean"])


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(200):
        found = summarise(rng.normal(0.7, 0.1, 25), seed=i, n_draws=800)
        hits += found["low"] <= 0.7 <= found["high"]
    assert 0.88 <= hits / 200 <= 0.99


def test_a_reliability_diagram_by_hand():
    """Two bins of ten: 0.61 and 0.69 are in the seventh, one of them right; 1 is in the last, and wrong."""
    found = reliability(np.array([True, False, False]), np.array([0.61, 0.69, 1.0]), n_bins=10)
    np.testing.assert_allclose(found["confidence"], [0.65, 1.0])
    np.testing.assert_allclose(found["accuracy"], [0.5, 0.0])
    assert found["n"].tolist() == [2, 1]
    assert calibration_error(np.array([True, False, False]), np.array([0.61, 0.69, 1.0]), 10) == pytest.approx(
        (2 * 0.15 + 1) / 3
    )
    assert len(reliability(np.array([True]), np.array([np.nan]))) == 0
