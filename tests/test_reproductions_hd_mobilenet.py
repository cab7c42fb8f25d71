from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from myograph.cli.app import app
from myograph.datasets.simulated import Simulated
from myograph.errors import ConfigError, UnknownNameError
from myograph.evaluation.recipe import RECIPES
from myograph.evaluation.reproduction import Context, Row
from myograph.evaluation.run import evaluate, prepare
from myograph.evaluation.settings import change
from myograph.protocols import CrossSession, KFoldRepetitions
from myograph.recipes import _hd_system
from myograph.recipes import hd_mobilenet as hd
from myograph.training.estimator import NeuralClassifier

TINY = hd.HDOptions(
    dataset=Simulated("ice", n_repetitions=2, n_gestures=2, hold_s=0.5, rest_s=0.5), width=0.2, epochs=1, batch=100
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files in the ICE Lab's own layout, short: 2 people x 8 gestures x 5 repetitions, 16 samples each."""
    place = tmp_path_factory.mktemp("ice")
    from myograph.datasets._formats.matlab import write_matlab

    rng = np.random.default_rng(0)
    for subject in (1, 2):
        for label in range(8):
            loud = 5 + 50 * (np.arange(192) % 24 // 3 == label)
            for repetition in range(1, 6):
                name = f"{subject:03d}-{label + 1:03d}-{repetition:03d}.mat"
                write_matlab(
                    place / name, {"Data": (rng.normal(size=(16, 192)) * loud).astype(np.float32)}, compress=False
                )
    return place


def method(**options):
    return hd.system(dataclasses.replace(TINY, **options)).method_options


def test_defaults_are_the_published_configuration():
    got = {f.name: f.default for f in dataclasses.fields(hd.HDOptions)}
    assert got | {"subjects": None, "seed": 0} == got
    expected = {
        "epochs": 5,
        "lr": 3e-4,
        "T_max": 5,
        "image_width": 24,
        "image_height": 8,
        "channel": 192,
        "batch": 1000,
        "workers": 0,
    }
    expected |= {
        "path": None,
        "dataset": "ice_lab",
        "folds": 1,
        "weight_decay": 3e-4,
        "model_save": None,
        "fine_tune": False,
    }
    expected |= {"pretrained_path": None, "label_smoothing": 0.1, "width": 1.0}
    assert {k: got[k] for k in expected} == expected


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [
        ("epochs", 7, "epochs"),
        ("lr", 1e-2, "lr"),
        ("batch", 64, "batch_size"),
        ("weight_decay", 0.5, "weight_decay"),
        ("label_smoothing", 0.3, "label_smoothing"),
    ],
)
def test_options_of_training_reach_the_network(option, value, key):
    assert method()[key] != value
    assert method(**{option: value})[key] == value
    assert NeuralClassifier("mobilenet_v2", **method(**{option: value})).get_params()[key] == value


def test_m5_is_trained_as_published():
    expected = {
        "epochs": 100,
        "batch_size": 1000,
        "lr": 0.01,
        "schedule": "cosine",
        "schedule_options": {"period": 100},
    }
    expected |= {"weight_decay": 0.01, "label_smoothing": 0.1, "normalise": "none"}
    assert dict(hd.m5().method_options) == expected
    assert hd.m5(hd.HDOptions(label_smoothing=0.3)).method_options["label_smoothing"] == 0.3


def test_t_max_width_image_and_seed():
    from myograph.training.plan import Plan, lr_factor

    plan = Plan(epochs=10, schedule="cosine", schedule_options=method(T_max=4)["schedule_options"])
    assert lr_factor(plan, 4, 0.4) == pytest.approx(0.0)  # CosineAnnealingLR: at its lowest after T_max
    assert lr_factor(plan, 2, 0.2) == pytest.approx(0.5)
    assert method(width=0.4)["model_options"]["width"] == 0.4
    other = method(channel=168, image_height=24, image_width=7)
    assert other["model_options"]["grid"] == (24, 7)
    with pytest.raises(ConfigError, match="holds 192 channels, channel is 168"):
        hd.system(hd.HDOptions(channel=168))
    with pytest.raises(ConfigError, match="pretrained_path"):
        hd.system(hd.HDOptions(fine_tune=True))
    assert hd.system(dataclasses.replace(TINY, seed=3)).protocol.seed == 3


def test_every_option_can_be_set_on_the_command_line():
    given = {"epochs": 7, "lr": 0.01, "T_max": 9, "image_width": 7, "image_height": 24, "channel": 168, "batch": 32}
    given |= {"workers": 2, "path": "here", "dataset": "csl_hdemg", "folds": 3, "weight_decay": 0.1, "fine_tune": True}
    given |= {"model_save": "a", "pretrained_path": "b", "label_smoothing": 0.2, "width": 0.4, "seed": 4}
    options = change(hd.HDOptions(), [*(f"{k}={v}" for k, v in given.items()), "subjects=1,2"])
    assert dataclasses.asdict(options) == given | {"subjects": ("1", "2")}


def test_folds_are_leaky_when_one_and_repetitions_when_more():
    one = hd.system(TINY).protocol
    assert one.leaky
    assert one.test_fraction == 0.5
    assert one.honest == KFoldRepetitions()
    assert hd.system(dataclasses.replace(TINY, folds=5)).protocol == KFoldRepetitions(5)


@pytest.mark.parametrize(
    ("dataset", "section", "repetitions", "known"), [(None, "ICE Lab", 5, True), ("capgmyo", "capgmyo", None, False)]
)
def test_the_ice_labs_figures_stand_beside_its_own_data_alone(monkeypatch, dataset, section, repetitions, known):
    """The first row of a full run: on which repetitions, in which section, beside which figure."""
    monkeypatch.setattr(hd, "need_data", lambda *_: None)
    seen = []

    class Watch(Context):
        def evaluate(self, setting, recipe, published=None, metric="", note="", section=""):
            seen.append((recipe.filters, published, section))
            raise StopIteration

    with pytest.raises(RuntimeError):
        list(hd.hd_mobilenet(Watch("hd_mobilenet", None, quick=False, dataset=dataset)))
    ((filters, published, where),) = seen
    assert [f.n for f in filters if isinstance(f, hd.FirstRepetitions)] == ([repetitions] if repetitions else [])
    assert where.startswith(section)
    assert (published is not None) == known


def test_path_and_subjects_choose_what_is_read(folder):
    options = hd.HDOptions(path=folder)
    assert {r.subject for r in hd.recordings(options)} == {"1", "2"}
    assert {r.subject for r in hd.recordings(dataclasses.replace(options, subjects=("2",)))} == {"2"}
    with pytest.raises(ConfigError, match="there is no folder"):
        hd.recordings(hd.HDOptions(path=folder / "elsewhere"))


def test_workers_are_processes_on_folds(monkeypatch, folder):
    seen = {}
    monkeypatch.setattr(_hd_system, "evaluate", lambda *args, **more: seen.update(more))
    hd.run(hd.HDOptions(path=folder, workers=3))
    assert seen["jobs"] == 3


def test_train_save_fine_tune_and_test_one_label(folder, tmp_path):
    saved = tmp_path / "net.safetensors"
    common = [f"path={folder}", "width=0.2"]
    as_set = lambda settings: [part for s in settings for part in ("--set", s)]  # noqa: E731
    call = CliRunner().invoke(
        app,
        [
            "hd-train",
            "--json",
            *as_set([*common, "epochs=3", "T_max=3", "batch=16", "lr=0.002", f"model_save={saved}"]),
        ],
    )
    assert call.exit_code == 0, call.output
    found = json.loads(call.stdout)
    assert found["leaky"]
    assert found["accuracy"] is None  # a leaky score is not shown without the honest one beside it

    call = CliRunner().invoke(app, ["hd-test", str(saved), "--label", "gesture 2", "--json", *as_set(common)])
    assert call.exit_code == 0, call.output
    tested = json.loads(call.stdout)
    assert tested["n"] == 2 * 5 * 16
    assert sum(tested["predicted"].values()) == tested["n"]
    assert tested["accuracy"] == tested["predicted"]["gesture 2"] / tested["n"] > 0.9
    with pytest.raises(UnknownNameError, match="Did you mean 'gesture 2'"):
        hd.try_label(saved, "gestur 2", hd.HDOptions(path=folder))

    options = hd.HDOptions(path=folder, width=0.2, epochs=1, subjects=("1",), pretrained_path=saved, batch=100)
    before = NeuralClassifier.load(saved).module_.state_dict()
    tuned, accuracy = hd.train(dataclasses.replace(options, fine_tune=True))
    assert accuracy > 0.9  # after one epoch of four steps: it did begin from the saved network
    moved = {k for k, p in tuned.module_.named_parameters() if not np.allclose(p.detach(), before[k], atol=1e-7)}
    assert moved
    assert not any(k.startswith(("1.", "3.")) for k in moved)
    free, _ = hd.train(options)
    assert not np.allclose(free.module_.state_dict()["1.0.weight"], before["1.0.weight"], atol=1e-7)


def test_dead_channels_of_csl_are_dropped_and_trials_vote_within_sessions(tmp_path):
    from myograph.datasets.csl_hdemg import CslHdemg

    CslHdemg().write_miniature(tmp_path, np.random.default_rng(0))
    options = hd.HDOptions(
        dataset="csl_hdemg", path=tmp_path, subjects=("1",), channel=168, image_height=24, image_width=7
    )
    recipe = hd.system(options, KFoldRepetitions(10, within="session"))
    windows = prepare(recipe, hd.recordings(options)[:3])
    assert windows.shape[1:] == (168, 1)
    fold = next(iter(recipe.protocol.folds(windows)))
    assert windows.table["session"].iloc[fold.train].unique().tolist() == ["1"]
    recipe = dataclasses.replace(recipe, method="lda", method_options={"features": ("MAV",), "log": False})
    scores = evaluate(recipe, [hd.recordings(options)[i] for i in (1, 2)])
    assert scores.folds["trial_vote_accuracy"].mean() >= scores.folds["accuracy"].mean()


def test_sizes_are_the_published_ones():
    rows = list(hd.sizes())
    assert len(rows) == 8
    for row in rows[::2]:
        assert row.values[0] == pytest.approx(row.published.value, abs=0.009)
    # The authors' counter adds 4 operations for each value of a batch norm, so theirs are more by a few percent.
    assert [row.published.value for row in rows[1::2]] == [18.303, 12.967, 7.632, 4.964]
    assert [row.values[0] for row in rows[1::2]] == pytest.approx([17.01, 12.03, 7.05, 4.56], abs=0.006)
    assert all("batch norm" in row.note and row.published.status == "verified" for row in rows[1::2])


def test_k_folds_leave_every_repetition_out_once(folder):
    scores = hd.run(hd.HDOptions(path=folder, subjects=("1",), width=0.2, epochs=1, batch=100, folds=5))
    assert not scores.leaky
    assert scores.honest is None
    assert len(scores.folds) == 5
    assert sorted(set(scores.predictions["repetition"])) == [1, 2, 3, 4, 5]
    assert len(scores.predictions) == 8 * 5 * 16


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_random_samples_look_solved_and_a_repetition_left_out_is_not():
    context = Context("hd_mobilenet", None)
    ice, _ = hd.cohorts(context)
    scores = evaluate(
        hd.system(
            dataclasses.replace(ice, width=0.2), hd._split(context, ice), (hd.KeepMiddle(hd.QUICK_MS),), rest="drop"
        )
    )
    leaky, honest = scores.folds["accuracy"].mean(), scores.honest.folds["accuracy"].mean()
    assert scores.leaky
    assert leaky >= 0.97
    assert honest <= leaky - 0.10


def test_a_data_set_of_that_name_runs_with_the_published_options():
    from myograph.cli.run import choose

    quick, real = RECIPES.create("hd_mobilenet"), choose("hd_mobilenet", "ice_lab", None, None, (), None)
    assert (quick.method_options["epochs"], quick.method_options["batch_size"]) == (8, 32)
    assert real.dataset == "ice_lab"
    assert (real.method_options["epochs"], real.method_options["batch_size"]) == (5, 1000)
    assert [type(f).__name__ for f in real.filters] == ["FirstChannels", "FirstRepetitions"]
    grid = choose("hd_mobilenet", "flexemg", None, None, (), None)
    assert grid.method_options["model_options"]["grid"] == (16, 4)
    assert grid.published == ()


def test_flexemg_is_split_at_random_by_repetition_and_by_donning(tmp_path):
    seen = []

    class Watch(Context):
        def evaluate(self, setting, recipe, published=None, metric="", note="", section=""):
            seen.append((recipe.protocol, recipe.filters[0].n, published))
            return Row(setting, (0.5,))

    rows = list(hd.hd_mobilenet(Watch("hd_mobilenet", tmp_path, dataset="flexemg")))
    assert [r.setting for r in rows if r.section != "size"] == [
        "MobileNetV2, width 0.2, random half of the samples",
        "MobileNetV2, width 0.2, array put on again",
    ]
    assert [p.leaky for p, _, _ in seen] == [True, False]
    assert seen[0][0].honest == KFoldRepetitions(5, within="session")
    assert seen[1][0] == CrossSession()
    assert {(n, published) for _, n, published in seen} == {(64, None)}
