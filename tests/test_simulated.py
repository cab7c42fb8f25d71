"""The `simulated` data set: its shape, its tracks, and that it is as hard as recordings of people are."""

import numpy as np
import pytest

from myograph.datasets.base import DATASETS, get
from myograph.datasets.load import load
from myograph.datasets.simulated import PRESETS, RING_SIZES, Simulated
from myograph.errors import ConfigError, UnknownNameError
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.settings import change

TINY = {"n_subjects": 2, "n_sessions": 1, "n_repetitions": 2, "n_gestures": 2, "hold_s": 1.0, "rest_s": 1.0}


def recordings(**options):
    return list(Simulated(**options).read())


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_the_shape_it_says(preset):
    dataset = Simulated(preset, **(TINY | {"n_subjects": 1}))
    found = list(dataset.read())
    assert len(found) == (2 if preset == "muscles" else 1)
    for r in found:
        assert (r.n_channels, r.rate_hz) == (dataset.settings["n_electrodes"], dataset.settings["rate_hz"])
        assert r.unit == "uV"
        assert r.layout is not None
        assert len(r.layout) == r.n_channels
        assert r.duration_s == pytest.approx(1 + (2 if preset == "muscles" else 4) * 2.0, abs=0.01)
        assert r.signal.dtype == np.float32


def test_the_published_shapes():
    facts = {
        p: tuple(s[k] for k in ("n_electrodes", "rate_hz", "n_gestures", "n_repetitions")) for p, s in PRESETS.items()
    }
    assert facts["ninapro_db1"] == (10, 100.0, 52, 10)
    assert facts["ninapro_db2"] == (12, 2000.0, 49, 6)
    assert facts["ninapro_db2_b"] == (12, 2000.0, 17, 6)
    assert facts["myo"][:3] == (8, 200.0, 7)
    assert facts["csl"][:3] == (192, 2048.0, 26)
    assert facts["ice"][:3] == (192, 2560.0, 7)
    assert facts["muscles"][:3] == (16, 1000.0, 4)
    assert next(Simulated("ice", **TINY).read()).layout.shape == (8, 24)
    assert next(Simulated("muscles", **TINY).read()).layout.shape == (4, 4)


@pytest.mark.parametrize("n_electrodes", RING_SIZES)
@pytest.mark.parametrize("rate_hz", [200.0, 1000.0, 2000.0])
def test_rings(n_electrodes, rate_hz):
    r = next(Simulated(**TINY, n_electrodes=n_electrodes, rate_hz=rate_hz).read())
    assert r.signal.shape == (n_electrodes, 9 * rate_hz)
    assert r.layout.wraps


def test_a_part_of_the_cohort_is_the_same_part_of_the_whole():
    whole = recordings(**TINY | {"n_subjects": 3, "n_sessions": 2})
    (alone,) = [
        r for r in Simulated(**TINY | {"n_subjects": 5, "n_sessions": 2}).read(subjects=["2"]) if r.session == "2"
    ]
    (same,) = [r for r in whole if (r.subject, r.session) == ("2", "2")]
    assert alone.content_hash == same.content_hash
    assert len({r.content_hash for r in whole}) == 6
    assert recordings(**TINY, seed=1)[0].content_hash != whole[0].content_hash


@pytest.mark.parametrize("preset", ["default", "muscles"])
def test_people_of_several_seeds_are_dealt_in_turn(preset):
    """Person i of n seeds is person i // n of seed i % n, with the number i, whoever else is read."""
    seeds, size = (8, 3), TINY | {"preset": preset, "n_sessions": 2}
    hashes = {}
    for seed in seeds:
        for r in Simulated(**size, seed=seed).read():
            hashes.setdefault((seed, r.subject), []).append(r.content_hash)
    of = [(8, "1"), (3, "1"), (8, "2"), (3, "2")]
    people = Simulated(**size | {"n_subjects": 4}, seed=seeds)
    assert people.subjects() == ["1", "2", "3", "4"]
    for subject, one in zip(people.subjects(), of):
        found = list(people.read(subjects=[subject]))
        assert [r.content_hash for r in found] == hashes[one]
        assert {r.subject for r in found} == {subject}
        assert all(f"subject {subject}," in r.name for r in found)
    assert len({h for each in hashes.values() for h in each}) == sum(map(len, hashes.values()))


