"""Leg muscles: the miniature, the published walk with figures read from its text by hand, and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myograph import evaluate
from myograph.datasets.leg_muscles import MUSCLES, LegMuscles
from myograph.datasets.load import load
from myograph.errors import ConfigError, DataError
from myograph.evaluation.recipe import baseline
from test_readers_real import real


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    LegMuscles().write_miniature(tmp_path, np.random.default_rng(0))
    return tmp_path


def test_each_muscle_is_a_recording_and_each_cycle_a_repetition(folder: Path) -> None:
    recordings = list(LegMuscles().read(folder, ["2"]))
    assert [r.label_names[r.label[-1]] for r in recordings] == list(MUSCLES.values())
    for r in recordings:
        assert r.signal.shape == (1, 6200)
        assert (r.label[:200] == -1).all()
        assert r.repetition[[199, 200, 1199, 1200, 6199]].tolist() == [0, 1, 1, 2, 6]
    (walk,) = LegMuscles(task="phase").read(folder, ["2"])
    assert walk.signal.shape == (13, 6200)
    assert walk.label[[0, 200, 799, 800, 1199, 1200]].tolist() == [-1, 0, 0, 1, 1, 0]
    np.testing.assert_array_equal(walk.signal[4], recordings[4].signal[0])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("walk.csv", lambda t: t[: t.index("3.0")], r"walk\.csv is cut short: it ends after"),
        ("walk.csv", lambda t: t.replace("SO", "S0"), r"lacks the columns SO"),
        ("walk.csv", lambda t: t.replace("\n0.02,", "\n0.5,", 1), "are not 1 ms apart"),
        ("cycles.csv", lambda t: t.replace("0.814", "1.314"), "do not alternate"),
        ("cycles.csv", lambda t: t[:-4] + "x", "line|number"),
    ],
)
def test_damage_is_named(folder: Path, name: str, change, message: str) -> None:
    path = folder / "leg_muscles" / "1" / name
    text = change(path.read_text())
    path.write_text(text[: text.rindex("\n") + 1] if "cut short" in message else text)
    with pytest.raises(DataError, match=message):
        list(LegMuscles().read(folder, ["1"]))


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="task must be"):
        LegMuscles(task="run")  # type: ignore[arg-type]


@pytest.mark.real_data
def test_the_published_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = real("leg_muscles")
    assert [r.n_samples for r in recordings] == [7618] * 13
    # The first and last rows of walk.csv.
    first = [r.signal[0, 0] for r in recordings]
    last = [r.signal[0, -1] for r in recordings]
    np.testing.assert_allclose(
        first,
        [
            0.201416,
            -6.44531,
            22.6593,
            -0.100708,
            -0.906372,
            7.35168,
            -1.3092,
            -7.35168,
            -44.3115,
            2.31628,
            8.8623,
            -8.35877,
            8.96301,
        ],
        rtol=1e-6,
    )
    np.testing.assert_allclose(last[-3:], [-1.3092, 8.45947, -9.36585], rtol=1e-6)
    # Six touchdowns, the first at 1.414 s; the recording starts at 0.014 s.
    starts = np.flatnonzero(np.diff(recordings[0].repetition)) + 1
    assert starts.tolist() == [1400, 2434, 3474, 4501, 5535, 6582]
    assert (recordings[0].label[:1400] == -1).all()
    (walk,) = load("leg_muscles", task="phase")
    assert int((walk.label == 0).sum()) == 660 + 667 + 653 + 653 + 667 + 653


@pytest.mark.real_data
def test_muscles_can_be_told_apart_a_little(tmp_path: Path) -> None:
    real("leg_muscles")
    scores = evaluate(baseline("leg_muscles", "lda"), out=tmp_path / "run", jobs=1)
    accuracy = scores.as_dict()["metrics"]["accuracy"]["mean"]
    assert accuracy > 3 / 13  # chance is 1 / 13
