"""Data sets: each module describes one data set (or one family), states its source, and reads it into Recordings.

`load("3dc", subjects=["1", "2"])` finds the files, decodes them once and returns memory-mapped Recordings.
"""

from __future__ import annotations

from myograph.datasets._bids.export import export_bids
from myograph.datasets._places import cache_folder, data_folder
from myograph.datasets.base import DATASETS, Dataset, RemoteFile, get
from myograph.datasets.load import fetch, is_here, load, locate

__all__ = [
    "DATASETS",
    "Dataset",
    "RemoteFile",
    "cache_folder",
    "data_folder",
    "export_bids",
    "fetch",
    "get",
    "is_here",
    "load",
    "locate",
]
