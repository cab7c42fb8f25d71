"""CPU time of the burst energy and of the power spectrogram against the straightforward SciPy routes.

    OMP_NUM_THREADS=1 python benchmarks/bursts_spectral.py [--runs 7]

Medians of alternating runs, one thread. Bars: energy of 16 channels x 600 s at 1 kHz at least 5 times, power
spectrogram of float32 windows at least 1.7 times the SciPy route.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import signal as sps
from scipy.ndimage import uniform_filter1d

from myograph.bursts import EnergyStream
from myograph.spectral import power_spectrogram

WIDTH = 80  # samples of smoothing, the detector's default at 1 kHz


def energy(x):
    return EnergyStream(len(x), WIDTH).push(x)


def absolute_teager_kaiser(x):
    psi = np.zeros_like(x)
    psi[:, 1:-1] = x[:, 1:-1] ** 2 - x[:, :-2] * x[:, 2:]
    return np.abs(psi)


def energy_uniform(x):
    return uniform_filter1d(absolute_teager_kaiser(x), WIDTH, axis=1, origin=(WIDTH - 1) // 2)


def energy_lfilter(x):
    return sps.lfilter(np.full(WIDTH, 1 / WIDTH), [1.0], absolute_teager_kaiser(x), axis=1)


def energy_butterworth(x):
    # A low-pass with about the same smoothing, forwards and backwards, as EMG onset papers have it.
    sos = sps.butter(2, 12, fs=1000, output="sos")
    return sps.sosfiltfilt(sos, absolute_teager_kaiser(x), axis=1)


def spectrogram(x):
    return power_spectrogram(x, 256, 72)


def spectrogram_stft(x):
    return np.abs(sps.stft(x, 2000.0, "hamming", 256, 184, boundary=None, padded=False)[2]) ** 2


def compare(ours, peers, x, runs):
    """Median CPU seconds of each function, run in turn."""
    functions = (ours, *peers)
    taken = {f.__name__: [] for f in functions}
    ours(x)  # compiled, and caches warm
    for _ in range(runs):
        for function in functions:
            start = time.process_time()
            function(x)
            taken[function.__name__].append(time.process_time() - start)
    return {name: float(np.median(values)) for name, values in taken.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    long = rng.standard_normal((16, 600_000))
    windows = rng.standard_normal((1000, 12, 400)).astype(np.float32)
    print("| work | peer | CPU ms, ours | CPU ms, peer | ratio |\n|---|---|---|---|---|")
    for work, ours, peers, x in (
        ("energy, 16 ch x 600 s, float64", energy, (energy_uniform, energy_lfilter, energy_butterworth), long),
        ("energy, 16 ch x 600 s, float32", energy, (energy_uniform, energy_lfilter), long.astype(np.float32)),
        ("spectrogram, 1000 x 12 x 400, float32", spectrogram, (spectrogram_stft,), windows),
    ):
        seconds = compare(ours, peers, x, runs)
        mine = seconds[ours.__name__]
        for peer in peers:
            theirs = seconds[peer.__name__]
            print(f"| {work} | {peer.__name__} | {mine * 1e3:.1f} | {theirs * 1e3:.1f} | {theirs / mine:.2f} |")


if __name__ == "__main__":
    main()
