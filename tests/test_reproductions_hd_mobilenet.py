from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from myograph.cli.app import app
from myograph.datasets.simulated import Simulated
from myograph.errors import ConfigError, LeakageWarning, UnknownNameError
from myograph.evaluation.recipe import RECIPES
from myograph.evaluation.reproduction import Context, Row
from myograph.evaluation.run import evaluate, prepare
from myograph.evaluation.settings import change
from myograph.protocols import CrossSession, KFoldRepetitions
from myograph.recipes import _hd_system
from myograph.recipes import hd_mobilenet as hd
from myograph.training.estimator import NeuralClassifier

TINY = hd.HDOptions(
    dataset=Simulated("ice", n_repetitions=2, n_gestures=2, hold_s=0.5, rest_s=0.5),
    model_width=0.2,
    Epoch=1,
    batch_size=100,
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
    # The names and values of the authors' config.json; num_workers load batches there, and here there is nothing to load.
    expected = {"Epoch": 5, "learning_rate": 3e-4, "T_max": 5, "input_width": 8, "input_height": 24, "channel": 1}
    expected |= {"batch_size": 1000, "data_path": None, "fold": 1, "weight_decay": 3e-4, "model_save": None}
    expected |= {"finetune": False, "pretrain_model_path": None, "label_smoothing": 0.1, "model_width": 1.0}
    assert {k: got[k] for k in expected} == expected
    assert set(got) - set(expected) == {"dataset", "num_workers", "subjects", "seed"}


CONFIG = {
    "Epoch": 7,
    "learning_rate": 0.01,
    "T_max": 9,
    "input_width": 24,
    "input_height": 7,
    "channel": 3,
    "batch_size": 32,
    "num_workers": 4,
    "data_path": "here",
    "dataset": "CSL",
    "fold": 5,
    "weight_decay": 0,
    "model_save": "there",
    "finetune": False,
    "pretrain_model_path": "",
    "label_smoothing": 0.0,
    "model_width": 1,
}


def test_the_file_in_the_authors_repository_is_read_as_it_is(tmp_path):
    """Its values of paths are "pretrain_model" and ".", and it does not fine-tune."""
    stated = {"Epoch": 5, "learning_rate": 3e-4, "T_max": 5, "input_width": 8, "input_height": 24, "batch_size": 1000}
    stated |= {"num_workers": 4, "data_path": "data/Training_Trimmed", "dataset": "ICE", "fold": 1, "channel": 1}
    stated |= {"weight_decay": 3e-4, "label_smoothing": 0.1, "model_save": "pretrain_model", "finetune": False}
    stated |= {"pretrain_model_path": ".", "model_width": 0.2}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(stated))
    options = hd.HDOptions.from_config(path)
    assert dataclasses.asdict(options) == stated | {"subjects": None, "seed": 0}
    # The program reads pretrain_model_path for fine-tuning alone.
    assert "pretrained" not in hd.system(options).method_options
    tuned = hd.system(dataclasses.replace(options, finetune=True, pretrain_model_path="net.safetensors"))
    assert tuned.method_options["pretrained"] == "net.safetensors"


