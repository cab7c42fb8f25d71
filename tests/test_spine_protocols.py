"""What each protocol trains and tests on, window by window, against a table small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from conftest import make_recording
from myograph import Windowing, Windows
from myograph.errors import ProtocolError
from myograph.protocols import (
    CrossSession,
    Fold,
    KFoldRepetitions,
    LastRepetitions,
    LeakyShuffledWindows,
    LeaveOneSubjectOut,
    PooledSubjects,
    Protocol,
    SessionStream,
    WithinSubject,
)


def table(n_repetitions=3, sessions=("x", "y"), subjects=("a", "b")):
    """One window for each subject, session and repetition; repetitions are numbered from 1 in each session."""
    rows = [(s, t, r) for s in subjects for t in sessions for r in range(1, n_repetitions + 1)]
    found = pd.DataFrame(rows, columns=["subject", "session", "repetition"])
    at = np.arange(len(found))
    return found.assign(recording=0, start=10 * at, stop=10 * at + 10)


def names(fold, of):
    """(train, test) of a fold as text, such as "ax1 ax2"."""
    text = (of["subject"] + of["session"] + of["repetition"].astype(str)).to_numpy()
    return " ".join(text[fold.train]), " ".join(text[fold.test])


def folds(protocol, of):
    return [(fold.name, *names(fold, of)) for fold in protocol.folds(of)]


def test_within_subject():
    assert folds(WithinSubject((2,)), table()) == [
        ("subject a", "ax1 ax3 ay1 ay3", "ax2 ay2"),
        ("subject b", "bx1 bx3 by1 by3", "bx2 by2"),
    ]
    assert folds(WithinSubject((2,), (3,)), table())[0] == ("subject a", "ax3 ay3", "ax2 ay2")


def test_k_folds():
    two = table(sessions=("x",))
    assert folds(KFoldRepetitions(), two)[:3] == [
        ("subject a, repetition 1", "ax2 ax3", "ax1"),
        ("subject a, repetition 2", "ax1 ax3", "ax2"),
        ("subject a, repetition 3", "ax1 ax2", "ax3"),
    ]
    assert [f[1:] for f in folds(KFoldRepetitions(2, within="session"), table())][:2] == [
        ("ax2", "ax1 ax3"),
        ("ax1 ax3", "ax2"),
    ]
    with pytest.raises(ProtocolError, match="1 repetitions, too few for 2 folds"):
        folds(KFoldRepetitions(), table(1))


@pytest.mark.parametrize(
    ("fraction", "n", "tested"), [(0.2, 2, 1), (0.9, 3, 2), (0.05, 10, 1), (0.5, 10, 5), (0.99, 2, 1)]
)
def test_pooled_subjects_test_that_share_of_each_session(fraction, n, tested):
    of = table(n)
    for fold in PooledSubjects(fraction, n_repeats=2).folds(of):
        test = of.iloc[fold.test]
        assert (test.groupby(["subject", "session"])["repetition"].nunique() == tested).all()
        assert len(test) == 4 * tested
        assert sorted([*fold.train, *fold.test]) == list(range(len(of)))
    assert [f.name for f in PooledSubjects(fraction, n_repeats=2).folds(of)] == ["pooled 1", "pooled 2"]


def test_pooled_subjects_need_two_repetitions():
    with pytest.raises(ProtocolError, match="subject a, session x has only repetition 1"):
        folds(PooledSubjects(), table(1))


@pytest.mark.parametrize(("fraction", "tested"), [(0.2, "3"), (0.5, "3"), (0.9, "2 3"), (0.01, "3")])
def test_last_repetitions(fraction, tested):
    ((name, train, test),) = folds(LastRepetitions(fraction), table(3, sessions=("x",)))
    assert name == "last repetitions"
    assert test == " ".join(f"{s}x{r}" for s in "ab" for r in tested.split())
    assert set(train.split()) == {f"{s}x{r}" for s in "ab" for r in (1, 2, 3)} - set(test.split())


def test_leave_one_subject_out():
    assert folds(LeaveOneSubjectOut(), table(1)) == [
        ("subject a", "bx1 by1", "ax1 ay1"),
        ("subject b", "ax1 ay1", "bx1 by1"),
    ]
    assert folds(LeaveOneSubjectOut(0.4), table(3))[0] == (
        "subject a",
        "ax1 ay1 bx1 bx2 bx3 by1 by2 by3",
        "ax2 ax3 ay2 ay3",
    )
    for share, test in ((0.01, "ax2 ax3"), (0.99, "ax3"), (0.6, "ax3")):
        assert folds(LeaveOneSubjectOut(share), table(3, sessions=("x",)))[0][2] == test
    assert folds(LeaveOneSubjectOut(0.5), table(2, sessions=("x",)))[0][2] == "ax2"
    with pytest.raises(ProtocolError, match="one repetition: none is left"):
        folds(LeaveOneSubjectOut(0.5), table(1))
    with pytest.raises(ProtocolError, match="two or more subjects, got a"):
        folds(LeaveOneSubjectOut(), table(subjects=("a",)))


def test_cross_session():
    of = table(1, sessions=("x", "y", "z"))
    assert folds(CrossSession(), of) == [("subject a", "ax1", "ay1 az1"), ("subject b", "bx1", "by1 bz1")]
    assert folds(CrossSession(("x", "z")), of)[0][1:] == ("ax1 az1", "ay1")
    assert folds(CrossSession(test_sessions=("x",)), of)[0][1:] == ("ay1", "ax1")
    assert folds(CrossSession(("z",), ("y",)), of)[1][1:] == ("bz1", "by1")
    with pytest.raises(ProtocolError, match="at least one to train and one to test"):
        folds(CrossSession(), table(sessions=("x",)))


def test_streams():
    of = table(1, sessions=("x", "y", "z"))
    assert folds(SessionStream(), of)[:2] == [
        ("subject a, session y", "ax1", "ay1"),
        ("subject a, session z", "ax1", "az1"),
    ]
    assert folds(SessionStream(n_initial=2), of) == [
        ("subject a, session z", "ax1 ay1", "az1"),
        ("subject b, session z", "bx1 by1", "bz1"),
    ]
    assert folds(SessionStream("repetition"), table(3, sessions=("x",)))[1] == ("subject a, repetition 3", "ax1", "ax3")
    for n in (3, 4):
        with pytest.raises(ProtocolError, match=f"has 3 sessions, SessionStream needs more than {n}"):
            folds(SessionStream(n_initial=n), of)


def test_windows_dealt_at_random():
    of = table(200, sessions=("x",))
    found = list(LeakyShuffledWindows(0.3).folds(of))
    assert [f.name for f in found] == ["subject a", "subject b"]
    for fold, subject in zip(found, "ab"):
        assert set(of["subject"].iloc[[*fold.train, *fold.test]]) == {subject}
        assert 40 < len(fold.test) < 80
        assert len(fold.train) + len(fold.test) == 200
    (pooled,) = LeakyShuffledWindows(0.3, "pooled").folds(of)
    assert pooled.name == "pooled"
    assert sorted([*pooled.train, *pooled.test]) == list(range(400))
    assert 90 < len(pooled.test) < 150
    assert list(pooled.test) != list(next(LeakyShuffledWindows(0.3, "pooled", seed=1).folds(of)).test)


def test_defaults():
    assert WithinSubject() == WithinSubject((2, 5), None)
    assert KFoldRepetitions() == KFoldRepetitions(None, "subject")
    assert PooledSubjects() == PooledSubjects(0.2, 1, 0)
    assert LastRepetitions() == LastRepetitions(0.2)
    assert LeaveOneSubjectOut() == LeaveOneSubjectOut(0.0)
    assert SessionStream() == SessionStream("session", 1)
    assert LeakyShuffledWindows() == LeakyShuffledWindows(0.5, "subject", 0, None)
    assert not Protocol.leaky
    assert not Protocol.sequential
    assert not Protocol.disjoint
    assert LeakyShuffledWindows.leaky
    assert SessionStream.sequential
    assert CrossSession().disjoint == ("session",)
    assert CrossSession(calibration_repetitions=1).disjoint == ()
    assert not CrossSession.sequential


@pytest.mark.parametrize("make", [PooledSubjects, LastRepetitions, LeakyShuffledWindows])
@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_shares_lie_between_0_and_1(make, share):
    with pytest.raises(ProtocolError, match=f"test_fraction must be between 0 and 1, got {share}"):
        make(share)


def test_other_settings():
    for wrong in (
        lambda: LeaveOneSubjectOut(-0.1),
        lambda: PooledSubjects(n_repeats=True),
        lambda: SessionStream(by="day"),
        lambda: SessionStream(n_initial=0),
        lambda: LeakyShuffledWindows(within="day"),
        lambda: CrossSession(("a",), ("a", "b")),
    ):
        with pytest.raises(ProtocolError):
            wrong()
    assert KFoldRepetitions(np.int64(2)).n_splits == 2
    assert CrossSession(1).train_sessions == ("1",)


def test_the_split_of_scikit_learn_is_that_of_the_folds():
    of = table()
    for protocol in (KFoldRepetitions(2), SessionStream(), LeaveOneSubjectOut()):
        pairs = list(protocol.split(of))
        assert [(a.tolist(), b.tolist()) for a, b in pairs] == [
            (f.train.tolist(), f.test.tolist()) for f in protocol.folds(of)
        ]
        assert len(pairs) == protocol.get_n_splits(of) > 1


class Given(Protocol):
    def __init__(self, *pairs):
        self.pairs = pairs

    def _folds(self, of):
        for name, train, test in self.pairs:
            yield name, np.array(train, bool), np.array(test, bool)


def test_a_fold_without_train_or_test_is_refused():
    of = table(1, sessions=("x",))
    for train, test, part in (([1, 0], [0, 0], "test"), ([0, 0], [1, 0], "train")):
        with pytest.raises(ProtocolError, match=rf"fold 'one' has no {part} windows; the windows have subjects a, b"):
            list(Given(("one", train, test)).folds(of))
    (fold,) = Given(("one", [1, 0], [0, 1])).folds(of)
    assert isinstance(fold, Fold)


def test_train_windows_that_meet_a_test_window_are_left_out_and_all_of_them_are_an_error():
    of = table(1, sessions=("x", "y")).assign(start=[0, 5, 100, 200], stop=[10, 15, 110, 210])
    (fold,) = Given(("one", [1, 0, 1, 1], [0, 1, 0, 0])).folds(of)
    assert fold.train.tolist() == [2, 3]
    with pytest.raises(ProtocolError, match="every train window of fold 'one' shares samples"):
        list(Given(("one", [1, 0, 0, 0], [0, 1, 0, 0])).folds(of))


def test_a_protocol_without_folds_of_its_own():
    with pytest.raises(TypeError, match="Protocol does not define"):
        next(Protocol().folds(table()))


def test_calibration_and_streams_of_real_windows():
    recordings = [
        make_recording(np.random.default_rng(i), s, t, n_repetitions=3)
        for i, (s, t) in enumerate(["a1", "a2", "b1", "b2"])
    ]
    windows = Windows.cut(recordings, Windowing(100, 50))
    of = windows.table
    for fold in SessionStream(by="repetition").folds(windows):
        assert set(of["repetition"].iloc[fold.train]) == {1}
        assert of["subject"].iloc[[*fold.train, *fold.test]].nunique() == 1
    for fold in LeaveOneSubjectOut(0.34).folds(windows):
        tested = of.iloc[fold.test]
        assert set(tested["repetition"]) == {2, 3}
        assert set(tested["session"]) == {"1", "2"}
