"""One simulated recording: contractions in sequence, then amplifier, noise, mains interference and artefacts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from scipy.signal import butter, sosfilt

from myograph.datasets.simulation.anatomy import BICEPS, CATALOGUES, FOREARM, TIBIALIS, Muscle
from myograph.datasets.simulation.cohort import (
    ATTEMPT,
    NOISE,
    PERSON,
    Attempt,
    Day,
    Person,
    dealt,
    draw_limb,
    effort_profile,
    slow_noise,
    vary,
)
from myograph.datasets.simulation.physics import Electrodes, MotorUnits, contract
from myograph.recording import Recording

STEP_S = 0.005  # duration of a step of the excitation
INNER_RATE_HZ = 2000.0  # the physics is computed at the lowest multiple of the recording's rate that is at least this
BAND_HZ = (20.0, 450.0)  # of the amplifier, as in wearable sEMG systems
MAINS_HZ = 50.0
REACTION_S = (0.15, 0.55)  # from cue to activity
RELEASE_S = (0.15, 0.4)
RAMP_S = (0.2, 0.6)
ACTIVE = 0.15  # a sample is active above this fraction of the plateau
COMMON_DRIVE = 0.12  # slow fluctuation shared by a muscle's motor units, as a fraction of excitation
REST_TONE = 0.004  # excitation at rest: occasional discharges of the first units
ENVELOPE_S = 0.1
FIRST_REST_S = 1.0


def forearm(settings: dict[str, Any], subject: int, session: int) -> Iterator[Recording]:
    """Yield the recording of one session: each gesture with all its repetitions, and rest after each repetition.

    Parameters
    ----------
    settings : `Simulated(...).settings`.
    subject, session : numbers, from 0.

    >>> from myograph.datasets.simulated import Simulated
    >>> settings = Simulated(n_gestures=1, n_repetitions=1, n_electrodes=8, hold_s=0.5, rest_s=0.5).settings
    >>> next(forearm(settings, subject=0, session=0))
    <Recording simulated, subject 1, session 1: 8 channels x 2.0 s @ 1000 Hz, uV, 2 labels>
    """
    name = str(subject + 1)
    keys, subject = dealt(settings["seed"], subject)
    person = Person.draw(keys, subject)
    scale, drift = settings["variability"], settings["drift"]
    gestures = CATALOGUES[settings["catalogue"]][: settings["n_gestures"]]
    if settings["kind"] == "grid":
        electrodes = Electrodes.grid(8, 24, settings["pole_distance_mm"], person.limb.radius_mm, wraps=True)
    else:
        electrodes = Electrodes.ring(settings["n_electrodes"], settings["pole_distance_mm"])
    day = Day.draw(keys, subject, session, len(electrodes), settings["session_variability"])
    electrodes = electrodes.moved(person.rotation_rad + day.rotation_rad, day.shift_mm)
    trials = [
        (label, repetition) for label in range(len(gestures)) for repetition in range(1, settings["n_repetitions"] + 1)
    ]
    tape = Tape(settings, len(electrodes), len(trials))
    for label, repetition in trials:
        attempt = Attempt.draw(keys, person, day, (subject, session), gestures[label], repetition, scale, drift)
        rng = keys.rng(ATTEMPT, subject, session, 1000 + label, repetition)
        profile = tape.trial(label + 1, repetition, rng)
        tone = REST_TONE * (1 + 0.5 * slow_noise(len(FOREARM), len(profile), STEP_S, 1.0, rng))
        drive = 1 + COMMON_DRIVE * slow_noise(len(FOREARM), len(profile), STEP_S, 0.3, rng)
        contract(
            tape.signal,
            tape.start,
            person.units,
            electrodes.moved(attempt.rotation_rad, attempt.shift_mm),
            person.limb,
            attempt.plateau[:, None] * profile * drive + tone,
            STEP_S,
            tape.rate_hz,
            rng,
            settings["interval_cv"],
            attempt.velocity_factor,
        )
        tape.start += tape.trial_samples
    yield tape.finish(("rest", *gestures), day, electrodes, keys.rng(NOISE, subject, session), name, str(session + 1))


MUSCLES: tuple[tuple[str, Muscle, float, float], ...] = (
    ("left_biceps", BICEPS, 45.0, 4.5),
    ("right_biceps", BICEPS, 45.0, 4.5),
    ("left_tibialis", TIBIALIS, 50.0, 1.5),
    ("right_tibialis", TIBIALIS, 50.0, 1.5),
)
"""Name, muscle, limb radius and median fat, mm."""
OFF_CENTRE_SD_MM, ALONG_SD_MM = 5.0, 5.0  # of the grid over the muscle's belly
# Difference between the two sides of a person at an asymmetry of 1: sd of the logarithm; for velocity, sd in m/s.
SIDE_FAT_SPREAD, SIDE_EFFORT_SPREAD, SIDE_VELOCITY_SD = 0.05, 0.1, 0.1
BURST_EFFORT, BURST_EFFORT_SPREAD = {"biceps": 0.4, "tibialis": 0.5}, 0.2


def muscles(settings: dict[str, Any], subject: int, session: int) -> Iterator[Recording]:
    """Yield one recording per muscle: a burst of about `hold_s` every `hold_s + rest_s` seconds, one repetition per
    burst.

    The two sides of a subject are drawn independently from the same distribution and mirrored, so that only the
    person's own asymmetry distinguishes left from right.

    >>> from myograph.datasets.simulated import Simulated
    >>> settings = Simulated("muscles", n_gestures=1, n_repetitions=1, hold_s=0.5, rest_s=0.5).settings
    >>> next(muscles(settings, subject=0, session=0))
    <Recording simulated, subject 1, session 1, left_biceps: 16 channels x 2.0 s @ 1000 Hz, uV, 2 labels>
    """
    name = str(subject + 1)
    keys, subject = dealt(settings["seed"], subject)
    asymmetry = settings["asymmetry"]
    names = tuple(name for name, *_ in MUSCLES)[: settings["n_gestures"]]
    for row, (_, muscle, radius, fat) in enumerate(MUSCLES[: settings["n_gestures"]]):
        mirror = -1.0 if row % 2 else 1.0
        rng = keys.rng(PERSON, subject)
        velocity = 4.0 + 0.25 * rng.standard_normal()  # of the person: the same for all four muscles
        habit = BURST_EFFORT_SPREAD * rng.standard_normal()
        fatness = rng.standard_normal()
        own = keys.rng(PERSON, subject, 5000 + row)
        side = keys.rng(PERSON, subject, 6000 + row)
        habit += asymmetry * SIDE_EFFORT_SPREAD * side.standard_normal()
        velocity += asymmetry * SIDE_VELOCITY_SD * side.standard_normal()
        limb = draw_limb(own, radius, fat * float(np.exp(0.15 * fatness)), fat_spread=asymmetry * SIDE_FAT_SPREAD)
        off_centre = OFF_CENTRE_SD_MM * own.standard_normal() / radius
        units = MotorUnits.draw(
            vary(muscle, own)._replace(angle_deg=mirror * np.rad2deg(off_centre)), limb, own, velocity
        )
        electrodes = Electrodes.grid(4, 4, settings["pole_distance_mm"], limb.radius_mm)
        day = Day.draw(keys, subject, 100 * (row + 1) + session, len(electrodes), settings["session_variability"])
        electrodes = electrodes.moved(mirror * day.rotation_rad, day.shift_mm + ALONG_SD_MM * own.standard_normal())
        tape = Tape(settings, len(electrodes), settings["n_repetitions"])
        for repetition in range(1, settings["n_repetitions"] + 1):
            rng = keys.rng(ATTEMPT, subject, session, 5000 + row, repetition)
            profile = tape.trial(row + 1, repetition, rng)
            effort = BURST_EFFORT[muscle.name] * np.exp(habit + settings["variability"] * 0.2 * rng.standard_normal())
            drive = 1 + COMMON_DRIVE * slow_noise(1, len(profile), STEP_S, 0.3, rng)
            contract(
                tape.signal, tape.start, units, electrodes, limb, min(effort, 0.95) * profile * drive + REST_TONE,
                STEP_S, tape.rate_hz, rng, settings["interval_cv"],
            )  # fmt: skip
            tape.start += tape.trial_samples
        noise = keys.rng(NOISE, subject, session, row)
        yield tape.finish(("rest", *names), day, electrodes, noise, name, str(session + 1), names[row])


class Tape:
    """The signal and the tracks of one recording, at the rate of the physics until `finish`.

    Parameters
    ----------
    settings : `Simulated(...).settings`.
    n_channels, n_trials : numbers of channels and of trials.

    >>> from myograph.datasets.simulated import Simulated
    >>> from myograph.datasets.simulation.cohort import Keys
    >>> tape = Tape(Simulated(hold_s=1.0, rest_s=1.0).settings, n_channels=8, n_trials=1)
    >>> profile = tape.trial(label=1, repetition=1, rng=np.random.default_rng(0))
    >>> day = Day.draw(Keys(0), 0, 0, n_channels=8, scale=1.0)
    >>> recording = tape.finish(("rest", "fist"), day, Electrodes.ring(8), np.random.default_rng(0), "1", "1")
    >>> recording.duration_s, recording.label_names
    (3.0, ('rest', 'fist'))
    """

    def __init__(self, settings: dict[str, Any], n_channels: int, n_trials: int):
        self.settings = settings
        rate = settings["rate_hz"]
        self.every = int(np.ceil(INNER_RATE_HZ / rate))
        self.rate_hz = rate * self.every
        self.trial_s = settings["hold_s"] + settings["rest_s"]
        self.trial_samples = round(self.trial_s * self.rate_hz)
        self.start = round(FIRST_REST_S * self.rate_hz)
        n = self.start + n_trials * self.trial_samples
        self.signal = np.zeros((n_channels, n), np.float32)
        self.label = np.zeros(n, np.int32)
        self.repetition = np.ones(n, np.int32)

    def trial(self, label: int, repetition: int, rng: np.random.Generator) -> np.ndarray:
        """Set the tracks of the next trial, and return its effort profile, (step,) from 0 to 1."""
        hold_s = self.settings["hold_s"]
        on_s, off_s, ramp_s = (rng.uniform(*span) for span in (REACTION_S, RELEASE_S, RAMP_S))
        # shorter delays and ramps for short bursts, which would otherwise vanish
        brief = min(hold_s / 2.0, 1.0)
        on_s, off_s, ramp_s = brief * on_s, hold_s + brief * off_s, brief * ramp_s
        off_s = min(off_s, self.trial_s - ramp_s - 0.05)
        n_steps = int(np.ceil(self.trial_s / STEP_S))
        profile = effort_profile(n_steps, STEP_S, on_s, off_s, ramp_s, rng)
        if self.settings["label_track"] == "cue":
            begin, end = 0.0, hold_s
        else:
            active = np.flatnonzero(profile > ACTIVE)
            begin, end = active[0] * STEP_S, (active[-1] + 1) * STEP_S
        at = lambda seconds: self.start + round(seconds * self.rate_hz)  # noqa: E731
        self.label[at(begin) : at(end)] = label
        # rest has the repetition number of the movement before it
        self.repetition[at(begin) :] = repetition
        return profile

    def finish(
        self,
        names: tuple[str, ...],
        day: Day,
        electrodes: Electrodes,
        rng: np.random.Generator,
        subject: str,
        session: str,
        part: str = "",
    ) -> Recording:
        """Add the amplifier and the disturbances, reduce to the recording's rate, and return the Recording."""
        s = self.settings
        signal = self.signal
        signal *= day.gain[:, None].astype(np.float32)
        disturb(signal, self.rate_hz, s["noise_uv"] * day.noise, s["mains_uv"], s["artefacts_per_min"], rng)
        nyquist = s["rate_hz"] / 2
        high = BAND_HZ[1] if s["envelope"] else min(BAND_HZ[1], 0.9 * nyquist)
        above = cast(np.ndarray, butter(2, BAND_HZ[0], "high", fs=self.rate_hz, output="sos"))
        below = cast(np.ndarray, butter(4, high, fs=self.rate_hz, output="sos"))
        band = np.vstack([above, below]).astype(np.float32)
        for channel in signal:
            channel[:] = sosfilt(band, channel)
        if s["envelope"]:
            signal = envelope(signal, self.rate_hz)
        label, repetition = self.label[:: self.every], self.repetition[:: self.every]
        if not s["label_rest"]:
            label, names = label - 1, names[1:]
        return Recording(
            signal=np.ascontiguousarray(signal[:, :: self.every]),
            rate_hz=s["rate_hz"],
            label=label,
            repetition=repetition,
            subject=subject,
            session=session,
            label_names=names,
            layout=electrodes.layout,
            name=f"simulated, subject {subject}, session {session}" + (f", {part}" if part else ""),
        )


