"""A run's folder: whatever happens to its files, what is read back is the same result or a ResultsError."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline

from conftest import make_recording
from myograph import KFoldRepetitions, LeakyShuffledWindows, Windowing
from myograph._common.files import remove_temporary, sha256, write_atomically, written_beside
from myograph.errors import ResultsError
from myograph.evaluation.info import sha256_of
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.evaluation.scores import Scores
from myograph.evaluation.tables import ONE_FOLD, from_parquet, to_parquet

FILES = ("predictions.parquet", "scores.parquet", "run.json", "identity", "folds/0000.parquet", "folds/checksums.json")


class Power(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.log(np.asarray(X).var(axis=2) + 1e-6)


def recipe(seed=0, **changes):
    method = make_pipeline(Power(), LinearDiscriminantAnalysis())
    facts = {"protocol": KFoldRepetitions(2), "method": method, "windowing": Windowing(100, 100), "seed": seed}
    return Recipe("kept", "my own", **{**facts, **changes})


@pytest.fixture(scope="module")
def recordings():
    return [make_recording(np.random.default_rng(0), n_repetitions=2)]


@pytest.fixture(scope="module")
def other_recordings():
    """Of the same shape: files of a run on these have the same sizes, names and rows."""
    return [make_recording(np.random.default_rng(1), n_repetitions=2, informative=False)]


@pytest.fixture(scope="module")
def run(recordings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    evaluate(recipe(), recordings, out=folder)
    return folder


@pytest.fixture(scope="module")
def other(other_recordings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "other"
    evaluate(recipe(), other_recordings, out=folder)
    return folder


def damages(content: bytes, rng: np.random.Generator) -> list[bytes]:
    """73 ways to damage a file: bits flipped, bytes replaced, cut short, lengthened, emptied, another digit."""
    found = []
    for at in rng.integers(0, len(content), 30):
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(rng.integers(8))
        found.append(bytes(flipped))
    for at in rng.integers(0, len(content), 15):
        found.append(content[:at] + rng.bytes(int(min(20, len(content) - at))) + content[at + 20 :])
    found += [content[:at] for at in rng.integers(0, len(content), 12)]
    digits = np.flatnonzero(
        (np.frombuffer(content, np.uint8) >= ord("1")) & (np.frombuffer(content, np.uint8) <= ord("8"))
    )
    for at in rng.choice(digits, 10):  # in text, what is well formed still
        found.append(content[:at] + bytes([content[at] + 1]) + content[at + 1 :])
    return [*found, b"", content + b"\0", content[::-1], b"\xff\xfe" * 40, b"{}", b"[" * 100_000]


def same(found: Scores, whole: Scores) -> bool:
    """Everything that a run's folder holds; what `Scores` says is computed from it."""
    pd.testing.assert_frame_equal(found.predictions, whole.predictions)
    pd.testing.assert_frame_equal(found.folds, whole.folds)
    return found.info == whole.info


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_a_finished_run_is_an_error_or_makes_no_difference(run, tmp_path, name):
    whole, folder = Scores.load(run), tmp_path / "run"
    shutil.copytree(run, folder)
    content = (run / name).read_bytes()
    ways = damages(content, np.random.default_rng(0))
    assert len(ways) >= 60
    refusals = []
    for damaged in ways:
        (folder / name).write_bytes(damaged)
        try:
            assert same(Scores.load(folder), whole)
        except ResultsError as error:
            refusals.append(str(error))
    assert all("is damaged" in refusal for refusal in refusals)
    if name.startswith("folds"):  # not read any more
        assert not refusals
    else:
        assert len(refusals) >= 55


@pytest.mark.parametrize("name", ["folds/0000.parquet", "folds/checksums.json", "identity"])
def test_a_run_that_resumes_on_damaged_files_gives_the_same_result_or_an_error(run, recordings, tmp_path, name):
    whole, folder = Scores.load(run), tmp_path / "run"
    shutil.copytree(run, folder)
    for way in damages((run / name).read_bytes(), np.random.default_rng(1))[::8]:
        for left in ("run.json", "predictions.parquet", "scores.parquet"):
            (folder / left).unlink(missing_ok=True)
        (folder / name).write_bytes(way)
        if name == "identity":
            with pytest.raises(ResultsError, match="holds another run"):
                evaluate(recipe(), recordings, out=folder)
        else:
            found = evaluate(recipe(), recordings, out=folder)
            pd.testing.assert_frame_equal(found.predictions, whole.predictions)


