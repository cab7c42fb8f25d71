"""Networks on disk: what is written is read again, and a hostile file imports nothing and calls nothing."""

from __future__ import annotations

import builtins
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from myograph.errors import ConfigError, DataError, MyographError, ResultsError
from myograph.models import MODELS, USUAL
from myograph.recording import Layout
from myograph.training import FeatureImitatingNet, FeatureImitation, LayerwiseAutoencoder, checkpoint
from myograph.training.build import load_matching
from myograph.training.estimator import NeuralClassifier, NeuralRegressor
from myograph.training.values import decode, encode
from networks import Net, same, small, toy, toy_windows, weights

# What is written is read again


def test_a_saved_network_may_be_read_as_any_file_of_its_owner(tmp_path):
    X, y, _ = toy()
    (tmp_path / "plain").write_text("")
    saved = small(epochs=1).fit(X, y).save(tmp_path / "new" / "net.safetensors")
    assert saved.stat().st_mode == (tmp_path / "plain").stat().st_mode
    with pytest.raises(ResultsError, match="is a file, not a folder"):
        small(epochs=1).fit(X, y).save(tmp_path / "plain" / "net.safetensors")


@pytest.mark.parametrize("labels", [("a", "ü", "z"), (1, 5, 9), (2.0, 3.0, 4.0)])
def test_saved_network_predicts_the_same_in_another_process(labels, tmp_path):
    X, y, groups = toy(labels)
    a = small(validation=0.34, class_weight={labels[0]: 2.0}, augment=(("noise", 20.0),)).fit(X, y, groups=groups)
    path = a.save(tmp_path / "net.safetensors")
    b = NeuralClassifier.load(path, device="cpu", model=Net)
    assert np.array_equal(a.predict_proba(X), b.predict_proba(X))
    assert b.classes_.dtype == a.classes_.dtype
    assert b.get_params() == a.get_params()
    assert b.history_.equals(a.history_)
    b.partial_fit(X, y)
    if labels[0] == 1:
        np.save(tmp_path / "x.npy", X)
        code = (
            "import numpy as np; from networks import Net; from myograph.training.estimator import NeuralClassifier as C;"
            f"np.save({str(tmp_path / 'p.npy')!r}, C.load({str(path)!r}, 'cpu', model=Net).predict_proba(np.load({str(tmp_path / 'x.npy')!r})))"
        )
        here = Path(__file__).parent
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            cwd=here,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])},
        )
        assert np.array_equal(np.load(tmp_path / "p.npy"), a.predict_proba(X))


def test_file_is_safetensors_with_a_json_header(tmp_path):
    from safetensors import safe_open

    X, y, _ = toy()
    path = small(epochs=1).fit(X, y).save(tmp_path / "net.safetensors")
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["values"])
    assert header["params"]["model"] == {"$yours": f"{Net.__module__}:Net"}
    assert header["fitted"]["n_channels_"] == 4


def test_damaged_and_foreign_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    X, y, _ = toy()
    a = small(epochs=1).fit(X, y)
    path = a.save(tmp_path / "net.safetensors")
    content = path.read_bytes()
    bad = tmp_path / "bad.safetensors"
    with pytest.raises(DataError, match="no file"):
        NeuralClassifier.load(tmp_path / "missing")
    bad.write_bytes(content[:-40])
    with pytest.raises(DataError, match="not a readable"):
        NeuralClassifier.load(bad)
    flipped = bytearray(content)
    flipped[-20] ^= 1
    bad.write_bytes(flipped)
    with pytest.raises(DataError, match="SHA-256"):
        NeuralClassifier.load(bad)
    save_file({"a": torch.zeros(2)}, bad)
    with pytest.raises(DataError, match="did not write"):
        NeuralClassifier.load(bad)
    small(epochs=1, checkpoint=tmp_path / "c").fit(X, y)
    with pytest.raises(DataError, match="holds a checkpoint"):
        NeuralClassifier.load(tmp_path / "c")
    with pytest.raises(ConfigError, match="NeuralClassifier"):
        NeuralRegressor.load(path)


