"""Preprocessing: filters, selection of channels and labels, detection of bursts, and further windowings."""

from __future__ import annotations

from myograph._common.lazy import attach

_HOME_OF = {
    "ActiveSegment": "segments",
    "BandPass": "sections",
    "BurstDetector": "bursts",
    "BurstStream": "bursts",
    "Bursts": "bursts",
    "CommonAverage": "spatial",
    "Differential": "spatial",
    "Envelope": "envelopes",
    "Filter": "base",
    "FirstChannels": "channels",
    "FirstRepetitions": "channels",
    "HighPass": "sections",
    "KeepMiddle": "channels",
    "LowPass": "sections",
    "MainsComb": "sections",
    "MergeLabels": "channels",
    "MovingRMS": "envelopes",
    "Notch": "sections",
    "Rectify": "envelopes",
    "Resample": "resampling",
    "SampleBySample": "cutters",
    "SampleFilter": "base",
    "SectionsFilter": "sections",
    "SpatialMedian3x3": "spatial",
    "Trials": "cutters",
    "ZeroPhase": "resampling",
    "apply_all": "base",
    "reach_samples": "base",
    "stream_all": "base",
    "teager_kaiser": "bursts",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