def test_every_way_to_damage_a_kept_fold_is_seen(run, recordings):
    from myograph.evaluation.folds import KeptFolds
    from myograph.evaluation.run import prepare

    folder = run.parent / "seen"
    shutil.copytree(run, folder)
    identity = (run / "identity").read_text().strip()
    windows = prepare(recipe(), recordings)
    fold = next(iter(recipe().protocol.folds(windows)))
    whole = KeptFolds(folder, identity).get(0, fold)
    assert whole is not None
    path = folder / "folds" / "0000.parquet"
    for way in damages(path.read_bytes(), np.random.default_rng(2)):
        path.write_bytes(way)
        assert KeptFolds(folder, identity).get(0, fold) is None
    path.write_bytes((run / "folds" / "0000.parquet").read_bytes())
    assert KeptFolds(folder, identity).get(0, fold) is not None
    assert KeptFolds(folder, "another run").get(0, fold) is None
    assert KeptFolds(folder, identity, resume=False).get(0, fold) is None
    names = KeptFolds(folder, identity)
    assert names.get(0, type(fold)("another name", fold.train, fold.test)) is None
    assert names.get(0, type(fold)(fold.name, fold.train, fold.test[1:])) is None


@pytest.mark.parametrize("names", [[n] for n in FILES] + [["predictions.parquet", "scores.parquet"], list(FILES[:3])])
def test_files_of_another_run_are_refused(run, other, tmp_path, names):
    whole, folder = Scores.load(run), tmp_path / "run"
    shutil.copytree(run, folder)
    for name in names:
        assert (other / name).read_bytes() != (run / name).read_bytes() or name == "identity"
        shutil.copy(other / name, folder / name)
    if names[0].startswith("folds"):
        assert same(Scores.load(folder), whole)  # they are not read any more
    else:
        with pytest.raises(ResultsError, match="is damaged"):
            Scores.load(folder)


def test_folds_of_another_run_are_made_again(run, other, recordings, tmp_path):
    whole, folder = Scores.load(run), tmp_path / "run"
    shutil.copytree(run, folder)
    shutil.rmtree(folder / "folds")
    shutil.copytree(other / "folds", folder / "folds")
    seen = []
    found = evaluate(recipe(), recordings, out=folder, progress=lambda what, done, total: seen.append((what, done)))
    assert ("folds", 0) in seen
    pd.testing.assert_frame_equal(found.predictions, whole.predictions)
    assert whole.predictions["y_pred"].tolist() != Scores.load(other).predictions["y_pred"].tolist()


