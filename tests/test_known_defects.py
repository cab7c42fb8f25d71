from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

from myograph.cli.app import app
from myograph.datasets import load
from myograph.datasets.base import DATASETS


@pytest.mark.parametrize(("name", "word"), [("3dc", "19 and 21"), ("myoarmband", "Female0")])
def test_a_known_defect_of_a_published_set_is_listed_and_said(name, word, tmp_path, monkeypatch):
    (tmp_path / name).mkdir()
    DATASETS[name]().write_miniature(tmp_path / name, np.random.default_rng(0))
    monkeypatch.setenv("MYOGRAPH_DATA", str(tmp_path))
    with pytest.warns(UserWarning, match=rf"{name} as published has a known defect: .*{word}.*leave"):
        load(name)
    said = json.loads(CliRunner().invoke(app, ["datasets", "info", name, "--json"]).stdout)
    assert word in " ".join(said["known_defects"])


def test_a_set_without_known_defects_loads_silently():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load("simulated", subjects="1")
