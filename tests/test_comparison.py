"""Runs side by side: joined by person, refused where they are not of the same windows, tested as SciPy tests."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats as sps
from typer.testing import CliRunner

from conftest import make_recording
from myograph import LeaveOneSubjectOut, Windowing, WithinSubject
from myograph.cli.app import app
from myograph.errors import ConfigError, ResultsError, UnknownNameError
from myograph.evaluation.comparison import compare_runs, least_p, name_runs
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.report.compared import write_comparison
from myograph.evaluation.run import evaluate

PEOPLE = ("a", "b", "c", "d", "e", "f")


def noisy(people=PEOPLE, seed=0):
    """Recordings whose gestures are hard to tell apart, so that methods differ from person to person."""
    rng = np.random.default_rng(seed)
    found = [make_recording(rng, subject=s, names=("x", "y", "[z]")) for s in people]
    return [
        dataclasses.replace(r, signal=r.signal + rng.normal(0, 4 * r.signal.std(), r.signal.shape).astype("float32"))
        for r in found
    ]


def run(method, recordings, protocol=None, length=100, folder=None):
    recipe = Recipe(f"r-{method}", "own", protocol or WithinSubject((2, 5)), method, windowing=Windowing(length, 50))
    return evaluate(recipe, recordings, out=folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder, recordings = tmp_path_factory.mktemp("runs"), noisy()
    return {method: run(method, recordings, folder=folder / method) for method in ("lda", "knn", "random_forest")}


def test_tests_are_those_of_scipy_and_holms_correction_that_of_hand(runs):
    found = compare_runs(runs, "knn", "balanced_accuracy")
    by_person = {name: s.subjects.set_index("subject")["balanced_accuracy"] for name, s in runs.items()}
    p = {}
    for name in ("lda", "random_forest"):
        d = np.round([by_person[name][who] - by_person["knn"][who] for who in PEOPLE], 12)
        p[name] = sps.wilcoxon(d).pvalue
        row = found.table.set_index("run").loc[name]
        assert row["p"] == pytest.approx(p[name])
        assert row["difference"] == pytest.approx(np.mean(d))
        assert np.sign(row["effect"]) == np.sign(sps.rankdata(np.abs(d)) @ np.sign(d))
    first, second = sorted(p, key=p.get)
    holm = found.table.set_index("run")["p_holm"]
    assert holm[first] == pytest.approx(min(2 * p[first], 1))
    assert holm[second] == pytest.approx(min(max(2 * p[first], p[second]), 1))
    assert found.ranked
    assert found.table["mean"].is_monotonic_decreasing
    assert found.table["low"].notna().all()


def test_people_are_joined_by_name_whatever_their_order():
    recordings = noisy()
    one, other = run("lda", recordings), run("knn", recordings)
    turned = dataclasses.replace(other, predictions=other.predictions.iloc[::-1].reset_index(drop=True))
    assert turned.subjects["subject"].tolist() == list(PEOPLE[::-1])
    straight, joined = (compare_runs({"lda": one, "knn": each}).table for each in (other, turned))
    pd.testing.assert_frame_equal(straight, joined)


def test_under_six_people_nothing_is_ranked_and_that_nothing_can_be_significant_is_said():
    recordings = noisy(PEOPLE[:5])
    found = compare_runs({m: run(m, recordings) for m in ("knn", "lda")})
    assert not found.ranked
    assert found.table["run"].tolist() == ["knn", "lda"]
    assert found.table[["low", "high"]].isna().all().all()
    text = " ".join(found.notes)
    assert "no interval and no ranking" in text
    assert "can be significant with 5 people" in text
    assert found.table["p_holm"].dropna().min() >= least_p(5, 1) == 2 / 2**5


def test_one_person_is_shown_by_fold_and_nothing_is_tested():
    recordings = noisy(("a",))
    found = compare_runs({m: run(m, recordings) for m in ("lda", "knn")})
    assert found.over == "fold"
    assert found.tests == {}
    assert "there is no test and no ranking" in found.notes[0]


def test_other_data_windows_or_protocol_are_refused_and_named(runs):
    lda, recordings = runs["lda"], noisy()
    for other, what in (
        (run("knn", noisy(seed=1)), "data differ"),
        (run("knn", recordings, length=150), "windowing differs"),
        (run("knn", recordings, LeaveOneSubjectOut()), "protocol differs"),
    ):
        with pytest.raises(ResultsError, match=what):
            compare_runs({"one": lda, "other": other})
    fewer = dataclasses.replace(runs["knn"], predictions=runs["knn"].predictions.iloc[1:])
    with pytest.raises(ResultsError, match="test windows differ"):
        compare_runs({"one": lda, "other": fewer})
    leaky = dataclasses.replace(runs["knn"], info={**runs["knn"].info, "leaky": True})
    with pytest.raises(ResultsError, match="LEAKY"):
        compare_runs({"one": lda, "other": leaky})
    with pytest.raises(ConfigError, match="two runs"):
        compare_runs({"one": lda})
    with pytest.raises(UnknownNameError, match="Did you mean 'lda'"):
        compare_runs(runs, "ldaa")


def test_runs_are_named_by_what_tells_them_apart(runs):
    assert list(name_runs(list(runs.values()))) == ["lda", "knn", "random_forest"]
    twice = dataclasses.replace(runs["lda"], info={**runs["lda"].info, "recipe": "mine"})
    assert list(name_runs([runs["lda"], twice])) == ["r-lda", "mine"]
    with pytest.raises(ConfigError, match="given twice"):
        name_runs([runs["lda"], runs["lda"]])


def test_the_command_writes_a_table_for_a_paper_values_and_a_page(runs, tmp_path):
    folders = [str(s.folder) for s in runs.values()]
    files = {name: tmp_path / f"c.{name}" for name in ("tex", "csv", "html")}
    words = ["--latex", files["tex"], "--csv", files["csv"], "--out", files["html"], "--reference", "knn"]
    found = CliRunner().invoke(app, ["compare", *folders, *map(str, words), "--json"])
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["reference"] == "knn"
    assert {row["run"] for row in told["runs"]} == set(runs)
    assert told["n"] == 6
    tex = files["tex"].read_text()
    assert r"random\_forest" in tex
    assert tex.count(r"\\") == 4
    assert len(files["csv"].read_text().splitlines()) == 7
    page = files["html"].read_text()
    assert page.count('class="person"') == 6
    assert page.count("<circle") == 18
    shown = CliRunner().invoke(app, ["compare", *folders, "--out", str(files["html"])])
    assert "p (Holm)" in shown.stdout


def test_names_are_text_on_the_page(runs, tmp_path):
    found = compare_runs({"<b>one</b>": runs["lda"], "two": runs["knn"]})
    page = write_comparison(found, tmp_path / "page.html").read_text()
    assert "<b>one</b>" not in page
    assert "&lt;b&gt;one" in page
