"""Surface EMG from physiology: motor-unit pools, finite fibres in a layered limb, differential electrodes.

The parts of the model and their sources:

- **Pool** (Fuglevand, Winter & Patla 1993, J Neurophysiol 70:2470): recruitment thresholds grow exponentially over a
  30-fold range. A recruited unit starts at 8 discharges per second; its rate grows with excitation until it saturates
  at
  a peak rate that falls from 35 to 25 per second with the threshold. Inter-spike intervals are Gaussian with a
  coefficient of variation of 10 to 20 %. Excitation runs from 0 to 1; 1 brings the last unit to its peak rate.
- **Membrane** (Rosenfalck 1969, as used by Farina & Merletti 2001, IEEE Trans Biomed Eng 48:637):
  V(u) = 96 u^3 exp(-u) - 90 mV, with u in mm behind the front of the wave.
- **Fibres**: two waves leave the end plate in opposite directions at the conduction velocity (about 4 m/s) and end at
  the tendons. Membrane current is the derivative of the truncated first derivative of V (Farina & Merletti 2001). It
  therefore sums to zero at every instant, and the potentials of generation and extinction, which do not travel, appear.
- **Volume conductor**: anisotropic muscle (5 times more conductive along the fibres) under an isotropic fat layer,
  insulated by air (conductivities of Farina & Merletti 2001). A current I at depth d below a fat layer h gives at the
  skin I / (2 pi sigma) / sqrt(z^2 + a rho^2), a = (b / (d + h))^2, b = sqrt(5) d + h. Without fat this is the exact
  solution for a half-space. With fat it is a closed form in which the widths of the layers add up; it lies within 7 %
  of the exact two-layer solution (a test computes that one in the Fourier domain). Depth and fat attenuate and
  low-pass.
- **Electrodes**: two poles along the limb, on rings or grids around it.

Simplifications: bones, skin, the area of the electrodes and the effect of the limb's curvature on the current are left
out (distances to the electrodes do follow the curvature). A unit's fibres share one position, blurred by the radius of
their territory, and their end plates have a common spread. Fibres run along the limb without
pennation. A unit keeps its shape while the muscle shortens. Units: mm, s, Hz, m/s, mV for membranes, uV at the skin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from myograph.datasets.simulation.anatomy import Muscle
from myograph.errors import ConfigError, ShapeError
from myograph.recording import Layout

# Fuglevand et al. 1993
THRESHOLD_RANGE = 30.0
LOWEST_RATE_HZ = 8.0
PEAK_RATE_FIRST_HZ, PEAK_RATE_LAST_HZ = 35.0, 25.0
RATE_GAIN_HZ = THRESHOLD_RANGE + PEAK_RATE_LAST_HZ - LOWEST_RATE_HZ  # increase from rest to full excitation
LAST_THRESHOLD = THRESHOLD_RANGE / RATE_GAIN_HZ
# Farina & Merletti 2001
MUSCLE_S_PER_M, MUSCLE_ANISOTROPY = 0.1, 5.0
FAT_S_PER_M = 0.05  # for the exact solution; the closed form does not depend on it
INTRACELLULAR_S_PER_M = 1.01  # Andreassen & Rosenfalck 1981
# Our choice, within the range of textbooks
FIBRE_RADIUS_MM = 0.03
FIBRES_RANGE = 15.0  # largest over smallest unit of a pool
TERRITORY_MM = 4.0
FLATNESS = 3.0  # width around the limb divided by thickness of a muscle's cross-section
END_PLATE_SPREAD_MM = 2.5
VELOCITY_SPREAD = 0.12  # from the smallest to the largest unit, as a fraction (larger units conduct faster)
SHALLOWEST_MM = 4.0
MAX_RATE_HZ = 60.0  # limit for the memory of one unit's discharges


@dataclass(frozen=True)
class Limb:
    """A cylinder of muscle under a layer of fat; `radius_mm` is the radius of the skin.

    Raises ConfigError unless 0 <= fat_mm < radius_mm.

    >>> Limb(radius_mm=40.0, fat_mm=3.0).radius_mm
    40.0
    """

    radius_mm: float = 40.0
    fat_mm: float = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.fat_mm < self.radius_mm:
            raise ConfigError(f"fat_mm must be from 0 up to radius_mm, got {self.fat_mm} and {self.radius_mm}")


@dataclass(frozen=True)
class Electrodes:
    """Bipolar channels on a limb. Each is the difference of two poles that are `pole_distance_mm` apart along the limb.

    Parameters
    ----------
    angle_rad, z_mm : (channel,) midpoint of the two poles, around and along the limb.
    pole_distance_mm : distance between the poles.
    layout : rows and columns of the channels.

    >>> ring = Electrodes.ring(n_channels=8)
    >>> np.rad2deg(ring.angle_rad[:3])
    array([ 0., 45., 90.])
    >>> Electrodes.grid(4, 2, spacing_mm=10.0, limb_radius_mm=40.0).z_mm
    array([ 15.,  15.,   5.,   5.,  -5.,  -5., -15., -15.])
    >>> float(ring.moved(rotation_rad=0.0, shift_mm=5.0).z_mm[0])
    5.0
    """

    angle_rad: np.ndarray
    z_mm: np.ndarray
    pole_distance_mm: float
    layout: Layout

    @classmethod
    def ring(cls, n_channels: int, pole_distance_mm: float = 10.0) -> Electrodes:
        """Place channels evenly around the limb; the first is over the palmar midline."""
        angle = 2 * np.pi * np.arange(n_channels) / n_channels
        return cls(angle, np.zeros(n_channels), pole_distance_mm, Layout.ring(n_channels))

    @classmethod
    def grid(cls, rows: int, columns: int, spacing_mm: float, limb_radius_mm: float, wraps: bool = False) -> Electrodes:
        """Place a grid: rows along the limb, from distal to proximal, columns around it; channels are numbered row by
        row.

        Each channel is the difference of two poles one spacing apart along the limb. `wraps` spreads the columns evenly
        around the whole limb, whatever its radius.
        """
        row, column = np.divmod(np.arange(rows * columns), columns)
        pitch = 2 * np.pi / columns if wraps else spacing_mm / limb_radius_mm
        angle = pitch * (column if wraps else column - (columns - 1) / 2)
        z = spacing_mm * ((rows - 1) / 2 - row)
        return cls(angle, z, spacing_mm, Layout.grid(rows, columns, wraps, spacing_mm))

    def moved(self, rotation_rad: float, shift_mm: float) -> Electrodes:
        """Return the same electrodes after a rotation around and a shift along the limb."""
        return replace(self, angle_rad=self.angle_rad + rotation_rad, z_mm=self.z_mm + shift_mm)

    def __len__(self) -> int:
        return len(self.angle_rad)


@dataclass(frozen=True)
class MotorUnits:
    """Motor units of one or more muscles; all arrays have shape (unit,).

    Parameters
    ----------
    muscle : row of the excitation that drives the unit.
    threshold : excitation at which the unit is recruited.
    peak_rate_hz : discharge rate at which the unit saturates.
    fibres : number of fibres.
    angle_rad, radius_mm : position in the limb's cross-section.
    end_plate_mm : position of the end plates along the limb.
    up_mm, down_mm : distances from the end plates to the tendons.
    velocity_m_s : conduction velocity.

    >>> from myograph.datasets.simulation.anatomy import BICEPS, TIBIALIS
    >>> rng = np.random.default_rng(0)
    >>> pools = [MotorUnits.draw(muscle, Limb(), rng, row=row) for row, muscle in enumerate((BICEPS, TIBIALIS))]
    >>> units = MotorUnits.concatenate(pools)
    >>> len(units), float(units.peak_rate_hz.min())
    (120, 25.0)
    """

    muscle: np.ndarray
    threshold: np.ndarray
    peak_rate_hz: np.ndarray
    fibres: np.ndarray
    angle_rad: np.ndarray
    radius_mm: np.ndarray
    end_plate_mm: np.ndarray
    up_mm: np.ndarray
    down_mm: np.ndarray
    velocity_m_s: np.ndarray

    @classmethod
    def draw(
        cls, muscle: Muscle, limb: Limb, rng: np.random.Generator, velocity_m_s: float = 4.0, row: int = 0
    ) -> MotorUnits:
        """Draw a pool for one muscle: its size fixes the thresholds; positions and velocities are random."""
        n = muscle.n_units
        rank = np.arange(1, n + 1) / n
        # Uniform over an ellipse, since muscles are flat around the limb.
        out = np.sqrt(rng.random(n))
        around = 2 * np.pi * rng.random(n)
        centre = limb.radius_mm - limb.fat_mm - muscle.depth_mm
        radius = centre + muscle.radius_mm * out * np.cos(around)
        sideways = FLATNESS * muscle.radius_mm * out * np.sin(around)
        surface = limb.radius_mm - limb.fat_mm - SHALLOWEST_MM
        return cls(
            muscle=np.full(n, row),
            threshold=LAST_THRESHOLD * THRESHOLD_RANGE ** (rank - 1),
            peak_rate_hz=PEAK_RATE_FIRST_HZ - (PEAK_RATE_FIRST_HZ - PEAK_RATE_LAST_HZ) * THRESHOLD_RANGE ** (rank - 1),
            fibres=muscle.fibres * FIBRES_RANGE ** (rank - 1) * np.exp(0.2 * rng.standard_normal(n)),
            angle_rad=np.deg2rad(muscle.angle_deg) + sideways / centre,
            radius_mm=np.minimum(radius, surface),
            end_plate_mm=muscle.end_plate_mm + 3.0 * rng.standard_normal(n),
            up_mm=np.maximum(muscle.up_mm + 4.0 * rng.standard_normal(n), 10.0),
            down_mm=np.maximum(muscle.down_mm + 4.0 * rng.standard_normal(n), 10.0),
            velocity_m_s=velocity_m_s * (1 + VELOCITY_SPREAD * (rank - 0.5) + 0.03 * rng.standard_normal(n)),
        )

    @classmethod
    def concatenate(cls, pools: Sequence[MotorUnits]) -> MotorUnits:
        """Join the units of several pools."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in pools]) for f in fields(cls)})

    def __getitem__(self, rows: np.ndarray) -> MotorUnits:
        return MotorUnits(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def __len__(self) -> int:
        return len(self.threshold)


def membrane_mv(u_mm: np.ndarray) -> np.ndarray:
    """Return Rosenfalck's intracellular potential above rest, in mV, at u_mm behind the front of the wave.

    >>> membrane_mv(np.array([-1.0, 3.0])).round(1)
    array([  0., 129.])
    """
    u = np.maximum(u_mm, 0.0)
    return 96.0 * u**3 * np.exp(-u)


def potentials(
    units: MotorUnits, electrodes: Electrodes, limb: Limb, rate_hz: float, velocity_factor: float = 1.0
) -> np.ndarray:
    """Return the surface potential of a single discharge of each unit.

    Parameters
    ----------
    units, electrodes, limb : the anatomy.
    rate_hz : samples per second, at least 1000.
    velocity_factor : factor on all conduction velocities; fatigue and cold lower it.

    Returns
    -------
    (unit, channel, time) float32, in uV.

    Raises
    ------
    ConfigError : `rate_hz` is below 1000.

    >>> from myograph.datasets.simulation.anatomy import BICEPS
    >>> units = MotorUnits.draw(BICEPS, Limb(), np.random.default_rng(0))
    >>> potentials(units[[0, -1]], Electrodes.ring(4), Limb(), rate_hz=2000).shape[:2]
    (2, 4)
    """
    from myograph.datasets.simulation._fibres import unit_potentials

    if rate_hz < 1000:
        raise ConfigError(f"rate_hz of potentials must be 1000 Hz or more, got {rate_hz}; resample afterwards")
    depth = limb.radius_mm - limb.fat_mm - units.radius_mm
    stretch = ((np.sqrt(MUSCLE_ANISOTROPY) * depth + limb.fat_mm) / (depth + limb.fat_mm)) ** 2
    step = 1000.0 * units.velocity_m_s * velocity_factor / rate_hz
    constant_mm2 = INTRACELLULAR_S_PER_M * FIBRE_RADIUS_MM**2 / (2 * MUSCLE_S_PER_M)
    scale_uv = 1000.0 * constant_mm2 * units.fibres
    wave = scale_uv[:, None] * _wave(step)
    taps = wave.shape[1]
    steps = int(np.ceil(np.max(np.maximum(units.up_mm, units.down_mm) / step, initial=1.0)))
    f32 = lambda a: np.ascontiguousarray(a, np.float32)  # noqa: E731
    out = np.empty((len(units), len(electrodes), steps + taps - 1), np.float32)
    unit_potentials(
        f32(units.radius_mm * np.cos(units.angle_rad)),
        f32(units.radius_mm * np.sin(units.angle_rad)),
        f32(stretch),
        f32(stretch * TERRITORY_MM**2),
        f32(units.end_plate_mm),
        f32(units.up_mm),
        f32(units.down_mm),
        f32(step),
        f32(wave),
        f32(limb.radius_mm * np.cos(electrodes.angle_rad)),
        f32(limb.radius_mm * np.sin(electrodes.angle_rad)),
        f32(electrodes.z_mm),
        float(electrodes.pole_distance_mm),
        out,
    )
    return out


def _smoothed_membrane() -> tuple[np.ndarray, np.ndarray]:
    """Return a table (mm, mV) of the membrane potential averaged over a unit's end plates."""
    fine = 0.1
    reach = 3 * END_PLATE_SPREAD_MM
    u = np.arange(-2 * reach, 20 + 2 * reach, fine)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + fine, fine) / END_PLATE_SPREAD_MM) ** 2)
    return u, np.convolve(membrane_mv(u), kernel / kernel.sum(), "same")


