"""AlignedLDA: truths known by construction (gains, turned armbands, unequal classes) and SciPy's densities."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from myograph import Layout, Recording, Windowing, Windows
from myograph.errors import ConfigError, NotAdaptedWarning
from myograph.methods import METHODS, AlignedLDA
from myograph.methods._mixture import Prior, evidence, moved, whitening
from myograph.methods._rolls import _smallest, align_groups, columns_of, rolls_of, sizes_of
from myograph.methods.aligned import _components

N_CHANNELS = 6


def recording(seed, subject="1", session="1", turn=0, gain=1.0, n_labels=4, n_repetitions=4, seconds=1.0, ring=True):
    """Each label has its own loud channels on a ring of six; the ring may be turned, and channels louder."""
    rng = np.random.default_rng(seed)
    per = round(seconds * 500)
    label = np.tile(np.repeat(np.arange(n_labels), per), n_repetitions)
    repetition = np.repeat(np.arange(1, n_repetitions + 1), n_labels * per)
    size = 1.0 + 4.0 * np.eye(N_CHANNELS)[:n_labels] + 2.0 * np.eye(N_CHANNELS)[[1, 3, 0, 2][:n_labels]]
    signal = rng.normal(size=(N_CHANNELS, len(label))) * size[label].T * np.broadcast_to(gain, N_CHANNELS)[:, None]
    return Recording(
        np.roll(signal, turn, axis=0).astype(np.float32),
        500.0,
        label,
        subject=subject,
        session=session,
        repetition=repetition,
        label_names=tuple("abcd"[:n_labels]),
        layout=Layout.ring(N_CHANNELS) if ring else None,
    )


def cut(*recordings):
    return Windows.cut(list(recordings), Windowing(200, 50))


def accuracy(method, windows):
    return float((method.predict(windows.without_labels()) == windows.y).mean())


@pytest.fixture(scope="module")
def fitted():
    train = cut(recording(0))
    return AlignedLDA().fit(train, train.y)


GAIN = np.array([6.0, 1.0, 0.3, 1.0, 1.0, 2.5])


def test_a_gain_is_undone_without_labels(fitted):
    test = cut(recording(1, gain=GAIN))
    assert accuracy(fitted, test) < 0.8
    adapted = copy.deepcopy(fitted).adapt(test.without_labels())
    assert adapted.adapted_
    assert adapted.roll_ == 0
    assert accuracy(adapted, test) > 0.97


@pytest.mark.parametrize("turn", [1, 2, 5])
def test_a_turned_armband_is_turned_back(fitted, turn):
    test = cut(recording(2, turn=turn, gain=1.3))
    assert accuracy(fitted, test) < 0.7
    adapted = copy.deepcopy(fitted).adapt(test.without_labels())
    assert accuracy(adapted, test) > 0.97
    turned = rolls_of(Layout.ring(N_CHANNELS), N_CHANNELS)[adapted.roll_]
    assert np.array_equal(turned, np.roll(np.arange(N_CHANNELS), -turn))


def test_one_repetition_with_labels_finds_turn_and_gain(fitted):
    test = cut(recording(3, session="2", turn=2, gain=GAIN))
    first = test[test.column("repetition") == 1]
    rest = test[test.column("repetition") > 2]
    calibrated = copy.deepcopy(fitted).calibrate(first, first.y)
    assert accuracy(calibrated, rest) > 0.97
    assert accuracy(calibrated.adapt(rest.without_labels()), rest) > 0.97


def test_unequal_classes_do_not_pull_the_others_away(fitted):
    test = cut(recording(4, gain=1.5))
    few = np.flatnonzero((test.y == "a") | (np.arange(len(test)) % 12 == 0))
    assert (test.y[few] == "a").mean() > 0.75
    with pytest.warns(NotAdaptedWarning, match="show 1 of 4 classes for long enough, but 3 are needed"):
        adapted = copy.deepcopy(fitted).adapt(test[few].without_labels())
    assert accuracy(adapted, test) == accuracy(fitted, test)


def test_people_on_differently_turned_armbands_train_one_classifier():
    people = [recording(10 + i, subject=str(i), turn=i, gain=1 + i) for i in range(3)]
    train, test = cut(*people), cut(recording(20, subject="9", turn=4, gain=0.5))
    method = AlignedLDA().fit(train, train.y)
    assert accuracy(method.adapt(test.without_labels()), test) > 0.97
    unturned = AlignedLDA(roll=False).fit(train, train.y)
    assert accuracy(unturned.adapt(test.without_labels()), test) < 0.9


def test_adapt_begins_where_fit_left_it(fitted):
    once, twice = copy.deepcopy(fitted), copy.deepcopy(fitted)
    test, other = cut(recording(5, gain=GAIN)), cut(recording(6, turn=3))
    twice.adapt(other.without_labels())
    for method in (once, twice):
        method.adapt(test.without_labels())
    assert np.array_equal(once.coef_, twice.coef_)
    assert once.roll_ == twice.roll_


def test_it_changes_nothing_and_says_so_where_nothing_speaks_for_it(fitted):
    test = cut(recording(7))
    method = copy.deepcopy(fitted)
    with pytest.warns(NotAdaptedWarning, match="less signal than the length of two windows"):
        method.adapt(test[:3].without_labels())
    assert not method.adapted_
    assert np.array_equal(method.coef_, fitted.coef_)
    # Two halves that contradict each other: what the one teaches makes the other less probable.
    block = np.arange(len(test)) // 10 % 2
    loud = np.where(block, 4.0, 0.25)[:, None, None]
    with pytest.warns(NotAdaptedWarning, match="did not make the other half more probable"):
        AlignedLDA(roll=False).fit(test.batch(), test.y).adapt(test.batch() * loud)


def test_calibrate_refuses_a_class_that_training_did_not_have(fitted):
    test = cut(recording(8))
    with pytest.raises(ConfigError, match="classes z, which the training windows did not contain"):
        copy.deepcopy(fitted).calibrate(test, np.where(test.y == "a", "z", test.y))


def test_a_class_that_was_not_calibrated_moves_with_the_others(fitted):
    test = cut(recording(9, session="2", gain=3.0))
    few = test[(test.column("repetition") == 1) & (test.y != "d")]
    method = copy.deepcopy(fitted).calibrate(few, few.y)
    assert (method.predict(test.without_labels())[test.y == "d"] == "d").mean() > 0.95


def test_the_means_of_a_known_person_are_mixed_and_those_of_new_people_are_replaced():
    rng = np.random.default_rng(0)
    scale = np.array([[1.0, 3.0], [3.0, 1.0]])
    y = np.arange(400) % 2
    X = rng.standard_normal((400, 2, 60)) * scale[y][:, :, None]
    known = AlignedLDA(roll=False, overlap=1.0).fit(X, y)
    few = np.concatenate([np.flatnonzero(y == 0)[:20], np.flatnonzero(y == 1)[:60]])
    later, code = X[few] * [[2.0], [5.0]], y[few]
    there = known._vectors(later)
    labelled = np.stack([there[code == k].mean(axis=0) for k in (0, 1)])
    shifted = known.means_ + (labelled - known.means_).mean(axis=0)
    half, quarter = 20 / (20 + 20), 20 / (20 + 60)  # the weight of 20 windows against 20 and 60
    expected = [half * shifted[0] + half * labelled[0], quarter * shifted[1] + (1 - quarter) * labelled[1]]
    known.calibrate(later, code)
    np.testing.assert_allclose(known.base_means_, expected, rtol=1e-10)
    known.n_people_ = 2
    known.calibrate(later, code)
    np.testing.assert_allclose(known.base_means_, labelled, rtol=1e-10)


def test_arrays_and_windows_give_the_same(fitted):
    test = cut(recording(11))
    np.testing.assert_allclose(
        fitted.predict_proba(test.without_labels()), fitted.predict_proba(test.batch()), atol=1e-9
    )
    np.testing.assert_allclose(fitted.predict_proba(test.batch()).sum(axis=1), 1.0)


def test_it_is_a_method_and_goes_through_a_decoder_file(tmp_path, fitted):
    from myograph.live.decoder import Decoder

    assert isinstance(METHODS.create("aligned_lda"), AlignedLDA)
    train, test = recording(12), recording(13, turn=1)
    decoder = Decoder.fit([train], AlignedLDA(), windowing=Windowing(200, 50))
    decoder.method.adapt(cut(test).without_labels())
    loaded = Decoder.load(decoder.save(tmp_path / "hand.myo"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = decoder.decide(test), loaded.decide(test)
    assert first.table.drop(columns="latency_ms").equals(second.table.drop(columns="latency_ms"))
    assert loaded.method.roll_ == decoder.method.roll_ > 0
    again = copy.deepcopy(loaded.method).adapt(cut(recording(14, gain=2.0)).without_labels())
    assert again.adapted_


def test_evidence_is_that_of_scipys_densities():
    rng = np.random.default_rng(0)
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    means, x = rng.normal(size=(3, 2)), rng.normal(size=(20, 2))
    white = whitening(covariance)
    density = sum(multivariate_normal(m, covariance).pdf(x) for m in means) / 3
    constant = -np.log(2 * np.pi) - 0.5 * np.log(np.linalg.det(covariance))
    assert evidence(x @ white, means @ white) + constant == pytest.approx(np.log(density).mean())


def test_movement_of_separate_classes_by_hand():
    """With classes far apart the shares are 0 or 1, and the most probable movement is a ridge solution in closed form."""
    means = np.array([[0.0], [100.0]])
    z = np.concatenate([np.full((30, 1), 2.0), np.full((10, 1), 104.0)])
    common, own, overlap = 4.0, 3.0, 2.0
    counts, residual = np.array([15.0, 5.0]), np.array([2.0, 4.0])
    # Minimise sum_k n_k (r_k - b - d_k)^2 + common b^2 + own sum d_k^2 over (b, d_0, d_1).
    system = np.array(
        [[counts.sum() + common, *counts], [counts[0], counts[0] + own, 0], [counts[1], 0, counts[1] + own]]
    )
    b, *d = np.linalg.solve(system, [counts @ residual, *(counts * residual)])
    found = moved(z, means, overlap, Prior(common, own), steps=3).offsets[:, 0]
    np.testing.assert_allclose(found, b + np.array(d), atol=1e-9)


def test_rolls_of_grids_rings_and_unknown_patterns():
    assert len(rolls_of(None, 8)) == 1
    assert len(rolls_of(Layout.ring(8), 8)) == 8
    two = rolls_of(Layout.ring(4, n_rings=2, n_extra=1), 9)
    assert len(two) == 4
    assert two[1].tolist() == [3, 0, 1, 2, 7, 4, 5, 6, 8]
    grid = rolls_of(Layout.grid(3, 2), 6)
    assert len(grid) == 1 + 2 + 1
    assert [2, 3, 4, 5, 0, 1] in grid.tolist()


def test_a_roll_of_columns_is_that_of_the_matrix():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(5, 5))
    matrix = matrix + matrix.T
    roll = np.array([2, 3, 4, 0, 1])
    a, b = np.triu_indices(5)
    assert np.array_equal(matrix[a, b][columns_of(roll)], matrix[np.ix_(roll, roll)][a, b])


def test_groups_are_aligned_with_a_missing_class():
    rng = np.random.default_rng(0)
    rolls = rolls_of(Layout.ring(5), 5)
    base = rng.normal(size=(3, 5))
    groups = [base, base[:, np.roll(np.arange(5), 2)] + 0.01, base.copy()]
    groups[1][2] = np.nan
    chosen = align_groups(groups, rolls, sizes_of(rolls))
    assert chosen[0] == chosen[2] == 0
    np.testing.assert_allclose(groups[1][:2, rolls[chosen[1]]], base[:2] + 0.01)


@pytest.mark.parametrize("turns", [[3, 0, 0, 0], [0, 0, 0, 3], [2, 2, 0, 2], [1, 0, 0, 5], [4, 4, 4, 4]])
def test_groups_keep_their_channels_if_most_of_them_agree(turns):
    """A ring of six electrodes: whoever comes first, those who agree are not rolled, and the other ones take few steps."""
    rolls = rolls_of(Layout.ring(6), 6)
    base = np.random.default_rng(1).normal(size=(4, 6))
    groups = [np.roll(base, turn, axis=1) for turn in turns]
    chosen = align_groups(groups, rolls, sizes_of(rolls))
    aligned = [group[:, rolls[k]] for group, k in zip(groups, chosen)]
    assert all(np.array_equal(aligned[0], other) for other in aligned)
    usual = max(turns, key=turns.count)
    assert [k == 0 for k in chosen] == [turn == usual for turn in turns]


@pytest.mark.parametrize(
    ("layout", "chosen", "smallest"),
    [
        (Layout.ring(10), [0, 1, 1, 8, 1], [9, 0, 0, 7, 0]),
        (Layout.ring(10), [0, 1], [0, 1]),  # both are equally good: nothing is exchanged
        (Layout.ring(6), [0, 0, 5], [0, 0, 5]),
        (Layout.grid(2, 3), [0, 1, 1], [1, 0, 0]),  # one of two rows is its own opposite
        (Layout.grid(2, 3), [1, 2, 2], [1, 2, 2]),  # a row and a column together are no roll
    ],
)
def test_of_equivalent_rolls_the_smallest_are_chosen(layout, chosen, smallest):
    rolls = rolls_of(layout, len(layout))
    assert _smallest(chosen, rolls, sizes_of(rolls)) == smallest


@pytest.mark.parametrize("kept", [16, 500])
def test_many_columns_are_reduced_to_components(kept, monkeypatch):
    """As for more than 70 channels: rotations and gains are still found, with people on differently turned armbands too."""
    monkeypatch.setattr("myograph.methods.aligned.WIDE", 20)
    monkeypatch.setattr("myograph.methods.aligned.KEPT", kept)
    train, test = cut(recording(0)), cut(recording(3, session="2", turn=2, gain=GAIN))
    method = AlignedLDA().fit(train, train.y)
    n_columns = N_CHANNELS * (N_CHANNELS + 1) // 2
    assert method.basis_.shape == (n_columns, min(kept, n_columns))
    assert method.means_.shape == (4, min(kept, n_columns))
    assert accuracy(copy.deepcopy(method).adapt(test.without_labels()), test) > 0.97
    first, rest = test[test.column("repetition") == 1], test[test.column("repetition") > 2]
    assert accuracy(copy.deepcopy(method).calibrate(first, first.y), rest) > 0.97
    people, new = (
        cut(*(recording(10 + i, str(i), turn=i, gain=1 + i) for i in range(3))),
        cut(recording(20, "9", turn=4)),
    )
    assert accuracy(AlignedLDA().fit(people, people.y).adapt(new.without_labels()), new) > 0.97


def test_components_are_those_of_numpy():
    v = np.random.default_rng(0).normal(size=(40, 6)) * [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    found = _components(v)
    assert found.shape == (6, 5)  # the constant column has no variance
    _, vectors = np.linalg.eigh(np.cov(v.T))
    np.testing.assert_allclose(np.abs(found), np.abs(vectors[:, :0:-1]), atol=1e-8)