def test_a_run_edited_by_hand_with_a_right_checksum_is_still_looked_through(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    info = json.loads((run / "run.json").read_text())
    del info["sha256"]
    edits = {
        "audit": [{"fold": "a"}] * 2, "settings": [], "facts": None, "leaky": "no", "versions": [], "files": {},
        "labels": "abc", "glimpse": {**info["glimpse"], "low": [["a"]]}, "identity": "x", "data_hashes": [],
        "published": [{}], "wall_s": True, "settings.": {"protocol": "x"}, "honest": 3,
    }  # fmt: skip
    for key, value in edits.items():
        edited = {**info, key.rstrip("."): value}
        (folder / "run.json").write_text(json.dumps({**edited, "sha256": sha256_of(edited)}))
        with pytest.raises(ResultsError, match="is damaged"):
            Scores.load(folder)
    (folder / "run.json").write_text(json.dumps({"sha256": sha256_of(info), **info}))
    assert Scores.load(folder).predictions.shape[0] > 0


def test_fewer_predictions_than_the_folds_say_are_refused_even_with_right_checksums(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    fewer = to_parquet(Scores.load(run).predictions.iloc[:-3])
    (folder / "predictions.parquet").write_bytes(fewer)
    info = json.loads((run / "run.json").read_text())
    del info["sha256"]
    info["files"]["predictions.parquet"] = sha256(fewer)
    (folder / "run.json").write_text(json.dumps({**info, "sha256": sha256_of(info)}))
    with pytest.raises(ResultsError, match="differ in the number of test windows"):
        Scores.load(folder)


def test_the_honest_run_beside_a_leaky_one_is_its_own(recordings, other_recordings, tmp_path):
    leaky = recipe(protocol=LeakyShuffledWindows(honest=KFoldRepetitions(2)))
    evaluate(leaky, recordings, out=tmp_path / "a")
    evaluate(leaky, other_recordings, out=tmp_path / "b")
    assert Scores.load(tmp_path / "a").honest is not None
    shutil.rmtree(tmp_path / "a" / "honest")
    with pytest.raises(ResultsError, match="holds no run"):
        Scores.load(tmp_path / "a")
    shutil.copytree(tmp_path / "b" / "honest", tmp_path / "a" / "honest")
    with pytest.raises(ResultsError, match="holds another run than the one that belongs to"):
        Scores.load(tmp_path / "a")


def test_a_process_killed_while_it_writes_leaves_nothing_behind(recordings, tmp_path):
    script = f"""
        import os, signal
        from pathlib import Path
        from myograph._common.files import write_atomically, written_beside
        write_atomically(Path({str(tmp_path)!r}) / "run" / "folds" / "0000.parquet", lambda to: to.write_text("old"))
        with written_beside(Path({str(tmp_path)!r}) / "run" / "predictions.parquet") as temporary:
            temporary.write_text("half")
            with written_beside(Path({str(tmp_path)!r}) / "run" / "folds" / "0000.parquet") as inner:
                inner.write_text("half")
                os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)])
    assert done.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "run").rglob(".writing-*"))) == 2
    assert (tmp_path / "run" / "folds" / "0000.parquet").read_text() == "old"
    evaluate(recipe(), recordings, out=tmp_path / "run")
    assert not list((tmp_path / "run").rglob(".writing-*"))
    assert Scores.load(tmp_path / "run").predictions.shape[0] > 0


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    place = tmp_path / "file.txt"
    place.write_text("good")

    def fails(to: Path) -> None:
        to.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(place, fails)
    with contextlib.suppress(ValueError), written_beside(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("half")
        raise ValueError("stop")
    assert place.read_text() == "good"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_parquet_file_of_other_columns_or_types_is_refused():
    table = pd.DataFrame({"fold": ["a"], "row": [1]})
    with pytest.raises(ValueError, match="the columns are"):
        from_parquet(to_parquet(table), ONE_FOLD)
    nested = pd.DataFrame({"fold": [[1, 2]]})
    with pytest.raises(ValueError, match="expected fold"):
        from_parquet(to_parquet(nested), {"fold": "text"})
    for content in (b"", b"PAR1" * 5, b"\0" * 1000):
        with pytest.raises(ValueError, match="not a readable Parquet file"):
            from_parquet(content, ONE_FOLD)


class Unseen:
    """Holds something of which nothing can be said."""

    def __init__(self):
        self.stream = (i for i in range(3))

    def __call__(self, X):
        return np.log(np.asarray(X).var(axis=2) + 1e-6)


def test_a_run_whose_recipe_cannot_be_compared_does_not_resume_and_says_why(recordings, tmp_path):
    from sklearn.preprocessing import FunctionTransformer

    class Uncopied(FunctionTransformer):  # scikit-learn's clone would copy the function, and a generator has no copy
        def __sklearn_clone__(self):
            return Uncopied(self.func)

    def chosen():
        return recipe(method=make_pipeline(Uncopied(Unseen()), LinearDiscriminantAnalysis()))

    scores = evaluate(chosen(), recordings, out=tmp_path / "run")
    assert any("cannot resume" in note and "generator" in note for note in scores.notes)
    seen = []
    report = lambda what, done, total: seen.append((what, done))  # noqa: E731
    with pytest.warns(UserWarning, match=r"cannot resume.*stream \(generator\)"):
        evaluate(chosen(), recordings, out=tmp_path / "run", progress=report)
    assert ("folds", 0) in seen


def test_tidying_bears_a_folder_that_another_process_moves_while_it_is_listed(tmp_path, monkeypatch):
    def listing(self, pattern):
        raise FileNotFoundError(pattern)

    monkeypatch.setattr(Path, "glob", listing)
    remove_temporary(tmp_path)
