from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from myograph.cli import terminal
from myograph.datasets.base import DATASETS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with a miniature of 3DC in its own format."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "3dc").mkdir()
    DATASETS.create("3dc").write_miniature(folder / "3dc", np.random.default_rng(0))
    return folder


@pytest.fixture
def call(data, monkeypatch, command, tmp_path):
    """Run the command line beside the data: (exit status, stdout, stderr)."""
    monkeypatch.setenv("MYOGRAPH_DATA", str(data))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return command


def test_warnings_are_told_without_the_place_in_the_code_that_gave_them(data, tmp_path):
    words = ("run", "--dataset", "3dc", "--method", "lda", "--jobs", "1", "--out", str(tmp_path / "run"))
    environment = {**os.environ, "MYOGRAPH_DATA": str(data), "MYOGRAPH_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "myograph.cli", *words], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert "warning 3dc as published has a known defect: participants 19 and 21" in done.stderr
    assert "prepared.py" not in done.stderr
    assert "UserWarning" not in done.stderr


def test_json_is_one_object_and_nothing_else(call, tmp_path):
    status, out, _ = call(
        "run", "--dataset", "3dc", "--method", "lda", "--jobs", "1", "--out", str(tmp_path / "run"), "--json"
    )
    assert status == 0
    found = json.loads(out)
    assert found["protocol"] == "CrossSession"
    assert found["leaky"] is False
    assert found["audit"]["passed"] is True
    assert found["n_windows"] > 0
    assert found["run"] == str(tmp_path / "run")
    assert set(found["metrics"]["accuracy"]) == {"mean", "std", "low", "high", "n"}
    assert len(found["subjects"]) == len(found["folds"]) == 2
    assert found["wall_s"] > 0
    assert found["peak_memory_bytes"] > 1e6
    assert os.path.getsize(found["report"]) > 10_000


def test_a_run_shows_its_table_its_audit_and_its_report_and_can_be_shown_again(call, tmp_path):
    status, out, _ = call("run", "--dataset", "3dc", "--method", "lda", "--jobs", "1", "--out", str(tmp_path / "run"))
    assert status == 0
    assert "audit passed" in out
    assert "Accuracy" in out
    assert str(tmp_path / "run" / "report.html") in out
    again = call("report", str(tmp_path / "run"))[1]
    assert "audit passed" in again
    assert json.loads(call("report", str(tmp_path / "run"), "--json")[1])["recipe"] == "3dc-lda"


def test_a_leaky_run_says_so_in_every_place(call, tmp_path):
    words = ["--set", "protocol=LeakyShuffledWindows", "--jobs", "1", "--out", str(tmp_path / "run")]
    status, out, _ = call("run", "--dataset", "3dc", "--method", "lda", *words)
    assert status == 0
    assert "LEAKY" in out
    assert "honest (CrossSession)" in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "LEAKY: train and test share samples" in page
    assert "Audit passed" not in page
    found = json.loads(call("report", str(tmp_path / "run"), "--json")[1])
    assert found["leaky"] is True
    assert found["audit"]["passed"] is False
    assert found["honest"]["leaky"] is False


def test_subjects_seed_method_and_settings_reach_the_run(call, tmp_path):
    words = ["--subjects", "2", "--method", "knn", "--set", "method.k=3", "--set", "windowing.step_ms=100"]
    _, out, _ = call("run", "--dataset", "3dc", *words, "--seed", "5", "--jobs", "1", "--json")
    found = json.loads(out)
    assert [s["subject"] for s in found["subjects"]] == ["2"]
    assert found["method"] == "knn"
    assert found["seed"] == 5
    stored = json.loads((tmp_path / found["run"] / "run.json").read_text())
    assert stored["settings"]["method_options"] == {"k": 3}
    assert stored["settings"]["windowing"]["step_ms"] == 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--dataset", "3cd"), "no data set named '3cd'. Did you mean '3dc'"),
        (("run", "--dataset", "3dc", "--method", "ldaa"), "Did you mean 'lda'"),
        (("run", "demoo"), "Did you mean 'demo'"),
        (("run", "--dataset", "3dc", "--subjects", "99"), "no subject of 3dc named '99'"),
        (("run", "--dataset", "3dc", "--set", "windowing.lenght_ms=3"), "Did you mean 'length_ms'"),
        (("run", "--dataset", "myoarmband"), "myograph datasets fetch myoarmband"),
        (("rum",), "Did you mean 'run'"),
        (("features", "lits"), "no command named 'lits'. Did you mean 'list'? Known: list."),
        (("datasets", "info", "ninapro_db11"), "Did you mean 'ninapro_db1"),
        (("report", "nowhere"), "holds no run"),
        (
            ("run", "--dataset", "3dc", "--set", "protocol=CrossSession", "--set", "protocol.test_sessions=7,8"),
            "needs session 7, 8",
        ),
    ],
)
def test_errors_are_one_message_with_advice(call, words, message):
    status, out, err = call(*words)
    assert status in (1, 2)
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err
    assert out == ""


