"""CORAL, PriorWeightedLDA and PersonExperts: the papers' formulas by SciPy, truths known by construction, and the guards."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from scipy.linalg import inv, sqrtm
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from myograph import LeaveOneSubjectOut, Windowing, Windows
from myograph.errors import ConfigError, LeakageWarning, NotAdaptedWarning
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.methods import CORAL, METHODS, FastLDA, PersonExperts, PriorWeightedLDA, lda
from myograph.methods._moments import Moments
from myograph.methods._prior import OF_COVARIANCE, OF_MEANS, Labelled, Source, best_strengths, held_out_groups
from myograph.methods.experts import POWERS, agreement, mixture_weights
from myograph.testing import make_recording, make_windows

N_CLASSES = 4


class LogPower(TransformerMixin, BaseEstimator):
    """Features that take no fitting: the logarithm of each channel's variance."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        x = X.batch() if isinstance(X, Windows) else np.asarray(X)
        return np.log(x.astype(float).var(axis=2) + 1e-6)

    def __sklearn_is_fitted__(self):
        return True


def plain(shrinkage=None):
    return make_pipeline(LogPower(), FastLDA(solver="lsqr", shrinkage=shrinkage))


def person(name, seed, gain=1.0, session="1", **settings):
    """A recording of four classes, whose channels are louder by the given gains."""
    one = make_recording(name, session, n_classes=N_CLASSES, seed=seed, **settings)
    return one.with_signal((one.signal * np.broadcast_to(gain, 4)[:, None]).astype(np.float32))


def cut(*recordings):
    return Windows.cut(list(recordings), Windowing(200, 50))


GAINS = np.array([[1.0, 1.0, 1.0, 1.0], [3.0, 0.4, 1.0, 2.0], [0.3, 2.0, 4.0, 0.5], [5.0, 5.0, 0.5, 0.5]])
OTHER = np.array([0.2, 4.0, 0.4, 3.0])


@pytest.fixture(scope="module")
def people():
    """Labelled windows of four people whose electrodes differ in gain, and those of a fifth."""
    train = cut(*(person(str(i), seed=i, gain=gain) for i, gain in enumerate(GAINS)))
    return train, cut(person("new", seed=9, gain=OTHER))


def accuracy(method, windows):
    return float((method.predict(windows.without_labels()) == windows.y).mean())


def adapted(method, windows):
    """A copy that adapted to the unlabelled windows, and whether it warned that nothing was changed."""
    method = copy.deepcopy(method)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        method.adapt(windows.without_labels())
    assert not any(issubclass(w.category, LeakageWarning) for w in caught)
    return method, any(issubclass(w.category, NotAdaptedWarning) for w in caught)


def split(windows, n=1):
    """Windows of the first n repetitions, and the others."""
    first = windows.column("repetition") <= n
    return windows[first], windows[~first]


# CORAL


def test_recoloured_rows_are_those_of_the_papers_matrices():
    rng = np.random.default_rng(0)
    rows, target = (
        rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3)),
        rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3)),
    )
    ones = [np.ones(len(r)) for r in (rows, target)]
    source, to = Moments.of(rows, ones[0]), Moments.of(target, ones[1])
    np.testing.assert_allclose(to.covariance, np.cov(target.T, bias=True))
    cs, ct = np.cov(rows.T, bias=True) + np.eye(3), np.cov(target.T, bias=True) + np.eye(3)
    expected = (rows - rows.mean(axis=0)) @ inv(sqrtm(cs)) @ sqrtm(ct) + target.mean(axis=0)
    np.testing.assert_allclose(source.moved(rows, to, ridge=1.0), expected)
    moved = source.moved(rows, to, ridge=1e-12)
    np.testing.assert_allclose(moved.mean(axis=0), target.mean(axis=0))
    np.testing.assert_allclose(np.cov(moved.T, bias=True), np.cov(target.T, bias=True))


def test_evidence_is_the_mean_log_density():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 3)) + 1
    found = Moments.of(rows, np.ones(30))
    one, other = found, Moments(np.zeros(3), np.eye(3))
    expected = [multivariate_normal(m.mean, m.covariance + 0.1 * np.eye(3)).logpdf(rows).mean() for m in (one, other)]
    got = [m.evidence(rows, 0.1) for m in (one, other)]
    assert got[0] - got[1] == pytest.approx(expected[0] - expected[1])


