"""`Features` as a scikit-learn transformer."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from myograph import Recording, Windowing, Windows, WithinSubject
from myograph.errors import ConfigError, ShapeError, SignalError, UnknownNameError
from myograph.features import FEATURES
from myograph.features._fast.extract import at_once
from myograph.features.transformer import Features


def recording(rate_hz=1000.0, n_channels=3, subject="1", seed=0):
    rng = np.random.default_rng(seed)
    label = np.tile(np.repeat([0, 1], 500), 4)
    signal = rng.standard_normal((n_channels, 4000)) * (1 + 4 * label)
    return Recording(signal, rate_hz, label, subject, label_names=("rest", "fist"))


@pytest.fixture
def windows():
    return Windows.cut(recording(), Windowing(100, 50))


# The checks that do not build a two-dimensional X of their own.
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
    ],
)
def test_scikit_learn_contract(check):
    check("Features", Features())


def test_fit_changes_no_parameter_and_transform_needs_no_fit(windows):
    features = Features(["HTD"], options={"ZC": {"threshold": 1.0}}, n_jobs=2)
    before = dict(features.get_params())
    want = clone(features).transform(windows)
    np.testing.assert_array_equal(features.fit(windows, windows.y).transform(windows), want)
    assert features.get_params() == before
    assert features.n_features_in_ == 3
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(features)).transform(windows), want)
    np.testing.assert_array_equal(clone(features).fit_transform(windows), want)


def test_columns_run_by_feature_then_output_then_channel(windows):
    features = Features(["mav", "AR", "COV"], options={"ar": {"order": 2}}).fit(windows)
    names = features.get_feature_names_out()
    assert names.tolist() == [
        *("MAV_ch0", "MAV_ch1", "MAV_ch2"),
        *("AR.0_ch0", "AR.0_ch1", "AR.0_ch2", "AR.1_ch0", "AR.1_ch1", "AR.1_ch2"),
        *(f"COV.{i}" for i in range(6)),
    ]
    got = features.transform(windows)
    x = windows.batch()
    ar = FEATURES["AR"](x, order=2)
    np.testing.assert_allclose(got[:, :3], np.abs(x).mean(-1), rtol=1e-12)
    np.testing.assert_allclose(got[:, 3:9], np.concatenate([ar[..., 0], ar[..., 1]], axis=1), rtol=1e-12)
    np.testing.assert_allclose(got[:, 9:], FEATURES["COV"](x), rtol=1e-12)
    frame = features.set_output(transform="pandas").transform(windows)
    assert frame.columns.tolist() == names.tolist()
    assert len(frame) == len(windows)


def test_windows_and_arrays_give_the_same(windows):
    features = Features(["HTD", "MNF", "SAMPEN"], rate_hz=1000.0).fit(windows)
    np.testing.assert_allclose(features.transform(windows.batch()), features.transform(windows), rtol=1e-10)


def test_the_threshold_is_for_all_features_that_have_one_and_no_option(windows):
    x = windows.batch()
    got = Features(["ZC", "WAMP", "MYOP"], options={"WAMP": {"threshold": 3.0}}, threshold=0.5).transform(x)
    want = [FEATURES["ZC"](x, threshold=0.5), FEATURES["WAMP"](x, threshold=3.0), FEATURES["MYOP"](x, threshold=0.5)]
    np.testing.assert_allclose(got, np.concatenate(want, axis=1), rtol=1e-12)
    own = Features(["ZC", "WAMP"]).transform(x)
    np.testing.assert_array_equal(own, np.concatenate([FEATURES["ZC"](x), FEATURES["WAMP"](x)], axis=1))


def test_each_recording_has_its_own_rate():
    slow, fast = recording(1000.0), recording(2000.0, subject="2")
    both = Windows.cut([slow, fast], Windowing(100, 50))
    got = Features("MNF").transform(both)
    np.testing.assert_array_equal(Features("MNF").fit(both).transform(both), got)
    for subject, rate in (("1", 1000.0), ("2", 2000.0)):
        rows = (both.table["subject"] == subject).to_numpy()
        want = FEATURES["MNF"](both[rows].batch(), rate_hz=rate)
        np.testing.assert_allclose(got[rows], want, rtol=1e-9)
    with pytest.raises(ConfigError, match="different numbers of columns"):
        Features("DFTR").transform(Windows.cut([recording(400.0), fast], Windowing(100, 50)))


def test_rows_of_one_channel_and_of_all_do_not_mix(windows):
    for names in ("HTD", "SAMPEN"):
        with pytest.raises(ShapeError, match=r"different channel counts \(\[1, 3\]\)"):
            Features(names).transform(Windows.concatenate([windows, windows.split_channels()]))
    with pytest.raises(ShapeError, match="there are no windows here"):
        Features("HTD").transform(windows[[]])


def test_the_rate_of_the_fit_serves_arrays(windows):
    x = windows.batch()
    np.testing.assert_allclose(Features("MNF").fit(windows).transform(x), FEATURES["MNF"](x, rate_hz=1000.0), rtol=1e-9)
    with pytest.raises(ConfigError, match="rate_hz"):
        Features("MNF").fit(x)


def test_in_a_pipeline_under_a_protocol(windows):
    model = make_pipeline(Features("HTD"), LinearDiscriminantAnalysis())
    scores = cross_val_score(model, windows, windows.y, cv=WithinSubject(test_repetitions=(4,)))
    assert scores.min() > 0.95


def test_wrong_input_says_what_to_do(windows):
    features = Features().fit(windows)
    with pytest.raises(ShapeError, match="x\\[None\\] for one window"):
        features.transform(np.zeros((3, 100)))
    with pytest.raises(ShapeError, match="Features was fitted on windows of 3 channels, got 2"):
        features.transform(np.zeros((4, 2, 100)))
    with pytest.raises(SignalError, match="window 2"):
        features.transform(np.where(np.arange(5)[:, None, None] == 2, np.nan, np.zeros((5, 3, 100))))
    with pytest.raises(ShapeError, match="windows of 100 samples, got windows of 2 samples"):
        features.transform(np.zeros((4, 3, 2)))
    with pytest.raises(UnknownNameError, match="'MAV'"):
        Features("MAVV").fit(windows)
    with pytest.raises(UnknownNameError, match="parameter of feature ZC"):
        Features("ZC", options={"ZC": {"treshold": 1.0}}).fit(windows)
    with pytest.raises(UnknownNameError, match="chosen"):
        Features("ZC", options={"SSC": {"threshold": 1.0}}).fit(windows)
    with pytest.raises(ConfigError, match="threshold"):
        Features("ZC", threshold=-1.0).fit(windows).transform(windows)
    with pytest.raises(ConfigError, match="n_jobs"):
        Features(n_jobs=0).fit(windows)
    with pytest.raises(ConfigError, match="no names"):
        Features([]).fit(windows)


@pytest.mark.parametrize("names", [["MAV", "MDWT"], ["MDWT", "MAV"]])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_in_any_thread_comes_out(windows, names, n_jobs, monkeypatch):
    monkeypatch.setattr(
        "myograph.features._fast.extract.BATCH_BYTES", 1
    )  # each window is a task, so threads share them
    features = Features(names, options={"MDWT": {"wavelet": "no such"}}, n_jobs=n_jobs)
    with pytest.raises(ConfigError, match="no such"):
        features.transform(windows)
    right = Features(["MAV", "MDWT"], n_jobs=n_jobs).transform(windows)
    monkeypatch.undo()
    np.testing.assert_allclose(right, Features(["MAV", "MDWT"]).transform(windows), rtol=1e-12)


def many_windows(seed):
    signal = np.random.default_rng(seed).standard_normal((3, 30_000))
    return Windows.cut(Recording(signal, 1000.0, np.zeros(30_000, int), "1"), Windowing(100, 20))


def test_transforms_at_the_same_time_do_not_mix():
    """They share threads."""
    features, several = Features(["HTD", "VAR"], n_jobs=2), [many_windows(seed) for seed in range(4)]
    alone = [Features(["HTD", "VAR"]).transform(w) for w in several]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, wanted in zip(pool.map(features.transform, several), alone):
                np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(("n_channels", "step_ms", "most"), [(100, 10, 122), (300, 10, 64), (2, 400, 200), (2, 5, 640)])
def test_where_one_part_of_the_windows_ends_and_the_next_begins_shows_nowhere(n_channels, step_ms, most):
    assert at_once(n_channels, step_ms) == most
    n = step_ms * (2 * most + 7) + 100
    signal = np.random.default_rng(0).standard_normal((n_channels, n))
    windows = Windows.cut(Recording(signal, 1000.0, np.zeros(n, int), "1"), Windowing(100, step_ms))
    found = Features(["VAR", "ZC", "SSC", "WL"], n_jobs=2).transform(windows)
    assert len(found) == 2 * most + 8
    wanted = np.concatenate(
        [Features(["VAR", "ZC", "SSC", "WL"]).transform(w) for w in np.split(windows.batch(), most + 4)]
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_a_stream_of_features_that_need_the_samples_gives_the_offline_rows():
    signal = np.random.default_rng(0).standard_normal((2, 1000))
    windows = Windows.cut(Recording(signal, 1000.0, np.zeros(1000, int), "1"), Windowing(100, 50))
    stream = Features("MDF", rate_hz=1000.0).stream(1000.0, 2, Windowing(100, 50))
    np.testing.assert_allclose(stream.push(signal), Features("MDF").transform(windows), rtol=1e-12)


def transformed(queue, windows):
    found = Features("HTD", n_jobs=2).transform(windows)
    queue.put((found, sum(thread.name.startswith("myograph-features") for thread in threading.enumerate())))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    windows = many_windows(0)
    wanted = Features("HTD", n_jobs=2).transform(windows)  # so that there are threads, which a fork does not take along
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=transformed, args=(queue, windows))
    child.start()
    found, n_threads = queue.get()
    np.testing.assert_array_equal(found, wanted)
    assert n_threads > 0
    child.join(30)
    assert child.exitcode == 0


def test_no_windows_give_no_rows(windows):
    features = Features(["HTD", "LS"]).fit(windows)
    assert features.transform(windows.batch()[:0]).shape == (0, 15)


def test_memory_stays_bounded_however_much_windows_overlap():
    import tracemalloc

    signal = np.zeros((8, 60_000), np.float32)
    signal[:] = np.random.default_rng(1).standard_normal(signal.shape)
    some = Windows.cut(Recording(signal, 1000.0, np.zeros(60_000, int), "1"), Windowing(300, 5))
    gathered = len(some) * 8 * 300 * 8
    Features(["MAV", "LS"]).transform(some[:10])
    tracemalloc.start()
    out = Features(["MAV", "LS"]).transform(some)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - out.nbytes < gathered / 3


@pytest.mark.parametrize(
    ("name", "option", "value", "message"),
    [
        ("AR", "order", "4", "AR: order must be a number, got '4'"),
        ("TM", "order", None, "TM: order must be a number, got None"),
        ("AR", "order", 2.5, "would give 2.5 outputs; use a whole number"),
        ("HIST", "bins", 7.5, "would give 7.5 outputs"),
    ],
)
def test_options_that_are_no_whole_numbers(name, option, value, message):
    with pytest.raises(ConfigError, match=message):
        Features(name, options={name: {option: value}}).fit_transform(np.ones((3, 2, 64)))


def test_windows_without_channels():
    with pytest.raises(ShapeError, match=r"got shape \(3, 0, 64\)"):
        Features("MAV").fit_transform(np.ones((3, 0, 64)))