def disturb(
    signal: np.ndarray,
    rate_hz: float,
    noise_uv: np.ndarray,
    mains_uv: float,
    artefacts_per_min: float,
    rng: np.random.Generator,
) -> None:
    """Add electrode noise, mains interference with its odd harmonics, and motion artefacts to a signal in place.

    Parameters
    ----------
    signal : (channel, time) float32, in uV.
    rate_hz : samples per second.
    noise_uv : (channel,) RMS of the noise that remains after the amplifier.
    mains_uv : amplitude of the 50 Hz interference.
    artefacts_per_min : expected number of motion artefacts per minute, each on some channels.
    rng : random generator.

    >>> signal = np.zeros((2, 1000), np.float32)
    >>> disturb(signal, 2000.0, np.array([1.0, 10.0]), 0.0, 0.0, np.random.default_rng(0))
    >>> (signal.std(axis=1) / signal.std(axis=1)[0]).round()
    array([ 1., 10.], dtype=float32)
    """
    n_channels, n = signal.shape
    t = np.arange(n, dtype=np.float32) / np.float32(rate_hz)
    # Only part of the white noise lies inside the band: noise_uv is the RMS that remains after the amplifier.
    noise_sd = noise_uv * np.sqrt(rate_hz / 2 / (BAND_HZ[1] - BAND_HZ[0]))
    phase = rng.uniform(0, 2 * np.pi, 3)
    hum = sum(np.sin(2 * np.pi * k * MAINS_HZ * t + p, dtype=np.float32) / k**1.5 for k, p in zip((1, 3, 5), phase))
    pickup = mains_uv * np.exp(0.5 * rng.standard_normal(n_channels))
    for c in range(n_channels):
        signal[c] += np.float32(noise_sd[c]) * rng.standard_normal(n, np.float32)
        if mains_uv:
            signal[c] += np.float32(pickup[c]) * hum
    for _ in range(rng.poisson(artefacts_per_min * n / rate_hz / 60)):
        # A cable artefact: a few channels oscillate together at a few Hz and settle.
        length = int(rng.uniform(0.2, 0.6) * rate_hz)
        at = int(rng.integers(max(n - length, 1)))
        u = np.arange(min(length, n - at)) / rate_hz
        swing = np.exp(-u / 0.1) * np.sin(2 * np.pi * rng.uniform(3, 12) * u)
        first, count = rng.integers(n_channels), rng.integers(1, max(n_channels // 4, 1) + 1)
        for c in (first + np.arange(count)) % n_channels:
            signal[c, at : at + len(u)] += (rng.uniform(100, 400) * swing).astype(np.float32)


def envelope(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """Return the RMS over the last `ENVELOPE_S` seconds, as from electrodes with a built-in rectifier; (channel, time).

    >>> envelope(np.full((1, 300), -2.0), rate_hz=1000.0)[0, [0, 299]].round(1)
    array([0.2, 2. ])
    """
    width = round(ENVELOPE_S * rate_hz)
    out = np.empty_like(signal)
    for c, channel in enumerate(signal):
        total = np.cumsum(np.square(channel, dtype=np.float64))
        total[width:] -= total[:-width].copy()
        out[c] = np.sqrt(np.maximum(total / width, 0))
    return out
