"""From a recipe to audited scores, their statistics and their report."""

from __future__ import annotations

from myograph._common.lazy import attach

_HOME_OF = {
    "Comparison": "stats",
    "Published": "recipe",
    "RECIPES": "registry",
    "REPRODUCTIONS": "registry",
    "Recipe": "recipe",
    "Scores": "scores",
    "SideBySide": "run",
    "baseline": "recipe",
    "compare": "stats",
    "compare_runs": "comparison",
    "evaluate": "run",
    "evaluate_all": "run",
    "friedman": "stats",
    "reproduce": "reproduction",
    "write_report": "report.page",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