def test_the_classifier_is_fitted_on_each_persons_recoloured_windows(people):
    train, new = people
    method, warned = adapted(CORAL(plain(), strength=0.0, ridge=0.5).fit(train, train.y), new)
    assert not warned
    rows, target, subject = LogPower().transform(train), LogPower().transform(new), train.column("subject")
    moved = np.empty_like(rows)
    for name in np.unique(subject):
        own = rows[subject == name]
        white = inv(sqrtm(np.cov(own.T, bias=True) + 0.5 * np.eye(4)))
        colour = sqrtm(np.cov(target.T, bias=True) + 0.5 * np.eye(4))
        moved[subject == name] = (own - own.mean(axis=0)) @ white @ colour + target.mean(axis=0)
    expected = LinearDiscriminantAnalysis(solver="lsqr").fit(moved, train.y)
    np.testing.assert_allclose(method.estimator_[-1].coef_, expected.coef_, rtol=1e-6)


def test_other_gains_are_undone_without_labels(people):
    train, new = people
    for estimator in (lda(), METHODS.create("svm"), METHODS.create("knn")):
        fitted = CORAL(estimator).fit(train, train.y)
        method, warned = adapted(fitted, new)
        assert not warned
        assert accuracy(method, new) > max(0.95, accuracy(fitted, new))


def test_few_windows_change_little_and_the_next_call_starts_again(people):
    train, new = people
    fitted = CORAL(plain(), strength=1e9).fit(train, train.y)
    before = fitted.predict_proba(new)
    np.testing.assert_allclose(adapted(fitted, new)[0].predict_proba(new), before, atol=1e-4)
    fitted = CORAL(lda()).fit(train, train.y)
    once, louder = adapted(fitted, new)[0], cut(person("new", seed=9, gain=20 * OTHER))
    again = adapted(adapted(once, louder)[0], new)[0]
    np.testing.assert_allclose(again.predict_proba(new), once.predict_proba(new))


def test_windows_that_tell_nothing_new_change_nothing(people):
    """From so few windows, the covariance of one half does not describe the other."""
    train, _ = people
    rng = np.random.default_rng(0)
    fitted = CORAL(plain(), strength=0.0, ridge=0.1).fit(train, train.y)
    alike = fitted.rows_[rng.permutation(len(train))[:6]] + 0.01 * rng.normal(size=(6, 4))
    assert not fitted._pays(alike, overlap=1.0)
    assert fitted._pays(alike + 50.0, overlap=1.0)
    assert not fitted._pays(alike[:1], overlap=1.0)


def test_one_movement_alone_changes_nothing():
    monday, tuesday = (cut(person("a", seed=i, session=str(i))) for i in (1, 2))
    for method in (CORAL(lda()), PriorWeightedLDA(lda())):
        fitted = method.fit(monday, monday.y)
        for label in np.unique(tuesday.y):
            found, warned = adapted(fitted, tuesday[tuesday.y == label])
            assert warned
            assert not found.adapted_
            np.testing.assert_array_equal(found.predict(tuesday), fitted.predict(tuesday))


@pytest.mark.parametrize("make", [CORAL, PriorWeightedLDA])
def test_a_movement_that_dominates_a_known_persons_windows_does_no_harm(make):
    monday, tuesday = (cut(person("a", seed=i, session=str(i), seconds=2.0)) for i in (1, 2))
    fitted = make(lda()).fit(monday, monday.y)
    before = accuracy(fitted, tuesday)
    for label in np.unique(tuesday.y):
        mine, others = np.flatnonzero(tuesday.y == label), np.flatnonzero(tuesday.y != label)
        seen = tuesday[np.concatenate([np.arange(len(tuesday)), np.tile(mine, round(4 * len(others) / len(mine)))])]
        assert accuracy(adapted(fitted, seen)[0], tuesday) >= before - 0.02


