"""Calibration repetitions, how they are used, and the score "target only" beside every calibrated score."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from conftest import make_recording
from myograph import CrossSession, LeaveOneSubjectOut, Windowing, Windows, WithinSubject
from myograph.errors import ConfigError, ProtocolError
from myograph.evaluation.curve import learning_curve
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.report.page import render
from myograph.evaluation.run import evaluate
from myograph.evaluation.scores import Scores
from myograph.evaluation.transfer import Transfer

WINDOWING = Windowing(100, 50)


@pytest.fixture(scope="module")
def recordings():
    rng = np.random.default_rng(0)
    return [
        make_recording(rng, subject=str(s), session=str(k), n_labels=3, n_repetitions=4)
        for s in (1, 2, 3)
        for k in (1, 2)
    ]


@pytest.fixture(scope="module")
def windows(recordings):
    return Windows.cut(recordings, WINDOWING)


class Recorder(ClassifierMixin, BaseEstimator):
    """Answers what was asked of it: its predictions name the rows that it was fitted on, calibrated on and adapted to."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.told_ = [f"fit {len(X)} {sorted(set(X.column('subject').tolist()))}"]
        return self

    def calibrate(self, X, y):
        assert len(X) == len(y)
        self.told_.append(f"calibrate {len(X)} {sorted(set(X.column('session').tolist()))}")
        return self

    def adapt(self, X):
        assert (X.y == "").all() or len(set(X.y)) == 1  # without labels
        self.told_.append(f"adapt {len(X)} {sorted(set(X.column('session').tolist()))}")
        return self

    def predict(self, X):
        return np.array(["; ".join(self.told_)] * len(X), object)


def recipe(protocol, method="lda", **options):
    return Recipe("transfer", "mine", protocol, method, windowing=WINDOWING, rest="keep", **options)


def test_calibration_repetitions_of_the_first_session_alone(windows):
    fold = next(LeaveOneSubjectOut(calibration_repetitions=2, calibration_sessions="first").folds(windows))
    session, repetition = windows.column("session"), windows.column("repetition")
    assert set(session[fold.calibration]) == {"1"}
    assert set(repetition[fold.calibration]) == {1, 2}
    assert set(repetition[fold.test][session[fold.test] == "1"]) == {3, 4}
    assert set(repetition[fold.test][session[fold.test] == "2"]) == {1, 2, 3, 4}
    others = np.setdiff1d(fold.train, fold.calibration)
    assert set(windows.column("subject")[others]) == {"2", "3"}


def test_reserved_repetitions_keep_the_test_windows_the_same(windows):
    tests = [
        [f.test for f in LeaveOneSubjectOut(calibration_repetitions=k, reserved_repetitions=2).folds(windows)]
        for k in (0, 1, 2)
    ]
    for other in tests[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(tests[0], other))
    assert LeaveOneSubjectOut(reserved_repetitions=2).disjoint == ("subject",)


def test_seconds_of_calibration_count_signal_once(windows, recordings):
    protocol = LeaveOneSubjectOut(calibration_repetitions=3, calibration_seconds=0.4)
    fold = next(protocol.folds(windows))
    rate = recordings[0].rate_hz
    table = windows.table.iloc[fold.calibration]
    for _, part in table.groupby(["session", "label"], observed=True):
        covered = np.zeros(recordings[0].n_samples, bool)
        for start, stop in zip(part["start"], part["stop"]):
            covered[start:stop] = True
        assert 0.3 < covered.sum() / rate <= 0.4
    with pytest.raises(ProtocolError, match="give the protocol Windows"):
        next(protocol.folds(windows.table))


