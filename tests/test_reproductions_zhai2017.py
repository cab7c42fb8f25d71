"""Zhai et al. 2017: the parts that are ours by hand, and the shape of the paper's finding on drifting people."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from myograph import Recording, Windowing, Windows
from myograph.datasets.base import get
from myograph.datasets.ninapro import FACTS
from myograph.evaluation.recipe import RECIPES
from myograph.evaluation.reproduction import REPRODUCTIONS, Context, load_result, reproduce
from myograph.preprocessing import Trials
from myograph.protocols import WithinSubject
from myograph.recipes import _zhai_system
from myograph.recipes import zhai2017 as zhai

RATE = 100.0


def recording() -> Recording:
    """rest 1 s, then for each of two repetitions: a, rest, b, rest; 1 s each."""
    seconds = [0, 1, 0, 2, 0, 1, 0, 2, 0]
    repetition = [1, 1, 1, 1, 1, 2, 2, 2, 2]
    per_second = int(RATE)
    return Recording(
        np.random.default_rng(0).standard_normal((2, len(seconds) * per_second)),
        RATE,
        np.repeat(seconds, per_second),
        "1",
        repetition=np.repeat(repetition, per_second),
        label_names=("rest", "a", "b"),
    )


def starts(windowing) -> dict[str, list[float]]:
    table = Windows.cut(recording(), windowing).table
    return {str(k): (v["start"] / RATE).tolist() for k, v in table.groupby("label", observed=True)}


def test_trials_keep_the_rest_that_follows_one_movement():
    found = starts(zhai.Trials(500.0, 500.0, rest_after="a"))
    assert found == {"rest": [2.0, 2.5, 6.0, 6.5], "a": [1.0, 1.5, 5.0, 5.5], "b": [3.0, 3.5, 7.0, 7.5]}
    found = starts(zhai.Trials(500.0, 500.0, movements=("b",), rest_after="a"))
    assert found == {"rest": [2.0, 2.5, 6.0, 6.5], "b": [3.0, 3.5, 7.0, 7.5]}
    found = starts(zhai.Trials(500.0, 500.0, movements=("b", "rest"), rest_after=None))
    assert found["rest"] == [t / 2 for t in (0, 1, 4, 5, 8, 9, 12, 13, 16, 17)]
    assert list(found) == ["rest", "b"]


def test_the_tables_are_the_papers():
    # The paper's averages follow from its sessions; it gives the all-session gains in the text.
    for rows in zhai.TABLE_2.values():
        for *sessions, average in rows.values():
            assert np.mean(sessions) == pytest.approx(average, abs=0.006)
    # Reading off figure 6 agrees with the numbers that the text and table 2 give, to a point.
    for method in ("CNN", "SVM"):
        none, last, every = (np.array(zhai.FIGURE_6[method, p]) for p in ("none", "last", "all"))
        np.testing.assert_allclose((last - none)[1:], zhai.TABLE_2["all"][method][:4], atol=1.0)
        assert np.mean((every - none)[1:]) == pytest.approx(zhai.ALL_SESSION_GAIN[method], abs=1.0)


@pytest.mark.parametrize(
    ("key", "policy", "value", "source"),
    [
        ("all", "last", 60.4, "Fig. 6, read off"),
        ("amputees", "last", 59.5, "Fig. 8 (5 people), read off"),
        ("amputees", "all", 61.0, "Fig. 8 (5 people), read off"),
        ("ten", "last", None, None),
    ],
)
def test_curves_stand_beside_the_papers_figures(monkeypatch, tmp_path, key, policy, value, source):
    monkeypatch.setattr(zhai, "run", lambda *_: None)
    monkeypatch.setattr(zhai, "by_session", lambda _: np.full((2, 5), 0.5))
    cohort = zhai.Cohort(key, key, "simulated", zhai.Trials())
    rows = {r.setting: r.published for r in zhai.recalibration(Context("zhai2017", tmp_path), cohort)}
    found = rows[f"CNN, {policy}, session II"]
    assert (found and (found.value, found.source, found.status)) == (value and (value, source, "derived"))


def test_amputees_that_are_not_here_are_said_to_be_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(zhai, "is_here", lambda name: False)
    for part in ("baseline", "recalibration", "corrections"):
        monkeypatch.setattr(zhai, part, lambda *_: [])
    rows = list(zhai.zhai2017(Context("zhai2017", tmp_path, quick=False)))
    assert ("amputees, 10 movements", "not measured") in [(r.setting, r.note) for r in rows]
    assert not list(zhai.zhai2017(Context("zhai2017", tmp_path, quick=True)))


def test_movements_are_named_as_ninapros_reader_names_them():
    names = [name for exercise in FACTS["ninapro_db2"].exercises.values() for name in exercise.names]
    assert set(zhai.TEN) <= set(names)
    assert len(set(zhai.TEN)) == 10
    assert [sum(n.startswith(letter) for n in names) for letter in "BCD"] == [
        part.stop - part.start for part in zhai.GROUPS.values()
    ]
    assert set(zhai.EIGHT) <= set(get("longterm_myo").label_names)


def test_recipes_and_the_system_are_registered():
    assert REPRODUCTIONS["zhai2017"] is zhai.zhai2017
    recipe = RECIPES.create("zhai2017")
    assert recipe.protocol.train_repetitions == (1, 3, 4, 6)
    assert len(recipe.published) == 12
    assert RECIPES.create("zhai2017_recalibration").method.half_width == 10


def test_each_method_smooths_as_in_the_paper():
    assert zhai.recalibrating(zhai.network(), "last").correction == "median"
    assert zhai.recalibrating(_zhai_system.support_vectors(), "last").correction == "mode"
    assert zhai.recalibrating(_zhai_system.support_vectors(search=False), "all").correction == "mode"


def test_verdicts_are_corrected_for_the_ways_of_a_table():
    up, mixed = np.linspace(0.05, 0.15, 6), np.array([-0.1, 0.12, -0.09, 0.11, -0.08, 0.07])
    # All six are positive: p = 2 / 2 ** 6, alone significant, and not after doubling it.
    assert zhai.verdicts({"last": up}) == {"last": "helps: better on 6 of 6 days, p = 0.031"}
    assert zhai.verdicts({"last": -up}) == {"last": "hurts: better on 0 of 6 days, p = 0.031"}
    both = zhai.verdicts({"last": up, "all": mixed})
    assert both["last"] == "no clear effect: better on 6 of 6 days, p = 0.062"
    assert both["all"].startswith("no clear effect: better on 3 of 6 days")
    assert zhai.verdicts({"last": up[:5]}) == {"last": "too few days to tell: better on 5 of 5 days"}
    assert zhai.verdicts({"last": up, "all": up[:3]})["last"].startswith("helps")


def test_the_papers_curves_are_dotted_beside_real_recordings_alone():
    cohort = zhai.Cohort("ninapro_db5", "DB5", "ninapro_db5", Trials())
    assert zhai.dotted(dataclasses.replace(cohort, dataset="simulated"), 5) == {}
    drawn = zhai.dotted(cohort, 5)
    assert drawn["paper: CNN, last"] == (61.9, 60.4, 58.7, 57.0, 56.2)
    ours = [f"{method}, {policy}" for method in zhai.methods(small=True) for policy in zhai.POLICIES]
    assert [name.removeprefix("paper: ") for name in drawn] == ours
    assert zhai.dotted(cohort, 3)["paper: CNN, last"] == (61.9, 60.4, 58.7)  # no point where ours has no session
    amputees = zhai.dotted(dataclasses.replace(cohort, key="amputees"), 5)
    assert amputees["paper: CNN, last"][0] == 62.0
    assert not any("SVM" in name for name in amputees)


def test_a_window_of_few_values_has_fewer_components_and_zeros_in_the_other_places():
    assert [_zhai_system.components_at(rate, 200) for rate in (2000, 200, 100)] == [25, 25, 14]
    rng = np.random.default_rng(0)
    signal = np.abs(rng.normal(size=(3, 4000)))
    label = np.arange(4000) // 200 % 2
    windows = Windows.cut(Recording(signal, 100, label, subject="1"), Windowing(200, 100))
    method = zhai.network(20, 8, epochs=1, components=14).fit(windows, windows.y)
    given = method[:-1].transform(windows)
    assert given.shape == (len(windows), 3, 25)
    assert (given[..., :14].std(axis=0) > 0).all()
    assert (given[..., 14:] == 0).all()
    assert set(method.predict(windows)) <= {"0", "1"}
    alone = zhai.methods(small=True, components=14)["SVM"](0).fit(windows, windows.y)
    assert alone[:-1].transform(windows).shape == (len(windows), 3 * 14)
    assert [name for name, _ in zhai.network().steps] == ["spectrogram", "pca", "classify"]  # as published


def test_days_that_are_not_here_are_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("MYOGRAPH_DATA", str(tmp_path))
    found = reproduce("zhai2017", dataset="longterm_myo", out=tmp_path / "run")
    assert [row["note"] for row in found["rows"]] == ["not measured"]


def test_people_in_two_processes_have_the_scores_of_one(tmp_path):
    two = zhai.simulated("ten", "2 movements", n_subjects=2, n_gestures=2, n_repetitions=2, hold_s=1.0, rest_s=1.0)
    make = zhai.methods(small=True, components=5)["SVM"]
    found = {}
    for jobs in (1, 2):
        context = Context("zhai2017", tmp_path / str(jobs), jobs=jobs)
        runs = zhai.run(context, two, "SVM", WithinSubject((2,)), make)
        found[jobs] = {subject: scores.confusion.tolist() for subject, [scores] in runs.items()}
    assert list(found[1]) == ["1", "2"]
    assert found[1] == found[2]
    assert found[1]["1"] != found[1]["2"]


def test_matrices_of_both_methods_are_kept(tmp_path):
    two = zhai.simulated("ten", "2 movements", n_subjects=2, n_gestures=2, hold_s=1.0, rest_s=1.0)
    context = Context("zhai2017", tmp_path, epochs=1)
    rows = {r.setting: r for r in zhai.baseline(context, dataclasses.replace(two, components=5))}
    assert [f["title"] for f in context.figures] == ["2 movements: CNN", "2 movements: SVM"]
    counts = np.array(context.figures[1]["matrix"])
    # both people have as many windows of each class, so that the mean of their recalls is the recall of all windows
    assert np.mean(counts.diagonal() / counts.sum(axis=1)) == pytest.approx(
        np.mean(rows["SVM, 2 movements"].values), abs=0.01
    )


@pytest.mark.nightly
def test_simulated_people_are_told_apart_and_nothing_is_learnt_before_the_first_session(tmp_path, monkeypatch):
    ten = zhai.simulated("ten", "6 movements", n_subjects=2, n_gestures=6)
    monkeypatch.setattr(zhai, "cohorts", lambda context: [ten])
    methods = {
        "CNN": lambda seed: zhai.network(200, 16, seed=seed),
        "SVM": lambda seed: _zhai_system.support_vectors(False),
    }
    monkeypatch.setattr(zhai, "methods", lambda small, components: methods)
    rows = {r["setting"]: r for r in reproduce("zhai2017", out=tmp_path)["rows"]}
    for method in ("CNN", "SVM"):
        assert rows[f"{method}, 6 movements"]["ours"]["mean"] > 3 / 7  # three times chance
        assert len({rows[f"{method}, {p}, session I"]["ours"]["mean"] for p in zhai.POLICIES}) == 1


@pytest.mark.real_data
@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("dataset", "result", "people", "last"),
    [("ninapro_db5", "ninapro_db5-quick", 4, "V"), ("ninapro_db1", "ninapro_db1", 3, "IX")],
)
def test_sessions_of_real_people_gain_as_the_page_says(dataset, result, people, last, tmp_path):
    """With the networks of the small run; those of the full one take half an hour."""
    stored = load_result(Path(__file__).parents[1] / "docs" / "results" / f"zhai2017-{result}.json")
    said = {row["setting"]: np.array(row["values"])[:people] for row in stored["rows"]}
    context = Context("zhai2017", Path(tmp_path), dataset=dataset)
    (cohort,) = zhai.cohorts(context)
    cohort = dataclasses.replace(cohort, leave_out=tuple(cohort.subjects()[people:]))
    make = zhai.methods(True, cohort.components)["CNN"]
    found = {
        policy: zhai.by_session(
            zhai.run(context, cohort, f"CNN-{policy}", zhai.REPETITIONS, zhai.following(make, policy))
        )
        for policy in zhai.POLICIES
    }
    for policy in ("last", "all"):
        gain = zhai.by_person(found[policy] - found["none"])
        # Another processor rounds otherwise, and five or more trainings in a row amplify it.
        expected = said[f"CNN, gain of {policy} over none, II-{last}"].mean()
        assert gain.mean() == pytest.approx(expected, abs=0.03), policy
    assert zhai.by_person(found["all"] - found["last"]).mean() > 0


@pytest.mark.real_data
@pytest.mark.nightly
def test_real_days_are_sessions(tmp_path, monkeypatch):
    cohort = dataclasses.replace(zhai.DAYS["longterm_myo"], sessions=3)
    monkeypatch.setattr(zhai, "methods", lambda *_, **__: {"SVM": lambda seed: _zhai_system.support_vectors(False)})
    context = Context("zhai2017", Path(tmp_path), quick=False)
    rows = {r.setting: r for r in zhai.days(context, cohort)}
    assert len(rows["SVM, none"].values) == 2
    assert np.mean(rows["LDA, none"].values) > 2 / 8  # of eight classes
    gain = np.subtract(rows["LDA, moved means"].values, rows["LDA, none"].values)
    assert gain[0] == 0  # nothing is learnt before the first later day has been scored
    np.testing.assert_allclose(rows["LDA, gain of moved means"].values, gain[1:])
    assert rows["ConvNet, AdaBN"].values[0] == rows["ConvNet, none"].values[0]
    assert rows["ConvNet, AdaBN"].values[1] != rows["ConvNet, none"].values[1]
