"""Continuous evaluation: no window left out, nothing tested that was trained on, and the decisions of a decoder."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from myograph import LeaveOneSubjectOut, Windowing, evaluate
from myograph.cli.app import main
from myograph.datasets import load
from myograph.errors import ConfigError, ProtocolError
from myograph.evaluation import apart
from myograph.evaluation.continuous import every_window, samples_tested, sharing_samples
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.report.page import render
from myograph.evaluation.run import evaluate_continuously, prepare
from myograph.evaluation.scores import Scores
from myograph.live import Decoder
from myograph.preprocessing import HighPass, ZeroPhase
from myograph.preprocessing.bursts import Bursts
from myograph.preprocessing.filters import BandPass
from myograph.protocols import Fold, KFoldRepetitions, LeakyShuffledWindows

OPTIONS = {"n_gestures": 2, "n_sessions": 1, "n_repetitions": 4, "hold_s": 1.5, "rest_s": 1.0}
RECIPE = Recipe("a", "simulated", KFoldRepetitions(2), "lda", windowing=Windowing(200, 50), filters=(HighPass(20),))


@pytest.fixture(scope="module")
def recordings():
    return load("simulated", subjects="1,2", **OPTIONS)


class Spy(ClassifierMixin, BaseEstimator):
    """Always rest; keeps the windows that it was fitted on and asked for."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        Spy.seen.append(("fit", X.table, [r.label.copy() for r in X.recordings]))
        return self

    def predict(self, X):
        Spy.seen.append(("predict", X.table, [r.label.copy() for r in X.recordings]))
        return np.full(len(X), "rest")


def spy(recordings, **changes):
    """What is found, and what the spy saw of all folds."""
    Spy.seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "state_of", lambda *_: None)  # otherwise each fold has a process, and a list, of its own
        found = evaluate_continuously(dataclasses.replace(RECIPE, method=Spy(), **changes), recordings)
    return found, Spy.seen


@pytest.fixture(scope="module")
def spied(recordings):
    return spy(recordings)


def test_every_window_of_the_recordings_is_decided_once(spied, recordings):
    asked = [
        (i, start)
        for what, table, _ in spied[1]
        if what == "predict"
        for i, start in table[["recording", "start"]].to_numpy()
    ]
    grid = [(i, start) for i, r in enumerate(recordings) for start in range(0, r.n_samples - 200 + 1, 50)]
    assert sorted(map(tuple, asked)) == grid
    assert spied[0]["decisions"] == len(grid)
    assert spied[0]["hours"] == pytest.approx(len(grid) * 0.05 / 3600)


def test_no_window_that_was_trained_on_shares_samples_with_a_decided_one(spied):
    reach = HighPass(20).reach_samples(1000.0)
    assert reach > 0
    steps = iter(spied[1])
    for (_, fitted, _), (_, asked, labels) in zip(steps, steps):
        assert (np.concatenate(labels) == -1).all()  # nothing after fit is labelled
        for i in np.unique(asked["recording"]):
            decided = np.zeros(100_000, bool)
            for start, stop in asked.loc[asked["recording"] == i, ["start", "stop"]].to_numpy():
                decided[max(start - reach, 0) : stop] = True
            for start, stop in fitted.loc[fitted["recording"] == i, ["start", "stop"]].to_numpy():
                assert not decided[max(start - reach, 0) : stop].any()


def test_one_who_always_rests_is_scored_by_hand(spied, recordings):
    found = spied[0]["metrics"]
    truth = np.concatenate([np.array(r.label_names)[r.label[199::50]] for r in recordings])
    assert found["total_error"] == pytest.approx(np.mean(truth != "rest"))
    assert found["active_error"] == 0
    assert found["false_activations"]["events"] == 0
    assert found["false_activations"]["hours"] == pytest.approx((truth == "rest").sum() * 0.05 / 3600)
    assert (found["missed_activations"], found["contractions"]) == (16, 16)  # 2 people, 2 gestures, 4 repetitions
    assert found["onset_delay"]["never"] == 1.0
    assert "aurc" not in found  # without probabilities
    assert [row["subject"] for row in spied[0]["subjects"]] == ["1", "2"]


def test_new_people_are_decided_as_a_decoder_does(recordings):
    recipe = dataclasses.replace(RECIPE, protocol=LeaveOneSubjectOut())
    found = evaluate_continuously(recipe, recordings)
    for i, other in ((0, 1), (1, 0)):
        decoder = Decoder.fit([recordings[other]], "lda", HighPass(20), Windowing(200, 50))
        offline = decoder.decide(recordings[i]).metrics(recordings[i])
        row = found["subjects"][i]
        # There each window is decided separately, here many at once: ties may round differently.
        assert row["total_error"] == pytest.approx(offline["total_error"], abs=0.003)
        assert row["active_error"] == pytest.approx(offline["active_error"], abs=0.003)
        assert row["contractions"] == offline["contractions"] == 8
        assert row["aurc"] == pytest.approx(offline["aurc"], abs=0.01)
    risks = [point["risk"] for point in found["selective"]]
    assert risks[-1] == pytest.approx(found["metrics"]["total_error"])
    assert found["train_windows_left_out"] == 0


