"""Where recording began again (another file, a gap), nothing spans the joint: filters, windows, hand-made tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myograph import Recording, Windowing, Windows
from myograph.datasets.base import DATASETS
from myograph.errors import WindowError
from myograph.methods import METHODS
from myograph.preprocessing.bursts import Bursts
from myograph.preprocessing.filters import BandPass, HighPass, MovingRMS, Resample, ZeroPhase
from myograph.recording import one_after_another


def recording(n: int = 1000, offset: float = 0.0, seed: int = 0, label: int = 0) -> Recording:
    signal = np.random.default_rng(seed).normal(size=(2, n)) * 10 + offset
    return Recording(signal, 1000.0, np.full(n, label), "1", np.ones(n, int), label_names=("a", "b"))


PARTS = [recording(1000, 5000.0, 0), recording(700, -5000.0, 1), recording(900, 0.0, 2, label=1)]


@pytest.mark.parametrize(
    "one", [HighPass(20.0), BandPass(20.0, 400.0), MovingRMS(50.0), Resample(500.0), ZeroPhase(HighPass(20.0))], ids=str
)
def test_each_file_is_filtered_as_if_it_were_alone(one) -> None:
    joined = one.apply(one_after_another(PARTS))
    alone = [one.apply(p) for p in PARTS]
    np.testing.assert_array_equal(joined.signal, np.concatenate([p.signal for p in alone], axis=1))
    assert joined.breaks == tuple(np.cumsum([p.n_samples for p in alone])[:-1].tolist())
    assert joined.rate_hz == alone[0].rate_hz
    np.testing.assert_array_equal(joined.label, np.concatenate([p.label for p in alone]))


@pytest.mark.parametrize("future_ms", [0.0, 100.0])
@pytest.mark.parametrize("rule", ["pure", "majority"])
def test_windows_of_joined_files_are_those_of_the_files(rule: str, future_ms: float) -> None:
    windowing = Windowing(200, 70, rule, future_ms)  # type: ignore[arg-type]
    joined = Windows.cut(one_after_another(PARTS), windowing)
    alone = [Windows.cut(p, windowing) for p in PARTS]
    starts = np.cumsum([0] + [p.n_samples for p in PARTS[:-1]])
    expected = np.concatenate([w.column("start") + s for w, s in zip(alone, starts)])
    np.testing.assert_array_equal(joined.column("start"), expected)
    np.testing.assert_array_equal(joined.y, np.concatenate([w.y for w in alone]))


def test_bursts_do_not_span_a_break() -> None:
    loud = np.repeat([0.1, 10.0, 0.1], [4000, 1000, 4000])
    signal = np.random.default_rng(0).normal(size=(1, 9000)) * loud
    r = Recording(signal, 1000.0, np.zeros(9000, int), "1", label_names=("x",))
    assert len(Windows.cut(r, Bursts(500.0))) == 1
    with pytest.raises(WindowError, match="finds no window"):
        Windows.cut(replace(r, breaks=(4200,)), Bursts(500.0))


def test_a_table_with_a_window_over_a_break_is_refused() -> None:
    windows = Windows.cut(one_after_another(PARTS[:2]), Windowing(200, 200))
    with pytest.raises(WindowError, match="samples 900 to 1100, spans a break"):
        windows.with_columns(start=windows.column("start") + 100, stop=windows.column("stop") + 100)


def test_parts_and_joining_are_inverse() -> None:
    joined = one_after_another(PARTS)
    assert joined.breaks == (1000, 1700)
    assert [p.content_hash for p in joined.parts()] == [p.content_hash for p in PARTS]
    assert one_after_another([joined, PARTS[0]]).breaks == (1000, 1700, 2600)


@pytest.mark.parametrize("name", ["3dc", "myoarmband", "longterm_myo", "capgmyo", "csl_hdemg", "folder"])
def test_data_sets_of_one_file_per_trial_have_a_break_at_every_trial(name: str, tmp_path: Path) -> None:
    dataset = DATASETS.create(name)
    dataset.write_miniature(tmp_path, np.random.default_rng(0))
    first = next(iter(dataset.read(tmp_path)))
    trials = len({(a, b) for a, b in zip(first.label.tolist(), first.repetition.tolist())})
    assert len(first.stretches()) == trials
    assert trials > 1


def test_unlabelled_recordings_are_cut_and_predicted() -> None:
    labelled = Windows.cut(PARTS, Windowing(200, 100))
    bare = Windows.cut(Recording(PARTS[0].signal, 1000.0, None, "2"), Windowing(200, 100))
    assert len(bare) == 9
    with pytest.raises(WindowError, match="have no labels: they can be predicted"):
        _ = bare.y
    method = METHODS.create("lda").fit(labelled, labelled.y)
    assert set(method.predict(bare)) <= {"a", "b"}
    with pytest.raises(WindowError, match="1 of 2 recordings have no labels"):
        Windows.cut([PARTS[0], Recording(PARTS[0].signal, 1000.0, None, "2")])
