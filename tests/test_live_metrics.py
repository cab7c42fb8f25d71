"""Decision metrics and post-processing against values computed by hand."""

import numpy as np
import pytest
from scipy.stats import poisson

from myograph.errors import ConfigError, ShapeError
from myograph.live import metrics as m
from myograph.live.postprocess import (
    ChangeRejection,
    ConfidenceRejection,
    MajorityVote,
    OnsetLock,
    ProportionalVelocity,
    Step,
    VelocityRamp,
    run_all,
)

TRUTH = np.repeat([0, 1, 0, 2], 5).astype(str)
DECIDED = np.array([0, 0, 1, 0, 0, 0, 1, 1, 2, 1, 1, 0, 0, 0, 0, 0, 0, 2, 2, 2]).astype(str)


def test_errors_and_instability_by_hand():
    assert m.total_error(TRUTH, DECIDED) == pytest.approx(0.30)
    assert m.active_error(TRUTH, DECIDED, "0") == pytest.approx(0.15)
    assert m.libemg_active_error(TRUTH, DECIDED, "0") == pytest.approx(1 / 3)
    assert m.instability(TRUTH, DECIDED) == pytest.approx(0.20)
    assert m.instability(DECIDED, TRUTH) == 0.0


def test_nothing_decided_is_no_number():
    assert np.isnan(m.libemg_active_error(TRUTH, np.full(20, "0"), "0"))
    assert np.isnan(m.total_error([], []))
    assert np.isnan(m.coverage_and_risk([0.1, 0.2], [1, 1], 0.5)[1])
    assert m.false_activations(["a"] * 3, ["a"] * 3, 50).hours == 0
    assert np.isnan(m.false_activations(["a"] * 3, ["a"] * 3, 50).per_hour)


def test_false_activations_and_overhang():
    found = m.false_activations(TRUTH, DECIDED, 50, "0")
    assert (found.events, found.overhang) == (1, 1)
    assert found.hours == pytest.approx(10 * 0.05 / 3600)
    assert m.false_activations(TRUTH, DECIDED, 50, "0", min_ms=100).events == 0  # the one run lasts 50 ms
    two = ["0", "1", "0", "0", "1", "0"]
    assert m.false_activations(["0"] * 6, two, 50, "0").events == 2
    assert m.false_activations(["0"] * 6, two, 50, "0", merge_ms=150).events == 1  # the pause lasts 100 ms
    assert m.false_activations(["0"] * 6, two, 50, "0", merge_ms=100).events == 2


def test_poisson_interval_is_exact():
    quiet = m.false_activations(["0"] * 72_000, ["0"] * 72_000, 50, "0")
    assert (quiet.events, quiet.hours, quiet.low) == (0, 1.0, 0.0)
    assert quiet.high == pytest.approx(3.689, abs=1e-3)
    decided = np.tile(["0"] * 14_399 + ["1"], 5)  # one run each twelve minutes
    found = m.false_activations(["0"] * 72_000, decided, 50, "0")
    assert found.events == found.per_hour == 5
    # The definition of the exact interval: each limit leaves 2.5 % beyond the count.
    assert poisson.cdf(5, found.high) == pytest.approx(0.025)
    assert poisson.sf(4, found.low) == pytest.approx(0.025)


def test_missed_activations_and_delays():
    assert m.missed_activations(TRUTH, DECIDED, "0") == (0, 2)
    assert m.missed_activations(TRUTH, np.full(20, "0"), "0") == (2, 2)
    time = 0.2 + 0.05 * np.arange(20)
    onset = m.onset_delays(TRUTH, DECIDED, time, 2, "0")
    assert (onset.p50_ms, onset.never, onset.n) == (75.0, 0.0, 2)  # 50 and 100 ms
    offset = m.offset_delays(TRUTH, DECIDED, time, 2, "0")
    assert (offset.p50_ms, offset.n) == (50.0, 1)
    assert m.onset_delays(TRUTH, DECIDED, time, 4, "0").never == 1.0


