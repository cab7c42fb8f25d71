"""Latency of live decoding: from the last sample of a window to its decision, at 2 kHz, 200 ms windows every 50 ms.

Each decoder gets chunks of 50 ms, one decision per chunk. The latency is the wall-clock time from the call of `push` to
the decision, with one chunk every 50 ms as from a device. The cost is this process's CPU time for the whole call, filters
included, with the next chunk given at once. Features that are sums over the window are kept as running sums, so the cost of a
decision must not grow with the window: windows of 800 ms are compared with those of 200 ms.

The counter-example is the loop that live examples of other libraries use: filter
the whole ring buffer again, cut its newest window, and predict it.

`python benchmarks/live.py [--seconds 30]` writes results/live.md and live.json.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline

from _harness import Row, write
from myograph import Features, Recording, Windowing, Windows
from myograph.live import Decoder
from myograph.preprocessing.filters import HighPass, Notch, apply_all

RATE_HZ = 2000.0
WINDOWING = Windowing(200, 50)
FILTERS = (HighPass(20), Notch(50))
CHUNK = 100
SUMS = ["mav", "wl", "zc", "ssc"]  # of Hudgins et al. 1993
BARS = {("lda", 16): (10.0, 0.1), ("lda_svm", 16): (20.0, None)}


def recording(n_channels: int, seed: int) -> Recording:
    """Noise of 5 classes, whose loudness per channel tells the class: 8 repetitions of 1 s each."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.tile(np.arange(5), 8), int(RATE_HZ))
    gain = 1 + 3 * np.random.default_rng(0).uniform(size=(5, n_channels))
    signal = (20 * rng.normal(size=(n_channels, len(label))) * gain[label].T).astype(np.float32)
    return Recording(signal, RATE_HZ, label, "1", label_names=("rest", "fist", "open", "pinch", "point"))


def chunks(signal: np.ndarray, seconds: float) -> list[np.ndarray]:
    """`seconds` of signal, in chunks of 50 ms."""
    starts = [i % (signal.shape[1] - CHUNK) for i in range(0, int(seconds * RATE_HZ), CHUNK)]
    return [np.ascontiguousarray(signal[:, i : i + CHUNK]) for i in starts]


def latencies(decoder: Decoder, signal: np.ndarray, seconds: float) -> np.ndarray:
    """(decision,) ms from the last sample to the decision, with one chunk every 50 ms."""
    stream, wall, due = decoder.stream(), [], time.perf_counter()
    for chunk in chunks(signal, seconds):
        due += CHUNK / RATE_HZ
        time.sleep(max(0.0, due - time.perf_counter()))
        wall += stream.push(chunk).latency_ms.tolist()
    return np.array(wall[20:])


def costs(decoder: Decoder, signal: np.ndarray, seconds: float) -> np.ndarray:
    """(decision,) CPU ms of each call of `push`, one after the other."""
    stream, cpu = decoder.stream(), []
    for chunk in chunks(signal, seconds):
        begin = time.process_time()
        stream.push(chunk)
        cpu.append(1000 * (time.process_time() - begin))
    return np.array(cpu[24:])


def naive_loop(decoder: Decoder, signal: np.ndarray, rounds: int = 60) -> np.ndarray:
    """Latencies in ms of a loop that filters the last five seconds and predicts the newest window, at each decision."""
    kept, spent = int(5 * RATE_HZ), []
    for i in range(rounds):
        begin = time.perf_counter()
        part = signal[:, i * CHUNK : i * CHUNK + kept]
        buffer = apply_all(decoder.filters, Recording(part, RATE_HZ, np.zeros(kept, int), "1"))
        windows = Windows.cut(buffer, WINDOWING)
        decoder.method.predict(windows[len(windows) - 1 :])
        spent.append(1000 * (time.perf_counter() - begin))
    return np.array(spent[5:])


def growth(train: Recording, signal: np.ndarray, seconds: float) -> Row:
    """CPU time per decision with windows of 800 ms over that with 200 ms, of an LDA on features that are sums."""
    spent = []
    for length_ms in (200, 800):
        method = make_pipeline(Features(SUMS), LinearDiscriminantAnalysis())
        decoder = Decoder.fit([train], method, FILTERS, Windowing(length_ms, 50))
        spent.append(float(np.median(costs(decoder, signal, seconds))))
    note = f"{spent[0]:.3f} and {spent[1]:.3f} ms"
    return Row("CPU per decision, 800 ms over 200 ms windows, 16 channels", spent[1] / spent[0], 1.2, "x", True, note)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds of signal per row")
    given = parser.parse_args()
    rows = []
    for n_channels in (8, 16, 64):
        train, test = recording(n_channels, 1), recording(n_channels, 2)
        methods = ("lda", "lda_svm", "myonet") if n_channels <= 16 else ("lda", "myonet")  # the default is for up to 16
        for method in methods:
            options = {"epochs": 1, "device": "cpu"} if method == "myonet" else {}
            decoder = Decoder.fit([train], method, FILTERS, WINDOWING, **options)
            cpu = costs(decoder, test.signal, given.seconds)
            wall = latencies(decoder, test.signal, given.seconds)
            p50, p99 = np.percentile(wall, [50, 99]).tolist()
            bar, cost = BARS.get((method, n_channels), (None, None))
            what = f"{method}, {n_channels} channels"
            rows.append(Row(f"{what}: latency p99", p99, bar, "ms", True, f"p50 {p50:.2f} ms, {len(wall)} decisions"))
            rows.append(Row(f"{what}: CPU per decision", float(np.median(cpu)), cost, "ms", True))
            print(rows[-2], rows[-1], sep="\n", flush=True)
            if method == "lda" and n_channels == 16:
                loop = float(np.median(naive_loop(decoder, test.signal)))
                rows.append(growth(train, test.signal, given.seconds))
                print(rows[-1], flush=True)
                rows.append(Row(f"{what}: a loop that filters 5 s again, over ours", loop / p50, None))
    print(write("live", "Live decoding: one decision every 50 ms at 2 kHz", rows))


if __name__ == "__main__":
    main()
