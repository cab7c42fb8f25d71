"""Findings on the recordings of a run: printed by `run`, kept until the files change, and shown by `datasets check`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from myograph.cli import terminal
from myograph.cli.app import main
from myograph.datasets import checks
from myograph.datasets.base import DATASETS, get
from myograph.datasets.checks import check_run
from myograph.datasets.load import load


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recordings of which one lost 3 seconds, and a cache of its own."""
    monkeypatch.setenv("MYOGRAPH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "my [data]"
    DATASETS.create("folder").write_miniature(folder, np.random.default_rng(0))
    path = folder / "ben" / "day1" / "fist_2.csv"
    lines = path.read_text().splitlines()
    late = [f"{float(t) + 3:.6f},{rest}" for t, _, rest in (line.partition(",") for line in lines[61:])]
    path.write_text("\n".join([*lines[:61], *late]) + "\n")
    return folder


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["myograph", *words])
        for console, stream in ((terminal.out, sys.stdout), (terminal.err, sys.stderr)):
            monkeypatch.setattr(console, "_file", stream)
            monkeypatch.setattr(console, "_width", 200)
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), capsys.readouterr().out

    return run


def test_run_says_how_many_and_the_command_shows_them(own: Path, call) -> None:
    toml = str(own / "dataset.toml")
    status, text = call("run", "--dataset", "folder", "--set", f"dataset.path={toml}", "--method", "lda", "--jobs", "1")
    assert status == 0
    (line,) = [line for line in text.splitlines() if line.startswith("signal checks:")]
    counts, _, command = line.partition("; to see them: myograph ")
    assert command == f"datasets check folder --set 'dataset.path={toml}'"
    status, shown = call(*command.replace("'", "").split(" --set ", 1)[0].split(), "--set", f"path={toml}")
    assert status == 0
    assert "samples 60 and 61 are" in shown
    n = sum(int(part.split()[0]) for part in counts.removeprefix("signal checks: ").split(", "))
    levels = [w for w in shown.replace("│", " ").split() if w in ("error", "warning", "note")]
    assert len(levels) == n > 0


def test_findings_are_kept_until_a_file_changes(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = get(str(own / "dataset.toml"))
    recordings = load(dataset)
    first = check_run(dataset, own, recordings)
    assert any("samples 60 and 61 are" in f.what for f in first)
    looked: list[str] = []
    whole = checks.of_items
    monkeypatch.setattr(checks, "of_items", lambda d, s, i: (looked.append(s), whole(d, s, i))[1])
    assert check_run(dataset, own, recordings) == first
    assert looked == []
    path = own / "ben" / "day1" / "fist_2.csv"
    path.write_text((own / "ben" / "day1" / "fist_3.csv").read_text())
    again = check_run(dataset, own, load(dataset))
    assert looked == ["ben"]
    assert not any("samples 60 and 61 are" in f.what for f in again)
    assert any("of the samples of one are also in the other" in f.what for f in again) or again != first
    for kept in (own.parent / "cache" / "checked").iterdir():
        kept.write_text('{"findings": [{"level": 1}], "prints": 3}')
    assert check_run(dataset, own, load(dataset)) == again  # damaged ones are made again


def test_generated_data_have_none() -> None:
    dataset = get("simulated", n_subjects=1, n_gestures=1)
    assert check_run(dataset, Path(), []) == []