def test_rejection_curve():
    p, right = [0.9, 0.8, 0.7, 0.6, 0.55], [1, 1, 0, 1, 0]
    assert m.coverage_and_risk(p, right, 0.65) == pytest.approx((0.6, 1 / 3))
    assert m.coverage_and_risk(p, right, 0.75) == (0.4, 0.0)
    assert m.aurc(p, right) == pytest.approx(0.19667, abs=5e-6)
    coverage, risk = m.risk_curve(p, right)
    np.testing.assert_allclose(coverage, [0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 4, 2 / 5])


def test_latency_and_shapes():
    assert m.latency([])["p99_ms"] is not None
    assert m.latency(np.arange(101.0)) == {"p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0, "max_ms": 100.0}
    with pytest.raises(ShapeError, match="one length"):
        m.total_error(["a"], ["a", "b"])
    with pytest.raises(ConfigError, match="step_ms"):
        m.false_activations(["a"], ["a"], 0)


def test_all_metrics_are_plain():
    import json

    found = m.all_metrics(TRUTH, DECIDED, 0.05 * np.arange(20), 50, "0", np.linspace(0.5, 1, 20))
    assert json.loads(json.dumps(found))["false_activations"]["events"] == 1
    assert found["onset_delay"]["n"] == found["contractions"] == 2


def labels(post, decided, proba=None, classes=("a", "b", "c"), amplitude=None):
    push = post.start(list(classes))
    shares = np.full(len(classes), 1 / len(classes))
    return [push(Step(d, shares if proba is None else proba[i])) for i, d in enumerate(decided)]


@pytest.mark.parametrize(
    ("n", "voted"),
    [(3, [0, 0, 0, 1, 1, 1, 1, 1, 0]), (5, [0, 0, 0, 0, 1, 1, 1, 1, 1]), (1, [0, 0, 1, 1, 1, 2, 1, 0, 0])],
)
def test_majority_vote(n, voted):
    assert [s.label for s in labels(MajorityVote(n), [0, 0, 1, 1, 1, 2, 1, 0, 0])] == voted


def test_rejected_decisions_do_not_vote():
    push = MajorityVote(3).start(["a", "b"])
    flat = np.full(2, 0.5)
    assert push(Step(0, flat, rejected=True)).rejected
    assert push(Step(1, flat)).label == 1
    assert [push(Step(0, flat, rejected=True)).label for _ in range(2)] == [1, 1]
    assert push(Step(0, flat, rejected=True)).rejected


def test_velocity_ramp():
    gains = [s.gain for s in labels(VelocityRamp(4), [1, 1, 1, 1, 2, 1, 1, 2, 2, 2])]
    assert gains == [0.25, 0.5, 0.75, 1, 0.25, 0.75, 1, 0.25, 0.5, 0.75]


def test_class_thresholds_and_hysteresis():
    proba = [np.array([1 - p, p]) for p in (0.65, 0.72, 0.55, 0.45, 0.55)]
    post = ConfidenceRejection(0.6, {"fist": 0.7}, stay=0.5)
    found = labels(post, [1] * 5, proba, ("rest", "fist"))
    assert [s.rejected for s in found] == [True, False, False, True, True]
    other = labels(post, [0], [np.array([0.65, 0.35])], ("rest", "fist"))
    assert not other[0].rejected
    with pytest.raises(ConfigError, match="'fits'"):
        labels(ConfidenceRejection(0.6, {"fits": 0.7}), [], [], ("rest", "fist"))
    with pytest.raises(ConfigError, match="hysteresis"):
        ConfidenceRejection(0.6, stay=0.7)
    assert ConfidenceRejection(0.6) == ConfidenceRejection(0.6, {})


def test_a_decision_without_probability_is_rejected_where_one_is_needed():
    nan = [np.full(2, np.nan)] * 2
    assert all(s.rejected for s in labels(ConfidenceRejection(), [0, 1], nan, ("a", "b")))


def test_change_rejection_keeps_the_last_output():
    proba = [np.array(p) for p in ([0.6, 0.4], [0.4, 0.6], [0.1, 0.9], [0.6, 0.4], [0.85, 0.15])]
    found = labels(ChangeRejection(0.8), [0, 1, 1, 0, 0], proba, ("a", "b"))
    assert [s.label for s in found] == [0, 0, 1, 1, 0]


def test_onset_lock_holds_until_rest():
    found = labels(OnsetLock("a", n=3, release=2), [0, 1, 2, 1, 2, 2, 2, 0, 2, 0, 0, 2])
    assert [s.label for s in found] == [0, 1, 2, 1, 1, 1, 1, 1, 1, 1, 0, 2]


def test_proportional_velocity_follows_the_classes_own_range():
    rng = np.random.default_rng(0)
    amplitude = np.concatenate([rng.uniform(0, 100, 1001), rng.uniform(100, 300, 1001)])
    post = ProportionalVelocity().learn(amplitude, np.repeat(["a", "b"], 1001))
    low, high = post.ranges["b"]
    assert low == pytest.approx(110, abs=5)
    assert high == pytest.approx(290, abs=5)
    push = post.start(["a", "b", "c"])
    flat = np.full(3, 1 / 3)
    assert push(Step(1, flat, amplitude=(low + high) / 2)).gain == pytest.approx(0.5)
    assert push(Step(1, flat, amplitude=1e6)).gain == 1.0
    assert push(Step(0, flat, amplitude=(low + high) / 2)).gain == 1.0
    assert push(Step(2, flat, amplitude=50.0)).gain == 0.0


def test_post_processors_run_in_their_order():
    proba = np.array([0.2, 0.8])
    push = run_all([ConfidenceRejection(0.7), MajorityVote(3), VelocityRamp(2)], ["a", "b"])
    steps = [push(Step(1, proba)), push(Step(0, np.array([0.55, 0.45]))), push(Step(1, proba))]
    assert [(s.label, s.rejected, s.gain) for s in steps] == [(1, False, 0.5), (1, False, 1.0), (1, False, 1.0)]


def test_settings_are_checked():
    for make in (
        lambda: MajorityVote(0),
        lambda: VelocityRamp(0),
        lambda: ChangeRejection(1.2),
        lambda: OnsetLock(n=0),
    ):
        with pytest.raises(ConfigError, match="got"):
            make()
    with pytest.raises(ConfigError, match="percentiles"):
        ProportionalVelocity(90, 10)


def test_nothing_spans_two_parts_of_the_signal():
    # Two recordings, one after the other: by hand, each is counted alone.
    c = ["rest", "rest", "a", "a", "a", "rest", "rest", "rest"]
    d = ["rest", "a", "a", "a", "a", "a", "rest", "rest"]
    part = [0, 0, 0, 0, 1, 1, 1, 1]
    time_s = [0.0, 0.1, 0.2, 0.3, 5.0, 5.1, 5.2, 5.3]
    whole = m.all_metrics(c, d, time_s, 100.0)
    apart = m.all_metrics(c, d, time_s, 100.0, part=part)
    assert (whole["contractions"], apart["contractions"]) == (1, 2)
    # One run that begins at rest, and in the second part one that begins in the contraction and hangs over.
    assert (whole["false_activations"]["events"], whole["false_activations"]["overhang"]) == (1, 0)
    assert (apart["false_activations"]["events"], apart["false_activations"]["overhang"]) == (1, 1)
    assert whole["offset_delay"]["p50_ms"] == apart["offset_delay"]["p50_ms"] == 100.0
    # Changes: a > rest in part 1 alone for the truth is 1 and 1 in part 0; the decisions have one in each part too.
    assert apart["instability"] == 0.0
    # A part that begins with rest ends no contraction; the same decisions as one would have an offset.
    ends = m.all_metrics(["a", "rest"], ["a", "rest"], [0.0, 9.0], 100.0, part=[0, 1])
    assert ends["offset_delay"]["n"] == 0
    assert m.all_metrics(["a", "rest"], ["a", "rest"], [0.0, 9.0], 100.0)["offset_delay"]["n"] == 1
    # Pauses are not bridged between parts.
    joined = {"step_ms": 100.0, "merge_ms": 500.0}
    c, d = ["rest"] * 6, ["a", "rest", "a", "a", "rest", "a"]
    assert m.false_activations(c, d, **joined).events == 1
    assert m.false_activations(c, d, **joined, part=[0, 0, 0, 1, 1, 1]).events == 2
    with pytest.raises(ShapeError, match="part must have one entry"):
        m.all_metrics(c, d, range(6), 100.0, part=[0])