def test_labelled_windows_join_the_training_windows(people):
    train, new = people
    labelled, later = split(new)
    fitted = CORAL(lda()).fit(train, train.y)
    method = copy.deepcopy(fitted).calibrate(labelled, labelled.y)
    assert accuracy(method, later) > max(0.95, accuracy(fitted, later))
    method, warned = adapted(method, later)
    assert not warned
    assert accuracy(method, later) > 0.95
    rest = labelled[labelled.y != "rest"]  # a class that is missing moves with the others
    assert accuracy(copy.deepcopy(fitted).calibrate(rest, rest.y), later) > accuracy(fitted, later)
    with pytest.warns(LeakageWarning):
        fitted.calibrate(labelled, labelled.y).predict(labelled)


def test_what_does_not_fit_is_told(people):
    train, new = people
    with pytest.raises(ConfigError, match="strength must be at least 0 and ridge above 0"):
        CORAL(lda(), ridge=0.0).fit(train, train.y)
    with pytest.raises(ConfigError, match="needs a pipeline of features and a classifier"):
        CORAL(METHODS.create("lda_svm")).fit(train, train.y)
    with pytest.raises(ConfigError, match="features of at most 1000 columns"):
        CORAL(make_pipeline(Wide(), FastLDA(solver="lsqr"))).fit(new, new.y)
    with pytest.raises(ConfigError, match="two numbers of at least 0"):
        PriorWeightedLDA(lda(), strengths=(1.0, -1.0)).fit(train, train.y)
    with pytest.raises(ConfigError, match="PriorWeightedLDA needs a pipeline that ends in LinearDiscriminant"):
        PriorWeightedLDA(METHODS.create("knn")).fit(train, train.y)
    with pytest.raises(ConfigError, match="LinearSVC has no predict_proba"):
        PersonExperts(make_pipeline(LogPower(), LinearSVC())).fit(train, train.y)
    with pytest.raises(ConfigError, match="prior must be"):
        PersonExperts(lda(), prior=0.0).fit(train, train.y)
    for method in (CORAL(lda()), PriorWeightedLDA(lda()), PersonExperts(lda())):
        with pytest.raises(ConfigError, match="windows of the classes wave"):
            method.fit(train, train.y).calibrate(new[:4], np.array(["wave"] * 4))


class Wide(LogPower):
    def transform(self, X):
        return np.tile(super().transform(X), 300)


# Prior-weighted discriminant


def test_strength_zero_is_a_fit_on_the_labelled_windows_alone(people):
    train, new = people
    method = PriorWeightedLDA(plain(), strengths=(0.0, 0.0)).fit(train, train.y).calibrate(new, new.y)
    last = method.estimator_[-1]
    expected = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(LogPower().transform(new), new.y)
    np.testing.assert_allclose(last.coef_ * method.temperature_, expected.coef_, rtol=1e-6)
    np.testing.assert_allclose(last.intercept_ * method.temperature_, expected.intercept_, rtol=1e-6)


def test_means_and_covariance_are_mixed_by_hand():
    rows = np.array([[0.0], [2.0], [10.0], [12.0]])  # two people: means 0, 2 and 10, 12 of the classes
    code, group = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    source = Source(Source.of(rows, code, group, 2).offsets, np.array([[4.0]]))
    target = Labelled.of(np.array([[99.0], [101.0], [109.0], [111.0]]), np.array([0, 0, 1, 1]), 1.0, 2)
    assert target.covariance.item() == pytest.approx(1.0)
    # Target means are 100 and 110, their centre 105, so those of the source are 104 and 106. Each class has two windows.
    means, covariance = source.mixed(target, (2.0, 6.0))
    np.testing.assert_allclose(means.ravel(), [0.5 * 104 + 0.5 * 100, 0.5 * 106 + 0.5 * 110])
    assert covariance.item() == pytest.approx(0.75 * 4 + 0.25 * 1)
    alone = Labelled.of(np.array([[99.0], [101.0]]), np.array([0, 0]), 1.0, 2)
    means, covariance = source.mixed(alone, (0.0, 0.0))
    assert (means.ravel().tolist(), covariance.item()) == ([100.0, 102.0], 4.0)


