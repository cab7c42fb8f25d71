"""Data sets: each file here names one (or one family), says where it comes from and reads it into Recordings.

`load("3dc", subjects=["1", "2"])` finds the files, decodes them once and gives memory-mapped Recordings.
"""

from __future__ import annotations

from myograph._registry import Registry

DATASETS = Registry("data set", "myograph.datasets")
