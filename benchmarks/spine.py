"""Figures of the spine: memory of windowing, time of reading, time of import. Run: python benchmarks/spine.py

Windowing is compared with the size of the signals, reading with the bars of 60 s cold and 2 s warm for six
participants of 3DC (needs MYOGRAPH_DATA)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MEMORY = """
import resource, sys
import numpy as np
from myograph import Recording, Windowing, Windows
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
n = 10 * 60 * 2000
rng = np.random.default_rng(0)
signal = np.empty((12, n), np.float32)
for channel in signal:
    channel[:] = rng.standard_normal(n, dtype=np.float32)
label = np.zeros(n, np.int32); label[n // 2 :] = 1
repetition = np.repeat(np.arange(60, dtype=np.int32), n // 60)
recording = Recording(signal, 2000.0, label, "1", repetition)
Windows.cut(Recording(signal[:, :4000], 2000.0, label[:4000], "1"), Windowing(300, 10)).batch([0])  # libraries loaded
before = peak()
windows = Windows.cut(recording, Windowing(300, 10))
half = windows[np.arange(0, len(windows), 2)]
batch = half.batch(np.arange(256))
print(peak() - before, signal.nbytes + label.nbytes + repetition.nbytes, batch.nbytes, len(windows))
"""

READING = """
import time
start = time.perf_counter()
from myograph import Windowing, Windows
from myograph.datasets import load
windows = Windows.cut(load("3dc", subjects="1-6"), Windowing(250, 50))
print(time.perf_counter() - start, len(windows))
"""

IMPORT = "import time; t = time.perf_counter(); import myograph; print(time.perf_counter() - t)"


def fresh(code: str, **environment: str) -> list[float]:
    """Numbers that the code prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return [float(x) for x in done.stdout.split()]


def main() -> None:
    extra, signals, batch, n = fresh(MEMORY)
    rows = {
        "windowing: memory beside the signals and one batch, over the signals": (extra - batch) / signals,
        "windows": n,
        "import myograph, s": min(fresh(IMPORT)[0] for _ in range(3)),
    }
    if os.environ.get("MYOGRAPH_DATA"):
        with tempfile.TemporaryDirectory() as cache:
            rows["3DC, six participants, cold, s"] = fresh(READING, MYOGRAPH_CACHE=cache)[0]
            rows["3DC, six participants, warm, s"] = min(fresh(READING, MYOGRAPH_CACHE=cache)[0] for _ in range(3))
    for name, value in rows.items():
        print(f"{value:10.3f}  {name}")
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "spine.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
