"""Runs in the peers' environment: times LibEMG, TSFEL and the published loops on a given signal.

Each line of input is one request, {"what": ..., "names": [...], "length": ..., "step": ..., "windows": largest number};
the answer is the CPU time, {"seconds": ...}, of windowing and features together.
"""

import json
import os
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")
answers = os.fdopen(os.dup(1), "w")  # what the peers print on import must not reach the answers
os.dup2(2, 1)
signal = np.load(sys.argv[1])  # (channel, time)


def libemg(names, length, step, windows):
    from libemg.feature_extractor import FeatureExtractor
    from libemg.utils import get_windows

    data = np.ascontiguousarray(signal.T[: length + (windows - 1) * step])
    begin = time.process_time()
    cut = get_windows(data, length, step)
    for name in names:
        getattr(FeatureExtractor(), f"get{name}feat")(cut)
    return time.process_time() - begin


def loops(names, length, step, windows):
    """RMS, VAR, SSI and ENT as in the published feature-imitating work: a window and a channel at a time."""
    from scipy.special import softmax
    from scipy.stats import entropy

    begin = time.process_time()
    found = []
    for i in range(windows):
        for channel in signal[:, i * step : i * step + length]:
            found.append((np.sqrt(np.mean(channel**2)), np.var(channel), np.sum(channel**2), entropy(softmax(channel))))
    np.array(found)
    return time.process_time() - begin


def tsfel(names, length, step, windows):
    import tsfel as peer

    begin = time.process_time()
    for i in range(windows):
        for channel in signal[:, i * step : i * step + length]:
            for name in names:
                getattr(peer, name)(channel)
    return time.process_time() - begin


WORKS = {"libemg": libemg, "loops": loops, "tsfel": tsfel}
WORKS["libemg"](["MAV"], 100, 50, 3)
for line in sys.stdin:
    request = json.loads(line)
    answer = WORKS[request.pop("what")](**request)
    print(json.dumps({"seconds": answer}), file=answers, flush=True)
