"""`myograph methods`, `recipes` and `models list`, answered within a second.

The rows of recipes and networks would take seconds to make, since all recipes and networks have to be built for them.
They are stored in `listings.json` instead, which `python -m myograph.testing listings` writes and a test compares with
the recipes and networks themselves. A name that the file lacks is built when it is listed.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from myograph.cli.terminal import Json, print_rows

SIZE = {"n_channels": 12, "n_samples": 300, "n_classes": 17}
"""The size for which `myograph models list` counts if none is given."""

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
    """The rows of `myograph models list`; networks are built only for another size than `SIZE`."""
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
    """The stored rows of "models" or "recipes", by name."""
    text = files("myograph.cli").joinpath("listings.json").read_text(encoding="utf-8")
    return {row["name"]: row for row in json.loads(text)[kind]}


def row_of_recipe(name: str) -> dict[str, Any]:
    """The row of one recipe, which is built for it."""
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
    """The class of an estimator, for a pipeline that of each step."""
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    return ", ".join(type(step).__name__ for step in steps)


def row_of_model(name: str) -> dict[str, Any]:
    """The row of one network at `SIZE`, which is built for it."""
    from myograph.models.cost import table

    return table([name], SIZE["n_channels"], SIZE["n_samples"], SIZE["n_classes"])[0]


def make(kind: str) -> Rows:
    """The rows of "models" or "recipes" that `listings.json` has to hold."""
    from myograph.evaluation.registry import RECIPES
    from myograph.models import MODELS

    if kind == "recipes":
        return [row_of_recipe(name) for name in RECIPES]
    return [row_of_model(name) for name in MODELS]
