"""How people, days and attempts differ: what the simulator draws for each subject, session and repetition.

Every draw comes from a generator keyed by what it is for (subject, session, gesture, repetition), so a part of a
cohort is the same as that part of the whole, in whatever order it is made. Spreads are our choice, tuned so that a
linear classifier meets the difficulty of published recordings; each is a named constant.
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
STYLE_SPREAD = 0.15  # of how strongly a person uses each muscle in each gesture
STYLE_LEAK = 0.02  # excitation of muscles that the gesture does not need
HABIT, HABIT_SPREAD = 0.15, 0.25  # excitation that goes with every movement, stabilising wrist and elbow
EFFORT, EFFORT_SPREAD = 0.36, 0.25
RING_ANGLE_SD_DEG = 3.0
# days
ROTATION_SD_DEG, SHIFT_SD_MM = 3.0, 3.0
GAIN_SPREAD = 0.08  # electrode-skin contact, each channel
STYLE_DAY_SPREAD = 0.08
NOISE_SPREAD = 0.1  # baseline noise, each channel
# attempts
ATTEMPT_SPREAD, ATTEMPT_EFFORT_SPREAD = 0.3, 0.2
DRIFT_SPREAD = 0.07  # step of the random walk from one repetition to the next
TREND_SPREAD = 0.1  # a person's own way of easing into a movement, each repetition, the same in every session
POSTURE_ROTATION_SD_DEG, POSTURE_SHIFT_SD_MM = 1.5, 2.0  # skin over muscle, each gesture
ATTEMPT_ROTATION_SD_DEG, ATTEMPT_SHIFT_SD_MM = 0.7, 1.0
FATIGUE_PER_REPETITION = 0.008  # slowing of conduction
CO_CONTRACTION = 0.03  # most of it in one attempt, all muscles

_NAMES = tuple(m.name for m in FOREARM)
_ORDER = tuple(GESTURES)


@dataclass(frozen=True)
class Keys:
    """Generators by key: the same key gives the same draws, whatever was drawn before."""

    seed: int

    def rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True)
class Person:
    """One subject's forearm: limb, motor units, habits and where the electrodes go.

    style : (gesture, muscle) logarithm of the factor on the textbook activation. leak : (gesture, muscle)
    excitation beyond it. habit : (muscle,) co-contraction in whatever the person does.
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
    """One session: electrodes put on again, other contact, another way of moving."""

    rotation_rad: float
    shift_mm: float
    gain: np.ndarray  # (channel,)
    noise: np.ndarray  # (channel,) factor on the baseline noise
    style: np.ndarray  # (gesture, muscle)

    @classmethod
    def draw(cls, keys: Keys, subject: int, session: int, n_channels: int, scale: float) -> Day:
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
    """One repetition of one gesture: excitation of each muscle at the plateau, and the electrodes' place."""

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
        """Repetition `n`, from 1; `where` is (subject, session). `scale` multiplies the spread of repetitions, `drift`
        what of it goes on from one to the next."""
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
    """A limb of about this size and fat."""
    radius = max(radius_mm + LIMB_RADIUS_SD * rng.standard_normal(), 0.7 * radius_mm)
    fat = min(fat_mm * np.exp(fat_spread * rng.standard_normal()), 12.0)
    return Limb(float(radius), float(fat))


def vary(muscle: Muscle, rng: np.random.Generator) -> Muscle:
    """The muscle as one person has it."""
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
    """(step,) effort from 0 to 1: ramp, a hold that wanders slowly by a few percent, release."""
    t = np.arange(n_steps) * step_s
    rise = np.clip((t - on_s) / ramp_s, 0, 1)
    fall = np.clip((off_s + ramp_s - t) / ramp_s, 0, 1)
    smooth = lambda p: p * p * (3 - 2 * p)  # noqa: E731
    return smooth(rise) * smooth(fall) * np.exp(slow_noise(1, n_steps, step_s, 0.6, rng)[0] * 0.08)


def slow_noise(n: int, n_steps: int, step_s: float, time_constant_s: float, rng: np.random.Generator) -> np.ndarray:
    """(n, step) of unit-variance noise with about this time constant: what motor units of a muscle have in common."""
    knots = int(np.ceil(n_steps * step_s / time_constant_s)) + 3
    values = rng.standard_normal((n, knots))
    at = np.arange(n_steps) * step_s / time_constant_s
    left, share = at.astype(int), at % 1
    share = share * share * (3 - 2 * share)
    mixed = values[:, left] * (1 - share) + values[:, left + 1] * share
    return mixed / np.sqrt((1 - share) ** 2 + share**2)
