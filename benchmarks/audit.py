"""Time and memory of the audit's search for copies: 20 people x 88 recordings of 5 s x 10 channels at 1 kHz; and the cost
of the leakage check of a fitted method, as a share of the prediction that it accompanies.

    python benchmarks/audit.py [--people 20] [--rounds 5]

Signals are coloured noise with quiet stretches, in two forms: as floating-point numbers, and as the whole numbers that a
converter gives. One recording occurs a second time under another name, scaled, so that there is a copy to find. Time is the
processor time of the fastest of several rounds on one thread, minus the time for making the windows; memory is the peak
of the allocations of the search, beside the size of the signals.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfilt

from myograph import LeaveOneSubjectOut, Recording, Windowing, Windows
from myograph.audit import audit, copies_in
from myograph.methods import METHODS

RESULTS = Path(os.environ.get("MYOGRAPH_BENCH_RESULTS", Path(__file__).parent / "results"))
BAR_SHARE = 0.01  # of a prediction, for the leakage check
BAR_S, N_CHANNELS, N_SAMPLES, RATE_HZ = 3.0, 10, 5000, 1000.0


def signals(n: int, whole_numbers: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sos = butter(2, [20, 450], "bandpass", fs=RATE_HZ, output="sos")
    loud = np.repeat([2.0, 60.0, 5.0, 30.0, 2.0], N_SAMPLES // 5)
    found = []
    for _ in range(n):
        x = sosfilt(sos, rng.standard_normal((N_CHANNELS, N_SAMPLES))) * loud
        found.append((np.rint(x) if whole_numbers else x).astype(np.float32))
    return found


def recordings_of(some: list[np.ndarray], people: int) -> list[Recording]:
    """New recordings, so that nothing is kept from the round before."""
    label = np.repeat(np.arange(5), N_SAMPLES // 5)
    each = len(some) // people
    return [
        Recording(x, RATE_HZ, label, str(i // each), np.full(N_SAMPLES, i % each + 1), str(i % each))
        for i, x in enumerate(some)
    ]


def measure(some: list[np.ndarray], people: int, rounds: int) -> dict[str, float]:
    some = [*some[:-1], (1.5 * some[0]).astype(np.float32)]
    seconds, folds = [], []
    for _ in range(rounds):
        windows = Windows.cut(recordings_of(some, people), Windowing(250, 50))
        begun = time.process_time()
        found = copies_in(windows)
        seconds.append(time.process_time() - begun)
        assert [(m.first, m.second, m.n) for m in found] == [(0, len(some) - 1, N_SAMPLES)], found
        fold = next(LeaveOneSubjectOut().folds(windows))
        begun = time.process_time()
        audit(windows, fold.train, fold.test, ("subject",), leaky=True)
        folds.append(time.process_time() - begun)
    windows = Windows.cut(recordings_of(some, people), Windowing(250, 50))
    tracemalloc.start()
    copies_in(windows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = sum(x.nbytes for x in some)
    return {
        "search_s": min(seconds),
        "fold_s": min(folds),
        "peak_MB": peak / 1e6,
        "signals_MB": size / 1e6,
        "memory_share": peak / size,
        "n_windows": len(windows),
    }


def share_of_the_check(rounds: int) -> float:
    """Processor time of the leakage check over that of the prediction by `lda`, each the least of several rounds."""
    windows = Windows.cut(recordings_of(signals(40, False), 4), Windowing(200, 20))
    train, test = windows.where(subject=("0", "1")), windows.where(subject=("2", "3"))
    method = METHODS.create("lda").fit(train, train.y)
    seen = method["features"]._seen

    def least(call: Callable[[], object]) -> float:
        took = []
        for _ in range(rounds + 2):
            begun = time.process_time()
            call()
            took.append(time.process_time() - begun)
        return min(took)

    return least(lambda: seen.shared_by(test)) / least(lambda: method.predict(test))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--recordings", type=int, default=88, help="of each person")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    copies_in(Windows.cut(recordings_of(signals(2, False), 1), Windowing(250, 50)))  # compiled
    table = {}
    for kind in ("floating point", "whole numbers"):
        some = signals(given.people * given.recordings, kind == "whole numbers")
        table[kind] = measure(some, given.people, given.rounds)
        row = table[kind]
        print(
            f"{kind}: {row['search_s']:.2f} s (bar {BAR_S:g} s), {row['peak_MB']:.0f} MB beside {row['signals_MB']:.0f} MB "
            f"of signals; each fold of {row['n_windows']} windows then {row['fold_s']:.2f} s",
            flush=True,
        )
    share = share_of_the_check(given.rounds)
    print(f"leakage check: {share:.2%} of the prediction (bar {BAR_SHARE:.0%})", flush=True)
    machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    about = {**vars(given), "date": time.strftime("%Y-%m-%d"), **machine}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "audit.json").write_text(
        json.dumps({"about": about, "bar_s": BAR_S, "measured": table, "share_of_check": share}, indent=1) + "\n"
    )
    met = all(row["search_s"] < BAR_S and row["memory_share"] < 1 for row in table.values()) and share < BAR_SHARE
    raise SystemExit(0 if met else "the audit misses its bar")


if __name__ == "__main__":
    main()
