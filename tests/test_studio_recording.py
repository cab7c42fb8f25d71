"""Guided recording: the prompts, what is written, what a crash leaves, and the data set that comes out."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from myograph.cli.studio.plan import Prompter, PromptPlan
from myograph.cli.studio.record import Recorder
from myograph.cli.studio.sessions import SessionWriter, export, read_events, read_info, read_session, session_folder
from myograph.datasets import load
from myograph.errors import ConfigError, DataError
from myograph.live.sources.base import StreamInfo
from myograph.recording import Layout

RATE = 100.0
INFO = StreamInfo(2, RATE, "uV", (), Layout.ring(2), "test")
PLAN = {"gestures": ["fist", "open"], "repetitions": 2, "hold_s": 2.0, "rest_s": 1.0, "ready_s": 1.0, "seed": 3}


class Steps:
    """A recorder that is given numbered samples, one second at a time."""

    def __init__(self, root, plan=PLAN, session="1"):
        self.recorder = Recorder(root, INFO)
        self.n = 0
        if plan:
            self.recorder.start("anna", session, plan)

    def seconds(self, s, restarted=False):
        n = round(s * RATE)
        samples = np.arange(self.n, self.n + n, dtype=np.float32) + np.array([[0.0], [0.5]], np.float32)
        self.n += n
        return self.recorder.take(samples, restarted)

    def to_the_end(self):
        for _ in range(1000):
            if self.seconds(0.25):
                self.recorder.stop()
                self.recorder.export()
                return
        raise AssertionError("the plan does not end")


def runs(recording):
    """(label name, repetition, start s, stop s) of every stretch of one label, unlabelled ones left out."""
    found, label = [], recording.label
    both = label * 1000 + recording.repetition
    edges = np.flatnonzero(np.diff(both, prepend=-9, append=-9))
    for start, stop in itertools.pairwise(edges):
        if label[start] >= 0:
            name = recording.label_names[label[start]]
            found.append((name, int(recording.repetition[start]), float(start / RATE), float(stop / RATE)))
    return found


def test_every_gesture_is_asked_for_once_per_block_in_a_seeded_order():
    plan = PromptPlan(("a", "b", "c"), repetitions=5, seed=2)
    trials = plan.trials()
    assert [{g for g, r in trials if r == k} for k in range(1, 6)] == [{"a", "b", "c"}] * 5
    assert [r for _, r in trials] == sorted(r for _, r in trials)
    assert trials == PromptPlan(("a", "b", "c"), repetitions=5, seed=2).trials()
    assert len({tuple(PromptPlan(("a", "b", "c"), repetitions=5, seed=s).trials()) for s in range(10)}) > 5


@pytest.mark.parametrize("step", [1, 7, 100, 5000])
def test_prompts_begin_and_end_at_the_same_samples_for_any_chunks(step):
    prompter = Prompter(PromptPlan.of(PLAN), RATE)
    found, at = [], 0
    while prompter.phase != "done":
        found += [(e.kind, at + e.offset) for e in prompter.advance(step)]
        at += step
    # By hand: 1 s countdown, then four times 2 s of a prompt and 1 s of rest.
    expected = [("begin", 100), ("end", 300), ("begin", 400), ("end", 600), ("begin", 700), ("end", 900)]
    assert found == [*expected, ("begin", 1000), ("end", 1200), ("done", 1300)]


def test_a_session_is_labelled_as_it_was_asked_for(tmp_path):
    steps = Steps(tmp_path)
    steps.to_the_end()
    recording = read_session(session_folder(tmp_path, "anna", "1"))
    trials = PromptPlan.of(PLAN).trials()
    expected = []
    for k, (gesture, repetition) in enumerate(trials):
        begin = 1 + 3 * k  # half a second of reaction is unlabelled after each change
        expected += [(gesture, repetition, begin + 0.5, begin + 2.0), ("rest", repetition, begin + 2.5, begin + 3.0)]
    assert runs(recording) == expected
    assert np.array_equal(recording.signal[0], np.arange(recording.n_samples))
    assert (recording.rate_hz, recording.unit, recording.subject, recording.layout) == (RATE, "uV", "anna", INFO.layout)


def test_an_undone_repetition_is_unlabelled_and_asked_for_again(tmp_path):
    steps = Steps(tmp_path)
    steps.seconds(3.5)  # into the rest after the first prompt
    first = PromptPlan.of(PLAN).trials()[0]
    steps.recorder.undo()
    assert steps.recorder.prompter.coming == first
    assert steps.recorder.prompter.finished == 0
    steps.to_the_end()
    found = runs(read_session(session_folder(tmp_path, "anna", "1")))
    assert found[0] == (*first, 3.5 + 1 + 0.5, 3.5 + 1 + 2)
    assert sorted(f[:2] for f in found if f[0] != "rest") == sorted(PromptPlan.of(PLAN).trials())


def test_undoing_twice_goes_two_repetitions_back(tmp_path):
    steps = Steps(tmp_path)
    steps.seconds(6.5)
    steps.recorder.undo()
    steps.recorder.undo()
    steps.recorder.undo()  # there is nothing more
    assert steps.recorder.prompter.finished == 0
    steps.to_the_end()
    found = runs(read_session(session_folder(tmp_path, "anna", "1")))
    assert sorted(f[:2] for f in found if f[0] != "rest") == sorted(PromptPlan.of(PLAN).trials())
    assert min(f[2] for f in found) == 6.5 + 1 + 0.5


def test_a_pause_breaks_off_the_prompt_and_is_unlabelled(tmp_path):
    steps = Steps(tmp_path)
    steps.seconds(2.0)  # one second into the first prompt
    steps.recorder.pause()
    steps.seconds(10.0)
    assert steps.recorder.part()["phase"] == "paused"
    steps.recorder.resume()
    steps.to_the_end()
    recording = read_session(session_folder(tmp_path, "anna", "1"))
    found = runs(recording)
    assert found[0][2] == 12 + 1 + 0.5
    assert len([f for f in found if f[0] != "rest"]) == 4
    assert recording.n_samples == steps.n


def test_a_ramp_is_labelled_where_effort_is_asked_for(tmp_path):
    steps = Steps(tmp_path, {**PLAN, "shape": "ramp", "hold_s": 4.0})
    steps.to_the_end()
    _name, _, start, stop = runs(read_session(session_folder(tmp_path, "anna", "1")))[0]
    plan = PromptPlan.of({**PLAN, "shape": "ramp", "hold_s": 4.0})
    assert (round(start - 1, 2), round(stop - 1, 2)) == (1.2, 3.3)
    assert plan.level(0.7 / 4) == pytest.approx(0.5)
    assert (plan.level(0), plan.level(0.5), plan.level(1)) == (0, 1, 0)


def test_a_gap_becomes_a_break(tmp_path):
    steps = Steps(tmp_path)
    steps.seconds(1.75)
    steps.seconds(0.25, restarted=True)
    steps.to_the_end()
    assert read_session(session_folder(tmp_path, "anna", "1")).breaks == (175,)


def test_a_session_that_was_broken_off_goes_on_where_it_was(tmp_path):
    steps = Steps(tmp_path)
    steps.seconds(5.0)  # inside the second prompt
    steps.recorder.close()
    after = Steps(tmp_path, plan=None)
    assert after.recorder.part()["sessions"][0]["finished"] == 1
    after.n = steps.n
    after.recorder.again("anna", "1")
    after.to_the_end()
    recording = read_session(session_folder(tmp_path, "anna", "1"))
    assert recording.breaks == (500,)
    found = runs(recording)
    assert sorted(f[:2] for f in found if f[0] != "rest") == sorted(PromptPlan.of(PLAN).trials())
    assert [f[2] for f in found if f[0] != "rest"][:2] == [1.5, 5 + 1 + 0.5]


def test_undo_after_a_restart_voids_what_was_recorded_before(tmp_path):
    steps = Steps(tmp_path)
    steps.seconds(3.5)
    steps.recorder.close()
    after = Steps(tmp_path, plan=None)
    after.recorder.again("anna", "1")
    after.recorder.undo()
    after.to_the_end()
    found = runs(read_session(session_folder(tmp_path, "anna", "1")))
    assert sorted(f[:2] for f in found if f[0] != "rest") == sorted(PromptPlan.of(PLAN).trials())
    assert min(f[2] for f in found) > 3.5


def test_the_data_set_of_all_sessions_is_read_as_it_was_recorded(tmp_path):
    for session in ("1", "2"):
        Steps(tmp_path, {**PLAN, "seed": int(session)}, session).to_the_end()
    found = load(str(tmp_path / "dataset.toml"))
    for given, session in zip(found, ("1", "2")):
        own = read_session(session_folder(tmp_path, "anna", session))
        assert (given.subject, given.session, given.rate_hz, given.unit) == ("anna", session, RATE, "uV")
        assert np.array_equal(given.signal, own.signal)
        names = lambda r: np.array([*r.label_names, ""])[r.label]  # noqa: E731
        assert np.array_equal(names(given), names(own))
        labelled = own.label >= 0
        assert np.array_equal(given.repetition[labelled], own.repetition[labelled])


def test_a_break_stays_one_in_the_data_set(tmp_path):
    steps = Steps(tmp_path)
    steps.seconds(2.0)
    steps.seconds(1.0, restarted=True)
    steps.to_the_end()
    assert load(str(tmp_path / "dataset.toml"))[0].breaks == (200,)


def test_a_correction_is_a_session_of_its_own(tmp_path):
    recorder = Recorder(tmp_path, INFO)
    for value in (1.0, 2.0):
        recorder.correct(np.full((2, 50), value, np.float32), "fist", "rest")
    recording = read_session(session_folder(tmp_path, "me", "corrections"))
    assert runs(recording) == [("fist", 1, 0.0, 0.5), ("fist", 2, 0.5, 1.0)]
    assert recording.breaks == (50,)
    assert [e["decided"] for e in read_events(session_folder(tmp_path, "me", "corrections")) if "decided" in e] == [
        "rest",
        "rest",
    ]


def test_a_second_session_of_the_same_name_is_refused(tmp_path):
    Steps(tmp_path).to_the_end()
    with pytest.raises(ConfigError, match="already"):
        Steps(tmp_path)


def test_a_session_of_another_device_is_not_continued(tmp_path):
    steps = Steps(tmp_path)
    steps.seconds(2)
    steps.recorder.close()
    other = Recorder(tmp_path, INFO._replace(n_channels=3) if hasattr(INFO, "_replace") else StreamInfo(3, RATE, "uV"))
    with pytest.raises(DataError, match="n_channels 2"):
        other.again("anna", "1")


def test_a_full_disk_stops_recording_and_says_so(tmp_path, monkeypatch):
    steps = Steps(tmp_path)
    steps.seconds(2)

    def full(self, samples, restarted=False):
        raise OSError("no space left on device")

    monkeypatch.setattr(SessionWriter, "append", full)
    steps.seconds(1)
    assert not steps.recorder.running
    assert "no space left" in steps.recorder.part()["problem"]
    assert read_session(session_folder(tmp_path, "anna", "1")).n_samples == 200


@pytest.mark.parametrize("cut", range(1, 8))
def test_files_that_end_inside_a_row_or_a_line_are_read(tmp_path, cut):
    steps = Steps(tmp_path)
    steps.seconds(4.5)
    steps.recorder.close()
    folder = session_folder(tmp_path, "anna", "1")
    for name in ("samples.f32", "events.jsonl"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-cut])
    assert read_session(folder).n_samples == 449
    after = Steps(tmp_path, plan=None)
    after.n = 449
    after.recorder.again("anna", "1")
    after.to_the_end()
    assert np.array_equal(read_session(folder).signal[0], np.arange(after.n))


WRITER = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[2])
from test_studio_recording import INFO, PLAN, Steps
steps = Steps(Path(sys.argv[1]), {**PLAN, "repetitions": 100})
while True:
    steps.seconds(0.05)
    print(steps.n, flush=True)
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_recording_is_there_up_to_the_last_chunk(tmp_path, seed):
    lines = int(np.random.default_rng(seed).integers(1, 400))
    source = str(Path(sys.modules["myograph"].__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": source},
    )
    for _ in range(lines):
        reported = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    reported = int(rest[-1]) if rest and rest[-1].isdigit() and len(rest) > 1 else reported
    folder = session_folder(tmp_path, "anna", "1")
    recording = read_session(folder)
    assert recording.n_samples >= reported
    assert np.array_equal(recording.signal[0], np.arange(recording.n_samples))
    after = Steps(tmp_path, plan=None)
    after.recorder.again("anna", "1")
    assert after.recorder.prompter.finished == len([e for e in read_events(folder) if e["event"] == "end"])
    after.recorder.close()


def test_a_damaged_description_is_an_error_with_its_path(tmp_path):
    Steps(tmp_path).to_the_end()
    folder = session_folder(tmp_path, "anna", "1")
    (folder / "info.json").write_text("{")
    with pytest.raises(DataError, match=r"info\.json cannot be read"):
        read_info(folder)
    assert Recorder(tmp_path, INFO).part()["sessions"] == []


def test_nothing_labelled_makes_no_data_set(tmp_path):
    steps = Steps(tmp_path)
    steps.recorder.stop()
    assert export(tmp_path) is None
    assert json.loads((session_folder(tmp_path, "anna", "1") / "info.json").read_text())["plan"]["seed"] == 3
