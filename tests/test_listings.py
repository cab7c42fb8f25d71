"""The command line's listings: right, and answered without the imports that take seconds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from myograph.cli import listings
from myograph.evaluation.recipe import RECIPES, Recipe
from myograph.models import MODELS

HEAVY = {"torch", "sklearn", "numba", "scipy.stats", "scipy.signal", "jinja2", "joblib"}
ARRAYS = {"numpy", "pandas", "pyarrow", "scipy"}


@pytest.mark.parametrize(
    ("command", "unused"),
    [
        (("--help",), HEAVY | ARRAYS),
        (("run", "--help"), HEAVY | ARRAYS),
        (("recipes",), HEAVY | ARRAYS),
        (("recipes", "--json"), HEAVY | ARRAYS),
        (("methods",), HEAVY | ARRAYS),
        (("models", "list"), HEAVY | ARRAYS),
        (("models", "list", "--json"), HEAVY | ARRAYS),
        (("reproduce", "--list"), HEAVY | ARRAYS),
        (("features", "list"), HEAVY | {"pandas"}),
        (("datasets", "list"), HEAVY),
    ],
)
def test_a_listing_imports_nothing_heavy(command, unused):
    code = (
        "import sys; from myograph.cli.app import app; app(sys.argv[1:], standalone_mode=False); "
        "print('\\n' + ' '.join(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    *listed, modules = found.stdout.splitlines()
    assert "".join(listed).strip()
    assert not unused & set(modules.split())


def test_the_package_itself_is_light():
    code = "import sys; before = set(sys.modules); import myograph; print(*(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    outside = {m.partition(".")[0] for m in found.stdout.split()} - set(sys.stdlib_module_names)
    assert outside <= {"myograph"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["models", "recipes"])
def test_the_stored_rows_are_those_of_the_things_themselves(kind):
    advice = f"run `python -m myograph.testing listings` after a change of {kind}"
    assert list(listings.stored(kind).values()) == json.loads(json.dumps(listings.make(kind))), advice


def test_a_recipe_or_network_that_is_not_stored_is_built(monkeypatch):
    monkeypatch.setattr(listings, "stored", lambda kind: {})
    monkeypatch.setattr(RECIPES, "_found", {})
    monkeypatch.setattr(RECIPES, "_entries", {"mine": lambda: Recipe("mine", "simulated", method="svm")})
    shown = []
    monkeypatch.setattr(listings, "print_rows", lambda rows, as_json: shown.extend(rows))
    listings.recipes()
    assert shown == [{"name": "mine", "dataset": "simulated", "method": "svm", "protocol": "WithinSubject"}]
    m5 = MODELS["m5"]
    monkeypatch.setattr(MODELS, "_found", {})
    monkeypatch.setattr(MODELS, "_entries", {"own": m5})
    (row,) = listings.rows_of_models(**listings.SIZE)
    # 12 x 300 values: 225 x 16 x 16, then 112 - 2 = 110, 55 - 2 = 53 positions of 3 x 16 to 16 and 32 planes, 32 x 17
    assert row["macs"] == 225 * 16 * 16 + 110 * 3 * 16 * 16 + 53 * 3 * 16 * 32 + 32 * 17
    assert row["published"] is None


def test_another_size_is_counted_and_the_published_size_is_stored(monkeypatch):
    kept = listings.stored("models")["m5"]
    m5 = MODELS["m5"]
    monkeypatch.setattr(MODELS, "_found", {})
    monkeypatch.setattr(MODELS, "_entries", {"m5": m5})
    monkeypatch.setattr("myograph.models.cost.published", lambda name: pytest.fail("counted again"))
    (row,) = listings.rows_of_models(192, 20, 7)
    assert row["macs"] == 239_840
    assert row["published"] == kept["published"]
    assert kept["macs"] != 239_840
