"""All filters, and the functions that apply several filters in sequence.

The filters are in files by kind: `sections` (Butterworth, notch), `envelopes`, `resampling`, `spatial` (across
electrodes), `channels` (selection of channels and labels) and `segments` (active parts of repetitions). `base` contains
their base classes.
"""

from __future__ import annotations

from myograph.preprocessing.base import (
    FILTERS,
    Filter,
    FilterStream,
    SampleFilter,
    apply_all,
    reach_samples,
    stream_all,
)
from myograph.preprocessing.channels import FirstChannels, FirstRepetitions, KeepMiddle, MergeLabels
from myograph.preprocessing.envelopes import Envelope, MovingRMS, Rectify
from myograph.preprocessing.resampling import Resample, ZeroPhase
from myograph.preprocessing.sections import BandPass, HighPass, LowPass, MainsComb, Notch, SectionsFilter
from myograph.preprocessing.segments import ActiveSegment
from myograph.preprocessing.spatial import CommonAverage, Differential, SpatialMedian3x3

__all__ = [
    "FILTERS",
    "ActiveSegment",
    "BandPass",
    "CommonAverage",
    "Differential",
    "Envelope",
    "Filter",
    "FilterStream",
    "FirstChannels",
    "FirstRepetitions",
    "HighPass",
    "KeepMiddle",
    "LowPass",
    "MainsComb",
    "MergeLabels",
    "MovingRMS",
    "Notch",
    "Rectify",
    "Resample",
    "SampleFilter",
    "SectionsFilter",
    "SpatialMedian3x3",
    "ZeroPhase",
    "apply_all",
    "reach_samples",
    "stream_all",
]
