"""Features compared with LibEMG 2.0.3, TSFEL and the published loops.

    benchmarks/peers.sh && python benchmarks/features.py [--quick]

12 channels x 2 kHz x 120 s float64, windows of 300 ms. Peers that take minutes are timed on their first windows and
scaled, which the table states. --quick times everything once, as a test of the script; its figures mean little.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _harness import ONE_THREAD, Peer, Row, cpu_s, in_turn, write

os.environ.update(ONE_THREAD)

import numpy as np

from myograph import Recording, Windowing, Windows
from myograph.features._fast.extract import at_once
from myograph.features._fast.sums import FORMULAS, SumTable, walk
from myograph.features.transformer import Features

HERE = Path(__file__).parent
PYTHON = HERE.parent / "build" / "peers-venv" / "bin" / "python"
RATE_HZ, LENGTH = 2000.0, 600
TEN = ["MAV", "ZC", "SSC", "WL", "RMS", "VAR", "IAV", "WAMP", "DASDV", "LD"]
SPECTRAL = ["MNF", "MDF", "MNP", "MPK", "TM", "SM"]
GROUPS = {
    "LS4": ["LS", "MFL", "MSR", "WAMP"],
    "TDPSD": ["M0", "M2", "M4", "SPARSI", "IRF", "WLF"],
    "MSWT": ["WENG", "WV", "WWL", "WENT"],
}
FIFTY = [
    *("MAV", "ZC", "SSC", "WL", "LS", "MFL", "MSR", "WAMP", "RMS", "IAV", "DASDV", "VAR", "M0", "M2", "M4", "SPARSI"),
    *("IRF", "WLF", "AR", "CC", "LD", "MAVFD", "MAVSLP", "MDF", "MNF", "MNP", "MPK", "SKEW", "KURT", "RMSPHASOR"),
    *("PAP", "WLPHASOR", "MZP", "TM", "SM", "SAMPEN", "FUZZYEN", "DFTR", "ISD", "COR", "MDIFF", "MLK", "ACT", "MOB"),
    *("COMP", "WENG", "WV", "WWL", "WENT", "MEAN"),
]
TSFEL = {"MAVFD": "mean_abs_diff", "ZC": "zero_cross", "RMS": "rms", "VAR": "calc_var", "SSI": "abs_energy"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    signal = np.random.default_rng(0).standard_normal((12, 240_000)) * 50
    recording = Recording(signal, RATE_HZ, np.zeros(signal.shape[1], int), "1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signal.npy"
        np.save(path, signal)
        peer = Peer(PYTHON, HERE / "_peer.py", path)
        rows = [*against_peers(peer, recording, quick), *alone(recording)]
        peer.close()
    print(write("features", "Features: 12 channels x 2 kHz x 120 s, windows 300 ms, one thread, CPU time", rows))


def against_peers(peer: Peer, recording: Recording, quick: bool) -> list[Row]:
    rows = []

    def compare(work, bar, names, step, what="libemg", most=None, rounds=5, peer_names=None):
        n = (recording.n_samples - LENGTH) // step + 1
        most = min(most or n, n, 20 if quick else n)
        features = Features(names)

        def mine() -> float:
            return cpu_s(lambda: features.transform(Windows.cut(recording, Windowing(300, step / 2))))

        def theirs() -> float:
            return peer(what=what, names=peer_names or names, length=LENGTH, step=step, windows=most) * (n / most)

        mine()
        other, own = in_turn(settled(theirs), settled(mine), rounds=1 if quick else rounds)
        scaled = f", peer scaled from {most} of {n} windows" if most < n else ""
        rows.append(Row(work, other / own, bar, note=f"{own * 1e3:.1f} ms against {other:.3g} s{scaled}"))
        print(rows[-1], flush=True)

    compare("ten time-domain features, step 10 ms", 150, TEN, 20, rounds=3)
    compare("ten time-domain features, step 100 ms", 30, TEN, 200)
    compare("loops of the feature-imitating work (RMS VAR SSI ENT), step 10 ms", 1000, ["FIN"], 20, "loops", most=600)
    compare("the same loops, step 100 ms", None, ["FIN"], 200, "loops", most=300)
    for step in (20, 200):
        ms = step // 2
        compare(f"spectral group ({' '.join(SPECTRAL)}), step {ms} ms", 5, SPECTRAL, step, most=1200, rounds=3)
        for group, bar in (("LS4", 20), ("TDPSD", 20), ("MSWT", 4)):
            compare(f"{group}, step {ms} ms", bar, GROUPS[group], step, most=1200, rounds=3)
    for name in ("SAMPEN", "FUZZYEN"):
        compare(f"{name}, step 100 ms", 100, [name], 200, most=4, rounds=1)
    compare("all fifty, step 100 ms", 100, FIFTY, 200, most=4, rounds=1)
    compare(
        "TSFEL: five temporal features, step 100 ms", None, list(TSFEL), 200, "tsfel",
        most=100, rounds=3, peer_names=list(TSFEL.values()),
    )  # fmt: skip
    return rows


def alone(recording: Recording) -> list[Row]:
    features = Features(TEN)
    signal = recording.signal
    table = SumTable([FORMULAS[name] for name in TEN], [0.0, 0.0, 10.0, 0.0])

    def sums(step: int) -> float:
        start, most = np.arange(0, signal.shape[1] - LENGTH + 1, step), at_once(len(signal), step)

        def work():
            for _ in walk(table, signal, start, LENGTH, step, most):
                pass

        return cpu_s(work)

    fine, coarse = in_turn(lambda: sums(20), lambda: sums(200), rounds=11)
    rows = [Row("cost of step 10 ms over step 100 ms, without output", fine / coarse, 1.6, at_most=True)]
    windows = Windows.cut(recording, Windowing(300, 100))
    ten, total = in_turn(lambda: cpu_s(lambda: features.transform(windows)), lambda: cpu_s(signal.sum), rounds=21)
    rows.append(
        Row(
            "ten features at step 100 ms: bytes a second over NumPy's sum", 100 * total / ten, 15, unit="%",
            note=f"{signal.nbytes / ten / 1e9:.2f} GB/s against {signal.nbytes / total / 1e9:.1f} GB/s",
        )
    )  # fmt: skip
    rows.extend(two_threads(windows))
    stream = features.stream(RATE_HZ, 12, Windowing(300, 10))
    taken = []
    for first in range(0, 60_000, 20):
        chunk = signal[:, first : first + 20]
        taken.append(wall_s(lambda chunk=chunk: stream.push(chunk)))
    rows.append(Row("one 10 ms step in a stream, ten features", float(np.median(taken[100:])) * 1e6, 50, "us", True))
    return rows


def two_threads(windows: Windows, blocks: int = 60, rounds: int = 4) -> list[Row]:
    """Elapsed time in two threads over that in one.

    Two processors of a shared machine are two cores at one time and halves of one at another, and one may be slower than
    the other. So the blocks are many, each says what the machine gives two threads that multiply matrices in the cache,
    and one thread is timed where the system puts it as well as on each of the processors.
    """
    one, two = (Features(TEN, n_jobs=n) for n in (1, 2))
    processors = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    square = np.random.default_rng(0).standard_normal((64, 64))
    many = np.broadcast_to(square, (600, 64, 64))
    found = []
    for _ in range(blocks):
        alone_s, both_s = (wall_s(lambda w=w: w(lambda: many @ square)) for w in (twice, both))
        times = []
        for _ in range(rounds):
            turns = [wall_s(lambda: one.transform(windows)), wall_s(lambda: two.transform(windows))]
            for processor in processors:
                with on_processor(processor):
                    turns.append(wall_s(lambda: one.transform(windows)))
                wall_s(lambda: two.transform(windows))
            times.append(turns)
        found.append((alone_s / both_s, *np.median(times, axis=0)))
    machine, one_s, two_s, *each = np.array(found).T
    two_cores = machine >= 1.5
    where = "ten features at step 100 ms: two threads over one, elapsed time"
    note = (
        f"{np.median(one_s) * 1e3:.1f} and {np.median(two_s) * 1e3:.1f} ms; {blocks} blocks; two threads multiply matrices "
        f"{np.median(machine):.2f}x as fast as one, and in {two_cores.sum()} blocks at least 1.5x"
    )
    rows = [Row(where, float(np.median(one_s / two_s)), 1.5, note=note)]
    if each:
        over = (len(each) / sum(1 / seconds for seconds in each)) / two_s
        note = f"{np.median(over[two_cores]):.2f}x in the blocks of two cores" if two_cores.any() else ""
        rows.append(Row("the same, the one thread on each processor in turn", float(np.median(over)), note=note))
    return rows


@contextlib.contextmanager
def on_processor(processor: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def settled(work: Callable[[], float], busy_s: float = 0.3) -> Callable[[], float]:
    """The median of two or more calls, the first left out, that keep the processor busy for so long: to a process that
    waited for the other, memory comes back with the first call and the clock rate after some tenths of a second."""

    def median() -> float:
        begin, found = time.perf_counter(), [work()]
        while len(found) < 2 or time.perf_counter() - begin < busy_s:
            found.append(work())
        return statistics.median(found[1:])

    return median


def twice(work) -> None:
    work()
    work()


def both(work) -> None:
    """The work in a thread of its own and in this one."""
    other = threading.Thread(target=work)
    other.start()
    work()
    other.join()


def wall_s(work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
