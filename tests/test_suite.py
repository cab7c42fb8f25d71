"""Suites as values and TOML files, and the store of their results."""

from __future__ import annotations

import json
import re
import shutil
import threading
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from myograph import LeakyShuffledWindows, LeaveOneSubjectOut, Recipe, WithinSubject, evaluate
from myograph._common.files import plain
from myograph.cli.app import app
from myograph.errors import ConfigError, DataError, ResultsError, UnknownNameError
from myograph.evaluation.benchmark import Shared, benchmark, data_key
from myograph.evaluation.disturbed import LEVELS, Disturbed
from myograph.evaluation.engines import make_engine
from myograph.evaluation.recipe import own_code
from myograph.evaluation.report.suite import grouped, write_suite_page
from myograph.evaluation.report.suite_charts import cliques, front
from myograph.evaluation.store import Store, in_short
from myograph.evaluation.suite import SUITES, Data, Method, Suite, load_modules, read_suite
from myograph.methods import METHODS
from myograph.models import MODELS
from myograph.testing import make_windows

MODULE = Path(__file__).with_name("suite_module.py")
load_modules([MODULE])


@pytest.fixture(scope="module")
def scores():
    recipe = Recipe("tiny-lda", "tiny", WithinSubject((2,)), "lda", dataset_options={"n_people": 2})
    return evaluate(recipe)


@pytest.fixture(scope="module")
def suite():
    return Suite("small", ("always", "broken", "lda"), (Data("tiny", {"n_people": 2}),), ("usual", "CrossSession"))


class InProcess:
    """An engine that calls the function here."""

    def run(self, function, items):
        for i, item in reversed(list(enumerate(items))):
            try:
                yield i, function(item)
            except DataError as error:
                yield i, error

    def close(self):
        pass


