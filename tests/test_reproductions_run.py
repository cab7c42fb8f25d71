"""Every published system runs to its end on every data set that it names, with `--epochs 1`; and what this switch cuts."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from myograph.datasets import csl_hdemg, flexemg, ninapro
from myograph.datasets.base import DATASETS
from myograph.datasets.simulated import Simulated
from myograph.errors import ConfigError
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.registry import REPRODUCTIONS
from myograph.evaluation.reproduction import Context, reproduce
from myograph.evaluation.shortened import shortened
from myograph.methods.adapt import SelfRecalibrating
from myograph.recipes import atzori2016, ding2018, fin2025, hd_mobilenet, muscle_cnn_lstm, zhai2017
from myograph.recipes._report import REPORT_SEEDS
from myograph.training.estimator import NeuralClassifier
from myograph.training.imitation import FeatureImitation, feature_imitating_classifier
from myograph.training.loop import Trainer
from myograph.training.transfer import LayerwiseAutoencoder

READERS = {
    "atzori2016": [db.dataset for db in atzori2016.DATABASES.values()],
    "zhai2017": ["ninapro_db1", "ninapro_db2", "ninapro_db3", "ninapro_db5", *zhai2017.DAYS],
    "ding2018": ["ninapro_db2", "3dc"],
    "muscle_cnn_lstm": ["trigno_maize", "leg_muscles", "plux_biceps"],
    "hd_mobilenet": ["ice_lab", *hd_mobilenet.GRIDS],
    "fin2025": ["ninapro_db2", *(name for name in fin2025.OPTIONS if name != "simulated")],
}
# The usual tests run these; the others take minutes each.
QUICK_ONES = {("muscle_cnn_lstm", "plux_biceps"), ("muscle_cnn_lstm", "leg_muscles")}


def combinations() -> list[Any]:
    pairs = [(system, name) for system, names in READERS.items() for name in names]
    return [pytest.param(*p, marks=() if p in QUICK_ONES else pytest.mark.nightly, id="-".join(p)) for p in pairs]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("system", "name"), combinations())
def test_a_system_runs_to_its_end_on_the_files_of_a_data_set(system, name, tmp_path, monkeypatch, command):
    monkeypatch.setenv("MYOGRAPH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MYOGRAPH_CACHE", str(tmp_path / "cache"))
    # The 1 Hz filter and 25 components need longer movements, and of DB2 a miniature has the first three of each exercise.
    monkeypatch.setattr(ninapro, "MINIATURE_HOLD_S", 1.0)
    monkeypatch.setattr(flexemg, "MINIATURE_HOLD_S", 1.0)
    # Each sample of CSL-HDEMG is a window, and M5 needs 20 of a trial. Every session has 10 folds for three large networks.
    monkeypatch.setattr(csl_hdemg, "MINIATURE_SAMPLES", 22)
    monkeypatch.setattr(csl_hdemg, "MINIATURE_SUBJECTS", (1,))
    monkeypatch.setattr(csl_hdemg, "MINIATURE_SESSIONS", (1,))
    few = (
        "B1 thumb up",
        "C1 large diameter grasp",
        "C2 small diameter grasp",
        "D1 force pattern 1",
        "D2 force pattern 2",
    )
    monkeypatch.setattr(zhai2017, "TEN", few)
    DATASETS.create(name).write_miniature(tmp_path / "data" / name, np.random.default_rng(0))
    trained = []
    run = Trainer.run

    def watched(self, *args, **more):
        rows = list(run(self, *args, **more))
        trained.append(len(rows))
        yield from rows

    monkeypatch.setattr(Trainer, "run", watched)
    words = ("reproduce", system, "--dataset", name, "--full", "--epochs", 1, "--jobs", 1, "--json")
    status, said, failed = command(*words, "--out", tmp_path / "run")
    assert status == 0, failed
    result = json.loads(said)
    assert (result["kind"], result["dataset"], result["epochs"]) == ("full", name, 1)
    rows = [row for row in result["rows"] if row["data"] != "no data: counted"]
    assert rows
    assert all(row["values"] for row in rows)
    assert all(name in row["data"] for row in rows)
    assert name == "plux_biceps" or set(trained) == {1}
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"myograph reproduce {system} --dataset {name} --full --epochs 1<" in page
    assert "cut short by --epochs" in page


def test_every_system_is_run():
    assert set(READERS) == set(REPRODUCTIONS)


def test_epochs_are_cut_wherever_they_are():
    imitation = FeatureImitation(epochs=60, shadow_epochs=30)
    network = feature_imitating_classifier(imitation, epochs=10)
    nested = SelfRecalibrating(Pipeline([("scale", StandardScaler()), ("classify", network)]), "last", epochs=10)
    recipe = Recipe("any", "simulated", method=nested)
    cut = shortened(recipe, 2).method
    inner = cut.estimator[-1]
    assert (cut.epochs, inner.epochs, inner.pretrain.epochs, inner.pretrain.shadow_epochs) == (2, 2, 2, 2)
    assert (nested.epochs, network.epochs, network.pretrain.epochs) == (10, 10, 60)  # a copy
    assert inner.pretrain.batch_size == imitation.batch_size
    options = {"epochs": 30, "pretrain": LayerwiseAutoencoder(20), "augment": (("noise", 25.0),), "batch_size": 64}
    named = shortened(Recipe("any", "simulated", method="muscle_cnn_lstm", method_options=options), 1)
    assert named.method_options["epochs"] == named.method_options["pretrain"].epochs == 1
    assert (named.method_options["augment"], named.method_options["batch_size"]) == ((("noise", 25.0),), 64)
    assert shortened(fin2025.OTHER, 3).joint_epochs == 3
    assert shortened(NeuralClassifier("atzori", epochs=2), 5).epochs == 2  # never more


def test_a_cut_run_is_another_run_than_a_whole_one(tmp_path):
    with pytest.raises(ConfigError, match="epochs=0"):
        reproduce("ding2018", out=tmp_path, epochs=0)
    assert Context("any", tmp_path).shorten({"epochs": 30}) == {"epochs": 30}
    assert Context("any", tmp_path, epochs=1).shorten({"epochs": 30}) == {"epochs": 1}


def test_figures_of_simulated_people_come_from_five_seeds_on_which_nothing_was_chosen():
    """Programs are written on seeds below 100; the page of each system says which seeds its people come from."""
    assert len(set(REPORT_SEEDS)) >= 5
    assert min(REPORT_SEEDS) > 100
    for system, cohorts in simulated_people().items():
        assert cohorts, system
        for people in cohorts:
            assert people.seed == REPORT_SEEDS, system
            assert people.settings["n_subjects"] >= len(REPORT_SEEDS), system
        words = " ".join((REPRODUCTIONS[system].__doc__ or "").split())
        assert f"seeds {REPORT_SEEDS[0]} to {REPORT_SEEDS[-1]}" in words, system


SIZES = {"preset", "n_subjects", "n_sessions", "n_repetitions", "n_gestures", "hold_s", "rest_s", "seed"}


def simulated_people() -> dict[str, list[Simulated]]:
    """The simulated people of every system's small run."""
    grids = hd_mobilenet.cohorts(Context("hd_mobilenet", None))  # type: ignore[arg-type]
    cohorts = zhai2017.cohorts(Context("zhai2017", None))  # type: ignore[arg-type]
    muscles = {k: v for k, v in muscle_cnn_lstm.QUICK_DATA.items() if k != "dataset"}
    return {
        "atzori2016": [db.simulated for db in atzori2016.DATABASES.values() if db.simulated],
        "ding2018": [ding2018.QUICK],
        "hd_mobilenet": [options.dataset for options in grids if options is not None],
        "zhai2017": [Simulated(**cohort.options) for cohort in cohorts],
        "muscle_cnn_lstm": [Simulated(**muscles)],
        "fin2025": [Simulated(**fin2025.QUICK_DATA)],
    }


