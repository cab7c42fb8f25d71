"""The HTML pages of runs: scores, figures and settings in one file that needs no network connection."""

from __future__ import annotations

from myograph._common.lazy import attach

_HOME_OF = {
    "render": "page",
    "write_report": "page",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
