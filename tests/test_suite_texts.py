"""What a suite tells: reasons for cells without scores, and the tables of its page."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

from myograph.cli.benchmark import by_reason
from myograph.evaluation.report.suite import overviews


def test_cells_without_scores_are_told_once_per_reason():
    messages = [f"{name}: no labels" for name in ("a", "a", "b", "c", "d", "e")]
    assert by_reason([*messages, "f: one person: too few"]) == [
        "6 cells: no labels (a, b, c, and 2 more recipes)",
        "f: one person: too few",
    ]
    assert by_reason([]) == []


def test_groups_with_mostly_the_same_methods_share_a_table():
    def group(title, **means):
        return SimpleNamespace(
            title=title, values=pd.DataFrame({name: [value, value] for name, value in means.items()})
        )

    classical = [group(f"set {i}", lda=0.5 + i / 10, knn=0.4) for i in range(3)]
    first, second = overviews([classical[0], group("set 0, short", ding=0.1, atzori=0.2, lda=0.3), *classical[1:]])
    assert (first.index.name, first.index.tolist()) == ("data, protocol", ["set 0", "set 1", "set 2"])
    assert first["lda"].round(3).tolist() == [0.5, 0.6, 0.7]
    assert (second.index.name, second["set 0, short"]["ding"]) == ("method", 0.1)
