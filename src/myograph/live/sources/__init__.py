"""Where live samples come from: one file per source, found by name."""

from __future__ import annotations

from myograph.live.sources.base import SOURCES, Chunk, Gaps, Source, StreamInfo

__all__ = ["SOURCES", "Chunk", "Gaps", "Source", "StreamInfo"]
