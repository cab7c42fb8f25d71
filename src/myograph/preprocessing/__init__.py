"""Filters, spatial filters and bursts: from raw samples to the samples that are cut into windows."""

from __future__ import annotations

from myograph._common.lazy import attach

_HOME_OF = {
    "BandPass": "filters",
    "BurstDetector": "bursts",
    "BurstStream": "bursts",
    "Bursts": "bursts",
    "CommonAverage": "filters",
    "Differential": "filters",
    "Envelope": "filters",
    "Filter": "filters",
    "HighPass": "filters",
    "LowPass": "filters",
    "MainsComb": "filters",
    "MovingRMS": "filters",
    "Notch": "filters",
    "Rectify": "filters",
    "Resample": "filters",
    "SampleFilter": "filters",
    "SpatialMedian3x3": "filters",
    "ZeroPhase": "filters",
    "apply_all": "filters",
    "reach_samples": "filters",
    "stream_all": "filters",
    "teager_kaiser": "bursts",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
