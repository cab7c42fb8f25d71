"""What the benchmark of scale gives as --module: it watches in each worker how many people's recordings are alive.

One line per recording that is made goes to a file of the worker's in the folder WATCHED: people alive, peak memory in MB,
processor seconds.
"""

from __future__ import annotations

import os
import resource
import time
import weakref
from collections import Counter
from pathlib import Path

from myograph.recording import Recording

alive: Counter[str] = Counter()
made = Recording.__post_init__


def watched(recording: Recording) -> None:
    made(recording)
    alive[recording.subject] += 1
    weakref.finalize(recording, gone, recording.subject)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if "WATCHED" not in os.environ:  # the cohort is done
        return
    with (Path(os.environ["WATCHED"]) / f"{os.getpid()}").open("a") as file:
        file.write(f"{len(alive)} {peak:.1f} {time.process_time():.3f}\n")


def gone(subject: str) -> None:
    alive[subject] -= 1
    if not alive[subject]:
        del alive[subject]


Recording.__post_init__ = watched  # type: ignore[method-assign]
