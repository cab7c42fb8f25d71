"""Single steps of a run: its recordings, its parts before anything is fitted, its table of folds, and the runs beside it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from conftest import make_recording
from myograph import (
    CrossSession,
    KFoldRepetitions,
    LeakyShuffledWindows,
    LeaveOneSubjectOut,
    Recording,
    Windowing,
    Windows,
)
from myograph.audit import Audit
from myograph.datasets import DATASETS
from myograph.datasets.load import load
from myograph.errors import ConfigError, LeakageError, ProtocolError, ResultsError
from myograph.evaluation import run
from myograph.evaluation.folds import predict_stream
from myograph.evaluation.prepared import Split, hashes_of, prepare, prepare_with_rest, rest_label, settle_rest, split
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import (
    evaluate,
    evaluate_all,
    evaluate_continuously,
    honest_protocols,
    make_method,
    name_of,
)
from myograph.methods.registry import METHODS
from myograph.preprocessing import Rectify, SampleFilter
from myograph.protocols import Fold, Protocol, SessionStream, WithinSubject

CUT = Windowing(200, 200)


def power(X):
    return np.log(np.asarray(X).var(axis=2) + 1e-6)


def fast():
    return make_pipeline(FunctionTransformer(power), LinearDiscriminantAnalysis())


def recipe(protocol=None, **changes):
    return Recipe(
        "spine",
        "my own",
        **{"protocol": protocol or KFoldRepetitions(2), "method": fast(), "windowing": CUT, **changes},
    )


def person(subject="1", session="1", seed=0, **options):
    return make_recording(np.random.default_rng(seed), subject, session, n_repetitions=2, **options)


def test_each_question_has_its_own_protocol_and_a_recipes_own_is_kept():
    asks = {"new repetitions": KFoldRepetitions(2), "new sessions": CrossSession(), "new people": LeaveOneSubjectOut()}
    assert honest_protocols(LeakyShuffledWindows()) == asks
    for own, question in (
        (WithinSubject((3,)), "new repetitions"), (SessionStream(), "new sessions"),
        (LeaveOneSubjectOut(calibration_repetitions=0), "new people"),
    ):  # fmt: skip
        assert honest_protocols(own) == {**asks, question: own}


def test_all_questions_are_asked_and_progress_says_which(tmp_path):
    said = []
    found = evaluate_all(recipe(), person(), tmp_path, progress=lambda *what: said.append(what), command="mine")
    assert list(found.scores) == ["new repetitions"]
    assert set(found.skipped) == {"new sessions", "new people"}
    assert ("new repetitions: folds", 2, 2) in said
    scores = found.scores["new repetitions"]
    assert scores.info["command"] == "mine"
    assert scores.folder == tmp_path / f"spine-{scores.info['identity'][:10]}"
    assert [f.name for f in tmp_path.iterdir()] == [scores.folder.name]


def test_data_that_answer_no_question_are_told():
    one = dataclasses.replace(person(), repetition=np.ones(1200, int))
    with pytest.raises(ProtocolError, match=r"spine: no honest protocol fits these recordings; .*;.*;"):
        evaluate_all(recipe(), one)


def test_beside_a_leaky_run_stands_the_honest_one_and_beside_a_calibrated_one_the_target_alone():
    people = [person(s, seed=i) for i, s in enumerate("ab")]
    said = []
    leaky = evaluate(recipe(LeakyShuffledWindows()), people, progress=lambda what, *_: said.append(what))
    assert leaky.leaky
    assert leaky.honest is not None
    assert leaky.honest.info["protocol"] == "KFoldRepetitions"
    assert leaky.target_only is None
    assert "the honest counterpart" in said
    assert "target only" not in said
    said.clear()
    calibrated = evaluate(
        recipe(LeaveOneSubjectOut(calibration_repetitions=1)), people, progress=lambda what, *_: said.append(what)
    )
    assert calibrated.honest is None
    assert calibrated.target_only is not None
    assert calibrated.target_only.target_only is None
    assert calibrated.target_only.info["settings"]["transfer"] == "target only"
    assert calibrated.target_only.folds["n_train"].tolist() < calibrated.folds["n_train"].tolist()
    assert "target only" in said
    assert evaluate(recipe(), people).target_only is None


def test_a_run_that_cannot_score_continuously_says_so_before_it_does_anything():
    began = lambda *_: pytest.fail("it began to cut windows")  # noqa: E731
    with pytest.raises(ConfigError, match="so train and test share stretches of signal"):
        evaluate(recipe(LeakyShuffledWindows()), person(), continuous=True, shared=began)


def test_runs_beside_are_in_folders_within_the_runs_own_and_said_to_be_one_step_each(tmp_path):
    people = [person(s, seed=i) for i, s in enumerate("ab")]
    said = []
    leaky = evaluate(recipe(LeakyShuffledWindows()), people, tmp_path / "a", progress=lambda *what: said.append(what))
    assert ("the honest counterpart", 0, 1) in said
    assert leaky.honest is not None
    assert leaky.honest.folder == tmp_path / "a" / "honest"
    asked = recipe(LeaveOneSubjectOut(calibration_repetitions=1))
    calibrated = evaluate(asked, people, tmp_path / "b", progress=lambda *what: said.append(what))
    assert ("target only", 0, 1) in said
    assert calibrated.target_only is not None
    assert calibrated.target_only.folder == tmp_path / "b" / run.TARGET_ONLY
    assert calibrated.predictions.index.tolist() == list(range(len(calibrated.predictions)))


def test_only_folds_that_all_have_calibration_are_compared_with_the_target_alone():
    rows = np.arange(8)
    folds = [Fold("a", rows[:4], rows[4:6], rows[:2]), Fold("b", rows[:4], rows[6:])]
    began = lambda *_: pytest.fail("it was run")  # noqa: E731
    assert run._beside(recipe(), folds, began, lambda *_: None) == (None, None)


def test_side_by_side_as_plain_values():
    found = evaluate_all(recipe(), person())
    plain = found.as_dict()
    assert plain["skipped"] == found.skipped
    assert plain["scores"] == {"new repetitions": found.scores["new repetitions"].as_dict()}


def test_what_is_not_a_recording_is_refused_and_one_that_was_changed_in_place_is_another_run(tmp_path):
    with pytest.raises(ConfigError, match=r"recordings must be Recording objects, got ndarray"):
        evaluate(recipe(), [np.zeros((2, 100))])
    first = person()
    signal = first.signal.copy()
    mine = dataclasses.replace(first, signal=signal)
    before = evaluate(recipe(), mine, tmp_path)
    signal[:] = signal[::-1].copy()
    with pytest.raises(ResultsError):
        evaluate(recipe(), mine, tmp_path)
    assert evaluate(recipe(), mine).info["data_hashes"] != before.info["data_hashes"]


def test_recordings_come_from_the_recipes_data_set_if_none_are_given():
    simulated = Recipe("r", "simulated", KFoldRepetitions(2), fast(), {"n_gestures": 2}, ("1",), windowing=CUT)
    assert evaluate(simulated).info["n_recordings"] == len(load("simulated", ["1"], n_gestures=2))


class HalfLeaky(Protocol):
    leaky = True

    def _folds(self, table):
        first = table["repetition"].to_numpy() == 1
        yield "fair", first, ~first
        yield "leaky", first, first


def test_folds_of_another_protocol_are_not_an_honest_ones():
    people = [person(s, seed=i) for i, s in enumerate("ab")]
    leaky = recipe(LeakyShuffledWindows())
    shared = split(leaky, people)
    assert not any(a.passed for a in shared.audits)
    one_passes = split(recipe(HalfLeaky()), people)
    assert [a.passed for a in one_passes.audits] == [True, False]
    for given in (shared, one_passes):
        with pytest.raises(LeakageError, match=r"KFoldRepetitions.* is honest, so they are not its"):
            evaluate(recipe(), people, shared=lambda *_, given=given: given)


def test_a_part_that_was_fitted_on_test_windows_before_is_refused():
    mine = person()
    windows = Windows.cut(mine, CUT)
    known = FrozenEstimator(METHODS.create("lda").fit(windows, windows.y))
    with pytest.raises(LeakageError, match="fitted"):
        evaluate(recipe(method=known), mine)


def test_a_protocol_that_says_it_is_honest_and_is_not_is_found_out_in_continuous_evaluation_too():
    class Halves(Protocol):
        def _folds(self, table):
            early = table["start"].to_numpy() < 300  # of a repetition of 600 samples
            yield "both halves of a repetition", early & (table["repetition"] == 1), ~early & (table["repetition"] == 1)

    with pytest.raises(LeakageError):
        evaluate_continuously(recipe(Halves(), method="lda"), [person(names=("rest", "g1", "g2"))])


def test_the_table_of_folds():
    windows = Windows.cut([person(s, seed=i) for i, s in enumerate("ab")], CUT)
    first, of_a = windows.column("repetition") == 1, windows.column("subject") == "a"
    folds = [Fold(n, np.flatnonzero(first), np.flatnonzero(~first & t)) for n, t in (("x", of_a), ("y", of_a | True))]
    audits = [Audit(3, 2, n, n + 1, 0, 0, ()) for n in (0, 4)]
    parts = [predict_stream(fast(), windows, [fold])[0] for fold in folds]
    parts = [part.assign(seconds=2.5, y_pred=part["y_true"]) for part in parts]
    table = run._fold_table(parts, folds, audits)
    assert table["fold"].tolist() == ["x", "y"]
    assert table["subject"].isna().tolist() == [False, True]
    assert table["subject"][0] == "a"
    assert table["accuracy"].tolist() == [1.0, 1.0]
    assert table["seconds"].tolist() == [2.5, 2.5]
    assert table["sharing_samples"].tolist() == [0, 4]
    assert table["sharing_repetition"].tolist() == [1, 5]
    assert (table["n_train"].tolist(), table["n_test"].tolist()) == ([3, 3], [2, 2])


def test_methods_get_the_recipes_seed_if_they_take_one(monkeypatch):
    def seeded(seed=7, k=1):
        return KNeighborsClassifier(k).set_params(leaf_size=seed)

    monkeypatch.setitem(METHODS._entries, "seeded", seeded)
    named = lambda **options: make_method(Recipe("r", "own", method="seeded", method_options=options, seed=5))  # noqa: E731
    assert named().leaf_size == 5
    assert (named(seed=3).leaf_size, named(k=4).n_neighbors) == (3, 4)
    estimator = KNeighborsClassifier(3)
    made = make_method(Recipe("r", "own", method=estimator))
    assert made is not estimator
    assert made.n_neighbors == 3
    with pytest.raises(ConfigError, match="method_options need a method given by name"):
        make_method(Recipe("r", "own", method=estimator, method_options={"k": 1}))
    only_fits = type("OnlyFits", (), {"fit": lambda self, X, y: self})()
    for other in (3, object(), only_fits):
        with pytest.raises(
            ConfigError, match="method must be a name of `myograph methods` or a scikit-learn estimator"
        ):
            make_method(Recipe("r", "own", method=other))
    assert [name_of(m) for m in ("lda", estimator)] == ["lda", "KNeighborsClassifier"]


def test_what_a_run_knows_of_itself():
    people = [person("a"), person("a", "2", seed=1), person("b", seed=2)]
    chosen = recipe(LeaveOneSubjectOut(), filters=(Rectify(),))
    said = []
    scores = evaluate(chosen, people, progress=lambda *what: said.append(what))
    info = scores.info
    assert said[:5] == [("filtering", i, 3) for i in range(3)] + [("cutting windows", 0, 1), ("folds", 0, 2)]
    assert info["facts"]["sessions_per_person"] == [1, 2]
    assert info["facts"]["train_people"] == [1, 1]
    assert info["facts"]["missing_classes"] == []
    assert (info["n_recordings"], info["n_windows"]) == (3, len(scores.predictions))
    assert list(info["data_hashes"]) == ["a/1/0", "a/2/1", "b/1/2"]
    assert info["data_hashes"] == hashes_of(people)
    assert info["identity"] == chosen.identity(hashes_of(people))
    assert [a["fold"] for a in info["audit"]] == ["subject a", "subject b"]
    assert info["glimpse"]
    assert info["wall_s"] > 0
    assert info["continuous"] is None
    assert scores.folder is None


class AmongPeople(Protocol):
    """Trains on one other person, then on two."""

    def _folds(self, table):
        subject = table["subject"].to_numpy()
        yield "one", subject == "a", subject == "c"
        yield "two", subject != "c", subject == "c"


def test_facts_of_a_split_count_people_and_sessions():
    sessions = {"a": "123", "b": "12", "c": "12"}
    given = [person(name, s, seed=10 * ord(name) + int(s)) for name, each in sessions.items() for s in each]
    found = split(recipe(AmongPeople()), given)
    assert found.people == ["a", "b", "c"]
    assert found.facts["train_people"] == [1, 2]
    assert found.facts["sessions_per_person"] == [2, 3]


def test_channels_and_filters_are_checked_before_windows_are_cut():
    given = person()
    trigger = dataclasses.replace(given, signal=np.vstack([given.signal, given.label + 1.0]), layout=None)
    with pytest.raises(LeakageError, match="says which label it is"):
        prepare(recipe(), [trigger])

    class Sums(SampleFilter):
        def apply(self, recording):
            return recording.with_signal(np.cumsum(recording.signal, axis=1))

    with pytest.raises(LeakageError, match="states a reach of 0 samples"):
        prepare(recipe(filters=(Sums(),)), [given])


def test_filtering_is_told_if_there_is_something_to_filter_and_someone_to_tell():
    said = []
    assert len(prepare(recipe(filters=(Rectify(),)), [person()]))
    prepare(recipe(), [person()], lambda *what: said.append(what))
    assert said == [("cutting windows", 0, 1)]


class Halves(Protocol):
    """Tests one label that it does not train, and says so under the names given."""

    def __init__(self, *names):
        self.names = names

    def _folds(self, table):
        repetition, label = table["repetition"].to_numpy(), table["label"].to_numpy()
        for name in self.names:
            yield name, (repetition == 1) & (label != "g2"), repetition == 2


def test_folds_have_names_of_their_own_and_labels_that_train_lacks_are_told():
    found = split(recipe(Halves("one")), [person()])
    assert found.facts["missing_classes"] == [{"fold": "one", "labels": ["g2"]}]
    assert found.labels == ["g0", "g1", "g2"]
    with pytest.raises(ProtocolError, match="gives two folds with the same name"):
        split(recipe(Halves("one", "one")), [person()])
    with pytest.raises(ProtocolError, match="gives no folds"):
        split(recipe(Halves()), [person()])
    windows, rest = prepare_with_rest(recipe(), [person()])
    again = split(recipe(Halves("one")), [], prepared=(windows, rest))
    assert again.windows is windows
    assert isinstance(again, Split)


def test_rest_of_the_users_own_recordings_and_of_data_sets():
    assert rest_label(Recipe("r", "my own")) == "rest"
    assert rest_label(Recipe("r", "ninapro_db5")) == "rest"
    assert rest_label(Recipe("r", "myoarmband")) == DATASETS["myoarmband"].rest
    assert rest_label(Recipe("r", object())) == "rest"
    windows = Windows.cut(person(names=("rest", "g1", "g2")), CUT)

    def count(setting, label="rest"):
        return dict(zip(*np.unique(settle_rest(windows, setting, label, 0).y, return_counts=True)))

    assert count("drop") == {"g1": 10, "g2": 10}
    assert count("keep") == count("drop", "none") == {"rest": 10, "g1": 10, "g2": 10}
    more = Windows.cut([person(names=("rest", "g1", "g2")), person("2", names=("rest", "rest 2", "g2"))], CUT)
    kept = settle_rest(more, "balance", "rest", 3)
    assert (kept.y == "rest").sum() == 20
    assert settle_rest(windows[windows.y == "rest"], "drop", "rest", 0).y.tolist() == ["rest"] * 10
    with pytest.raises(ConfigError, match=r"these windows have only one label \(g1\)"):
        prepare_with_rest(recipe(), [person(names=("rest", "g1"), n_labels=2)])
    _, said = prepare_with_rest(recipe(), [person(names=("rest", "g1", "g2"))])
    assert said == {"setting": "drop", "label": "rest", "found": 10, "kept": 0}


def test_balanced_rest_is_as_much_as_the_mean_gesture_of_each_person():
    def of(subject, rest, *gestures):  # windows of each label
        label = np.repeat(np.arange(1 + len(gestures)), [40 * n for n in (rest, *gestures)])
        signal = np.random.default_rng(0).normal(size=(1, len(label)))
        return Recording(signal, 200, label, subject=subject, label_names=("rest", "x", "y", "z")[: 1 + len(gestures)])

    windows = Windows.cut([of("a", 30, 10, 20), of("b", 12, 3, 6, 9), of("c", 2, 8)], CUT)
    kept = settle_rest(windows, "balance", "rest", 0)
    counts = {s: (kept.where(subject=s).y == "rest").sum() for s in "abc"}
    assert counts == {"a": 15, "b": 6, "c": 2}  # (10 + 20) / 2, (3 + 6 + 9) / 3, and all of 2
    assert (kept.y != "rest").sum() == (windows.y != "rest").sum()
    other = settle_rest(windows, "balance", "rest", 1).where(subject="a")
    starts = [set(w.column("start")[w.y == "rest"]) for w in (kept.where(subject="a"), other)]
    assert starts[0] != starts[1]  # which ones depends on the seed
