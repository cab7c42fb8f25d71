"""One test for each small change to the spine that no other test noticed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GroupKFold, KFold

from conftest import make_recording
from myograph import KFoldRepetitions, PooledSubjects, Recording, Windowing, Windows
from myograph.audit import AuditedSplit, audit
from myograph.errors import LeakageError, ProtocolError
from myograph.methods.adapt import LDAMeans
from myograph.protocols import SessionStream


def cut(label, repetition, *windowing, **options):
    signal = np.random.default_rng(0).normal(size=(2, len(label)))
    return Windows.cut(
        Recording(signal, 1000.0, np.array(label), "1", np.array(repetition)), Windowing(*windowing, **options)
    )


def test_a_repetition_is_shared_under_different_labels():
    windows = cut([0] * 10 + [1] * 10, [1] * 20, 5, 5)
    with pytest.raises(LeakageError, match="2 of 2 test windows share a repetition"):
        audit(windows, windows.y == "0", windows.y == "1")


def test_a_stream_of_sessions_says_that_sessions_are_apart():
    assert SessionStream().disjoint == ("session",)
    assert SessionStream(by="repetition").disjoint == ()


def test_pooled_subjects_draw_from_each_session():
    recordings = []
    for session in (0, 1):
        one = make_recording(np.random.default_rng(session), session=str(session))
        recordings.append(
            Recording(one.signal, one.rate_hz, one.label, "1", one.repetition + 6 * session, session=str(session))
        )
    windows = Windows.cut(recordings, Windowing(100, 100))
    for seed in range(5):
        (fold,) = PooledSubjects(0.3, seed=seed).folds(windows)
        test = windows[fold.test]
        assert [len(set(test.where(session=s).column("repetition"))) for s in ("0", "1")] == [2, 2]


def test_folds_deal_repetitions_in_turn():
    windows = cut([0] * 60, np.repeat(np.arange(1, 7), 10), 5, 5)
    tested = [sorted(set(windows.column("repetition")[f.test])) for f in KFoldRepetitions(2).folds(windows)]
    assert tested == [[1, 3, 5], [2, 4, 6]]


def test_majority_windows_have_the_repetition_of_most_samples_and_run_to_the_last_sample():
    table = cut([0] * 10, [1] * 4 + [2] * 6, 4, 3, label_rule="majority").table
    assert table["start"].tolist() == [0, 3, 6]
    assert table["stop"].tolist() == [4, 7, 10]
    assert table["repetition"].tolist() == [1, 2, 2]
    assert table["position"].tolist() == [0, 0, 1]


def test_the_label_is_that_of_the_sample_future_ms_after_the_last_one():
    table = cut([0] * 4 + [1] * 4, [1] * 8, 2, 1, future_ms=1).table
    assert list(zip(table["start"], table["label"])) == [(0, "0"), (1, "0"), (2, "1"), (4, "1"), (5, "1")]


def test_splitters_of_scikit_learn_are_audited():
    recordings = [make_recording(np.random.default_rng(i), str(i)) for i in range(4)]
    windows = Windows.cut(recordings, Windowing(100, 50))
    with pytest.raises(LeakageError, match=r"KFold, split 1: .* test windows share"):
        next(AuditedSplit(KFold(5, shuffle=True, random_state=0)).split(windows, windows.y))
    splitter = AuditedSplit(GroupKFold(2), ("subject",))
    found = list(splitter.split(windows, windows.y, windows.groups))
    assert len(found) == splitter.get_n_splits() == 2
    for (train, test), (same, there) in zip(found, GroupKFold(2).split(windows, windows.y, windows.groups)):
        assert np.array_equal(train, same)
        assert np.array_equal(test, there)
    with pytest.raises(ProtocolError, match="needs Windows, but got ndarray"):
        next(AuditedSplit(KFold(2)).split(np.zeros((4, 2))))


def test_means_that_move_keep_the_shares_of_the_classes():
    """With a rate of 0 nothing moves, so the discriminant stays what it was, rare classes and all."""
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c"], [200, 20, 60])
    X = rng.normal(size=(len(y), 3)) + np.unique(y, return_inverse=True)[1][:, None]
    for some in (y != "c", np.full(len(y), True)):  # two classes have one discriminant, three have three
        adapted = LDAMeans(LinearDiscriminantAnalysis(solver="lsqr"), rate=0.0).fit(X[some], y[some])
        before = adapted.predict_proba(X)
        np.testing.assert_allclose(adapted.adapt(X).predict_proba(X), before, atol=1e-9)