def test_strengths_are_the_best_on_people_who_were_left_out():
    """Second route: each person's windows scored by SciPy's densities, with means and covariances by NumPy."""
    rng = np.random.default_rng(3)
    train = cut(*(person(str(i), seed=20 + i, gain=np.exp(rng.normal(size=4)), seconds=0.3) for i in range(3)))
    rows = LogPower().transform(train) + rng.normal(size=(len(train), 4))
    names, code = np.unique(train.y, return_inverse=True)
    subject, repetition = train.column("subject"), train.column("repetition")
    group = np.unique(subject, return_inverse=True)[1]
    held_out = list(held_out_groups(train, rows, code, group, 2.0, len(names)))
    hits = np.zeros((len(OF_MEANS), len(OF_COVARIANCE)))
    one_by_one = iter(held_out)
    for name in np.unique(subject):
        for size in (1, 2):
            known, tested = ((subject == name) & part for part in (repetition <= size, repetition > size))
            offsets, within = [], []
            for other in np.unique(subject[subject != name]):
                means = np.stack([rows[(subject == other) & (code == k)].mean(axis=0) for k in range(4)])
                offsets.append(means - means.mean(axis=0))
                within.append(rows[subject == other] - means[code[subject == other]])
            source = Source(np.mean(offsets, axis=0), _pooled(np.concatenate(within), code[subject != name]))
            held = next(one_by_one)
            np.testing.assert_allclose(held.others.offsets, source.offsets)
            np.testing.assert_allclose(held.others.within, source.within)
            np.testing.assert_array_equal(held.rows, rows[tested])
            there = np.stack([rows[known & (code == k)].mean(axis=0) for k in range(4)])
            centre = (there - source.offsets).mean(axis=0)
            own = _pooled(rows[known], code[known])
            count = np.bincount(code[known]) / 2.0
            for i, a in enumerate(OF_MEANS):
                for j, b in enumerate(OF_COVARIANCE):
                    w = (a / (a + count))[:, None]
                    v = 1.0 if np.isinf(b) else b / (b + count.mean())
                    means = w * (centre + source.offsets) + (1 - w) * there
                    covariance = v * source.within + (1 - v) * own
                    density = [multivariate_normal(m, covariance).logpdf(rows[tested]) for m in means]
                    hits[i, j] += (np.argmax(density, axis=0) == code[tested]).mean()
    found = np.array([[np.sum([h.accuracy((a, b)) for h in held_out]) for b in OF_COVARIANCE] for a in OF_MEANS])
    np.testing.assert_allclose(found, hits, atol=0.09)  # a window or two at a border may fall on either side
    best = best_strengths(held_out)
    assert hits[OF_MEANS.index(best[0]), OF_COVARIANCE.index(best[1])] >= hits.max() - 0.09
    assert hits.max() > hits[0, 0] + 0.2  # it matters here


def _pooled(rows, code):
    return FastLDA(solver="lsqr", shrinkage="auto", store_covariance=True).fit(rows, code).covariance_


def test_other_people_help_when_they_are_alike_and_not_when_they_are_not():
    alike = cut(*(person(str(i), seed=30 + i) for i in range(3)))
    strange = cut(*(_turned(person(str(i), seed=30 + i), i) for i in range(3)))
    noisy = make_pipeline(Noisy(), FastLDA(solver="lsqr", shrinkage="auto"))
    assert PriorWeightedLDA(noisy).fit(alike, alike.y).strengths_[0] > 0
    assert PriorWeightedLDA(plain("auto")).fit(strange, strange.y).strengths_[0] == 0


class Noisy(LogPower):
    """Features so noisy that one repetition does not determine the means."""

    def transform(self, X):
        found = super().transform(X)
        return found + 4.0 * np.random.default_rng(len(found)).normal(size=found.shape)


def _turned(recording, turn):
    return recording.with_signal(np.roll(recording.signal, turn, axis=0))


def test_a_common_shift_is_found_without_labels_and_labels_give_more(people):
    train, new = people
    fitted = PriorWeightedLDA(lda()).fit(train, train.y)
    method, warned = adapted(fitted, new)
    assert not warned
    assert accuracy(method, new) > accuracy(fitted, new) + 0.05
    labelled, later = split(new)
    calibrated = copy.deepcopy(fitted).calibrate(labelled, labelled.y)
    assert accuracy(calibrated, later) > 0.95
    assert accuracy(adapted(calibrated, later)[0], later) > 0.95