@pytest.fixture(scope="module")
def store(suite, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "results"
    benchmark(suite, folder, InProcess(), [MODULE])
    return Store(folder)


def test_cells_are_every_combination_once_and_seeds_count_only_where_they_matter():
    suite = Suite("s", ("lda", "tiny_tree"), ("tiny",), ("usual", WithinSubject((2,)), "LeaveOneSubjectOut"), (0, 7))
    found = [(r.method, type(r.protocol).__name__, r.seed) for r in suite.cells()]
    per_protocol = [("lda", 0), ("tiny_tree", 0), ("tiny_tree", 7)]
    assert found == [(m, p, s) for p in ("WithinSubject", "LeaveOneSubjectOut") for m, s in per_protocol]


def test_words_stand_for_what_is_registered():
    every = {r.method for r in Suite("s", ("all",)).cells()}
    classical, networks = ({r.method for r in Suite("s", (word,)).cells()} for word in ("classical", "networks"))
    assert every == set(METHODS)
    assert networks == set(MODELS)
    wrappers = {"adabn", "coral", "person_experts", "prior_weighted_lda", "prototypes", "recentred", "smoothed"}
    assert classical == every - networks - wrappers


def test_a_split_by_person_gives_each_person_a_recipe():
    cells = Suite("s", ("lda",), (Data("tiny", subjects=("2-4",)),), split="person").cells()
    assert [r.subjects for r in cells] == [("2",), ("3",), ("4",)]
    assert len({data_key(r) for r in cells}) == 3


def test_toml_and_python_give_the_same_suite(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        """
        methods = ["lda", { name = "tiny_tree", depth = 2, label = "small tree" }]
        datasets = [{ name = "tiny", n_people = 3, subjects = "1,3" }]
        protocols = ["LeaveOneSubjectOut(calibration=0.25)"]
        filters = ["BandPass(20, 90)"]
        windowing = "Windowing(200, 100)"
        rest = "keep"
        [set]
        "windowing.step_ms" = 50
        """
    )
    cells = read_suite(file).cells()
    assert [r.name for r in cells] == ["tiny-lda", "tiny-small tree"]
    first = cells[1].as_dict()
    assert first["windowing"]["length_ms"] == 200
    assert first["windowing"]["step_ms"] == 50
    assert first["filters"][0]["type"] == "BandPass"
    assert first["method_options"] == {"depth": 2}
    assert cells[0].protocol == LeaveOneSubjectOut(0.25)
    assert cells[0].subjects == ("1", "3")
    assert cells[0].rest == "keep"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('methods = ["ldaa"]', UnknownNameError, "lda"),
        ("method = ['lda']", UnknownNameError, "methods"),
        ("methods = []", ConfigError, "empty"),
        ("methods = [3]", ConfigError, "a name, or a table"),
        ("methods = [", ConfigError, "TOML"),
        ("datasets = ['tinny']", UnknownNameError, "tiny"),
        ("protocols = ['LeaveOneOut']", UnknownNameError, "LeaveOneSubjectOut"),
        ("protocols = ['__import__(\"os\")']", UnknownNameError, "no protocol"),
        ("seeds = ['a']", ConfigError, "whole numbers"),
        ("split = 'day'", ConfigError, "person"),
        ("rest = 'perhaps'", ConfigError, "balance"),
        ("set = 3", ConfigError, "table"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(tmp_path, text, error, message):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(error, match=message):
        read_suite(file).cells()


def test_a_file_that_is_not_there_and_a_module_of_a_taken_name_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        read_suite(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="registers methods"):
        load_modules([tmp_path / "none.py"])
    (tmp_path / "json.py").write_text("")
    with pytest.raises(ConfigError, match=r"rename json\.py"):
        load_modules([tmp_path / "json.py"])


def test_code_of_a_method_of_the_users_own_is_part_of_the_identity(monkeypatch):
    assert own_code("lda") is None
    assert own_code("myonet") is None
    recipe = Recipe("r", "tiny", method="always")
    before = recipe.identity({})
    other = load_source("def always():\n    return 1\n")
    monkeypatch.setitem(METHODS._entries, "always", other)
    assert recipe.identity({}) != before


def load_source(text):
    names = {"__name__": "__main__"}
    exec(text, names)
    return names["always"]


def test_a_failing_cell_keeps_its_traceback_and_stops_nothing(store, suite):
    assert sorted(store.results()["method"].unique()) == ["always", "lda"]
    failed = [f for f in store.failures() if f["state"] == "failed"]
    assert [f["recipe"] for f in failed] == ["tiny-broken"]
    assert "broken on purpose" in failed[0]["message"]
    assert "in fit" in failed[0]["traceback"]
    assert "suite_module.py" in failed[0]["traceback"]
    others = [f for f in store.failures() if f["state"] == "does not apply"]
    assert len(others) == 3
    assert all("sessions" in f["message"] for f in others)


def test_a_failure_to_read_is_forgotten_once_the_data_are_read(tmp_path, monkeypatch):
    def unreadable(self, folder=None, subjects=None):
        raise DataError("the disk is away")
        yield

    data = Data("tiny", {"n_people": 1, "seconds_per_gesture": 0.7})  # no other test has read them
    small = Suite("one", ("lda",), (data,), ("usual",))
    with monkeypatch.context() as while_away:
        while_away.setattr(type(data.dataset()), "read", unreadable)
        away = benchmark(small, tmp_path, InProcess(), [MODULE])
    assert away.done == []
    assert [f["message"] for f in Store(tmp_path).failures()] == ["tiny-lda: the disk is away"]
    assert len(benchmark(small, tmp_path, InProcess(), [MODULE]).done) == 1
    assert Store(tmp_path).failures() == []


def test_nothing_finished_or_failed_is_run_again_unless_asked(store, suite, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(store.folder, folder)
    again = benchmark(suite, folder, InProcess(), [MODULE])
    assert (len(again.found), again.done, len(again.failed)) == (2, [], 1)
    retried = benchmark(suite, folder, InProcess(), [MODULE], retry_failed=True)
    assert len(retried.seconds) == 4
    assert Store(folder).contents() == store.contents()


def test_scores_come_back_from_the_store_as_they_were(scores, tmp_path):
    found = Store(tmp_path / "s").put(scores)
    back = Store(tmp_path / "s").scores(found)
    pd.testing.assert_frame_equal(back.predictions, scores.predictions, check_dtype=False)
    pd.testing.assert_frame_equal(back.folds, scores.folds, check_dtype=False)
    assert plain(back.summary) == plain(scores.summary)
    assert back.question == scores.question


def test_a_suite_gives_what_evaluate_gives(store):
    for recipe in Suite("small", ("lda",), (Data("tiny", {"n_people": 2}),)).cells():
        expected = evaluate(recipe)
        found = store.scores(expected.info["identity"])
        pd.testing.assert_frame_equal(found.predictions, expected.predictions, check_dtype=False)


def test_a_leaky_run_brings_its_honest_counterpart_and_both_say_so(tmp_path):
    recipe = Recipe(
        "r", "tiny", LeakyShuffledWindows(honest=WithinSubject((2,))), "lda", dataset_options={"n_people": 2}
    )
    store = Store(tmp_path / "s")
    cell = store.put(evaluate(recipe))
    assert store.scores(cell).leaky
    assert not store.scores(cell).honest.leaky
    assert store.results().groupby("leaky").size().to_dict() == {False: 2, True: 2}


def test_stores_merge_by_importing(store, scores, tmp_path):
    other = Store(tmp_path / "other")
    other.put(scores)
    merged = Store(tmp_path / "merged")
    assert merged.add(store.folder) == 2
    assert merged.contents() == store.contents()
    assert merged.add(other.folder) == 1
    assert merged.add(other.folder) == 0
    assert len(merged.results()) == len(store.results()) + 2


@pytest.mark.parametrize("kind", ["predictions", "cells"])
def test_a_damaged_file_is_reported(scores, tmp_path, kind):
    store = Store(tmp_path / "s")
    cell = store.put(scores)
    path = store._path(kind, cell)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ResultsError, match="damaged"):
        store.scores(cell)


def test_other_folders_and_later_schemas_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ResultsError, match="not a store"):
        Store(tmp_path)
    (tmp_path / "store.json").write_text(json.dumps({"kind": "myograph results", "schema": 99}))
    with pytest.raises(ResultsError, match="schema 99"):
        Store(tmp_path)


def test_queries_by_condition_and_by_sql(store):
    pytest.importorskip("duckdb")
    rows = store.results()
    found = store.query("SELECT method, avg(accuracy) AS a, count(*) AS n FROM results GROUP BY method ORDER BY method")
    assert found["n"].tolist() == [2, 2]
    assert found["a"].tolist() == pytest.approx(rows.groupby("method")["accuracy"].mean().tolist())
    assert set(store.query("method == 'lda'")["method"]) == {"lda"}
    assert store.query("SELECT count(*) AS n FROM runs")["n"].tolist() == [2]


@pytest.mark.parametrize(
    "question",
    [
        "nothing > 3",
        "SELECT nothing FROM results",
        "SELECT * FROM read_csv('/etc/passwd')",
        "@pd.io.common.os.getcwd()",
    ],
)
def test_queries_that_cannot_be_answered_are_errors_and_reach_nothing_else(store, question):
    pytest.importorskip("duckdb")
    with pytest.raises(ConfigError):
        store.query(question)


def test_a_worker_keeps_the_windows_of_one_recipe_at_a_time():
    shared = Shared()

    def parts_of(recipe):
        return shared.split(recipe, shared.recordings(recipe), lambda *step: None)

    first, second = (Recipe("r", "tiny", WithinSubject((2,)), "lda", subjects=(who,)) for who in "12")
    parts = parts_of(first)
    other = parts_of(Recipe("r", "tiny", WithinSubject((3,)), "lda", subjects=("1",)))
    assert parts_of(first) is parts  # beside the other protocol's
    assert other is not parts
    assert other.windows is parts.windows
    parts_of(second)
    assert [r.subject for (kept,) in [shared._recordings.values()] for r in kept] == ["2"]
    assert [windows.recordings[0].subject for (windows, _) in shared._windows.values()] == ["2"]
    assert [kept.windows.recordings[0].subject for kept in shared._splits.values()] == ["2"]


def test_engines_by_name():
    assert make_engine("local", 2).jobs == 2
    with pytest.raises(ConfigError, match="tcp://"):
        make_engine("cloud")
    with pytest.raises(ConfigError, match="jobs"):
        make_engine("local", 0)


def test_a_split_of_a_data_set_that_is_not_there_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("MYOGRAPH_DATA", str(tmp_path))
    with pytest.raises(DataError):
        Suite("s", ("lda",), ("ninapro_db5",), split="person").cells()
    assert len(Suite("s", ("lda",), ("ninapro_db5",)).cells()) == 1


def test_descriptions_in_one_line():
    assert (
        in_short(Recipe("r", "tiny", LeaveOneSubjectOut(0.5)).as_dict()["protocol"])
        == "LeaveOneSubjectOut(calibration=0.5)"
    )
    assert Method("lda").label == ""


def test_the_command_line(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text('methods = ["lda", "always"]\ndatasets = [{ name = "tiny", n_people = 2 }]')
    call = lambda *line: CliRunner().invoke(app, list(map(str, line)))  # noqa: E731
    plan = call("benchmark", "small.toml", "--module", MODULE, "--dry-run", "--json")
    assert [cell["recipe"] for cell in json.loads(plan.stdout)["cells"]] == ["tiny-lda", "tiny-always"]
    done = call("benchmark", "small.toml", "--module", MODULE, "--out", store.folder, "--json")
    found = json.loads(done.stdout)
    assert (found["cells"], found["computed"], found["found"]) == (2, 0, 2)
    assert Path(found["report"]).is_file()
    rows = json.loads(call("results", "accuracy > 0", "--out", store.folder, "--json").stdout)
    assert {row["method"] for row in rows} == {"lda", "always"}
    assert call("results", "--out", store.folder, "--csv", "rows.csv").exit_code == 0
    assert len(pd.read_csv("rows.csv")) == len(store.results())
    listed = json.loads(call("runs", "--out", "merged", "--import", store.folder, "--json").stdout)
    assert len(listed["runs"]) == 2
    assert len(listed["failures"]) == 4
    assert call("runs", "--out", store.folder).exit_code == 0


def test_the_job_script_of_slurm_is_shown(tmp_path):
    pytest.importorskip("dask_jobqueue")
    file = tmp_path / "s.toml"
    file.write_text('methods = ["lda"]\n[cluster]\nqueue = "short"\nwalltime = "00:30:00"')
    shown = CliRunner().invoke(app, ["benchmark", str(file), "--cluster", "slurm", "--dry-run", "--json"])
    script = json.loads(shown.stdout)["job_script"]
    assert "#SBATCH -p short" in script
    assert "#SBATCH -t 00:30:00" in script


@pytest.mark.parametrize("name", ["field", "cross-subject", "cross-session", "robustness"])
def test_built_in_suites_give_recipes_and_know_what_is_registered_later(name):
    suite = SUITES.create(name, datasets=("tiny",))
    assert suite.name == name
    assert {r.dataset for r in suite.cells()} == {"tiny"}
    assert "tiny_tree" in {r.method for r in SUITES.create("field", datasets=("tiny",)).cells()}


@pytest.mark.parametrize("kind", LEVELS)
def test_a_disturbance_changes_test_windows_alone_and_level_0_changes_nothing(kind):
    windows = make_windows(n_repetitions=4)
    train, test = next(WithinSubject((4,)).split(windows))
    plain_method = METHODS.create("lda").fit(windows[train], windows.y[train])
    calm = Disturbed(METHODS.create("lda"), kind, 0).fit(windows[train], windows.y[train])
    assert (calm.predict(windows[test]) == plain_method.predict(windows[test])).all()
    level = 2 if kind == "dropout" else LEVELS[kind][-1]
    found = Disturbed(METHODS.create("lda"), kind, level).fit(windows[train], windows.y[train])
    before, after = windows[test].recordings[0].signal, found.disturb(windows[test]).recordings[0].signal
    assert not np.array_equal(before, after)
    rms = np.sqrt((before.astype(float) ** 2).mean(axis=1))
    expected = {
        "dropout": lambda: (np.abs(after).max(axis=1) == 0).sum() == 2,
        "rotation": lambda: np.array_equal(np.roll(before, 3, axis=0), after),
        "noise": lambda: np.allclose((after - before).std(axis=1), rms, rtol=0.2),
        "mains": lambda: np.allclose((after - before).std(axis=1), 2 * rms / np.sqrt(2), rtol=0.2),
        "saturation": lambda: np.allclose(np.abs(after).max(axis=1), 0.75 * rms, rtol=0.2),
        "effort": lambda: np.allclose(after, 0.25 * before),
    }
    assert expected[kind]()


def test_disturbances_that_cannot_be_are_refused():
    windows = make_windows()
    for kind, level in (("rain", 1), ("effort", 1), ("noise", -1), ("dropout", 4)):
        with pytest.raises(ConfigError, match=r"kind|level|dropout"):
            Disturbed(METHODS.create("lda"), kind, level).fit(windows, windows.y)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "store"
    suite = Suite(
        "page",
        ("lda", "tiny_tree", "always", Method("lda", label="lda, noise 1", disturbance=("noise", 1))),
        ("tiny",),
        ("usual", LeakyShuffledWindows(honest=WithinSubject((2,))), LeaveOneSubjectOut(calibration_repetitions=1)),
        (0, 1),
    )
    found = benchmark(suite, folder, InProcess(), [MODULE])
    assert not found.failed
    store = Store(folder)
    return (
        store,
        found.cells,
        write_suite_page(store, found.cells, "page", folder / "reports" / "page", missing=["<b>"]),
    )


def test_the_page_ranks_honest_groups_alone_and_every_figure_is_a_file(page):
    store, cells, path = page
    text = path.read_text()
    honest, leaky = text.split('<section class="leaky">')
    assert "critical difference" in honest
    assert "Holm" in honest
    assert "LeakyShuffledWindows" in leaky
    assert "LeakyShuffledWindows" not in honest
    assert "interval" not in leaky
    assert "&lt;b&gt;" in text
    figures = re.findall(r'href="(figures/[^"]+)"', text)
    assert len(figures) > 10
    for name in figures:
        assert (path.parent / name).stat().st_size > 0
        if name.endswith(".svg"):
            ElementTree.parse(path.parent / name)
    groups = grouped(store, cells)
    rows = store.results()
    mine = rows[(rows["method"] == "tiny_tree") & rows["protocol"].str.startswith("WithinSubject")]
    expected = mine.groupby("person")["accuracy"].mean()
    found = groups[0].values["tiny_tree"]
    assert found.to_dict() == pytest.approx(expected.to_dict())
    assert groups[0].seeds == {"always": 1, "lda": 1, "lda, noise 1": 1, "tiny_tree": 2}
    assert [group.comparison is None for group in groups] == [bool(group.leaky) for group in groups]


def test_target_only_stands_beside_calibration_as_a_group_of_its_own(page):
    store, _, path = page
    assert "target only" in set(store.results()["transfer"])
    assert "target only" in path.read_text()


def test_cliques_and_the_front():
    assert cliques([1, 1.2, 2.5, 3.4], 1.0) == [(0, 1), (2, 3)]
    assert cliques([1, 3, 5], 1.0) == []
    assert front([1, 1, 2, 3], [0.5, 0.6, 0.6, 0.7]) == [1, 3]


@pytest.mark.parametrize(
    "options",
    [
        {"methods": (Method("knn", {"k": 1}), Method("knn", {"k": 5}))},
        {"datasets": (Data("simulated", {"seed": 1}), Data("simulated", {"seed": 2}))},
    ],
)
def test_two_things_of_one_name_are_refused_because_their_scores_would_be_averaged(options):
    with pytest.raises(ConfigError, match="give each its own label"):
        Suite("twice", **{"methods": ("lda",), "datasets": ("simulated",), **options})


def test_a_disturbed_method_has_the_seed_of_its_recipe():
    suite = Suite("noisy", (Method("random_forest", disturbance=("noise", 1.0)),), ("simulated",), seeds=(0, 7))
    seeds = [cast(Any, recipe.method).estimator.get_params() for recipe in suite.cells()]
    assert [next(v for k, v in each.items() if k.endswith("random_state")) for each in seeds] == [0, 7]


def test_threads_of_one_worker_do_not_share_what_they_read():
    other = []
    first, recipe = Shared(), Recipe("r", "tiny", WithinSubject((2,)), "lda", subjects=("1",))
    mine = first.recordings(recipe)
    thread = threading.Thread(target=lambda: other.append(first.recordings(recipe)))
    thread.start()
    thread.join()
    assert first.recordings(recipe) is mine
    assert other[0] is not mine
