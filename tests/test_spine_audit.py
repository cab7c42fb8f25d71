"""The audit piece by piece, on tables and signals small enough to see the answer."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from myograph import Recording, Windowing, Windows
from myograph import audit as spine
from myograph._common.content import Match
from myograph.audit import Audit, AuditedSplit, audit, audited, copies_in, overlapping, widened
from myograph.errors import LeakageError, ProtocolError


def noise(seed, n=1200, channels=2):
    return np.random.default_rng(seed).normal(size=(channels, n))


def recording(signal, subject="1", repetition=None, **fields):
    n = signal.shape[1]
    label = np.repeat([0, 1, 0, 1, 0, 1], n // 6)
    return Recording(signal, 1000.0, label, subject, repetition, **fields)


def cut(*recordings, length=100, step=50):
    return Windows.cut(recordings, Windowing(length, step))


def table(*rows):
    return pd.DataFrame(rows, columns=["recording", "start", "stop"])


def refusal(windows, train, test, *disjoint, **options):
    with pytest.raises(LeakageError) as caught:
        audit(windows, train, test, disjoint, **options)
    return str(caught.value)


def test_the_dictionary_has_every_count_and_the_verdict():
    found = Audit(10, 5, 1, 2, 3, 4, claims=("subject",))
    assert found.as_dict() == {
        "n_train": 10, "n_test": 5, "n_sharing_samples": 1, "n_sharing_repetition": 2, "n_sharing_subject": 3,
        "n_sharing_session": 4, "claims": ["subject"], "passed": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "claims", "passed"),
    [
        ((0, 0, 5, 5), (), True), ((1, 0, 0, 0), (), False), ((0, 1, 0, 0), (), False), ((0, 0, 5, 0), ("subject",), False),
        ((0, 0, 0, 5), ("subject",), True), ((0, 0, 0, 5), ("session",), False), ((0, 0, 5, 0), ("session",), True),
        ((0, 0, 5, 0), ("session", "subject"), False), ((0, 0, 0, 0), ("session", "subject"), True),
    ],
)  # fmt: skip
def test_samples_and_repetitions_decide_always_and_the_rest_where_it_is_claimed(counts, claims, passed):
    assert Audit(10, 5, *counts, claims=claims).passed is passed


def test_counts_are_of_test_windows_and_masks_mean_the_same_as_positions():
    windows = cut(recording(noise(0)), recording(noise(1), "2"))
    train = windows.column("start") < 600
    found = audit(windows, train, ~train, leaky=True)
    assert (found.n_train, found.n_test) == (int(train.sum()), int((~train).sum()))
    assert found.n_sharing_subject == found.n_sharing_session == found.n_test
    assert found == audit(windows, np.flatnonzero(train), np.flatnonzero(~train), leaky=True)


def test_windows_that_only_touch_share_nothing():
    places = table((0, 0, 100), (0, 100, 200), (0, 199, 300), (1, 0, 100))
    assert overlapping(places, np.array([0, 1, 2, 3]), np.array([1])).tolist() == [False, True, True, False]
    assert overlapping(places, np.array([1]), np.array([0, 3])).tolist() == [False]


def test_a_long_window_that_starts_early_meets_those_behind_shorter_ones():
    places = table((0, 0, 500), (0, 10, 20), (0, 30, 40), (0, 450, 460), (0, 500, 510))
    assert overlapping(places, np.array([3, 4]), np.array([2, 1, 0])).tolist() == [True, False]
    assert overlapping(places, np.array([0, 1]), np.array([2])).tolist() == [True, False]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_window_stands_where_its_copied_samples_stand_and_nowhere_else(swapped):
    """Samples 200 to 500 of recording 0 are samples 700 to 1000 of recording 1."""
    copies = [Match(1, 0, 700, 200, 300) if swapped else Match(0, 1, 200, 700, 300)]

    def meets(mine, other):
        return overlapping(table((0, *mine), (1, *other)), np.array([0]), np.array([1]), copies)[0]

    for mine, other, expected in [
        ((100, 300), (600, 700), False), ((100, 300), (600, 701), True), ((100, 300), (799, 900), True),
        ((100, 300), (800, 900), False), ((400, 600), (850, 900), False), ((400, 600), (899, 901), True),
        ((400, 600), (999, 1100), True), ((400, 600), (1000, 1100), False), ((100, 200), (650, 750), False),
        ((500, 600), (950, 1050), False), ((100, 201), (650, 750), True), ((499, 600), (950, 1050), True),
        ((100, 600), (600, 700), False), ((100, 600), (1000, 1100), False), ((100, 600), (800, 810), True),
    ]:  # fmt: skip
        assert meets(mine, other) == expected, (mine, other)
        assert overlapping(table((1, *other), (0, *mine)), np.array([0]), np.array([1]), copies)[0] == expected
        assert not overlapping(table((0, *mine), (2, *other)), np.array([0]), np.array([1]), copies)[0]


def test_any_estimator_over_windows_can_be_audited():
    estimator = LogisticRegression()
    assert audited(estimator).get_params()["estimator"] is estimator


def test_the_reach_of_a_filter_is_added_to_both_sides_of_the_other_windows():
    windows = cut(recording(noise(0), reach_samples=30), length=100, step=100)
    wide = widened(windows)
    assert wide[["start", "stop"]].to_numpy()[:3].tolist() == [[0, 130], [70, 230], [170, 330]]
    assert windows.table["start"].tolist()[:3] == [0, 100, 200]
    plain = overlapping(windows.table, np.array([0, 1, 2]), np.array([1]))
    reached = overlapping(windows.table, np.array([0, 1, 2]), np.array([1]), wide=wide)
    assert plain.tolist() == [False, True, False]
    assert reached.tolist() == [True, True, True]


def test_the_message_says_that_only_a_filter_reaches_over():
    windows = cut(recording(noise(0), repetition=np.repeat(np.arange(1, 13), 100), reach_samples=30), step=100)
    said = refusal(windows, [0], [1])
    assert (
        "1 of 1 test windows share samples with train through filters, or a method that reads earlier windows, with a reach of 30 samples, for example"
        in said
    )
    direct = refusal(windows, [0, 1], [1, 5])
    assert "through filters" not in direct
    assert "1 of 2 test windows share samples with train, for example test window 1 and train window 0 (" in direct
    mixed = refusal(windows, [0, 5], [1, 5])  # one shares samples directly: that says more than the filter
    assert "through filters" not in mixed


def test_a_shared_repetition_is_named_with_a_partner_of_the_same_repetition():
    windows = cut(recording(noise(0), repetition=np.repeat([1, 2, 3, 4, 5, 6], 200)), step=100)
    said = refusal(windows, [0, 4], [2, 5])
    assert (
        "this split: 1 of 2 test windows share a repetition with train, for example test window 5 and train window 4 ("
        in said
    )
    assert said.endswith("(subject 1, session 1, repetition 3, samples 500 to 600); split by repetition with a protocol "
                         "from myograph.protocols")  # fmt: skip


@pytest.mark.parametrize("claim", ["subject", "session"])
def test_a_claim_that_does_not_hold_is_named_with_what_to_keep_apart(claim):
    windows = cut(recording(noise(0)), recording(noise(1), "2"), recording(noise(2), "2", session="b"))
    of = windows.column("recording")
    repetition = windows.column("repetition")
    said = refusal(
        windows, (of == 0) | ((of == 2) & (repetition == 1)), (of == 2) & (repetition == 2), claim, name="mine"
    )
    assert said.startswith(f"mine: {int(((of == 2) & (repetition == 2)).sum())} of ")
    assert f"share a {claim} with train" in said
    assert said.endswith(f"keep each {claim} entirely in train or entirely in test")
    partner = int(said.partition("train window ")[2].split()[0])
    assert of[partner] == 2
    assert audit(windows, of == 0, of == 1, (claim,)).passed
    # Another session of one person is no shared session, but a shared subject.
    if claim == "session":
        assert audit(windows, of == 1, of == 2, (claim,)).passed
    else:
        refusal(windows, of == 1, of == 2, claim)


class Second(KFold):
    """Parts of two people, then of one."""

    def split(self, X, y=None, groups=None):
        of = X.column("recording")
        yield np.flatnonzero(of == 0), np.flatnonzero(of == 1)
        yield np.flatnonzero(X.column("repetition") == 1), np.flatnonzero(X.column("repetition") == 2)


def test_a_split_is_audited_one_by_one_and_counts_from_one():
    windows = cut(recording(noise(0)), recording(noise(1), "2"))
    splitter = AuditedSplit(KFold(6))
    assert [len(test) for _, test in splitter.split(windows)] == [6] * 6  # each part is one repetition of one person
    with pytest.raises(LeakageError, match=r"^KFold, split 1: "):
        next(AuditedSplit(KFold(5)).split(windows))
    with pytest.raises(LeakageError, match=r"^Second, split 2: .* share a subject"):
        list(AuditedSplit(Second(), ("subject",)).split(windows))
    with pytest.raises(ProtocolError, match="needs Windows, but got DataFrame"):
        next(splitter.split(windows.table))
    assert AuditedSplit(KFold(3)).get_n_splits(windows) == 3


def test_without_windows_there_are_no_copies():
    windows = cut(recording(noise(0)))
    assert copies_in(windows[:0]) == []


def test_only_the_recordings_of_the_rows_are_compared_under_their_own_numbers():
    x = noise(0)
    windows = cut(recording(noise(1)), recording(x, "2"), recording(noise(2), "3"), recording(-x, "4"))
    of = windows.column("recording")
    (found,) = copies_in(windows)
    assert (found.first, found.second, found.start, found.other_start, found.n) == (1, 3, 0, 0, 1200)
    assert copies_in(windows[of != 3]) == []
    (again,) = copies_in(windows[(of == 1) | (of == 3)])
    assert (again.first, again.second) == (1, 3)


def test_the_comparison_is_made_once_for_all_folds_and_again_for_other_windows(monkeypatch):
    asked = []
    real = spine._copies
    monkeypatch.setattr(spine, "_copies", lambda recordings, length: asked.append(length) or real(recordings, length))
    one, other = recording(noise(0)), recording(noise(1), "2")
    windows = cut(one, other)
    for rows in (np.arange(10), np.arange(len(windows)), np.arange(5, len(windows))):
        copies_in(windows[rows])
    assert asked == [100, 100]  # the first ten rows are of one recording
    copies_in(cut(one, other, length=80))
    copies_in(cut(one, recording(noise(1), "2"), length=80))
    assert asked == [100, 100, 80, 80]


def test_the_shortest_window_decides_how_short_a_copy_counts():
    x, y = noise(0), noise(1)
    y[:, 500:560] = x[:, 200:260]
    long, short = cut(recording(x), recording(y, "2"), length=120), cut(recording(x), length=50)[4:]
    assert copies_in(long) == []
    rows = long.table, short.table.assign(recording=0)
    mixed = Windows(long.recordings, pd.concat(rows, ignore_index=True))
    (found,) = copies_in(mixed)
    assert found.other_start - found.start == 300
    assert 50 <= found.n <= 64


def test_the_last_comparison_keeps_no_recording_alive():
    signal = recording(noise(7))
    copies_in(cut(signal, recording(noise(8), "2")))
    gone = weakref.ref(signal)
    del signal
    gc.collect()
    assert gone() is None


def test_equal_recordings_are_all_matched_with_the_first_of_them():
    x = np.zeros((2, 1200))  # nothing to mark: compared as wholes
    some = [recording(x, str(i)) for i in range(3)] + [recording(x + 1, "3")]
    found = copies_in(cut(*some))
    assert [(m.first, m.second, m.start, m.other_start, m.n) for m in found] == [(0, 1, 0, 0, 1200), (0, 2, 0, 0, 1200)]


def test_a_recording_that_was_changed_is_compared_again():
    x, y = noise(1), noise(2)
    both = recording(x), recording(y, "2")
    windows = cut(*both)
    both[1].forget_if_changed()
    assert copies_in(windows) == []
    y[:] = x
    both[1].forget_if_changed()
    assert copies_in(windows) == [Match(0, 1, 0, 0, 1200)]


def test_recordings_that_differ_in_the_middle_alone_are_not_equal():
    x = np.zeros((2, 1200))
    y = x.copy()
    y[:, 600] = 1
    assert copies_in(cut(recording(x), recording(y, "2"))) == []


@pytest.mark.parametrize("at", [0, 15, 1184, 1199])
def test_recordings_that_differ_at_an_end_are_not_equal(at):
    x = np.zeros((1, 1200))
    y = x.copy()
    y[:, at] = 1
    assert copies_in(cut(recording(x), recording(y, "2"))) == []


def test_a_copy_counts_in_both_directions():
    x = noise(0)
    windows = cut(recording(x), recording(np.concatenate([noise(1, 400), x[:, :800]], axis=1), "2"))
    of = windows.column("recording")
    for train, test in ((of == 0, of == 1), (of == 1, of == 0)):
        found = audit(windows, train, test, leaky=True)
        start = windows.column("start")[test]
        inside = start >= 350 if of[test][0] else start <= 750  # windows that meet the copied stretch
        assert found.n_sharing_samples == int(inside.sum())


def test_copies_of_one_stretch_meet_whichever_of_them_was_found_with_it():
    places = table((0, 0, 50), (1, 200, 250), (2, 400, 450))
    of_the_first = [Match(0, 1, 0, 200, 50), Match(0, 2, 0, 400, 50)]
    of_the_last = [Match(0, 2, 0, 400, 50), Match(1, 2, 200, 400, 50)]
    assert overlapping(places, np.array([1]), np.array([2]), of_the_first).all()
    assert overlapping(places, np.array([0]), np.array([1]), of_the_last).all()
    assert not overlapping(places, np.array([0]), np.array([1]), of_the_last[:1]).any()


@pytest.mark.parametrize(("length", "is_found"), [(16, True), (15, False)])
def test_windows_of_16_samples_find_copies_of_as_many_and_shorter_ones_those_of_64(length, is_found):
    x, y = noise(1, 600, 4), noise(2, 600, 4)
    y[:, 300:340] = x[:, 100:140]
    assert bool(copies_in(cut(recording(x), recording(y, "2"), length=length, step=length))) is is_found


def test_a_copy_of_a_copy_of_which_one_is_in_neither_part():
    x = noise(0)
    windows = cut(recording(x), recording(2 * x, "2"), recording(-x, "3"), recording(noise(3), "4"))
    of = windows.column("recording")
    assert audit(windows, of == 1, of == 2, leaky=True).n_sharing_samples == int((of == 2).sum())
    assert audit(windows, of == 3, of == 2, leaky=True).n_sharing_samples == 0


def test_the_message_about_copies_names_who_how_much_where_and_what_to_leave_out():
    x = noise(0)
    twin = np.concatenate([noise(1, 400), x[:, :800]], axis=1)
    windows = cut(recording(x, "ann"), recording(twin, "bob"))
    of = windows.column("recording")
    said = refusal(windows, of == 0, of == 1, "subject")
    assert (
        "subject bob, session 1 and subject ann, session 1 contain the same samples (0.8 s, starting at 0.4 s and 0.0 s; 12 test "
        "windows). They are the same data: leave out subject bob, session 1, or keep both copies in train or both in test"
    ) in said


def test_what_stands_twice_in_one_recording_is_named_by_its_places():
    x = noise(0)
    x[:, 800:1000] = x[:, 100:300]
    windows = cut(recording(x, repetition=np.repeat(np.arange(1, 7), 200)), step=100)
    start = windows.column("start")
    said = refusal(windows, start == 100, start == 800)
    assert (
        "subject 1, session 1 contains twice the same samples (0.2 s, starting at 0.1 s and 0.8 s; 1 test windows)"
        in said
    )
    assert said.endswith("They are the same data: keep both copies in train or both in test")


@pytest.mark.parametrize("n", [4, 5, 6])
def test_many_pairs_are_counted_rather_than_listed(n):
    parts = [noise(i) for i in range(n)]
    windows = cut(
        *(recording(x, f"a{i}") for i, x in enumerate(parts)), *(recording(-x, f"b{i}") for i, x in enumerate(parts))
    )
    first = windows.column("recording") < n
    said = refusal(windows, first, ~first)
    assert said.count("contain the same samples") == 4
    assert (f"; and {n - 4} more pairs. They are the same data: " in said) is (n > 4)
    assert (" and others, or keep both" in said) is (n > 4)
    assert ("more pairs" in said) is (n > 4)


def test_pairs_that_do_not_meet_in_this_split_are_not_named():
    x, y = noise(0), noise(1)
    windows = cut(recording(x, "a"), recording(-x, "b"), recording(y, "c"), recording(-y, "d"))
    of = windows.column("recording")
    said = refusal(windows, (of == 0) | (of == 2) | (of == 3), of == 1)
    assert "subject b, session 1 and subject a" in said
    assert "subject c" not in said
    said = refusal(windows, (of == 0) | (of == 1) | (of == 2), of == 3)  # the pair that comes first does not meet
    assert "subject d, session 1 and subject c" in said
    assert "subject a" not in said