# Mixture of experts


def test_weights_have_the_least_log_loss_as_scipy_finds_it():
    rng = np.random.default_rng(0)
    likelihood = rng.uniform(0.05, 1.0, size=(3, 40)) * np.array([[1.0], [0.8], [0.3]])

    def loss(z):
        w = np.exp(z) / np.exp(z).sum()
        return -(np.log(w @ likelihood).sum() / 2.0 + 1.5 * np.log(w).sum())

    z = minimize(loss, np.zeros(3), tol=1e-12).x
    np.testing.assert_allclose(mixture_weights(likelihood, 2.0, 1.5), np.exp(z) / np.exp(z).sum(), atol=1e-4)


def test_agreement_is_counted_over_pairs():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), size=(4, 6))
    expected = [
        np.mean([(proba[i, n] * proba[j, n]).sum() for j in range(4) if j != i for n in range(6)]) for i in range(4)
    ]
    np.testing.assert_allclose(agreement(proba), expected)


def relabelled(name, seed, turn):
    """A person who makes other movements under the same names: class k of them looks like class k + turn of others."""
    return _turned(person(name, seed=seed), turn)


def test_the_expert_of_a_person_like_the_new_one_gets_the_weight():
    train = cut(*(relabelled(str(i), i, i) for i in range(3)))
    new = cut(relabelled("new", 9, 1))
    labelled, later = split(new)
    few = labelled[np.concatenate([np.flatnonzero(labelled.y == name)[:3] for name in np.unique(labelled.y)])]
    method = PersonExperts(lda(), prior=0.1).fit(train, train.y)
    assert np.array_equal(method.weights_, np.full(3, 1 / 3))
    before = accuracy(method, later)
    method.calibrate(few, few.y)
    assert len(method.experts_) == 3  # nothing could be held out
    assert method.weights_.argmax() == 1
    assert accuracy(method, later) > before
    method.calibrate(labelled, labelled.y)
    assert len(method.experts_) == 4
    assert method.weights_[1] + method.weights_[3] > 0.8
    assert accuracy(method, later) > 0.95
    with pytest.warns(NotAdaptedWarning, match="labelled windows"):
        method.adapt(later.without_labels())


def test_an_expert_that_disagrees_loses_weight_without_labels():
    train = cut(*(relabelled(str(i), i, 1 if i == 4 else 0) for i in range(5)))
    new = cut(person("new", seed=9))
    fitted = PersonExperts(lda()).fit(train, train.y)
    # The person who is left out and differs is served worse by agreement, the four others better.
    assert fitted.power_ in POWERS[1:]
    method, warned = adapted(fitted, new)
    assert not warned
    assert method.weights_.argmin() == 4
    assert method.weights_[4] < 0.5 * method.weights_[:4].min()
    alike = cut(*(person(str(i), seed=i) for i in range(2)))
    assert adapted(PersonExperts(lda()).fit(alike, alike.y), new)[1]  # two experts always agree with each other


def test_the_power_is_the_best_on_people_who_were_left_out():
    """Second route: the weighted experts of the others, one power at a time."""
    train = cut(*(person(str(i), seed=i) for i in range(6)), relabelled("6", 8, 1))
    names, subject = np.unique(train.y), train.column("subject")
    experts = {who: lda().fit(train[subject == who], train.y[subject == who]) for who in np.unique(subject)}
    loss, hits = np.zeros((2, len(experts), len(POWERS)))
    for row, who in enumerate(experts):
        own = train[subject == who]
        proba = np.stack([0.99 * e.predict_proba(own) + 0.01 / 4 for other, e in experts.items() if other != who])
        code = np.searchsorted(names, own.y)
        for p, power in enumerate(POWERS):
            weights = agreement(proba) ** power
            mixed = np.einsum("e,ewk->wk", weights / weights.sum(), proba)
            loss[row, p] = -np.log(mixed[np.arange(len(own)), code]).mean()
            hits[row, p] = (mixed.argmax(axis=1) == code).mean()
    allowed = [p for p in range(len(POWERS)) if (hits[:, p] >= hits[:, 0] - 0.01).all()]
    best = min(allowed, key=lambda p: loss[:, p].mean())
    assert best > 0
    assert PersonExperts(lda()).fit(train, train.y).power_ == POWERS[best]


