"""What earlier versions wrote must still be what it was: identities of recipes, and a saved network.

`tests/golden/identities.json` was written before the package was laid out in folders, when `lda_svm` was the default method: a
recipe whose identity changes cannot resume the runs that it started. `network.safetensors` was saved by version 0.1.0 before that change.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from myograph.evaluation.recipe import RECIPES, baseline

GOLDEN = Path(__file__).parent / "golden"
IDENTITIES = json.loads((GOLDEN / "identities.json").read_text())


@pytest.mark.parametrize("name", sorted(IDENTITIES["recipes"]))
def test_identity_of_a_registered_recipe_is_unchanged(name):
    assert RECIPES[name]().identity({"1/1/0": "0" * 64}) == IDENTITIES["recipes"][name]


@pytest.mark.parametrize("name", sorted(IDENTITIES["baselines"]))
def test_identity_of_a_data_sets_baseline_is_unchanged(name):
    assert baseline(name, "lda_svm").identity({"1/1/0": "0" * 64}) == IDENTITIES["baselines"][name]


def test_every_registered_recipe_is_in_the_table():
    assert set(RECIPES) == set(IDENTITIES["recipes"])


def test_a_network_saved_by_version_0_1_0_still_loads():
    from myograph import NeuralClassifier

    network = NeuralClassifier.load(GOLDEN / "network.safetensors", device="cpu")
    stored = np.load(GOLDEN / "network.npz")
    assert list(network.classes_) == ["fist", "open", "rest"]
    # Another processor's convolutions round otherwise, by about 1e-7.
    np.testing.assert_allclose(network.predict_proba(stored["windows"]), stored["proba"], atol=1e-4)
    assert network.get_params()["model_options"] == {"dropout": 0.25}