def test_simulated_people_are_those_of_the_preset_but_for_their_number_and_time():
    """What differs otherwise stands on the page of the system, in these words."""
    said = {"fin2025": {"rate_hz": "recordings at 100 Hz", "artefacts_per_min": "There are no artefacts"}}
    for system, cohorts in simulated_people().items():
        assert cohorts, system
        for people in cohorts:
            untouched = dataclasses.replace(Simulated(people.preset), seed=people.seed)
            changed = {k for k, v in people.settings.items() if v != untouched.settings[k]} - SIZES
            assert changed == set(said.get(system, {})), system
        for words in said.get(system, {}).values():
            assert words in (REPRODUCTIONS[system].__doc__ or "")


COUNTED = {4: "four", 5: "five", 10: "ten"}
UNITS = {
    "n_subjects": "",
    "n_sessions": " session",
    "n_gestures": " (gestures|movements)",
    "n_repetitions": " (repetitions|bursts)",
    "hold_s": r" s\b",
    "rest_s": " s of rest",
}


def test_every_size_that_is_not_the_presets_stands_in_the_pages_paragraph_on_the_small_run():
    for system, cohorts in simulated_people().items():
        (text,) = (
            " ".join(paragraph.split())
            for paragraph in (REPRODUCTIONS[system].__doc__ or "").split("\n\n")
            if paragraph.strip().startswith(("**A small run**", "**The small run**"))
        )
        for people in cohorts:
            preset = Simulated(people.preset).settings
            for size in UNITS:
                value = people.settings[size]
                words = [f"{value:g}", COUNTED.get(value, "one" if value == 1 else "")]
                found = any(re.search(rf"\b{word}{UNITS[size]}", text) for word in words if word)
                assert found or value == preset[size], (system, size, value)
