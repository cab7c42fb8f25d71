from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from conftest import make_recording
from myograph import KFoldRepetitions, LeakyShuffledWindows, Windowing, WithinSubject
from myograph.errors import ResultsError
from myograph.evaluation.recipe import Published, Recipe
from myograph.evaluation.report import charts as _charts
from myograph.evaluation.report.page import render, write_report
from myograph.evaluation.run import evaluate


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    rng = np.random.default_rng(0)
    names = ("fist & <b>open</b>", "point", "rest of hand")
    recordings = [make_recording(rng, subject=s, names=names) for s in ("1", "2")]
    paper = Published("all", 66.59, 6.4, "Table 2, doi:10.0/0", "verified")
    recipe = Recipe("page", "my own", WithinSubject((2, 5)), "lda", windowing=Windowing(100, 50), published=(paper,))
    return evaluate(recipe, recordings, out=tmp_path_factory.mktemp("run") / "run", command="myograph run page")


class Outline(HTMLParser):
    """Tags that are open at the end, and everything a browser would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "br", "rect", "line", "circle", "path", "img"):
            self.open.append(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href") and v]

    def handle_endtag(self, tag):
        if tag in ("rect", "line", "circle"):
            return
        if tag == "path":
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(scores):
    page = render(scores)
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert outline.fetched == []
    assert not re.search(r"https?://|@import|url\(", page)
    text = " ".join(outline.text)
    assert f"{100 * scores.summary['accuracy']['mean']:.1f} %" in text
    assert "Audit passed" in text
    assert "66.59" in text
    assert "myograph run page" in text
    assert scores.info["identity"] in text


def test_labels_are_text_never_markup(scores):
    page = render(scores)
    assert "<b>open</b>" not in page
    assert "fist &amp; &lt;b&gt;open" in page


def test_every_cell_of_the_confusion_matrix_is_there(scores):
    chart = _charts.matrix(scores.confusion, scores.labels)
    assert chart.count('class="cell') == 9
    total = sum(int(n) for n in re.findall(r'data-tip="[^"]*\((\d+) of', chart))
    assert total == len(scores.predictions)


def test_bars_are_as_long_as_their_values():
    chart = _charts.bars(["a", "b", "c"], [0.5, 1.0, 0.0])
    sizes = [float(w) for w in re.findall(r'class="bar " x="\d+" y="\d+" width="([\d.]+)"', chart)]
    assert sizes[0] == pytest.approx(sizes[1] / 2, rel=0.01)
    assert sizes[2] == 1


def test_scores_kept_in_memory_need_a_path(scores, tmp_path):
    rng = np.random.default_rng(0)
    recipe = Recipe("page", "my own", LeakyShuffledWindows(honest=KFoldRepetitions(2)), windowing=Windowing(100, 50))
    leaky = evaluate(recipe, [make_recording(rng)])
    with pytest.raises(ResultsError, match="give write_report a path"):
        write_report(leaky)
    page = write_report(leaky, tmp_path / "page.html").read_text()
    assert "LEAKY" in page
    assert "Audit passed" not in page
    assert write_report(scores).name == "report.html"


def test_the_reliability_diagram_has_a_dot_for_each_bin_that_holds_windows(scores):
    bins = scores.reliability
    assert bins["n"].sum() == len(scores.predictions)
    chart = _charts.reliability(bins)
    assert chart.count("<circle") == len(bins)
    first = bins.iloc[0]
    note = f"confidence {first['confidence']:.1%}, accuracy {first['accuracy']:.1%}, {int(first['n'])} windows"
    assert note in chart
    assert note in render(scores)


def test_without_probabilities_there_is_no_reliability_diagram(scores):
    import dataclasses

    blind = dataclasses.replace(scores, predictions=scores.predictions.assign(confidence=np.nan))
    assert "Reliability diagram" in render(scores)
    assert "Reliability diagram" not in render(blind)
    assert blind.as_dict()["reliability"] == []
