"""What every published system's run shares: rows, what is kept of an interrupted run, its page and its Markdown."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from myograph._common.files import only_run_in
from myograph.cli.app import app
from myograph.datasets.simulated import Simulated
from myograph.errors import ConfigError, DataError, ResultsError
from myograph.evaluation.recipe import Published, Recipe
from myograph.evaluation.report.systems import (
    LEAKY,
    bars_of,
    counted,
    dots_of,
    draw,
    index,
    page_of,
    pairs,
    shown,
    write_docs,
)
from myograph.evaluation.reproduction import (
    REPRODUCTIONS,
    Context,
    Difference,
    Row,
    describe_system,
    differences_of,
    differs,
    load_result,
    reproduce,
)
from myograph.protocols import LeakyShuffledWindows, WithinSubject

TINY = Simulated(n_subjects=2, n_gestures=3, n_repetitions=3, hold_s=1.0, rest_s=0.5)
PAPER = Published("setting", 66.6, 6.4, "Somebody 1999", "verified")


def recipe(**changes):
    return Recipe(
        **{"name": "tiny", "dataset": TINY, "protocol": WithinSubject(test_repetitions=(3,)), "method": "lda"} | changes
    )


@pytest.fixture
def system():
    """Registers a function as a published system for one test."""
    added = []

    def add(function):
        REPRODUCTIONS.register("tiny_system")(function)
        added.append("tiny_system")
        return "tiny_system"

    yield add
    for name in added:
        REPRODUCTIONS._entries.pop(name)


def test_an_interrupted_run_goes_on_where_it_stopped(system, tmp_path):
    measured = []

    def measure(context):
        """A title\n\nWhat it says about itself."""
        for k in range(3):
            if k == 2 and len(measured) == 2:
                raise KeyboardInterrupt
            found = context.remember(f"value {k}", {"k": k}, lambda k=k: measured.append(k) or k / 10)
            yield Row(f"row {k}", (found,), data="nothing")

    name = system(measure)
    with pytest.raises(KeyboardInterrupt):
        reproduce(name, out=tmp_path)
    assert not (tmp_path / "result.json").exists()
    so_far = json.loads((tmp_path / "unfinished.json").read_text())
    assert [row["setting"] for row in so_far["rows"]] == ["row 0", "row 1"]
    assert "not finished: the rows so far" in (tmp_path / "report.html").read_text()
    before = json.loads((tmp_path / "wall_s.json").read_text())
    measured.append("again")
    result = reproduce(name, out=tmp_path)
    assert measured == [0, 1, "again", 2]
    assert [row["values"] for row in result["rows"]] == [[0.0], [0.1], [0.2]]
    assert result["wall_s"] > before > 0
    assert load_result(tmp_path)["rows"] == result["rows"]
    assert not (tmp_path / "unfinished.json").exists()
    assert "not finished" not in (tmp_path / "report.html").read_text()


def test_what_was_kept_is_measured_again_for_other_settings(tmp_path):
    context = Context("any", tmp_path)
    assert context.remember("key", {"epochs": 3}, lambda: 1) == 1
    assert context.remember("key", {"epochs": 3}, lambda: 2) == 1
    assert context.remember("key", {"epochs": 4}, lambda: 3) == 3


def test_a_damaged_file_of_an_interrupted_run_is_measured_again(tmp_path):
    context = Context("any", tmp_path)
    context.remember("key", None, lambda: 1)
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_text("[1, 2")
    assert context.remember("key", None, lambda: 5) == 5


def test_an_evaluated_row_has_a_value_a_subject_averaged_over_seeds(tmp_path):
    row = Context("any", tmp_path, seeds=(0, 1)).evaluate("LDA", recipe(), PAPER, "accuracy")
    assert len(row.values) == 2
    assert row.over == "subjects"
    assert row.n_seeds == 2
    assert not row.leaky
    assert row.honest is None
    assert row.data.startswith("simulated")
    single = [Context("any", tmp_path, seeds=(s,)).evaluate("LDA", recipe(), PAPER, "accuracy").values for s in (0, 1)]
    assert np.allclose(row.values, np.mean(single, axis=0))


def test_a_matrix_is_of_all_runs_and_each_row_of_it_adds_up_to_100():
    context = Context("any", Path())
    people = [SimpleNamespace(labels=["rest", *more], predictions=pd.DataFrame(answers)) for more, answers in (
        (["fist"], {"y_true": ["rest", "rest", "fist"], "y_pred": ["rest", "fist", "fist"]}),
        (["fist", "open"], {"y_true": ["rest", "open", "open"], "y_pred": ["rest", "open", "fist"]}),
    )]  # fmt: skip
    context.matrix("Two people", people)
    (figure,) = context.figures
    assert figure["labels"] == ["rest", "fist", "open"]
    assert figure["matrix"] == [[2, 1, 0], [0, 1, 0], [0, 1, 1]]
    shares = [float(v) for v in re.findall(r"--v:([\d.]+)", draw(figure))]
    assert np.reshape(shares, (3, 3)).tolist() == [[0.667, 0.333, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]
    assert re.findall(r'class="pct[^>]+>(\d+)<', draw(figure)) == ["67", "33", "100", "50", "50"]


def test_matrices_stand_beside_one_another_and_other_figures_below():
    matrix = {"title": "CNN & co", "matrix": [[3, 1], [0, 4]], "labels": ["rest", "fist"]}
    large = {"title": "all", "matrix": np.eye(50, dtype=int).tolist(), "labels": [f"movement {i}" for i in range(50)]}
    chart = {"title": "Loss", "series": {"train": [0.5, 0.25]}, "x": [1, 2], "y": "loss"}
    row = Row("CNN", (0.5, 0.7), data="ninapro_db5").as_dict()
    about = {
        "title": "t",
        "about": "a",
        "name": "n",
        "kind": "full",
        "dataset": "ninapro_db5",
        "n_seeds": 1,
        "wall_s": 60,
    }
    result = {**about, "finished": "today", "rows": [row], "figures": [matrix, matrix, large, chart]}
    (group,) = re.findall(r'<div class="beside">(.+)</div>', page_of([result]))
    assert re.findall(r"<figure([^>]*)><figcaption>([^<]+)", group) == [
        ("", "CNN &amp; co"),
        ("", "CNN &amp; co"),
        (' class="many"', "all"),
    ]
    assert group.count('class="cell') == 4 + 4 + 2500
    assert group.count(">movement 49<") == 2  # a row and a column
    assert "loss" not in group
    assert "**Loss**" in page_of([result])


def test_a_leaky_row_stands_beside_its_honest_one_on_every_page(system, tmp_path):
    def measure(context):
        """A title"""
        leaky = LeakyShuffledWindows(0.5, honest=WithinSubject(test_repetitions=(3,)))
        yield context.evaluate("shuffled", recipe(protocol=leaky), PAPER, "accuracy", data="an armband")

    result = reproduce(system(measure), out=tmp_path)
    (row,) = result["rows"]
    assert row["leaky"]
    assert row["ours"]["mean"] > row["honest_summary"]["mean"]
    page = (tmp_path / "report.html").read_text()
    assert "LEAKY" in page
    assert shown(row["honest_summary"], "%") in page
    (line,) = [x for x in page_of([result]).split("\n") if x.startswith("| shuffled")]
    assert LEAKY + " (train and test windows share samples) " + shown(row["ours"], "%") in line
    assert shown(row["honest_summary"], "%") in line
    assert "66.6 ± 6.4 (verified: Somebody 1999)" in line


def test_the_papers_figure_never_stands_beside_simulated_recordings(system, tmp_path):
    def measure(context):
        """A title"""
        yield Row("on an armband", (0.5, 0.75), PAPER, data="an armband")
        yield Row("on nobody", (0.25, 0.5), PAPER, data="simulated (preset myo)")

    result = reproduce(system(measure), out=tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("Somebody 1999") == 1
    text = page_of([result])
    real, simulated = text.split("## Check of the code on simulated recordings")
    assert "on an armband" in real
    assert "Somebody 1999" in real
    assert "published, other recordings" in real
    assert "on nobody" in simulated
    assert "Somebody" not in simulated
    assert "published" not in simulated


def test_the_front_page_counts_for_how_many_people_a_claim_holds(system, tmp_path):
    better, worse = (0.9, 0.8, 0.7, 0.9, 0.8, 0.7), (0.5, 0.6, 0.5, 0.4, 0.5, 0.75)

    def measure(context):
        """A title"""
        yield Row("new", better, data="an armband")
        yield Row("old", worse, data="an armband")
        yield Row("shuffled", better, data="an armband", leaky=True, why_leaky="shared", honest=worse)

    result = reproduce(system(measure), out=tmp_path)
    claim = {"system": "tiny_system", "finding": "New is better.", "paper": "90 %", "result": "kept", "setting": "new"}
    shifted = claim | {"at_least": 0.65}
    page = index({"kept": result}, [claim | {"against": "old"}, claim | {"setting": "shuffled"}, claim, shifted])
    first, leaky, alone, threshold = [line for line in page.split("\n") if line.startswith("| [tiny_system]")]
    # Five of six differences are positive; the sixth is the smallest, so W = 1 and p = 2 * 2 / 2 ** 6. Of the three tests
    # the smallest p's, 2 / 2 ** 6, are multiplied by 3 and 2, and no p is below a smaller one's: all are 3 * 2 / 2 ** 6.
    assert "80.0 ± 8.9 against 54.2 ± 12.0 | as ours | 6 people, an armband | not shown: 5 of 6, p = 0.094 |" in first
    assert LEAKY + " 80.0 ± 8.9 | 54.2 ± 12.0 | 6 people, an armband | the score is the split's" in leaky
    assert "| +80.0 ± 8.9 points | as ours | 6 people, an armband | not shown: 6 of 6, p = 0.094 |" in alone
    assert "| 80.0 ± 8.9 | as ours | 6 people, an armband | not shown: 6 of 6, p = 0.094 |" in threshold
    (alone,) = [line for line in index({"kept": result}, [claim]).split("\n") if line.startswith("| [tiny_system]")]
    assert "| holds: 6 of 6, p = 0.031 |" in alone
    with pytest.raises(ResultsError, match="0 rows of tiny_system are '', 'newer'; there are : new; : old"):
        index({"kept": result}, [claim | {"setting": "newer"}])
    with pytest.raises(ResultsError, match="names the result 'lost'; stored are kept"):
        index({"kept": result}, [claim | {"result": "lost"}])


def test_a_few_people_are_counted_and_not_tested(system, tmp_path):
    def measure(context):
        """A title"""
        yield Row("new", (0.9, 0.8, 0.7), data="an armband")

    result = reproduce(system(measure), out=tmp_path)
    claim = {"system": "tiny_system", "finding": "f", "paper": "", "result": "kept", "setting": "new"}
    unknown = {"system": "tiny_system", "finding": "f", "paper": "95 %", "why": "no recordings"}
    page = index({"kept": result}, [claim, unknown])
    assert "| as ours | 3 people, an armband | 3 of 3; too few to test |" in page
    assert "| 95 % | none |  |  | no recordings |" in page


def test_folds_of_one_person_are_not_tested_as_people(system, tmp_path):
    def measure(context):
        """A title"""
        yield Row("new", (0.9, 0.8, 0.7) * 2, data="an armband", over="folds")

    result = reproduce(system(measure), out=tmp_path)
    claim = {"system": "tiny_system", "finding": "f", "paper": "", "result": "kept", "setting": "new"}
    assert "| as ours | 6 folds, an armband | 6 of 6; one person; a remark |" in index(
        {"kept": result}, [claim | {"remark": "a remark"}]
    )


def test_the_page_has_the_table_of_what_differs(system, tmp_path):
    @differs(Difference("epoch", "best on test", "last", "no choice | on test"))
    def measure(context):
        """A title"""
        yield Row("row", (1.0,))

    result = reproduce(system(measure), out=tmp_path)
    assert "| epoch | best on test | last | no choice \\| on test |" in page_of([result])
    assert "no choice | on test" in (tmp_path / "report.html").read_text()


def test_people_are_joined_by_lines_where_a_claim_compares_settings(system, tmp_path):
    def measure(context):
        """A title"""
        yield Row("new", (0.9, 0.8, 0.7), data="an armband", section="s")
        yield Row("old", (0.5, 0.6, 0.5), data="an armband", section="s")
        yield Row("one", (0.5,), data="an armband", section="s")

    result = reproduce(system(measure), out=tmp_path)
    claim = {"system": "tiny_system", "result": "kept", "setting": "new", "against": "old"}
    assert pairs({"kept": result}, [claim, claim | {"result": "another"}]) == {"s": [["old", "new"]]}
    assert page_of([result], {"s": [["old", "new"]]}).count('class="person"') == 3
    assert 'class="person"' not in page_of([result], {"s": [["one", "new"]]})
    assert 'class="person"' not in page_of([result])


def test_a_distribution_is_the_share_of_values_at_or_below_each():
    figure = {"ecdf": {"RMS": {"p = 0": [0.75, 0.25, 1.0, 0.5], "p = 20": [-3.0, 1.0]}}, "x": "R²", "least": 0.0}
    four, two = (re.findall(r"[HV]([\d.]+)", path) for path in re.findall(r' d="(M.*?)"', draw(figure)))
    left, right = 56.0, 366.0  # where the axis, from 0 to 1, begins and ends
    assert [float(x) for x in four[::2]] == pytest.approx(
        [left + 310 * v for v in (0.25, 0.5, 0.75, 1.0, 1.0)], abs=0.1
    )
    bottom, tall = 174.0, 150.0
    assert [(bottom - float(y)) / tall for y in four[1::2]] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert [float(x) for x in two[::2]] == pytest.approx([left, right, right], abs=0.1)  # -3 stands at the axis's start
    assert [(bottom - float(y)) / tall for y in two[1::2]] == pytest.approx([0.5, 1.0])


def test_bars_show_leaky_scores_above_honest_ones():
    row = {"setting": "a", "unit": "%", "values": [0.5, 0.7], "honest": [0.2, 0.3], "leaky": True}
    chart = bars_of([row, row | {"leaky": False, "honest": None}])
    assert "LEAKY 60.0%" in chart
    assert "honest 25.0%" in chart
    assert chart.count("<rect") == 2
    assert bars_of([row | {"leaky": False, "honest": None}]) == ""
    assert bars_of([row | {"honest": [None, None]}]) == ""  # the method that is best on others, of one person
    assert "honest 30.0%" in bars_of([row | {"honest": [None, 0.3]}])


def test_runs_with_more_people_come_first():
    row = Row("row", (0.5, 0.6), data="one", section="two people").as_dict()
    day = Row("row", (0.5, 0.6, 0.7), data="two", section="three days", over="later days").as_dict()
    shared = {"name": "n", "title": "t", "about": "t", "dataset": None, "kind": "full", "n_seeds": 1, "wall_s": 60.0}
    shared |= {"finished": "today", "figures": []}
    text = page_of([shared | {"rows": [day]}, shared | {"rows": [row]}])
    assert text.index("two people") < text.index("three days")


def test_the_stored_pages_are_those_of_the_stored_results(tmp_path):
    docs = Path(__file__).parents[1] / "docs"
    if not (docs / "results").is_dir():
        pytest.skip("the installed package has no docs")
    stored = {path.stem: load_result(path) for path in sorted((docs / "results").glob("*.json"))}
    written = write_docs(stored, docs / "claims.json", tmp_path, describe_system)
    assert len(written) == 7
    for path in written:
        assert (docs / "systems" / path.name).read_text() == path.read_text(), (
            f"docs/systems/{path.name} is out of date: run `myograph reproduce --docs`"
        )
    for name in REPRODUCTIONS:
        assert f"]({name}.md)" in (docs / "systems" / "index.md").read_text()
        assert len(differences_of(REPRODUCTIONS[name])) >= 8


def test_dots_show_every_person_and_the_honest_ones_beside_leaky():
    row = {"setting": "a", "unit": "%", "values": [0.5, 0.7], "honest": [0.2, 0.3], "leaky": True}
    chart = dots_of([row, row | {"setting": "b", "honest": None, "leaky": False}, row | {"unit": "R²"}])
    assert chart.count('class="bad"') == 2
    assert chart.count('class="good"') == 2
    assert chart.count('class="c0"') == 2
    assert dots_of([row | {"values": [0.5]}]) == ""
    assert dots_of([row | {"values": [None, 0.5], "honest": None, "leaky": False}]) == ""
    assert dots_of([row | {"values": [None, 0.5, 0.7], "honest": None, "leaky": False}]).count("<circle") == 2


@pytest.mark.parametrize(
    "row",
    [
        {"leaky": True, "why_leaky": "shared samples"},
        {"leaky": True, "honest": (0.5,)},
        {"honest": (0.5,)},
        {"why_leaky": "shared samples"},
    ],
)
def test_no_leaky_row_without_its_reason_and_its_honest_score(row):
    with pytest.raises(ConfigError, match="needs a reason and an honest score"):
        Row("setting", (0.9,), **row)


def test_markdown_says_the_command_that_made_it(system, tmp_path):
    def measure(context):
        """A title"""
        yield Row("row", (0.25, 0.75), data="somewhere", unit="mm")

    result = reproduce(system(measure), quick=False, dataset="ninapro_db1", out=tmp_path)
    text = page_of([result])
    assert "`myograph reproduce tiny_system --dataset ninapro_db1 --full`" in text
    assert "0.500 ± 0.354" in text  # half of 0.25 and 0.75 apart: sqrt(2 * 0.25 ** 2)
    assert "reproduce tiny_system --dataset ninapro_db1 --full" in (tmp_path / "report.html").read_text()


def test_no_page_is_written_over_where_there_are_no_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("a page")
    found = CliRunner().invoke(app, ["reproduce", "--docs"])
    assert isinstance(found.exception, ResultsError)
    assert "contains no results" in str(found.exception)
    assert (tmp_path / "docs" / "index.md").read_text() == "a page"


def test_a_full_run_misses_its_data_before_it_starts(tmp_path, monkeypatch):
    from myograph.datasets.base import DATASETS

    monkeypatch.setenv("MYOGRAPH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MYOGRAPH_CACHE", str(tmp_path / "cache"))
    for name in ("ninapro_db1", "ice_lab"):
        DATASETS.create(name).write_miniature(tmp_path / "data" / name, np.random.default_rng(0))
    said = []
    for system, here, missing in (
        ("atzori2016", "ninapro_db1", "ninapro_db2"),
        ("hd_mobilenet", "ice_lab", "csl_hdemg"),
    ):
        with pytest.raises(
            DataError, match=rf"{missing}: there is no .*--full --dataset {here}` uses the data that are present"
        ):
            reproduce(system, False, out=tmp_path / system, progress=lambda what, done, total: said.append(what))
    assert not [what for what in said if "rows" not in what]


def test_two_runs_do_not_share_a_folder(system, tmp_path):
    def measure(context):
        """A title"""
        yield Row("row", (1.0,))

    name = system(measure)
    reproduce(name, out=tmp_path)
    with pytest.raises(Exception, match="another"), only_run_in(tmp_path, "reproduce something else"):
        pass


def test_another_run_in_the_folder_is_told_apart_in_words(system, tmp_path):
    def measure(context):
        """A title"""
        yield Row("row", (1.0,))

    name = system(measure)
    reproduce(name, out=tmp_path)
    words = "identity 'reproduce tiny_system quick None 1', this one is 'reproduce tiny_system quick None 2'"
    with pytest.raises(ResultsError, match=words):
        reproduce(name, n_seeds=2, out=tmp_path)


def test_seeds_are_counted_from_one(system, tmp_path):
    with pytest.raises(ConfigError, match="n_seeds"):
        reproduce("atzori2016", n_seeds=0, out=tmp_path)


def test_sections_of_the_page_keep_their_order(system, tmp_path):
    def measure(context):
        """A title"""
        for section in ("Later", "Earlier", "later"):
            yield Row("row", (1.0,), section=section)

    reproduce(system(measure), out=tmp_path)
    assert re.findall("<h3>(.*?)</h3>", (tmp_path / "report.html").read_text()) == ["Later", "Earlier", "later"]


def test_the_page_names_the_data_of_a_section_once_or_row_by_row(system, tmp_path):
    def measure(context):
        """A title"""
        for section, *data in (("one", "simulated (a)", "simulated (a)"), ("two", "simulated (b)", "real (c)")):
            for name in data:
                yield Row("row", (1.0,), section=section, data=name)

    reproduce(system(measure), out=tmp_path)
    _, one, two = (tmp_path / "report.html").read_text().split("<h3>")
    assert one.count("Ran on simulated (a).") == one.count("simulated (a)") == 1
    assert "Ran on" not in two
    assert re.findall(r"<td class=\"wrap\">(.+?)</td>", two) == ["simulated (b)", "real (c)"]


@pytest.mark.parametrize(
    ("n", "over", "text"), [(1, "folds", "1 fold"), (4, "folds", "4 folds"), (1, "later days", "1 later day")]
)
def test_one_is_not_several(n, over, text):
    assert counted({"ours": {"n": n}, "over": over}) == text


def test_folds_of_an_honest_score_are_counted_apart():
    row = Row("a", (1.0,), honest=(0.8, 0.9), leaky=True, why_leaky="shared samples", over="folds").as_dict()
    assert counted(row) == "1 fold (honest: 2)"
    assert counted(row | {"honest": [0.8]}) == "1 fold"