def test_several_seeds_can_be_set_and_one_is_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("MYOGRAPH_CACHE", str(tmp_path))
    assert Simulated(seed=(4,)) == Simulated(seed=4)
    assert Simulated(seed=[1, np.int64(2)]) == Simulated(seed=(1, 2)) != Simulated(seed=(2, 1))
    both, first, second = (load("simulated", **TINY, seed=s) for s in ((1, 2), 1, 2))
    assert [r.content_hash for r in both] == [first[0].content_hash, second[0].content_hash]
    for dataset in ("simulated", Simulated(), Simulated(seed=(5, 6))):
        recipe = Recipe("any", dataset)
        changed = change(recipe, ["dataset.seed=1,2"])
        assert get(changed.dataset, **changed.dataset_options) == Simulated(seed=(1, 2))
        assert changed.identity({}) != recipe.identity({})


def test_subjects_come_in_the_order_asked_for():
    assert [r.subject for r in Simulated(**TINY).read(subjects=["2", "1"])] == ["2", "1"]
    assert Simulated(n_subjects=11).subjects()[-2:] == ["10", "11"]


def test_tracks_follow_the_activity_or_the_cue():
    active, cue = (next(Simulated(**TINY, label_track=t).read()) for t in ("relabelled", "cue"))
    assert np.array_equal(active.signal, cue.signal)
    starts = lambda r: np.flatnonzero((r.label[1:] > 0) & (r.label[:-1] == 0)) / r.rate_hz  # noqa: E731
    assert starts(cue) == pytest.approx([1, 3, 5, 7], abs=0.01)
    lag = starts(active) - starts(cue)
    assert np.all((lag > 0.07) & (lag < 0.6))
    rms = lambda r, x: np.sqrt(np.mean(r.signal[:, r.label == x] ** 2))  # noqa: E731
    assert rms(active, 1) > 3 * rms(active, 0)


def test_rest_carries_the_repetition_of_the_movement_before_it():
    r = next(Simulated(**TINY).read())
    starts = np.concatenate([[0], np.flatnonzero(np.diff(r.label) | np.diff(r.repetition)) + 1])
    runs = [(r.label_names[r.label[i]], int(r.repetition[i])) for i in starts]
    flexion, extension = [("wrist_flexion", n) for n in (1, 2)], [("wrist_extension", n) for n in (1, 2)]
    assert runs == [
        ("rest", 1), flexion[0], ("rest", 1), flexion[1], ("rest", 2),
        extension[0], ("rest", 1), extension[1], ("rest", 2),
    ]  # fmt: skip


def test_rest_can_be_left_unlabelled():
    r = next(Simulated(**TINY, label_rest=False).read())
    assert set(np.unique(r.label)) == {-1, 0, 1}
    assert r.label_names == ("wrist_flexion", "wrist_extension")


def test_bursts_of_the_muscles_come_every_five_seconds():
    r = next(Simulated("muscles", n_subjects=1, n_repetitions=4, n_gestures=4).read())
    assert r.label_names == ("rest", "left_biceps", "right_biceps", "left_tibialis", "right_tibialis")
    on = np.flatnonzero(np.diff((r.label > 0).astype(int)) == 1) / r.rate_hz
    off = np.flatnonzero(np.diff((r.label > 0).astype(int)) == -1) / r.rate_hz
    assert np.diff(on) == pytest.approx(5.0, abs=0.3)
    assert (off - on).mean() == pytest.approx(1.0, abs=0.3)
    assert [int(r.repetition[int((t + 0.1) * r.rate_hz)]) for t in on] == [1, 2, 3, 4]


def test_asymmetry_parts_the_sides_of_a_person():
    def difference(asymmetry):
        sides = [
            np.log(r.signal[:, r.label > 0].std())
            for r in Simulated("muscles", n_subjects=6, n_repetitions=2, asymmetry=asymmetry).read()
        ]
        return np.abs(np.subtract(sides[0::2], sides[1::2])).mean()

    assert difference(6.0) > 1.5 * difference(0.0)


def test_an_envelope_is_never_negative():
    r = next(Simulated("ninapro_db1", **TINY).read())
    assert r.signal.min() >= 0
    assert r.signal[:, r.label == 1].mean() > 2 * r.signal[:, r.label == 0].mean()