def test_cross_session_with_labelled_repetitions_has_one_fold_per_new_session(windows):
    folds = list(CrossSession(calibration_repetitions=1).folds(windows))
    assert [f.name for f in folds] == [f"subject {s}, session 2" for s in (1, 2, 3)]
    assert set(windows.column("repetition")[folds[0].calibration]) == {1}
    assert CrossSession().disjoint == ("session",)
    assert CrossSession(calibration_repetitions=1).disjoint == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibration_repetitions": -1}, "whole number of at least 0"),
        ({"calibration_seconds": 3.0}, "give calibration_repetitions too"),
        ({"calibration": 0.5, "calibration_repetitions": 1}, "not both"),
        ({"calibration_sessions": "last", "calibration_repetitions": 1}, "'each' or 'first'"),
    ],
)
def test_protocols_refuse_what_does_not_fit(options, message):
    with pytest.raises(ProtocolError, match=message):
        LeaveOneSubjectOut(**options)


def test_a_protocol_refuses_to_use_up_all_repetitions(windows):
    with pytest.raises(ProtocolError, match="none is left to test"):
        next(LeaveOneSubjectOut(calibration_repetitions=4).folds(windows))


def told(recordings, protocol, **options):
    scores = evaluate(recipe(protocol, Recorder(), **options), recordings)
    return list(dict.fromkeys(scores.predictions["y_pred"][scores.predictions["subject"] == "1"])), scores


def test_what_a_method_is_given_under_each_transfer(recordings, windows):
    protocol = LeaveOneSubjectOut(calibration_repetitions=1, calibration_sessions="first")
    fold = next(protocol.folds(windows))
    n, n_cal = len(fold.train), len(fold.calibration)
    (pooled,), scores = told(recordings, protocol)
    assert pooled == f"fit {n} ['1', '2', '3']"
    assert set(scores.target_only.predictions["y_pred"][scores.predictions["subject"] == "1"]) == {f"fit {n_cal} ['1']"}
    (weighted,), _ = told(recordings, protocol, transfer="weight")
    assert weighted == f"fit {(n - n_cal) + round((n - n_cal) / n_cal) * n_cal} ['1', '2', '3']"
    adapted, _ = told(recordings, protocol, transfer="adapt")
    given = [
        f"fit {n - n_cal} ['2', '3']; calibrate {n_cal} ['1']; adapt " + rest for rest in adaptations(windows, fold)
    ]
    assert adapted == given


def adaptations(windows, fold):
    session = windows.column("session")[fold.test]
    return [f"{(session == k).sum()} ['{k}']" for k in ("1", "2")]


def test_which_unlabelled_windows_are_seen(recordings, windows):
    fold = next(LeaveOneSubjectOut().folds(windows))
    n = int((windows.column("session")[fold.test] == "1").sum())
    (first,), _ = told(recordings, LeaveOneSubjectOut(), transfer="adapt", adapt_on="first session")
    assert first.endswith(f"adapt {n} ['1']")
    (everything,), scores = told(recordings, LeaveOneSubjectOut(), transfer="adapt", adapt_on="everything")
    assert everything.endswith(f"adapt {len(fold.test)} ['1', '2']")
    assert scores.target_only is None
    assert any("adapted to them without labels: everything" in note for note in scores.notes)
    some, _ = told(recordings, LeaveOneSubjectOut(), transfer="adapt", adapt_seconds=1.0)
    assert all(int(text.split("adapt ")[1].split()[0]) <= 19 for text in some)  # 1 s of 100 ms windows every 50 ms


def test_target_only_is_what_the_calibration_windows_alone_give(recordings, windows, tmp_path):
    protocol = LeaveOneSubjectOut(calibration_repetitions=1)
    scores = evaluate(recipe(protocol), recordings, out=tmp_path / "run")
    from myograph.methods import lda

    fold = next(protocol.folds(windows))
    alone = lda().fit(windows[fold.calibration], windows.y[fold.calibration]).predict(windows[fold.test])
    found = scores.target_only.predictions
    assert np.array_equal(found["y_pred"][found["subject"] == "1"], alone)
    assert next(a["n_train"] for a in scores.target_only.info["audit"]) == len(fold.calibration)
    loaded = Scores.load(tmp_path / "run")
    assert loaded.target_only is not None
    assert loaded.target_only.predictions.equals(scores.target_only.predictions)
    text = json.dumps(scores.as_dict())
    assert (
        json.loads(text)["target_only"]["metrics"]["accuracy"]["mean"] == scores.target_only.summary["accuracy"]["mean"]
    )
    assert "target only" in render(scores)
    assert evaluate(recipe(WithinSubject((2,))), recordings).target_only is None


