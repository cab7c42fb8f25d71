"""`myograph methods` and `myograph recipes`."""

from __future__ import annotations

from myograph.cli.terminal import Json, print_rows


def methods(as_json: Json = False) -> None:
    """List the methods: the classical ones and every network."""
    from myograph.methods.registry import METHODS

    print_rows([{"name": name, "what": what} for name, what in METHODS.summaries().items()], as_json)


def recipes(as_json: Json = False) -> None:
    """List the recipes with the data set, method and protocol of each."""
    from myograph.evaluation.recipe import RECIPES, describe

    rows = []
    for name in RECIPES:
        recipe = RECIPES.create(name)
        protocol = describe(recipe.protocol)["type"] + (" (LEAKY)" if recipe.protocol.leaky else "")
        rows.append({"name": name, "dataset": str(recipe.dataset), "method": str(recipe.method), "protocol": protocol})
    print_rows(rows, as_json)
