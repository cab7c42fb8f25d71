"""`myograph run --save`, `train`, `predict` and `decoder info`: from the command line to decisions."""

import json

import numpy as np
import pandas as pd
import pytest

from myograph.cli.decoder import parse_post
from myograph.datasets import load
from myograph.errors import MyographError
from myograph.live import ConfidenceRejection, Decoder, MajorityVote

SMALL = ["--dataset", "simulated", "--subjects", "1", "--method", "lda", "--set", "windowing.step_ms=100"]


@pytest.fixture
def call(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    return command


def test_a_run_saves_a_decoder_with_its_scores(call, tmp_path):
    status, out, _ = call("run", *SMALL, "--save", "a.myo", "--json")
    assert status == 0
    scores = json.loads(out)
    assert scores["decoder"] == "a.myo"
    status, out, _ = call("decoder", "info", "a.myo", "--json")
    info = json.loads(out)
    assert status == 0
    assert info["scores"]["metrics"]["accuracy"]["mean"] == scores["metrics"]["accuracy"]["mean"]
    assert info["trained_on"]["method"] == "lda"
    assert "rest" not in info["classes"]  # the recipe drops it
    status, out, _ = call("decoder", "info", "a.myo")
    assert f"{scores['metrics']['accuracy']['mean']:.3f}" in out


def test_train_and_predict(call, tmp_path):
    post = ["--post", "ConfidenceRejection threshold=0.6", "--post", "MajorityVote n=3"]
    status, out, err = call("train", *SMALL, "--set", "rest=keep", "--save", "b.myo", *post)
    assert status == 0, err
    decoder = Decoder.load("b.myo")
    assert decoder.post == (ConfidenceRejection(0.6), MajorityVote(3))
    status, out, err = call("predict", "b.myo", "simulated", "--subjects", "1", "--csv", "d.csv", "--json")
    assert status == 0, err
    found = json.loads(out)
    recordings = load("simulated", subjects="1")
    assert [r["recording"] for r in found["recordings"]] == [r.name for r in recordings]
    table = pd.read_csv("d.csv")
    expected = [decoder.decide(r) for r in recordings]
    assert len(table) == sum(map(len, expected))
    assert (table["decision"] == np.concatenate([d.names for d in expected])).all()
    assert found["recordings"][0]["metrics"]["total_error"] == pytest.approx(
        expected[0].metrics(recordings[0])["total_error"]
    )
    np.save("x.npy", recordings[0].signal[:, :3000])
    status, out, err = call("predict", "b.myo", "x.npy", "--json")
    assert status == 0, err
    assert json.loads(out)["recordings"][0]["decisions"] == len(decoder.stream().push(recordings[0].signal[:, :3000]))
    status, out, _ = call("predict", "b.myo", "simulated", "--subjects", "1")
    assert "false activations per hour" in out


def test_what_does_not_fit_is_one_message(call, tmp_path):
    call("train", *SMALL, "--save", "b.myo")
    for words, said in [
        (("predict", "nothing.myo", "simulated"), "there is no file nothing.myo"),
        (("predict", "b.myo", "nothing.npy"), "cannot be read"),
        (("predict", "b.myo", "simulatd"), "Did you mean 'simulated'"),
        (("train", *SMALL, "--post", "MajorityVot"), "Did you mean 'MajorityVote'"),
        (("train", *SMALL, "--post", "MajorityVote 3"), "key=value"),
    ]:
        status, _, err = call(*words)
        assert status == 1
        assert said in " ".join(err.split())


def test_post_processing_as_text():
    assert parse_post(["ConfidenceRejection threshold=0.7, stay=0.5"]) == [ConfidenceRejection(0.7, stay=0.5)]
    with pytest.raises(MyographError, match="option of post-processor"):
        parse_post(["MajorityVote m=3"])