def test_a_fraction_of_calibration_has_the_row_too(recordings):
    assert evaluate(recipe(LeaveOneSubjectOut(calibration=0.3)), recordings).target_only is not None


def test_transfer_refuses_what_does_not_fit(recordings):
    with pytest.raises(ConfigError, match="transfer must be 'pool'"):
        recipe(LeaveOneSubjectOut(), transfer="pooled")
    with pytest.raises(ConfigError, match="need transfer='adapt'"):
        Transfer("pool", adapt_seconds=3.0)
    with pytest.raises(ProtocolError, match="needs labelled windows"):
        evaluate(recipe(LeaveOneSubjectOut(), transfer="target only"), recordings)
    with pytest.raises(ConfigError, match="Pipeline has no such method"):
        evaluate(recipe(LeaveOneSubjectOut(), transfer="adapt"), recordings)


def test_the_identity_does_not_mention_defaults_that_came_later():
    base = recipe(LeaveOneSubjectOut())
    assert "transfer" not in base.as_dict()
    assert set(base.as_dict()["protocol"]) == {"type", "calibration"}
    hashes = {"1/1/0": "0"}
    assert replace(base, transfer="adapt").identity(hashes) != base.identity(hashes)
    other = replace(base, protocol=LeaveOneSubjectOut(calibration_repetitions=1))
    assert other.identity(hashes) != base.identity(hashes)


def test_a_learning_curve_rises_and_is_drawn(recordings, tmp_path):
    curve = learning_curve(recipe(LeaveOneSubjectOut()), (0, 2), recordings=recordings)
    means = curve.means
    assert list(means.columns) == ["pool", "weight", "target only"]
    assert list(means.index) == [0, 2]
    assert np.isnan(means.loc[0, "target only"])
    assert means.loc[2, "pool"] >= means.loc[0, "pool"]
    found = curve.as_dict()["mean_accuracy"]["pool"]["2"]
    rows = curve.table.query("transfer == 'pool' and repetitions == 2")
    assert found == pytest.approx(rows["accuracy"].mean())
    assert len(rows) == 3
    svg = curve.save_svg(tmp_path / "curve.svg").read_text()
    from xml.dom.minidom import parseString

    assert parseString(svg).documentElement.tagName == "svg"
    assert svg.count("<path") == 3
    drawn = set(re.findall(r'class="series (s\d)"', svg))
    assert len(drawn) == 3
    assert all(re.search(rf"\.{name} {{ stroke: #[0-9a-f]{{6}}", svg) for name in drawn)  # else a line is not seen
    with pytest.raises(ConfigError, match="takes no calibration repetitions"):
        learning_curve(recipe(WithinSubject((2,))), recordings=recordings)


def test_a_learning_curve_takes_the_numbers_of_repetitions_that_leave_something_to_test(recordings):
    asked = recipe(LeaveOneSubjectOut(), method="lda")
    curve = learning_curve(asked, transfers=["pool"], recordings=recordings)
    assert list(curve.means.index) == [0, 1, 2]  # there are four repetitions
    one_each = [replace(r, repetition=np.ones_like(r.repetition)) for r in recordings]
    assert list(learning_curve(asked, transfers=["pool"], recordings=one_each).means.index) == [0]
    with pytest.raises(ProtocolError, match="4 calibrate or are reserved"):
        learning_curve(asked, (0, 4), ["pool"], recordings=recordings)
