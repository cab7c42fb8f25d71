"""A saved decoder learns from a new day or person, in Python and on the command line; the old one stays as it is."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

from myograph import Layout, Windowing
from myograph.errors import ConfigError, NotAdaptedWarning, ShapeError
from myograph.live import Decoder
from myograph.preprocessing.filters import HighPass
from myograph.testing import make_recording

GAINS = np.array([[2.0], [1.0], [0.6], [1.0], [1.0], [1.5]])


def day(session, seed, turn=0, gains=1.0, **options):
    """Four movements and rest on a ring of six, which may be rotated."""
    made = make_recording(
        n_classes=5,
        n_channels=6,
        seconds=1.5,
        rate_hz=500.0,
        session=session,
        seed=seed,
        layout=Layout.ring(6),
        **options,
    )
    return made.with_signal(np.roll(made.signal, turn, axis=0) * gains)


def error(decoder, recording):
    return decoder.decide(recording).metrics(recording, "rest")["total_error"]


@pytest.fixture(scope="module")
def moved():
    return day("tuesday", 1, turn=2, gains=GAINS)


@pytest.fixture(scope="module", params=["aligned_lda", "recentred"])
def decoder(request):
    options = {"classifier": "lda"} if request.param == "recentred" else {}
    return Decoder.fit(
        day("monday", 0), request.param, HighPass(20), Windowing(200, 50), scores={"metrics": {"accuracy": {"mean": 0.9}}}, **options
    )  # fmt: skip


def test_a_rotated_armband_is_learnt_without_labels(decoder, moved, tmp_path):
    before = error(decoder, moved)
    unlabelled = replace(moved, label=np.full(moved.n_samples, -1), label_names=())
    new = decoder.adapted(unlabelled)
    assert before > 0.4
    assert error(new, moved) < 0.15
    assert error(decoder, moved) == before  # the decoder itself has not changed
    assert decoder.adapted(moved).decide(moved) == new.decide(moved)  # labels make no difference
    again = Decoder.load(new.save(tmp_path / "new.myo"))
    assert again.decide(moved) == new.decide(moved)


def test_an_adapted_decoder_has_no_scores_and_says_what_it_learnt_from(decoder, moved):
    new = decoder.adapted(moved)
    assert (decoder.scores is None, new.scores) == (False, None)
    (learnt,) = new.trained_on["adapted_to"]
    assert learnt["recordings"] == [
        {"name": moved.name, "subject": "1", "session": "tuesday", "sha256": moved.content_hash}
    ]
    assert learnt["n_windows"] == len(decoder.decide(moved))  # all windows that a decoder decides
    assert not learnt["labels"]
    twice = new.calibrated(moved)
    assert [step["labels"] for step in twice.trained_on["adapted_to"]] == [False, True]
    assert "adapted_to" not in decoder.trained_on


def test_one_repetition_with_labels_is_enough(decoder, moved):
    n = 5 * 750  # one repetition
    first = moved.with_signal(moved.signal[:, :n], label=moved.label[:n], repetition=moved.repetition[:n])
    assert error(decoder.calibrated(first), moved) < 0.2


def test_windows_that_touch_a_label_are_left_out(decoder, moved):
    def used(learnt):
        return learnt.trained_on["adapted_to"][-1]["n_windows"]

    touching = decoder.decide(moved)
    at = [np.isin(moved.label[start:stop], 0).any() for start, stop in zip(touching.start, touching.stop)]
    assert 0 < sum(at) < len(at)
    assert used(decoder.adapted(moved, leave_out=["rest"])) == len(at) - sum(at)
    # Windows of one label alone: rest takes a fifth of them.
    assert used(decoder.calibrated(moved, leave_out=["rest"])) == pytest.approx(
        0.8 * used(decoder.calibrated(moved)), rel=0.02
    )
    partly = replace(moved, label=np.where(np.arange(moved.n_samples) < 2000, moved.label, -1))
    assert used(decoder.adapted(partly, leave_out=["rest"])) > used(decoder.adapted(moved, leave_out=["rest"]))


def test_without_evidence_the_same_decoder_is_returned(decoder):
    short = day("tuesday", 1, n_repetitions=1)
    rest = short.with_signal(short.signal[:, :700], label=short.label[:700], repetition=short.repetition[:700])
    with pytest.warns(NotAdaptedWarning, match="adapt changed nothing: the windows show 1 of 5 classes"):
        assert decoder.adapted(rest) is decoder


def test_what_cannot_be_learnt_is_told(decoder, moved):
    with pytest.raises(ConfigError, match=r"Smoothed has no adapt, .* recentred or aligned_lda"):
        Decoder.fit(day("monday", 0), "smoothed", classifier="lda").adapted(moved)
    with pytest.raises(ShapeError, match="3 channels"):
        decoder.adapted(moved.with_signal(moved.signal[:3], layout=None))
    with pytest.raises(ConfigError, match="adapt needs at least one recording"):
        decoder.adapted([])
    with pytest.raises(ConfigError, match="classes other, which the training windows did not"):
        decoder.calibrated(replace(moved, label_names=("rest", "fist", "open", "pinch", "other")))
    with pytest.raises(ConfigError, match="there is no label rset to leave out; the recordings have"):
        decoder.adapted(moved, leave_out=["rset"])
    with pytest.raises(ConfigError, match="one session of one person, got 2: subject 1, session tuesday; subject 2"):
        decoder.adapted([moved, replace(moved, subject="2")])
    with pytest.raises(ConfigError, match="no windows of 200 ms to learn from"):
        decoder.calibrated(moved, leave_out=moved.label_names)


@pytest.fixture
def call(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    return command


def test_on_the_command_line(decoder, moved, call):
    decoder.save("old.myo")
    np.save("tuesday.npy", moved.signal)
    status, out, err = call("decoder", "adapt", "old.myo", "tuesday.npy", "--save", "new.myo", "--json")
    assert status == 0, err
    assert json.loads(out)["trained_on"]["adapted_to"][0]["labels"] is False
    assert error(Decoder.load("new.myo"), moved) < 0.15
    status, out, err = call("decoder", "info", "new.myo")
    assert status == 0, err
    assert "1 recordings, without labels" in out
    assert "not evaluated" in out


def test_on_the_command_line_nothing_is_written_without_evidence(decoder, moved, call, tmp_path):
    decoder.save("old.myo")
    np.save("rest.npy", day("tuesday", 1).signal[:, :700])
    np.save("tuesday.npy", moved.signal)
    for words, said in [
        (("rest.npy",), "nothing was written. Record more movements, or use recordings with labels and --labels"),
        (("tuesday.npy", "--sessions", "7"), "no session 7; the recordings have the sessions 1"),
        (("tuesday.npy", "--labels"), "these windows have no labels"),
    ]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            status, _, err = call("decoder", "adapt", "old.myo", *words, "--save", "new.myo")
        assert status == 1
        assert said in " ".join(err.split())
        assert not (tmp_path / "new.myo").exists()
