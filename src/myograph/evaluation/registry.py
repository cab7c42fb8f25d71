"""The registries of recipes and of published systems; they are apart so that a listing imports nothing else."""

from __future__ import annotations

from myograph._common.registry import Registry

RECIPES = Registry("recipe", "myograph.recipes", "RECIPES")
REPRODUCTIONS = Registry("published system", "myograph.recipes", "REPRODUCTIONS")
