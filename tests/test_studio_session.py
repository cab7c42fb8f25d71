"""A whole session in the studio: record, train, save, decode live and be tested."""

import json

import numpy as np
import pytest

from studio_fakes import GESTURES, HOST, Person, until

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from myograph.cli.studio.server import make_app
from myograph.cli.studio.studio import Studio
from myograph.cli.studio.trials import Results, make_targets
from myograph.errors import ConfigError
from myograph.evaluation.report.live import render_live
from myograph.live import Decisions, Decoder
from myograph.live.log import read_log
from myograph.recording import Recording
from test_studio_server import ask

PLAN = {"gestures": list(GESTURES), "repetitions": 4, "hold_s": 2.0, "rest_s": 1.5, "ready_s": 1.0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A studio in which three gestures were recorded, and a decoder trained, saved and loaded; all through a page."""
    studio = Studio(Person(), tmp_path_factory.mktemp("studio"))
    with (
        TestClient(make_app(studio, acquire=False), base_url=f"http://{HOST}") as client,
        client.websocket_connect("/live", headers={"host": HOST}) as socket,
    ):
        assert ask(socket, "record.start", subject="me", session="1", plan=PLAN) == {"done": 5}
        until(studio, lambda: not studio.recorder.running)
        assert ask(socket, "train.start", method="lda", length_ms=200, step_ms=50) == {"done": 5}
        studio.trainer._thread.join()
        assert studio.trainer.problem == ""
        assert ask(socket, "train.save", name="first") == {"done": 5}
    studio.engine.session.open()  # the application has closed it; the other tests go on without a page
    return studio


def test_the_score_is_audited_and_by_repetition(trained):
    (score,) = trained.trainer.part()["scores"]
    assert score["question"] == "new repetitions"
    assert score["audit"] is True
    assert score["folds"] == 4
    assert set(score["labels"]) == {"rest", *GESTURES}
    assert score["accuracy"]["mean"] > 0.9 > score["chance"] * 2
    assert np.allclose(np.sum(score["share"], axis=1), 1)
    assert set(trained.trainer.part()["skipped"]) == {"new sessions", "new people"}


def test_the_saved_decoder_knows_its_score(trained):
    decoder = Decoder.load(trained.root / "decoders" / "first.myo")
    (score,) = trained.trainer.part()["scores"]
    assert decoder.scores["metrics"]["accuracy"]["mean"] == score["accuracy"]["mean"]
    assert trained.decoding.part()["name"] == "first"


def test_live_decisions_are_those_of_the_same_samples_offline(trained):
    studio = trained
    studio.decoding.set_post(votes=3, threshold=0.5)
    studio.command("decode.load", {"name": "first"})
    given, found = studio.engine.session.source.given, []
    given.clear()
    studio.decoding.take = found.append
    for gesture in ("rest", "fist", "pinch", "open", "rest"):
        studio.command("source.perform", {"gesture": gesture})
        for _ in range(60):
            studio.engine.step()
    del studio.decoding.take
    whole = Recording(np.hstack(given), 500.0, None, "1")
    offline = Decoder.load(studio.root / "decoders" / "first.myo").with_post(*studio.decoding.post()).decide(whole)
    assert Decisions.concatenate([d for d in found if len(d)]) == offline
    assert set(offline.names) >= {"rest", "fist", "pinch", "open"}


def test_the_prompted_test_is_passed_and_kept(trained):
    studio = trained
    before = len(studio.results.kept)
    studio.command("test.motion", {"repetitions": 3, "seed": 4})
    until(studio, lambda: studio.test is None)
    result = studio.results.kept[-1]
    metrics = result["metrics"]
    assert len(studio.results.kept) == before + 1
    assert metrics["contractions"] == 9
    assert metrics["settled_accuracy"] > 0.8
    assert metrics["missed_activations"] == 0
    # A second route to the figures: the lines of the log, row by row.
    rows = [json.loads(line) for line in (studio.results.folder / result["log"]).read_text().splitlines()]
    classes, prompts, right, settled = rows[0]["decoder"]["classes"], [], [], []
    for row in sorted((r for r in rows if r["kind"] in ("prompt", "decision")), key=lambda r: (r["time_s"], r["kind"])):
        if row["kind"] == "prompt":
            prompts.append(row)
            continue
        decided = "rest" if row["rejected"] else classes[row["label"]]
        right.append(decided == prompts[-1]["label"])
        if row["time_s"] - prompts[-1]["time_s"] >= 0.5:
            settled.append(right[-1])
    assert metrics["settled_accuracy"] == pytest.approx(np.mean(settled), abs=0.005)
    assert metrics["total_error"] == pytest.approx(1 - np.mean(right), abs=0.005)
    assert len(right) == pytest.approx((3 + 9 * (3 + 2)) / 0.05, abs=1)
    times = [row["time_s"] for row in rows if row["kind"] == "decision"]
    assert np.allclose(np.diff(times), 0.05, atol=0.0021)  # the windows' grid, to the sample
    assert [e["number"] for e in Results(studio.root).kept] == [e["number"] for e in studio.results.kept]


def test_a_person_who_does_something_else_fails_the_test(trained):
    studio = trained
    studio.command("source.follow", {"on": False})
    studio.command("source.perform", {"gesture": "fist"})
    studio.command("test.motion", {"repetitions": 2})
    until(studio, lambda: studio.test is None)
    studio.command("source.follow", {"on": True})
    assert studio.results.kept[-1]["metrics"]["settled_accuracy"] < 0.4


def test_false_activations_at_rest_are_counted(trained):
    studio = trained
    studio.command("decode.post", {"votes": 1, "threshold": 0.0})
    studio.command("test.rest", {"seconds": 30})
    studio.follow = False
    studio.command("source.perform", {"gesture": "rest"})
    for _ in range(3):
        for gesture in ("fist", "rest"):
            studio.command("source.perform", {"gesture": gesture})
            for _ in range(50):
                studio.engine.step()
    until(studio, lambda: studio.test is None)
    studio.follow = True
    found = studio.results.kept[-1]["metrics"]["false_activations"]
    assert found["events"] >= 3
    assert found["hours"] == pytest.approx(30 / 3600, rel=0.01)
    assert found["low"] < found["per_hour"] < found["high"]


def test_post_processing_acts_at_once_and_on_the_same_windows(trained):
    studio = trained
    studio.command("decode.post", {"votes": 1, "threshold": 0.0, "ramp": 0})
    studio.command("source.perform", {"gesture": "fist"})
    for _ in range(60):
        studio.engine.step()
    before = studio.decoding.total
    studio.command("decode.post", {"votes": 1, "threshold": 0.99999, "ramp": 0})
    studio.engine.session.source.gesture = "unclear"
    for _ in range(3):  # 60 samples: one decision or two, at once, without waiting for a new window
        studio.engine.step()
    assert studio.decoding.total > before
    studio.command("decode.post", {"votes": 3, "threshold": 0.5, "ramp": 4})
    studio.command("source.perform", {"gesture": "pinch"})
    gains = []
    for _ in range(60):
        studio.engine.step()
        gains.append(studio.decoding.last["gain"])
    assert min(gains) < 0.5 < max(gains) == 1.0


def test_that_was_wrong_keeps_an_example_that_training_uses(trained):
    studio = trained
    studio.command("source.perform", {"gesture": "open"})
    for _ in range(50):
        studio.engine.step()
    studio.command("decode.wrong", {"label": "open"})
    sessions = {(s["subject"], s["session"]): s for s in studio.recorder.part()["sessions"]}
    assert sessions["me", "corrections"]["finished"] == 1
    studio.trainer.start("lda", wait=True)
    assert studio.trainer.problem == ""
    trained_on = {r["session"] for r in studio.trainer.decoder.trained_on["recordings"]}
    assert trained_on == {"1", "corrections"}


def test_a_second_session_is_scored_as_one(trained):
    studio = trained
    studio.command("record.start", {"subject": "me", "session": "2", "plan": {**PLAN, "seed": 1}})
    until(studio, lambda: not studio.recorder.running)
    studio.trainer.start("lda", sessions=[["me", "1"], ["me", "2"]], wait=True)
    assert [s["question"] for s in studio.trainer.part()["scores"]] == ["new repetitions", "new sessions"]


def test_a_decoder_for_another_device_is_refused(trained, tmp_path):
    studio = Studio(Person(n_channels=3), tmp_path)
    (tmp_path / "decoders").mkdir()
    (trained.root / "decoders" / "first.myo").rename(tmp_path / "decoders" / "first.myo")
    with pytest.raises(ValueError, match="has 3 channels, the decoder was fitted on 4"):
        studio.command("decode.load", {"name": "first"})
    (tmp_path / "decoders" / "first.myo").rename(trained.root / "decoders" / "first.myo")


WAYS = {"right": "fist", "left": "open", "up": "pinch", "down": "grip"}


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """A studio with a decoder of four gestures."""
    studio = Studio(Person(n_channels=5), tmp_path_factory.mktemp("four"))
    plan = {**PLAN, "gestures": list(WAYS.values())}
    studio.command("record.start", {"subject": "me", "session": "1", "plan": plan})
    until(studio, lambda: not studio.recorder.running)
    studio.trainer.start("lda", wait=True)
    studio.command("train.save", {"name": "four"})
    studio.command("decode.post", {"votes": 1, "threshold": 0.0})
    return studio


@pytest.mark.parametrize(("n_channels", "method"), [(4, "smoothed"), (16, "smoothed"), (17, "lda"), (64, "lda")])
def test_the_method_that_is_proposed_can_be_trained_in_seconds(n_channels, method, tmp_path):
    assert Studio(Person(n_channels=n_channels), tmp_path).trainer.part()["default"] == method


def test_the_simulated_person_is_asked_at_the_sample_after_those_that_prompts_have_seen(tmp_path):
    studio = Studio(Person(), tmp_path)
    for _ in range(7):
        studio.engine.step()
    studio.command("source.perform", {"gesture": "fist"})
    assert studio.engine.session.source.asked_at == 7 * 20


def test_the_cursor_is_driven_to_every_target(four):
    four.command("test.fitts", {"directions": WAYS, "targets": 6, "seed": 3})
    test = four.test
    until(four, lambda: four.test is None)
    metrics = four.results.kept[-1]["metrics"]
    assert (metrics["trials"], metrics["completed"]) == (6, 6)
    assert metrics["throughput"] > 0.3
    assert 0.4 < metrics["efficiency"] <= 1
    log = read_log(test.path)  # a target can be reached in many ways: no decision is right or wrong
    assert "metrics" not in log.summary()
    assert "False activations" not in render_live(log)
    again = make_targets(6, 0.5, 3)
    assert [t.target for t in test.fitts.trials] == list(again.targets)
    assert list(make_targets(6, 0.5, 4).targets) != list(again.targets)


def test_the_cursor_goes_as_far_as_its_speed_and_time_say(four):
    """Speed 0.4 for 2.5 s are 1.0, however many decisions there were."""
    four.follow = False
    four.command("source.perform", {"gesture": "fist"})
    for _ in range(30):
        four.engine.step()
    four.command("test.fitts", {"directions": WAYS, "targets": 1, "speed": 0.4, "dwell_s": 5})
    positions = []
    for _ in range(100):
        four.engine.step()
        positions.append((four.test.now / 500, four.test.fitts.x, four.test.fitts.y))
    four.follow = True
    four.command("test.stop", {})
    moving = [p for p in positions if p[0] > 2.2]
    assert moving[-1][1] - moving[0][1] == pytest.approx(0.4 * (moving[-1][0] - moving[0][0]), abs=1e-6)
    assert {p[2] for p in moving} == {0.0}


def test_the_hand_steers_as_a_control_condition(four):
    four.command("test.fitts", {"directions": WAYS, "targets": 3, "control": "hand", "speed": 1.0, "dwell_s": 0.2})
    assert four.wanted == "rest"
    while four.test is not None:
        target, cursor = four.test.fitts.target, four.test.fitts
        four.command("test.steer", {"x": 5 * (target.x - cursor.x), "y": 5 * (target.y - cursor.y)})
        four.engine.step()
    result = four.results.kept[-1]
    assert result["settings"]["control"] == "hand"
    assert result["metrics"]["completed"] == 3
    assert result["metrics"]["efficiency"] > 0.9


def test_a_test_that_is_broken_off_is_logged_but_no_result(four):
    before = len(four.results.kept)
    four.command("test.rest", {"seconds": 30})
    for _ in range(20):
        four.engine.step()
    path = four.test.path
    four.command("test.stop", {})
    assert len(four.results.kept) == before
    assert '"stopped"' in path.read_text()
    four.command("test.rest", {"seconds": 30})
    assert four.test.path != path
    four.command("test.stop", {})


@pytest.mark.parametrize(
    "change",
    [
        {"directions": {**WAYS, "up": "fist"}},
        {"directions": {**WAYS, "up": "rest"}},
        {"directions": {"right": "fist"}},
        {"directions": {**WAYS, "up": ["x"]}},
        {"targets": 0},
        {"speed": 0.0},
        {"control": "mind"},
        {"dwell_s": -1.0},
    ],
)
def test_settings_of_a_fitts_test_are_checked(four, change):
    with pytest.raises(ConfigError):
        four.command("test.fitts", {"directions": WAYS, **change})
    assert four.test is None


def test_the_report_of_a_test_is_served(four):
    four.command("test.rest", {"seconds": 5})
    until(four, lambda: four.test is None)
    number = four.results.kept[-1]["number"]
    with TestClient(make_app(four, acquire=False), base_url=f"http://{HOST}") as client:
        page = client.get(f"/report/{number}")
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert client.get("/report/999").status_code == 404
        assert client.get("/report/x").status_code == 404
    four.engine.session.open()


def test_results_that_are_damaged_are_left_out(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "0001-rest.jsonl").write_text("{")
    (tmp_path / "tests" / "0002-rest.jsonl").write_text(json.dumps({"kind": "start", "number": 1}) + "\n")
    results = Results(tmp_path)
    assert results.kept == []
    assert results.next_path("rest").name == "0003-rest.jsonl"


def test_the_recorded_folder_is_run_by_the_command_line(trained, monkeypatch, capsys):
    from typer.testing import CliRunner

    from myograph.cli.app import app

    trained.exporting.join()
    found = CliRunner().invoke(
        app, ["run", "--dataset", str(trained.root / "dataset.toml"), "--method", "lda", "--jobs", "1", "--json",
              "--out", str(trained.root / "run")]
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["metrics"]["accuracy"]["mean"] > 0.9
