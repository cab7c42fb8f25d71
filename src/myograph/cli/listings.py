"""`myograph methods`, `recipes` and `models list`, answered within a second.

Building all recipes and networks takes seconds. Their rows are therefore stored in `listings.json`, which
`python -m myograph.testing listings` writes. A test compares the file with the recipes and networks. A recipe or network
that the file lacks is built when it is listed.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from myograph.cli.terminal import Json, print_rows

SIZE = {"n_channels": 12, "n_samples": 300, "n_classes": 17}
"""The input size that `myograph models list` uses by default."""

Rows = list[dict[str, Any]]


def methods(as_json: Json = False) -> None:
    """List the methods: the classical ones and every network."""
    from myograph.methods.registry import METHODS

    print_rows([{"name": name, "what": what} for name, what in METHODS.summaries().items()], as_json)


def recipes(as_json: Json = False) -> None:
    """List the recipes with the data set, method and protocol of each."""
    from myograph.evaluation.registry import RECIPES

    kept = stored("recipes")
    print_rows([kept.get(name) or row_of_recipe(name) for name in RECIPES], as_json)


def rows_of_models(n_channels: int, n_samples: int, n_classes: int) -> Rows:
    """Return the rows of `myograph models list`; networks are built only if the size differs from `SIZE`."""
    from myograph.models import MODELS

    kept = stored("models")
    if {"n_channels": n_channels, "n_samples": n_samples, "n_classes": n_classes} == SIZE:
        return [kept.get(name) or row_of_model(name) for name in MODELS]
    from myograph.models.cost import published, table

    rows = table(MODELS, n_channels, n_samples, n_classes, at_published_size=False)
    for row in rows:
        name = row["name"]
        row["published"] = kept[name]["published"] if name in kept else published(name)
    return rows


def stored(kind: str) -> dict[str, dict[str, Any]]:
    """Return the stored rows of "models" or "recipes" by name."""
    text = files("myograph.cli").joinpath("listings.json").read_text(encoding="utf-8")
    return {row["name"]: row for row in json.loads(text)[kind]}


def row_of_recipe(name: str) -> dict[str, Any]:
    """Build one recipe and return its row."""
    from myograph.evaluation.recipe import RECIPES, describe

    recipe = RECIPES.create(name)
    protocol = describe(recipe.protocol)["type"] + (" (LEAKY)" if recipe.protocol.leaky else "")
    dataset, method = recipe.dataset, recipe.method
    return {
        "name": name,
        "dataset": dataset if isinstance(dataset, str) else dataset.name,
        "method": method if isinstance(method, str) else _classes(method),
        "protocol": protocol,
    }


def _classes(estimator: Any) -> str:
    """Return the class name of an estimator, or of each step of a pipeline."""
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    return ", ".join(type(step).__name__ for step in steps)


def row_of_model(name: str) -> dict[str, Any]:
    """Build one network at `SIZE` and return its row."""
    from myograph.models.cost import table

    return table([name], SIZE["n_channels"], SIZE["n_samples"], SIZE["n_classes"])[0]


def make(kind: str) -> Rows:
    """Return the rows of "models" or "recipes" that `listings.json` must hold."""
    from myograph.evaluation.registry import RECIPES
    from myograph.models import MODELS

    if kind == "recipes":
        return [row_of_recipe(name) for name in RECIPES]
    return [row_of_model(name) for name in MODELS]