_MEMBRANE = _smoothed_membrane()


def _wave(step_mm: np.ndarray) -> np.ndarray:
    """Return the (unit, tap) increments of the membrane potential, in mV, over each unit's step."""
    start, stop = -3 * END_PLATE_SPREAD_MM, 16 + 3 * END_PLATE_SPREAD_MM
    taps = int(np.ceil((stop - start) / step_mm.min()))
    edges = start + step_mm[:, None] * np.arange(taps + 1)
    return np.diff(np.interp(edges, *_MEMBRANE, left=0.0, right=0.0), axis=1)


def discharges(
    units: MotorUnits,
    excitation: np.ndarray,
    step_s: float,
    rate_hz: float,
    rng: np.random.Generator,
    interval_cv: float = 0.15,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the discharges of each unit.

    Parameters
    ----------
    units : the motor units.
    excitation : (muscle, step), 0 to 1, in steps of `step_s`.
    step_s, rate_hz : duration of a step in seconds, and samples per second of the result.
    rng : random generator.
    interval_cv : coefficient of variation of the inter-spike intervals.

    Returns
    -------
    times : (unit, k) int64 samples of the discharges.
    counts : (unit,) number of valid entries in each row.

    Raises
    ------
    ShapeError : the excitation has fewer rows than there are muscles.

    >>> from myograph.datasets.simulation.anatomy import BICEPS
    >>> units = MotorUnits.draw(BICEPS, Limb(), np.random.default_rng(0))
    >>> times, counts = discharges(units, np.ones((1, 200)), 0.005, 2000.0, np.random.default_rng(0))
    >>> int(counts[0]), int(counts[-1])  # in one second, at their peak rates of 35 and 25 per second
    (36, 24)
    """
    from myograph.datasets.simulation._fibres import discharge_times

    excitation = np.atleast_2d(np.asarray(excitation, float))
    if len(units) and units.muscle.max() >= len(excitation):
        raise ShapeError(
            f"excitation must be (muscle, step) for {units.muscle.max() + 1} muscles, got shape {excitation.shape}"
        )
    room = int(MAX_RATE_HZ * excitation.shape[1] * step_s) + 2
    interval = 1 + interval_cv * np.clip(rng.standard_normal((len(units), room), np.float32), -3, 3)
    times = np.empty((len(units), room), np.int64)
    counts = discharge_times(
        excitation,
        units.muscle,
        units.threshold,
        RATE_GAIN_HZ,
        LOWEST_RATE_HZ,
        units.peak_rate_hz,
        np.maximum(interval, 0.2).astype(np.float32),
        step_s,
        rate_hz,
        times,
    )
    return times, counts


def contract(
    out: np.ndarray,
    start: int,
    units: MotorUnits,
    electrodes: Electrodes,
    limb: Limb,
    excitation: np.ndarray,
    step_s: float,
    rate_hz: float,
    rng: np.random.Generator,
    interval_cv: float = 0.15,
    velocity_factor: float = 1.0,
) -> None:
    """Add the EMG of one contraction, in uV, to `out` (channel, time) float32, from sample `start` on.

    The other parameters are those of `potentials` and `discharges`. Potentials are computed only for units that
    discharge. ShapeError if `out` does not fit the electrodes.

    >>> from myograph.datasets.simulation.anatomy import BICEPS
    >>> units, out = MotorUnits.draw(BICEPS, Limb(), np.random.default_rng(0)), np.zeros((4, 2000), np.float32)
    >>> effort = np.full((1, 100), 0.3)
    >>> contract(out, 0, units, Electrodes.ring(4), Limb(), effort, 0.005, 2000.0, np.random.default_rng(0))
    >>> bool(out.std(axis=1).argmax() == 0)  # the biceps lies below the first channel
    True
    """
    from myograph.datasets.simulation._fibres import add_trains

    if out.shape[0] != len(electrodes):
        raise ShapeError(f"out must be (channel, time), got {out.shape} for {len(electrodes)} electrodes")
    times, counts = discharges(units, excitation, step_s, rate_hz, rng, interval_cv)
    active = np.flatnonzero(counts)
    if len(active):
        shapes = potentials(units[active], electrodes, limb, rate_hz, velocity_factor)
        add_trains(out, start, times[active], counts[active], shapes)
