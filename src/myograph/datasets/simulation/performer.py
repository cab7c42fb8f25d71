"""The live simulator: a person who performs gestures on request while the samples are read.

Muscles, motor units, people and repetitions are those of the simulated recordings, so that a decoder trained on
`load("simulated", subjects="1", ...)` can be used by the `Wearer` of the same subject. Drift and fatigue are bounded,
because a live session may be arbitrarily long; their sizes are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from scipy.signal import butter, sosfilt

from myograph.datasets.simulation.anatomy import FOREARM, GESTURES
from myograph.datasets.simulation.cohort import NOISE, Attempt, Day, Keys, Person
from myograph.datasets.simulation.physics import (
    LOWEST_RATE_HZ,
    RATE_GAIN_HZ,
    Electrodes,
    potentials,
)
from myograph.datasets.simulation.session import (
    BAND_HZ,
    COMMON_DRIVE,
    INNER_RATE_HZ,
    MAINS_HZ,
    RAMP_S,
    REST_TONE,
    STEP_S,
)
from myograph.errors import ConfigError, unknown_name

RINGS = (8, 10, 12, 16)
GRIDS = {32: (2, 16), 64: (4, 16), 192: (8, 24)}
"""Number of channels to rows along the forearm and columns around it."""
REST = "rest"
BLOCK_STEPS = 2  # 10 ms, the shortest stretch that is simulated at a time
AHEAD_S = 1.0  # longest reach of a potential or artefact beyond its block
WARM_UP_S = 0.5  # simulated before the first sample until the filters have settled
DRIFT_STEP = 0.3  # fraction of the drift that is drawn again at each movement
DRIFT_SPREAD, DRIFT_ROTATION_DEG, DRIFT_SHIFT_MM = 0.2, 2.0, 2.0
FATIGUE_S, RECOVERY_S = 60.0, 90.0  # time constants at full effort and at rest
FATIGUE_SLOWING, FATIGUE_EFFORT = 0.3, 0.5  # slowing of conduction, and additional excitation for the same force


@dataclass(frozen=True)
class Wearer:
    """A simulated person with electrodes on the forearm.

    Parameters
    ----------
    n_channels : 8, 10, 12 or 16 electrodes on a ring; 32, 64 or 192 on a grid around the forearm.
    rate_hz : sampling rate, 100 Hz or more.
    subject, session : numbers of the person and of the day, from 1, as in the data set `simulated` with the same seed.
    reaction_s : shortest and longest time from a request to the beginning of the movement.
    variability : factor on the differences between repetitions.
    drift : factor on slow changes of effort and electrode position over the repetitions.
    fatigue : factor on the slowing of conduction and the additional excitation after contractions; 0 for none.
    rotation_deg, shift_mm : displacement of the electrodes around and along the forearm.
    noise_uv, mains_uv, artefacts_per_min : RMS baseline noise, amplitude of the 50 Hz interference, motion artefacts.
    seed : seed of every random choice.

    Raises
    ------
    ConfigError : a value out of range.

    >>> len(Wearer(n_channels=8).electrodes)
    8
    """

    n_channels: int = 12
    rate_hz: float = 1000.0
    subject: int = 1
    session: int = 1
    reaction_s: tuple[float, float] = (0.15, 0.4)
    variability: float = 1.0
    drift: float = 1.0
    fatigue: float = 0.0
    rotation_deg: float = 0.0
    shift_mm: float = 0.0
    noise_uv: float = 3.0
    mains_uv: float = 2.0
    artefacts_per_min: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_channels not in (*RINGS, *GRIDS):
            raise ConfigError(f"simulated: n_channels must be one of {(*RINGS, *GRIDS)}, got {self.n_channels!r}")
        if not self.rate_hz >= 100:
            raise ConfigError(f"simulated: rate_hz must be 100 or more, got {self.rate_hz!r}")
        if self.subject < 1 or self.session < 1:
            raise ConfigError(
                f"simulated: subject and session must be 1 or more, got {self.subject!r} and {self.session!r}"
            )
        if not 0 <= self.reaction_s[0] <= self.reaction_s[1]:
            raise ConfigError(f"simulated: reaction_s must be (shortest, longest) in seconds, got {self.reaction_s!r}")
        for name in ("variability", "drift", "fatigue", "noise_uv", "mains_uv", "artefacts_per_min"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"simulated: {name} must be 0 or more, got {getattr(self, name)!r}")

    @property
    def electrodes(self) -> Electrodes:
        """Positions of the electrodes, before the person's placement and displacement are applied."""
        if self.n_channels in RINGS:
            return Electrodes.ring(self.n_channels, 12.0)
        return Electrodes.grid(*GRIDS[self.n_channels], 10.0, 40.0, wraps=True)