def test_the_authors_file_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    options = hd.HDOptions.from_config(path)
    assert dataclasses.asdict(options) == CONFIG | {"pretrain_model_path": None, "subjects": None, "seed": 0}
    recipe = hd.system(options)
    assert recipe.dataset == "csl_hdemg"
    assert recipe.protocol == KFoldRepetitions(5)
    assert recipe.filters[0].n == 168
    assert dict(recipe.method_options["model_options"]) == {"width": 1, "grid": (24, 7), "planes": 3}
    assert hd.system(dataclasses.replace(options, dataset="ICE")).dataset == "ice_lab"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"epoch": 5}', "Did you mean 'Epoch'"),
        ('{"Epoch": "five"}', "Epoch of .* is 'five', and a value such as 5 was expected"),
        ('{"finetune": 1}', "finetune of .* is 1, and a value such as False"),
        ('{"Epoch": true}', "Epoch of .* is True"),
        ("[5]", "holds a list"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_a_file_of_other_options_is_refused(text, words, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises((ConfigError, UnknownNameError), match=words):
        hd.HDOptions.from_config(path)


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [
        ("Epoch", 7, "epochs"),
        ("learning_rate", 1e-2, "lr"),
        ("batch_size", 64, "batch_size"),
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
    assert method(model_width=0.4)["model_options"]["width"] == 0.4
    other = method(input_width=24, input_height=7)
    assert other["model_options"]["grid"] == (24, 7)
    with pytest.raises(ConfigError, match="planes of the image, 1 or 3, got 192"):
        hd.system(hd.HDOptions(channel=192))
    with pytest.raises(ConfigError, match="pretrain_model_path"):
        hd.system(hd.HDOptions(finetune=True))
    assert hd.system(dataclasses.replace(TINY, seed=3)).protocol.seed == 3


def test_every_option_can_be_set_on_the_command_line():
    given = CONFIG | {"finetune": True, "pretrain_model_path": "b", "weight_decay": 0.1, "seed": 4}
    options = change(hd.HDOptions(), [*(f"{k}={v}" for k, v in given.items()), "subjects=1,2"])
    assert dataclasses.asdict(options) == given | {"subjects": ("1", "2")}


def test_three_planes_repeat_the_image():
    import torch

    from myograph.models import MODELS

    with torch.device("meta"):
        one, three = (
            MODELS.create("mobilenet_v2", n_channels=192, n_classes=8, n_samples=1, grid=(8, 24), planes=planes)
            for planes in (1, 3)
        )
    # The first convolution has 3 x 3 weights more for each of two more planes and 32 kernels.
    assert sum(p.numel() for p in three.parameters()) - sum(p.numel() for p in one.parameters()) == 2 * 9 * 32
    x = torch.randn(2, 192, 1)
    images = MODELS.create("mobilenet_v2", n_channels=192, n_classes=8, n_samples=1, grid=(8, 24), planes=3)[0](x)
    assert torch.equal(images, x.reshape(2, 1, 8, 24).expand(2, 3, 8, 24))


def test_folds_are_leaky_when_one_and_repetitions_when_more():
    one = hd.system(TINY).protocol
    assert one.leaky
    assert one.test_fraction == 0.5
    assert one.honest == KFoldRepetitions()
    assert hd.system(dataclasses.replace(TINY, fold=5)).protocol == KFoldRepetitions(5)


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
    options = hd.HDOptions(data_path=folder)
    assert {r.subject for r in hd.recordings(options)} == {"1", "2"}
    assert {r.subject for r in hd.recordings(dataclasses.replace(options, subjects=("2",)))} == {"2"}
    with pytest.raises(ConfigError, match="there is no folder"):
        hd.recordings(hd.HDOptions(data_path=folder / "elsewhere"))


def test_workers_are_processes_on_folds(monkeypatch, folder):
    seen = {}
    monkeypatch.setattr(_hd_system, "evaluate", lambda *args, **more: seen.update(more))
    hd.run(hd.HDOptions(data_path=folder, num_workers=3))
    assert seen["jobs"] == 3


def command(*parts):
    call = CliRunner().invoke(app, ["hd", *parts, "--json"])
    assert call.exit_code == 0, call.output
    return json.loads(call.stdout)


def test_train_fine_tune_and_test_one_file_of_one_label(folder, tmp_path):
    config = tmp_path / "config.json"
    published = {"Epoch": 3, "T_max": 3, "batch_size": 16, "learning_rate": 0.002, "model_width": 0.2, "dataset": "ICE"}
    config.write_text(json.dumps(published | {"data_path": str(folder), "model_save": str(tmp_path / "nets")}))
    found = command("train", "--config", str(config))
    saved = tmp_path / "nets" / "mobilenet_v2.safetensors"
    assert found["leaky"]
    assert found["accuracy"] is None  # a leaky score is not shown without the honest one beside it
    assert found["folds"] == [{"fold": 1, "accuracy": None, "saved": str(saved)}]

    file = folder / "001-002-003.mat"
    tested = command("test", str(file), "--label", "1", "--model", str(saved))
    assert tested == command("test", str(file), "--label", "gesture 2", "--model", str(saved))
    assert tested == command("test", str(file), "--label", "1", "--config", str(config))  # the network in model_save
    refused = CliRunner().invoke(app, ["hd", "test", str(file), "--label", "1"])
    assert isinstance(refused.exception, (ConfigError, SystemExit))
    assert "no network is given" in refused.output + str(refused.exception)
    assert tested["label"] == "gesture 2"
    assert tested["n"] == sum(tested["predicted"].values()) == 16
    assert tested["accuracy"] == tested["predicted"]["gesture 2"] / 16 > 0.9
    assert command("test", str(file), "--label", "0", "--model", str(saved))["accuracy"] < 0.1
    with pytest.raises(UnknownNameError, match="Did you mean 'gesture 2'"):
        hd.try_label(saved, file, "gestur 2")
    with pytest.raises(ConfigError, match="there is no file"):
        hd.try_label(saved, folder / "missing.mat", "0")
    with pytest.raises(ConfigError, match="single files of flexemg"):
        hd.try_label(saved, file, "0", hd.HDOptions(dataset="flexemg"))

    options = hd.HDOptions(
        data_path=folder, model_width=0.2, Epoch=1, subjects=("1",), pretrain_model_path=saved, batch_size=100
    )
    before = NeuralClassifier.load(saved).module_.state_dict()
    ((tuned, accuracy, path),) = hd.train(dataclasses.replace(options, finetune=True))
    assert (accuracy, path) == (None, None)
    # After one epoch of four steps: it did begin from the saved network.
    with pytest.warns(LeakageWarning, match="share samples"):
        assert tuned.score(prepare(hd.system(options), hd.recordings(options))) > 0.9
    moved = {k for k, p in tuned.module_.named_parameters() if not np.allclose(p.detach(), before[k], atol=1e-7)}
    assert moved
    assert not any(k.startswith(("1.", "3.")) for k in moved)
    ((fresh, _, _),) = hd.train(options)  # without finetune, the saved network is not read
    ((same, _, _),) = hd.train(dataclasses.replace(options, pretrain_model_path=None))
    assert np.array_equal(fresh.module_.state_dict()["1.0.weight"], same.module_.state_dict()["1.0.weight"])
    assert not np.allclose(fresh.module_.state_dict()["1.0.weight"], before["1.0.weight"], atol=1e-3)


def test_every_fold_is_printed_and_saved(folder, tmp_path):
    settings = [f"data_path={folder}", "fold=5", "Epoch=1", "model_width=0.2", "batch_size=64", "subjects=1,"]
    settings.append(f"model_save={tmp_path / 'net.safetensors'}")
    found = command("train", *(part for s in settings for part in ("--set", s)))
    assert not found["leaky"]
    assert [fold["fold"] for fold in found["folds"]] == [1, 2, 3, 4, 5]
    assert found["accuracy"] == pytest.approx(np.mean([fold["accuracy"] for fold in found["folds"]]))
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"net-fold{k}.safetensors" for k in range(1, 6)]


def test_dead_channels_of_csl_are_dropped_and_trials_vote_within_sessions(tmp_path):
    from myograph.datasets.csl_hdemg import CslHdemg

    CslHdemg().write_miniature(tmp_path, np.random.default_rng(0))
    options = hd.HDOptions(dataset="CSL", data_path=tmp_path, subjects=("1",), input_width=24, input_height=7)
    recipe = hd.system(options, KFoldRepetitions(10, within="session"))
    windows = prepare(recipe, hd.recordings(options)[:3])
    assert windows.shape[1:] == (168, 1)
    fold = next(iter(recipe.protocol.folds(windows)))
    assert windows.table["session"].iloc[fold.train].unique().tolist() == ["1"]
    recipe = dataclasses.replace(recipe, method="lda", method_options={"features": ("MAV",), "log": False})
    scores = evaluate(recipe, [hd.recordings(options)[i] for i in (1, 2)])
    assert scores.folds["trial_vote_accuracy"].mean() >= scores.folds["accuracy"].mean()


def test_the_published_image_of_csl_has_the_dead_rows_as_zeros(tmp_path):
    from myograph.datasets.csl_hdemg import CslHdemg

    CslHdemg().write_miniature(tmp_path, np.random.default_rng(0))
    whole = hd.HDOptions(dataset="CSL", data_path=tmp_path, subjects=("1",))  # 8 x 24, as in the authors' file
    kept = dataclasses.replace(whole, input_width=24, input_height=7)
    image, signal = hd.recordings(whole)[1], hd.recordings(kept)[1]
    assert image.n_channels == 192
    assert not image.signal[7::8].any()
    np.testing.assert_array_equal(np.delete(image.signal, np.s_[7::8], axis=0), signal.signal)
    assert image.layout.index().shape == (8, 24)
    assert prepare(hd.system(whole), hd.recordings(whole)[:3]).shape[1:] == (192, 1)
    trial = tmp_path / "subject1" / "session1" / "gest1.mat"
    assert _hd_system._one_file(whole, trial).n_channels == 192


def test_csl_at_full_size_has_the_published_preprocessing_and_network(tmp_path):
    seen = {}

    class Watch(Context):
        def evaluate(self, setting, recipe, published=None, metric="", note="", section=""):
            seen[setting] = recipe
            return Row(setting, (0.5,), metrics={"trial_vote_accuracy": (0.6,)})

    options = hd.HDOptions(dataset="csl_hdemg", **hd.GRIDS["csl_hdemg"])
    rows = list(hd.csl_trials(Watch("hd_mobilenet", tmp_path, quick=False), options))
    assert len(rows) == 2 * len(seen) == 6
    plain, cleaned, geng = seen.values()
    assert [type(f).__name__ for f in plain.filters] == ["FirstChannels"]
    names = ["FirstChannels", "BandPass", "ActiveSegment", "SpatialMedian3x3"]
    assert [type(f).__name__ for f in cleaned.filters] == [type(f).__name__ for f in geng.filters] == names
    assert geng.method == "gengnet"
    # Geng et al. 2016: a tenth of the rate after 16 and after 24 of 28 epochs.
    from myograph.training.plan import Plan, lr_factor

    schedule = {k: geng.method_options[k] for k in ("epochs", "schedule", "schedule_options")}
    plan = Plan(**schedule)
    assert [lr_factor(plan, e, e / 28) for e in (0, 15, 16, 23, 24, 27)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_one_file_of_csl_hdemg_is_read(tmp_path):
    from myograph.datasets.csl_hdemg import CslHdemg

    CslHdemg().write_miniature(tmp_path, np.random.default_rng(0))
    options = hd.HDOptions(dataset="CSL", input_width=24, input_height=7)
    recording = _hd_system._one_file(options, tmp_path / "subject1" / "session1" / "gest1.mat")
    assert recording.n_channels == 168
    assert (recording.label == -1).all()


def test_the_page_says_what_the_gpu_measured():
    stored = Path(__file__).parents[1] / "benchmarks" / "results" / "gpu_systems.json"
    if not stored.is_file():
        pytest.skip("the installed package has no benchmarks")
    found = json.loads(stored.read_text(encoding="utf-8"))
    text = " ".join((hd.hd_mobilenet.__doc__ or "").split())
    nets = found["mobilenet"]["widths"]
    for width in ("width 1", "width 0.2"):
        leaky, honest = nets[width]["LEAKY, random samples"], np.mean(nets[width]["one repetition left out"])
        assert re.search(rf"{width} (scores )?LEAKY {leaky:.1f} % and honest {honest:.1f} %", text), width


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
    scores = hd.run(hd.HDOptions(data_path=folder, subjects=("1",), model_width=0.2, Epoch=1, batch_size=100, fold=5))
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
            dataclasses.replace(ice, model_width=0.2),
            hd._split(context, ice),
            (hd._middle(ice),),
            rest="drop",
        )
    )
    leaky, honest = scores.folds["accuracy"].mean(), scores.honest.folds["accuracy"].mean()
    assert scores.leaky
    assert leaky >= 0.9  # 0.98 on one person of seed 51
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
