"""The decoder: live equals offline to the last bit, and its file is whole, closed and exact."""

import builtins
import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import GradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from conftest import make_recording
from myograph import Features, Layout, Windowing, Windows
from myograph.errors import ConfigError, DataError, MyographError, ShapeError, SignalError
from myograph.live import (
    ConfidenceRejection,
    Decisions,
    Decoder,
    MajorityVote,
    OnsetLock,
    ProportionalVelocity,
    VelocityRamp,
)
from myograph.methods import LogScale
from myograph.preprocessing.filters import HighPass, MovingRMS, Notch, Rectify, Resample, ZeroPhase

NAMES = ("rest", "fist", "open")


def recording(seed=0, **options):
    return make_recording(np.random.default_rng(seed), names=NAMES, n_repetitions=4, rate_hz=500.0, **options)


def chunks(signal, cuts):
    return np.split(signal, np.sort(np.asarray(cuts, int)), axis=1)


def live(decoder, signal, cuts):
    stream = decoder.stream()
    return Decisions.concatenate([stream.push(chunk) for chunk in chunks(signal, cuts)])


class Squares(TransformerMixin, BaseEstimator):
    """A stateless transformer of a user's: mean squares of each channel."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.square(np.asarray(X, float)).mean(axis=-1)


POST = (ConfidenceRejection(0.6, stay=0.5), MajorityVote(3), OnsetLock(), VelocityRamp(4), ProportionalVelocity())
METHODS = {
    "lda": "lda",
    "lda_svm": "lda_svm",
    "random_forest": "random_forest",
    "knn": "knn",
    "svm": "svm",
    "samples": make_pipeline(Squares(), LogisticRegression()),
    "spectral": make_pipeline(Features(["MNF", "MDF", "HTD"]), FunctionTransformer(np.cbrt), GaussianNB()),
    "searched": GridSearchCV(
        make_pipeline(Features("HTD"), LogisticRegression()), {"logisticregression__C": [1, 2]}, cv=2
    ),
    "votes": VotingClassifier(
        [("a", make_pipeline(Features("HTD"), GaussianNB())), ("b", make_pipeline(Squares(), GaussianNB()))],
        voting="soft",
    ),
}


@pytest.fixture(scope="module")
def decoders():
    made = {}

    def make(name, **options):
        if name == "svm" and "post" in options:  # it gives no probabilities
            options["post"] = options["post"][1:]
        key = name, repr(options)
        if key not in made:
            made[key] = Decoder.fit([recording(1)], METHODS[name], windowing=Windowing(120, 40), **options)
        return made[key]

    return make


@pytest.mark.parametrize("name", sorted(METHODS))
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 600), max_size=25))
def test_live_is_offline_to_the_last_bit(name, cuts, decoders):
    decoder = decoders(name, filters=(HighPass(20), Rectify()), post=POST)
    signal = recording(2).signal[:, :600]
    whole = live(decoder, signal, [])
    assert len(whole) == (600 - 60) // 20 + 1
    assert live(decoder, signal, cuts) == whole
    assert np.isfinite(whole.proba).all() == (name != "svm")


@pytest.mark.parametrize(
    "name", ["aligned_lda", "coral", "person_experts", "prior_weighted_lda", "recentred", "smoothed"]
)
def test_methods_around_others_are_saved_with_what_they_learnt(name, tmp_path):
    decoder = Decoder.fit([recording(1)], name, windowing=Windowing(120, 40))
    again = Decoder.load(decoder.save(tmp_path / "decoder.myo"))
    assert again.decide(recording(2)) == decoder.decide(recording(2))


@pytest.mark.parametrize("chunk", [1, 7, 20, 60, 1000])
@pytest.mark.parametrize("windowing", [Windowing(100, 30), Windowing(60, 130), Windowing(100, 50, future_ms=40)])
def test_any_windowing_and_filters_that_change_the_rate(chunk, windowing):
    decoder = Decoder.fit([recording(1)], "lda", (Notch(50), Resample(250), MovingRMS(40)), windowing)
    test = recording(2)
    offline = decoder.decide(test)
    assert live(decoder, test.signal, range(chunk, test.n_samples, chunk)) == offline
    length, step, _ = windowing.samples(250)
    np.testing.assert_array_equal(offline.stop, length + step * np.arange(len(offline)))
    np.testing.assert_allclose(offline.time_s, offline.stop / 250)


def test_a_recording_with_breaks_is_decided_stretch_by_stretch(decoders):
    decoder = decoders("lda", filters=(HighPass(20), Rectify()), post=POST)
    whole = recording(2)
    broken = replace(whole, breaks=(777, 1500))
    parts = [decoder.stream().push(whole.signal[:, a:b]) for a, b in ((0, 777), (777, 1500), (1500, whole.n_samples))]
    found = decoder.decide(broken)
    assert np.array_equal(found.proba, np.concatenate([p.proba for p in parts]))
    assert np.array_equal(found.gain, np.concatenate([p.gain for p in parts]))
    starts = np.concatenate([p.start + offset for p, offset in zip(parts, (0, 777, 1500))])
    np.testing.assert_array_equal(found.start, starts)
    truth = np.asarray(NAMES)[whole.label[found.stop - 1]]
    assert (found.truth(broken) == truth).all()


def test_a_network_live_and_offline(tmp_path):
    from myograph import NeuralClassifier

    network = NeuralClassifier("tcn", epochs=1, device="cpu", batch_size=64)
    decoder = Decoder.fit([recording(1)], network, windowing=Windowing(120, 60), post=MajorityVote(3))
    test = recording(2)
    offline = decoder.decide(test)
    assert live(decoder, test.signal, range(17, test.n_samples, 17)) == offline
    windows = Windows.cut([test], Windowing(120, 60))
    expected = decoder.method.predict_proba(windows)
    rows = np.searchsorted(offline.start, windows.table["start"])
    rows = rows[offline.start[rows] == windows.table["start"]]
    kept = np.isin(windows.table["start"], offline.start)
    np.testing.assert_allclose(offline.proba[rows], expected[kept], atol=1e-4)
    again = Decoder.load(decoder.save(tmp_path / "net.decoder"))
    assert again.decide(test) == offline


def test_decisions_are_those_of_the_method_on_the_same_windows(decoders):
    decoder, test = decoders("lda_svm"), recording(3)
    offline = decoder.decide(test)
    windows = Windows.cut([test], Windowing(120, 40, "majority"))
    assert list(windows.table["start"]) == list(offline.start)
    np.testing.assert_allclose(offline.proba, decoder.method.predict_proba(windows), atol=1e-9)
    assert (offline.names == decoder.method.predict(windows)).all()
    found = offline.metrics(test)
    assert found["total_error"] < 0.25
    assert found["contractions"] == 8


@pytest.mark.parametrize("labels", [NAMES, NAMES[:2]], ids=["three classes", "two classes"])
@pytest.mark.parametrize(
    "before",
    [(), (StandardScaler(),), (StandardScaler(with_mean=False),), (LogScale(),), (LogScale(), StandardScaler())],
    ids=repr,
)
def test_a_linear_discriminant_has_scikit_learns_probabilities(before, labels):
    method = make_pipeline(Features(["MAV", "MEAN", "SSC"]), *before, LinearDiscriminantAnalysis())
    left_out = tuple(name for name in NAMES if name not in labels)
    decoder = Decoder.fit([recording(1)], method, windowing=Windowing(120, 40), leave_out=left_out)
    offline = decoder.decide(recording(2))
    windows = Windows.cut(recording(2), Windowing(120, 40, "majority"))
    np.testing.assert_allclose(offline.proba, decoder.method.predict_proba(windows), atol=1e-9)
    assert (offline.names == decoder.method.predict(windows)).all()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_saved_decoder_decides_the_same(name, decoders, tmp_path):
    decoder = decoders(name, filters=(HighPass(20), Rectify()), post=POST)
    path = decoder.save(tmp_path / "a.decoder", classes=[Squares])
    again = Decoder.load(path, classes=[Squares])
    test = recording(2)
    assert again.decide(test) == decoder.decide(test)
    same = ("classes", "n_channels", "rate_hz", "unit", "filters", "windowing", "post", "layout", "dtype")
    assert all(getattr(again, field) == getattr(decoder, field) for field in same)
    assert len(again.sha256) == 64
    assert again.info["trained_on"]["recordings"][0]["sha256"] == recording(1).content_hash


def test_a_saved_decoder_decides_the_same_in_another_process(decoders, tmp_path):
    decoder = decoders("lda_svm", post=(MajorityVote(3),))
    path, signal = decoder.save(tmp_path / "a.decoder"), recording(2).signal[:, :700]
    np.save(tmp_path / "x.npy", signal)
    code = (
        "import numpy as np, sys; from myograph.live import Decoder;"
        "d = Decoder.load(sys.argv[1]).stream().push(np.load(sys.argv[2])); np.save(sys.argv[3], d.proba)"
    )
    words = [str(path), str(tmp_path / "x.npy"), str(tmp_path / "p.npy")]
    subprocess.run([sys.executable, "-c", code, *words], check=True)
    assert np.array_equal(np.load(tmp_path / "p.npy"), decoder.stream().push(signal).proba)


def test_scikit_learns_other_estimators_and_their_limits(tmp_path):
    for last in (QuadraticDiscriminantAnalysis(reg_param=0.1), KNeighborsClassifier(3, algorithm="kd_tree")):
        decoder = Decoder.fit([recording(1)], make_pipeline(Features("MAV"), last), windowing=Windowing(120, 40))
        again = Decoder.load(decoder.save(tmp_path / "a.decoder"))
        assert again.decide(recording(2)) == decoder.decide(recording(2))
    boosted = make_pipeline(Features("MAV"), GradientBoostingClassifier(n_estimators=2))
    decoder = Decoder.fit([recording(1)], boosted, windowing=Windowing(120, 40))
    with pytest.raises(ConfigError, match=r"method\.steps.*cannot hold"):
        decoder.save(tmp_path / "b.decoder")
    assert not (tmp_path / "b.decoder").exists()


def test_what_does_not_fit_is_refused(decoders):
    decoder = decoders("lda")
    good = recording(2)
    with pytest.raises(ShapeError, match="3 channels, the decoder was fitted on 4"):
        decoder.decide(recording(2, n_channels=3))
    with pytest.raises(SignalError, match="250 Hz, the decoder was fitted at 500 Hz"):
        decoder.decide(make_recording(np.random.default_rng(0), rate_hz=250.0))
    with pytest.raises(SignalError, match="'adc'"):
        decoder.decide(replace(good, unit="adc"))
    with pytest.raises(ConfigError, match="is not causal"):
        Decoder.fit([good], "lda", ZeroPhase(HighPass(20)))
    with pytest.raises(ConfigError, match="must have equal channels"):
        Decoder.fit([good, make_recording(np.random.default_rng(0), rate_hz=250.0, names=NAMES)])
    with pytest.raises(ConfigError, match="two or more classes"):
        Decoder.fit([good], "lda", leave_out=("rest", "fist"))
    with pytest.raises(ConfigError, match="'fits'"):
        decoder.with_post(ConfidenceRejection(per_class={"fits": 0.5}))


def test_bad_chunks_leave_the_state_as_it_was(decoders):
    decoder, signal = decoders("lda"), recording(2).signal
    stream = decoder.stream()
    first = stream.push(signal[:, :333])
    with pytest.raises(ShapeError, match="4 channels"):
        stream.push(signal[:3, 333:400])
    bad = signal[:, 333:400].copy()
    bad[1, 3] = np.nan
    with pytest.raises(SignalError, match="NaN"):
        stream.push(bad)
    with pytest.raises(SignalError, match="real numbers"):
        stream.push(np.full((4, 3), "a"))
    rest = stream.push(signal[:, 333:])
    assert Decisions.concatenate([first, rest]) == decoder.decide(recording(2))


def test_integers_and_other_floats_are_taken(decoders):
    decoder = decoders("lda")
    counts = np.round(recording(2).signal[:, :500])
    expected = decoder.stream().push(counts)
    for dtype in (np.int16, np.int64, np.float64):
        assert decoder.stream().push(counts.astype(dtype)) == expected


def test_a_layout_and_scores_are_kept(tmp_path):
    ringed = replace(recording(1), layout=Layout.ring(4))
    decoder = Decoder.fit([ringed], "lda", scores={"accuracy": 0.5, "n": 3, "low": None})
    again = Decoder.load(decoder.save(tmp_path / "a.decoder"))
    assert again.layout == Layout.ring(4)
    assert again.scores == {"accuracy": 0.5, "n": 3, "low": None}
    assert json.loads(json.dumps(again.info))["scores"]["accuracy"] == 0.5


def test_the_table_and_its_file(decoders, tmp_path):
    import pandas as pd

    decisions = decoders("lda", post=(ConfidenceRejection(0.9),)).decide(recording(2))
    decisions.to_csv(tmp_path / "d.csv")
    table = pd.read_csv(tmp_path / "d.csv")
    assert len(table) == len(decisions)
    assert set(table["decision"]) <= set(NAMES)
    assert (decisions.output("rest")[decisions.rejected] == "rest").all()
    np.testing.assert_allclose(table[[f"p({n})" for n in decisions.classes]], decisions.proba)


# Files


def rewritten(path, change):
    """The decoder at `path` with its JSON changed, under a right hash: what an attacker would write."""
    from myograph.live import _file

    arrays, values, _ = _file.read(path)
    arrays, values = change(arrays, values) or (arrays, values)
    _file.write(path, arrays, values)
    return path


HOSTILE = [
    {"$": "estimator", "class": "Popen", "state": {"$": "dict", "pairs": [["args", "true"]]}},
    {"$": "estimator", "class": "os.system", "state": {"$": "dict", "pairs": []}},
    {"$": "estimator", "class": "subprocess:Popen", "state": {"$": "dict", "pairs": []}},
    {"$": "settings", "class": "Popen", "fields": {"$": "dict", "pairs": [["args", "true"]]}},
    {"$": "settings", "class": "Windowing", "fields": {"$": "dict", "pairs": [["length_ms", "x"]]}},
    {"$": "ufunc", "name": "load"},
    {"$": "ufunc", "name": "__builtins__"},
    {"$": "dataclass", "class": "x"},
    {"$": "__class__"},
    {"$": "_decode"},
    {"$": "array", "name": "nowhere", "order": "C"},
    {"$": "names", "dtype": "O", "shape": [1], "items": ["a"]},
    {"$": "names", "dtype": "<U1000000000", "shape": [1], "items": ["a"]},
    {"$": "scalar", "dtype": "O", "value": 1},
    {"$import": "os:system"},
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda v: json.dumps(v)[:60])
@pytest.mark.parametrize("field", ["method", "post", "windowing"])
def test_hostile_values_are_refused_and_nothing_is_imported_or_called(value, field, decoders, tmp_path, monkeypatch):
    path = decoders("lda").save(tmp_path / "a.decoder")
    Decoder.load(path)
    rewritten(path, lambda arrays, values: values.update({field: value}))
    called = []
    monkeypatch.setattr(os, "system", lambda *a: called.append(a))
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: called.append(a))
    monkeypatch.setattr(builtins, "exec", lambda *a: called.append(a))
    real = importlib.import_module
    monkeypatch.setattr(
        importlib, "import_module", lambda n, *a: real(n, *a) if n.startswith("myograph.") else called.append(n)
    )
    with pytest.raises(MyographError):
        Decoder.load(path)
    assert not called


def test_deep_nesting_and_unfit_arrays_are_refused(decoders, tmp_path):
    deep = json.loads("[" * 900 + "]" * 900)
    path = rewritten(decoders("lda").save(tmp_path / "a"), lambda arrays, values: values.update(scores=deep))
    with pytest.raises(DataError, match="nested deeper"):
        Decoder.load(path)

    def short(arrays, values):
        """Every array of integers loses its last entry: trees and support vectors no longer fit together."""
        return {
            k: v[:-1] if v.dtype.kind == "i" and v.ndim == 1 and len(v) > 1 else v for k, v in arrays.items()
        }, values

    for name in ("svm", "random_forest"):
        path = rewritten(decoders(name).save(tmp_path / name), short)
        with pytest.raises(DataError):
            Decoder.load(path)


def test_a_tree_that_leads_back_is_refused(decoders, tmp_path):
    def loop(arrays, values):
        def find(node):
            if isinstance(node, dict):
                if node.get("$") == "tree":
                    yield node
                for child in node.values():
                    yield from find(child)
            elif isinstance(node, list):
                for child in node:
                    yield from find(child)

        tree = next(find(values["method"]))
        name = tree["nodes"]["left_child"]["name"]
        return {**arrays, name: np.where(arrays[name] == -1, -1, 0)}, values

    path = rewritten(decoders("random_forest").save(tmp_path / "a"), loop)
    with pytest.raises(DataError, match="do not form a tree"):
        Decoder.load(path)


def test_damaged_files_are_named(decoders, tmp_path):
    path = decoders("lda").save(tmp_path / "a.decoder")
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad"
    for i in range(40):
        damaged = bytearray(content)
        if i % 2:
            damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        else:
            del damaged[rng.integers(len(content)) :]
        bad.write_bytes(damaged)
        with pytest.raises(DataError):
            Decoder.load(bad)
    with pytest.raises(DataError, match="there is no file"):
        Decoder.load(tmp_path / "nothing")
    bad.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(DataError, match="cannot be read as a decoder"):
        Decoder.load(bad)


def test_a_failed_save_leaves_the_old_file(decoders, tmp_path, monkeypatch):
    path = decoders("lda").save(tmp_path / "a.decoder")
    content = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(MyographError):
        decoders("svm").save(path)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["a.decoder"]


def test_a_later_version_is_refused(decoders, tmp_path, monkeypatch):
    from myograph.live import _file

    monkeypatch.setattr(_file, "VERSION", 2)
    path = decoders("lda").save(tmp_path / "a.decoder")
    monkeypatch.undo()
    with pytest.raises(DataError, match="version 2"):
        Decoder.load(path)


def test_a_users_class_must_be_given(decoders, tmp_path):
    decoder = decoders("samples")
    with pytest.raises(ConfigError, match="classes given as"):
        decoder.save(tmp_path / "a.decoder")
    path = decoder.save(tmp_path / "a.decoder", classes=[Squares])
    with pytest.raises(DataError, match=r"classes=\[\.\.\.\]"):
        Decoder.load(path)