class Asked(NamedTuple):
    """A request to the person, from one sample on.

    >>> Asked(sample=500, gesture="hand_close", effort=1.0).gesture
    'hand_close'
    """

    sample: int
    gesture: str
    effort: float


class Performer:
    """Simulates a `Wearer`: `perform` requests a gesture, `block` returns the next samples.

    The samples depend only on the wearer, the requests, and the sample numbers of the requests.

    >>> person = Performer(Wearer(n_channels=8))
    >>> quiet = np.hstack([person.block() for _ in range(50)])
    >>> person.perform("hand_close", sample=500)
    >>> strong = np.hstack([person.block() for _ in range(150)])[:, 1000:]
    >>> quiet.shape, bool(strong.std() > 3 * quiet.std())
    ((8, 500), True)
    >>> person.move_electrodes(rotation_deg=20.0, shift_mm=0.0)
    >>> person.skip(blocks=100)
    """

    def __init__(self, wearer: Wearer):
        self.wearer = wearer
        self.asked: list[Asked] = []
        self._every = int(np.ceil(INNER_RATE_HZ / wearer.rate_hz))
        self._rate_hz = wearer.rate_hz * self._every
        self.block_samples = round(BLOCK_STEPS * STEP_S * wearer.rate_hz)
        self._step_s = self.block_samples / wearer.rate_hz / BLOCK_STEPS
        self._body = _Body(wearer, self._rate_hz, self._step_s)
        self._amplifier = _Amplifier(wearer, self._body.day, self._rate_hz)
        size = self.block_samples * self._every
        self._ahead = np.zeros((wearer.n_channels, size + round(AHEAD_S * self._rate_hz)), np.float32)
        self._heard = 0  # number of entries of `asked` that were processed
        self._due: list[tuple[float, Asked]] = []  # time in s at which each movement begins
        self._made = -int(np.ceil(WARM_UP_S * wearer.rate_hz / self.block_samples)) * self.block_samples
        while self._made < 0:
            self._simulate()

    def perform(self, gesture: str, sample: int, effort: float = 1.0) -> None:
        """Request a gesture, or "rest", from a sample on; the movement begins after the reaction time.

        Parameters
        ----------
        effort : 1 is the person's usual effort for this gesture. Requesting the same gesture again changes its effort.

        Raises
        ------
        UnknownNameError : the simulator does not have the gesture. ConfigError : a negative effort.
        """
        if gesture != REST and gesture not in GESTURES:
            raise unknown_name("gesture of the simulator", gesture, [REST, *GESTURES])
        if not effort >= 0:
            raise ConfigError(f"effort must be 0 or more, got {effort!r}")
        self.asked.append(Asked(sample, gesture, effort))

    def move_electrodes(self, rotation_deg: float, shift_mm: float) -> None:
        """Displace the electrodes around and along the forearm, from the next block on."""
        self._body.place(rotation_deg, shift_mm)

    def block(self) -> np.ndarray:
        """Return the next (channel, `block_samples`) samples, float32 in uV."""
        return self._simulate()

    def skip(self, blocks: int) -> None:
        """Skip blocks without computing their samples."""
        self._made += blocks * self.block_samples

    def _simulate(self) -> np.ndarray:
        self._listen()
        size = self.block_samples * self._every
        for k in range(BLOCK_STEPS):
            at = self._made / self.wearer.rate_hz + k * self._step_s
            while self._due and self._due[0][0] <= at:
                self._body.begin(self._due.pop(0)[1])
            self._body.step(self._ahead, round(k * size / BLOCK_STEPS))
        self._amplifier.add_artefacts(self._ahead, size)
        raw = self._ahead[:, :size].copy()
        self._ahead[:, :-size] = self._ahead[:, size:]
        self._ahead[:, -size:] = 0
        self._made += self.block_samples
        return np.ascontiguousarray(self._amplifier.amplify(raw)[:, :: self._every])

    def _listen(self) -> None:
        """Draw the reaction time to every request before this block.

        A request replaces earlier ones whose movements would begin later than its own.
        """
        while self._heard < len(self.asked) and self.asked[self._heard].sample <= self._made:
            asked = self.asked[self._heard]
            due = asked.sample / self.wearer.rate_hz + self._body.behaviour.uniform(*self.wearer.reaction_s)
            self._due = [entry for entry in self._due if entry[0] < due]
            self._due.append((due, asked))
            self._heard += 1


