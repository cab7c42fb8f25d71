"""Decoders: from raw samples to decisions, live or offline, stored in one file."""

from __future__ import annotations

from myograph._common.lazy import attach

_HOME_OF = {
    "Decoder": "decoder",
    "DecoderStream": "stream",
    "Decisions": "decisions",
    "ChangeRejection": "postprocess",
    "ConfidenceRejection": "postprocess",
    "FittsTest": "fitts",
    "LiveLog": "log",
    "MajorityVote": "postprocess",
    "OnsetLock": "postprocess",
    "Piece": "session",
    "Prompts": "prompts",
    "ProportionalVelocity": "postprocess",
    "Session": "session",
    "VelocityRamp": "postprocess",
    "read_log": "log",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