def test_hum_and_noise_and_artefacts_are_options():
    quiet = {"noise_uv": 0.0, "mains_uv": 0.0, "artefacts_per_min": 0.0}

    def power(f_hz, **options):
        r = next(Simulated(**TINY | quiet | options).read())
        x = r.signal[:, : int(r.rate_hz)].astype(float)  # the first second is rest
        return np.abs(np.fft.rfft(x, axis=1)[:, f_hz]).mean() * 2 / x.shape[1]

    assert power(50) < 0.2
    assert 2 < power(50, mains_uv=5.0) < 15
    assert power(150, mains_uv=5.0) < power(50, mains_uv=5.0)
    rest = lambda **o: np.sqrt(np.mean(next(Simulated(**TINY | quiet | o).read()).signal[:, 100:900] ** 2))  # noqa: E731
    assert rest(noise_uv=10.0) == pytest.approx(10.0, rel=0.25)
    calm, tugged = (next(Simulated(**TINY | quiet | {"artefacts_per_min": n}).read()) for n in (0.0, 60.0))
    assert tugged.signal.std() > calm.signal.std()


def test_load_keeps_a_decoded_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("MYOGRAPH_CACHE", str(tmp_path))
    first = load("simulated", **TINY)
    monkeypatch.setattr(Simulated, "read", lambda *a: pytest.fail("simulated again"))
    again = load("simulated", **TINY)
    assert [r.content_hash for r in again] == [r.content_hash for r in first]
    assert "simulated" in DATASETS


@pytest.mark.parametrize(
    ("options", "error", "advice"),
    [
        ({"preset": "ninapro_db11"}, UnknownNameError, "Did you mean 'ninapro_db1'"),
        ({"n_electrodes": 9}, ConfigError, "one of"),
        ({"preset": "ice", "n_electrodes": 12}, ConfigError, "leave n_electrodes out"),
        ({"n_gestures": 40}, ConfigError, "'ninapro_db1' has 52"),
        ({"rate_hz": 50.0}, ConfigError, "rate_hz must be 100 or more"),
        ({"hold_s": float("nan")}, ConfigError, "hold_s"),
        ({"n_subjects": 0}, ConfigError, "whole number from 1"),
        ({"noise_uv": -1.0}, ConfigError, "0 or more"),
        ({"label_track": "stimulus"}, ConfigError, "'relabelled' or 'cue'"),
        ({"seed": ()}, ConfigError, r"several different ones such as \(1, 2, 3\), got \(\)"),
        ({"seed": (1, 2, 1)}, ConfigError, r"several different ones .*got \(1, 2, 1\)"),
        ({"seed": (1, 2.0)}, ConfigError, "a whole number from 0"),
        ({"seed": 1.5}, ConfigError, "got 1.5"),
        ({"seed": -1}, ConfigError, "got -1"),
        ({"seed": True}, ConfigError, "got True"),
        ({"seed": "7"}, ConfigError, "got '7'"),
    ],
)
def test_options_that_do_not_fit_are_explained(options, error, advice):
    with pytest.raises(error, match=advice):
        Simulated(**options)


# How hard it is. Features and classifier are written out here, so that the bars do not lean on the package's own.


def features(r, length_s=0.2, step_s=0.1, threshold_uv=6.0):
    """MAV, WL, ZC and SSC of windows that straddle no boundary: (features, label, repetition)."""
    n, step = int(length_s * r.rate_hz), int(step_s * r.rate_hz)
    start = np.arange(0, r.n_samples - n, step)
    run = np.concatenate([[0], np.cumsum((np.diff(r.label) != 0) | (np.diff(r.repetition) != 0))])
    start = start[(run[start] == run[start + n - 1]) & (r.label[start] > 0)]
    w = np.lib.stride_tricks.sliding_window_view(r.signal, n, axis=1)[:, start]
    d = np.diff(w)
    x = [
        np.abs(w).mean(-1),
        np.abs(d).mean(-1),
        ((w[..., 1:] * w[..., :-1] < 0) & (np.abs(d) > threshold_uv)).mean(-1),
        ((d[..., 1:] * d[..., :-1] < 0) & (np.abs(d[..., 1:]) > threshold_uv)).mean(-1),
    ]
    return np.concatenate(x).T.astype(float), r.label[start], r.repetition[start]


def lda_accuracy(train, test, shrinkage=0.05):
    """Linear discriminant with a pooled covariance shrunk towards its diagonal."""
    (x, y), (z, truth) = train[:2], test[:2]
    scale = x.std(0) + 1e-9
    x, z = x / scale, z / scale
    classes = np.unique(y)
    means = np.stack([x[y == c].mean(0) for c in classes])
    centred = x - means[np.searchsorted(classes, y)]
    cov = centred.T @ centred / len(x)
    cov = (1 - shrinkage) * cov + shrinkage * np.diag(np.diag(cov)) + 1e-9 * np.eye(len(cov))
    weights = np.linalg.solve(cov, means.T)
    score = z @ weights - 0.5 * np.sum(means.T * weights, axis=0)
    return np.mean(classes[score.argmax(1)] == truth)


