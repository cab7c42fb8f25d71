"""Differences between people, days and attempts: the random draws for each subject, session and repetition.

Every draw comes from a generator whose key is its purpose (subject, session, gesture, repetition). A
part of a cohort is therefore the same as in the whole cohort, in whatever order it is computed. Spreads are our choice,
tuned so that the data are as difficult for a linear classifier as published recordings; each is a named constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myograph.datasets.simulation.anatomy import FOREARM, GESTURES, Muscle, activation
from myograph.datasets.simulation.physics import Limb, MotorUnits

PERSON, DAY, ATTEMPT, NOISE = range(4)  # first part of a generator's key

# people
LIMB_RADIUS_MM, LIMB_RADIUS_SD = 40.0, 3.5
FAT_MM, FAT_SPREAD = 3.0, 0.3  # median, and sd of the logarithm
VELOCITY_M_S, VELOCITY_SD = 4.0, 0.25
MUSCLE_ANGLE_SD_DEG, MUSCLE_DEPTH_SD_MM, MUSCLE_SIZE_SPREAD, END_PLATE_SD_MM = 3.0, 1.0, 0.15, 4.0
STYLE_SPREAD = 0.15  # spread of the strength with which a person uses each muscle in each gesture
STYLE_LEAK = 0.02  # excitation of muscles that the gesture does not need
HABIT, HABIT_SPREAD = 0.15, 0.25  # excitation in every movement, which stabilises wrist and elbow
EFFORT, EFFORT_SPREAD = 0.36, 0.25
RING_ANGLE_SD_DEG = 3.0
# days
ROTATION_SD_DEG, SHIFT_SD_MM = 3.0, 3.0
GAIN_SPREAD = 0.08  # of the electrode-skin contact, per channel
STYLE_DAY_SPREAD = 0.08
NOISE_SPREAD = 0.1  # of the baseline noise, per channel
# attempts
ATTEMPT_SPREAD, ATTEMPT_EFFORT_SPREAD = 0.3, 0.2
DRIFT_SPREAD = 0.07  # step of the random walk from one repetition to the next
TREND_SPREAD = 0.1  # a person's own change over repetitions, the same in every session
POSTURE_ROTATION_SD_DEG, POSTURE_SHIFT_SD_MM = 1.5, 2.0  # displacement of the skin over the muscles, per gesture
ATTEMPT_ROTATION_SD_DEG, ATTEMPT_SHIFT_SD_MM = 0.7, 1.0
FATIGUE_PER_REPETITION = 0.008  # decrease of the conduction velocity
CO_CONTRACTION = 0.03  # maximum in one attempt, for all muscles

_NAMES = tuple(m.name for m in FOREARM)
_ORDER = tuple(GESTURES)


@dataclass(frozen=True)
class Keys:
    """Random generators by key: the same key gives the same random numbers, independent of earlier draws.

    >>> keys = Keys(seed=0)
    >>> keys.rng(PERSON, 1).random() == keys.rng(PERSON, 1).random() != keys.rng(PERSON, 2).random()
    True
    """

    seed: int

    def rng(self, *key: int) -> np.random.Generator:
        """Return the generator of a key."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def dealt(seed: int | tuple[int, ...], person: int) -> tuple[Keys, int]:
    """Return the generators of a person and the person's number within their seed, from 0.

    Several seeds deal the people of a cohort in turn.

    >>> dealt(7, 4), dealt((7, 8, 9), 4)
    ((Keys(seed=7), 4), (Keys(seed=8), 1))
    """
    seeds = seed if isinstance(seed, tuple) else (seed,)
    return Keys(seeds[person % len(seeds)]), person // len(seeds)


