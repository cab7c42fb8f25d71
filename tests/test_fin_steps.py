"""`myograph fin`: steps that are run separately, with nothing shared but the folder, equal `reproduce`."""

from __future__ import annotations

import dataclasses
import json

import pytest

from myograph.evaluation.reproduction import reproduce
from myograph.recipes import _fin_system as steps
from myograph.recipes import fin2025 as fin
from myograph.training.loop import Trainer


@pytest.fixture
def tiny(monkeypatch):
    """The quick run with two people, three short movements and two epochs of everything."""
    two = {"epochs": 2, "batch_size": 96, "lr": 5e-3}
    sizes = dataclasses.replace(
        fin.QUICK,
        n_channels=4,
        imitation=two,
        ahead_imitation=two | {"epochs": 1},
        gains=(1.0,),
        shadow={"shadow_epochs": 6, "shadow_batch_size": 12},
        joint_epochs=2,
        random_shares=(),
        control_shares=(0.995,),
        ahead=(0, 5),
        cnn_epochs=1,
    )
    monkeypatch.setattr(fin, "QUICK", sizes)
    monkeypatch.setattr(fin, "others", lambda people, group: iter(()))  # the other methods are not steps
    monkeypatch.setattr(fin, "QUICK_DATA", fin.QUICK_DATA | {"n_subjects": 2, "n_gestures": 3, "hold_s": 1.2})


UNTOUCHED = "imitators + CNN, untouched"


def values_of(result, section, setting):
    (row,) = (r for r in result["rows"] if r["setting"] == setting and section in r["section"])
    return row["values"]


@pytest.mark.slow
def test_steps_one_by_one_equal_the_whole_and_are_not_done_twice(tiny, tmp_path, command, monkeypatch):
    apart, whole = tmp_path / "apart", tmp_path / "whole"

    def step(*words):
        status, said, failed = command("fin", *words, "--out", apart, "--json")
        assert status == 0, failed
        return json.loads(said)

    trained = step("train", "--feature", "rms")["imitators"]
    assert [(one["feature"], one["seen"]) for one in trained] == [("rms", ["1"]), ("rms", ["2"])]
    assert all([row["epoch"] for row in one["epochs"]] == [1, 2] for one in trained)
    for name in ("var", "ssi", "ent"):
        step("train", "--feature", name)
    validated = {(r["feature"], r["group"], r["person"]): r for r in step("validate")["people"]}
    classified = {(r["group"], r["person"]): r for r in step("cnn")["people"]}
    tuned = step("finetune", "--percentage", "20")
    assert tuned["share"] == 0.203
    control = step("finetune", "--percentage", "100", "--imitators", "random")["people"]
    step("finetune", "--percentage", "100")
    for words in (("train",), ("validate",), ("cnn",), ("finetune",)):
        step(*words, "--prediction", "5")

    result = reproduce("fin2025", out=whole)
    groups = {"seen": fin.PEOPLE["seen"], "new": fin.PEOPLE["unseen"]}
    for group, words in groups.items():
        for name in fin.FEATURES:
            r2 = [validated[name, group, person]["r2"] for person in "12"]
            assert values_of(result, "Imitation", f"{name.upper()}, {words}") == pytest.approx(r2)
        cnn = [classified[group, person]["accuracy"] for person in "12"]
        assert values_of(result, words, "CNN on true features") == pytest.approx(cnn)
        joint = [row["chosen"] for p in "12" for row in tuned["people"] if (row["group"], row["person"]) == (group, p)]
        setting = "joint step on the first 20.3 % of each movement"
        assert values_of(result, f"Movements of {words}", setting) == pytest.approx(joint)
        random = [row["chosen"] for p in "12" for row in control if (row["group"], row["person"]) == (group, p)]
        setting = "the same on the first 99.5 %, imitators with random weights"
        assert values_of(result, f"Movements of {words}", setting) == pytest.approx(random)

    # Two people, each once seen and once new: no row counts one of them twice.
    assert {len(row["values"]) for row in result["rows"]} == {2}
    for words in groups.values():
        after, before = (
            values_of(result, "future", f"{s}, p = 5, {words}") for s in ("joint step on 99.5 %", UNTOUCHED)
        )
        gain = values_of(result, "future", f"gain of the joint step, p = 5, {words}")
        assert gain == pytest.approx([a - b for a, b in zip(after, before)])

    # Everything is in the folder of the steps already: the whole only gathers it.
    def never(*args, **more):
        raise AssertionError("trained once more")

    monkeypatch.setattr(steps.System, "_joint", never)
    monkeypatch.setattr(steps.System, "_validate", never)
    monkeypatch.setattr("myograph.training.imitation.FeatureImitation.train_imitators", never)
    monkeypatch.setattr("myograph.training.imitation.FeatureImitation.train_classifier", never)
    again = reproduce("fin2025", out=apart)
    assert [row["values"] for row in again["rows"]] == [row["values"] for row in result["rows"]]


def test_a_step_says_what_to_run_before_it(tiny, tmp_path, command):
    def refused(*words):
        status, _, said = command("fin", *words, "--out", tmp_path / "run")
        assert status == 1
        return said

    assert "run this first: myograph fin train --feature rms --prediction 5 --out" in refused(
        "validate", "--feature", "rms", "--prediction", "5"
    )
    said = refused("finetune")
    assert "does not hold the imitators of ent, rms, var, ssi for p = 0" in said
    assert "--feature ent --feature rms --feature var --feature ssi" in said
    assert "run this first: myograph fin cnn --out" in refused("finetune", "--imitators", "random")
    assert "Did you mean 'rms'" in refused("train", "--feature", "rmss")
    assert "between 0 and 100, got 101" in refused("finetune", "--percentage", "101")
    assert "value of --draw" in refused("finetune", "--draw", "last")
    command("fin", "cnn", "--out", tmp_path / "run")
    status, said, _ = command("fin", "finetune", "--imitators", "random", "--out", tmp_path / "run")
    assert status == 0
    assert "mean over people, per epoch" in said
    assert "new people: mean chosen" in said


def test_imitators_that_were_interrupted_resume_after_the_last_epoch(tiny, tmp_path, command, monkeypatch):
    status, whole, _ = command("fin", "train", "--feature", "rms", "--out", tmp_path / "whole", "--json")
    assert status == 0
    epoch = Trainer._train_epoch
    done = []

    def once(self, *args):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return epoch(self, *args)

    monkeypatch.setattr(Trainer, "_train_epoch", once)
    status, _, _ = command("fin", "train", "--feature", "rms", "--out", tmp_path / "cut")
    assert status == 130
    assert len(list((tmp_path / "cut" / "kept").glob("*.half"))) == 1
    trained = []
    monkeypatch.setattr(Trainer, "_train_epoch", lambda self, *args: trained.append(self.epoch) or epoch(self, *args))
    status, resumed, _ = command("fin", "train", "--feature", "rms", "--out", tmp_path / "cut", "--json")
    assert status == 0
    assert trained == [1, 0, 1]  # the second epoch of the first round, and the second round
    assert not list((tmp_path / "cut" / "kept").glob("*.half"))
    curves = [[e["train_loss"] for one in json.loads(t)["imitators"] for e in one["epochs"]] for t in (whole, resumed)]
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)
