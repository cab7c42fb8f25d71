"""The published systems and the demo: one file each, which holds values and prose."""

from __future__ import annotations

from myograph.evaluation.recipe import RECIPES, Published, Recipe, baseline

__all__ = ["RECIPES", "Published", "Recipe", "baseline"]