def test_a_power_that_costs_a_training_person_accuracy_is_not_taken(monkeypatch):
    """Two of three experts agree. For four people they are right, for the fifth person they are nearly wrong.

    Of the fifth, the third expert has 0.42 / 0.47 of the agreement of the others. The mixture gives the true class
    (2 * 0.4 + 0.9 * (0.42 / 0.47) ** power) / (2 + (0.42 / 0.47) ** power), which is above a half up to the power 4.
    """
    right = np.array([[0.8, 0.8, 0.1]] * 4 + [[0.4, 0.4, 0.9]])

    def each(_, experts, X):
        true = right[int(X[0])]
        return np.repeat(np.stack([true, 1 - true], axis=1)[:, None], len(X), axis=1)

    monkeypatch.setattr(PersonExperts, "_each", each)
    method = PersonExperts()
    method.experts_ = list(range(5))
    people, code = np.repeat(np.arange(5), 10), np.zeros(50, int)
    parts = [np.flatnonzero(people == who) for who in range(5)]
    assert method._chosen_power(people, code, parts[:4] + parts[:1]) == POWERS[-1]
    assert method._chosen_power(people, code, parts) == 4.0


def test_the_mixture_is_the_weighted_mean_of_the_experts():
    train = cut(*(person(str(i), seed=i, gain=GAINS[i]) for i in range(3)))
    new = cut(person("new", seed=9))
    method = PersonExperts(lda()).fit(train, train.y)
    method.weights_ = np.array([0.5, 0.3, 0.2])
    parts = [lda().fit(p, p.y).predict_proba(new) for p in (train.where(subject=str(i)) for i in range(3))]
    expected = 0.99 * np.tensordot([0.5, 0.3, 0.2], parts, axes=1) + 0.01 / N_CLASSES
    np.testing.assert_allclose(method.predict_proba(new), expected, rtol=1e-6)


def test_a_person_of_one_movement_gets_no_expert_and_unknown_classes_no_vote():
    train = cut(*(person(str(i), seed=i) for i in range(3)))
    subject = train.column("subject")
    train = train[((subject != "1") | (train.y == "rest")) & ((subject != "2") | (train.y != "fist"))]
    method = PersonExperts(lda()).fit(train, train.y)
    assert [len(expert.classes_) for expert in method.experts_] == [4, 3]
    assert accuracy(method, cut(person("new", seed=9))) > 0.9


# All of them, as users call them


@pytest.mark.parametrize("name", ["coral", "prior_weighted_lda", "person_experts"])
@pytest.mark.parametrize("repetitions", [0, 1])
def test_recipes_adapt_and_calibrate(name, repetitions):
    recordings = [person(str(i), seed=i, gain=g, session=s) for i, g in enumerate(GAINS[:3]) for s in ("1", "2")]
    protocol = LeaveOneSubjectOut(calibration_repetitions=repetitions)
    recipe = Recipe("mine", "mine", protocol, name, windowing=Windowing(200, 50), rest="keep", transfer="adapt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotAdaptedWarning)
        scores = evaluate(recipe, recordings)
    assert scores.summary["accuracy"]["mean"] > (0.9 if repetitions else 0.4)
    assert (scores.target_only is not None) == bool(repetitions)


@pytest.mark.parametrize("name", ["coral", "prior_weighted_lda", "person_experts"])
def test_sessions_take_the_place_of_people_if_there_is_only_one(name):
    windows = make_windows(n_sessions=3, n_classes=3)
    first, last = windows.where(session=(1, 2)), windows.where(session=3)
    method = METHODS.create(name).fit(first, first.y)
    labelled, later = split(last)
    assert accuracy(method, later) > 0.9
    assert accuracy(method.calibrate(labelled, labelled.y), later) > 0.9
