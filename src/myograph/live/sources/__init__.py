"""Sources of live samples: one file per source, registered by name."""

from __future__ import annotations

from myograph.live.sources.base import SOURCES, Chunk, Gaps, Source, StreamInfo

__all__ = ["SOURCES", "Chunk", "Gaps", "Source", "StreamInfo"]