def test_a_group_of_commands_alone_is_its_help_and_no_empty_error(call):
    status, out, err = call("features")
    assert status == 2
    assert "list" in out + err
    assert "error" not in err


def test_an_interrupt_says_how_to_go_on(call, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("myograph.evaluation.run.evaluate", interrupted)
    status, _, err = call("run", "--dataset", "3dc")
    assert status == 130
    assert "repeat the command to resume" in " ".join(err.split())


def test_listings(call):
    names = {row["name"] for row in json.loads(call("datasets", "list", "--json")[1])}
    assert {"3dc", "myoarmband", "ninapro_db1", "simulated"} <= names
    assert {"lda", "svm", "knn", "random_forest", "atzori"} <= {
        r["name"] for r in json.loads(call("methods", "--json")[1])
    }
    assert "demo" in {r["name"] for r in json.loads(call("recipes", "--json")[1])}
    assert "MAV" in call("features", "list")[1]
    assert json.loads(call("datasets", "info", "3dc", "--json")[1])["here"] is True


def test_check_finds_what_is_missing_and_what_is_whole(call, data):
    status, out, _ = call("datasets", "check", "3dc", "--json")
    assert status == 0
    assert not [f for f in json.loads(out)["findings"] if f["level"] == "error"]
    victim = sorted((data / "3dc").rglob("*.txt"))[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2].rsplit(b",", 1)[0])
    try:
        status, out, _ = call("datasets", "check", "3dc", "--json")
        assert status == 1
        assert victim.name in out
    finally:
        victim.write_bytes(whole)


@pytest.mark.slow
def test_the_installed_command_starts(data):
    found = subprocess.run([sys.executable, "-m", "myograph.cli", "--help"], capture_output=True, text=True)
    assert found.returncode == 0
    assert "datasets" in found.stdout


def test_all_honest_protocols_stand_side_by_side(call, tmp_path):
    words = ("run", "--dataset", "3dc", "--method", "lda", "--jobs", "1", "--protocols", "all", "--out", str(tmp_path))
    found = json.loads(call(*words, "--json")[1])
    assert set(found["scores"]) | set(found["skipped"]) == {"new repetitions", "new sessions", "new people"}
    assert found["scores"]["new people"]["protocol"] == "LeaveOneSubjectOut"
    assert found["scores"]["new sessions"]["metrics"]["accuracy"]["n"] == 2
    for report in found["reports"].values():
        assert os.path.getsize(report) > 10_000
    status, out, _ = call(*words)
    assert status == 0
    assert "new people" in out
    status, _, err = call(*words[:-3], "some", "--out", str(tmp_path))
    assert status == 1
    assert "must be all" in err


def test_names_in_brackets_are_shown_as_they_are(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(terminal, "out", Console(file=shown, width=100))
    terminal.print_rows([{"name": "[bold]a[/bold]", "n": 1234}])
    terminal.print_facts({"[red]key": "[/]"})
    assert "[bold]a[/bold]" in shown.getvalue()
    assert "1,234" in shown.getvalue()
    assert "[red]key" in shown.getvalue()
    assert "[/]" in shown.getvalue()