@dataclass(frozen=True)
class Person:
    """One subject's forearm: limb, motor units, habits and placement of the electrodes.

    Parameters
    ----------
    limb, units : the anatomy.
    effort : usual effort, 0 to 1.
    style : (gesture, muscle) logarithm of the factor on the textbook activation.
    leak : (gesture, muscle) additional excitation.
    habit : (muscle,) co-contraction in every gesture.
    rotation_rad : rotation of the electrodes around the limb.

    >>> person = Person.draw(Keys(seed=0), subject=0)
    >>> len(person.units), person.style.shape == (len(GESTURES), len(FOREARM))
    (549, True)
    """

    limb: Limb
    units: MotorUnits
    effort: float
    style: np.ndarray
    leak: np.ndarray
    habit: np.ndarray
    rotation_rad: float

    @classmethod
    def draw(cls, keys: Keys, subject: int) -> Person:
        """Draw the person with this number."""
        rng = keys.rng(PERSON, subject)
        limb = draw_limb(rng, LIMB_RADIUS_MM, FAT_MM)
        velocity = VELOCITY_M_S + VELOCITY_SD * rng.standard_normal()
        units = MotorUnits.concatenate(
            [MotorUnits.draw(vary(m, rng), limb, rng, velocity, row) for row, m in enumerate(FOREARM)]
        )
        shape = (len(_ORDER), len(FOREARM))
        return cls(
            limb=limb,
            units=units,
            effort=EFFORT * float(np.exp(EFFORT_SPREAD * rng.standard_normal())),
            style=STYLE_SPREAD * rng.standard_normal(shape),
            leak=STYLE_LEAK * rng.exponential(size=shape),
            habit=HABIT * np.exp(HABIT_SPREAD * rng.standard_normal(len(FOREARM))),
            rotation_rad=float(np.deg2rad(RING_ANGLE_SD_DEG * rng.standard_normal())),
        )


@dataclass(frozen=True)
class Day:
    """One session: new electrode placement and contact, and small changes in the use of the muscles.

    Parameters
    ----------
    rotation_rad, shift_mm : displacement of the electrodes.
    gain : (channel,) factor on the signal.
    noise : (channel,) factor on the baseline noise.
    style : (gesture, muscle) logarithm of a factor on the activation.

    >>> Day.draw(Keys(seed=0), subject=0, session=0, n_channels=8, scale=0.0).gain
    array([1., 1., 1., 1., 1., 1., 1., 1.])
    """

    rotation_rad: float
    shift_mm: float
    gain: np.ndarray  # (channel,)
    noise: np.ndarray  # (channel,) factor on the baseline noise
    style: np.ndarray  # (gesture, muscle)

    @classmethod
    def draw(cls, keys: Keys, subject: int, session: int, n_channels: int, scale: float) -> Day:
        """Draw a session; `scale` multiplies the differences between sessions."""
        rng = keys.rng(DAY, subject, session)
        style = scale * STYLE_DAY_SPREAD * rng.standard_normal((len(_ORDER), len(FOREARM)))
        return cls(
            rotation_rad=float(np.deg2rad(scale * ROTATION_SD_DEG * rng.standard_normal())),
            shift_mm=float(scale * SHIFT_SD_MM * rng.standard_normal()),
            gain=np.exp(scale * GAIN_SPREAD * rng.standard_normal(n_channels)),
            noise=np.exp(NOISE_SPREAD * rng.standard_normal(n_channels)),
            style=style,
        )


@dataclass(frozen=True)
class Attempt:
    """One repetition of one gesture: excitation of each muscle at the plateau, and position of the electrodes.

    Parameters
    ----------
    plateau : (muscle,) excitation, 0 to 1.
    rotation_rad, shift_mm : displacement of the electrodes relative to the muscles.
    velocity_factor : factor on the conduction velocity.

    >>> keys = Keys(seed=0)
    >>> person, day = Person.draw(keys, 0), Day.draw(keys, 0, 0, n_channels=8, scale=1.0)
    >>> attempt = Attempt.draw(keys, person, day, where=(0, 0), gesture="hand_close", n=1, scale=1.0)
    >>> attempt.plateau.shape == (len(FOREARM),), attempt.velocity_factor
    (True, 1.0)
    """

    plateau: np.ndarray  # (muscle,), 0 to 1
    rotation_rad: float
    shift_mm: float
    velocity_factor: float

    @classmethod
    def draw(
        cls,
        keys: Keys,
        person: Person,
        day: Day,
        where: tuple[int, int],
        gesture: str,
        n: int,
        scale: float,
        drift: float = 1.0,
    ) -> Attempt:
        """Draw repetition `n`, counted from 1.

        Parameters
        ----------
        where : (subject, session).
        scale : factor on the spread of repetitions.
        drift : factor on the part of that spread that accumulates from one repetition to the next.
        """
        subject, session = where
        g = _ORDER.index(gesture)
        textbook = activation(gesture)
        base = np.array([textbook.get(name, 0.0) for name in _NAMES])
        posture = keys.rng(PERSON, subject, 1 + g)
        rotation = POSTURE_ROTATION_SD_DEG * posture.standard_normal()
        shift = POSTURE_SHIFT_SD_MM * posture.standard_normal()
        trend = drift * TREND_SPREAD * (n - 1) * posture.standard_normal(len(FOREARM))
        walk = keys.rng(ATTEMPT, subject, session, g)
        steps = walk.standard_normal((n, len(FOREARM) + 2))[1:].sum(axis=0) if n > 1 else np.zeros(len(FOREARM) + 2)
        steps *= drift
        rng = keys.rng(ATTEMPT, subject, session, g, n)
        log_factor = (
            person.style[g]
            + day.style[g]
            + scale * (trend + DRIFT_SPREAD * steps[2:] + ATTEMPT_SPREAD * rng.standard_normal(len(FOREARM)))
        )
        effort = person.effort * np.exp(scale * ATTEMPT_EFFORT_SPREAD * rng.standard_normal())
        co_contraction = scale * CO_CONTRACTION * rng.random()
        plateau = effort * (base + person.leak[g] + person.habit) * np.exp(log_factor) + co_contraction
        return cls(
            plateau=np.clip(plateau, 0.0, 1.0),
            rotation_rad=float(
                np.deg2rad(rotation + scale * ATTEMPT_ROTATION_SD_DEG * (steps[0] + rng.standard_normal()))
            ),
            shift_mm=float(shift + scale * ATTEMPT_SHIFT_SD_MM * (steps[1] + rng.standard_normal())),
            velocity_factor=max(1 - scale * drift * FATIGUE_PER_REPETITION * (n - 1), 0.7),
        )