def test_breaks_and_unlabelled_samples(recordings):
    label = recordings[0].label.copy()
    label[2000:2600] = -1
    one = dataclasses.replace(recordings[0], label=label, breaks=(3007,))
    found, seen = spy([one, recordings[1]], filters=())
    asked = np.concatenate([t.loc[t["recording"] == 0, ["start", "stop"]] for w, t, _ in seen if w == "predict"])
    assert not ((asked[:, 0] < 3007) & (asked[:, 1] > 3007)).any()
    starts = [*range(0, 3007 - 200 + 1, 50), *range(3007, one.n_samples - 200 + 1, 50)]
    assert sorted(asked[:, 0].tolist()) == starts
    assert found["unlabelled"] == sum(2000 <= start + 199 < 2600 for start in starts)


def test_stretches_and_windows_by_hand(recordings):
    recipe = dataclasses.replace(RECIPE, rest="keep", filters=())
    windows = prepare(recipe, recordings)
    (fold, *_) = recipe.protocol.folds(windows)
    masks = samples_tested(windows, fold)
    tested = np.unique(windows.column("repetition")[fold.test])
    np.testing.assert_array_equal(masks[0], np.isin(recordings[0].repetition, tested))
    decided, part = every_window(windows, masks, Windowing(200, 50))
    last = decided.column("stop") - 1
    assert all(masks[k][at] for k, at in zip(decided.column("recording"), last))
    gaps = (np.diff(last) != 50) | (np.diff(decided.column("recording")) != 0)
    assert len(np.unique(part)) == 1 + gaps.sum()
    near = sharing_samples(windows, fold.train, decided)
    for i in (0, len(near) // 2, len(near) - 1, int(near.argmax())):
        row = fold.train[i]
        same = decided.column("recording") == windows.column("recording")[row]
        start, stop = windows.column("start")[row], windows.column("stop")[row]
        overlap = (decided.column("start")[same] < stop) & (decided.column("stop")[same] > start)
        assert near[i] == overlap.any()
    mixed = Fold("mixed", fold.train, np.append(fold.test, fold.train[0]))
    with pytest.raises(ProtocolError, match="tests and trains on repetition"):
        samples_tested(windows, mixed)


def test_it_is_kept_with_the_scores_and_in_the_report(tmp_path, recordings):
    plain = evaluate(RECIPE, recordings, out=tmp_path / "plain")
    scores = evaluate(RECIPE, recordings, out=tmp_path / "run", continuous=True)
    assert plain.as_dict()["continuous"] is None
    assert plain.info["identity"] == scores.info["identity"]
    assert plain.summary["accuracy"]["mean"] == scores.summary["accuracy"]["mean"]
    found = scores.as_dict()["continuous"]
    assert found["decisions"] > len(scores.predictions)
    assert Scores.load(tmp_path / "run").as_dict()["continuous"] == json.loads(json.dumps(found))
    page = render(scores)
    assert "including rest and transitions" in page
    assert f"{found['metrics']['total_error'] * 100:.1f} %" in page
    assert "including rest and transitions" not in render(plain)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"filters": (ZeroPhase(BandPass(20, 400)),)}, "not causal"),
        ({"windowing": "bursts"}, "constant step"),
        ({"protocol": "leaky"}, "LEAKY"),
    ],
)
def test_what_cannot_be_decided_in_time(recordings, changes, said):
    values = {"bursts": Bursts(), "leaky": LeakyShuffledWindows()}
    recipe = dataclasses.replace(
        RECIPE, **{k: values.get(v, v) if isinstance(v, str) else v for k, v in changes.items()}
    )
    with pytest.raises(ConfigError, match=said):
        evaluate(recipe, recordings, continuous=True)


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        small = ["--dataset", "simulated", "--subjects", "1", "--method", "lda", "--jobs", "1"]
        options = [w for k, v in OPTIONS.items() for w in ("--set", f"dataset_options.{k}={v}")]
        monkeypatch.setattr(sys, "argv", ["myograph", "run", *small, *options, "--json", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        return json.loads(capsys.readouterr().out)["continuous"]

    protocol = ["--set", "protocol=KFoldRepetitions"]
    assert run(*protocol) is None
    with_option, saved = run(*protocol, "--continuous"), run(*protocol, "--save", "a.myo")
    assert with_option == saved
    assert run(*protocol, "--save", "a.myo", "--no-continuous") is None