def test_a_network_of_your_own_is_passed_and_never_imported(tmp_path):
    X, y, _ = toy()
    a = small(epochs=1).fit(X, y)
    path = a.save(tmp_path / "net.safetensors")
    with pytest.raises(DataError, match=r"networks:Net.*pass the object yourself: load\(path, model=Net\)"):
        NeuralClassifier.load(path, "cpu")
    b = NeuralClassifier.load(path, "cpu", model=Net)
    assert b.get_params() == a.get_params()
    with pytest.raises(DataError, match="differ in name"):
        NeuralClassifier.load(path, "cpu", model="atzori")
    with pytest.raises(ConfigError, match="no parameter modell"):
        NeuralClassifier.load(path, "cpu", modell=Net)


class NeedsNumbers(Net):
    """A constructor that looks at values, which torch's "meta" device does not have."""

    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__(n_channels, n_classes, n_samples)
        self.start = float(self.conv.weight.detach().abs().max())
        self.register_buffer("found", torch.nonzero(torch.ones(3)))


def test_a_network_of_your_own_may_compute_in_its_constructor(tmp_path):
    X, y, _ = toy()
    a = small(model=NeedsNumbers, epochs=1).fit(X, y)
    b = NeuralClassifier.load(a.save(tmp_path / "net.safetensors"), "cpu", model=NeedsNumbers)
    assert same(weights(a), weights(b))


def test_an_augmentation_of_your_own_is_passed(tmp_path):
    X, y, _ = toy()
    path = small(model="atzori", epochs=1, augment=(louder,)).fit(X, y).save(tmp_path / "net.safetensors")
    with pytest.raises(DataError, match=r"its augment is .*:louder"):
        NeuralClassifier.load(path, "cpu")
    assert NeuralClassifier.load(path, "cpu", augment=(louder,)).augment == (louder,)


def louder(x, rng):
    return x * 1.1


def test_a_model_without_a_name_cannot_be_saved(tmp_path):
    X, y, _ = toy()
    a = small(model=lambda **shape: Net(**shape), epochs=1).fit(X, y)
    with pytest.raises(ConfigError, match="not a lambda"):
        a.save(tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "value",
    [
        Layout((0, 0, 1), (0, 1, 0), wraps=True),
        LayerwiseAutoencoder(layers=("conv1",), epochs=3),
        FeatureImitation(features=("rms", "ent")),
        FeatureImitatingNet,
        torch.optim.SGD,
        torch.optim.RAdam,
        {1: (2.5, None), "a": [True, "b"]},
    ],
)
def test_values_come_back_equal(value):
    assert decode(json.loads(json.dumps(encode(value)))) == value


@pytest.mark.parametrize("labels", [np.array(["a", "ü"]), np.array([3, 4]), np.array(["a", 3], dtype=object)])
def test_arrays_come_back_with_their_type(labels):
    found = decode(json.loads(json.dumps(encode(labels))))
    assert found.dtype == labels.dtype
    assert (found == labels).all()


@pytest.mark.parametrize(
    ("old", "cls"),
    [
        ("myograph.transfer:LayerwiseAutoencoder", LayerwiseAutoencoder),
        ("myograph.imitation:FeatureImitatingNet", FeatureImitatingNet),
        ("torch.optim.adamw:AdamW", torch.optim.AdamW),
    ],
)
def test_names_of_version_0_1_0_are_looked_up(old, cls):
    assert decode({"$import": old}) is cls


@pytest.mark.parametrize("name", MODELS)
def test_every_registered_network_can_be_made_without_memory(name):
    size = MODELS.published(name) or USUAL
    with torch.device("meta"):
        made = MODELS.create(
            name, n_channels=size.channels, n_classes=size.classes, n_samples=size.samples, **size.options
        )
    assert {v.device.type for v in made.state_dict().values()} == {"meta"}


def test_a_saved_network_keeps_layout_and_pretraining(tmp_path):
    from myograph.training.transfer import LayerwiseAutoencoder

    windows = toy_windows()
    a = small(model="muscle_cnn", epochs=1, pretrain=LayerwiseAutoencoder(epochs=1)).fit(windows)
    b = NeuralClassifier.load(a.save(tmp_path / "net.safetensors"), "cpu")
    assert b.get_params() == a.get_params()
    assert same(weights(a), weights(b))


def test_a_loaded_network_does_not_write_where_the_file_says(tmp_path):
    X, y, _ = toy()
    path = small(model="atzori", epochs=1, checkpoint=tmp_path / "c").fit(X, y).save(tmp_path / "net.safetensors")
    tensors, values = checkpoint.read(path, "network")
    values["params"]["checkpoint"] = str(tmp_path / "elsewhere")
    checkpoint.write(path, "network", tensors, values)
    NeuralClassifier.load(path, "cpu").fit(X, y)
    assert not (tmp_path / "elsewhere").exists()


