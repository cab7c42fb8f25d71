from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import check_cv

import test_honesty
from conftest import make_recording
from myograph import (
    CrossSession,
    KFoldRepetitions,
    LeakyShuffledWindows,
    LeaveOneSubjectOut,
    PooledSubjects,
    Recording,
    Windowing,
    Windows,
    WithinSubject,
)
from myograph.audit import audit
from myograph.errors import LeakageError, ProtocolError
from myograph.protocols import LastRepetitions, Protocol, SessionStream

HONEST = [
    *test_honesty.HONEST.values(),  # one of every protocol at least
    WithinSubject(test_repetitions=(2,)),
    WithinSubject(test_repetitions=(2,), train_repetitions=(1,)),
    KFoldRepetitions(),
    KFoldRepetitions(2, within="session"),
    PooledSubjects(test_fraction=0.3, n_repeats=2, seed=5),
    LeaveOneSubjectOut(calibration=0.4),
]


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(0)
    recordings = [make_recording(rng, subject=s, session=t) for s in ("b", "a") for t in ("first", "later")]
    return Windows.cut(recordings, Windowing(100, 25))


@st.composite
def tables(draw):
    """A random study: subjects, sessions, repetitions in any order, windows that overlap, straddle or stand apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = []
    n_subjects, n_sessions = draw(st.integers(2, 4)), draw(st.integers(2, 3))
    length, step = draw(st.integers(1, 30)), draw(st.integers(1, 20))
    for subject in rng.permutation(n_subjects):
        for session in range(n_sessions):
            numbers = rng.permutation(np.arange(1, draw(st.integers(2, 6)) + 1))
            start = int(rng.integers(0, 50))
            for number in numbers:
                n = int(rng.integers(1, 9))
                for k in range(n):
                    rows.append(
                        (
                            subject * 10 + session,
                            start + k * step,
                            start + k * step + length,
                            f"s{subject}",
                            str(session),
                            number,
                        )
                    )
                # Sometimes the next repetition begins inside this one's last window, as majority windows do.
                start += n * step + int(rng.integers(0, length + 5))
    table = pd.DataFrame(rows, columns=["recording", "start", "stop", "subject", "session", "repetition"])
    table["label"] = pd.Categorical(rng.choice(["x", "y"], len(table)))
    table["position"], table["channel"] = 0, -1
    return table


def _samples(table, rows):
    return {(r, i) for r, a, b in table.loc[rows, ["recording", "start", "stop"]].to_numpy() for i in range(a, b)}


@settings(deadline=None, max_examples=25)
@given(table=tables())
@pytest.mark.parametrize("protocol", HONEST, ids=str)
def test_no_honest_protocol_shares_a_sample_or_a_repetition(protocol, table):
    try:
        folds = list(protocol.folds(table))
    except ProtocolError:
        return  # the study lacks what the protocol needs, and it says so
    for fold in folds:
        assert len(fold.train)
        assert len(fold.test)
        assert not _samples(table, fold.train) & _samples(table, fold.test)
        for claim in (
            ("subject", "session", "repetition"),
            *({"subject": ("subject",), "session": ("subject", "session")}[c] for c in protocol.disjoint),
        ):
            keys = [set(map(tuple, table.loc[rows, list(claim)].to_numpy())) for rows in (fold.train, fold.test)]
            assert not keys[0] & keys[1]
    again = [(f.name, f.train.tolist(), f.test.tolist()) for f in protocol.folds(table)]
    assert again == [(f.name, f.train.tolist(), f.test.tolist()) for f in folds]
    assert len({f.name for f in folds}) == len(folds) == protocol.get_n_splits(table)


@settings(deadline=None, max_examples=20)
@given(table=tables())
def test_each_window_is_tested_once_where_that_is_the_point(table):
    for protocol in (KFoldRepetitions(), LeaveOneSubjectOut()):
        try:
            folds = list(protocol.folds(table))
        except ProtocolError as refused:
            assume("shares samples with a test window" not in str(refused))  # short repetitions may all overlap
            raise
        tested = np.concatenate([f.test for f in folds])
        assert sorted(tested) == list(range(len(table)))


@pytest.mark.parametrize("protocol", HONEST, ids=str)
def test_the_audit_agrees(protocol, windows):
    assert check_cv(protocol) is protocol
    for fold in protocol.folds(windows):
        found = audit(windows, fold.train, fold.test, protocol.disjoint)
        assert found.passed
        assert (found.n_train, found.n_test) == (len(fold.train), len(fold.test))


def test_ninapro_split_by_hand(windows):
    folds = list(WithinSubject(test_repetitions=(2, 5)).folds(windows))
    assert [f.name for f in folds] == ["subject b", "subject a"]
    table = windows.table
    assert set(table["repetition"].iloc[folds[0].test]) == {2, 5}
    assert set(table["repetition"].iloc[folds[0].train]) == {1, 3, 4, 6}
    assert set(table["subject"].iloc[folds[0].train]) == {"b"}


def test_calibration_takes_the_first_repetitions(windows):
    fold = next(LeaveOneSubjectOut(calibration=0.3).folds(windows))
    mine = windows.table.iloc[fold.train].query("subject == 'b'")
    assert set(mine["repetition"]) == {1, 2}
    assert LeaveOneSubjectOut(0.3).disjoint == ()
    assert LeaveOneSubjectOut().disjoint == ("subject",)


def test_sessions_are_in_order_of_appearance(windows):
    fold = next(CrossSession().folds(windows))
    assert set(windows.table["session"].iloc[fold.train]) == {"first"}
    assert set(windows.table["session"].iloc[fold.test]) == {"later"}
    back = next(CrossSession(train_sessions=("later",), test_sessions=("first",)).folds(windows))
    assert set(windows.table["session"].iloc[back.train]) == {"later"}


def test_pooled_draws_differ_by_repeat_and_seed(windows):
    draws = [f.test.tolist() for seed in (0, 1) for f in PooledSubjects(0.3, 2, seed).folds(windows)]
    assert len({tuple(d) for d in draws}) == 4


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (WithinSubject(test_repetitions=(2, 9)), r"subject b has no repetition 9: it has 1, 2, 3, 4, 5, 6"),
        (KFoldRepetitions(9), "6 repetitions, too few for 9 folds"),
        (CrossSession(train_sessions=("third",)), "has sessions first, later; CrossSession needs session third"),
    ],
)
def test_what_a_protocol_needs_and_lacks_is_told(windows, protocol, message):
    with pytest.raises(ProtocolError, match=message):
        list(protocol.folds(windows))


def test_one_subject_cannot_be_left_out(windows):
    with pytest.raises(ProtocolError, match="two or more subjects"):
        list(LeaveOneSubjectOut().folds(windows.where(subject="a")))


@pytest.mark.parametrize(
    "make",
    [
        lambda: WithinSubject(test_repetitions=()),
        lambda: WithinSubject((1,), (1, 2)),
        lambda: KFoldRepetitions(1),
        lambda: KFoldRepetitions(within="trial"),
        lambda: KFoldRepetitions(2.5),
        lambda: PooledSubjects(0),
        lambda: PooledSubjects(n_repeats=0),
        lambda: SessionStream(n_initial=0.5),
        lambda: WithinSubject(("first",)),
        lambda: LeaveOneSubjectOut(1.0),
        lambda: CrossSession(("a",), ("a",)),
        lambda: LeakyShuffledWindows(2.0),
    ],
)
def test_settings_that_make_no_split_are_refused(make):
    with pytest.raises(ProtocolError, match=r"got|disjoint"):
        make()


def test_arrays_are_refused_with_the_reason(windows):
    with pytest.raises(ProtocolError, match="an array does not contain subjects and repetitions"):
        next(WithinSubject().split(np.asarray(windows[:4])))
    with pytest.raises(ProtocolError, match="needs the windows to count"):
        WithinSubject().get_n_splits()


def test_the_leaky_protocol_leaks_and_says_so(windows):
    protocol = LeakyShuffledWindows(seed=1)
    fold = next(protocol.folds(windows))
    with pytest.raises(LeakageError, match="share samples with train, for example test window"):
        audit(windows, fold.train, fold.test)
    found = audit(windows, fold.train, fold.test, leaky=True)
    assert not found.passed
    assert found.n_sharing_samples > 0.9 * found.n_test


class _Claims(Protocol):
    disjoint = ("subject",)

    def _folds(self, table):
        odd = table["repetition"].to_numpy() % 2 == 1
        yield "odd", odd, ~odd


def test_the_audit_holds_a_protocol_to_its_claim(windows):
    protocol = _Claims()
    fold = next(protocol.folds(windows))
    audit(windows, fold.train, fold.test)
    with pytest.raises(
        LeakageError, match=r"share a subject with train.*keep each subject entirely in train or entirely in test"
    ):
        audit(windows, fold.train, fold.test, protocol.disjoint)


def test_a_shared_repetition_without_a_shared_sample_is_found(windows):
    apart = windows[windows.table["position"].to_numpy() % 8 == 0]  # windows far enough apart to share no sample
    position = apart.table["position"].to_numpy()
    train, test = np.flatnonzero(position == 0), np.flatnonzero(position == 8)
    with pytest.raises(LeakageError, match="share a repetition with train"):
        audit(apart, train, test)


def test_the_same_samples_under_another_name_are_found():
    recording = make_recording(np.random.default_rng(0))
    twin = Recording(
        recording.signal.copy(), recording.rate_hz, recording.label, subject="copy", repetition=recording.repetition
    )
    windows = Windows.cut([recording, twin], Windowing(100, 50))
    fold = next(LeaveOneSubjectOut().folds(windows))
    with pytest.raises(LeakageError, match="share samples"):
        audit(windows, fold.train, fold.test, ("subject",))


def test_windows_that_straddle_a_border_are_purged_from_train():
    label = np.zeros(400, int)
    repetition = np.repeat([1, 2, 3, 4], 100)
    recording = Recording(np.random.default_rng(0).normal(size=(1, 400)), 1000, label, "1", repetition)
    windows = Windows.cut(recording, Windowing(50, 10, label_rule="majority"))
    fold = next(WithinSubject(test_repetitions=(2,)).folds(windows))
    audit(windows, fold.train, fold.test)
    kept = set(windows.table["start"].iloc[fold.train])
    assert 30 in kept  # samples 30 to 80, clear of the first test window at 80
    assert 70 not in kept  # samples 70 to 120 are mostly repetition 1 or 2 and touch a test window


def test_masks_and_positions_are_one(windows):
    fold = next(WithinSubject().folds(windows))
    masks = [np.isin(np.arange(len(windows)), rows) for rows in (fold.train, fold.test)]
    assert audit(windows, *masks) == audit(windows, fold.train, fold.test)


def test_one_repetition_or_session_may_be_given_alone_and_sessions_as_numbers(windows):
    assert WithinSubject(2, 1) == WithinSubject((2,), (1,))
    assert CrossSession(test_sessions="late") == CrossSession(test_sessions=("late",))
    rng = np.random.default_rng(0)
    numbered = Windows.cut([make_recording(rng, session=s) for s in "123"], Windowing(100, 50))
    (fold,) = CrossSession(test_sessions=(2, 3)).folds(numbered)
    assert set(numbered.table["session"].iloc[fold.test]) == {"2", "3"}
    with pytest.raises(ProtocolError, match="needs session 7, 8"):
        list(CrossSession(test_sessions=(7, 8)).folds(numbered))


def test_a_protocol_without_folds_is_told(windows):
    with pytest.raises(ProtocolError, match="gives no folds; the windows have"):
        list(KFoldRepetitions().folds(windows.table.iloc[:0]))


def test_the_same_samples_with_other_labels_are_found():
    recording = make_recording(np.random.default_rng(0))
    twin = Recording(recording.signal.copy(), 100.0, recording.label[::-1].copy(), subject="copy")
    windows = Windows.cut([recording, twin], Windowing(200, 100))
    subject = windows.table["subject"].to_numpy()
    with pytest.raises(LeakageError, match=r"342 of 342 test windows share samples with train: subject copy"):
        audit(windows, subject == "1", subject == "copy")


def test_steps_of_a_stream_share_their_train_rows_where_windows_straddle_borders():
    label = np.tile(np.repeat([0, 1], 100), 4)
    repetition = np.repeat([1, 2, 3, 4], 200)
    recording = Recording(np.random.default_rng(0).normal(size=(1, 800)), 1000, label, "1", repetition)
    windows = Windows.cut(recording, Windowing(50, 10, label_rule="majority"))
    first, *others = SessionStream(by="repetition").folds(windows)
    assert len(first.train) < (windows.table["repetition"] == 1).sum()
    for fold in others:
        np.testing.assert_array_equal(fold.train, first.train)


def test_last_repetitions_come_after_all_others_of_their_subject():
    table = pd.DataFrame({"subject": ["a"] * 10 + ["b"] * 2, "repetition": [*range(1, 11), 3, 4]})
    ((_, train, test),) = LastRepetitions(0.2)._folds(table)
    assert table["repetition"][test].tolist() == [9, 10, 4]
    assert (train ^ test).all()
    with pytest.raises(ProtocolError, match="between 0 and 1, got 1"):
        LastRepetitions(1)
