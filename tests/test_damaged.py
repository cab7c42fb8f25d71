"""Random damage to everything that a run keeps: its folder, its folds, the decoded copy of its data, compiled loops.

Whatever happens to these files, what is read back is the same result, or an error of myograph says that it is not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from myograph import Windowing, WithinSubject
from myograph.datasets import DATASETS
from myograph.errors import MyographError
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.evaluation.scores import Scores

RECIPE = Recipe("damaged", "3dc", WithinSubject((2, 4)), "lda", windowing=Windowing(100, 50))


def flip(file: Path, files: list[Path], rng: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    file.write_bytes(content)


def truncate(file: Path, files: list[Path], rng: np.random.Generator) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.integers(len(content))])


def delete(file: Path, files: list[Path], rng: np.random.Generator) -> None:
    file.unlink()


def swap(file: Path, files: list[Path], rng: np.random.Generator) -> None:
    alike = [f for f in files if f != file and f.suffix == file.suffix] or [f for f in files if f != file]
    other = alike[rng.integers(len(alike))]
    one, two = file.read_bytes(), other.read_bytes()
    file.write_bytes(two)
    other.write_bytes(one)


def edit(file: Path, files: list[Path], rng: np.random.Generator) -> None:
    """Another value at one place of a JSON file, which stays well formed."""
    texts = [f for f in files if f.suffix == ".json"]
    file = file if file in texts else texts[rng.integers(len(texts))]
    whole = json.loads(file.read_text())
    places: list[tuple[Any, Any]] = []
    todo = [whole]
    while todo:
        inside = todo.pop()
        for key in inside if isinstance(inside, dict) else range(len(inside)):
            places.append((inside, key))
            if isinstance(inside[key], (dict, list)):
                todo.append(inside[key])
    inside, key = places[rng.integers(len(places))]
    old = inside[key]
    new = [None, "other", 7, [], {}, {"a": [1]}, not old, old + 1 if isinstance(old, (int, float)) else f"{old} "]
    inside[key] = next(new[i] for i in rng.permutation(len(new)) if new[i] != old)
    file.write_text(json.dumps(whole))


WAYS: list[Callable[[Path, list[Path], np.random.Generator], None]] = [flip, truncate, delete, swap, edit]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with the data, the decoded copy of them, and a finished run."""
    home = tmp_path_factory.mktemp("kept")
    DATASETS.create("3dc").write_miniature(home / "data" / "3dc", np.random.default_rng(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYOGRAPH_DATA", str(home / "data"))
        patch.setenv("MYOGRAPH_CACHE", str(home / "cache"))
        evaluate(RECIPE, out=home / "run")
        yield home


def same(found: Scores, whole: Scores) -> None:
    pd.testing.assert_frame_equal(found.predictions, whole.predictions)
    pd.testing.assert_frame_equal(found.folds.drop(columns="seconds"), whole.folds.drop(columns="seconds"))
    for key in ("audit", "settings", "identity", "data_hashes", "facts", "labels", "leaky"):
        assert found.info[key] == whole.info[key]


def damage_and_read(kept: Path, whole: Scores, way: Callable, rng: np.random.Generator) -> list[str]:
    """What was said of one damage: the errors of reading the run and of running the recipe again in its folder."""
    for name in ("run", "cache"):
        shutil.rmtree(kept / name)
        shutil.copytree(kept / f"{name}-whole", kept / name)
    place = kept / ("run", "cache/decoded")[rng.integers(2)]
    files = sorted(f for f in place.rglob("*") if f.is_file() and f.stat().st_size and f.name != ".lock")
    way(files[rng.integers(len(files))], files, rng)
    said = []
    for read in (lambda: Scores.load(kept / "run"), lambda: evaluate(RECIPE, out=kept / "run")):
        try:
            same(read(), whole)
        except MyographError as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


def damaged(kept: Path, seeds: range) -> list[list[str]]:
    whole = Scores.load(kept / "run")
    for name in ("run", "cache"):
        if not (kept / f"{name}-whole").exists():
            shutil.copytree(kept / name, kept / f"{name}-whole")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a damaged copy is made again, and says so
        return [damage_and_read(kept, whole, WAYS[seed % len(WAYS)], np.random.default_rng(seed)) for seed in seeds]


def test_ten_random_damages_give_the_same_result_or_an_error_of_ours(kept):
    assert any(damaged(kept, range(10)))


@pytest.mark.nightly
def test_sixty_random_damages_give_the_same_result_or_an_error_of_ours(kept):
    said = damaged(kept, range(100, 160))
    assert 10 < sum(map(bool, said)) < 60


KERNELS = """
import numpy as np
from myograph._common.content import marks_of
from myograph.features._dwt import dwt
print(marks_of(np.sin(np.arange(400.0) ** 1.5)[None], 60).at.tolist())
print(dwt(np.arange(8.0)[None], np.array([0.5, 0.5]), np.array([0.5, -0.5]))[0].tolist())
"""


@pytest.mark.nightly
def test_random_damage_to_compiled_loops_makes_no_difference(tmp_path):
    def run() -> str:
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", KERNELS], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    sound = run()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        files = sorted(tmp_path.rglob("*.nb?"))
        assert len(files) == 4
        WAYS[seed % 4](files[rng.integers(4)], files, rng)
        assert run() == sound