# Hostile files: a right hash, and values that name other things than `save` writes

HOSTILE = {
    "a function of os": {"$import": "os:system"},
    "a class of subprocess": {"$import": "subprocess:Popen"},
    "a call": {"$dataclass": "subprocess:Popen", "fields": {"args": ["touch", "owned"]}},
    "a call of os": {"$dataclass": "os:system", "fields": {"command": "touch owned"}},
    "a builtin": {"$dataclass": "builtins:eval", "fields": {"source": "__import__('os').system('touch owned')"}},
    "a module of the standard library": {"$import": "antigravity:geohash"},
    "a module that is not there": {"$class": "not_there:Thing"},
    "an attribute of a known class": {"$class": "Layout.__init__"},
    "a module of torch": {"$class": "torch.optim.lr_scheduler"},
    "a class of myograph that is not in the table": {"$dataclass": "myograph.evaluation.recipe:Recipe", "fields": {}},
    "a layout with other fields": {"$dataclass": "Layout", "fields": {"__class__": "x"}},
    "a class without fields as a dataclass": {"$dataclass": "torch.optim.SGD", "fields": {"params": []}},
    "a name that is a list": {"$class": ["os", "system"]},
    "something of yours": {"$yours": "os:system"},
    "an unknown key": {"$call": "os:system"},
    "deep nesting": json.loads("[" * 200 + "]" * 200),
    "deep tuples": json.loads('{"$tuple": [' * 200 + "1" + "]}" * 200),
    "a pair of one": {"$pairs": [["a"]]},
    "a key that is a list": {"$pairs": [[["a"], 1]]},
    "an array of Python objects": {"$array": [{"$import": "os:system"}], "dtype": "|O"},
    "an array of a huge text type": {"$array": ["a", "b"], "dtype": "<U400000000000"},
    "an array of a structure": {"$array": [1], "dtype": "(1000000000,)f8"},
    "an array of bytes": {"$array": [1], "dtype": "|V1000000000"},
    "an array without a type": {"$array": [1]},
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """(tensors, values) of a small network's file, and `write(path, ...)` for a file with some of its values replaced."""
    X, y, _ = toy(per=12)
    path = small(model="atzori", epochs=1).fit(X, y).save(tmp_path_factory.mktemp("good") / "net.safetensors")
    NeuralClassifier.load(path, "cpu")  # what a good file needs is imported here
    encode(Layout((0,), (0,)))
    return checkpoint.read(path, "network")


def hostile(good, path, params=None, fitted=None, tensors=None):
    """A file under a right hash, with some of a good file's values replaced."""
    stored, values = good
    values = values | {"params": values["params"] | (params or {}), "fitted": values["fitted"] | (fitted or {})}
    return checkpoint.write(path, "network", stored if tensors is None else tensors, values)


@pytest.fixture
def watched(good, monkeypatch, tmp_path):
    """Fails a test that imports a module, starts a process or evaluates text."""
    monkeypatch.chdir(tmp_path)
    before, called = set(sys.modules), []

    def refuse(name):
        def instead(*args, **kwargs):
            called.append((name, args))
            raise AssertionError(f"{name} was called with {args}")

        return instead

    with monkeypatch.context() as patch:
        for where, name in (
            (importlib, "import_module"),
            (subprocess, "Popen"),
            (os, "system"),
            (builtins, "eval"),
            (builtins, "exec"),
        ):
            patch.setattr(where, name, refuse(name))
        yield
    assert not called
    assert set(sys.modules) == before
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_values_are_refused_wherever_they_stand(what, good, watched, tmp_path):
    with pytest.raises(MyographError):
        decode(HOSTILE[what])
    for name in ("model", "optimizer", "pretrain", "augment"):
        path = hostile(good, tmp_path / "net.safetensors", params={name: HOSTILE[what]})
        with pytest.raises(DataError, match=r"cannot load|does not hold"):
            NeuralClassifier.load(path, "cpu")
        # Of a file named by `pretrained` only the weights are used.
        assert "block2.0.weight" in load_matching(
            MODELS.create("atzori", n_channels=4, n_classes=5, n_samples=24), path
        )


FITTED = {
    "a layout that is something else": {"layout_": "x"},
    "a huge number of channels": {"n_channels_": 10**12},
    "no channels": {"n_channels_": 0},
    "channels as text": {"n_channels_": "8"},
    "more classes than outputs": {"classes_": {"$array": list(range(50)), "dtype": "<i8"}},
    "classes as text": {"classes_": "abc"},
    "a hostile layout": {"layout_": {"$dataclass": "subprocess:Popen", "fields": {"args": "touch owned"}}},
    "a history that is not one": {"_rows": [1, 2]},
}


def test_hostile_fitted_values_are_refused(good, watched, tmp_path):
    for fitted in FITTED.values():
        path = hostile(good, tmp_path / "net.safetensors", fitted=fitted)
        with pytest.raises(DataError):
            NeuralClassifier.load(path, "cpu")


def test_a_network_of_a_huge_size_takes_no_memory(good, watched, tmp_path):
    huge = {"model": "myonet", "model_options": {"$pairs": [["hidden", 10**12]]}}  # 4 TB if it were allocated
    with pytest.raises(DataError, match="differ in name"):
        NeuralClassifier.load(hostile(good, tmp_path / "a", params=huge), "cpu")
    # "atzori" takes windows of any length with the same weights, so none is refused and none may cost memory.
    long = hostile(good, tmp_path / "b", fitted={"n_samples_": 10**15})
    assert NeuralClassifier.load(long, "cpu").n_samples_ == 10**15


def test_weights_of_another_type_or_shape_are_refused(good, watched, tmp_path):
    tensors, name = good[0], "network.1.block1.0.weight"
    weight = tensors[name]
    for changed in (weight.to(torch.int64), weight.double(), weight[:1], weight.to(torch.bool)):
        path = hostile(good, tmp_path / "net.safetensors", tensors=tensors | {name: changed})
        with pytest.raises(DataError, match="in the model"):
            NeuralClassifier.load(path, "cpu")
    path = hostile(good, tmp_path / "net.safetensors", tensors={k: v for k, v in tensors.items() if k != name})
    with pytest.raises(DataError, match="differ in name"):
        NeuralClassifier.load(path, "cpu")
    whole = {"network.1.weight": torch.zeros(2, 2, dtype=torch.int64)}
    with pytest.raises(ConfigError, match="no weight in pretrained fits"):
        load_matching(torch.nn.Linear(2, 2), hostile(good, tmp_path / "net.safetensors", tensors=whole))


def test_a_header_that_holds_no_values_is_refused(good, watched, tmp_path):
    path, tensors = tmp_path / "net.safetensors", {"network.0.mean": torch.zeros(2, 1)}
    texts = ("", "[]", "null", "3", "{", "[" * 100_000, '{"a":' * 100_000, "1" * 5000, '{"class": "NeuralClassifier"}')
    for text in texts:
        header = {"format": checkpoint.FORMAT, "kind": "network", "values": text}
        save_file(tensors, path, header | {"sha256": checkpoint.digest(tensors, "network", text)})
        with pytest.raises(DataError):
            NeuralClassifier.load(path, "cpu")


def test_a_file_that_claims_more_than_it_holds_is_refused(good, watched, tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}).encode()
    path = tmp_path / "net.safetensors"
    for content in (
        len(header).to_bytes(8, "little") + header,
        (2**63).to_bytes(8, "little") + b"{}",
        b"",
        b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.",  # a pickle
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a readable"):
            NeuralClassifier.load(path, "cpu")
        with pytest.raises(DataError, match="not a readable"):
            load_matching(torch.nn.Linear(2, 2), path)


CHECKPOINTS = (
    {"optimizer": {"x.y.z": 1}},
    {"optimizer": None},
    {"optimizer": {"$import": "os:system"}},
    {"history": {"$import": "os:system"}},
    {"epoch": "1"},
)


def test_a_hostile_checkpoint_is_refused(tmp_path, request):
    X, y, _ = toy(per=12)
    path = tmp_path / "run.safetensors"
    small(epochs=1, checkpoint=path).fit(X, y)
    tensors, values = checkpoint.read(path, "checkpoint")
    request.getfixturevalue("watched")
    for change in CHECKPOINTS:
        checkpoint.write(path, "checkpoint", tensors, values | change)
        with pytest.raises(DataError, match="does not continue this run"):
            small(epochs=1, checkpoint=path).fit(X, y)
    checkpoint.write(path, "checkpoint", {k: v for k, v in tensors.items() if "rng" not in k}, values)
    with pytest.raises(DataError, match="does not continue this run"):
        small(epochs=1, checkpoint=path).fit(X, y)
