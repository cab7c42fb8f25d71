"""`myograph muscle`: pretraining, training and validation, run separately, equal one evaluation of the recipe."""

from __future__ import annotations

import json

import numpy as np
import pytest

from myograph.evaluation.run import evaluate
from myograph.recipes import muscle_cnn_lstm as muscle
from myograph.training.estimator import NeuralClassifier
from myograph.training.loop import Trainer


@pytest.fixture
def tiny(monkeypatch):
    """Two people, few bursts and two epochs; dropout, whose random numbers must not depend on the pretraining."""
    monkeypatch.setattr(muscle, "QUICK_EPOCHS", dict.fromkeys(muscle.QUICK_EPOCHS, 2))
    monkeypatch.setattr(muscle, "QUICK_TRAINING", muscle.QUICK_TRAINING | {"dropout": 0.3, "pretrain_epochs": 2})
    monkeypatch.setattr(muscle, "QUICK_DATA", muscle.QUICK_DATA | {"n_subjects": 2, "n_repetitions": 10})


def step(command, out, *words):
    status, said, failed = command("muscle", *words, "--out", out, "--json")
    assert status == 0, failed
    return json.loads(said)


def test_the_three_steps_equal_one_evaluation(tiny, tmp_path, command):
    (history,) = step(command, tmp_path / "run", "pretrain")["folds"]
    assert [len(rows) for rows in history.values()] == [2, 2]
    (trained,) = step(command, tmp_path / "run", "train")["folds"]
    assert [row["epoch"] for row in trained["epochs"]] == [1, 2]
    found = step(command, tmp_path / "run", "validate")

    with steps_of(tmp_path / "other") as muscles:
        whole = evaluate(muscles.recipe)
    assert found["accuracy"] == pytest.approx(whole.folds["accuracy"].mean())
    order = [list(whole.labels).index(name) for name in found["folds"][0]["labels"]]
    assert found["folds"][0]["confusion"] == whole.confusion[np.ix_(order, order)].tolist()
    epochs = found["folds"][0]["epochs"]
    assert [row["epoch"] for row in epochs] == [1, 2]
    assert epochs[-1]["accuracy"] == pytest.approx(found["accuracy"])  # the last epoch is the network that is scored
    assert all(row["loss"] > 0 for row in epochs)
    assert np.sum(found["folds"][0]["confusion"]) == found["folds"][0]["n"] == len(whole.predictions)


def steps_of(out):
    from myograph.cli.muscle import _opened

    return _opened("hybrid-pretrained", "intrapersonal", None, False, out)


def test_training_starts_from_the_pretrained_weights_and_resumes(tiny, tmp_path, command, monkeypatch):
    step(command, tmp_path, "pretrain")
    (file,) = (tmp_path / "kept").glob("pretrained-*.safetensors")
    weights = NeuralClassifier.load(file).module_.state_dict()
    seen, epoch = [], Trainer._train_epoch

    def watched(self, *args):
        if len(seen) == 1:
            seen.append("interrupted")
            raise KeyboardInterrupt
        first = {k: v.detach().cpu().clone() for k, v in self.module.state_dict().items()}
        seen.append((self.epoch, all(np.array_equal(first[k], weights[k]) for k in weights)))
        return epoch(self, *args)

    monkeypatch.setattr(Trainer, "_train_epoch", watched)
    status, _, _ = command("muscle", "train", "--out", tmp_path)
    assert status == 130
    (trained,) = step(command, tmp_path, "train")["folds"]
    assert seen == [(0, True), "interrupted", (1, False)]
    assert [row["epoch"] for row in trained["epochs"]] == [1, 2]
    again = step(command, tmp_path, "train")["folds"]  # nothing is trained twice
    assert len(seen) == 3
    assert again == [trained]


def test_a_step_says_what_to_run_before_it(tiny, tmp_path, command):
    status, _, said = command("muscle", "train", "--split", "loso", "--out", tmp_path)
    assert status == 1
    assert "run this first: myograph muscle pretrain --split loso --out" in said
    status, _, said = command("muscle", "validate", "--network", "cnn", "--out", tmp_path)
    assert status == 1
    assert "run this first: myograph muscle train --network cnn --split intrapersonal --out" in said
    status, _, said = command("muscle", "train", "--network", "cnnn", "--out", tmp_path)
    assert "Did you mean 'cnn'" in said
    status, said, _ = command("muscle", "train", "--network", "cnn", "--split", "loso", "--out", tmp_path)
    assert status == 0
    assert "fold 2, training bursts" in said
    status, said, _ = command("muscle", "validate", "--network", "cnn", "--split", "loso", "--out", tmp_path)
    assert "fold 2, held-out bursts" in said
    assert "mean over 2 folds" in said


def test_pretraining_alone_needs_a_pretraining():
    from myograph.errors import ConfigError

    with pytest.raises(ConfigError, match="needs `pretrain`"):
        NeuralClassifier("m5").fit_pretraining(np.zeros((4, 2, 64), np.float32), np.arange(4) % 2)