def draw_limb(rng: np.random.Generator, radius_mm: float, fat_mm: float, fat_spread: float = FAT_SPREAD) -> Limb:
    """Draw a limb of about this radius and fat thickness.

    >>> draw_limb(np.random.default_rng(0), radius_mm=40.0, fat_mm=3.0, fat_spread=0.0).fat_mm
    3.0
    """
    radius = max(radius_mm + LIMB_RADIUS_SD * rng.standard_normal(), 0.7 * radius_mm)
    fat = min(fat_mm * np.exp(fat_spread * rng.standard_normal()), 12.0)
    return Limb(float(radius), float(fat))


def vary(muscle: Muscle, rng: np.random.Generator) -> Muscle:
    """Draw one person's version of a muscle.

    >>> vary(FOREARM[0], np.random.default_rng(0)).n_units == FOREARM[0].n_units
    True
    """
    angle, depth, size, along = rng.standard_normal(4)
    return muscle._replace(
        angle_deg=muscle.angle_deg + MUSCLE_ANGLE_SD_DEG * angle,
        depth_mm=max(muscle.depth_mm + MUSCLE_DEPTH_SD_MM * depth, muscle.radius_mm),
        fibres=muscle.fibres * float(np.exp(MUSCLE_SIZE_SPREAD * size)),
        end_plate_mm=muscle.end_plate_mm + END_PLATE_SD_MM * along,
    )


def effort_profile(
    n_steps: int, step_s: float, on_s: float, off_s: float, ramp_s: float, rng: np.random.Generator
) -> np.ndarray:
    """Return (step,) effort from 0 to 1: a ramp, a hold that varies slowly by a few percent, and a release.

    Parameters
    ----------
    n_steps, step_s : number and duration of the steps.
    on_s, off_s : start of the ramp and of the release, in seconds.
    ramp_s : duration of the ramp and of the release.

    >>> effort_profile(100, 0.01, on_s=0.2, off_s=0.7, ramp_s=0.1, rng=np.random.default_rng(0))[[0, 99]].round(3)
    array([0., 0.])
    """
    t = np.arange(n_steps) * step_s
    rise = np.clip((t - on_s) / ramp_s, 0, 1)
    fall = np.clip((off_s + ramp_s - t) / ramp_s, 0, 1)
    smooth = lambda p: p * p * (3 - 2 * p)  # noqa: E731
    return smooth(rise) * smooth(fall) * np.exp(slow_noise(1, n_steps, step_s, 0.6, rng)[0] * 0.08)


def slow_noise(n: int, n_steps: int, step_s: float, time_constant_s: float, rng: np.random.Generator) -> np.ndarray:
    """Return (n, step) unit-variance noise with about this time constant, the common drive of a muscle's motor units.

    >>> slow_noise(2, n_steps=50, step_s=0.01, time_constant_s=0.3, rng=np.random.default_rng(0)).shape
    (2, 50)
    """
    knots = int(np.ceil(n_steps * step_s / time_constant_s)) + 3
    values = rng.standard_normal((n, knots))
    at = np.arange(n_steps) * step_s / time_constant_s
    left, share = at.astype(int), at % 1
    share = share * share * (3 - 2 * share)
    mixed = values[:, left] * (1 - share) + values[:, left + 1] * share
    return mixed / np.sqrt((1 - share) ** 2 + share**2)