def pick(data, repetitions):
    rows = np.isin(data[2], repetitions)
    return tuple(part[rows] for part in data)


def join(parts):
    return tuple(np.concatenate(part) for part in zip(*parts))


@pytest.mark.slow
def test_a_linear_classifier_finds_it_as_hard_as_people():
    cohort = recordings(preset="ninapro_db2_b", n_subjects=4, n_sessions=2, rate_hz=1000.0, hold_s=3.0, rest_s=1.0)
    data = {(r.subject, r.session): features(r) for r in cohort}
    subjects = Simulated(n_subjects=4).subjects()
    within, later, unseen, drift = [], [], [], []
    for s in subjects:
        train = pick(data[s, "1"], (1, 3, 4, 6))
        within.append(lda_accuracy(train, pick(data[s, "1"], (2, 5))))
        later.append(lda_accuracy(train, pick(data[s, "2"], (2, 5))))
        unseen.append(lda_accuracy(join([data[o, "1"] for o in subjects if o != s]), data[s, "1"]))
        drift.append([lda_accuracy(pick(data[s, "1"], [1]), pick(data[s, "1"], [k])) for k in range(2, 7)])
    within, later, unseen, drift = (np.mean(v, axis=0) for v in (within, later, unseen, drift))
    print(f"within {within:.3f}, later session {later:.3f}, unseen subject {unseen:.3f}, from repetition 1 {drift}")
    assert 0.70 <= within <= 0.92
    assert 0.05 <= within - later <= 0.25
    assert within - unseen >= 0.15
    assert unseen > 2 / 17  # people have something in common
    assert 0.03 <= drift[0] - drift[-1] <= 0.3


@pytest.mark.slow
def test_muscles_differ_and_sides_do_not():
    """One channel of one burst at a time, 0.5 s from its onset, on a subject that was not in training."""
    x, y, who = [], [], []
    for r in recordings(preset="muscles", n_subjects=9, n_repetitions=10):
        onset = np.flatnonzero(np.diff((r.label > 0).astype(int)) == 1) + 1
        for start in onset:
            w = r.signal[:, start : start + 500]
            d = np.diff(w)
            x.append(
                np.stack(
                    [
                        np.log(np.abs(w).mean(1) + 1),
                        np.log(np.abs(d).mean(1) + 1),
                        (w[:, 1:] * w[:, :-1] < 0).mean(1),
                        (d[:, 1:] * d[:, :-1] < 0).mean(1),
                    ],
                    axis=1,
                )
            )
            y += [r.label[start]] * len(w)
            who += [r.subject] * len(w)
    x, y, who = np.concatenate(x).astype(float), np.array(y), np.array(who)

    def unseen(target):
        return np.mean(
            [lda_accuracy((x[who != s], target[who != s]), (x[who == s], target[who == s])) for s in np.unique(who)]
        )

    assert unseen((y > 2).astype(int)) >= 0.85
    assert 0.40 <= unseen(y % 2) <= 0.60


@pytest.mark.slow
def test_single_samples_of_a_grid_are_easy_only_beside_their_neighbours():
    """Nearest neighbour on single time samples: half of one repetition's samples at random, or another repetition."""
    r = next(Simulated("ice", n_gestures=5, n_repetitions=2, hold_s=1.0, rest_s=0.5).read())
    frames = r.signal.T - r.signal.mean(1)
    frames = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    active = r.label > 0

    def accuracy(train, test):
        return np.mean(r.label[train][(frames[test] @ frames[train].T).argmax(1)] == r.label[test])

    first, second = (np.flatnonzero(active & (r.repetition == k)) for k in (1, 2))
    half = np.random.default_rng(0).random(len(first)) < 0.5
    beside, across = accuracy(first[half], first[~half]), accuracy(second, first[~half])
    assert beside > 0.9
    assert across < beside - 0.1


@pytest.mark.slow
def test_a_person_of_full_size_has_the_published_duration():
    (r,) = Simulated("ninapro_db2_b").read(subjects=["1"])
    assert r.signal.shape == (12, (1 + 17 * 6 * 8) * 2000)
