"""The registries of recipes and of published systems, in a separate module so that listings import nothing else."""

from __future__ import annotations

from myograph._common.registry import Registry

RECIPES = Registry("recipe", "myograph.recipes", "RECIPES")
REPRODUCTIONS = Registry("published system", "myograph.recipes", "REPRODUCTIONS")
