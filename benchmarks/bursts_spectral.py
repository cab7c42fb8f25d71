"""CPU time of burst detection and of spectral images compared with direct NumPy and SciPy implementations.

    OMP_NUM_THREADS=1 python benchmarks/bursts_spectral.py [--rounds 7]

Process CPU time on one thread, alternating runs, medians. Bars: burst detection on 16 channels x 600 s at 1 kHz at least 5
times, power spectrogram of float32 windows at least 1.7 times the SciPy route.

The peer of burst detection does the same complete task: Teager-Kaiser energy in NumPy, the same causal moving
average with SciPy's fastest function (`ndimage.uniform_filter1d`), the baseline from the quietest three tenths of the
quarter seconds of each channel, threshold, votes, and runs from `numpy.diff`, joined and chosen by the same rules. Both
must find the same bursts. Two more rows, without a bar, use other smoothing methods from the literature.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import signal as sps
from scipy.ndimage import uniform_filter1d

from _harness import Row, cpu_s, in_turn, write
from myograph.features.images import power_spectrogram
from myograph.preprocessing.bursts import BurstDetector, teager_kaiser
from myograph.recording import Recording

RATE_HZ = 1000
WIDTH = 80  # samples of smoothing, the detector's default at 1 kHz
SEGMENT = 250
QUIETEST, K, GAP, SHORTEST = 0.3, 7.0, 250, 150


def forearm(n_channels: int, seconds: int, rng: np.random.Generator) -> np.ndarray:
    """Noise with bursts of one second about every two and a half, 20 dB above it, not quite at once in all channels."""
    x = rng.standard_normal((n_channels, seconds * RATE_HZ))
    for onset in np.arange(1.0, seconds - 2, 2.5):
        for channel in range(n_channels):
            start = int((onset + rng.uniform(0, 0.5)) * RATE_HZ)
            x[channel, start : start + RATE_HZ] *= 10
    return 10 * x


def numpy_energy(x: np.ndarray) -> np.ndarray:
    return x[:, 1:-1] ** 2 - x[:, :-2] * x[:, 2:]


def uniform(psi: np.ndarray) -> np.ndarray:
    return uniform_filter1d(psi, WIDTH, axis=1, origin=(WIDTH - 1) // 2, mode="constant")


def lfilter(psi: np.ndarray) -> np.ndarray:
    return sps.lfilter(np.full(WIDTH, 1 / WIDTH), [1.0], psi, axis=1)


def butterworth(psi: np.ndarray) -> np.ndarray:
    """A low-pass of about the same smoothing, forwards and backwards, as papers on EMG onsets have it."""
    return sps.sosfiltfilt(sps.butter(2, 12, fs=RATE_HZ, output="sos"), psi, axis=1)


def numpy_detect(x: np.ndarray, smooth=uniform) -> np.ndarray:
    """(burst, 2) onsets and offsets, by the rules of BurstDetector's defaults."""
    energy = smooth(np.abs(numpy_energy(x)))
    n_segments = energy.shape[1] // SEGMENT
    parts = energy[:, : n_segments * SEGMENT].reshape(len(x), n_segments, SEGMENT)
    quiet = np.argsort(parts.mean(axis=2), axis=1)[:, : round(QUIETEST * n_segments)]
    rest = np.take_along_axis(parts, quiet[..., None], 1).reshape(len(x), -1)
    limit = rest.mean(axis=1) + K * rest.std(axis=1)
    active = (energy > limit[:, None]).any(axis=0)
    edges = np.flatnonzero(np.diff(active, prepend=False, append=False))
    start, stop = edges[::2] + 1, edges[1::2] + 1  # psi begins at the second sample
    apart = start[1:] - stop[:-1] > GAP
    start, stop = start[np.append(True, apart)], stop[np.append(apart, True)] - WIDTH + 1
    long = stop - start >= SHORTEST
    return np.stack([start, stop], axis=1)[long]


def spectrogram_stft(x: np.ndarray) -> np.ndarray:
    return np.abs(sps.stft(x, 2000.0, "hamming", 256, 184, boundary=None, padded=False)[2]) ** 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    long = forearm(16, 600, rng)
    windows = rng.standard_normal((1000, 12, 400)).astype(np.float32)
    detector = BurstDetector()
    rows = []

    def row(work: str, ours, *peers, bar: float) -> None:
        ours()  # compiled, and caches warm
        functions = (ours, *peers)
        mine, *theirs = in_turn(*(lambda f=f: cpu_s(f) for f in functions), rounds=rounds)
        for seconds, (name, peer_bar) in zip(theirs, bar):
            note = f"ours {mine * 1e3:.1f} ms, {name} {seconds * 1e3:.1f} ms"
            rows.append(Row(f"{work}, against {name}", seconds / mine, peer_bar, note=note))

    for dtype in (np.float64, np.float32):
        x = long.astype(dtype)
        recording = Recording(x, RATE_HZ, np.zeros(x.shape[1], np.int32), "1")
        found, peers = detector.detect(recording), numpy_detect(x)
        if found.shape != peers.shape or np.abs(found - peers).max() > 1:
            raise SystemExit(f"the two routes differ: {len(found)} bursts, {len(peers)} by the peer")
        row(
            f"TKEO bursts, 16 ch x 600 s, {dtype.__name__}",
            lambda r=recording: detector.detect(r),
            lambda x=x: numpy_detect(x),
            lambda x=x: numpy_detect(x, lfilter),
            lambda x=x: numpy_detect(x, butterworth),
            bar=(("uniform_filter1d", 5), ("lfilter", None), ("sosfiltfilt", None)),
        )
        row(
            f"TKEO alone, 16 ch x 600 s, {dtype.__name__}",
            lambda x=x: teager_kaiser(x),
            lambda x=x: numpy_energy(x),
            bar=(("NumPy", None),),
        )
    row(
        "power spectrogram, 1000 x 12 x 400, float32",
        lambda: power_spectrogram(windows, 256, 72),
        lambda: spectrogram_stft(windows),
        bar=(("scipy.signal.stft", 1.7),),
    )
    print(write("bursts_spectral", "Burst detection and spectral images", rows, rounds=rounds))


if __name__ == "__main__":
    main()
