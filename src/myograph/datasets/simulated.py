"""`simulated`: simulated surface EMG in the shape of published data sets; needs no files.

`myograph.datasets.simulation` holds the physiology (`physics`), the differences between people, sessions and repetitions
(`cohort`), and muscles and gestures (`anatomy`).

The default is a 12-electrode forearm ring at 1 kHz: 6 subjects, 2 sessions, 8 gestures and rest, 6 repetitions of 3 s
with 2 s of rest. Presets have the shape of published recordings; every option can be changed:
`load("simulated", preset="ninapro_db1", n_subjects=3, n_gestures=12, hold_s=3)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from myograph._common.splits import is_whole
from myograph.datasets.base import DATASETS, Dataset
from myograph.datasets.simulation.anatomy import CATALOGUES
from myograph.errors import ConfigError, unknown_name
from myograph.recording import Recording

_RING: dict[str, Any] = {
    "kind": "ring",
    "catalogue": "common",
    "n_subjects": 6,
    "n_sessions": 2,
    "n_repetitions": 6,
    "n_gestures": 8,
    "n_electrodes": 12,
    "rate_hz": 1000.0,
    "envelope": False,
    "pole_distance_mm": 12.0,
    "hold_s": 3.0,
    "rest_s": 2.0,
}
_NINAPRO = _RING | {"n_subjects": 40, "n_sessions": 1, "rate_hz": 2000.0, "hold_s": 5.0, "rest_s": 3.0}
_WIDE = {"pole_distance_mm": 20.0}
_GRID = _RING | {"kind": "grid", "n_electrodes": 192, "pole_distance_mm": 10.0, "rest_s": 3.0}

PRESETS: dict[str, dict[str, Any]] = {
    "default": _RING,
    "ninapro_db1": _NINAPRO
    | _WIDE
    | {"catalogue": "ABC", "n_subjects": 27, "n_repetitions": 10, "n_gestures": 52, "n_electrodes": 10}
    | {"rate_hz": 100.0, "envelope": True},
    "ninapro_db2": _NINAPRO | {"catalogue": "BCD", "n_gestures": 49},
    "ninapro_db2_b": _NINAPRO | {"catalogue": "B", "n_gestures": 17},
    "ninapro_db5": _NINAPRO
    | _WIDE
    | {"catalogue": "ABC", "n_subjects": 10, "n_gestures": 52, "n_electrodes": 16, "rate_hz": 200.0},
    "myo": _RING
    | _WIDE
    | {"n_subjects": 18, "n_sessions": 3, "n_repetitions": 4, "n_gestures": 7, "n_electrodes": 8}
    | {"rate_hz": 200.0, "hold_s": 5.0},
    "csl": _GRID
    | {"catalogue": "ABC", "n_subjects": 5, "n_sessions": 5, "n_repetitions": 10, "n_gestures": 26, "rate_hz": 2048.0},
    "ice": _GRID | {"n_subjects": 1, "n_sessions": 1, "n_repetitions": 8, "n_gestures": 7, "rate_hz": 2560.0},
    "muscles": _RING
    | {"kind": "muscles", "n_subjects": 9, "n_sessions": 1, "n_repetitions": 120, "n_gestures": 4, "n_electrodes": 16}
    | {"pole_distance_mm": 5.0, "hold_s": 1.0, "rest_s": 4.0},
}
"""The options of each preset; kind is ring, grid or muscles."""
PRESETS["hd_forearm"] = PRESETS["csl"]

RING_SIZES = (8, 10, 12, 16)


@DATASETS.register
@dataclass(frozen=True)
class Simulated(Dataset):
    """Simulated surface EMG. Options that are None have the value of the preset.

    Parameters
    ----------
    preset : one of `PRESETS`.
    n_subjects, n_sessions, n_repetitions, n_gestures : numbers; the gestures are the first of the preset's catalogue.
    n_electrodes : 8, 10, 12 or 16 for a ring; other presets have a fixed number.
    rate_hz : sampling rate, 100 Hz or more.
    hold_s, rest_s : duration of the cue of one movement, and of the rest after it.
    label_track : "relabelled" marks where the muscles are active, "cue" where the cue was shown (0.15 to 0.55 s
        earlier).
    label_rest : whether rest is labelled "rest"; otherwise it is unlabelled (-1).
    noise_uv, mains_uv : RMS of the baseline noise, and amplitude of the 50 Hz interference.
    artefacts_per_min : expected motion artefacts per minute, each on some channels.
    variability : factor on all differences between repetitions; 0 repeats the same movement.
    drift : further factor on differences that accumulate from one repetition to the next: trends of effort, random
        walks of effort and electrodes, fatigue.
    session_variability : factor on the differences between sessions.
    asymmetry : factor on the differences between a person's two sides in fat, strength and conduction velocity, if
        muscles of both are recorded (preset "muscles").
    interval_cv : coefficient of variation of the motor units' inter-spike intervals.
    seed : a whole number from 0 decides all random choices. Several seeds deal the people in turn: of n seeds, the first
        n people are subject 1 of each seed, the next n are subject 2 of each. A person is drawn from the seed and their
        number within it, and nothing is shared between two people, so people of one seed are as independent as people of
        several.

    Raises
    ------
    UnknownNameError, ConfigError : an unknown preset, or an option out of range.

    Examples
    --------
    >>> data = Simulated(n_subjects=2, n_sessions=1, n_gestures=1, n_repetitions=1, hold_s=0.5, rest_s=0.5)
    >>> data.subjects(), data.settings["rate_hz"]
    (['1', '2'], 1000.0)
    >>> next(data.read(subjects=["1"]))
    <Recording simulated, subject 1, session 1: 12 channels x 2.0 s @ 1000 Hz, uV, 2 labels>

    Subject 2 of the seeds 7 and 8 together is subject 1 of seed 8:

    >>> small = {"n_subjects": 2, "n_sessions": 1, "n_gestures": 1, "n_repetitions": 1, "hold_s": 0.5, "rest_s": 0.5}
    >>> both, alone = Simulated(**small, seed=(7, 8)), Simulated(**small, seed=8)
    >>> next(both.read(subjects=["2"])).content_hash == next(alone.read(subjects=["1"])).content_hash
    True
    """

    preset: str = "default"
    n_subjects: int | None = None
    n_sessions: int | None = None
    n_repetitions: int | None = None
    n_gestures: int | None = None
    n_electrodes: int | None = None
    rate_hz: float | None = None
    hold_s: float | None = None
    rest_s: float | None = None
    label_track: Literal["relabelled", "cue"] = "relabelled"
    label_rest: bool = True
    noise_uv: float = 3.0
    mains_uv: float = 2.0
    artefacts_per_min: float = 1.0
    variability: float = 1.0
    drift: float = 1.0
    session_variability: float = 1.0
    asymmetry: float = 1.0
    interval_cv: float = 0.15
    seed: int | tuple[int, ...] = 0

    name: ClassVar[str] = "simulated"
    title: ClassVar[str] = "Simulated surface EMG (motor units in a layered limb)"
    licence: ClassVar[str] = "BSD-3-Clause, as myograph"
    citation: ClassVar[str] = (
        "Created by myograph after Fuglevand, Winter & Patla 1993; Rosenfalck 1969; Farina & Merletti 2001"
    )
    doi: ClassVar[str] = "10.1152/jn.1993.70.6.2470"
    rest: ClassVar[str | None] = "rest"
    version: ClassVar[int] = 2
    needs_files: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise unknown_name("preset of data set 'simulated'", self.preset, PRESETS)
        s = self.settings
        for key in ("n_subjects", "n_sessions", "n_repetitions", "n_gestures", "n_electrodes"):
            if int(s[key]) != s[key] or s[key] < 1:
                raise ConfigError(f"{key} must be a whole number from 1, got {s[key]}")
        if s["kind"] == "ring" and s["n_electrodes"] not in RING_SIZES:
            raise ConfigError(f"n_electrodes of a ring must be one of {RING_SIZES}, got {s['n_electrodes']}")
        if s["kind"] != "ring" and s["n_electrodes"] != PRESETS[self.preset]["n_electrodes"]:
            raise ConfigError(
                f"preset {self.preset!r} has {PRESETS[self.preset]['n_electrodes']} electrodes, got "
                f"{s['n_electrodes']}; leave n_electrodes out"
            )
        most = 4 if s["kind"] == "muscles" else len(CATALOGUES[s["catalogue"]])
        if s["n_gestures"] > most:
            raise ConfigError(
                f"preset {self.preset!r} has at most {most} gestures, got n_gestures={s['n_gestures']}; "
                "'ninapro_db1' has 52, 'ninapro_db2' 49"
            )
        for key, lowest in (("rate_hz", 100.0), ("hold_s", 0.5), ("rest_s", 0.5)):
            if not s[key] >= lowest:
                raise ConfigError(f"{key} must be {lowest:g} or more, got {s[key]}")
        for key in (
            "noise_uv",
            "mains_uv",
            "artefacts_per_min",
            "variability",
            "drift",
            "session_variability",
            "asymmetry",
        ):
            if not getattr(self, key) >= 0:
                raise ConfigError(f"{key} must be 0 or more, got {getattr(self, key)}")
        if not 0 <= self.interval_cv <= 0.5:
            raise ConfigError(f"interval_cv must be from 0 to 0.5, got {self.interval_cv}")
        if self.label_track not in ("relabelled", "cue"):
            raise ConfigError(f"label_track must be 'relabelled' or 'cue', got {self.label_track!r}")
        seeds = tuple(self.seed) if isinstance(self.seed, (list, tuple)) else (self.seed,)
        if not seeds or not all(is_whole(seed, 0) for seed in seeds) or len(set(seeds)) < len(seeds):
            raise ConfigError(
                f"seed must be a whole number from 0, or several different ones such as (1, 2, 3), got {self.seed!r}"
            )
        # one seed is the same data set whether it is given alone or in a tuple
        object.__setattr__(self, "seed", int(seeds[0]) if len(seeds) == 1 else tuple(map(int, seeds)))

    @property
    def settings(self) -> dict[str, Any]:
        """The options of the preset, with those that were given."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**PRESETS[self.preset], **{k: v for k, v in given.items() if v is not None}}

    def subjects(self, folder: Path | None = None) -> list[str]:
        return [str(i + 1) for i in range(self.settings["n_subjects"])]

    def read(self, folder: Path | None = None, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        from myograph.datasets.simulation import session as _simulate

        known = self.subjects()
        record = _simulate.muscles if self.settings["kind"] == "muscles" else _simulate.forearm
        for subject in known if subjects is None else map(str, subjects):
            if subject not in known:
                raise unknown_name("subject of simulated", subject, known)
            for session in range(self.settings["n_sessions"]):
                yield from record(self.settings, known.index(subject), session)

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        """Write nothing: a miniature is `Simulated(n_subjects=2, ...)`."""
