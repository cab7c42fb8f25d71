"""The report of a studio's sessions and tests, as one HTML page."""

from __future__ import annotations

from myograph.cli.studio.studio import Studio


def render(studio: Studio) -> str:
    """The page as text."""
    return "<!doctype html><title>Report</title>"
