"""A score says which question it answers, what chance is, and which interval it has, or why none."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from conftest import make_recording
from myograph import (
    CrossSession,
    KFoldRepetitions,
    LeakyShuffledWindows,
    LeaveOneSubjectOut,
    Windowing,
    WithinSubject,
)
from myograph.errors import ProtocolError
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate, evaluate_all
from myograph.evaluation.scores import Scores


class First(ClassifierMixin, BaseEstimator):
    """Always gives the first label by name; fast, and its scores are known by counting."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def recordings(people="12", sessions="1", names=("rest", "a", "b")):
    rng = np.random.default_rng(0)
    return [
        make_recording(rng, subject=p, session=s, n_repetitions=3, n_per_run=100, names=names)
        for p in people
        for s in sessions
    ]


def run(protocol, given, rest="drop", **options):
    return evaluate(Recipe("q", "own", protocol, First(), windowing=Windowing(100, 100), rest=rest), given, **options)


@pytest.mark.parametrize(
    ("protocol", "asks"),
    [
        (WithinSubject((2,)), "new repetitions of the same people and sessions"),
        (KFoldRepetitions(3), "new repetitions of the same people and sessions"),
        (CrossSession(), "new sessions of the same people"),
        (LeaveOneSubjectOut(), "new people"),
        (LeaveOneSubjectOut(calibration=0.4), "new repetitions of the same people and sessions"),
        (
            LeakyShuffledWindows(honest=KFoldRepetitions(2)),
            "windows that share samples or repetitions with training (LEAKY)",
        ),
    ],
)
def test_the_question_is_read_off_the_audits_whatever_the_protocol_is_called(protocol, asks):
    scores = run(protocol, recordings("12", "12"))
    assert scores.question.split("; ")[0] == asks
    assert scores.as_dict()["question"] == scores.question


def test_the_question_in_full_and_kept_in_the_runs_folder(tmp_path):
    scores = run(LeaveOneSubjectOut(), recordings("12345", "123"), out=tmp_path / "run")
    # A run of 100 samples at 200 Hz holds 5 windows of 100 ms; each of 5 people has 3 sessions of 3 repetitions of rest.
    assert scores.question == (
        "new people; 3 sessions per person; rest left out (225 windows); chance 50.0 %; 5 people tested, each fold "
        "trained on 4"
    )
    assert Scores.load(tmp_path / "run").question == scores.question
    assert json.loads((tmp_path / "run" / "run.json").read_text())["facts"]["rest"]["found"] == 225


def test_rest_that_is_kept_balanced_or_not_there_is_told():
    given = recordings("12")
    assert "; rest is a class (30 windows); chance 33.3 %; " in run(LeaveOneSubjectOut(), given, "keep").question
    # Of each person "a" is rest as well in two of three repetitions: 25 windows of rest, 5 of "a", 15 of "b".
    more = [dataclasses.replace(r, label=np.where((r.label == 1) & (r.repetition > 1), 0, r.label)) for r in given]
    balanced = run(LeaveOneSubjectOut(), more, "balance").question
    assert "; rest is a class (20 of 50 windows kept); chance 50.0 %; " in balanced
    without = run(LeaveOneSubjectOut(), recordings(names=("x", "a", "b"))).question
    assert "; no rest in the data; " in without


def test_chance_is_the_largest_share_of_a_label_averaged_over_people():
    one, two = recordings("12")
    # The second person has no "b" but in repetition 1: shares 15 of 20 and, for the first person, 15 of 30.
    label = np.where((two.label == 2) & (two.repetition > 1), -1, two.label)
    scores = run(LeaveOneSubjectOut(), [one, dataclasses.replace(two, label=label)])
    assert scores.chance == pytest.approx((15 / 30 + 15 / 20) / 2)
    assert scores.as_dict()["chance"] == scores.chance
    label = np.where((two.label == 2) & (two.repetition == 3), -1, two.label)
    alone = run(KFoldRepetitions(3), [dataclasses.replace(two, label=label)])
    assert alone.over == "fold"
    assert alone.chance == pytest.approx((5 / 10 + 5 / 10 + 1) / 3)


def test_a_class_that_training_lacks_is_told():
    one, two = recordings("12")
    label = np.where(one.label == 2, -1, one.label)
    extra = dataclasses.replace(one, label=label)
    full = run(LeaveOneSubjectOut(), [one, two])
    assert full.notes == []
    lacking = run(LeaveOneSubjectOut(), [extra, two], "keep")
    assert lacking.info["facts"]["missing_classes"] == [{"fold": "subject 2", "labels": ["b"]}]
    assert lacking.notes == [
        "In 1 of 2 folds training lacks a class that is tested, and which therefore cannot be recognised; the first is "
        "subject 2: b."
    ]


def test_fewer_than_six_people_give_no_interval_and_the_reason(tmp_path):
    five, six = (run(LeaveOneSubjectOut(), recordings(people)) for people in ("12345", "123456"))
    assert five.interval == "no interval: 5 people, and six are needed"
    assert six.interval == "bootstrap percentile 95 % interval of the mean over 6 people"
    assert five.as_dict()["metrics"]["accuracy"]["low"] is None
    assert six.as_dict()["metrics"]["accuracy"]["high"] is not None
    assert five.as_dict()["interval"] == five.interval


def test_folds_of_one_person_give_no_interval_however_many():
    rng = np.random.default_rng(0)
    alone = run(KFoldRepetitions(8), [make_recording(rng, n_repetitions=8, n_per_run=60)])
    assert alone.summary["accuracy"]["n"] == 8
    assert np.isnan(alone.summary["accuracy"]["low"])
    assert alone.interval == "no interval: 1 person, and six are needed; folds share their training windows"


def test_all_honest_protocols_that_the_data_allow_run_side_by_side(tmp_path):
    recipe = Recipe("q", "own", WithinSubject((2,)), First(), windowing=Windowing(100, 100))
    found = evaluate_all(recipe, recordings("12", "12"), root=tmp_path)
    assert list(found.scores) == ["new repetitions", "new sessions", "new people"]
    assert found.skipped == {}
    assert [s.info["protocol"] for s in found.scores.values()] == [
        "WithinSubject",
        "CrossSession",
        "LeaveOneSubjectOut",
    ]
    for name, scores in found.scores.items():
        assert scores.question.startswith(name)
        assert Scores.load(scores.folder).as_dict() == scores.as_dict()
    json.dumps(found.as_dict(), allow_nan=False)


def test_what_the_data_do_not_allow_is_skipped_with_the_reason():
    recipe = Recipe("q", "own", LeakyShuffledWindows(), First(), windowing=Windowing(100, 100))
    found = evaluate_all(recipe, recordings("1"))
    assert list(found.scores) == ["new repetitions"]  # the leaky protocol itself is not run
    assert set(found.skipped) == {"new sessions", "new people"}
    assert "needs two or more subjects" in found.skipped["new people"]
    once = make_recording(np.random.default_rng(0), n_repetitions=1)
    with pytest.raises(ProtocolError, match="no honest protocol fits these recordings"):
        evaluate_all(recipe, [once])