class _Body:
    """Excitation of the muscles and discharges of the motor units, in steps of `step_s`."""

    def __init__(self, wearer: Wearer, rate_hz: float, step_s: float):
        self.wearer, self._rate_hz, self._step_s = wearer, rate_hz, step_s
        self._keys = Keys(wearer.seed)
        self._person = Person.draw(self._keys, wearer.subject - 1)
        electrodes = wearer.electrodes
        self.day = Day.draw(self._keys, wearer.subject - 1, wearer.session - 1, len(electrodes), 1.0)
        self._worn = electrodes.moved(self._person.rotation_rad + self.day.rotation_rad, self.day.shift_mm)
        self._displaced = (wearer.rotation_deg, wearer.shift_mm)
        self.behaviour, self._spikes, slow = (
            self._keys.rng(NOISE, wearer.subject - 1, wearer.session - 1, 9000 + i) for i in range(3)
        )
        n = len(FOREARM)
        self._tone, self._drive = _SlowNoise(n, 1.0, step_s, slow), _SlowNoise(n, 0.3, step_s, slow)
        self._wander = _SlowNoise(1, 0.6, step_s, slow)
        self._posture = (0.0, 0.0)  # rotation in radians and shift in mm caused by the gesture
        self._drift = np.zeros(n + 2)
        self._times_done: dict[str, int] = {}
        self._gesture, self._plateau = REST, np.zeros(n)
        self._from = self._to = self._level = np.zeros(n)
        self._since, self._ramp_s = 0.0, 1.0
        self._tired = 0.0
        self._phase = np.zeros(len(self._person.units))
        self._next = 0.5 * self._intervals(len(self._phase))
        self._shapes_of: tuple[float, ...] = ()
        self._shapes = np.zeros((0, 0, 0), np.float32)

    def place(self, rotation_deg: float, shift_mm: float) -> None:
        self._displaced = (rotation_deg, shift_mm)

    def begin(self, asked: Asked) -> None:
        """Start a movement from the present excitation to that of the gesture."""
        if asked.gesture not in (REST, self._gesture):
            self._attempt(asked.gesture)
        self._gesture = asked.gesture
        self._from, self._since = self._level, 0.0
        self._to = np.zeros(len(FOREARM)) if asked.gesture == REST else asked.effort * self._plateau
        self._ramp_s = self.behaviour.uniform(*RAMP_S)

    def _attempt(self, gesture: str) -> None:
        wearer = self.wearer
        n = self._times_done[gesture] = self._times_done.get(gesture, 0) + 1
        where = (wearer.subject - 1, wearer.session - 1)
        found = Attempt.draw(self._keys, self._person, self.day, where, gesture, n, wearer.variability, drift=0.0)
        fresh = self.behaviour.standard_normal(len(self._drift))
        self._drift = np.sqrt(1 - DRIFT_STEP) * self._drift + np.sqrt(DRIFT_STEP) * fresh
        rotation, shift = np.deg2rad(DRIFT_ROTATION_DEG) * self._drift[0], DRIFT_SHIFT_MM * self._drift[1]
        self._posture = (found.rotation_rad + wearer.drift * rotation, found.shift_mm + wearer.drift * shift)
        self._plateau = np.clip(found.plateau * np.exp(wearer.drift * DRIFT_SPREAD * self._drift[2:]), 0, 1)

    def step(self, out: np.ndarray, start: int) -> None:
        """Add the potentials of all discharges within the next step to out (channel, time), from sample `start` on."""
        from myograph.datasets.simulation._fibres import add_trains

        done = min(self._since / self._ramp_s, 1.0)
        done = done * done * (3 - 2 * done)
        self._level = self._from + done * (self._to - self._from)
        self._since += self._step_s
        self._tire()
        effort = self._level * np.exp(0.08 * self._wander.step()) * (1 + COMMON_DRIVE * self._drive.step())
        excitation = effort * (1 + FATIGUE_EFFORT * self._tired) + REST_TONE * (1 + 0.5 * self._tone.step())
        times, counts = self._discharge(np.clip(excitation, 0, 1))
        self._settle_shapes()
        add_trains(out, start, times, counts, self._shapes)

    def _tire(self) -> None:
        load = self.wearer.fatigue * float(self._level.max())
        self._tired += self._step_s * (load * (1 - self._tired) / FATIGUE_S - self._tired / RECOVERY_S)

    def _discharge(self, excitation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (unit, 1) samples of the discharges in this step, and whether there is one; resting units keep their
        phase.

        A unit discharges at most once per step: its rate stays below 60 per second.
        """
        units = self._person.units
        above = excitation[units.muscle] - units.threshold
        rate_hz = np.minimum(LOWEST_RATE_HZ + RATE_GAIN_HZ * above, units.peak_rate_hz)
        advance = np.where(above < 0, 0.0, rate_hz * self._step_s)
        fires = (self._phase + advance >= self._next) & (advance > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = np.where(fires, (self._next - self._phase) / advance, 0.0)
        times = (at * self._step_s * self._rate_hz).astype(np.int64)[:, None]
        # The phase is counted from the last discharge, so that it stays small in sessions of any length.
        self._phase = np.where(fires, self._phase + advance - self._next, self._phase + advance)
        self._next[fires] = self._intervals(int(fires.sum()))
        return times, fires.astype(np.int64)

    def _intervals(self, n: int) -> np.ndarray:
        return np.maximum(1 + 0.15 * np.clip(self._spikes.standard_normal(n), -3, 3), 0.2)

    def _settle_shapes(self) -> None:
        """Recompute the potentials if the electrodes moved or the conduction velocity decreased by one percent."""
        slowed = round(1 - FATIGUE_SLOWING * self._tired, 2)
        shapes_of = (*self._posture, *self._displaced, slowed)
        if shapes_of != self._shapes_of:
            turn = self._posture[0] + np.deg2rad(self._displaced[0])
            electrodes = self._worn.moved(turn, self._posture[1] + self._displaced[1])
            self._shapes = potentials(self._person.units, electrodes, self._person.limb, self._rate_hz, slowed)
            self._shapes_of = shapes_of


class _Amplifier:
    """Electrode gain, noise, interference and artefacts, followed by the amplifier's band-pass with its state."""

    def __init__(self, wearer: Wearer, day: Day, rate_hz: float):
        self._wearer, self._rate_hz = wearer, rate_hz
        self._rng = Keys(wearer.seed).rng(NOISE, wearer.subject - 1, wearer.session - 1, 9100)
        n = wearer.n_channels
        self._gain = day.gain[:, None].astype(np.float32)
        # Only part of the white noise passes the amplifier's band; noise_uv is the RMS of that part.
        self._noise = wearer.noise_uv * day.noise * np.sqrt(rate_hz / 2 / (BAND_HZ[1] - BAND_HZ[0]))
        self._pickup = wearer.mains_uv * np.exp(0.5 * self._rng.standard_normal(n))
        self._mains_phase = self._rng.uniform(0, 2 * np.pi, 3)
        self._sample = 0
        high = min(BAND_HZ[1], 0.45 * wearer.rate_hz)
        above = cast(np.ndarray, butter(2, BAND_HZ[0], "high", fs=rate_hz, output="sos"))
        below = cast(np.ndarray, butter(4, high, fs=rate_hz, output="sos"))
        self._band = np.vstack([above, below])
        self._state = np.zeros((len(self._band), n, 2))

    def add_artefacts(self, ahead: np.ndarray, size: int) -> None:
        """Add occasional cable artefacts: a few neighbouring channels oscillate together at a few Hz and settle."""
        rng, n = self._rng, self._wearer.n_channels
        for _ in range(rng.poisson(self._wearer.artefacts_per_min * size / self._rate_hz / 60)):
            u = np.arange(int(rng.uniform(0.2, 0.6) * self._rate_hz)) / self._rate_hz
            swing = np.exp(-u / 0.1) * np.sin(2 * np.pi * rng.uniform(3, 12) * u)
            first, count = rng.integers(n), rng.integers(1, max(n // 4, 1) + 1)
            for c in (first + np.arange(count)) % n:
                ahead[c, : len(u)] += (rng.uniform(100, 400) * swing).astype(np.float32)

    def amplify(self, raw: np.ndarray) -> np.ndarray:
        """Return (channel, time) float32 at the rate of the physics."""
        size = raw.shape[1]
        t = (self._sample + np.arange(size)) / self._rate_hz
        self._sample += size
        hum = sum(np.sin(2 * np.pi * k * MAINS_HZ * t + p) / k**1.5 for k, p in zip((1, 3, 5), self._mains_phase))
        signal = self._gain * raw + self._noise[:, None] * self._rng.standard_normal(raw.shape)
        filtered, self._state = sosfilt(self._band, signal + self._pickup[:, None] * hum, zi=self._state)
        return np.asarray(filtered, np.float32)


class _SlowNoise:
    """(n,) unit-variance noise with approximately this time constant, one value per step."""

    def __init__(self, n: int, time_constant_s: float, step_s: float, rng: np.random.Generator):
        self._rng, self._n = rng, n
        self._advance, self._share = step_s / time_constant_s, 0.0
        self._left, self._right = rng.standard_normal((2, n))

    def step(self) -> np.ndarray:
        if self._share >= 1:
            self._share -= 1
            self._left, self._right = self._right, self._rng.standard_normal(self._n)
        share = self._share * self._share * (3 - 2 * self._share)
        self._share += self._advance
        return (self._left * (1 - share) + self._right * share) / np.sqrt((1 - share) ** 2 + share**2)
